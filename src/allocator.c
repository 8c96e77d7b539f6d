/* allocator.c - the caller's allocator, or malloc and free. */
#include "allocator.h"

#include <stdlib.h>

static void *allocate_default(void *context, size_t size, size_t alignment)
{
    (void)context;
    (void)alignment;
    return malloc(size); /* what we ask for is aligned by hand */
}

static void release_default(void *context, void *pointer)
{
    (void)context;
    free(pointer);
}

falt_allocator falt_allocator_of(const falt_options *options)
{
    return options && options->allocator.allocate ? options->allocator
                                                  : (falt_allocator){allocate_default, release_default, NULL};
}

void *falt_allocate(const falt_allocator *allocator, int64_t count, size_t size)
{
    if (count < 0 || (uint64_t)count > (uint64_t)PTRDIFF_MAX / size)
        return NULL;
    return allocator->allocate(allocator->context, count > 0 ? (size_t)count * size : size, sizeof(double));
}

void falt_release(const falt_allocator *allocator, void *pointer)
{
    if (pointer)
        allocator->release(allocator->context, pointer);
}
