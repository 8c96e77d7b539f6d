/*
 * winograd.c - Winograd convolution: fewer multiplications than the direct sum, by transforms of tiles.
 *
 * The output is cut into tiles of m_h x m_w pixels. For a block of tiles,
 *
 *     x  -- input transform -->      V[point][slice][tile][x channel]        slices: depth taps (3-D: 2-D, summed over depth)
 *     V[point] * U[point]  -->       M[point][tile][channel of the panel]    a GEMM for each point and panel
 *     M  -- output transform -->     y, with the epilogue
 *
 * so that V and M of a block stay in the core's L2. Where all points of a few tiles fit into registers and U into L1, one
 * kernel does all three of them ("fused"). Groups of few channels, each of one panel, go side by side: their channels are
 * neighbours in V and M, as they are in x and y. U, the transformed weights, is packed ahead: [panel][point][slice][x
 * channel][nr]. Where a panel of it would push V out, some panels together go through one point after the other: V is read
 * once for all of them. Threads take a grid of (tile range x panel range) pieces; where panels are split, each transforms the
 * input for itself: cheaper than to share what another core has just written.
 *
 * A strided kernel is the sum of others, each of every s-th tap and pixel: as many slices, s_h x s_w, or no more than taps.
 * Those of fewer taps have no part in points at infinity: 3x3 with stride 2 multiplies 81 times for 4x4 outputs instead of 144,
 * 4x4 100 instead of 256.
 *
 * Along a dimension of kernel size 1 nothing is transformed (m = alpha = 1), which makes 1x3, 3x1 and 1-D kernels no special
 * case. Channels first: pieces of a tile row pass through channels-last strips in L1, on the way in and on the way out.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../arithmetic.h"
#include "../cost.h"
#include "../panels.h"
#include "../parallel.h"
#include "../solver.h"
#include "../strip.h"
#include "../winograd_tiles.h"

enum { MOST_TOGETHER = 4, BUNDLE = 48, LISTS = 4 }; /* panels; channels of several groups, about; see thread_space */
enum { FUSED_AHEAD = 9 };                           /* tiles from what is transformed to what is asked for, from memory */

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

/* --------------------------------------------------------------------------------------------------------------- planning */

/* Residues that have a part in a point: all, or those of all taps. */
static int64_t rows_at(const struct winograd *w, int point)
{
    return point / w->aw == w->ah - 1 ? w->residues_h.whole : w->residues_h.count;
}

static int64_t columns_at(const struct winograd *w, int point)
{
    return point % w->aw == w->aw - 1 ? w->residues_w.whole : w->residues_w.count;
}

/* Slices that have a part in the points before one. */
static int64_t slices_before(const struct problem *p, const struct winograd *w, int point)
{
    const int64_t above = point / w->aw * w->residues_h.count * ((w->aw - 1) * w->residues_w.count + w->residues_w.whole);
    return p->kernel[0] * (above + point % w->aw * w->residues_w.count * rows_at(w, point));
}

static void set_tile(const struct problem *p, struct winograd *w, enum winograd_tile tile)
{
    const struct winograd_transform *h = winograd_h(tile), *v = winograd_w(tile);
    w->tile = tile;
    w->cover = winograd_cover(p, tile);
    w->ah = h->m + h->r - 1;
    w->aw = v->m + v->r - 1;
    w->points = w->ah * w->aw;
    w->tiles = p->batch * p->out[0] * w->cover.tiles_h * w->cover.tiles_w;
    w->residues_h = winograd_residues(p, 1);
    w->residues_w = winograd_residues(p, 2);
    w->apart_h = larger(w->cover.dh, p->stride[1]); /* one of them is 1 */
    w->apart_w = larger(w->cover.dw, p->stride[2]);
    w->slices = p->kernel[0] * w->residues_h.count * w->residues_w.count;
    w->products = p->kernel[0] * winograd_products(w->residues_h, w->residues_w, w->ah, w->aw);
}

static double panel_step(const struct winograd *w, int64_t rows)
{
    return cost_rows_step(rows, w->panels.rows, w->panels.vectors);
}

/* Cycles to fetch bytes, and how many of them do not hide behind arithmetic (measured: streams from L3 hide well). */
struct fetch {
    double all, exposed;
};

/* Adds `bytes` that come from where a set of `size` bytes, read again and again, stays; or from memory at the first time.
 * all: bytes of the sets of all threads. */
static void add_fetch(struct fetch *fetch, const struct resources *r, double bytes, double size, double all, bool first)
{
    const double hidden_l3 = 0.9, hidden_memory = 0.7;
    if (first || all > (double)r->cpu->l3 / 2.0) {
        fetch->all += bytes / cost_memory_bytes;
        fetch->exposed += bytes / cost_memory_bytes * (1.0 - hidden_memory);
    } else if (size > (double)r->cpu->l2 / 2.0) {
        fetch->all += bytes / cost_stream_bytes;
        fetch->exposed += bytes / cost_stream_bytes * (1.0 - hidden_l3);
    }
}

/* Floats of a row of M: the panels' columns side by side, and those that the last panel has for no channel. */
static int64_t m_columns(const struct problem *p, const struct winograd *w, int64_t together)
{
    const int64_t before = (together - 1) * (w->bundle > 1 ? p->y_group : w->panels.nr), vec = w->panels.vec;
    const int64_t columns = divide_up(before + w->panels.nr, vec) * vec;
    return columns % 256 ? columns : columns + vec; /* rows a multiple of 1 KiB apart share few cache sets */
}

/* Bytes of V, of a panel's U, and of M. */
static double v_bytes(const struct winograd *w, int64_t block)
{
    return (double)w->points * (double)block * (double)(w->slices * w->v_row) * sizeof(float);
}

static double u_bytes(const struct problem *p, const struct winograd *w)
{
    return (double)w->products * (double)(p->x_group * w->panels.nr) * sizeof(float);
}

static double m_bytes(const struct problem *p, const struct winograd *w, int64_t block, int64_t together)
{
    return (double)w->points * (double)block * (double)m_columns(p, w, together) * sizeof(float);
}

/* Panels that go through the points side by side, with `room` for V and M: those of a bundle; else one where V stays in L2
 * beside it (measured: then M of several only pushes V out), or as many as make V's share small. */
static int64_t choose_together(const struct problem *p, const struct resources *r, const struct winograd *w, int64_t block,
                               double room)
{
    const double v = v_bytes(w, block);
    int64_t together = smaller(MOST_TOGETHER, w->panels.count);
    if (w->bundle > 1)
        return w->bundle;
    if (v + u_bytes(p, w) + m_bytes(p, w, block, 1) <= (double)r->cpu->l2)
        return 1;
    while (together > 1 && v + m_bytes(p, w, block, together) > room)
        together--;
    return together;
}

/* What is shared out of the panels: bundles stay together, whose groups share cache lines of a pixel. */
static int64_t all_runs(const struct problem *p, const struct winograd *w)
{
    return divide_up(p->groups * w->panels.count, w->bundle);
}

/* Lines of a tile and group that no neighbour follows: of pixels that are no neighbours, or few of those that meet in the same
 * sets. */
static double single_lines(const struct problem *p, const struct winograd *w)
{
    const int64_t line = SOLVER_ALIGN / (int64_t)sizeof(float);
    const bool few = p->groups > 1 && falt_pixels_meet(p);
    /* Or less than a line, which several pixels share. */
    const double x = fmin((double)divide_up(p->x_group, line), (double)p->x_channels * (double)w->apart_w / (double)line);
    const double y = fmin((double)divide_up(p->y_group, line), (double)p->y_channels * (double)w->cover.dw / (double)line);
    return p->layout == FALT_CHANNELS_LAST && (w->apart_w > 1 || few)
               ? (double)(w->points * w->slices) * x + (double)(w->cover.mh * w->cover.mw) * y
               : 0.0;
}

/* Cycles of one piece of the grid: transforms, GEMMs, and the bytes it fetches meanwhile, which mostly hide behind the other.
 */
static double piece_cycles(const struct problem *p, const struct resources *r, const struct winograd *w, int64_t tile_ranges,
                           int64_t panel_ranges, int64_t block, int64_t together)
{
    const double tiles = (double)divide_up(w->tiles, tile_ranges),
                 panels = (double)(divide_up(all_runs(p, w), panel_ranges) * w->bundle);
    const double groups = ceil(panels / (double)w->panels.count), products = (double)w->products * (double)p->x_group;
    const int64_t vec = w->panels.vec;
    const double bundles = groups / (double)w->bundle;
    const double chunks_in = (double)divide_up(w->bundle * p->x_group, vec) * bundles;
    const double chunks_out = w->bundle > 1 && p->layout == FALT_CHANNELS_LAST
                                  ? (double)divide_up(w->bundle * p->y_group, vec) * bundles
                                  : panels * w->panels.vectors;
    const double blocks = ceil(tiles / (double)block);
    const double turn = p->layout == FALT_CHANNELS_FIRST ? cost_transpose(w->panels.vec) / w->panels.vec : 0.0;
    const double lost =
        turn > 0.0 ? cost_lost(p->y.c, (double)w->panels.nr) * (double)(w->cover.mh * w->cover.mw) * sizeof(float) / 64.0 : 0.0;
    const double turns = (double)(p->kernel[0] * w->residues_h.count) * w->ah * w->cover.mw * (double)w->apart_w; /* pixels */
    const double input = tiles * chunks_in * (cost_winograd_input * w->points * (double)w->slices + turn * turns);
    const double output =
        tiles * (chunks_out * (cost_winograd_output * w->points + turn * (double)(w->cover.mh * w->cover.mw)) + panels * lost);
    const double gemm = panels * products * blocks * panel_step(w, (int64_t)ceil(tiles / blocks));
    const double calls = panels * w->points * cost_rows_calls((int64_t)tiles, w->panels.rows);
    const double weights = panels * u_bytes(p, w), v = v_bytes(w, block);
    const double pixels = ((double)p->x_count + (double)p->y_count) * sizeof(float) / (double)tile_ranges;
    struct fetch fetch = {0.0, 0.0}, transformed = {0.0, 0.0};
    /* Other phases read theirs in between, about twice as many bytes where they are transformed, too; and all of them may have
     * three quarters of L3. */
    const double others = 2.0 * sizeof(float) * (p->weight_floats - (double)p->w_count);
    const double all_weights = others > 0.0 ? (weights * (double)panel_ranges + others) / 1.5 : weights;
    add_fetch(&fetch, r, weights, weights + others / (double)panel_ranges, all_weights, !r->warm_weights);
    add_fetch(&fetch, r, (blocks - 1.0) * weights, weights, weights, false); /* each block reads the weights */
    const double reads = ceil(panels / (double)together);                    /* of V, by as many panels */
    add_fetch(&fetch, r, blocks * reads * v, v, v * (double)(tile_ranges * panel_ranges), false);
    const double tensors = falt_tensor_bytes(p);
    add_fetch(&transformed, r, pixels, tensors / (double)tile_ranges, tensors, false); /* while nothing is multiplied */
    return fmax(input + output, transformed.all) + tiles * groups * single_lines(p, w) * cost_single_line + calls +
           fmax(gemm + fetch.exposed, fetch.all);
}

/* Channels first, a block of whole rows of tiles reads few lines twice: as many as `tiles` is about, or a part of one. */
static int64_t whole_rows(const struct winograd *w, int64_t tiles)
{
    const int64_t rows = (tiles + w->cover.tiles_w / 3) / w->cover.tiles_w;
    return rows > 0 ? rows * w->cover.tiles_w : divide_up(w->cover.tiles_w, divide_up(w->cover.tiles_w, tiles));
}

/* Few blocks read the weights seldom, small ones leave V in L2. About three register tiles are a good compromise (measured:
 * 56x56x64 to 224x224x64), the whole piece where the weights come from memory each time; fewer, where all threads together
 * would need more than 1.8 times the memory of the tensors: strips and padding come on top, and twice is the limit. */
static double choose_block(const struct problem *p, const struct resources *r, struct winograd *w, int64_t tile_ranges,
                           int64_t panel_ranges)
{
    static const int multiples[] = {1, 2, 3, 6, 12, 24};
    const int64_t tiles = divide_up(w->tiles, tile_ranges), row = w->panels.rows;
    const double tensors = ((double)p->x_count + (double)p->y_count + (double)p->w_count) * sizeof(float);
    const int threads = (int)(tile_ranges * panel_ranges);
    const double room = 1.8 * tensors / threads - (double)falt_threads_apart(r, threads);
    double least = -1.0;
    for (size_t i = 0; i < sizeof multiples / sizeof *multiples; i++) {
        const int64_t even = divide_up(tiles, divide_up(tiles, multiples[i] * row));
        const int64_t block = p->layout == FALT_CHANNELS_FIRST && even < tiles ? whole_rows(w, even) : even;
        const int64_t usual = smaller(tiles, 3 * row);
        if (multiples[i] < 3 && v_bytes(w, usual) + m_bytes(p, w, usual, w->bundle) <= room)
            continue;
        if (least >= 0.0 && v_bytes(w, block) + m_bytes(p, w, block, w->bundle) > room)
            break;
        const int64_t together = choose_together(p, r, w, block, room);
        const double cycles = piece_cycles(p, r, w, tile_ranges, panel_ranges, block, together);
        if (least < 0.0 || cycles < 0.95 * least) {
            least = cycles;
            w->block = block;
            w->together = together;
        }
    }
    return least;
}

/* Whether tiles can be fused: if the weights of all panels stay in L1 beside V, in so much of it. (With more panels they would
 * come for each x again: 2 KiB from pixel to pixel of y that was 0.4 to 1.0 times as fast, as no lines were asked for.) */
static bool fuses(const struct problem *p, const struct resources *r, const struct winograd *w)
{
    const double most = 0.75 * (double)r->cpu->l1d;
    return r->kernels->winograd[w->tile].fused && p->layout == FALT_CHANNELS_LAST && w->slices == 1 &&
           w->panels.count <= MOST_TOGETHER && (double)w->panels.count * u_bytes(p, w) <= most;
}

/* Groups go one by one. Tiles of a dilated kernel go along one of its images, more of them than usual, or where there are many
 * images from one to the next: there is no V to be left in L1, and calls take long. (Along one of 16 images 6 KiB from pixel to
 * pixel, from memory 1.4 times as fast as from one to the next, from L3 0.95; of 32 images 1.1, 0.75.) */
static void fuse(struct winograd *w)
{
    enum { ALONG = 96, NEAR = 8, NEAR_IN_MEMORY = 32 };
    w->fused = true;
    w->bundle = 1;
    if (w->cover.dw > 1) {
        const bool along = w->cover.dw <= (w->outgrows ? NEAR_IN_MEMORY : NEAR);
        w->cover.run = along ? ALONG : 1;
        w->cover.step = along ? w->cover.dw * w->cover.mw : 1;
    }
}

/* Calls for all tiles and a group: for each run of neighbours, and for those at the edges. */
static double fused_calls(const struct winograd *w)
{
    const struct winograd_cover *c = &w->cover;
    const int64_t lines = w->tiles / c->tiles_w, each = c->tiles_w / c->images_w; /* tiles of an image */
    const int64_t runs = c->dw == 1 ? 1 : c->step == 1 ? each : c->images_w * divide_up(each, c->run);
    return (double)lines * (double)(runs + (w->aw == 1 ? 0 : c->step == 1 ? 2 : 2 * c->images_w));
}

/* As piece_cycles, of all panels of a group side by side. */
static double fused_cycles(const struct problem *p, const struct resources *r, struct winograd *w, int64_t tile_ranges,
                           int64_t panel_ranges)
{
    const int64_t tiles = divide_up(w->tiles, tile_ranges), panels = divide_up(all_runs(p, w), panel_ranges);
    const int most = r->kernels->winograd[w->tile].fused_tiles;
    w->together = smaller(w->panels.count, panels);
    w->block = tiles;

    double steps = 0.0; /* cycles of a step of k of all tiles */
    for (int n = 1; n <= most; n++) {
        const double products = (double)(w->points * w->panels.vectors * n),
                     loads = (double)(w->points * (w->panels.vectors + n));
        const int64_t times = n == most ? tiles / most : n == tiles % most;
        steps += (double)times * fmax(fmax(products / cost_fma_per_cycle, cost_fused_load * loads), cost_fma_latency);
    }
    /* Vectors of channels that are not whole take detours. */
    const double detours = (p->x_group % w->panels.vec ? 2.0 / (double)w->together : 0.0) +
                           (p->y_group % w->panels.vec ? 4.0 / (double)w->panels.count : 0.0);
    const double transforms = (double)divide_up(p->x_group, w->panels.vec) / (double)w->together + w->panels.vectors + detours;
    const double all = (double)tiles * w->points * cost_fused * transforms;
    const double calls = fused_calls(w) / (double)tile_ranges * ceil((double)panels / (double)w->together) * cost_fused_call;
    const double seams =
        panel_ranges > 1 ? cost_seam_pixel * (double)p->batch * (double)p->out_pixels / (double)tile_ranges : 0.0;
    const double bytes = falt_tensor_bytes(p);
    struct fetch fetch = {0.0, 0.0};
    add_fetch(&fetch, r, bytes / (double)(tile_ranges * panel_ranges), bytes / (double)tile_ranges, bytes, false);
    return fmax((double)panels * ((double)p->x_group * steps + all) + calls + seams + fetch.exposed, fetch.all);
}

static double choose_grid(const struct problem *p, const struct resources *r, int most, struct winograd *w)
{
    double least = -1.0;
    for (int64_t threads = 1; threads <= most; threads++) {
        const int64_t tile_ranges = smaller(threads, w->tiles);
        const int64_t panel_ranges = smaller(most / threads, all_runs(p, w));
        struct winograd tried = *w;
        const double region = tile_ranges * panel_ranges > 1 ? r->region * cost_hertz : 0.0;
        const double cycles = (w->fused ? fused_cycles(p, r, &tried, tile_ranges, panel_ranges)
                                        : choose_block(p, r, &tried, tile_ranges, panel_ranges)) +
                              region;
        if (least < 0.0 || cycles < least) {
            least = cycles;
            tried.tile_ranges = tile_ranges;
            tried.panel_ranges = panel_ranges;
            *w = tried;
        }
    }
    return least;
}

/* Two vectors: tall tiles read the weights least often. */
static void choose_panels(const struct problem *p, const struct kernels *kernels, struct winograd *w)
{
    w->panels = falt_panels_of(kernels, p->y_group, 2);
    const int64_t most =
        p->layout == FALT_CHANNELS_LAST ? BUNDLE : smaller(kernels->vec, BUNDLE); /* strips have lines anyway */
    w->bundle = w->panels.count > 1 ? 1 : smaller(p->groups, divide_up(most, larger(p->x_group, p->y_group)));
    w->v_row = divide_up(w->bundle * p->x_group, kernels->vec) * kernels->vec;
    if (w->v_row % 256 == 0) /* rows a multiple of 1 KiB apart share few cache sets */
        w->v_row += kernels->vec;
}

static void choose_workspace(const struct problem *p, const struct resources *r, struct winograd *w)
{
    const int64_t l1 = r->cpu->l1d, tiles = w->fused ? 2 * r->kernels->winograd[w->tile].fused_tiles : w->block;
    w->v_slice = tiles * w->v_row + w->panels.vec;
    w->v_point = w->slices * w->v_slice;
    w->m_row = m_columns(p, w, w->together);
    w->m_point = w->fused ? 0 : w->block * w->m_row + w->panels.vec;
    w->zeros = round_to_lines((size_t)larger(w->v_row, w->m_row) * sizeof(float));
    w->dump = round_to_lines((size_t)w->m_row * sizeof(float));
    w->v = round_to_lines((size_t)(w->points * w->v_point) * sizeof(float));
    w->m = round_to_lines((size_t)(w->points * w->m_point) * sizeof(float));
    w->lists = round_to_lines((size_t)(LISTS * w->slices) * sizeof(float *));
    if (p->layout == FALT_CHANNELS_FIRST) {
        const int64_t pixels = smaller(w->block, w->cover.tiles_w) * w->cover.mw;
        /* A line of the cache, or as many lines as leave the strip in L1. */
        const int64_t line = SOLVER_ALIGN / (int64_t)sizeof(float), inputs = w->ah * (pixels + w->aw) * w->apart_w;
        w->chunk = smaller(larger(l1 / 4 * 3 / (inputs * (int64_t)sizeof(float)) / line, 1) * line, w->bundle * p->x_group);
        w->strip = round_to_lines((size_t)(inputs * w->chunk) * sizeof(float));
        /* Where they go past the caches, outputs leave in lines while they are in L1: whole rows, or what is half of it. */
        const int64_t out_pixel = (w->cover.mh + 1) * w->panels.nr * (int64_t)sizeof(float);
        w->piece = smaller(w->block, w->cover.tiles_w);
        if (w->stream && w->piece * w->cover.mw * out_pixel > l1 / 4 * 3)
            w->piece = larger(l1 / 2 / out_pixel / line * line / w->cover.mw, 1);
        w->out_strip = round_to_lines((size_t)(w->cover.mh * w->piece * w->cover.mw * w->panels.nr) * sizeof(float));
        w->turned = w->stream ? round_to_lines((size_t)(w->piece * w->cover.mw * w->panels.nr) * sizeof(float)) : 0;
    }
    w->per_thread = w->zeros + w->dump + w->v + w->m + w->lists + w->strip + 2 * w->out_strip + w->turned;
}

/* Bundles of groups of a line or less each, which read their pixels once. */
static double pieces_cycles(const struct problem *p, const struct resources *r, const struct winograd *w)
{
    return p->x_group * (int64_t)sizeof(float) <= 64 ? falt_pieces_cycles(p, r->cpu) / (double)w->bundle : 0.0;
}

static bool consider(const struct problem *p, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    const char *why = winograd_refusal(p);
    if (!why && p->y.pixel[2] != 1 && p->layout == FALT_CHANNELS_FIRST)
        why = "the output pixels of a row are not neighbours";
    if (why) {
        snprintf(reason, SOLVER_REASON, "%s", why);
        return false;
    }

    struct winograd best;
    int fitting = 0, accurate = 0;
    double least = -1.0;
    for (int tile = 0; tile < WINOGRAD_COUNT; tile++) {
        if (!winograd_fits(p, (enum winograd_tile)tile))
            continue;
        fitting++;
        if (winograd_accuracy(p, (enum winograd_tile)tile) > r->accuracy)
            continue;
        accurate++;
        struct winograd w = {.outgrows = falt_outgrows(p, r->cpu)};
        set_tile(p, &w, (enum winograd_tile)tile);
        choose_panels(p, r->kernels, &w);
        if ((double)p->groups * (double)w.panels.padded * (double)w.products * (double)p->x_group > 1e15)
            continue;
        for (int fused = 0; fused <= fuses(p, r, &w); fused++) {
            if (fused)
                fuse(&w);
            /* Tiles differ in their rounding, so the choice must not depend on the threads. */
            const double cycles = choose_grid(p, r, cost_nominal_threads, &w) + pieces_cycles(p, r, &w) / cost_nominal_threads;
            if (least < 0.0 || cycles < least) {
                least = cycles;
                best = w;
            }
        }
    }
    if (least < 0.0) {
        if (!fitting)
            snprintf(reason, SOLVER_REASON, "there are no transforms for a %lldx%lld kernel", (long long)p->kernel[1],
                     (long long)p->kernel[2]);
        else
            snprintf(reason, SOLVER_REASON, "%s",
                     accurate ? "the weights need more memory than can be addressed"
                              : "none of its tiles is as accurate as asked for");
        return false;
    }

    struct winograd *w = (struct winograd *)(void *)c->state;
    *w = best;
    least = choose_grid(p, r, r->threads, w);
    /* Whole lines at once: vectors of channels, or rows of pixels. */
    const int64_t line = SOLVER_ALIGN / (int64_t)sizeof(float),
                  run = p->layout == FALT_CHANNELS_LAST ? w->panels.vec : p->out[2];
    w->stream = w->outgrows && run % line == 0;
    choose_workspace(p, r, w);
    /* What a thread reads again and again does not stay in its L2. */
    const double panels = (double)(divide_up(all_runs(p, w), w->panel_ranges) * w->bundle);
    const double block = v_bytes(w, w->block) + m_bytes(p, w, w->block, w->bundle);
    w->asks = panels * u_bytes(p, w) + block > 0.75 * (double)r->cpu->l2;
    const struct winograd_transform *h = winograd_h(w->tile), *v = winograd_w(w->tile);
    c->packed = (size_t)(p->groups * w->panels.padded * w->products * p->x_group) * sizeof(float);
    c->threads = (int)(w->tile_ranges * w->panel_ranges);
    w->per_thread += falt_threads_apart(r, c->threads);
    c->workspace = w->per_thread * (size_t)c->threads;
    c->seconds = (least + pieces_cycles(p, r, w) / r->threads) / cost_hertz;
    c->accuracy = winograd_accuracy(p, w->tile);
    c->error_growth = h->growth * v->growth;
    c->error_terms = (double)(w->slices * p->x_group) + 4.0 * (w->ah + w->aw);
    snprintf(c->kernel, SOLVER_NOTE, "%s F(%dx%d %dx%d) %dx%d", r->kernels->name, h->m, v->m, h->r, v->r, w->panels.rows,
             (int)w->panels.nr);
    snprintf(c->schedule, SOLVER_NOTE, "%lld tile x %lld channel ranges, blocks of %lld tiles x %lld panels%s",
             (long long)w->tile_ranges, (long long)w->panel_ranges, (long long)w->block, (long long)w->together,
             w->fused   ? ", fused"
             : w->strip ? ", strips"
                        : "");
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- packing */

/* Products that a panel's packed weights hold for each channel: [point][slice][x channel]. */
static int64_t panel_depth(const struct problem *p, const struct winograd *w)
{
    return w->products * p->x_group;
}

struct packing {
    const struct problem *p;
    const struct winograd *w;
    const float *weights;
    float *packed;
};

/* U = G_h g G_w' of the taps of residue (h, w), in double, rounded once. */
static void transform_kernel(const struct winograd *w, const struct problem *p, const float *g, int64_t residue_h,
                             int64_t residue_w, double *u)
{
    const struct winograd_transform *h = winograd_h(w->tile), *v = winograd_w(w->tile);
    double t[WINOGRAD_ALPHA][WINOGRAD_TAPS];
    for (int a = 0; a < w->ah; a++)
        for (int s = 0; s < v->r; s++) {
            const int64_t column = residue_w + s * p->stride[2];
            t[a][s] = 0.0;
            for (int64_t k = 0, row = residue_h; row < p->kernel[1] && column < p->kernel[2]; k++, row += p->stride[1])
                t[a][s] += h->g[a][k] * (double)g[row * p->w.tap[1] + column * p->w.tap[2]];
        }
    for (int a = 0; a < w->ah; a++)
        for (int b = 0; b < w->aw; b++) {
            double sum = 0.0;
            for (int s = 0; s < v->r; s++)
                sum += t[a][s] * v->g[b][s];
            u[a * w->aw + b] = sum;
        }
}

/* A slice's weights at g (NULL: zeros) to all points that it has a part in, whose slices are `step` floats apart from `out` on.
 */
static void pack_products(const struct packing *job, int64_t index, const float *g, float *out, int64_t step)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const struct winograd_slice slice = winograd_slice(w->residues_h, w->residues_w, index);
    double u[WINOGRAD_MAX_POINTS] = {0.0};
    if (g)
        transform_kernel(w, p, g + slice.depth * p->w.tap[0], slice.h, slice.w, u);
    for (int point = 0; point < w->points; point++) {
        const int64_t rows = rows_at(w, point), columns = columns_at(w, point);
        if (slice.h < rows && slice.w < columns)
            out[(slices_before(p, w, point) + (slice.depth * rows + slice.h) * columns + slice.w) * step] = (float)u[point];
    }
}

static void pack_panels(void *context, int member, int members)
{
    const struct packing *job = context;
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    int64_t begin, end;
    falt_share(p->groups * w->panels.count, member, members, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        const int64_t group = item / w->panels.count, panel = item % w->panels.count;
        const int64_t first = falt_panel_first(&w->panels, panel), width = falt_panel_width(&w->panels, panel);
        const float *g = job->weights + p->w.base + group * p->w.group;
        float *out = job->packed + falt_panel_offset(&w->panels, panel_depth(p, w), group, panel);
        for (int64_t slice = 0; slice < w->slices; slice++)
            for (int64_t i = 0; i < p->x_group; i++)
                for (int64_t o = 0; o < width; o++)
                    pack_products(job, slice, first + o < p->y_group ? g + (first + o) * p->w.o + i * p->w.i : NULL,
                                  out + i * width + o, p->x_group * width);
    }
}

static void pack(const struct problem *p, const struct candidate *c, const float *weights, void *packed)
{
    struct packing job = {p, (const struct winograd *)(const void *)c->state, weights, packed};
    falt_parallel(c->threads, pack_panels, &job);
}

/* ---------------------------------------------------------------------------------------------------------------- running */

struct job {
    const struct problem *p;
    const struct winograd *w;
    const struct kernels *kernels;
    const struct operands *operands;
    struct epilogue epilogue;
    struct tensor_strides x;
    bool stream;
};

struct thread_space {
    float *zeros, *dump, *v, *m;
    const float *
        *lists; /* V at the first point, for each slice: of all of them, and of those at infinity in w, in h, in both */
    float *strip, *out_strip, *residual_strip;
    float *turned; /* a line of the out strip: [channel][pixel] */
};

/* Neighbouring tiles of one tile row. */
struct segment {
    int64_t n, z, y, x;   /* of the first tile: image, plane, first output pixel */
    int64_t first, count; /* tiles, counted from the first one of the block */
};

static struct segment segment_at(const struct winograd *w, const struct problem *p, int64_t tile, int64_t first, int64_t most)
{
    const struct winograd_segment of = winograd_segment(&w->cover, tile, most);
    const struct segment s = {of.plane / p->out[0], of.plane % p->out[0], of.y, of.x, first, of.count};
    return s;
}

/* The pixels of a tile whose first input pixel is (y, x) of plane `from`, channels `step` floats a pixel. */
static void point_pixels(const struct job *job, const float *from, int64_t step, int64_t y, int64_t x, const float *zeros,
                         const float **d)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const bool whole = y >= 0 && y + (w->ah - 1) * w->apart_h < p->in[1] && x >= 0 && x + (w->aw - 1) * w->apart_w < p->in[2];
    for (int h = 0; h < w->ah; h++, y += w->apart_h) {
        const int64_t line = falt_pixel(p, 1, y);
        if (whole) {
            const float *pixel = from + (y * p->in[2] + x) * step;
            for (int v = 0; v < w->aw; v++, pixel += w->apart_w * step)
                *d++ = pixel;
        } else {
            for (int v = 0; v < w->aw; v++) {
                const int64_t column = falt_pixel(p, 2, x + v * w->apart_w);
                *d++ = line >= 0 && column >= 0 ? from + (line * p->in[2] + column) * step : zeros;
            }
        }
    }
}

/* Channels of x or y: those of a group, or of several. */
struct channels {
    int64_t first, count;
};

/* V of a segment for one slice, channels last. */
static void transform_segment(const struct job *job, const struct thread_space *space, const struct segment *s,
                              struct channels channels, const struct winograd_slice *slice, int64_t z)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const float *d[WINOGRAD_MAX_POINTS],
        *plane = job->operands->x + s->n * job->x.n + z * p->in[1] * p->in[2] * job->x.pixel + channels.first;
    const int64_t y = s->y * p->stride[1] - p->pad[1] + slice->h, x = s->x * p->stride[2] - p->pad[2] + slice->w;
    const int64_t step = w->cover.step * p->stride[2], wide = (w->aw - 1) * w->apart_w + 1;
    float *v = space->v + slice->index * w->v_slice + s->first * w->v_row;
    const bool lines = y >= 0 && y + (w->ah - 1) * w->apart_h < p->in[1]; /* all of them */
    struct winograd_input_args args = {.d = d,
                                       .v_step = w->v_point,
                                       .channels = channels.count,
                                       .d_tile = step * job->x.pixel,
                                       .v_tile = w->v_row,
                                       .ahead = step <= p->in[2] ? step * job->x.pixel : 0};
    for (int64_t t = 0; t < s->count; t += args.tiles) {
        args.tiles = lines ? winograd_alike(x, step, wide, p->in[2], t, s->count) : 1;
        point_pixels(job, plane, job->x.pixel, y, x + t * step, space->zeros, d);
        args.v = v + t * w->v_row;
        job->kernels->winograd[w->tile].input(&args);
    }
}

/* Channels first: what a segment sees of some channels, channels last, zeros for the padding: alpha_h lines of `pitch` pixels,
 * of one residue in h and all in w. Line h of it is in place (h + turn) % alpha_h. The next segment below needs only its last
 * m_h lines to be filled. */
struct window {
    struct segment of;
    int64_t pitch, z;
    int turn;
};

static void move_window(const struct job *job, const struct segment *s, int64_t z, int64_t residue, int64_t channel,
                        int64_t count, struct window *window, float *strip)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const float *image = job->operands->x + s->n * job->x.n + channel * job->x.c;
    const int64_t width = ((s->count - 1) * w->cover.mw + w->aw) * w->apart_w;
    const int64_t top = s->y * p->stride[1] - p->pad[1] + residue, left = s->x * p->stride[2] - p->pad[2];
    const bool below = window->pitch > 0 && s->n == window->of.n && z == window->z && s->x == window->of.x &&
                       s->count <= window->of.count && s->y == window->of.y + w->cover.mh;
    window->of = *s;
    window->z = z;
    window->pitch = below ? window->pitch : width;
    window->turn = below ? (window->turn + w->cover.mh) % w->ah : 0;
    for (int h = below ? w->ah - w->cover.mh : 0; h < w->ah; h++) {
        const int64_t y = falt_pixel(p, 1, top + h * w->apart_h);
        const float *row = y >= 0 ? image + (z * p->in[1] + y) * p->in[2] * job->x.pixel : NULL;
        falt_gather_row(job->kernels, row, p->in[2], job->x, count, p->circular, left, width,
                        strip + (h + window->turn) % w->ah * window->pitch * count, count);
    }
}

static int64_t depth_pixel(const struct problem *p, const struct segment *s, int64_t tap)
{
    return falt_pixel(p, 0, s->z * p->stride[0] - p->pad[0] + tap * p->dilation[0]);
}

/* V of a block for the slices of a depth tap and a residue in h, channels first, where it is inside. */
static void transform_strips(const struct job *job, const struct thread_space *space, struct channels channels,
                             const struct winograd_slice *slice, int64_t first, int64_t tiles)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const float *d[WINOGRAD_MAX_POINTS];
    for (int64_t channel = 0; channel < channels.count; channel += w->chunk) {
        const int64_t count = smaller(w->chunk, channels.count - channel);
        struct window window = {.pitch = 0};
        struct segment s;
        for (int64_t done = 0; done < tiles; done += s.count) {
            s = segment_at(w, p, first + done, done, tiles - done);
            const int64_t z = depth_pixel(p, &s, slice->depth);
            if (z < 0)
                continue;
            move_window(job, &s, z, slice->h, channels.first + channel, count, &window, space->strip);
            for (int64_t residue = 0; residue < w->residues_w.count; residue++) {
                for (int h = 0; h < w->ah; h++)
                    for (int k = 0; k < w->aw; k++)
                        d[h * w->aw + k] =
                            space->strip + ((h + window.turn) % w->ah * window.pitch + k * w->apart_w + residue) * count;
                job->kernels->winograd[w->tile].input(&(struct winograd_input_args){
                    .d = d,
                    .v = space->v + (slice->index + residue) * w->v_slice + s.first * w->v_row + channel,
                    .v_step = w->v_point,
                    .channels = count,
                    .tiles = s.count,
                    .d_tile = w->cover.mw * w->apart_w * count,
                    .v_tile = w->v_row,
                });
            }
        }
    }
}

/* V of a block. */
static void transform_input(const struct job *job, const struct thread_space *space, struct channels channels, int64_t first,
                            int64_t count)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    struct segment s;
    for (int64_t k = 0; k < w->slices && w->strip > 0; k += w->residues_w.count) {
        const struct winograd_slice slice = winograd_slice(w->residues_h, w->residues_w, k);
        transform_strips(job, space, channels, &slice, first, count);
    }
    for (int64_t done = 0; done < count; done += s.count) {
        s = segment_at(w, p, first + done, done, count - done);
        for (int64_t k = 0; k < w->slices; k++) {
            const struct winograd_slice slice = winograd_slice(w->residues_h, w->residues_w, k);
            const int64_t z = depth_pixel(p, &s, slice.depth);
            if (z >= 0 && w->strip == 0)
                transform_segment(job, space, &s, channels, &slice, z);
            for (int point = 0; point < w->points && z < 0; point++)
                memset(space->v + point * w->v_point + k * w->v_slice + s.first * w->v_row, 0,
                       (size_t)(s.count * w->v_row) * sizeof(float));
        }
    }
}

/* Neighbouring panels, side by side in M: of one group, or each of its own. */
struct run {
    int64_t group, panel, panels; /* the first one, and how many */
};

/* Channels of y, of the first so many panels. */
static struct channels outputs_of(const struct job *job, const struct run *run, int64_t panels)
{
    const struct problem *p = job->p;
    const struct panels *all = &job->w->panels;
    const int64_t from = falt_panel_first(all, run->panel), first = run->group * p->y_group + from;
    if (job->w->bundle > 1)
        return (struct channels){first, panels * p->y_group};
    return (struct channels){first, smaller(falt_panel_first(all, run->panel + panels), p->y_group) - from};
}

/* Which of the lists of slices is that of a point. */
static int list_at(const struct winograd *w, int point)
{
    return (point / w->aw == w->ah - 1) * 2 + (point % w->aw == w->aw - 1);
}

static void fill_lists(const struct winograd *w, const struct thread_space *space)
{
    for (int list = 0; list < LISTS; list++) {
        const float **to = space->lists + list * w->slices;
        for (int64_t k = 0; k < w->slices; k++) {
            const struct winograd_slice slice = winograd_slice(w->residues_h, w->residues_w, k);
            if (slice.h < (list / 2 ? w->residues_h.whole : w->residues_h.count) &&
                slice.w < (list % 2 ? w->residues_w.whole : w->residues_w.count))
                *to++ = space->v + k * w->v_slice;
        }
    }
}

/* M of panels: point by point. The lanes that a panel has for no channel are where the next one's columns go. */
static void multiply(const struct job *job, const struct thread_space *space, const struct run *run, int64_t count)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const int64_t turns = divide_up(count, w->panels.rows);     /* register tiles, even ones */
    const int64_t rows = count / turns, taller = count % turns; /* as many have one row more */
    struct gemm_args args = {
        .depth = p->x_group,
        .step = 1,
        .a_row = w->v_row,
        .a_tap = 1,
        .c_row = w->m_row,
        .epilogue = {.lo = -INFINITY, .hi = INFINITY},
    };
    const float *const packed = job->operands->packed;
    const float *const end = packed + falt_panel_offset(&w->panels, panel_depth(p, w), p->groups, 0);
    struct {
        int64_t channel, width, column;
        const float *weights;
    } items[BUNDLE];
    for (int64_t i = 0; i < run->panels; i++) {
        const int64_t group = w->bundle > 1 ? i : 0, panel = run->panel + (w->bundle > 1 ? 0 : i);
        items[i].channel = group * p->x_group;
        items[i].width = falt_panel_width(&w->panels, panel);
        items[i].column = outputs_of(job, run, i).count;
        items[i].weights = packed + falt_panel_offset(&w->panels, panel_depth(p, w), run->group + group, panel);
    }
    for (int point = 0; point < w->points; point++) {
        const int64_t before = slices_before(p, w, point);
        args.taps = p->kernel[0] * rows_at(w, point) * columns_at(w, point);
        args.a = space->lists + list_at(w, point) * w->slices;
        for (int64_t i = 0; i < run->panels; i++) {
            const int64_t width = items[i].width, floats = args.taps * p->x_group * width;
            gemm_kernel *const *kernels = job->kernels->even[width / w->panels.vec];
            args.a_offset = point * w->v_point + items[i].channel;
            args.b = items[i].weights + before * p->x_group * width;
            args.c = space->m + point * w->m_point + items[i].column;
            args.columns = width;
            falt_ask_in_order(&args, w->asks ? floats / turns : 0);
            args.coming = args.b + floats < end ? args.b + floats : packed;
            for (int more = 1; more >= 0; more--) {
                args.tiles = more ? taller : turns - taller;
                args.next.a_offset = (rows + more) * w->v_row;
                args.next.c = (rows + more) * w->m_row;
                if (args.tiles > 0)
                    kernels[rows + more](&args);
            }
        }
    }
}

/* Pixels of a segment's lines that are there. */
static int64_t visible(const struct winograd *w, const struct problem *p, const struct segment *s)
{
    return smaller(s->count * w->cover.mw, p->out[2] - s->x);
}

/* Channels first: a line of the out strip to y. Past the caches in pieces of rows: single lines of many planes take longer. */
static void store_line(const struct job *job, const struct thread_space *space, const float *strip, int64_t pixels,
                       int64_t columns, float *y)
{
    const int64_t nr = job->w->panels.nr, step = job->p->y.c;
    if (!job->stream || !falt_in_lines(y, pixels)) {
        job->kernels->transpose(strip, nr, pixels, columns, y, step);
        return;
    }
    job->kernels->transpose(strip, nr, pixels, columns, space->turned, pixels);
    for (int64_t n = 0; n < columns; n++)
        job->kernels->copy_past(space->turned + n * pixels, pixels, y + n * step);
}

/* m: of the first tile of the block. */
static void finish_segment(const struct job *job, const struct thread_space *space, const struct segment *s,
                           struct channels channels, const float *m)
{
    const int64_t channel = channels.first, columns = channels.count;
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const bool strips = w->out_strip > 0;
    const float *const residual_base = job->operands->residual;
    const int64_t plane = p->y.base + s->n * p->y.n + channel * p->y.c + s->z * p->y.pixel[0];
    const int64_t line = s->count * w->cover.mw * w->panels.nr; /* of a strip */
    float *y[WINOGRAD_MAX_OUTPUTS];
    const float *residual[WINOGRAD_MAX_OUTPUTS];
    struct winograd_output_args args = {
        .m_step = w->m_point,
        .y = y,
        .residual = residual_base ? residual : NULL,
        .bias = job->operands->bias ? job->operands->bias + channel : NULL,
        .channels = columns,
        .m_tile = w->m_row,
        .y_tile = w->cover.step * (strips ? w->panels.nr : p->y.pixel[2]),
        .ahead = strips || job->stream ? 0 : w->cover.step * p->y.pixel[2],
        .epilogue = job->epilogue,
    };
    if (strips && residual_base)
        for (int h = 0; h < w->cover.mh && s->y + h < p->out[1]; h++)
            job->kernels->transpose(residual_base + plane + (s->y + h) * p->y.pixel[1] + s->x, p->y.c, columns,
                                    visible(w, p, s), space->residual_strip + h * line, w->panels.nr);
    const int64_t room_h = p->out[1] - 1 - s->y - (w->cover.mh - 1) * w->cover.dh,
                  room = p->out[2] - 1 - s->x - (w->cover.mw - 1) * w->cover.dw;
    const int64_t seen = room_h >= 0 && room >= 0 ? smaller(room / w->cover.step + 1, s->count) : 0; /* tiles that are whole */
    for (int64_t t = 0; t < s->count; t += args.tiles) {
        args.tiles = t < seen ? seen - t : 1;
        args.stream = job->stream && !strips && columns % w->panels.vec == 0 && t < seen; /* and not to the dump */
        for (int h = 0; h < w->cover.mh; h++)
            for (int v = 0; v < w->cover.mw; v++) {
                const int64_t yy = s->y + h * w->cover.dh, xx = s->x + t * w->cover.step + v * w->cover.dw;
                const bool there = yy < p->out[1] && xx < p->out[2];
                const int64_t offset = there ? plane + yy * p->y.pixel[1] + xx * p->y.pixel[2] : 0;
                const int64_t in_strip = h * line + (t * w->cover.mw + v) * w->panels.nr;
                float **to = &y[h * w->cover.mw + v];
                *to = strips ? space->out_strip + in_strip : there ? job->operands->y + offset : space->dump;
                if (residual_base)
                    residual[h * w->cover.mw + v] = !there   ? space->zeros
                                                    : strips ? space->residual_strip + in_strip
                                                             : residual_base + offset;
            }
        args.m = m + (s->first + t) * w->m_row;
        job->kernels->winograd[w->tile].output(&args);
    }
    for (int h = 0; strips && h < w->cover.mh && s->y + h < p->out[1]; h++)
        store_line(job, space, space->out_strip + h * line, visible(w, p, s), columns,
                   job->operands->y + plane + (s->y + h) * p->y.pixel[1] + s->x);
}

/* The outputs of a block of tiles. */
static void finish_block(const struct job *job, const struct thread_space *space, struct channels channels, int64_t first,
                         int64_t count, const float *m)
{
    const struct winograd *w = job->w;
    struct segment s;
    for (int64_t done = 0; done < count; done += s.count) {
        s = segment_at(w, job->p, first + done, done, w->strip > 0 ? smaller(count - done, w->piece) : count - done);
        finish_segment(job, space, &s, channels, m);
    }
}

/* Of the tiles t to count - 1, `step` pixels apart, those like t: of each of its pixels, `apart` pixels from each other, theirs
 * are in the line of `size` as well, or on the same side of it and, if there are lines beside lines, in the same one. `left`:
 * the first one of tile 0. */
static int64_t tiles_alike(int64_t left, int64_t step, int64_t apart, int pixels, int64_t size, bool lines, int64_t t,
                           int64_t count)
{
    int64_t alike = count - t;
    for (int i = 0; i < pixels; i++) {
        const int64_t at = left + t * step + i * apart;
        if (lines || (at >= 0 && at < size))
            alike = smaller(alike, divide_up(size - remainder_of(at, size), step));
        else if (at < 0)
            alike = smaller(alike, divide_up(-at, step));
    }
    return alike;
}

/* A segment from x to y. first: channels of the panels, and of the one behind the last, counted from the first one. */
static void fuse_segment(const struct job *job, const struct thread_space *space, const struct segment *s,
                         const struct run *run, const int64_t *first)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const int64_t step = w->cover.step, x_step = step * p->stride[2];
    const int64_t z = depth_pixel(p, s, 0), y = s->y * p->stride[1] - p->pad[1], x = s->x * p->stride[2] - p->pad[2];
    const int64_t x_plane = s->n * job->x.n + z * p->in[1] * p->in[2] * job->x.pixel + run->group * p->x_group;
    const int64_t from = falt_panel_first(&w->panels, run->panel), y_channel = run->group * p->y_group + from;
    const int64_t y_plane = p->y.base + s->n * p->y.n + y_channel * p->y.c + s->z * p->y.pixel[0];
    const float *in[WINOGRAD_ALPHA], *residual[WINOGRAD_ALPHA];
    float *out[WINOGRAD_ALPHA];
    ptrdiff_t in_tile[WINOGRAD_ALPHA], out_tile[WINOGRAD_ALPHA];
    struct winograd_fused_args args = {
        .d = in,
        .y = out,
        .residual = job->operands->residual ? residual : NULL,
        .d_tile = in_tile,
        .y_tile = out_tile,
        .u = (const float *)job->operands->packed + falt_panel_offset(&w->panels, panel_depth(p, w), run->group, run->panel),
        .first = first,
        .panels = run->panels,
        .bias = job->operands->bias ? job->operands->bias + y_channel : NULL,
        .channels = p->x_group,
        .outputs = smaller(first[run->panels], p->y_group - from),
        .v = space->v,
        .ahead = w->outgrows ? FUSED_AHEAD : 0,
        .epilogue = job->epilogue,
    };
    for (int64_t t = 0; t < s->count; t += args.tiles) {
        args.tiles = smaller(tiles_alike(x, x_step, w->apart_w, w->aw, p->in[2], p->circular, t, s->count),
                             tiles_alike(s->x, step, w->cover.dw, w->cover.mw, p->out[2], false, t, s->count));
        args.stream = job->stream && args.outputs % w->panels.vec == 0;
        for (int i = 0; i < w->points; i++) {
            const int64_t line = falt_pixel(p, 1, y + i / w->aw * w->apart_h);
            const int64_t column = falt_pixel(p, 2, x + t * x_step + i % w->aw * w->apart_w);
            const bool there = z >= 0 && line >= 0 && column >= 0;
            in[i] = there ? job->operands->x + x_plane + (line * p->in[2] + column) * job->x.pixel : space->zeros;
            in_tile[i] = there ? x_step * job->x.pixel : 0;
        }
        for (int i = 0; i < w->cover.mh * w->cover.mw; i++) {
            const int64_t line = s->y + i / w->cover.mw * w->cover.dh;
            const int64_t column = s->x + t * step + i % w->cover.mw * w->cover.dw;
            const bool there = line < p->out[1] && column < p->out[2];
            const int64_t offset = y_plane + line * p->y.pixel[1] + column * p->y.pixel[2];
            out[i] = there ? job->operands->y + offset : space->dump;
            out_tile[i] = there ? step * p->y.pixel[2] : 0;
            if (args.residual)
                residual[i] = there ? job->operands->residual + offset : space->zeros;
            args.stream = args.stream && there;
        }
        job->kernels->winograd[w->tile].fused(&args);
    }
}

static void fuse_block(const struct job *job, const struct thread_space *space, int64_t tile, int64_t count, int64_t begin,
                       int64_t end)
{
    const struct winograd *w = job->w;
    int64_t first[MOST_TOGETHER + 1];
    struct run run;
    struct segment s;
    for (int64_t item = begin; item < end; item += run.panels) {
        run = (struct run){.group = item / w->panels.count, .panel = item % w->panels.count};
        run.panels = smaller(w->together, smaller(end - item, w->panels.count - run.panel));
        for (int64_t i = 0; i <= run.panels; i++)
            first[i] = falt_panel_first(&w->panels, run.panel + i) - falt_panel_first(&w->panels, run.panel);
        for (int64_t done = 0; done < count; done += s.count) {
            s = segment_at(w, job->p, tile + done, done, count - done);
            fuse_segment(job, space, &s, &run, first);
        }
    }
}

static void run_block(const struct job *job, const struct thread_space *space, int64_t first, int64_t count, int64_t begin,
                      int64_t end)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    int64_t transformed = 0; /* groups before this one */
    for (int64_t item = begin; item < end;) {
        struct run run = {.group = item / w->panels.count, .panel = item % w->panels.count};
        run.panels = smaller(w->together, smaller(end - item, w->bundle > 1 ? end - item : w->panels.count - run.panel));
        if (run.group >= transformed) {
            transformed = run.group + (w->bundle > 1 ? run.panels : 1);
            const struct channels channels = {run.group * p->x_group, (transformed - run.group) * p->x_group};
            transform_input(job, space, channels, first, count);
        }
        multiply(job, space, &run, count);
        /* Channels first, a panel fills the strip. */
        const int64_t step = w->strip > 0 ? 1 : run.panels;
        for (int64_t i = 0; i < run.panels; i += step) {
            const int64_t before = outputs_of(job, &run, i).count;
            struct channels channels = outputs_of(job, &run, i + step);
            channels.first += before;
            channels.count -= before;
            finish_block(job, space, channels, first, count, space->m + before);
        }
        item += run.panels;
    }
}

/* Where the block that begins at a tile ends: what is left is shared evenly, channels first in whole rows. */
static int64_t block_end(const struct winograd *w, int64_t from, int64_t last)
{
    const int64_t unit = w->strip > 0 && w->block >= w->cover.tiles_w && w->block < last - from ? w->cover.tiles_w : 1;
    const int64_t begin = from / unit, units = divide_up(last, unit) - begin, most = w->block / unit;
    return smaller((begin + divide_up(units, divide_up(units, most))) * unit, last);
}

static void run_member(const struct job *job, int member, int members)
{
    const struct winograd *w = job->w;
    char *memory = (char *)job->operands->workspace + w->per_thread * (size_t)member;
    const size_t sizes[] = {w->zeros, w->dump, w->v, w->m, w->lists, w->strip, w->out_strip, w->out_strip, w->turned};
    void *parts[sizeof sizes / sizeof *sizes];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        parts[i] = memory;
        memory += sizes[i];
    }
    const struct thread_space space = {parts[0], parts[1], parts[2], parts[3], parts[4],
                                       parts[5], parts[6], parts[7], parts[8]};
    memset(space.zeros, 0, w->zeros);
    fill_lists(w, &space);

    for (int64_t piece = member; piece < w->tile_ranges * w->panel_ranges; piece += members) {
        int64_t first, last, begin, end;
        falt_share(w->tiles, (int)(piece % w->tile_ranges), (int)w->tile_ranges, &first, &last);
        falt_share(all_runs(job->p, w), (int)(piece / w->tile_ranges), (int)w->panel_ranges, &begin, &end);
        begin *= w->bundle;
        end = smaller(end * w->bundle, job->p->groups * w->panels.count);
        for (int64_t from = first, to; from < last; from = to) {
            to = block_end(w, from, last);
            (w->fused ? fuse_block : run_block)(job, &space, from, to - from, begin, end);
        }
    }
    if (job->stream)
        job->kernels->fence();
}

/* Streaming stores need whole vectors at aligned addresses. */
static bool can_stream(const struct problem *p, const struct winograd *w, const float *y)
{
    const int64_t neighbours = w->out_strip > 0 ? p->y.c : p->y.pixel[2] | p->y_group;
    return w->stream && falt_in_lines(y, p->y.base | p->y.n | p->y.pixel[0] | p->y.pixel[1] | neighbours);
}

static void run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                const struct operands *operands, int member, int members)
{
    const struct job job = {
        .p = p,
        .w = (const struct winograd *)(const void *)c->state,
        .kernels = kernels,
        .operands = operands,
        .epilogue = falt_epilogue(p),
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
        .stream = can_stream(p, (const struct winograd *)(const void *)c->state, operands->y),
    };
    run_member(&job, member, members);
}

const struct solver falt_solver_winograd = {"winograd", FALT_ALGO_WINOGRAD, SOLVES_FORWARD, false, consider, pack, run};
