/* vec_avx2.h - the vector vocabulary (vec_scalar.h explains it) for AVX2 and FMA: 16 registers of 8 floats. */
#include <immintrin.h>
#include "compiler.h"

enum { VEC = 8 };

#define KERNELS_NEEDS CPU_AVX2
#define GEMM_ROWS_1 12
#define GEMM_ROWS_2 6
#define GEMM_ROWS_3 4
#define GEMM_ROWS_4 2
#define GEMM_AHEAD 1024
#define GEMM_STEPS 4
#define BURN_CHAINS 12
#define DEPTHWISE_TALL_ROWS 7
#define DEPTHWISE_SHORT_ROWS 4
#define DEPTHWISE_DOWN 1
#define DEPTHWISE_ALIKE 2
#define DOTS_SUMS 12
#define WINDOW_REGISTERS 16
#define WINDOW_PAIRS 0

typedef __m256 vec;

INLINE vec vec_zero(void)
{
    return _mm256_setzero_ps();
}

INLINE vec vec_broadcast(float x)
{
    return _mm256_set1_ps(x);
}

INLINE vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

INLINE void vec_store(float *p, vec a)
{
    _mm256_storeu_ps(p, a);
}

/* A window that slides over ones followed by zeros. */
INLINE __m256i vec_mask(int64_t n)
{
    static const int32_t window[2 * VEC] = {-1, -1, -1, -1, -1, -1, -1, -1};
    n = n < 0 ? 0 : n > VEC ? VEC : n;
    return _mm256_loadu_si256((const __m256i *)(const void *)(window + VEC - n));
}

INLINE vec vec_keep(vec a)
{
    __asm__("" : "+x"(a));
    return a;
}

INLINE vec vec_load_n(const float *p, int64_t n)
{
    return _mm256_maskload_ps(p, vec_mask(n));
}

INLINE void vec_store_apart(float *p, ptrdiff_t apart, vec a, int64_t n)
{
    if (n < VEC) {
        float lane[VEC];
        _mm256_storeu_ps(lane, a);
        for (int64_t i = 0; i < n; i++)
            p[i * apart] = lane[i];
        return;
    }
    UNROLL for (int half = 0; half < 2; half++, p += 4 * apart)
    {
        const __m128 part = half ? _mm256_extractf128_ps(a, 1) : _mm256_castps256_ps128(a);
        _mm_store_ss(p, part);
        _mm_store_ss(p + apart, _mm_movehdup_ps(part));
        _mm_store_ss(p + 2 * apart, _mm_unpackhi_ps(part, part));
        _mm_store_ss(p + 3 * apart, _mm_shuffle_ps(part, part, 0xff));
    }
}

/* By parts: a masked store is 19 micro-operations and more on Zen 2 to 4. */
INLINE void vec_store_n(float *p, vec a, int64_t n)
{
    if (n >= VEC) {
        _mm256_storeu_ps(p, a);
        return;
    }
    __m128 part = _mm256_castps256_ps128(a);
    if (n < 1)
        return;
    if (n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(a, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (n & 1)
        _mm_store_ss(p, part);
}

INLINE void vec_stream(float *p, vec a)
{
    _mm256_stream_ps(p, a);
}

static void vec_fence(void)
{
    _mm_sfence();
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

INLINE vec vec_fma_onto(vec a, vec b, vec c)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
    return c;
}

#define vec_scalar(p) vec_broadcast(*(p))
#define vec_fma_scalar_onto vec_fma_onto

INLINE vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

typedef struct {
    __m256d low, high;
} vec_wide;

INLINE vec_wide vec_wide_load(const double *p)
{
    return (vec_wide){_mm256_loadu_pd(p), _mm256_loadu_pd(p + VEC / 2)};
}

INLINE void vec_wide_store(double *p, vec_wide sum)
{
    _mm256_storeu_pd(p, sum.low);
    _mm256_storeu_pd(p + VEC / 2, sum.high);
}

INLINE vec_wide vec_wide_add(vec_wide sum, vec a)
{
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(a));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
    return (vec_wide){_mm256_add_pd(sum.low, low), _mm256_add_pd(sum.high, high)};
}

INLINE vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

INLINE vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

INLINE vec vec_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}

INLINE vec vec_abs(vec a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

/* min and max return their second operand if one of them is NaN. */
INLINE vec vec_clamp(vec a, vec lo, vec hi)
{
    return _mm256_min_ps(hi, _mm256_max_ps(lo, a));
}

INLINE vec vec_select_negative(vec a, vec yes, vec no)
{
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_LT_OQ));
}

INLINE vec vec_round(vec a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

INLINE vec vec_power_of_two(__m256i k)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(k, _mm256_set1_epi32(127)), 23));
}

/* In two steps, so that each factor is a normal number. */
INLINE vec vec_scale(vec a, vec k)
{
    const __m256i n = _mm256_cvtps_epi32(k), half = _mm256_srai_epi32(n, 1);
    return _mm256_mul_ps(_mm256_mul_ps(a, vec_power_of_two(half)), vec_power_of_two(_mm256_sub_epi32(n, half)));
}

typedef __m256i vec_lanes;

INLINE vec_lanes vec_lanes_between(int32_t begin, int32_t end)
{
    return _mm256_andnot_si256(vec_mask(begin), vec_mask(end));
}

INLINE vec vec_load_lanes(const float *p, vec_lanes lanes)
{
    return _mm256_maskload_ps(p, lanes);
}

INLINE vec vec_load_lanes_over(vec a, const float *p, vec_lanes lanes)
{
    return _mm256_blendv_ps(a, _mm256_maskload_ps(p, lanes), _mm256_castsi256_ps(lanes));
}

typedef __m256i vec_index;

INLINE vec_index vec_index_load(const int32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

INLINE vec vec_permute(vec a, vec_index index)
{
    return _mm256_permutevar8x32_ps(a, index);
}

/* Pairs, then quads within each 128-bit lane, then the lanes. */
INLINE void vec_transpose(vec x[VEC])
{
    vec t[VEC];
    UNROLL for (int i = 0; i < VEC; i += 4)
    {
        const vec a = _mm256_unpacklo_ps(x[i], x[i + 1]), b = _mm256_unpackhi_ps(x[i], x[i + 1]);
        const vec c = _mm256_unpacklo_ps(x[i + 2], x[i + 3]), d = _mm256_unpackhi_ps(x[i + 2], x[i + 3]);
        t[i + 0] = _mm256_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    UNROLL for (int i = 0; i < 4; i++)
    {
        x[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}
