/* peer_onednn.c - oneDNN 2.x as the peer, through its C API. */
#include "peer.h"

#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdlib.h>
#include <string.h>
#include "block.h"
#include "copies.h"
#include "measure.h"

struct peer {
    struct peer_options options;
    dnnl_engine_t engine;
    dnnl_stream_t stream;     /* runs what it is given before it returns */
    struct copies weights[2]; /* of the direct and of the Winograd algorithm, which may be there at once */
};

/* The tensors of a convolution as oneDNN sees them: a gradient stands where its tensor does. */
enum tensor { SRC, WEIGHTS, BIAS, DST, TENSORS, SCRATCHPAD = TENSORS, ARGUMENTS };

/* The outputs of a pass come in the order of data.outputs. */
static const struct role {
    int argument;   /* 0: takes no part */
    size_t pointer; /* in falt_tensors */
    bool written;
} roles[3][TENSORS] = {
    [FALT_FORWARD] = {[SRC] = {DNNL_ARG_SRC, offsetof(falt_tensors, src), false},
                      [WEIGHTS] = {DNNL_ARG_WEIGHTS, offsetof(falt_tensors, weights), false},
                      [BIAS] = {DNNL_ARG_BIAS, offsetof(falt_tensors, bias), false},
                      [DST] = {DNNL_ARG_DST, offsetof(falt_tensors, dst), true}},
    [FALT_BACKWARD_DATA] = {[SRC] = {DNNL_ARG_DIFF_SRC, offsetof(falt_tensors, diff_src), true},
                            [WEIGHTS] = {DNNL_ARG_WEIGHTS, offsetof(falt_tensors, weights), false},
                            [DST] = {DNNL_ARG_DIFF_DST, offsetof(falt_tensors, diff_dst), false}},
    [FALT_BACKWARD_WEIGHTS] = {[SRC] = {DNNL_ARG_SRC, offsetof(falt_tensors, src), false},
                               [WEIGHTS] = {DNNL_ARG_DIFF_WEIGHTS, offsetof(falt_tensors, diff_weights), true},
                               [BIAS] = {DNNL_ARG_DIFF_BIAS, offsetof(falt_tensors, diff_bias), true},
                               [DST] = {DNNL_ARG_DIFF_DST, offsetof(falt_tensors, diff_dst), false}},
};

struct peer_layer {
    const struct peer *peer;
    falt_pass pass;
    dnnl_primitive_desc_t descriptor;
    dnnl_primitive_t primitive;
    const char *kernel;
    dnnl_memory_desc_t plain[TENSORS]; /* as the problem has them */
    void *buffers[ARGUMENTS];          /* that the layer owns, in the primitive's formats; NULL: there is none */
    dnnl_memory_t memories[ARGUMENTS];
    dnnl_exec_arg_t arguments[ARGUMENTS];
    int argument_count, weights_argument; /* the latter an index, or -1 */
    /* Cold weights: a memory object for each copy. Giving one object another address instead would cost time in each run, as
     * oneDNN then looks whether there is padding to be cleared. */
    struct copies *copies;
    dnnl_memory_t *weights;
    size_t weights_count, next;
};

/* ----------------------------------------------------------------------------------------------------------- the library */

const char *peer_name(void)
{
    return "onednn";
}

struct peer *peer_open(const struct peer_options *options, const char **reason)
{
    static const dnnl_cpu_isa_t isas[FALT_ISA_COUNT] = {[FALT_ISA_AUTO] = dnnl_cpu_isa_all,
                                                        [FALT_ISA_SCALAR] = dnnl_cpu_isa_sse41, /* the least it knows */
                                                        [FALT_ISA_AVX2] = dnnl_cpu_isa_avx2,
                                                        [FALT_ISA_AVX512] = dnnl_cpu_isa_all,
                                                        [FALT_ISA_NEON] = dnnl_cpu_isa_all};
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        *reason = "out of memory";
        return NULL;
    }
    peer->options = *options;
    /* Both libraries use the OpenMP runtime's one pool of threads; this says how many oneDNN takes of it. */
    omp_set_num_threads(options->threads);
    /* Only possible before anything else has asked oneDNN what the CPU can do. Without a cap, ONEDNN_MAX_CPU_ISA decides. */
    const dnnl_cpu_isa_t isa = isas[options->isa];
    dnnl_status_t status = isa == dnnl_cpu_isa_all ? dnnl_success : dnnl_set_max_cpu_isa(isa);
    if (status == dnnl_success)
        status = dnnl_engine_create(&peer->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&peer->stream, peer->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        return peer;
    *reason = dnnl_status2str(status);
    peer_close(peer);
    return NULL;
}

void peer_close(struct peer *peer)
{
    if (peer == NULL)
        return;
    if (peer->stream != NULL)
        dnnl_stream_destroy(peer->stream);
    if (peer->engine != NULL)
        dnnl_engine_destroy(peer->engine);
    for (int i = 0; i < 2; i++)
        copies_free(&peer->weights[i]);
    free(peer);
}

/* ----------------------------------------------------------------------------------------------------------- the problem */

static dnnl_status_t describe_data(dnnl_memory_desc_t *desc, const falt_conv *conv, int64_t channels, const int64_t *pixels)
{
    static const dnnl_format_tag_t tags[FALT_MAX_DIMS][2] = {{[FALT_NCW] = dnnl_ncw, [FALT_NWC] = dnnl_nwc},
                                                             {[FALT_NCHW] = dnnl_nchw, [FALT_NHWC] = dnnl_nhwc},
                                                             {[FALT_NCDHW] = dnnl_ncdhw, [FALT_NDHWC] = dnnl_ndhwc}};
    dnnl_dims_t dims = {conv->batch, channels};
    for (int d = 0; d < conv->spatial_dims; d++)
        dims[2 + d] = pixels[d];
    return dnnl_memory_desc_init_by_tag(desc, 2 + conv->spatial_dims, dims, dnnl_f32,
                                        tags[conv->spatial_dims - 1][conv->layout]);
}

/* oneDNN's weights are [g][o][i]... whatever the direction. Those of a transposed convolution are in our memory [g][i][o]...,
 * being the weights of the convolution whose adjoint it is; strides say so. */
static dnnl_status_t describe_weights(dnnl_memory_desc_t *plain, dnnl_memory_desc_t *any, const falt_conv *conv)
{
    const int64_t in = conv->in_channels / conv->groups, out = conv->out_channels / conv->groups;
    const int64_t rows = conv->transposed ? in : out, columns = conv->transposed ? out : in; /* O and I of falt_conv */
    const bool columns_last = conv->weights_layout == FALT_OHWI;
    const int grouped = conv->groups > 1, ndims = grouped + 2 + conv->spatial_dims;
    int64_t taps = 1;
    dnnl_dims_t dims, strides;
    for (int d = conv->spatial_dims - 1; d >= 0; d--) {
        dims[grouped + 2 + d] = conv->kernel[d];
        strides[grouped + 2 + d] = taps * (columns_last ? columns : 1);
        taps *= conv->kernel[d];
    }
    const int64_t row = columns * taps, column = columns_last ? 1 : taps;
    dims[grouped] = out;
    dims[grouped + 1] = in;
    strides[grouped] = conv->transposed ? column : row;
    strides[grouped + 1] = conv->transposed ? row : column;
    if (grouped) {
        dims[0] = conv->groups;
        strides[0] = rows * row;
    }
    const dnnl_status_t status = dnnl_memory_desc_init_by_strides(plain, ndims, dims, dnnl_f32, strides);
    return status != dnnl_success ? status : dnnl_memory_desc_init_by_tag(any, ndims, dims, dnnl_f32, dnnl_format_tag_any);
}

/* The tensors as they are in memory, and as the primitive may have them. */
static dnnl_status_t describe(const struct peer *peer, const falt_conv *conv, dnnl_memory_desc_t plain[TENSORS],
                              dnnl_memory_desc_t wanted[TENSORS])
{
    int64_t out[FALT_MAX_DIMS];
    if (falt_output_shape(conv, out) != FALT_OK)
        return dnnl_invalid_arguments;
    dnnl_status_t status = describe_data(&plain[SRC], conv, conv->in_channels, conv->in);
    if (status == dnnl_success)
        status = describe_data(&plain[DST], conv, conv->out_channels, out);
    if (status == dnnl_success)
        status = describe_weights(&plain[WEIGHTS], &wanted[WEIGHTS], conv);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&plain[BIAS], 1, (dnnl_dims_t){conv->out_channels}, dnnl_f32, dnnl_a);
    if (status != dnnl_success)
        return status;
    wanted[BIAS] = plain[BIAS];
    wanted[SRC] = plain[SRC];
    wanted[DST] = plain[DST];
    for (int t = SRC; t <= DST && peer->options.any_layout; t += DST - SRC)
        if (status == dnnl_success)
            status = dnnl_memory_desc_init_by_tag(&wanted[t], plain[t].ndims, plain[t].dims, dnnl_f32, dnnl_format_tag_any);
    return status;
}

typedef dnnl_status_t forward_init(dnnl_convolution_desc_t *, dnnl_prop_kind_t, dnnl_alg_kind_t, const dnnl_memory_desc_t *,
                                   const dnnl_memory_desc_t *, const dnnl_memory_desc_t *, const dnnl_memory_desc_t *,
                                   const dnnl_dims_t, const dnnl_dims_t, const dnnl_dims_t, const dnnl_dims_t);
typedef dnnl_status_t data_init_function(dnnl_convolution_desc_t *, dnnl_alg_kind_t, const dnnl_memory_desc_t *,
                                         const dnnl_memory_desc_t *, const dnnl_memory_desc_t *, const dnnl_dims_t,
                                         const dnnl_dims_t, const dnnl_dims_t, const dnnl_dims_t);
typedef dnnl_status_t weights_init(dnnl_convolution_desc_t *, dnnl_alg_kind_t, const dnnl_memory_desc_t *,
                                   const dnnl_memory_desc_t *, const dnnl_memory_desc_t *, const dnnl_memory_desc_t *,
                                   const dnnl_dims_t, const dnnl_dims_t, const dnnl_dims_t, const dnnl_dims_t);

static dnnl_status_t describe_operation(dnnl_convolution_desc_t *desc, const falt_conv *conv, falt_pass pass, bool winograd,
                                        const dnnl_memory_desc_t t[TENSORS])
{
    static forward_init *const forward[2] = {dnnl_dilated_convolution_forward_desc_init,
                                             dnnl_dilated_deconvolution_forward_desc_init};
    static data_init_function *const backward_data[2] = {dnnl_dilated_convolution_backward_data_desc_init,
                                                         dnnl_dilated_deconvolution_backward_data_desc_init};
    static weights_init *const backward_weights[2] = {dnnl_dilated_convolution_backward_weights_desc_init,
                                                      dnnl_dilated_deconvolution_backward_weights_desc_init};
    static const dnnl_alg_kind_t algorithms[2][2] = {{dnnl_convolution_direct, dnnl_convolution_winograd},
                                                     {dnnl_deconvolution_direct, dnnl_deconvolution_winograd}};
    const int kind = conv->transposed != 0;
    const dnnl_alg_kind_t algorithm = algorithms[kind][winograd];
    dnnl_dims_t strides, dilates, begin, end;
    for (int d = 0; d < conv->spatial_dims; d++) {
        strides[d] = conv->stride[d];
        dilates[d] = conv->dilation[d] - 1;
        begin[d] = conv->pad_begin[d];
        end[d] = conv->pad_end[d] - (conv->transposed ? conv->output_padding[d] : 0);
    }
    switch (pass) {
    case FALT_FORWARD:
        return forward[kind](desc, dnnl_forward_inference, algorithm, &t[SRC], &t[WEIGHTS], &t[BIAS], &t[DST], strides, dilates,
                             begin, end);
    case FALT_BACKWARD_DATA:
        return backward_data[kind](desc, algorithm, &t[SRC], &t[WEIGHTS], &t[DST], strides, dilates, begin, end);
    default:
        return backward_weights[kind](desc, algorithm, &t[SRC], &t[WEIGHTS], &t[BIAS], &t[DST], strides, dilates, begin, end);
    }
}

/* The activation, and that the scratchpad is ours. */
static dnnl_status_t create_attributes(dnnl_primitive_attr_t *attributes, const falt_conv *conv)
{
    static const struct {
        dnnl_alg_kind_t kind;
        bool alpha, beta; /* are those of falt_conv */
        float fixed_alpha;
    } activations[] = {
        [FALT_ACT_RELU] = {dnnl_eltwise_relu, false, false, 0},
        [FALT_ACT_CLAMP] = {dnnl_eltwise_clip, true, true, 0},
        [FALT_ACT_LEAKY] = {dnnl_eltwise_relu, true, false, 0},
        [FALT_ACT_SIGMOID] = {dnnl_eltwise_logistic, false, false, 0},
        [FALT_ACT_SILU] = {dnnl_eltwise_swish, false, false, 1},
        [FALT_ACT_HARDSWISH] = {dnnl_eltwise_hardswish, false, false, 0},
    };
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || conv->activation == FALT_ACT_NONE)
        return status;
    const int a = conv->activation;
    dnnl_post_ops_t operations = NULL;
    status = dnnl_post_ops_create(&operations);
    if (status == dnnl_success)
        status = dnnl_post_ops_append_eltwise(operations, 1, activations[a].kind,
                                              activations[a].alpha ? conv->alpha : activations[a].fixed_alpha,
                                              activations[a].beta ? conv->beta : 0);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*attributes, operations);
    if (operations != NULL)
        dnnl_post_ops_destroy(operations);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------- the layer */

static dnnl_status_t reorder(const struct peer *peer, const dnnl_memory_desc_t *from_desc, void *from,
                             const dnnl_memory_desc_t *to_desc, void *to)
{
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_memory_t source = NULL, destination = NULL;
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&descriptor, from_desc, peer->engine, to_desc, peer->engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&primitive, descriptor);
    if (status == dnnl_success)
        status = dnnl_memory_create(&source, from_desc, peer->engine, from);
    if (status == dnnl_success)
        status = dnnl_memory_create(&destination, to_desc, peer->engine, to);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(primitive, peer->stream, 2,
                                        (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, destination}});
    if (status == dnnl_success)
        status = dnnl_stream_wait(peer->stream);
    if (destination != NULL)
        dnnl_memory_destroy(destination);
    if (source != NULL)
        dnnl_memory_destroy(source);
    if (primitive != NULL)
        dnnl_primitive_destroy(primitive);
    if (descriptor != NULL)
        dnnl_primitive_desc_destroy(descriptor);
    return status;
}

static void *plain_pointer(const struct data *data, const struct role *role)
{
    void *pointer;
    memcpy(&pointer, (const char *)&data->tensors + role->pointer, sizeof pointer);
    return pointer;
}

static dnnl_status_t add_argument(struct peer_layer *layer, enum tensor t, int argument, const dnnl_memory_desc_t *desc,
                                  void *values)
{
    const dnnl_status_t status = dnnl_memory_create(&layer->memories[t], desc, layer->peer->engine, values);
    layer->arguments[layer->argument_count++] = (dnnl_exec_arg_t){argument, layer->memories[t]};
    return status;
}

/* A memory object for each copy of the weights, in the order of use. */
static dnnl_status_t add_copies(struct peer_layer *layer, const dnnl_memory_desc_t *desc, void *values)
{
    struct copies *copies = layer->copies;
    if (!copies_make(copies, values, dnnl_memory_desc_get_size(desc), layer->peer->options.cold_weights))
        return dnnl_out_of_memory;
    if (copies->count == 1)
        return dnnl_success;
    layer->weights = calloc(copies->count, sizeof(dnnl_memory_t));
    if (layer->weights == NULL)
        return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_success;
    for (; layer->weights_count < copies->count && status == dnnl_success; layer->weights_count++)
        status = dnnl_memory_create(&layer->weights[layer->weights_count], desc, layer->peer->engine, copies_next(copies));
    return status;
}

/* Inputs that are in the format the primitive asks for are read where they are, all others reordered into buffers. */
static dnnl_status_t add_tensor(struct peer_layer *layer, enum tensor t, const struct data *data)
{
    const struct role *role = &roles[layer->pass][t];
    if (role->argument == 0)
        return dnnl_success;
    const dnnl_memory_desc_t *desc = dnnl_primitive_desc_query_md(layer->descriptor, dnnl_query_exec_arg_md, role->argument);
    void *values = plain_pointer(data, role);
    dnnl_status_t status = dnnl_success;
    if (role->written || !dnnl_memory_desc_equal(desc, &layer->plain[t])) {
        layer->buffers[t] = block_allocate(dnnl_memory_desc_get_size(desc));
        if (layer->buffers[t] == NULL)
            return dnnl_out_of_memory;
        if (!role->written)
            status = reorder(layer->peer, &layer->plain[t], values, desc, layer->buffers[t]);
        values = layer->buffers[t];
    }
    if (t == WEIGHTS && !role->written)
        layer->weights_argument = layer->argument_count;
    if (status == dnnl_success)
        status = add_argument(layer, t, role->argument, desc, values);
    if (status == dnnl_success && t == WEIGHTS && !role->written)
        status = add_copies(layer, desc, values);
    return status;
}

static dnnl_status_t create(struct peer_layer *layer, const falt_conv *conv, bool winograd, const struct data *data)
{
    dnnl_memory_desc_t wanted[TENSORS];
    dnnl_convolution_desc_t operation;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = describe(layer->peer, conv, layer->plain, wanted);
    if (status == dnnl_success)
        status = describe_operation(&operation, conv, layer->pass, winograd, wanted);
    if (status == dnnl_success)
        status = create_attributes(&attributes, conv);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&layer->descriptor, &operation, attributes, layer->peer->engine, NULL);
    if (attributes != NULL)
        dnnl_primitive_attr_destroy(attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&layer->primitive, layer->descriptor);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_query(layer->descriptor, dnnl_query_impl_info_str, 0, &layer->kernel);
    for (int t = 0; t < TENSORS && status == dnnl_success; t++)
        status = add_tensor(layer, (enum tensor)t, data);
    if (status != dnnl_success)
        return status;
    const dnnl_memory_desc_t *scratchpad = dnnl_primitive_desc_query_md(layer->descriptor, dnnl_query_scratchpad_md, 0);
    /* oneDNN 2.6.3 writes beyond it in weight gradients by strided 1x1 kernels of few channels. */
    layer->buffers[SCRATCHPAD] = block_allocate(dnnl_memory_desc_get_size(scratchpad) + (64 << 10));
    if (layer->buffers[SCRATCHPAD] == NULL)
        return dnnl_out_of_memory;
    return add_argument(layer, SCRATCHPAD, DNNL_ARG_SCRATCHPAD, scratchpad, layer->buffers[SCRATCHPAD]);
}

static struct peer_layer *create_with(struct peer *peer, const falt_conv *conv, falt_pass pass, bool winograd,
                                      const struct data *data, const char **reason)
{
    struct peer_layer *layer = calloc(1, sizeof *layer);
    dnnl_status_t status = dnnl_out_of_memory;
    if (layer != NULL) {
        layer->peer = peer;
        layer->copies = &peer->weights[winograd];
        layer->pass = pass;
        layer->weights_argument = -1;
        status = create(layer, conv, winograd, data);
    }
    if (status == dnnl_success)
        return layer;
    *reason = dnnl_status2str(status);
    peer_layer_destroy(layer);
    return NULL;
}

/* Alternating, the best of each: enough to tell two algorithms apart. */
static bool second_is_faster(struct peer_layer *layers[2])
{
    double best[2] = {INFINITY, INFINITY};
    for (int round = -1; round < 7; round++)
        for (int k = 0; k < 2; k++) {
            const double start = seconds_now();
            int runs = 0;
            do
                peer_layer_run(layers[k]);
            while (++runs < 1000 && seconds_now() - start < 200e-6);
            if (round >= 0)
                best[k] = fmin(best[k], (seconds_now() - start) / runs);
        }
    return best[1] < best[0];
}

struct peer_layer *peer_layer_create(struct peer *peer, const falt_conv *conv, falt_pass pass, const struct data *data,
                                     const char **reason)
{
    const char *ignored;
    struct peer_layer *layers[2] = {NULL, NULL};
    if (peer->options.algorithm != PEER_WINOGRAD)
        layers[0] = create_with(peer, conv, pass, false, data, reason);
    if (peer->options.algorithm != PEER_DIRECT)
        layers[1] = create_with(peer, conv, pass, true, data, peer->options.algorithm == PEER_BEST ? &ignored : reason);
    if (layers[0] == NULL || layers[1] == NULL)
        return layers[0] != NULL ? layers[0] : layers[1];
    const int faster = second_is_faster(layers);
    peer_layer_destroy(layers[1 - faster]);
    return layers[faster];
}

void peer_layer_destroy(struct peer_layer *layer)
{
    if (layer == NULL)
        return;
    for (size_t i = 0; i < layer->weights_count; i++)
        if (layer->weights[i] != NULL)
            dnnl_memory_destroy(layer->weights[i]);
    free(layer->weights);
    for (int t = 0; t < ARGUMENTS; t++) {
        if (layer->memories[t] != NULL)
            dnnl_memory_destroy(layer->memories[t]);
        block_release(layer->buffers[t]);
    }
    if (layer->primitive != NULL)
        dnnl_primitive_destroy(layer->primitive);
    if (layer->descriptor != NULL)
        dnnl_primitive_desc_destroy(layer->descriptor);
    free(layer);
}

const char *peer_layer_kernel(const struct peer_layer *layer)
{
    return layer->kernel;
}

bool peer_layer_run(void *context)
{
    struct peer_layer *layer = context;
    if (layer->weights_count > 0) {
        layer->arguments[layer->weights_argument].memory = layer->weights[layer->next];
        if (++layer->next == layer->weights_count)
            layer->next = 0;
    }
    return dnnl_primitive_execute(layer->primitive, layer->peer->stream, layer->argument_count, layer->arguments) ==
               dnnl_success &&
           dnnl_stream_wait(layer->peer->stream) == dnnl_success;
}

bool peer_layer_output(const struct peer_layer *layer, int k, float *values)
{
    for (int t = 0; t < TENSORS; t++) {
        const struct role *role = &roles[layer->pass][t];
        if (!role->written || k-- > 0)
            continue;
        const dnnl_memory_desc_t *desc =
            dnnl_primitive_desc_query_md(layer->descriptor, dnnl_query_exec_arg_md, role->argument);
        return reorder(layer->peer, desc, layer->buffers[t], &layer->plain[t], values) == dnnl_success;
    }
    return false;
}
