#include "cpu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../arch/detect.h"
#include "error.h"
#include "parallel.h"

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

/* A number of the system's, or the guess where it does not tell. */
static int64_t ask_system(int key, int64_t guess)
{
    const long answer = key >= 0 ? sysconf(key) : 0;
    return answer > 0 ? answer : guess;
}

/* One line of /sys/devices/system/cpu/cpu0/cache/index<index>/<what>; false where there is none. */
static bool cache_line(int index, const char *what, char *line, int size)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, what);
    FILE *file = fopen(path, "r");
    const bool read = file && fgets(line, size, file);
    if (file)
        fclose(file);
    return read;
}

/* Linux tells each cache as one core sees it; glibc's sysconf may tell the sum over all L3s of a socket instead (AMD). */
static int64_t cache_size(int level, int key, int64_t guess)
{
    char line[64];
    for (int index = 0; cache_line(index, "level", line, sizeof line); index++) {
        if (atoi(line) != level || !cache_line(index, "type", line, sizeof line) || line[0] == 'I' ||
            !cache_line(index, "size", line, sizeof line))
            continue;
        char *unit;
        const int64_t size = strtol(line, &unit, 10);
        if (size > 0)
            return *unit == 'M' ? size << 20 : *unit == 'K' ? size << 10 : size;
    }
    return ask_system(key, guess);
}

static void detect(void)
{
    detected.features = falt_cpu_features(detected.name);
#ifdef _SC_LEVEL1_DCACHE_SIZE
    detected.l1d = cache_size(1, _SC_LEVEL1_DCACHE_SIZE, 32 << 10);
    detected.l2 = cache_size(2, _SC_LEVEL2_CACHE_SIZE, 512 << 10);
    detected.l3 = cache_size(3, _SC_LEVEL3_CACHE_SIZE, 8 << 20);
#else
    detected.l1d = cache_size(1, -1, 32 << 10);
    detected.l2 = cache_size(2, -1, 512 << 10);
    detected.l3 = cache_size(3, -1, 8 << 20);
#endif
#ifdef _SC_NPROCESSORS_ONLN
    detected.cores = (int)ask_system(_SC_NPROCESSORS_ONLN, 1);
#else
    detected.cores = 1;
#endif
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
