/*
 * panels.h - output channels in panels: how solvers on the register tile cut and pack weights.
 *
 *     group 0                            group 1
 *     | panel 0 | panel 1 | last |       | panel 0 | ...         a panel is nr = vectors * vec channels wide, the last of a
 * group [tap][x channel][width]                                    may be fewer vectors; lanes beyond the last channel are zero
 */
#ifndef FALT_PANELS_H
#define FALT_PANELS_H

#include "../arch/kernels.h"
#include "arithmetic.h"
#include "problem.h"

struct panels {
    int vectors, vec; /* of a full panel; floats in a vector */
    int rows;         /* of the tallest tile */
    int64_t nr;       /* channels of a full panel */
    int64_t count;    /* panels of one group */
    int64_t padded;   /* channels of one group, rounded up to whole vectors */
};

/* Panels of `vectors` vectors, or fewer where that is all of a group. */
struct panels falt_panels_of(const struct kernels *kernels, int64_t channels, int vectors);

/* The width at which `rows` pixels, `apart` floats from each other and each a sum of `depth` products, take the least time,
 * where L1 keeps `ways` lines that are 4 KiB apart. */
struct panels falt_panels(const struct kernels *kernels, int64_t channels, int64_t rows, int64_t depth, int64_t apart,
                          int64_t ways);

/* Cycles of one k-step of all channels of a group for `rows` pixels. */
double falt_panels_step(const struct panels *panels, int64_t channels, int64_t rows);

/* Floats of all packed weights; may be too large for an int64_t. */
double falt_panels_floats(const struct problem *problem, const struct panels *panels);

void falt_pack_panels(const struct problem *problem, const struct panels *panels, const float *weights, float *packed);

/* Floats before a panel; depth: taps * channels that one output sums over. */
static inline int64_t falt_panel_offset(const struct panels *panels, int64_t depth, int64_t group, int64_t panel)
{
    return depth * (group * panels->padded + panel * panels->nr);
}

static inline int64_t falt_panel_width(const struct panels *panels, int64_t panel)
{
    return smaller(panels->nr, panels->padded - panel * panels->nr);
}

#endif
