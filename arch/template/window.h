/*
 * window.h - the sums over pixels of kernels.h for weight gradients of depthwise and grouped convolution.
 *
 * One accumulator for each position of the window, one load of y for all of them: with 3 x 3, ten loads for nine multiply-adds.
 */

#define EACH_WINDOW_ROW UNROLL for (int r = 0; r < WINDOW_MAX_ROWS; r++) if (r < rows)
#define EACH_WINDOW_TAP UNROLL for (int k = 0; k < WINDOW_MAX_WIDTH; k++) if (k < width)

/* whole: all lanes are there, each multiplies its own. */
INLINE void window_sum(const struct window_args *args, const int rows, const int width, const int whole)
{
    const vec_lanes x_lanes = vec_lanes_between(0, whole ? VEC : args->x_lanes);
    const vec_lanes y_lanes = vec_lanes_between(0, whole ? VEC : args->y_lanes);
    vec_index index;
    if (!whole)
        index = vec_index_load(args->index);
    vec sum[WINDOW_MAX_ROWS][WINDOW_MAX_WIDTH];
    EACH_WINDOW_ROW EACH_WINDOW_TAP sum[r][k] = vec_zero();
    const ptrdiff_t tap_step = args->tap_step, row_step = args->row_step, x_step = args->x_step, y_step = args->y_step;
    for (int64_t line = 0; line < args->lines; line++) {
        const float *y = args->y + line * args->y_line, *row[WINDOW_MAX_ROWS];
        EACH_WINDOW_ROW row[r] = args->x + line * args->x_line + r * row_step;
        for (int64_t j = args->length; j > 0; j--, y += y_step) {
            const vec yj = whole ? vec_load(y) : vec_load_lanes(y, y_lanes);
            EACH_WINDOW_ROW
            {
                EACH_WINDOW_TAP
                {
                    const float *x = row[r] + k * tap_step;
                    sum[r][k] = vec_fma(whole ? vec_load(x) : vec_permute(vec_load_lanes(x, x_lanes), index), yj, sum[r][k]);
                }
                row[r] += x_step;
            }
        }
    }
    EACH_WINDOW_ROW EACH_WINDOW_TAP
    {
        float *c = args->c + r * args->c_row + k * VEC;
        vec_store(c, vec_add(vec_load(c), sum[r][k]));
    }
}

/* X(rows, width) */
#define WINDOW_WIDTHS(X, rows) X(rows, 1) X(rows, 2) X(rows, 3) X(rows, 4) X(rows, 5) X(rows, 6) X(rows, 7)
#define WINDOW_ALL(X) WINDOW_WIDTHS(X, 1) WINDOW_WIDTHS(X, 2) WINDOW_WIDTHS(X, 3)

/* window_3x7: 3 rows, 7 taps each */
#define WINDOW_DEFINE(rows, width)                                                                                             \
    static void window_##rows##x##width(const struct window_args *args)                                                        \
    {                                                                                                                          \
        if (args->index)                                                                                                       \
            window_sum(args, rows, width, 0);                                                                                  \
        else                                                                                                                   \
            window_sum(args, rows, width, 1);                                                                                  \
    }
WINDOW_ALL(WINDOW_DEFINE)

#define WINDOW_ENTRY(rows, width) [rows][width] = window_##rows##x##width,
