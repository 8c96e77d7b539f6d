/* burn.h - nothing but multiply-adds: the machine's peak, the thing to compare kernels with. */

enum { BURN_STEPS = 1000 / BURN_CHAINS };

#define EACH_CHAIN UNROLL for (int i = 0; i < BURN_CHAINS; i++)

/* Each chain is x += x * 2^-30, which rounds to x: no overflow, nothing subnormal, and the destination is an operand, as Arm's
 * fmla wants it. Volatile: the compiler must not know the factor. */
static double burn(int64_t rounds, float *sink)
{
    volatile float tiny = 0x1p-30f;
    const vec factor = vec_broadcast(tiny);
    vec chain[BURN_CHAINS];
    EACH_CHAIN chain[i] = vec_broadcast((float)(i + 1));
    for (int64_t round = 0; round < rounds; round++) {
        for (int step = 0; step < BURN_STEPS; step++)
            EACH_CHAIN chain[i] = vec_fma(chain[i], factor, chain[i]);
    }
    vec sum = vec_zero();
    EACH_CHAIN sum = vec_add(sum, chain[i]);
    float lanes[VEC];
    vec_store(lanes, sum);
    *sink = 0.0f;
    for (int i = 0; i < VEC; i++)
        *sink += lanes[i];
    return 2.0 * VEC * BURN_CHAINS * BURN_STEPS * (double)rounds;
}
