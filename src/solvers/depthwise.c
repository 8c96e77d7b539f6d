/*
 * depthwise.c - depthwise convolution, and grouped convolution with few channels a group: windows that slide over vectors
 * (kernels.h, depthwise_args).
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
 * for the rest; with a dilation, or a stride beyond 2 (in rows: 1), it is all single taps. Each output is one chain of
 * multiply-adds in an order that only the plan determines.
 */
#include <stdio.h>
#include <string.h>

#include "../arithmetic.h"
#include "../cost.h"
#include "../padding.h"
#include "../parallel.h"
#include "../range.h"
#include "../solver.h"
#include "../strip.h"

struct depthwise {
    enum depthwise_kind kind;
    enum depthwise_height height;
    int vec, tile;         /* floats in a vector; outputs in a tile */
    int width, stride;     /* of the kernel's window */
    int slide;             /* the dimension that the window slides along */
    bool turned;           /* channels last: columns of the image serve as rows */
    int64_t windows, rest; /* of a kernel line: kernel[slide] = windows * width + rest */
    int64_t ways;          /* pixels along the slide whose lines fit L1 together */
    int64_t parts;         /* channels last: vectors of input channels of a group */
    int64_t outer;         /* kernel lines: the product of all but the sliding dimension */
    int64_t lines, taps;   /* of depthwise_args */
    int64_t depth;         /* likewise */
    int64_t unit_groups;   /* channels last: groups in a unit, or 0: units_per_group units in a group */
    int64_t units_per_group;
    bool partial;                    /* units have fewer channels than a vector has lanes: they are masked */
    bool apart;                      /* rows: a phase, whose lanes go to pixels that are not neighbours */
    int64_t mixed, sets;             /* rows: channels that follow each other in a row, or 0; sets of their weights */
    int64_t whole_units;             /* before one with fewer groups, or */
    bool overlaps;                   /* with as many, some of which the unit before has, too */
    int64_t units;                   /* channels last: vectors of output channels; channels first: groups of all images */
    int64_t blocks;                  /* channels first: vectors in an output row */
    int64_t down;                    /* channels last: output rows that are computed at once */
    int64_t repeats;                 /* the most tiles below each other whose input stays in L2 for all units; in rows: in L1 */
    int64_t row_tiles;               /* tiles of one row (last), or one plane (first) */
    bool by_rows;                    /* channels last: threads get rows of the output, else columns of tiles */
    int64_t tiles;                   /* what a unit is cut into for threads: rows, columns, tiles or blocks of all planes */
    bool strip;                      /* what a block sees is copied into the thread's scratch first */
    int64_t together;                /* units that share a strip; its pixels have so many vectors */
    bool rolls;                      /* all rows of a thread's tile go in one call, line by line */
    bool pairs;                      /* units go by twos */
    bool across;                     /* all units of a tile before the tile below, else those of a line first */
    bool asks;                       /* x and y are more than the shared cache: blocks ask for the next one's rows */
    bool stream;                     /* the output outgrows the caches, and a vector is a cache line */
    int64_t strip_pitch, strip_rows; /* pixels of a strip's row; rows for each position in kernel depth */
    int64_t block_rows, block_tiles; /* outputs of a block: rows, tiles of a row */
    int64_t row_blocks, column_blocks;
    int64_t tile_ranges, unit_ranges;
    size_t table, columns, around, lanes, biases, strip_bytes, result, scattered; /* a thread's workspace, in this order */
    size_t per_thread;                                                            /* their sum, and what is between threads */
};

/* Columns [begin, end) of a line, and where they all are; see cut(). */
struct columns {
    ptrdiff_t offset, *around;
    int32_t begin, end;
    bool inside; /* around is that of tiles inside of the image, which is the same for all of them */
};

/* Lanes [begin, end) of a vector. */
struct lanes {
    int32_t begin, end;
};

_Static_assert(sizeof(struct depthwise) <= SOLVER_STATE, "the solver's state must fit");

enum {
    FEW_WAYS = 16,       /* pixels so far apart that no more of them fit L1 together are copied first, by part of a line */
    SMALL_L1 = 32 << 10, /* of 8 ways, Zen 4: 1.3 to 2.9 times as fast; with 12 ways, of 48 KiB, half as fast */
    STRIP_CHANNELS = 64, /* at once, of pixels that lie in pages of their own */
    ROLLED_WAYS = 48,    /* of so few, lines come from L2 one after another where a block asks for its 45 */
    ROLLED_ROWS = 64,    /* at most, in a call: it has a table of the lines they see */
    APART_WAYS = 32,     /* of so few the tiles do not go down unit by unit */
    TURNED_ROWS = 3      /* of a kernel of one column, at least: two share little (phases of 3x3: 0.9 to 1.07) */
};

/* --------------------------------------------------------------------------------------------------------------- planning */

static bool grouped(const struct depthwise *d)
{
    return d->kind == DEPTHWISE_GROUPS || d->kind == DEPTHWISE_SPREAD;
}

/* Cycles of one tile and vector of outputs: bound by multiply-adds, by loads, by permutations or by the latency of the sums'
 * chains; and what it takes to begin and to store. */
static double tile_cycles(const struct depthwise *d, int tile)
{
    const double depth = grouped(d) ? (double)d->depth : 1.0;
    const double columns = (double)((tile - 1) * d->stride + d->width), width = (double)d->width;
    const double loads = (columns + width) / cost_loads_per_cycle;
    const double fma = (double)tile * width / cost_fma_per_cycle, permutes = d->kind == DEPTHWISE_GROUPS ? columns : 0.0;
    double line = fma > loads ? fma : loads;
    line = line > permutes ? line : permutes;
    line = line > cost_fma_latency * width ? line : cost_fma_latency * width;
    if (grouped(d) && columns > (double)d->ways) /* read again from L2 for each of its channels */
        line += columns;
    const double window = (double)d->lines * columns; /* of which L1 keeps so many */
    if (d->kind == DEPTHWISE_CHANNELS && !d->strip && window > (double)d->ways)
        line += 1.5 * columns * (1.0 - (double)d->ways / window);
    if (d->partial)
        line *= 1.2;
    /* Lanes that go apart are stored one by one, or, where vectors are whole lines, through masks. */
    const double apart = (size_t)d->vec * sizeof(float) < SOLVER_ALIGN ? 2.0 * d->vec : 8.0;
    const double tap = (double)tile, store = d->partial ? 4.0 : d->apart ? apart : 1.5;
    return depth * ((double)d->lines * line + (double)d->taps * tap) + 10.0 + store * (double)tile;
}

/* The window that needs the fewest loads. */
static void choose_window(const struct problem *p, const struct resources *r, struct depthwise *d)
{
    const int64_t extent = p->kernel[d->slide], stride = p->stride[d->slide];
    const int64_t tile = r->kernels->depthwise_rows[DEPTHWISE_TALL];
    const int64_t most_stride = d->kind == DEPTHWISE_ROWS ? 1 : 2;
    const int64_t room = d->turned ? d->ways - (r->kernels->depthwise_rows[DEPTHWISE_SHORT] - 1) * stride : DEPTHWISE_MAX_WIDTH;
    int64_t least = extent * tile;
    d->width = d->stride = 1;
    for (int width = 2; width <= smaller(DEPTHWISE_MAX_WIDTH, room) && p->dilation[d->slide] == 1 && stride <= most_stride;
         width++) {
        const int64_t loads = extent / width * ((tile - 1) * stride + width) + extent % width * tile;
        if (r->kernels->depthwise[d->kind][width][stride - 1][DEPTHWISE_TALL] && loads < least) {
            least = loads;
            d->width = width;
            d->stride = (int)stride;
        }
    }
    d->windows = extent / d->width;
    d->rest = extent % d->width;
    d->lines = d->outer * d->windows;
    d->taps = d->outer * d->rest;
}

/* The height that wastes the least on outputs beyond the last. */
static void choose_height(const struct resources *r, struct depthwise *d, int64_t outputs)
{
    double least = -1.0;
    for (int height = 0; height < DEPTHWISE_HEIGHTS_COUNT; height++) {
        const int tile = r->kernels->depthwise_rows[height];
        const double cycles = (double)divide_up(outputs, tile) * tile_cycles(d, tile);
        if (least < 0.0 || cycles < least) {
            least = cycles;
            d->height = (enum depthwise_height)height;
            d->tile = tile;
        }
    }
}

/* The block whose strip fits a quarter of L2 and copies the least for each output. */
static void choose_block(const struct problem *p, const struct resources *r, struct depthwise *d)
{
    const double pixel = (double)(d->parts * d->together * d->vec) * sizeof(float);
    const double most = (double)r->cpu->l2 / 4.0 / pixel / (double)p->kernel[0];
    const double down = (double)(p->kernel[1] - 1) * (double)p->dilation[1] + 1.0;
    const double along = (double)(p->kernel[2] - 1) * (double)p->dilation[2] + 1.0;
    double least = -1.0;
    for (int64_t tiles = d->row_tiles; tiles >= 1; tiles = tiles > 1 ? divide_up(tiles, 2) : 0) {
        const double columns = (double)(tiles * d->tile - 1) * (double)p->stride[2] + along;
        const double fit = (most / columns - down) / (double)p->stride[1] + 1.0;
        const int64_t fitting = fit < 1.0 ? 1 : fit < 1e9 ? (int64_t)fit : 1000000000;
        const int64_t wanted = p->layout == FALT_CHANNELS_LAST ? r->threads : 1; /* so that no two share a pixel's channels */
        const int64_t blocks = larger(smaller(wanted, p->out[1]), divide_up(p->out[1], fitting));
        const int64_t rows = divide_up(p->out[1], blocks);
        const double copied = columns * ((double)(rows - 1) * (double)p->stride[1] + down) / (double)(rows * tiles);
        if (least >= 0.0 && copied >= least)
            continue;
        least = copied;
        d->block_rows = rows;
        d->block_tiles = tiles;
        d->row_blocks = blocks;
        d->column_blocks = divide_up(d->row_tiles, tiles);
        d->strip_pitch = (int64_t)columns;
        d->strip_rows = (rows - 1) * p->stride[1] + (int64_t)down;
    }
}

/* Channels last: whether pixels of y are no neighbours. */
static bool is_phase(const struct problem *p)
{
    return smaller(p->y.pixel[1], p->y.pixel[2]) != p->y_channels;
}

/* Of those that a tile sees, to it and the tile above it together. */
static bool most_rows_new(const struct problem *p)
{
    return p->dilation[1] > 1 || 2 * p->stride[1] >= p->kernel[1];
}

/* Whether a vector is but part of a cache line. */
static bool part_of_line(const struct depthwise *d)
{
    return (size_t)d->vec * sizeof(float) < SOLVER_ALIGN;
}

/* Bytes that a tile of so many outputs sees, of all units. */
static double seen_bytes(const struct problem *p, const struct depthwise *d, int tile)
{
    const int64_t columns = (tile - 1) * d->stride + p->kernel[d->slide];
    return (double)d->outer * (double)columns * (double)p->x_channels * sizeof(float);
}

/* Whether what a tile sees has room in L1 for all units. */
static bool fits_l1(const struct problem *p, const struct resources *r, const struct depthwise *d, int tile)
{
    return seen_bytes(p, d, tile) <= 0.75 * (double)r->cpu->l1d;
}

/* Whether what tiles see comes in bursts that short ones had better cut, in spite of their calls. */
static bool comes_in_bursts(const struct problem *p, const struct resources *r, const struct depthwise *d, bool beyond)
{
    const double seen = seen_bytes(p, d, d->tile), l1 = (double)r->cpu->l1d;
    if (grouped(d)) /* it takes its time over them */
        return false;
    if (p->layout == FALT_CHANNELS_FIRST)
        return beyond && most_rows_new(p);
    if (most_rows_new(p))
        return beyond ? seen > l1 / 4.0 : d->rest == 0 && p->out[2] > d->tile && seen > l1 / 2.0;
    return beyond && seen > l1 / 2.0 && fits_l1(p, r, d, r->kernels->depthwise_rows[DEPTHWISE_SHORT]);
}

/* Whether all units of a tile go before the tile below. Tiles that go down unit by unit find the rows they share in L1, if it
 * keeps a tile's window: of pixels powers of two apart it does not. Where it keeps few of them, loads have the same last twelve
 * bits of their addresses as stores that wait for the cache, and have to wait for them. Where most rows are new to a tile, or
 * L1 keeps them for all units, there is little to gain: prefetchers that see whole pixels are worth more, of what comes from
 * beyond L2, and so are threads that need not meet in a row (measured with two: 1.3 to 1.8 times as fast), if it has more than
 * one tile. Vectors that are but part of a line go down only where the input is in L2 and the output is dense; and phases not
 * beside other threads, whose rows would be too near (256 channels at 28x28: 2 to 2.6 times as fast). */
static bool goes_across(const struct problem *p, const struct resources *r, const struct depthwise *d, bool beyond)
{
    const int64_t window = d->lines * ((d->tile - 1) * d->stride + d->width) + d->taps * d->tile;
    if (d->ways <= APART_WAYS || 4 * window > 3 * d->ways || (is_phase(p) && r->threads > 1))
        return true;
    if (part_of_line(d))
        return beyond || is_phase(p);
    return most_rows_new(p) ? beyond || p->out[2] > d->tile : beyond && d->down == 1 && fits_l1(p, r, d, d->tile);
}

/* Channels last: floats of x from one position to the next along the slide, and along the other dimension. */
static int64_t slide_step(const struct problem *p, const struct depthwise *d)
{
    return d->turned ? p->in[1] * p->x_channels : p->x_channels;
}

static int64_t other_step(const struct problem *p, const struct depthwise *d)
{
    return d->turned ? p->x_channels : p->in[2] * p->x_channels;
}

/* Lines so many floats apart that fit L1 together: it maps what is a power of two apart, up to a page, to few sets. */
static int64_t ways_of(const struct resources *r, int64_t apart)
{
    const int64_t bytes = apart * (int64_t)sizeof(float);
    return r->cpu->l1d / larger(64, smaller(4096, bytes & -bytes));
}

/* Positions that a tile's window sees. */
static int64_t seen_along(const struct depthwise *d)
{
    return (d->tile - 1) * d->stride + d->width;
}

/* Whether a turned tile sees more than fits L1, or leaves threads too few of them. */
static bool is_tall(const struct problem *p, const struct depthwise *d)
{
    return seen_along(d) > d->ways || p->out[2] < cost_nominal_threads * d->tile;
}

/* Vectors of channels, of pixels that are in channels-last order or will be. */
static bool consider_channels(const struct problem *p, const struct resources *r, struct depthwise *d,
                              char reason[SOLVER_REASON])
{
    const int64_t vec = d->vec, widest = larger(p->x_group, p->y_group);
    if (p->x_group > 2 * vec || (p->x_group > vec && p->x_group % vec)) {
        snprintf(reason, SOLVER_REASON, "a vector holds %d channels, a group has %lld", d->vec, (long long)p->x_group);
        return false;
    }
    if (p->layout == FALT_CHANNELS_LAST && falt_is_flat(p) && falt_whole_share(p) == 1.0 && p->groups == 1) {
        /* Direct's tile does the same, in one call for all of them (1.0 to 1.4 times as fast). */
        snprintf(reason, SOLVER_REASON, "a single tap has no windows that overlap");
        return false;
    }
    d->slide = 2;
    d->depth = smaller(p->x_group, vec);
    d->parts = divide_up(p->x_group, vec);
    d->unit_groups = widest <= vec ? smaller(vec / widest, p->groups) : 0;
    d->kind = widest == 1 ? DEPTHWISE_CHANNELS : d->unit_groups > 1 ? DEPTHWISE_GROUPS : DEPTHWISE_SPREAD;
    d->units_per_group = divide_up(p->y_group, vec);
    d->whole_units = d->unit_groups ? p->groups / d->unit_groups : 0;
    d->units = d->unit_groups ? divide_up(p->groups, d->unit_groups) : p->groups * d->units_per_group;
    d->outer = d->parts * p->kernel[0] * p->kernel[1];
    d->ways = p->layout == FALT_CHANNELS_LAST ? ways_of(r, slide_step(p, d)) : ways_of(r, 16);
    d->partial = d->kind != DEPTHWISE_SPREAD && (d->unit_groups ? d->unit_groups * p->x_group : p->x_group) % vec != 0;
    choose_window(p, r, d);
    choose_height(r, d, p->out[2]);
    const bool beyond = falt_tensor_bytes(p) > 0.75 * (double)r->cpu->l2 * (double)r->threads;
    if (d->turned ? is_tall(p, d) : !part_of_line(d) && comes_in_bursts(p, r, d, beyond)) {
        d->height = DEPTHWISE_SHORT;
        d->tile = r->kernels->depthwise_rows[DEPTHWISE_SHORT];
    }
    if (d->turned && (d->width == 1 || (d->ways <= FEW_WAYS && d->ways < ways_of(r, other_step(p, d))))) {
        snprintf(reason, SOLVER_REASON, "windows along columns would not overlap, or not in L1");
        return false;
    }
    const bool last = p->layout == FALT_CHANNELS_LAST;
    const bool down = r->kernels->depthwise_block && d->kind == DEPTHWISE_CHANNELS && last && d->width == 3 &&
                      d->windows == 1 && d->rest == 0 && d->stride == 1 && p->kernel[0] == 1 && p->stride[1] == 1 &&
                      p->kernel[1] > 1 && p->dilation[1] == 1 && p->out[1] >= r->kernels->depthwise_down;
    d->down = down ? r->kernels->depthwise_down : 1;
    d->across = goes_across(p, r, d, beyond);
    const bool whole = d->kind == DEPTHWISE_CHANNELS && p->groups % vec == 0 && !p->circular;
    d->strip =
        !last || (whole && !d->turned && p->kernel[1] > 1 && d->ways <= FEW_WAYS && r->cpu->l1d <= SMALL_L1 && part_of_line(d));
    d->rolls = down && !d->strip && !p->circular && d->ways <= ROLLED_WAYS && falt_tensor_bytes(p) <= (double)r->cpu->l3;
    d->down = d->rolls ? smaller(p->out[1], ROLLED_ROWS) : d->down;
    /* Whole vectors are faster than a masked one, though part of their work is done twice. */
    d->overlaps = last && !d->strip && d->unit_groups && p->groups > d->unit_groups && p->groups % d->unit_groups != 0;
    d->together = last && d->strip ? smaller(d->units, larger(1, STRIP_CHANNELS / vec)) : 1;
    d->pairs = whole && last && !down && !d->strip && !d->turned && d->rest == 0 && falt_pixels_meet(p) &&
               r->kernels->depthwise_pairs[d->width][d->stride - 1];
    if (down || d->pairs) {
        d->height = DEPTHWISE_SHORT;
        d->tile = r->kernels->depthwise_rows[DEPTHWISE_SHORT];
    }
    d->row_tiles = divide_up(p->out[2], d->tile);
    const double area = (double)p->stride[1] * (double)p->stride[2] * d->tile, further = area * (double)p->x_channels * 4.0;
    d->repeats = d->down > 1 ? INT32_MAX : larger(1, (int64_t)((double)r->cpu->l2 / 2.0 / further));
    if (d->strip) {
        choose_block(p, r, d);
        d->tiles = p->batch * p->out[0] * d->row_blocks * d->column_blocks;
    }
    return true;
}

/* Vectors of pixels of a row. */
static bool consider_rows(const struct problem *p, const struct resources *r, struct depthwise *d, char reason[SOLVER_REASON])
{
    if (p->stride[2] > 1) {
        snprintf(reason, SOLVER_REASON, "with a stride along the row its pixels are no vectors");
        return false;
    }
    if (p->x_group > 4 * d->vec) {
        snprintf(reason, SOLVER_REASON, "%lld channels a group are too many to read again for each output channel",
                 (long long)p->x_group);
        return false;
    }
    d->slide = 1;
    d->kind = DEPTHWISE_ROWS;
    d->apart = p->y.pixel[2] != 1;
    d->depth = d->parts = d->down = 1;
    d->across = part_of_line(d);
    d->units = p->batch * p->groups;
    d->blocks = divide_up(p->out[2], d->vec);
    d->outer = p->x_group * p->kernel[0] * p->kernel[2];
    choose_window(p, r, d);
    choose_height(r, d, p->out[1]);
    d->row_tiles = divide_up(p->out[1], d->tile);
    d->tiles = p->out[0] * d->row_tiles;
    const double rows = (double)p->stride[1] * d->tile, further = rows * (double)p->in[2] * (double)p->x_group * 4.0;
    d->repeats = larger(1, (int64_t)((double)r->cpu->l1d / 2.0 / further));
    return true;
}

/* Channels last as rows of floats of a single channel. */
static struct problem mix(const struct problem *p)
{
    struct problem mixed = *p;
    const int64_t channels = p->x_channels;
    mixed.groups = mixed.x_channels = mixed.y_channels = mixed.x_group = mixed.y_group = 1;
    mixed.in[2] *= channels;
    mixed.out[2] *= channels;
    mixed.pad[2] *= channels;
    mixed.dilation[2] = p->kernel[2] > 1 ? p->dilation[2] * channels : 1; /* which a single tap may have any of */
    mixed.in_pixels *= channels;
    mixed.out_pixels *= channels;
    mixed.y.c = mixed.y.pixel[2] = 1;
    return mixed;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    return b ? common_divisor(b, a % b) : a;
}

/* The problem as the solver sees it. */
static struct problem seen_by(const struct depthwise *d, const struct problem *p)
{
    return d->mixed ? mix(p) : d->turned ? falt_problem_turned(p) : *p;
}

static bool consider_turned(const struct problem *p, const struct resources *r, struct depthwise *d, char reason[SOLVER_REASON])
{
    const struct problem turned = falt_problem_turned(p);
    d->turned = true;
    return consider_channels(&turned, r, d, reason);
}

static bool consider_mixed(const struct problem *p, const struct resources *r, struct depthwise *d, char reason[SOLVER_REASON])
{
    const struct problem mixed = mix(p);
    d->mixed = p->x_channels;
    d->sets = d->mixed / common_divisor(d->mixed, d->vec);
    return consider_rows(&mixed, r, d, reason);
}

/* Whether there is anything to gain, and taps are whole pixels apart. */
static bool can_mix(const struct problem *p, const struct kernels *kernels)
{
    return p->x_group == 1 && p->y_group == 1 && p->x_channels < kernels->vec && p->stride[2] == 1 && !p->circular &&
           p->y.pixel[2] == p->y_channels;
}

/* Where a column is that position `tap` of the kernel sees first, of `count`, from the image's first on. */
static int64_t position_of(const struct problem *p, const struct depthwise *d, int64_t first, int64_t tap)
{
    const int64_t position = first * p->stride[d->slide] - p->pad[d->slide] + tap * p->dilation[d->slide];
    const bool outside = position < 0 || position >= p->in[d->slide];
    return p->circular && outside ? remainder_of(position, p->in[d->slide]) : position;
}

/* The kernel position of window or single tap i, and the columns of a tile that it sees. */
static int64_t tap_at(const struct depthwise *d, int64_t i)
{
    return i < d->windows ? i * d->width : d->windows * d->width + i - d->windows;
}

static bool is_window(const struct depthwise *d, int64_t i)
{
    return d->width > 1 && i < d->windows;
}

static int64_t columns_of(const struct depthwise *d, int64_t i)
{
    return is_window(d, i) ? (d->tile - 1) * d->stride + d->width : d->tile;
}

/* Rows of the output whose windows are inside of the image. */
static struct range rows_inside(const struct problem *p)
{
    const int64_t room = p->in[1] + p->pad[1] - (p->kernel[1] - 1) * p->dilation[1];
    return (struct range){divide_up(p->pad[1], p->stride[1]),
                          room <= 0 ? 0 : smaller(p->out[1], divide_up(room, p->stride[1]))};
}

/* In rows: the tiles of a plane that see nothing else, which differ by an offset only. */
static struct range tiles_inside(const struct problem *p, const struct depthwise *d)
{
    const struct range rows = rows_inside(p);
    return (struct range){divide_up(rows.begin, d->tile), rows.end / d->tile};
}

/* Kernels go around a circle once with the lanes of a vector: whether none is further away, at the ends of a row. */
static bool once_around(const struct problem *p, const struct depthwise *d)
{
    const int64_t along = p->in[2];
    return d->kind != DEPTHWISE_ROWS || (d->vec <= along && p->pad[2] <= along &&
                                         d->blocks * d->vec + (p->kernel[2] - 1) * p->dilation[2] - p->pad[2] <= 2 * along);
}

static bool choose_workspace(const struct problem *p, struct depthwise *d)
{
    const double lines = (double)(d->lines + d->taps + d->down - 1), pixel = (double)(d->parts * d->together * d->vec);
    const double lanes = d->kind == DEPTHWISE_ROWS ? lines * (double)d->blocks : 0.0;
    const double strip = d->strip ? (double)p->kernel[0] * (double)d->strip_rows * (double)d->strip_pitch * pixel : 0.0;
    if (lines > 1e12 || lanes > 1e12 || strip > 1e12)
        return false;
    d->table = round_to_lines((size_t)lines * sizeof(struct depthwise_line));
    d->columns = round_to_lines((size_t)(d->windows + d->rest) * sizeof(struct columns));
    const size_t around = (size_t)(d->windows * columns_of(d, 0) + d->rest * d->tile);
    d->around = p->circular && !d->strip ? round_to_lines(around * sizeof(ptrdiff_t)) : 0;
    d->lanes = round_to_lines((size_t)lanes * sizeof(struct lanes));
    d->strip_bytes = round_to_lines((size_t)strip * sizeof(float));
    d->biases = d->mixed ? round_to_lines((size_t)(d->sets * d->vec) * sizeof(float)) : 0;
    d->result = d->strip && p->layout == FALT_CHANNELS_FIRST
                    ? (size_t)(d->block_rows * d->block_tiles * d->tile * d->vec) * sizeof(float)
                    : 0;
    d->scattered = d->result && p->y.pixel[2] != 1 ? (size_t)(d->block_tiles * d->tile * d->vec) * sizeof(float) : 0;
    d->per_thread =
        d->table + d->columns + d->around + d->lanes + d->biases + d->strip_bytes + round_to_lines(d->result + d->scattered);
    return true;
}

/* What one unit has to do, cut into equal parts for threads: how many, calls of a kernel in each, and what it costs, in cycles,
 * where two threads meet within one of the planes. */
struct way_to_cut {
    int64_t tiles;
    int64_t units; /* at most so many ranges of them beside each other */
    double calls, seam;
};

/* The grid with the least time for its slowest piece, of those that take less than `least`, if that is not negative. cell,
 * table: cycles of a call, of all units' calls. */
static double choose_ranges(const struct problem *p, const struct resources *r, struct depthwise *d,
                            const struct way_to_cut *cut, double cell, double table, double least)
{
    const double input = (double)(p->x_count + p->y_count) * sizeof(float) / cost_l3_bytes;
    const double pixels = (double)p->y_count / (double)p->y_channels;
    const double weights = (double)p->w_count * sizeof(float) / (r->warm_weights ? cost_l3_bytes : cost_memory_bytes);
    for (int64_t threads = 1; threads <= r->threads; threads++) {
        const int64_t tile_ranges = smaller(threads, cut->tiles), unit_ranges = smaller(r->threads / threads, cut->units);
        const double members = (double)(tile_ranges * unit_ranges), share = (double)divide_up(d->units, unit_ranges);
        const double compute = (double)divide_up(cut->tiles, tile_ranges) * cut->calls * (table + share * cell),
                     transfer = input / members;
        double seams = p->batch * p->out[0] % tile_ranges != 0 ? cut->seam : 0.0;
        if (unit_ranges > 1 && d->kind != DEPTHWISE_ROWS && !d->result)
            seams += cost_seam_pixel * pixels / (double)tile_ranges;
        const double cycles = (compute > transfer ? compute : transfer) + weights * share / (double)d->units + seams;
        const double seconds = cycles / cost_hertz + (members > 1.0 ? r->region : 0.0);
        if (least < 0.0 || seconds < least) {
            least = seconds;
            d->tile_ranges = tile_ranges;
            d->unit_ranges = unit_ranges;
        }
    }
    return least;
}

/* The best grid of the best way to cut. */
static double choose_grid(const struct problem *p, const struct resources *r, struct depthwise *d)
{
    const bool skips = p->layout == FALT_CHANNELS_LAST && !d->strip; /* what is outside of the image */
    const double share = skips ? falt_seen_share(p, 0, 1) * falt_seen_share(p, 1, 1) * falt_seen_share(p, 2, 1) : 1.0;
    double table = 40.0 + 5.0 * (double)(d->lines + d->taps), cell = tile_cycles(d, d->tile) * (double)d->down * share;
    if (d->kind == DEPTHWISE_ROWS) {
        const double across = 1.0 + 0.35 * d->vec / 16.0; /* the longer a vector, the more often it lies across two lines */
        const double columns = (double)((d->tile - 1) * d->stride + d->width), pair = 128.0;
        const double again = (double)d->lines / (double)p->kernel[2] * columns * pair * cost_l2_byte;
        if (p->y_group > 1 && (double)p->x_group * columns * pair > (double)r->cpu->l1d / 2.0) /* by each of y's channels */
            cell = cell > again ? cell : again;
        const struct range tiles = tiles_inside(p, d);
        const int64_t alike = larger(tiles.end - tiles.begin, 0);
        const int64_t calls = d->row_tiles - alike + divide_up(alike, d->repeats);
        cell = (double)d->blocks * ((across * cell + 15.0) * (double)p->y_group);
        cell += (table + 100.0) * (double)calls / (double)d->row_tiles;
        table = 0.0;
    } else if (d->strip) { /* transposing takes about a third of a cycle for each float, copying less */
        const double floats = (double)(d->strip_bytes + d->result) / sizeof(float), copy = d->result ? 0.38 : 0.25;
        cell *= (double)(d->block_rows * d->block_tiles) / (double)d->down;
        cell += (copy * floats + 15.0 * (double)d->strip_rows) / (double)d->together;
        cell += d->scattered ? cost_float * (double)d->result / sizeof(float) : 0.0;
        table = 0.0;
    }
    if (d->kind == DEPTHWISE_ROWS || d->strip) {
        const struct way_to_cut cut = {d->tiles, d->units, 1.0, 0.0};
        return choose_ranges(p, r, d, &cut, cell, table, -1.0);
    }
    const int64_t planes = p->batch * p->out[0];
    const double pixel = (double)p->y_channels * sizeof(float) / 64.0, down = (double)d->down;
    const struct way_to_cut columns = {planes * d->row_tiles, d->units, (double)p->out[1] / down,
                                       d->turned ? 0.0 : (double)p->out[1] * pixel * cost_seam_line};
    if (d->turned) {
        d->tiles = columns.tiles;
        return choose_ranges(p, r, d, &columns, cell, table, -1.0);
    }
    struct way_to_cut rows = {planes * p->out[1], d->units, (double)d->row_tiles / down, 0.0};
    if (is_phase(p)) { /* a phase of several: each thread stays in its part of the image in all of them */
        rows.units = 1;
        d->by_rows = true;
        d->tiles = rows.tiles;
        return choose_ranges(p, r, d, &rows, cell, table, -1.0);
    }
    const double by_columns = choose_ranges(p, r, d, &columns, cell, table, -1.0);
    const double least = choose_ranges(p, r, d, &rows, cell, table, by_columns);
    d->by_rows = least < by_columns;
    d->tiles = d->by_rows ? rows.tiles : columns.tiles;
    return least;
}

typedef bool way(const struct problem *p, const struct resources *r, struct depthwise *d, char reason[SOLVER_REASON]);

/* One of the ways to fill vectors. */
static bool consider_way(way *consider_it, const struct problem *problem, const struct resources *r, struct candidate *c,
                         char reason[SOLVER_REASON])
{
    static const char *const kinds[] = {"channels", "groups", "spread", "rows"};
    struct depthwise *d = (struct depthwise *)(void *)c->state;
    d->vec = r->kernels->vec;
    if (!consider_it(problem, r, d, reason))
        return false;
    const struct problem seen = seen_by(d, problem), *p = &seen;
    if (p->circular && !d->strip && !once_around(p, d)) {
        snprintf(reason, SOLVER_REASON, "a vector, or the kernel, goes around the image's circle more than once");
        return false;
    }
    const double vectors = (double)d->units * (double)(d->lines * d->width + d->taps) * (double)d->depth;
    if (!choose_workspace(p, d) || (d->kind != DEPTHWISE_ROWS && vectors > 1e12)) {
        snprintf(reason, SOLVER_REASON, "a tile, or the packed weights, need more memory than can be addressed");
        return false;
    }
    c->packed = d->mixed                    ? (size_t)(d->sets * p->taps * d->vec) * sizeof(float)
                : d->kind == DEPTHWISE_ROWS ? (size_t)p->w_count * sizeof(float)
                                            : ((size_t)vectors + (size_t)d->depth) * (size_t)d->vec * sizeof(float);
    d->tile_ranges = d->unit_ranges = 1;
    d->asks = falt_tensor_bytes(p) > (double)r->cpu->l3;
    d->stream = falt_outgrows(p, r->cpu) && !d->result && (size_t)d->vec * sizeof(float) == SOLVER_ALIGN;
    c->seconds = p->batch ? choose_grid(p, r, d) : 0.0;
    c->threads = (int)(d->tile_ranges * d->unit_ranges);
    d->per_thread += falt_threads_apart(r, c->threads);
    c->workspace = d->per_thread * (size_t)c->threads;
    c->accuracy = 1.0;
    c->error_growth = 1.0;
    c->error_terms = (double)(p->taps * p->x_group);
    snprintf(c->kernel, SOLVER_NOTE, "%s %s %dx%dx%d%s", r->kernels->name, d->mixed ? "mixed" : kinds[d->kind],
             d->rolls ? r->kernels->depthwise_down : (int)d->down, d->tile, d->width,
             d->turned     ? " turned"
             : d->overlaps ? " overlapping"
             : d->pairs    ? " pairs"
                           : ""); /* packed weights depend on it */
    snprintf(c->schedule, SOLVER_NOTE, "%lld tile x %lld channel ranges%s", (long long)d->tile_ranges,
             (long long)d->unit_ranges,
             d->result  ? ", transposed strips"
             : d->strip ? ", strips"
             : d->rolls ? ", rolling"
                        : "");
    return true;
}

static bool consider(const struct problem *p, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    /* With a single channel the layouts are the same. */
    const bool first = p->layout == FALT_CHANNELS_FIRST || (p->x_channels == 1 && p->y_channels == 1);
    if (p->groups == 1 && p->y_group > r->kernels->vec) {
        snprintf(reason, SOLVER_REASON, "there is one group of many channels");
        return false;
    }
    if (p->taps == 0) {
        snprintf(reason, SOLVER_REASON, "there is nothing to compute");
        return false;
    }
    if (!first && !can_mix(p, r->kernels)) {
        struct candidate turned = *c;
        if (p->kernel[2] == 1 && p->kernel[1] >= TURNED_ROWS && consider_way(consider_turned, p, r, &turned, reason)) {
            *c = turned;
            return true;
        }
        return consider_way(consider_channels, p, r, c, reason);
    }

    /* The two sum in different orders: the choice must not depend on the number of threads. */
    way *const by_rows = first ? consider_rows : consider_mixed;
    struct resources one = *r;
    one.threads = 1;
    struct candidate channels = *c, rows = *c;
    const bool fits_channels = consider_way(consider_channels, p, &one, &channels, reason);
    const bool fits_rows = consider_way(by_rows, p, &one, &rows, reason);
    const bool small = r->workspace_limit >= 0 && falt_with_slack(channels.workspace) > (uint64_t)r->workspace_limit;
    if (fits_rows && (!fits_channels || small || rows.seconds < channels.seconds))
        return consider_way(by_rows, p, r, c, reason);
    return fits_channels && consider_way(consider_channels, p, r, c, reason);
}

/* ---------------------------------------------------------------------------------------------------------------- packing */

/* What a unit of channels-last work reads and writes. */
struct unit {
    int64_t x, y;            /* first channel of each */
    int64_t inputs, outputs; /* lanes */
    int64_t skip;            /* outputs that another unit has, too */
};

static struct unit unit_of(const struct problem *p, const struct depthwise *d, int64_t unit)
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

/* Where the tap at the given outer index ([channel or part][depth][the other dimension]) and position of the kernel is in the
 * view of the weights, counted from its base. */
static int64_t tap_of(const struct problem *p, const struct depthwise *d, int64_t outer, int64_t position)
{
    const int64_t other = d->slide == 2 ? p->kernel[1] : p->kernel[2];
    const int64_t k = outer / other % p->kernel[0];
    const int64_t row = d->slide == 2 ? outer % other : position, column = d->slide == 2 ? position : outer % other;
    return k * p->w.tap[0] + row * p->w.tap[1] + column * p->w.tap[2];
}

/* Likewise of an output channel, counted over all groups. */
static int64_t channel_of(const struct problem *p, int64_t channel)
{
    return channel / p->y_group * p->w.group + channel % p->y_group * p->w.o;
}

struct packer {
    const struct problem *p;
    const struct depthwise *d;
    const float *weights;
    float *out;
};

/* The vectors, or the float, of one output unit and outer index, at `count` positions of the kernel from `position` on. */
static void pack_window(struct packer *k, int64_t unit, int64_t outer, int64_t position, int64_t count)
{
    const struct problem *p = k->p;
    const struct depthwise *d = k->d;
    const int64_t line = outer / (d->outer / (d->kind == DEPTHWISE_ROWS ? p->x_group : d->parts)); /* input channel or part */
    if (d->mixed) {                                                                                /* unit: a set */
        for (int64_t i = 0; i < count; i++)
            for (int64_t n = 0; n < d->vec; n++)
                *k->out++ = k->weights[channel_of(p, (unit * d->vec + n) % d->mixed) + tap_of(p, d, outer, position + i)];
        return;
    }
    if (d->kind == DEPTHWISE_ROWS) {
        for (int64_t i = 0; i < count; i++)
            *k->out++ = k->weights[channel_of(p, unit) + line * p->w.i + tap_of(p, d, outer, position + i)];
        return;
    }
    const struct unit at = unit_of(p, d, unit);
    for (int64_t depth = 0; depth < d->depth; depth++)
        for (int64_t i = 0; i < count; i++) {
            const float *in = k->weights + (line * d->vec + depth) * p->w.i + tap_of(p, d, outer, position + i);
            for (int64_t n = 0; n < d->vec; n++)
                *k->out++ = n < at.outputs ? in[channel_of(p, at.y + n)] : 0.0f;
        }
}

static void pack(const struct problem *problem, const struct candidate *c, const float *weights, void *packed)
{
    const struct depthwise *d = (const struct depthwise *)(const void *)c->state;
    const struct problem turned = falt_problem_turned(problem), *p = d->turned ? &turned : problem;
    struct packer k = {p, d, weights + p->w.base, packed};
    const int64_t units = d->mixed ? d->sets : d->kind == DEPTHWISE_ROWS ? p->y_channels : d->units;
    if (d->kind != DEPTHWISE_ROWS) {
        int32_t *index = packed; /* channel i of its group in each output channel's lane */
        for (int64_t i = 0; i < d->depth; i++)
            for (int64_t n = 0; n < d->vec; n++) {
                const int64_t group = n / p->y_group;
                *index++ = (int32_t)(group < d->unit_groups ? group * p->x_group + i : i);
            }
        k.out += d->depth * d->vec;
    }
    for (int64_t unit = 0; unit < units; unit++) {
        for (int64_t outer = 0; outer < d->outer; outer++)
            for (int64_t window = 0; window < d->windows; window++)
                pack_window(&k, unit, outer, window * d->width, d->width);
        for (int64_t outer = 0; outer < d->outer; outer++)
            for (int64_t tap = 0; tap < d->rest; tap++)
                pack_window(&k, unit, outer, d->windows * d->width + tap, 1);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- running */

struct job {
    const struct problem *p;
    const struct depthwise *d;
    const struct operands *operands;
    depthwise_kernel *kernel, *block; /* of one output row, of d->down */
    const struct kernels *kernels;
    struct epilogue epilogue;
    struct tensor_strides x;
    ptrdiff_t pitch; /* floats from one position of the sliding dimension to the next, */
    ptrdiff_t row;   /* and channels last, of the other one */
    bool stream;     /* store past the caches */
};

/* Where a tile is: image, output depth, output row, and its first output along the sliding dimension (a block of a row where
 * the tile runs along it); channels first: of which group. */
struct place {
    int64_t n, z, y, first, group;
};

/* A thread's workspace. */
struct thread_space {
    struct depthwise_line *lines;
    struct columns *columns;
    struct lanes *lanes;
    float *strip, *result, *bias;
};

/* Kernel line (i, k, o): i a part or an input channel, k the position in kernel depth, o in the dimension that is left. Its
 * vector at position 0 of the sliding dimension, or NULL if it is outside of the image. */
static const float *line_of(const struct job *job, const struct place *at, int64_t i, int64_t k, int64_t o)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t z = falt_pixel(p, 0, at->z * p->stride[0] - p->pad[0] + k * p->dilation[0]);
    if (z < 0)
        return NULL;
    const float *image = job->operands->x + at->n * job->x.n + z * p->in[1] * p->in[2] * job->x.pixel;
    if (d->kind == DEPTHWISE_ROWS)
        return image + (at->group * p->x_group + i) * job->x.c + o * p->dilation[2] - p->pad[2];
    const int64_t y = falt_pixel(p, 1, at->y * p->stride[1] - p->pad[1] + o * p->dilation[1]);
    return y >= 0 ? image + i * d->vec + y * job->row : NULL;
}

/* Which columns of each window and single tap of a kernel line lie inside of the image, where the first one would be, in floats
 * from position 0, and of a circle where each is behind that, in bytes. They are the same for all tiles with the same first
 * output along the sliding dimension. */
static void cut(const struct job *job, const struct thread_space *space, int64_t first)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t size = p->in[d->slide];
    for (int64_t i = 0; i < d->windows + d->rest; i++) {
        const int64_t position = position_of(p, d, first, tap_at(d, i)), count = columns_of(d, i);
        const int64_t stride = is_window(d, i) ? 1 : p->stride[d->slide];
        struct columns *columns = &space->columns[i];
        columns->offset = position * job->pitch;
        const bool inside = position >= 0 && position + (count - 1) * stride < size; /* most are, and divisions take long */
        columns->begin = position >= 0 ? 0 : (int32_t)smaller(divide_up(-position, stride), count);
        columns->end = inside             ? (int32_t)count
                       : position >= size ? columns->begin
                                          : (int32_t)smaller(divide_up(size - position, stride), count);
        if (!columns->around || (inside && columns->inside))
            continue;
        columns->inside = inside;
        for (int64_t j = 0, there = position; j < count; j++, there += stride) {
            there = there < size ? there : there % size;
            columns->around[j] = (there - position) * job->pitch * (ptrdiff_t)sizeof(float);
        }
    }
}

/* The lines of a tile that `cut` knows: of all windows, then of all single taps. `down` output rows at once see one more line
 * each. */
static void aim(const struct job *job, const struct thread_space *space, const struct place *at, int64_t down)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t channels = d->kind == DEPTHWISE_ROWS ? p->x_group : d->parts,
                  others = p->kernel[d->slide == 2 ? 1 : 2] + down - 1;
    struct depthwise_line *line = space->lines;
    for (int single = 0; single <= (d->rest > 0); single++)
        for (int64_t i = 0; i < channels; i++)
            for (int64_t k = 0; k < p->kernel[0]; k++)
                for (int64_t o = 0; o < others; o++) {
                    const float *base = line_of(job, at, i, k, o);
                    const struct columns *columns = space->columns + (single ? d->windows : 0);
                    for (int64_t w = single ? d->rest : d->windows; w > 0; w--, line++, columns++) {
                        line->x = base ? base + columns->offset : NULL;
                        line->around = columns->around;
                        line->begin = columns->begin;
                        line->end = base ? columns->end : columns->begin;
                    }
                }
}

/* Which lanes of all lines may be read. */
static void set_lanes(const struct depthwise *d, struct depthwise_line *lines, const struct lanes *lanes, int64_t end)
{
    for (int64_t i = 0; i < d->lines + d->taps + d->down - 1; i++) {
        lines[i].lane_begin = lanes ? lanes[i].begin : 0;
        lines[i].lane_end = lanes ? lanes[i].end : (int32_t)end;
    }
}

/* ------------------------------------------------------------------------------------------------------------ channels last */

/* What a block sees of a unit's channels, with its zeros. Lanes of no channel are left as they are: no output uses them. */
static void fill_block(const struct job *job, const struct place *at, const struct unit *channels, float *strip)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t top = at->y * p->stride[1] - p->pad[1], left = at->first * p->stride[2] - p->pad[2];
    const int64_t pixel = d->together * d->vec;
    for (int64_t part = 0; part < d->parts; part++)
        for (int64_t k = 0; k < p->kernel[0]; k++) {
            const int64_t z = falt_pixel(p, 0, at->z * p->stride[0] - p->pad[0] + k * p->dilation[0]);
            const float *image = job->operands->x + at->n * job->x.n + (channels->x + part * d->vec) * job->x.c;
            for (int64_t i = 0; i < d->strip_rows; i++, strip += d->strip_pitch * pixel) {
                if (p->circular && i >= p->in[1]) { /* the same as once around before it, without transposing it again */
                    const int64_t once = p->in[1] * d->strip_pitch * pixel;
                    memcpy(strip, strip - once, (size_t)(d->strip_pitch * pixel) * sizeof(float));
                    continue;
                }
                const int64_t y = falt_pixel(p, 1, top + i);
                const float *row = z >= 0 && y >= 0 ? image + (z * p->in[1] + y) * p->in[2] * job->x.pixel : NULL;
                falt_gather_row(job->kernels, row, p->in[2], job->x, channels->inputs, p->circular, left, d->strip_pitch, strip,
                                pixel);
            }
        }
}

/* The lines of a strip's first tile; those of all others are the same at an offset. */
static void point_block(const struct job *job, const struct thread_space *space, int64_t down)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t columns = (d->tile - 1) * d->stride + d->width, others = p->kernel[1] + down - 1;
    const int64_t pixel = d->together * d->vec;
    struct depthwise_line *line = space->lines;
    for (int single = 0; single <= (d->rest > 0); single++)
        for (int64_t plane = 0; plane < d->parts * p->kernel[0]; plane++)
            for (int64_t o = 0; o < others; o++)
                for (int64_t w = 0; w < (single ? d->rest : d->windows); w++, line++) {
                    const int64_t position = (single ? d->windows * d->width + w : w * d->width) * p->dilation[2];
                    line->x = space->strip + ((plane * d->strip_rows + o * p->dilation[1]) * d->strip_pitch + position) * pixel;
                    line->around = NULL; /* the strip has them all */
                    line->begin = 0;
                    line->end = (int32_t)(single ? d->tile : columns);
                }
    set_lanes(d, space->lines, NULL, d->vec);
}

/* Pixels of a row of y, which are a phase's where they are no neighbours, to and from [pixel][vec], through [channel][pixel].
 */
static void move_row(const struct job *job, const struct unit *channels, int64_t pixels, const float *from, float *result,
                     float *scattered, float *to)
{
    const struct output_view *y = &job->p->y;
    const int64_t vec = job->d->vec, step = y->pixel[2];
    if (step == 1 && from)
        job->kernels->transpose(from, y->c, channels->outputs, pixels, result, vec);
    else if (step == 1)
        job->kernels->transpose(result, vec, pixels, channels->outputs, to, y->c);
    else if (from) {
        for (int64_t n = 0; n < channels->outputs; n++)
            for (int64_t i = 0; i < pixels; i++)
                scattered[n * pixels + i] = from[n * y->c + i * step];
        job->kernels->transpose(scattered, pixels, channels->outputs, pixels, result, vec);
    } else {
        job->kernels->transpose(result, vec, pixels, channels->outputs, scattered, pixels);
        for (int64_t n = 0; n < channels->outputs; n++)
            for (int64_t i = 0; i < pixels; i++)
                to[n * y->c + i * step] = scattered[n * pixels + i];
    }
}

/* The block's outputs between the tensors' layout and [pixel][vec]; whole rows, if they are neighbours, are one long one. */
static void move_block(const struct job *job, const struct place *at, const struct unit *channels, const float *from,
                       const struct thread_space *space, float *to)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t height = smaller(d->block_rows, p->out[1] - at->y),
                  width = smaller(d->block_tiles * d->tile, p->out[2] - at->first);
    const bool whole = width == p->out[2] && p->y.pixel[2] == 1 && p->y.pixel[1] == width;
    const int64_t rows = whole ? 1 : height, pixels = whole ? height * width : width;
    float *result = space->result;
    ptrdiff_t offset = p->y.base + at->n * p->y.n + channels->y * p->y.c + at->z * p->y.pixel[0] + at->y * p->y.pixel[1] +
                       at->first * p->y.pixel[2];
    for (int64_t row = 0; row < rows; row++, offset += p->y.pixel[1], result += width * d->vec)
        move_row(job, channels, pixels, from ? from + offset : NULL, result, space->result + d->result / sizeof(float),
                 to ? to + offset : NULL);
}

/* A block of so many output rows and outputs of each, out of its strip. args: all that its tiles have in common, and where the
 * first output is. */
static void run_block(const struct job *job, const struct thread_space *space, struct depthwise_args *args, int64_t rows,
                      int64_t outputs)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t line = p->stride[1] * d->strip_pitch * args->step;
    const ptrdiff_t row_c = args->down_c;
    float *const c = args->c;
    const float *const residual = args->residual;
    for (int64_t down, y = 0; y < rows; y += args->repeats * down) {
        down = rows - y < d->down ? 1 : d->down;
        point_block(job, space, down);
        args->repeats = (rows - y) / down;
        args->repeat_offset = down * line;
        args->repeat_c = down * row_c;
        for (int64_t x = 0; x < outputs; x += d->tile) {
            const ptrdiff_t to = y * row_c + x * args->c_step;
            args->rows = (int)smaller(d->tile, outputs - x);
            args->offset = y * line + x * args->tap_step;
            args->c = c + to;
            args->residual = residual ? residual + to : NULL;
            (down > 1 ? job->block : job->kernel)(args);
        }
    }
}

/* Units [unit, next) of a block, which share its strip. */
static void run_units(const struct job *job, const struct thread_space *space, const struct place *at, int64_t unit,
                      int64_t next)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const struct operands *o = job->operands;
    const struct unit channels = unit_of(p, d, unit);
    const int64_t taps = d->lines * d->width + d->taps;
    const int64_t rows = smaller(d->block_rows, p->out[1] - at->y);
    const int64_t outputs = smaller(d->block_tiles * d->tile, p->out[2] - at->first);
    const ptrdiff_t to = p->y.base + at->n * p->y.n + at->z * p->y.pixel[0] + at->y * p->y.pixel[1] +
                         at->first * p->y.pixel[2] + channels.y * p->y.c;
    const float *packed = o->packed;
    struct depthwise_args args = {
        .x = space->lines,
        .w = packed + d->depth * d->vec * (1 + unit * taps),
        .bias = o->bias ? o->bias + channels.y : NULL,
        .columns = channels.outputs,
        .units = next - unit,
        .step = d->together * d->vec,
        .tap_step = d->together * d->vec * p->stride[2],
        .index = (const int32_t *)(const void *)packed,
        .lines = d->lines,
        .taps = d->taps,
        .depth = d->depth,
        .unit_offset = d->vec,
        .unit_w = d->depth * d->vec * taps,
        .unit_bias = d->vec,
        .unit_c = d->vec,
        .lane_c = 1,
        .stream = job->stream,
        .epilogue = job->epilogue,
    };
    if (d->result) {
        if (o->residual)
            move_block(job, at, &channels, o->residual, space, NULL);
        args.c = space->result;
        args.residual = o->residual ? space->result : NULL;
        args.c_step = d->vec;
        args.down_c = outputs * d->vec;
    } else {
        args.c = o->y + to;
        args.residual = o->residual ? o->residual + to : NULL;
        args.c_step = p->y.pixel[2];
        args.down_c = p->y.pixel[1];
    }
    run_block(job, space, &args, rows, outputs);
    if (d->result)
        move_block(job, at, &channels, NULL, space, o->y);
}

static void run_blocks(const struct job *job, const struct thread_space *space, int64_t block, int64_t last, int64_t begin,
                       int64_t end)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    for (; block < last; block++) {
        const int64_t row = block / d->column_blocks, plane = row / d->row_blocks;
        const struct place at = {plane / p->out[0], plane % p->out[0], row % d->row_blocks * d->block_rows,
                                 block % d->column_blocks * d->block_tiles * d->tile, 0};
        for (int64_t next, unit = begin; unit < end; unit = next) {
            next = smaller(end, unit + d->together);
            struct unit channels = unit_of(p, d, unit);
            if (d->together > 1) {
                const struct unit to = unit_of(p, d, next - 1);
                channels.inputs = to.x + to.inputs - channels.x;
            }
            if (d->unit_groups || unit == begin || unit % d->units_per_group == 0)
                fill_block(job, &at, &channels, space->strip);
            run_units(job, space, &at, unit, next);
        }
    }
}

/* All units of `repeats` tiles below each other, or with direction -1 above, of `down` output rows at once. args: what all of
 * the tiles have in common. */
static void run_tiles(const struct job *job, const struct thread_space *space, struct depthwise_args *args,
                      const struct place *at, int64_t down, int64_t repeats, int64_t direction, int64_t begin, int64_t end)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const ptrdiff_t to = p->y.base + at->n * p->y.n + at->z * p->y.pixel[0] + at->y * p->y.pixel[1] + at->first * p->y.pixel[2];
    const float *packed = (const float *)job->operands->packed + d->depth * d->vec;
    aim(job, space, at, down);
    args->down = down;
    args->repeats = repeats;
    args->repeat_offset = direction * down * p->stride[1] * job->row;
    args->repeat_c = direction * down * p->y.pixel[1];
    for (int64_t unit = begin; unit < end;) {
        const struct unit channels = unit_of(p, d, unit);
        /* those that are alike: of one group, or all but a narrower last one */
        const int64_t next = !d->unit_groups ? smaller(end, (unit / d->units_per_group + 1) * d->units_per_group) : end;
        const int64_t whole = d->unit_groups ? d->whole_units : next - (p->y_group % d->vec != 0);
        args->units = unit < whole ? smaller(next, whole) - unit : next - unit;
        const int64_t lanes = d->kind == DEPTHWISE_SPREAD ? d->vec : channels.inputs;
        if (space->lines[0].lane_end != lanes)
            set_lanes(d, space->lines, NULL, lanes);
        args->offset = channels.x;
        args->w = packed + unit * args->unit_w;
        args->c = job->operands->y + to + channels.y;
        args->residual = job->operands->residual ? job->operands->residual + to + channels.y : NULL;
        args->bias = job->operands->bias ? job->operands->bias + channels.y : NULL;
        args->columns = channels.outputs;
        args->skip = channels.skip;
        (down > 1 || d->rolls ? job->block : job->kernel)(args);
        unit += args->units;
    }
}

/* Lines [line, last) of all planes: rows of the output, or columns of tiles. Tiles run down the image first: the rows that
 * neighbours share stay in the cache, and so do the columns' bounds; above another thread's rows up. */
static void run_channels_last(const struct job *job, const struct thread_space *space, int64_t line, int64_t last,
                              int64_t begin, int64_t end)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t unit_y = d->unit_groups ? d->unit_groups * p->y_group : d->vec;
    struct depthwise_args args = {
        .x = space->lines,
        .step = job->pitch,
        .tap_step = job->pitch * p->stride[2],
        .index = (const int32_t *)job->operands->packed,
        .lines = d->lines,
        .taps = d->taps,
        .depth = d->depth,
        .c_step = p->y.pixel[2],
        .lane_c = 1,
        .unit_offset = d->unit_groups * p->x_group,
        .unit_w = d->depth * d->vec * (d->lines * d->width + d->taps),
        .unit_bias = unit_y,
        .unit_c = unit_y,
        .down_c = p->y.pixel[1],
        .across = d->across,
        .asks = d->asks,
        .stream = job->stream,
        .epilogue = job->epilogue,
    };
    const struct range inside = rows_inside(p);
    set_lanes(d, space->lines, NULL, 0);
    const bool rows = d->by_rows;
    const int64_t lines = rows ? p->out[1] : d->row_tiles;
    for (int64_t next; line < last; line = next) {
        const int64_t plane = line / lines, from = line % lines, to = smaller(lines, from + last - line);
        next = line + to - from;
        const int64_t bottom = rows ? to : p->out[1];
        const bool seam_above = rows && from > 0, seam_below = rows && to < lines;
        struct place at = {.n = plane / p->out[0], .z = plane % p->out[0]};
        for (int64_t tile = rows ? 0 : from; tile < (rows ? d->row_tiles : to); tile++) {
            at.first = tile * d->tile;
            cut(job, space, at.first);
            args.rows = (int)smaller(d->tile, p->out[2] - at.first);
            for (int64_t down, tiles, y = rows ? from : 0; y < bottom; y += tiles * down) {
                down = d->rolls ? smaller(bottom - y, d->down) : bottom - y < d->down ? 1 : d->down;
                /* tiles that are inside of the image differ by an offset only */
                const bool alike = y >= inside.begin && y + down <= inside.end;
                tiles = alike && !d->rolls ? smaller(d->repeats, (smaller(inside.end, bottom) - y) / down) : 1;
                /* Prefetchers go on beyond the last: they are to find this thread's rows there, not another's. */
                const int64_t upwards = !seam_below ? 0 : seam_above ? tiles / 2 : tiles;
                at.y = y;
                if (tiles > upwards)
                    run_tiles(job, space, &args, &at, down, tiles - upwards, 1, begin, end);
                at.y = y + (tiles - 1) * down;
                if (upwards > 0)
                    run_tiles(job, space, &args, &at, down, upwards, -1, begin, end);
            }
        }
    }
}

/* ----------------------------------------------------------------------------------------------------------- channels first */

/* Lanes of each block of a row that lie inside of the image, for each kernel column. */
static void find_lanes(const struct problem *p, const struct depthwise *d, struct lanes *lanes)
{
    for (int64_t block = 0; block < d->blocks; block++)
        for (int single = 0; single <= (d->rest > 0); single++)
            for (int64_t line = 0; line < p->x_group * p->kernel[0]; line++)
                for (int64_t q = 0; q < p->kernel[2]; q++) {
                    const int64_t from = block * d->vec + q * p->dilation[2] - p->pad[2];
                    const int64_t end = from >= p->in[2] ? 0 : smaller(d->vec, p->in[2] - from);
                    const int64_t begin = from >= 0 ? 0 : smaller(-from, end);
                    for (int64_t i = 0; i < (single ? d->rest : d->windows); i++)
                        *lanes++ = (struct lanes){(int32_t)begin, (int32_t)end};
                }
}

/* Whether no lane of a block is outside of the image. */
static bool whole_block(const struct problem *p, const struct depthwise *d, int64_t block)
{
    const int64_t from = block * d->vec - p->pad[2];
    return from >= 0 && from + (p->kernel[2] - 1) * p->dilation[2] + d->vec <= p->in[2];
}

/* args: what all tiles have in common, and how many below each other. */
static void run_rows_tiles(const struct job *job, const struct thread_space *space, struct depthwise_args *args,
                           const struct place *at)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    cut(job, space, at->first);
    aim(job, space, at, 1);
    args->w = (const float *)job->operands->packed + at->group * p->y_group * p->x_group * p->taps;
    args->rows = (int)smaller(d->tile, p->out[1] - at->first);
    for (int64_t o = at->group * p->y_group; o < (at->group + 1) * p->y_group; o++, args->w += p->x_group * p->taps) {
        const ptrdiff_t plane = p->y.base + at->n * p->y.n + o * p->y.c + at->z * p->y.pixel[0];
        args->bias = job->operands->bias ? job->operands->bias + o : NULL;
        for (int64_t block = 0; block < d->blocks; block += args->units) {
            const ptrdiff_t to = plane + at->first * p->y.pixel[1] + block * d->vec * p->y.pixel[2];
            args->offset = block * d->vec;
            args->units = 1;
            set_lanes(d, space->lines, space->lanes + block * (d->lines + d->taps), 0);
            int64_t most = d->blocks;
            if (d->mixed) { /* up to the last set of weights */
                most = d->sets > 1 ? d->sets - block % d->sets : most;
                args->w = (const float *)job->operands->packed + block % d->sets * p->taps * d->vec;
                args->bias = job->operands->bias ? space->bias + block % d->sets * d->vec : NULL;
            }
            if (whole_block(p, d, block)) {
                while (args->units < most && whole_block(p, d, block + args->units) &&
                       (block + args->units + 1) * d->vec <= p->out[2])
                    args->units++;
            }
            args->c = job->operands->y + to;
            args->residual = job->operands->residual ? job->operands->residual + to : NULL;
            args->columns = smaller(d->vec, p->out[2] - block * d->vec);
            job->kernel(args);
        }
    }
}

static void run_rows(const struct job *job, const struct thread_space *space, int64_t tile, int64_t last, int64_t begin,
                     int64_t end)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    struct depthwise_args args = {
        .x = space->lines,
        .step = job->pitch,
        .tap_step = job->pitch * p->stride[1],
        .lines = d->lines,
        .taps = d->taps,
        .c_step = p->y.pixel[1],
        .lane_c = p->y.pixel[2],
        .unit_offset = d->vec,
        .unit_w = d->sets > 1 ? p->taps * d->vec : 0,
        .unit_bias = d->sets > 1 ? d->vec : 0,
        .unit_c = d->vec * p->y.pixel[2],
        .repeat_offset = d->tile * p->stride[1] * p->in[2],
        .repeat_c = d->tile * p->y.pixel[1],
        .across = d->across,
        .stream = job->stream,
        .lane_around = p->circular ? p->in[2] : 0,
        .epilogue = job->epilogue,
    };
    const struct range inside = tiles_inside(p, d);
    for (int64_t unit = begin; unit < end; unit++)
        for (int64_t t = tile; t < last; t += args.repeats) {
            const int64_t z = t / d->row_tiles, row = t % d->row_tiles;
            const struct place at = {.n = unit / p->groups, .group = unit % p->groups, .z = z, .first = row * d->tile};
            args.repeats =
                row < inside.begin || row >= inside.end ? 1 : smaller(d->repeats, smaller(inside.end - row, last - t));
            run_rows_tiles(job, space, &args, &at);
        }
}

/* ------------------------------------------------------------------------------------------------------------------- threads
 */

/* Units that write to the same place are one thread's. */
static void share_units(const struct depthwise *d, int64_t range, int64_t *begin, int64_t *end)
{
    const int64_t apart = d->units - d->overlaps;
    falt_share(apart, (int)range, (int)d->unit_ranges, begin, end);
    if (*begin < *end && *end == apart)
        *end = d->units;
}

static void run_member(const struct job *job, int member, int members)
{
    const struct depthwise *d = job->d;
    char *memory = (char *)job->operands->workspace + d->per_thread * (size_t)member;
    struct thread_space space;
    space.lines = (struct depthwise_line *)(void *)memory;
    space.columns = (struct columns *)(void *)(memory += d->table);
    ptrdiff_t *around = (ptrdiff_t *)(void *)(memory += d->columns);
    space.lanes = (struct lanes *)(void *)(memory += d->around);
    space.bias = (float *)(void *)(memory += d->lanes);
    space.strip = (float *)(void *)(memory += d->biases);
    space.result = (float *)(void *)(memory + d->strip_bytes);
    for (int64_t i = 0; d->mixed && job->operands->bias && i < d->sets * d->vec; i++)
        space.bias[i] = job->operands->bias[i % d->mixed];
    for (int64_t i = 0; i < d->windows + d->rest; i++) {
        space.columns[i] = (struct columns){.around = d->around ? around : NULL};
        around += d->around ? columns_of(d, i) : 0;
    }
    if (d->lanes)
        find_lanes(job->p, d, space.lanes);
    for (int64_t piece = member; piece < d->tile_ranges * d->unit_ranges; piece += members) {
        int64_t tile, last, begin, end;
        falt_share(d->tiles, (int)(piece % d->tile_ranges), (int)d->tile_ranges, &tile, &last);
        share_units(d, piece / d->tile_ranges, &begin, &end);
        (d->kind == DEPTHWISE_ROWS ? run_rows : d->strip ? run_blocks : run_channels_last)(job, &space, tile, last, begin, end);
    }
    if (job->stream)
        job->kernels->fence();
}

/* Where the output outgrows the caches and is written in vectors that are cache lines, the last one, too, which may reach back.
 * Not out of strips: one line of each of many planes at a time took 1.25 times as long. */
static bool can_stream(const struct problem *p, const struct depthwise *d, const float *y)
{
    const int64_t unit = d->kind == DEPTHWISE_ROWS ? p->y.c : d->unit_groups ? d->unit_groups * p->y_group : p->y_group;
    const int64_t along =
        d->kind == DEPTHWISE_ROWS ? p->y.pixel[1] : p->y.pixel[0] | p->y.pixel[1] | p->y.pixel[2] | p->y_channels;
    return d->stream && (d->kind != DEPTHWISE_ROWS || p->y.pixel[2] == 1) &&
           falt_in_lines(y, p->y.base | p->y.n | along | unit);
}

static void run(const struct problem *problem, const struct candidate *c, const struct kernels *kernels,
                const struct operands *operands, int member, int members)
{
    const struct depthwise *d = (const struct depthwise *)(const void *)c->state;
    struct problem seen;
    const struct problem *p = problem;
    if (d->mixed || d->turned) {
        seen = seen_by(d, problem);
        p = &seen;
    }
    struct job job = {
        .p = p,
        .d = d,
        .operands = operands,
        .kernel = d->pairs ? kernels->depthwise_pairs[d->width][d->stride - 1]
                           : kernels->depthwise[d->mixed ? DEPTHWISE_CHANNELS : d->kind][d->width][d->stride - 1][d->height],
        .block = d->rolls ? kernels->depthwise_rolling : kernels->depthwise_block,
        .kernels = kernels,
        .epilogue = falt_epilogue(p),
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
    };
    job.pitch = d->slide == 1 ? p->in[2] : slide_step(p, d);
    job.row = other_step(p, d);
    job.stream = can_stream(p, d, operands->y);
    run_member(&job, member, members);
}

const struct solver falt_solver_depthwise = {"depthwise", FALT_ALGO_DEPTHWISE, SOLVES_FORWARD, false, consider, pack, run};
