/* arithmetic.h - small arithmetic that every solver needs, of integers and addresses. */
#ifndef FALT_ARITHMETIC_H
#define FALT_ARITHMETIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Of a division that rounds down: 0 ... b - 1. */
static inline int64_t remainder_of(int64_t a, int64_t b)
{
    const int64_t r = a % b;
    return r < 0 ? r + b : r;
}

static inline int64_t common_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static inline bool inside(int64_t position, int64_t size)
{
    return (uint64_t)position < (uint64_t)size; /* one comparison: a negative position is a huge one */
}

/* Bytes in whole cache lines. */
static inline size_t round_to_lines(size_t size)
{
    return (size + 63) / 64 * 64;
}

/* Asks for the cache lines of `count` floats that are soon written. */
static inline void prefetch(const float *from, int64_t count)
{
    enum { LINE = 64 / sizeof(float) };
    for (int64_t i = 0; i < count; i += LINE)
        __builtin_prefetch(from + i, 1);
    __builtin_prefetch(from + count - 1, 1);
}

#endif
