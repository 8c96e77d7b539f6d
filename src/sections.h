/*
 * sections.h - a plane of output pixels, cut into rectangles whose pixels see the image through the same taps.
 *
 *                      columns
 *                 +---+-------+---+
 *                 | 0 |   3   | 6 |      For a kernel of 3 with padding there are such rectangles in the corners, along the
 *           rows  +---+-------+---+      edges, and one in the middle. With a wide dilation those in the middle see one tap,
 *                 |   |       |   |      and those at the edges two.
 *                 | 1 |   4   | 7 |
 *                 |   |       |   |
 *                 +---+-------+---+      Pixels are counted rectangle by rectangle, in the order of the numbers, and row by row
 *                 | 2 |   5   | 8 |      in each; then plane by plane.
 *                 +---+-------+---+
 *
 * A rectangle is computed in register tiles of its own, and few pixels make a bad one: so cuts are only where it pays.
 */
#ifndef FALT_SECTIONS_H
#define FALT_SECTIONS_H

#include "panels.h"
#include "problem.h"

enum { MOST_SECTIONS = 8 }; /* along a dimension: a kernel of 7 makes 7, where some pixels see all taps */

struct sections {
    int count;
    int64_t end[MOST_SECTIONS];
};

struct rectangles {
    struct sections rows, columns;
    bool whole[MOST_SECTIONS]; /* columns that are not cut into rows: narrow ones */
    double share;              /* of the time that it takes without cuts */
};

/* Planes in one piece. */
struct rectangles falt_uncut(const struct problem *problem);

/* Where to cut the planes of a problem, for the register tiles of `panels` whose weights are read from a cache of so many
 * bytes, or from beyond. */
struct rectangles falt_rectangles(const struct problem *problem, const struct panels *panels, int64_t l2);

static inline bool is_cut(const struct rectangles *r)
{
    return r->rows.count > 1 || r->columns.count > 1;
}

static inline int64_t section_begin(const struct sections *s, int index)
{
    return index > 0 ? s->end[index - 1] : 0;
}

/* The section of an item. */
static inline int section_of(const struct sections *s, int64_t item)
{
    int index = 0;
    while (index < s->count - 1 && item >= s->end[index])
        index++;
    return index;
}

/* The row behind the rectangle that has this one. */
static inline int64_t rectangle_end(const struct rectangles *r, int column, int64_t row)
{
    return r->rows.end[r->whole[column] ? r->rows.count - 1 : section_of(&r->rows, row)];
}

#endif
