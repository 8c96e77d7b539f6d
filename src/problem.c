/* problem.c - from the caller's falt_conv to the normal form: validation, output sizes, transposed -> adjoint. */
#include "problem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "arithmetic.h"
#include "error.h"
#include "solver.h"
#include "text.h"

/* No spatial field is larger, so that sums of a few of them need no test. The largest address space of today has 2^57 bytes. */
static const int64_t LARGEST = INT64_C(1) << 56;

bool falt_multiply(int64_t a, int64_t b, int64_t *product)
{
    if (a != 0 && b > INT64_MAX / a)
        return false;
    *product = a * b;
    return true;
}

static falt_status validate_scalars(const falt_conv *conv, falt_pass pass, const falt_options *options)
{
    if (!conv)
        return falt_fail(FALT_INVALID_ARGUMENT, "conv is NULL");
    if (conv->struct_size != sizeof *conv)
        return falt_fail(FALT_INVALID_ARGUMENT, "struct_size %zu is not sizeof(falt_conv) %zu: start from FALT_CONV_INIT",
                         conv->struct_size, sizeof *conv);

    const struct {
        const char *name;
        int64_t value, least, most;
    } choices[] = {
        {"pass", (int)pass, 0, FALT_BACKWARD_WEIGHTS},
        {"spatial_dims", conv->spatial_dims, 1, FALT_MAX_DIMS},
        {"transposed", conv->transposed, 0, 1},
        {"layout", (int)conv->layout, 0, FALT_CHANNELS_LAST},
        {"weights_layout", (int)conv->weights_layout, 0, FALT_OHWI},
        {"activation", (int)conv->activation, 0, FALT_ACT_HARDSWISH},
    };
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (choices[i].value < choices[i].least || choices[i].value > choices[i].most)
            return falt_fail(FALT_INVALID_ARGUMENT, "%s %" PRId64 " is not one of %" PRId64 " to %" PRId64, choices[i].name,
                             choices[i].value, choices[i].least, choices[i].most);

    if (conv->activation != FALT_ACT_NONE && pass != FALT_FORWARD)
        return falt_fail(FALT_INVALID_ARGUMENT,
                         "activation %d with a backward pass: the gradients are those of the linear part",
                         (int)conv->activation);
    if (conv->activation == FALT_ACT_CLAMP && !(conv->alpha <= conv->beta))
        return falt_fail(FALT_INVALID_ARGUMENT, "clamp from alpha %g to beta %g is empty", (double)conv->alpha,
                         (double)conv->beta);
    if (options && options->accumulate && pass != FALT_BACKWARD_WEIGHTS)
        return falt_fail(FALT_INVALID_ARGUMENT, "accumulate with a pass other than backward weights");

    if (conv->batch < 0)
        return falt_fail(FALT_INVALID_ARGUMENT, "batch %" PRId64 " is negative", conv->batch);
    if (conv->groups <= 0)
        return falt_fail(FALT_INVALID_ARGUMENT, "groups %" PRId64 " is not positive", conv->groups);
    const struct {
        const char *name;
        int64_t value;
    } channels[] = {{"in_channels", conv->in_channels}, {"out_channels", conv->out_channels}};
    for (int i = 0; i < 2; i++) {
        if (channels[i].value <= 0)
            return falt_fail(FALT_INVALID_ARGUMENT, "%s %" PRId64 " is not positive", channels[i].name, channels[i].value);
        if (channels[i].value % conv->groups != 0)
            return falt_fail(FALT_INVALID_ARGUMENT, "%s %" PRId64 " is not a multiple of groups %" PRId64, channels[i].name,
                             channels[i].value, conv->groups);
    }
    return FALT_OK;
}

/* Validates one spatial dimension and finds its output size. */
static falt_status output_size(const falt_conv *conv, int dimension, int64_t *out)
{
    const int i = dimension;
    const struct {
        const char *name;
        int64_t value, least;
    } fields[] = {
        {"in", conv->in[i], 1},
        {"kernel", conv->kernel[i], 1},
        {"stride", conv->stride[i], 1},
        {"dilation", conv->dilation[i], 1},
        {"pad_begin", conv->pad_begin[i], 0},
        {"pad_end", conv->pad_end[i], 0},
        {"output_padding", conv->output_padding[i], 0},
    };
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
        if (fields[f].value < fields[f].least)
            return falt_fail(FALT_INVALID_ARGUMENT, "%s %" PRId64 " is %s in dimension %d", fields[f].name, fields[f].value,
                             fields[f].least ? "not positive" : "negative", i);
        if (fields[f].value > LARGEST)
            return falt_fail(FALT_TOO_LARGE, "%s %" PRId64 " is more than 2^56 in dimension %d", fields[f].name,
                             fields[f].value, i);
    }

    int64_t extent; /* of the dilated kernel, less one */
    if (!falt_multiply(conv->dilation[i], conv->kernel[i] - 1, &extent) || extent > LARGEST)
        return falt_fail(FALT_TOO_LARGE, "dilation %" PRId64 " * (kernel %" PRId64 " - 1) is more than 2^56 in dimension %d",
                         conv->dilation[i], conv->kernel[i], i);

    const int64_t padding = conv->pad_begin[i] + conv->pad_end[i];
    if (conv->transposed) {
        int64_t stretched;
        if (!falt_multiply(conv->in[i] - 1, conv->stride[i], &stretched) || stretched > LARGEST)
            return falt_fail(FALT_TOO_LARGE, "(in %" PRId64 " - 1) * stride %" PRId64 " is more than 2^56 in dimension %d",
                             conv->in[i], conv->stride[i], i);
        *out = stretched + extent + 1 - padding + conv->output_padding[i];
        if (*out <= 0)
            return falt_fail(FALT_INVALID_ARGUMENT, "transposed output size %" PRId64 " is not positive in dimension %d", *out,
                             i);
        return FALT_OK;
    }
    if (conv->output_padding[i] != 0)
        return falt_fail(FALT_INVALID_ARGUMENT, "output_padding %" PRId64 " without transposed in dimension %d",
                         conv->output_padding[i], i);
    if (extent + 1 > conv->in[i] + padding)
        return falt_fail(FALT_INVALID_ARGUMENT, "kernel extent %" PRId64 " exceeds padded input %" PRId64 " in dimension %d",
                         extent + 1, conv->in[i] + padding, i);
    *out = (conv->in[i] + padding - extent - 1) / conv->stride[i] + 1;
    return FALT_OK;
}

static falt_status count_floats(const char *name, const int64_t factors[], int n, int64_t *count)
{
    *count = 1;
    for (int i = 0; i < n; i++)
        if (!falt_multiply(*count, factors[i], count))
            return falt_fail(FALT_TOO_LARGE, "%s has 2^63 elements or more", name);
    return FALT_OK;
}

/* Solvers step through images by strides and dilations, into the padding too: distances in floats must be numbers. */
static falt_status check_steps(const struct problem *p)
{
    const int64_t image = larger(p->in_pixels * p->x_channels, p->out_pixels * p->y_channels);
    for (int k = FALT_MAX_DIMS - p->dims; k < FALT_MAX_DIMS; k++) {
        int64_t distance;
        if (!falt_multiply(image, larger(p->stride[k], p->dilation[k]), &distance))
            return falt_fail(FALT_TOO_LARGE, "a step of %" PRId64 " pixels is 2^63 floats or more in dimension %d",
                             larger(p->stride[k], p->dilation[k]), k - FALT_MAX_DIMS + p->dims);
    }
    return FALT_OK;
}

falt_status falt_problem_init(struct problem *problem, const falt_conv *conv, falt_pass pass, const falt_options *options)
{
    falt_status status = validate_scalars(conv, pass, options);
    if (status != FALT_OK)
        return status;

    const bool transposed = conv->transposed;
    struct problem p = {
        .pass = pass,
        .transposed = transposed,
        .dims = conv->spatial_dims,
        .batch = conv->batch,
        .groups = conv->groups,
        .x_channels = transposed ? conv->out_channels : conv->in_channels,
        .y_channels = transposed ? conv->in_channels : conv->out_channels,
        .in = {1, 1, 1},
        .out = {1, 1, 1},
        .kernel = {1, 1, 1},
        .stride = {1, 1, 1},
        .dilation = {1, 1, 1},
        .layout = conv->layout,
        .weights_layout = conv->weights_layout,
        .activation = conv->activation,
        .alpha = conv->alpha,
        .beta = conv->beta,
        .accumulate = options && options->accumulate,
    };
    if (transposed && pass != FALT_BACKWARD_WEIGHTS)
        p.pass = pass == FALT_FORWARD ? FALT_BACKWARD_DATA : FALT_FORWARD;
    p.x_group = p.x_channels / p.groups;
    p.y_group = p.y_channels / p.groups;

    for (int i = 0; i < p.dims; i++) {
        const int k = FALT_MAX_DIMS - p.dims + i;
        int64_t out = 0;
        status = output_size(conv, i, &out);
        if (status != FALT_OK)
            return status;
        p.in[k] = transposed ? out : conv->in[i];
        p.out[k] = transposed ? conv->in[i] : out;
        p.kernel[k] = conv->kernel[i];
        p.stride[k] = conv->stride[i];
        p.dilation[k] = conv->dilation[i];
        p.pad[k] = conv->pad_begin[i];
        /* Steps that are never taken need not be large. */
        if (p.out[k] == 1)
            p.stride[k] = smaller(p.stride[k], p.in[k]);
        if (p.kernel[k] == 1)
            p.dilation[k] = 1;
    }

    /* The batch comes last: even for an empty one, an image's size is a number. */
    const struct {
        const char *name;
        int64_t factors[5];
        int64_t *count;
    } tensors[] = {
        {transposed ? "dst" : "src", {p.in[0], p.in[1], p.in[2], p.x_channels, p.batch}, &p.x_count},
        {transposed ? "src" : "dst", {p.out[0], p.out[1], p.out[2], p.y_channels, p.batch}, &p.y_count},
        {"weights", {p.kernel[0], p.kernel[1], p.kernel[2], p.y_channels, p.x_group}, &p.w_count},
    };
    for (int i = 0; i < 3; i++) {
        status = count_floats(tensors[i].name, tensors[i].factors, 5, tensors[i].count);
        if (status != FALT_OK)
            return status;
    }
    /* After what is a number on no machine, so that it is refused alike on all. Bytes must fit both size_t and ptrdiff_t, or
     * pointers into a tensor could not be subtracted. */
    for (int i = 0; i < 3; i++)
        if ((uint64_t)*tensors[i].count > (uint64_t)PTRDIFF_MAX / sizeof(float))
            return falt_fail(FALT_TOO_LARGE, "%s has %" PRId64 " elements, more than an address space can hold",
                             tensors[i].name, *tensors[i].count);
    p.in_pixels = p.in[0] * p.in[1] * p.in[2];
    p.out_pixels = p.out[0] * p.out[1] * p.out[2];
    status = check_steps(&p);
    if (status != FALT_OK)
        return status;
    p.taps = p.kernel[0] * p.kernel[1] * p.kernel[2];
    p.tensor_floats = (double)p.x_count + (double)p.y_count;
    p.weight_floats = (double)p.w_count;
    p.multiply_adds = (double)p.y_count * (double)p.taps * (double)p.x_group;
    falt_dense_views(&p, &p);
    *problem = p;
    return FALT_OK;
}

static bool nothing_happens(const struct problem *p, int dimension)
{
    return p->in[dimension] == 1 && p->out[dimension] == 1 && p->kernel[dimension] == 1 && p->pad[dimension] == 0;
}

void falt_problem_squeeze(struct problem *p)
{
    int64_t *const of_dimensions[] = {p->in, p->out, p->kernel, p->stride, p->dilation, p->pad};
    for (int last = 2, i = 2; i >= 0; i--) {
        if (nothing_happens(p, i))
            continue;
        for (int k = 0; k < 6 && i < last; k++) { /* what it leaves behind is a dimension in which nothing happens */
            of_dimensions[k][last] = of_dimensions[k][i];
            of_dimensions[k][i] = k < 5;
        }
        last--;
    }
    falt_dense_views(p, p);
}

struct problem falt_problem_turned(const struct problem *p)
{
    struct problem turned = *p;
    for (int i = 1; i <= 2; i++) {
        turned.in[i] = p->in[3 - i];
        turned.out[i] = p->out[3 - i];
        turned.kernel[i] = p->kernel[3 - i];
        turned.stride[i] = p->stride[3 - i];
        turned.dilation[i] = p->dilation[3 - i];
        turned.pad[i] = p->pad[3 - i];
        turned.w.tap[i] = p->w.tap[3 - i];
        turned.y.pixel[i] = p->y.pixel[3 - i];
    }
    return turned;
}

falt_status falt_conv_sizes(const falt_conv *conv, falt_sizes *sizes)
{
    if (!sizes)
        return falt_fail(FALT_INVALID_ARGUMENT, "sizes is NULL");
    struct problem p;
    const falt_status status = falt_problem_init(&p, conv, FALT_FORWARD, NULL);
    if (status != FALT_OK)
        return status;
    *sizes = (falt_sizes){
        .out = {1, 1, 1},
        .src = p.transposed ? p.y_count : p.x_count,
        .weights = p.w_count,
        .bias = conv->out_channels,
        .dst = p.transposed ? p.x_count : p.y_count,
        .multiply_adds = p.multiply_adds,
    };
    for (int i = 0; i < p.dims; i++)
        sizes->out[i] = (p.transposed ? p.in : p.out)[FALT_MAX_DIMS - p.dims + i];
    return FALT_OK;
}

falt_status falt_output_shape(const falt_conv *conv, int64_t *out)
{
    if (!out)
        return falt_fail(FALT_INVALID_ARGUMENT, "out is NULL");
    falt_sizes sizes;
    const falt_status status = falt_conv_sizes(conv, &sizes);
    if (status != FALT_OK)
        return status;
    for (int i = 0; i < conv->spatial_dims; i++)
        out[i] = sizes.out[i];
    return FALT_OK;
}

static void append_sizes(struct text *text, const char *before, const int64_t sizes[3], int dims)
{
    falt_text_append(text, "%s", before);
    for (int k = FALT_MAX_DIMS - dims; k < FALT_MAX_DIMS; k++)
        falt_text_append(text, "%s%" PRId64, k > FALT_MAX_DIMS - dims ? "x" : "", sizes[k]);
}

/* ", stride 2" or ", stride 2x1", and nothing where all are what one expects. */
static void append_unless(struct text *text, const char *name, const int64_t sizes[3], int dims, int64_t expected)
{
    bool usual = true, equal = true;
    for (int k = FALT_MAX_DIMS - dims; k < FALT_MAX_DIMS; k++) {
        usual = usual && sizes[k] == expected;
        equal = equal && sizes[k] == sizes[FALT_MAX_DIMS - 1];
    }
    if (!usual)
        append_sizes(text, name, sizes, equal ? 1 : dims);
}

int falt_problem_print(const struct problem *p, char *buffer, size_t size)
{
    static const char *const passes[] = {"forward", "backward data", "backward weights"};
    static const char *const transposed_passes[] = {"transposed backward data", "transposed forward",
                                                    "transposed backward weights"};
    static const char *const layouts[2][3] = {{"ncw", "nchw", "ncdhw"}, {"nwc", "nhwc", "ndhwc"}};
    static const char *const activations[] = {"", ", relu", ", clamp", ", leaky", ", sigmoid", ", silu", ", hardswish"};

    const bool t = p->transposed;
    struct text text = {buffer, size, 0};
    falt_text_append(&text, "%s %" PRId64 "x%" PRId64, (t ? transposed_passes : passes)[p->pass], p->batch,
                     t ? p->y_channels : p->x_channels);
    append_sizes(&text, "x", t ? p->out : p->in, p->dims);
    falt_text_append(&text, " -> %" PRId64, t ? p->x_channels : p->y_channels);
    append_sizes(&text, "x", t ? p->in : p->out, p->dims);
    append_sizes(&text, ", ", p->kernel, p->dims);
    append_unless(&text, ", stride ", p->stride, p->dims, 1);
    append_unless(&text, ", dilation ", p->dilation, p->dims, 1);
    append_unless(&text, ", pad ", p->pad, p->dims, 0);
    if (p->groups > 1)
        falt_text_append(&text, ", groups %" PRId64, p->groups);
    falt_text_append(&text, ", %s%s%s", layouts[p->layout][p->dims - 1], activations[p->activation],
                     p->accumulate ? ", accumulate"
                     : p->circular ? ", circular"
                                   : "");
    return (int)text.length;
}

struct weight_strides falt_weight_strides(const struct problem *p)
{
    const int64_t o = p->x_group * p->taps;
    return p->weights_layout == FALT_OIHW ? (struct weight_strides){o, p->taps, 1} : (struct weight_strides){o, 1, p->x_group};
}

struct tensor_strides falt_tensor_strides(const struct problem *p, int64_t channels, int64_t pixels)
{
    const int64_t n = channels * pixels;
    return p->layout == FALT_CHANNELS_FIRST ? (struct tensor_strides){n, pixels, 1} : (struct tensor_strides){n, 1, channels};
}

void falt_dense_views(const struct problem *p, struct problem *seen)
{
    const bool backward = p->pass == FALT_BACKWARD_DATA;
    const struct weight_strides w = falt_weight_strides(p);
    const int64_t *size = backward ? p->in : p->out;
    const struct tensor_strides t =
        backward ? falt_tensor_strides(p, p->x_channels, p->in_pixels) : falt_tensor_strides(p, p->y_channels, p->out_pixels);
    seen->w = (struct weight_view){.group = p->y_group * w.o,
                                   .o = backward ? w.i : w.o,
                                   .i = backward ? w.o : w.i,
                                   .tap = {w.t * p->kernel[1] * p->kernel[2], w.t * p->kernel[2], w.t}};
    seen->y = (struct output_view){.n = t.n, .c = t.c, .pixel = {t.pixel * size[1] * size[2], t.pixel * size[2], t.pixel}};
}

struct epilogue falt_epilogue(const struct problem *p)
{
    struct epilogue e = {.lo = -INFINITY, .hi = INFINITY, .activation = ACTIVATE_NONE, .alpha = p->alpha};
    switch (p->activation) {
    case FALT_ACT_NONE:
        break;
    case FALT_ACT_RELU:
        e.lo = 0;
        break;
    case FALT_ACT_CLAMP:
        e.lo = p->alpha;
        e.hi = p->beta;
        break;
    case FALT_ACT_LEAKY:
    case FALT_ACT_SIGMOID:
    case FALT_ACT_SILU:
    case FALT_ACT_HARDSWISH:
        e.activation = (int)p->activation;
        break;
    }
    return e;
}
