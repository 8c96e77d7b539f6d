/*
 * vec_scalar.h - the vector vocabulary in plain C, for every machine; a small enough array for the compiler to vectorise.
 *
 * Every vec_*.h defines the same words:
 *
 *     vec, VEC                             VEC floats; of load_n and store_n the first n, where n <= 0 is none, n >= VEC is all, and
 *                                          memory beyond n is not touched; the other lanes of load_n are 0
 *     vec_clamp(x, lo, hi)                 a NaN in x stays NaN
 *     vec_select_negative(x, a, b)         x < 0 ? a : b
 *     vec_round(x)                         to the nearest integer, ties to even; |x| < 2^22
 *     vec_scale(x, k)                      x * 2^k, integer k in [-252, 252], with gradual underflow
 *     vec_transpose(x)                     x[VEC] as a VEC x VEC matrix, in place
 *     KERNELS_NEEDS                        CPU_* that the flags of this file imply
 *     GEMM_ROWS_v                          rows of the tallest tile of v vectors that keeps its sums, one row of B and a
 *                                          broadcast in registers
 *     BURN_CHAINS                          independent chains that keep all FMA units busy
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

typedef struct {
    float x[VEC];
} vec;

#define VEC_MAP(expression)                                                                                                 \
    vec result;                                                                                                             \
    UNROLL for (int i = 0; i < VEC; i++) result.x[i] = (expression);                                                        \
    return result

INLINE vec vec_broadcast(float x)
{
    VEC_MAP(x);
}

INLINE vec vec_zero(void)
{
    return vec_broadcast(0.0f);
}

INLINE vec vec_load(const float *p)
{
    VEC_MAP(p[i]);
}

INLINE void vec_store(float *p, vec a)
{
    UNROLL for (int i = 0; i < VEC; i++) p[i] = a.x[i];
}

INLINE vec vec_load_n(const float *p, int64_t n)
{
    VEC_MAP(i < n ? p[i] : 0.0f);
}

INLINE void vec_store_n(float *p, vec a, int64_t n)
{
    UNROLL for (int i = 0; i < VEC; i++) {
        if (i < n)
            p[i] = a.x[i];
    }
}

/* a * b + c. Rounds twice where the hardware has no fused multiply-add: libm's emulation is a hundred times slower. */
INLINE vec vec_fma(vec a, vec b, vec c)
{
#ifdef __FP_FAST_FMAF
    VEC_MAP(__builtin_fmaf(a.x[i], b.x[i], c.x[i]));
#else
    VEC_MAP(a.x[i] * b.x[i] + c.x[i]);
#endif
}

INLINE vec vec_add(vec a, vec b)
{
    VEC_MAP(a.x[i] + b.x[i]);
}

INLINE vec vec_sub(vec a, vec b)
{
    VEC_MAP(a.x[i] - b.x[i]);
}

INLINE vec vec_mul(vec a, vec b)
{
    VEC_MAP(a.x[i] * b.x[i]);
}

INLINE vec vec_div(vec a, vec b)
{
    VEC_MAP(a.x[i] / b.x[i]);
}

INLINE vec vec_abs(vec a)
{
    VEC_MAP(__builtin_fabsf(a.x[i]));
}

INLINE vec vec_clamp(vec a, vec lo, vec hi)
{
    VEC_MAP(a.x[i] < lo.x[i] ? lo.x[i] : a.x[i] > hi.x[i] ? hi.x[i] : a.x[i]);
}

INLINE vec vec_select_negative(vec a, vec yes, vec no)
{
    VEC_MAP(a.x[i] < 0.0f ? yes.x[i] : no.x[i]);
}

/* Adding 1.5 * 2^23 pushes the fraction out of the significand. Volatile against excess precision (x87). */
INLINE vec vec_round(vec a)
{
    vec result;
    for (int i = 0; i < VEC; i++) {
        volatile float shifted = a.x[i] + 12582912.0f;
        result.x[i] = shifted - 12582912.0f;
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
        const int n = k.x[i] >= -252.0f && k.x[i] <= 252.0f ? (int)k.x[i] : 0, half = n / 2;
        result.x[i] = a.x[i] * power_of_two(half) * power_of_two(n - half);
    }
    return result;
}

INLINE void vec_transpose(vec x[VEC])
{
    UNROLL for (int i = 0; i < VEC; i++) {
        UNROLL for (int j = 0; j < i; j++) {
            const float t = x[i].x[j];
            x[i].x[j] = x[j].x[i];
            x[j].x[i] = t;
        }
    }
}
