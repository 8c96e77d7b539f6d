/*
 * direct.h - direct convolution: the register tile of kernels.h over output pixels x output channels, summed over taps.
 *
 * Output pixels of all images form one row of `pixels`; output channels are cut into panels of `vectors` vectors:
 *
 *                  panel 0   panel 1 ...           packed weights, per group and panel:  [tap][x channel][vectors * vec]
 *     pixel    0  +---------+---------+---
 *            ...  |  tile   |  tile   |            a tile's rows find their input through a table of pointers, one for each
 *           rows  +---------+---------+---         (tap, row); pixels in the padding point to zeros. Any stride, dilation,
 *            ...  |         |         |            padding and rank is a matter of this table. Taps through which
 *                                                  a tile sees nothing but padding are left out.
 *
 * A block of pixels keeps its input in L2 while all panels pass over it; a panel stays in L1 or L2 while all tiles of the
 * block pass over it. Work is cut into a grid of (pixel range x panel range) pieces, one a thread. Each output is one chain of
 * multiply-adds over (tap, channel) in a fixed order, however the work is cut.
 *
 * Where the channels of a pixel are not contiguous (channels first), or too few to feed the inner loop, the block's input is
 * first copied into a channels-last strip with its padding, of some rows, or a piece of one that is long. Then, and wherever a
 * tile touches no padding, the taps of a kernel row are contiguous in memory and are summed as one run of width * channels.
 *
 * Where sums are short, a tile's pointers and its call take as long as a part of them. Channels last, most windows are whole
 * ones (`inner`): those of an output row are all alike, and two tiles stand for all of them. What is left at the edges is
 * collected into tiles of its own. With few channels this spares the strip, too.
 *
 * direct.c plans and packs, direct_run.c runs.
 */
#ifndef FALT_SOLVERS_DIRECT_H
#define FALT_SOLVERS_DIRECT_H

#include "../panels.h"
#include "../sections.h"
#include "../solver.h"

struct direct {
    struct panels panels; /* of output channels */
    int64_t pixels;       /* batch * out_pixels */
    int64_t unit;         /* pixels that are never separated: 1, or with strips, or many rows, an output row, or at most ... */
    int64_t cuts;         /* ... one of so many pieces of it */
    int64_t block;        /* units in a block, at most */
    int64_t pixel_ranges, panel_ranges;
    bool strip;
    bool stream; /* the output outgrows the caches, and the channels of its pixels are neighbours */
    bool beyond; /* the input comes from beyond L2: tiles ask for the next one's in order, where they can */
    bool asks;   /* the input is in memory, and hardware finds no pages to go along in it: tiles ask for the next one's */
    bool flat;   /* all pixels are evenly spaced, over the ends of rows, too: tiles are alike */
    bool falls;  /* towards another thread's pixels, tiles go from the last to the first */
    bool inner;  /* whole windows, pixels [inner_begin, inner_end) of most rows, and edges go apart */
    bool edges;  /* some windows reach out of the image, and no strip has the padding for them */
    double torn; /* the share of these */
    double seen; /* the share of taps that tiles do not leave out */
    struct rectangles rectangles; /* in which pixels are counted, and of which each has tiles of its own */
    int64_t inner_begin, inner_end;
    int64_t lines;                                 /* rows that go through the kernel in one call, at most */
    int64_t strip_width, strip_height;             /* pixels of one depth slice of the strip */
    size_t zeros, strip_bytes, table, gaps, tiles; /* a thread's workspace, in bytes and in this order */
    size_t per_thread;                             /* their sum, and what is between threads */
};

/* Rows of output pixels that go through the kernel together, and where to find their input and output. */
struct tile {
    const float **table;
    int64_t taps, depth; /* of the table */
    int64_t *gaps;       /* rows of packed weights between these, of taps through which all its pixels see padding */
    bool gapped;         /* there are any */
    int64_t rows;
    int64_t alike; /* this and those behind it that are cut in the same way, so that one call computes them all */
    ptrdiff_t output[GEMM_MAX_ROWS]; /* floats from the block's first output pixel */
    bool even;                       /* windows, none of them at an edge, and outputs are equally far apart: */
    ptrdiff_t window_step, output_step;
};

_Static_assert(sizeof(struct direct) <= SOLVER_STATE, "the solver's state must fit");

/* Units of all images: rows, pieces of them, or pixels. */
static inline int64_t units_of(const struct problem *p, const struct direct *d)
{
    return d->cuts > 1 ? d->pixels / p->out[2] * d->cuts : d->pixels / d->unit;
}

/* The `run` of the solver. */
void falt_direct_run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                     const struct operands *operands, int member, int members);

#endif
