#include "detect.h"
#include "kernels.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* The state components that the system saves at a context switch (XCR0). A CPU may have AVX-512 while the system does not save
 * its registers; cpuid alone does not tell. */
static uint32_t saved_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

uint32_t falt_cpu_features(char name[64])
{
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27 };                       /* leaf 1, ecx */
    enum { AVX2 = 1 << 5, F = 1 << 16, DQ = 1 << 17, BW = 1 << 30 }; /* leaf 7, ebx */
    const uint32_t VL = UINT32_C(1) << 31, YMM = 0x6, ZMM = 0xe6;
    uint32_t a, b, c, d, features = 0;

    name[0] = 0;
    if (__get_cpuid(0x80000004u, &a, &b, &c, &d)) {
        uint32_t brand[12];
        for (uint32_t i = 0; i < 3; i++)
            __get_cpuid(0x80000002u + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2], &brand[4 * i + 3]);
        const char *text = (const char *)brand;
        while (*text == ' ')
            text++;
        const size_t length = (size_t)((const char *)brand + sizeof brand - text);
        memcpy(name, text, length);
        name[length] = 0;
    }
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE) || !(c & FMA))
        return 0;
    const uint32_t saved = saved_state();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    if ((saved & YMM) == YMM && (b & AVX2))
        features |= CPU_AVX2;
    if ((saved & ZMM) == ZMM && (features & CPU_AVX2) && (b & F) && (b & DQ) && (b & BW) && (b & VL))
        features |= CPU_AVX512;
    return features;
}

#elif defined(__aarch64__)

/* Advanced SIMD is part of the armv8-a baseline that every aarch64 system guarantees. */
uint32_t falt_cpu_features(char name[64])
{
    name[0] = 0;
    return CPU_NEON;
}

#else

uint32_t falt_cpu_features(char name[64])
{
    name[0] = 0;
    return 0;
}

#endif
