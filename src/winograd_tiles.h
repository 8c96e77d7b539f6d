/* winograd_tiles.h - the tiles of WINOGRAD_TILES as the planner sees them, common to forward and the weights' gradient. */
#ifndef FALT_WINOGRAD_TILES_H
#define FALT_WINOGRAD_TILES_H

#include <stdbool.h>
#include "../arch/kernels.h"
#include "arithmetic.h"
#include "problem.h"
#include "winograd_tables.h"

/* What a tile is made of: the transform of each dimension (entries of winograd_transforms), and the error of its results in
 * units of direct summation's (relative L2, random data; tests hold it). */
struct winograd_kind {
    int h, w;
    double accuracy, weights_accuracy;
};

static const struct winograd_kind winograd_kinds[WINOGRAD_COUNT] = {
    [WINOGRAD_F2x2_3x3] = {1, 1, 1.0, 1.6}, [WINOGRAD_F4x4_3x3] = {2, 2, 2.2, 2.7},  [WINOGRAD_F6x6_3x3] = {3, 3, 10.0, 10.0},
    [WINOGRAD_F2x2_5x5] = {4, 4, 1.8, 6.5}, [WINOGRAD_F4x4_5x5] = {5, 5, 6.5, 20.0}, [WINOGRAD_F1x2_1x3] = {0, 1, 1.0, 1.4},
    [WINOGRAD_F2x1_3x1] = {1, 0, 1.0, 1.4}, [WINOGRAD_F1x4_1x3] = {0, 2, 1.8, 2.2},  [WINOGRAD_F4x1_3x1] = {2, 0, 1.8, 2.2},
    [WINOGRAD_F1x2_1x5] = {0, 4, 1.8, 3.0}, [WINOGRAD_F2x1_5x1] = {4, 0, 1.8, 3.0},  [WINOGRAD_F1x4_1x5] = {0, 5, 3.0, 5.0},
    [WINOGRAD_F4x1_5x1] = {5, 0, 3.0, 5.0}, [WINOGRAD_F1x2_1x7] = {0, 6, 3.0, 7.0},  [WINOGRAD_F2x1_7x1] = {6, 0, 3.0, 7.0},
};

static inline const struct winograd_transform *winograd_h(enum winograd_tile tile)
{
    return &winograd_transforms[winograd_kinds[tile].h];
}

static inline const struct winograd_transform *winograd_w(enum winograd_tile tile)
{
    return &winograd_transforms[winograd_kinds[tile].w];
}

static inline bool winograd_fits(const struct problem *p, enum winograd_tile tile)
{
    return p->kernel[1] == winograd_h(tile)->r && p->kernel[2] == winograd_w(tile)->r;
}

/* How many of the neighbouring tiles t to count - 1 go to a transform in one call: those whose pixels all lie on a line of
 * `size` pixels, tile 0's from `left` on, or one. */
static inline int64_t winograd_alike(int64_t left, int64_t step, int64_t pixels, int64_t size, int64_t t, int64_t count)
{
    const int64_t first = left + t * step;
    return first < 0 || first + pixels > size ? 1 : smaller((size - pixels - left) / step + 1, count) - t;
}

/* What keeps both of them from a problem, or NULL. */
static inline const char *winograd_refusal(const struct problem *p)
{
    return p->stride[1] != 1 || p->stride[2] != 1       ? "the stride is not 1"
           : p->dilation[1] != 1 || p->dilation[2] != 1 ? "the kernel is dilated"
           : p->batch == 0                              ? "there is nothing to compute"
                                                        : NULL;
}

#endif
