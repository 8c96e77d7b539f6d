/* compiler.h - what the kernels ask of the compiler beyond C11. */
#ifndef FALT_COMPILER_H
#define FALT_COMPILER_H

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))

/* Before a loop with a constant count: unroll it completely. Accumulators in an array become registers only if every loop that
 * indexes them vanishes. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

#define LIKELY(condition) __builtin_expect(!!(condition), 1)

/* What memory holds may have changed: nothing loaded before is kept. Stops gcc from hoisting more loads out of a loop than
 * there are registers. */
#define FORGET_MEMORY() __asm__ volatile("" ::: "memory")

/* The value of x is not to be known: nothing computed from it is shared with, or moved to, another place. */
#define FORGET_VALUE(x) __asm__ volatile("" : "+r"(x))

#endif
