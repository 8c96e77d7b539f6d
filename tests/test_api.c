/* The public header's promises about everything but the numbers: refusals, reasons, queries, threads. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../arch/denormals.h"
#include "faltung.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define FIELD(type, f) offsetof(type, f), sizeof(((type *)0)->f)

/* A small but not trivial layer: groups, odd sizes, padding. */
static falt_conv small_conv(void)
{
    falt_conv conv = FALT_CONV_INIT;
    conv.batch = 2;
    conv.in_channels = 4;
    conv.out_channels = 6;
    conv.groups = 2;
    for (int d = 0; d < 2; d++) {
        conv.in[d] = 5 + d;
        conv.kernel[d] = 3;
        conv.pad_begin[d] = conv.pad_end[d] = 1;
    }
    return conv;
}

/* One execution's tensors, each filled with small numbers. */
struct data {
    falt_sizes sizes;
    float *src, *weights, *bias, *dst, *diff;
};

static float *ramp(int64_t count)
{
    float *p = malloc((size_t)(count > 0 ? count : 1) * sizeof *p);
    assert_non_null(p);
    for (int64_t i = 0; i < count; i++)
        p[i] = (float)((i * 37 + 11) % 64 - 32) / 19.0f;
    return p;
}

static struct data data_of(const falt_conv *conv)
{
    struct data d;
    assert_int_equal(falt_conv_sizes(conv, &d.sizes), FALT_OK);
    d.src = ramp(d.sizes.src);
    d.weights = ramp(d.sizes.weights);
    d.bias = ramp(d.sizes.bias);
    d.dst = ramp(d.sizes.dst);
    d.diff = ramp(d.sizes.src > d.sizes.weights ? d.sizes.src : d.sizes.weights);
    return d;
}

static void data_free(struct data *d)
{
    free(d->src);
    free(d->weights);
    free(d->bias);
    free(d->dst);
    free(d->diff);
}

static falt_tensors tensors_of(const struct data *d, falt_pass pass)
{
    switch (pass) {
    case FALT_FORWARD:
        return (falt_tensors){.src = d->src, .weights = d->weights, .bias = d->bias, .dst = d->dst};
    case FALT_BACKWARD_DATA:
        return (falt_tensors){.diff_dst = d->dst, .weights = d->weights, .diff_src = d->diff};
    default:
        return (falt_tensors){.src = d->src, .diff_dst = d->dst, .diff_weights = d->diff, .diff_bias = d->bias};
    }
}

static falt_plan *plan_of(const falt_conv *conv, falt_pass pass, const falt_options *options)
{
    falt_plan *plan = NULL;
    const falt_status status = falt_plan_create(&plan, conv, pass, options);
    if (status != FALT_OK)
        fail_msg("plan refused: %s: %s", falt_status_string(status), falt_last_error());
    assert_non_null(plan);
    return plan;
}

/* The last failing call left a reason: one line of text. */
static void assert_reason(const char *what)
{
    const char *reason = falt_last_error();
    assert_non_null(reason);
    if (reason[0] == 0 || strchr(reason, '\n'))
        fail_msg("%s: no one-line reason but \"%s\"", what, reason);
}

/* Any successful call leaves the reason as it is; this failing one makes it a known text before the call under test. */
static void forget_reason(void)
{
    falt_execute(NULL, NULL);
}

static void assert_refused(const falt_conv *conv, falt_pass pass, const falt_options *options, int expected, const char *what)
{
    falt_plan *plan = (falt_plan *)&plan;
    forget_reason();
    const falt_status status = falt_plan_create(&plan, conv, pass, options);
    if (status == FALT_OK || plan != NULL || (int)status != expected)
        fail_msg("%s: status \"%s\" (%s) instead of \"%s\", plan %s", what, falt_status_string(status), falt_last_error(),
                 falt_status_string((falt_status)expected), plan ? "not NULL" : "NULL");
    assert_reason(what);
}

/* ----------------------------------------------------------------------------------------- the environment variable */

/* Runs in a child, since the CPU is detected once per process. Returns what the child wrote. */
static void in_child(const char *value, falt_isa cap, int result[3])
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (value)
            setenv("FALTUNG_ISA", value, 1);
        else
            unsetenv("FALTUNG_ISA");
        falt_cpu cpu = {.struct_size = sizeof cpu};
        falt_plan_info info = {.struct_size = sizeof info};
        falt_conv conv = small_conv();
        falt_options options = FALT_OPTIONS_INIT;
        options.isa = cap;
        falt_plan *plan = NULL;
        int out[3] = {-1, -1, -1};
        if (falt_cpu_info(&cpu) == FALT_OK) {
            out[0] = (int)cpu.isa;
            out[1] = (int)cpu.isas;
        }
        const falt_status status = falt_plan_create(&plan, &conv, FALT_FORWARD, &options);
        if (status == FALT_OK && falt_plan_get_info(plan, &info) == FALT_OK)
            out[2] = (int)info.isa;
        falt_plan_destroy(plan);
        _exit(write(ends[1], out, sizeof out) == (ssize_t)sizeof out ? 0 : 1);
    }
    close(ends[1]);
    int status = 0;
    const ssize_t got = read(ends[0], result, 3 * sizeof *result);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(got, 3 * sizeof *result);
}

/* Must be the first test: the children inherit what this process has detected. */
static void test_isa_environment(void **state)
{
    (void)state;
    int plain[3], capped[3];
    in_child(NULL, FALT_ISA_AUTO, plain);
    assert_true(plain[0] > FALT_ISA_AUTO && plain[0] < FALT_ISA_COUNT);
    assert_true(plain[1] & 1 << plain[0]);
    assert_true(plain[1] & 1 << FALT_ISA_SCALAR);
    assert_int_equal(plain[2], plain[0]);
    for (falt_isa isa = FALT_ISA_SCALAR; isa < FALT_ISA_COUNT; isa++) {
        if (!(plain[1] & 1 << isa))
            continue;
        in_child(falt_isa_name(isa), FALT_ISA_AUTO, capped);
        assert_int_equal(capped[0], isa);
        assert_int_equal(capped[1], plain[1]); /* what the CPU has is not the variable's matter */
        assert_int_equal(capped[2], isa);
        /* The option cannot lift the variable's cap, nor the variable the option's. */
        for (falt_isa option = FALT_ISA_SCALAR; option < FALT_ISA_COUNT; option++) {
            if (plain[1] & 1 << option) {
                in_child(falt_isa_name(isa), option, capped);
                assert_int_equal(capped[2], option < isa ? option : isa);
            }
        }
    }
    static const char *const odd[] = {"", "auto", "nonsense", "AVX2 ", "avx2,scalar", "-1"};
    for (size_t i = 0; i < LENGTH(odd); i++) {
        in_child(odd[i], FALT_ISA_AUTO, capped);
        assert_int_equal(capped[1], plain[1]);
    }
}

/* -------------------------------------------------------------------------------------------------- names and texts */

static void test_names(void **state)
{
    (void)state;
    char version[64];
    snprintf(version, sizeof version, "%d.%d.%d", FALT_VERSION_MAJOR, FALT_VERSION_MINOR, FALT_VERSION_PATCH);
    assert_string_equal(falt_version(), version);
    for (int s = FALT_OK; s <= FALT_WORKSPACE; s++) {
        const char *text = falt_status_string((falt_status)s);
        assert_true(text && text[0]);
        assert_string_not_equal(text, "unknown status");
        for (int t = 0; t < s; t++)
            assert_string_not_equal(text, falt_status_string((falt_status)t));
    }
    assert_string_equal(falt_status_string(FALT_INVALID_ARGUMENT), "invalid argument");
    assert_string_equal(falt_status_string((falt_status)-1), "unknown status");
    assert_string_equal(falt_status_string((falt_status)6), "unknown status");
    assert_string_equal(falt_status_string((falt_status)INT_MAX), "unknown status");

    static const char *const algorithms[] = {"auto", "reference", "direct", "im2col", "winograd", "depthwise", "dots"};
    assert_int_equal(LENGTH(algorithms), FALT_ALGO_COUNT);
    for (int a = 0; a < FALT_ALGO_COUNT; a++)
        assert_string_equal(falt_algorithm_name((falt_algorithm)a), algorithms[a]);
    assert_string_equal(falt_algorithm_name((falt_algorithm)-1), "unknown");
    assert_string_equal(falt_algorithm_name(FALT_ALGO_COUNT), "unknown");

    static const char *const isas[] = {"auto", "scalar", "avx2", "avx512", "neon"};
    assert_int_equal(LENGTH(isas), FALT_ISA_COUNT);
    for (int i = 0; i < FALT_ISA_COUNT; i++)
        assert_string_equal(falt_isa_name((falt_isa)i), isas[i]);
    assert_string_equal(falt_isa_name((falt_isa)-1), "unknown");
    assert_string_equal(falt_isa_name(FALT_ISA_COUNT), "unknown");
}

static void test_cpu_info(void **state)
{
    (void)state;
    falt_cpu cpu = {.struct_size = sizeof cpu}, again = cpu;
    assert_int_equal(falt_cpu_info(&cpu), FALT_OK);
    assert_true(cpu.isas & 1u << cpu.isa);
    assert_true(cpu.isas & 1u << FALT_ISA_SCALAR);
    assert_int_equal(cpu.isas & 1u << FALT_ISA_AUTO, 0);
    assert_true(cpu.isas < 1u << FALT_ISA_COUNT);
    assert_true(cpu.threads >= 1);
    assert_true(cpu.l1d >= 4096 && cpu.l2 >= cpu.l1d && cpu.l3 >= 0);
    assert_true(memchr(cpu.name, 0, sizeof cpu.name) != NULL);
    assert_int_equal(falt_cpu_info(&again), FALT_OK);
    assert_memory_equal(&cpu, &again, offsetof(falt_cpu, name));

    assert_int_equal(falt_cpu_info(NULL), FALT_INVALID_ARGUMENT);
    assert_reason("falt_cpu_info(NULL)");
    static const size_t wrong[] = {0, 1, sizeof(falt_cpu) - 1, sizeof(falt_cpu) + 8, SIZE_MAX};
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        cpu.struct_size = wrong[i];
        forget_reason();
        assert_int_equal(falt_cpu_info(&cpu), FALT_INVALID_ARGUMENT);
        assert_reason("falt_cpu_info");
    }
}

/* ------------------------------------------------------------------------------------------------------- bad input */

static void test_null_pointers(void **state)
{
    (void)state;
    const falt_conv conv = small_conv();
    struct data d = data_of(&conv);
    falt_plan *plan = plan_of(&conv, FALT_FORWARD, NULL);
    falt_tensors tensors = tensors_of(&d, FALT_FORWARD);
    falt_sizes sizes;
    falt_plan_info info = {.struct_size = sizeof info};
    int64_t out[3];
    double bound;
    char packed[64];

    falt_plan *none = (falt_plan *)&none;
    assert_int_equal(falt_plan_create(NULL, &conv, FALT_FORWARD, NULL), FALT_INVALID_ARGUMENT);
    assert_int_equal(falt_plan_create(&none, NULL, FALT_FORWARD, NULL), FALT_INVALID_ARGUMENT);
    assert_null(none);
    assert_int_equal(falt_conv_sizes(NULL, &sizes), FALT_INVALID_ARGUMENT);
    assert_int_equal(falt_conv_sizes(&conv, NULL), FALT_INVALID_ARGUMENT);
    assert_int_equal(falt_output_shape(NULL, out), FALT_INVALID_ARGUMENT);
    assert_int_equal(falt_output_shape(&conv, NULL), FALT_INVALID_ARGUMENT);
    assert_int_equal(falt_execute(NULL, &tensors), FALT_INVALID_ARGUMENT);
    assert_int_equal(falt_execute(plan, NULL), FALT_INVALID_ARGUMENT);
    assert_int_equal(falt_pack_weights(NULL, d.weights, packed, sizeof packed), FALT_INVALID_ARGUMENT);
    if (falt_plan_packed_weights_size(plan) > 0) {
        assert_int_equal(falt_pack_weights(plan, NULL, packed, SIZE_MAX), FALT_INVALID_ARGUMENT);
        assert_int_equal(falt_pack_weights(plan, d.weights, NULL, SIZE_MAX), FALT_INVALID_ARGUMENT);
    }
    assert_int_equal(falt_plan_error_bound(NULL, &tensors, &bound), FALT_INVALID_ARGUMENT);
    assert_int_equal(falt_plan_error_bound(plan, NULL, &bound), FALT_INVALID_ARGUMENT);
    assert_int_equal(falt_plan_error_bound(plan, &tensors, NULL), FALT_INVALID_ARGUMENT);
    assert_int_equal(falt_plan_get_info(NULL, &info), FALT_INVALID_ARGUMENT);
    assert_int_equal(falt_plan_get_info(plan, NULL), FALT_INVALID_ARGUMENT);
    assert_reason("null pointers");
    assert_int_equal(falt_plan_workspace_size(NULL, 0), 0);
    assert_int_equal(falt_plan_workspace_size(NULL, 1), 0);
    assert_int_equal(falt_plan_packed_weights_size(NULL), 0);
    assert_int_equal(falt_plan_describe(NULL, FALT_TEXT, NULL, 0), 0);
    assert_int_equal(falt_plan_describe(NULL, FALT_JSON, packed, sizeof packed), 0);
    assert_int_equal(packed[0], 0);
    falt_plan_destroy(NULL);
    falt_plan_destroy(plan);
    data_free(&d);
}

/* A field of a struct set to a value that must be refused. */
struct mutation {
    const char *what;
    size_t offset, size;
    int64_t value;
    int status; /* FALT_INVALID_ARGUMENT; EITHER where two rules are broken at once */
};
enum { EITHER = -1 };

static void set_field(void *object, const struct mutation *m)
{
    if (m->size == sizeof(int64_t)) {
        memcpy((char *)object + m->offset, &m->value, sizeof m->value);
    } else {
        const int32_t narrow = (int32_t)m->value;
        assert_int_equal(m->size, sizeof narrow);
        memcpy((char *)object + m->offset, &narrow, sizeof narrow);
    }
}

#define CONV(f, value, status)                                                                                                 \
    {                                                                                                                          \
#f " = " #value, FIELD(falt_conv, f), value, status                                                                    \
    }
#define INVALID FALT_INVALID_ARGUMENT
static const struct mutation bad_conv[] = {
    {"struct_size = 0", FIELD(falt_conv, struct_size), 0, INVALID},
    {"struct_size short", FIELD(falt_conv, struct_size), (int64_t)sizeof(falt_conv) - 1, INVALID},
    {"struct_size long", FIELD(falt_conv, struct_size), (int64_t)sizeof(falt_conv) + 8, INVALID},
    {"struct_size huge", FIELD(falt_conv, struct_size), -1, INVALID},
    CONV(spatial_dims, 0, INVALID),
    CONV(spatial_dims, 4, INVALID),
    CONV(spatial_dims, -1, INVALID),
    CONV(spatial_dims, INT32_MAX, INVALID),
    CONV(transposed, 2, INVALID),
    CONV(transposed, -1, INVALID),
    CONV(batch, -1, INVALID),
    CONV(batch, INT64_MIN, INVALID),
    CONV(batch, INT64_MAX, FALT_TOO_LARGE),
    CONV(batch, INT64_MAX / 512, FALT_TOO_LARGE), /* elements fit, bytes do not */
    CONV(in_channels, 0, INVALID),
    CONV(in_channels, -4, INVALID),
    CONV(in_channels, 5, INVALID),
    CONV(in_channels, INT64_MIN, INVALID),
    CONV(in_channels, INT64_MAX - 1, FALT_TOO_LARGE),
    CONV(out_channels, 0, INVALID),
    CONV(out_channels, -4, INVALID),
    CONV(out_channels, 5, INVALID),
    CONV(out_channels, INT64_MAX - 1, FALT_TOO_LARGE),
    CONV(groups, 0, INVALID),
    CONV(groups, -1, INVALID),
    CONV(groups, -2, INVALID),
    CONV(groups, 3, INVALID),
    CONV(groups, 4, INVALID),
    CONV(groups, INT64_MAX, INVALID),
    CONV(in[0], 0, INVALID),
    CONV(in[1], -1, INVALID),
    CONV(in[0], INT64_MIN, INVALID),
    CONV(in[0], INT64_MAX, FALT_TOO_LARGE),
    CONV(in[1], INT64_MAX / 4, FALT_TOO_LARGE),
    CONV(in[1], INT64_C(1) << 60, FALT_TOO_LARGE),
    CONV(kernel[0], 0, INVALID),
    CONV(kernel[1], -3, INVALID),
    CONV(kernel[0], 8, INVALID),
    CONV(kernel[1], INT64_MAX, EITHER),
    CONV(stride[0], 0, INVALID),
    CONV(stride[1], -1, INVALID),
    CONV(stride[1], INT64_MIN, INVALID),
    CONV(dilation[0], 0, INVALID),
    CONV(dilation[1], -1, INVALID),
    CONV(dilation[0], 4, INVALID),
    CONV(dilation[0], INT64_MAX, EITHER),
    CONV(dilation[0], INT64_MAX / 2 + 1, EITHER),
    CONV(pad_begin[0], -1, INVALID),
    CONV(pad_begin[1], INT64_MIN, INVALID),
    CONV(pad_begin[1], INT64_MAX, FALT_TOO_LARGE),
    CONV(pad_end[1], -1, INVALID),
    CONV(pad_end[0], INT64_MAX, FALT_TOO_LARGE),
    CONV(pad_end[0], INT64_MAX / 2, FALT_TOO_LARGE),
    CONV(output_padding[0], -1, INVALID),
    CONV(output_padding[1], 1, INVALID), /* belongs to transposed convolutions */
    CONV(layout, 2, INVALID),
    CONV(layout, -1, INVALID),
    CONV(weights_layout, 2, INVALID),
    CONV(weights_layout, -1, INVALID),
    CONV(activation, 7, INVALID),
    CONV(activation, -1, INVALID),
};
static const struct mutation bad_transposed[] = {
    CONV(in[0], INT64_MAX, FALT_TOO_LARGE),
    CONV(in[0], INT64_MAX / 2, FALT_TOO_LARGE),
    CONV(stride[1], INT64_MAX, FALT_TOO_LARGE),
    CONV(stride[1], 0, INVALID),
    CONV(dilation[1], INT64_MAX, FALT_TOO_LARGE),
    CONV(kernel[1], INT64_MAX, FALT_TOO_LARGE),
    CONV(kernel[0], INT64_MIN, INVALID),
    CONV(output_padding[0], INT64_MAX, FALT_TOO_LARGE),
    CONV(output_padding[0], -1, INVALID),
    CONV(pad_begin[0], 100, INVALID), /* nothing is left of the output */
    CONV(pad_end[1], INT64_MAX, EITHER),
    CONV(pad_end[1], -1, INVALID),
    CONV(out_channels, 5, INVALID),
    CONV(spatial_dims, 4, INVALID),
};

static void refuse_all(const falt_conv *good, const struct mutation *table, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        falt_conv conv = *good;
        set_field(&conv, &table[i]);
        falt_sizes sizes;
        int64_t out[3];
        forget_reason();
        falt_status status = falt_conv_sizes(&conv, &sizes);
        assert_reason(table[i].what);
        if (table[i].status == EITHER ? status != FALT_INVALID_ARGUMENT && status != FALT_TOO_LARGE
                                      : (int)status != table[i].status)
            fail_msg("%s: %s, %s", table[i].what, falt_status_string(status), falt_last_error());
        assert_int_equal(falt_output_shape(&conv, out), status);
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++)
            assert_refused(&conv, pass, NULL, (int)status, table[i].what);
    }
}

static void test_bad_conv(void **state)
{
    (void)state;
    falt_conv conv = small_conv();
    falt_plan_destroy(plan_of(&conv, FALT_FORWARD, NULL));
    refuse_all(&conv, bad_conv, LENGTH(bad_conv));
    conv.transposed = 1;
    conv.stride[0] = conv.stride[1] = 2;
    falt_plan_destroy(plan_of(&conv, FALT_FORWARD, NULL));
    refuse_all(&conv, bad_transposed, LENGTH(bad_transposed));

    /* Sizes that are each fine but not together. */
    conv = (falt_conv)FALT_CONV_INIT;
    conv.in[0] = conv.in[1] = INT64_C(1) << 32;
    assert_refused(&conv, FALT_FORWARD, NULL, FALT_TOO_LARGE, "2^32 x 2^32");
    conv = (falt_conv)FALT_CONV_INIT;
    conv.in_channels = conv.out_channels = INT64_C(1) << 31;
    assert_refused(&conv, FALT_FORWARD, NULL, FALT_TOO_LARGE, "2^62 weights of 4 bytes");
    conv = (falt_conv)FALT_CONV_INIT;
    conv.in[0] = conv.in[1] = conv.kernel[0] = conv.kernel[1] = INT64_C(1) << 31;
    assert_refused(&conv, FALT_FORWARD, NULL, FALT_TOO_LARGE, "kernel of 2^62 taps");

    /* The reason names what is wrong. */
    conv = small_conv();
    conv.kernel[1] = 9;
    assert_refused(&conv, FALT_FORWARD, NULL, FALT_INVALID_ARGUMENT, "kernel exceeds input");
    assert_non_null(strstr(falt_last_error(), "kernel"));
    assert_non_null(strstr(falt_last_error(), "9"));

    conv = small_conv();
    assert_refused(&conv, (falt_pass)-1, NULL, FALT_INVALID_ARGUMENT, "pass -1");
    assert_refused(&conv, (falt_pass)3, NULL, FALT_INVALID_ARGUMENT, "pass 3");
}

static void test_ignored_dimensions(void **state)
{
    (void)state;
    falt_conv conv = small_conv();
    conv.spatial_dims = 1;
    for (int d = 1; d < FALT_MAX_DIMS; d++) {
        conv.in[d] = conv.kernel[d] = conv.stride[d] = conv.dilation[d] = -d;
        conv.pad_begin[d] = conv.pad_end[d] = conv.output_padding[d] = INT64_MIN;
    }
    falt_sizes sizes;
    assert_int_equal(falt_conv_sizes(&conv, &sizes), FALT_OK);
    assert_int_equal(sizes.out[0], 5);
    assert_int_equal(sizes.out[1], 1);
    assert_int_equal(sizes.out[2], 1);
    assert_int_equal(sizes.src, 2 * 4 * 5);
    assert_int_equal(sizes.weights, 6 * 2 * 3);
    assert_int_equal(sizes.bias, 6);
    assert_int_equal(sizes.dst, 2 * 6 * 5);
    int64_t out[3] = {-1, -2, -3};
    assert_int_equal(falt_output_shape(&conv, out), FALT_OK);
    assert_int_equal(out[0], 5);
    assert_int_equal(out[1], -2);
}

static void test_activation_refusals(void **state)
{
    (void)state;
    static const float bad[][2] = {{1, 0}, {NAN, 1}, {0, NAN}, {INFINITY, -INFINITY}};
    for (size_t i = 0; i < LENGTH(bad); i++) {
        falt_conv conv = small_conv();
        conv.activation = FALT_ACT_CLAMP;
        conv.alpha = bad[i][0];
        conv.beta = bad[i][1];
        assert_refused(&conv, FALT_FORWARD, NULL, FALT_INVALID_ARGUMENT, "clamp with alpha > beta");
    }
    for (int a = FALT_ACT_NONE; a <= FALT_ACT_HARDSWISH; a++) {
        falt_conv conv = small_conv();
        conv.activation = (falt_activation)a;
        conv.alpha =
            a == FALT_ACT_CLAMP ? -INFINITY : NAN; /* ignored by all others but leaky, where NaN is the caller's wish */
        conv.beta = a == FALT_ACT_CLAMP ? INFINITY : NAN;
        if (a == FALT_ACT_LEAKY)
            conv.alpha = 0.5f;
        falt_plan_destroy(plan_of(&conv, FALT_FORWARD, NULL));
        for (falt_pass pass = FALT_BACKWARD_DATA; pass <= FALT_BACKWARD_WEIGHTS && a != FALT_ACT_NONE; pass++)
            assert_refused(&conv, pass, NULL, FALT_INVALID_ARGUMENT, "activation in a backward pass");
    }
}

static void *some_allocate(void *context, size_t size, size_t alignment)
{
    (void)context;
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void some_release(void *context, void *pointer)
{
    (void)context;
    free(pointer);
}

#define OPTION(f, value)                                                                                                       \
    {                                                                                                                          \
#f " = " #value, FIELD(falt_options, f), value, INVALID                                                                \
    }
static const struct mutation bad_options[] = {
    {"struct_size = 0", FIELD(falt_options, struct_size), 0, INVALID},
    {"struct_size short", FIELD(falt_options, struct_size), (int64_t)sizeof(falt_options) - 8, INVALID},
    {"struct_size long", FIELD(falt_options, struct_size), (int64_t)sizeof(falt_options) + 8, INVALID},
    {"struct_size huge", FIELD(falt_options, struct_size), -1, INVALID},
    OPTION(algorithm, -1),
    OPTION(algorithm, FALT_ALGO_COUNT),
    OPTION(algorithm, INT32_MAX),
    OPTION(isa, -1),
    OPTION(isa, FALT_ISA_COUNT),
    OPTION(isa, INT32_MIN),
    OPTION(threads, -1),
    OPTION(threads, INT32_MIN),
};

static void test_bad_options(void **state)
{
    (void)state;
    const falt_conv conv = small_conv();
    falt_options options;
    for (size_t i = 0; i < LENGTH(bad_options); i++) {
        options = (falt_options)FALT_OPTIONS_INIT;
        set_field(&options, &bad_options[i]);
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++)
            assert_refused(&conv, pass, &options, bad_options[i].status, bad_options[i].what);
    }
    static const float accuracies[] = {NAN, 0.999f, 0.5f, -1.0f, -INFINITY, 1e-30f};
    for (size_t i = 0; i < LENGTH(accuracies); i++) {
        options = (falt_options)FALT_OPTIONS_INIT;
        options.accuracy = accuracies[i];
        assert_refused(&conv, FALT_FORWARD, &options, FALT_INVALID_ARGUMENT, "accuracy");
    }
    options = (falt_options)FALT_OPTIONS_INIT;
    options.allocator.allocate = some_allocate;
    assert_refused(&conv, FALT_FORWARD, &options, FALT_INVALID_ARGUMENT, "allocator without release");
    options.allocator.allocate = NULL;
    options.allocator.release = some_release;
    assert_refused(&conv, FALT_FORWARD, &options, FALT_INVALID_ARGUMENT, "allocator without allocate");
    options.allocator.allocate = some_allocate;
    falt_plan_destroy(plan_of(&conv, FALT_FORWARD, &options));
}

static void test_forced_isa(void **state)
{
    (void)state;
    falt_cpu cpu = {.struct_size = sizeof cpu};
    assert_int_equal(falt_cpu_info(&cpu), FALT_OK);
    const falt_conv conv = small_conv();
    for (falt_isa isa = FALT_ISA_SCALAR; isa < FALT_ISA_COUNT; isa++) {
        falt_options options = FALT_OPTIONS_INIT;
        options.isa = isa;
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
            if (cpu.isas & 1u << isa) {
                falt_plan_info info = {.struct_size = sizeof info};
                falt_plan *plan = plan_of(&conv, pass, &options);
                assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
                assert_true(info.isa > FALT_ISA_AUTO && info.isa <= isa);
                falt_plan_destroy(plan);
            } else {
                assert_refused(&conv, pass, &options, FALT_UNSUPPORTED, falt_isa_name(isa));
                assert_non_null(strstr(falt_last_error(), falt_isa_name(isa)));
            }
        }
    }
}

static void test_forced_algorithm(void **state)
{
    (void)state;
    falt_conv odd = small_conv(); /* neither 3x3 nor depthwise nor dense */
    odd.groups = 1;
    odd.kernel[0] = 2;
    odd.stride[0] = odd.stride[1] = 2;
    odd.dilation[1] = 2;
    const falt_conv convs[] = {small_conv(), odd};
    for (size_t c = 0; c < LENGTH(convs); c++) {
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
            for (falt_algorithm a = FALT_ALGO_AUTO; a < FALT_ALGO_COUNT; a++) {
                falt_options options = FALT_OPTIONS_INIT;
                options.algorithm = a;
                falt_plan *plan = (falt_plan *)&plan;
                forget_reason();
                const falt_status status = falt_plan_create(&plan, &convs[c], pass, &options);
                if (status == FALT_OK) {
                    falt_plan_info info = {.struct_size = sizeof info};
                    assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
                    assert_true(a == FALT_ALGO_AUTO ? info.algorithm != FALT_ALGO_AUTO : info.algorithm == a);
                    falt_plan_destroy(plan);
                } else {
                    assert_int_equal(status, FALT_UNSUPPORTED);
                    assert_null(plan);
                    assert_true(a != FALT_ALGO_AUTO && a != FALT_ALGO_REFERENCE);
                    assert_reason(falt_algorithm_name(a));
                    assert_non_null(strstr(falt_last_error(), falt_algorithm_name(a)));
                }
            }
        }
    }
    falt_options options = FALT_OPTIONS_INIT;
    options.algorithm = FALT_ALGO_DEPTHWISE;
    falt_conv dense = small_conv();
    dense.groups = 1;
    dense.in_channels = dense.out_channels = 640;
    assert_refused(&dense, FALT_FORWARD, &options, FALT_UNSUPPORTED, "depthwise on a dense layer");
    options.algorithm = FALT_ALGO_WINOGRAD;
    assert_refused(&odd, FALT_FORWARD, &options, FALT_UNSUPPORTED, "winograd on a strided dilated layer");
}

/* A stride and a padding far beyond the image: no memory for what lies between, and the right result. */
static void test_out_of_proportion(void **state)
{
    (void)state;
    static const int64_t strides[] = {INT64_C(1) << 20, INT64_C(1) << 30, INT64_C(1) << 56};
    static const falt_algorithm algorithms[] = {FALT_ALGO_AUTO, FALT_ALGO_DIRECT, FALT_ALGO_WINOGRAD, FALT_ALGO_DOTS};
    for (int i = 0; i < 3 * 2 * 3 * 4; i++) {
        const falt_pass pass = (falt_pass)(i / 24);
        falt_conv conv = FALT_CONV_INIT;
        conv.layout = i % 2 ? FALT_NHWC : FALT_NCHW;
        conv.in_channels = 16;
        conv.out_channels = 8;
        conv.in[0] = 5;
        conv.in[1] = 1;
        conv.kernel[0] = 3;
        conv.pad_begin[0] = conv.pad_end[0] = 1;
        conv.stride[1] = conv.pad_begin[1] = strides[i / 2 % 3];
        falt_options options = FALT_OPTIONS_INIT;
        options.algorithm = algorithms[i / 6 % 4];
        if (i / 2 % 3 == 2 && options.algorithm < FALT_ALGO_WINOGRAD)
            continue; /* direct has pointers to what lies outside, which come around there */
        falt_plan *plan;
        if (falt_plan_create(&plan, &conv, pass, &options) != FALT_OK) {
            assert_true(options.algorithm != FALT_ALGO_AUTO);
            continue;
        }
        assert_true(falt_plan_workspace_size(plan, 0) < 1 << 20);
        struct data got = data_of(&conv), expected = data_of(&conv);
        const falt_tensors tensors = tensors_of(&got, pass), others = tensors_of(&expected, pass);
        assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
        falt_plan_destroy(plan);
        options.algorithm = FALT_ALGO_REFERENCE;
        assert_int_equal(falt_plan_create(&plan, &conv, pass, &options), FALT_OK);
        assert_int_equal(falt_execute(plan, &others), FALT_OK);
        falt_plan_destroy(plan);
        const float *a = pass == FALT_FORWARD ? got.dst : got.diff, *b = pass == FALT_FORWARD ? expected.dst : expected.diff;
        const falt_sizes *sizes = &got.sizes;
        const int64_t count = pass == FALT_FORWARD ? sizes->dst : pass == FALT_BACKWARD_DATA ? sizes->src : sizes->weights;
        for (int64_t k = 0; k < count; k++)
            assert_float_equal(a[k], b[k], 1e-3);
        data_free(&got);
        data_free(&expected);
    }
}

/* A limit is obeyed by another algorithm or by fewer threads, never by failing; and which algorithm it is, the threads do not
 * say. */
static void check_limit(const falt_conv *conv, falt_pass pass, falt_algorithm algorithm, int64_t limit)
{
    falt_plan_info info[2] = {{.struct_size = sizeof info[0]}, {.struct_size = sizeof info[0]}};
    falt_status status[2];
    for (int i = 0; i < 2; i++) {
        falt_options options = FALT_OPTIONS_INIT;
        options.algorithm = algorithm;
        options.workspace_limit = limit;
        options.threads = i ? 7 : 1;
        falt_plan *plan = NULL;
        status[i] = falt_plan_create(&plan, conv, pass, &options);
        if (status[i] == FALT_OK) {
            if (limit >= 0)
                assert_true(falt_plan_workspace_size(plan, 1) <= (uint64_t)limit);
            assert_true(falt_plan_workspace_size(plan, 0) >= falt_plan_workspace_size(plan, 1));
            assert_int_equal(falt_plan_get_info(plan, &info[i]), FALT_OK);
            falt_plan_destroy(plan);
        } else {
            assert_true(algorithm > FALT_ALGO_REFERENCE); /* there is always one that needs no workspace */
            assert_int_equal(status[i], FALT_UNSUPPORTED);
            assert_reason("workspace_limit");
        }
    }
    assert_int_equal(status[0], status[1]);
    if (status[0] == FALT_OK)
        assert_int_equal(info[0].algorithm, info[1].algorithm);
}

static void test_workspace_limit(void **state)
{
    (void)state;
    static const int64_t limits[] = {0, 1, 64, 1000, 4096, 20000, 1 << 20, INT64_MAX, -1, INT64_MIN};
    for (int variant = 0; variant < 8; variant++) {
        falt_conv conv = small_conv();
        conv.transposed = variant & 1;
        conv.stride[0] = variant & 2 ? 2 : 1;
        if (variant & 4) { /* large enough for Winograd and many threads */
            conv.groups = 1;
            conv.in_channels = conv.out_channels = 32;
            conv.in[0] = conv.in[1] = 20;
        }
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++)
            for (falt_algorithm a = FALT_ALGO_AUTO; a < FALT_ALGO_COUNT; a++)
                for (size_t i = 0; i < LENGTH(limits); i++)
                    check_limit(&conv, pass, a, limits[i]);
    }
}

static size_t workspace_of(falt_algorithm algorithm, falt_pass pass, int32_t threads, int64_t limit, int32_t *used)
{
    falt_conv conv = small_conv();
    falt_options options = FALT_OPTIONS_INIT;
    falt_plan_info info = {.struct_size = sizeof info};
    falt_plan *plan = NULL;
    conv.groups = 1;
    conv.in_channels = conv.out_channels = 64;
    conv.in[0] = conv.in[1] = 40;
    options.algorithm = algorithm;
    options.threads = threads;
    options.workspace_limit = limit;
    assert_int_equal(falt_plan_create(&plan, &conv, pass, &options), FALT_OK);
    assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
    const size_t size = falt_plan_workspace_size(plan, 1);
    falt_plan_destroy(plan);
    *used = info.threads;
    return size;
}

/* Threads are kept apart where there is more than one, and no limit. */
static void test_threads_apart(void **state)
{
    (void)state;
    static const falt_algorithm algorithms[] = {FALT_ALGO_DIRECT, FALT_ALGO_IM2COL};
    for (size_t i = 0; i < LENGTH(algorithms); i++)
        for (int32_t threads = 1; threads <= 2; threads++)
            for (int weights = 0; weights < 2; weights++) {
                const falt_pass pass = weights ? FALT_BACKWARD_WEIGHTS : FALT_FORWARD;
                int32_t used, limited;
                const size_t apart = workspace_of(algorithms[i], pass, threads, -1, &used);
                const size_t together = workspace_of(algorithms[i], pass, threads, INT64_MAX, &limited);
                assert_int_equal(used, limited);
                assert_true(apart - together == (used > 1 ? (size_t)used * 32768 : 0));
            }
}

/* ---------------------------------------------------------------------------------------------- bad execution input */

static void test_missing_tensors(void **state)
{
    (void)state;
    static const struct {
        falt_pass pass;
        const char *name;
        size_t offset;
    } needed[] = {
        {FALT_FORWARD, "src", offsetof(falt_tensors, src)},
        {FALT_FORWARD, "weights", offsetof(falt_tensors, weights)},
        {FALT_FORWARD, "dst", offsetof(falt_tensors, dst)},
        {FALT_BACKWARD_DATA, "diff_dst", offsetof(falt_tensors, diff_dst)},
        {FALT_BACKWARD_DATA, "weights", offsetof(falt_tensors, weights)},
        {FALT_BACKWARD_DATA, "diff_src", offsetof(falt_tensors, diff_src)},
        {FALT_BACKWARD_WEIGHTS, "src", offsetof(falt_tensors, src)},
        {FALT_BACKWARD_WEIGHTS, "diff_dst", offsetof(falt_tensors, diff_dst)},
    };
    for (int transposed = 0; transposed < 2; transposed++) {
        falt_conv conv = small_conv();
        conv.transposed = transposed;
        struct data d = data_of(&conv);
        for (size_t i = 0; i < LENGTH(needed); i++) {
            falt_plan *plan = plan_of(&conv, needed[i].pass, NULL);
            falt_tensors tensors = tensors_of(&d, needed[i].pass);
            assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
            double bound = 0;
            assert_int_equal(falt_plan_error_bound(plan, &tensors, &bound), FALT_OK);
            memset((char *)&tensors + needed[i].offset, 0, sizeof(void *));
            forget_reason();
            assert_int_equal(falt_execute(plan, &tensors), FALT_INVALID_ARGUMENT);
            if (!strstr(falt_last_error(), needed[i].name))
                fail_msg("the reason \"%s\" does not name %s", falt_last_error(), needed[i].name);
            if (strcmp(needed[i].name, "dst") != 0 && strcmp(needed[i].name, "diff_src") != 0) {
                assert_int_equal(falt_plan_error_bound(plan, &tensors, &bound), FALT_INVALID_ARGUMENT);
                assert_reason("falt_plan_error_bound");
            }
            falt_plan_destroy(plan);
        }
        /* Either gradient alone is fine, neither is not. */
        falt_plan *plan = plan_of(&conv, FALT_BACKWARD_WEIGHTS, NULL);
        falt_tensors tensors = tensors_of(&d, FALT_BACKWARD_WEIGHTS);
        tensors.diff_bias = NULL;
        assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
        tensors.diff_weights = NULL;
        forget_reason();
        assert_int_equal(falt_execute(plan, &tensors), FALT_INVALID_ARGUMENT);
        assert_non_null(strstr(falt_last_error(), "diff_weights"));
        tensors.diff_bias = d.bias;
        assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
        tensors.src = NULL; /* which the bias's gradient does not read */
        assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
        double bound = 1.0;
        assert_int_equal(falt_plan_error_bound(plan, &tensors, &bound), FALT_OK);
        assert_true(bound == 0.0);
        falt_plan_destroy(plan);
        data_free(&d);
    }
}

static void test_bad_workspace(void **state)
{
    (void)state;
    const falt_conv conv = small_conv();
    struct data d = data_of(&conv);
    for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
        for (falt_algorithm a = FALT_ALGO_AUTO; a < FALT_ALGO_COUNT; a++) {
            falt_options options = FALT_OPTIONS_INIT;
            options.algorithm = a;
            falt_plan *plan = NULL;
            if (falt_plan_create(&plan, &conv, pass, &options) != FALT_OK)
                continue;
            falt_tensors tensors = tensors_of(&d, pass);
            const size_t size = falt_plan_workspace_size(plan, 0);
            char *workspace = malloc(size + 1);
            assert_non_null(workspace);
            tensors.workspace = workspace;
            tensors.workspace_size = size;
            assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
            if (size > 0) {
                const size_t wrong[] = {0, 1, size / 2, size - 1};
                for (size_t i = 0; i < LENGTH(wrong); i++) {
                    tensors.workspace_size = wrong[i];
                    forget_reason();
                    assert_int_equal(falt_execute(plan, &tensors), FALT_WORKSPACE);
                    assert_non_null(strstr(falt_last_error(), "workspace"));
                }
            }
            free(workspace);
            falt_plan_destroy(plan);
        }
    }
    data_free(&d);
}

/* Backward data whose images have as many phases and the same kernels, but not the same taps in each: packed weights of one are
 * not the other's. */
static void test_packed_phases(void **state)
{
    (void)state;
    falt_conv conv = FALT_CONV_INIT;
    conv.layout = FALT_NHWC;
    conv.in_channels = 15;
    conv.out_channels = 17;
    for (int d = 0; d < 2; d++) {
        conv.kernel[d] = 2;
        conv.stride[d] = 4;
        conv.dilation[d] = d ? 3 : 1;
        conv.pad_begin[d] = 2;
        conv.pad_end[d] = 5;
    }
    falt_conv other = conv;
    conv.in[0] = 3;
    conv.in[1] = 5;
    other.in[0] = 4;
    other.in[1] = 2;
    other.pad_end[0] = 4;
    falt_plan *plan = NULL, *foreign = NULL;
    assert_int_equal(falt_plan_create(&plan, &conv, FALT_BACKWARD_DATA, NULL), FALT_OK);
    assert_int_equal(falt_plan_create(&foreign, &other, FALT_BACKWARD_DATA, NULL), FALT_OK);
    const size_t size = falt_plan_packed_weights_size(plan);
    char *packed = malloc(size);
    struct data d = data_of(&conv), od = data_of(&other);
    assert_non_null(packed);
    assert_int_equal(falt_pack_weights(plan, d.weights, packed, size), FALT_OK);
    falt_tensors tensors = tensors_of(&d, FALT_BACKWARD_DATA), others = tensors_of(&od, FALT_BACKWARD_DATA);
    tensors.weights = others.weights = NULL;
    tensors.packed_weights = others.packed_weights = packed;
    assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
    forget_reason();
    assert_int_equal(falt_execute(foreign, &others), FALT_WORKSPACE);
    assert_reason("foreign packed weights");
    falt_plan_destroy(plan);
    falt_plan_destroy(foreign);
    data_free(&d);
    data_free(&od);
    free(packed);
}

static void test_bad_packed_weights(void **state)
{
    (void)state;
    const falt_conv conv = small_conv();
    struct data d = data_of(&conv);
    for (falt_algorithm a = FALT_ALGO_AUTO; a < FALT_ALGO_COUNT; a++) {
        falt_options options = FALT_OPTIONS_INIT;
        options.algorithm = a;
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
            falt_plan *plan = NULL;
            if (falt_plan_create(&plan, &conv, pass, &options) != FALT_OK)
                continue;
            const size_t size = falt_plan_packed_weights_size(plan);
            if (pass == FALT_BACKWARD_WEIGHTS)
                assert_int_equal(size, 0);
            if (size == 0) {
                falt_plan_destroy(plan);
                continue;
            }
            char *packed = malloc(size), *garbage = malloc(size);
            assert_true(packed && garbage);
            const size_t wrong[] = {0, 1, size / 2, size - 1};
            for (size_t i = 0; i < LENGTH(wrong); i++) {
                forget_reason();
                assert_int_equal(falt_pack_weights(plan, d.weights, packed, wrong[i]), FALT_WORKSPACE);
                assert_reason("packed buffer too small");
            }
            assert_int_equal(falt_pack_weights(plan, d.weights, packed, size), FALT_OK);
            falt_tensors tensors = tensors_of(&d, pass);
            tensors.weights = NULL;
            tensors.packed_weights = packed;
            assert_int_equal(falt_execute(plan, &tensors), FALT_OK);

            /* The same layer planned again takes them. */
            falt_plan *twin = plan_of(&conv, pass, &options);
            assert_int_equal(falt_execute(twin, &tensors), FALT_OK);
            falt_plan_destroy(twin);

            static const int fills[] = {0, 0xff, 0x5a};
            for (size_t i = 0; i < LENGTH(fills); i++) {
                memset(garbage, fills[i], size);
                tensors.packed_weights = garbage;
                forget_reason();
                assert_int_equal(falt_execute(plan, &tensors), FALT_WORKSPACE);
                assert_non_null(strstr(falt_last_error(), "packed"));
            }
            /* Another layer's, even one that differs in a single number. */
            for (int change = 0; change < 4; change++) {
                falt_conv other = conv;
                if (change == 0)
                    other.out_channels = 8;
                else if (change == 1)
                    other.groups = 1;
                else if (change == 2)
                    other.kernel[0] = 2;
                else
                    other.weights_layout = FALT_OHWI;
                falt_plan *foreign = NULL;
                if (falt_plan_create(&foreign, &other, pass, &options) != FALT_OK)
                    continue;
                struct data od = data_of(&other);
                falt_tensors ot = tensors_of(&od, pass);
                ot.weights = NULL;
                ot.packed_weights = packed;
                if (change < 3 && falt_plan_packed_weights_size(foreign) > 0) {
                    forget_reason();
                    assert_int_equal(falt_execute(foreign, &ot), FALT_WORKSPACE);
                    assert_reason("foreign packed weights");
                } else if (falt_plan_packed_weights_size(foreign) > 0) {
                    const falt_status status = falt_execute(foreign, &ot); /* the packed form may be the same */
                    assert_true(status == FALT_OK || status == FALT_WORKSPACE);
                }
                falt_plan_destroy(foreign);
                data_free(&od);
            }
            free(packed);
            free(garbage);
            falt_plan_destroy(plan);
        }
    }
    data_free(&d);
}

/* -------------------------------------------------------------------------------------------------------- describe */

/* Just enough of RFC 8259 to reject what is not JSON. Each returns the end of what it read, or NULL. */
static const char *json_value(const char *p, int depth);

static const char *json_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

static const char *json_string(const char *p)
{
    if (*p++ != '"')
        return NULL;
    for (; *p != '"'; p++) {
        if ((unsigned char)*p < 0x20)
            return NULL;
        if (*p == '\\') {
            p++;
            if (*p == 'u') {
                for (int i = 1; i <= 4; i++)
                    if (!isxdigit((unsigned char)p[i]))
                        return NULL;
                p += 4;
            } else if (*p == 0 || !strchr("\"\\/bfnrt", *p)) {
                return NULL;
            }
        }
    }
    return p + 1;
}

static const char *json_number(const char *p)
{
    p += *p == '-';
    if (!isdigit((unsigned char)*p) || (p[0] == '0' && isdigit((unsigned char)p[1])))
        return NULL;
    p += strspn(p, "0123456789");
    if (*p == '.') {
        const size_t digits = strspn(p + 1, "0123456789");
        if (digits == 0)
            return NULL;
        p += 1 + digits;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        const size_t digits = strspn(p, "0123456789");
        if (digits == 0)
            return NULL;
        p += digits;
    }
    return p;
}

static const char *json_list(const char *p, char end, int depth)
{
    p = json_space(p + 1);
    if (*p == end)
        return p + 1;
    for (;;) {
        if (end == '}') {
            p = json_string(json_space(p));
            if (!p || *(p = json_space(p)) != ':')
                return NULL;
            p++;
        }
        p = json_value(p, depth + 1);
        if (!p)
            return NULL;
        p = json_space(p);
        if (*p == end)
            return p + 1;
        if (*p++ != ',')
            return NULL;
    }
}

static const char *json_value(const char *p, int depth)
{
    static const char *const words[] = {"true", "false", "null"};
    p = json_space(p);
    if (depth > 32)
        return NULL;
    if (*p == '{')
        return json_list(p, '}', depth);
    if (*p == '[')
        return json_list(p, ']', depth);
    if (*p == '"')
        return json_string(p);
    for (size_t i = 0; i < LENGTH(words); i++)
        if (strncmp(p, words[i], strlen(words[i])) == 0)
            return p + strlen(words[i]);
    return json_number(p);
}

static bool json_valid(const char *text)
{
    const char *end = json_value(text, 0);
    return end && *json_space(end) == 0;
}

static void test_json_checker(void **state)
{
    (void)state;
    static const char *const good[] = {"{}", "[1, -2.5e-3, \"a\\\"\\u00e9\", {\"k\": [true, null]}]", " 0 "};
    static const char *const bad[] = {"",   "{",  "{]",    "[1,]",   "{\"a\" 1}", "\"a", "nan",
                                      "01", "1.", "[1] 2", "{a: 1}", "\"\n\"",    "inf"};
    for (size_t i = 0; i < LENGTH(good); i++)
        assert_true(json_valid(good[i]));
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_false(json_valid(bad[i]));
}

static void test_describe(void **state)
{
    (void)state;
    static const char canary = 0x5a;
    falt_conv transposed = small_conv();
    transposed.transposed = 1;
    transposed.stride[0] = transposed.stride[1] = 2;
    transposed.output_padding[1] = 1;
    falt_conv wide = small_conv();
    wide.spatial_dims = 3;
    wide.in[2] = 1000003;
    wide.activation = FALT_ACT_CLAMP;
    wide.alpha = -INFINITY;
    wide.beta = INFINITY;
    falt_conv empty = small_conv();
    empty.batch = 0;
    const falt_conv convs[] = {small_conv(), transposed, wide, empty};
    for (size_t c = 0; c < LENGTH(convs); c++) {
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
            if (convs[c].activation != FALT_ACT_NONE && pass != FALT_FORWARD)
                continue;
            falt_plan *plan = plan_of(&convs[c], pass, NULL);
            falt_plan_info info = {.struct_size = sizeof info};
            assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
            for (falt_format format = FALT_TEXT; format <= FALT_JSON; format++) {
                const size_t length = falt_plan_describe(plan, format, NULL, 0);
                assert_true(length > 0);
                char *full = malloc(length + 2), *part = malloc(length + 2);
                assert_true(full && part);
                memset(full, canary, length + 2);
                assert_int_equal(falt_plan_describe(plan, format, full, length + 1), length);
                assert_int_equal(strlen(full), length);
                assert_int_equal(full[length + 1], canary);
                for (size_t size = 0; size <= length; size++) {
                    memset(part, canary, length + 2);
                    assert_int_equal(falt_plan_describe(plan, format, part, size), length);
                    if (size > 0) {
                        assert_memory_equal(part, full, size - 1);
                        assert_int_equal(part[size - 1], 0);
                    }
                    assert_int_equal(part[size], canary);
                }
                assert_non_null(strstr(full, falt_algorithm_name(info.algorithm)));
                assert_non_null(strstr(full, info.kernel));
                if (format == FALT_JSON && !json_valid(full))
                    fail_msg("not JSON: %s", full);
                free(full);
                free(part);
            }
            char buffer[8] = "x";
            assert_int_equal(falt_plan_describe(plan, (falt_format)2, buffer, sizeof buffer), 0);
            assert_int_equal(buffer[0], 0);
            falt_plan_destroy(plan);
        }
    }
}

static void test_info(void **state)
{
    (void)state;
    const falt_conv conv = small_conv();
    for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
        falt_options options = FALT_OPTIONS_INIT;
        options.threads = 2;
        falt_plan *plan = plan_of(&conv, pass, &options);
        falt_plan_info info = {.struct_size = sizeof info};
        assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
        assert_int_equal(info.struct_size, sizeof info);
        assert_true(info.algorithm > FALT_ALGO_AUTO && info.algorithm < FALT_ALGO_COUNT);
        assert_true(info.isa > FALT_ISA_AUTO && info.isa < FALT_ISA_COUNT);
        assert_true(info.threads >= 1 && info.threads <= 2);
        assert_true(info.kernel && info.kernel[0]);
        assert_true(info.predicted_seconds > 0 && isfinite(info.predicted_seconds));
        assert_true(info.accuracy >= 0 && info.accuracy <= 3.0);
        static const size_t wrong[] = {0, sizeof(falt_plan_info) - 8, sizeof(falt_plan_info) + 8, SIZE_MAX};
        for (size_t i = 0; i < LENGTH(wrong); i++) {
            info.struct_size = wrong[i];
            forget_reason();
            assert_int_equal(falt_plan_get_info(plan, &info), FALT_INVALID_ARGUMENT);
            assert_reason("falt_plan_get_info");
        }
        falt_plan_destroy(plan);
        options.accuracy = FALT_ACCURACY_AS_DIRECT;
        plan = plan_of(&conv, pass, &options);
        info.struct_size = sizeof info;
        assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
        assert_true(info.accuracy <= 1);
        falt_plan_destroy(plan);
    }
}

/* The plan owns copies of all it was made from. */
static void test_plan_keeps_nothing(void **state)
{
    (void)state;
    falt_conv *conv = malloc(sizeof *conv);
    falt_options *options = malloc(sizeof *options);
    assert_true(conv && options);
    *conv = small_conv();
    *options = (falt_options)FALT_OPTIONS_INIT;
    struct data d = data_of(conv);
    falt_plan *plan = plan_of(conv, FALT_FORWARD, options);
    memset(conv, 0x5a, sizeof *conv);
    memset(options, 0x5a, sizeof *options);
    free(conv);
    free(options);
    const falt_tensors tensors = tensors_of(&d, FALT_FORWARD);
    assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
    assert_true(falt_plan_describe(plan, FALT_TEXT, NULL, 0) > 0);
    falt_plan_destroy(plan);
    data_free(&d);
}

/* ------------------------------------------------------------------------------------------------- error bound, batch 0 */

static void test_error_bound(void **state)
{
    (void)state;
    const falt_conv conv = small_conv();
    struct data d = data_of(&conv);
    for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
        for (falt_algorithm a = FALT_ALGO_AUTO; a < FALT_ALGO_COUNT; a++) {
            falt_options options = FALT_OPTIONS_INIT;
            options.algorithm = a;
            falt_plan *plan = NULL;
            if (falt_plan_create(&plan, &conv, pass, &options) != FALT_OK)
                continue;
            falt_tensors tensors = tensors_of(&d, pass);
            tensors.bias = NULL;
            tensors.diff_bias = NULL;
            double bound = -1, twice = -1, zero = -1;
            assert_int_equal(falt_plan_error_bound(plan, &tensors, &bound), FALT_OK);
            assert_true(bound > 0 && bound < (a == FALT_ALGO_AUTO || a == FALT_ALGO_WINOGRAD ? 1e-1 : 1e-3));

            /* Proportional to either input; 0 for a zero input. */
            float *input = pass == FALT_FORWARD ? d.src : d.dst;
            const int64_t count = pass == FALT_FORWARD ? d.sizes.src : d.sizes.dst;
            for (int64_t i = 0; i < count; i++)
                input[i] *= 2;
            assert_int_equal(falt_plan_error_bound(plan, &tensors, &twice), FALT_OK);
            assert_true(fabs(twice - 2 * bound) <= 1e-6 * bound);
            float *saved = malloc((size_t)count * sizeof *saved);
            assert_non_null(saved);
            for (int64_t i = 0; i < count; i++) {
                saved[i] = input[i] / 2;
                input[i] = 0;
            }
            assert_int_equal(falt_plan_error_bound(plan, &tensors, &zero), FALT_OK);
            assert_true(zero == 0);
            memcpy(input, saved, (size_t)count * sizeof *saved);
            free(saved);
            falt_plan_destroy(plan);
        }
    }
    data_free(&d);
}

static void test_batch_zero(void **state)
{
    (void)state;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
            for (falt_algorithm a = FALT_ALGO_AUTO; a < FALT_ALGO_COUNT; a++) {
                falt_conv conv = small_conv();
                conv.batch = 0;
                falt_options options = FALT_OPTIONS_INIT;
                options.algorithm = a;
                options.accumulate = accumulate;
                falt_plan *plan = NULL;
                if (falt_plan_create(&plan, &conv, pass, &options) != FALT_OK) {
                    assert_true(a > FALT_ALGO_REFERENCE || (accumulate && pass != FALT_BACKWARD_WEIGHTS));
                    continue;
                }
                struct data d = data_of(&conv);
                assert_int_equal(d.sizes.src, 0);
                assert_int_equal(d.sizes.dst, 0);
                falt_tensors tensors = tensors_of(&d, pass);
                assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
                double bound = -1;
                assert_int_equal(falt_plan_error_bound(plan, &tensors, &bound), FALT_OK);
                assert_true(bound >= 0);
                if (pass == FALT_BACKWARD_WEIGHTS) {
                    float *fresh = ramp(d.sizes.weights);
                    for (int64_t i = 0; i < d.sizes.weights; i++)
                        assert_true(d.diff[i] == (accumulate ? fresh[i] : 0));
                    for (int64_t i = 0; i < d.sizes.bias; i++)
                        assert_true(d.bias[i] == (accumulate ? fresh[i] : 0));
                    free(fresh);
                }
                data_free(&d);
                falt_plan_destroy(plan);
            }
        }
    }
}

/* A stride that is larger than any image is legal (up to 2^56) and must not overflow on the way. */
static void test_huge_but_valid(void **state)
{
    (void)state;
    for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
        falt_conv conv = small_conv();
        conv.stride[0] = conv.stride[1] = INT64_C(1) << 56;
        struct data d = data_of(&conv);
        assert_int_equal(d.sizes.out[0], 1);
        assert_int_equal(d.sizes.out[1], 1);
        falt_plan *plan = plan_of(&conv, pass, NULL);
        const falt_tensors tensors = tensors_of(&d, pass);
        assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
        falt_plan_destroy(plan);
        data_free(&d);

        conv = small_conv();
        conv.kernel[0] = 1;
        conv.pad_begin[0] = conv.pad_end[0] = 0;
        conv.dilation[0] = INT64_C(1) << 56; /* of a single tap */
        d = data_of(&conv);
        plan = plan_of(&conv, pass, NULL);
        const falt_tensors dilated = tensors_of(&d, pass);
        assert_int_equal(falt_execute(plan, &dilated), FALT_OK);
        falt_plan_destroy(plan);
        data_free(&d);
    }
}

/* Planning takes about as long however large the image is: no loop of a solver's runs over it. */
static void test_plan_of_huge_image(void **state)
{
    (void)state;
    const int64_t side = INT64_C(1) << (sizeof(size_t) == 8 ? 27 : 12);
    for (int64_t groups = 1; groups <= 3; groups += 2)
        for (falt_layout layout = FALT_NCHW; layout <= FALT_NHWC; layout++)
            for (falt_algorithm algorithm = FALT_ALGO_AUTO; algorithm < FALT_ALGO_COUNT; algorithm++)
                for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
                    falt_conv conv = FALT_CONV_INIT;
                    falt_options options = FALT_OPTIONS_INIT;
                    conv.groups = groups;
                    conv.in_channels = conv.out_channels = 3;
                    conv.in[0] = conv.in[1] = side;
                    conv.kernel[0] = conv.kernel[1] = 3;
                    conv.pad_begin[0] = conv.pad_begin[1] = 1;
                    conv.layout = layout;
                    options.algorithm = algorithm;
                    falt_plan *plan = NULL;
                    const clock_t start = clock();
                    const falt_status status = falt_plan_create(&plan, &conv, pass, &options);
                    assert_true((clock() - start) / CLOCKS_PER_SEC < 1);
                    assert_true(status == FALT_OK || status == FALT_UNSUPPORTED);
                    falt_plan_destroy(plan);
                }
}

/* With each algorithm, pass and layout there is a plan or a reason why not. */
static void plan_in_all_ways(falt_conv conv)
{
    for (conv.layout = FALT_NCHW; conv.layout <= FALT_NHWC; conv.layout++)
        for (falt_algorithm algorithm = FALT_ALGO_AUTO; algorithm < FALT_ALGO_COUNT; algorithm++)
            for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
                falt_options options = FALT_OPTIONS_INIT;
                falt_plan *plan = NULL;
                options.algorithm = algorithm;
                const falt_status status = falt_plan_create(&plan, &conv, pass, &options);
                assert_true(status == FALT_OK || status == FALT_UNSUPPORTED || sizeof(size_t) < 8);
                falt_plan_destroy(plan);
            }
}

/* Nothing that is counted for each of many groups comes around. */
static void test_plan_of_many_groups(void **state)
{
    (void)state;
    static const int64_t groups[] = {INT64_C(1) << 39, INT64_C(1000000000000000), INT64_C(4000000000000001)};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        falt_conv conv = FALT_CONV_INIT;
        conv.spatial_dims = 1;
        conv.groups = conv.in_channels = conv.out_channels = groups[i];
        conv.in[0] = 501;
        conv.kernel[0] = i < 2 ? 2 : 8;
        plan_in_all_ways(conv);
    }
}

/* Nor of many images, or of many rows in long steps. */
static void test_plan_of_long_ways(void **state)
{
    (void)state;
    falt_conv conv = FALT_CONV_INIT;
    conv.stride[0] = conv.pad_begin[0] = INT64_C(1) << 50;
    conv.stride[1] = 2;
    for (conv.in[1] = 2048; conv.in[1] <= 4096; conv.in[1] *= 2)
        plan_in_all_ways(conv);

    conv = (falt_conv)FALT_CONV_INIT;
    conv.spatial_dims = 1;
    conv.batch = INT64_MAX / 4;
    conv.kernel[0] = 3;
    conv.pad_begin[0] = conv.pad_end[0] = 1;
    plan_in_all_ways(conv);
}

/* A plan for data that no machine holds can be made, and asked, but not executed. */
static void test_plan_beyond_memory(void **state)
{
    (void)state;
    falt_conv conv = FALT_CONV_INIT;
    conv.batch = INT64_C(1) << 16;
    conv.in[0] = conv.in[1] = INT64_C(1) << 20;
    for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
        falt_plan *plan = NULL;
        const falt_status status = falt_plan_create(&plan, &conv, pass, NULL);
        assert_true(status == FALT_OK || status == FALT_TOO_LARGE);
        falt_plan_describe(plan, FALT_TEXT, NULL, 0);
        falt_plan_destroy(plan);
    }
}

/* --------------------------------------------------------------------------------------------------------- threads */

static void *reason_of_thread(void *context)
{
    char *out = context;
    if (falt_last_error()[0] != 0) {
        strcpy(out, "a new thread already has a reason");
        return NULL;
    }
    falt_conv conv = small_conv();
    conv.groups = 0;
    falt_plan *plan = NULL;
    falt_plan_create(&plan, &conv, FALT_FORWARD, NULL);
    snprintf(out, 256, "%s", falt_last_error());
    return NULL;
}

static void test_last_error_per_thread(void **state)
{
    (void)state;
    falt_conv conv = small_conv();
    conv.spatial_dims = 17;
    falt_plan *plan = NULL;
    assert_int_equal(falt_plan_create(&plan, &conv, FALT_FORWARD, NULL), FALT_INVALID_ARGUMENT);
    char mine[256], theirs[256] = "";
    snprintf(mine, sizeof mine, "%s", falt_last_error());
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reason_of_thread, theirs), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(falt_last_error(), mine);
    assert_true(theirs[0] != 0);
    assert_string_not_equal(theirs, mine);
    assert_string_not_equal(theirs, "a new thread already has a reason");
}

static void fill(float *x, int64_t count, float value)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = value;
}

/* Whether all results are zeros, or (not: whether) all are anything else. */
static bool all_zeros(const float *x, int64_t count, bool zeros)
{
    for (int64_t i = 0; i < count; i++)
        if ((x[i] == 0.0f) != zeros)
            return false;
    return true;
}

static bool denormals_live(void)
{
    volatile float least = 0x1p-126f;
    return least * 0.5f > 0.0f;
}

/* Plans take them for zeros, those that are read as well as those that would come out; only the reference does not. mine: the
 * calling thread keeps them otherwise. Its mode is the same after the call. */
static void check_denormals(const falt_conv *conv, falt_pass pass, falt_algorithm algorithm, float a, float b, bool mine)
{
    falt_options options = FALT_OPTIONS_INIT;
    options.algorithm = algorithm;
    options.threads = algorithm == FALT_ALGO_REFERENCE ? 1 : 4; /* threads inherit the mode of who makes them */
    falt_plan *plan = NULL;
    if (falt_plan_create(&plan, conv, pass, &options) != FALT_OK)
        return;
    struct data d = data_of(conv);
    const bool weights = pass == FALT_BACKWARD_WEIGHTS;
    fill(pass == FALT_BACKWARD_DATA ? d.dst : d.src, pass == FALT_BACKWARD_DATA ? d.sizes.dst : d.sizes.src, a);
    fill(weights ? d.dst : d.weights, weights ? d.sizes.dst : d.sizes.weights, b);
    falt_tensors tensors = tensors_of(&d, pass);
    tensors.bias = NULL;
    tensors.diff_bias = NULL;
    const uint64_t before = mine ? denormals_state() : denormals_to_zero();
    const falt_status status = falt_execute(plan, &tensors);
    const bool live = denormals_live();
    denormals_restore(mine ? before & DENORMALS : before);
    assert_int_equal(status, FALT_OK);
    assert_true(live == (mine || DENORMALS == 0));
    const float *result = weights ? tensors.diff_weights : pass == FALT_FORWARD ? tensors.dst : tensors.diff_src;
    const int64_t count = weights ? d.sizes.weights : pass == FALT_FORWARD ? d.sizes.dst : d.sizes.src;
    const bool reference = algorithm == FALT_ALGO_REFERENCE; /* does as its thread does */
    if ((mine || !reference) && !all_zeros(result, count, DENORMALS != 0 && !reference))
        fail_msg("%s, pass %d: %g times %g", falt_algorithm_name(algorithm), (int)pass, (double)a, (double)b);
    falt_plan_destroy(plan);
    data_free(&d);
}

static void test_denormals(void **state)
{
    (void)state;
    static const float factors[][2] = {{1e-40f, 1.0f}, {1.0f, 1e-40f}, {1e-25f, 1e-15f}};
    falt_conv conv = FALT_CONV_INIT;
    conv.in_channels = conv.out_channels = 32;
    conv.in[0] = conv.in[1] = 12;
    conv.kernel[0] = conv.kernel[1] = 3;
    for (int grouped = 0; grouped < 2; grouped++) {
        conv.groups = grouped ? 32 : 1;
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++)
            for (falt_algorithm a = FALT_ALGO_REFERENCE; a < FALT_ALGO_COUNT; a++)
                for (size_t i = 0; i < LENGTH(factors); i++)
                    for (int mine = 0; mine < 2; mine++)
                        check_denormals(&conv, pass, a, factors[i][0], factors[i][1], mine);
    }
}

enum { RUNNERS = 4, ROUNDS = 4 };

struct runner {
    const falt_plan *plan;
    falt_tensors tensors;
    const float *expected;
    float *output;
    size_t bytes;
    bool own_workspace;
    int wrong;
};

static void run_rounds(struct runner *r)
{
    for (int round = 0; round < ROUNDS; round++) {
        falt_tensors tensors = r->tensors;
        const size_t size = falt_plan_workspace_size(r->plan, tensors.packed_weights != NULL);
        void *workspace = r->own_workspace ? malloc(size + 1) : NULL;
        tensors.workspace = workspace;
        tensors.workspace_size = size;
        memset(r->output, 0xff, r->bytes);
        r->wrong += falt_execute(r->plan, &tensors) != FALT_OK || memcmp(r->output, r->expected, r->bytes) != 0;
        free(workspace);
    }
}

static void *runner_thread(void *context)
{
    run_rounds(context);
    return NULL;
}

static void test_concurrent_execution(void **state)
{
    (void)state;
    falt_conv conv = FALT_CONV_INIT;
    conv.batch = 2;
    conv.in_channels = 19;
    conv.out_channels = 37;
    conv.in[0] = conv.in[1] = 9;
    conv.kernel[0] = conv.kernel[1] = 3;
    conv.pad_begin[0] = conv.pad_begin[1] = conv.pad_end[0] = conv.pad_end[1] = 1;
    struct data d = data_of(&conv);
    for (falt_algorithm a = FALT_ALGO_AUTO; a < FALT_ALGO_COUNT; a++) {
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
            for (int threads = 0; threads < 3; threads++) {
                falt_options options = FALT_OPTIONS_INIT;
                options.algorithm = a;
                options.threads = threads;
                falt_plan *plan = NULL;
                if (falt_plan_create(&plan, &conv, pass, &options) != FALT_OK)
                    continue;
                struct runner runners[RUNNERS];
                float *outputs[RUNNERS + 1];
                const int64_t count = pass == FALT_FORWARD         ? d.sizes.dst
                                      : pass == FALT_BACKWARD_DATA ? d.sizes.src
                                                                   : d.sizes.weights;
                for (int i = 0; i <= RUNNERS; i++) {
                    outputs[i] = ramp(count);
                    struct runner r = {
                        plan, tensors_of(&d, pass), outputs[RUNNERS], outputs[i], (size_t)count * sizeof(float), i & 1, 0};
                    r.tensors.diff_bias = NULL;
                    *(pass == FALT_FORWARD         ? &r.tensors.dst
                      : pass == FALT_BACKWARD_DATA ? &r.tensors.diff_src
                                                   : &r.tensors.diff_weights) = outputs[i];
                    if (i < RUNNERS)
                        runners[i] = r;
                    else
                        assert_int_equal(falt_execute(plan, &r.tensors), FALT_OK);
                }
                for (int i = 0; i < RUNNERS; i++)
                    runners[i].expected = outputs[RUNNERS];
                pthread_t ids[RUNNERS];
                for (int i = 0; i < RUNNERS; i++)
                    assert_int_equal(pthread_create(&ids[i], NULL, runner_thread, &runners[i]), 0);
                for (int i = 0; i < RUNNERS; i++)
                    assert_int_equal(pthread_join(ids[i], NULL), 0);
                for (int i = 0; i < RUNNERS; i++)
                    assert_int_equal(runners[i].wrong, 0);

                    /* Inside of the caller's own parallel region, where the library has one thread. */
#ifdef _OPENMP
#pragma omp parallel for num_threads(RUNNERS)
#endif
                for (int i = 0; i < RUNNERS; i++)
                    run_rounds(&runners[i]);
                for (int i = 0; i < RUNNERS; i++)
                    assert_int_equal(runners[i].wrong, 0);
                for (int i = 0; i <= RUNNERS; i++)
                    free(outputs[i]);
                falt_plan_destroy(plan);
            }
        }
    }
    data_free(&d);
}

/* Asking for more threads than there is work, or than any system has, must not start them. */
static void test_absurd_threads(void **state)
{
    (void)state;
    for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
        for (falt_algorithm a = FALT_ALGO_AUTO; a < FALT_ALGO_COUNT; a++) {
            falt_conv conv = small_conv();
            struct data d = data_of(&conv);
            falt_options options = FALT_OPTIONS_INIT;
            options.algorithm = a;
            options.threads = INT32_MAX;
            falt_plan *plan = NULL;
            const falt_status status = falt_plan_create(&plan, &conv, pass, &options);
            if (status == FALT_OK) {
                falt_plan_info info = {.struct_size = sizeof info};
                assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
                assert_true(info.threads >= 1);
                const falt_tensors tensors = tensors_of(&d, pass);
                assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
                falt_plan_destroy(plan);
            }
            data_free(&d);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isa_environment), /* first: see there */
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_cpu_info),
        cmocka_unit_test(test_null_pointers),
        cmocka_unit_test(test_bad_conv),
        cmocka_unit_test(test_ignored_dimensions),
        cmocka_unit_test(test_activation_refusals),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_forced_isa),
        cmocka_unit_test(test_forced_algorithm),
        cmocka_unit_test(test_out_of_proportion),
        cmocka_unit_test(test_workspace_limit),
        cmocka_unit_test(test_threads_apart),
        cmocka_unit_test(test_missing_tensors),
        cmocka_unit_test(test_bad_workspace),
        cmocka_unit_test(test_bad_packed_weights),
        cmocka_unit_test(test_packed_phases),
        cmocka_unit_test(test_json_checker),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_plan_keeps_nothing),
        cmocka_unit_test(test_error_bound),
        cmocka_unit_test(test_batch_zero),
        cmocka_unit_test(test_huge_but_valid),
        cmocka_unit_test(test_plan_of_huge_image),
        cmocka_unit_test(test_plan_of_many_groups),
        cmocka_unit_test(test_plan_of_long_ways),
        cmocka_unit_test(test_plan_beyond_memory),
        cmocka_unit_test(test_last_error_per_thread),
        cmocka_unit_test(test_denormals),
        cmocka_unit_test(test_concurrent_execution),
        cmocka_unit_test(test_absurd_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
