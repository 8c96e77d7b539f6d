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

#include "../cost.h"
#include "../parallel.h"
#include "winograd.h"

/* --------------------------------------------------------------------------------------------------------------- planning */

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

const struct solver falt_solver_winograd = {"winograd", FALT_ALGO_WINOGRAD, SOLVES_FORWARD, false, consider,
                                            pack,       falt_winograd_run};
