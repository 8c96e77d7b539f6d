/* vec_neon.h - the vector vocabulary (vec_scalar.h explains it) for AArch64 Advanced SIMD: 32 registers of 4 floats. */
#include <arm_neon.h>
#include "compiler.h"

enum { VEC = 4 };

#define KERNELS_NEEDS CPU_NEON
#define GEMM_ROWS_1 14
#define GEMM_ROWS_2 9
#define GEMM_ROWS_3 7
#define GEMM_ROWS_4 5
#define GEMM_LANES 4
#define BURN_CHAINS 24
#define DEPTHWISE_TALL_ROWS 14
#define DEPTHWISE_SHORT_ROWS 7
#define DEPTHWISE_DOWN 3
#define DEPTHWISE_ALIKE 1
#define DOTS_SUMS 16
#define WINDOW_REGISTERS 32
#define WINDOW_PAIRS 0

typedef float32x4_t vec;

INLINE vec vec_zero(void)
{
    return vdupq_n_f32(0.0f);
}

INLINE vec vec_broadcast(float x)
{
    return vdupq_n_f32(x);
}

INLINE vec vec_load(const float *p)
{
    return vld1q_f32(p);
}

INLINE void vec_store(float *p, vec a)
{
    vst1q_f32(p, a);
}

/* a[lane] * b + c */
INLINE vec vec_fma_lane(vec a, int lane, vec b, vec c)
{
    switch (lane) { /* a constant where this is inlined, and must be one in the intrinsic */
    case 0:
        return vfmaq_laneq_f32(c, b, a, 0);
    case 1:
        return vfmaq_laneq_f32(c, b, a, 1);
    case 2:
        return vfmaq_laneq_f32(c, b, a, 2);
    default:
        return vfmaq_laneq_f32(c, b, a, 3);
    }
}

/* a, in a register of its own from now on. */
INLINE vec vec_pin(vec a)
{
    __asm__("" : "+w"(a));
    return a;
}

/* No multiply-add loads for itself here. */
INLINE vec vec_keep(vec a)
{
    return a;
}

INLINE vec vec_load_n(const float *p, int64_t n)
{
    if (n >= VEC)
        return vld1q_f32(p);
    vec a = vec_zero();
    if (n >= 2)
        a = vcombine_f32(vld1_f32(p), vdup_n_f32(0.0f));
    if (n == 3)
        a = vld1q_lane_f32(p + 2, a, 2);
    if (n == 1)
        a = vld1q_lane_f32(p, a, 0);
    return a;
}

INLINE void vec_store_apart(float *p, ptrdiff_t apart, vec a, int64_t n)
{
    if (n > 0)
        vst1q_lane_f32(p, a, 0);
    if (n > 1)
        vst1q_lane_f32(p + apart, a, 1);
    if (n > 2)
        vst1q_lane_f32(p + 2 * apart, a, 2);
    if (n > 3)
        vst1q_lane_f32(p + 3 * apart, a, 3);
}

INLINE void vec_store_n(float *p, vec a, int64_t n)
{
    if (n >= VEC) {
        vst1q_f32(p, a);
        return;
    }
    if (n >= 2)
        vst1_f32(p, vget_low_f32(a));
    if (n == 3)
        vst1q_lane_f32(p + 2, a, 2);
    if (n == 1)
        vst1q_lane_f32(p, a, 0);
}

INLINE void vec_stream(float *p, vec a)
{
    vec_store(p, a);
}

static void vec_fence(void)
{
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    return vfmaq_f32(c, a, b);
}

#ifdef __clang__
#define vec_fma_onto vec_fma
#define vec_scalar(p) vec_broadcast(*(p))
#define vec_fma_scalar_onto vec_fma
#else
/* gcc keeps some sums of a loop with several ways through it in two registers, and copies them there and back each turn. (Clang
 * does not, and with assembler in them takes blocks for too long to unroll.) */
INLINE vec vec_fma_onto(vec a, vec b, vec c)
{
    __asm__("fmla %0.4s, %1.4s, %2.4s" : "+w"(c) : "w"(a), "w"(b));
    return c;
}

/* In C the other lanes would have to be set. */
INLINE vec vec_scalar(const float *p)
{
    vec a;
    __asm__("ldr %s0, %1" : "=w"(a) : "m"(*p));
    return a;
}

INLINE vec vec_fma_scalar_onto(vec a, vec b, vec c)
{
    __asm__("fmla %0.4s, %1.4s, %2.s[0]" : "+w"(c) : "w"(a), "w"(b));
    return c;
}
#endif

INLINE vec vec_add(vec a, vec b)
{
    return vaddq_f32(a, b);
}

typedef float64x2x2_t vec_wide;

INLINE vec_wide vec_wide_load(const double *p)
{
    return (vec_wide){{vld1q_f64(p), vld1q_f64(p + 2)}};
}

INLINE void vec_wide_store(double *p, vec_wide sum)
{
    vst1q_f64(p, sum.val[0]);
    vst1q_f64(p + 2, sum.val[1]);
}

INLINE vec_wide vec_wide_add(vec_wide sum, vec a)
{
    return (vec_wide){{vaddq_f64(sum.val[0], vcvt_f64_f32(vget_low_f32(a))), vaddq_f64(sum.val[1], vcvt_high_f64_f32(a))}};
}

INLINE vec vec_sub(vec a, vec b)
{
    return vsubq_f32(a, b);
}

INLINE vec vec_mul(vec a, vec b)
{
    return vmulq_f32(a, b);
}

INLINE vec vec_div(vec a, vec b)
{
    return vdivq_f32(a, b);
}

INLINE vec vec_abs(vec a)
{
    return vabsq_f32(a);
}

/* fmin and fmax propagate NaN. */
INLINE vec vec_clamp(vec a, vec lo, vec hi)
{
    return vminq_f32(vmaxq_f32(a, lo), hi);
}

INLINE vec vec_select_negative(vec a, vec yes, vec no)
{
    return vbslq_f32(vcltzq_f32(a), yes, no);
}

INLINE vec vec_round(vec a)
{
    return vrndnq_f32(a);
}

INLINE vec vec_power_of_two(int32x4_t k)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(k, vdupq_n_s32(127)), 23));
}

/* In two steps, so that each factor is a normal number. */
INLINE vec vec_scale(vec a, vec k)
{
    const int32x4_t n = vcvtq_s32_f32(k), half = vshrq_n_s32(n, 1);
    return vmulq_f32(vmulq_f32(a, vec_power_of_two(half)), vec_power_of_two(vsubq_s32(n, half)));
}

/* Where each lane is loaded from, one inside where it is itself outside, and which are inside. No branch and nothing on the
 * stack: gcc would keep all sums of the loop around it there, too. */
typedef struct {
    int32_t from[4];
    uint32x4_t inside;
} vec_lanes;

INLINE int32_t vec_lane_between(int32_t lane, int32_t begin, int32_t end)
{
    return lane < begin ? begin : lane >= end ? end - 1 : lane;
}

INLINE vec_lanes vec_lanes_between(int32_t begin, int32_t end)
{
    static const int32_t lanes[VEC] = {0, 1, 2, 3};
    const int32x4_t lane = vld1q_s32(lanes);
    return (vec_lanes){{vec_lane_between(0, begin, end), vec_lane_between(1, begin, end), vec_lane_between(2, begin, end),
                        vec_lane_between(3, begin, end)},
                       vandq_u32(vcgeq_s32(lane, vdupq_n_s32(begin)), vcltq_s32(lane, vdupq_n_s32(end)))};
}

INLINE vec vec_load_lanes(const float *p, vec_lanes lanes)
{
    vec a = vld1q_dup_f32(p + lanes.from[0]);
    a = vld1q_lane_f32(p + lanes.from[1], a, 1);
    a = vld1q_lane_f32(p + lanes.from[2], a, 2);
    a = vld1q_lane_f32(p + lanes.from[3], a, 3);
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), lanes.inside));
}

INLINE vec vec_load_lanes_over(vec a, const float *p, vec_lanes lanes)
{
    return vbslq_f32(lanes.inside, vec_load_lanes(p, lanes), a);
}

typedef uint8x16_t vec_index; /* of bytes */

INLINE vec_index vec_index_load(const int32_t *p)
{
    return vreinterpretq_u8_u32(vmlaq_n_u32(vdupq_n_u32(0x03020100u), vreinterpretq_u32_s32(vld1q_s32(p)), 0x04040404u));
}

INLINE vec vec_permute(vec a, vec_index index)
{
    return vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(a), index));
}

/* Pairs, then quads. */
INLINE void vec_transpose(vec x[VEC])
{
    const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(x[0], x[1])), b = vreinterpretq_f64_f32(vtrn2q_f32(x[0], x[1]));
    const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(x[2], x[3])), d = vreinterpretq_f64_f32(vtrn2q_f32(x[2], x[3]));
    x[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
    x[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    x[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
    x[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}
