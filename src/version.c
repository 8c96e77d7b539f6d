/* version.c - the names of things. */
#include "faltung.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/* By way of int, because an enum may be unsigned. */
#define NAME(table, value, unknown)                                                                                            \
    ((int)(value) >= 0 && (int)(value) < (int)(sizeof(table) / sizeof *(table)) ? (table)[value] : (unknown))

const char *falt_version(void)
{
    return TEXT(FALT_VERSION_MAJOR) "." TEXT(FALT_VERSION_MINOR) "." TEXT(FALT_VERSION_PATCH);
}

const char *falt_status_string(falt_status status)
{
    static const char *const names[] = {
        [FALT_OK] = "ok",
        [FALT_INVALID_ARGUMENT] = "invalid argument",
        [FALT_TOO_LARGE] = "too large",
        [FALT_UNSUPPORTED] = "unsupported",
        [FALT_OUT_OF_MEMORY] = "out of memory",
        [FALT_WORKSPACE] = "unsuitable workspace or packed weights",
    };
    return NAME(names, status, "unknown status");
}

const char *falt_algorithm_name(falt_algorithm algorithm)
{
    static const char *const names[FALT_ALGO_COUNT] = {
        [FALT_ALGO_AUTO] = "auto",     [FALT_ALGO_REFERENCE] = "reference", [FALT_ALGO_DIRECT] = "direct",
        [FALT_ALGO_IM2COL] = "im2col", [FALT_ALGO_WINOGRAD] = "winograd",   [FALT_ALGO_DEPTHWISE] = "depthwise",
        [FALT_ALGO_DOTS] = "dots",
    };
    return NAME(names, algorithm, "unknown");
}

const char *falt_isa_name(falt_isa isa)
{
    static const char *const names[FALT_ISA_COUNT] = {
        [FALT_ISA_AUTO] = "auto",     [FALT_ISA_SCALAR] = "scalar", [FALT_ISA_AVX2] = "avx2",
        [FALT_ISA_AVX512] = "avx512", [FALT_ISA_NEON] = "neon",
    };
    return NAME(names, isa, "unknown");
}
