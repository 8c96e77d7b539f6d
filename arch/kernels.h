/*
 * kernels.h - the contract between the library and everything that knows an instruction set.
 *
 * Each instruction set is one object file that exports one symbol, a const struct kernels. Nothing in arch/ allocates, knows
 * threads, keeps state or calls libm; nothing in src/ has an intrinsic. Kernels trust their arguments.
 */
#ifndef FALT_KERNELS_H
#define FALT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* What a table's code needs of the CPU; cpu.c detects it. */
enum {
    CPU_AVX2 = 1 << 0,   /* AVX2 and FMA, and the system saves ymm */
    CPU_AVX512 = 1 << 1, /* AVX-512 F, BW, DQ, VL, and the system saves zmm */
    CPU_NEON = 1 << 2    /* armv8-a Advanced SIMD */
};

enum { GEMM_MAX_VECTORS = 4, GEMM_MAX_ROWS = 14 };

/* Beyond a clamp, which every store does anyway (lo = -inf, hi = inf for none). Same numbers as falt_activation. */
enum { ACTIVATE_NONE = 0, ACTIVATE_LEAKY = 3, ACTIVATE_SIGMOID = 4, ACTIVATE_SILU = 5, ACTIVATE_HARDSWISH = 6 };

/* What happens to a finished sum on its way to memory:  activate(clamp(sum + bias + residual, lo, hi)).
 * NaN passes through all of it. */
struct epilogue {
    float lo, hi;
    int activation; /* ACTIVATE_* */
    float alpha;    /* of ACTIVATE_LEAKY */
};

/*
 * Batch-reduce GEMM on one register tile, the one building block:
 *
 *     C[m][n] = epilogue( (accumulate ? C[m][n] : 0) + sum_t sum_k A[t][m][k] * B[t][k][n] )      m < rows, n < columns
 *
 *                 B  packed panel: taps * depth rows of nr = vectors * vec floats
 *                +--------------------+
 *                |  b + (t*depth+k)*nr |  loaded as `vectors` vectors, zero beyond the last channel
 *                +--------------------+
 *      A         C
 *     a[t*rows+m] --> depth contiguous floats, each broadcast: one output pixel seen through tap t.
 *     Any stride, dilation and padding is a matter of this pointer table; outside pixels point to zeros.
 *
 * Each C[m][n] is one chain of fused multiply-adds in the order of t and k, whatever the tile: results do not depend on
 * how the work was cut into tiles.
 */
struct gemm_args {
    const float *const *a;        /* [taps][rows] */
    const float *b;
    int64_t taps, depth;          /* >= 0 */
    float *const *c;              /* [rows]: address of C[m][0] */
    const float *const *residual; /* [rows]: likewise, or NULL */
    const float *bias;            /* [columns], or NULL */
    ptrdiff_t step;               /* floats from C[m][n] to C[m][n+1], of residual too: 1, or e.g. height*width for NCHW */
    int64_t columns;              /* 1 ... nr */
    int accumulate;               /* start from what is in C */
    struct epilogue epilogue;
};

typedef void gemm_kernel(const struct gemm_args *args);

struct kernels {
    const char *name; /* "avx512" */
    uint32_t needs;   /* CPU_* */
    int vec;          /* floats in a vector */

    /* gemm[v][m]: the tile of m rows and v vectors, 1 <= v <= GEMM_MAX_VECTORS, 1 <= m <= gemm_rows[v]. All of a row of this
     * table run at the same efficiency but for the smallest, so that callers cut work evenly instead of leaving remainders. */
    int gemm_rows[GEMM_MAX_VECTORS + 1];
    gemm_kernel *gemm[GEMM_MAX_VECTORS + 1][GEMM_MAX_ROWS + 1];

    /* dst[c * dst_stride + r] = src[r * src_stride + c],  r < rows, c < columns: channels first <-> channels last. */
    void (*transpose)(const float *src, ptrdiff_t src_stride, int64_t rows, int64_t columns, float *dst, ptrdiff_t dst_stride);

    /* x[i] = epilogue(x[i]), i < n: for solvers that store elsewhere. */
    void (*finish)(float *x, int64_t n, const struct epilogue *epilogue);

    /* Runs independent chains of multiply-adds as fast as the FMA units go; returns the number of floating-point operations.
     * rounds > 0, about 1,000 FMA instructions each. *sink takes a value that depends on all of them. */
    double (*burn)(int64_t rounds, float *sink);
};

/* The tables that this build has, best first, NULL at the end; a table's CPU needs are checked by cpu.c. */
extern const struct kernels *const falt_kernels_tables[];

#endif
