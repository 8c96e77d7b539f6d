/* direct.c - plans direct convolution, and packs its weights: see direct.h. */
#include <math.h>
#include <stdio.h>

#include "../arithmetic.h"
#include "../cost.h"
#include "../padding.h"
#include "direct.h"

/* --------------------------------------------------------------------------------------------------------------- planning */

/* Cycles to copy an input pixel into a strip, for each position in kernel depth. */
static double copy_cycles(const struct problem *p, const struct direct *d)
{
    const int vec = d->panels.vec;
    const double vectors = (double)divide_up(p->x_group, vec);
    return p->layout == FALT_CHANNELS_FIRST ? cost_apart * vectors * cost_transpose(vec) / vec
           : p->groups > 1                  ? 4.0 + vectors * cost_copy /* a group's channels of one pixel */
                                            : (double)p->x_group / vec * cost_copy;
}

/* Input pixels, times positions in kernel depth, for each output pixel. */
static double copied(const struct problem *p)
{
    const double seen = fmin((double)p->in_pixels / (double)p->out_pixels, (double)p->stride[1] * (double)p->stride[2]);
    return seen * (double)p->kernel[0];
}

/* Taps of a kernel row that go as one run where the pixels they see are neighbours. */
static double run_length(const struct problem *p)
{
    return p->dilation[2] == 1 ? (double)p->kernel[2] : 1.0;
}

/* Cycles beside the k-steps of `panels` panels for `rows` pixels: pointers, strips, calls, stores where channels are apart. */
static double overhead(const struct problem *p, const struct direct *d, double rows, double panels)
{
    const double groups = panels > (double)d->panels.count ? panels / (double)d->panels.count : 1.0;
    const double columns = (double)p->y_group / (double)d->panels.count; /* of a panel, on average */
    const double run = (d->strip || p->groups == 1) && p->taps > 0 ? run_length(p) : 1.0;
    /* Blocks of strips share their pointers. */
    const double pointed = d->strip ? 0.0 : d->inner ? 1.0 - (double)(d->inner_end - d->inner_begin) / (double)p->out[2] : 1.0;
    const int64_t height = (p->out[1] - 1) * p->stride[1] + window_extent(p, 1);
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

/* Rows whose strips share no lines are cut into pieces that fit L2, and so few rows evenly for the threads. */
static void cut_rows(const struct problem *p, const struct resources *r, struct direct *d)
{
    const int64_t rows = d->pixels / p->out[2], extent = window_extent(p, 1);
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
        const double input = falt_touched_floats(p) / (double)d->pixels * (double)rows * sizeof(float);
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
    const double again = (double)larger(0, window_extent(p, 1) - p->stride[1]);
    return (double)((block + units % block) * d->unit) * (cost_row + (double)p->taps / run_length(p) * cost_pointer) +
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
    d->block = smaller(units, larger(most, least));
    d->block = divide_up(units, divide_up(units, d->block)); /* even blocks */
    if (!d->strip)
        return;
    const int64_t rows = smaller(units, p->out[1]), cuts = divide_up(rows, d->block);
    d->block = smaller(d->block, rows); /* within one output plane, see run_piece of direct_run.c */
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
    const double pointed = cost_row + (double)p->taps / run_length(p) * cost_pointer;
    return row <= (double)p->out[2] * (d->strip ? copied(p) * copy_cycles(p, d) : pointed);
}

static bool choose_workspace(const struct problem *p, struct direct *d)
{
    double strip = 0.0;
    if (d->strip) {
        d->strip_width = (d->unit - 1) * p->stride[2] + window_extent(p, 2);
        d->strip_height = (d->block - 1) * p->stride[1] + window_extent(p, 1);
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
    const int64_t ends = is_cut(r) ? planes * r->rows.count * r->columns.count : 0;        /* tiles that are not full */
    const size_t tiles = (size_t)(divide_up((int64_t)rows, d->panels.rows) + ends);
    d->gaps = d->edges ? round_to_lines(tiles * (size_t)p->taps * sizeof(int64_t)) : 0;
    d->tiles = round_to_lines(tiles * sizeof(struct tile));
    d->per_thread = d->zeros + d->strip_bytes + d->table + d->gaps + d->tiles;
    return true;
}

static void describe(const struct kernels *kernels, const struct direct *d, struct candidate *c)
{
    char even[32] = ""; /* packed weights depend on it */
    if (d->panels.count > divide_up(d->panels.padded, d->panels.nr))
        snprintf(even, sizeof even, ", %lld panels", (long long)d->panels.count);
    snprintf(c->kernel, SOLVER_NOTE, "%s %dx%d%s", kernels->name, d->panels.rows, (int)d->panels.nr, even);
    char cuts[48] = "";
    if (is_cut(&d->rectangles))
        snprintf(cuts, sizeof cuts, ", planes of %dx%d rectangles", d->rectangles.rows.count, d->rectangles.columns.count);
    snprintf(c->schedule, SOLVER_NOTE, "%lld pixel x %lld channel ranges, blocks of %lld pixels%s%s",
             (long long)d->pixel_ranges, (long long)d->panel_ranges, (long long)(d->block * d->unit),
             d->strip ? ", input strips" : "", cuts);
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
    d->edges = !d->strip && falt_reaches_out(p);
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
    d->stream = falt_outgrows(p, r->cpu) && p->y.c == 1 && d->panels.nr % LINE_FLOATS == 0;
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
    describe(r->kernels, d, c);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- packing */

static void pack(const struct problem *p, const struct candidate *c, const float *weights, void *packed)
{
    falt_pack_panels(p, &((const struct direct *)(const void *)c->state)->panels, weights, packed);
}

const struct solver falt_solver_direct = {"direct", FALT_ALGO_DIRECT, SOLVES_FORWARD, true, consider, pack, falt_direct_run};
