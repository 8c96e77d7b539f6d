/* block.h - blocks for tensors, weights and workspaces of both sides of a comparison. */
#ifndef PERF_BLOCK_H
#define PERF_BLOCK_H

#include <stddef.h>

/* 64-byte aligned, never for 0 bytes; NULL when out of memory. Large ones are in huge pages where the system grants them: a
 * page of 4 KiB is read in less time than it may take to look it up, and speeds would depend on where pages happen to lie. */
void *block_allocate(size_t size);
void block_release(void *block);

/* No huge pages in this process from now on. */
void block_use_small_pages(void);

#endif
