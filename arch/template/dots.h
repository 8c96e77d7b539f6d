/*
 * dots.h - the dot products of kernels.h: input channels in the lanes, for outputs too few to fill a vector.
 *
 *     sum[m][n] += x[m][k ... k + VEC) * w[n][k ... k + VEC)        rows pixels x columns outputs, whose sums stay in registers
 *
 * The register tile of gemm.h would leave lanes empty: of 3 outputs 13 of 16. Here all of them work, each load of x serves all
 * outputs and each load of w all pixels. At the end VEC sums are transposed, and added in pairs: lane j of the total is sum j.
 */

enum { DOTS_GROUPS = (DOTS_SUMS + VEC - 1) / VEC, DOTS_MOST_ROWS = 16, DOTS_NEAR = 4 };

#define EACH_DOT_ROW UNROLL for (int m = 0; m < DOTS_MOST_ROWS; m++) if (m < rows)
#define EACH_DOT_COLUMN UNROLL for (int n = 0; n < DOTS_MAX_COLUMNS; n++) if (n < columns)
#define EACH_DOT_GROUP UNROLL for (int g = 0; g < DOTS_GROUPS; g++) if (g * VEC < rows * columns)

INLINE vec dots_load(const float *x, const int64_t some, const int keep)
{
    const vec loaded = some ? vec_load_n(x, some) : vec_load(x);
    return keep ? vec_keep(loaded) : loaded; /* of a single use, it is part of a multiply-add */
}

/* at: a pointer for each DOTS_NEAR rows. apart: bytes from there to each of these; the last: to the same row of the next tile.
 */
INLINE void dots_step(const float *const *at, const ptrdiff_t *apart, const float *w, vec *sum, const int64_t some,
                      const int asks, const int rows, const int columns)
{
    /* The few are loaded first, then the many one after the other, of which each needs a register but for a moment. */
    const int keep = rows > 1 && columns > 1, of_rows = rows <= columns;
    vec few[DOTS_MOST_ROWS];
#define DOTS_X(m) dots_load(floats_behind(at[(m) / DOTS_NEAR], apart[(m) % DOTS_NEAR]), some, keep)
#define DOTS_W(n) dots_load(w + (n)*VEC, 0, keep)
    if (asks)
        EACH_DOT_ROW __builtin_prefetch(floats_behind(at[m / DOTS_NEAR], apart[m % DOTS_NEAR] + apart[DOTS_NEAR]));
    if (of_rows) {
        EACH_DOT_ROW few[m] = DOTS_X(m);
        EACH_DOT_COLUMN
        {
            const vec wn = DOTS_W(n);
            EACH_DOT_ROW sum[m * columns + n] = vec_fma_onto(few[m], wn, sum[m * columns + n]);
        }
    } else {
        EACH_DOT_COLUMN few[n] = DOTS_W(n);
        EACH_DOT_ROW
        {
            const vec xm = DOTS_X(m);
            EACH_DOT_COLUMN sum[m * columns + n] = vec_fma_onto(xm, few[n], sum[m * columns + n]);
        }
    }
#undef DOTS_W
#undef DOTS_X
}

/* What a tile's sums take on their way but for the bias, from where they are dense to where they belong. */
NOINLINE void dots_finish(const struct dots_args *args, float *dense, ptrdiff_t y, int64_t rows)
{
    const int64_t columns = args->columns;
    const float *residual = args->residual ? args->residual + y : NULL;
    for (int64_t m = 0; m < rows && residual; m++)
        for (int64_t n = 0; n < columns; n++)
            dense[m * columns + n] += residual[m * args->y_step + n];
    finish(dense, rows * columns, &args->epilogue);
    for (int64_t m = 0; m < rows; m++)
        for (int64_t n = 0; n < columns; n++)
            args->y[y + m * args->y_step + n] = dense[m * columns + n];
}

/* plain: nothing but a clamp, to outputs that are dense. asks: for the next tile, of as many rows. */
INLINE void dots_tile(const struct dots_args *args, const vec *bias, const ptrdiff_t *apart, const int64_t x, const ptrdiff_t y,
                      const int plain, const int asks, const int rows, const int columns)
{
    vec sum[DOTS_GROUPS * VEC];
    UNROLL for (int i = 0; i < DOTS_GROUPS * VEC; i++) sum[i] = vec_zero();
    for (const struct dots_run *run = args->runs, *const end = run + args->count; run < end; run++) {
        const float *w = args->w + run->w, *at[DOTS_MOST_ROWS / DOTS_NEAR];
        UNROLL for (int i = 0; i < DOTS_MOST_ROWS / DOTS_NEAR; i++)
        {
            if (i * DOTS_NEAR < rows)
                at[i] = args->x + (x + run->x + i * DOTS_NEAR * args->x_step);
        }
        int64_t k = run->length;
        for (; k >= VEC; k -= VEC, w += columns * VEC) {
            dots_step(at, apart, w, sum, 0, asks, rows, columns);
            UNROLL for (int i = 0; i < DOTS_MOST_ROWS / DOTS_NEAR; i++)
            {
                if (i * DOTS_NEAR < rows)
                    at[i] += VEC;
            }
        }
        if (k > 0)
            dots_step(at, apart, w, sum, k, asks, rows, columns);
    }
    _Alignas(64) float dense[DOTS_GROUPS * VEC];
    EACH_DOT_GROUP
    {
        vec *const those = sum + g * VEC;
        vec_transpose(those);
        UNROLL for (int half = VEC / 2; half > 0; half /= 2)
        {
            UNROLL for (int i = 0; i < half; i++) those[i] = vec_add(those[i], those[i + half]);
        }
        const vec total = vec_add(those[0], bias[g]);
        if (plain) {
            const int some = rows * columns - g * VEC;
            const vec clamped = vec_clamp(total, vec_broadcast(args->epilogue.lo), vec_broadcast(args->epilogue.hi));
            if (some < VEC)
                vec_store_n(args->y + y + g * VEC, clamped, some);
            else
                vec_store(args->y + y + g * VEC, clamped);
        } else {
            vec_store(dense + g * VEC, total);
        }
    }
    if (!plain)
        dots_finish(args, dense, y, rows);
}

/* Of what tiles of DOTS_SUMS leave. */
INLINE void dots_rest(const struct dots_args *args, const vec *bias, const ptrdiff_t *apart, int64_t pixel, const int columns)
{
#define DOTS_REST(rows)                                                                                                        \
    if ((rows)*columns < DOTS_SUMS || (rows) == 1)                                                                             \
        for (; pixel + (rows) <= args->pixels; pixel += (rows))                                                                \
            dots_tile(args, bias, apart, pixel * args->x_step, pixel * args->y_step, 0, 0, rows, columns);
    DOTS_REST(8)
    DOTS_REST(4)
    DOTS_REST(2)
    DOTS_REST(1)
#undef DOTS_REST
}

INLINE void dots(const struct dots_args *args, const int columns)
{
    const int most = DOTS_SUMS / columns, rows = most < DOTS_MOST_ROWS ? most : DOTS_MOST_ROWS;
    const int plain = args->y_step == columns && !args->residual && args->epilogue.activation == ACTIVATE_NONE;
    const ptrdiff_t x_step = args->x_step, y_step = args->y_step;
    const int64_t whole = args->pixels - rows;
    _Alignas(64) float pattern[DOTS_GROUPS * VEC] = {0.0f};
    for (int i = 0; i < DOTS_SUMS && args->bias; i++)
        pattern[i] = args->bias[i % columns];
    vec bias[DOTS_GROUPS];
    UNROLL for (int g = 0; g < DOTS_GROUPS; g++) bias[g] = vec_load(pattern + g * VEC);
    ptrdiff_t apart[DOTS_NEAR + 1];
    distances(x_step, DOTS_NEAR, apart);
    apart[DOTS_NEAR] = rows * x_step * (ptrdiff_t)sizeof(float);
    int64_t pixel = 0;
    for (; plain && args->asks && pixel <= whole; pixel += rows)
        dots_tile(args, bias, apart, pixel * x_step, pixel * y_step, 1, 1, rows, columns);
    for (; plain && pixel <= whole; pixel += rows)
        dots_tile(args, bias, apart, pixel * x_step, pixel * y_step, 1, 0, rows, columns);
    for (; pixel <= whole; pixel += rows)
        dots_tile(args, bias, apart, pixel * x_step, pixel * y_step, 0, 0, rows, columns);
    dots_rest(args, bias, apart, pixel, columns);
}

/* X(columns) */
#define DOTS_ALL(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
/* dots_3: of 3 outputs */
#define DOTS_DEFINE(columns)                                                                                                   \
    static void dots_##columns(const struct dots_args *args)                                                                   \
    {                                                                                                                          \
        dots(args, columns);                                                                                                   \
    }
DOTS_ALL(DOTS_DEFINE)

#define DOTS_ENTRY(columns) [columns] = dots_##columns,
