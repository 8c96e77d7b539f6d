/*
 * depthwise.h - the sliding kernels of kernels.h for depthwise and grouped convolution, written once and instantiated for each
 * kind, width, stride and tile height.
 *
 * With few channels a group there is nothing to reuse but the window's overlap: a line's weights stay in registers, each vector of x
 * is loaded once and multiplied into every output whose window covers it. Loads per multiply-add fall from 1 to
 * ((rows - 1) * stride + width) / (rows * width), about 0.4 for a window of 3, where the FMA units, not the load ports, are the limit.
 */

enum { DEPTHWISE_MAX_ROWS = 14, DEPTHWISE_MAX_WIDTH = 7 };

/* Constant counts, as in gemm.h. */
#define EACH_OUTPUT UNROLL for (int m = 0; m < DEPTHWISE_MAX_ROWS; m++) if (m < tile)
#define EACH_TAP UNROLL for (int k = 0; k < DEPTHWISE_MAX_WIDTH; k++) if (k < width)

/* One line of x, all of its depth: a window of `width` slides over the tile. */
INLINE void slide(const struct depthwise_args *args, const float *const *x, const float *w, const int64_t line, vec *sum,
                  const int kind, const int width, const int stride, const int tile, const int whole)
{
    const vec_lanes lanes = whole ? vec_lanes_between(0, VEC) : vec_lanes_between(args->lanes[line].begin, args->lanes[line].end);
    const int64_t depth = kind == DEPTHWISE_GROUPS ? args->depth : 1;
    for (int64_t i = 0; i < depth; i++, w += width * VEC) {
        vec weights[DEPTHWISE_MAX_WIDTH];
        EACH_TAP weights[k] = kind == DEPTHWISE_ROWS ? vec_broadcast(w[k]) : vec_load(w + k * VEC);
        /* Two loops over the columns j = at * stride + phase: no compiler unrolls one of more than 32. */
        UNROLL for (int at = 0; at < DEPTHWISE_MAX_ROWS + DEPTHWISE_MAX_WIDTH; at++)
        {
            UNROLL for (int phase = 0; phase < stride; phase++)
            {
                const int j = at * stride + phase;
                if (j < (tile - 1) * stride + width) {
                    const float *const p = x[j] + args->offset;
                    vec xj = whole ? vec_load(p) : vec_load_lanes(p, lanes);
                    if (kind == DEPTHWISE_GROUPS)
                        xj = vec_permute(xj, vec_index_load(args->index + i * VEC));
                    EACH_OUTPUT
                    {
                        if (j >= m * stride && j - m * stride < width)
                            sum[m] = vec_fma(xj, weights[j - m * stride], sum[m]);
                    }
                }
            }
        }
    }
}

/* The sums in the tile through the epilogue to C. */
NOINLINE void depthwise_finish(const struct depthwise_args *args, const float *tile, int by_row)
{
    const int64_t n = args->columns;
    vec bias = vec_zero();
    if (args->bias)
        bias = by_row ? vec_broadcast(args->bias[0]) : vec_load_n(args->bias, n);
    for (int m = 0; m < args->rows; m++) {
        vec sum = vec_load(tile + m * VEC);
        if (args->bias)
            sum = vec_add(sum, bias);
        if (args->residual)
            sum = vec_add(sum, vec_load_n(args->residual + m * args->step, n));
        vec_store_n(args->c + m * args->step, vec_finish(sum, &args->epilogue), n);
    }
}

INLINE void depthwise_tile(const struct depthwise_args *args, const int kind, const int width, const int stride, const int tile,
                           const int whole)
{
    const int columns = (tile - 1) * stride + width, each = kind == DEPTHWISE_ROWS ? 1 : VEC;
    const float *const *x = args->x;
    const float *w = args->w;
    const int64_t depth = kind == DEPTHWISE_GROUPS ? args->depth : 1;
    vec sum[DEPTHWISE_MAX_ROWS];
    EACH_OUTPUT sum[m] = vec_zero();
    for (int64_t line = 0; line < args->lines; line++, x += columns, w += depth * width * each)
        slide(args, x, w, line, sum, kind, width, stride, tile, whole);
    if (width > 1) {
        for (int64_t tap = 0; tap < args->taps; tap++, x += tile, w += depth * each)
            slide(args, x, w, args->lines + tap, sum, kind, 1, 1, tile, whole);
    }

    if (args->epilogue.activation != ACTIVATE_NONE) {
        _Alignas(64) float sums[DEPTHWISE_MAX_ROWS * VEC];
        EACH_OUTPUT vec_store(sums + m * VEC, sum[m]);
        depthwise_finish(args, sums, kind == DEPTHWISE_ROWS);
        return;
    }
    const int64_t n = whole && kind != DEPTHWISE_ROWS ? VEC : args->columns;
    if (args->bias) {
        const vec bias = kind == DEPTHWISE_ROWS ? vec_broadcast(args->bias[0]) : vec_load_n(args->bias, n);
        EACH_OUTPUT sum[m] = vec_add(sum[m], bias);
    }
    const vec lo = vec_broadcast(args->epilogue.lo), hi = vec_broadcast(args->epilogue.hi);
    EACH_OUTPUT
    {
        if (m < args->rows) {
            if (args->residual)
                sum[m] = vec_add(sum[m], vec_load_n(args->residual + m * args->step, n));
            vec_store_n(args->c + m * args->step, vec_clamp(sum[m], lo, hi), n);
        }
    }
}

INLINE void depthwise(const struct depthwise_args *args, const int kind, const int width, const int stride, const int tile)
{
    if (args->lanes)
        depthwise_tile(args, kind, width, stride, tile, 0);
    else
        depthwise_tile(args, kind, width, stride, tile, 1);
}

/* dst[p * pitch + i] = src[i * stride + p] */
NOINLINE void deinterleave(const float *src, int64_t n, int64_t stride, float *dst, ptrdiff_t pitch)
{
    int64_t done = 0; /* in each row of dst */
    if (stride == 2) {
        for (; 2 * (done + VEC) <= n; done += VEC) {
            vec even, odd;
            vec_unzip(vec_load(src + 2 * done), vec_load(src + 2 * done + VEC), &even, &odd);
            vec_store(dst + done, even);
            vec_store(dst + pitch + done, odd);
        }
    }
    for (int64_t p = 0; p < stride; p++) {
        for (int64_t i = done; i * stride + p < n; i++)
            dst[p * pitch + i] = src[i * stride + p];
    }
}

/* X(kind, width, stride, height) */
#define DEPTHWISE_HEIGHTS(X, kind, width, stride) X(kind, width, stride, TALL) X(kind, width, stride, SHORT)
#define DEPTHWISE_WIDTHS(X, kind)                                                                                              \
    DEPTHWISE_HEIGHTS(X, kind, 1, 1)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 3, 1)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 3, 2)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 5, 1)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 5, 2)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 7, 1)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 7, 2)
#define DEPTHWISE_ALL(X) DEPTHWISE_WIDTHS(X, CHANNELS) DEPTHWISE_WIDTHS(X, GROUPS) DEPTHWISE_WIDTHS(X, ROWS)

/* depthwise_CHANNELS_3_2_TALL: width 3, stride 2 */
#define DEPTHWISE_DEFINE(kind, width, stride, height)                                                                          \
    static void depthwise_##kind##_##width##_##stride##_##height(const struct depthwise_args *args)                            \
    {                                                                                                                          \
        depthwise(args, DEPTHWISE_##kind, width, stride, DEPTHWISE_##height##_ROWS);                                           \
    }
DEPTHWISE_ALL(DEPTHWISE_DEFINE)

#define DEPTHWISE_ENTRY(kind, width, stride, height)                                                                           \
    [DEPTHWISE_##kind][width / 2][stride - 1][DEPTHWISE_##height] = depthwise_##kind##_##width##_##stride##_##height,
