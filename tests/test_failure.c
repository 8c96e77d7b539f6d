/*
 * Every allocation of every entry point fails once: the n-th one, for n = 0, 1, ... until the call gets through. What must come
 * back is FALT_OUT_OF_MEMORY with a reason, nothing may leak, and the same plan must work at the next try.
 */
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "faltung.h"
#include "faltung_operator.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* ---------------------------------------------------------------------------------------------------- a strict allocator */

enum { BLOCKS = 64, TAIL = 64, MOST_ALIGNMENT = 64 };

/* Gives exactly what was asked for and no more: memory that is not aligned any better, is full of garbage, and has a tail that
 * must stay as it is. Mistakes are counted, since failing an assertion would jump out of the library. */
struct strict {
    pthread_t owner;
    int64_t calls, fail_at; /* fail_at < 0: never */
    int live, mistakes;
    struct {
        void *raw;
        unsigned char *given;
        size_t size;
    } blocks[BLOCKS];
};

static void *strict_allocate(void *context, size_t size, size_t alignment)
{
    struct strict *strict = context;
    strict->mistakes += !pthread_equal(pthread_self(), strict->owner);
    strict->mistakes += size == 0 || size > (size_t)1 << 30;
    strict->mistakes += alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > MOST_ALIGNMENT;
    if (strict->calls++ == strict->fail_at)
        return NULL;
    int slot = 0;
    while (slot < BLOCKS && strict->blocks[slot].raw)
        slot++;
    unsigned char *raw = slot < BLOCKS ? malloc(size + TAIL + 4 * MOST_ALIGNMENT) : NULL;
    if (!raw) {
        strict->mistakes++;
        return NULL;
    }
    /* Aligned to `alignment` but not to twice that. */
    const uintptr_t twice = 2 * alignment;
    unsigned char *given = raw + (twice - (uintptr_t)raw % twice) + alignment;
    memset(given, 0xa5, size + TAIL);
    strict->blocks[slot].raw = raw;
    strict->blocks[slot].given = given;
    strict->blocks[slot].size = size;
    strict->live++;
    return given;
}

static void strict_release(void *context, void *pointer)
{
    struct strict *strict = context;
    strict->mistakes += !pthread_equal(pthread_self(), strict->owner);
    if (!pointer)
        return; /* as free() */
    for (int slot = 0; slot < BLOCKS; slot++) {
        if (strict->blocks[slot].raw && strict->blocks[slot].given == pointer) {
            for (int i = 0; i < TAIL; i++)
                strict->mistakes += strict->blocks[slot].given[strict->blocks[slot].size + (size_t)i] != 0xa5;
            memset(strict->blocks[slot].given, 0x5a, strict->blocks[slot].size); /* who reads on will notice */
            free(strict->blocks[slot].raw);
            strict->blocks[slot].raw = NULL;
            strict->live--;
            return;
        }
    }
    strict->mistakes++; /* not ours, or released twice */
}

static falt_options options_of(struct strict *strict, falt_algorithm algorithm, int32_t threads)
{
    falt_options options = FALT_OPTIONS_INIT;
    options.algorithm = algorithm;
    options.threads = threads;
    options.allocator = (falt_allocator){strict_allocate, strict_release, strict};
    return options;
}

/* --------------------------------------------------------------------------------------------------------------- the cases */

static falt_conv square(int dims, int64_t in_channels, int64_t out_channels, int64_t groups, int64_t size, int64_t kernel)
{
    falt_conv conv = FALT_CONV_INIT;
    conv.spatial_dims = dims;
    conv.batch = 2;
    conv.in_channels = in_channels;
    conv.out_channels = out_channels;
    conv.groups = groups;
    for (int d = 0; d < dims; d++) {
        conv.in[d] = size + d;
        conv.kernel[d] = kernel;
        conv.pad_begin[d] = conv.pad_end[d] = kernel / 2;
    }
    return conv;
}

enum { CASES = 10 };

static falt_conv case_of(int number)
{
    falt_conv conv;
    switch (number / 2) {
    case 0: /* 3x3, what fast algorithms like best */
        conv = square(2, 16, 32, 1, 12, 3);
        break;
    case 1: /* depthwise */
        conv = square(2, 20, 20, 20, 9, 3);
        break;
    case 2: /* few channels, 3-D, groups */
        conv = square(3, 4, 6, 2, 4, 3);
        break;
    case 3: /* few channels, strided: planned twice, channels last */
        conv = square(2, 3, 32, 1, 29, 3);
        conv.stride[0] = conv.stride[1] = 2;
        break;
    default: /* transposed, 1-D */
        conv = square(1, 9, 17, 1, 21, 5);
        conv.transposed = 1;
        conv.stride[0] = 2;
        conv.output_padding[0] = 1;
    }
    conv.layout = number & 1 ? FALT_NHWC : FALT_NCHW;
    return conv;
}

struct data {
    falt_sizes sizes;
    float *src, *weights, *bias, *dst, *result; /* result: the largest output */
};

static struct data data_of(const falt_conv *conv)
{
    struct random random = random_stream(1);
    struct data d;
    assert_int_equal(falt_conv_sizes(conv, &d.sizes), FALT_OK);
    struct {
        float **x;
        int64_t n;
    } all[] = {{&d.src, d.sizes.src},
               {&d.weights, d.sizes.weights},
               {&d.bias, d.sizes.bias},
               {&d.dst, d.sizes.dst},
               {&d.result, d.sizes.src + d.sizes.weights + d.sizes.bias + d.sizes.dst}};
    for (size_t i = 0; i < LENGTH(all); i++) {
        *all[i].x = guarded(all[i].n, AT_END);
        fill_uniform(&random, *all[i].x, all[i].n);
    }
    return d;
}

static void data_free(struct data *d)
{
    guarded_free(d->src);
    guarded_free(d->weights);
    guarded_free(d->bias);
    guarded_free(d->dst);
    guarded_free(d->result);
}

static int64_t result_count(const struct data *d, falt_pass pass)
{
    return pass == FALT_FORWARD ? d->sizes.dst : pass == FALT_BACKWARD_DATA ? d->sizes.src : d->sizes.weights + d->sizes.bias;
}

static falt_tensors tensors_of(const struct data *d, falt_pass pass)
{
    switch (pass) {
    case FALT_FORWARD:
        return (falt_tensors){.src = d->src, .weights = d->weights, .bias = d->bias, .dst = d->result};
    case FALT_BACKWARD_DATA:
        return (falt_tensors){.diff_dst = d->dst, .weights = d->weights, .diff_src = d->result};
    default:
        return (falt_tensors){
            .src = d->src, .diff_dst = d->dst, .diff_weights = d->result, .diff_bias = d->result + d->sizes.weights};
    }
}

/* Calls `work` for each case that has a plan. */
static void for_each_plan(void (*work)(struct strict *, const falt_conv *, falt_pass, const falt_options *))
{
    static const int32_t threads[] = {1, 3};
    for (int number = 0; number < CASES; number++) {
        const falt_conv conv = case_of(number);
        for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
            for (falt_algorithm a = FALT_ALGO_AUTO; a < FALT_ALGO_COUNT; a++) {
                for (size_t t = 0; t < LENGTH(threads); t++) {
                    struct strict strict = {.owner = pthread_self(), .fail_at = -1};
                    const falt_options options = options_of(&strict, a, threads[t]);
                    work(&strict, &conv, pass, &options);
                    assert_int_equal(strict.live, 0);
                    assert_int_equal(strict.mistakes, 0);
                }
            }
        }
    }
}

static void fails_to_create(struct strict *strict, const falt_conv *conv, falt_pass pass, const falt_options *options)
{
    for (strict->fail_at = 0;; strict->fail_at++) {
        strict->calls = 0;
        falt_plan *plan = (falt_plan *)strict;
        falt_execute(NULL, NULL); /* leaves another reason */
        char before[256];
        snprintf(before, sizeof before, "%s", falt_last_error());
        const falt_status status = falt_plan_create(&plan, conv, pass, options);
        if (status == FALT_OK) {
            assert_true(strict->calls <= strict->fail_at); /* the failure has not been papered over */
            assert_true(strict->calls > 0 && strict->live > 0);
            falt_plan_destroy(plan);
            return;
        }
        assert_null(plan);
        assert_int_equal(strict->live, 0);
        assert_true(falt_last_error()[0] != 0);
        assert_string_not_equal(falt_last_error(), before);
        if (status == FALT_UNSUPPORTED) {
            assert_true(options->algorithm > FALT_ALGO_REFERENCE && strict->calls <= strict->fail_at);
            return;
        }
        assert_int_equal(status, FALT_OUT_OF_MEMORY);
        assert_true(strict->fail_at < 1000);
    }
}

static void test_create(void **state)
{
    (void)state;
    for_each_plan(fails_to_create);
}

static void fails_to_execute(struct strict *strict, const falt_conv *conv, falt_pass pass, const falt_options *options)
{
    falt_plan *plan = NULL;
    if (falt_plan_create(&plan, conv, pass, options) != FALT_OK)
        return;
    struct data d = data_of(conv);
    const int64_t count = result_count(&d, pass);
    const size_t packed_size = falt_plan_packed_weights_size(plan);
    void *packed = malloc(packed_size + 1);
    float *expected = malloc((size_t)count * sizeof *expected);
    assert_true(packed && expected);
    assert_int_equal(falt_pack_weights(plan, d.weights, packed, packed_size), FALT_OK);
    for (int with_packed = 0; with_packed <= (packed_size > 0); with_packed++) {
        falt_tensors tensors = tensors_of(&d, pass);
        if (with_packed) {
            tensors.weights = NULL;
            tensors.packed_weights = packed;
        }
        const int live = strict->live;

        /* The caller's workspace spares all allocation. */
        const size_t size = falt_plan_workspace_size(plan, with_packed);
        tensors.workspace = malloc(size + 1);
        tensors.workspace_size = size;
        assert_non_null(tensors.workspace);
        strict->calls = strict->fail_at = 0;
        fill_canary(d.result, count);
        assert_int_equal(falt_execute(plan, &tensors), FALT_OK);
        assert_int_equal(strict->calls, 0);
        free(tensors.workspace);
        memcpy(expected, d.result, (size_t)count * sizeof *expected);

        tensors.workspace = NULL;
        tensors.workspace_size = 0;
        for (strict->fail_at = 0;; strict->fail_at++) {
            strict->calls = 0;
            fill_canary(d.result, count);
            const falt_status status = falt_execute(plan, &tensors);
            assert_int_equal(strict->live, live);
            if (status == FALT_OK)
                break;
            assert_int_equal(status, FALT_OUT_OF_MEMORY);
            assert_non_null(strstr(falt_last_error(), "workspace"));
            check_canary(d.result, count, "output of an execution that failed");
            assert_true(strict->fail_at < 1000);
        }
        assert_true(strict->calls <= strict->fail_at);
        assert_int_equal(strict->calls > 0, size > 0);
        check_same(d.result, expected, count, "execution after failed ones");
    }
    strict->fail_at = -1;
    free(packed);
    free(expected);
    data_free(&d);
    falt_plan_destroy(plan);
}

static void test_execute(void **state)
{
    (void)state;
    for_each_plan(fails_to_execute);
}

/* These have no way to say that memory ran out, so they must not need any. */
static void needs_no_memory(struct strict *strict, const falt_conv *conv, falt_pass pass, const falt_options *options)
{
    falt_plan *plan = NULL;
    if (falt_plan_create(&plan, conv, pass, options) != FALT_OK)
        return;
    struct data d = data_of(conv);
    const falt_tensors tensors = tensors_of(&d, pass);
    falt_plan_info info = {.struct_size = sizeof info};
    double bound;
    char text[4096];
    const size_t packed_size = falt_plan_packed_weights_size(plan);
    void *packed = malloc(packed_size + 1);
    assert_non_null(packed);
    strict->calls = strict->fail_at = 0;
    assert_int_equal(falt_pack_weights(plan, d.weights, packed, packed_size), FALT_OK);
    assert_int_equal(falt_plan_error_bound(plan, &tensors, &bound), FALT_OK);
    assert_int_equal(falt_plan_get_info(plan, &info), FALT_OK);
    assert_true(falt_plan_describe(plan, FALT_TEXT, text, sizeof text) > 0);
    assert_true(falt_plan_describe(plan, FALT_JSON, text, sizeof text) > 0);
    assert_int_equal(strict->calls, 0);
    free(packed);
    data_free(&d);
    falt_plan_destroy(plan);
}

static void test_no_memory_needed(void **state)
{
    (void)state;
    for_each_plan(needs_no_memory);
}

/* Refusals leave nothing behind either. */
static void test_refusals(void **state)
{
    (void)state;
    struct strict strict = {.owner = pthread_self(), .fail_at = -1};
    falt_plan *plan;
    for (int wrong = 0; wrong < 5; wrong++) {
        falt_conv conv = square(2, 6, 9, 3, 7, 3);
        falt_options options = options_of(&strict, FALT_ALGO_AUTO, 1);
        falt_pass pass = FALT_FORWARD;
        switch (wrong) {
        case 0:
            conv.groups = 4;
            break;
        case 1:
            conv.kernel[0] = 100;
            break;
        case 2:
            options.algorithm = FALT_ALGO_WINOGRAD;
            conv.kernel[0] = conv.kernel[1] = 1;
            break;
        case 3:
            pass = (falt_pass)9;
            break;
        default:
            options.threads = -1;
        }
        assert_true(falt_plan_create(&plan, &conv, pass, &options) != FALT_OK);
        assert_null(plan);
        assert_int_equal(strict.live, 0);
        assert_int_equal(strict.mistakes, 0);
    }
}

/* ------------------------------------------------------------------------------------------------------------ the operator */

/* Everything that an operator can do, `what` of it; FALT_OK or the failure. */
static falt_status use_operator(const falt_operator *op, int what, const struct data *d)
{
    falt_norm norm = FALT_NORM_INIT;
    falt_matrix_info info = {.struct_size = sizeof info};
    assert_int_equal(falt_operator_matrix(op, 0, FALT_ALL_CHANNELS, &info), FALT_OK);
    int64_t *start = NULL, *column = NULL;
    float *value = NULL;
    falt_status status = FALT_OK;
    switch (what) {
    case 0:
        return falt_operator_apply(op, d->src, d->dst, NULL, 0);
    case 1:
        return falt_operator_apply_transposed(op, d->dst, d->result, NULL, 0);
    case 2:
        start = malloc((size_t)(info.rows + 1) * sizeof *start);
        column = malloc((size_t)info.nonzeros * sizeof *column);
        assert_true(start && column);
        status = falt_operator_csr(op, 0, FALT_ALL_CHANNELS, start, column, NULL, info.nonzeros);
        break;
    case 3:
        value = malloc((size_t)info.dense_bytes);
        assert_non_null(value);
        status = falt_operator_dense(op, 0, FALT_ALL_CHANNELS, value, info.rows * info.columns);
        break;
    default:
        norm.method = what == 4 ? FALT_NORM_AUTO : FALT_NORM_LANCZOS;
        norm.applications = 20;
        norm.embed = 1;
        status = falt_operator_norm(op, &norm);
    }
    free(start);
    free(column);
    free(value);
    return status;
}

static void test_operator(void **state)
{
    (void)state;
    for (int number = 0; number < CASES; number++)
        for (falt_boundary boundary = FALT_BOUNDARY_ZERO; boundary <= FALT_BOUNDARY_CIRCULAR; boundary++) {
            const falt_conv conv = case_of(number);
            struct data d = data_of(&conv);
            struct strict strict = {.owner = pthread_self(), .fail_at = -1};
            const falt_options options = options_of(&strict, FALT_ALGO_AUTO, 2);
            falt_operator *op = NULL;
            falt_status status = FALT_OUT_OF_MEMORY;
            for (int64_t n = 0; status != FALT_OK; n++) {
                strict.calls = 0;
                strict.fail_at = n;
                status = falt_operator_create(&op, &conv, boundary, d.weights, &options);
                if (status != FALT_OK) {
                    assert_int_equal(status, FALT_OUT_OF_MEMORY);
                    assert_null(op);
                    assert_int_equal(strict.live, 0);
                }
            }
            const int own = strict.live;
            for (int what = 0; what < 6; what++) {
                status = FALT_OUT_OF_MEMORY;
                for (int64_t n = 0; status != FALT_OK; n++) {
                    strict.calls = 0;
                    strict.fail_at = n;
                    status = use_operator(op, what, &d);
                    assert_true(status == FALT_OK || status == FALT_OUT_OF_MEMORY);
                    assert_int_equal(strict.live, own);
                }
            }
            falt_operator_destroy(op);
            assert_int_equal(strict.live, 0);
            assert_int_equal(strict.mistakes, 0);
            data_free(&d);
        }
}

/* A plan may be made in one thread, executed in another and destroyed in a third; its allocator is called by whoever calls. */
static void *execute_elsewhere(void *context)
{
    void **arguments = context;
    struct strict *strict = arguments[0];
    strict->owner = pthread_self();
    return falt_execute(arguments[1], arguments[2]) == FALT_OK ? context : NULL;
}

static void test_other_thread(void **state)
{
    (void)state;
    const falt_conv conv = case_of(0);
    struct data d = data_of(&conv);
    for (falt_pass pass = FALT_FORWARD; pass <= FALT_BACKWARD_WEIGHTS; pass++) {
        struct strict strict = {.owner = pthread_self(), .fail_at = -1};
        const falt_options options = options_of(&strict, FALT_ALGO_AUTO, 3);
        falt_plan *plan = NULL;
        assert_int_equal(falt_plan_create(&plan, &conv, pass, &options), FALT_OK);
        falt_tensors tensors = tensors_of(&d, pass);
        void *arguments[] = {&strict, plan, &tensors}, *result = NULL;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, execute_elsewhere, arguments), 0);
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_ptr_equal(result, arguments);
        strict.owner = pthread_self();
        falt_plan_destroy(plan);
        assert_int_equal(strict.live, 0);
        assert_int_equal(strict.mistakes, 0);
    }
    data_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),   cmocka_unit_test(test_execute),      cmocka_unit_test(test_no_memory_needed),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_other_thread), cmocka_unit_test(test_operator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
