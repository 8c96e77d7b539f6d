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
    [WINOGRAD_F3x3_2x2] = {7, 7, 1.4, 1.6}, [WINOGRAD_F4x4_2x2] = {8, 8, 2.2, 2.2},  [WINOGRAD_F1x3_1x2] = {0, 7, 1.4, 1.4},
    [WINOGRAD_F3x1_2x1] = {7, 0, 1.4, 1.4}, [WINOGRAD_F1x4_1x2] = {0, 8, 1.8, 2.2},  [WINOGRAD_F4x1_2x1] = {8, 0, 1.8, 2.2},
    [WINOGRAD_F3x3_4x4] = {9, 9, 1.8, 5.0}, [WINOGRAD_F1x3_1x4] = {0, 9, 1.6, 2.5},  [WINOGRAD_F3x1_4x1] = {9, 0, 1.6, 2.5},
};

static inline const struct winograd_transform *winograd_h(enum winograd_tile tile)
{
    return &winograd_transforms[winograd_kinds[tile].h];
}

static inline const struct winograd_transform *winograd_w(enum winograd_tile tile)
{
    return &winograd_transforms[winograd_kinds[tile].w];
}

/* In one dimension, a strided kernel is the sum of `count` kernels, each of every s-th tap and pixel. The first `whole` ones
 * have r taps, the others one less; the point at infinity, where only the last tap counts, is nothing to these. */
struct winograd_residues {
    int64_t count, whole;
};

static inline struct winograd_residues winograd_residues(const struct problem *p, int dimension)
{
    const int64_t kernel = p->kernel[dimension], stride = p->stride[dimension];
    return (struct winograd_residues){smaller(kernel, stride), kernel - (divide_up(kernel, stride) - 1) * stride};
}

/* A slice of V: a depth tap, and a residue in each dimension. */
struct winograd_slice {
    int64_t index, depth, h, w;
};

static inline struct winograd_slice winograd_slice(struct winograd_residues h, struct winograd_residues w, int64_t index)
{
    const int64_t rest = index / w.count;
    return (struct winograd_slice){index, rest / h.count, rest % h.count, index % w.count};
}

/* Slices of one depth tap that have a part in the points of alpha_h x alpha_w, all together. */
static inline int64_t winograd_products(struct winograd_residues h, struct winograd_residues w, int64_t alpha_h,
                                        int64_t alpha_w)
{
    return ((alpha_h - 1) * h.count + h.whole) * ((alpha_w - 1) * w.count + w.whole);
}

static inline bool winograd_fits(const struct problem *p, enum winograd_tile tile)
{
    return divide_up(p->kernel[1], p->stride[1]) == winograd_h(tile)->r &&
           divide_up(p->kernel[2], p->stride[2]) == winograd_w(tile)->r;
}

/*
 * How tiles cover an output plane. A dilated kernel sees every d-th pixel only, so that d_h x d_w images lie inside of each
 * other, with tiles of their own. Rows of tiles go down all of them together; along a row go a few of one image, then of the
 * next, or, where there are many images, one of each, whose pixels are neighbours:
 *
 *     d_w 2:   tiles 0 ... 7 of image 0, of image 1 | tiles 8 ... 15 of image 0, ...     2 m_w pixels to the next
 *     d_w 16:  tile 0 of images 0 ... 15 | tile 1 of images 0 ... 15 | ...              1 pixel
 */
struct winograd_cover {
    int mh, mw;                 /* of a tile */
    int64_t dh, dw;             /* pixels from one that it sees to the next */
    int64_t images_h, images_w; /* that have a pixel at all */
    int64_t tiles_h, tiles_w;   /* of all of these images */
    int64_t step, run;          /* pixels from a tile to the next, and so many of one image */
};

/* `count` neighbours, the first output pixel of the first one of them at (y, x) of a plane of all images. */
struct winograd_segment {
    int64_t plane, y, x, count;
};

static inline struct winograd_cover winograd_cover(const struct problem *p, enum winograd_tile tile)
{
    enum { ALONG = 8 };
    struct winograd_cover c = {.mh = winograd_h(tile)->m, .mw = winograd_w(tile)->m};
    c.dh = p->kernel[1] > 1 ? p->dilation[1] : 1;
    c.dw = p->kernel[2] > 1 ? p->dilation[2] : 1;
    c.images_h = smaller(c.dh, p->out[1]);
    c.images_w = smaller(c.dw, p->out[2]);
    c.tiles_h = c.images_h * divide_up(divide_up(p->out[1], c.dh), c.mh);
    c.tiles_w = c.images_w * divide_up(divide_up(p->out[2], c.dw), c.mw);
    c.run = c.dw > ALONG ? 1 : c.dw > 1 ? ALONG : c.tiles_w;
    c.step = c.dw > ALONG ? 1 : c.dw * c.mw;
    return c;
}

static inline struct winograd_segment winograd_segment(const struct winograd_cover *c, int64_t tile, int64_t most)
{
    const int64_t x = tile % c->tiles_w, y = tile / c->tiles_w % c->tiles_h;
    const int64_t before = x / (c->images_w * c->run) * c->run, rest = x - before * c->images_w; /* tiles of each image */
    const int64_t run = smaller(c->run, c->tiles_w / c->images_w - before);
    return (struct winograd_segment){
        .plane = tile / c->tiles_w / c->tiles_h,
        .y = y % c->images_h + y / c->images_h * c->dh * c->mh,
        .x = rest / run + (before + rest % run) * c->dw * c->mw,
        .count = smaller(most, c->dw > 1 && c->step == 1 ? c->images_w - rest : run - rest % run),
    };
}

/* How many of the neighbouring tiles t to count - 1 go to a transform in one call: those whose pixels all lie on a line of
 * `size` pixels, tile 0's from `left` on, or one. */
static inline int64_t winograd_alike(int64_t left, int64_t step, int64_t pixels, int64_t size, int64_t t, int64_t count)
{
    const int64_t first = left + t * step;
    return first < 0 || first + pixels > size ? 1 : smaller((size - pixels - left) / step + 1, count) - t;
}

static inline bool winograd_dilated(const struct problem *p)
{
    return (p->kernel[1] > 1 && p->dilation[1] > 1) || (p->kernel[2] > 1 && p->dilation[2] > 1);
}

static inline bool winograd_strided(const struct problem *p)
{
    return p->stride[1] > 1 || p->stride[2] > 1;
}

/* Sums of fewer taps gain less from the error of each being small (measured: up to 1.2 times as much). */
static inline double winograd_accuracy(const struct problem *p, enum winograd_tile tile)
{
    return winograd_kinds[tile].accuracy * (winograd_strided(p) ? 1.25 : 1.0);
}

/* What keeps both of them from a problem, or NULL. */
static inline const char *winograd_refusal(const struct problem *p)
{
    enum { MOST_SLICES = 1 << 20, MARGIN = 2 * WINOGRAD_ALPHA, MOST_WIDTH = 1 << 16 };
    const bool dilated = winograd_dilated(p), strided = winograd_strided(p);
    const double slices = (double)p->kernel[0] * (double)winograd_residues(p, 1).count * (double)winograd_residues(p, 2).count;
    const double width = (double)(p->out[2] + MARGIN) * (double)p->stride[2]; /* of channels-first strips */
    return p->batch == 0                     ? "there is nothing to compute"
           : dilated && strided              ? "the kernel is strided and dilated"
           : strided && slices > MOST_SLICES ? "the stride makes too many kernels of one"
           : p->layout == FALT_CHANNELS_LAST ? NULL
           : dilated                         ? "the kernel is dilated, and channels come first"
           : strided && width > 8.0 * (double)p->in[2] + MOST_WIDTH
               ? "a row of the input with its padding is out of all proportion to the image"
               : NULL;
}

#endif
