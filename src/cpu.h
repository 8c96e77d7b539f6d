/* cpu.h - what machine this is, found out once. */
#ifndef FALT_CPU_H
#define FALT_CPU_H

#include "../arch/kernels.h"
#include "faltung.h"

struct cpu {
    uint32_t features;   /* CPU_* */
    int64_t l1d, l2, l3; /* bytes */
    int cores;
    char name[64];
    falt_isa cap; /* from FALTUNG_ISA, or FALT_ISA_AUTO */
};

/* Thread-safe; detects at the first call. */
const struct cpu *falt_detect(void);

/* The best table that the CPU can run and that is not beyond the cap (and FALTUNG_ISA); NULL if the cap itself cannot run here.
 */
const struct kernels *falt_kernels(falt_isa cap);

/* The table of just this instruction set, or NULL if this build or this CPU lacks it. FALTUNG_ISA does not apply. */
const struct kernels *falt_kernels_of(falt_isa isa);

falt_isa falt_isa_of(const struct kernels *kernels);

#endif
