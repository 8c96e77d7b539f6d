/*
 * Winograd: the transforms of every instruction set against their matrices in double, between guard pages; and the error that
 * each tile claims, measured. (winograd_generate.py check proves the matrices themselves.)
 */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../src/arithmetic.h"
#include "faltung.h"
#include "winograd_tables.h"

static const struct shape {
    const char *name;
    int mh, ah, mw, aw;
} shapes[] = {
#define SHAPE(name, mh, ah, mw, aw) {#name, mh, ah, mw, aw},
    WINOGRAD_TILES(SHAPE)
#undef SHAPE
};

/* A dimension with one input is not transformed. */
static const struct winograd_transform *transform_of(int m, int alpha)
{
    const int count = sizeof winograd_transforms / sizeof *winograd_transforms;
    for (int i = 0; i < count; i++)
        if (winograd_transforms[i].m == m && winograd_transforms[i].r == alpha - m + 1)
            return &winograd_transforms[i];
    fail_msg("no transform has m %d and alpha %d", m, alpha);
    return NULL;
}

static bool quick(void)
{
    return getenv("FALTUNG_TEST_QUICK") != NULL;
}

/* --------------------------------------------------------------------------------------------------------------- kernels */

/* sums[c] and magnitudes[c] of  sum_h sum_w left[h] right[w] x[h * columns + w][c]. */
static void nested(const double *left, int rows, const double *right, int columns, const float *const *x, int64_t channels,
                   double *sums, double *magnitudes)
{
    for (int64_t c = 0; c < channels; c++) {
        sums[c] = magnitudes[c] = 0.0;
        for (int h = 0; h < rows; h++)
            for (int w = 0; w < columns; w++) {
                const double term = left[h] * right[w] * (double)x[h * columns + w][c];
                sums[c] += term;
                magnitudes[c] += fabs(term);
            }
    }
}

/* Two transforms of at most 8 terms, each with coefficients that are rounded. */
static const double rounding = 2.0 * 3.0 * 8.0 * 0.5 * FLT_EPSILON;

enum { TILES = 3 };

/* Of x, or of the gradient of y. */
static void check_input(const struct kernels *kernels, int tile, bool gradient, int64_t channels, enum guard_side side,
                        struct random *random)
{
    const struct shape *s = &shapes[tile];
    const struct winograd_transform *h = transform_of(s->mh, s->ah), *w = transform_of(s->mw, s->aw);
    const int points = s->ah * s->aw, rows = gradient ? s->mh : s->ah, columns = gradient ? s->mw : s->aw;
    const int64_t row = divide_up(channels, kernels->vec) * kernels->vec, apart = channels + 5;
    const float *at[WINOGRAD_MAX_POINTS];
    float *d[WINOGRAD_MAX_POINTS], *v = guarded(TILES * points * row, side);
    double *expected = calloc((size_t)channels, sizeof(double)), *tolerance = calloc((size_t)channels, sizeof(double));
    assert_true(expected && tolerance);
    for (int i = 0; i < rows * columns; i++) {
        d[i] = guarded((TILES - 1) * apart + channels, side);
        fill_uniform(random, d[i], (TILES - 1) * apart + channels);
    }
    const struct winograd_input_args args = {.d = (const float *const *)d,
                                             .v = v,
                                             .v_step = row,
                                             .channels = channels,
                                             .tiles = TILES,
                                             .d_tile = apart,
                                             .v_tile = points * row};
    (gradient ? kernels->winograd[tile].gradient : kernels->winograd[tile].input)(&args);
    for (int t = 0; t < TILES; t++)
        for (int point = 0; point < points; point++) {
            const int i = point / s->aw, j = point % s->aw;
            double left[WINOGRAD_ALPHA], right[WINOGRAD_ALPHA];
            for (int k = 0; k < rows; k++)
                left[k] = gradient ? h->a[k][i] : h->b[i][k];
            for (int k = 0; k < columns; k++)
                right[k] = gradient ? w->a[k][j] : w->b[j][k];
            for (int k = 0; k < rows * columns; k++)
                at[k] = d[k] + t * apart;
            nested(left, rows, right, columns, at, channels, expected, tolerance);
            for (int64_t c = 0; c < channels; c++)
                tolerance[c] *= rounding;
            check_within(v + (t * points + point) * row, expected, tolerance, channels,
                         "%s %s %s, tile %d, point %d %d, %d channels", kernels->name, s->name, gradient ? "gradient" : "input",
                         t, i, j, (int)channels);
        }
    for (int i = 0; i < rows * columns; i++)
        guarded_free(d[i]);
    guarded_free(v);
    free(expected);
    free(tolerance);
}

/* The taps apart by what is not theirs, and nothing else touched: all of them, or those of a residue that has no last ones and
 * so no products at infinity. */
static void check_weights(const struct kernels *kernels, int tile, bool accumulate, bool fewer, int64_t channels,
                          enum guard_side side, struct random *random)
{
    const struct shape *s = &shapes[tile];
    const struct winograd_transform *h = transform_of(s->mh, s->ah), *w = transform_of(s->mw, s->aw);
    const int points = s->ah * s->aw, rows = h->r - (fewer && h->r > 1), columns = w->r - (fewer && w->r > 1);
    const int64_t row = divide_up(channels, kernels->vec) * kernels->vec, step = channels + 3, line = w->r * step + 7;
    const int64_t count = (rows - 1) * line + (columns - 1) * step + channels;
    float *m = guarded(points * row, side), *dw = guarded(count, side), *before = malloc((size_t)count * sizeof *before);
    float *const nothing = calloc((size_t)row, sizeof(float));
    const float *at[WINOGRAD_MAX_POINTS];
    double *expected = calloc((size_t)channels, sizeof(double)), *tolerance = calloc((size_t)channels, sizeof(double));
    assert_true(before && nothing && expected && tolerance);
    fill_uniform(random, m, points * row);
    for (int i = 0; i < points; i++) {
        const bool without = (rows < h->r && i / s->aw == s->ah - 1) || (columns < w->r && i % s->aw == s->aw - 1);
        at[i] = without ? nothing : m + i * row;
        for (int64_t c = 0; c < row && without; c++)
            m[i * row + c] = NAN;
    }
    for (int64_t c = 0; c < count && accumulate; c++)
        dw[c] = c % line < columns * step && c % line % step < channels ? 0.25f * (float)(c % 7) : dw[c];
    memcpy(before, dw, (size_t)count * sizeof *before);
    kernels->winograd[tile].weights(&(struct winograd_weights_args){.m = m,
                                                                    .m_step = row,
                                                                    .w = dw,
                                                                    .w_line = line,
                                                                    .w_step = step,
                                                                    .rows = rows,
                                                                    .columns = columns,
                                                                    .channels = channels,
                                                                    .accumulate = accumulate});
    for (int64_t t = 0; t < rows * columns; t++) {
        const int64_t place = t / columns * line + t % columns * step;
        double left[WINOGRAD_ALPHA], right[WINOGRAD_ALPHA];
        for (int i = 0; i < s->ah; i++)
            left[i] = h->g[i][t / columns];
        for (int j = 0; j < s->aw; j++)
            right[j] = w->g[j][t % columns];
        nested(left, s->ah, right, s->aw, at, channels, expected, tolerance);
        for (int64_t c = 0; c < channels; c++) {
            expected[c] += accumulate ? (double)before[place + c] : 0.0;
            tolerance[c] = rounding * (tolerance[c] + 2.0);
        }
        check_within(dw + place, expected, tolerance, channels, "%s %s weights, tap %d, %d channels, accumulate %d, fewer %d",
                     kernels->name, s->name, (int)t, (int)channels, accumulate, fewer);
    }
    for (int64_t c = 0; c < count; c++)
        assert_true(c % line < columns * step && c % line % step < channels ? true : is_canary(dw[c]));
    guarded_free(m);
    guarded_free(dw);
    free(before);
    free(nothing);
    free(expected);
    free(tolerance);
}

struct ending {
    bool bias, residual, stream;
    struct epilogue epilogue;
};

static void check_output(const struct kernels *kernels, int tile, int64_t channels, enum guard_side side,
                         const struct ending *ending, struct random *random)
{
    const struct shape *s = &shapes[tile];
    const struct winograd_transform *h = transform_of(s->mh, s->ah), *w = transform_of(s->mw, s->aw);
    const int points = s->ah * s->aw, outputs = s->mh * s->mw;
    const int64_t row = divide_up(channels, kernels->vec) * kernels->vec;
    const int64_t apart = row + kernels->vec; /* which keeps to whole vectors, for streams */
    float *m = guarded(TILES * points * row, side), *bias = guarded(channels, side);
    float *y[WINOGRAD_MAX_OUTPUTS], *residual[WINOGRAD_MAX_OUTPUTS];
    const float *at[WINOGRAD_MAX_POINTS];
    double *expected = calloc((size_t)channels, sizeof(double)), *tolerance = calloc((size_t)channels, sizeof(double));
    assert_true(expected && tolerance);
    fill_uniform(random, m, TILES * points * row);
    fill_uniform(random, bias, channels);
    for (int i = 0; i < outputs; i++) {
        y[i] = guarded((TILES - 1) * apart + channels, side);
        residual[i] = guarded((TILES - 1) * apart + channels, side);
        fill_uniform(random, residual[i], (TILES - 1) * apart + channels);
        for (int64_t k = 0; k < (TILES - 1) * apart + channels; k++)
            y[i][k] = 77.0f;
    }
    kernels->winograd[tile].output(
        &(struct winograd_output_args){.m = m,
                                       .m_step = row,
                                       .y = y,
                                       .residual = ending->residual ? (const float *const *)residual : NULL,
                                       .bias = ending->bias ? bias : NULL,
                                       .channels = channels,
                                       .tiles = TILES,
                                       .m_tile = points * row,
                                       .y_tile = apart,
                                       .stream = ending->stream,
                                       .epilogue = ending->epilogue});
    if (ending->stream)
        kernels->fence();
    for (int t = 0; t < TILES; t++)
        for (int output = 0; output < outputs; output++) {
            const int i = output / s->mw, j = output % s->mw;
            const float *y_tile = y[output] + t * apart, *residual_tile = residual[output] + t * apart;
            for (int k = 0; k < points; k++)
                at[k] = m + (t * points + k) * row;
            nested(h->a[i], s->ah, w->a[j], s->aw, at, channels, expected, tolerance);
            for (int64_t c = channels; c < apart && t < TILES - 1; c++)
                assert_true(y_tile[c] == 77.0f);
            for (int64_t c = 0; c < channels; c++) {
                const double added = ending->residual ? (double)residual_tile[c] : 0.0;
                const double sum = expected[c] + (ending->bias ? (double)bias[c] : 0.0) + added;
                const double clamped = fmin(fmax(sum, (double)ending->epilogue.lo), (double)ending->epilogue.hi);
                expected[c] = ending->epilogue.activation == ACTIVATE_LEAKY && clamped < 0.0
                                  ? clamped * (double)ending->epilogue.alpha
                                  : clamped;
                tolerance[c] = rounding * (tolerance[c] + 2.0);
            }
            check_within(y_tile, expected, tolerance, channels,
                         "%s %s tile %d output %d %d, %d channels, bias %d, residual %d, stream %d, activation %d",
                         kernels->name, s->name, t, i, j, (int)channels, ending->bias, ending->residual, ending->stream,
                         ending->epilogue.activation);
        }
    for (int i = 0; i < outputs; i++) {
        guarded_free(y[i]);
        guarded_free(residual[i]);
    }
    guarded_free(m);
    guarded_free(bias);
    free(expected);
    free(tolerance);
}

/* All at once, for some tiles of which one pixel is outside of the image: the bits of input, one chain of multiply-adds for
 * each sum, and output. panels: vectors of each. */
static void check_fused(const struct kernels *kernels, int tile, int64_t channels, const int64_t *panels, int64_t missing,
                        int tiles, enum guard_side side, const struct ending *ending, struct random *random)
{
    enum { PANELS = 2 };
    const struct shape *s = &shapes[tile];
    const struct winograd_kernels *winograd = &kernels->winograd[tile];
    const int points = s->ah * s->aw, outputs = s->mh * s->mw, vec = kernels->vec;
    const int64_t first[PANELS + 1] = {0, panels[0] * vec, (panels[0] + panels[1]) * vec};
    const int64_t padded = first[PANELS], count = padded - missing, row = divide_up(channels, vec) * vec, apart = padded + vec;
    float *u = guarded(points * channels * padded, side), *bias = guarded(count, side);
    float *v = guarded(2 * winograd->fused_tiles * points * row, AT_BEGIN), *v_one = guarded(points * row, AT_BEGIN);
    float *m = guarded(points * padded, AT_BEGIN);
    float *d[WINOGRAD_MAX_POINTS], *y[WINOGRAD_MAX_OUTPUTS], *expected[WINOGRAD_MAX_OUTPUTS], *residual[WINOGRAD_MAX_OUTPUTS];
    ptrdiff_t d_tile[WINOGRAD_MAX_POINTS], y_tile[WINOGRAD_MAX_OUTPUTS];
    fill_uniform(random, u, points * channels * padded);
    fill_uniform(random, bias, count);
    for (int i = 0; i < points; i++) {
        d_tile[i] = i == 1 ? 0 : channels + 3;
        d[i] = guarded((tiles - 1) * d_tile[i] + channels, side);
        fill_uniform(random, d[i], (tiles - 1) * d_tile[i] + channels);
    }
    for (int i = 0; i < outputs; i++) {
        const bool dump = i == 1 && !ending->stream;
        y_tile[i] = dump ? 0 : apart;
        y[i] = guarded((tiles - 1) * y_tile[i] + count, side);
        expected[i] = guarded((tiles - 1) * y_tile[i] + count, AT_BEGIN);
        residual[i] = guarded((tiles - 1) * y_tile[i] + count, side);
        fill_uniform(random, residual[i], (tiles - 1) * y_tile[i] + count);
        for (int64_t k = 0; k < (tiles - 1) * y_tile[i] + count; k++)
            y[i][k] = expected[i][k] = 77.0f;
    }
    winograd->fused(&(struct winograd_fused_args){.d = (const float *const *)d,
                                                  .y = y,
                                                  .residual = ending->residual ? (const float *const *)residual : NULL,
                                                  .d_tile = d_tile,
                                                  .y_tile = y_tile,
                                                  .tiles = tiles,
                                                  .u = u,
                                                  .first = first,
                                                  .panels = PANELS,
                                                  .bias = ending->bias ? bias : NULL,
                                                  .channels = channels,
                                                  .outputs = count,
                                                  .ahead = ending->stream ? 9 : 0,
                                                  .v = v,
                                                  .stream = ending->stream,
                                                  .epilogue = ending->epilogue});
    if (ending->stream)
        kernels->fence();
    for (int t = 0; t < tiles; t++) {
        const float *at[WINOGRAD_MAX_POINTS], *residual_at[WINOGRAD_MAX_OUTPUTS];
        float *to[WINOGRAD_MAX_OUTPUTS];
        for (int i = 0; i < points; i++)
            at[i] = d[i] + t * d_tile[i];
        for (int i = 0; i < outputs; i++) {
            to[i] = expected[i] + t * y_tile[i];
            residual_at[i] = residual[i] + t * y_tile[i];
        }
        winograd->input(&(struct winograd_input_args){.d = at, .v = v_one, .v_step = row, .channels = channels, .tiles = 1});
        for (int panel = 0; panel < PANELS; panel++)
            for (int i = 0; i < points; i++)
                for (int64_t c = first[panel]; c < first[panel + 1]; c++) {
                    const int64_t width = first[panel + 1] - first[panel];
                    const float *column = u + (first[panel] * points + i * width) * channels + c - first[panel];
                    m[i * padded + c] = 0.0f;
                    for (int64_t k = 0; k < channels; k++)
                        m[i * padded + c] = fmaf(v_one[i * row + k], column[k * width], m[i * padded + c]);
                }
        winograd->output(&(struct winograd_output_args){.m = m,
                                                        .m_step = padded,
                                                        .y = to,
                                                        .residual = ending->residual ? residual_at : NULL,
                                                        .bias = ending->bias ? bias : NULL,
                                                        .channels = count,
                                                        .tiles = 1,
                                                        .epilogue = ending->epilogue});
    }
    for (int i = 0; i < outputs; i++)
        if (y_tile[i] > 0)
            assert_memory_equal(y[i], expected[i], (size_t)((tiles - 1) * apart + count) * sizeof(float));
    for (int i = 0; i < points; i++)
        guarded_free(d[i]);
    for (int i = 0; i < outputs; i++) {
        guarded_free(y[i]);
        guarded_free(expected[i]);
        guarded_free(residual[i]);
    }
    guarded_free(u);
    guarded_free(bias);
    guarded_free(v);
    guarded_free(v_one);
    guarded_free(m);
}

static void test_fused(void **state)
{
    (void)state;
    static const struct ending endings[] = {
        {false, false, false, {-INFINITY, INFINITY, ACTIVATE_NONE, 0.0f}},
        {true, false, false, {-0.5f, 0.75f, ACTIVATE_NONE, 0.0f}},
        {true, true, false, {0.0f, INFINITY, ACTIVATE_NONE, 0.0f}},
        {false, true, false, {-INFINITY, INFINITY, ACTIVATE_LEAKY, 0.25f}},
        {true, false, true, {0.0f, 6.0f, ACTIVATE_NONE, 0.0f}},
        {false, true, true, {-INFINITY, INFINITY, ACTIVATE_NONE, 0.0f}},
    };
    static const int64_t panels[][2] = {{2, 2}, {1, 2}, {2, 1}, {1, 1}};
    struct random random = random_stream(7);
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        const int64_t vec = (*table)->vec, channels[] = {1, vec, 2 * vec + 3};
        for (int tile = 0; tile < WINOGRAD_COUNT; tile++) {
            if (!(*table)->winograd[tile].fused)
                continue;
            for (int tiles = 1; tiles <= 7; tiles += quick() ? 2 : 1)
                for (size_t e = 0; e < sizeof endings / sizeof *endings; e++)
                    for (size_t p = 0; p < sizeof panels / sizeof *panels; p++)
                        for (size_t c = 0; c < sizeof channels / sizeof *channels; c++)
                            for (int side = AT_BEGIN; side < GUARD_SIDES; side++)
                                for (int64_t missing = 0; missing<vec; missing += vec> 3 ? vec - 3 : 1)
                                    if (!endings[e].stream || (side == AT_BEGIN && missing == 0))
                                        check_fused(*table, tile, channels[c], panels[p], missing, tiles, (enum guard_side)side,
                                                    &endings[e], &random);
        }
    }
}

static void test_transforms(void **state)
{
    (void)state;
    static const struct ending endings[] = {
        {false, false, false, {-INFINITY, INFINITY, ACTIVATE_NONE, 0.0f}},
        {true, false, false, {0.0f, INFINITY, ACTIVATE_NONE, 0.0f}},
        {true, true, false, {-0.5f, 0.75f, ACTIVATE_NONE, 0.0f}},
        {false, true, false, {-INFINITY, INFINITY, ACTIVATE_LEAKY, 0.25f}},
        {true, true, true, {0.0f, 6.0f, ACTIVATE_NONE, 0.0f}},
    };
    struct random random = random_stream(1);
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        const int64_t vec = (*table)->vec, channels[] = {1, vec - 1, vec, vec + 1, 2 * vec + 3};
        for (int tile = 0; tile < WINOGRAD_COUNT; tile++)
            for (int i = quick() ? 3 : 0; i < 5; i++) {
                if (channels[i] == 0)
                    continue;
                for (int side = AT_BEGIN; side < GUARD_SIDES; side++) {
                    for (int flag = 0; flag < 2; flag++) {
                        check_input(*table, tile, flag, channels[i], (enum guard_side)side, &random);
                        for (int fewer = 0; fewer < 2; fewer++)
                            check_weights(*table, tile, flag, fewer, channels[i], (enum guard_side)side, &random);
                    }
                    for (size_t e = 0; e < sizeof endings / sizeof *endings; e++)
                        if (!endings[e].stream || side == AT_BEGIN) /* which is aligned */
                            check_output(*table, tile, channels[i], (enum guard_side)side, &endings[e], &random);
                }
            }
    }
}

/* -------------------------------------------------------------------------------------------------------------- accuracy */

static falt_plan *plan_with(const falt_conv *conv, falt_pass pass, falt_algorithm algorithm, float accuracy)
{
    falt_options options = FALT_OPTIONS_INIT;
    falt_plan *plan;
    options.algorithm = algorithm;
    options.accuracy = accuracy;
    options.threads = 1;
    options.warm_weights = 1;
    return falt_plan_create(&plan, conv, pass, &options) == FALT_OK ? plan : NULL;
}

/* forward: a is x, b is w; backward weights: a is x, b the gradient of y. */
static void execute(const falt_plan *plan, falt_pass pass, const float *a, const float *b, float *result)
{
    const falt_tensors forward = {.src = a, .weights = b, .dst = result};
    const falt_tensors weights = {.src = a, .diff_dst = b, .diff_weights = result};
    assert_int_equal(falt_execute(plan, pass == FALT_FORWARD ? &forward : &weights), FALT_OK);
}

static double distance(const float *a, const float *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

/* Kernels that there are transforms for. */
static const struct window {
    int h, w, stride;
} windows[] = {{3, 3, 1}, {5, 5, 1}, {2, 2, 1}, {1, 3, 1}, {3, 1, 1}, {1, 5, 1}, {5, 1, 1}, {1, 7, 1}, {7, 1, 1}, {1, 2, 1},
               {2, 1, 1}, {3, 3, 2}, {4, 4, 2}, {5, 5, 2}, {1, 3, 2}, {6, 1, 2}, {4, 4, 1}, {1, 4, 1}, {4, 1, 1}, {7, 7, 2}};
enum { WINDOWS = sizeof windows / sizeof *windows };

/* Every tile that some accuracy allows keeps to what it says, and what is as accurate as direct summation is so. */
static void check_accuracy(falt_pass pass, int64_t size, int64_t channels, const struct window *window, bool relu,
                           struct random *random, int *tiles)
{
    enum { OUT = 64 };
    static const float allowed[] = {1.0f, 1.6f, 1.8f, 2.2f, 3.0f, 6.5f, 7.0f, 10.0f, 20.0f};
    falt_conv conv = FALT_CONV_INIT;
    conv.layout = FALT_NHWC;
    conv.in_channels = channels;
    conv.out_channels = OUT;
    conv.in[0] = conv.in[1] = size;
    conv.kernel[0] = window->h;
    conv.kernel[1] = window->w;
    conv.stride[0] = conv.stride[1] = window->stride;
    conv.pad_begin[0] = conv.pad_end[0] = window->h / 2;
    conv.pad_begin[1] = conv.pad_end[1] = window->w / 2;
    falt_sizes sizes;
    assert_int_equal(falt_conv_sizes(&conv, &sizes), FALT_OK);
    const int64_t second = pass == FALT_FORWARD ? sizes.weights : sizes.dst;
    const int64_t results = pass == FALT_FORWARD ? sizes.dst : sizes.weights;
    float *x = guarded(sizes.src, AT_END), *b = guarded(second, AT_END), *result = guarded(results, AT_END);
    float *exact = guarded(results, AT_END);
    fill_uniform(random, x, sizes.src);
    fill_uniform(random, b, second);
    for (int64_t i = 0; i < sizes.src && relu; i++)
        x[i] = fmaxf(x[i], 0.0f);
    falt_plan *reference = plan_with(&conv, pass, FALT_ALGO_REFERENCE, 0.0f);
    falt_plan *direct = plan_with(&conv, pass, FALT_ALGO_DIRECT, 0.0f);
    assert_true(reference && direct);
    execute(reference, pass, x, b, exact);
    execute(direct, pass, x, b, result);
    const double unit = distance(result, exact, results);
    double last = 0.0;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        falt_plan *plan = plan_with(&conv, pass, FALT_ALGO_WINOGRAD, allowed[i]);
        if (!plan) /* nothing so accurate */
            continue;
        falt_plan_info info = {.struct_size = sizeof info};
        assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
        assert_true(info.accuracy <= (double)allowed[i]);
        if (info.accuracy != last) {
            execute(plan, pass, x, b, result);
            const double ratio = distance(result, exact, results) / unit;
            if (getenv("FALTUNG_TEST_VERBOSE"))
                print_message("%-32s %4d pixels a side, %4d channels, %-7s %5.2f of %.2g\n", info.kernel, (int)size,
                              (int)channels, relu ? "ReLU" : "uniform", ratio, info.accuracy);
            if (!(ratio <= info.accuracy))
                fail_msg("%s, %d pixels a side, %d channels, %s: %.2f times the error of direct summation, not %.2g "
                         "(FALTUNG_SEED=%llu)",
                         info.kernel, (int)size, (int)channels, relu ? "ReLU" : "uniform", ratio, info.accuracy,
                         (unsigned long long)random_seed());
            ++*tiles;
        }
        last = info.accuracy;
        falt_plan_destroy(plan);
    }
    falt_plan_destroy(reference);
    falt_plan_destroy(direct);
    guarded_free(x);
    guarded_free(b);
    guarded_free(result);
    guarded_free(exact);
}

static void test_accuracy(void **state)
{
    (void)state;
    enum { SIZE = 36 }; /* where larger tiles pay */
    static const int64_t channels[] = {64, 256, 1024};
    struct random random = random_stream(2);
    int tiles = 0;
    for (int c = 0; c < (quick() ? 1 : 3); c++)
        for (int i = 0; i < WINDOWS; i++)
            for (int relu = 0; relu < 2; relu++)
                check_accuracy(FALT_FORWARD, SIZE * windows[i].stride, channels[c], &windows[i], relu, &random, &tiles);
    assert_true(tiles >= WINDOWS * 2);
}

/* The same of weight gradients, whose sums are over pixels. */
static void test_accuracy_of_weights(void **state)
{
    (void)state;
    enum { CHANNELS = 64 };
    static const int64_t pixels[] = {7, 14, 36, 112};
    struct random random = random_stream(4);
    int tiles = 0;
    for (int n = 0; n < (quick() ? 2 : 4); n++)
        for (int i = 0; i < WINDOWS; i++)
            for (int relu = 0; relu < 2; relu++)
                check_accuracy(FALT_BACKWARD_WEIGHTS, pixels[n] * windows[i].stride, CHANNELS, &windows[i], relu, &random,
                               &tiles);
    assert_true(tiles >= WINDOWS * 2);
}

/* ---------------------------------------------------------------------------------------------------------------- bounds */

enum data { UNIFORM, LARGE_MEAN, ALTERNATING, ONE_HUGE, ALL_SIZES, DATA_KINDS };

static void fill_as(enum data kind, struct random *random, float *x, int64_t n)
{
    fill_uniform(random, x, n);
    for (int64_t i = 0; i < n; i++)
        switch (kind) {
        case LARGE_MEAN:
            x[i] += 1000.0f;
            break;
        case ALTERNATING: /* what cancels in the sum is large in it */
            x[i] = (i & 1 ? -1.0f : 1.0f) * (1.0f + 0x1p-10f * x[i]);
            break;
        case ALL_SIZES:
            x[i] = ldexpf(x[i], (int)random_between(random, -20, 20));
            break;
        default:
            break;
        }
    if (kind == ONE_HUGE)
        x[random_between(random, 0, n - 1)] *= 1e12f;
}

/* Kernels that there are transforms for, in 1 to 3 dimensions; small, so that many of them take seconds. */
static falt_conv conv_for_bounds(struct random *random)
{
    falt_conv conv = FALT_CONV_INIT;
    const struct window *window = &windows[random_between(random, 0, WINDOWS - 1)];
    conv.spatial_dims = (int32_t)random_between(random, 1, 3);
    conv.layout = random_between(random, 0, 1) ? FALT_NHWC : FALT_NCHW;
    conv.weights_layout = random_between(random, 0, 1) ? FALT_OHWI : FALT_OIHW;
    conv.groups = random_between(random, 0, 3) == 0 ? 2 : 1;
    conv.batch = random_between(random, 1, 2);
    conv.in_channels = conv.groups * random_between(random, 1, 20);
    conv.out_channels = conv.groups * random_between(random, 1, 20);
    for (int d = 0; d < conv.spatial_dims; d++) {
        const int inner = d - (conv.spatial_dims - 2); /* 0 and 1: the dimensions of the table */
        conv.kernel[d] = inner < 0 ? random_between(random, 1, 3) : inner == 0 ? window->h : window->w;
        conv.stride[d] = inner >= 0 ? window->stride : 1;
        conv.dilation[d] = window->stride > 1 || random_between(random, 0, 2) ? 1 : random_between(random, 2, 10);
        conv.in[d] = (conv.kernel[d] - 1) * conv.dilation[d] + random_between(random, 1, inner >= 0 ? 12 : 3) * conv.stride[d];
        conv.pad_begin[d] = random_between(random, 0, conv.kernel[d] / 2);
        conv.pad_end[d] = random_between(random, 0, conv.kernel[d] / 2);
    }
    return conv;
}

static void read_as(falt_tensors *tensors, falt_pass pass, const float *a, const float *b, float *result)
{
    *tensors = pass == FALT_FORWARD         ? (falt_tensors){.src = a, .weights = b, .dst = result}
               : pass == FALT_BACKWARD_DATA ? (falt_tensors){.diff_dst = a, .weights = b, .diff_src = result}
                                            : (falt_tensors){.src = a, .diff_dst = b, .diff_weights = result};
}

/* Whether Winograd serves the pass; if so its result is within falt_plan_error_bound of the reference's. */
static bool check_bound(const falt_conv *conv, falt_pass pass, float accuracy, enum data first, enum data second,
                        struct random *random)
{
    falt_plan *plan = plan_with(conv, pass, FALT_ALGO_WINOGRAD, accuracy);
    if (!plan)
        return false;
    falt_sizes sizes;
    assert_int_equal(falt_conv_sizes(conv, &sizes), FALT_OK);
    const int64_t n_a = pass == FALT_BACKWARD_DATA ? sizes.dst : sizes.src;
    const int64_t n_b = pass == FALT_BACKWARD_WEIGHTS ? sizes.dst : sizes.weights;
    const int64_t n = pass == FALT_FORWARD ? sizes.dst : pass == FALT_BACKWARD_DATA ? sizes.src : sizes.weights;
    float *a = guarded(n_a, AT_END), *b = guarded(n_b, AT_END), *result = guarded(n, AT_END), *exact = guarded(n, AT_END);
    double *expected = malloc((size_t)n * sizeof *expected), *tolerance = malloc((size_t)n * sizeof *tolerance);
    assert_true(expected && tolerance);
    fill_as(first, random, a, n_a);
    fill_as(second, random, b, n_b);
    falt_plan *reference = plan_with(conv, pass, FALT_ALGO_REFERENCE, 0.0f);
    assert_non_null(reference);
    falt_tensors tensors;
    double bound = -1.0;
    read_as(&tensors, pass, a, b, exact);
    assert_int_equal(falt_execute(reference, &tensors), FALT_OK);
    read_as(&tensors, pass, a, b, result);
    assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
    assert_int_equal(falt_plan_error_bound(plan, &tensors, &bound), FALT_OK);
    assert_true(bound >= 0.0 && isfinite(bound));
    for (int64_t i = 0; i < n; i++) {
        expected[i] = (double)exact[i];
        tolerance[i] = bound + 0x1p-24 * fabs(expected[i]); /* the reference is rounded, too */
    }
    falt_plan_info info = {.struct_size = sizeof info};
    assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
    check_within(result, expected, tolerance, n, "%s, pass %d, data %d and %d", info.kernel, (int)pass, (int)first,
                 (int)second);
    falt_plan_destroy(reference);
    falt_plan_destroy(plan);
    guarded_free(a);
    guarded_free(b);
    guarded_free(result);
    guarded_free(exact);
    free(expected);
    free(tolerance);
    return true;
}

/* No result is ever outside of its stated bound, be the data as adverse as they like. */
static void test_bounds(void **state)
{
    (void)state;
    struct random random = random_stream(5);
    const int wanted = quick() ? 300 : 10000;
    for (int done = 0; done < wanted;) {
        const falt_conv conv = conv_for_bounds(&random);
        const falt_pass pass = (falt_pass)random_between(&random, FALT_FORWARD, FALT_BACKWARD_WEIGHTS);
        const enum data first = (enum data)(done % DATA_KINDS), second = (enum data)(done / DATA_KINDS % DATA_KINDS);
        done += check_bound(&conv, pass, random_between(&random, 0, 1) ? 1000.0f : 0.0f, first, second, &random);
    }
}

/* What is not finite reaches all that direct summation would make so, and nothing beyond the tiles that read it. */
static void test_not_finite(void **state)
{
    (void)state;
    enum { CHANNELS = 64, SIZE = 36, AT = 17, REACH = 8, INPUTS = SIZE * SIZE * CHANNELS };
    static const float specials[] = {NAN, INFINITY};
    struct random random = random_stream(3);
    falt_conv conv = FALT_CONV_INIT;
    conv.layout = FALT_NHWC;
    conv.in_channels = conv.out_channels = CHANNELS;
    conv.in[0] = conv.in[1] = SIZE;
    conv.kernel[0] = conv.kernel[1] = 3;
    conv.pad_begin[0] = conv.pad_end[0] = conv.pad_begin[1] = conv.pad_end[1] = 1;
    float *x = guarded(INPUTS, AT_END), *w = guarded(9 * CHANNELS * CHANNELS, AT_END);
    float *clean = guarded(INPUTS, AT_END), *y = guarded(INPUTS, AT_END);
    fill_uniform(&random, x, INPUTS);
    fill_uniform(&random, w, 9 * CHANNELS * CHANNELS);
    static const float allowed[] = {1.0f, 3.0f, 10.0f};
    for (int i = 0; i < 3; i++) {
        falt_plan *plan = plan_with(&conv, FALT_FORWARD, FALT_ALGO_WINOGRAD, allowed[i]);
        assert_non_null(plan);
        execute(plan, FALT_FORWARD, x, w, clean);
        for (int k = 0; k < 2; k++) {
            float *at = &x[(AT * SIZE + AT) * CHANNELS + 5];
            const float before = *at;
            *at = specials[k];
            execute(plan, FALT_FORWARD, x, w, y);
            *at = before;
            for (int h = 0; h < SIZE; h++)
                for (int v = 0; v < SIZE; v++)
                    for (int c = 0; c < CHANNELS; c++) {
                        const int far = abs(h - AT) > abs(v - AT) ? abs(h - AT) : abs(v - AT),
                                  e = (h * SIZE + v) * CHANNELS + c;
                        if (far <= 1)
                            assert_false(isfinite(y[e]));
                        else if (far >= REACH)
                            check_same(y + e, clean + e, 1, "%d pixels from what is not finite", far);
                    }
        }
        falt_plan_destroy(plan);
    }
    guarded_free(x);
    guarded_free(w);
    guarded_free(clean);
    guarded_free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_transforms), cmocka_unit_test(test_fused),
                                       cmocka_unit_test(test_accuracy),   cmocka_unit_test(test_accuracy_of_weights),
                                       cmocka_unit_test(test_bounds),     cmocka_unit_test(test_not_finite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
