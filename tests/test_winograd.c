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

static void check_input(const struct kernels *kernels, int tile, int64_t channels, enum guard_side side, struct random *random)
{
    const struct shape *s = &shapes[tile];
    const struct winograd_transform *h = transform_of(s->mh, s->ah), *w = transform_of(s->mw, s->aw);
    const int points = s->ah * s->aw;
    const int64_t row = divide_up(channels, kernels->vec) * kernels->vec;
    float *d[WINOGRAD_MAX_POINTS], *v = guarded(points * row, side);
    double *expected = calloc((size_t)channels, sizeof(double)), *tolerance = calloc((size_t)channels, sizeof(double));
    assert_true(expected && tolerance);
    for (int i = 0; i < points; i++) {
        d[i] = guarded(channels, side);
        fill_uniform(random, d[i], channels);
    }
    kernels->winograd[tile].input(
        &(struct winograd_input_args){.d = (const float *const *)d, .v = v, .v_step = row, .channels = channels});
    for (int i = 0; i < s->ah; i++)
        for (int j = 0; j < s->aw; j++) {
            nested(h->b[i], s->ah, w->b[j], s->aw, (const float *const *)d, channels, expected, tolerance);
            for (int64_t c = 0; c < channels; c++)
                tolerance[c] *= rounding;
            check_within(v + (i * s->aw + j) * row, expected, tolerance, channels, "%s %s input, point %d %d, %d channels",
                         kernels->name, s->name, i, j, (int)channels);
        }
    for (int i = 0; i < points; i++)
        guarded_free(d[i]);
    guarded_free(v);
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
    float *m = guarded(points * row, side), *bias = guarded(channels, side);
    float *y[WINOGRAD_MAX_OUTPUTS], *residual[WINOGRAD_MAX_OUTPUTS];
    const float *at[WINOGRAD_MAX_POINTS];
    double *expected = calloc((size_t)channels, sizeof(double)), *tolerance = calloc((size_t)channels, sizeof(double));
    assert_true(expected && tolerance);
    fill_uniform(random, m, points * row);
    fill_uniform(random, bias, channels);
    for (int i = 0; i < points; i++)
        at[i] = m + i * row;
    for (int i = 0; i < outputs; i++) {
        y[i] = guarded(channels, side);
        residual[i] = guarded(channels, side);
        fill_uniform(random, residual[i], channels);
    }
    kernels->winograd[tile].output(
        &(struct winograd_output_args){.m = m,
                                       .m_step = row,
                                       .y = y,
                                       .residual = ending->residual ? (const float *const *)residual : NULL,
                                       .bias = ending->bias ? bias : NULL,
                                       .channels = channels,
                                       .stream = ending->stream,
                                       .epilogue = ending->epilogue});
    if (ending->stream)
        kernels->fence();
    for (int i = 0; i < s->mh; i++)
        for (int j = 0; j < s->mw; j++) {
            nested(h->a[i], s->ah, w->a[j], s->aw, at, channels, expected, tolerance);
            for (int64_t c = 0; c < channels; c++) {
                const double added = ending->residual ? (double)residual[i * s->mw + j][c] : 0.0;
                const double sum = expected[c] + (ending->bias ? (double)bias[c] : 0.0) + added;
                const double clamped = fmin(fmax(sum, (double)ending->epilogue.lo), (double)ending->epilogue.hi);
                expected[c] = ending->epilogue.activation == ACTIVATE_LEAKY && clamped < 0.0
                                  ? clamped * (double)ending->epilogue.alpha
                                  : clamped;
                tolerance[c] = rounding * (tolerance[c] + 2.0);
            }
            check_within(y[i * s->mw + j], expected, tolerance, channels,
                         "%s %s output %d %d, %d channels, bias %d, residual %d, stream %d, activation %d", kernels->name,
                         s->name, i, j, (int)channels, ending->bias, ending->residual, ending->stream,
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
                    check_input(*table, tile, channels[i], (enum guard_side)side, &random);
                    for (size_t e = 0; e < sizeof endings / sizeof *endings; e++)
                        if (!endings[e].stream || side == AT_BEGIN) /* which is aligned */
                            check_output(*table, tile, channels[i], (enum guard_side)side, &endings[e], &random);
                }
            }
    }
}

/* -------------------------------------------------------------------------------------------------------------- accuracy */

static falt_plan *plan_with(const falt_conv *conv, falt_algorithm algorithm, float accuracy)
{
    falt_options options = FALT_OPTIONS_INIT;
    falt_plan *plan;
    options.algorithm = algorithm;
    options.accuracy = accuracy;
    options.threads = 1;
    options.warm_weights = 1;
    return falt_plan_create(&plan, conv, FALT_FORWARD, &options) == FALT_OK ? plan : NULL;
}

static void execute(const falt_plan *plan, const float *x, const float *w, float *y)
{
    const falt_tensors tensors = {.src = x, .weights = w, .dst = y};
    assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
}

static double distance(const float *a, const float *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

/* Every tile that some accuracy allows keeps to what it says, and what is as accurate as direct summation is so. */
static void check_accuracy(int64_t channels, int kernel_h, int kernel_w, bool relu, struct random *random, int *tiles)
{
    enum { SIZE = 36, OUT = 64 }; /* where larger tiles pay */
    static const float allowed[] = {1.0f, 1.8f, 2.2f, 3.0f, 6.5f, 10.0f};
    falt_conv conv = FALT_CONV_INIT;
    conv.layout = FALT_NHWC;
    conv.in_channels = channels;
    conv.out_channels = OUT;
    conv.in[0] = conv.in[1] = SIZE;
    conv.kernel[0] = kernel_h;
    conv.kernel[1] = kernel_w;
    conv.pad_begin[0] = conv.pad_end[0] = kernel_h / 2;
    conv.pad_begin[1] = conv.pad_end[1] = kernel_w / 2;
    const int64_t pixels = SIZE * SIZE, inputs = pixels * channels, outputs = pixels * OUT;
    const int64_t weights = channels * OUT * kernel_h * kernel_w;
    float *x = guarded(inputs, AT_END), *w = guarded(weights, AT_END), *y = guarded(outputs, AT_END);
    float *exact = guarded(outputs, AT_END);
    fill_uniform(random, x, inputs);
    fill_uniform(random, w, weights);
    for (int64_t i = 0; i < inputs && relu; i++)
        x[i] = fmaxf(x[i], 0.0f);
    falt_plan *reference = plan_with(&conv, FALT_ALGO_REFERENCE, 0.0f), *direct = plan_with(&conv, FALT_ALGO_DIRECT, 0.0f);
    assert_true(reference && direct);
    execute(reference, x, w, exact);
    execute(direct, x, w, y);
    const double unit = distance(y, exact, outputs);
    double last = 0.0;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        falt_plan *plan = plan_with(&conv, FALT_ALGO_WINOGRAD, allowed[i]);
        if (!plan) /* nothing so accurate */
            continue;
        falt_plan_info info = {.struct_size = sizeof info};
        assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
        assert_true(info.accuracy <= (double)allowed[i]);
        if (info.accuracy != last) {
            execute(plan, x, w, y);
            const double ratio = distance(y, exact, outputs) / unit;
            if (!(ratio <= info.accuracy))
                fail_msg("%s, %d channels, %s: %.2f times the error of direct summation, not %.2g (FALTUNG_SEED=%llu)",
                         info.kernel, (int)channels, relu ? "ReLU" : "uniform", ratio, info.accuracy,
                         (unsigned long long)random_seed());
            if (getenv("FALTUNG_TEST_VERBOSE"))
                print_message("%-32s %4d channels, %-7s %5.2f of %.2g\n", info.kernel, (int)channels, relu ? "ReLU" : "uniform",
                              ratio, info.accuracy);
            ++*tiles;
        }
        last = info.accuracy;
        falt_plan_destroy(plan);
    }
    falt_plan_destroy(reference);
    falt_plan_destroy(direct);
    guarded_free(x);
    guarded_free(w);
    guarded_free(y);
    guarded_free(exact);
}

static void test_accuracy(void **state)
{
    (void)state;
    static const int sizes[][2] = {{3, 3}, {5, 5}, {1, 3}, {3, 1}, {1, 5}, {5, 1}, {1, 7}, {7, 1}};
    static const int64_t channels[] = {64, 256, 1024};
    struct random random = random_stream(2);
    int tiles = 0;
    for (int c = 0; c < (quick() ? 1 : 3); c++)
        for (int i = 0; i < 8; i++)
            for (int relu = 0; relu < 2; relu++)
                check_accuracy(channels[c], sizes[i][0], sizes[i][1], relu, &random, &tiles);
    assert_true(tiles >= 8 * 2);
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
        falt_plan *plan = plan_with(&conv, FALT_ALGO_WINOGRAD, allowed[i]);
        assert_non_null(plan);
        execute(plan, x, w, clean);
        for (int k = 0; k < 2; k++) {
            float *at = &x[(AT * SIZE + AT) * CHANNELS + 5];
            const float before = *at;
            *at = specials[k];
            execute(plan, x, w, y);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_transforms), cmocka_unit_test(test_accuracy),
                                       cmocka_unit_test(test_not_finite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
