/*
 * depthwise.h - depthwise convolution, and grouped convolution with few channels a group: windows that slide over vectors
 * (kernels.h, depthwise_args). depthwise.c plans and packs; depthwise_run.c runs tiles where x lies, depthwise_strips.c blocks
 * of them out of copies.
 *
 * Channels last: a vector holds `vec` neighbouring channels of one pixel, of one or many groups (a unit of the plan). A tile is
 * a run of outputs along an image row; its lines, one for each kernel row, serve all units, each at its offset.
 *
 *      x    . . . . . . . . . . . .    a line: each pixel's vector is loaded once
 *           |_____|                    output 0
 *             |_____|                  output 1 ...
 *
 * Channels first, through strips: what a block of output rows sees of a unit is transposed into the thread's scratch, with its
 * zeros around it, computed there as above, and the result is transposed back, or scattered where y is a phase (adjoint.h).
 *
 * Channels last with a kernel of a single column, of three rows or more, it is turned: a tile runs down the image, where its
 * windows overlap.
 *
 * Channels last with pixels pages apart, of which L1 keeps but a few, and vectors that are part of a cache line: what a block
 * sees of some units is copied, and computed from the strip into y.
 *
 * Channels first, in rows, for large images with stride 1 along the row: a vector holds neighbouring pixels of an image row and
 * a tile is a run of outputs down a column of such blocks. The window slides over the image's rows, so lines are input channels
 * x kernel depth x kernel width; they start anywhere in a row, and lanes over its ends are masked.
 *
 * Channels last with fewer channels than lanes, in rows as well: an image row is a row of floats, of which taps that are
 * neighbours are as many apart as there are channels. Lanes have the weights of their channels, which come around after some
 * vectors.
 *
 *      r g b r g b r g | b r g b r g b r | g b r g b r g b | r ...       3 channels, 8 lanes: three sets of weights
 *
 * The kernel's extent along the sliding dimension is cut into windows of a width that there are kernels for, and single taps
 * for the rest; with a stride beyond 2 (in rows: 1) it is all single taps. Each output is one chain of multiply-adds in an
 * order that only the plan determines.
 *
 * With a dilation, neighbours see other pixels than each other, but every so-many-th output is one of a dense convolution of
 * every so-many-th pixel: channels last, a tile has the outputs of one such class, and the next tile the next class's. Of
 * dilation d and stride s, with g = gcd(s, d), tiles hop d / g outputs, and their windows have the stride s / g:
 *
 *      x    a b a b a b a b a b a b    dilation 2: a tile of the a's, then one of the b's
 *           |___|___|
 *               |___|___|
 */
#ifndef FALT_SOLVERS_DEPTHWISE_H
#define FALT_SOLVERS_DEPTHWISE_H

#include "../arithmetic.h"
#include "../range.h"
#include "../solver.h"

struct depthwise {
    enum depthwise_kind kind;
    enum depthwise_height height;
    int vec, tile;              /* floats in a vector; outputs in a tile */
    int width, stride;          /* of the kernel's window */
    int slide;                  /* the dimension that the window slides along */
    int64_t hop;                /* outputs from one of a tile to the next */
    bool turned;                /* channels last: columns of the image serve as rows */
    int64_t windows, rest;      /* of a kernel line: kernel[slide] = windows * width + rest */
    int64_t outer;              /* kernel lines: the product of all but the sliding dimension */
    int64_t parts;              /* channels last: vectors of input channels of a group */
    int64_t lines, taps, depth; /* of depthwise_args */
    int64_t ways;               /* pixels along the slide whose lines fit L1 together */

    int64_t units;       /* vectors of output channels; in rows: groups of all images */
    int64_t unit_groups; /* channels last: groups in a unit, or 0: units_per_group units in a group */
    int64_t units_per_group;
    int64_t whole_units; /* before one with fewer groups, or */
    bool overlaps;       /* with as many, some of which the unit before has, too */
    bool partial;        /* units have fewer channels than a vector has lanes: they are masked */
    bool apart;          /* rows: a phase, whose lanes go to pixels that are not neighbours */
    int64_t mixed, sets; /* rows: channels that follow each other in a row, or 0; sets of their weights */
    int64_t blocks;      /* rows: vectors in an output row */
    int64_t row_tiles;   /* tiles of one row; in rows: of one plane */
    int64_t down;        /* channels last: output rows that are computed at once */
    int64_t repeats;     /* the most tiles below each other whose input stays in L2 for all units; in rows: in L1 */
    bool rolls;          /* all rows of a thread's tile go in one call, line by line */
    bool pairs;          /* units go by twos */
    bool across;         /* all units of a tile before the tile below, else those of a line first */
    bool asks;           /* x and y are more than the shared cache: blocks ask for the next one's rows */
    bool stream;         /* the output outgrows the caches, and a vector is a cache line */

    bool strip;                      /* what a block sees is copied into the thread's scratch first */
    int64_t together;                /* units that share a strip; its pixels have so many vectors */
    int64_t strip_pitch, strip_rows; /* pixels of a strip's row; rows for each position in kernel depth */
    int64_t block_rows, block_tiles; /* outputs of a block: rows, tiles of a row */
    int64_t row_blocks, column_blocks;

    bool by_rows;  /* channels last: threads get rows of the output, else columns of tiles */
    int64_t tiles; /* what a unit is cut into for threads: rows, columns, tiles or blocks of all planes */
    int64_t tile_ranges, unit_ranges;
    size_t table, columns, around, lanes, biases, strip_bytes, result, scattered; /* a thread's workspace, in this order */
    size_t per_thread;                                                            /* their sum, and what is between threads */
};

_Static_assert(sizeof(struct depthwise) <= SOLVER_STATE, "the solver's state must fit");

/* Columns [begin, end) of a line, and where they all are; see cut() in depthwise_run.c. */
struct columns {
    ptrdiff_t offset, *around;
    int32_t begin, end;
    bool inside; /* around is that of tiles inside of the image, which is the same for all of them */
};

/* Lanes [begin, end) of a vector. */
struct lanes {
    int32_t begin, end;
};

/* The problem as the solver sees it. */
struct problem falt_depthwise_seen(const struct depthwise *d, const struct problem *p);

/* The `run` of the solver. */
void falt_depthwise_run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                        const struct operands *operands, int member, int members);

/* ------------------------------------------------------------------------------------------------------ the kernel's lines */

/* Columns that a tile sees through a window. */
static inline int64_t window_columns(const struct depthwise *d)
{
    return (d->tile - 1) * d->stride + d->width;
}

/* Windows of a kernel line and the single taps behind them are counted together: which are the ones, and which the others. */
static inline struct range windows_or_taps(const struct depthwise *d, bool single)
{
    return single ? (struct range){d->windows, d->windows + d->rest} : (struct range){0, d->windows};
}

/* The kernel position of window or single tap i, and the columns of a tile that it sees. */
static inline int64_t tap_at(const struct depthwise *d, int64_t i)
{
    return i < d->windows ? i * d->width : d->windows * d->width + i - d->windows;
}

static inline int64_t columns_of(const struct depthwise *d, int64_t i)
{
    return i < d->windows ? window_columns(d) : d->tile;
}

/* Positions from one of these columns to the next. */
static inline int64_t column_step(const struct problem *p, const struct depthwise *d, int64_t i)
{
    return i < d->windows && d->width > 1 ? p->dilation[d->slide] : d->hop * p->stride[d->slide];
}

/* Tiles of a row of so many outputs; and the first output of each. */
static inline int64_t tiles_of(const struct depthwise *d, int64_t outputs)
{
    const int64_t together = d->tile * d->hop;
    return outputs / together * d->hop + smaller(outputs % together, d->hop);
}

static inline int64_t first_of(const struct depthwise *d, int64_t tile)
{
    return tile / d->hop * d->tile * d->hop + tile % d->hop;
}

/* Floats of x from one position to the next along the slide, and channels last along the other dimension. */
static inline int64_t slide_step(const struct problem *p, const struct depthwise *d)
{
    return d->slide == 1 ? p->in[2] : d->turned ? p->in[1] * p->x_channels : p->x_channels;
}

static inline int64_t other_step(const struct problem *p, const struct depthwise *d)
{
    return d->turned ? p->x_channels : p->in[2] * p->x_channels;
}

/* Rows of the output whose windows are inside of the image. */
static inline struct range rows_inside(const struct problem *p)
{
    const int64_t room = p->in[1] + p->pad[1] - (p->kernel[1] - 1) * p->dilation[1];
    return (struct range){divide_up(p->pad[1], p->stride[1]),
                          room <= 0 ? 0 : smaller(p->out[1], divide_up(room, p->stride[1]))};
}

/* In rows: the tiles of a plane that see nothing else, which differ by an offset only. */
static inline struct range tiles_inside(const struct problem *p, const struct depthwise *d)
{
    const struct range rows = rows_inside(p);
    return (struct range){divide_up(rows.begin, d->tile), rows.end / d->tile};
}

/* --------------------------------------------------------------------------------------------------- channels-last units */

/* What a unit reads and writes. */
struct unit {
    int64_t x, y;            /* first channel of each */
    int64_t inputs, outputs; /* lanes */
    int64_t skip;            /* outputs that another unit has, too */
};

static inline struct unit unit_of(const struct problem *p, const struct depthwise *d, int64_t unit)
{
    if (d->unit_groups) {
        const int64_t begin = unit * d->unit_groups, back = p->groups - d->unit_groups;
        const int64_t first = d->overlaps ? smaller(begin, back) : begin, groups = smaller(d->unit_groups, p->groups - first);
        return (struct unit){first * p->x_group, first * p->y_group, groups * d->depth, groups * p->y_group,
                             (begin - first) * p->y_group};
    }
    const int64_t group = unit / d->units_per_group, begin = unit % d->units_per_group * d->vec;
    return (struct unit){group * p->x_group, group * p->y_group + begin, d->depth, smaller(d->vec, p->y_group - begin), 0};
}

/* Packed weights are, in floats, the index of depthwise_args and then the units' own. */
static inline int64_t index_size(const struct depthwise *d)
{
    return d->depth * d->vec;
}

static inline int64_t unit_size(const struct depthwise *d)
{
    return (d->lines * d->width + d->taps) * d->depth * d->vec;
}

#endif
