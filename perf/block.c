#include "block.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#include <sys/prctl.h>
#endif

/* A block is two lines behind where its memory begins, or a little less: room for `origin`, in the bytes before it. */
enum { LINE = 64, HUGE_PAGE = 2 << 20, LEAST_HUGE = HUGE_PAGE / 4 };

struct origin {
    void *begin;
    size_t mapped; /* 0: by malloc */
};

/* A mapping of its own: what malloc gives may have been touched before, as small pages. But around malloc's blocks the address
 * sanitizer has its guards. */
static void *map(size_t size)
{
#if defined MADV_HUGEPAGE && !defined __SANITIZE_ADDRESS__
    void *begin = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (begin == MAP_FAILED)
        return NULL;
    (void)madvise(begin, size, MADV_HUGEPAGE); /* refused, it is memory all the same */
    return begin;
#else
    (void)size;
    return NULL;
#endif
}

void *block_allocate(size_t size)
{
    if (size > SIZE_MAX - 3 * (size_t)HUGE_PAGE)
        return NULL;
    struct origin origin = {NULL, 0};
    char *first = NULL;
    if (size >= LEAST_HUGE) {
        /* One huge page more than it takes: Linux did not align such mappings before 6.7. */
        origin.mapped = (size + 2 * LINE + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE + HUGE_PAGE;
        origin.begin = map(origin.mapped);
        if (origin.begin)
            first = (char *)origin.begin + (HUGE_PAGE - (uintptr_t)origin.begin % HUGE_PAGE) % HUGE_PAGE;
    }
    if (origin.begin == NULL) {
        origin = (struct origin){malloc(size + 2 * LINE), 0};
        first = origin.begin;
    }
    if (first == NULL)
        return NULL;
    char *const block = first + 2 * LINE - (uintptr_t)first % LINE;
    memcpy(block - sizeof origin, &origin, sizeof origin);
    return block;
}

void block_release(void *block)
{
    if (block == NULL)
        return;
    struct origin origin;
    memcpy(&origin, (const char *)block - sizeof origin, sizeof origin);
#ifdef __linux__
    if (origin.mapped > 0)
        munmap(origin.begin, origin.mapped);
    else
#endif
        free(origin.begin);
}

void block_use_small_pages(void)
{
#ifdef PR_SET_THP_DISABLE
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
#endif
}
