#include "copies.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "../src/system.h"
#include "block.h"
#include "faltung.h"

/* Copies of less than a page get one each. They then meet in few sets of each cache, so that fewer are needed to be always
 * cold. */
enum { LINE = 64, PAGE = 4096 };

static size_t greatest_common_divisor(size_t a, size_t b)
{
    while (b != 0) {
        const size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Four times the last-level cache, but no more than an eighth of the memory. */
static double total_bytes(void)
{
    falt_cpu cpu = {.struct_size = sizeof cpu};
    const double cache = falt_cpu_info(&cpu) == FALT_OK ? (double)cpu.l3 : 0;
    const double memory = (double)falt_system_memory() / 8;
    return memory > 0 && 4 * cache > memory ? memory : 4 * cache;
}

static bool reserve(struct copies *c, size_t size)
{
    if (size <= c->memory_size)
        return true;
    block_release(c->memory);
    c->memory = block_allocate(size);
    c->memory_size = c->memory != NULL ? size : 0;
    return c->memory != NULL;
}

bool copies_make(struct copies *c, void *block, size_t size, bool cold)
{
    c->first = block;
    c->count = 1;
    c->stride = c->step = c->next = 0;
    if (!cold || size == 0)
        return true;
    const size_t stride = size < PAGE ? PAGE : (size + LINE - 1) / LINE * LINE;
    const double wanted = total_bytes() / (double)stride;
    const size_t count = wanted > 2 ? (size_t)wanted + 1 : 2;
    if (stride < size || count > SIZE_MAX / stride || !reserve(c, count * stride))
        return false;
    c->first = c->memory;
    for (size_t i = 0; i < count; i++)
        memcpy(c->first + i * stride, block, size);
    /* A step that has no divisor in common with the count visits all; one near its golden section scatters them best. */
    size_t step = (size_t)((double)count * 0.6180339887) + 1;
    while (step > 1 && greatest_common_divisor(step, count) != 1)
        step--;
    c->stride = stride;
    c->count = count;
    c->step = step;
    return true;
}

void *copies_next(struct copies *c)
{
    void *copy = c->first + c->next * c->stride;
    c->next += c->step;
    if (c->next >= c->count)
        c->next -= c->count;
    return copy;
}

void copies_free(struct copies *c)
{
    block_release(c->memory);
    *c = (struct copies){.first = NULL};
}
