/*
 * direct.c - direct convolution: the register tile of kernels.h over output pixels x output channels, summed over taps.
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
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../../arch/compiler.h"
#include "../arithmetic.h"
#include "../cost.h"
#include "../padding.h"
#include "../panels.h"
#include "../parallel.h"
#include "../sections.h"
#include "../solver.h"
#include "../strip.h"

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

/* --------------------------------------------------------------------------------------------------------------- planning */

/* Cycles to copy an input pixel into a strip, for each position in kernel depth. */
static double copy_cycles(const struct problem *p, const struct direct *d)
{
    const int vec = d->panels.vec;
    const double vectors = (double)divide_up(p->x_group, vec);
    return p->layout == FALT_CHANNELS_FIRST ? cost_apart * vectors * cost_transpose(vec) / vec
           : p->groups > 1                  ? cost_piece + vectors * cost_copy /* a group's channels of one pixel */
                                            : (double)p->x_group / vec * cost_copy;
}

/* Input pixels, times positions in kernel depth, for each output pixel. */
static double copied(const struct problem *p)
{
    const double seen = fmin((double)p->in_pixels / (double)p->out_pixels, (double)(p->stride[1] * p->stride[2]));
    return seen * (double)p->kernel[0];
}

/* Cycles beside the k-steps of `panels` panels for `rows` pixels: pointers, strips, calls, and stores where channels are apart.
 */
static double overhead(const struct problem *p, const struct direct *d, double rows, double panels)
{
    const double groups = panels > (double)d->panels.count ? panels / (double)d->panels.count : 1.0;
    const double columns = (double)p->y_group / (double)d->panels.count; /* of a panel, on average */
    const double run = p->dilation[2] == 1 && (d->strip || p->groups == 1) && p->taps > 0 ? (double)p->kernel[2] : 1.0;
    /* Blocks of strips share their pointers. */
    const double pointed = d->strip ? 0.0 : d->inner ? 1.0 - (double)(d->inner_end - d->inner_begin) / (double)p->out[2] : 1.0;
    const int64_t height = (p->out[1] - 1) * p->stride[1] + (p->kernel[1] - 1) * p->dilation[1] + 1;
    const double lines = rows / (double)(p->out[1] * p->out[2]) * (double)(height * p->kernel[0]);
    const double fill = d->strip ? lines * cost_call + rows * copied(p) * copy_cycles(p, d) : 0.0;
    const int most = d->panels.rows;
    const double scatter = p->y.c == 1 ? 0.0 : cost_scatter(most, columns, d->panels.vec, p->y.c, p->y.pixel[2] == 1);
    /* Groups come back to the same pixels: each time a line of them has to come from L2. */
    const double back = p->groups > 1 && p->y.c == 1 ? columns * sizeof(float) * cost_l2_byte : 0.0;
    return panels * (cost_rows_calls((int64_t)rows, most) + ceil(rows / most) * scatter + rows * back) +
           rows * (double)p->taps * (pointed / run * cost_pointer + d->torn * cost_edge) + groups * fill;
}

static double taps_share(const struct problem *p, const struct direct *d)
{
    double share = d->rectangles.share;
    const int64_t apart[3] = {p->out[1] * p->out[2], p->out[2], 1}; /* pixels from one to the next */
    for (int i = 0; i < 3 && d->edges; i++)
        share *= falt_seen_share(p, i, divide_up(d->panels.rows, apart[i]));
    return share;
}

/* Rows with their pieces, or pixels. */
static int64_t units_of(const struct problem *p, const struct direct *d)
{
    return d->cuts > 1 ? d->pixels / p->out[2] * d->cuts : d->pixels / d->unit;
}

/* Rows whose strips share no lines are cut into pieces that fit L2, and so few rows evenly for the threads. */
static void cut_rows(const struct problem *p, const struct resources *r, struct direct *d)
{
    const int64_t rows = d->pixels / p->out[2], extent = (p->kernel[1] - 1) * p->dilation[1] + 1;
    const int64_t most = p->out[2] / (4 * d->panels.rows); /* enough tiles that a panel is used */
    if (!d->strip || extent > p->stride[1] || most < 2)
        return;
    const double pixel = (double)p->stride[2] * (double)(p->kernel[0] * extent) * (double)p->x_group * sizeof(float);
    const double least = ceil((double)p->out[2] * pixel / ((double)r->cpu->l2 / 2.0));
    int64_t cuts = (int64_t)fmin(fmax(least, 1.0), (double)most);
    if (rows * cuts % r->threads != 0 && rows * cuts < 8 * (int64_t)r->threads)
        cuts = smaller(most, divide_up(divide_up(rows * cuts, r->threads) * r->threads, rows));
    if (cuts < 2)
        return;
    d->unit = divide_up(p->out[2], cuts);
    d->cuts = divide_up(p->out[2], d->unit);
}

/* The grid with the least time for its slowest piece: compute, plus the bytes that each thread has to fetch. Ranges of panels
 * have as many panels each, if that is worth narrower ones. */
static double choose_grid(const struct problem *p, const struct resources *r, struct direct *d)
{
    const int64_t units = units_of(p, d), vectors = d->panels.padded / d->panels.vec, few = d->panels.count;
    const double depth = (double)(p->taps * p->x_group) * d->seen;
    struct direct best = *d;
    double least = -1.0;
    for (int64_t threads = 1; threads <= r->threads; threads++) {
        const int64_t pixel_ranges = smaller(threads, units);
        const int64_t panel_ranges = smaller(r->threads / threads, p->groups * few);
        const int64_t even = divide_up(few, panel_ranges) * panel_ranges;
        d->panels.count = p->groups == 1 && even <= vectors ? even : few;
        const int64_t all_panels = p->groups * d->panels.count;
        const int64_t rows = smaller(d->pixels, divide_up(units, pixel_ranges) * d->unit);
        const double panels = (double)divide_up(all_panels, panel_ranges);
        const double step = falt_panels_step(&d->panels, rows) / (double)d->panels.count;
        const double input = (double)p->x_count / (double)d->pixels * (double)rows * sizeof(float);
        const double weights = panels / (double)all_panels * (double)p->w_count * d->seen * sizeof(float);
        const double weights_rate = !r->warm_weights                      ? cost_memory_bytes
                                    : weights <= (double)r->cpu->l2 / 2.0 ? 1.0 / cost_l2_byte
                                                                          : cost_l3_bytes;
        const double region = pixel_ranges * panel_ranges > 1 ? r->region * cost_hertz : 0.0;
        const double worth = d->panels.count > few ? 1.02 : 1.0;
        const double cycles = worth * panels * depth * step + overhead(p, d, (double)rows, panels) + input / cost_l3_bytes +
                              weights / weights_rate + region;
        if (least < 0.0 || cycles < least) {
            least = cycles;
            best = *d;
            best.pixel_ranges = pixel_ranges;
            best.panel_ranges = panel_ranges;
        }
    }
    *d = best;
    return least;
}

/* Cycles to point the tiles, once for all blocks of the same size, and to fill the lines of strips that two blocks see, where
 * `units` output rows of a plane are cut into blocks. */
static double blocks_cycles(const struct problem *p, const struct direct *d, int64_t units, int64_t block)
{
    const double line = (double)p->in[2] * (double)p->kernel[0] * copy_cycles(p, d);
    const double run = p->dilation[2] == 1 ? (double)p->kernel[2] : 1.0;
    const double again = (double)larger(0, (p->kernel[1] - 1) * p->dilation[1] + 1 - p->stride[1]);
    return (double)((block + units % block) * d->unit) * (cost_row + (double)p->taps / run * cost_pointer) +
           (double)divide_up(units, block) * again * line;
}

/* Half of L2 for a block's input and pointers, the rest for panels and results; but enough tiles that a panel is used. */
static void choose_block(const struct problem *p, const struct resources *r, struct direct *d)
{
    const int64_t units = divide_up(units_of(p, d), d->pixel_ranges);
    if (d->cuts > 1)
        return;
    const double area = (double)p->stride[1] * (double)p->stride[2]; /* input pixels for one more output pixel */
    const double reach = area < (double)p->taps ? area : (double)p->taps;
    /* Groups return to the same pixels, of which they write parts. */
    const double channels = p->groups > 1 && !d->strip ? (double)(p->x_channels + p->y_channels) : reach * (double)p->x_group;
    const double unit_bytes = (double)d->unit * (channels * 4.0 + (double)p->taps * 8.0);
    const int64_t most = (int64_t)((double)r->cpu->l2 / 2.0 / (unit_bytes + 1.0));
    const int64_t least = divide_up(4 * d->panels.rows, d->unit);
    d->block = smaller(units, most > least ? most : least);
    d->block = divide_up(units, divide_up(units, d->block)); /* even blocks */
    if (!d->strip)
        return;
    const int64_t rows = smaller(units, p->out[1]), cuts = divide_up(rows, d->block);
    d->block = smaller(d->block, rows); /* within one output plane, see run_piece */
    double cycles = blocks_cycles(p, d, rows, d->block);
    for (int64_t n = cuts + 1; n <= 16 * cuts && divide_up(rows, n) >= least; n += larger(1, n / 8)) { /* few, however many */
        const int64_t block = divide_up(rows, n);
        const double those = blocks_cycles(p, d, rows, block);
        if (those < cycles) {
            cycles = those;
            d->block = block;
        }
    }
}

static bool window_inside(const struct problem *p, int dimension, int64_t begin)
{
    return begin >= 0 && begin + (p->kernel[dimension] - 1) * p->dilation[dimension] < p->in[dimension];
}

/* Whether the windows of most pixels are whole, and what their rows cost is less than the way through a strip, or than pointing
 * all tiles: tiles that are not full, two calls for each panel, and pointers to the edges. */
static bool find_inner(const struct problem *p, const struct resources *r, struct direct *d)
{
    enum { MOST_LINES = 8 };
    const struct range whole = falt_whole_outputs(p, 2);
    d->inner_begin = whole.begin;
    d->inner_end = whole.end;
    /* What several panels read again stays near. Divided one by one: the product of the sizes need not be a number. */
    const int64_t near = r->cpu->l2 / 4 / (int64_t)sizeof(float) / p->x_group / p->in[2] / p->stride[1];
    d->lines = larger(smaller(MOST_LINES, near), 1);
    const int64_t inner = d->inner_end - d->inner_begin, rows = d->panels.rows;
    if (p->layout == FALT_CHANNELS_FIRST || p->groups > 1 || p->circular || falt_whole_share(p) < 0.75)
        return false;
    const int64_t panel = p->taps * p->x_group * d->panels.nr * (int64_t)sizeof(float);
    if (!d->strip && 16 * panel > r->cpu->l2) /* comes again for each row, and sums are too long to gain */
        return false;
    const double full = falt_panels_step(&d->panels, rows) / (double)rows;
    const double wasted = falt_panels_step(&d->panels, inner) - (double)inner * full;
    const double row = (double)(p->taps * p->x_group) * wasted + 2.0 * cost_call * (double)d->panels.count +
                       (double)((p->out[2] - inner) * p->taps) * cost_pointer;
    const double run = p->dilation[2] == 1 ? (double)p->kernel[2] : 1.0, pointed = (double)p->taps / run * cost_pointer;
    return row <= (double)p->out[2] * (d->strip ? copied(p) * copy_cycles(p, d) : cost_row + pointed);
}

static bool choose_workspace(const struct problem *p, struct direct *d)
{
    double strip = 0.0;
    if (d->strip) {
        d->strip_width = (d->unit - 1) * p->stride[2] + (p->kernel[2] - 1) * p->dilation[2] + 1;
        d->strip_height = (d->block - 1) * p->stride[1] + (p->kernel[1] - 1) * p->dilation[1] + 1;
        strip = (double)p->kernel[0] * (double)d->strip_height * (double)d->strip_width * (double)p->x_group;
    }
    const double rows = d->inner ? 3.0 * d->panels.rows : (double)d->block * (double)d->unit;
    const double image = (double)p->x_group * (double)p->in_pixels;
    const double most_strip = 8.0 * image + (1 << 20); /* beyond, it is all padding and skipped pixels */
    if (strip > most_strip || rows * (double)p->taps > 1e15)
        return false;
    d->zeros = round_to_lines((size_t)(d->strip ? p->x_group : p->x_channels) * sizeof(float));
    d->strip_bytes = round_to_lines((size_t)strip * sizeof(float));
    d->table = round_to_lines((size_t)rows * (size_t)p->taps * sizeof(float *));
    const struct rectangles *r = &d->rectangles;
    const int64_t planes = divide_up((int64_t)rows, larger(p->out[1] * p->out[2], 1)) + 1; /* that a block touches */
    const int64_t cuts = is_cut(r) ? planes * r->rows.count * r->columns.count : 0;
    const size_t tiles = (size_t)(divide_up((int64_t)rows, d->panels.rows) + cuts);
    d->gaps = d->edges ? round_to_lines(tiles * (size_t)p->taps * sizeof(int64_t)) : 0;
    d->tiles = round_to_lines(tiles * sizeof(struct tile));
    d->per_thread = d->zeros + d->strip_bytes + d->table + d->gaps + d->tiles;
    return true;
}

static bool consider(const struct problem *p, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    struct direct *d = (struct direct *)(void *)c->state;
    d->pixels = p->batch * p->out_pixels;
    /* A run of few channels leaves the inner loop no time to amortise its pointers: whole windows, or strips, make it kernel
     * width times as long. */
    const bool thin = p->x_group < 16 && p->kernel[2] > 1 && p->dilation[2] == 1;
    d->strip = p->taps > 0 && (p->layout == FALT_CHANNELS_FIRST || thin);
    const int64_t few = r->kernels->gemm_rows[1]; /* are not shared out */
    const int64_t share = d->pixels <= few ? d->pixels : divide_up(d->pixels, r->threads);
    const int64_t apart = p->stride[2] * (d->strip ? p->x_group : p->x_channels);
    d->panels = falt_panels(r->kernels, p->y_group, smaller(share, 64), p->taps * p->x_group, apart, r->cpu->l1d / 4096);
    if (falt_panels_floats(p, &d->panels) > 1e15) {
        snprintf(reason, SOLVER_REASON, "the packed weights need more memory than can be addressed");
        return false;
    }
    c->packed = (size_t)falt_panels_floats(p, &d->panels) * sizeof(float);

    d->inner = p->taps > 0 && !falt_is_flat(p) && find_inner(p, r, d);
    d->strip = d->strip && !d->inner;
    const bool many = p->batch * p->out[0] * p->out[1] >= 8 * (int64_t)r->threads; /* rows, to be shared out evenly */
    d->unit = (d->strip || (d->inner && many)) && d->pixels ? p->out[2] : 1;
    d->cuts = 1;
    if (d->pixels > 0)
        cut_rows(p, r, d);
    for (int i = 0; i < 3 && !d->strip; i++)
        d->edges = d->edges || p->pad[i] > 0 ||
                   (p->out[i] - 1) * p->stride[i] - p->pad[i] + (p->kernel[i] - 1) * p->dilation[i] >= p->in[i];
    d->torn = d->edges ? 1.0 - falt_whole_share(p) : 0.0;
    const bool cut = d->edges && !d->inner && !p->circular && d->pixels > 0 && p->taps > 0;
    d->rectangles = cut ? falt_rectangles(p, &d->panels, r->cpu->l2) : falt_uncut(p);
    d->seen = taps_share(p, d);
    d->flat = !d->strip && !d->edges && falt_is_flat(p);

    double cycles = 0.0;
    d->pixel_ranges = d->panel_ranges = d->block = 1;
    if (d->pixels > 0) {
        cycles = choose_grid(p, r, d);
        choose_block(p, r, d);
    }
    if (!choose_workspace(p, d)) {
        snprintf(reason, SOLVER_REASON, "a row of the input with its padding is out of all proportion to the image");
        return false;
    }
    /* A pixel's channels all go the same way: a line here and there past the caches is slow. */
    d->stream = falt_outgrows(p, r->cpu) && p->y.c == 1 && d->panels.nr % (SOLVER_ALIGN / (int64_t)sizeof(float)) == 0;
    const bool there = !d->strip && !(d->inner && thin);
    d->beyond = there && falt_tensor_bytes(p) > 0.4 * (double)r->cpu->l2 * (double)r->threads;
    d->asks = there && falt_outgrows(p, r->cpu) && p->x_channels * (int64_t)sizeof(float) < 4096;
    /* Each panel goes through all pixels, and prefetchers go on beyond the last: they are to find this thread's pixels there,
     * not another's. (Groups that write more than they read 1.2 to 1.5 times as fast, others 0.9 to 1.05, one group 1.0.) */
    d->falls = d->flat && p->y_channels > p->x_channels && !d->asks && !d->stream;
    c->threads = (int)(d->pixel_ranges * d->panel_ranges);
    d->per_thread += falt_threads_apart(r, c->threads);
    c->workspace = d->per_thread * (size_t)c->threads;
    c->seconds = cycles / cost_hertz;
    c->accuracy = 1.0;
    c->error_growth = 1.0;
    c->error_terms = (double)(p->taps * p->x_group);
    char even[32] = ""; /* packed weights depend on it */
    if (d->panels.count > divide_up(d->panels.padded, d->panels.nr))
        snprintf(even, sizeof even, ", %lld panels", (long long)d->panels.count);
    snprintf(c->kernel, SOLVER_NOTE, "%s %dx%d%s", r->kernels->name, d->panels.rows, (int)d->panels.nr, even);
    char cuts[48] = "";
    if (is_cut(&d->rectangles))
        snprintf(cuts, sizeof cuts, ", planes of %dx%d rectangles", d->rectangles.rows.count, d->rectangles.columns.count);
    snprintf(c->schedule, SOLVER_NOTE, "%lld pixel x %lld channel ranges, blocks of %lld pixels%s%s",
             (long long)d->pixel_ranges, (long long)d->panel_ranges, (long long)(d->block * d->unit),
             d->strip ? ", input strips" : "", cuts);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- packing */

static void pack(const struct problem *p, const struct candidate *c, const float *weights, void *packed)
{
    falt_pack_panels(p, &((const struct direct *)(const void *)c->state)->panels, weights, packed);
}

/* ---------------------------------------------------------------------------------------------------------------- running */

struct job {
    const struct problem *p;
    const struct direct *d;
    const struct kernels *kernels;
    const struct operands *operands;
    struct epilogue epilogue;
    struct tensor_strides x;
    bool stream; /* past the caches: the output outgrows them, and its pixels begin with cache lines */
};

/* One thread's view of the block at hand: where a pixel's window begins, n * image + z * plane + ... from base on, and how to
 * step from one tap to the next. */
struct view {
    const float *base;
    int64_t image, plane, row, pixel;
    int64_t tap[3];
    bool runs; /* the taps of a kernel row are contiguous inside of the image */
};

struct thread_space {
    float *zeros, *strip;
    const float **table;
    int64_t *gaps;
    struct tile *tiles;
    int64_t pointed;   /* pixels of the block that the tiles are for, if they hold for any such block; else 0 */
    bool above, below; /* whether pixels before the block and behind it are another thread's */
};

struct place {
    int64_t n, z, y, x;
    int column; /* of rectangles */
};

static struct place place_of(const struct problem *p, const struct direct *d, int64_t pixel)
{
    const struct sections *columns = &d->rectangles.columns;
    const int64_t plane = pixel / (p->out[1] * p->out[2]), at = pixel % (p->out[1] * p->out[2]);
    const int column = section_of(columns, at / p->out[1]);
    const int64_t begin = section_begin(columns, column), within = at - begin * p->out[1], width = columns->end[column] - begin;
    return (struct place){
        .n = plane / p->out[0],
        .z = plane % p->out[0],
        .y = within / width,
        .x = begin + within % width,
        .column = column,
    };
}

/* Pixels from one on that are neighbours in its row and its rectangle. */
static int64_t row_left(const struct direct *d, const struct place *at)
{
    return d->rectangles.columns.end[at->column] - at->x;
}

/* Pixels from one on that are in its rectangle, where planes are cut. */
static int64_t rectangle_left(const struct direct *d, const struct place *at)
{
    const struct sections *columns = &d->rectangles.columns;
    const int64_t begin = section_begin(columns, at->column), width = columns->end[at->column] - begin;
    return (rectangle_end(&d->rectangles, at->column, at->y) - at->y) * width - (at->x - begin);
}

/* Floats from y to channel 0 of an output pixel. */
static int64_t output_of(const struct problem *p, struct place at)
{
    return p->y.base + at.n * p->y.n + at.z * p->y.pixel[0] + at.y * p->y.pixel[1] + at.x * p->y.pixel[2];
}

/* `count` pixels further, at most to the end of the row. */
static void advance(const struct problem *p, const struct direct *d, struct place *place, int64_t count)
{
    const struct sections *columns = &d->rectangles.columns;
    place->x += count;
    if (place->x < columns->end[place->column])
        return;
    place->x = section_begin(columns, place->column);
    if (++place->y < p->out[1])
        return;
    place->y = 0;
    if (++place->column < columns->count) {
        place->x = section_begin(columns, place->column);
        return;
    }
    place->column = 0;
    place->x = 0;
    if (++place->z < p->out[0])
        return;
    place->z = 0;
    place->n++;
}

/* Whether an output row has inner pixels. */
static bool row_inside(const struct problem *p, const struct place *at)
{
    return window_inside(p, 0, at->z * p->stride[0] - p->pad[0]) && window_inside(p, 1, at->y * p->stride[1] - p->pad[1]);
}

/* Past the inner pixels, if it is at some. */
static void skip_inner(const struct job *job, struct place *place)
{
    const struct direct *d = job->d;
    while (place->n < job->p->batch && place->x >= d->inner_begin && place->x < d->inner_end && row_inside(job->p, place))
        advance(job->p, d, place, d->inner_end - place->x);
}

/* Neighbours from a pixel on, in its row, that are not inner ones if it is none. */
static int64_t neighbours(const struct job *job, const struct place *at)
{
    const bool before = at->x < job->d->inner_begin && row_inside(job->p, at);
    return (before ? job->d->inner_begin : job->p->out[2]) - at->x;
}

/* A tile's pointers where the image goes around in a circle: all of them find a pixel. */
static void point_around(const struct job *job, const struct view *view, const float *const *window, int64_t (*begin)[3],
                         const struct tile *tile)
{
    const struct problem *p = job->p;
    const float **entry = tile->table;
    for (int64_t d = 0; d < p->kernel[0]; d++)
        for (int64_t r = 0; r < p->kernel[1]; r++)
            for (int64_t s = 0; s < p->kernel[2]; s++)
                for (int64_t m = 0; m < tile->rows; m++) {
                    const int64_t z = begin[m][0] + d * p->dilation[0], y = begin[m][1] + r * p->dilation[1];
                    const int64_t x = begin[m][2] + s * p->dilation[2], line = falt_pixel(p, 1, y) - y;
                    const int64_t around = ((falt_pixel(p, 0, z) - z) * p->in[1] + line) * p->in[2] + falt_pixel(p, 2, x) - x;
                    *entry++ = window[m] + d * view->tap[0] + r * view->tap[1] + s * view->tap[2] + around * job->x.pixel;
                }
}

/* A tile's pointers where some windows reach out of the image. Taps through which all of them do are left out. */
static void point_edges(const struct job *job, const struct view *view, const float *zeros, const float *const *window,
                        int64_t (*begin)[3], struct tile *tile)
{
    const struct problem *p = job->p;
    const int64_t rows = tile->rows, width = p->kernel[2];
    const float **entry = tile->table;
    struct range taps[GEMM_MAX_ROWS];
    for (int64_t m = 0; m < rows; m++)
        taps[m] = falt_seen_taps(p, 2, begin[m][2], begin[m][2]);
    int64_t kept = 0, gap = 0; /* taps */
    for (int64_t d = 0; d < p->kernel[0]; d++)
        for (int64_t r = 0; r < p->kernel[1]; r++) {
            int64_t size[GEMM_MAX_ROWS]; /* of the line */
            struct range any = {width, 0};
            for (int64_t m = 0; m < rows; m++) {
                size[m] = 0;
                if (!inside(begin[m][0] + d * p->dilation[0], p->in[0]) ||
                    !inside(begin[m][1] + r * p->dilation[1], p->in[1]) || taps[m].end == 0)
                    continue;
                size[m] = p->in[2];
                any.begin = smaller(any.begin, taps[m].begin);
                any.end = larger(any.end, taps[m].end);
            }
            gap += smaller(any.begin, width);
            for (int64_t s = any.begin; s < any.end; s++, entry += rows) {
                tile->gapped = tile->gapped || gap > 0;
                tile->gaps[kept++] = gap * p->x_group;
                gap = 0;
                const int64_t offset = d * view->tap[0] + r * view->tap[1] + s * view->tap[2];
                for (int64_t m = 0; m < rows; m++) /* without branches */
                    entry[m] = inside(begin[m][2] + s * p->dilation[2], size[m]) ? window[m] + offset : zeros;
            }
            gap += any.begin < any.end ? width - any.end : 0;
        }
    tile->taps = kept;
}

/* Fills in a tile from `at` on, and its pointers: [tap][row], or [kernel row][row] where all taps of a kernel row are one run.
 * inner: its windows are known to be whole. Inlined: where sums are short a call costs 4 % of a tile. */
INLINE void point(const struct job *job, const struct view *view, const float *zeros, int64_t origin, struct place *at,
                  bool inner, struct tile *tile)
{
    const struct problem *p = job->p;
    const float *window[GEMM_MAX_ROWS];
    int64_t begin[GEMM_MAX_ROWS][3];
    const bool edges = job->d->edges && !inner, apart = job->d->inner && !inner;
    bool whole = true, straight = true;                      /* all of them are neighbours */
    for (int64_t m = 0, count; m < tile->rows; m += count) { /* neighbours in an output row */
        count = smaller(tile->rows - m, apart ? neighbours(job, at) : row_left(job->d, at));
        straight = count == tile->rows;
        const float *first = view->base + at->n * view->image + at->z * view->plane + at->y * view->row + at->x * view->pixel;
        const int64_t output = output_of(p, *at) - origin;
        for (int64_t i = 0; i < count; i++) {
            window[m + i] = first + i * view->pixel;
            tile->output[m + i] = output + i * p->y.pixel[2];
        }
        if (edges) {
            const int64_t z = at->z * p->stride[0] - p->pad[0], y = at->y * p->stride[1] - p->pad[1];
            const int64_t x = at->x * p->stride[2] - p->pad[2];
            whole = whole && window_inside(p, 0, z) && window_inside(p, 1, y) && window_inside(p, 2, x) &&
                    window_inside(p, 2, x + (count - 1) * p->stride[2]);
            for (int64_t i = 0; i < count; i++) {
                begin[m + i][0] = z;
                begin[m + i][1] = y;
                begin[m + i][2] = x + i * p->stride[2];
            }
        }
        advance(p, job->d, at, count);
        if (apart)
            skip_inner(job, at);
    }
    tile->window_step = tile->rows > 1 ? window[1] - window[0] : 0;
    tile->output_step = tile->rows > 1 ? tile->output[1] - tile->output[0] : 0;
    tile->even = whole;
    for (int64_t m = 0; m < tile->rows && tile->even && !straight; m++)
        tile->even =
            window[m] - window[0] == m * tile->window_step && tile->output[m] - tile->output[0] == m * tile->output_step;
    const bool runs = whole && view->runs;
    const int64_t width = runs ? 1 : p->kernel[2], rows = tile->rows;
    const float **entry = tile->table;
    tile->taps = p->kernel[0] * p->kernel[1] * width;
    tile->depth = p->x_group * (runs ? p->kernel[2] : 1);
    tile->gapped = false;
    if (p->circular && !whole) {
        point_around(job, view, window, begin, tile);
        return;
    }
    if (!whole) {
        point_edges(job, view, zeros, window, begin, tile);
        return;
    }
    for (int64_t d = 0; d < p->kernel[0]; d++)
        for (int64_t r = 0; r < p->kernel[1]; r++)
            for (int64_t s = 0; s < width; s++, entry += rows) {
                const int64_t offset = d * view->tap[0] + r * view->tap[1] + s * view->tap[2];
                for (int64_t m = 0; m < rows; m++)
                    entry[m] = window[m] + offset;
            }
}

/* Copies what `pixels` of plane (n, z), whole rows or a piece of one, see of a group into the strip, channels last, with
 * padding: [kernel depth][strip_height][strip_width][x channel]. */
static void fill_strip(const struct job *job, int64_t group, struct place at, int64_t pixels, float *strip)
{
    const struct problem *p = job->p;
    const struct direct *d = job->d;
    const int64_t rows = d->cuts > 1 ? 1 : pixels / p->out[2], window = (p->kernel[1] - 1) * p->dilation[1] + 1;
    const int64_t height = (rows - 1) * p->stride[1] + window, line = d->strip_width * p->x_group;
    const int64_t width = d->strip_width - (d->unit - pixels / rows) * p->stride[2];
    const float *image = job->operands->x + at.n * job->x.n + group * p->x_group * job->x.c;
    for (int64_t k = 0; k < p->kernel[0]; k++)
        for (int64_t h = 0; h < height; h++) {
            if (h % p->stride[1] >= window) /* no kernel sees it */
                continue;
            const int64_t z = falt_pixel(p, 0, at.z * p->stride[0] - p->pad[0] + k * p->dilation[0]);
            const int64_t y = falt_pixel(p, 1, at.y * p->stride[1] - p->pad[1] + h);
            const float *row = z >= 0 && y >= 0 ? image + (z * p->in[1] + y) * p->in[2] * job->x.pixel : NULL;
            falt_gather_row(job->kernels, row, p->in[2], job->x, p->x_group, p->circular, at.x * p->stride[2] - p->pad[2],
                            width, strip + (k * d->strip_height + h) * line, p->x_group);
        }
}

static struct view look(const struct job *job, int64_t group, struct place at, int64_t pixels, float *strip)
{
    const struct problem *p = job->p;
    const struct tensor_strides *x = &job->x;
    if (job->d->strip) { /* has the padding in it, and one plane for each tap in depth */
        const int64_t pixel = p->x_group, line = pixel * job->d->strip_width;
        fill_strip(job, group, at, pixels, strip);
        return (struct view){
            .base = strip - at.y * p->stride[1] * line - at.x * p->stride[2] * pixel,
            .row = p->stride[1] * line,
            .pixel = p->stride[2] * pixel,
            .tap = {line * job->d->strip_height, line * p->dilation[1], pixel * p->dilation[2]},
            .runs = p->dilation[2] == 1,
        };
    }
    const int64_t line = x->pixel * p->in[2], plane = line * p->in[1];
    return (struct view){
        .base = job->operands->x - p->pad[0] * plane - p->pad[1] * line - p->pad[2] * x->pixel,
        .image = x->n,
        .plane = p->stride[0] * plane,
        .row = p->stride[1] * line,
        .pixel = p->stride[2] * x->pixel,
        .tap = {plane * p->dilation[0], line * p->dilation[1], x->pixel * p->dilation[2]},
        .runs = p->dilation[2] == 1 && p->groups == 1,
    };
}

/* Tiles that are computed together. */
struct run {
    const struct tile *tiles;
    int64_t count, pixels;
    bool flat;        /* the first two, of which one is a row taller, stand for all of them */
    ptrdiff_t offset; /* floats from where their pointers point to their input */
    int64_t origin;   /* floats from y to their first output pixel */
    int64_t falling;  /* of flat ones, so many last ones go from the last on */
    int64_t lines;    /* of flat ones, so many rows of output pixels, if they are even */
    ptrdiff_t line;   /* floats from one's input to the next */
};

/* Tiles that one call computes: so many in that direction, which are alike. */
struct steps {
    int64_t first, count, direction;
};

/* Of flat ones, the first `tall` of which are a row taller: those behind the first `done`. */
static struct steps steps_of(const struct run *run, int64_t tall, int64_t done)
{
    const int64_t rising = run->count - run->falling;
    if (done < rising)
        return (struct steps){done, smaller(rising, done < tall ? tall : run->count) - done, 1};
    const int64_t first = run->count - 1 - (done - rising);
    return (struct steps){first, first + 1 - (first < tall ? rising : larger(tall, rising)), -1};
}

/* What kernels for rows that lie evenly can do. */
static bool writes_rows(const struct job *job, int64_t columns, int64_t width)
{
    return job->p->y.c == 1 && columns == width && !job->operands->residual && job->epilogue.activation == ACTIVATE_NONE;
}

/* first: no panel has seen these pixels before. */
static void run_panel(const struct job *job, const struct run *run, int64_t group, int64_t panel, bool first)
{
    const struct problem *p = job->p;
    const struct operands *o = job->operands;
    const struct panels *panels = &job->d->panels;
    const struct tile *const tiles = run->tiles; /* calls could change what run points to */
    const int64_t count = run->count, low = run->pixels / count, tall = run->pixels % count, origin = run->origin;
    const bool flat = run->flat;
    const int64_t from = falt_panel_first(panels, panel), channel = group * p->y_group + from,
                  width = falt_panel_width(panels, panel);
    struct gemm_args args = {
        .a_offset = run->offset + (job->d->strip ? 0 : group * p->x_group),
        .b = (const float *)o->packed + falt_panel_offset(panels, p->taps * p->x_group, group, panel),
        .c = o->y + origin + channel * p->y.c,
        .residual = o->residual ? o->residual + origin + channel * p->y.c : NULL,
        .step = p->y.c,
        .bias = o->bias ? o->bias + channel : NULL,
        .columns = smaller(width, p->y_group - from),
        .stream = job->stream && falt_in_lines(o->y, channel | width),
        .epilogue = job->epilogue,
    };
    /* Where vectors are whole lines, each of so many tiles would ask for far more than its share (measured with AVX-512: 0.91
     * to 1.0 times as fast). */
    const bool lines = (size_t)job->kernels->vec * sizeof(float) >= SOLVER_ALIGN, asks = first && job->d->asks;
    const bool beyond = first && lines && job->d->beyond;
    if (!lines)
        falt_ask_in_order(&args, divide_up(p->taps * p->x_group * width, count * run->lines));
    const float *const b = args.b;
    const bool last = group == p->groups - 1 && panel == panels->count - 1; /* what is behind it may be another thread's */
    args.coming = last ? (const float *)o->packed : b + p->taps * p->x_group * width;
    const bool plain = writes_rows(job, args.columns, width);
    float *const c = args.c;
    const float *const residual = args.residual;
    const ptrdiff_t offset = args.a_offset;
    for (int64_t done = 0; done < count; done += args.tiles) {
        const struct steps steps = flat ? steps_of(run, tall, done) : (struct steps){done, tiles[done].alike, 1};
        const struct tile *tile = &tiles[flat ? steps.first < tall : done];
        const int64_t next =
            steps.direction * tile->rows * p->stride[2] * job->x.pixel; /* floats from its pixels to the next one's */
        const int64_t before = flat ? steps.first * low + smaller(steps.first, tall) : 0; /* pixels */
        args.a_offset = offset + before * p->stride[2] * job->x.pixel;
        const bool in_order = beyond && tile->taps == 1 && next > 0 && next <= tile->depth * job->kernels->vec;
        args.ahead = asks && !in_order ? next : 0;
        if (in_order)
            args.coming = tile->table[0] + args.a_offset + next;
        if (lines)
            falt_ask_in_order(&args, in_order ? next : 0);
        const bool even = plain && tile->even && args.ahead == 0;
        args.tiles = steps.count;
        if (flat) {
            args.next.a_offset = next;
            args.c = c + before * p->y.pixel[2];
            args.residual = residual ? residual + before * p->y.pixel[2] : NULL;
            if (run->lines > 1) {
                const int64_t pixels = args.tiles * tile->rows;
                args.lines = run->lines;
                args.line.a_offset = run->line - pixels * p->stride[2] * job->x.pixel;
                args.line.c = p->y.pixel[1] - pixels * p->y.pixel[2];
            }
        } else {
            args.next.a = tile->rows * p->taps;
            args.c = c + (even ? tile->output[0] : 0);
            args.residual = residual;
        }
        args.next.c = steps.direction * tile->rows * p->y.pixel[2];
        args.a = tile->table;
        args.b = b;
        args.taps = tile->taps;
        args.depth = tile->depth;
        args.gaps = tile->gapped ? tile->gaps : NULL;
        args.row = tile->output;
        args.a_row = tile->window_step;
        args.a_tap = tile->rows;
        args.c_row = tile->output_step;
        (even ? job->kernels->even : job->kernels->gemm)[width / panels->vec][tile->rows](&args);
    }
}

/* Whether the tile after this one differs by its place only, and the outputs of both are evenly spaced. */
static bool goes_on(const struct tile *tile, ptrdiff_t pixel)
{
    const struct tile *next = tile + 1;
    bool same = next->rows == tile->rows && next->taps == tile->taps && next->depth == tile->depth &&
                next->gapped == tile->gapped && next->even == tile->even && next->window_step == tile->window_step;
    for (int64_t t = 0; t < tile->taps && same && tile->gapped; t++)
        same = next->gaps[t] == tile->gaps[t];
    for (int64_t m = 0; m < tile->rows && same; m++)
        same = next->output[m] - tile->output[m] == tile->rows * pixel;
    return same;
}

/* Cuts a block into tiles, so many. Those in a strip depend on the number of pixels only: blocks of the same size share them.
 * Where all pixels are evenly spaced, the first two, one of them a row taller, stand for all others. */
static int64_t point_tiles(const struct job *job, struct thread_space *space, const struct view *view, struct place start,
                           int64_t pixels)
{
    const struct direct *d = job->d;
    const float **table = space->table;
    int64_t *gaps = space->gaps, tiles = 0;
    struct place at = start;
    if (space->pointed == pixels)
        return divide_up(pixels, d->panels.rows);
    for (int64_t done = 0, some; done < pixels; done += some) {
        some = is_cut(&d->rectangles) ? smaller(rectangle_left(d, &at), pixels - done) : pixels;
        const int64_t count = divide_up(some, d->panels.rows), differ = d->flat ? 1 + (some % count > 0) : count;
        for (int64_t t = 0; t < differ; t++) {
            struct tile *tile = &space->tiles[tiles + t];
            tile->rows = some / count + (d->flat ? t : t < some % count);
            tile->table = table;
            table += tile->rows * job->p->taps;
            tile->gaps = gaps;
            gaps += d->edges ? job->p->taps : 0;
            if (d->flat)
                at = start;
            point(job, view, space->zeros, output_of(job->p, start), &at, false, tile);
        }
        tiles += count;
    }
    for (int64_t t = tiles - 1; t >= 0 && !d->flat; t--)
        space->tiles[t].alike =
            1 + (t + 1 < tiles && goes_on(&space->tiles[t], job->p->y.pixel[2]) ? space->tiles[t + 1].alike : 0);
    space->pointed = d->strip ? pixels : 0;
    return tiles;
}

/* Panels [begin, end) of pixels [first, first + pixels). */
static void run_block(const struct job *job, struct thread_space *space, int64_t first, int64_t pixels, int64_t begin,
                      int64_t end)
{
    const struct direct *d = job->d;
    const int64_t panels = d->panels.count;
    const struct place start = place_of(job->p, d, first);
    int64_t tiles = 0, falling = 0;
    for (int64_t group = begin / panels; group * panels < end; group++) {
        if (group == begin / panels || d->strip) {
            const struct view view = look(job, group, start, pixels, space->strip);
            tiles = point_tiles(job, space, &view, start, pixels);
            falling = !d->falls || !space->below ? 0 : space->above ? tiles / 2 : tiles;
        }
        const int64_t from = larger(begin - group * panels, 0), to = smaller(end - group * panels, panels);
        for (int64_t panel = from; panel < to; panel++)
            run_panel(job,
                      &(struct run){.tiles = space->tiles,
                                    .count = tiles,
                                    .pixels = pixels,
                                    .flat = d->flat,
                                    .origin = output_of(job->p, start),
                                    .falling = falling,
                                    .lines = 1},
                      group, panel, panel == from);
    }
}

/* Cuts so many whole windows of a row into tiles, all of which the first two stand for. */
static void point_inner(const struct job *job, struct thread_space *space, const struct view *view, int64_t pixels)
{
    const struct direct *d = job->d;
    const struct place corner = {.x = d->inner_begin};
    const int64_t count = divide_up(pixels, d->panels.rows);
    if (space->pointed == pixels)
        return;
    for (int taller = 0; taller < 2; taller++) {
        struct tile *tile = &space->tiles[taller];
        struct place at = corner;
        tile->rows = smaller(pixels / count + taller, d->panels.rows);
        tile->table = space->table + taller * d->panels.rows * job->p->taps;
        point(job, view, space->zeros, output_of(job->p, corner), &at, true, tile);
    }
    space->pointed = pixels;
}

/* The same where whole windows and edges go apart. */
static void run_rows(const struct job *job, struct thread_space *space, int64_t first, int64_t pixels, int64_t begin,
                     int64_t end)
{
    const struct problem *p = job->p;
    const struct direct *d = job->d;
    const struct view view = look(job, 0, (struct place){0}, pixels, NULL);
    int64_t edges = pixels;
    /* Several rows in one call, as long as nothing is to be asked for meanwhile. */
    const bool together = writes_rows(job, p->y_group, d->panels.padded) && !d->asks && !d->beyond;
    for (int64_t pixel = first, next; pixel < first + pixels; pixel = next) {
        struct place at = place_of(p, d, pixel);
        next = smaller(pixel + p->out[2] - at.x, first + pixels);
        const int64_t from = larger(at.x, d->inner_begin), to = smaller(at.x + next - pixel, d->inner_end);
        if (from >= to || !row_inside(p, &at))
            continue;
        point_inner(job, space, &view, to - from);
        struct run run = {.tiles = space->tiles,
                          .count = divide_up(to - from, d->panels.rows),
                          .pixels = to - from,
                          .flat = true,
                          .offset =
                              at.n * view.image + at.z * view.plane + at.y * view.row + (from - d->inner_begin) * view.pixel,
                          .lines = 1,
                          .line = view.row};
        struct place below = at;
        while (together && space->tiles[0].even && space->tiles[1].even && at.x == 0 && run.lines < d->lines &&
               next + p->out[2] <= first + pixels && ++below.y < p->out[1] && row_inside(p, &below)) {
            run.lines++;
            next += p->out[2];
        }
        at.x = from;
        run.origin = output_of(p, at);
        for (int64_t panel = begin; panel < end; panel++)
            run_panel(job, &run, 0, panel, panel == begin);
        edges -= run.lines * (to - from);
    }
    struct place at = place_of(p, d, first);
    skip_inner(job, &at);
    for (struct tile *tile = &space->tiles[2]; edges > 0; edges -= tile->rows) {
        const int64_t origin = output_of(p, at);
        tile->rows = smaller(edges, d->panels.rows);
        tile->alike = 1;
        tile->table = space->table + 2 * d->panels.rows * p->taps;
        tile->gaps = space->gaps;
        point(job, &view, space->zeros, origin, &at, false, tile);
        for (int64_t panel = begin; panel < end; panel++)
            run_panel(job, &(struct run){.tiles = tile, .count = 1, .pixels = tile->rows, .origin = origin, .lines = 1}, 0,
                      panel, false);
    }
}

static void run_piece(const struct job *job, struct thread_space *space, int64_t piece)
{
    const struct direct *d = job->d;
    int64_t first, last, begin, end;
    falt_share(units_of(job->p, d), (int)(piece % d->pixel_ranges), (int)d->pixel_ranges, &first, &last);
    falt_share(job->p->groups * d->panels.count, (int)(piece / d->pixel_ranges), (int)d->panel_ranges, &begin, &end);
    const bool seam_above = first > 0, seam_below = last < units_of(job->p, d);
    const int64_t top = first;
    while (first < last) {
        int64_t units = smaller(d->block, last - first), pixel = first * d->unit, pixels;
        if (d->strip && d->cuts == 1) /* units are output rows: stay within one plane */
            units = smaller(units, job->p->out[1] - first % job->p->out[1]);
        pixels = units * d->unit;
        if (d->cuts > 1) { /* or pieces of them, one by one */
            const int64_t x = first % d->cuts * d->unit, row = job->p->out[2];
            pixel = first / d->cuts * row + x;
            pixels = smaller(d->unit, row - x);
        }
        space->above = seam_above && first == top;
        space->below = seam_below && first + units == last;
        (d->inner ? run_rows : run_block)(job, space, pixel, pixels, begin, end);
        first += units;
    }
}

static void run_member(const struct job *job, int member, int members)
{
    const struct direct *d = job->d;
    char *memory = (char *)job->operands->workspace + d->per_thread * (size_t)member;
    struct thread_space space = {
        .zeros = (float *)(void *)memory,
        .strip = (float *)(void *)(memory + d->zeros),
        .table = (const float **)(void *)(memory + d->zeros + d->strip_bytes),
        .gaps = (int64_t *)(void *)(memory + d->zeros + d->strip_bytes + d->table),
        .tiles = (struct tile *)(void *)(memory + d->zeros + d->strip_bytes + d->table + d->gaps),
    };
    memset(space.zeros, 0, d->zeros);
    for (int64_t piece = member; piece < d->pixel_ranges * d->panel_ranges; piece += members)
        run_piece(job, &space, piece);
    if (job->stream)
        job->kernels->fence();
}

static void run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                const struct operands *operands, int member, int members)
{
    const struct direct *d = (const struct direct *)(const void *)c->state;
    const struct job job = {
        .p = p,
        .d = d,
        .kernels = kernels,
        .operands = operands,
        .epilogue = falt_epilogue(p),
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
        .stream = d->stream && falt_in_lines(operands->y, p->y.base | p->y.n | p->y.pixel[0] | p->y.pixel[1] | p->y.pixel[2]),
    };
    run_member(&job, member, members);
}

const struct solver falt_solver_direct = {"direct", FALT_ALGO_DIRECT, SOLVES_FORWARD, true, consider, pack, run};
