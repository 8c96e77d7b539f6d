/*
 * winograd_fused.h - one-dimensional Winograd tiles from x to y in one sweep, see kernels.h: for sums of few channels, which
 * take no longer than to write M and read it again.
 *
 * For each channel and point, `vectors` vectors of U are multiplied by a float of V of each of `tiles` tiles:
 *
 *     32 registers, 4 points: 24 sums of 3 tiles x 2 vectors in 12 cycles, and 8 + 12 loads in 10
 *                   5         20         2                     10              10 + 10       10
 *                   6         24         2                     12              12 + 12       12
 *
 * The next tiles are transformed meanwhile, which does not wait for the multiplications: between them if there are registers,
 * else before.
 */

enum { FUSED_VECTORS = 2, FUSED_MOST = 3 };

/* Tiles at once, beside a float of V and the vectors of U: with 32 registers, of few points. (With 16 there would be one
 * vector, and 3 x 4 sums need 16 loads: measured 0.62 to 0.78 of the speed of a GEMM for each point.) */
#define FUSED_FIT(points) ((WINDOW_REGISTERS - 1 - FUSED_VECTORS) / (FUSED_VECTORS * (points)))
#define FUSED_ROOM(points) (FUSED_FIT(points) < FUSED_MOST ? FUSED_FIT(points) : FUSED_MOST)
#define FUSED_TILES(ah, aw) (((ah) > 1 && (aw) > 1) || FUSED_ROOM((ah) * (aw)) < 2 ? 0 : FUSED_ROOM((ah) * (aw)))

#define EACH_TILE UNROLL for (int i = 0; i < FUSED_MOST; i++) if (i < tiles)
#define EACH_FUSED UNROLL for (int j = 0; j < FUSED_VECTORS; j++) if (j < vectors)
#define EACH_POINT UNROLL for (int p = 0; p < ALPHA; p++) if (p < alpha)
#define EACH_RESULT UNROLL for (int o = 0; o < ALPHA; o++) if (o < m)

/* What stays the same for all tiles. */
struct fused {
    ptrdiff_t v_row, v_apart[ALPHA];
    ptrdiff_t u_apart[FUSED_VECTORS + 1][ALPHA]; /* of a panel of so many vectors */
};

/* V of VEC channels of some tiles. */
INLINE void fused_input(const struct winograd_fused_args *args, const struct fused *all, float *v, int64_t tile, int64_t tiles,
                        int64_t channel, const int alpha)
{
    const int64_t n = args->channels - channel, end = tile + tiles;
    for (v += channel; tile < end; tile++, v += alpha * all->v_row) {
        vec x[ALPHA], points[ALPHA];
        if (LIKELY(n >= VEC)) {
            EACH_POINT
            {
                x[p] = vec_load(args->d[p] + tile * args->d_tile[p] + channel);
                if (FETCHES_AHEAD && args->ahead)
                    __builtin_prefetch(args->d[p] + (tile + args->ahead) * args->d_tile[p] + channel);
            }
        } else {
            EACH_POINT x[p] = vec_load_n(args->d[p] + tile * args->d_tile[p] + channel, n);
        }
        winograd_input_line(alpha, alpha, x, points);
        EACH_POINT vec_store(floats_behind(v, all->v_apart[p]), points[p]);
    }
}

/* A vector of channels of some tiles to y, with all that may be on top of it or missing. from: [tile][m][VEC]. */
NOINLINE void fused_finish(const struct winograd_fused_args *args, const float *from, int64_t tile, int tiles, int64_t c, int m)
{
    const vec lo = vec_broadcast(args->epilogue.lo), hi = vec_broadcast(args->epilogue.hi);
    const int64_t n = args->outputs - c;
    const vec bias = args->bias ? winograd_load(args->bias + c, n, n >= VEC) : vec_zero();
    for (int i = 0; i < tiles; i++)
        for (int o = 0; o < m; o++, from += VEC) {
            const ptrdiff_t to = (tile + i) * args->y_tile[o] + c;
            vec sum = vec_add(vec_load(from), bias);
            if (args->residual)
                sum = vec_add(sum, winograd_load(args->residual[o] + to, n, n >= VEC));
            sum = vec_clamp(sum, lo, hi);
            if (args->stream)
                vec_stream(args->y[o] + to, sum);
            else if (n >= VEC)
                vec_store(args->y[o] + to, sum);
            else
                vec_store_n(args->y[o] + to, sum, n);
        }
}

/* The outputs of `tiles` tiles, vectors from channel c on; meanwhile V of the `coming` tiles behind them. */
INLINE void fused_outputs(const struct winograd_fused_args *args, const struct fused *all, int64_t tile, int64_t c,
                          const float *now, float *next, int64_t coming, const int tiles, const int vectors, const int m,
                          const int alpha)
{
    const float *v[FUSED_MOST], *u = args->u + c * alpha * args->channels;
    vec sum[ALPHA][FUSED_MOST][FUSED_VECTORS];
    EACH_POINT EACH_TILE EACH_FUSED sum[p][i][j] = vec_zero();
    EACH_TILE v[i] = now + i * alpha * all->v_row;
    for (int64_t k = 0; k < args->channels;) {
        if (coming > 0)
            fused_input(args, all, next, tile + tiles, coming, k, alpha);
        const int64_t end = args->channels - k > VEC ? k + VEC : args->channels;
#ifdef GEMM_LANES
        for (; k <= end - GEMM_LANES; k += GEMM_LANES, u += GEMM_LANES * vectors * VEC) {
            EACH_POINT
            {
                vec x[FUSED_MOST];
                EACH_TILE x[i] = vec_load(floats_behind(v[i], all->v_apart[p]));
                UNROLL for (int lane = 0; lane < GEMM_LANES; lane++)
                {
                    vec by[FUSED_VECTORS];
                    EACH_FUSED by[j] = vec_load(floats_behind(u, all->u_apart[vectors][p]) + (lane * vectors + j) * VEC);
                    EACH_TILE EACH_FUSED sum[p][i][j] = vec_fma_lane(x[i], lane, by[j], sum[p][i][j]);
                }
            }
            EACH_TILE v[i] += GEMM_LANES;
        }
#endif
        for (; k < end; k++, u += vectors * VEC) {
            EACH_POINT
            {
                vec by[FUSED_VECTORS];
                EACH_FUSED by[j] = vec_keep(vec_load(floats_behind(u, all->u_apart[vectors][p]) + j * VEC));
                EACH_TILE
                {
                    const vec x = vec_broadcast(*floats_behind(v[i], all->v_apart[p]));
                    EACH_FUSED sum[p][i][j] = vec_fma_onto(x, by[j], sum[p][i][j]);
                }
            }
            EACH_TILE v[i]++;
        }
    }
    const vec lo = vec_broadcast(args->epilogue.lo), hi = vec_broadcast(args->epilogue.hi);
    float *y[ALPHA];
    EACH_RESULT y[o] = args->y[o] + tile * args->y_tile[o] + c;
    EACH_FUSED
    {
        float rest[FUSED_MOST * ALPHA * VEC], *to = rest;
        const int64_t at = c + j * VEC;
        const int plain = !args->residual && at + VEC <= args->outputs;
        const vec bias = plain && args->bias ? vec_load(args->bias + at) : vec_zero();
        EACH_TILE
        {
            vec points[ALPHA], outputs[ALPHA];
            EACH_POINT points[p] = sum[p][i][j];
            winograd_output_line(m, alpha, points, outputs);
            if (LIKELY(plain)) {
                EACH_RESULT outputs[o] = vec_clamp(vec_add(outputs[o], bias), lo, hi);
                if (args->stream) {
                    EACH_RESULT vec_stream(y[o] + i * args->y_tile[o] + j * VEC, outputs[o]);
                } else {
                    EACH_RESULT vec_store(y[o] + i * args->y_tile[o] + j * VEC, outputs[o]);
                }
            } else {
                EACH_RESULT vec_store(to + o * VEC, outputs[o]);
            }
            to += m * VEC;
        }
        if (!plain)
            fused_finish(args, rest, tile, tiles, at, m);
    }
}

INLINE void fused_tiles(const struct winograd_fused_args *args, const struct fused *all, int64_t tile, const float *now,
                        float *next, int64_t coming, const int tiles, const int m, const int alpha)
{
    const int between = alpha == 4; /* whose transform needs no constants */
    for (int64_t k = 0; !between && coming > 0 && k < args->channels; k += VEC)
        fused_input(args, all, next, tile + tiles, coming, k, alpha);
    coming = between ? coming : 0;
    for (int64_t i = 0; i < args->panels; i++, coming = 0) {
        if (args->first[i + 1] - args->first[i] > VEC)
            fused_outputs(args, all, tile, args->first[i], now, next, coming, tiles, 2, m, alpha);
        else
            fused_outputs(args, all, tile, args->first[i], now, next, coming, tiles, 1, m, alpha);
    }
    if (args->epilogue.activation != ACTIVATE_NONE) {
        for (int i = 0; i < tiles * m; i++)
            finish(args->y[i % m] + (tile + i / m) * args->y_tile[i % m], args->outputs, &args->epilogue);
    }
}

INLINE void fused(const struct winograd_fused_args *given, const int most, const int m, const int alpha)
{
    const struct winograd_fused_args known = *given, *args = &known;
    struct fused all = {.v_row = (args->channels + VEC - 1) / VEC * VEC};
    distances(all.v_row, alpha, all.v_apart);
    distances(args->channels * VEC, alpha, all.u_apart[1]);
    distances(args->channels * 2 * VEC, alpha, all.u_apart[2]);
    float *now = args->v, *next = args->v + most * alpha * all.v_row;
    int64_t tile = 0, coming = args->tiles < most ? args->tiles : most;
    for (int64_t k = 0; k < args->channels; k += VEC)
        fused_input(args, &all, now, 0, coming, k, alpha);
    while (coming == most) {
        const int64_t left = args->tiles - tile - most;
        float *const turn = now;
        coming = left < most ? left : most;
        fused_tiles(args, &all, tile, now, next, coming, most, m, alpha);
        tile += most;
        now = next;
        next = turn;
    }
    if (most > 2 && coming == 2)
        fused_tiles(args, &all, tile, now, next, 0, 2, m, alpha);
    else if (coming == 1)
        fused_tiles(args, &all, tile, now, next, 0, 1, m, alpha);
}

/* Tiles along h and along w are the same to it. */
#define FUSED_DEFINE(m, alpha)                                                                                                 \
    NOINLINE void fused_##m##_##alpha(const struct winograd_fused_args *args)                                                  \
    {                                                                                                                          \
        if (FUSED_TILES(1, alpha) > 0)                                                                                         \
            fused(args, FUSED_TILES(1, alpha), m, alpha);                                                                      \
    }

FUSED_DEFINE(2, 4)
FUSED_DEFINE(3, 4)
FUSED_DEFINE(4, 5)
FUSED_DEFINE(2, 6)
FUSED_DEFINE(3, 6)
FUSED_DEFINE(4, 6)

/* The sizes are constants. */
INLINE void fused_line(const struct winograd_fused_args *args, int m, int alpha)
{
    switch (alpha * 10 + m) {
    case 42:
        fused_2_4(args);
        break;
    case 43:
        fused_3_4(args);
        break;
    case 54:
        fused_4_5(args);
        break;
    case 62:
        fused_2_6(args);
        break;
    case 63:
        fused_3_6(args);
        break;
    case 64:
        fused_4_6(args);
        break;
    }
}

#define FUSED_KERNEL(name, mh, ah, mw, aw)                                                                                     \
    static void winograd_fused_##name(const struct winograd_fused_args *args)                                                  \
    {                                                                                                                          \
        fused_line(args, (mh) * (mw), FUSED_TILES(ah, aw) > 0 ? (ah) * (aw) : 0);                                              \
    }
WINOGRAD_TILES(FUSED_KERNEL)

#define WINOGRAD_ENTRY(name, mh, ah, mw, aw)                                                                                   \
    [WINOGRAD_##name] = {                                                                                                      \
        .input = winograd_input_##name,                                                                                        \
        .output = winograd_output_##name,                                                                                      \
        .fused = FUSED_TILES(ah, aw) > 0 ? winograd_fused_##name : NULL,                                                       \
        .fused_tiles = FUSED_TILES(ah, aw),                                                                                    \
        .gradient = winograd_gradient_##name,                                                                                  \
        .weights = some_or_all_taps_##name,                                                                                    \
    },
