#include "cpu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../arch/detect.h"
#include "error.h"
#include "parallel.h"
#include "system.h"

static struct cpu detected;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The name of each table, in falt_isa's numbers. */
static falt_isa isa_named(const char *name)
{
    for (int isa = FALT_ISA_SCALAR; isa < FALT_ISA_COUNT; isa++)
        if (strcmp(falt_isa_name((falt_isa)isa), name) == 0)
            return (falt_isa)isa;
    return FALT_ISA_AUTO;
}

/* Where the system does not tell. */
static int64_t or_else(int64_t told, int64_t guess)
{
    return told > 0 ? told : guess;
}

static void detect(void)
{
    detected.features = falt_cpu_features(detected.name);
    detected.l1d = or_else(falt_system_cache(1), 32 << 10);
    detected.l2 = or_else(falt_system_cache(2), 512 << 10);
    detected.cores = (int)or_else(falt_system_cores(), 1);
    /* A guest sees few of the cores that share an L3 with it; none has more for each of its cores. */
    const int64_t most = (int64_t)detected.cores * (16 << 20), l3 = or_else(falt_system_cache(3), 8 << 20);
    detected.l3 = l3 < most ? l3 : most;
    const char *cap = getenv("FALTUNG_ISA");
    detected.cap = cap ? isa_named(cap) : FALT_ISA_AUTO;
}

const struct cpu *falt_detect(void)
{
    pthread_once(&once, detect);
    return &detected;
}

falt_isa falt_isa_of(const struct kernels *kernels)
{
    return isa_named(kernels->name);
}

const struct kernels *falt_kernels_of(falt_isa isa)
{
    const struct cpu *cpu = falt_detect();
    for (const struct kernels *const *table = falt_kernels_tables; *table; table++)
        if (falt_isa_of(*table) == isa && ((*table)->needs & ~cpu->features) == 0)
            return *table;
    return NULL;
}

/* Tables run from the best to the scalar one, so a cap is "this one or a later one". */
static const struct kernels *best_from(falt_isa cap)
{
    const struct cpu *cpu = falt_detect();
    bool below = cap == FALT_ISA_AUTO;
    for (const struct kernels *const *table = falt_kernels_tables; *table; table++) {
        below = below || falt_isa_of(*table) == cap;
        if (below && ((*table)->needs & ~cpu->features) == 0)
            return *table;
    }
    return NULL;
}

static int rank(const struct kernels *kernels)
{
    int i = 0;
    while (falt_kernels_tables[i] != kernels)
        i++;
    return i;
}

const struct kernels *falt_kernels(falt_isa cap)
{
    if (cap != FALT_ISA_AUTO && !falt_kernels_of(cap))
        return NULL;
    const struct kernels *by_option = best_from(cap);
    const struct kernels *by_environment = best_from(falt_detect()->cap);
    if (!by_environment) /* names an instruction set that is not there: no cap */
        return by_option;
    return rank(by_environment) > rank(by_option) ? by_environment : by_option;
}

falt_status falt_cpu_info(falt_cpu *cpu)
{
    if (!cpu)
        return falt_fail(FALT_INVALID_ARGUMENT, "cpu is NULL");
    if (cpu->struct_size != sizeof *cpu)
        return falt_fail(FALT_INVALID_ARGUMENT, "struct_size %zu is not sizeof(falt_cpu) %zu", cpu->struct_size, sizeof *cpu);
    const struct cpu *found = falt_detect();
    cpu->isa = falt_isa_of(falt_kernels(FALT_ISA_AUTO));
    cpu->isas = 0;
    for (int isa = FALT_ISA_SCALAR; isa < FALT_ISA_COUNT; isa++)
        if (falt_kernels_of((falt_isa)isa))
            cpu->isas |= UINT32_C(1) << isa;
    cpu->threads = falt_default_threads();
    cpu->l1d = found->l1d;
    cpu->l2 = found->l2;
    cpu->l3 = found->l3;
    memcpy(cpu->name, found->name, sizeof cpu->name);
    return FALT_OK;
}
