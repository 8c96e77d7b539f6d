/*
 * im2col_weights.c - backward weights as one matrix product with the patches that im2col multiplies forward.
 *
 *     w[o][(i, t)]  (+)=  sum over pixels of  y[pixel][o] * patch[pixel][(i, t)]
 *
 *                  columns: what a window sees, (x channel, tap), in the order of w[o]
 *                 +--------+--------+---
 *     rows:       |  tile  |  tile  |           A[k]: y channels of pixel k, in panels [row tile][pixel][height]
 *     y channels  +--------+--------+---        B[k]: its patch, in panels [column tile][pixel][nr], zeros for the padding
 *
 * Tiles are sums of outer products (outer.h) that lie in w as they are, and go along its rows, whose lines hardware then
 * fetches ahead. A patch is copied, and its zeros are multiplied; in return nothing of w is transposed and no sum is cut where
 * an image row ends. That pays where pixels are fewer than y channels: the direct solver transposes all of w, whatever it is
 * summed over.
 *
 * Pixels, of all images, are cut into chunks, by the problem alone, whose sums are added in order: the result is the same for
 * any number of threads. Threads take items of a grid (group, range of rows, of columns), each with patches of its own, a block
 * of columns at a time, which stays in L2. Channels first, a patch is taken from a channels-last copy of its image.
 */
#include <stdio.h>
#include <string.h>

#include "../arithmetic.h"
#include "../cost.h"
#include "../panels.h"
#include "../parallel.h"
#include "../range.h"
#include "../solver.h"
#include "../strip.h"

enum {
    CHUNK_PIXELS = 320, /* long enough to amortise the update of a tile, and as accurate as short chains are */
    PATCHES = 8,        /* are brought into panels at a time: in L1, and in few pages of each */
    MOST_RANGES = 64,
};

struct product {
    struct panels panels;  /* of the columns of a group */
    int64_t rows, columns; /* of a group */
    int64_t height;        /* rows of a tile, but of the last */
    int64_t row_tiles;     /* of a group */
    int64_t chunks, chunk; /* their number; pixels of one, at most */
    int64_t block;         /* tiles of columns that go through all rows together */
    int64_t row_ranges, column_ranges;
    int64_t patch, image; /* floats of the part of a patch that a block sees, at most; of a channels-last pixel, or 0 */
    size_t image_bytes, taps_bytes, patch_bytes, a_bytes, b_bytes, per_thread; /* a thread's workspace, in this order */
};

_Static_assert(sizeof(struct product) <= SOLVER_STATE, "the solver's state must fit");

/* --------------------------------------------------------------------------------------------------------------- planning */

/* Of a whole chunk, in floats; one more pixel than there is: panels would be powers of two apart. */
static int64_t a_panel(const struct product *g)
{
    return (g->chunk + 1) * g->height;
}

static int64_t b_panel(const struct product *g)
{
    return (g->chunk + 1) * g->panels.nr;
}

static void choose_tile(const struct problem *p, const struct kernels *kernels, struct product *g)
{
    double least = INFINITY;
    g->rows = p->y_group;
    g->columns = p->x_group * p->taps;
    for (int i = 0; i < GEMM_MAX_VECTORS; i++) {
        const int vectors = (int[]){2, 1, 3, 4}[i]; /* two first: tall tiles read least */
        const struct panels panels = falt_panels_of(kernels, g->columns, vectors);
        const double step = falt_full_panels_step(&panels, g->columns, g->rows);
        if (panels.rows > 0 && step < least * 0.97) {
            least = step;
            g->panels = panels;
        }
    }
    g->row_tiles = divide_up(g->rows, g->panels.rows);
    g->height = divide_up(g->rows, g->row_tiles);
}

/* Of columns, whose panels stay in L2. */
static double most_tiles(const struct resources *r, const struct product *g)
{
    const double fits = floor((double)r->cpu->l2 / 4.0 / ((double)b_panel(g) * sizeof(float)));
    return fits > 1.0 ? fits : 1.0;
}

/* Cycles to make a pixel's patch of so many columns: copied, transposed where channels come first in w, copied into panels. */
static double patch_cycles(const struct problem *p, const struct resources *r, const struct product *g, double columns)
{
    const int vec = g->panels.vec;
    const double copies = 2.0 * sizeof(float) * cost_collect, rows = (double)(p->kernel[0] * p->kernel[1]);
    const double block = (double)divide_up(p->taps, vec) * (cost_transpose(vec) + vec);
    const double turn = falt_weight_strides(p).t == 1 ? block * ceil(columns / (double)p->taps / vec) : 0.0;
    /* A block of some of the channels takes these of each tap by itself. */
    const double blocks = ceil(columns / (most_tiles(r, g) * (double)g->panels.nr));
    const double pieces = falt_weight_strides(p).t == 1 && blocks > 1.0 ? blocks * (double)p->taps : 0.0;
    return columns * copies + turn + cost_call * (rows + 2.0) + cost_patch_piece * pieces;
}

static double item_cycles(const struct problem *p, const struct resources *r, const struct product *g, int64_t row_ranges,
                          int64_t column_ranges)
{
    const double pixels = (double)(p->batch * p->out_pixels);
    const int64_t row_tiles = divide_up(g->row_tiles, row_ranges), tiles = divide_up(g->panels.count, column_ranges);
    const int64_t rows = smaller(g->rows, row_tiles * g->height), columns = smaller(g->columns, tiles * g->panels.nr);
    const double step = falt_full_panels_step(&g->panels, columns, rows);
    const double calls = (double)(tiles * g->chunks) * cost_rows_calls(rows, g->height);
    const double input = pixels * (double)(rows + columns / p->taps) * sizeof(float) / cost_l3_bytes;
    const double output = (double)rows * (double)columns * (2.0 * (double)g->chunks - 1.0) * sizeof(float) / cost_l3_bytes;
    const double seams = column_ranges > 1 ? cost_seam_row * (double)rows : 0.0;
    return pixels * (step + patch_cycles(p, r, g, (double)columns)) + calls + input + output + seams + 500.0;
}

static double choose_ranges(const struct problem *p, const struct resources *r, struct product *g)
{
    enum { ENOUGH = 8 }; /* items for each thread: more of them only copy more */
    double least = INFINITY;
    for (int64_t rows = 1; rows <= smaller(g->row_tiles, MOST_RANGES); rows = shorter_ranges(g->row_tiles, rows))
        for (int64_t columns = 1; columns <= smaller(g->panels.count, MOST_RANGES);
             columns = shorter_ranges(g->panels.count, columns)) {
            const double items = (double)p->groups * (double)rows * (double)columns;
            if (rows * columns > 1 && items > (double)ENOUGH * r->threads)
                break;
            const double region = items > 1.0 && r->threads > 1 ? r->region * cost_hertz : 0.0;
            const double cycles = ceil(items / r->threads) * item_cycles(p, r, g, rows, columns) + region;
            if (cycles < least) {
                least = cycles;
                g->row_ranges = rows;
                g->column_ranges = columns;
            }
        }
    return least / cost_hertz;
}

static bool choose_workspace(const struct problem *p, struct product *g)
{
    const int64_t row_tiles = divide_up(g->row_tiles, g->row_ranges);
    /* Channels or taps that a block cuts count whole. */
    const bool by_channel = falt_weight_strides(p).t == 1;
    const int64_t inner = by_channel ? p->taps : p->x_group, outer = by_channel ? p->x_group : p->taps;
    const int64_t most = smaller(outer, divide_up(g->block * g->panels.nr, inner) + 1);
    g->patch = divide_up(most * inner, 16) * 16;
    g->image = p->layout == FALT_CHANNELS_LAST ? 0 : by_channel ? most : p->x_group;
    const double image = (double)g->image * (double)p->in_pixels, a = (double)a_panel(g) * (double)row_tiles;
    const double b = (double)b_panel(g) * (double)g->block, patches = (double)g->patch * PATCHES;
    if (image > 1e15 || a > 1e15 || b > 1e15 || patches > 1e15)
        return false;
    g->image_bytes = round_to_lines((size_t)image * sizeof(float));
    g->taps_bytes = round_to_lines((size_t)g->patch * sizeof(float));
    g->patch_bytes = round_to_lines((size_t)patches * sizeof(float));
    g->a_bytes = round_to_lines((size_t)a * sizeof(float));
    g->b_bytes = round_to_lines((size_t)b * sizeof(float));
    g->per_thread = g->image_bytes + g->taps_bytes + g->patch_bytes + g->a_bytes + g->b_bytes;
    return true;
}

static bool consider(const struct problem *p, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    struct product *g = (struct product *)(void *)c->state;
    const double image = (double)p->in_pixels * (double)p->x_group * sizeof(float);
    if (p->layout == FALT_CHANNELS_FIRST && image > (double)r->cpu->l2) {
        snprintf(reason, SOLVER_REASON, "a channels-last copy of an image takes %.3g bytes, and L2 has %.3g", image,
                 (double)r->cpu->l2);
        return false;
    }
    choose_tile(p, r->kernels, g);
    const int64_t pixels = p->batch * p->out_pixels;
    g->chunks = larger(1, divide_up(pixels, CHUNK_PIXELS));
    g->chunk = divide_up(pixels, g->chunks);
    c->seconds = choose_ranges(p, r, g);
    g->block = smaller(divide_up(g->panels.count, g->column_ranges), (int64_t)most_tiles(r, g));
    if (!choose_workspace(p, g)) {
        snprintf(reason, SOLVER_REASON, "it needs more workspace than can be addressed");
        return false;
    }
    c->threads = (int)smaller(r->threads, p->groups * g->row_ranges * g->column_ranges);
    g->per_thread += falt_threads_apart(r, c->threads);
    c->workspace = g->per_thread * (size_t)c->threads;
    c->accuracy = 1.0;
    c->error_growth = 1.0;
    c->error_terms = (double)smaller(pixels, g->chunk + g->chunks); /* in no order is a sum worse than one chain */
    snprintf(c->kernel, SOLVER_NOTE, "%s %dx%d", r->kernels->name, g->panels.rows, (int)g->panels.nr);
    snprintf(c->schedule, SOLVER_NOTE, "%lld row x %lld column ranges, %lld chunks, patches of %lld tiles",
             (long long)g->row_ranges, (long long)g->column_ranges, (long long)g->chunks, (long long)g->block);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- running */

struct job {
    const struct problem *p;
    const struct product *g;
    const struct kernels *kernels;
    const struct operands *operands;
    struct tensor_strides x, y;
    struct weight_strides w;
};

/* A member's item, and its workspace. */
struct item {
    const struct job *job;
    int64_t group;
    struct range row_tiles, column_tiles, rows;
    float *image, *taps, *patches, *a, *b;
    struct range held;  /* channels of `image`, */
    int64_t held_image; /* of this image */
};

/* The part of patches that a block of columns sees. */
struct part {
    struct range columns, taps, channels;
    int64_t first; /* of the columns that taps and channels make, before those of the block */
    bool turns;    /* taps are neighbours in w */
};

static struct part part_of(const struct job *job, struct range tiles)
{
    const struct problem *p = job->p;
    const struct product *g = job->g;
    const struct range columns = {tiles.begin * g->panels.nr, smaller(tiles.end * g->panels.nr, g->columns)};
    struct part part = {.columns = columns, .taps = {0, p->taps}, .channels = {0, p->x_group}, .turns = job->w.t == 1};
    const int64_t inner = part.turns ? p->taps : p->x_group;
    const struct range outer = {columns.begin / inner, divide_up(columns.end, inner)};
    *(part.turns ? &part.channels : &part.taps) = outer;
    part.first = columns.begin - outer.begin * inner;
    return part;
}

/* Image n of x, and floats from one pixel to the next, where channels are neighbours. */
static const float *image_of(struct item *item, const struct part *part, int64_t n, int64_t *pixel)
{
    const struct job *job = item->job;
    const struct range channels = part->channels;
    const float *x = job->operands->x + n * job->x.n + (item->group * job->p->x_group + channels.begin) * job->x.c;
    *pixel = job->g->image > 0 ? job->g->image : job->x.pixel;
    if (job->g->image == 0)
        return x;
    if (item->held_image != n || item->held.begin != channels.begin || item->held.end != channels.end) {
        falt_gather(job->kernels, x, job->x, length(channels), job->p->in_pixels, item->image, *pixel);
        item->held_image = n;
        item->held = channels;
    }
    return item->image;
}

/* Taps of `all` in a row of the kernel, of which those in `inside` see the row at `row`, and the others padding. */
static float *copy_taps(const struct problem *p, const float *row, int64_t pixel, int64_t channels, struct range all,
                        struct range inside, float *to)
{
    const int64_t begin = larger(all.begin, smaller(inside.begin, all.end)), end = larger(begin, smaller(inside.end, all.end));
    const int64_t step = p->dilation[2] * pixel;
    memset(to, 0, (size_t)((begin - all.begin) * channels) * sizeof *to);
    to += (begin - all.begin) * channels;
    if (step == channels) {
        memcpy(to, row + begin * step, (size_t)((end - begin) * channels) * sizeof *to);
        to += (end - begin) * channels;
    } else {
        for (int64_t s = begin; s < end; s++, to += channels)
            memcpy(to, row + s * step, (size_t)channels * sizeof *to);
    }
    memset(to, 0, (size_t)((all.end - end) * channels) * sizeof *to);
    return to + (all.end - end) * channels;
}

/* What a pixel's window sees, in the order of w. */
static void make_patch(struct item *item, const struct part *part, int64_t index, float *patch)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const int64_t q = index % p->out_pixels, channels = length(part->channels), width = p->kernel[2];
    const int64_t z = q / p->out[2] / p->out[1] * p->stride[0] - p->pad[0];
    const int64_t y = q / p->out[2] % p->out[1] * p->stride[1] - p->pad[1], x = q % p->out[2] * p->stride[2] - p->pad[2];
    const struct range inside = {x < 0 ? divide_up(-x, p->dilation[2]) : 0,
                                 x < p->in[2] ? divide_up(p->in[2] - x, p->dilation[2]) : 0};
    int64_t pixel;
    const float *image = image_of(item, part, index / p->out_pixels, &pixel);
    float *to = part->turns ? item->taps : patch;
    for (int64_t row = part->taps.begin / width; row * width < part->taps.end; row++) {
        const struct range all = {larger(part->taps.begin - row * width, 0), smaller(part->taps.end - row * width, width)};
        const int64_t d = z + row / p->kernel[1] * p->dilation[0], h = y + row % p->kernel[1] * p->dilation[1];
        if (d >= 0 && d < p->in[0] && h >= 0 && h < p->in[1])
            to = copy_taps(p, image + ((d * p->in[1] + h) * p->in[2] + x) * pixel, pixel, channels, all, inside, to);
        else
            to = copy_taps(p, image, pixel, channels, all, (struct range){0, 0}, to);
    }
    if (part->turns)
        job->kernels->transpose(item->taps, channels, p->taps, channels, patch, p->taps);
}

/* B of a block, for a chunk's pixels. */
static void fill_b(struct item *item, const struct part *part, struct range pixels)
{
    const struct product *g = item->job->g;
    const struct tensor_strides rows = {.c = 1, .pixel = g->patch};
    for (int64_t k = pixels.begin, some; k < pixels.end; k += some) {
        some = smaller(PATCHES, pixels.end - k);
        for (int64_t i = 0; i < some; i++)
            make_patch(item, part, k + i, item->patches + i * g->patch);
        falt_gather_panels(item->job->kernels, item->patches + part->first, rows, length(part->columns), some,
                           item->b + (k - pixels.begin) * g->panels.nr, g->panels.nr, b_panel(g));
    }
}

/* A of all rows: the pixels of each image. */
static void fill_a(const struct item *item, struct range pixels)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    for (int64_t k = pixels.begin, some; k < pixels.end; k += some) {
        const int64_t n = k / p->out_pixels, q = k % p->out_pixels;
        some = smaller(p->out_pixels - q, pixels.end - k);
        const float *y =
            job->operands->y + n * job->y.n + (item->group * p->y_group + item->rows.begin) * job->y.c + q * job->y.pixel;
        falt_gather_panels(job->kernels, y, job->y, length(item->rows), some, item->a + (k - pixels.begin) * job->g->height,
                           job->g->height, a_panel(job->g));
    }
}

static void run_block(const struct item *item, const struct part *part, struct range tiles, int64_t pixels, bool add)
{
    const struct job *job = item->job;
    const struct product *g = job->g;
    const struct outer_segment all = {0, 0, pixels};
    const int64_t o = job->w.o;
    struct outer_args args = {
        .segments = &all,
        .count = 1,
        .a_step = g->height,
        .b_step = g->panels.nr,
        .c_row = o,
        .accumulate = add,
    };
    for (int64_t i = item->row_tiles.begin; i < item->row_tiles.end; i++) {
        const int64_t row = i * g->height, rows = smaller(g->height, g->rows - row);
        args.a = item->a + (i - item->row_tiles.begin) * a_panel(g);
        args.b = item->b;
        args.c = job->operands->w + (item->group * g->rows + row) * o + part->columns.begin;
        for (int64_t j = tiles.begin; j < tiles.end; j++, args.b += b_panel(g), args.c += g->panels.nr) {
            args.columns = smaller(g->panels.nr, g->columns - j * g->panels.nr);
            if (add) /* w may be in memory */
                for (int64_t m = 0; m < rows; m++)
                    prefetch(args.c + m * o, args.columns);
            job->kernels->outer[divide_up(args.columns, g->panels.vec)][rows](&args);
        }
    }
}

static void run_item(struct item *item)
{
    const struct job *job = item->job;
    const struct product *g = job->g;
    const int64_t all = job->p->batch * job->p->out_pixels;
    for (int64_t chunk = 0; chunk < g->chunks; chunk++) {
        const struct range pixels = share(all, chunk, g->chunks);
        fill_a(item, pixels);
        for (int64_t end, begin = item->column_tiles.begin; begin < item->column_tiles.end; begin = end) {
            end = smaller(begin + g->block, item->column_tiles.end);
            const struct range tiles = {begin, end};
            const struct part part = part_of(job, tiles);
            fill_b(item, &part, pixels);
            run_block(item, &part, tiles, length(pixels), job->p->accumulate || chunk > 0);
        }
    }
}

static void run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                const struct operands *operands, int member, int members)
{
    const struct product *g = (const struct product *)(const void *)c->state;
    const struct job job = {
        .p = p,
        .g = g,
        .kernels = kernels,
        .operands = operands,
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
        .y = falt_tensor_strides(p, p->y_channels, p->out_pixels),
        .w = falt_weight_strides(p),
    };
    char *memory = (char *)operands->workspace + g->per_thread * (size_t)member;
    struct item item = {.job = &job, .held_image = -1};
    item.image = (float *)(void *)memory;
    item.taps = (float *)(void *)(memory += g->image_bytes);
    item.patches = (float *)(void *)(memory += g->taps_bytes);
    item.a = (float *)(void *)(memory += g->patch_bytes);
    item.b = (float *)(void *)(memory + g->a_bytes);
    int64_t index, end;
    falt_share(p->groups * g->row_ranges * g->column_ranges, member, members, &index, &end);
    for (; index < end; index++) {
        const int64_t rest = index / g->column_ranges, group = rest / g->row_ranges;
        item.column_tiles = share(g->panels.count, index % g->column_ranges, g->column_ranges);
        item.row_tiles = share(g->row_tiles, rest % g->row_ranges, g->row_ranges);
        item.rows = (struct range){item.row_tiles.begin * g->height, smaller(item.row_tiles.end * g->height, g->rows)};
        if (group != item.group)
            item.held_image = -1;
        item.group = group;
        run_item(&item);
    }
}

const struct solver falt_solver_im2col_weights = {"im2col", FALT_ALGO_IM2COL, SOLVES_WEIGHTS, false, consider, NULL, run};
