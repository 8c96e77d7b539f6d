/*
 * test_reference.c - the solver that all others are compared with, itself compared with the formulas of faltung.h.
 *
 * Convolution and its gradients are one trilinear form, sum x[a] * w[b] * y[c] over the triples (a, b, c) of indices that the
 * formulas pair. They are listed by plain loops over everything with an if for each pixel; a pass is then one line.
 */
#include "support.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "error.h"
#include "problem.h"
#include "solver.h"

enum { PROBLEMS = 300 };

/* -------------------------------------------------------------------------------------------------------------- a layer */

/* A falt_conv and its tensors as the caller knows them. src, weights and dst are also their gradients. */
struct layer {
    falt_conv conv;
    falt_sizes sizes;
    float *src, *weights, *dst, *bias, *residual;
};

static void layer_init(struct layer *layer, const falt_conv *conv, struct random *random, enum guard_side side)
{
    layer->conv = *conv;
    assert_int_equal(falt_conv_sizes(conv, &layer->sizes), FALT_OK);
    layer->src = guarded(layer->sizes.src, side);
    layer->weights = guarded(layer->sizes.weights, side);
    layer->dst = guarded(layer->sizes.dst, side);
    layer->bias = guarded(layer->sizes.bias, side);
    layer->residual = guarded(layer->sizes.dst, side);
    fill_integer(random, layer->src, layer->sizes.src);
    fill_integer(random, layer->weights, layer->sizes.weights);
    fill_integer(random, layer->dst, layer->sizes.dst);
    fill_integer(random, layer->bias, layer->sizes.bias);
    fill_integer(random, layer->residual, layer->sizes.dst);
}

static void layer_free(struct layer *layer)
{
    guarded_free(layer->src);
    guarded_free(layer->weights);
    guarded_free(layer->dst);
    guarded_free(layer->bias);
    guarded_free(layer->residual);
}

static float *output_of(const struct layer *layer, falt_pass pass, int64_t *count)
{
    *count = pass == FALT_FORWARD ? layer->sizes.dst : pass == FALT_BACKWARD_DATA ? layer->sizes.src : layer->sizes.weights;
    return pass == FALT_FORWARD ? layer->dst : pass == FALT_BACKWARD_DATA ? layer->src : layer->weights;
}

/* A small random problem that is none of those that are refused. */
static falt_conv random_conv(struct random *random)
{
    for (;;) {
        falt_conv conv = FALT_CONV_INIT;
        conv.spatial_dims = (int32_t)random_between(random, 1, 3);
        conv.transposed = (int32_t)random_between(random, 0, 1);
        conv.batch = random_between(random, random_between(random, 0, 9) ? 1 : 0, 3);
        conv.groups = random_between(random, 0, 1) ? 1 : random_between(random, 1, 4);
        conv.in_channels = conv.groups * random_between(random, 1, 5);
        conv.out_channels = conv.groups * random_between(random, 1, 5);
        if (random_between(random, 0, 9) == 0)
            conv.in_channels = conv.groups * random_between(random, 60, 140);
        const int64_t longest = conv.spatial_dims == 1 ? 200 : conv.spatial_dims == 2 ? 12 : 6;
        for (int i = 0; i < conv.spatial_dims; i++) {
            conv.in[i] = random_between(random, 1, longest);
            conv.kernel[i] = random_between(random, 1, conv.spatial_dims == 3 ? 3 : 5);
            conv.stride[i] = random_between(random, 1, 4);
            conv.dilation[i] = random_between(random, 1, 3);
            conv.pad_begin[i] = random_between(random, 0, 4);
            conv.pad_end[i] = random_between(random, 0, 4);
            conv.output_padding[i] = conv.transposed ? random_between(random, 0, conv.stride[i]) : 0;
        }
        conv.layout = (falt_layout)random_between(random, 0, 1);
        conv.weights_layout = (falt_weights_layout)random_between(random, 0, 1);
        falt_sizes sizes;
        if (falt_conv_sizes(&conv, &sizes) == FALT_OK && sizes.multiply_adds < 2e5 && sizes.src < 100000 && sizes.dst < 100000)
            return conv;
    }
}

/* ---------------------------------------------------------------------------------------------------------- the formulas */

struct triple {
    int64_t x, w, y;
};

static int64_t tensor_index(const falt_conv *conv, int64_t channels, const int64_t size[3], int64_t n, int64_t c,
                            const int64_t at[3])
{
    return conv->layout == FALT_NCDHW ? (((n * channels + c) * size[0] + at[0]) * size[1] + at[1]) * size[2] + at[2]
                                      : (((n * size[0] + at[0]) * size[1] + at[1]) * size[2] + at[2]) * channels + c;
}

static int64_t weight_index(const falt_conv *conv, int64_t inputs, const int64_t size[3], int64_t o, int64_t i,
                            const int64_t at[3])
{
    return conv->weights_layout == FALT_OIHW ? (((o * inputs + i) * size[0] + at[0]) * size[1] + at[1]) * size[2] + at[2]
                                             : (((o * size[0] + at[0]) * size[1] + at[1]) * size[2] + at[2]) * inputs + i;
}

#define FOR_EACH_PIXEL(at, size)                                                                                               \
    for (at[0] = 0; at[0] < size[0]; at[0]++)                                                                                  \
        for (at[1] = 0; at[1] < size[1]; at[1]++)                                                                              \
            for (at[2] = 0; at[2] < size[2]; at[2]++)

/* x is src and y is dst; for a transposed convolution, the adjoint of such a one, x is dst and y is src. */
static struct triple *list_triples(const struct layer *layer, int64_t *count)
{
    const falt_conv *c = &layer->conv;
    const int64_t x_channels = c->transposed ? c->out_channels : c->in_channels;
    const int64_t y_channels = c->transposed ? c->in_channels : c->out_channels;
    const int64_t inputs = x_channels / c->groups, outputs = y_channels / c->groups;
    int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
    int64_t stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1}, pad[3] = {0, 0, 0};
    for (int i = 0, k = 3 - c->spatial_dims; k < 3; i++, k++) {
        in[k] = c->transposed ? layer->sizes.out[i] : c->in[i];
        out[k] = c->transposed ? c->in[i] : layer->sizes.out[i];
        kernel[k] = c->kernel[i];
        stride[k] = c->stride[i];
        dilation[k] = c->dilation[i];
        pad[k] = c->pad_begin[i];
    }

    struct triple *triples = malloc(((size_t)layer->sizes.multiply_adds + 1) * sizeof *triples);
    assert_non_null(triples);
    *count = 0;
    int64_t q[3], t[3];
    for (int64_t n = 0; n < c->batch; n++)
        for (int64_t o = 0; o < y_channels; o++)
            for (int64_t i = 0; i < inputs; i++)
                FOR_EACH_PIXEL(q, out)
    FOR_EACH_PIXEL(t, kernel)
    {
        int64_t h[3];
        bool inside = true;
        for (int k = 0; k < 3; k++) {
            h[k] = q[k] * stride[k] + t[k] * dilation[k] - pad[k];
            inside = inside && h[k] >= 0 && h[k] < in[k];
        }
        if (inside)
            triples[(*count)++] = (struct triple){
                tensor_index(c, x_channels, in, n, o / outputs * inputs + i, h),
                weight_index(c, inputs, kernel, o, i, t),
                tensor_index(c, y_channels, out, n, o, q),
            };
    }
    assert_true((double)*count <= layer->sizes.multiply_adds);
    return triples;
}

static double activation(const falt_conv *conv, double v)
{
    const double alpha = (double)conv->alpha, beta = (double)conv->beta;
    switch (conv->activation) {
    case FALT_ACT_NONE:
        break;
    case FALT_ACT_RELU:
        return isnan(v) ? v : fmax(v, 0);
    case FALT_ACT_CLAMP:
        return isnan(v) ? v : fmin(fmax(v, alpha), beta);
    case FALT_ACT_LEAKY:
        return v < 0 ? alpha * v : v;
    case FALT_ACT_SIGMOID:
        return 1 / (1 + exp(-v));
    case FALT_ACT_SILU:
        return v / (1 + exp(-v));
    case FALT_ACT_HARDSWISH:
        return isnan(v) ? v : v * fmin(fmax(v + 3, 0), 6) / 6;
    }
    return v;
}

/* What the pass should give, from the layer's tensors; old: what is added to, or NULL. The caller frees it. */
static double *expected(const struct layer *layer, falt_pass pass, bool with_bias, bool with_residual, bool accumulate)
{
    const falt_conv *c = &layer->conv;
    int64_t count, products;
    const float *old = output_of(layer, pass, &count);
    double *sums = calloc((size_t)count + 1, sizeof *sums);
    assert_non_null(sums);
    struct triple *triples = list_triples(layer, &products);
    for (int64_t k = 0; k < products; k++) {
        const struct triple t = triples[k];
        const int64_t src = c->transposed ? t.y : t.x, dst = c->transposed ? t.x : t.y;
        if (pass == FALT_FORWARD)
            sums[dst] += (double)layer->src[src] * (double)layer->weights[t.w];
        else if (pass == FALT_BACKWARD_DATA)
            sums[src] += (double)layer->dst[dst] * (double)layer->weights[t.w];
        else
            sums[t.w] += (double)layer->src[src] * (double)layer->dst[dst];
    }
    free(triples);

    const int64_t pixels = layer->sizes.out[0] * layer->sizes.out[1] * layer->sizes.out[2];
    for (int64_t k = 0; k < count; k++) {
        if (accumulate)
            sums[k] += (double)old[k];
        if (pass == FALT_FORWARD) {
            const int64_t channel = c->layout == FALT_NHWC ? k % c->out_channels : k / pixels % c->out_channels;
            sums[k] += with_bias ? (double)layer->bias[channel] : 0;
            sums[k] += with_residual ? (double)layer->residual[k] : 0;
            sums[k] = activation(c, sums[k]);
        }
    }
    return sums;
}

/* ------------------------------------------------------------------------------------------------------------ the solver */

static void run(const struct layer *layer, falt_pass pass, bool with_bias, const float *residual, bool accumulate, int threads)
{
    falt_options options = FALT_OPTIONS_INIT;
    options.accumulate = accumulate;
    struct problem problem;
    assert_int_equal(falt_problem_init(&problem, &layer->conv, pass, &options), FALT_OK);
    const struct resources resources = {.threads = threads, .accuracy = 1, .workspace_limit = 0};
    struct candidate candidate = {.solver = &falt_solver_reference};
    char reason[SOLVER_REASON] = "";
    assert_true(falt_solver_reference.consider(&problem, &resources, &candidate, reason));
    assert_int_equal(candidate.workspace, 0);
    assert_int_equal(candidate.packed, 0);
    assert_true(candidate.threads >= 1 && candidate.threads <= threads);

    const bool transposed = layer->conv.transposed;
    const struct operands operands = {
        .x = transposed ? layer->dst : layer->src,
        .y = transposed ? layer->src : layer->dst,
        .w = layer->weights,
        .bias = with_bias ? layer->bias : NULL,
        .residual = residual,
    };
    for (int member = 0; member < threads; member++)
        falt_solver_reference.run(&problem, &candidate, NULL, &operands, member, threads);
}

static void describe(const struct layer *layer, falt_pass pass, char text[200])
{
    struct problem problem;
    assert_int_equal(falt_problem_init(&problem, &layer->conv, pass, NULL), FALT_OK);
    falt_problem_print(&problem, text, 200);
}

/* ------------------------------------------------------------------------------------------------------------- the tests */

/* Whole numbers: every sum is exact, so every bit is known. Guard pages see to it that nothing else is touched. */
static void test_formulas(void **state)
{
    (void)state;
    for (int number = 0; number < PROBLEMS; number++)
        for (int pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
            struct random random = random_stream((uint64_t)number);
            const falt_conv conv = random_conv(&random);
            struct layer layer;
            layer_init(&layer, &conv, &random, (enum guard_side)(number % GUARD_SIDES));
            const bool bias = pass == FALT_FORWARD && number % 2, residual = pass == FALT_FORWARD && number / 2 % 2;
            const bool accumulate = pass == FALT_BACKWARD_WEIGHTS && number % 2;

            int64_t count;
            double *right = expected(&layer, (falt_pass)pass, bias, residual, accumulate);
            float *output = output_of(&layer, (falt_pass)pass, &count);
            if (!accumulate)
                fill_canary(output, count);
            run(&layer, (falt_pass)pass, bias, residual ? layer.residual : NULL, accumulate, 1);

            char text[200];
            describe(&layer, (falt_pass)pass, text);
            check_close(output, right, count, 0, "problem %d: %s", number, text);
            free(right);
            layer_free(&layer);
        }
}

/* Fractions and all activations: within one rounding, and the same for any number of threads. */
static void test_rounding_and_threads(void **state)
{
    (void)state;
    for (int number = 0; number < PROBLEMS; number++)
        for (int pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
            struct random random = random_stream(1000 + (uint64_t)number);
            falt_conv conv = random_conv(&random);
            if (pass == FALT_FORWARD) {
                conv.activation = (falt_activation)(number % (FALT_ACT_HARDSWISH + 1));
                conv.alpha = conv.activation == FALT_ACT_CLAMP ? -0.5f : 0.125f;
                conv.beta = 0.75f;
            }
            struct layer layer;
            layer_init(&layer, &conv, &random, AT_END);
            fill_uniform(&random, layer.src, layer.sizes.src);
            fill_uniform(&random, layer.weights, layer.sizes.weights);
            fill_uniform(&random, layer.dst, layer.sizes.dst);
            fill_uniform(&random, layer.bias, layer.sizes.bias);

            int64_t count;
            double *right = expected(&layer, (falt_pass)pass, pass == FALT_FORWARD, pass == FALT_FORWARD, false);
            float *output = output_of(&layer, (falt_pass)pass, &count);
            double *tolerance = malloc(((size_t)count + 1) * sizeof *tolerance);
            float *first = malloc(((size_t)count + 1) * sizeof *first);
            assert_true(tolerance && first);
            for (int64_t k = 0; k < count; k++)
                tolerance[k] = 0x1p-24 * fabs(right[k]) + 1e-11;

            char text[200];
            describe(&layer, (falt_pass)pass, text);
            static const int threads[] = {1, 2, 3}; /* more than one for a few only: threads without cores wait long */
            for (int i = 0; i < (number % 4 ? 1 : 3); i++) {
                fill_canary(output, count);
                run(&layer, (falt_pass)pass, pass == FALT_FORWARD, pass == FALT_FORWARD ? layer.residual : NULL, false,
                    threads[i]);
                check_within(output, right, tolerance, count, "problem %d: %s", number, text);
                if (i == 0)
                    memcpy(first, output, (size_t)count * sizeof *first);
                check_same(output, first, count, "problem %d with %d threads: %s", number, threads[i], text);
            }
            free(first);
            free(tolerance);
            free(right);
            layer_free(&layer);
        }
}

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* <Ax, y> = <x, A'y> = <w, gradient by w>, exactly. */
static void test_adjoint(void **state)
{
    (void)state;
    for (int number = 0; number < PROBLEMS; number++) {
        struct random random = random_stream(2000 + (uint64_t)number);
        const falt_conv conv = random_conv(&random);
        struct layer layer;
        layer_init(&layer, &conv, &random, AT_BEGIN);
        const falt_sizes s = layer.sizes;
        float *src = guarded(s.src, AT_BEGIN), *dst = guarded(s.dst, AT_BEGIN), *weights = guarded(s.weights, AT_BEGIN);
        struct layer forward = layer, data = layer, gradient = layer;
        forward.dst = dst;
        data.src = src;
        gradient.weights = weights;
        run(&forward, FALT_FORWARD, false, NULL, false, 1);
        run(&data, FALT_BACKWARD_DATA, false, NULL, false, 1);
        run(&gradient, FALT_BACKWARD_WEIGHTS, false, NULL, false, 1);
        const double value = dot(dst, layer.dst, s.dst);
        char text[200];
        describe(&layer, FALT_FORWARD, text);
        if (dot(src, layer.src, s.src) != value || dot(weights, layer.weights, s.weights) != value)
            fail_msg("problem %d: %s: %g, %g, %g differ (FALTUNG_SEED=%" PRIu64 ")", number, text, value,
                     dot(src, layer.src, s.src), dot(weights, layer.weights, s.weights), random_seed());
        guarded_free(src);
        guarded_free(dst);
        guarded_free(weights);
        layer_free(&layer);
    }
}

/* A transposed convolution is the convolution at stride 1, by the flipped kernel with its channels exchanged, of its input with
 * s - 1 zeros between neighbours and d(k-1) - p around (Dumoulin & Visin, section 4). */
static void test_zero_insertion(void **state)
{
    (void)state;
    int compared = 0;
    for (int number = 0; number < 3 * PROBLEMS; number++) {
        struct random random = random_stream(3000 + (uint64_t)number);
        const falt_conv conv = random_conv(&random);
        falt_conv plain = conv;
        plain.transposed = 0;
        int64_t from[3] = {1, 1, 1}, to[3] = {1, 1, 1}, step[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
        bool possible = conv.transposed;
        for (int i = 0, k = 3 - conv.spatial_dims; k < 3; i++, k++) {
            const int64_t extent = conv.dilation[i] * (conv.kernel[i] - 1);
            from[k] = conv.in[i];
            step[k] = conv.stride[i];
            kernel[k] = conv.kernel[i];
            to[k] = plain.in[i] = (conv.in[i] - 1) * conv.stride[i] + 1;
            plain.stride[i] = 1;
            plain.pad_begin[i] = extent - conv.pad_begin[i];
            plain.pad_end[i] = extent - conv.pad_end[i] + conv.output_padding[i];
            plain.output_padding[i] = 0;
            possible = possible && plain.pad_begin[i] >= 0 && plain.pad_end[i] >= 0;
        }
        if (!possible)
            continue;
        compared++;

        struct layer a, b;
        layer_init(&a, &conv, &random, AT_END);
        layer_init(&b, &plain, &random, AT_END);
        assert_int_equal(a.sizes.dst, b.sizes.dst);
        assert_int_equal(a.sizes.weights, b.sizes.weights);
        memset(b.src, 0, (size_t)b.sizes.src * sizeof *b.src);
        const int64_t ins = conv.in_channels / conv.groups, outs = conv.out_channels / conv.groups;
        int64_t q[3], t[3];
        for (int64_t c = 0; c < conv.in_channels; c++) {
            for (int64_t n = 0; n < conv.batch; n++)
                FOR_EACH_PIXEL(q, from)
                {
                    const int64_t apart[3] = {q[0] * step[0], q[1] * step[1], q[2] * step[2]};
                    b.src[tensor_index(&plain, conv.in_channels, to, n, c, apart)] =
                        a.src[tensor_index(&conv, conv.in_channels, from, n, c, q)];
                }
            for (int64_t o = 0; o < outs; o++)
                FOR_EACH_PIXEL(t, kernel)
                {
                    const int64_t flipped[3] = {kernel[0] - 1 - t[0], kernel[1] - 1 - t[1], kernel[2] - 1 - t[2]};
                    b.weights[weight_index(&plain, ins, kernel, c / ins * outs + o, c % ins, flipped)] =
                        a.weights[weight_index(&conv, outs, kernel, c, o, t)];
                }
        }
        run(&a, FALT_FORWARD, false, NULL, false, 1);
        run(&b, FALT_FORWARD, false, NULL, false, 1);
        char text[200];
        describe(&a, FALT_FORWARD, text);
        for (int64_t k = 0; k < a.sizes.dst; k++) /* a pixel that sees only inserted zeros may be -0 in one of them */
            if (a.dst[k] != b.dst[k])
                fail_msg("problem %d: %s: at %" PRId64 " %g and %g (FALTUNG_SEED=%" PRIu64 ")", number, text, k,
                         (double)a.dst[k], (double)b.dst[k], random_seed());
        layer_free(&a);
        layer_free(&b);
    }
    assert_true(compared > PROBLEMS / 10);
}

/* residual may be dst itself. */
static void test_residual_in_place(void **state)
{
    (void)state;
    for (int number = 0; number < 40; number++) {
        struct random random = random_stream(8000 + (uint64_t)number);
        const falt_conv conv = random_conv(&random);
        struct layer layer;
        layer_init(&layer, &conv, &random, AT_END);
        memcpy(layer.dst, layer.residual, (size_t)layer.sizes.dst * sizeof *layer.dst);
        double *right = expected(&layer, FALT_FORWARD, true, true, false);
        run(&layer, FALT_FORWARD, true, layer.dst, false, 3);
        check_close(layer.dst, right, layer.sizes.dst, 0, "problem %d", number);
        free(right);
        layer_free(&layer);
    }
}

/* NaN and Inf reach what sees them, pass through every activation as its formula says, and reach nothing else. */
static void test_not_finite(void **state)
{
    (void)state;
    for (int number = 0; number < 210; number++)
        for (int pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
            struct random random = random_stream(9000 + (uint64_t)number);
            falt_conv conv = random_conv(&random);
            if (pass == FALT_FORWARD) {
                conv.activation = (falt_activation)(number % (FALT_ACT_HARDSWISH + 1));
                conv.alpha = 0.125f;
                conv.beta = 6;
            }
            struct layer layer;
            layer_init(&layer, &conv, &random, AT_END);
            float *const inputs[] = {layer.src, layer.weights, layer.dst};
            const int64_t sizes[] = {layer.sizes.src, layer.sizes.weights, layer.sizes.dst};
            for (int i = 0; i < 3; i++) {
                for (int64_t k = 0; k < sizes[i]; k++)
                    inputs[i][k] += inputs[i][k] == 0; /* 0 * Inf is not what this is about */
                if (sizes[i])
                    inputs[i][random_between(&random, 0, sizes[i] - 1)] = number % 3 == 0   ? NAN
                                                                          : number % 3 == 1 ? INFINITY
                                                                                            : -INFINITY;
            }
            int64_t count;
            double *right = expected(&layer, (falt_pass)pass, false, false, false);
            float *output = output_of(&layer, (falt_pass)pass, &count);
            run(&layer, (falt_pass)pass, false, NULL, false, 1);
            double *tolerance = malloc(((size_t)count + 1) * sizeof *tolerance);
            assert_non_null(tolerance);
            for (int64_t k = 0; k < count; k++)
                tolerance[k] = 0x1p-24 * fabs(right[k]) + 1e-30;
            char text[200];
            describe(&layer, (falt_pass)pass, text);
            check_within(output, right, tolerance, count, "problem %d: %s", number, text);
            free(tolerance);
            free(right);
            layer_free(&layer);
        }
}

/* No image: no output, and a gradient of zero, or what it was. */
static void test_empty_batch(void **state)
{
    (void)state;
    struct random random = random_stream(10000);
    for (int number = 0; number < 20; number++) {
        falt_conv conv = random_conv(&random);
        conv.batch = 0;
        struct layer layer;
        layer_init(&layer, &conv, &random, AT_BEGIN);
        run(&layer, FALT_FORWARD, true, NULL, false, 1);
        run(&layer, FALT_BACKWARD_DATA, false, NULL, false, 1);
        double *right = expected(&layer, FALT_BACKWARD_WEIGHTS, false, false, true);
        run(&layer, FALT_BACKWARD_WEIGHTS, false, NULL, true, 2);
        check_close(layer.weights, right, layer.sizes.weights, 0, "accumulated");
        run(&layer, FALT_BACKWARD_WEIGHTS, false, NULL, false, 1);
        for (int64_t k = 0; k < layer.sizes.weights; k++)
            assert_true(layer.weights[k] == 0);
        free(right);
        layer_free(&layer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formulas),       cmocka_unit_test(test_rounding_and_threads), cmocka_unit_test(test_adjoint),
        cmocka_unit_test(test_zero_insertion), cmocka_unit_test(test_residual_in_place),    cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_empty_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
