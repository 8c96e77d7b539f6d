/* gbench_cases.c - what Google Benchmark measures: every register tile of every usable instruction set, and some layers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "../src/cpu.h"
#include "../src/parallel.h"
#include "gbench.h"
#include "measure.h"

static float *floats(int64_t count)
{
    float *x = malloc((size_t)count * sizeof *x);
    if (x == NULL) {
        fprintf(stderr, "faltung_gbench: out of memory\n");
        exit(1);
    }
    /* Small, of both signs, and never subnormal, however long a sum of them gets. */
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)(i * 7 % 17 - 8) / 16;
    return x;
}

/* A burst is short enough to be interrupted; several are not all. */
static double peak(void *probe)
{
    double bursts[9];
    for (int i = 0; i < 9; i++)
        bursts[i] = probe_run(probe);
    return median(bursts, 9);
}

static struct probe *new_probe(const struct kernels *kernels, int threads)
{
    struct probe *probe = malloc(sizeof *probe);
    if (probe == NULL || !probe_init(probe, kernels, threads)) {
        fprintf(stderr, "faltung_gbench: out of memory\n");
        exit(1);
    }
    return probe;
}

/* --------------------------------------------------------------------------------------------------------------- kernels */

/* One tile over a 3x3 tap table and 64 channels: rows of A a cache line apart as in channels-last images of 64 channels. */
enum { TILE_TAPS = 9, TILE_DEPTH = 64 };

struct tile_case {
    gemm_kernel *kernel;
    struct gemm_args args;
};

static void run_tile(void *context, int64_t iterations)
{
    struct tile_case *tile = context;
    for (int64_t i = 0; i < iterations; i++)
        tile->kernel(&tile->args);
}

static void register_tile(struct probe *probe, int vectors, int rows)
{
    const struct kernels *kernels = probe->kernels;
    const int64_t columns = (int64_t)vectors * kernels->vec;
    struct tile_case *tile = malloc(sizeof *tile);
    const float **a = malloc(TILE_TAPS * (size_t)rows * sizeof *a);
    ptrdiff_t *row = malloc((size_t)rows * sizeof *row);
    if (tile == NULL || a == NULL || row == NULL)
        exit(1);
    const float *image = floats((int64_t)3 * (rows + 2) * TILE_DEPTH);
    for (int tap = 0; tap < TILE_TAPS; tap++)
        for (int m = 0; m < rows; m++)
            a[tap * rows + m] = image + ((tap / 3) * (rows + 2) + m + tap % 3) * TILE_DEPTH;
    for (int m = 0; m < rows; m++)
        row[m] = m * columns;

    *tile = (struct tile_case){
        .kernel = kernels->gemm[vectors][rows],
        .args = {.a = a,
                 .b = floats(TILE_TAPS * TILE_DEPTH * columns),
                 .a_tap = rows,
                 .taps = TILE_TAPS,
                 .depth = TILE_DEPTH,
                 .c = floats(rows * columns),
                 .row = row,
                 .step = 1,
                 .columns = columns,
                 .epilogue = {.lo = -INFINITY, .hi = INFINITY}},
    };
    char name[64];
    snprintf(name, sizeof name, "gemm/%s/%dx%d", kernels->name, rows, vectors);
    gbench_register(name, 2.0 * TILE_TAPS * TILE_DEPTH * (double)(rows * columns), run_tile, peak, probe, tile);
}

/* ---------------------------------------------------------------------------------------------------------------- layers */

static const struct layer {
    const char *name;
    int64_t in_channels, out_channels, groups, size, kernel, stride;
} layers[] = {
    {"resnet50_7x7s2", 3, 64, 1, 224, 7, 2},         {"resnet50_56x56_3x3", 64, 64, 1, 56, 3, 1},
    {"resnet50_28x28_3x3", 128, 128, 1, 28, 3, 1},   {"resnet50_14x14_3x3", 256, 256, 1, 14, 3, 1},
    {"resnet50_7x7_3x3", 512, 512, 1, 7, 3, 1},      {"resnet50_14x14_1x1", 1024, 256, 1, 14, 1, 1},
    {"resnext50_56x56_3x3", 128, 128, 32, 56, 3, 1}, {"mobilenet_112x112_dw", 32, 32, 32, 112, 3, 1},
};

struct layer_case {
    falt_plan *plan;
    falt_tensors tensors;
};

static void run_layer(void *context, int64_t iterations)
{
    const struct layer_case *layer = context;
    for (int64_t i = 0; i < iterations; i++)
        falt_execute(layer->plan, &layer->tensors);
}

/* Weights packed and workspace at hand, as in a network that runs for the second time. */
static falt_status register_layer(const struct layer *layer, falt_layout layout, struct probe *probe)
{
    falt_conv conv = FALT_CONV_INIT;
    conv.in_channels = layer->in_channels;
    conv.out_channels = layer->out_channels;
    conv.groups = layer->groups;
    conv.layout = layout;
    for (int d = 0; d < 2; d++) {
        conv.in[d] = layer->size;
        conv.kernel[d] = layer->kernel;
        conv.stride[d] = layer->stride;
        conv.pad_begin[d] = conv.pad_end[d] = layer->kernel / 2;
    }
    falt_options options = FALT_OPTIONS_INIT;
    options.threads = probe->threads;
    falt_sizes sizes;
    falt_plan *plan;
    falt_status status = falt_conv_sizes(&conv, &sizes);
    if (status == FALT_OK)
        status = falt_plan_create(&plan, &conv, FALT_FORWARD, &options);
    if (status != FALT_OK)
        return status;

    falt_plan_info info = {.struct_size = sizeof info};
    falt_plan_get_info(plan, &info);
    struct layer_case *run = malloc(sizeof *run);
    if (run == NULL)
        return FALT_OUT_OF_MEMORY;
    *run = (struct layer_case){
        .plan = plan,
        .tensors = {.src = floats(sizes.src), .weights = floats(sizes.weights), .dst = floats(sizes.dst)},
    };
    const size_t packed_size = falt_plan_packed_weights_size(plan);
    if (packed_size > 0) {
        void *packed = floats((int64_t)(packed_size / sizeof(float) + 1));
        status = falt_pack_weights(plan, run->tensors.weights, packed, packed_size);
        if (status != FALT_OK)
            return status;
        run->tensors.packed_weights = packed;
    }
    run->tensors.workspace_size = falt_plan_workspace_size(plan, packed_size > 0);
    run->tensors.workspace = floats((int64_t)(run->tensors.workspace_size / sizeof(float) + 1));

    char name[128];
    snprintf(name, sizeof name, "forward/%s/%s/%s/threads:%d", layer->name, layout == FALT_NHWC ? "nhwc" : "nchw",
             falt_algorithm_name(info.algorithm), probe->threads);
    gbench_register(name, 2 * sizes.multiply_adds, run_layer, peak, probe, run);
    return FALT_OK;
}

int main(int argc, char **argv)
{
    for (int isa = FALT_ISA_SCALAR; isa < FALT_ISA_COUNT; isa++) {
        const struct kernels *kernels = falt_kernels_of(isa);
        if (kernels == NULL)
            continue;
        struct probe *probe = new_probe(kernels, 1);
        for (int vectors = 1; vectors <= GEMM_MAX_VECTORS; vectors++)
            for (int rows = 1; rows <= kernels->gemm_rows[vectors]; rows++)
                register_tile(probe, vectors, rows);
    }

    const int all = falt_default_threads();
    for (int threads = 1; threads <= all; threads += all > 1 ? all - 1 : 1) {
        struct probe *probe = new_probe(falt_kernels(FALT_ISA_AUTO), threads);
        for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
            for (int layout = FALT_CHANNELS_FIRST; layout <= FALT_CHANNELS_LAST; layout++)
                if (register_layer(&layers[i], layout, probe) != FALT_OK) {
                    fprintf(stderr, "faltung_gbench: %s: %s\n", layers[i].name, falt_last_error());
                    return 1;
                }
    }
    /* What the cases hold lives as long as the process. */
    return gbench_run(argc, argv);
}
