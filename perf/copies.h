/*
 * copies.h - the same weights again and again, at another place each time.
 *
 * A loop over one layer keeps its weights in cache, and flatters: in a network they come from memory, as all other layers'
 * weights have passed through the caches since. So that they do here, copies are made, four times what the last-level cache
 * holds in all (at least two, however large they are), and handed out in turn. Neighbours in the order of use are not
 * neighbours in memory, as a prefetcher that runs on from one copy into the next would find what it needs in a network only by
 * luck.
 */
#ifndef PERF_COPIES_H
#define PERF_COPIES_H

#include <stdbool.h>
#include <stddef.h>

struct copies {           /* all zero in the beginning */
    unsigned char *first; /* the caller's block, if it is the only one */
    size_t stride, count, step, next;
    void *memory; /* kept from one block to the next: new pages can cost more than what is measured */
    size_t memory_size;
};

/* From now on hands out copies of this block or, not being cold, the block itself, which stays the caller's. False when out of
 * memory. */
bool copies_make(struct copies *copies, void *block, size_t size, bool cold);
void *copies_next(struct copies *copies);
void copies_free(struct copies *copies);

#endif
