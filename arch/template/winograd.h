/*
 * winograd.h - the transforms of kernels.h: two nested one-dimensional ones, written as straight lines by
 * winograd_generate.py.
 *
 *     input, gradient  for each row of the tile: along w;  then for each column of the result: along h
 *     output, weights  for each column of M:     along h;  then for each row of the result:    along w, and the epilogue
 *
 * What lies between does not fit the registers; the compiler keeps it on the stack, in L1. So that it may keep the rest in
 * registers, it is told two things: that no store changes the arguments, of which there is a copy for that; and that where the
 * next of several lines is goes without saying from where the last one was, lest it compute all of that ahead, and spill it.
 * Within a line it is to keep the distances, and where there are few pixels their pointers, too.
 */
#include "winograd_transforms.h"

enum { ALPHA = 8 };

/* Whether pixels of the next tile are asked for: short vectors would do so several times for each cache line. */
enum { FETCHES_AHEAD = VEC * sizeof(float) >= 32 };

/* The sizes are constants wherever these are inlined. As many pixels as points are x's, fewer the gradient of y's. */
INLINE void winograd_input_line(int pixels, int alpha, const vec *d, vec *v)
{
    switch (alpha * 10 + pixels) {
    case 11:
        winograd_input_1(d, v);
        break;
    case 44:
        winograd_input_4(d, v);
        break;
    case 55:
        winograd_input_5(d, v);
        break;
    case 66:
        winograd_input_6(d, v);
        break;
    case 88:
        winograd_input_8(d, v);
        break;
    case 42:
        winograd_gradient_2_4(d, v);
        break;
    case 43:
        winograd_gradient_3_4(d, v);
        break;
    case 62:
        winograd_gradient_2_6(d, v);
        break;
    case 63:
        winograd_gradient_3_6(d, v);
        break;
    case 64:
        winograd_gradient_4_6(d, v);
        break;
    case 54:
        winograd_gradient_4_5(d, v);
        break;
    case 82:
        winograd_gradient_2_8(d, v);
        break;
    case 84:
        winograd_gradient_4_8(d, v);
        break;
    case 86:
        winograd_gradient_6_8(d, v);
        break;
    }
}

INLINE void winograd_output_line(int m, int alpha, const vec *v, vec *y)
{
    switch (alpha * 10 + m) {
    case 11:
        winograd_output_1_1(v, y);
        break;
    case 42:
        winograd_output_2_4(v, y);
        break;
    case 43:
        winograd_output_3_4(v, y);
        break;
    case 62:
        winograd_output_2_6(v, y);
        break;
    case 63:
        winograd_output_3_6(v, y);
        break;
    case 64:
        winograd_output_4_6(v, y);
        break;
    case 54:
        winograd_output_4_5(v, y);
        break;
    case 82:
        winograd_output_2_8(v, y);
        break;
    case 84:
        winograd_output_4_8(v, y);
        break;
    case 86:
        winograd_output_6_8(v, y);
        break;
    }
}

INLINE void winograd_weights_line(int m, int alpha, const vec *v, vec *g)
{
    switch (alpha * 10 + m) {
    case 11:
        winograd_weights_1_1(v, g);
        break;
    case 42:
        winograd_weights_2_4(v, g);
        break;
    case 43:
        winograd_weights_3_4(v, g);
        break;
    case 62:
        winograd_weights_2_6(v, g);
        break;
    case 63:
        winograd_weights_3_6(v, g);
        break;
    case 64:
        winograd_weights_4_6(v, g);
        break;
    case 54:
        winograd_weights_4_5(v, g);
        break;
    case 82:
        winograd_weights_2_8(v, g);
        break;
    case 84:
        winograd_weights_4_8(v, g);
        break;
    case 86:
        winograd_weights_6_8(v, g);
        break;
    }
}

INLINE vec winograd_load(const float *p, int64_t n, int whole)
{
    return whole ? vec_load(p) : vec_load_n(p, n);
}

/* A tile of ph x pw pixels. */
INLINE void winograd_input_chunk(const struct winograd_input_args *args, const float *const *d, const ptrdiff_t *apart,
                                 int64_t tile, int64_t c, int whole, int ph, int ah, int pw, int aw)
{
    const ptrdiff_t at = tile * args->d_tile + c;
    float *to = args->v + tile * args->v_tile + c;
    vec t[ALPHA][ALPHA];
    UNROLL for (int h = 0; h < ph; h++)
    {
        vec x[ALPHA], v[ALPHA];
        UNROLL for (int w = 0; w < pw; w++)
        {
            const float *pixel = d[h * pw + w] + at;
            x[w] = winograd_load(pixel, args->channels - c, whole);
            if (FETCHES_AHEAD && whole && args->ahead)
                __builtin_prefetch(pixel + args->ahead);
        }
        winograd_input_line(pw, aw, x, v);
        UNROLL for (int w = 0; w < aw; w++) t[w][h] = v[w];
    }
    UNROLL for (int w = 0; w < aw; w++)
    {
        vec v[ALPHA];
        if (w > 0 && ah > 1)
            FORGET_VALUE(to);
        winograd_input_line(ph, ah, t[w], v);
        UNROLL for (int h = 0; h < ah; h++) vec_store(floats_behind(to, apart[h]), v[h]);
        to += args->v_step;
    }
}

INLINE void winograd_input(const struct winograd_input_args *given, int ph, int ah, int pw, int aw)
{
    const struct winograd_input_args known = *given, *args = &known;
    ptrdiff_t apart[ALPHA];
    distances(aw * args->v_step, ah, apart);
    const float *few[ALPHA];
    UNROLL for (int i = 0; i < ALPHA; i++)
    {
        if (i < ph * pw)
            few[i] = args->d[i];
    }
    for (int64_t tile = 0, c; tile < args->tiles; tile++) {
        for (c = 0; c <= args->channels - VEC; c += VEC)
            winograd_input_chunk(args, ph * pw > ALPHA ? args->d : few, apart, tile, c, 1, ph, ah, pw, aw);
        if (c < args->channels)
            winograd_input_chunk(args, ph * pw > ALPHA ? args->d : few, apart, tile, c, 0, ph, ah, pw, aw);
    }
}

/* ahead: floats to the pixels of the next tile, which are asked for; 0: nowhere. */
INLINE void winograd_output_chunk(const struct winograd_output_args *args, float *const *pixels, const ptrdiff_t *apart,
                                  int64_t tile, ptrdiff_t ahead, int64_t c, int whole, int mh, int ah, int mw, int aw)
{
    const int64_t n = args->channels - c;
    const ptrdiff_t at = tile * args->y_tile + c;
    const vec lo = vec_broadcast(args->epilogue.lo), hi = vec_broadcast(args->epilogue.hi);
    const vec bias = args->bias ? winograd_load(args->bias + c, n, whole) : vec_zero();
    const float *from = args->m + tile * args->m_tile + c;
    vec t[ALPHA][ALPHA];
    UNROLL for (int w = 0; w < aw; w++)
    {
        vec v[ALPHA], y[ALPHA];
        if (w > 0 && ah > 1)
            FORGET_VALUE(from);
        UNROLL for (int h = 0; h < ah; h++) v[h] = vec_load(floats_behind(from, apart[ah > 1 ? h : w]));
        from += ah > 1 ? args->m_step : 0;
        winograd_output_line(mh, ah, v, y);
        UNROLL for (int h = 0; h < mh; h++) t[h][w] = y[h];
    }
    UNROLL for (int h = 0; h < mh; h++)
    {
        vec y[ALPHA];
        winograd_output_line(mw, aw, t[h], y);
        UNROLL for (int w = 0; w < mw; w++)
        {
            vec sum = vec_add(y[w], bias);
            if (args->residual)
                sum = vec_add(sum, winograd_load(args->residual[h * mw + w] + at, n, whole));
            sum = vec_clamp(sum, lo, hi);
            if (FETCHES_AHEAD && whole && ahead)
                __builtin_prefetch(pixels[h * mw + w] + at + ahead, 1);
            if (whole && args->stream)
                vec_stream(pixels[h * mw + w] + at, sum);
            else if (whole)
                vec_store(pixels[h * mw + w] + at, sum);
            else
                vec_store_n(pixels[h * mw + w] + at, sum, n);
        }
    }
}

INLINE void winograd_output(const struct winograd_output_args *given, int mh, int ah, int mw, int aw)
{
    const struct winograd_output_args known = *given, *args = &known;
    ptrdiff_t apart[ALPHA];
    distances(ah > 1 ? aw * args->m_step : args->m_step, ah > 1 ? ah : aw, apart);
    float *few[ALPHA];
    UNROLL for (int i = 0; i < ALPHA; i++)
    {
        if (i < mh * mw)
            few[i] = args->y[i];
    }
    for (int64_t tile = 0, c; tile < args->tiles; tile++) {
        const ptrdiff_t ahead =
            tile < args->tiles - 1 ? args->ahead : 0; /* behind the last may be what another thread writes */
        for (c = 0; c <= args->channels - VEC; c += VEC)
            winograd_output_chunk(args, mh * mw > ALPHA ? args->y : few, apart, tile, ahead, c, 1, mh, ah, mw, aw);
        if (c < args->channels)
            winograd_output_chunk(args, mh * mw > ALPHA ? args->y : few, apart, tile, 0, c, 0, mh, ah, mw, aw);
        if (args->epilogue.activation != ACTIVATE_NONE) {
            for (int i = 0; i < mh * mw; i++)
                finish(args->y[i] + tile * args->y_tile, args->channels, &args->epilogue);
        }
    }
}

/* all: taps; or the first args->rows x args->columns. */
INLINE void winograd_weights_chunk(const struct winograd_weights_args *args, const ptrdiff_t *apart,
                                   const ptrdiff_t *taps_apart, int64_t c, int whole, int all, int mh, int ah, int mw, int aw)
{
    const int64_t n = args->channels - c;
    const int rh = ah - mh + 1, rw = aw - mw + 1;
    const float *from = args->m + c;
    vec t[ALPHA][ALPHA];
    UNROLL for (int w = 0; w < aw; w++)
    {
        vec v[ALPHA], g[ALPHA];
        if (w > 0 && ah > 1)
            FORGET_VALUE(from);
        UNROLL for (int h = 0; h < ah; h++) v[h] = vec_load(floats_behind(from, apart[h]));
        from += args->m_step;
        winograd_weights_line(mh, ah, v, g);
        UNROLL for (int h = 0; h < rh; h++) t[h][w] = g[h];
    }
    float *line = args->w + c;
    UNROLL for (int h = 0; h < rh; h++)
    {
        vec g[ALPHA];
        if (h > 0 && rw > 1)
            FORGET_VALUE(line);
        winograd_weights_line(mw, aw, t[h], g);
        UNROLL for (int w = 0; w < rw; w++)
        {
            float *to = floats_behind(line, taps_apart[w]);
            if (!all && (h >= args->rows || w >= args->columns))
                continue;
            if (whole)
                vec_store(to, args->accumulate ? vec_add(vec_load(to), g[w]) : g[w]);
            else
                vec_store_n(to, args->accumulate ? vec_add(vec_load_n(to, n), g[w]) : g[w], n);
        }
        line += args->w_line;
    }
}

INLINE void winograd_weights(const struct winograd_weights_args *given, int all, int mh, int ah, int mw, int aw)
{
    const struct winograd_weights_args known = *given, *args = &known;
    ptrdiff_t apart[ALPHA], taps_apart[ALPHA];
    distances(args->w_step, aw - mw + 1, taps_apart);
    distances(aw * args->m_step, ah, apart);
    int64_t c = 0;
    for (; c <= args->channels - VEC; c += VEC)
        winograd_weights_chunk(args, apart, taps_apart, c, 1, all, mh, ah, mw, aw);
    if (c < args->channels)
        winograd_weights_chunk(args, apart, taps_apart, c, 0, all, mh, ah, mw, aw);
}

#define WINOGRAD_KERNELS(name, mh, ah, mw, aw)                                                                                 \
    static void winograd_input_##name(const struct winograd_input_args *args)                                                  \
    {                                                                                                                          \
        winograd_input(args, ah, ah, aw, aw);                                                                                  \
    }                                                                                                                          \
    static void winograd_output_##name(const struct winograd_output_args *args)                                                \
    {                                                                                                                          \
        winograd_output(args, mh, ah, mw, aw);                                                                                 \
    }                                                                                                                          \
    static void winograd_gradient_##name(const struct winograd_input_args *args)                                               \
    {                                                                                                                          \
        winograd_input(args, mh, ah, mw, aw);                                                                                  \
    }                                                                                                                          \
    NOINLINE void fewer_taps_##name(const struct winograd_weights_args *args)                                                  \
    {                                                                                                                          \
        winograd_weights(args, 0, mh, ah, mw, aw);                                                                             \
    }                                                                                                                          \
    NOINLINE void winograd_weights_##name(const struct winograd_weights_args *args)                                            \
    {                                                                                                                          \
        winograd_weights(args, 1, mh, ah, mw, aw);                                                                             \
    }                                                                                                                          \
    static void some_or_all_taps_##name(const struct winograd_weights_args *args)                                              \
    {                                                                                                                          \
        if (args->rows == ah - mh + 1 && args->columns == aw - mw + 1)                                                         \
            winograd_weights_##name(args);                                                                                     \
        else                                                                                                                   \
            fewer_taps_##name(args);                                                                                           \
    }

WINOGRAD_TILES(WINOGRAD_KERNELS)
