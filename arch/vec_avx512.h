/* vec_avx512.h - the vector vocabulary (vec_scalar.h explains it) for AVX-512: 32 registers of 16 floats. */
#include <immintrin.h>
#include "compiler.h"

enum { VEC = 16 };

#define KERNELS_NEEDS (CPU_AVX2 | CPU_AVX512)
/* 14 rows of 1 or 2 vectors fit, too, but not their pointers into 16 general registers: 12 are 1 to 8 % faster. */
#define GEMM_ROWS_1 14
#define GEMM_ROWS_2 14
#define GEMM_ROWS_3 9
#define GEMM_ROWS_4 6
#define GEMM_AHEAD 1024
#define GEMM_STEPS 1
#define GEMM_POINTERS 9
#define BURN_CHAINS 24
#define DEPTHWISE_TALL_ROWS 14
#define DEPTHWISE_SHORT_ROWS 7
#define DEPTHWISE_DOWN 3
#define DEPTHWISE_ALIKE 2
#define DEPTHWISE_PAIRS(X) X(3, 2) X(5, 2)
#define DOTS_SUMS 16
#define WINDOW_REGISTERS 32
#define WINDOW_PAIRS 1

typedef __m512 vec;

INLINE vec vec_zero(void)
{
    return _mm512_setzero_ps();
}

INLINE vec vec_broadcast(float x)
{
    return _mm512_set1_ps(x);
}

INLINE vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

INLINE void vec_store(float *p, vec a)
{
    _mm512_storeu_ps(p, a);
}

INLINE __mmask16 vec_mask(int64_t n)
{
    return (__mmask16)(n <= 0 ? 0u : n >= VEC ? 0xffffu : (1u << n) - 1u);
}

INLINE vec vec_keep(vec a)
{
    __asm__("" : "+v"(a));
    return a;
}

INLINE vec vec_load_n(const float *p, int64_t n)
{
    return _mm512_maskz_loadu_ps(vec_mask(n), p);
}

INLINE void vec_store_n(float *p, vec a, int64_t n)
{
    _mm512_mask_storeu_ps(p, vec_mask(n), a);
}

INLINE void vec_store_apart(float *p, ptrdiff_t apart, vec a, int64_t n)
{
    if (apart != 2) {
        float lane[VEC];
        _mm512_storeu_ps(lane, a);
        for (int64_t i = 0; i < n && i < VEC; i++)
            p[i * apart] = lane[i];
        return;
    }
    /* Two halves, spread over the even lanes. */
    const __m512i first = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(VEC / 2));
    const uint32_t all = n < VEC ? (UINT32_C(1) << 2 * (n > 0 ? n : 0)) - 1 : UINT32_MAX;
    _mm512_mask_storeu_ps(p, (__mmask16)(all & 0x5555), _mm512_permutexvar_ps(first, a));
    _mm512_mask_storeu_ps(p + VEC, (__mmask16)(all >> VEC & 0x5555), _mm512_permutexvar_ps(second, a));
}

INLINE void vec_stream(float *p, vec a)
{
    _mm512_stream_ps(p, a);
}

static void vec_fence(void)
{
    _mm_sfence();
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

#define vec_fma_onto vec_fma

#define vec_scalar(p) vec_broadcast(*(p))
#define vec_fma_scalar_onto vec_fma_onto

INLINE vec vec_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

typedef struct {
    __m512d low, high;
} vec_wide;

INLINE vec_wide vec_wide_load(const double *p)
{
    return (vec_wide){_mm512_loadu_pd(p), _mm512_loadu_pd(p + VEC / 2)};
}

INLINE void vec_wide_store(double *p, vec_wide sum)
{
    _mm512_storeu_pd(p, sum.low);
    _mm512_storeu_pd(p + VEC / 2, sum.high);
}

INLINE vec_wide vec_wide_add(vec_wide sum, vec a)
{
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
    const __m512d high = _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1)));
    return (vec_wide){_mm512_add_pd(sum.low, low), _mm512_add_pd(sum.high, high)};
}

INLINE vec vec_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

INLINE vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

INLINE vec vec_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}

INLINE vec vec_abs(vec a)
{
    return _mm512_abs_ps(a);
}

/* min and max return their second operand if one of them is NaN. */
INLINE vec vec_clamp(vec a, vec lo, vec hi)
{
    return _mm512_min_ps(hi, _mm512_max_ps(lo, a));
}

INLINE vec vec_select_negative(vec a, vec yes, vec no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_LT_OQ), no, yes);
}

INLINE vec vec_round(vec a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

INLINE vec vec_scale(vec a, vec k)
{
    return _mm512_scalef_ps(a, k);
}

typedef __mmask16 vec_lanes;

INLINE vec_lanes vec_lanes_between(int32_t begin, int32_t end)
{
    return (__mmask16)((1u << end) - (1u << begin));
}

INLINE vec vec_load_lanes(const float *p, vec_lanes lanes)
{
    return _mm512_maskz_loadu_ps(lanes, p);
}

INLINE vec vec_load_lanes_over(vec a, const float *p, vec_lanes lanes)
{
    return _mm512_mask_loadu_ps(a, lanes, p);
}

typedef __m512i vec_index;

INLINE vec_index vec_index_load(const int32_t *p)
{
    return _mm512_loadu_si512(p);
}

INLINE vec vec_permute(vec a, vec_index index)
{
    return _mm512_permutexvar_ps(index, a);
}

/* Pairs, then quads within each 128-bit lane, then the 4 x 4 matrix of lanes. */
INLINE void vec_transpose(vec x[VEC])
{
    vec t[VEC];
    UNROLL for (int i = 0; i < VEC; i += 4)
    {
        const vec a = _mm512_unpacklo_ps(x[i], x[i + 1]), b = _mm512_unpackhi_ps(x[i], x[i + 1]);
        const vec c = _mm512_unpacklo_ps(x[i + 2], x[i + 3]), d = _mm512_unpackhi_ps(x[i + 2], x[i + 3]);
        t[i + 0] = _mm512_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    UNROLL for (int i = 0; i < 4; i++)
    {
        const vec a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
        const vec c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88), d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
        x[i + 0] = _mm512_shuffle_f32x4(a, c, 0x88);
        x[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        x[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}
