/*
 * Whole convolutions: every solver x instruction set x pass x layout x weights layout x threads over a table of awkward shapes
 * and thousands of random ones, against the reference solver (which test_reference.c holds to the definition).
 *
 * All tensors lie flush against inaccessible pages, outputs start as NaN, workspaces have exactly the size asked for, an odd
 * address and garbage inside. Packed or plain weights and any number of threads must give the same bits, and so must all
 * instruction sets where one chain of fused multiply-adds makes each sum. With small whole numbers as data every sum is exact
 * in fp32, so solvers that sum directly must agree to the last bit whatever their order; with real numbers the error must be
 * below falt_plan_error_bound and, typically, near plain fp32 summation's.
 *
 * FALTUNG_TEST_QUICK=1 takes fewer problems, for emulators and sanitizers.
 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "faltung.h"
#include "problem.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static bool quick(void)
{
    const char *value = getenv("FALTUNG_TEST_QUICK");
    return value && value[0] && strcmp(value, "0") != 0;
}

/* Random problems, fewer in a hurry, but on until one met what they are for: which do depends on the seed and the lanes. */
static bool more(int done, int hurried, int thorough, bool met)
{
    const int least = quick() ? hurried : thorough;
    return done < least || (!met && done < 20 * least);
}

/* One problem with all that decides what is computed. */
struct trial {
    falt_conv conv;
    bool bias, residual, in_place; /* forward; in_place: residual is dst itself */
    bool accumulate;               /* backward weights */
    bool whole;                    /* data: small whole numbers, or reals */
    bool warm;
    int thread_counts; /* how many of threads_tried */
};

static const int32_t threads_tried[] = {1, 3, 7};

static struct {
    int64_t executed, refused;
} tally[FALT_ALGO_COUNT];

/* The next corner that a tensor is pushed into; cycles with a period that has no factor in common with the loops around. */
static enum guard_side next_side(void)
{
    static unsigned count;
    static const enum guard_side sides[] = {AT_END, AT_BEGIN, AT_END, OFF_BY_FOUR, AT_BEGIN, AT_END, AT_BEGIN};
    return sides[count++ % LENGTH(sides)];
}

/*
 * Exactly `size` bytes (a multiple of 4), 4 to 60 bytes off any alignment by 64, between guard pages and full of NaN:
 *
 *     guard | shift | bytes | guard       or       guard | bytes | shift | guard
 */
struct block {
    float *base;
    int64_t floats, shift;
    unsigned char *bytes;
};

static struct block block_of(size_t size)
{
    static unsigned count;
    count++;
    struct block block = {.floats = (int64_t)(size / 4), .shift = 1 + count % 15};
    assert_int_equal(size % 4, 0);
    const bool front = count / 15 & 1;
    block.base = guarded(block.floats + block.shift, front ? AT_END : AT_BEGIN);
    block.bytes = (unsigned char *)(block.base + (front ? 0 : block.shift));
    return block;
}

/* The canaries in the gap; those around the whole are guarded_free's. */
static bool block_intact(const struct block *block)
{
    const float *gap = (const unsigned char *)block->base == block->bytes ? block->base + block->floats : block->base;
    for (int64_t i = 0; i < block->shift; i++)
        if (!is_canary(gap[i]))
            return false;
    return true;
}

/* -------------------------------------------------------------------------------------------------------------- one trial */

struct inputs {
    falt_sizes sizes;
    float *src, *weights, *bias, *residual, *diff_dst, *initial; /* initial: of the weight gradients */
};

static float *input(struct random *random, int64_t n, bool whole)
{
    float *x = guarded(n, next_side());
    (whole ? fill_integer : fill_uniform)(random, x, n);
    return x;
}

static struct inputs inputs_of(struct random *random, const struct trial *trial)
{
    struct inputs in = {0};
    assert_int_equal(falt_conv_sizes(&trial->conv, &in.sizes), FALT_OK);
    in.src = input(random, in.sizes.src, trial->whole);
    in.weights = input(random, in.sizes.weights, trial->whole);
    in.bias = input(random, in.sizes.bias, trial->whole);
    in.residual = input(random, in.sizes.dst, trial->whole);
    in.diff_dst = input(random, in.sizes.dst, trial->whole);
    in.initial = input(random, in.sizes.weights + in.sizes.bias, trial->whole);
    return in;
}

static void inputs_free(struct inputs *in)
{
    guarded_free(in->src);
    guarded_free(in->weights);
    guarded_free(in->bias);
    guarded_free(in->residual);
    guarded_free(in->diff_dst);
    guarded_free(in->initial);
}

/* Floats that a pass writes: the weights' gradient is followed by the bias'. */
static int64_t output_count(const falt_sizes *sizes, falt_pass pass)
{
    return pass == FALT_FORWARD ? sizes->dst : pass == FALT_BACKWARD_DATA ? sizes->src : sizes->weights + sizes->bias;
}

/* The tensors but for workspace and packed weights. second: the bias' gradient. */
static falt_tensors tensors_of(const struct trial *trial, const struct inputs *in, falt_pass pass, float *out, float *second)
{
    switch (pass) {
    case FALT_FORWARD:
        return (falt_tensors){.src = in->src,
                              .weights = in->weights,
                              .bias = trial->bias ? in->bias : NULL,
                              .residual = !trial->residual  ? NULL
                                          : trial->in_place ? out
                                                            : in->residual,
                              .dst = out};
    case FALT_BACKWARD_DATA:
        return (falt_tensors){.diff_dst = in->diff_dst, .weights = in->weights, .diff_src = out};
    default:
        return (falt_tensors){
            .src = in->src, .diff_dst = in->diff_dst, .diff_weights = out, .diff_bias = trial->bias ? second : NULL};
    }
}

/* The bias' gradient, which all solvers may have from one function, against sums of its own. */
static void check_bias(const struct trial *trial, const struct inputs *in, const float *found, const char *title)
{
    const int64_t channels = trial->conv.out_channels, pixels = in->sizes.dst / channels; /* of all images */
    const bool last = trial->conv.layout == FALT_NHWC;
    const int64_t plane = trial->conv.batch ? pixels / trial->conv.batch : 0;
    for (int64_t c = 0; c < channels; c++) {
        double sum = trial->accumulate ? (double)in->initial[in->sizes.weights + c] : 0.0, magnitude = fabs(sum);
        for (int64_t i = 0; i < pixels; i++) {
            const float y = in->diff_dst[last ? i * channels + c : (i / plane * channels + c) * plane + i % plane];
            sum += (double)y;
            magnitude += fabs((double)y);
        }
        if (fabs((double)found[c] - sum) > (trial->whole ? 0.0 : 1e-6 * magnitude))
            fail_msg("%s: the bias' gradient of channel %d is %g, not %g", title, (int)c, (double)found[c], sum);
    }
}

/* One execution in fresh guarded memory; the result is the caller's to free. */
static float *execute(const falt_plan *plan, const struct trial *trial, const struct inputs *in, falt_pass pass, bool packed,
                      const char *title)
{
    const int64_t count = output_count(&in->sizes, pass), first = pass == FALT_BACKWARD_WEIGHTS ? in->sizes.weights : count;
    float *out = guarded(first, next_side()), *second = guarded(count - first, next_side());
    if (pass == FALT_FORWARD && trial->residual && trial->in_place)
        memcpy(out, in->residual, (size_t)count * sizeof *out);
    if (pass == FALT_BACKWARD_WEIGHTS && trial->accumulate) {
        memcpy(out, in->initial, (size_t)first * sizeof *out);
        memcpy(second, in->initial + first, (size_t)(count - first) * sizeof *out);
    }
    falt_tensors tensors = tensors_of(trial, in, pass, out, second);

    struct block stored = {0};
    if (packed) {
        /* Packed at one place, used at another. */
        const size_t size = falt_plan_packed_weights_size(plan);
        struct block made = block_of(size);
        assert_int_equal(falt_pack_weights(plan, in->weights, made.bytes, size), FALT_OK);
        stored = block_of(size);
        memcpy(stored.bytes, made.bytes, size);
        memset(made.bytes, 0xff, size);
        if (!block_intact(&made))
            fail_msg("%s: written outside of the packed weights", title);
        guarded_free(made.base);
        tensors.weights = NULL;
        tensors.packed_weights = stored.bytes;
    }
    const size_t size = falt_plan_workspace_size(plan, packed);
    struct block workspace = block_of(size);
    tensors.workspace = workspace.bytes;
    tensors.workspace_size = size;
    const falt_status status = falt_execute(plan, &tensors);
    if (status != FALT_OK)
        fail_msg("%s: %s: %s", title, falt_status_string(status), falt_last_error());
    if (!block_intact(&workspace))
        fail_msg("%s: written outside of the workspace", title);
    guarded_free(workspace.base);
    guarded_free(stored.base);

    if (pass == FALT_BACKWARD_WEIGHTS && trial->bias)
        check_bias(trial, in, second, title);
    float *result = malloc((size_t)(count + 1) * sizeof *result);
    assert_non_null(result);
    memcpy(result, out, (size_t)first * sizeof *out);
    memcpy(result + first, second, (size_t)(count - first) * sizeof *out);
    guarded_free(out);
    guarded_free(second);
    return result;
}

/* Activations whose result on whole numbers is exact. */
static bool exact_activation(const falt_conv *conv)
{
    return conv->activation <= FALT_ACT_LEAKY;
}

static void compare(const float *result, const float *reference, int64_t count, const falt_plan *plan,
                    const struct trial *trial, const struct inputs *in, falt_pass pass, const char *title)
{
    falt_plan_info info = {.struct_size = sizeof info};
    assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
    assert_true(info.predicted_seconds >= 0.0 && isfinite(info.predicted_seconds));
    const double unit = ldexp(1.0, -24);
    const int64_t sums = pass == FALT_BACKWARD_WEIGHTS ? in->sizes.weights : count; /* elements before the bias' gradient */
    const bool exact = trial->whole && info.accuracy <= 1.0 && exact_activation(&trial->conv);

    double bound = 0.0;
    falt_tensors tensors = tensors_of(trial, in, pass, NULL, NULL);
    if (pass == FALT_BACKWARD_WEIGHTS)
        tensors.diff_weights = in->initial; /* what is accumulated to; otherwise only its presence counts */
    if (trial->residual && pass == FALT_FORWARD)
        tensors.residual = in->residual;
    assert_int_equal(falt_plan_error_bound(plan, &tensors, &bound), FALT_OK);
    if (!(bound >= 0.0 && isfinite(bound)))
        fail_msg("%s: error bound %g", title, bound);

    double *expected = malloc((size_t)(count + 1) * sizeof *expected);
    double *tolerance = malloc((size_t)(count + 1) * sizeof *tolerance);
    assert_true(expected && tolerance);
    const double pixels = (double)in->sizes.dst / (double)in->sizes.bias;
    double error = 0.0, norm = 0.0;
    for (int64_t i = 0; i < count; i++) {
        expected[i] = (double)reference[i];
        /* The oracle's own rounding, and the activation's few units. */
        tolerance[i] = exact ? 0.0 : 32.0 * unit * fabs(expected[i]) + (i < sums ? bound : 8.0 * unit * (pixels + 1.0));
        if (i < sums) {
            const double e = (double)result[i] - expected[i];
            error += e * e;
            norm += expected[i] * expected[i];
        }
    }
    const int64_t written = pass == FALT_BACKWARD_WEIGHTS && !trial->bias ? sums : count;
    check_within(result, expected, tolerance, written, "%s", title);

    /* Few elements may all cancel by chance. */
    if (trial->conv.activation == FALT_ACT_NONE && sums >= 64) {
        const double terms = pass == FALT_BACKWARD_WEIGHTS ? pixels : in->sizes.multiply_adds / (double)sums;
        /* A transform's error follows the size of its tile, most of which may be padding. */
        const double slack = info.accuracy > 1.0 ? 10.0 : 4.0;
        const double limit = slack * fmax(1.0, info.accuracy) * unit * sqrt(terms) + 1e-6;
        if (norm > 0.0 && sqrt(error) > limit * sqrt(norm)) /* it is 0 where all that is seen is padding */
            fail_msg("%s: relative L2 error %.3g, limit %.3g (FALTUNG_SEED=%llu)", title, sqrt(error / norm), limit,
                     (unsigned long long)random_seed());
    }
    free(expected);
    free(tolerance);
}

static falt_options options_of(const struct trial *trial, falt_pass pass, falt_algorithm algorithm, falt_isa isa,
                               int32_t threads)
{
    falt_options options = FALT_OPTIONS_INIT;
    options.algorithm = algorithm;
    options.isa = isa;
    options.threads = threads;
    options.accumulate = pass == FALT_BACKWARD_WEIGHTS && trial->accumulate;
    options.warm_weights = trial->warm;
    options.accuracy = 1000.0f; /* whatever there is: each is judged by what it says of itself */
    return options;
}

static const char *title_of(const struct trial *trial, falt_pass pass, const falt_options *options, const char *variant)
{
    static char title[512];
    struct problem problem;
    char text[256] = "?";
    if (falt_problem_init(&problem, &trial->conv, pass, options) == FALT_OK)
        falt_problem_print(&problem, text, sizeof text);
    snprintf(title, sizeof title, "%s%s; weights %s%s%s%s%s; %s data; %s, %s, %d threads, %s", text,
             trial->conv.layout == FALT_NHWC ? ", channels last" : ", channels first",
             trial->conv.weights_layout == FALT_OIHW ? "OIHW" : "OHWI", trial->bias ? ", bias" : "",
             !trial->residual  ? ""
             : trial->in_place ? ", residual in place"
                               : ", residual",
             trial->accumulate ? ", accumulate" : "", trial->warm ? ", warm" : "", trial->whole ? "whole" : "real",
             falt_algorithm_name(options->algorithm), falt_isa_name(options->isa), (int)options->threads, variant);
    return title;
}

static falt_isa best_isa(void)
{
    static falt_cpu cpu;
    if (!cpu.struct_size) {
        cpu.struct_size = sizeof cpu;
        assert_int_equal(falt_cpu_info(&cpu), FALT_OK);
    }
    return cpu.isa;
}

static bool usable_isa(falt_isa isa)
{
    falt_cpu cpu = {.struct_size = sizeof cpu};
    assert_int_equal(falt_cpu_info(&cpu), FALT_OK);
    return (cpu.isas & 1u << isa) && isa <= best_isa();
}

/* Solvers whose sums are one chain of fused multiply-adds in one and the same order, on every instruction set: the planner
 * chooses among them as it likes. Where the compiler may not use such an instruction in portable C (__FP_FAST_FMAF), the scalar
 * table rounds products, too. */
static bool is_plain_chain(falt_algorithm algorithm, falt_isa isa, falt_pass pass)
{
#ifdef __FP_FAST_FMAF
    const bool fused = true;
#else
    const bool fused = isa != FALT_ISA_SCALAR;
#endif
    (void)isa;
    return fused && pass != FALT_BACKWARD_WEIGHTS && (algorithm == FALT_ALGO_DIRECT || algorithm == FALT_ALGO_IM2COL);
}

static void try_pass(const struct trial *trial, const struct inputs *in, falt_pass pass)
{
    const int64_t count = output_count(&in->sizes, pass);
    falt_options options = options_of(trial, pass, FALT_ALGO_REFERENCE, FALT_ISA_AUTO, 1);
    falt_plan *plan = NULL;
    if (falt_plan_create(&plan, &trial->conv, pass, &options) != FALT_OK)
        fail_msg("%s: %s", title_of(trial, pass, &options, ""), falt_last_error());
    float *reference = execute(plan, trial, in, pass, false, title_of(trial, pass, &options, "oracle"));
    falt_plan_destroy(plan);

    float *chain = NULL; /* of an instruction set or solver before */
    for (falt_isa isa = FALT_ISA_SCALAR; isa < FALT_ISA_COUNT; isa++) {
        if (!usable_isa(isa))
            continue;
        for (falt_algorithm algorithm = FALT_ALGO_AUTO; algorithm < FALT_ALGO_COUNT; algorithm++) {
            if (algorithm <= FALT_ALGO_REFERENCE && isa != best_isa())
                continue; /* the one chooses among the others, the other is the same for all */
            float *first = NULL;
            for (int t = 0; t < trial->thread_counts; t++) {
                options = options_of(trial, pass, algorithm, isa, threads_tried[t]);
                const falt_status status = falt_plan_create(&plan, &trial->conv, pass, &options);
                if (status != FALT_OK) {
                    assert_int_equal(status, FALT_UNSUPPORTED);
                    assert_true(algorithm > FALT_ALGO_REFERENCE && first == NULL && plan == NULL);
                    assert_true(falt_last_error()[0] != 0);
                    tally[algorithm].refused++;
                    break;
                }
                for (int packed = 0; packed <= (falt_plan_packed_weights_size(plan) > 0); packed++) {
                    const char *title = title_of(trial, pass, &options, packed ? "packed weights" : "plain weights");
                    float *result = execute(plan, trial, in, pass, packed, title);
                    tally[algorithm].executed++;
                    if (first) {
                        check_same(result, first, count, "%s: against the first run", title);
                        free(result);
                    } else {
                        first = result;
                        compare(result, reference, count, plan, trial, in, pass, title);
                    }
                }
                falt_plan_destroy(plan);
            }
            if (first && chain && is_plain_chain(algorithm, isa, pass))
                check_same(first, chain, count, "%s: against another solver or instruction set",
                           title_of(trial, pass, &options, ""));
            if (first && !chain && is_plain_chain(algorithm, isa, pass))
                chain = first;
            else
                free(first);
        }
    }
    free(chain);
    free(reference);
}

static void try(struct random *random, const struct trial *trial)
{
    struct inputs in = inputs_of(random, trial);
    for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++)
        if (pass == FALT_FORWARD || trial->conv.activation == FALT_ACT_NONE)
            try_pass(trial, &in, pass);
    inputs_free(&in);
}

/* --------------------------------------------------------------------------------------------------------------- the table */

/* 0 is 1 for sizes, strides, dilations and channels. */
struct shape {
    const char *name;
    int dims;
    int64_t batch, i, o, groups;
    int64_t in[3], kernel[3], stride[3], dilation[3], begin[3], end[3], output_padding[3];
};
enum { EMPTY = -1 };

static const struct shape shapes[] = {
    {"1x1 image, 1x1 kernel", 2, .in = {1, 1}},
    {"1x1 image, many channels", 2, .i = 37, .o = 41, .in = {1, 1}},
    {"1x1 images", 2, .batch = 3, .i = 5, .o = 9, .in = {1, 1}},
    {"1x1 image, 3x3 kernel", 2, .i = 5, .o = 9, .in = {1, 1}, .kernel = {3, 3}, .begin = {1, 1}, .end = {1, 1}},
    {"kernel larger than image", 2, .i = 3, .o = 17, .in = {3, 2}, .kernel = {7, 5}, .begin = {3, 3}, .end = {3, 2}},
    {"all but one tap outside", 2, .i = 4, .o = 5, .in = {1, 1}, .kernel = {5, 5}, .begin = {4, 0}, .end = {0, 4}},
    {"padding wider than kernel", 2, .i = 2, .o = 3, .in = {3, 3}, .kernel = {2, 2}, .begin = {5, 4}, .end = {4, 6}},
    {"one input channel", 2, .i = 1, .o = 33, .in = {9, 11}, .kernel = {3, 3}, .begin = {1, 1}, .end = {1, 1}},
    {"one output channel", 2, .i = 33, .o = 1, .in = {9, 11}, .kernel = {3, 3}, .begin = {1, 1}, .end = {1, 1}},
    {"few output channels, dilated", 2, .batch = 2, .i = 48, .o = 3, .in = {9, 33}, .kernel = {3, 5}, .dilation = {2, 3},
     .begin = {2, 7}, .end = {2, 5}},
    {"few output channels, strided", 2, .i = 32, .o = 7, .in = {11, 23}, .kernel = {3, 4}, .stride = {2, 3}, .begin = {1, 2},
     .end = {1, 1}},
    {"few output channels of groups", 3, .i = 64, .o = 6, .groups = 2, .in = {3, 4, 9}, .kernel = {1, 2, 3}},
    {"few input channels, phases of zeros", 2, .i = 3, .o = 32, .in = {9, 7}, .stride = {2, 3}},
    {"few input channels, phases that are shifted", 1, .i = 2, .o = 20, .in = {31}, .kernel = {4}, .stride = {3},
     .dilation = {2}, .end = {3}},
    {"one channel each", 2, .in = {13, 17}, .kernel = {5, 3}, .begin = {2, 1}, .end = {2, 1}},
    {"three input channels", 2, .i = 3, .o = 64, .in = {15, 17}, .kernel = {7, 7}, .stride = {2, 2}, .begin = {3, 3},
     .end = {3, 3}},
    {"primes", 2, .batch = 3, .i = 19, .o = 23, .in = {11, 13}, .kernel = {3, 5}, .stride = {2, 3}, .begin = {1, 2},
     .end = {1, 2}},
    {"1x1 kernel", 2, .batch = 2, .i = 40, .o = 50, .in = {7, 7}},
    {"1x1 kernel, strided", 2, .batch = 2, .i = 31, .o = 34, .in = {7, 8}, .stride = {2, 2}},
    {"1x1 kernel, padded", 2, .i = 16, .o = 32, .in = {4, 5}, .begin = {1, 2}, .end = {2, 1}},
    {"1x1 kernel, strided and padded to its own size", 2, .i = 16, .o = 32, .in = {3, 3}, .stride = {2, 2}, .begin = {1, 1},
     .end = {1, 1}},
    {"stride > kernel", 2, .i = 7, .o = 10, .in = {17, 19}, .kernel = {2, 3}, .stride = {5, 4}, .begin = {1, 1}, .end = {0, 1}},
    {"stride > image", 2, .i = 4, .o = 18, .in = {5, 6}, .kernel = {3, 3}, .stride = {9, 100}, .begin = {1, 0}, .end = {0, 1}},
    {"stride leaves a rest", 2, .i = 9, .o = 8, .in = {10, 12}, .kernel = {3, 3}, .stride = {4, 5}},
    {"dilation > size", 2, .i = 5, .o = 16, .in = {3, 4}, .kernel = {3, 3}, .dilation = {4, 5}, .begin = {4, 5}, .end = {4, 5}},
    {"dilated", 2, .batch = 2, .i = 18, .o = 20, .in = {12, 13}, .kernel = {3, 3}, .dilation = {2, 3}, .begin = {2, 3},
     .end = {2, 3}},
    {"dilated and strided", 2, .i = 12, .o = 14, .in = {15, 16}, .kernel = {3, 2}, .stride = {2, 3}, .dilation = {3, 2},
     .begin = {3, 1}, .end = {2, 0}},
    {"asymmetric padding", 2, .i = 6, .o = 21, .in = {8, 9}, .kernel = {3, 4}, .begin = {0, 3}, .end = {2, 1}},
    {"padding at the end only", 2, .i = 8, .o = 8, .in = {6, 7}, .kernel = {3, 3}, .stride = {2, 2}, .end = {1, 1}},
    {"no padding", 2, .i = 17, .o = 15, .in = {9, 8}, .kernel = {4, 4}},
    {"kernel = image", 2, .batch = 3, .i = 11, .o = 29, .in = {5, 6}, .kernel = {5, 6}},
    {"3x3, 4x4 tiles", 2, .batch = 2, .i = 16, .o = 32, .in = {8, 12}, .kernel = {3, 3}, .begin = {1, 1}, .end = {1, 1}},
    {"3x3, ragged tiles", 2, .i = 20, .o = 36, .in = {14, 14}, .kernel = {3, 3}, .begin = {1, 1}, .end = {1, 1}},
    {"5x5", 2, .i = 10, .o = 24, .in = {12, 11}, .kernel = {5, 5}, .begin = {2, 2}, .end = {2, 2}},
    {"1x7", 2, .i = 16, .o = 19, .in = {6, 17}, .kernel = {1, 7}, .begin = {0, 3}, .end = {0, 3}},
    {"7x1", 2, .i = 16, .o = 19, .in = {17, 6}, .kernel = {7, 1}, .begin = {3, 0}, .end = {3, 0}},
    {"2x2", 2, .batch = 2, .i = 18, .o = 35, .in = {13, 14}, .kernel = {2, 2}, .begin = {1, 0}, .end = {0, 1}},
    {"2x1", 2, .i = 16, .o = 19, .in = {17, 6}, .kernel = {2, 1}, .end = {1, 0}},
    {"4x4", 2, .i = 9, .o = 20, .in = {14, 13}, .kernel = {4, 4}, .begin = {2, 1}, .end = {1, 2}},
    {"7x7, strided, few channels", 2, .i = 3, .o = 20, .in = {31, 34}, .kernel = {7, 7}, .stride = {2, 2}, .begin = {3, 3},
     .end = {3, 2}},
    {"4x4, strided", 2, .i = 9, .o = 20, .in = {14, 15}, .kernel = {4, 4}, .stride = {2, 2}, .begin = {1, 1}, .end = {1, 1}},
    {"5x4, strided unevenly", 2, .batch = 2, .i = 9, .o = 20, .in = {23, 38}, .kernel = {5, 4}, .stride = {2, 3},
     .begin = {2, 1}, .end = {1, 2}},
    {"3-D, strided", 3, .i = 5, .o = 18, .in = {6, 13, 14}, .kernel = {3, 3, 4}, .stride = {2, 2, 2}, .begin = {1, 1, 0},
     .end = {0, 1, 1}},
    {"groups of 6, strided", 2, .i = 18, .o = 24, .groups = 3, .in = {17, 21}, .kernel = {3, 3}, .stride = {2, 2},
     .begin = {1, 0}, .end = {0, 1}},
    {"dilated, runs of tiles", 2, .i = 4, .o = 6, .in = {7, 83}, .kernel = {2, 3}, .dilation = {3, 2}, .begin = {1, 2},
     .end = {2, 2}},
    {"dilated, tiles side by side", 2, .batch = 2, .i = 4, .o = 6, .in = {7, 61}, .kernel = {3, 3}, .dilation = {2, 11},
     .begin = {0, 9}, .end = {3, 11}},
    {"tall kernel, row padding only", 2, .i = 3, .o = 4, .in = {4, 40}, .kernel = {6, 1}, .begin = {3, 0}, .end = {2, 0}},
    {"groups", 2, .batch = 2, .i = 12, .o = 18, .groups = 3, .in = {7, 9}, .kernel = {3, 3}, .begin = {1, 1}, .end = {1, 1}},
    {"groups of 4", 2, .i = 32, .o = 32, .groups = 8, .in = {9, 10}, .kernel = {3, 3}, .begin = {1, 1}, .end = {1, 1}},
    {"groups of 17 to 33", 2, .i = 34, .o = 66, .groups = 2, .in = {6, 5}, .kernel = {3, 3}, .stride = {2, 1}, .begin = {1, 1},
     .end = {1, 1}},
    {"groups to one channel each", 2, .i = 15, .o = 5, .groups = 5, .in = {6, 7}, .kernel = {2, 3}},
    {"groups, 1x1", 2, .i = 24, .o = 40, .groups = 4, .in = {5, 5}},
    {"depthwise", 2, .batch = 2, .i = 33, .o = 33, .groups = 33, .in = {10, 11}, .kernel = {3, 3}, .begin = {1, 1},
     .end = {1, 1}},
    {"depthwise, strided", 2, .i = 16, .o = 16, .groups = 16, .in = {14, 15}, .kernel = {5, 5}, .stride = {2, 2},
     .begin = {2, 2}, .end = {2, 2}},
    {"depthwise, dilated", 2, .i = 20, .o = 20, .groups = 20, .in = {11, 9}, .kernel = {3, 3}, .dilation = {2, 2},
     .begin = {2, 2}, .end = {2, 2}},
    {"depthwise, pixels half a page apart", 2, .batch = 2, .i = 512, .o = 512, .groups = 512, .in = {8, 9}, .kernel = {3, 3},
     .begin = {1, 1}, .end = {1, 1}},
    {"depthwise, pixels a page apart, strided", 2, .i = 1024, .o = 1024, .groups = 1024, .in = {7, 10}, .kernel = {5, 4},
     .stride = {2, 2}, .begin = {1, 3}, .end = {2, 0}},
    {"3-D, depthwise, pixels half a page apart, dilated", 3, .i = 512, .o = 512, .groups = 512, .in = {3, 6, 8},
     .kernel = {2, 3, 3}, .dilation = {1, 1, 2}, .begin = {1, 0, 2}, .end = {0, 2, 1}},
    {"depthwise, multiplier 2", 2, .i = 10, .o = 20, .groups = 10, .in = {8, 9}, .kernel = {3, 3}, .begin = {1, 1},
     .end = {1, 1}},
    {"depthwise, multiplier 5", 2, .i = 3, .o = 15, .groups = 3, .in = {7, 6}, .kernel = {3, 2}, .stride = {2, 2},
     .begin = {1, 0}},
    {"empty batch", 2, .batch = EMPTY, .i = 4, .o = 6, .groups = 2, .in = {5, 5}, .kernel = {3, 3}, .begin = {1, 1},
     .end = {1, 1}},
    {"large batch of small images", 2, .batch = 17, .i = 5, .o = 6, .in = {2, 3}, .kernel = {2, 2}, .begin = {1, 0},
     .end = {0, 1}},
    {"wide image, one row", 2, .i = 6, .o = 16, .in = {1, 131}, .kernel = {1, 3}, .begin = {0, 1}, .end = {0, 1}},
    {"tall image, one column", 2, .i = 6, .o = 16, .in = {131, 1}, .kernel = {3, 1}, .begin = {1, 0}, .end = {1, 0}},
    {"1024-channel rows", 2, .i = 256, .o = 20, .in = {3, 4}},
    {"groups, pixels pages apart", 2, .i = 1024, .o = 3072, .groups = 64, .in = {2, 2}, .kernel = {3, 3}, .begin = {1, 1},
     .end = {1, 1}},
    {"groups of 12 -> 10", 2, .batch = 2, .i = 36, .o = 30, .groups = 3, .in = {5, 9}, .kernel = {3, 3}, .begin = {1, 1},
     .end = {1, 1}},
    {"groups of two vectors of x, the second one short", 2, .i = 54, .o = 22, .groups = 2, .in = {6, 11}, .kernel = {2, 5},
     .stride = {1, 2}, .begin = {0, 3}, .end = {1, 1}, .output_padding = {0, 1}},
    {"groups of 6 -> 2, dilated", 2, .i = 30, .o = 10, .groups = 5, .in = {9, 8}, .kernel = {3, 4}, .dilation = {2, 3},
     .begin = {2, 4}, .end = {1, 5}},
    {"groups of 4, wide kernel", 2, .i = 28, .o = 28, .groups = 7, .in = {3, 12}, .kernel = {1, 7}, .stride = {2, 1},
     .begin = {0, 6}, .end = {0, 2}},
    {"groups of 32, pixels a page apart", 2, .i = 1024, .o = 1024, .groups = 32, .in = {2, 3}, .kernel = {3, 3},
     .begin = {1, 1}, .end = {1, 1}},
    {"1x1 kernel, pixels a page apart, strided", 2, .batch = 2, .i = 2048, .o = 120, .in = {3, 4}, .stride = {2, 3}},
    {"many output channels", 2, .i = 3, .o = 300, .in = {2, 3}, .kernel = {2, 2}},
    {"transposed, output padding 1", 2, .i = 6, .o = 9, .in = {5, 4}, .kernel = {3, 3}, .stride = {2, 2}, .begin = {1, 1},
     .end = {1, 1}, .output_padding = {1, 1}},
    {"transposed, gaps", 2, .i = 8, .o = 3, .in = {3, 4}, .kernel = {2, 1}, .stride = {4, 5}, .output_padding = {3, 2}},
    {"transposed 4x4 stride 2", 2, .batch = 2, .i = 20, .o = 10, .in = {6, 5}, .kernel = {4, 4}, .stride = {2, 2},
     .begin = {1, 1}, .end = {1, 1}, .output_padding = {0, 1}},
    {"transposed, large output padding", 2, .i = 2, .o = 4, .in = {3, 3}, .kernel = {3, 3}, .output_padding = {6, 5}},
    {"1-D", 1, .batch = 2, .i = 20, .o = 30, .in = {37}, .kernel = {3}, .begin = {1}, .end = {1}},
    {"1-D, causal and dilated", 1, .i = 16, .o = 32, .in = {64}, .kernel = {2}, .dilation = {16}, .begin = {16}},
    {"1-D, two panels", 1, .batch = 2, .i = 20, .o = 40, .in = {61}, .kernel = {3}, .begin = {1}, .end = {2}},
    {"1-D, two taps, dilated by 3", 1, .i = 32, .o = 32, .in = {170}, .kernel = {2}, .dilation = {3}, .begin = {3}},
    {"1-D, dilated by 12", 1, .i = 16, .o = 16, .in = {101}, .kernel = {3}, .dilation = {12}, .begin = {12}, .end = {12}},
    {"1-D, groups of 16 -> 20", 1, .i = 48, .o = 60, .groups = 3, .in = {100}, .kernel = {2}, .begin = {1}},
    {"1x5 kernel, rows strided", 2, .i = 17, .o = 33, .in = {9, 37}, .kernel = {1, 5}, .stride = {2, 1}, .begin = {0, 2},
     .end = {1, 1}},
    {"3x1 kernel, columns strided", 2, .i = 16, .o = 48, .in = {13, 29}, .kernel = {3, 1}, .stride = {1, 2}, .begin = {1, 0},
     .end = {1, 0}},
    {"1-D, strided, one channel", 1, .o = 13, .in = {101}, .kernel = {10}, .stride = {5}},
    {"depthwise, a column", 2, .batch = 2, .i = 35, .o = 35, .groups = 35, .in = {19, 6}, .kernel = {7, 1}, .begin = {3, 0},
     .end = {4, 0}},
    {"depthwise, a long column of windows and single taps", 2, .i = 40, .o = 40, .groups = 40, .in = {31, 5}, .kernel = {13, 1},
     .begin = {6, 1}, .end = {6, 2}},
    {"depthwise, a column, strided", 2, .batch = 2, .i = 24, .o = 24, .groups = 24, .in = {23, 11}, .kernel = {5, 1},
     .stride = {2, 3}, .begin = {2, 0}, .end = {1, 0}},
    {"depthwise, a column of pixels a page apart", 2, .i = 1024, .o = 1024, .groups = 1024, .in = {9, 3}, .kernel = {7, 1},
     .begin = {3, 0}, .end = {3, 0}},
    {"groups, a column", 2, .i = 40, .o = 40, .groups = 10, .in = {17, 5}, .kernel = {6, 1}, .begin = {1, 0}, .end = {1, 0}},
    {"3-D, depthwise, a column", 3, .i = 20, .o = 20, .groups = 20, .in = {4, 12, 3}, .kernel = {2, 5, 1}, .begin = {1, 2, 0},
     .end = {0, 2, 0}},
    {"1-D, depthwise", 1, .i = 19, .o = 19, .groups = 19, .in = {23}, .kernel = {4}, .begin = {3}},
    {"1-D, one sample", 1, .i = 9, .o = 7, .in = {1}, .kernel = {3}, .begin = {1}, .end = {1}},
    {"3-D", 3, .i = 6, .o = 18, .in = {4, 5, 6}, .kernel = {3, 3, 3}, .begin = {1, 1, 1}, .end = {1, 1, 1}},
    {"3-D, everything", 3, .batch = 2, .i = 4, .o = 10, .groups = 2, .in = {5, 6, 7}, .kernel = {2, 3, 2}, .stride = {2, 1, 3},
     .dilation = {1, 2, 2}, .begin = {1, 2, 0}, .end = {0, 1, 2}, .output_padding = {1, 0, 2}},
    {"3-D, 1x1x1", 3, .i = 17, .o = 16, .in = {2, 3, 4}},
    {"3-D, time only", 3, .i = 12, .o = 9, .in = {7, 2, 3}, .kernel = {3, 1, 1}, .begin = {1, 0, 0}, .end = {1, 0, 0}},
    {"3-D, strided 7x7x7", 3, .i = 3, .o = 8, .in = {8, 9, 10}, .kernel = {7, 7, 7}, .stride = {2, 2, 2}, .begin = {3, 3, 3},
     .end = {3, 3, 3}},
    {"3-D, depthwise", 3, .i = 8, .o = 8, .groups = 8, .in = {4, 5, 4}, .kernel = {3, 3, 3}, .begin = {1, 1, 1},
     .end = {1, 1, 1}},
    {"3-D, depthwise, phases of several solvers", 3, .batch = 2, .i = 17, .o = 17, .groups = 17, .in = {9, 5, 6},
     .kernel = {6, 6, 6}, .stride = {5, 5, 5}, .begin = {6, 6, 6}},
};

/* Large enough that loops over cache blocks take several turns. */
static const struct shape large_shapes[] = {
    {"large 3x3", 2, .i = 64, .o = 72, .in = {40, 45}, .kernel = {3, 3}, .begin = {1, 1}, .end = {1, 1}},
    {"large 1x1", 2, .batch = 2, .i = 200, .o = 130, .in = {23, 29}},
    {"few channels, large image", 2, .i = 3, .o = 40, .in = {150, 161}, .kernel = {5, 5}, .stride = {2, 2}, .begin = {2, 2},
     .end = {2, 2}},
    {"many channels, small image", 2, .i = 520, .o = 260, .in = {7, 7}, .kernel = {3, 3}, .begin = {1, 1}, .end = {1, 1}},
    {"3x3, many tiles", 2, .batch = 2, .i = 37, .o = 20, .in = {95, 90}, .kernel = {3, 3}, .begin = {1, 0}, .end = {0, 2}},
    {"3-D, many tiles", 3, .i = 18, .o = 35, .in = {6, 31, 26}, .kernel = {3, 3, 3}, .begin = {1, 1, 1}, .end = {1, 1, 1}},
    {"larger than caches", 2, .i = 8, .o = 16, .in = {400, 380}},
    {"long 1-D", 1, .i = 24, .o = 24, .in = {5003}, .kernel = {5}, .dilation = {8}, .begin = {16}, .end = {16}},
    {"1x1, gradient in blocks of rows", 2, .i = 64, .o = 1100, .in = {16, 17}},
    {"1x1, gradient along rows, in blocks of columns", 2, .i = 1100, .o = 560, .in = {13, 11}},
    {"1x1, short gradient along rows", 2, .i = 1043, .o = 530, .in = {2, 3}},
    {"groups of 4, gradient in bands", 2, .i = 148, .o = 148, .groups = 37, .in = {131, 59}, .kernel = {3, 3}, .begin = {1, 1},
     .end = {1, 1}},
    {"groups of 10, strided gradient in bands", 2, .batch = 2, .i = 150, .o = 150, .groups = 15, .in = {61, 90},
     .kernel = {3, 3}, .stride = {2, 2}, .begin = {1, 1}, .end = {1, 1}},
    {"rows of whole windows together", 2, .batch = 2, .i = 3, .o = 32, .in = {40, 61}, .kernel = {3, 3}, .stride = {2, 2},
     .begin = {1, 1}, .end = {1, 1}},
    {"strided, images one by one", 2, .batch = 9, .i = 3, .o = 32, .in = {225, 225}, .kernel = {3, 3}, .stride = {2, 2}},
    {"depthwise, beyond L2", 2, .i = 49, .o = 49, .groups = 49, .in = {100, 101}, .kernel = {3, 3}, .begin = {1, 1},
     .end = {1, 1}},
    {"depthwise, pairs of vectors and one", 2, .i = 1152, .o = 1152, .groups = 1152, .in = {9, 16}, .kernel = {3, 3},
     .stride = {2, 2}, .begin = {1, 1}, .end = {1, 1}},
    {"depthwise, pairs, stride 1", 2, .i = 384, .o = 384, .groups = 384, .in = {7, 12}, .kernel = {3, 3}, .begin = {1, 1},
     .end = {1, 1}},
    {"3x3, groups whose weights and tiles outgrow L2", 2, .i = 640, .o = 288, .groups = 2, .in = {13, 49}, .kernel = {3, 3},
     .begin = {1, 1}, .end = {1, 1}},
    {"3x3, pixels a page apart", 2, .i = 1024, .o = 100, .in = {3, 19}, .kernel = {3, 3}, .begin = {1, 1}, .end = {1, 1}},
    {"3x3, gradient in blocks of rows", 2, .i = 540, .o = 100, .in = {9, 8}, .kernel = {3, 3}, .begin = {1, 1}, .end = {1, 1}},
};

static int64_t or_one(int64_t value)
{
    return value ? value : 1;
}

static falt_conv conv_of(const struct shape *shape)
{
    falt_conv conv = FALT_CONV_INIT;
    conv.spatial_dims = shape->dims;
    conv.batch = shape->batch == EMPTY ? 0 : or_one(shape->batch);
    conv.in_channels = or_one(shape->i);
    conv.out_channels = or_one(shape->o);
    conv.groups = or_one(shape->groups);
    for (int d = 0; d < shape->dims; d++) {
        conv.in[d] = shape->in[d];
        conv.kernel[d] = or_one(shape->kernel[d]);
        conv.stride[d] = or_one(shape->stride[d]);
        conv.dilation[d] = or_one(shape->dilation[d]);
        conv.pad_begin[d] = shape->begin[d];
        conv.pad_end[d] = shape->end[d];
    }
    return conv;
}

/* Both layouts of everything; for a sanitizer or an emulator, one of the four in turn. */
static void try_layouts(struct random *random, const struct trial *trial)
{
    static int turn;
    turn++;
    for (int combination = 0; combination < 4; combination++) {
        if (quick() && combination != turn % 4)
            continue;
        struct trial one = *trial;
        one.conv.layout = combination & 1 ? FALT_NHWC : FALT_NCHW;
        one.conv.weights_layout = combination & 2 ? FALT_OHWI : FALT_OIHW;
        try(random, &one);
    }
}

static struct trial trial_of(const falt_conv *conv)
{
    return (struct trial){.conv = *conv, .bias = true, .whole = true, .thread_counts = quick() ? 2 : 3};
}

static void test_shapes(void **state)
{
    (void)state;
    struct random random = random_stream(1);
    for (size_t s = 0; s < LENGTH(shapes); s++) {
        for (int transposed = 0; transposed < 2; transposed++) {
            falt_conv conv = conv_of(&shapes[s]);
            falt_sizes sizes;
            if (transposed) {
                conv.transposed = 1;
                memcpy(conv.output_padding, shapes[s].output_padding, sizeof conv.output_padding);
            }
            if (falt_conv_sizes(&conv, &sizes) != FALT_OK) {
                /* Not every convolution makes sense the other way round, but each shape makes sense one way. */
                if (!transposed)
                    assert_non_null(strstr(shapes[s].name, "transposed"));
                continue;
            }
            if (sizes.multiply_adds > 3e6)
                continue;
            struct trial trial = trial_of(&conv);
            try_layouts(&random, &trial);
            trial.whole = false;
            trial.residual = true;
            trial.accumulate = true;
            trial.thread_counts = 1;
            try_layouts(&random, &trial);
        }
    }
}

static void test_large_shapes(void **state)
{
    (void)state;
    if (quick())
        skip();
    struct random random = random_stream(2);
    for (size_t s = 0; s < LENGTH(large_shapes); s++) {
        for (int last = 0; last < 2; last++) {
            falt_conv conv = conv_of(&large_shapes[s]);
            conv.layout = last ? FALT_NHWC : FALT_NCHW;
            conv.weights_layout = (s + (size_t)last) % 2 ? FALT_OHWI : FALT_OIHW;
            struct trial trial = trial_of(&conv);
            trial.whole = !last;
            trial.accumulate = s % 4 < 2;
            try(&random, &trial);
        }
    }
}

/* Every width around the tile sizes. */
static void test_widths(void **state)
{
    (void)state;
    struct random random = random_stream(3);
    for (int64_t width = 1; width <= 40; width++) {
        for (int variant = 0; variant < 4; variant++) {
            if (quick() && (width + variant) % 4 != 0)
                continue;
            const int64_t kernel = variant & 1 ? 3 : 1, stride = variant & 2 ? 2 : 1;
            const struct shape shape = {"width",
                                        2,
                                        .i = 5,
                                        .o = 18,
                                        .in = {2, width},
                                        .kernel = {kernel, kernel},
                                        .stride = {1, stride},
                                        .begin = {kernel / 2, kernel / 2},
                                        .end = {kernel / 2, kernel / 2}};
            const falt_conv conv = conv_of(&shape);
            struct trial trial = trial_of(&conv);
            trial.thread_counts = width % 5 == 0 ? 2 : 1;
            try_layouts(&random, &trial);
        }
    }
}

static void set_activation(falt_conv *conv, falt_activation activation)
{
    conv->activation = activation;
    conv->alpha = activation == FALT_ACT_CLAMP ? -3.0f : 0.125f; /* a power of 2: leaky stays exact */
    conv->beta = 6.0f;
}

/* Unless there is more to do than that. */
static bool try_some(struct random *random, const falt_conv *conv, double most)
{
    falt_sizes sizes;
    if (falt_conv_sizes(conv, &sizes) != FALT_OK || sizes.multiply_adds > most)
        return false;
    struct trial trial = trial_of(conv);
    trial.residual = random_between(random, 0, 3) == 0;
    trial.whole = random_between(random, 0, 1);
    try(random, &trial);
    return true;
}

/* Short sums and rows so long that whole windows are read in place and edges go apart. */
static falt_conv thin_conv(struct random *random)
{
    falt_conv conv = FALT_CONV_INIT;
    conv.layout = FALT_NHWC;
    conv.weights_layout = random_between(random, 0, 1) ? FALT_OHWI : FALT_OIHW;
    conv.spatial_dims = (int32_t)random_between(random, 1, 3);
    conv.batch = random_between(random, 1, 2);
    conv.in_channels = random_between(random, 0, 1) ? random_between(random, 3, 15) : random_between(random, 16, 24);
    conv.out_channels = random_between(random, 1, 40);
    set_activation(&conv, (falt_activation)random_between(random, FALT_ACT_NONE, FALT_ACT_LEAKY));
    for (int d = 0; d < conv.spatial_dims; d++) {
        const bool row = d == conv.spatial_dims - 1;
        conv.in[d] = row ? random_between(random, 100, 300) : random_between(random, 6, 12);
        conv.kernel[d] = random_between(random, row ? 2 : 1, 4);
        conv.stride[d] = random_between(random, 1, 3);
        conv.pad_begin[d] = random_between(random, 0, conv.kernel[d] - 1) * random_between(random, 0, 1);
        conv.pad_end[d] = random_between(random, 0, conv.kernel[d] - 1) * random_between(random, 0, 1);
    }
    return conv;
}

/* Whether the word is in what a forward plan for four threads says of itself. */
static bool described(const falt_conv *conv, falt_algorithm algorithm, const char *word)
{
    falt_options options = FALT_OPTIONS_INIT;
    char text[4096];
    falt_plan *plan = NULL;
    options.algorithm = algorithm;
    options.threads = 4;
    assert_int_equal(falt_plan_create(&plan, conv, FALT_FORWARD, &options), FALT_OK);
    falt_plan_describe(plan, FALT_TEXT, text, sizeof text);
    falt_plan_destroy(plan);
    return strstr(text, word) != NULL;
}

static void test_thin(void **state)
{
    (void)state;
    struct random random = random_stream(9);
    int apart = 0;
    for (int done = 0; more(done, 10, 80, apart > 0);) {
        const falt_conv conv = thin_conv(&random);
        if (!try_some(&random, &conv, 3e6))
            continue;
        apart += !described(&conv, FALT_ALGO_DIRECT, "strips");
        done++;
    }
    assert_true(apart > 0);
}

/* So few pixels that threads share out channels, in more panels than there need be where that makes them as many for each. */
static void test_few_pixels(void **state)
{
    (void)state;
    struct random random = random_stream(15);
    int even = 0;
    for (int done = 0; more(done, 10, 60, even > 0);) {
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = random_between(&random, 0, 3) ? FALT_NHWC : FALT_NCHW;
        conv.spatial_dims = (int32_t)random_between(&random, 1, 2);
        conv.in_channels = random_between(&random, 20, 200);
        conv.out_channels = random_between(&random, 60, 600);
        set_activation(&conv, (falt_activation)random_between(&random, FALT_ACT_NONE, FALT_ACT_LEAKY));
        for (int d = 0; d < conv.spatial_dims; d++) {
            conv.in[d] = random_between(&random, 1, 4);
            conv.kernel[d] = random_between(&random, 1, 2);
            conv.pad_begin[d] = random_between(&random, 0, 1);
        }
        if (!try_some(&random, &conv, 3e6))
            continue;
        even += described(&conv, FALT_ALGO_DIRECT, " panels");
        done++;
    }
    assert_true(even > 0);
}

/* So much padding that planes are cut into rectangles which see the image through different taps, some through none. */
static void test_rectangles(void **state)
{
    (void)state;
    struct random random = random_stream(16);
    int cut = 0;
    for (int done = 0; more(done, 15, 120, cut > 0);) {
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = FALT_NHWC;
        conv.spatial_dims = (int32_t)random_between(&random, 1, 3);
        conv.batch = random_between(&random, 1, 3);
        conv.groups = random_between(&random, 1, 2);
        conv.in_channels = conv.groups * random_between(&random, 16, 40);
        conv.out_channels = conv.groups * random_between(&random, 1, 70);
        set_activation(&conv, (falt_activation)random_between(&random, FALT_ACT_NONE, FALT_ACT_LEAKY));
        for (int d = 0; d < conv.spatial_dims; d++) {
            conv.in[d] = random_between(&random, 1, conv.spatial_dims > 2 ? 6 : 16);
            conv.kernel[d] = random_between(&random, 1, 4);
            conv.stride[d] = random_between(&random, 1, 3);
            conv.dilation[d] = random_between(&random, 1, 5);
            conv.pad_begin[d] = random_between(&random, 0, 12);
            conv.pad_end[d] = random_between(&random, 0, 12);
        }
        if (!try_some(&random, &conv, 8e6))
            continue;
        cut += described(&conv, FALT_ALGO_DIRECT, " rectangles");
        done++;
    }
    print_message("%d problems with planes cut into rectangles\n", cut);
    assert_true(cut > 0);
}

/* Few output channels and long rows: im2col multiplies pieces of lines where they lie, of the image itself if it has no
 * padding. */
static void test_lines(void **state)
{
    (void)state;
    struct random random = random_stream(18);
    for (int done = 0; done < (quick() ? 15 : 100);) {
        falt_conv conv = FALT_CONV_INIT;
        const bool padded = random_between(&random, 0, 1);
        conv.layout = random_between(&random, 0, 1) ? FALT_NHWC : FALT_NCHW;
        conv.spatial_dims = (int32_t)random_between(&random, 1, 3);
        conv.batch = random_between(&random, 1, 2);
        conv.groups = random_between(&random, 0, 3) ? 1 : 2;
        conv.in_channels = conv.groups * random_between(&random, 1, 24);
        conv.out_channels = conv.groups * random_between(&random, 1, 14);
        set_activation(&conv, (falt_activation)random_between(&random, FALT_ACT_NONE, FALT_ACT_LEAKY));
        for (int d = 0; d < conv.spatial_dims; d++) {
            const bool row = d == conv.spatial_dims - 1, whole = random_between(&random, 0, 1); /* vectors of any width */
            const int64_t out = random_between(&random, row ? 20 : 1, row ? 150 : 5);
            conv.kernel[d] = random_between(&random, 1, 4);
            conv.stride[d] = random_between(&random, 0, 2) ? 1 : random_between(&random, 2, 3);
            conv.dilation[d] = random_between(&random, 1, 2);
            conv.pad_begin[d] = padded ? random_between(&random, 0, 4) : 0;
            conv.pad_end[d] = padded ? random_between(&random, 0, 4) : 0;
            conv.in[d] = ((row && whole ? out / 16 * 16 : out) - 1) * conv.stride[d] + (conv.kernel[d] - 1) * conv.dilation[d] +
                         1 - conv.pad_begin[d] - conv.pad_end[d];
            conv.in[d] = conv.in[d] < 1 ? 1 : conv.in[d];
        }
        done += try_some(&random, &conv, 4e6);
    }
}

/* Many groups of few channels, which Winograd transforms several of together, the last ones of a thread fewer. */
static void test_bundles(void **state)
{
    (void)state;
    struct random random = random_stream(17);
    for (int done = 0; done < (quick() ? 15 : 100);) {
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = random_between(&random, 0, 2) ? FALT_NHWC : FALT_NCHW;
        conv.spatial_dims = (int32_t)random_between(&random, 2, 3);
        conv.batch = random_between(&random, 1, 2);
        conv.groups = random_between(&random, 2, 40);
        conv.in_channels = conv.groups * random_between(&random, 1, 30);
        conv.out_channels = conv.groups * random_between(&random, 1, 34);
        set_activation(&conv, (falt_activation)random_between(&random, FALT_ACT_NONE, FALT_ACT_LEAKY));
        const int64_t kernel = random_between(&random, 0, 3) ? 3 : 5, flat = random_between(&random, 0, 5);
        for (int d = 0; d < conv.spatial_dims; d++) {
            const int inner = d - (conv.spatial_dims - 2);
            conv.kernel[d] = inner < 0 ? random_between(&random, 1, 3) : inner == flat ? 1 : kernel;
            conv.in[d] = random_between(&random, 1, inner < 0 ? 4 : 17);
            conv.pad_begin[d] = random_between(&random, 0, conv.kernel[d] - 1);
            conv.pad_end[d] = random_between(&random, 0, conv.kernel[d] - 1);
        }
        done += try_some(&random, &conv, 4e6);
    }
}

/* Depthwise, fewer channels than a vector has lanes, which are mixed in them. */
static void test_mixed(void **state)
{
    (void)state;
    struct random random = random_stream(14);
    int mixed = 0;
    for (int done = 0; more(done, 20, 120, mixed > 0);) {
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = FALT_NHWC;
        conv.spatial_dims = (int32_t)random_between(&random, 1, 3);
        conv.batch = random_between(&random, 1, 2);
        const int64_t most = random_between(&random, 0, 1) ? 3 : 15; /* fewer than NEON has lanes, or AVX-512 */
        conv.groups = conv.in_channels = conv.out_channels = random_between(&random, 2, most);
        set_activation(&conv, (falt_activation)random_between(&random, FALT_ACT_NONE, FALT_ACT_LEAKY));
        for (int d = 0; d < conv.spatial_dims; d++) {
            const bool row = d == conv.spatial_dims - 1;
            conv.in[d] = random_between(&random, row ? 4 : 1, 40);
            conv.kernel[d] = random_between(&random, 1, row ? 7 : 5);
            conv.stride[d] = row ? 1 : random_between(&random, 1, 2);
            conv.dilation[d] = random_between(&random, 1, 2);
            conv.pad_begin[d] = random_between(&random, 0, 8);
            conv.pad_end[d] = random_between(&random, 0, 8);
        }
        if (!try_some(&random, &conv, 1e6))
            continue;
        mixed += described(&conv, FALT_ALGO_DEPTHWISE, "mixed");
        done++;
    }
    assert_true(mixed > 0);
}

/* Depthwise 3x3 of pixels that meet in few sets of the caches: where there are registers for it, lines go one by one. */
static void test_rolling(void **state)
{
    (void)state;
    struct random random = random_stream(19);
    for (int done = 0; done < (quick() ? 8 : 60);) {
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = FALT_NHWC;
        conv.spatial_dims = (int32_t)random_between(&random, 2, 3);
        conv.batch = random_between(&random, 1, 2);
        conv.groups = conv.in_channels = conv.out_channels = 128 * random_between(&random, 1, 4);
        set_activation(&conv, (falt_activation)random_between(&random, FALT_ACT_NONE, FALT_ACT_LEAKY));
        const int row = conv.spatial_dims - 1, high = random_between(&random, 0, 3) == 0;
        for (int d = 0; d < conv.spatial_dims; d++) {
            conv.in[d] = random_between(&random, d == row - 1 && high ? 60 : 1,
                                        d < row - 1            ? 2
                                        : d == row - 1 && high ? 90
                                                               : 12);
            conv.kernel[d] = d < row - 1 ? 1 : 3;
            conv.dilation[d] = d == row && random_between(&random, 0, 3) == 0 ? 2 : 1;
            conv.pad_begin[d] = d < row - 1 ? 0 : random_between(&random, 0, 4);
            conv.pad_end[d] = d < row - 1 ? 0 : random_between(&random, 0, 4);
        }
        done += try_some(&random, &conv, 8e6);
    }
}

/* Rows so long, and so few, that their strips are cut into pieces. */
static void test_long_rows(void **state)
{
    (void)state;
    struct random random = random_stream(12);
    for (int done = 0; done < (quick() ? 10 : 60);) {
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = FALT_NCHW;
        conv.spatial_dims = (int32_t)random_between(&random, 1, 2);
        conv.batch = random_between(&random, 1, 2);
        conv.groups = random_between(&random, 1, 2);
        conv.in_channels = conv.groups * random_between(&random, 1, 20);
        conv.out_channels = conv.groups * random_between(&random, 1, 40);
        set_activation(&conv, (falt_activation)random_between(&random, FALT_ACT_NONE, FALT_ACT_LEAKY));
        const int row = conv.spatial_dims - 1;
        if (row > 0)
            conv.in[0] = random_between(&random, 1, 3);
        conv.in[row] = random_between(&random, 230, 500);
        conv.kernel[row] = random_between(&random, 1, 5);
        conv.stride[row] = random_between(&random, 1, 2);
        conv.dilation[row] = random_between(&random, 1, 2);
        conv.pad_begin[row] = random_between(&random, 0, 3);
        conv.pad_end[row] = random_between(&random, 0, 3);
        done += try_some(&random, &conv, 3e6);
    }
}

/* Padding far beyond the kernel, and dimensions in which nothing happens: taps through which tiles see nothing are left out. */
static falt_conv padded_conv(struct random *random)
{
    falt_conv conv = FALT_CONV_INIT;
    conv.layout = random_between(random, 0, 2) ? FALT_NHWC : FALT_NCHW;
    conv.spatial_dims = (int32_t)random_between(random, 1, 3);
    conv.groups = random_between(random, 0, 3) ? 1 : random_between(random, 2, 3);
    conv.in_channels = conv.groups * random_between(random, 14, 20);
    conv.out_channels = conv.groups * random_between(random, 1, 40);
    set_activation(&conv, (falt_activation)random_between(random, FALT_ACT_NONE, FALT_ACT_LEAKY));
    for (int d = 0; d < conv.spatial_dims; d++) {
        if (random_between(random, 0, 3) == 0)
            continue;
        conv.in[d] = random_between(random, 1, conv.spatial_dims == 1 ? 40 : 6);
        conv.kernel[d] = random_between(random, 1, conv.spatial_dims == 1 ? 20 : 5);
        conv.stride[d] = random_between(random, 1, 3);
        conv.dilation[d] = random_between(random, 1, 3);
        conv.pad_begin[d] = random_between(random, 0, 12);
        conv.pad_end[d] = random_between(random, 0, 12);
    }
    return conv;
}

static void test_padding(void **state)
{
    (void)state;
    struct random random = random_stream(11);
    for (int done = 0; done < (quick() ? 20 : 200);) {
        const falt_conv conv = padded_conv(&random);
        done += try_some(&random, &conv, 1e6);
    }
}

/* Every number of channels around the vector lengths, on both sides. */
static void test_channels(void **state)
{
    (void)state;
    static const int64_t channels[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 100};
    struct random random = random_stream(4);
    for (size_t i = 0; i < LENGTH(channels); i++) {
        for (size_t o = 0; o < LENGTH(channels); o++) {
            if (quick() && (i + 3 * o) % 19 > 1)
                continue;
            const struct shape shape = {
                "channels",   1,         .i = channels[i], .o = channels[o], .in = {5 + (int64_t)(i + o) % 3}, .kernel = {3},
                .begin = {1}, .end = {1}};
            falt_conv conv = conv_of(&shape);
            conv.layout = (i + o) & 1 ? FALT_NHWC : FALT_NCHW;
            conv.weights_layout = (i + o) & 2 ? FALT_OHWI : FALT_OIHW;
            struct trial trial = trial_of(&conv);
            trial.thread_counts = (i + o) % 4 == 0 ? 2 : 1;
            try(&random, &trial);
        }
    }
}

static void test_epilogues(void **state)
{
    (void)state;
    struct random random = random_stream(5);
    const struct shape shape = {"epilogue",   2, .batch = 2, .i = 3, .o = 37, .in = {5, 7}, .kernel = {3, 3}, .begin = {1, 1},
                                .end = {1, 1}};
    for (falt_activation a = FALT_ACT_NONE; a <= FALT_ACT_HARDSWISH; a++) {
        for (int bits = 0; bits < 16; bits++) {
            falt_conv conv = conv_of(&shape);
            set_activation(&conv, a);
            conv.transposed = bits >> 3;
            struct trial trial = trial_of(&conv);
            trial.bias = bits & 1;
            trial.residual = bits & 2;
            trial.in_place = trial.residual && bits & 4;
            if (bits & 4 && !trial.residual)
                continue;
            trial.thread_counts = bits % 4 == 0 ? 2 : 1;
            try_layouts(&random, &trial);
            trial.whole = false;
            try_layouts(&random, &trial);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------- random ones */

/* Mostly small numbers, sometimes one at or beside a multiple of a vector. */
static int64_t some_channels(struct random *random)
{
    static const int64_t edges[] = {8, 16, 32, 48, 64};
    const int64_t kind = random_between(random, 0, 5);
    if (kind == 0)
        return edges[random_between(random, 0, 4)] + random_between(random, -1, 1);
    return random_between(random, 1, kind == 1 ? 40 : 9);
}

static bool random_conv(struct random *random, falt_conv *conv, double most)
{
    *conv = (falt_conv)FALT_CONV_INIT;
    conv->spatial_dims = (int32_t)random_between(random, 1, 3);
    conv->transposed = random_between(random, 0, 3) == 0;
    conv->batch = random_between(random, 0, 30) == 0 ? 0 : random_between(random, 1, 3);
    conv->groups = random_between(random, 0, 2) == 0 ? random_between(random, 2, 20) : 1;
    const bool depthwise = conv->groups > 1 && random_between(random, 0, 1);
    conv->in_channels = conv->groups * (depthwise          ? 1
                                        : conv->groups > 1 ? random_between(random, 1, 9)
                                                           : some_channels(random));
    conv->out_channels = conv->groups * (depthwise && random_between(random, 0, 2) ? 1
                                         : conv->groups > 1                        ? random_between(random, 1, 9)
                                                                                   : some_channels(random));
    const bool square = random_between(random, 0, 1);
    for (int d = 0; d < conv->spatial_dims; d++) {
        conv->in[d] = random_between(random, 1, conv->spatial_dims == 1 ? 90 : conv->spatial_dims == 2 ? 24 : 9);
        if (d > 0 && square) {
            conv->kernel[d] = conv->kernel[0];
            conv->stride[d] = conv->stride[0];
            conv->dilation[d] = conv->dilation[0];
            conv->pad_begin[d] = conv->pad_begin[0];
            conv->pad_end[d] = conv->pad_end[0];
        } else {
            conv->kernel[d] = random_between(random, 0, 2) ? random_between(random, 1, 3) : random_between(random, 1, 7);
            conv->stride[d] = random_between(random, 0, 1) ? 1 : random_between(random, 1, 5);
            conv->dilation[d] = random_between(random, 0, 2) ? 1 : random_between(random, 1, 4);
            conv->pad_begin[d] = random_between(random, 0, conv->kernel[d] * conv->dilation[d]);
            conv->pad_end[d] = random_between(random, 0, 1) ? conv->pad_begin[d] : random_between(random, 0, 6);
        }
        if (conv->transposed)
            conv->output_padding[d] = random_between(random, 0, 1) ? 0 : random_between(random, 0, 4);
    }
    conv->layout = random_between(random, 0, 1) ? FALT_NHWC : FALT_NCHW;
    conv->weights_layout = random_between(random, 0, 1) ? FALT_OHWI : FALT_OIHW;
    if (random_between(random, 0, 2) == 0)
        set_activation(conv, (falt_activation)random_between(random, 1, 6));
    falt_sizes sizes;
    return falt_conv_sizes(conv, &sizes) == FALT_OK && sizes.multiply_adds <= most &&
           (double)(sizes.src + sizes.dst + sizes.weights) <= most;
}

static void test_random(void **state)
{
    (void)state;
    struct random random = random_stream(6);
    const int wanted = quick() ? 150 : 2000;
    for (int done = 0; done < wanted;) {
        struct trial trial = {.thread_counts = done % 8 == 0 ? 3 : done % 2 ? 1 : 2};
        if (!random_conv(&random, &trial.conv, quick() ? 5e4 : 3e5))
            continue;
        done++;
        trial.whole = random_between(&random, 0, 1);
        trial.bias = random_between(&random, 0, 1);
        trial.residual = random_between(&random, 0, 2) == 0;
        trial.in_place = trial.residual && random_between(&random, 0, 1);
        trial.accumulate = random_between(&random, 0, 2) == 0;
        trial.warm = random_between(&random, 0, 1);
        try(&random, &trial);
    }
}

/* -------------------------------------------------------------------------------------------------------- past the caches */

/* Channels first, im2col stores outputs that outgrow the caches past them in whole lines, though no plane begins with one: the
 * same bits as direct convolution's. */
static void test_staging(void **state)
{
    (void)state;
    if (quick())
        skip();
    falt_cpu cpu = {.struct_size = sizeof cpu};
    assert_int_equal(falt_cpu_info(&cpu), FALT_OK);
    const int64_t o = 33, width = 171, height = (cpu.l3 / 3 / ((o + 2) * width * (int64_t)sizeof(float)) + 2) | 1;
    if (height > 16384)
        skip();
    struct random random = random_stream(9);
    falt_conv conv = FALT_CONV_INIT;
    conv.layout = FALT_NCHW;
    conv.in_channels = 2;
    conv.out_channels = o;
    conv.in[0] = height;
    conv.in[1] = width;
    float *src = malloc((size_t)(2 * width * height) * sizeof *src), weights[33 * 2 * 3 * 3], bias[33];
    float *dst[2] = {guarded(o * width * height, AT_END), guarded(o * width * height, AT_BEGIN)};
    assert_non_null(src);
    fill_uniform(&random, src, 2 * width * height);
    fill_uniform(&random, weights, LENGTH(weights));
    fill_uniform(&random, bias, LENGTH(bias));
    for (int64_t kernel = 1; kernel <= 3; kernel += 2)
        for (falt_isa isa = FALT_ISA_AVX2; isa < FALT_ISA_COUNT; isa++) {
            if (!usable_isa(isa))
                continue;
            conv.kernel[0] = conv.kernel[1] = kernel;
            conv.pad_begin[0] = conv.pad_begin[1] = conv.pad_end[0] = conv.pad_end[1] = kernel / 2;
            for (int which = 0; which < 2; which++) {
                falt_options options = FALT_OPTIONS_INIT;
                options.isa = isa;
                options.algorithm = which ? FALT_ALGO_DIRECT : FALT_ALGO_IM2COL;
                falt_plan *plan = NULL;
                assert_int_equal(falt_plan_create(&plan, &conv, FALT_FORWARD, &options), FALT_OK);
                const falt_tensors tensors = {.src = src, .weights = weights, .bias = bias, .dst = dst[which]};
                memset(dst[which], 0xff, (size_t)(o * width * height) * sizeof(float));
                assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
                falt_plan_destroy(plan);
            }
            check_same(dst[0], dst[1], o * width * height, "%dx%d, %s", (int)kernel, (int)kernel, falt_isa_name(isa));
        }
    free(src);
    guarded_free(dst[0]);
    guarded_free(dst[1]);
}

/* Phases of strided backward data go past the caches where every other pixel begins with a cache line, though channels are no
 * whole number of vectors. What is written a float further on does not; nor rows of planes that are no whole number of lines.
 */
static void test_streamed_phases(void **state)
{
    (void)state;
    if (quick())
        skip();
    falt_cpu cpu = {.struct_size = sizeof cpu};
    assert_int_equal(falt_cpu_info(&cpu), FALT_OK);
    const int64_t half = cpu.l3 / 6 / (int64_t)sizeof(float); /* floats of half the tensor from which on they do */
    falt_conv rows = FALT_CONV_INIT, planes = FALT_CONV_INIT;
    rows.groups = rows.in_channels = rows.out_channels = 24;
    rows.in[1] = 64;
    rows.in[0] = 2 * half / (24 * 64) + 2;
    rows.kernel[0] = rows.kernel[1] = 3;
    rows.stride[0] = rows.stride[1] = 2;
    rows.pad_begin[0] = rows.pad_begin[1] = 1;
    planes.spatial_dims = 3;
    planes.layout = FALT_CHANNELS_FIRST;
    planes.in[0] = 2;
    planes.in[1] = 63;
    planes.in[2] = 24;
    planes.groups = planes.in_channels = planes.out_channels = half / (63 * 24) + 1;
    planes.kernel[1] = planes.kernel[2] = 3;
    planes.stride[1] = 2;
    planes.pad_begin[1] = planes.pad_begin[2] = planes.pad_end[1] = planes.pad_end[2] = 1;
    const falt_conv *const cases[] = {&rows, &planes};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        falt_sizes sizes;
        if (half > 8 << 20 || falt_conv_sizes(cases[i], &sizes) != FALT_OK)
            skip();
        struct random random = random_stream(19);
        float *dst = malloc((size_t)sizes.dst * sizeof *dst), *weights = malloc((size_t)sizes.weights * sizeof *weights);
        float *src[2] = {guarded(sizes.src + 1, AT_BEGIN), guarded(sizes.src + 1, AT_BEGIN)};
        assert_true(dst && weights);
        fill_uniform(&random, dst, sizes.dst);
        fill_uniform(&random, weights, sizes.weights);
        for (falt_isa isa = FALT_ISA_AVX2; isa < FALT_ISA_COUNT; isa++) {
            falt_options options = FALT_OPTIONS_INIT;
            options.algorithm = FALT_ALGO_DEPTHWISE;
            options.isa = isa;
            falt_plan *plan = NULL;
            if (!usable_isa(isa))
                continue;
            assert_int_equal(falt_plan_create(&plan, cases[i], FALT_BACKWARD_DATA, &options), FALT_OK);
            for (int off = 0; off < 2; off++) {
                const falt_tensors tensors = {.diff_dst = dst, .weights = weights, .diff_src = src[off] + off};
                assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
            }
            check_same(src[1] + 1, src[0], sizes.src, "case %d, isa %d", (int)i, (int)isa);
            falt_plan_destroy(plan);
        }
        free(dst);
        free(weights);
        guarded_free(src[0]);
        guarded_free(src[1]);
    }
}

/* Outputs that outgrow the caches are stored past them where they are aligned: the same bits as where they are not. */
static void test_streaming(void **state)
{
    (void)state;
    if (quick())
        skip();
    falt_cpu cpu = {.struct_size = sizeof cpu};
    assert_int_equal(falt_cpu_info(&cpu), FALT_OK);
    const int64_t channels = 32, width = 64, height = cpu.l3 / 3 / (2 * channels * width * (int64_t)sizeof(float)) + 2;
    if (height > 16384)
        skip();
    struct random random = random_stream(8);
    const size_t count = (size_t)(channels * width * height);
    float *src = malloc(count * sizeof *src), *weights = malloc((size_t)(channels * channels * 9) * sizeof *weights);
    float *dst[2] = {guarded((int64_t)count + 1, AT_BEGIN), guarded((int64_t)count + 1, AT_BEGIN)};
    assert_true(src && weights);
    fill_uniform(&random, src, (int64_t)count);
    fill_uniform(&random, weights, channels * channels * 9);
    static const struct {
        int64_t groups, kernel;
        falt_algorithm algorithm;
    } cases[] = {{1, 1, FALT_ALGO_DIRECT},   {1, 1, FALT_ALGO_IM2COL},     {1, 3, FALT_ALGO_DIRECT},   {1, 3, FALT_ALGO_IM2COL},
                 {1, 3, FALT_ALGO_WINOGRAD}, {32, 3, FALT_ALGO_DEPTHWISE}, {8, 3, FALT_ALGO_DEPTHWISE}};
    for (size_t i = 0; i < LENGTH(cases) * 2; i++) {
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = i % 2 ? FALT_NCHW : FALT_NHWC;
        conv.in_channels = conv.out_channels = channels;
        conv.groups = cases[i / 2].groups;
        conv.in[0] = height;
        conv.in[1] = width;
        conv.kernel[0] = conv.kernel[1] = cases[i / 2].kernel;
        conv.pad_begin[0] = conv.pad_begin[1] = conv.pad_end[0] = conv.pad_end[1] = cases[i / 2].kernel / 2;
        for (falt_isa isa = FALT_ISA_AVX2; isa < FALT_ISA_COUNT; isa++) {
            falt_options options = FALT_OPTIONS_INIT;
            options.algorithm = cases[i / 2].algorithm;
            options.isa = isa;
            falt_plan *plan = NULL;
            if (!usable_isa(isa))
                continue;
            assert_int_equal(falt_plan_create(&plan, &conv, FALT_FORWARD, &options), FALT_OK);
            for (int off = 0; off < 2; off++) {
                const falt_tensors tensors = {.src = src, .weights = weights, .dst = dst[off] + off};
                memset(dst[off], 0xff, (count + 1) * sizeof(float));
                assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
            }
            check_same(dst[0], dst[1] + 1, (int64_t)count, "%s, groups %d, %dx%d, %s", falt_algorithm_name(options.algorithm),
                       (int)conv.groups, (int)conv.kernel[0], (int)conv.kernel[0], falt_isa_name(isa));
            falt_plan_destroy(plan);
        }
    }
    free(src);
    free(weights);
    guarded_free(dst[0]);
    guarded_free(dst[1]);
}

/* A stride beyond the kernel leaves phases without taps: whichever algorithm is forced has the others. */
static void test_phases_of_zeros(void **state)
{
    (void)state;
    struct random random = random_stream(14);
    for (int layout = 0; layout < 2; layout++) {
        falt_conv conv = FALT_CONV_INIT;
        falt_options options = FALT_OPTIONS_INIT;
        falt_plan *plan = NULL;
        falt_plan_info info = {.struct_size = sizeof info};
        conv.layout = layout ? FALT_NCHW : FALT_NHWC;
        conv.in_channels = 17;
        conv.out_channels = 9;
        conv.in[0] = conv.in[1] = 11;
        conv.kernel[0] = conv.kernel[1] = 1;
        conv.stride[0] = conv.stride[1] = 2;
        options.algorithm = FALT_ALGO_IM2COL;
        assert_int_equal(falt_plan_create(&plan, &conv, FALT_BACKWARD_DATA, &options), FALT_OK);
        assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
        assert_int_equal(info.algorithm, FALT_ALGO_IM2COL);
        falt_plan_destroy(plan);
        assert_true(try_some(&random, &conv, 1e6));
    }
}

/* Channels first, phases of many channels see channels-last copies, where the workspace has room for them. */
static void test_copies(void **state)
{
    (void)state;
    struct random random = random_stream(13);
    int copied = 0, limited = 0;
    for (int done = 0; more(done, 15, 80, copied > 0 && limited > 0);) {
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = FALT_NCHW;
        conv.spatial_dims = (int32_t)random_between(&random, 1, 3);
        conv.transposed = (int32_t)random_between(&random, 0, 1);
        conv.batch = random_between(&random, 1, 5);
        conv.groups = random_between(&random, 1, 2);
        conv.in_channels = conv.groups * random_between(&random, 1, 40);
        conv.out_channels = conv.groups * random_between(&random, 1, 40);
        for (int d = 0; d < conv.spatial_dims; d++) {
            conv.in[d] = random_between(&random, 1, conv.spatial_dims == 1 ? 90 : 12);
            conv.kernel[d] = random_between(&random, 1, 5);
            conv.stride[d] = random_between(&random, 1, 3);
            conv.dilation[d] = random_between(&random, 1, 2);
            conv.pad_begin[d] = random_between(&random, 0, conv.kernel[d] - 1);
        }
        if (!try_some(&random, &conv, 1e6))
            continue;
        done++;
        const falt_pass pass = conv.transposed ? FALT_FORWARD : FALT_BACKWARD_DATA;
        size_t wanted = 0; /* without a limit */
        for (int i = 0; i < 5; i++) {
            falt_options options = FALT_OPTIONS_INIT;
            char text[4096];
            falt_plan *plan = NULL;
            options.workspace_limit = i == 0   ? -1
                                      : i == 4 ? (int64_t)(wanted - (wanted > 0))
                                               : random_between(&random, 0, 1 << (8 * i));
            assert_int_equal(falt_plan_create(&plan, &conv, pass, &options), FALT_OK);
            falt_plan_describe(plan, FALT_TEXT, text, sizeof text);
            const bool copies = strstr(text, "layout ") != NULL;
            copied += copies && i == 0;
            limited += copies && i > 0;
            wanted = i == 0 ? falt_plan_workspace_size(plan, 1) : wanted;
            assert_true(i == 0 || falt_plan_workspace_size(plan, 1) <= (size_t)options.workspace_limit);
            falt_plan_destroy(plan);
        }
    }
    assert_true(copied > 0 && limited > 0);
}

/* Rows of few channels as rows of more, with strides or without, in all passes that read the weights; but neither where the
 * caller chooses the algorithm, nor where he wants plain sums. */
static void test_folded(void **state)
{
    (void)state;
    struct random random = random_stream(21);
    int folded[2][2] = {{0}}, dense[2] = {0}; /* [transposed][pass]; [pass], those without a stride */
    for (int done = 0;
         more(done, 15, 100,
              folded[0][0] > 2 && folded[0][1] > 2 && folded[1][0] > 2 && folded[1][1] > 0 && dense[0] > 2 && dense[1] > 2);) {
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = FALT_NHWC;
        conv.weights_layout = random_between(&random, 0, 1) ? FALT_OHWI : FALT_OIHW;
        conv.spatial_dims = (int32_t)random_between(&random, 1, 3);
        conv.transposed = (int32_t)random_between(&random, 0, 1);
        conv.batch = random_between(&random, 1, 3);
        conv.in_channels = random_between(&random, 1, 8);
        conv.out_channels = random_between(&random, 1, random_between(&random, 0, 1) ? 8 : 40);
        const bool whole = random_between(&random, 0, 1); /* strides in kernel and image: many fold */
        if (whole) {
            const int64_t few = random_between(&random, 1, conv.transposed ? 5 : 3), many = random_between(&random, 8, 40);
            conv.spatial_dims = 1;
            conv.in_channels = conv.transposed ? many : few;
            conv.out_channels = conv.transposed ? few : many;
        }
        const bool thin = !whole && random_between(&random, 0, 2) == 0; /* that short vectors hold several pixels, too */
        if (thin) {
            conv.in_channels = random_between(&random, 1, 3);
            conv.out_channels = random_between(&random, 1, 2);
        }
        set_activation(&conv, (falt_activation)random_between(&random, FALT_ACT_NONE, FALT_ACT_LEAKY));
        for (int d = 0; d < conv.spatial_dims; d++) {
            conv.stride[d] = thin ? 1 : random_between(&random, 1, 5);
            conv.kernel[d] = whole ? conv.stride[d] * random_between(&random, 1, 2)
                                   : random_between(&random, 1, conv.spatial_dims == 3 ? 4 : 8);
            conv.in[d] = random_between(&random, 1, conv.spatial_dims == 1 ? 90 : 12) * (conv.transposed ? 1 : conv.stride[d]);
            conv.in[d] = thin ? 4 * random_between(&random, 1, 4) : conv.in[d];
            conv.pad_begin[d] = whole ? 0 : random_between(&random, 0, conv.kernel[d] - 1);
            conv.pad_end[d] = whole ? 0 : random_between(&random, 0, conv.kernel[d] - 1);
            if (conv.stride[d] == 1 && random_between(&random, 0, 1)) /* as many pixels on both sides */
                conv.pad_begin[d] = conv.kernel[d] - 1 - conv.pad_end[d];
            conv.output_padding[d] = conv.transposed && !whole ? random_between(&random, 0, conv.stride[d] - 1) : 0;
        }
        if (!try_some(&random, &conv, 3e5))
            continue;
        done++;
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_DATA; pass++) {
            falt_options options = FALT_OPTIONS_INIT;
            char text[4096];
            falt_plan *plan = NULL;
            if (pass == FALT_BACKWARD_DATA)
                set_activation(&conv, FALT_ACT_NONE);
            assert_int_equal(falt_plan_create(&plan, &conv, pass, &options), FALT_OK);
            falt_plan_describe(plan, FALT_TEXT, text, sizeof text);
            const bool folds = strstr(text, "\nfolded ") != NULL;
            const bool strided = conv.stride[conv.spatial_dims - 1] > 1;
            folded[conv.transposed][pass] += folds && strided;
            dense[pass] += folds && !strided;
            falt_plan_destroy(plan);
            if (!folds)
                continue;
            static const float allowed[] = {1.5f, 2.0f, 3.0f, 6.0f, 20.0f}; /* zeros for weights count against transforms */
            for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
                falt_plan_info info = {.struct_size = sizeof info};
                options.accuracy = allowed[i];
                assert_int_equal(falt_plan_create(&plan, &conv, pass, &options), FALT_OK);
                assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
                assert_true(info.accuracy <= (double)allowed[i]);
                falt_plan_destroy(plan);
            }
            for (int i = 0; i < 2; i++) {
                options = (falt_options)FALT_OPTIONS_INIT;
                options.algorithm = i ? FALT_ALGO_DIRECT : FALT_ALGO_AUTO;
                options.accuracy = i ? FALT_ACCURACY_DEFAULT : 1.0f;
                assert_int_equal(falt_plan_create(&plan, &conv, pass, &options), FALT_OK);
                falt_plan_describe(plan, FALT_TEXT, text, sizeof text);
                assert_null(strstr(text, "\nfolded "));
                falt_plan_destroy(plan);
            }
        }
    }
    assert_true(folded[0][0] > 2 && folded[0][1] > 2 && folded[1][0] > 2 && folded[1][1] > 0);
    assert_true(dense[0] > 2 && dense[1] > 2);
}

/* An image of one column is folded along what is another's height: its packed weights are refused, or right. */
static void test_folded_elsewhere(void **state)
{
    (void)state;
    enum { PIXELS = 512, CHANNELS = 4, TAPS = 6 };
    struct random random = random_stream(22);
    float in[PIXELS * CHANNELS], weights[CHANNELS * CHANNELS * TAPS], own[PIXELS * CHANNELS], other[PIXELS * CHANNELS];
    fill_uniform(&random, in, PIXELS * CHANNELS);
    fill_uniform(&random, weights, CHANNELS * CHANNELS * TAPS);
    int folded = 0;
    for (int i = 0; i < 2 * CHANNELS * CHANNELS * (TAPS - 1); i++) {
        const falt_pass pass = i % 2 ? FALT_BACKWARD_DATA : FALT_FORWARD;
        falt_conv conv[2] = {FALT_CONV_INIT, FALT_CONV_INIT};
        falt_plan *plan[2];
        for (int k = 0; k < 2; k++) {
            conv[k].in[0] = k ? 16 : PIXELS;
            conv[k].in[1] = PIXELS / conv[k].in[0];
            conv[k].in_channels = 1 + i / 2 % CHANNELS;
            conv[k].out_channels = 1 + i / 2 / CHANNELS % CHANNELS;
            conv[k].kernel[0] = 2 + i / 2 / CHANNELS / CHANNELS;
            conv[k].pad_begin[0] = conv[k].kernel[0] / 2;
            conv[k].pad_end[0] = conv[k].kernel[0] - 1 - conv[k].pad_begin[0];
            assert_int_equal(falt_plan_create(&plan[k], &conv[k], pass, NULL), FALT_OK);
        }
        char text[4096];
        falt_plan_describe(plan[0], FALT_TEXT, text, sizeof text);
        folded += strstr(text, "\nfolded ") != NULL;
        const size_t size = falt_plan_packed_weights_size(plan[0]) + 1;
        char *packed = malloc(size);
        assert_non_null(packed);
        assert_int_equal(falt_pack_weights(plan[0], weights, packed, size), FALT_OK);
        falt_tensors tensors = {.weights = weights, .src = in, .diff_dst = in, .dst = own, .diff_src = own};
        assert_int_equal(falt_execute(plan[1], &tensors), FALT_OK);
        tensors.packed_weights = falt_plan_packed_weights_size(plan[0]) > 0 ? packed : NULL;
        tensors.dst = tensors.diff_src = other;
        if (falt_execute(plan[1], &tensors) == FALT_OK)
            check_same(own, other, PIXELS * (pass == FALT_FORWARD ? conv[1].out_channels : conv[1].in_channels), "case %d", i);
        free(packed);
        falt_plan_destroy(plan[0]);
        falt_plan_destroy(plan[1]);
    }
    assert_true(folded > 0 || !usable_isa(FALT_ISA_AVX2));
}

/* Phases that outgrow the caches go through a few images at a time, and so do copies in channels last: the same bits as through
 * each image by itself. */
static void test_turns(void **state)
{
    (void)state;
    if (quick())
        skip();
    falt_cpu cpu = {.struct_size = sizeof cpu};
    assert_int_equal(falt_cpu_info(&cpu), FALT_OK);
    const int64_t channels = 64, in = 32, out = 16, x = channels * in * in, y = channels * out * out;
    const int64_t outgrown = cpu.l3 / 6 / ((x + y) * (int64_t)sizeof(float)),
                  shared = 2 * cpu.l2 / (y * (int64_t)sizeof(float));
    const int64_t batch = 16 * ((outgrown > shared ? outgrown : shared) / 16 + 1);
    if (batch > 2048)
        skip();
    struct random random = random_stream(12);
    float *const from = malloc((size_t)(batch * y) * sizeof *from), *const residual =
                                                                        malloc((size_t)(batch * x) * sizeof *from);
    float *const weights = malloc((size_t)(channels * 9) * sizeof *from), *const bias = malloc((size_t)channels * sizeof *from);
    float *const all = guarded(batch * x, AT_END), *const each = guarded(batch * x, AT_END);
    assert_true(from && residual && weights && bias);
    fill_uniform(&random, from, batch * y);
    fill_uniform(&random, residual, batch * x);
    fill_uniform(&random, weights, channels * 9);
    fill_uniform(&random, bias, channels);
    for (int i = 0; i < 3; i++) {
        const bool copied = i == 2;
        const int64_t side = copied ? out - 1 : out, part = channels * side * side;
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = i ? FALT_NCHW : FALT_NHWC;
        conv.transposed = 1;
        conv.in_channels = conv.out_channels = conv.groups = channels;
        falt_options options = FALT_OPTIONS_INIT;
        options.algorithm = FALT_ALGO_DEPTHWISE;
        options.threads = 2;
        for (int d = 0; d < 2; d++) {
            conv.in[d] = side;
            conv.kernel[d] = 3;
            conv.stride[d] = 2;
            conv.pad_begin[d] = conv.pad_end[d] = conv.output_padding[d] = 1;
        }
        for (int alone = 0; alone < 2; alone++) {
            char text[4096];
            falt_plan *plan = NULL;
            conv.batch = alone ? 1 : batch;
            assert_int_equal(falt_plan_create(&plan, &conv, FALT_FORWARD, &options), FALT_OK);
            falt_plan_describe(plan, FALT_TEXT, text, sizeof text);
            assert_true((strstr(text, "turns") == NULL) == alone);
            assert_true((strstr(text, "layout ") != NULL) == copied);
            for (int64_t n = 0; n < (alone ? batch : 1); n++) {
                const falt_tensors tensors = {.src = from + n * part,
                                              .weights = weights,
                                              .bias = bias,
                                              .residual = residual + n * 4 * part,
                                              .dst = (alone ? each : all) + n * 4 * part};
                assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
            }
            falt_plan_destroy(plan);
        }
        check_same(all, each, batch * 4 * part, "%s%s", i ? "channels first" : "channels last", copied ? ", copied" : "");
    }
    free(from);
    free(residual);
    free(weights);
    free(bias);
    guarded_free(all);
    guarded_free(each);
}

/* Members do not wait for each other between phases, but where the workspace is too small for parts of one size. */
static void test_narrow_phases(void **state)
{
    (void)state;
    struct random random = random_stream(23);
    int narrow = 0;
    for (int done = 0; more(done, 10, 100, narrow > 4);) {
        struct trial trial = trial_of(&(falt_conv)FALT_CONV_INIT);
        falt_conv *conv = &trial.conv;
        trial.whole = true; /* sums of any order are equal */
        conv->batch = random_between(&random, 1, 2);
        conv->layout = FALT_NHWC;
        conv->groups = random_between(&random, 0, 1) ? 32 : 1;
        conv->in_channels = conv->out_channels = 32;
        for (int d = 0; d < 2; d++) {
            conv->in[d] = random_between(&random, 10, 40);
            conv->kernel[d] = random_between(&random, 2, 5);
            conv->stride[d] = random_between(&random, 2, 3);
            conv->pad_begin[d] = random_between(&random, 0, conv->kernel[d] - 1);
        }
        falt_options options = options_of(&trial, FALT_BACKWARD_DATA, FALT_ALGO_AUTO, FALT_ISA_AUTO, 3);
        options.accuracy = 1.0f;
        falt_plan *wide, *plan;
        if (falt_plan_create(&wide, conv, FALT_BACKWARD_DATA, &options) != FALT_OK)
            continue;
        done++;
        bool waits = false;
        options.workspace_limit = INT64_MAX; /* threads are closer to each other then */
        for (int64_t size = INT64_MAX; size > 0 && !waits; options.workspace_limit = size - 1) {
            char text[4096];
            assert_int_equal(falt_plan_create(&plan, conv, FALT_BACKWARD_DATA, &options), FALT_OK);
            falt_plan_describe(plan, FALT_TEXT, text, sizeof text);
            waits = strstr(text, "threads wait") != NULL;
            size = (int64_t)falt_plan_workspace_size(plan, 1);
            if (waits) {
                struct inputs in = inputs_of(&random, &trial);
                float *first = execute(wide, &trial, &in, FALT_BACKWARD_DATA, true, "parts of one size");
                for (int run = 0; run < 4; run++) {
                    float *result = execute(plan, &trial, &in, FALT_BACKWARD_DATA, true, "a narrow workspace");
                    check_same(result, first, in.sizes.src, "a narrow workspace");
                    free(result);
                }
                free(first);
                inputs_free(&in);
                narrow++;
            }
            falt_plan_destroy(plan);
        }
        falt_plan_destroy(wide);
    }
    assert_true(narrow > 0);
}

/* ------------------------------------------------------------------------------------------------------------- NaN and Inf */

/* What is not finite reaches the outputs that depend on it, as IEEE 754 says, and no others. (Winograd's transforms spread it
 * over a tile, which is why it is left out.) */
static void test_not_finite(void **state)
{
    (void)state;
    struct random random = random_stream(7);
    static const float poisons[] = {NAN, INFINITY, -INFINITY};
    for (int round = 0; round < (quick() ? 20 : 120); round++) {
        struct trial trial = {.bias = true, .residual = true, .whole = true, .thread_counts = 1};
        if (!random_conv(&random, &trial.conv, 3e4) || trial.conv.batch == 0)
            continue;
        set_activation(&trial.conv, (falt_activation)(round % 5)); /* NONE ... SIGMOID */
        struct inputs in = inputs_of(&random, &trial);
        for (int64_t i = 0; i < in.sizes.weights; i++)
            in.weights[i] += in.weights[i] == 0.0f ? 1.0f : 0.0f; /* Inf * 0 would depend on how padding is done */
        in.src[random_between(&random, 0, in.sizes.src - 1)] = poisons[round % 3];
        in.bias[random_between(&random, 0, in.sizes.bias - 1)] = poisons[round / 3 % 3];
        in.residual[random_between(&random, 0, in.sizes.dst - 1)] = poisons[round / 9 % 3];
        falt_plan *plan = NULL;
        falt_options options = options_of(&trial, FALT_FORWARD, FALT_ALGO_REFERENCE, FALT_ISA_AUTO, 1);
        assert_int_equal(falt_plan_create(&plan, &trial.conv, FALT_FORWARD, &options), FALT_OK);
        float *reference = execute(plan, &trial, &in, FALT_FORWARD, false, "oracle");
        falt_plan_destroy(plan);
        for (falt_isa isa = FALT_ISA_SCALAR; isa < FALT_ISA_COUNT; isa++) {
            for (falt_algorithm a = FALT_ALGO_DIRECT; a < FALT_ALGO_COUNT; a++) {
                if (a == FALT_ALGO_WINOGRAD)
                    continue;
                options = options_of(&trial, FALT_FORWARD, a, isa, 1);
                if (!usable_isa(isa) || falt_plan_create(&plan, &trial.conv, FALT_FORWARD, &options) != FALT_OK)
                    continue;
                const char *title = title_of(&trial, FALT_FORWARD, &options, "not finite");
                float *result = execute(plan, &trial, &in, FALT_FORWARD, false, title);
                double *expected = malloc((size_t)in.sizes.dst * sizeof *expected);
                assert_non_null(expected);
                for (int64_t i = 0; i < in.sizes.dst; i++)
                    expected[i] = (double)reference[i];
                check_close(result, expected, in.sizes.dst, trial.conv.activation == FALT_ACT_SIGMOID ? 2e-6 : 0.0, "%s",
                            title);
                free(expected);
                free(result);
                falt_plan_destroy(plan);
            }
        }
        free(reference);
        inputs_free(&in);
    }
}

/* Whether the kernel of a depthwise forward plan has windows of such a width. */
static bool has_windows(const falt_conv *conv, int64_t width)
{
    char one[32], several[32];
    snprintf(one, sizeof one, "x%d\nschedule", (int)width);
    snprintf(several, sizeof several, "x%d overlapping\nschedule", (int)width);
    return described(conv, FALT_ALGO_DEPTHWISE, one) || described(conv, FALT_ALGO_DEPTHWISE, several);
}

/* Rows with a dilation, whose outputs go class by class: with strides that share a divisor with it, and classes of any length.
 */
static void test_classes(void **state)
{
    (void)state;
    struct random random = random_stream(26);
    int classes[3] = {0}; /* with windows: of several, of a single one in either layout */
    for (int done = 0; more(done, 12, 120, classes[0] > done / 20 && classes[1] > 0 && classes[2] > 0); done++) {
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = random_between(&random, 0, 3) ? FALT_NHWC : FALT_NCHW;
        conv.spatial_dims = 2;
        conv.groups = random_between(&random, 1, 3) * 8 + random_between(&random, 0, 1);
        conv.in_channels = conv.groups * (random_between(&random, 0, 1) ? 1 : random_between(&random, 1, 4));
        conv.out_channels = conv.groups * (random_between(&random, 0, 1) ? 1 : random_between(&random, 1, 4));
        set_activation(&conv, (falt_activation)random_between(&random, FALT_ACT_NONE, FALT_ACT_LEAKY));
        for (int d = 0; d < 2; d++) {
            conv.in[d] = random_between(&random, 1, d ? 90 : 6);
            conv.kernel[d] = d ? 3 + 2 * random_between(&random, 0, 1) : random_between(&random, 1, 2); /* mixed slides down */
            conv.dilation[d] = d ? random_between(&random, 2, 6) : random_between(&random, 1, 2);
            conv.stride[d] = random_between(&random, 0, 1)   ? 1
                             : random_between(&random, 0, 1) ? random_between(&random, 1, 6)
                                                             : conv.dilation[d];
            conv.pad_begin[d] = random_between(&random, 0, conv.kernel[d] * conv.dilation[d]);
            conv.pad_end[d] = random_between(&random, 0, conv.kernel[d] * conv.dilation[d]);
        }
        if (try_some(&random, &conv, 1e6))
            classes[conv.stride[1] % conv.dilation[1] != 0 ? 0
                    : conv.layout == FALT_NHWC             ? 1
                                                           : 2] += has_windows(&conv, conv.kernel[1]);
    }
    assert_true(classes[0] > 0 && classes[1] > 0 && classes[2] > 0);
}

static int report(void **state)
{
    (void)state;
    for (falt_algorithm a = FALT_ALGO_AUTO; a < FALT_ALGO_COUNT; a++)
        print_message("%-10s %8lld executed, %8lld refused\n", falt_algorithm_name(a), (long long)tally[a].executed,
                      (long long)tally[a].refused);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),        cmocka_unit_test(test_large_shapes),    cmocka_unit_test(test_widths),
        cmocka_unit_test(test_thin),          cmocka_unit_test(test_padding),         cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_few_pixels),    cmocka_unit_test(test_rectangles),      cmocka_unit_test(test_bundles),
        cmocka_unit_test(test_lines),         cmocka_unit_test(test_mixed),           cmocka_unit_test(test_channels),
        cmocka_unit_test(test_epilogues),     cmocka_unit_test(test_random),          cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_streaming),     cmocka_unit_test(test_streamed_phases), cmocka_unit_test(test_turns),
        cmocka_unit_test(test_narrow_phases), cmocka_unit_test(test_folded),          cmocka_unit_test(test_folded_elsewhere),
        cmocka_unit_test(test_copies),        cmocka_unit_test(test_phases_of_zeros), cmocka_unit_test(test_staging),
        cmocka_unit_test(test_rolling),       cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, NULL, report);
}
