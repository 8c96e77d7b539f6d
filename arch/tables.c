/* tables.c - the kernels that this build has. */
#include "kernels.h"

extern const struct kernels falt_kernels_scalar, falt_kernels_avx2, falt_kernels_avx512, falt_kernels_neon;

const struct kernels *const falt_kernels_tables[] = {
#ifdef HAVE_KERNELS_AVX512
    &falt_kernels_avx512,
#endif
#ifdef HAVE_KERNELS_AVX2
    &falt_kernels_avx2,
#endif
#ifdef HAVE_KERNELS_NEON
    &falt_kernels_neon,
#endif
#ifdef HAVE_KERNELS_SCALAR
    &falt_kernels_scalar,
#endif
    NULL,
};
