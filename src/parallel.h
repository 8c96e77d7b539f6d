/* parallel.h - threads. parallel.c is the only file that knows OpenMP; without it everything runs in one thread. */
#ifndef FALT_PARALLEL_H
#define FALT_PARALLEL_H

#include <stdint.h>

#include "range.h"

/* One member's share of a parallel region: member in [0, members). */
typedef void parallel_body(void *context, int member, int members);

/* Calls body from at most `threads` threads at once and waits for all. There may be fewer members than threads (one inside of
 * a parallel region of the caller's); body must compute the same for any number. */
void falt_parallel(int threads, parallel_body *body, void *context);

/* Waits for all members of the region; every member must call it equally often. `members` as given to body: a lone member may
 * well be inside of a parallel region of the caller's, whose barrier is not ours. */
void falt_barrier(int members);

/* The number of threads that options.threads == 0 means now: OpenMP's default, 1 inside of a parallel region. */
int falt_default_threads(void);

/* Item range [*begin, *end) of a member: its share(). */
static inline void falt_share(int64_t items, int member, int members, int64_t *begin, int64_t *end)
{
    const struct range range = share(items, member, members);
    *begin = range.begin;
    *end = range.end;
}

#endif
