/*
 * panels.h - output channels in panels: how solvers on the register tile cut and pack weights.
 *
 *     group 0                            group 1
 *     | panel 0 | panel 1 | last |       | panel 0 | ...         [tap][x channel][width]
 *
 * The vectors of a group are shared out evenly, so that a panel is at most nr = vectors * vec channels wide, or a vector less;
 * lanes beyond the last channel are zero.
 */
#ifndef FALT_PANELS_H
#define FALT_PANELS_H

#include "../arch/kernels.h"
#include "arithmetic.h"
#include "problem.h"
#include "range.h"

struct panels {
    int vectors, vec; /* of a full panel; floats in a vector */
    int rows;         /* of the tallest tile */
    int64_t nr;       /* channels of a full panel */
    int64_t count;    /* panels of one group: as few as there can be, or more, so that threads may share them out evenly */
    int64_t padded;   /* channels of one group, rounded up to whole vectors */
};

/* Panels of `vectors` vectors, or fewer where that is all of a group. */
struct panels falt_panels_of(const struct kernels *kernels, int64_t channels, int vectors);

/* The width at which `rows` pixels, `apart` floats from each other and each a sum of `depth` products, take the least time,
 * where L1 keeps `ways` lines that are 4 KiB apart. */
struct panels falt_panels(const struct kernels *kernels, int64_t channels, int64_t rows, int64_t depth, int64_t apart,
                          int64_t ways);

/* Cycles of one k-step of all channels of a group for `rows` pixels. */
double falt_panels_step(const struct panels *panels, int64_t rows);

/* The same where all panels but the last are full ones, of so many channels. */
double falt_full_panels_step(const struct panels *panels, int64_t channels, int64_t rows);

/* Floats of all packed weights; may be too large for an int64_t. */
double falt_panels_floats(const struct problem *problem, const struct panels *panels);

void falt_pack_panels(const struct problem *problem, const struct panels *panels, const float *weights, float *packed);

/* The first channel of a panel, counted within its group; of the one after the last: padded. */
static inline int64_t falt_panel_first(const struct panels *panels, int64_t panel)
{
    return share(panels->padded / panels->vec, panel, panels->count).begin * panels->vec;
}

static inline int64_t falt_panel_width(const struct panels *panels, int64_t panel)
{
    return length(share(panels->padded / panels->vec, panel, panels->count)) * panels->vec;
}

/* Floats before a panel; depth: taps * channels that one output sums over. */
static inline int64_t falt_panel_offset(const struct panels *panels, int64_t depth, int64_t group, int64_t panel)
{
    return depth * (group * panels->padded + falt_panel_first(panels, panel));
}

#endif
