/* direct_weights.c - plans direct backward weights: see direct_weights.h. */
#include <stdio.h>

#include "../bias.h"
#include "../cost.h"
#include "../padding.h"
#include "../panels.h"
#include "../parts.h"
#include "../range.h"
#include "direct_weights.h"

enum {
    CHUNK_PIXELS = 320, /* long enough to amortise the update of a tile, short enough for L2 */
    MOST_SPAN = 512,    /* pixels of a row that are never separated */
    KEPT = 1 << 18,     /* floats that an L2 has room for beside what comes next */
    WANTED_TILES = 32,  /* parts are made for at least as many */
    MOST_PARTS = 16,
    MOST_RANGES = 64
};

struct problem falt_flattened(const struct problem *p)
{
    struct problem flat = *p;
    for (int i = 0; i < 3; i++)
        if (p->kernel[i] != 1 || p->stride[i] != 1 || p->pad[i] != 0 || p->in[i] != p->out[i])
            return flat;
    const bool images = p->layout == FALT_CHANNELS_LAST && p->batch > 0;
    flat.batch = images ? 1 : p->batch;
    flat.in_pixels = flat.out_pixels = p->out_pixels * (images ? p->batch : 1);
    for (int i = 0; i < 3; i++)
        flat.in[i] = flat.out[i] = i < 2 ? 1 : flat.out_pixels;
    return flat;
}

/* Which operand is broadcast, and how wide a tile is. Returns cycles of one pixel for all lines of a group. */
static double choose_tile(const struct problem *p, const struct kernels *kernels, struct gradient *g)
{
    const bool adjoin = falt_weight_strides(p).i == 1; /* x channels in w: tiles need no transposition */
    const double transposition = 5.0 / kernels->vec * (double)(p->x_group * p->y_group * p->taps);
    const double pixels = (double)(p->batch * p->out_pixels) + 1.0;
    double least = -1.0;
    g->merged = p->x_group < 8 && p->kernel[2] > 1 && p->dilation[2] == 1;
    g->lines = g->merged ? p->kernel[0] * p->kernel[1] : p->taps;
    const int64_t x = p->x_group * (g->merged ? p->kernel[2] : 1);
    const int choices = adjoin && !g->merged ? 2 : 1,
              first = choices > 1 && p->y_group <= p->x_group; /* A had better be smaller */
    for (int choice = 0; choice < choices; choice++) {
        const int exchanged = choice ^ first;
        const int64_t rows = exchanged ? p->y_group : x, columns = exchanged ? x : p->y_group;
        for (int i = 0; i < GEMM_MAX_VECTORS; i++) {
            const int vectors = (int[]){2, 1, 3, 4}[i]; /* two first: tall tiles read least */
            if (!kernels->gemm_rows[vectors] || (vectors > 1 && (vectors - 1) * kernels->vec >= columns))
                continue;
            const struct panels panels = falt_panels_of(kernels, columns, vectors);
            double cycles = (double)g->lines * falt_full_panels_step(&panels, columns, rows);
            cycles += exchanged ? 0.0 : transposition / pixels;
            if (least < 0.0 || cycles < least * 0.97) {
                least = cycles;
                g->exchanged = exchanged;
                g->vectors = vectors;
                g->rows = rows;
                g->columns = columns;
            }
        }
    }
    g->vec = kernels->vec;
    g->nr = g->vectors * g->vec;
    g->row_tiles = divide_up(g->rows, kernels->gemm_rows[g->vectors]);
    g->height = divide_up(g->rows, g->row_tiles);
    g->column_tiles = divide_up(g->columns, g->nr);
    return least;
}

/* By the problem alone: this decides the rounding. */
static void choose_chunks(const struct problem *p, struct gradient *g)
{
    const double channels = (double)p->x_group + (double)p->y_group, block = (double)p->x_group * (double)p->y_group;
    const bool cut = block <= KEPT / 2 && channels * MOST_SPAN + block > KEPT; /* then L2 keeps the block */
    const int64_t rows = p->batch * p->out[0] * p->out[1];
    const double tiles = (double)p->groups * (double)g->row_tiles * (double)g->column_tiles * (double)g->lines;
    static const int64_t even[] = {1, 2, 4, 6, 8, 12, MOST_PARTS}; /* for the usual numbers of threads */
    int i = 0;
    while (even[i] < MOST_PARTS && (double)even[i] * tiles < WANTED_TILES)
        i++;
    g->pieces = divide_up(p->out[2], cut ? MOST_SPAN * 9 / 16 : MOST_SPAN);
    if (rows == 1 && g->pieces > even[i]) /* as many for each part */
        g->pieces = smaller(divide_up(g->pieces, even[i]) * even[i], p->out[2]);
    g->span = divide_up(p->out[2], g->pieces);
    g->units = rows * g->pieces;
    g->chunks = g->units ? divide_up(g->units, larger(1, (CHUNK_PIXELS + g->span / 2) / g->span)) : 1;
    g->parts = smaller(g->chunks, even[i]);
    g->chunks = larger(1, smaller(divide_up(g->chunks, g->parts) * g->parts, g->units));
    g->chunk = divide_up(g->units, g->chunks);
    g->once = !g->exchanged && g->chunks == g->parts;
}

struct ranges {
    int64_t rows, columns, lines; /* how many of each */
};

/* Most rows and columns of an item. */
static int64_t range_rows(const struct gradient *g, int64_t ranges)
{
    return smaller(g->rows, divide_up(g->row_tiles, ranges) * g->height);
}

static int64_t range_columns(const struct gradient *g, int64_t ranges)
{
    return smaller(g->columns, divide_up(g->column_tiles, ranges) * g->nr);
}

/* Floats of a pixel in the strips of an item, in panels of a tile's width or as it is. */
static int64_t strip_floats(bool panels, int64_t width, int64_t channels)
{
    return panels ? divide_up(channels, width) * width : strip_pitch(channels);
}

static double item_cycles(const struct problem *p, const struct resources *r, const struct gradient *g, double step,
                          double inside, struct ranges by)
{
    const double pixels = (double)(p->batch * p->out_pixels) / (double)g->parts;
    const double rows = (double)range_rows(g, by.rows), columns = (double)range_columns(g, by.columns);
    const double lines = (double)divide_up(g->lines, by.lines);
    const double tiles = (double)divide_up(g->row_tiles, by.rows) / (double)g->row_tiles *
                         (double)divide_up(g->column_tiles, by.columns) / (double)g->column_tiles;
    const double compute = pixels * (g->merged ? 1.0 : inside) * step * lines / (double)g->lines * tiles;
    const double calls = lines * tiles * (double)g->column_tiles *
                         ((double)g->chunks / (double)g->parts * cost_rows_calls(g->rows, g->height) +
                          (double)g->units / (double)g->parts * (double)g->row_tiles * cost_segment);
    const double seen = (double)p->x_count / ((double)p->y_count + 1.0) * (double)p->y_channels / (double)p->x_channels;
    const double x = seen * (g->exchanged ? columns : g->merged ? (double)p->x_group : rows), y = g->exchanged ? rows : columns;
    const double input = pixels * (x + y) * sizeof(float) / cost_l3_bytes;
    const double block = rows * columns * lines * sizeof(float);
    /* A block that is larger than its share of L2 travels for each chunk, and once more if it is to be transposed. */
    const double updates = (double)g->chunks / (double)g->parts - (g->exchanged ? 1.0 : 0.0);
    const double again = !g->once && block > (double)r->cpu->l2 / 4.0 ? updates : 0.0;
    const double streams = g->exchanged ? 0.0 : 100.0 * columns; /* each begins with misses */
    const double seams = (g->exchanged ? by.columns : by.rows) > 1 ? cost_seam_row * (g->exchanged ? rows : columns) : 0.0;
    return compute + calls + input + streams + seams + block * (2.0 * again + 1.0) / cost_l3_bytes;
}

static double choose_ranges(const struct problem *p, const struct resources *r, struct gradient *g, double step)
{
    double least = -1.0;
    const double inside = falt_seen_share(p, 0, 1) * falt_seen_share(p, 1, 1) * falt_seen_share(p, 2, 1);
    const int64_t most_rows = g->merged ? 1 : smaller(g->row_tiles, MOST_RANGES);
    const int64_t most_columns = smaller(g->column_tiles, MOST_RANGES);
    /* Not so that threads write to the same cache lines: two taps, each a thread's own, took 50 times as long as by one. */
    const int64_t most_lines = falt_weight_strides(p).t < LINE_FLOATS ? 1 : g->lines;
    for (int64_t lines = 1; lines <= most_lines; lines = lines < most_lines ? most_lines : most_lines + 1)
        for (int64_t rows = 1; rows <= most_rows; rows = shorter_ranges(g->row_tiles, rows))
            for (int64_t columns = 1; columns <= most_columns; columns = shorter_ranges(g->column_tiles, columns)) {
                const double items = (double)g->parts * (double)p->groups * (double)lines * (double)rows * (double)columns;
                const double each = (double)(int64_t)((items + r->threads - 1) / r->threads);
                const double region = items > 1.0 && r->threads > 1 ? r->region * cost_hertz : 0.0;
                const double cycles =
                    each * (item_cycles(p, r, g, step, inside, (struct ranges){rows, columns, lines}) + 500.0) + region;
                if (items < 1e15 && (least < 0.0 || cycles < least)) {
                    least = cycles;
                    g->row_ranges = rows;
                    g->column_ranges = columns;
                    g->line_ranges = lines;
                    g->items = (int64_t)items;
                }
            }
    return least;
}

/* Of rows whose part of A stays in L2 for all columns; vectors that are but part of a line multiply too little for it to
 * matter. Items that ask for what comes from memory count on a single block, and on L2 to hold all of a chunk and
 * what it is summed into. */
static void choose_block(const struct problem *p, const struct resources *r, struct gradient *g)
{
    const double l2 = (double)r->cpu->l2 / sizeof(float), pixels = (double)g->chunk * (double)g->span; /* in floats */
    const double rows = (double)range_rows(g, g->row_ranges), columns = (double)range_columns(g, g->column_ranges);
    const double a = rows * pixels, c = rows * (double)(divide_up(g->lines, g->line_ranges) * g->nr);
    g->asks =
        p->layout == FALT_CHANNELS_LAST && falt_outgrows(p, r->cpu) && (rows + columns) * pixels <= (l2 < KEPT ? l2 : KEPT);
    g->along = g->exchanged && !g->asks && rows * columns * (double)divide_up(g->lines, g->line_ranges) >= l2 / 2.0;
    double blocks = 0.0;
    const double again = g->along ? columns * pixels : a; /* what comes from L2 again and again */
    if (g->vec >= LINE_FLOATS && again > l2 / 4.0)
        blocks = again / (l2 / 8.0);
    if (g->once && c > (blocks + 1.0) * l2 / 16.0)
        blocks = c / (l2 / 16.0);
    const int64_t tiles = g->along ? divide_up(g->column_tiles, g->column_ranges) : divide_up(g->row_tiles, g->row_ranges);
    g->block = (g->asks && !g->once) || g->merged ? tiles : blocks < (double)tiles ? divide_up(tiles, (int64_t)blocks + 1) : 1;
}

static bool choose_workspace(const struct problem *p, struct gradient *g)
{
    const int64_t rows = range_rows(g, g->row_ranges), columns = range_columns(g, g->column_ranges);
    const double a = (double)strip_floats(g->panels, g->height, rows), b = (double)strip_floats(true, g->nr, columns);
    const double x = g->merged ? (double)p->x_group : g->exchanged ? b : a, y = g->exchanged ? a : b;
    const double lines = (double)divide_up(g->lines, g->line_ranges);
    double x_floats = 0.0;
    if (g->x_strip) {
        /* Each run of a chunk's rows within one plane needs the rows between them and the window's. */
        const int64_t runs = g->pieces > 1 ? g->chunk : smaller(g->chunk, divide_up(g->chunk, p->out[1]) + 1);
        const double window = (double)g->chunk * (double)p->stride[1] + (double)runs * (double)window_extent(p, 1);
        const double image = (double)runs * (double)p->in[1];
        const double slots = (double)p->kernel[0] * (window < image ? window : image);
        const double width = (double)(g->span - 1) * (double)p->stride[2] + (double)window_extent(p, 2);
        const double inside = g->merged || width < (double)p->in[2] ? width : (double)p->in[2];
        if (slots * inside * x > 1e15)
            return false;
        g->slots = (int64_t)slots;
        g->width = (int64_t)inside;
        x_floats = (double)x_pixels(g) * x;
    }
    const double y_floats = g->y_strip ? (double)y_pixels(g) * y : 0.0;
    const double entries = lines * (double)g->chunk;
    const int64_t together = g->once ? smaller(rows, g->block * g->height) : rows;
    const int64_t beside = g->once ? g->nr : divide_up(columns, g->nr) * g->nr;
    const double block = g->exchanged ? 0.0 : lines * (double)together * (double)beside;
    if (y_floats > 1e15 || entries > 1e15 || block > 1e15 || (double)p->w_count * (double)g->parts > 1e15)
        return false;
    g->x_bytes = round_to_lines((size_t)x_floats * sizeof(float));
    g->y_bytes = round_to_lines((size_t)y_floats * sizeof(float));
    g->segments = round_to_lines((size_t)entries * sizeof(struct outer_segment));
    g->counts = round_to_lines((size_t)lines * sizeof(int64_t));
    g->scratch = round_to_lines((size_t)block * sizeof(float)) * (g->once ? 2 : 1);
    g->per_thread = g->x_bytes + g->y_bytes + g->segments + g->counts + g->scratch;
    return true;
}

/* Channels that are not contiguous are; and pixels that meet in one or two sets of L1, each of whose lines then comes from L2,
 * where enough tiles use the copy: measured in L2, a tile of 12x32 gains 15 and 5 % from a copy of A, a third of its time,
 * and 10 and 3 % from one of B, as long as the tile itself. Tiles of narrow vectors have so few multiply-adds for a line that
 * four sets do not serve them either. What comes from memory comes to a copy while nothing multiplies (`beyond`: 1.07 to
 * 1.4 times as fast without). */
static bool needs_strip(const struct problem *p, const struct gradient *g, bool b, bool beyond, int64_t step, int64_t pixels)
{
    enum { PAGE = 4096 / sizeof(float) };
    if (p->layout == FALT_CHANNELS_FIRST)
        return pixels > 1;
    if (g->vec < LINE_FLOATS)
        return step % (PAGE / 4) == 0;
    const int64_t uses = (b ? divide_up(g->row_tiles, g->row_ranges) : divide_up(g->column_tiles, g->column_ranges)) *
                         divide_up(g->lines, g->line_ranges);
    return step % PAGE == 0 ? uses >= (b ? 9 : 2) : step % (PAGE / 2) == 0 && !beyond && uses >= (b ? 36 : 6);
}

static void choose_strips(const struct problem *p, const struct resources *r, struct gradient *g)
{
    const bool beyond = falt_outgrows(p, r->cpu);
    g->x_strip = g->merged || needs_strip(p, g, g->exchanged, beyond, p->x_channels * p->stride[2], p->in_pixels);
    g->y_strip = needs_strip(p, g, !g->exchanged, beyond, p->y_channels, p->out_pixels);
    const bool a_strip = g->exchanged ? g->y_strip : g->x_strip; /* masked stores of narrow vectors take long */
    g->panels = a_strip && !g->merged && p->layout == FALT_CHANNELS_LAST && g->vec >= LINE_FLOATS;
}

static bool consider(const struct problem *problem, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    const struct problem flat = falt_flattened(problem), *p = &flat;
    struct gradient *g = (struct gradient *)(void *)c->state;
    const double step = choose_tile(p, r->kernels, g);
    choose_chunks(p, g);
    const double cycles = choose_ranges(p, r, g, step);
    bool fits = g->items > 0;
    if (fits) {
        choose_strips(p, r, g);
        choose_block(p, r, g);
        fits = choose_workspace(p, g);
    }
    if (!fits) {
        snprintf(reason, SOLVER_REASON, "it needs more workspace than can be addressed");
        return false;
    }
    g->bias = falt_bias_size(p, g->parts);
    c->sums_bias = g->bias > 0;
    c->threads = (int)smaller(r->threads, g->items);
    g->per_thread += falt_threads_apart(r, c->threads);
    c->workspace = g->per_thread * (size_t)c->threads + falt_parts_size(p, g->parts) + g->bias;
    c->seconds = (cycles + falt_pieces_cycles(p, r->cpu) / r->threads) / cost_hertz;
    c->accuracy = 1.0;
    c->error_growth = 1.0;
    const double terms = (double)(g->chunk * g->span + divide_up(g->chunks, g->parts) + g->parts);
    const double all = (double)(p->batch * p->out_pixels); /* in no order is a sum worse than one chain */
    c->error_terms = terms < all ? terms : all;
    snprintf(c->kernel, SOLVER_NOTE, "%s %dx%d%s", r->kernels->name, r->kernels->gemm_rows[g->vectors], (int)g->nr,
             g->exchanged ? " exchanged" : "");
    snprintf(c->schedule, SOLVER_NOTE, "%lld parts x %lld tap x %lld row x %lld column ranges, %lld chunks%s",
             (long long)g->parts, (long long)g->line_ranges, (long long)g->row_ranges, (long long)g->column_ranges,
             (long long)g->chunks, g->x_strip ? ", strips" : "");
    return true;
}

const struct solver falt_solver_direct_weights = {"direct", FALT_ALGO_DIRECT,       SOLVES_WEIGHTS, false, consider,
                                                  NULL,     falt_direct_weights_run};
