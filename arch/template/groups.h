/*
 * groups.h - the sums over pixels of kernels.h for weight gradients of grouped convolution.
 *
 * One accumulator for each y channel of a group and each of up to three neighbouring taps, of all x channels in the lanes. A
 * vector of y is permuted once for all taps, whatever the stride is: eight channels of 3 taps take 8 permutations and 4 loads
 * for 24 multiply-adds, where a window with y in the lanes takes a permutation for each x that it sees. A group that has a
 * vector for itself needs none, as each y is broadcast by its load.
 */

#define EACH_GROUPS_CHANNEL UNROLL for (int j = 0; j < GROUPS_MAX_CHANNELS; j++) if (j < channels)
#define EACH_GROUPS_TAP UNROLL for (int k = 0; k < GROUPS_MAX_WIDTH; k++) if (k < width)

/* whole: all lanes may be read. spread: they are those of one group. */
INLINE void groups_sum(const struct groups_args *args, const int channels, const int width, const int whole, const int spread)
{
    const vec_lanes x_lanes = vec_lanes_between(0, whole ? VEC : args->x_lanes);
    const vec_lanes y_lanes = vec_lanes_between(0, whole ? VEC : args->y_lanes);
    const ptrdiff_t x_step = args->x_step, y_step = args->y_step, tap_step = args->tap_step;
    int64_t first = 0, last = INT64_MAX; /* the steps where each tap meets a pixel */
    EACH_GROUPS_TAP
    {
        first = args->taps[k].begin > first ? args->taps[k].begin : first;
        last = args->taps[k].end < last ? args->taps[k].end : last;
    }
    last = last > first ? last : first;
    vec sum[GROUPS_MAX_CHANNELS][GROUPS_MAX_WIDTH];
    EACH_GROUPS_CHANNEL EACH_GROUPS_TAP sum[j][k] = vec_zero();
#define GROUPS_LOAD(p, lanes) (whole ? vec_load(p) : vec_load_lanes(p, lanes))
#define GROUPS_Y(j) vec_keep(spread ? vec_broadcast(y[j]) : vec_permute(yp, vec_index_load(args->index + (j)*VEC)))
    const float *ask = args->ask, *const ask_end = ask + args->ask_lines * LINE;
    for (int64_t line = 0; line < args->lines; line++) {
        const float *x = args->x + line * args->x_line + first * x_step, *y = args->y + line * args->y_line + first * y_step;
        for (int64_t step = first; step < last; step++, x += x_step, y += y_step) {
            if (ask < ask_end) {
                UNROLL for (int i = 0; i < GROUPS_ASKS; i++) __builtin_prefetch(ask + i * LINE, 0, 2);
                ask += GROUPS_ASKS * LINE;
            }
            const vec yp = spread ? vec_zero() : GROUPS_LOAD(y, y_lanes);
            vec xk[GROUPS_MAX_WIDTH];
            EACH_GROUPS_TAP xk[k] = vec_keep(GROUPS_LOAD(x + k * tap_step, x_lanes));
            EACH_GROUPS_CHANNEL
            {
                const vec yj = GROUPS_Y(j);
                EACH_GROUPS_TAP sum[j][k] = vec_fma_onto(xk[k], yj, sum[j][k]);
            }
        }
    }
    /* The others tap by tap, that branches are the same line after line. */
    EACH_GROUPS_TAP
    {
        const int64_t begin = args->taps[k].begin, end = args->taps[k].end;
        for (int64_t line = 0; begin + last - first < end && line < args->lines; line++) {
            for (int64_t step = begin; step < end; step++) {
                step = step == first ? last : step;
                if (step >= end)
                    break;
                const float *y = args->y + line * args->y_line + step * y_step;
                const vec yp = spread ? vec_zero() : GROUPS_LOAD(y, y_lanes);
                const vec xk = GROUPS_LOAD(args->x + line * args->x_line + step * x_step + k * tap_step, x_lanes);
                EACH_GROUPS_CHANNEL sum[j][k] = vec_fma_onto(xk, GROUPS_Y(j), sum[j][k]);
            }
        }
    }
#undef GROUPS_Y
#undef GROUPS_LOAD
    float *const c = args->c;
    const ptrdiff_t c_channel = args->c_channel;
    EACH_GROUPS_CHANNEL EACH_GROUPS_TAP
    {
        float *to = c + j * c_channel + k * VEC;
        vec_store(to, vec_add(vec_load(to), sum[j][k]));
    }
}

/* X(channels, width) */
#define GROUPS_WIDTHS(X, channels) X(channels, 1) X(channels, 2) X(channels, 3)
#define GROUPS_ALL(X)                                                                                                          \
    GROUPS_WIDTHS(X, 1)                                                                                                        \
    GROUPS_WIDTHS(X, 2)                                                                                                        \
    GROUPS_WIDTHS(X, 3)                                                                                                        \
    GROUPS_WIDTHS(X, 4)                                                                                                        \
    GROUPS_WIDTHS(X, 5)                                                                                                        \
    GROUPS_WIDTHS(X, 6)                                                                                                        \
    GROUPS_WIDTHS(X, 7)                                                                                                        \
    GROUPS_WIDTHS(X, 8)

/* groups_8x3: 8 channels, 3 taps each */
#define GROUPS_DEFINE(channels, width)                                                                                         \
    static void groups_##channels##x##width(const struct groups_args *args)                                                    \
    {                                                                                                                          \
        const int whole = args->x_lanes == VEC && (!args->index || args->y_lanes == VEC);                                      \
        if (args->index && whole)                                                                                              \
            groups_sum(args, channels, width, 1, 0);                                                                           \
        else if (args->index)                                                                                                  \
            groups_sum(args, channels, width, 0, 0);                                                                           \
        else if (whole)                                                                                                        \
            groups_sum(args, channels, width, 1, 1);                                                                           \
        else                                                                                                                   \
            groups_sum(args, channels, width, 0, 1);                                                                           \
    }
GROUPS_ALL(GROUPS_DEFINE)

#define GROUPS_ENTRY(channels, width) [channels][width] = groups_##channels##x##width,
