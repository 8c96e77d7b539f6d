/* distances.h - addresses at distances that stay in registers, where the compiler would add step by step. */

/* Bytes from an element to those behind it, which are `step` floats apart, for a constant count. Not to be known for multiples
 * of each other: gcc would compute one from the other again for each access, one a cycle, which is slower than the accesses. */
INLINE void distances(ptrdiff_t step, const int count, ptrdiff_t *apart)
{
    enum { MOST = 8 };
    UNROLL for (int i = 0; i < MOST; i++)
    {
        if (i >= count)
            continue;
        apart[i] = i * step * (ptrdiff_t)sizeof(float);
        if (i > 1)
            FORGET_VALUE(apart[i]);
    }
}

INLINE float *floats_behind(const float *x, ptrdiff_t bytes)
{
    return (float *)((const char *)x + bytes); /* may be written where x may */
}
