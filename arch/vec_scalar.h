/*
 * vec_scalar.h - the vector vocabulary for every machine, in the vectors of GCC's C (clang has them too): they become the
 * baseline's SIMD instructions where it has some (SSE2), and scalar ones elsewhere.
 *
 * Every vec_*.h defines the same words:
 *
 *     vec, VEC                      a vector, of VEC floats
 *     vec_load_n, vec_store_n       the first n floats; n <= 0 is none, n >= VEC is all. Memory beyond them is not touched, the
 *                                   other lanes are loaded as 0
 *     vec_store_apart(p, apart, x, n)    the first n floats, x[i] to p[i * apart]
 *     vec_keep(x)                   x, in a register from now on: gcc would rather load it again for each use
 *     vec_load_lanes(p, lanes)      the lanes of vec_lanes_between(begin, end), 0 <= begin < end <= VEC, likewise
 *     vec_load_lanes_over(x, p, lanes)   the same, the other lanes are x's
 *     vec_permute(x, index)         lane i becomes x's lane index[i]; vec_index_load reads the VEC int32_t of an index
 *     vec_clamp(x, lo, hi)          a NaN in x stays NaN
 *     vec_select_negative(x, a, b)  x < 0 ? a : b
 *     vec_round(x)                  to the nearest integer, ties to even; |x| < 2^22
 *     vec_scale(x, k)               x * 2^k, integer k in [-252, 252], with gradual underflow
 *     vec_transpose(x)              x[VEC] as a VEC x VEC matrix, in place
 *     vec_wide, vec_wide_add(s, x)  sums of VEC doubles, to which the lanes of x are added; vec_wide_load, vec_wide_store
 *     KERNELS_NEEDS                 what its code asks of the CPU
 *     GEMM_ROWS_v                   rows of the tallest tile of v vectors that keeps its sums, one row of B and a broadcast in
 *                                   registers
 *     GEMM_LANES, vec_fma_lane      only where a multiply-add broadcasts one of an operand's GEMM_LANES lanes by itself:
 *                                   then GEMM_ROWS_v leaves a register for each row of A, too
 *     vec_fma_onto(a, b, c)         a * b + c where c was, for sums: unrolled, gcc puts some over a or b, and then moves them
 *     vec_scalar(p)                 *p, for vec_fma_scalar_onto(a, b, c), which is vec_fma_onto with such a b; one lane will do
 *                                   where a multiply-add broadcasts it
 *     GEMM_POINTERS                 only where general registers are few: rows of a tile whose pointers they have room for
 *     GEMM_STEPS                    only where it pays: k-steps of an unrolled loop of the register tiles
 *     GEMM_AHEAD                    only where it pays: floats ahead of its use that a register tile asks for B
 *     vec_pin(x)                    with GEMM_LANES: x, in a register of its own from now on
 *     BURN_CHAINS                   independent chains that keep all FMA units busy
 *     DEPTHWISE_TALL_ROWS           sums of the depthwise kernels' tiles, two sizes, which leave registers for a window of 7
 *     DEPTHWISE_SHORT_ROWS
 *     DEPTHWISE_DOWN                rows of a block of short tiles, with a window of 3 for each; 1: no blocks
 *     DEPTHWISE_ALIKE               code of its own, where it pays: 1 for tiles inside of the image, 2 for all whose lines are
 *                                   alike, which compiles long
 *     DEPTHWISE_PAIRS(X)            only where it pays: X(width, stride) of windows that do two vectors of channels at once
 *     DOTS_SUMS                     sums of the tiles of dots.h, at least 8
 *     WINDOW_REGISTERS              vectors of the window kernels that stay in registers
 *     WINDOW_PAIRS                  1 where it pays: windows of 3x3 that do two vectors of channels at once; else 0
 */
#include <string.h>
#include "compiler.h"

enum { VEC = 4 };

#define KERNELS_NEEDS 0
#define GEMM_ROWS_1 8
#define GEMM_ROWS_2 4
#define GEMM_ROWS_3 3
#define GEMM_ROWS_4 2
#define BURN_CHAINS 8
#define DEPTHWISE_TALL_ROWS 7
#define DEPTHWISE_SHORT_ROWS 4
#define DEPTHWISE_DOWN 1
#define DEPTHWISE_ALIKE 0
#define DOTS_SUMS 8
#define WINDOW_REGISTERS 15
#define WINDOW_PAIRS 0

typedef float vec __attribute__((vector_size(VEC * sizeof(float))));

/* Lane by lane: C has no ?: of vectors. */
#define VEC_MAP(expression)                                                                                                    \
    vec result;                                                                                                                \
    UNROLL for (int i = 0; i < VEC; i++) result[i] = (expression);                                                             \
    return result

INLINE vec vec_broadcast(float x)
{
    return (vec){x, x, x, x};
}

INLINE vec vec_zero(void)
{
    return vec_broadcast(0.0f);
}

INLINE vec vec_load(const float *p)
{
    vec a;
    memcpy(&a, p, sizeof a);
    return a;
}

INLINE void vec_store(float *p, vec a)
{
    memcpy(p, &a, sizeof a);
}

INLINE vec vec_keep(vec a)
{
    return a;
}

INLINE vec vec_load_n(const float *p, int64_t n)
{
    VEC_MAP(i < n ? p[i] : 0.0f);
}

INLINE void vec_store_n(float *p, vec a, int64_t n)
{
    UNROLL for (int i = 0; i < VEC; i++)
    {
        if (i < n)
            p[i] = a[i];
    }
}

INLINE void vec_store_apart(float *p, ptrdiff_t apart, vec a, int64_t n)
{
    UNROLL for (int i = 0; i < VEC; i++)
    {
        if (i < n)
            p[i * apart] = a[i];
    }
}

/* Past the caches where the instruction set has such a store; p is aligned to a whole vector. */
INLINE void vec_stream(float *p, vec a)
{
    vec_store(p, a);
}

static void vec_fence(void)
{
}

typedef struct {
    double lane[VEC];
} vec_wide;

INLINE vec_wide vec_wide_load(const double *p)
{
    vec_wide sum;
    memcpy(&sum, p, sizeof sum);
    return sum;
}

INLINE void vec_wide_store(double *p, vec_wide sum)
{
    memcpy(p, &sum, sizeof sum);
}

INLINE vec_wide vec_wide_add(vec_wide sum, vec a)
{
    UNROLL for (int i = 0; i < VEC; i++) sum.lane[i] += (double)a[i];
    return sum;
}

/* a * b + c. Rounds twice where the hardware has no fused multiply-add: libm's emulation is a hundred times slower. */
INLINE vec vec_fma(vec a, vec b, vec c)
{
#ifdef __FP_FAST_FMAF
    VEC_MAP(__builtin_fmaf(a[i], b[i], c[i]));
#else
    return a * b + c;
#endif
}

#define vec_fma_onto vec_fma

#define vec_scalar(p) vec_broadcast(*(p))
#define vec_fma_scalar_onto vec_fma_onto

INLINE vec vec_add(vec a, vec b)
{
    return a + b;
}

INLINE vec vec_sub(vec a, vec b)
{
    return a - b;
}

INLINE vec vec_mul(vec a, vec b)
{
    return a * b;
}

INLINE vec vec_div(vec a, vec b)
{
    return a / b;
}

INLINE vec vec_abs(vec a)
{
    VEC_MAP(__builtin_fabsf(a[i]));
}

INLINE vec vec_clamp(vec a, vec lo, vec hi)
{
    VEC_MAP(a[i] < lo[i] ? lo[i] : a[i] > hi[i] ? hi[i] : a[i]);
}

INLINE vec vec_select_negative(vec a, vec yes, vec no)
{
    VEC_MAP(a[i] < 0.0f ? yes[i] : no[i]);
}

/* Adding 1.5 * 2^23 pushes the fraction out of the significand. Volatile against excess precision (x87). */
INLINE vec vec_round(vec a)
{
    vec result;
    for (int i = 0; i < VEC; i++) {
        volatile float shifted = a[i] + 12582912.0f;
        result[i] = shifted - 12582912.0f;
    }
    return result;
}

INLINE float power_of_two(int k)
{
    const uint32_t bits = (uint32_t)(k + 127) << 23;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* In two steps, so that each factor is a normal number. A NaN must not reach the conversion to int. */
INLINE vec vec_scale(vec a, vec k)
{
    vec result;
    for (int i = 0; i < VEC; i++) {
        const int n = k[i] >= -252.0f && k[i] <= 252.0f ? (int)k[i] : 0, half = n / 2;
        result[i] = a[i] * power_of_two(half) * power_of_two(n - half);
    }
    return result;
}

typedef struct {
    int32_t begin, end;
} vec_lanes;

INLINE vec_lanes vec_lanes_between(int32_t begin, int32_t end)
{
    return (vec_lanes){begin, end};
}

INLINE vec vec_load_lanes(const float *p, vec_lanes lanes)
{
    VEC_MAP(i >= lanes.begin && i < lanes.end ? p[i] : 0.0f);
}

INLINE vec vec_load_lanes_over(vec a, const float *p, vec_lanes lanes)
{
    VEC_MAP(i >= lanes.begin && i < lanes.end ? p[i] : a[i]);
}

typedef int32_t vec_index __attribute__((vector_size(VEC * sizeof(int32_t))));

INLINE vec_index vec_index_load(const int32_t *p)
{
    vec_index a;
    memcpy(&a, p, sizeof a);
    return a;
}

INLINE vec vec_permute(vec a, vec_index index)
{
    VEC_MAP(a[index[i]]);
}

INLINE void vec_transpose(vec x[VEC])
{
    UNROLL for (int i = 0; i < VEC; i++)
    {
        UNROLL for (int j = 0; j < i; j++)
        {
            const float t = x[i][j];
            x[i][j] = x[j][i];
            x[j][i] = t;
        }
    }
}
