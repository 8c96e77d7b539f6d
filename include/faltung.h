/*
 * faltung.h - convolution on CPUs as fast as the silicon allows.
 *
 * Convolution here is the layer of a neural network (cross-correlation: the kernel is not flipped). For 2-D, one group:
 *
 *     dst[n,o,y,x]      = act( bias[o] + residual[n,o,y,x] + sum_{i,r,s} src[n,i,h,v] * w[o,i,r,s] )
 *     diff_src[n,i,h,v] = sum_{o,y,x,r,s} diff_dst[n,o,y,x] * w[o,i,r,s]
 *     diff_w[o,i,r,s]   = sum_{n,y,x} src[n,i,h,v] * diff_dst[n,o,y,x]
 *     diff_bias[o]      = sum_{n,y,x} diff_dst[n,o,y,x]
 *
 * over all (y,r,h) with h = y*sh + r*dh - ph and all (x,s,v) with v = x*sw + s*dw - pw
 *
 * (Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016.) Pixels outside of src count as zero: as
 * 0 times the weight, or as no term at all, which differ only where a weight is Inf or NaN (and then may differ with the number
 * of threads).
 *
 * How to use it: fill a falt_conv, make a plan for one pass, execute it as often as you like.
 *
 *     falt_conv conv = FALT_CONV_INIT;
 *     conv.in_channels = conv.out_channels = 64;
 *     conv.in[0] = conv.in[1] = 56;
 *     conv.kernel[0] = conv.kernel[1] = 3;
 *     conv.pad_begin[0] = conv.pad_begin[1] = conv.pad_end[0] = conv.pad_end[1] = 1;
 *     falt_plan *plan;
 *     falt_status st = falt_plan_create(&plan, &conv, FALT_FORWARD, NULL);
 *     st = falt_execute(plan, &(falt_tensors){ .src = x, .weights = w, .bias = b, .dst = y });
 *     falt_plan_destroy(plan);
 *
 * Promises: a plan is immutable and may be executed by many threads at once (each with its own workspace). Results are the
 * same, bit for bit, for any number of threads and from run to run on one instruction set. Nothing outside of the tensors is
 * read or written. The library never prints, exits, aborts, or makes executable memory, and keeps no global mutable state but
 * the one-time detection of the CPU; the text of falt_last_error belongs to the calling thread.
 */
#ifndef FALTUNG_H
#define FALTUNG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FALT_VERSION_MAJOR 0
#define FALT_VERSION_MINOR 1
#define FALT_VERSION_PATCH 0

#ifndef FALT_API
#if defined(_WIN32) && defined(FALT_BUILDING)
#define FALT_API __declspec(dllexport)
#elif defined(__GNUC__) && !defined(_WIN32)
#define FALT_API __attribute__((visibility("default")))
#else
#define FALT_API
#endif
#endif

/* ---------------------------------------------------------------------------------------------------------------- status */

typedef enum falt_status {
    FALT_OK = 0,
    FALT_INVALID_ARGUMENT = 1, /* a null pointer, wrong struct_size, unknown enum value, a size that makes no convolution */
    FALT_TOO_LARGE = 2,        /* a size beyond 2^56, or a product of sizes beyond 63 bits or an address space */
    FALT_UNSUPPORTED = 3,      /* a forced algorithm, instruction set or norm method that does not apply here */
    FALT_OUT_OF_MEMORY = 4,    /* the allocator returned NULL */
    FALT_WORKSPACE = 5         /* the given workspace or buffer is too small, or packed weights are another plan's */
} falt_status;

/* A constant English name of the status ("invalid argument"); "unknown status" for any other value. Never NULL. */
FALT_API const char *falt_status_string(falt_status status);

/* Why the last call of this library that failed *in the calling thread* failed, in one line ("kernel extent 7 exceeds padded
 * input 5 in dimension 1"). "" before the first failure. To be read at once: later calls, even ones that succeed, may change
 * it. Never NULL. */
FALT_API const char *falt_last_error(void);

/* "0.1.0", of the library that is running (the macros tell the header's). */
FALT_API const char *falt_version(void);

/* --------------------------------------------------------------------------------------------------------------- problem */

#define FALT_MAX_DIMS 3

typedef enum falt_pass {
    FALT_FORWARD = 0,         /* src, weights -> dst */
    FALT_BACKWARD_DATA = 1,   /* diff_dst, weights -> diff_src */
    FALT_BACKWARD_WEIGHTS = 2 /* src, diff_dst -> diff_weights, diff_bias */
} falt_pass;

/* Layout of src, dst and their gradients. Dense, row-major, the last index fastest. Groups are slices of the channels. */
typedef enum falt_layout {
    FALT_CHANNELS_FIRST = 0, /* [batch][channel][depth][height][width] */
    FALT_CHANNELS_LAST = 1,  /* [batch][depth][height][width][channel] */
    FALT_NCW = FALT_CHANNELS_FIRST,
    FALT_NCHW = FALT_CHANNELS_FIRST,
    FALT_NCDHW = FALT_CHANNELS_FIRST,
    FALT_NWC = FALT_CHANNELS_LAST,
    FALT_NHWC = FALT_CHANNELS_LAST,
    FALT_NDHWC = FALT_CHANNELS_LAST
} falt_layout;

/* Layout of the weights and their gradient, with O = out_channels, I = in_channels / groups. For a transposed convolution
 * O = in_channels and I = out_channels / groups: they are the weights of the convolution whose adjoint it is. */
typedef enum falt_weights_layout {
    FALT_OIHW = 0, /* [O][I][depth][height][width] */
    FALT_OHWI = 1  /* [O][depth][height][width][I] */
} falt_weights_layout;

/* Applied last in the forward pass. For the others alpha and beta are ignored. */
typedef enum falt_activation {
    FALT_ACT_NONE = 0,
    FALT_ACT_RELU = 1,     /* max(x, 0) */
    FALT_ACT_CLAMP = 2,    /* min(max(x, alpha), beta), alpha <= beta; ReLU6 is 0, 6 */
    FALT_ACT_LEAKY = 3,    /* x < 0 ? alpha * x : x */
    FALT_ACT_SIGMOID = 4,  /* 1 / (1 + exp(-x)) */
    FALT_ACT_SILU = 5,     /* x / (1 + exp(-x)) */
    FALT_ACT_HARDSWISH = 6 /* x * min(max(x + 3, 0), 6) / 6 */
} falt_activation;

/* A convolution layer. Start from FALT_CONV_INIT (2-D, batch 1, one channel, 1x1 kernel on a 1x1 image, channels last) and set
 * what differs. Spatial arrays run from the outermost dimension to the innermost ({height, width} in 2-D); entries from
 * spatial_dims on are ignored. The struct grows only at its end; struct_size tells the library which one the caller knows. */
typedef struct falt_conv {
    size_t struct_size;        /* sizeof(falt_conv) */
    int32_t spatial_dims;      /* 1, 2 or 3 */
    int32_t transposed;        /* 0: convolution; 1: transposed (fractionally strided) convolution, the adjoint map of one */
    int64_t batch;             /* >= 0; 0 is an empty problem and does nothing (a weight gradient is then zero) */
    int64_t in_channels;       /* > 0, a multiple of groups */
    int64_t out_channels;      /* > 0, a multiple of groups */
    int64_t groups;            /* > 0; groups == in_channels is a depthwise convolution */
    int64_t in[FALT_MAX_DIMS]; /* input size, > 0 */
    int64_t kernel[FALT_MAX_DIMS];         /* > 0 */
    int64_t stride[FALT_MAX_DIMS];         /* > 0 */
    int64_t dilation[FALT_MAX_DIMS];       /* > 0; 1: dense */
    int64_t pad_begin[FALT_MAX_DIMS];      /* >= 0, zeros before the first pixel */
    int64_t pad_end[FALT_MAX_DIMS];        /* >= 0, zeros after the last pixel */
    int64_t output_padding[FALT_MAX_DIMS]; /* >= 0, only with transposed: rows added at the end of the output */
    falt_layout layout;
    falt_weights_layout weights_layout;
    falt_activation activation; /* forward only: the gradients are those of the linear part, other passes refuse one */
    float alpha, beta;          /* parameters of the activation */
} falt_conv;

#define FALT_CONV_INIT                                                                                                         \
    {                                                                                                                          \
        sizeof(falt_conv), 2, 0, 1, 1, 1, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0},      \
            FALT_CHANNELS_LAST, FALT_OIHW, FALT_ACT_NONE, 0.0f, 0.0f                                                           \
    }

/* Sizes that follow from a falt_conv. Counts are numbers of floats. */
typedef struct falt_sizes {
    int64_t out[FALT_MAX_DIMS]; /* output size; 1 from spatial_dims on */
    int64_t src, weights, bias, dst;
    double multiply_adds; /* of one pass, counted as direct convolution without its padding: each pass does the same number */
} falt_sizes;

/* Output size of a convolution:             floor((in + pad_begin + pad_end - dilation * (kernel - 1) - 1) / stride) + 1
 * and of a transposed convolution: (in - 1) * stride + dilation * (kernel - 1) + 1 - pad_begin - pad_end + output_padding.
 * Returns FALT_INVALID_ARGUMENT or FALT_TOO_LARGE for whatever falt_plan_create would refuse with them. Thread-safe. */
FALT_API falt_status falt_conv_sizes(const falt_conv *conv, falt_sizes *sizes);

/* The same, the output size only; writes spatial_dims entries. */
FALT_API falt_status falt_output_shape(const falt_conv *conv, int64_t *out);

/* --------------------------------------------------------------------------------------------------------------- options */

typedef enum falt_algorithm {
    FALT_ALGO_AUTO = 0, /* the fastest by the planner's cost model */
    FALT_ALGO_REFERENCE = 1,
    FALT_ALGO_DIRECT = 2,
    FALT_ALGO_IM2COL = 3,
    FALT_ALGO_WINOGRAD = 4,
    FALT_ALGO_DEPTHWISE = 5, /* depthwise, and grouped convolution with few channels a group */
    FALT_ALGO_DOTS = 6,      /* dot products over input channels: channels last, up to 8 output channels a group */
    FALT_ALGO_COUNT = 7
} falt_algorithm;

typedef enum falt_isa {
    FALT_ISA_AUTO = 0, /* the best of this CPU, or what the environment variable FALTUNG_ISA (scalar, avx2, ...) caps it to */
    FALT_ISA_SCALAR = 1,
    FALT_ISA_AVX2 = 2,   /* with FMA */
    FALT_ISA_AVX512 = 3, /* F, BW, DQ, VL */
    FALT_ISA_NEON = 4,
    FALT_ISA_COUNT = 5
} falt_isa;

/* Both functions may be called from the thread that calls the library, never from its workers. */
typedef struct falt_allocator {
    void *(*allocate)(void *context, size_t size, size_t alignment); /* NULL on failure; alignment is a power of 2, <= 64 */
    void (*release)(void *context, void *pointer);
    void *context;
} falt_allocator;

/* options.accuracy: how many times the error of plain fp32 summation (relative L2 error, data without structure) is tolerated.
 * Beyond direct summation, what is not finite may spread over neighbouring outputs: docs/accuracy.md has both, measured. */
#define FALT_ACCURACY_DEFAULT 0.0f   /* 3 */
#define FALT_ACCURACY_AS_DIRECT 1.0f /* nothing less accurate than direct summation */

typedef struct falt_options {
    size_t struct_size;       /* sizeof(falt_options) */
    falt_algorithm algorithm; /* anything but AUTO is used or refused with a reason, never replaced */
    falt_isa isa;             /* a cap: nothing beyond it is used. An instruction set the CPU lacks is refused */
    int32_t threads;          /* >= 0; 0: OpenMP's default when the plan is made; at most 1024,
                               * or 64 where pointers have 32 bits. Executed inside of a parallel region: 1 */
    int32_t accumulate;       /* backward weights: add into diff_weights and diff_bias instead of overwriting them */
    float accuracy;           /* FALT_ACCURACY_*, or any number >= 1 */
    int64_t workspace_limit;  /* of falt_plan_workspace_size(plan, 1), in bytes; < 0: none (and 32 KiB more a thread).
                               * Strided backward data runs in phases. Where the limit allows it, each thread has a part of
                               * its own, as large as any phase needs, and no phase waits for another: this may be more than
                               * the largest phase takes by itself. Otherwise they use that workspace one after the other */
    falt_allocator allocator; /* all zero: malloc and free */
    int32_t warm_weights;     /* 1: plan for weights that stay in cache; 0: that come from memory, as in a network */
} falt_options;

#define FALT_OPTIONS_INIT                                                                                                      \
    {                                                                                                                          \
        sizeof(falt_options), FALT_ALGO_AUTO, FALT_ISA_AUTO, 0, 0, FALT_ACCURACY_DEFAULT, -1, {NULL, NULL, NULL}, 0            \
    }

/* "auto", "reference", "direct", ...; "auto", "scalar", "avx2", ...; "unknown" for any other value. Never NULL. */
FALT_API const char *falt_algorithm_name(falt_algorithm algorithm);
FALT_API const char *falt_isa_name(falt_isa isa);

/* ------------------------------------------------------------------------------------------------------------------ plan */

typedef struct falt_plan falt_plan;

/* Plans one pass of a convolution. options may be NULL. *plan is NULL on failure; the caller owns the plan otherwise.
 * Returns FALT_OK, FALT_INVALID_ARGUMENT, FALT_TOO_LARGE, FALT_UNSUPPORTED, FALT_OUT_OF_MEMORY. Thread-safe. */
FALT_API falt_status falt_plan_create(falt_plan **plan, const falt_conv *conv, falt_pass pass, const falt_options *options);

/* NULL is allowed. No execution of the plan may be under way. */
FALT_API void falt_plan_destroy(falt_plan *plan);

/* Bytes of workspace of one execution: with packed weights (packed != 0), or with plain ones, which are then packed into the
 * workspace first. Any address will do. 0 for a null plan. */
FALT_API size_t falt_plan_workspace_size(const falt_plan *plan, int packed);

/* Bytes of the packed weights; 0 where the plan reads plain weights as they are (or has no weights to read). */
FALT_API size_t falt_plan_packed_weights_size(const falt_plan *plan);

/* Packs weights for this plan and any other of the same falt_conv, pass and options; options.threads == 0 are as many as it
 * stood for when the plan was made. size: of packed, in bytes, at least falt_plan_packed_weights_size. The buffer may start at
 * any multiple of 4 (64 is fastest), and may be moved or stored for the same library on the same kind of CPU. Returns FALT_OK,
 * FALT_INVALID_ARGUMENT, FALT_WORKSPACE. Thread-safe. */
FALT_API falt_status falt_pack_weights(const falt_plan *plan, const float *weights, void *packed, size_t size);

/* The tensors of one execution; leave what the pass does not use NULL. Tensors may start at any address that is a multiple
 * of 4. No output may overlap another tensor, except that residual may be dst itself. */
typedef struct falt_tensors {
    const float *src;           /* forward, backward weights: [batch][in_channels][in...] in the plan's layout */
    const float *weights;       /* forward, backward data; ignored with packed_weights, unless the plan's have a size of 0 */
    const void *packed_weights; /* or NULL; ignored where falt_plan_packed_weights_size is 0 */
    const float *bias;          /* forward: [out_channels], or NULL */
    const float *residual;      /* forward: shaped as dst, added before the activation, or NULL */
    float *dst;                 /* forward: [batch][out_channels][out...] */
    const float *diff_dst;      /* both backward passes: shaped as dst */
    float *diff_src;            /* backward data: shaped as src */
    float *diff_weights;        /* backward weights: shaped as weights, or NULL when only diff_bias is wanted */
    float *diff_bias;           /* backward weights: [out_channels], or NULL */
    void *workspace;            /* NULL: allocated and released within the call, through the plan's allocator */
    size_t workspace_size;      /* bytes of workspace */
    const void *reserved[4];    /* NULL */
} falt_tensors;

/* Runs the plan. Returns FALT_OK, FALT_INVALID_ARGUMENT (a needed tensor is NULL), FALT_WORKSPACE (too small, or foreign packed
 * weights), FALT_OUT_OF_MEMORY (only with workspace == NULL). Any number of threads may execute one plan at once.
 * On x86, which would take a hundred times as long over them, and alike on AArch64, numbers below 2^-126 count as zeros, but
 * for FALT_ALGO_REFERENCE. On return each thread treats them as it did before. */
FALT_API falt_status falt_execute(const falt_plan *plan, const falt_tensors *tensors);

/* The largest possible difference between any element of the result and its exact value, for the inputs in tensors (outputs
 * are not touched), before the activation's own rounding. A priori, from rounding
 * analysis (Higham, "Accuracy and Stability of Numerical Algorithms", ch. 3): with n terms a sum in any order obeys
 *     |computed - exact| <= gamma(n + 1) * sum |x| |w|,   gamma(n) = n u / (1 - n u),   u = 2^-24,
 * and sum |x| |w| <= max|x| * max over outputs of sum |w|. Fast algorithms multiply it by the growth of their transforms.
 * Overflow and underflow excepted. Needs plain weights, packed ones or not; of a weight gradient it bounds diff_weights, not
 * diff_bias. Returns FALT_OK or FALT_INVALID_ARGUMENT. Costs one pass over the inputs. */
FALT_API falt_status falt_plan_error_bound(const falt_plan *plan, const falt_tensors *tensors, double *bound);

typedef enum falt_format { FALT_TEXT = 0, FALT_JSON = 1 } falt_format;

/* What was planned and why: problem, solver, kernel, tile, schedule, threads, predicted time, workspace, and for each other
 * solver its predicted time or the reason why it was refused. Writes at most size bytes, always with a final 0 when size > 0,
 * and returns the length that the whole text has without it (as snprintf): 0 for a null plan or an unknown format. buffer may
 * be NULL when size is 0. */
FALT_API size_t falt_plan_describe(const falt_plan *plan, falt_format format, char *buffer, size_t size);

/* What a plan decided, for programs. kernel is a constant string that lives as long as the plan. */
typedef struct falt_plan_info {
    size_t struct_size; /* set by the caller: sizeof(falt_plan_info) */
    falt_algorithm algorithm;
    falt_isa isa;
    int32_t threads; /* of the longest phase; others, and diff_bias by itself, may use more, up to options.threads */
    const char *kernel;
    double predicted_seconds;
    double accuracy; /* expected error in units of direct summation's (see options.accuracy) */
} falt_plan_info;

/* Returns FALT_OK or FALT_INVALID_ARGUMENT. Thread-safe. */
FALT_API falt_status falt_plan_get_info(const falt_plan *plan, falt_plan_info *info);

/* ------------------------------------------------------------------------------------------------------------------- CPU */

typedef struct falt_cpu {
    size_t struct_size;  /* set by the caller: sizeof(falt_cpu) */
    falt_isa isa;        /* the best that this CPU and this build have, after FALTUNG_ISA */
    uint32_t isas;       /* bit (1 << isa) for each usable one, FALTUNG_ISA not applied */
    int32_t threads;     /* what options.threads == 0 means now */
    int64_t l1d, l2, l3; /* bytes: one core's L1 data cache and L2, the L3 it shares, of which no more than 16 MiB for each core
                          * that can be seen; a guess where the system does not tell */
    char name[64];       /* of the processor, "" where unknown */
} falt_cpu;

/* Detects the CPU once; later calls are cheap. Returns FALT_OK or FALT_INVALID_ARGUMENT. Thread-safe. */
FALT_API falt_status falt_cpu_info(falt_cpu *cpu);

#ifdef __cplusplus
}
#endif

#endif
