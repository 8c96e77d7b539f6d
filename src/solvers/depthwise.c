/* depthwise.c - plans the depthwise solver and packs its weights. */
#include <stdio.h>

#include "../cost.h"
#include "../padding.h"
#include "depthwise.h"

enum {
    FEW_WAYS = 16,       /* pixels so far apart that no more of them fit L1 together are copied first, by part of a line */
    SMALL_L1 = 32 << 10, /* of 8 ways, Zen 4: 1.3 to 2.9 times as fast; with 12 ways, of 48 KiB, half as fast */
    STRIP_CHANNELS = 64, /* at once, of pixels that lie in pages of their own */
    ROLLED_WAYS = 48,    /* of so few, lines come from L2 one after another where a block asks for its 45 */
    ROLLED_ROWS = 64,    /* at most, in a call: it has a table of the lines they see */
    APART_WAYS = 32,     /* of so few the tiles do not go down unit by unit */
    TURNED_ROWS = 3      /* of a kernel of one column, at least: two share little (phases of 3x3: 0.9 to 1.07) */
};

/* ------------------------------------------------------------------------------------------------ windows, tiles and blocks */

static bool grouped(const struct depthwise *d)
{
    return d->kind == DEPTHWISE_GROUPS || d->kind == DEPTHWISE_SPREAD;
}

/* Whether a vector is but part of a cache line. */
static bool part_of_line(const struct depthwise *d)
{
    return (size_t)d->vec * sizeof(float) < SOLVER_ALIGN;
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
    if (d->width == 1 && d->kind == DEPTHWISE_CHANNELS) /* its bounds, for as few multiply-adds */
        line += 3.0;
    /* Lanes that go apart are stored one by one, or, where vectors are whole lines, through masks. */
    const double apart = part_of_line(d) ? 2.0 * d->vec : 8.0;
    const double tap = (double)tile, store = d->partial ? 4.0 : d->apart ? apart : 1.5;
    return depth * ((double)d->lines * line + (double)d->taps * tap) + 10.0 + store * (double)tile;
}

static void take_height(const struct resources *r, struct depthwise *d, enum depthwise_height height)
{
    d->height = height;
    d->tile = r->kernels->depthwise_rows[height];
}

/* The height that wastes the least on outputs beyond the last: a row's cycles. */
static double choose_height(const struct resources *r, struct depthwise *d, int64_t outputs)
{
    double least = -1.0;
    enum depthwise_height best = DEPTHWISE_TALL;
    for (int height = 0; height < DEPTHWISE_HEIGHTS_COUNT; height++) {
        take_height(r, d, (enum depthwise_height)height);
        const double cycles = (double)tiles_of(d, outputs) * tile_cycles(d, d->tile);
        if (least < 0.0 || cycles < least) {
            least = cycles;
            best = d->height;
        }
    }
    take_height(r, d, best);
    return least;
}

static void take_window(const struct problem *p, struct depthwise *d, int width, int64_t stride, int64_t hop)
{
    d->width = width;
    d->stride = (int)stride;
    d->hop = hop;
    d->windows = p->kernel[d->slide] / width;
    d->rest = p->kernel[d->slide] % width;
    d->lines = d->outer * d->windows;
    d->taps = d->outer * d->rest;
}

/* The window that needs the fewest loads; none, if few outputs of a row are of one class and tiles of them nearly empty. And
 * the height for it. */
static void choose_window(const struct problem *p, const struct resources *r, struct depthwise *d)
{
    const int64_t extent = p->kernel[d->slide], outputs = p->out[d->slide];
    const int64_t both = common_divisor(p->stride[d->slide], p->dilation[d->slide]);
    const int64_t hop = p->dilation[d->slide] / both, stride = p->stride[d->slide] / both;
    const int64_t tile = r->kernels->depthwise_rows[DEPTHWISE_TALL];
    const int64_t most_stride = d->kind == DEPTHWISE_ROWS ? 1 : 2;
    const int64_t room = d->turned ? d->ways - (r->kernels->depthwise_rows[DEPTHWISE_SHORT] - 1) * stride : DEPTHWISE_MAX_WIDTH;
    take_window(p, d, 1, 1, 1);
    const double singles = choose_height(r, d, outputs);
    const bool apart = p->layout == FALT_CHANNELS_LAST && d->kind != DEPTHWISE_ROWS;
    if (stride > most_stride || hop > (apart ? outputs : 1) || p->dilation[d->slide] > INT32_MAX)
        return;
    int64_t least = extent * tile;
    for (int width = 2; width <= smaller(DEPTHWISE_MAX_WIDTH, room); width++) {
        const int64_t loads = extent / width * ((tile - 1) * stride + width) + extent % width * tile;
        if (r->kernels->depthwise[d->kind][width][stride - 1][DEPTHWISE_TALL] && loads < least) {
            least = loads;
            take_window(p, d, width, stride, hop);
        }
    }
    if (choose_height(r, d, outputs) > singles && hop > 1) {
        take_window(p, d, 1, 1, 1);
        choose_height(r, d, outputs);
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
        d->row_blocks = divide_up(p->out[1], rows);
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
    const int64_t window = d->lines * window_columns(d) + d->taps * d->tile;
    if (d->ways <= APART_WAYS || 4 * window > 3 * d->ways || (is_phase(p) && r->threads > 1))
        return true;
    if (part_of_line(d))
        return beyond || is_phase(p);
    return most_rows_new(p) ? beyond || p->out[2] > d->tile : beyond && d->down == 1 && fits_l1(p, r, d, d->tile);
}

/* Lines so many floats apart that fit L1 together: it maps what is a power of two apart, up to a page, to few sets. */
static int64_t ways_of(const struct resources *r, int64_t apart)
{
    const int64_t bytes = apart * (int64_t)sizeof(float);
    return r->cpu->l1d / larger(64, smaller(4096, bytes & -bytes));
}

/* Whether a turned tile sees more than fits L1, or leaves threads too few of them. */
static bool is_tall(const struct problem *p, const struct depthwise *d)
{
    return window_columns(d) > d->ways || p->out[2] < cost_nominal_threads * d->tile;
}

/* ----------------------------------------------------------------------------------------------------- ways to fill vectors */

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
    const bool beyond = falt_tensor_bytes(p) > 0.75 * (double)r->cpu->l2 * (double)r->threads;
    if (d->turned ? is_tall(p, d) : !part_of_line(d) && comes_in_bursts(p, r, d, beyond))
        take_height(r, d, DEPTHWISE_SHORT);
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
    d->strip = !last || (whole && !d->turned && p->kernel[1] > 1 && d->hop == 1 && d->ways <= FEW_WAYS &&
                         r->cpu->l1d <= SMALL_L1 && part_of_line(d));
    d->rolls = down && !d->strip && !p->circular && d->ways <= ROLLED_WAYS && falt_tensor_bytes(p) <= (double)r->cpu->l3;
    d->down = d->rolls ? smaller(p->out[1], ROLLED_ROWS) : d->down;
    /* Whole vectors are faster than a masked one, though part of their work is done twice. */
    d->overlaps = last && !d->strip && d->unit_groups && p->groups > d->unit_groups && p->groups % d->unit_groups != 0;
    d->together = last && d->strip ? smaller(d->units, larger(1, STRIP_CHANNELS / vec)) : 1;
    d->pairs = whole && last && !down && !d->strip && !d->turned && d->rest == 0 && falt_pixels_meet(p) &&
               r->kernels->depthwise_pairs[d->width][d->stride - 1];
    if (down || d->pairs)
        take_height(r, d, DEPTHWISE_SHORT);
    d->row_tiles = tiles_of(d, p->out[2]);
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

struct problem falt_depthwise_seen(const struct depthwise *d, const struct problem *p)
{
    return d->mixed ? mix(p) : d->turned ? falt_problem_turned(p) : *p;
}

static bool consider_turned(const struct problem *p, const struct resources *r, struct depthwise *d, char reason[SOLVER_REASON])
{
    d->turned = true;
    const struct problem turned = falt_depthwise_seen(d, p);
    return consider_channels(&turned, r, d, reason);
}

static bool consider_mixed(const struct problem *p, const struct resources *r, struct depthwise *d, char reason[SOLVER_REASON])
{
    d->mixed = p->x_channels;
    d->sets = d->mixed / common_divisor(d->mixed, d->vec);
    const struct problem mixed = falt_depthwise_seen(d, p);
    return consider_rows(&mixed, r, d, reason);
}

/* Whether there is anything to gain, and taps are whole pixels apart. */
static bool can_mix(const struct problem *p, const struct kernels *kernels)
{
    return p->x_group == 1 && p->y_group == 1 && p->x_channels < kernels->vec && p->stride[2] == 1 && !p->circular &&
           p->y.pixel[2] == p->y_channels;
}

/* Kernels go around a circle once with the lanes of a vector: whether none is further away, at the ends of a row. */
static bool once_around(const struct problem *p, const struct depthwise *d)
{
    const int64_t along = p->in[2];
    return d->kind != DEPTHWISE_ROWS || (d->vec <= along && p->pad[2] <= along &&
                                         d->blocks * d->vec + (p->kernel[2] - 1) * p->dilation[2] - p->pad[2] <= 2 * along);
}

/* ---------------------------------------------------------------------------------------------------- workspace and threads */

static bool choose_workspace(const struct problem *p, struct depthwise *d)
{
    const double lines = (double)(d->lines + d->taps + d->down - 1), pixel = (double)(d->parts * d->together * d->vec);
    const double lanes = d->kind == DEPTHWISE_ROWS ? lines * (double)d->blocks : 0.0;
    const double strip = d->strip ? (double)p->kernel[0] * (double)d->strip_rows * (double)d->strip_pitch * pixel : 0.0;
    if (lines > 1e12 || lanes > 1e12 || strip > 1e12)
        return false;
    d->table = round_to_lines((size_t)lines * sizeof(struct depthwise_line));
    d->columns = round_to_lines((size_t)(d->windows + d->rest) * sizeof(struct columns));
    const size_t around = (size_t)(d->windows * window_columns(d) + d->rest * d->tile);
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
    const double input = (falt_touched_floats(p) + (double)p->y_count) * sizeof(float) / cost_l3_bytes;
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
    /* To point at lines: half as much was seen where windows are wider than a tap. */
    double table = (d->width > 1 ? 1.0 : 2.0) * (20.0 + 2.5 * (double)(d->lines + d->taps));
    const double looked_at = 8.0 * (1.0 - share) * (double)(d->lines + d->taps); /* lines that are not seen */
    double cell = (tile_cycles(d, d->tile) * share + looked_at) * (double)d->down;
    if (d->kind == DEPTHWISE_ROWS) {
        const double across = 1.0 + 0.35 * d->vec / 16.0; /* the longer a vector, the more often it lies across two lines */
        const double columns = (double)window_columns(d), pair = 128.0;
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

/* ------------------------------------------------------------------------------------------------------------ the candidate */

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
    const struct problem seen = falt_depthwise_seen(d, problem), *p = &seen;
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
                                            : (size_t)(index_size(d) + d->units * unit_size(d)) * sizeof(float);
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
    const bool overlap = p->kernel[2] > 2 && p->stride[2] == 1; /* windows, along a row */
    if (p->groups == 1 && p->y_group > r->kernels->vec && !overlap) {
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
        k.out += index_size(d);
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

const struct solver falt_solver_depthwise = {"depthwise", FALT_ALGO_DEPTHWISE, SOLVES_FORWARD, false, consider,
                                             pack,        falt_depthwise_run};
