#include "system.h"

#ifdef _WIN32
#include <stdlib.h>
#include <windows.h>

int64_t falt_system_cache(int level)
{
    DWORD size = 0;
    GetLogicalProcessorInformation(NULL, &size);
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION *all = malloc(size);
    int64_t found = 0;
    if (all && GetLogicalProcessorInformation(all, &size)) {
        for (DWORD i = 0; i < size / sizeof *all && !found; i++) {
            const CACHE_DESCRIPTOR *cache = &all[i].Cache;
            if (all[i].Relationship == RelationCache && cache->Level == level && cache->Type != CacheInstruction)
                found = cache->Size;
        }
    }
    free(all);
    return found;
}

int falt_system_cores(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return (int)info.dwNumberOfProcessors;
}

int64_t falt_system_memory(void)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? (int64_t)status.ullTotalPhys : 0;
}

#else
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The keys that POSIX does not name. */
#ifdef _SC_LEVEL1_DCACHE_SIZE
static const int cache_key[] = {-1, _SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
#else
static const int cache_key[] = {-1, -1, -1, -1};
#endif
#ifdef _SC_NPROCESSORS_ONLN
static const int cores_key = _SC_NPROCESSORS_ONLN;
#else
static const int cores_key = -1;
#endif
#ifdef _SC_PHYS_PAGES
static const int pages_key = _SC_PHYS_PAGES;
#else
static const int pages_key = -1;
#endif

static int64_t ask(int key)
{
    const long answer = key >= 0 ? sysconf(key) : 0;
    return answer > 0 ? answer : 0;
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
int64_t falt_system_cache(int level)
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
    return ask(cache_key[level]);
}

int falt_system_cores(void)
{
    return (int)ask(cores_key);
}

int64_t falt_system_memory(void)
{
    return ask(pages_key) * ask(_SC_PAGESIZE);
}
#endif
