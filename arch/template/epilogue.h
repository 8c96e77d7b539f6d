/* epilogue.h - what happens to finished sums: clamp and activation (struct epilogue), the same for every kernel. */
#include <string.h>

/* Not worth a pass over the tile: two more instructions for each store are 3 % of a shallow sum. Compared as integers: floats
 * would queue behind the multiply-adds. */
INLINE int epilogue_clamps(const struct epilogue *epilogue)
{
    uint32_t lo, hi;
    memcpy(&lo, &epilogue->lo, sizeof lo);
    memcpy(&hi, &epilogue->hi, sizeof hi);
    return lo != 0xff800000 || hi != 0x7f800000;
}

/* e^x to about 1 ulp, x <= 0, 0 from x = -104 on: x = k * ln 2 + r, the polynomial in r is Cephes' expf (Moshier). ln 2 comes
 * in two parts, the first so short that k times it is exact. */
INLINE vec vec_exp_negative(vec x)
{
    x = vec_clamp(x, vec_broadcast(-104.0f), vec_zero());
    const vec k = vec_round(vec_mul(x, vec_broadcast(1.44269504088896341f)));
    vec r = vec_fma(k, vec_broadcast(-0.693359375f), x);
    r = vec_fma(k, vec_broadcast(2.12194440e-4f), r);
    vec p = vec_broadcast(1.9875691500e-4f);
    p = vec_fma(p, r, vec_broadcast(1.3981999507e-3f));
    p = vec_fma(p, r, vec_broadcast(8.3334519073e-3f));
    p = vec_fma(p, r, vec_broadcast(4.1665795894e-2f));
    p = vec_fma(p, r, vec_broadcast(1.6666665459e-1f));
    p = vec_fma(p, r, vec_broadcast(5.0000001201e-1f));
    p = vec_fma(p, vec_mul(r, r), r);
    return vec_scale(vec_add(p, vec_broadcast(1.0f)), k);
}

/* Through e^-|x|, which cannot overflow: 1 / (1 + e^-x) on the right, e^x / (1 + e^x) on the left. */
INLINE vec vec_sigmoid(vec x)
{
    const vec e = vec_exp_negative(vec_sub(vec_zero(), vec_abs(x))), one = vec_broadcast(1.0f);
    return vec_div(vec_select_negative(x, e, one), vec_add(one, e));
}

INLINE vec vec_hardswish(vec x)
{
    const vec gate = vec_clamp(vec_add(x, vec_broadcast(3.0f)), vec_zero(), vec_broadcast(6.0f));
    return vec_mul(x, vec_mul(gate, vec_broadcast(1.0f / 6.0f)));
}

INLINE vec vec_finish(vec x, const struct epilogue *epilogue)
{
    x = vec_clamp(x, vec_broadcast(epilogue->lo), vec_broadcast(epilogue->hi));
    switch (epilogue->activation) {
    case ACTIVATE_LEAKY:
        return vec_select_negative(x, vec_mul(x, vec_broadcast(epilogue->alpha)), x);
    case ACTIVATE_SIGMOID:
        return vec_sigmoid(x);
    case ACTIVATE_SILU:
        return vec_mul(x, vec_sigmoid(x));
    case ACTIVATE_HARDSWISH:
        return vec_hardswish(x);
    default:
        return x;
    }
}

NOINLINE void finish(float *x, int64_t n, const struct epilogue *epilogue)
{
    for (int64_t i = 0; i < n; i += VEC)
        vec_store_n(x + i, vec_finish(vec_load_n(x + i, n - i), epilogue), n - i);
}
