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

static const float depthwise_zeros[VEC];

/* One line of x, all of its depth: a window of `width` slides over the tile. whole: nothing is outside of the image. */
INLINE void slide(const struct depthwise_args *args, const struct depthwise_line *line, const ptrdiff_t offset,
                  const ptrdiff_t step, const float *w, vec *sum, const int kind, const int width, const int stride,
                  const int tile, const int whole)
{
    const vec_lanes lanes = whole ? vec_lanes_between(0, VEC) : vec_lanes_between(line->lane_begin, line->lane_end);
    const uint32_t begin = (uint32_t)line->begin, inside = (uint32_t)(line->end - line->begin);
    const int64_t depth = kind == DEPTHWISE_GROUPS ? args->depth : 1;
    for (int64_t i = 0; i < depth; i++, w += width * VEC) {
        const float *p = line->x + offset;
        vec weights[DEPTHWISE_MAX_WIDTH];
        if (kind == DEPTHWISE_GROUPS)
            FORGET_MEMORY(); /* x is the same for all i */
        EACH_TAP weights[k] = kind == DEPTHWISE_ROWS ? vec_broadcast(w[k]) : vec_load(w + k * VEC);
        /* Two loops over the columns j = at * stride + phase: no compiler unrolls one of more than 32. */
        UNROLL for (int at = 0; at < DEPTHWISE_MAX_ROWS + DEPTHWISE_MAX_WIDTH; at++)
        {
            UNROLL for (int phase = 0; phase < stride; phase++)
            {
                const int j = at * stride + phase;
                if (j < (tile - 1) * stride + width) {
                    const int there = whole || (uint32_t)j - begin < inside;
                    vec xj = whole ? vec_load(p) : vec_load_lanes(there ? p : depthwise_zeros, lanes);
                    p += step;
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

INLINE int whole_line(const struct depthwise_line *line, int columns)
{
    return line->begin == 0 && line->end == columns && line->lane_begin == 0 && line->lane_end == VEC;
}

/* The sums in the tile through the epilogue to C. */
NOINLINE void depthwise_finish(const struct depthwise_args *args, const float *tile, ptrdiff_t to)
{
    for (int m = 0; m < args->rows; m++, to += args->c_step) {
        vec sum = vec_load(tile + m * VEC);
        if (args->residual)
            sum = vec_add(sum, vec_load_n(args->residual + to, args->columns));
        vec_store_n(args->c + to, vec_finish(sum, &args->epilogue), args->columns);
    }
}

/* One vector of outputs for each m, at c + to, from the vectors at x + offset. */
INLINE void depthwise_tile(const struct depthwise_args *args, const ptrdiff_t offset, const float *w, const float *bias,
                           const ptrdiff_t to, const int kind, const int width, const int stride, const int tile)
{
    const int columns = (tile - 1) * stride + width, each = kind == DEPTHWISE_ROWS ? 1 : VEC;
    const int64_t depth = kind == DEPTHWISE_GROUPS ? args->depth : 1;
    const ptrdiff_t step = width == 1 ? args->tap_step : args->step;
    const struct depthwise_line *line = args->x;
    vec sum[DEPTHWISE_MAX_ROWS];
    EACH_OUTPUT sum[m] = vec_zero();
    for (int64_t l = 0; l < args->lines; l++, line++, w += depth * width * each) {
        if (whole_line(line, columns))
            slide(args, line, offset, step, w, sum, kind, width, stride, tile, 1);
        else if (line->begin < line->end)
            slide(args, line, offset, step, w, sum, kind, width, stride, tile, 0);
    }
    if (width > 1) {
        for (int64_t t = 0; t < args->taps; t++, line++, w += depth * each) {
            if (whole_line(line, tile))
                slide(args, line, offset, args->tap_step, w, sum, kind, 1, 1, tile, 1);
            else if (line->begin < line->end)
                slide(args, line, offset, args->tap_step, w, sum, kind, 1, 1, tile, 0);
        }
    }
    const int64_t n = args->columns;
    if (bias) {
        const vec added = kind == DEPTHWISE_ROWS ? vec_broadcast(*bias) : vec_load_n(bias, n);
        EACH_OUTPUT sum[m] = vec_add(sum[m], added);
    }
    if (args->epilogue.activation != ACTIVATE_NONE || args->residual || args->rows < tile) {
        _Alignas(64) float sums[DEPTHWISE_MAX_ROWS * VEC];
        EACH_OUTPUT vec_store(sums + m * VEC, sum[m]);
        depthwise_finish(args, sums, to);
        return;
    }
    const vec lo = vec_broadcast(args->epilogue.lo), hi = vec_broadcast(args->epilogue.hi);
    float *c = args->c + to;
    if (n == VEC) {
        EACH_OUTPUT
        {
            vec_store(c, vec_clamp(sum[m], lo, hi));
            c += args->c_step;
        }
    } else {
        EACH_OUTPUT
        {
            vec_store_n(c, vec_clamp(sum[m], lo, hi), n);
            c += args->c_step;
        }
    }
}

INLINE void depthwise(const struct depthwise_args *args, const int kind, const int width, const int stride, const int tile)
{
    ptrdiff_t offset = args->offset, to = 0;
    const float *w = args->w, *bias = args->bias;
    for (int64_t unit = 0; unit < args->units; unit++) {
        depthwise_tile(args, offset, w, bias, to, kind, width, stride, tile);
        offset += args->unit_offset;
        to += args->unit_c;
        w += args->unit_w;
        bias = bias ? bias + args->unit_bias : NULL;
    }
}

/* dst[p * pitch + i] = src[i * stride + p] */
NOINLINE void deinterleave(const float *src, int64_t n, int64_t stride, float *dst, ptrdiff_t pitch)
{
    if (stride == 1) {
        for (int64_t i = 0; i < n; i += VEC)
            vec_store_n(dst + i, vec_load_n(src + i, n - i), n - i);
    } else if (stride == 2) {
        for (int64_t i = 0; i < n; i += 2 * VEC, src += 2 * VEC, dst += VEC) {
            const int64_t left = n - i;
            vec even, odd;
            vec_unzip(vec_load_n(src, left), vec_load_n(src + VEC, left - VEC), &even, &odd);
            vec_store_n(dst, even, (left + 1) / 2);
            vec_store_n(dst + pitch, odd, left / 2);
        }
    } else {
        for (int64_t p = 0; p < stride; p++) {
            for (int64_t i = 0; i * stride + p < n; i++)
                dst[p * pitch + i] = src[i * stride + p];
        }
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
