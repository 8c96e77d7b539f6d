/*
 * denormals.h - whether a thread's arithmetic keeps numbers below 2^-126 or takes them for zeros.
 *
 * x86 hands a multiply-add with such an operand or result to microcode: a convolution of them took 100 to 200 times as long
 * (measured, Intel Xeon). Decaying signals, and weights on their way to zero, are full of them.
 */
#ifndef FALT_DENORMALS_H
#define FALT_DENORMALS_H

#include <stdint.h>

#if defined(__SSE__)

#include <xmmintrin.h>

enum { DENORMALS = 1 << 15 | 1 << 6 }; /* of MXCSR: flush to zero, denormals are zeros */

static inline uint64_t denormals_state(void)
{
    return _mm_getcsr();
}

static inline void denormals_set(uint64_t state)
{
    _mm_setcsr((unsigned)state);
}

#elif defined(__aarch64__)

enum { DENORMALS = 1 << 24 }; /* of FPCR: FZ */

static inline uint64_t denormals_state(void)
{
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    return state;
}

static inline void denormals_set(uint64_t state)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(state));
}

#else /* kept */

enum { DENORMALS = 0 };

static inline uint64_t denormals_state(void)
{
    return 0;
}

static inline void denormals_set(uint64_t state)
{
    (void)state;
}

#endif

/* From here on they are zeros. Returns what denormals_restore wants. */
static inline uint64_t denormals_to_zero(void)
{
    const uint64_t state = denormals_state();
    if ((state & DENORMALS) != DENORMALS)
        denormals_set(state | DENORMALS);
    return state & DENORMALS;
}

/* As before; exceptions raised since then stay raised. */
static inline void denormals_restore(uint64_t before)
{
    if (before != DENORMALS)
        denormals_set((denormals_state() & ~(uint64_t)DENORMALS) | before);
}

#endif
