/*
 * direct_weights.c - direct backward weights: the register tile of outer products over (input channels x output channels),
 * summed over pixels, once for each tap.
 *
 *                    columns: vectors of y channels            A[k]: x channels of the pixel that tap t sees for pixel k
 *                   +---------+---------+---                   B[k]: y channels of pixel k
 *     rows:      0  |  tile   |  tile   |
 *     x channels    +---------+---------+---            both are read where they lie: k steps through an image row, and a table
 *              14  |  tile   |  tile   |               of segments, one for each row and tap, through the rows. Padding makes
 *                   +---------+---------+---            segments shorter.
 *
 * A tile comes out as [x channel][y channel] and passes through a scratch block, which is transposed into w[o][...]: a block of
 * some rows and one column of tiles, in L2, where one chunk is all that an item sees, else all of the item in the end. What is
 * complete is transposed strip by strip between the tiles of the next block, so that its stores wait for their lines while
 * these multiply: two blocks take turns.
 * Where x channels are neighbours in w (OHWI, 1x1) the operands may be exchanged instead: x has the vectors, and tiles lie in w
 * as they are. They go along its rows where L2 does not hold w: its lines are then asked for by hardware, row by row.
 *
 * The pixels are cut into chunks, so that their part of x and y stays in cache for all tiles and taps, and because chains of a
 * few hundred terms, added up, are far more accurate than one of many thousand. Where tiles are few, the chunks are also dealt
 * to a number of parts with a copy of w each. Chunks and parts depend on the problem only, and are added in order: the sum is
 * the same for any number of threads. Threads take items of a grid (part, group, range of taps, of rows, of columns).
 *
 * Where channels are not contiguous (channels first), a chunk's rows are first transposed into channels-last strips, and where
 * pixels meet in few sets of L1 they are copied: A as rows that do not meet or in panels [row tile][pixel][rows], B in panels
 * [column tile][pixel][nr], each of which stays in L1 for all rows. Where x has few channels, a strip with its padding makes
 * the taps of a kernel row and their channels neighbours: kernel width * channels rows.
 *
 * What comes from memory would come to the tiles that use it first, faster than memory is. So the tiles of a column of tiles
 * ask for the next column's B, and those of a row for their A of the next chunk, each for its share.
 */
#include <stdio.h>
#include <string.h>

#include "../arithmetic.h"
#include "../bias.h"
#include "../cost.h"
#include "../padding.h"
#include "../panels.h"
#include "../parallel.h"
#include "../parts.h"
#include "../range.h"
#include "../solver.h"
#include "../strip.h"

enum {
    CHUNK_PIXELS = 320, /* long enough to amortise the update of a tile, short enough for L2 */
    MOST_SPAN = 512,    /* pixels of a row that are never separated */
    KEPT = 1 << 18,     /* floats that an L2 has room for beside what comes next */
    WANTED_TILES = 32,  /* parts are made for at least as many */
    MOST_PARTS = 16,
    MOST_RANGES = 64
};

struct gradient {
    bool exchanged; /* A is y, B is x */
    bool merged;    /* a row of A is a pair (tap of a kernel row, x channel) */
    bool x_strip, y_strip;
    bool asks;             /* tiles ask for what the next chunk will see */
    int vectors, vec;      /* of a full tile; floats in a vector */
    int64_t nr;            /* columns of a full tile: vectors * vec */
    int64_t rows, columns; /* of one group and line */
    int64_t lines;         /* taps, or with merged rows kernel rows */
    int64_t row_tiles, column_tiles;
    int64_t height;        /* rows of a tile, but of the last */
    bool panels;           /* of A's strip, too: a tile's rows of all pixels */
    bool along;            /* tiles go along the rows of w */
    int64_t block;         /* tiles of rows that go through all columns together; along rows, of columns through all rows */
    bool once;             /* items are one chunk, and a block of one column of tiles is transposed at once */
    int64_t pieces, span;  /* of an output row; pixels of a piece, at most */
    int64_t units;         /* pieces of all output rows of all images */
    int64_t chunks, chunk; /* their number; units of one, at most */
    int64_t parts;
    int64_t row_ranges, column_ranges, line_ranges, items;
    int64_t slots, width;                               /* the x strip: image rows, pixels of each */
    size_t x_bytes, y_bytes, segments, places, scratch; /* a thread's workspace, in bytes and in this order */
    size_t per_thread;                                  /* their sum, and what is between threads */
    size_t bias; /* bytes of the totals of the bias gradient, summed chunk by chunk, while y is in L2; 0: it is not */
};

_Static_assert(sizeof(struct gradient) <= SOLVER_STATE, "the solver's state must fit");

/* --------------------------------------------------------------------------------------------------------------- planning */

/* A 1x1 kernel that sees all pixels knows no rows: a plane is one row, and with channels last all images are. */
static struct problem flatten(const struct problem *p)
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

static int64_t extent(const struct problem *p, int dimension)
{
    return (p->kernel[dimension] - 1) * p->dilation[dimension] + 1;
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

/* Floats from one pixel of a strip to the next: whole cache lines, and not so many that all pixels meet in one cache set. */
static int64_t strip_pitch(int64_t channels)
{
    const int64_t lines = divide_up(channels, 16) * 16;
    return lines % 256 ? lines : lines + 16;
}

struct ranges {
    int64_t rows, columns, lines; /* how many of each */
};

/* Most rows and columns of an item. */
static int64_t range_rows(const struct gradient *g, int64_t ranges)
{
    return smaller(g->rows, divide_up(g->row_tiles, ranges) * g->height);
}

static struct range rows_of(const struct gradient *g, struct range tiles)
{
    return (struct range){tiles.begin * g->height, smaller(tiles.end * g->height, g->rows)};
}

static int64_t range_columns(const struct gradient *g, int64_t ranges)
{
    return smaller(g->columns, divide_up(g->column_tiles, ranges) * g->nr);
}

/* Of a strip. One more than there are: panels would be powers of two apart. */
static int64_t x_pixels(const struct gradient *g)
{
    return g->slots * g->width + 1;
}

static int64_t y_pixels(const struct gradient *g)
{
    return g->chunk * g->span + 1;
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
    const int64_t most_lines = falt_weight_strides(p).t * (int64_t)sizeof(float) < 64 ? 1 : g->lines;
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
    enum { LINE = 64 / sizeof(float) };
    const double l2 = (double)r->cpu->l2 / sizeof(float), pixels = (double)g->chunk * (double)g->span; /* in floats */
    const double rows = (double)range_rows(g, g->row_ranges), columns = (double)range_columns(g, g->column_ranges);
    const double a = rows * pixels, c = rows * (double)(divide_up(g->lines, g->line_ranges) * g->nr);
    g->asks =
        p->layout == FALT_CHANNELS_LAST && falt_outgrows(p, r->cpu) && (rows + columns) * pixels <= (l2 < KEPT ? l2 : KEPT);
    g->along = g->exchanged && !g->asks && rows * columns * (double)divide_up(g->lines, g->line_ranges) >= l2 / 2.0;
    double blocks = 0.0;
    const double again = g->along ? columns * pixels : a; /* what comes from L2 again and again */
    if (g->vec >= LINE && again > l2 / 4.0)
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
        const double window = (double)g->chunk * (double)p->stride[1] + (double)runs * (double)extent(p, 1);
        const double image = (double)runs * (double)p->in[1];
        const double slots = (double)p->kernel[0] * (window < image ? window : image);
        const double width = (double)(g->span - 1) * (double)p->stride[2] + (double)extent(p, 2);
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
    g->places = round_to_lines((size_t)lines * sizeof(int64_t));
    g->scratch = round_to_lines((size_t)block * sizeof(float)) * (g->once ? 2 : 1);
    g->per_thread = g->x_bytes + g->y_bytes + g->segments + g->places + g->scratch;
    return true;
}

/* Channels that are not contiguous are; and pixels that meet in one or two sets of L1, each of whose lines then comes from L2,
 * where enough tiles use the copy: measured in L2, a tile of 12x32 gains 15 and 5 % from a copy of A, a third of its time,
 * and 10 and 3 % from one of B, as long as the tile itself. Tiles of narrow vectors have so few multiply-adds for a line that
 * four sets do not serve them either. What comes from memory comes to a copy while nothing multiplies (`beyond`: 1.07 to
 * 1.4 times as fast without). */
static bool needs_strip(const struct problem *p, const struct gradient *g, bool b, bool beyond, int64_t step, int64_t pixels)
{
    enum { LINE = 64 / sizeof(float), PAGE = 4096 / sizeof(float) };
    if (p->layout == FALT_CHANNELS_FIRST)
        return pixels > 1;
    if (g->vec < LINE)
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
    g->panels = a_strip && !g->merged && p->layout == FALT_CHANNELS_LAST && (size_t)g->vec * sizeof(float) >= SOLVER_ALIGN;
}

static bool consider(const struct problem *problem, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    const struct problem flat = flatten(problem), *p = &flat;
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

/* ---------------------------------------------------------------------------------------------------------------- running */

struct job {
    const struct problem *p;
    const struct gradient *g;
    const struct kernels *kernels;
    const struct operands *operands;
    struct tensor_strides x, y;
    struct weight_strides w;
    char *threads; /* their workspaces */
    double *bias;  /* totals [part][y channel], or NULL */
    float *copies; /* of w, one for each part, or NULL */
};

/* Pixels of a tensor that the next chunk will be the first to see. */
struct coming {
    const float *first; /* of the group's channels; NULL: not known */
    int64_t pixels, step;
};

/* Sums that become w, [row][column], and how far they are: strips of a vector of rows, of all runs, which are neighbours in
 * w[o], of a vector of columns at a time. That many streams go through w, and the cache has room for them. */
struct block {
    struct range rows, columns;
    float *sums, *w;
    int64_t runs, each, strips;  /* rows of a run, strips of each */
    int64_t row, run, apart;     /* floats from one row to the next, from one run to the next, and so in w[o] */
    int64_t line;                /* and from a tile's sums to those of its next line */
    int64_t n, at_run, at_strip; /* what comes next: the first column of a vector, ... */
};

/* A member's share of the work, and its workspace. */
struct item {
    const struct job *job;
    int64_t group;
    struct range chunks, lines, row_tiles, column_tiles, rows, columns;
    struct range x, y; /* channels within the group */
    double *bias;      /* totals of the part, or NULL */
    float *w;          /* where the gradient goes: the caller's, or a part's copy */
    bool add;          /* to what is there */
    float *x_strip, *y_strip, *scratch;
    int64_t scratch_floats; /* of one of the blocks that take turns */
    struct outer_segment *segments;
    int64_t *counts;          /* of segments, for each line */
    struct block block, done; /* what tiles are summed into; what is complete and not yet in w: without columns, nothing */
    int64_t x_pitch, y_pitch; /* floats from one pixel to the next */
    int64_t a_panel, b_panel; /* and from one tile to the next, of an operand in a strip */
    const float *a, *b;       /* of the item's first tile, and floats to that of the next: */
    ptrdiff_t a_tile, b_tile;
    ptrdiff_t a_step, b_step; /* to what the next pixel of an output row sees */
    float *c;                 /* in w, of the group and the first of the item's lines, if exchanged */
    ptrdiff_t c_row;          /* of what is summed into, w or a block */
    int64_t steps;            /* pixels of the chunk */
    bool last;                /* of the item */
    struct coming x_coming, y_coming;
};

/* A piece of an output row. */
struct unit {
    int64_t n, z, y;
    struct range q;
};

static struct unit unit_of(const struct problem *p, const struct gradient *g, int64_t index)
{
    struct unit unit;
    unit.q = share(p->out[2], index % g->pieces, g->pieces);
    index /= g->pieces;
    unit.y = index % p->out[1];
    index /= p->out[1];
    unit.z = index % p->out[0];
    unit.n = index / p->out[0];
    return unit;
}

static int64_t origin(const struct problem *p, int dimension, int64_t q)
{
    return q * p->stride[dimension] - p->pad[dimension];
}

/* The pixels of an image row that a unit sees: of the image, or with merged rows its whole window. */
static struct range seen_columns(const struct problem *p, const struct gradient *g, const struct unit *unit)
{
    const struct range window = {origin(p, 2, unit->q.begin), origin(p, 2, unit->q.end - 1) + extent(p, 2)};
    if (g->merged)
        return window;
    const int64_t begin = larger(window.begin, 0);
    return (struct range){begin, larger(begin, smaller(window.end, p->in[2]))};
}

static struct range seen_lines(const struct problem *p, int64_t first, int64_t rows)
{
    const int64_t begin = larger(origin(p, 1, first), 0);
    return (struct range){begin, larger(begin, smaller(origin(p, 1, first + rows - 1) + extent(p, 1), p->in[1]))};
}

/* Whether the kernel of any of the rows from `first` touches image row h: it need not where strides or dilation skip some. */
static bool touched(const struct problem *p, int64_t first, int64_t rows, int64_t h)
{
    const int64_t stride = p->stride[1];
    for (int64_t r = 0; r < p->kernel[1]; r++) {
        const int64_t at = h - origin(p, 1, first) - r * p->dilation[1];
        if (at >= 0 && at % stride == 0 && at / stride < rows)
            return true;
    }
    return false;
}

/* Copies what a run of `rows` output rows sees into the strip: [kernel depth][image row][pixel][channel]. */
static void fill_x(const struct item *item, const struct unit *unit, int64_t rows, float *strip)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const int64_t line = job->g->width * item->x_pitch;
    const struct range lines = seen_lines(p, unit->y, rows), seen = seen_columns(p, job->g, unit);
    const float *x = job->operands->x + unit->n * job->x.n + (item->group * p->x_group + item->x.begin) * job->x.c;
    for (int64_t d = 0; d < p->kernel[0]; d++) {
        const int64_t z = origin(p, 0, unit->z) + d * p->dilation[0];
        for (int64_t h = lines.begin; h < lines.end; h++, strip += line) {
            const float *row = x + (z * p->in[1] + h) * p->in[2] * job->x.pixel;
            if (!inside(z, p->in[0]) || !touched(p, unit->y, rows, h))
                continue;
            if (job->g->exchanged || job->g->panels)
                falt_gather_panels(job->kernels, row + seen.begin * job->x.pixel, job->x, length(item->x), length(seen), strip,
                                   item->x_pitch, job->g->exchanged ? item->b_panel : item->a_panel);
            else
                falt_gather_row(job->kernels, row, p->in[2], job->x, length(item->x), false, seen.begin, length(seen), strip,
                                item->x_pitch);
        }
    }
}

/* The segments of one line of taps for a run of output rows. */
static int64_t list_segments(const struct item *item, int64_t line, const struct unit *first, int64_t rows, int64_t x_strip,
                             int64_t y_strip, struct outer_segment *segment)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct gradient *g = job->g;
    const int64_t width = g->merged ? 1 : p->kernel[2];
    const int64_t d = line / width / p->kernel[1], r = line / width % p->kernel[1], s = line % width;
    const int64_t z = origin(p, 0, first->z) + d * p->dilation[0];
    if (!inside(z, p->in[0]))
        return 0;
    const int64_t shift = s * p->dilation[2] - p->pad[2], stride = p->stride[2];
    struct range q = first->q; /* that see the image through this tap */
    if (!g->merged) {
        q.begin = larger(q.begin, shift < 0 ? divide_up(-shift, stride) : 0);
        q.end = p->in[2] > shift ? smaller(q.end, divide_up(p->in[2] - shift, stride)) : q.begin;
    }
    if (q.begin >= q.end)
        return 0;
    const struct range lines = seen_lines(p, first->y, rows), seen = seen_columns(p, g, first);
    const int64_t xs = item->x_pitch, ys = item->y_pitch, column = q.begin * stride + shift;
    int64_t count = 0;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t h = origin(p, 1, first->y + i) + r * p->dilation[1];
        if (!inside(h, p->in[1]))
            continue;
        const ptrdiff_t x = g->x_strip ? x_strip + ((d * length(lines) + h - lines.begin) * g->width + column - seen.begin) * xs
                                       : first->n * job->x.n + ((z * p->in[1] + h) * p->in[2] + column) * xs;
        const ptrdiff_t y = g->y_strip
                                ? y_strip + (i * g->span + q.begin - first->q.begin) * ys
                                : first->n * job->y.n + ((first->z * p->out[1] + first->y + i) * p->out[2] + q.begin) * ys;
        segment[count++] = (struct outer_segment){g->exchanged ? y : x, g->exchanged ? x : y, q.end - q.begin};
    }
    return count;
}

/* Strips and segments of a chunk, run by run: output rows that follow each other in one plane. */
static void prepare_chunk(const struct item *item, struct range units)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct gradient *g = job->g;
    int64_t x_strip = 0, y_strip = 0;
    memset(item->counts, 0, (size_t)length(item->lines) * sizeof *item->counts);
    for (int64_t at = units.begin; at < units.end;) {
        const struct unit first = unit_of(p, g, at);
        const int64_t rows = g->pieces > 1 ? 1 : smaller(units.end - at, p->out[1] - first.y);
        if (g->x_strip)
            fill_x(item, &first, rows, item->x_strip + x_strip);
        if (g->y_strip) {
            const float *y = job->operands->y + first.n * job->y.n + (item->group * p->y_group + item->y.begin) * job->y.c +
                             ((first.z * p->out[1] + first.y) * p->out[2] + first.q.begin) * job->y.pixel;
            /* Whole rows of a plane are one. */
            const int64_t pixels = rows * length(first.q);
            if (g->exchanged && !g->panels)
                falt_gather(job->kernels, y, job->y, length(item->y), pixels, item->y_strip + y_strip, item->y_pitch);
            else
                falt_gather_panels(job->kernels, y, job->y, length(item->y), pixels, item->y_strip + y_strip, item->y_pitch,
                                   g->exchanged ? item->a_panel : item->b_panel);
        }
        for (int64_t l = 0; l < length(item->lines); l++)
            item->counts[l] += list_segments(item, item->lines.begin + l, &first, rows, x_strip, y_strip,
                                             item->segments + l * g->chunk + item->counts[l]);
        x_strip += p->kernel[0] * length(seen_lines(p, first.y, rows)) * g->width * item->x_pitch;
        y_strip += rows * g->span * item->y_pitch;
        at += rows;
    }
}

/* Counted through all images; of the unit behind the last, their number. */
static int64_t first_pixel(const struct problem *p, const struct unit *unit)
{
    return ((unit->n * p->out[0] + unit->z) * p->out[1] + unit->y) * p->out[2] + unit->q.begin;
}

/* What the chunk behind `units` will see, where pixels are rows of memory and none of them is skipped. */
static void look_ahead(struct item *item, struct range units, bool last)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct gradient *g = job->g;
    item->steps = length(units) * g->span;
    item->last = last;
    item->x_coming = item->y_coming = (struct coming){NULL, 0, 0};
    if (!g->asks)
        return;
    const struct unit unit = unit_of(p, g, units.end);
    const int64_t y = first_pixel(p, &unit);
    item->y_coming = (struct coming){job->operands->y + item->group * p->y_group + y * job->y.pixel, item->steps, job->y.pixel};
    if (extent(p, 1) < p->stride[1] || extent(p, 2) < p->stride[2])
        return;
    const int64_t z = smaller(larger(origin(p, 0, unit.z) + extent(p, 0) - 1, 0), p->in[0] - 1); /* the others were seen */
    const int64_t h = unit.y == 0 ? 0 : smaller(larger(origin(p, 1, unit.y) + extent(p, 1) - p->stride[1], 0), p->in[1] - 1);
    const int64_t v = larger(origin(p, 2, unit.q.begin), 0), x = ((unit.n * p->in[0] + z) * p->in[1] + h) * p->in[2] + v;
    const int64_t pixels = g->pieces > 1 ? item->steps * p->stride[2] : length(units) * p->stride[1] * p->in[2];
    enum { LINE = 16 };
    const bool narrow = job->x.pixel < LINE; /* then by lines, not by pixels */
    item->x_coming = (struct coming){job->operands->x + item->group * p->x_group + x * job->x.pixel,
                                     narrow ? pixels * job->x.pixel / LINE : pixels, narrow ? LINE : job->x.pixel};
}

/* One of `pieces` equal pieces of such pixels, from channel `first` on, for a tile that takes so many steps. `back`: of those
 * that this chunk saw first. */
static struct outer_ahead ask_for(const struct coming *coming, bool back, int64_t first, int64_t piece, int64_t pieces,
                                  int64_t steps)
{
    if (!coming->first || coming->pixels == 0)
        return (struct outer_ahead){NULL, 0, 0};
    const int64_t pixel = coming->pixels * piece / pieces - (back ? coming->pixels : 0);
    return (struct outer_ahead){coming->first + first + pixel * coming->step, coming->step,
                                larger(1, steps * pieces / coming->pixels)};
}

static struct block block_of(const struct item *item, struct range rows, struct range columns, float *sums)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct gradient *g = job->g;
    const int64_t width = g->merged ? p->kernel[2] : 1, lines = length(item->lines), all = length(rows);
    struct block block = {.rows = rows, .columns = columns, .sums = sums, .runs = 1, .each = lines * all, .row = g->nr};
    int64_t first;
    block.line = all * g->nr;
    if (p->weights_layout == FALT_OHWI) { /* [line][row] */
        first = item->lines.begin * g->rows + rows.begin;
        if (all < g->rows)
            block.runs = lines, block.each = all, block.run = all * g->nr, block.apart = g->rows;
    } else if (g->merged) { /* [line][tap][x channel] */
        first = item->lines.begin * width;
        block.runs = p->x_group, block.each = lines * width, block.run = g->nr, block.apart = p->taps;
        block.row = p->x_group * g->nr;
    } else { /* [row][line] */
        first = rows.begin * p->taps + item->lines.begin;
        block.line = g->nr;
        if (lines < g->lines)
            block.runs = all, block.each = lines, block.run = lines * g->nr, block.apart = p->taps;
    }
    block.strips = larger(1, block.each / g->vec); /* the last takes what is left, too */
    block.w = item->w + (item->group * p->y_group + columns.begin) * job->w.o + first;
    return block;
}

/* The next `most` strips between a block and w[o][...]. */
static void transpose_strips(const struct job *job, struct block *block, bool store, int64_t most)
{
    const int64_t vec = job->g->vec, o = job->w.o, all = length(block->columns);
    int64_t count = most;
    while (count > 0 && block->n < all) {
        const int64_t end = smaller(block->at_strip + count, block->strips), row = block->at_strip * vec;
        const int64_t rows = (end < block->strips ? end * vec : block->each) - row, columns = smaller(vec, all - block->n);
        float *sums = block->sums + block->at_run * block->run + row * block->row + block->n;
        float *w = block->w + block->n * o + block->at_run * block->apart + row;
        if (store)
            job->kernels->transpose(sums, block->row, rows, columns, w, o);
        else
            job->kernels->transpose(w, o, columns, rows, sums, block->row);
        count -= end - block->at_strip;
        block->at_strip = end % block->strips;
        if (block->at_strip == 0 && ++block->at_run == block->runs) {
            block->at_run = 0;
            block->n += vec;
        }
    }
    if (block->n < all) { /* the next of them, from L2 */
        const float *sums = block->sums + block->at_run * block->run + block->at_strip * vec * block->row + block->n;
        for (int64_t row = 0; row < smaller(most, block->strips - block->at_strip) * vec; row++)
            __builtin_prefetch(sums + row * block->row);
    }
}

static int64_t strips_of(const struct block *block, int64_t vec)
{
    return block->strips * block->runs * divide_up(length(block->columns), vec);
}

/* What is in w already, to be added to. */
static void fetch_block(const struct item *item)
{
    struct block block = item->block;
    transpose_strips(item->job, &block, false, strips_of(&block, item->job->g->vec));
}

/* A: the same rows in the next chunk, by all tiles of the row. B: the next column, by all tiles of this one; behind the last
 * the first of the next chunk; where B is in a strip, of which all columns are filled at once, this one in the next chunk. */
static void ask_ahead(const struct item *item, struct outer_args *args, struct range rows, struct range columns, int64_t tap)
{
    const struct gradient *g = item->job->g;
    const int64_t row = rows.begin / g->height - item->row_tiles.begin,
                  column = columns.begin / g->nr - item->column_tiles.begin;
    const int64_t lines = length(item->lines);
    const bool strip = g->exchanged ? g->x_strip : g->y_strip, back = !strip && columns.end < item->columns.end;
    const int64_t next = strip ? columns.begin : back ? columns.end : item->columns.begin;
    args->a_ahead = args->b_ahead = (struct outer_ahead){NULL, 0, 0};
    if (!item->last)
        args->a_ahead = ask_for(g->exchanged ? &item->y_coming : &item->x_coming, false, g->merged ? 0 : rows.begin,
                                column * lines + tap, length(item->column_tiles) * lines, item->steps);
    if (!item->last || back)
        args->b_ahead = ask_for(g->exchanged ? &item->x_coming : &item->y_coming, back, next, row * lines + tap,
                                length(item->row_tiles) * lines, item->steps);
}

static struct range columns_of(const struct gradient *g, int64_t tile)
{
    return (struct range){tile * g->nr, smaller((tile + 1) * g->nr, g->columns)};
}

/* The tiles of row tile i and column tile j, of all lines, and between them so many strips of what is done. Short sums are over
 * in a few hundred cycles: what can be known before is not found out here. */
static void run_lines(struct item *item, int64_t i, int64_t j, bool add, int64_t strips)
{
    const struct job *job = item->job;
    const struct gradient *g = job->g;
    const struct range rows = rows_of(g, (struct range){i, i + 1}), columns = columns_of(g, j);
    const int64_t vectors = length(columns) == g->nr ? g->vectors : divide_up(length(columns), g->vec);
    outer_kernel *const kernel = job->kernels->outer[vectors][length(rows)];
    struct outer_args args; /* An initializer clears what it does not name by `rep stos`, whose bytes no load gets before all
                             * stores are done: the kernel would wait for the last tile's lines. */
    args.a = item->a + (i - item->row_tiles.begin) * item->a_tile;
    args.b = item->b + (j - item->column_tiles.begin) * item->b_tile;
    args.segments = item->segments;
    args.a_step = item->a_step;
    args.b_step = item->b_step;
    args.c = g->exchanged ? item->c + rows.begin * item->c_row + columns.begin
                          : item->block.sums + (rows.begin - item->block.rows.begin) * item->c_row;
    args.c_row = item->c_row;
    args.columns = length(columns);
    args.accumulate = add;
    args.a_ahead.every = args.b_ahead.every = 0;
    const ptrdiff_t line = g->exchanged ? job->w.t : item->block.line;
    for (int64_t tap = 0; tap < length(item->lines); tap++, args.segments += g->chunk, args.c += line) {
        args.count = item->counts[tap];
        if (g->asks)
            ask_ahead(item, &args, rows, columns, tap);
        if (g->exchanged && add) /* w, unlike scratch, may be in memory */
            for (int64_t row = 0; row < length(rows); row++)
                prefetch(args.c + row * args.c_row, length(columns));
        kernel(&args);
        if (strips > 0)
            transpose_strips(job, &item->done, true, strips);
    }
}

/* Tiles that lie in w as they are, along its rows: some 14 streams of stores, whose lines hardware fetches ahead. */
static void run_along(struct item *item, bool add)
{
    const struct gradient *g = item->job->g;
    for (int64_t end, begin = item->column_tiles.begin; begin < item->column_tiles.end; begin = end) {
        end = smaller(begin + g->block, item->column_tiles.end);
        for (int64_t i = item->row_tiles.begin; i < item->row_tiles.end; i++)
            for (int64_t j = begin; j < end; j++)
                run_lines(item, i, j, add, 0);
    }
}

/* All tiles of a chunk: for each block of rows all columns. A column that is complete, or its block, becomes w while the next
 * is summed: stores that wait for lines do not stop multiply-adds. */
static void run_tiles(struct item *item, bool first, bool last)
{
    const struct gradient *g = item->job->g;
    const bool add = item->add || !first;
    const int64_t each = length(item->rows) * length(item->lines); /* rows of a column's block, of all of the item */
    for (int64_t end, begin = item->row_tiles.begin; begin < item->row_tiles.end; begin = end) {
        end = smaller(begin + g->block, item->row_tiles.end);
        for (int64_t j = item->column_tiles.begin; j < item->column_tiles.end; j++) {
            const struct range columns = columns_of(g, j);
            if (g->once) {
                float *other = item->block.sums == item->scratch ? item->scratch + item->scratch_floats : item->scratch;
                item->block = block_of(item, rows_of(g, (struct range){begin, end}), columns, other);
            } else if (!g->exchanged) {
                item->block =
                    block_of(item, item->rows, columns, item->scratch + (j - item->column_tiles.begin) * each * g->nr);
            }
            if (item->add && first && !g->exchanged && (g->once || begin == item->row_tiles.begin))
                fetch_block(item);
            const int64_t strips = divide_up(strips_of(&item->done, g->vec), (end - begin) * length(item->lines));
            for (int64_t i = begin; i < end; i++)
                run_lines(item, i, j, add, strips);
            if (g->once || (last && !g->exchanged && end == item->row_tiles.end))
                item->done = item->block;
        }
    }
}

static void run_item(struct item *item)
{
    const struct job *job = item->job;
    const struct gradient *g = job->g;
    const struct problem *p = job->p;
    /* The first of those that see the same channels of y. */
    const bool first = item->lines.begin == 0 && (g->exchanged ? item->columns.begin : item->rows.begin) == 0;
    const struct range channels = {item->group * p->y_group + item->y.begin, item->group * p->y_group + item->y.end};
    double *bias = first && item->bias ? item->bias + channels.begin : NULL;
    if (bias)
        memset(bias, 0, (size_t)length(channels) * sizeof *bias);
    item->block = item->done = (struct block){.runs = 0};
    for (int64_t chunk = item->chunks.begin; chunk < item->chunks.end; chunk++) {
        const struct range units = share(g->units, chunk, g->chunks);
        look_ahead(item, units, chunk == item->chunks.end - 1);
        prepare_chunk(item, units);
        if (g->along)
            run_along(item, item->add || chunk > item->chunks.begin);
        else
            run_tiles(item, chunk == item->chunks.begin, item->last);
        if (bias) {
            const struct unit from = unit_of(p, g, units.begin), to = unit_of(p, g, units.end);
            falt_add_bias_pixels(p, job->kernels, job->operands->y, channels,
                                 (struct range){first_pixel(p, &from), first_pixel(p, &to)}, bias);
        }
    }
    if (bias && g->parts == 1)
        falt_add_bias_parts(p, channels, 1, job->bias, job->operands->diff_bias);
    transpose_strips(job, &item->done, true, strips_of(&item->done, g->vec));
}

/* Where the item's tiles begin, and how far they are apart. */
static void locate_tiles(struct item *item)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct gradient *g = job->g;
    const int64_t a = g->panels ? g->height : g->merged ? p->x_group : strip_pitch(length(item->rows));
    const int64_t a_panel = (g->exchanged ? y_pixels(g) : x_pixels(g)) * g->height;
    const bool b_strip = g->exchanged ? g->x_strip : g->y_strip;
    item->x_pitch = !g->x_strip ? job->x.pixel : g->exchanged ? g->nr : a;
    item->y_pitch = !g->y_strip ? job->y.pixel : g->exchanged ? a : g->nr;
    item->a_panel = a_panel;
    item->b_panel = (g->exchanged ? x_pixels(g) : y_pixels(g)) * g->nr;
    item->a_tile = g->panels ? a_panel : g->height;
    item->b_tile = b_strip ? item->b_panel : g->nr;
    const float *x = g->x_strip ? item->x_strip : job->operands->x + item->group * p->x_group + item->x.begin;
    const float *y = g->y_strip ? item->y_strip : job->operands->y + item->group * p->y_group + item->y.begin;
    const ptrdiff_t x_step = p->stride[2] * item->x_pitch;
    item->a = g->exchanged ? y : x;
    item->b = g->exchanged ? x : y;
    item->a_step = g->exchanged ? item->y_pitch : x_step;
    item->b_step = g->exchanged ? x_step : item->y_pitch;
    if (g->exchanged) {
        item->c = item->w + item->group * p->y_group * job->w.o + item->lines.begin * job->w.t;
        item->c_row = job->w.o;
    } else {
        item->c_row = (g->merged || p->weights_layout == FALT_OHWI ? 1 : length(item->lines)) * g->nr;
    }
}

/* The last index runs over columns: neighbours read the same rows. */
static void run_member(const struct job *job, int member, int members)
{
    const struct problem *p = job->p;
    const struct gradient *g = job->g;
    char *memory = job->threads + g->per_thread * (size_t)member;
    struct item item = {.job = job};
    item.x_strip = (float *)(void *)memory;
    item.y_strip = (float *)(void *)(memory += g->x_bytes);
    item.segments = (struct outer_segment *)(void *)(memory += g->y_bytes);
    item.counts = (int64_t *)(void *)(memory += g->segments);
    item.scratch = (float *)(void *)(memory + g->places);
    item.scratch_floats = (int64_t)(g->scratch / sizeof(float) / 2);
    int64_t index, end;
    falt_share(g->items, member, members, &index, &end);
    for (; index < end; index++) {
        int64_t rest = index;
        item.column_tiles = share(g->column_tiles, rest % g->column_ranges, g->column_ranges);
        rest /= g->column_ranges;
        item.row_tiles = share(g->row_tiles, rest % g->row_ranges, g->row_ranges);
        rest /= g->row_ranges;
        item.lines = share(g->lines, rest % g->line_ranges, g->line_ranges);
        rest /= g->line_ranges;
        item.group = rest % p->groups;
        const int64_t part = rest / p->groups;
        item.chunks = share(g->chunks, part, g->parts);
        item.rows = rows_of(g, item.row_tiles);
        item.columns = (struct range){item.column_tiles.begin * g->nr, smaller(item.column_tiles.end * g->nr, g->columns)};
        item.x = g->merged ? (struct range){0, p->x_group} : g->exchanged ? item.columns : item.rows;
        item.y = g->exchanged ? item.rows : item.columns;
        item.bias = job->bias ? job->bias + part * p->y_channels : NULL;
        item.w = job->copies ? job->copies + part * p->w_count : job->operands->w;
        item.add = p->accumulate && !job->copies;
        locate_tiles(&item);
        run_item(&item);
    }
}

static void run(const struct problem *problem, const struct candidate *c, const struct kernels *kernels,
                const struct operands *operands, int member, int members)
{
    const struct problem flat = flatten(problem), *p = &flat;
    const struct gradient *g = (const struct gradient *)(const void *)c->state;
    const struct job job = {
        .p = p,
        .g = g,
        .kernels = kernels,
        .operands = operands,
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
        .y = falt_tensor_strides(p, p->y_channels, p->out_pixels),
        .w = falt_weight_strides(p),
        .threads = (char *)operands->workspace + falt_parts_size(p, g->parts) + g->bias,
        .bias = operands->diff_bias ? (double *)(void *)((char *)operands->workspace + falt_parts_size(p, g->parts)) : NULL,
        .copies = g->parts > 1 ? operands->workspace : NULL,
    };
    run_member(&job, member, members);
    if (job.copies) {
        falt_barrier(members);
        falt_add_parts(p, job.copies, g->parts, operands->w, member, members);
        if (job.bias)
            falt_add_bias_parts(p, share(p->y_channels, member, members), g->parts, job.bias, operands->diff_bias);
    }
}

const struct solver falt_solver_direct_weights = {"direct", FALT_ALGO_DIRECT, SOLVES_WEIGHTS, false, consider, NULL, run};
