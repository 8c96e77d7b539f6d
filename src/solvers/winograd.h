/* winograd.h - what winograd.c plans and winograd_run.c runs. */
#ifndef FALT_SOLVERS_WINOGRAD_H
#define FALT_SOLVERS_WINOGRAD_H

#include "../arithmetic.h"
#include "../panels.h"
#include "../solver.h"
#include "../winograd_tiles.h"

enum { MOST_TOGETHER = 4, BUNDLE = 48, LISTS = 4 }; /* panels; channels of several groups, about; see thread_space */

struct winograd {
    enum winograd_tile tile;
    struct winograd_cover cover;
    int ah, aw, points;
    struct panels panels;
    struct winograd_residues residues_h, residues_w; /* of a strided kernel */
    int64_t apart_h, apart_w;                        /* input pixels from one that a tile sees to the next */
    int64_t slices;                                  /* depth taps x residues */
    int64_t products;                                /* slices of all points together */
    int64_t tiles;                                   /* of all planes and images */
    int64_t block;                                   /* tiles in a block, at most */
    int64_t together; /* panels that go through the points side by side, of one group or of ... */
    int64_t bundle;   /* ... so many groups that are transformed together, if each is one panel; else 1 */
    bool outgrows;    /* x and y do not stay in the caches */
    bool fused;       /* from x to y a few tiles at a time */
    bool stream;      /* the output goes past the caches */
    bool asks;        /* tiles ask for the weights of the next point or panel */
    int64_t tile_ranges, panel_ranges;
    int64_t v_row, v_slice, v_point; /* floats from one tile, slice or point of V to the next */
    int64_t m_row, m_point;          /* and of M */
    int64_t chunk;                   /* channels first: channels that pass through the strip together */
    int64_t piece;                   /* and tiles of a row whose outputs do */
    size_t zeros, dump, v, m, lists, strip, out_strip, turned; /* a thread's workspace, in bytes and in this order */
    size_t per_thread;
};

_Static_assert(sizeof(struct winograd) <= SOLVER_STATE, "the solver's state must fit");

/* Residues that have a part in a point: all, or those of all taps. */
static inline int64_t rows_at(const struct winograd *w, int point)
{
    return point / w->aw == w->ah - 1 ? w->residues_h.whole : w->residues_h.count;
}

static inline int64_t columns_at(const struct winograd *w, int point)
{
    return point % w->aw == w->aw - 1 ? w->residues_w.whole : w->residues_w.count;
}

/* Slices that have a part in the points before one. */
static inline int64_t slices_before(const struct problem *p, const struct winograd *w, int point)
{
    const int64_t above = point / w->aw * w->residues_h.count * ((w->aw - 1) * w->residues_w.count + w->residues_w.whole);
    return p->kernel[0] * (above + point % w->aw * w->residues_w.count * rows_at(w, point));
}

/* What is shared out of the panels: bundles stay together, whose groups share cache lines of a pixel. */
static inline int64_t all_runs(const struct problem *p, const struct winograd *w)
{
    return divide_up(p->groups * w->panels.count, w->bundle);
}

/* Products that a panel's packed weights hold for each channel: [point][slice][x channel]. */
static inline int64_t panel_depth(const struct problem *p, const struct winograd *w)
{
    return w->products * p->x_group;
}

/* The `run` of the solver. */
void falt_winograd_run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                       const struct operands *operands, int member, int members);

#endif
