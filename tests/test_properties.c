/*
 * What must hold without any oracle: the three passes are one bilinear form, linear in both arguments, equivariant to shifts,
 * and the derivatives of each other; the transposed convolution is the adjoint and also a plain convolution over stretched
 * data; and the two worked examples that every course shows come out. Each with every algorithm, instruction set and layout.
 *
 * Data are small whole numbers wherever no derivative is taken: all sums are then exact, and so must be the equalities, for
 * algorithms as accurate as direct summation; others get a tolerance.
 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "faltung.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static bool quick(void)
{
    const char *value = getenv("FALTUNG_TEST_QUICK");
    return value && value[0] && strcmp(value, "0") != 0;
}

/* --------------------------------------------------------------------------------------------------------- what computes */

/* Each pass is done by this algorithm where it applies, otherwise by the planner's choice. */
struct engine {
    falt_algorithm algorithm;
    falt_isa isa;
    falt_layout layout;
    falt_weights_layout weights_layout;
    bool accumulate; /* weight gradients */
    int applied;     /* passes that the algorithm itself has done */
    bool inexact;    /* one of them was less accurate than direct summation */
};

static void for_each_engine(void (*work)(struct engine *, struct random *), uint64_t stream)
{
    falt_cpu cpu = {.struct_size = sizeof cpu};
    assert_int_equal(falt_cpu_info(&cpu), FALT_OK);
    int turn = 0;
    for (falt_isa isa = FALT_ISA_SCALAR; isa <= cpu.isa; isa++) {
        if (!(cpu.isas & 1u << isa))
            continue;
        for (falt_algorithm algorithm = FALT_ALGO_REFERENCE; algorithm < FALT_ALGO_COUNT; algorithm++) {
            for (falt_layout layout = FALT_CHANNELS_FIRST; layout <= FALT_CHANNELS_LAST; layout++) {
                struct engine engine = {algorithm, isa, layout, (falt_weights_layout)(turn++ / 2 % 2), false, 0, false};
                struct random random = random_stream(stream); /* the same problems for all */
                work(&engine, &random);
                if (algorithm == FALT_ALGO_REFERENCE)
                    assert_true(engine.applied > 0);
            }
        }
    }
}

/* accuracy: of the algorithm itself none is asked, each says what it has. NULL where the engine's algorithm does not apply. */
static falt_plan *plan_of(const struct engine *engine, const falt_conv *conv, falt_pass pass, falt_algorithm algorithm,
                          float accuracy)
{
    falt_conv with_layout = *conv;
    with_layout.layout = engine->layout;
    with_layout.weights_layout = engine->weights_layout;
    falt_options options = FALT_OPTIONS_INIT;
    options.algorithm = algorithm;
    options.isa = engine->isa;
    options.threads = 1;
    options.accuracy = accuracy;
    options.accumulate = engine->accumulate && pass == FALT_BACKWARD_WEIGHTS;
    falt_plan *plan = NULL;
    falt_plan_create(&plan, &with_layout, pass, &options);
    return plan;
}

/* Whether the algorithm does at least one pass of the convolution itself. */
static bool applies(const struct engine *engine, const falt_conv *conv)
{
    falt_conv linear_part = *conv;
    linear_part.activation = FALT_ACT_NONE;
    bool any = false;
    for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS && !any; pass++) {
        falt_plan *plan = plan_of(engine, &linear_part, pass, engine->algorithm, 1000.0f);
        any = plan != NULL;
        falt_plan_destroy(plan);
    }
    return any;
}

static void run(struct engine *engine, const falt_conv *conv, falt_pass pass, const falt_tensors *tensors)
{
    falt_plan *plan = plan_of(engine, conv, pass, engine->algorithm, 1000.0f);
    if (plan)
        engine->applied++;
    else
        plan = plan_of(engine, conv, pass, FALT_ALGO_AUTO, FALT_ACCURACY_AS_DIRECT);
    if (!plan)
        fail_msg("%s", falt_last_error());
    falt_plan_info info = {.struct_size = sizeof info};
    assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
    engine->inexact |= info.accuracy > 1.0;
    if (falt_execute(plan, tensors) != FALT_OK)
        fail_msg("%s", falt_last_error());
    falt_plan_destroy(plan);
}

static const char *name_of(const struct engine *engine)
{
    static char name[128];
    snprintf(name, sizeof name, "%s, %s, channels %s, %s", falt_algorithm_name(engine->algorithm), falt_isa_name(engine->isa),
             engine->layout == FALT_CHANNELS_LAST ? "last" : "first", engine->weights_layout == FALT_OIHW ? "OIHW" : "OHWI");
    return name;
}

/* ------------------------------------------------------------------------------------------------------------------- data */

enum { VECTORS = 32 };
static float *vectors[VECTORS];
static int vectors_used;

/* Guarded floats of a test case, freed together. */
static float *vector(int64_t n)
{
    assert_true(vectors_used < VECTORS);
    float *x = guarded(n, vectors_used & 1 ? AT_END : AT_BEGIN);
    vectors[vectors_used++] = x;
    return x;
}

static float *whole(struct random *random, int64_t n)
{
    float *x = vector(n);
    fill_integer(random, x, n);
    return x;
}

static float *real(struct random *random, int64_t n)
{
    float *x = vector(n);
    fill_uniform(random, x, n);
    return x;
}

static void free_vectors(void)
{
    while (vectors_used > 0)
        guarded_free(vectors[--vectors_used]);
}

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static double norm(const float *a, int64_t n)
{
    return sqrt(dot(a, a, n));
}

static void assert_equal_numbers(const struct engine *engine, const char *what, double a, double b, double scale)
{
    const double tolerance = engine->inexact ? 1e-5 * scale : 0.0;
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%s (%s): %.9g and %.9g, off by %.3g, allowed %.3g (FALTUNG_SEED=%llu)", what, name_of(engine), a, b,
                 fabs(a - b), tolerance, (unsigned long long)random_seed());
}

static void assert_equal_vectors(const struct engine *engine, const char *what, const float *a, const float *b, int64_t n)
{
    double most = 0.0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)b[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= (engine->inexact ? 2e-5 * most : 0.0)))
            fail_msg("%s (%s): element %lld of %lld is %.9g and %.9g (FALTUNG_SEED=%llu)", what, name_of(engine), (long long)i,
                     (long long)n, (double)a[i], (double)b[i], (unsigned long long)random_seed());
}

/* Where an element is: spatial[d] counted as the caller does, in conv->spatial_dims dimensions. */
static int64_t at(falt_layout layout, int dims, const int64_t size[], int64_t channels, int64_t n, int64_t c,
                  const int64_t spatial[])
{
    int64_t pixel = 0, pixels = 1;
    for (int d = 0; d < dims; d++) {
        pixel = pixel * size[d] + spatial[d];
        pixels *= size[d];
    }
    return layout == FALT_CHANNELS_LAST ? (n * pixels + pixel) * channels + c : (n * channels + c) * pixels + pixel;
}

static int64_t weight_at(falt_weights_layout layout, int dims, const int64_t kernel[], int64_t inputs, int64_t o, int64_t i,
                         const int64_t tap[])
{
    int64_t t = 0, taps = 1;
    for (int d = 0; d < dims; d++) {
        t = t * kernel[d] + tap[d];
        taps *= kernel[d];
    }
    return layout == FALT_OHWI ? (o * taps + t) * inputs + i : (o * inputs + i) * taps + t;
}

/* The next index of a box, the last dimension fastest; false after the last one. */
static bool step(int dims, const int64_t size[], int64_t index[])
{
    for (int d = dims - 1; d >= 0; d--) {
        if (++index[d] < size[d])
            return true;
        index[d] = 0;
    }
    return false;
}

/* A problem that any algorithm may find to its taste: every third is 3x3, stride 1. */
static void draw(struct random *random, falt_conv *conv, int kind)
{
    *conv = (falt_conv)FALT_CONV_INIT;
    conv->spatial_dims = (int32_t)(kind % 3 == 0 ? 2 : random_between(random, 1, 3));
    conv->batch = random_between(random, 1, 2);
    conv->groups = kind % 4 == 1 ? random_between(random, 2, 9) : 1;
    const int64_t most = conv->groups > 1 ? kind % 8 == 1 ? 1 : 4 : 20;
    conv->in_channels = conv->groups * random_between(random, 1, most);
    conv->out_channels = conv->groups * random_between(random, 1, most);
    for (int d = 0; d < conv->spatial_dims; d++) {
        conv->in[d] = random_between(random, 3, conv->spatial_dims == 3 ? 6 : 13);
        conv->kernel[d] = kind % 3 == 0 ? 3 : random_between(random, 1, 4);
        conv->stride[d] = kind % 3 == 0 ? 1 : random_between(random, 1, 3);
        conv->dilation[d] = kind % 3 == 0 ? 1 : random_between(random, 1, 2);
        conv->pad_begin[d] = kind % 3 == 0 ? 1 : random_between(random, 0, 4);
        conv->pad_end[d] = kind % 3 == 0 ? 1 : random_between(random, 0, 4);
    }
    conv->transposed = kind % 5 == 4;
}

/* False where it makes no convolution or the algorithm does nothing of it. */
static bool draw_for(const struct engine *engine, struct random *random, falt_conv *conv, int kind)
{
    falt_sizes sizes;
    draw(random, conv, kind);
    return falt_conv_sizes(conv, &sizes) == FALT_OK && applies(engine, conv);
}

static int some_count(void)
{
    return quick() ? 12 : 60;
}

/* ------------------------------------------------------------------------------------------------------ the bilinear form */

/* <conv(x, w), y> = <x, backward_data(y, w)> = <w, backward_weights(x, y)>, and the bias likewise. */
static void adjoint(struct engine *engine, struct random *random)
{
    for (int kind = 0; kind < some_count(); kind++) {
        falt_conv conv;
        falt_sizes s;
        if (!draw_for(engine, random, &conv, kind))
            continue;
        assert_int_equal(falt_conv_sizes(&conv, &s), FALT_OK);
        float *x = whole(random, s.src), *w = whole(random, s.weights), *y = whole(random, s.dst);
        float *ones = vector(s.bias), *zero = vector(s.src), *spread = vector(s.dst);
        float *ax = vector(s.dst), *aty = vector(s.src), *dw = vector(s.weights), *db = vector(s.bias);
        run(engine, &conv, FALT_FORWARD, &(falt_tensors){.src = x, .weights = w, .dst = ax});
        run(engine, &conv, FALT_BACKWARD_DATA, &(falt_tensors){.diff_dst = y, .weights = w, .diff_src = aty});
        run(engine, &conv, FALT_BACKWARD_WEIGHTS,
            &(falt_tensors){.src = x, .diff_dst = y, .diff_weights = dw, .diff_bias = db});
        const double scale = norm(ax, s.dst) * norm(y, s.dst);
        assert_equal_numbers(engine, "adjoint in x", dot(ax, y, s.dst), dot(x, aty, s.src), scale);
        assert_equal_numbers(engine, "adjoint in w", dot(ax, y, s.dst), dot(w, dw, s.weights), scale);

        /* The bias alone: <spread(b), y> = <b, db>. */
        fill_integer(random, ones, s.bias);
        memset(zero, 0, (size_t)s.src * sizeof *zero);
        run(engine, &conv, FALT_FORWARD, &(falt_tensors){.src = zero, .weights = w, .bias = ones, .dst = spread});
        assert_equal_numbers(engine, "adjoint in the bias", dot(spread, y, s.dst), dot(ones, db, s.bias),
                             norm(spread, s.dst) * norm(y, s.dst));
        free_vectors();
    }
}

static void test_adjoint(void **state)
{
    (void)state;
    for_each_engine(adjoint, 1);
}

/* z = 2x - 3y, elementwise. */
static float *combine(const float *x, const float *y, int64_t n)
{
    float *z = vector(n);
    for (int64_t i = 0; i < n; i++)
        z[i] = 2.0f * x[i] - 3.0f * y[i];
    return z;
}

static void linear(struct engine *engine, struct random *random)
{
    for (int kind = 0; kind < some_count(); kind++) {
        falt_conv conv;
        falt_sizes s;
        if (!draw_for(engine, random, &conv, kind))
            continue;
        assert_int_equal(falt_conv_sizes(&conv, &s), FALT_OK);
        float *in[2][2], *out[5]; /* x, x', w, w' */
        for (int i = 0; i < 2; i++) {
            in[0][i] = whole(random, s.src);
            in[1][i] = whole(random, s.weights);
        }
        for (int i = 0; i < 5; i++)
            out[i] = vector(s.dst);
        const float *x = combine(in[0][0], in[0][1], s.src), *w = combine(in[1][0], in[1][1], s.weights);
        run(engine, &conv, FALT_FORWARD, &(falt_tensors){.src = in[0][0], .weights = in[1][0], .dst = out[0]});
        run(engine, &conv, FALT_FORWARD, &(falt_tensors){.src = in[0][1], .weights = in[1][0], .dst = out[1]});
        run(engine, &conv, FALT_FORWARD, &(falt_tensors){.src = x, .weights = in[1][0], .dst = out[2]});
        assert_equal_vectors(engine, "linear in x", out[2], combine(out[0], out[1], s.dst), s.dst);
        run(engine, &conv, FALT_FORWARD, &(falt_tensors){.src = in[0][0], .weights = in[1][1], .dst = out[3]});
        run(engine, &conv, FALT_FORWARD, &(falt_tensors){.src = in[0][0], .weights = w, .dst = out[4]});
        assert_equal_vectors(engine, "linear in w", out[4], combine(out[0], out[3], s.dst), s.dst);

        /* The gradients in what arrives from behind; the other argument follows from the adjoint. */
        float *y[2] = {whole(random, s.dst), whole(random, s.dst)}, *dx[3], *dw[3];
        const float *mix[3] = {y[0], y[1], combine(y[0], y[1], s.dst)};
        for (int i = 0; i < 3; i++) {
            dx[i] = vector(s.src);
            dw[i] = vector(s.weights);
            run(engine, &conv, FALT_BACKWARD_DATA, &(falt_tensors){.diff_dst = mix[i], .weights = in[1][0], .diff_src = dx[i]});
            run(engine, &conv, FALT_BACKWARD_WEIGHTS,
                &(falt_tensors){.src = in[0][0], .diff_dst = mix[i], .diff_weights = dw[i]});
        }
        /* Over what has been there: a sum over two batches is the sum of two batches. */
        float *sum = vector(s.weights), *one = vector(s.bias), *both = vector(s.bias);
        engine->accumulate = true;
        memcpy(sum, dw[0], (size_t)s.weights * sizeof *sum);
        memset(one, 0, (size_t)s.bias * sizeof *one);
        memset(both, 0, (size_t)s.bias * sizeof *both);
        run(engine, &conv, FALT_BACKWARD_WEIGHTS,
            &(falt_tensors){.src = in[0][0], .diff_dst = mix[1], .diff_weights = sum, .diff_bias = both});
        run(engine, &conv, FALT_BACKWARD_WEIGHTS, &(falt_tensors){.src = in[0][0], .diff_dst = mix[1], .diff_bias = one});
        run(engine, &conv, FALT_BACKWARD_WEIGHTS, &(falt_tensors){.src = in[0][0], .diff_dst = mix[1], .diff_bias = both});
        engine->accumulate = false;
        for (int64_t i = 0; i < s.weights; i++)
            sum[i] -= dw[0][i];
        for (int64_t i = 0; i < s.bias; i++)
            both[i] -= one[i];
        assert_equal_vectors(engine, "accumulated weight gradient", sum, dw[1], s.weights);
        assert_equal_vectors(engine, "accumulated bias gradient", both, one, s.bias);

        assert_equal_vectors(engine, "backward data is linear", dx[2], combine(dx[0], dx[1], s.src), s.src);
        assert_equal_vectors(engine, "backward weights is linear", dw[2], combine(dw[0], dw[1], s.weights), s.weights);
        free_vectors();
    }
}

static void test_linear(void **state)
{
    (void)state;
    for_each_engine(linear, 2);
}

/* ----------------------------------------------------------------------------------------------------------- equivariance */

/* Shifting the input by `shift` strides in each dimension shifts the output by `shift` pixels, wherever neither the old nor the
 * new receptive field reaches beyond the image. (A transposed convolution: by `shift` pixels of input and strides of output.)
 */
static void equivariant(struct engine *engine, struct random *random)
{
    int64_t compared = 0;
    for (int kind = 0; kind < some_count(); kind++) {
        falt_conv conv;
        falt_sizes s;
        if (!draw_for(engine, random, &conv, kind) || conv.transposed)
            continue;
        for (int d = 0; d < conv.spatial_dims; d++)
            conv.in[d] += 6;
        conv.layout = engine->layout;
        assert_int_equal(falt_conv_sizes(&conv, &s), FALT_OK);
        const int dims = conv.spatial_dims;
        int64_t shift[FALT_MAX_DIMS], index[FALT_MAX_DIMS] = {0}, other[FALT_MAX_DIMS];
        for (int d = 0; d < dims; d++)
            shift[d] = random_between(random, 0, 2);
        float *x = whole(random, s.src), *shifted = whole(random, s.src), *w = whole(random, s.weights),
              *b = whole(random, s.bias);
        do {
            bool inside = true;
            for (int d = 0; d < dims; d++) {
                other[d] = index[d] + shift[d] * conv.stride[d];
                inside &= other[d] < conv.in[d];
            }
            for (int64_t n = 0; inside && n < conv.batch; n++)
                for (int64_t c = 0; c < conv.in_channels; c++)
                    shifted[at(conv.layout, dims, conv.in, conv.in_channels, n, c, other)] =
                        x[at(conv.layout, dims, conv.in, conv.in_channels, n, c, index)];
        } while (step(dims, conv.in, index));

        float *y = vector(s.dst), *z = vector(s.dst);
        run(engine, &conv, FALT_FORWARD, &(falt_tensors){.src = x, .weights = w, .bias = b, .dst = y});
        run(engine, &conv, FALT_FORWARD, &(falt_tensors){.src = shifted, .weights = w, .bias = b, .dst = z});
        float *left = vector(s.dst), *right = vector(s.dst);
        int64_t count = 0;
        do {
            bool inside = true;
            for (int d = 0; d < dims; d++) {
                const int64_t first = index[d] * conv.stride[d] - conv.pad_begin[d];
                const int64_t last = first + (conv.kernel[d] - 1) * conv.dilation[d];
                other[d] = index[d] + shift[d];
                inside &= first >= 0 && last + shift[d] * conv.stride[d] < conv.in[d] && other[d] < s.out[d];
            }
            for (int64_t n = 0; inside && n < conv.batch; n++)
                for (int64_t c = 0; c < conv.out_channels; c++) {
                    left[count] = y[at(conv.layout, dims, s.out, conv.out_channels, n, c, index)];
                    right[count++] = z[at(conv.layout, dims, s.out, conv.out_channels, n, c, other)];
                }
        } while (step(dims, s.out, index));
        assert_equal_vectors(engine, "equivariance", right, left, count);
        compared += count;
        free_vectors();
    }
    assert_true(compared > 0 || engine->algorithm > FALT_ALGO_REFERENCE);
}

static void test_equivariant(void **state)
{
    (void)state;
    for_each_engine(equivariant, 3);
}

/* -------------------------------------------------------------------------------------------------- transposed convolution */

/* A transposed convolution is the backward data pass of the convolution with the same weights, its backward data pass the
 * forward one, and its weight gradient the same with the tensors exchanged. */
static void transposed_is_adjoint(struct engine *engine, struct random *random)
{
    for (int kind = 0; kind < some_count(); kind++) {
        falt_conv conv;
        falt_sizes s, t;
        if (!draw_for(engine, random, &conv, kind) || conv.transposed)
            continue;
        assert_int_equal(falt_conv_sizes(&conv, &s), FALT_OK);
        falt_conv back = conv;
        back.transposed = 1;
        back.in_channels = conv.out_channels;
        back.out_channels = conv.in_channels;
        for (int d = 0; d < conv.spatial_dims; d++) {
            back.in[d] = s.out[d];
            const int64_t size = (s.out[d] - 1) * conv.stride[d] + conv.dilation[d] * (conv.kernel[d] - 1) + 1 -
                                 conv.pad_begin[d] - conv.pad_end[d];
            back.output_padding[d] = conv.in[d] - size; /* what the stride left over */
            assert_in_range(back.output_padding[d], 0, conv.stride[d] - 1);
        }
        assert_int_equal(falt_conv_sizes(&back, &t), FALT_OK);
        assert_int_equal(t.src, s.dst);
        assert_int_equal(t.dst, s.src);
        assert_int_equal(t.weights, s.weights);
        assert_memory_equal(t.out, conv.in, (size_t)conv.spatial_dims * sizeof *t.out);

        float *x = whole(random, s.src), *y = whole(random, s.dst), *w = whole(random, s.weights);
        float *a = vector(s.src), *b = vector(s.src), *c = vector(s.dst), *d = vector(s.dst);
        float *e = vector(s.weights), *f = vector(s.weights);
        run(engine, &back, FALT_FORWARD, &(falt_tensors){.src = y, .weights = w, .dst = a});
        run(engine, &conv, FALT_BACKWARD_DATA, &(falt_tensors){.diff_dst = y, .weights = w, .diff_src = b});
        assert_equal_vectors(engine, "transposed forward", a, b, s.src);
        run(engine, &back, FALT_BACKWARD_DATA, &(falt_tensors){.diff_dst = x, .weights = w, .diff_src = c});
        run(engine, &conv, FALT_FORWARD, &(falt_tensors){.src = x, .weights = w, .dst = d});
        assert_equal_vectors(engine, "transposed backward data", c, d, s.dst);
        run(engine, &back, FALT_BACKWARD_WEIGHTS, &(falt_tensors){.src = y, .diff_dst = x, .diff_weights = e});
        run(engine, &conv, FALT_BACKWARD_WEIGHTS, &(falt_tensors){.src = x, .diff_dst = y, .diff_weights = f});
        assert_equal_vectors(engine, "transposed backward weights", e, f, s.weights);
        free_vectors();
    }
}

static void test_transposed_is_adjoint(void **state)
{
    (void)state;
    for_each_engine(transposed_is_adjoint, 4);
}

/*
 * Fractional stride: a transposed convolution of stride s is a convolution of stride 1 with the flipped kernel, its channels
 * exchanged, over the input with s-1 zeros between pixels and a padding of d(k-1) - p.
 */
static void transposed_by_insertion(struct engine *engine, struct random *random)
{
    int done = 0;
    for (int kind = 0; kind < 2 * some_count(); kind++) {
        falt_conv conv;
        falt_sizes s, t;
        draw(random, &conv, kind);
        conv.transposed = 1;
        falt_conv plain = conv;
        plain.transposed = 0;
        bool possible = true;
        for (int d = 0; d < conv.spatial_dims; d++) {
            const int64_t reach = conv.dilation[d] * (conv.kernel[d] - 1);
            conv.output_padding[d] = random_between(random, 0, 2);
            plain.in[d] = (conv.in[d] - 1) * conv.stride[d] + 1;
            plain.stride[d] = 1;
            plain.pad_begin[d] = reach - conv.pad_begin[d];
            plain.pad_end[d] = reach - conv.pad_end[d] + conv.output_padding[d];
            possible &= plain.pad_begin[d] >= 0 && plain.pad_end[d] >= 0;
        }
        if (!possible || falt_conv_sizes(&conv, &s) != FALT_OK || !(applies(engine, &conv) || applies(engine, &plain)))
            continue;
        done++;
        assert_int_equal(falt_conv_sizes(&plain, &t), FALT_OK);
        assert_memory_equal(t.out, s.out, sizeof t.out);
        const int dims = conv.spatial_dims;
        float *x = whole(random, s.src), *w = whole(random, s.weights), *stretched = vector(t.src),
              *flipped = vector(t.weights);
        memset(stretched, 0, (size_t)t.src * sizeof *stretched);
        int64_t index[FALT_MAX_DIMS] = {0}, other[FALT_MAX_DIMS];
        do {
            for (int d = 0; d < dims; d++)
                other[d] = index[d] * conv.stride[d];
            for (int64_t n = 0; n < conv.batch; n++)
                for (int64_t c = 0; c < conv.in_channels; c++)
                    stretched[at(engine->layout, dims, plain.in, conv.in_channels, n, c, other)] =
                        x[at(engine->layout, dims, conv.in, conv.in_channels, n, c, index)];
        } while (step(dims, conv.in, index));
        const int64_t in_group = conv.in_channels / conv.groups, out_group = conv.out_channels / conv.groups;
        do {
            for (int d = 0; d < dims; d++)
                other[d] = conv.kernel[d] - 1 - index[d];
            for (int64_t g = 0; g < conv.groups; g++)
                for (int64_t i = 0; i < in_group; i++)
                    for (int64_t o = 0; o < out_group; o++)
                        flipped[weight_at(engine->weights_layout, dims, conv.kernel, in_group, g * out_group + o, i, other)] =
                            w[weight_at(engine->weights_layout, dims, conv.kernel, out_group, g * in_group + i, o, index)];
        } while (step(dims, conv.kernel, index));
        float *b = whole(random, s.bias), *y = vector(s.dst), *z = vector(s.dst);
        run(engine, &conv, FALT_FORWARD, &(falt_tensors){.src = x, .weights = w, .bias = b, .dst = y});
        run(engine, &plain, FALT_FORWARD, &(falt_tensors){.src = stretched, .weights = flipped, .bias = b, .dst = z});
        assert_equal_vectors(engine, "zero insertion", y, z, s.dst);
        free_vectors();
    }
    assert_true(done >= some_count() / 6 || engine->algorithm != FALT_ALGO_REFERENCE);
}

static void test_transposed_by_insertion(void **state)
{
    (void)state;
    for_each_engine(transposed_by_insertion, 5);
}

/* ------------------------------------------------------------------------------------------------------------- derivatives */

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double derivative(falt_activation activation, double x)
{
    const double s = sigmoid(x);
    switch (activation) {
    case FALT_ACT_SIGMOID:
        return s * (1.0 - s);
    case FALT_ACT_SILU:
        return s + x * s * (1.0 - s);
    default:
        return 1.0;
    }
}

/* A layer with its parameters and its gradients. */
struct layer {
    falt_conv conv;
    falt_sizes sizes;
    float *weights, *bias, *sum, *out; /* sum: before the activation */
    float *diff_out, *diff_sum, *diff_weights, *diff_bias, *diff_in;
};

static struct layer layer_of(struct random *random, const falt_conv *conv)
{
    struct layer l = {.conv = *conv};
    assert_int_equal(falt_conv_sizes(conv, &l.sizes), FALT_OK);
    l.weights = real(random, l.sizes.weights);
    for (int64_t i = 0; i < l.sizes.weights; i++)
        l.weights[i] *= 0.5f;
    l.bias = real(random, l.sizes.bias);
    l.sum = vector(l.sizes.dst);
    l.out = vector(l.sizes.dst);
    l.diff_out = vector(l.sizes.dst);
    l.diff_sum = vector(l.sizes.dst);
    l.diff_weights = vector(l.sizes.weights);
    l.diff_bias = vector(l.sizes.bias);
    l.diff_in = vector(l.sizes.src);
    return l;
}

static void forward(struct engine *engine, struct layer *l, const float *in)
{
    falt_conv linear_part = l->conv;
    linear_part.activation = FALT_ACT_NONE;
    run(engine, &linear_part, FALT_FORWARD, &(falt_tensors){.src = in, .weights = l->weights, .bias = l->bias, .dst = l->sum});
    run(engine, &l->conv, FALT_FORWARD, &(falt_tensors){.src = in, .weights = l->weights, .bias = l->bias, .dst = l->out});
}

/* From diff_out to all the others. */
static void backward(struct engine *engine, struct layer *l, const float *in)
{
    falt_conv linear_part = l->conv;
    linear_part.activation = FALT_ACT_NONE;
    for (int64_t i = 0; i < l->sizes.dst; i++)
        l->diff_sum[i] = (float)((double)l->diff_out[i] * derivative(l->conv.activation, (double)l->sum[i]));
    run(engine, &linear_part, FALT_BACKWARD_DATA,
        &(falt_tensors){.diff_dst = l->diff_sum, .weights = l->weights, .diff_src = l->diff_in});
    run(engine, &linear_part, FALT_BACKWARD_WEIGHTS,
        &(falt_tensors){.src = in, .diff_dst = l->diff_sum, .diff_weights = l->diff_weights, .diff_bias = l->diff_bias});
}

/* src -> layers -> 1/2 |out - target|^2 */
struct network {
    struct layer layers[2];
    int depth;
    float *src, *target;
};

static double loss(struct engine *engine, struct network *net)
{
    const float *in = net->src;
    for (int i = 0; i < net->depth; i++) {
        forward(engine, &net->layers[i], in);
        in = net->layers[i].out;
    }
    const struct layer *last = &net->layers[net->depth - 1];
    double sum = 0.0;
    for (int64_t i = 0; i < last->sizes.dst; i++) {
        const double difference = (double)last->out[i] - (double)net->target[i];
        sum += 0.5 * difference * difference;
    }
    return sum;
}

/* The chain rule. */
static void gradients(struct engine *engine, struct network *net)
{
    loss(engine, net);
    struct layer *last = &net->layers[net->depth - 1];
    for (int64_t i = 0; i < last->sizes.dst; i++)
        last->diff_out[i] = last->out[i] - net->target[i];
    for (int i = net->depth - 1; i >= 0; i--) {
        backward(engine, &net->layers[i], i ? net->layers[i - 1].out : net->src);
        if (i)
            memcpy(net->layers[i - 1].diff_out, net->layers[i].diff_in, (size_t)net->layers[i].sizes.src * sizeof(float));
    }
}

/* The slope of the loss along a random direction in one parameter is the gradient's projection on it. By central differences of
 * fourth order: the sums of a layer bend so much that those of second order need a tolerance that hides mistakes. */
static void check_slope(struct engine *engine, struct network *net, struct random *random, float *parameter,
                        const float *gradient, int64_t n, const char *what)
{
    const double h = 1.0 / 128.0;
    float *original = malloc((size_t)n * sizeof *original), *direction = malloc((size_t)n * sizeof *direction);
    assert_true(original && direction);
    memcpy(original, parameter, (size_t)n * sizeof *original);
    double expected = 0.0, at[4], square = 0.0;
    for (int64_t i = 0; i < n; i++) {
        direction[i] = random_between(random, 0, 1) ? 1.0f : -1.0f;
        expected += (double)gradient[i] * (double)direction[i];
        square += (double)gradient[i] * (double)gradient[i];
    }
    /* Not all steps may fit the curvature: scale the direction to length 1 or so. */
    const double length = h / sqrt((double)n) * 4.0;
    static const double steps[4] = {-2.0, -1.0, 1.0, 2.0};
    for (int k = 0; k < 4; k++) {
        for (int64_t i = 0; i < n; i++)
            parameter[i] = (float)((double)original[i] + steps[k] * length * (double)direction[i]);
        at[k] = loss(engine, net);
    }
    memcpy(parameter, original, (size_t)n * sizeof *original);
    const double slope = (8.0 * (at[2] - at[1]) - (at[3] - at[0])) / (12.0 * length);
    /* Curvature of fifth order, and rounding in the loss over the step. */
    const double tolerance = 5e-4 * sqrt(square) + 2e-6 * fabs(at[1]) / length;
    if (!(fabs(slope - expected) <= tolerance))
        fail_msg("gradient of %s (%s): slope %.6g, gradient says %.6g, allowed %.3g (FALTUNG_SEED=%llu)", what, name_of(engine),
                 slope, expected, tolerance, (unsigned long long)random_seed());
    free(original);
    free(direction);
}

static falt_conv layer_conv(int64_t in_channels, int64_t out_channels, int64_t size, int64_t kernel, int64_t stride,
                            falt_activation activation)
{
    falt_conv conv = FALT_CONV_INIT;
    conv.batch = 2;
    conv.in_channels = in_channels;
    conv.out_channels = out_channels;
    conv.activation = activation;
    for (int d = 0; d < 2; d++) {
        conv.in[d] = size;
        conv.kernel[d] = kernel;
        conv.stride[d] = stride;
        conv.pad_begin[d] = conv.pad_end[d] = kernel / 2;
    }
    return conv;
}

static void one_layer(struct engine *engine, struct random *random)
{
    for (int kind = 0; kind < some_count() / 4; kind++) {
        falt_conv conv;
        if (!draw_for(engine, random, &conv, kind))
            continue;
        conv.activation = kind % 2 ? FALT_ACT_SIGMOID : FALT_ACT_SILU;
        struct network net = {.depth = 1};
        net.layers[0] = layer_of(random, &conv);
        struct layer *l = &net.layers[0];
        net.src = real(random, l->sizes.src);
        net.target = real(random, l->sizes.dst);
        gradients(engine, &net);
        check_slope(engine, &net, random, net.src, l->diff_in, l->sizes.src, "src");
        check_slope(engine, &net, random, l->weights, l->diff_weights, l->sizes.weights, "weights");
        check_slope(engine, &net, random, l->bias, l->diff_bias, l->sizes.bias, "bias");
        free_vectors();
    }
}

static void test_finite_differences(void **state)
{
    (void)state;
    for_each_engine(one_layer, 6);
}

/* src -> H1 -> H2 -> loss; then a few steps of gradient descent, each of which must go down. */
static void two_layers(struct engine *engine, struct random *random)
{
    const falt_conv first = layer_conv(5, 17, 8, 3, 1, FALT_ACT_SILU), second = layer_conv(17, 6, 8, 3, 2, FALT_ACT_SIGMOID);
    if (!applies(engine, &first) && !applies(engine, &second))
        return;
    struct network net = {.depth = 2};
    net.layers[0] = layer_of(random, &first);
    net.layers[1] = layer_of(random, &second);
    struct layer *l = net.layers;
    net.src = real(random, l[0].sizes.src);
    net.target = real(random, l[1].sizes.dst);
    gradients(engine, &net);
    check_slope(engine, &net, random, net.src, l[0].diff_in, l[0].sizes.src, "src");
    static const char *const names[2][2] = {{"w1", "b1"}, {"w2", "b2"}};
    for (int i = 0; i < 2; i++) {
        check_slope(engine, &net, random, l[i].weights, l[i].diff_weights, l[i].sizes.weights, names[i][0]);
        check_slope(engine, &net, random, l[i].bias, l[i].diff_bias, l[i].sizes.bias, names[i][1]);
    }
    double before = loss(engine, &net);
    for (int turn = 0; turn < 4; turn++) {
        gradients(engine, &net);
        for (int i = 0; i < 2; i++) {
            for (int64_t k = 0; k < l[i].sizes.weights; k++)
                l[i].weights[k] -= 2e-3f * l[i].diff_weights[k];
            for (int64_t k = 0; k < l[i].sizes.bias; k++)
                l[i].bias[k] -= 2e-3f * l[i].diff_bias[k];
        }
        const double after = loss(engine, &net);
        if (!(after < before))
            fail_msg("descent (%s): the loss went from %.9g to %.9g", name_of(engine), before, after);
        before = after;
    }
    free_vectors();
}

static void test_two_layers(void **state)
{
    (void)state;
    for_each_engine(two_layers, 7);
}

/* ----------------------------------------------------------------------------------------------------- the textbook cases */

/* y = A x and z = A' y for a matrix written out by hand. */
static void check_matrix(struct engine *engine, const falt_conv *conv, const float *matrix, int64_t rows, int64_t columns,
                         const float *w, struct random *random, const char *what)
{
    falt_sizes s;
    if (!applies(engine, conv))
        return;
    assert_int_equal(falt_conv_sizes(conv, &s), FALT_OK);
    assert_int_equal(s.src, columns);
    assert_int_equal(s.dst, rows);
    float *x = whole(random, columns), *y = whole(random, rows);
    float *ax = vector(rows), *aty = vector(columns), *expected_ax = vector(rows), *expected_aty = vector(columns);
    for (int64_t r = 0; r < rows; r++)
        expected_ax[r] = (float)dot(matrix + r * columns, x, columns);
    for (int64_t c = 0; c < columns; c++) {
        double sum = 0.0;
        for (int64_t r = 0; r < rows; r++)
            sum += (double)matrix[r * columns + c] * (double)y[r];
        expected_aty[c] = (float)sum;
    }
    run(engine, conv, FALT_FORWARD, &(falt_tensors){.src = x, .weights = w, .dst = ax});
    assert_equal_vectors(engine, what, ax, expected_ax, rows);
    run(engine, conv, FALT_BACKWARD_DATA, &(falt_tensors){.diff_dst = y, .weights = w, .diff_src = aty});
    assert_equal_vectors(engine, what, aty, expected_aty, columns);

    /* The same transposed matrix as a layer of its own. */
    falt_conv transposed = *conv;
    transposed.transposed = 1;
    for (int d = 0; d < conv->spatial_dims; d++)
        transposed.in[d] = s.out[d];
    run(engine, &transposed, FALT_FORWARD, &(falt_tensors){.src = y, .weights = w, .dst = aty});
    assert_equal_vectors(engine, what, aty, expected_aty, columns);
    free_vectors();
}

static void textbook(struct engine *engine, struct random *random)
{
    /* s = x * w, five samples, "same". The signal processor's convolution flips w, a layer's weights are already flipped. */
    enum { A = 2, B = -3, C = 5 };
    static const float w[] = {C, B, A};
    static const float toeplitz[5][5] = {
        {B, A, 0, 0, 0}, {C, B, A, 0, 0}, {0, C, B, A, 0}, {0, 0, C, B, A}, {0, 0, 0, C, B},
    };
    falt_conv line = FALT_CONV_INIT;
    line.spatial_dims = 1;
    line.in[0] = 5;
    line.kernel[0] = 3;
    line.pad_begin[0] = line.pad_end[0] = 1;
    check_matrix(engine, &line, toeplitz[0], 5, 5, w, random, "5x5 Toeplitz matrix");

    /* A 3x3 image and a 2x2 kernel. */
    enum { P = 1, Q = -2, R = 3, S = 4 };
    static const float kernel[] = {P, Q, R, S};
    static const float block_toeplitz[4][9] = {
        {P, Q, 0, R, S, 0, 0, 0, 0},
        {0, P, Q, 0, R, S, 0, 0, 0},
        {0, 0, 0, P, Q, 0, R, S, 0},
        {0, 0, 0, 0, P, Q, 0, R, S},
    };
    falt_conv image = FALT_CONV_INIT;
    image.in[0] = image.in[1] = 3;
    image.kernel[0] = image.kernel[1] = 2;
    check_matrix(engine, &image, block_toeplitz[0], 4, 9, kernel, random, "4x9 doubly block Toeplitz matrix");
}

static void test_textbook(void **state)
{
    (void)state;
    for_each_engine(textbook, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adjoint),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_equivariant),
        cmocka_unit_test(test_transposed_is_adjoint),
        cmocka_unit_test(test_transposed_by_insertion),
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_two_layers),
        cmocka_unit_test(test_textbook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
