/* test_problem.c - what is refused and in which words; output sizes; the normal form; how ranges are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adjoint.h"
#include "error.h"
#include "fold.h"
#include "padding.h"
#include "problem.h"
#include "range.h"
#include "solver.h"

static const falt_conv initial = FALT_CONV_INIT;

/* ------------------------------------------------------------------------------------------------------------- refusals */

static void refused(const falt_conv *conv, falt_pass pass, const falt_options *options, falt_status status, const char *text)
{
    struct problem problem, untouched;
    memset(&problem, 0x5a, sizeof problem);
    memset(&untouched, 0x5a, sizeof untouched);
    falt_fail(FALT_OK, "an earlier failure");
    assert_int_equal(falt_problem_init(&problem, conv, pass, options), status);
    assert_string_equal(falt_last_error(), text);
    assert_memory_equal(&problem, &untouched, sizeof problem);
}

/* A convolution that is FALT_CONV_INIT but for the given assignments is refused, in the forward pass by the queries too. */
#define REFUSED_IN(pass, status, text, ...)                                                                                    \
    do {                                                                                                                       \
        falt_conv conv = initial;                                                                                              \
        __VA_ARGS__;                                                                                                           \
        refused(&conv, pass, NULL, status, text);                                                                              \
        if ((pass) == FALT_FORWARD) {                                                                                          \
            falt_sizes sizes;                                                                                                  \
            int64_t out[3];                                                                                                    \
            assert_int_equal(falt_conv_sizes(&conv, &sizes), status);                                                          \
            assert_string_equal(falt_last_error(), text);                                                                      \
            assert_int_equal(falt_output_shape(&conv, out), status);                                                           \
            assert_string_equal(falt_last_error(), text);                                                                      \
        }                                                                                                                      \
    } while (0)
#define INVALID(text, ...) REFUSED_IN(FALT_FORWARD, FALT_INVALID_ARGUMENT, text, __VA_ARGS__)
#define TOO_LARGE(text, ...) REFUSED_IN(FALT_FORWARD, FALT_TOO_LARGE, text, __VA_ARGS__)

static void test_null(void **state)
{
    (void)state;
    falt_sizes sizes;
    int64_t out[3];
    refused(NULL, FALT_FORWARD, NULL, FALT_INVALID_ARGUMENT, "conv is NULL");
    assert_int_equal(falt_conv_sizes(NULL, &sizes), FALT_INVALID_ARGUMENT);
    assert_string_equal(falt_last_error(), "conv is NULL");
    assert_int_equal(falt_conv_sizes(&initial, NULL), FALT_INVALID_ARGUMENT);
    assert_string_equal(falt_last_error(), "sizes is NULL");
    assert_int_equal(falt_output_shape(NULL, out), FALT_INVALID_ARGUMENT);
    assert_string_equal(falt_last_error(), "conv is NULL");
    assert_int_equal(falt_output_shape(&initial, NULL), FALT_INVALID_ARGUMENT);
    assert_string_equal(falt_last_error(), "out is NULL");
}

static void test_struct_size(void **state)
{
    (void)state;
    const size_t wrong[] = {0, 4, sizeof(falt_conv) - 1, sizeof(falt_conv) + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[160];
        snprintf(text, sizeof text, "struct_size %zu is not sizeof(falt_conv) %zu: start from FALT_CONV_INIT", wrong[i],
                 sizeof(falt_conv));
        INVALID(text, conv.struct_size = wrong[i]);
    }
}

static void test_choices(void **state)
{
    (void)state;
    INVALID("spatial_dims 0 is not one of 1 to 3", conv.spatial_dims = 0);
    INVALID("spatial_dims 4 is not one of 1 to 3", conv.spatial_dims = 4);
    INVALID("spatial_dims -1 is not one of 1 to 3", conv.spatial_dims = -1);
    INVALID("transposed 2 is not one of 0 to 1", conv.transposed = 2);
    INVALID("transposed -1 is not one of 0 to 1", conv.transposed = -1);
    INVALID("layout 2 is not one of 0 to 1", conv.layout = (falt_layout)2);
    INVALID("layout -1 is not one of 0 to 1", conv.layout = (falt_layout)-1);
    INVALID("weights_layout 2 is not one of 0 to 1", conv.weights_layout = (falt_weights_layout)2);
    INVALID("weights_layout -7 is not one of 0 to 1", conv.weights_layout = (falt_weights_layout)-7);
    INVALID("activation 7 is not one of 0 to 6", conv.activation = (falt_activation)7);
    INVALID("activation -1 is not one of 0 to 6", conv.activation = (falt_activation)-1);
    REFUSED_IN((falt_pass)3, FALT_INVALID_ARGUMENT, "pass 3 is not one of 0 to 2", (void)0);
    REFUSED_IN((falt_pass)-1, FALT_INVALID_ARGUMENT, "pass -1 is not one of 0 to 2", (void)0);
}

static void test_activation(void **state)
{
    (void)state;
    const char *text = "activation 1 with a backward pass: the gradients are those of the linear part";
    REFUSED_IN(FALT_BACKWARD_DATA, FALT_INVALID_ARGUMENT, text, conv.activation = FALT_ACT_RELU);
    REFUSED_IN(FALT_BACKWARD_WEIGHTS, FALT_INVALID_ARGUMENT, text, conv.activation = FALT_ACT_RELU);
    REFUSED_IN(FALT_BACKWARD_DATA, FALT_INVALID_ARGUMENT, text, conv.activation = FALT_ACT_RELU; conv.transposed = 1);
    INVALID("clamp from alpha 2 to beta 1 is empty", conv.activation = FALT_ACT_CLAMP; conv.alpha = 2; conv.beta = 1);
    INVALID("clamp from alpha nan to beta 1 is empty", conv.activation = FALT_ACT_CLAMP; conv.alpha = NAN; conv.beta = 1);
    INVALID("clamp from alpha 0 to beta nan is empty", conv.activation = FALT_ACT_CLAMP; conv.alpha = 0; conv.beta = NAN);

    /* Parameters that the activation does not have are ignored. */
    struct problem problem;
    falt_conv conv = initial;
    conv.alpha = NAN;
    conv.beta = -1;
    for (int a = FALT_ACT_NONE; a <= FALT_ACT_HARDSWISH; a++) {
        conv.activation = (falt_activation)a;
        assert_int_equal(falt_problem_init(&problem, &conv, FALT_FORWARD, NULL),
                         a == FALT_ACT_CLAMP ? FALT_INVALID_ARGUMENT : FALT_OK);
    }
    conv.activation = FALT_ACT_CLAMP;
    conv.alpha = conv.beta = 1;
    assert_int_equal(falt_problem_init(&problem, &conv, FALT_FORWARD, NULL), FALT_OK);
    conv.alpha = -INFINITY;
    conv.beta = INFINITY;
    assert_int_equal(falt_problem_init(&problem, &conv, FALT_FORWARD, NULL), FALT_OK);
}

static void test_accumulate(void **state)
{
    (void)state;
    falt_options options = FALT_OPTIONS_INIT;
    struct problem problem;
    for (int transposed = 0; transposed < 2; transposed++) {
        falt_conv conv = initial;
        conv.transposed = transposed;
        options.accumulate = 1;
        for (int pass = FALT_FORWARD; pass <= FALT_BACKWARD_DATA; pass++)
            refused(&conv, (falt_pass)pass, &options, FALT_INVALID_ARGUMENT,
                    "accumulate with a pass other than backward weights");
        assert_int_equal(falt_problem_init(&problem, &conv, FALT_BACKWARD_WEIGHTS, &options), FALT_OK);
        assert_true(problem.accumulate);
        options.accumulate = 0;
        assert_int_equal(falt_problem_init(&problem, &conv, FALT_BACKWARD_WEIGHTS, &options), FALT_OK);
        assert_false(problem.accumulate);
    }
}

static void test_channels(void **state)
{
    (void)state;
    INVALID("batch -1 is negative", conv.batch = -1);
    INVALID("in_channels 0 is not positive", conv.in_channels = 0);
    INVALID("in_channels -3 is not positive", conv.in_channels = -3);
    INVALID("out_channels 0 is not positive", conv.out_channels = 0);
    INVALID("out_channels -9223372036854775808 is not positive", conv.out_channels = INT64_MIN);
    INVALID("groups 0 is not positive", conv.groups = 0);
    INVALID("groups -2 is not positive", conv.groups = -2);
    INVALID("in_channels 6 is not a multiple of groups 4", conv.in_channels = 6; conv.out_channels = 8; conv.groups = 4);
    INVALID("out_channels 6 is not a multiple of groups 4", conv.in_channels = 8; conv.out_channels = 6; conv.groups = 4);
    INVALID("in_channels 1 is not a multiple of groups 2", conv.out_channels = 2; conv.groups = 2);
}

static void test_spatial_fields(void **state)
{
    (void)state;
    INVALID("in 0 is not positive in dimension 0", conv.in[0] = 0);
    INVALID("in -1 is not positive in dimension 1", conv.in[1] = -1);
    INVALID("kernel 0 is not positive in dimension 1", conv.kernel[1] = 0);
    INVALID("kernel -2 is not positive in dimension 0", conv.kernel[0] = -2);
    INVALID("stride 0 is not positive in dimension 1", conv.stride[1] = 0);
    INVALID("stride -1 is not positive in dimension 0", conv.stride[0] = -1);
    INVALID("dilation 0 is not positive in dimension 2", conv.spatial_dims = 3; conv.dilation[2] = 0);
    INVALID("dilation -1 is not positive in dimension 0", conv.dilation[0] = -1);
    INVALID("pad_begin -1 is negative in dimension 0", conv.pad_begin[0] = -1);
    INVALID("pad_end -4 is negative in dimension 1", conv.pad_end[1] = -4);
    INVALID("output_padding -1 is negative in dimension 0", conv.output_padding[0] = -1);
    INVALID("output_padding -1 is negative in dimension 1", conv.transposed = 1; conv.output_padding[1] = -1);
    INVALID("output_padding 1 without transposed in dimension 1", conv.output_padding[1] = 1);

    /* Entries of other dimensions are ignored. */
    falt_conv conv = initial;
    conv.spatial_dims = 1;
    int64_t *const fields[] = {conv.in,        conv.kernel,  conv.stride,        conv.dilation,
                               conv.pad_begin, conv.pad_end, conv.output_padding};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        fields[i][1] = fields[i][2] = -1;
    falt_sizes sizes;
    int64_t out[3] = {-5, -5, -5};
    assert_int_equal(falt_conv_sizes(&conv, &sizes), FALT_OK);
    assert_int_equal(falt_output_shape(&conv, out), FALT_OK);
    assert_true(out[0] == 1 && out[1] == -5 && out[2] == -5);
    assert_true(sizes.out[0] == 1 && sizes.out[1] == 1 && sizes.out[2] == 1);
}

static void test_no_output(void **state)
{
    (void)state;
    INVALID("kernel extent 7 exceeds padded input 5 in dimension 1", conv.kernel[1] = 7; conv.in[1] = 3;
            conv.pad_begin[1] = conv.pad_end[1] = 1);
    INVALID("kernel extent 9 exceeds padded input 8 in dimension 0", conv.kernel[0] = 3; conv.dilation[0] = 4; conv.in[0] = 8);
    INVALID("transposed output size 0 is not positive in dimension 0", conv.transposed = 1; conv.pad_begin[0] = 1);
    INVALID("transposed output size -3 is not positive in dimension 1", conv.transposed = 1; conv.in[1] = 2; conv.kernel[1] = 3;
            conv.stride[1] = 2; conv.pad_begin[1] = conv.pad_end[1] = 4);
}

static void test_overflow(void **state)
{
    (void)state;
    const int64_t p62 = INT64_C(1) << 62, p56 = INT64_C(1) << 56, p31 = INT64_C(1) << 31;
    TOO_LARGE("in 4611686018427387904 is more than 2^56 in dimension 0", conv.in[0] = p62);
    TOO_LARGE("kernel 4611686018427387904 is more than 2^56 in dimension 1", conv.kernel[1] = p62);
    TOO_LARGE("stride 9223372036854775807 is more than 2^56 in dimension 0", conv.stride[0] = INT64_MAX);
    TOO_LARGE("dilation 9223372036854775807 is more than 2^56 in dimension 0", conv.dilation[0] = INT64_MAX);
    TOO_LARGE("pad_begin 9223372036854775807 is more than 2^56 in dimension 1", conv.pad_begin[1] = INT64_MAX);
    TOO_LARGE("pad_end 72057594037927937 is more than 2^56 in dimension 1", conv.pad_end[1] = p56 + 1);
    TOO_LARGE("output_padding 4611686018427387904 is more than 2^56 in dimension 0", conv.transposed = 1;
              conv.output_padding[0] = p62);
    TOO_LARGE("dilation 4294967296 * (kernel 4294967297 - 1) is more than 2^56 in dimension 0", conv.dilation[0] = 2 * p31;
              conv.kernel[0] = 2 * p31 + 1);
    TOO_LARGE("dilation 2147483648 * (kernel 2147483649 - 1) is more than 2^56 in dimension 1", conv.dilation[1] = p31;
              conv.kernel[1] = p31 + 1);
    TOO_LARGE("(in 4294967297 - 1) * stride 4294967296 is more than 2^56 in dimension 0", conv.transposed = 1;
              conv.in[0] = 2 * p31 + 1; conv.stride[0] = 2 * p31);
    TOO_LARGE("src has 2^63 elements or more", conv.in[0] = conv.in[1] = p31; conv.in_channels = 2);
    TOO_LARGE("src has 2^63 elements or more", conv.batch = p62; conv.in_channels = 2);
    TOO_LARGE("src has 2^63 elements or more", conv.batch = p31; conv.in_channels = 2 * p31; conv.transposed = 1);
    TOO_LARGE("dst has 2^63 elements or more", conv.batch = p31; conv.out_channels = 2 * p31);
    TOO_LARGE("dst has 2^63 elements or more", conv.batch = p31; conv.out_channels = 2 * p31; conv.transposed = 1);
    TOO_LARGE("dst has 2^63 elements or more", conv.pad_end[0] = conv.pad_end[1] = 2 * p31);
    TOO_LARGE("weights has 2^63 elements or more", conv.batch = 0; conv.in_channels = conv.out_channels = 2 * p31);
    TOO_LARGE("src has 4611686018427387904 elements, more than an address space can hold", conv.batch = p62);
    TOO_LARGE("src has 2305843009213693952 elements, more than an address space can hold", conv.batch = p62 / 2);
    TOO_LARGE("dst has 4611686018427387904 elements, more than an address space can hold", conv.out_channels = p62);
    TOO_LARGE("weights has 4611686018427387904 elements, more than an address space can hold", conv.batch = 0;
              conv.in_channels = conv.out_channels = p31);

    /* An empty batch does not excuse an image whose size is no number. */
    TOO_LARGE("src has 2^63 elements or more", conv.batch = 0; conv.in[0] = conv.in[1] = 2 * p31);

    /* Just below every limit. */
    falt_sizes sizes;
    falt_conv conv = initial;
    conv.batch = p62 / 2 - 1;
    if (sizeof(size_t) == 8) {
        assert_int_equal(falt_conv_sizes(&conv, &sizes), FALT_OK);
        assert_true(sizes.src == p62 / 2 - 1);
    }
    conv = initial;
    conv.stride[0] = conv.dilation[0] = p56;
    assert_int_equal(falt_conv_sizes(&conv, &sizes), FALT_OK);
    assert_true(sizes.out[0] == 1);
}

static void test_multiply(void **state)
{
    (void)state;
    int64_t product = -1;
    assert_true(falt_multiply(0, INT64_MAX, &product) && product == 0);
    assert_true(falt_multiply(INT64_MAX, 0, &product) && product == 0);
    assert_true(falt_multiply(INT64_MAX, 1, &product) && product == INT64_MAX);
    assert_true(falt_multiply(INT64_C(3037000499), INT64_C(3037000499), &product));
    product = -1;
    assert_false(falt_multiply(INT64_C(3037000500), INT64_C(3037000500), &product));
    assert_false(falt_multiply(2, INT64_C(1) << 62, &product));
    assert_false(falt_multiply(INT64_MAX, INT64_MAX, &product));
    assert_true(product == -1);
}

/* --------------------------------------------------------------------------------------------------------------- shapes */

/* One dimension: in, kernel, stride, dilation, padding -> out; and the output padding with which the transposed convolution
 * leads from out back to in. */
static const struct {
    int64_t in, kernel, stride, dilation, begin, end, out, output_padding;
} shapes[] = {
    {5, 3, 1, 1, 0, 0, 3, 0}, /* "valid" */
    {5, 3, 1, 1, 1, 1, 5, 0}, /* "same" */
    {5, 3, 1, 1, 2, 2, 7, 0}, /* "full" */
    {5, 4, 1, 1, 2, 2, 6, 0}, /* the figures of Dumoulin & Visin from here ... */
    {5, 3, 2, 1, 0, 0, 2, 0},      {5, 3, 2, 1, 1, 1, 3, 0},     {6, 3, 2, 1, 1, 1, 3, 1},
    {7, 3, 1, 2, 0, 0, 3, 0},                                    /* ... to here */
    {56, 3, 2, 1, 1, 1, 28, 1},    {224, 7, 2, 1, 3, 3, 112, 1}, /* ResNet's first */
    {224, 3, 2, 1, 0, 1, 112, 0},                                /* TensorFlow's "same" */
    {227, 11, 4, 1, 0, 0, 55, 0},                                /* AlexNet */
    {224, 16, 16, 1, 0, 0, 14, 0},                               /* a vision transformer's patches */
    {65, 3, 1, 12, 12, 12, 65, 0},                               /* DeepLab */
    {1, 1, 1, 1, 0, 0, 1, 0},      {1, 3, 1, 1, 1, 1, 1, 0},     {10, 1, 3, 1, 0, 0, 4, 0},
    {9, 1, 5, 1, 0, 0, 2, 3},      {2, 5, 7, 3, 6, 9, 1, 4},
};

static void test_output_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int dims = 1; dims <= 3; dims++) {
            /* The other dimensions take the other shapes, so that mixed up dimensions show. */
            falt_conv conv = initial;
            size_t row[3];
            conv.spatial_dims = dims;
            for (int k = 0; k < dims; k++) {
                row[k] = (i + (size_t)k) % (sizeof shapes / sizeof *shapes);
                conv.in[k] = shapes[row[k]].in;
                conv.kernel[k] = shapes[row[k]].kernel;
                conv.stride[k] = shapes[row[k]].stride;
                conv.dilation[k] = shapes[row[k]].dilation;
                conv.pad_begin[k] = shapes[row[k]].begin;
                conv.pad_end[k] = shapes[row[k]].end;
            }
            int64_t out[3], back[3];
            assert_int_equal(falt_output_shape(&conv, out), FALT_OK);
            for (int k = 0; k < dims; k++) {
                assert_int_equal(out[k], shapes[row[k]].out);
                conv.in[k] = out[k];
                conv.output_padding[k] = shapes[row[k]].output_padding;
            }
            conv.transposed = 1;
            assert_int_equal(falt_output_shape(&conv, back), FALT_OK);
            for (int k = 0; k < dims; k++)
                assert_int_equal(back[k], shapes[row[k]].in);
        }
}

/* Where i + 2p - k is a multiple of s the way back needs no output padding, and elsewhere just the remainder. */
static void test_round_trip(void **state)
{
    (void)state;
    for (int64_t in = 1; in <= 12; in++)
        for (int64_t kernel = 1; kernel <= 5; kernel++)
            for (int64_t stride = 1; stride <= 4; stride++)
                for (int64_t dilation = 1; dilation <= 3; dilation++)
                    for (int64_t pad = 0; pad <= 3; pad++) {
                        const int64_t span = in + 2 * pad - dilation * (kernel - 1) - 1;
                        falt_conv conv = initial;
                        conv.spatial_dims = 1;
                        conv.in[0] = in;
                        conv.kernel[0] = kernel;
                        conv.stride[0] = stride;
                        conv.dilation[0] = dilation;
                        conv.pad_begin[0] = conv.pad_end[0] = pad;
                        int64_t out, back;
                        assert_int_equal(falt_output_shape(&conv, &out), span >= 0 ? FALT_OK : FALT_INVALID_ARGUMENT);
                        if (span < 0)
                            continue;
                        assert_int_equal(out, span / stride + 1);
                        conv.transposed = 1;
                        conv.in[0] = out;
                        conv.output_padding[0] = span % stride;
                        assert_int_equal(falt_output_shape(&conv, &back), FALT_OK);
                        assert_int_equal(back, in);
                    }
}

/* A layer with nothing equal to anything else. */
static falt_conv odd_layer(void)
{
    falt_conv conv = initial;
    conv.batch = 2;
    conv.in_channels = 6;
    conv.out_channels = 10;
    conv.groups = 2;
    conv.in[0] = 9;
    conv.in[1] = 13;
    conv.kernel[0] = 3;
    conv.kernel[1] = 4;
    conv.stride[0] = 2;
    conv.stride[1] = 3;
    conv.dilation[0] = 2;
    conv.pad_begin[0] = 1;
    conv.pad_end[0] = 2;
    conv.pad_end[1] = 1;
    return conv;
}

static void test_sizes(void **state)
{
    (void)state;
    falt_conv conv = odd_layer();
    falt_sizes sizes;
    assert_int_equal(falt_conv_sizes(&conv, &sizes), FALT_OK);
    assert_true(sizes.out[0] == 4 && sizes.out[1] == 4 && sizes.out[2] == 1);
    assert_int_equal(sizes.src, 2 * 6 * 9 * 13);
    assert_int_equal(sizes.dst, 2 * 10 * 4 * 4);
    assert_int_equal(sizes.weights, 10 * 3 * 3 * 4);
    assert_int_equal(sizes.bias, 10);
    assert_true(sizes.multiply_adds == 2.0 * 10 * 4 * 4 * 3 * 3 * 4);

    conv.transposed = 1;
    conv.output_padding[1] = 1;
    assert_int_equal(falt_conv_sizes(&conv, &sizes), FALT_OK);
    assert_true(sizes.out[0] == 8 * 2 + 2 * 2 + 1 - 3 && sizes.out[1] == 12 * 3 + 3 + 1 - 1 + 1 && sizes.out[2] == 1);
    assert_int_equal(sizes.src, 2 * 6 * 9 * 13);
    assert_int_equal(sizes.dst, 2 * 10 * 18 * 40);
    assert_int_equal(sizes.weights, 6 * 5 * 3 * 4);
    assert_int_equal(sizes.bias, 10);
    assert_true(sizes.multiply_adds == 2.0 * 6 * 9 * 13 * 5 * 3 * 4);

    conv.batch = 0;
    assert_int_equal(falt_conv_sizes(&conv, &sizes), FALT_OK);
    assert_true(sizes.src == 0 && sizes.dst == 0 && sizes.weights == 6 * 5 * 3 * 4 && sizes.multiply_adds == 0);
}

/* ---------------------------------------------------------------------------------------------------------- normal form */

static void assert_three(const int64_t got[3], int64_t a, int64_t b, int64_t c)
{
    assert_int_equal(got[0], a);
    assert_int_equal(got[1], b);
    assert_int_equal(got[2], c);
}

static void test_normal_form(void **state)
{
    (void)state;
    const falt_conv conv = odd_layer();
    for (int pass = 0; pass < 3; pass++) {
        struct problem p;
        assert_int_equal(falt_problem_init(&p, &conv, (falt_pass)pass, NULL), FALT_OK);
        assert_int_equal(p.pass, pass);
        assert_false(p.transposed || p.accumulate);
        assert_int_equal(p.dims, 2);
        assert_true(p.batch == 2 && p.groups == 2);
        assert_true(p.x_channels == 6 && p.y_channels == 10 && p.x_group == 3 && p.y_group == 5);
        assert_three(p.in, 1, 9, 13);
        assert_three(p.out, 1, 4, 4);
        assert_three(p.kernel, 1, 3, 4);
        assert_three(p.stride, 1, 2, 3);
        assert_three(p.dilation, 1, 2, 1);
        assert_three(p.pad, 0, 1, 0);
        assert_true(p.in_pixels == 9 * 13 && p.out_pixels == 16 && p.taps == 12);
        assert_true(p.x_count == 2 * 6 * 9 * 13 && p.y_count == 2 * 10 * 16 && p.w_count == 10 * 3 * 12);
        assert_true(p.multiply_adds == 2.0 * 10 * 16 * 12 * 3);
    }
}

static void test_normal_form_of_transposed(void **state)
{
    (void)state;
    static const falt_pass adjoint[] = {FALT_BACKWARD_DATA, FALT_FORWARD, FALT_BACKWARD_WEIGHTS};
    falt_conv conv = odd_layer();
    conv.transposed = 1;
    conv.output_padding[1] = 1;
    for (int pass = 0; pass < 3; pass++) {
        struct problem p;
        conv.activation = pass == FALT_FORWARD ? FALT_ACT_RELU : FALT_ACT_NONE;
        assert_int_equal(falt_problem_init(&p, &conv, (falt_pass)pass, NULL), FALT_OK);
        assert_int_equal(p.pass, adjoint[pass]);
        assert_true(p.transposed);
        assert_int_equal(p.activation, conv.activation);
        assert_true(p.x_channels == 10 && p.y_channels == 6 && p.x_group == 5 && p.y_group == 3);
        assert_three(p.in, 1, 18, 40);
        assert_three(p.out, 1, 9, 13);
        assert_three(p.kernel, 1, 3, 4);
        assert_three(p.pad, 0, 1, 0);
        assert_true(p.x_count == 2 * 10 * 18 * 40 && p.y_count == 2 * 6 * 9 * 13 && p.w_count == 6 * 5 * 12);
        assert_true(p.multiply_adds == 2.0 * 6 * 9 * 13 * 5 * 12);
    }
}

static void test_squeeze(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) { /* the dimension in which nothing happens, or the last */
        struct problem p, dense;
        falt_conv conv = odd_layer();
        conv.spatial_dims = 3;
        for (int d = 2; d > 0 && first; d--) {
            conv.in[d] = conv.in[d - 1];
            conv.kernel[d] = conv.kernel[d - 1];
            conv.stride[d] = conv.stride[d - 1];
            conv.dilation[d] = conv.dilation[d - 1];
            conv.pad_begin[d] = conv.pad_begin[d - 1];
            conv.pad_end[d] = conv.pad_end[d - 1];
        }
        const int d = first ? 0 : 2;
        conv.in[d] = conv.kernel[d] = conv.stride[d] = conv.dilation[d] = 1;
        conv.pad_begin[d] = conv.pad_end[d] = 0;
        assert_int_equal(falt_problem_init(&p, &conv, FALT_FORWARD, NULL), FALT_OK);
        falt_problem_squeeze(&p);
        assert_three(p.in, 1, 9, 13);
        assert_three(p.out, 1, 4, 4);
        assert_three(p.kernel, 1, 3, 4);
        assert_three(p.stride, 1, 2, 3);
        assert_three(p.dilation, 1, 2, 1);
        assert_three(p.pad, 0, 1, 0);
        dense = p;
        falt_dense_views(&p, &dense);
        assert_memory_equal(&p, &dense, sizeof p);
        conv.pad_begin[d] = conv.pad_end[d] = 1; /* that is something */
        assert_int_equal(falt_problem_init(&p, &conv, FALT_FORWARD, NULL), FALT_OK);
        const struct problem before = p;
        falt_problem_squeeze(&p);
        assert_memory_equal(&p, &before, sizeof p);
    }
    struct problem p;
    assert_int_equal(falt_problem_init(&p, &initial, FALT_FORWARD, NULL), FALT_OK);
    falt_problem_squeeze(&p);
    assert_three(p.in, 1, 1, 1);
    assert_three(p.pad, 0, 0, 0);
}

/* Against counting. */
static void test_padding(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 7 * 9 * 4 * 3 * 3 * 11 * 4; i++) {
        int64_t rest = i;
        struct problem p = {.in = {1, 1, 1 + rest % 7}, .kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
        p.out[0] = p.out[1] = 1;
        p.out[2] = 1 + (rest /= 7) % 9;
        p.kernel[2] = 1 + (rest /= 9) % 4;
        p.stride[2] = 1 + (rest /= 4) % 3;
        p.dilation[2] = 1 + (rest /= 3) % 3;
        p.pad[2] = (rest /= 3) % 11 - 3;
        const int64_t together = 1 + rest / 11;
        int64_t seen = 0, whole = 0;
        for (int64_t q = 0; q < p.out[2]; q++) {
            int64_t taps = 0;
            for (int64_t k = 0; k < p.kernel[2]; k++) {
                bool any = false;
                for (int64_t n = q; n < q + together; n++) /* tiles that begin at each output, and before the first */
                    any = any || (n < p.out[2] && inside(n * p.stride[2] - p.pad[2] + k * p.dilation[2], p.in[2]));
                seen += any;
                taps += inside(q * p.stride[2] - p.pad[2] + k * p.dilation[2], p.in[2]);
            }
            whole += taps == p.kernel[2];
        }
        const struct range range = falt_whole_outputs(&p, 2);
        assert_int_equal(length(range), whole);
        for (int64_t q = range.begin; q < range.end; q++)
            assert_true(q * p.stride[2] - p.pad[2] >= 0 &&
                        q * p.stride[2] - p.pad[2] + (p.kernel[2] - 1) * p.dilation[2] < p.in[2]);
        assert_true(falt_whole_share(&p) == (double)whole / (double)p.out[2]);
        const double share = falt_seen_share(&p, 2, together), pairs = (double)(p.out[2] * p.kernel[2]);
        if (together == 1)
            assert_true(share == (double)seen / pairs);
        else /* it counts tiles that begin before the first output, too */
            assert_true(share * pairs >= (double)seen - 1e-9 && share <= 1.0);
        p.circular = true;
        assert_true(falt_seen_share(&p, 2, together) == 1.0);
    }
}

static void test_dimensions(void **state)
{
    (void)state;
    struct problem p;
    falt_conv conv = initial;
    conv.in[0] = 7;
    conv.in[1] = 8;
    conv.in[2] = 9;
    conv.kernel[0] = 2;
    conv.kernel[1] = 3;
    conv.kernel[2] = 4;

    conv.spatial_dims = 1;
    assert_int_equal(falt_problem_init(&p, &conv, FALT_FORWARD, NULL), FALT_OK);
    assert_three(p.in, 1, 1, 7);
    assert_three(p.kernel, 1, 1, 2);
    assert_three(p.out, 1, 1, 6);
    conv.spatial_dims = 3;
    assert_int_equal(falt_problem_init(&p, &conv, FALT_FORWARD, NULL), FALT_OK);
    assert_three(p.in, 7, 8, 9);
    assert_three(p.kernel, 2, 3, 4);
    assert_three(p.out, 6, 6, 6);
}

static void test_empty_batch(void **state)
{
    (void)state;
    falt_conv conv = odd_layer();
    conv.batch = 0;
    for (int transposed = 0; transposed < 2; transposed++)
        for (int pass = 0; pass < 3; pass++) {
            struct problem p;
            conv.transposed = transposed;
            assert_int_equal(falt_problem_init(&p, &conv, (falt_pass)pass, NULL), FALT_OK);
            assert_true(p.batch == 0 && p.x_count == 0 && p.y_count == 0 && p.w_count > 0 && p.multiply_adds == 0);
        }
}

static void test_strides(void **state)
{
    (void)state;
    falt_conv conv = odd_layer();
    struct problem p;
    assert_int_equal(falt_problem_init(&p, &conv, FALT_FORWARD, NULL), FALT_OK);
    struct tensor_strides t = falt_tensor_strides(&p, 6, 117);
    struct weight_strides w = falt_weight_strides(&p);
    assert_true(t.n == 6 * 117 && t.c == 1 && t.pixel == 6);
    assert_true(w.o == 3 * 12 && w.i == 12 && w.t == 1);

    conv.layout = FALT_NCHW;
    conv.weights_layout = FALT_OHWI;
    assert_int_equal(falt_problem_init(&p, &conv, FALT_FORWARD, NULL), FALT_OK);
    t = falt_tensor_strides(&p, 6, 117);
    w = falt_weight_strides(&p);
    assert_true(t.n == 6 * 117 && t.c == 117 && t.pixel == 1);
    assert_true(w.o == 3 * 12 && w.i == 1 && w.t == 3);
}

static void test_epilogue(void **state)
{
    (void)state;
    static const struct {
        falt_activation activation;
        float lo, hi;
        int number;
    } cases[] = {
        {FALT_ACT_NONE, -INFINITY, INFINITY, ACTIVATE_NONE},
        {FALT_ACT_RELU, 0, INFINITY, ACTIVATE_NONE},
        {FALT_ACT_CLAMP, 0.25f, 6, ACTIVATE_NONE},
        {FALT_ACT_LEAKY, -INFINITY, INFINITY, ACTIVATE_LEAKY},
        {FALT_ACT_SIGMOID, -INFINITY, INFINITY, ACTIVATE_SIGMOID},
        {FALT_ACT_SILU, -INFINITY, INFINITY, ACTIVATE_SILU},
        {FALT_ACT_HARDSWISH, -INFINITY, INFINITY, ACTIVATE_HARDSWISH},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        falt_conv conv = initial;
        conv.activation = cases[i].activation;
        conv.alpha = 0.25f;
        conv.beta = 6;
        struct problem p;
        assert_int_equal(falt_problem_init(&p, &conv, FALT_FORWARD, NULL), FALT_OK);
        const struct epilogue e = falt_epilogue(&p);
        assert_true(e.lo == cases[i].lo && e.hi == cases[i].hi && e.activation == cases[i].number && e.alpha == 0.25f);
    }
}

static void test_print(void **state)
{
    (void)state;
    struct problem p;
    char text[200], small[12];
    falt_conv conv = odd_layer();
    assert_int_equal(falt_problem_init(&p, &conv, FALT_BACKWARD_DATA, NULL), FALT_OK);
    const char *expected = "backward data 2x6x9x13 -> 10x4x4, 3x4, stride 2x3, dilation 2x1, pad 1x0, groups 2, nhwc";
    assert_int_equal(falt_problem_print(&p, text, sizeof text), (int)strlen(expected));
    assert_string_equal(text, expected);
    assert_int_equal(falt_problem_print(&p, small, sizeof small), (int)strlen(expected));
    assert_string_equal(small, "backward da");
    assert_int_equal(falt_problem_print(&p, NULL, 0), (int)strlen(expected));

    conv = initial;
    conv.spatial_dims = 1;
    conv.in[0] = 7;
    conv.kernel[0] = 4;
    conv.stride[0] = 2;
    conv.pad_begin[0] = conv.pad_end[0] = 1;
    conv.transposed = 1;
    conv.layout = FALT_NCW;
    conv.in_channels = 3;
    conv.activation = FALT_ACT_RELU;
    assert_int_equal(falt_problem_init(&p, &conv, FALT_FORWARD, NULL), FALT_OK);
    falt_problem_print(&p, text, sizeof text);
    assert_string_equal(text, "transposed forward 1x3x7 -> 1x14, 4, stride 2, pad 1, ncw, relu");
}

static void test_names(void **state)
{
    (void)state;
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", FALT_VERSION_MAJOR, FALT_VERSION_MINOR, FALT_VERSION_PATCH);
    assert_string_equal(falt_version(), version);
    assert_string_equal(falt_status_string(FALT_OK), "ok");
    assert_string_equal(falt_status_string(FALT_INVALID_ARGUMENT), "invalid argument");
    assert_string_equal(falt_algorithm_name(FALT_ALGO_AUTO), "auto");
    assert_string_equal(falt_algorithm_name(FALT_ALGO_DEPTHWISE), "depthwise");
    assert_string_equal(falt_isa_name(FALT_ISA_AUTO), "auto");
    assert_string_equal(falt_isa_name(FALT_ISA_NEON), "neon");
    for (int i = 0; i <= FALT_WORKSPACE; i++)
        assert_string_not_equal(falt_status_string((falt_status)i), "unknown status");
    for (int i = 0; i < FALT_ALGO_COUNT; i++)
        assert_string_not_equal(falt_algorithm_name((falt_algorithm)i), "unknown");
    for (int i = 0; i < FALT_ISA_COUNT; i++)
        assert_string_not_equal(falt_isa_name((falt_isa)i), "unknown");
    static const int wrong[] = {-1, 7, 100, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_string_equal(falt_status_string((falt_status)wrong[i]), "unknown status");
        assert_string_equal(falt_algorithm_name((falt_algorithm)wrong[i]), "unknown");
        assert_string_equal(falt_isa_name((falt_isa)wrong[i]), "unknown");
    }
}

static void test_last_error(void **state)
{
    (void)state;
    assert_int_equal(falt_fail(FALT_WORKSPACE, "%d of %s", 7, "nine"), FALT_WORKSPACE);
    assert_string_equal(falt_last_error(), "7 of nine");
    falt_fail(FALT_WORKSPACE, "again: %s", falt_last_error());
    assert_string_equal(falt_last_error(), "again: 7 of nine");

    /* Too long a text is cut, and a success leaves it as it is. */
    char longest[2000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    falt_fail(FALT_WORKSPACE, "%s", longest);
    assert_true(strlen(falt_last_error()) > 100 && strlen(falt_last_error()) < sizeof longest - 1);
    falt_fail(FALT_WORKSPACE, "stays");
    falt_sizes sizes;
    assert_int_equal(falt_conv_sizes(&initial, &sizes), FALT_OK);
    assert_string_equal(falt_last_error(), "stays");
}

/* Backward data to a single pixel: a phase for each tap, whatever the stride; else one for each residue class. */
static void test_phases(void **state)
{
    (void)state;
    static const struct {
        int64_t in, kernel, stride, dilation, phases, taps; /* of the longest phase */
    } cases[] = {
        {7, 7, 1, 1, 7, 1},          {7, 7, 3, 1, 7, 1},          {4, 3, 2, 1, 3, 1}, {5, 3, 1, 2, 5, 1},
        {7, 1, 9, 1, 7, 1},          {8, 7, 1, 1, 1, 7},          {9, 7, 2, 1, 2, 4}, {9, 3, 3, 1, 3, 1},
        {1024, 1024, 1, 1, 1024, 1}, {1025, 1025, 1, 1, 1, 1025}, {1, 1, 1, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        falt_conv conv = initial;
        struct problem problem, phase;
        conv.in[0] = 1;
        conv.in[1] = cases[i].in;
        conv.kernel[1] = cases[i].kernel;
        conv.stride[1] = cases[i].stride;
        conv.dilation[1] = cases[i].dilation;
        assert_int_equal(falt_problem_init(&problem, &conv, FALT_BACKWARD_DATA, NULL), FALT_OK);
        assert_int_equal(falt_phases(&problem), cases[i].phases);
        int64_t taps = 0, all = 0, pixels = 0;
        for (int64_t k = 0; k < cases[i].phases; k++) {
            falt_phase(&problem, k, &phase);
            taps = phase.taps > taps ? phase.taps : taps;
            all += phase.taps;
            pixels += phase.out_pixels;
        }
        assert_int_equal(taps, cases[i].taps);
        assert_true(all <= cases[i].kernel);
        assert_int_equal(pixels, cases[i].in);
    }

    /* Of 9x7 pixels, strides of 2 and 3 leave every second row without a tap, and two of three pixels of the others. */
    falt_conv conv = initial;
    struct problem problem, phase;
    conv.in[0] = 9;
    conv.in[1] = 7;
    conv.kernel[0] = conv.kernel[1] = 1;
    conv.stride[0] = 2;
    conv.stride[1] = 3;
    conv.dilation[0] = conv.dilation[1] = 1;
    assert_int_equal(falt_problem_init(&problem, &conv, FALT_BACKWARD_DATA, NULL), FALT_OK);
    assert_int_equal(falt_phases(&problem), 4);
    static const int64_t pixels[] = {5 * 3, 5 * 2, 5 * 2, 4 * 7}, taps[] = {1, 0, 0, 0};
    for (int64_t k = 0; k < 4; k++) {
        falt_phase(&problem, k, &phase);
        assert_int_equal(phase.out_pixels, pixels[k]);
        assert_int_equal(phase.taps, taps[k]);
    }
}

/* --------------------------------------------------------------------------------------------------------------------- shares
 */

/* Pieces are contiguous and equal to within one item, and so is what a member gets who takes a share of the pieces. */
static void test_shares(void **state)
{
    (void)state;
    static const int64_t items[] = {0, 1, 2, 7, 25, 38, 112, 1000, INT64_C(1) << 50};
    for (size_t n = 0; n < sizeof items / sizeof items[0]; n++)
        for (int64_t pieces = 1; pieces <= 16; pieces++) {
            int64_t end = 0;
            for (int64_t i = 0; i < pieces; i++) {
                const struct range piece = share(items[n], i, pieces);
                assert_int_equal(piece.begin, end);
                assert_true(length(piece) == items[n] / pieces || length(piece) == items[n] / pieces + (items[n] % pieces > 0));
                end = piece.end;
            }
            assert_int_equal(end, items[n]);
            for (int64_t members = 1; members <= pieces; members++) {
                if (pieces % members != 0)
                    continue;
                for (int64_t i = 0; i < members; i++) {
                    const struct range taken = share(pieces, i, members);
                    const int64_t got = share(items[n], taken.end - 1, pieces).end - share(items[n], taken.begin, pieces).begin;
                    assert_true(got >= items[n] / members && got <= items[n] / members + (items[n] % members > 0));
                }
            }
        }
}

/* Each pair of a pixel of x and a tap meets one pixel of y, and the same weight, folded or not; and there are no other weights.
 */
static void test_fold(void **state)
{
    (void)state;
    int folds[2] = {0}; /* of x, of both */
    for (int i = 0; i < 6000; i++) {
        falt_conv conv = FALT_CONV_INIT;
        falt_options options = FALT_OPTIONS_INIT;
        struct problem p, folded;
        conv.layout = i % 7 ? FALT_NHWC : FALT_NCHW;
        conv.weights_layout = i % 2 ? FALT_OHWI : FALT_OIHW;
        conv.in_channels = 1 + i / 2 % 4;
        conv.out_channels = 1 + i / 3 % 3;
        conv.in[0] = 2;
        conv.kernel[0] = 1 + i / 5 % 2;
        conv.stride[1] = i / 3000 ? 1 : 1 + i / 7 % 5;
        conv.in[1] = 1 + i / 11 % 24;
        conv.kernel[1] = 1 + i / 13 % 9;
        conv.pad_begin[1] = i / 17 % 8;
        conv.pad_end[1] = i / 19 % 4;
        conv.dilation[1] = 1 + (i % 23 == 0);
        const falt_pass pass = (falt_pass)(i % 3);
        if (falt_problem_init(&p, &conv, pass, &options) != FALT_OK)
            continue;
        const int lanes = i % 5 ? 16 : 8;
        const int64_t s = falt_fold_factor(&p, lanes), stride = p.stride[2], m = s / stride;
        if (s == 1)
            continue;
        assert_true(pass != FALT_BACKWARD_WEIGHTS && conv.layout == FALT_NHWC && p.dilation[2] == 1);
        assert_true(s == stride || (stride == 1 && s * (pass == FALT_FORWARD ? p.y_channels : p.x_channels) <= lanes));
        falt_fold(&p, s, &folded);
        float w[4 * 3 * 2 * 9], *const w_folded = malloc((size_t)folded.w_count * sizeof(float));
        assert_non_null(w_folded);
        int64_t filled = 0;
        for (int64_t k = 0; k < p.w_count; k++)
            w[k] = (float)(k + 1);
        falt_fold_weights(&p, &folded, w, w_folded);
        for (int64_t k = 0; k < folded.w_count; k++)
            filled += w_folded[k] != 0.0f;
        assert_int_equal(filled, m * p.w_count);
        const struct weight_strides from = falt_weight_strides(&p), at = falt_weight_strides(&folded);
        for (int64_t q = 0; q < p.out[2]; q++)
            for (int64_t r = 0; r < p.kernel[2]; r++) {
                const int64_t pixel = q * stride + r - p.pad[2], tap = pixel / s - q / m + folded.pad[2];
                if (pixel < 0 || pixel >= p.in[2])
                    continue;
                assert_true(tap >= 0 && tap < folded.kernel[2]);
                for (int64_t o = 0; o < p.y_channels; o++)
                    for (int64_t c = 0; c < p.x_channels; c++)
                        for (int64_t line = 0; line < p.kernel[1]; line++)
                            assert_true(w[o * from.o + c * from.i + (line * p.kernel[2] + r) * from.t] ==
                                        w_folded[(q % m * p.y_channels + o) * at.o + (pixel % s * p.x_channels + c) * at.i +
                                                 (line * folded.kernel[2] + tap) * at.t]);
            }
        assert_true(folded.in[2] * s == p.in[2] && folded.out[2] * m == p.out[2] && folded.stride[2] == 1);
        assert_true(folded.x_channels * folded.in_pixels == p.x_channels * p.in_pixels);
        assert_true(folded.y_channels * folded.out_pixels == p.y_channels * p.out_pixels);
        free(w_folded);
        folds[stride == 1]++;
    }
    assert_true(folds[0] > 200 && folds[1] > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_struct_size),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_activation),
        cmocka_unit_test(test_accumulate),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_spatial_fields),
        cmocka_unit_test(test_no_output),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_multiply),
        cmocka_unit_test(test_output_sizes),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_normal_form),
        cmocka_unit_test(test_normal_form_of_transposed),
        cmocka_unit_test(test_squeeze),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_dimensions),
        cmocka_unit_test(test_empty_batch),
        cmocka_unit_test(test_strides),
        cmocka_unit_test(test_phases),
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_epilogue),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_last_error),
        cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
