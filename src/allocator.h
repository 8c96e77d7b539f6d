/* allocator.h - the caller's allocator, or malloc and free. */
#ifndef FALT_ALLOCATOR_H
#define FALT_ALLOCATOR_H

#include "faltung.h"

/* The options' allocator, the default one where they name none; options may be NULL. */
falt_allocator falt_allocator_of(const falt_options *options);

/* count elements of `size` bytes; NULL when out of memory or if they do not fit size_t. Never for 0 bytes. */
void *falt_allocate(const falt_allocator *allocator, int64_t count, size_t size);

/* NULL is allowed. */
void falt_release(const falt_allocator *allocator, void *pointer);

#endif
