/* range.h - ranges of items, and how they are cut. */
#ifndef FALT_RANGE_H
#define FALT_RANGE_H

#include <stdint.h>

#include "arithmetic.h"

struct range {
    int64_t begin, end;
};

static inline int64_t length(struct range range)
{
    return range.end - range.begin;
}

/* Piece `index` of `pieces` contiguous ones, whose sizes differ by at most 1. The larger ones are spread evenly, so that some
 * neighbours are as much as others, too. */
static inline struct range share(int64_t items, int64_t index, int64_t pieces)
{
    const int64_t each = items / pieces, rest = items % pieces;
    return (struct range){each * index + rest * index / pieces, each * (index + 1) + rest * (index + 1) / pieces};
}

/* The next number of ranges of items that makes them shorter: those between only make more of them. */
static inline int64_t shorter_ranges(int64_t items, int64_t ranges)
{
    const int64_t each = divide_up(items, ranges);
    return each > 1 ? divide_up(items, each - 1) : items + 1;
}

#endif
