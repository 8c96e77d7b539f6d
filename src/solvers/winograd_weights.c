/*
 * winograd_weights.c - Winograd backward weights: the adjoint of winograd.c, with its tiles, points and residues.
 *
 * For a chunk of tiles,
 *
 *     x   -- input transform -->     V[point][tile][x channel]               for each depth tap and residue of a stride
 *     dy  -- gradient transform -->  V'[point][tile][y channel]
 *     sum over tiles of V * V' -->   M[point][x channel][y channel]          outer products, for each point and register tile
 *     M   -- weights transform -->   dw[tap][x channel][y channel]           added to what earlier chunks have made
 *
 * so that V and V' of a chunk stay in L2, M of a register tile in L1 or beside them, and chains are short, which is accurate.
 * Where x channels are neighbours in w (OHWI) the operands are exchanged and dw lies in w as it comes; otherwise it passes
 * through a scratch block for each register tile, which is transposed into w[o][...] in the end.
 *
 * Tiles are dealt to a number of parts, with a copy of w each, and a part's tiles to chunks. Both depend on the problem only,
 * and are added in order: the sum is the same for any number of threads. Threads take items of a grid (part, group, range of x
 * channels, of y channels), and each transforms what it needs for itself: cheaper than to share what another core has just
 * written.
 *
 * Channels first: pieces of a tile row pass through channels-last strips in L1.
 */
#include <stdio.h>
#include <string.h>

#include "../arithmetic.h"
#include "../bias.h"
#include "../cost.h"
#include "../panels.h"
#include "../parallel.h"
#include "../parts.h"
#include "../range.h"
#include "../solver.h"
#include "../strip.h"
#include "../winograd_tiles.h"

enum {
    CHUNK_POINTS = 2048, /* tiles * points of a chunk: long enough to pay for M, short enough for L2 */
    CHUNK_TILES = 64,    /* and tiles: so short a chain is as accurate as direct summation */
    LEAST_TILES = 16,    /* of a part */
    MOST_PARTS = 16,
    MOST_RANGES = 64,
    STRIP_CHANNELS = 64
};

static const int64_t MOST_GROUPS = INT64_C(1) << 40; /* times parts and ranges, items of them are counted */

struct gradient {
    enum winograd_tile tile;
    struct winograd_cover cover;
    struct winograd_residues residues_h, residues_w;
    int ah, aw, points;
    int64_t inner;         /* taps of one depth */
    bool exchanged;        /* A is y, B is x */
    int vectors, vec;      /* of a full register tile; floats in a vector */
    int64_t nr;            /* its columns: vectors * vec */
    int64_t rows, columns; /* channels of a group that are broadcast, and in the lanes */
    int64_t tiles;         /* of all planes and images */
    bool fetch;            /* w comes from far */
    int64_t parts, chunk;  /* chunk: tiles, at most */
    int64_t row_ranges, column_ranges, items;
    int64_t a_pitch, b_pitch, a_point, b_point, m_point; /* floats from one tile or point to the next */
    int64_t block, blocks;                               /* floats of a scratch block, and how many of them are kept */
    int64_t segment;                                     /* channels first: tiles of one tile row that share a strip */
    size_t zeros, a, b, m, scratch, strip;               /* a thread's workspace, in bytes and in this order */
    size_t per_thread;                                   /* their sum, and what is between threads */
    size_t bias; /* bytes of the totals of the bias gradient, summed chunk by chunk; 0: it is not */
};

_Static_assert(sizeof(struct gradient) <= SOLVER_STATE, "the solver's state must fit");

/* --------------------------------------------------------------------------------------------------------------- planning */

static void set_tile(const struct problem *p, const struct kernels *kernels, enum winograd_tile tile, struct gradient *g)
{
    const struct winograd_transform *h = winograd_h(tile), *w = winograd_w(tile);
    g->tile = tile;
    g->cover = winograd_cover(p, tile);
    g->ah = h->m + h->r - 1;
    g->aw = w->m + w->r - 1;
    g->points = g->ah * g->aw;
    g->inner = p->kernel[1] * p->kernel[2];
    g->residues_h = winograd_residues(p, 1);
    g->residues_w = winograd_residues(p, 2);
    g->tiles = p->batch * p->out[0] * g->cover.tiles_h * g->cover.tiles_w;
    g->exchanged = falt_weight_strides(p).i == 1;
    g->rows = g->exchanged ? p->y_group : p->x_group;
    g->columns = g->exchanged ? p->x_group : p->y_group;
    g->vec = kernels->vec;
    g->vectors = falt_panels_of(kernels, g->columns, 2).vectors; /* two: tall tiles read least */
    g->nr = (int64_t)g->vectors * g->vec;
}

/* By the problem alone, as are the parts: this decides the rounding. */
static void set_parts(struct gradient *g, int64_t parts)
{
    const int64_t tiles = divide_up(g->tiles, parts);
    g->parts = parts;
    g->chunk = divide_up(tiles, divide_up(tiles, smaller(CHUNK_TILES, CHUNK_POINTS / g->points)));
}

/* Floats from one tile to the next: a multiple of 1 KiB would bring many of them into few cache sets. */
static int64_t pitch(int64_t channels, int vec)
{
    const int64_t whole = divide_up(channels, vec) * vec;
    return whole % 256 ? whole : whole + vec;
}

/* The most channels of a range. Those of the columns are cut between vectors. */
static int64_t range_rows(const struct gradient *g)
{
    return divide_up(g->rows, g->row_ranges);
}

static int64_t range_columns(const struct gradient *g)
{
    return smaller(g->columns, divide_up(divide_up(g->columns, g->vec), g->column_ranges) * g->vec);
}

static double item_cycles(const struct problem *p, const struct resources *r, const struct gradient *g)
{
    const int64_t most = r->kernels->gemm_rows[g->vectors], rows = range_rows(g), columns = range_columns(g);
    const double slices = (double)(p->kernel[0] * g->residues_h.count * g->residues_w.count), points = g->points;
    const double products = (double)(p->kernel[0] * winograd_products(g->residues_h, g->residues_w, g->ah, g->aw));
    const double tiles = (double)divide_up(g->tiles, g->parts), chunks = ceil(tiles / (double)g->chunk);
    const double x = ceil((double)(g->exchanged ? columns : rows) / g->vec) * slices;
    const double y = ceil((double)(g->exchanged ? rows : columns) / g->vec);
    const double turn = p->layout == FALT_CHANNELS_FIRST ? cost_transpose(g->vec) / g->vec : 0.0;
    /* What is transformed goes to L2 and comes back for the sums. */
    const double moved = cost_l2_byte * g->vec * sizeof(float);
    const double transforms =
        tiles * (x * ((cost_winograd_input + moved) * points + turn * g->ah * g->cover.mw * (double)p->stride[2]) +
                 y * ((cost_winograd_gradient + moved) * points + turn * (double)(g->cover.mh * g->cover.mw)));
    /* Lines that no neighbour follows; and pixels, which come while nothing is summed, and behind half of it from memory. */
    const int64_t line = SOLVER_ALIGN / (int64_t)sizeof(float);
    const double x_lines = slices * (double)(g->ah * g->aw * divide_up(g->exchanged ? columns : rows, line));
    const double y_lines = (double)(g->cover.mh * g->cover.mw * divide_up(g->exchanged ? rows : columns, line));
    const bool apart = p->layout == FALT_CHANNELS_LAST && (g->cover.dw > 1 || p->stride[2] > 1);
    const double singles = apart ? tiles * (x_lines + y_lines) * cost_single_line : 0.0;
    const double x_share = (double)(g->exchanged ? columns : rows) / (double)(p->x_channels * g->parts);
    const double y_share = (double)(g->exchanged ? rows : columns) / (double)(p->y_channels * g->parts);
    const double pixels = ((double)p->x_count * x_share + (double)p->y_count * y_share) * sizeof(float);
    const bool far = falt_tensor_bytes(p) > (double)r->cpu->l3 / 2.0;
    const double come = far ? pixels / cost_memory_bytes : pixels > (double)r->cpu->l2 / 2.0 ? pixels / cost_stream_bytes : 0.0;
    const double brought = fmax(transforms, come) + (far ? 0.5 * fmin(transforms, come) : 0.0) + singles;
    const struct panels cut = falt_panels_of(r->kernels, columns, g->vectors);
    const double gemm = products * tiles * falt_full_panels_step(&cut, columns, rows);
    const double panels = (double)divide_up(columns, g->nr), vectors = (double)divide_up(columns, g->vec);
    const double calls = products * chunks * panels * cost_rows_calls(rows, most);
    const double last = slices * points * chunks * (double)rows * vectors * cost_winograd_weights;
    const double w = (double)rows * (double)columns * (double)p->taps;
    const double turned = g->exchanged ? 0.0 : 9.0 / g->vec * w + 100.0 * (double)columns; /* each o's begins with misses */
    const double again = w * sizeof(float) * (2.0 * chunks - 1.0) / cost_l3_bytes;
    /* A travels for each panel of columns; streams from L3 mostly hide. */
    const double a = (double)(g->chunk * rows) * points * sizeof(float);
    const double both = a + (double)(g->chunk * columns) * points * sizeof(float);
    const double stream = both > 0.75 * (double)r->cpu->l2 ? slices * chunks * panels * a / cost_l3_bytes : 0.0;
    const double sums = gemm + calls + last + 0.1 * stream;
    const bool split = (g->exchanged ? g->column_ranges : g->row_ranges) > 1;
    const double seams = split ? cost_seam_row * (double)(g->exchanged ? rows : columns) : 0.0;
    return brought + turned + again + seams + fmax(sums, stream);
}

/* The next number of ranges to try: all small ones, then in steps of about a third. */
static int64_t more_ranges(int64_t ranges)
{
    return ranges + larger(1, ranges / 3);
}

static double choose_ranges(const struct problem *p, const struct resources *r, int threads, struct gradient *g)
{
    struct gradient try = *g;
    double least = -1.0;
    const int64_t most_rows = smaller(divide_up(g->rows, 4), MOST_RANGES);
    const int64_t most_columns = smaller(divide_up(g->columns, g->vec), MOST_RANGES);
    for (try.row_ranges = 1; try.row_ranges <= most_rows; try.row_ranges = more_ranges(try.row_ranges))
        for (try.column_ranges = 1; try.column_ranges <= most_columns; try.column_ranges = more_ranges(try.column_ranges)) {
            const double items = (double)g->parts * (double)p->groups * (double)try.row_ranges * (double)try.column_ranges;
            const double region = items > 1.0 && threads > 1 ? r->region * cost_hertz : 0.0;
            const double cycles = ceil(items / threads) * (item_cycles(p, r, &try) + 500.0) + region;
            if (items < 1e15 && (least < 0.0 || cycles < least)) {
                least = cycles;
                g->row_ranges = try.row_ranges;
                g->column_ranges = try.column_ranges;
                g->items = (int64_t)items;
            }
            if (items > 2.0 * threads) /* more only transform more */
                break;
        }
    const double region = threads > 1 ? r->region * cost_hertz : 0.0; /* once more */
    const double copies = (double)g->parts * (double)p->w_count * sizeof(float) / cost_shared_bytes / threads + region;
    return least + (g->parts > 1 ? copies : 0.0);
}

static bool choose_workspace(const struct problem *p, const struct kernels *kernels, struct gradient *g)
{
    const int64_t rows = range_rows(g), columns = range_columns(g), most = smaller(rows, kernels->gemm_rows[g->vectors]);
    const int64_t chunks = divide_up(divide_up(g->tiles, g->parts), g->chunk);
    g->a_pitch = pitch(rows, g->vec);
    g->b_pitch = pitch(columns, g->vec);
    g->a_point = g->chunk * g->a_pitch + g->vec;
    g->b_point = g->chunk * g->b_pitch + g->vec;
    g->m_point = most * g->nr + g->vec;
    g->block = most * g->inner * g->nr;
    const bool kept = chunks > 1 || g->residues_h.count * g->residues_w.count > 1;
    g->blocks = kept ? p->kernel[0] * divide_up(rows, kernels->gemm_rows[g->vectors]) * divide_up(columns, g->nr) : 1;
    g->segment = smaller(g->chunk, g->cover.tiles_w);
    const double scratch = g->exchanged ? 0.0 : (double)g->block * (double)g->blocks;
    if (scratch > 1e15 || (double)p->w_count * (double)g->parts > 1e15 ||
        (double)g->points * (double)(g->a_point + g->b_point) > 1e15)
        return false;
    g->zeros = round_to_lines((size_t)larger(g->a_pitch, g->b_pitch) * sizeof(float));
    g->a = round_to_lines((size_t)(g->points * g->a_point) * sizeof(float));
    g->b = round_to_lines((size_t)(g->points * g->b_point) * sizeof(float));
    g->m = round_to_lines((size_t)(g->points * g->m_point) * sizeof(float));
    g->scratch = round_to_lines((size_t)scratch * sizeof(float));
    if (p->layout == FALT_CHANNELS_FIRST)
        g->strip = round_to_lines((size_t)(g->ah * (g->segment * g->cover.mw + g->aw) * p->stride[2] * STRIP_CHANNELS) *
                                  sizeof(float));
    g->per_thread = g->zeros + g->a + g->b + g->m + g->scratch + g->strip;
    return true;
}

static bool consider(const struct problem *p, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    const char *why = winograd_refusal(p);
    if (why) {
        snprintf(reason, SOLVER_REASON, "%s", why);
        return false;
    }
    if (p->groups > MOST_GROUPS) {
        snprintf(reason, SOLVER_REASON, "it has more groups than can be counted with all that each of them is cut into");
        return false;
    }
    struct gradient *g = (struct gradient *)(void *)c->state;
    double least = -1.0;
    int fitting = 0;
    for (enum winograd_tile tile = 0; tile < WINOGRAD_COUNT; tile++) {
        if (!winograd_fits(p, tile))
            continue;
        fitting++;
        if (winograd_kinds[tile].weights_accuracy > r->accuracy)
            continue;
        struct gradient try = {0};
        set_tile(p, r->kernels, tile, &try);
        for (int64_t parts = 1; parts <= MOST_PARTS && (parts == 1 || parts * LEAST_TILES <= try.tiles); parts *= 2) {
            set_parts(&try, parts);
            const double cycles = choose_ranges(p, r, cost_nominal_threads, &try);
            if (least < 0.0 || cycles < least) {
                least = cycles;
                *g = try;
            }
        }
    }
    if (least < 0.0) {
        if (fitting)
            snprintf(reason, SOLVER_REASON, "none of its tiles is as accurate as asked for");
        else
            snprintf(reason, SOLVER_REASON, "there are no transforms for a %lldx%lld kernel", (long long)p->kernel[1],
                     (long long)p->kernel[2]);
        return false;
    }
    const double cycles = choose_ranges(p, r, r->threads, g);
    g->fetch = (double)p->w_count * sizeof(float) > 4.0 * (double)r->cpu->l2;
    if (!choose_workspace(p, r->kernels, g)) {
        snprintf(reason, SOLVER_REASON, "it needs more workspace than can be addressed");
        return false;
    }
    const struct winograd_transform *h = winograd_h(g->tile), *w = winograd_w(g->tile);
    const int64_t chunks = divide_up(divide_up(g->tiles, g->parts), g->chunk);
    c->threads = (int)smaller(r->threads, g->items);
    g->bias = winograd_dilated(p) ? 0 : falt_bias_size(p, g->parts); /* rows of pixels end with rows of tiles */
    c->sums_bias = g->bias > 0;
    g->per_thread += falt_threads_apart(r, c->threads);
    c->workspace = g->per_thread * (size_t)c->threads + falt_parts_size(p, g->parts) + g->bias;
    /* Each group reads its pixels once, and whole lines come early enough. */
    const double pieces = p->x_group * (int64_t)sizeof(float) < 64 ? 0.5 * falt_pieces_cycles(p, r->cpu) : 0.0;
    c->seconds = (cycles + pieces / r->threads) / cost_hertz;
    c->accuracy = winograd_kinds[g->tile].weights_accuracy;
    c->error_growth = h->growth * w->growth;
    c->error_terms = (double)(g->chunk + chunks + g->parts) + 4.0 * (g->ah + g->aw);
    snprintf(c->kernel, SOLVER_NOTE, "%s F(%dx%d %dx%d) %dx%d%s", r->kernels->name, h->r, w->r, h->m, w->m,
             r->kernels->gemm_rows[g->vectors], (int)g->nr, g->exchanged ? " exchanged" : "");
    snprintf(c->schedule, SOLVER_NOTE, "%lld parts x %lld row x %lld column ranges, %lld chunks of %lld tiles%s",
             (long long)g->parts, (long long)g->row_ranges, (long long)g->column_ranges, (long long)chunks, (long long)g->chunk,
             g->strip ? ", strips" : "");
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- running */

/* An operand as its tiles see it: the first pixel of the one whose output begins at (z, y, x) is first + (z, y, x) * step, the
 * others are `step` or, of a dilated kernel, d_h and d_w apart. */
struct view {
    const float *data;
    struct tensor_strides stride;
    const int64_t *size;
    int64_t step[3], first[3];
    int height, width; /* of a tile */
    void (*transform)(const struct winograd_input_args *args);
};

struct job {
    const struct problem *p;
    const struct gradient *g;
    const struct kernels *kernels;
    const struct operands *operands;
    struct view x, y;
    struct weight_strides w;
    char *threads; /* their workspaces */
    float *copies; /* of w, one for each part, or NULL */
    double *bias;  /* totals [part][y channel], or NULL */
};

/* A member's share of the work, and its workspace. */
struct item {
    const struct job *job;
    int64_t group;
    struct range tiles, rows, columns; /* channels within the group */
    float *w;                          /* where the gradient goes: the caller's, or a part's copy */
    bool add;                          /* to what is there */
    double *bias;                      /* totals of the part, or NULL */
    float *zeros, *a, *b, *m, *scratch, *strip;
};

/* The part of [begin, begin + count) that is inside of an image. */
static struct range seen(int64_t begin, int64_t count, int64_t size)
{
    const int64_t first = smaller(larger(begin, 0), size);
    return (struct range){first, larger(first, smaller(begin + count, size))};
}

/* Copies lines top + i * apart of a plane, those inside, to places i of a strip, channels last. Whole neighbours are one. */
static void gather(const struct kernels *kernels, const float *plane, const struct view *view, int64_t top, int64_t apart,
                   struct range columns, int64_t channel, int64_t channels, float *strip)
{
    const int64_t width = view->size[2], pixels = length(columns);
    const float *from = plane + channel * view->stride.c + columns.begin * view->stride.pixel;
    if (apart == 1 && pixels == width) {
        const struct range lines = seen(top, view->height, view->size[1]);
        if (length(lines) > 0)
            falt_gather(kernels, from + lines.begin * width * view->stride.pixel, view->stride, channels, length(lines) * width,
                        strip + (lines.begin - top) * width * channels, channels);
        return;
    }
    for (int h = 0; h < view->height; h++, top += apart)
        if (inside(top, view->size[1]))
            falt_gather(kernels, from + top * width * view->stride.pixel, view->stride, channels, pixels,
                        strip + h * pixels * channels, channels);
}

/* V of neighbouring tiles of a plane (NULL: outside), the first one's at v. */
static void transform_segment(const struct item *item, const struct view *view, const float *plane,
                              const struct winograd_segment *s, int64_t channels, float *v, int64_t pitch, int64_t point)
{
    const struct job *job = item->job;
    const struct gradient *g = job->g;
    const int64_t height = plane ? view->size[1] : 0, width = view->size[2];
    const struct winograd_cover *c = &g->cover;
    const int64_t top = s->y * view->step[1] + view->first[1], left = s->x * view->step[2] + view->first[2];
    const int64_t apart_h = c->dh * view->step[1], apart = c->dw * view->step[2], next = c->step * view->step[2];
    const int64_t high = (view->height - 1) * apart_h + 1, wide = (view->width - 1) * apart + 1; /* with what is between */
    const int64_t most = g->strip ? STRIP_CHANNELS : channels;
    struct range columns = {0, width}; /* of the pixels at `from`, which are pixel_step floats apart */
    const float *from = plane, *d[WINOGRAD_MAX_POINTS];
    int64_t pixel_step = view->stride.pixel;
    struct winograd_input_args args = {
        .d = d, .v_step = point, .v_tile = pitch, .ahead = g->strip || next > width ? 0 : next * view->stride.pixel};
    const bool all = top >= 0 && top + high <= height; /* lines */
    for (int64_t first = 0; first < channels; first += most) {
        args.channels = smaller(most, channels - first);
        if (g->strip) {
            columns = seen(left, (s->count - 1) * next + wide, width);
            from = item->strip;
            pixel_step = args.channels;
            if (plane)
                gather(job->kernels, plane, view, top, apart_h, columns, first, args.channels, item->strip);
        }
        args.d_tile = next * pixel_step;
        for (int64_t t = 0; t < s->count; t += args.tiles) {
            args.tiles = all ? winograd_alike(left, next, wide, width, t, s->count) : 1;
            const float **to = d;
            for (int h = 0; h < view->height; h++) {
                const int64_t line = top + h * apart_h, place = g->strip ? h : line;
                for (int64_t k = left + t * next; k < left + t * next + wide; k += apart)
                    *to++ = inside(line, height) && inside(k, width)
                                ? from + (place * length(columns) + k - columns.begin) * pixel_step
                                : item->zeros;
            }
            args.v = v + t * pitch + first;
            view->transform(&args);
        }
    }
}

static void transform(const struct item *item, const struct view *view, struct range tiles, struct range channels, float *v,
                      int64_t pitch, int64_t point)
{
    const struct gradient *g = item->job->g;
    const struct problem *p = item->job->p;
    for (int64_t tile = tiles.begin; tile < tiles.end;) {
        const struct winograd_segment s = winograd_segment(&g->cover, tile, tiles.end - tile);
        const int64_t z = s.plane % p->out[0] * view->step[0] + view->first[0], n = s.plane / p->out[0];
        const float *plane = inside(z, view->size[0]) ? view->data + n * view->stride.n + channels.begin * view->stride.c +
                                                            z * view->size[1] * view->size[2] * view->stride.pixel
                                                      : NULL;
        transform_segment(item, view, plane, &s, length(channels), v, pitch, point);
        tile += s.count;
        v += s.count * pitch;
    }
}

/* Between a scratch block and w: [row][tap][column] <-> w[o][i][tap]. */
static void transpose_block(const struct item *item, float *block, struct range rows, struct range columns, int64_t depth,
                            bool store)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct gradient *g = job->g;
    const bool adjoin = p->kernel[0] == 1; /* rows are neighbours in w */
    const int64_t runs = adjoin ? 1 : length(rows), each = adjoin ? length(rows) * g->inner : g->inner;
    float *w =
        item->w + (item->group * p->y_group + columns.begin) * job->w.o + rows.begin * job->w.i + depth * g->inner * job->w.t;
    /* A vector of columns at a time: as many streams through w as the cache has room for. */
    for (int64_t n = 0; n < length(columns); n += g->vec, w += g->vec * job->w.o, block += g->vec) {
        const int64_t count = smaller(g->vec, length(columns) - n);
        for (int64_t i = 0; i < runs; i++) {
            float *here = block + i * each * g->nr, *there = w + i * job->w.i;
            if (store)
                job->kernels->transpose(here, g->nr, each, count, there, job->w.o);
            else
                job->kernels->transpose(there, job->w.o, count, each, here, g->nr);
        }
    }
}

/* Asks for a point's share of the lines of w that a block will be written to: stores to lines that are far away would wait for
 * each other (512 channels at 14x14: 1.1 times as fast). */
static void fetch_block(const struct item *item, struct range rows, struct range columns, int64_t depth, int point)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct gradient *g = job->g;
    const float *w = item->w + item->group * p->y_group * job->w.o + depth * g->inner * job->w.t;
    for (int64_t o = point; o < length(g->exchanged ? rows : columns); o += g->points)
        if (g->exchanged)
            for (int t = 0; t < g->inner; t++)
                prefetch(w + (rows.begin + o) * job->w.o + t * job->w.t + columns.begin, length(columns));
        else
            prefetch(w + (columns.begin + o) * job->w.o + rows.begin * job->w.i, length(rows) * job->w.i);
}

/* One register tile: M of the points that a slice has a part in, then the gradient of its taps. */
static void run_block(const struct item *item, int64_t tiles, struct range rows, struct range columns,
                      const struct winograd_slice *slice, float *block, bool first, bool last)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct gradient *g = job->g;
    outer_kernel *outer = job->kernels->outer[divide_up(length(columns), g->vec)][length(rows)];
    const struct outer_segment all = {0, 0, tiles};
    struct outer_args args = {
        .a = item->a + rows.begin - item->rows.begin,
        .b = item->b + columns.begin - item->columns.begin,
        .segments = &all,
        .count = 1,
        .a_step = g->a_pitch,
        .b_step = g->b_pitch,
        .c = item->m,
        .c_row = g->nr,
        .columns = length(columns),
    };
    const int fewer_h = slice->h >= g->residues_h.whole, fewer_w = slice->w >= g->residues_w.whole; /* taps */
    const int rows_of_taps = winograd_h(g->tile)->r - fewer_h, columns_of_taps = winograd_w(g->tile)->r - fewer_w;
    const bool first_slice = slice->h == 0 && slice->w == 0;
    const bool last_slice = slice->h == g->residues_h.count - 1 && slice->w == g->residues_w.count - 1;
    for (int point = 0; point < g->points; point++, args.a += g->a_point, args.b += g->b_point, args.c += g->m_point) {
        if ((fewer_h && point / g->aw == g->ah - 1) || (fewer_w && point % g->aw == g->aw - 1))
            continue;
        outer(&args);
        if (last && last_slice && g->fetch)
            fetch_block(item, rows, columns, slice->depth, point);
    }
    const int64_t tap = g->exchanged ? job->w.t : g->nr, step = g->exchanged ? job->w.o : g->inner * g->nr;
    float *w = block;
    if (g->exchanged)
        w = item->w + (item->group * p->y_group + rows.begin) * job->w.o + columns.begin + slice->depth * g->inner * job->w.t;
    else if (item->add && first && first_slice)
        transpose_block(item, block, rows, columns, slice->depth, false);
    struct winograd_weights_args weights = {
        .m = item->m,
        .m_step = g->m_point,
        .w = w + (slice->h * p->kernel[2] + slice->w) * tap,
        .w_line = rows_of_taps > 1 ? p->stride[1] * p->kernel[2] * tap : 0,
        .w_step = columns_of_taps > 1 ? p->stride[2] * tap : 0,
        .rows = rows_of_taps,
        .columns = columns_of_taps,
        .channels = length(columns),
        .accumulate = item->add || !first,
    };
    for (int64_t row = 0; row < length(rows); row++, weights.m += g->nr, weights.w += step)
        job->kernels->winograd[g->tile].weights(&weights);
    if (!g->exchanged && last && last_slice)
        transpose_block(item, block, rows, columns, slice->depth, true);
}

/* Pixels of all images before a row of tiles, these counted through all planes and images. */
static int64_t pixels_before(const struct problem *p, const struct gradient *g, int64_t tile_row)
{
    return (tile_row / g->cover.tiles_h * p->out[1] + tile_row % g->cover.tiles_h * g->cover.mh) * p->out[2];
}

static void run_item(const struct item *item)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct gradient *g = job->g;
    const int64_t x_first = item->group * p->x_group, y_first = item->group * p->y_group;
    const struct range x = g->exchanged ? item->columns : item->rows, y = g->exchanged ? item->rows : item->columns;
    const struct range x_channels = {x_first + x.begin, x_first + x.end}, y_channels = {y_first + y.begin, y_first + y.end};
    /* The first of those that see the same channels of y. */
    const bool first = (g->exchanged ? item->columns.begin : item->rows.begin) == 0;
    double *bias = first && item->bias ? item->bias + y_channels.begin : NULL;
    if (bias)
        memset(bias, 0, (size_t)length(y_channels) * sizeof *bias);
    const int64_t chunks = divide_up(length(item->tiles), g->chunk);
    const int64_t row_tiles = divide_up(length(item->rows), job->kernels->gemm_rows[g->vectors]);
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        struct range tiles = share(length(item->tiles), chunk, chunks);
        tiles = (struct range){item->tiles.begin + tiles.begin, item->tiles.begin + tiles.end};
        transform(item, &job->y, tiles, y_channels, g->exchanged ? item->a : item->b, g->exchanged ? g->a_pitch : g->b_pitch,
                  g->exchanged ? g->a_point : g->b_point);
        if (bias) /* of the rows of tiles that end in this chunk */
            falt_add_bias_pixels(p, job->kernels, job->operands->y, y_channels,
                                 (struct range){pixels_before(p, g, tiles.begin / g->cover.tiles_w),
                                                pixels_before(p, g, tiles.end / g->cover.tiles_w)},
                                 bias);
        const int64_t slices = p->kernel[0] * g->residues_h.count * g->residues_w.count;
        for (int64_t index = 0; index < slices; index++) {
            const struct winograd_slice slice = winograd_slice(g->residues_h, g->residues_w, index);
            float *block = item->scratch + (g->blocks > 1 ? slice.depth * g->blocks / p->kernel[0] * g->block : 0);
            struct view view = job->x;
            view.first[0] += slice.depth * p->dilation[0];
            view.first[1] += slice.h;
            view.first[2] += slice.w;
            transform(item, &view, tiles, x_channels, g->exchanged ? item->b : item->a, g->exchanged ? g->b_pitch : g->a_pitch,
                      g->exchanged ? g->b_point : g->a_point);
            for (int64_t column = item->columns.begin; column < item->columns.end; column += g->nr)
                for (int64_t i = 0; i < row_tiles; i++) {
                    struct range rows = share(length(item->rows), i, row_tiles);
                    rows = (struct range){item->rows.begin + rows.begin, item->rows.begin + rows.end};
                    run_block(item, length(tiles), rows, (struct range){column, smaller(column + g->nr, item->columns.end)},
                              &slice, block, chunk == 0, chunk == chunks - 1);
                    block += g->blocks > 1 ? g->block : 0;
                }
        }
    }
    if (bias && g->parts == 1)
        falt_add_bias_parts(p, y_channels, 1, job->bias, job->operands->diff_bias);
}

/* The last index runs over columns: neighbours read the same rows. */
static void run_member(const struct job *job, int member, int members)
{
    const struct problem *p = job->p;
    const struct gradient *g = job->g;
    char *memory = job->threads + g->per_thread * (size_t)member;
    struct item item = {.job = job};
    item.zeros = (float *)(void *)memory;
    item.a = (float *)(void *)(memory += g->zeros);
    item.b = (float *)(void *)(memory += g->a);
    item.m = (float *)(void *)(memory += g->b);
    item.scratch = (float *)(void *)(memory += g->m);
    item.strip = (float *)(void *)(memory + g->scratch);
    memset(item.zeros, 0, g->zeros);
    int64_t index, end;
    falt_share(g->items, member, members, &index, &end);
    for (; index < end; index++) {
        int64_t rest = index;
        const struct range vectors = share(divide_up(g->columns, g->vec), rest % g->column_ranges, g->column_ranges);
        item.columns = (struct range){vectors.begin * g->vec, smaller(vectors.end * g->vec, g->columns)};
        rest /= g->column_ranges;
        item.rows = share(g->rows, rest % g->row_ranges, g->row_ranges);
        rest /= g->row_ranges;
        item.group = rest % p->groups;
        const int64_t part = rest / p->groups;
        item.tiles = share(g->tiles, part, g->parts);
        item.bias = job->bias ? job->bias + part * p->y_channels : NULL;
        item.w = job->copies ? job->copies + part * p->w_count : job->operands->w;
        item.add = p->accumulate && !job->copies;
        run_item(&item);
    }
}

static void run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                const struct operands *operands, int member, int members)
{
    const struct gradient *g = (const struct gradient *)(const void *)c->state;
    const struct winograd_kernels *transforms = &kernels->winograd[g->tile];
    const struct job job = {
        .p = p,
        .g = g,
        .kernels = kernels,
        .operands = operands,
        .x = {operands->x,
              falt_tensor_strides(p, p->x_channels, p->in_pixels),
              p->in,
              {p->stride[0], p->stride[1], p->stride[2]},
              {-p->pad[0], -p->pad[1], -p->pad[2]},
              g->ah,
              g->aw,
              transforms->input},
        .y = {operands->y,
              falt_tensor_strides(p, p->y_channels, p->out_pixels),
              p->out,
              {1, 1, 1},
              {0, 0, 0},
              g->cover.mh,
              g->cover.mw,
              transforms->gradient},
        .w = falt_weight_strides(p),
        .threads = (char *)operands->workspace + falt_parts_size(p, g->parts) + g->bias,
        .bias = operands->diff_bias ? (double *)(void *)((char *)operands->workspace + falt_parts_size(p, g->parts)) : NULL,
        .copies = g->parts > 1 ? operands->workspace : NULL,
    };
    run_member(&job, member, members);
    if (job.copies)
        falt_add_parts(p, job.copies, job.bias, g->parts, operands, member, members);
}

const struct solver falt_solver_winograd_weights = {"winograd", FALT_ALGO_WINOGRAD, SOLVES_WEIGHTS, false, consider, NULL, run};
