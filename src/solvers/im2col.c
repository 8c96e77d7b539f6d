/*
 * im2col.c - convolution as a matrix product: what each output pixel sees is copied to where the register tile reads it
 * fastest.
 *
 * The general fallback: any geometry at GEMM speed, in a workspace that does not grow with the image. In blocks of output
 * pixels,
 *
 *     x  -- strip -->   what the block sees of a group, channels first, with its padding; strided lines sorted by phase
 *        -- collect --> patches: panels of nr pixels, a row of pieces of strip lines for each (tap, channel)
 *        -- gemm -->    y, with the epilogue
 *
 * so that the strip stays in the core's L2, and a panel in L1, or in L2 where sums are long. Where the image itself is such a
 * strip, channels first and without padding, patches are collected from it. For few output channels that is not worth it:
 * they multiply the pieces where they lie. Against direct convolution, pixels and output channels have changed sides:
 *
 *                              panel 0  panel 1 ...        pixels in the lanes
 *                   weights   +--------+--------+---
 *     [output channel][depth] |  tile  |  tile  |          depth = taps * channels, in the order [tap][channel]
 *                             +--------+--------+---
 *
 * This writes channels-first results as they lie in memory, and wastes nothing where a group has too few output channels for a
 * vector. First and last kernel rows through which a panel sees nothing but padding are left out. Work is cut into a grid of
 * (pixel range x row range) pieces, one a thread. Each output is one chain of multiply-adds over (tap, channel), however the
 * work is cut.
 */
#include <stdio.h>
#include <string.h>

#include "../arithmetic.h"
#include "../cost.h"
#include "../padding.h"
#include "../parallel.h"
#include "../solver.h"

/* Tiles that read the same patches where they lie, those of one row of pixels, and others, which begin anywhere in a cache
 * line; for more of them these are better packed. */
enum { MOST_APART = 24, FEW_APART = 1 };

struct im2col {
    int vectors, vec;        /* of a full panel of pixels; floats in a vector */
    int64_t nr;              /* pixels of a full panel */
    int64_t tiles;           /* tiles of output channels in a group */
    int64_t depth, row;      /* of a sum; floats from one output channel's packed weights to the next */
    bool in_place;           /* the image is the strip */
    bool one_row;            /* and its pixels one row, as those of the output: windows of one pixel */
    bool asks;               /* for the next panel, which comes from beyond L2 */
    bool stream;             /* the output outgrows the caches, and its pixels are neighbours */
    bool apart;              /* few tiles: pieces of lines are multiplied where they lie, not collected */
    int64_t out[3];          /* the output, or that row */
    int64_t segments, units; /* pieces of an output row that are never separated; their number in all images */
    int64_t length, block;   /* pixels in a unit, units in a block, at most; of several units only in one plane */
    int64_t pixel_ranges, row_ranges;
    int64_t strip_width, strip_height; /* pixels */
    int64_t pitch, line, plane, slice; /* floats from one phase of a strip's line, from one line, from one channel and from one
                                        * position in kernel depth to the next */
    int64_t stage_pixels; /* of results that are stored past the caches in long runs, as they are not aligned; or 0 */
    size_t strip, temporary, offsets, gaps, channels, patches, stage; /* a thread's workspace, in bytes and in this order */
    size_t per_thread;
};

_Static_assert(sizeof(struct im2col) <= SOLVER_STATE, "the solver's state must fit");

/* --------------------------------------------------------------------------------------------------------------- planning */

/* Whether windows begin with the image and do not reach out of it, and neighbours in an output row see neighbours in memory. */
static bool is_in_place(const struct problem *p)
{
    const bool begins = p->pad[0] == 0 && p->pad[1] == 0 && p->pad[2] == 0;
    return begins && !falt_reaches_out(p) && p->layout == FALT_CHANNELS_FIRST && p->stride[2] == 1;
}

/* Whether an image's pixels are one row, of x and of y. */
static bool is_row(const struct problem *p)
{
    return p->taps == 1 && p->in_pixels == p->out_pixels && p->y.pixel[1] == p->out[2] * p->y.pixel[2] &&
           p->y.pixel[0] == p->out[1] * p->y.pixel[1];
}

/* The outermost dimension in which the kernel is longer than 1: taps along it are pieces of a patch. */
static int outermost(const struct problem *p)
{
    return p->kernel[0] > 1 ? 0 : p->kernel[1] > 1 ? 1 : 2;
}

/* Whether the pixels of an output plane are evenly spaced, over the ends of rows, too. */
static bool flat(const struct problem *p, const struct im2col *d)
{
    return d->segments == 1 && p->y.pixel[1] == d->out[2] * p->y.pixel[2] && (!d->apart || d->one_row);
}

/* Cycles of one k-step of all output channels of a group, for each pixel. */
static double pixel_step(const struct problem *p, const struct kernels *kernels, int vectors)
{
    return cost_rows_step(p->y_group, kernels->gemm_rows[vectors], vectors) / (vectors * kernels->vec);
}

static void choose_panels(const struct problem *p, const struct kernels *kernels, struct im2col *d)
{
    /* First, as in falt_panels, 2: tall tiles read the patches least often. But patches that lie apart take one more
     * pointer: besides those of 12 rows it does not fit 16 general registers, and 3 vectors are 2 to 8 % faster. */
    d->vectors = d->one_row && kernels->gemm_rows[2] > 9 ? 3 : 2;
    for (int vectors = 1; vectors <= GEMM_MAX_VECTORS; vectors++)
        if (kernels->gemm_rows[vectors] && pixel_step(p, kernels, vectors) < 0.97 * pixel_step(p, kernels, d->vectors))
            d->vectors = vectors;
    d->vec = kernels->vec;
    d->nr = (int64_t)d->vectors * d->vec;
    d->tiles = divide_up(p->y_group, kernels->gemm_rows[d->vectors]);
    const int64_t whole = divide_up(d->out[2], d->vec) * d->vec; /* vectors, of which the last one is best not almost empty */
    const bool lines = d->out[2] >= d->nr && (d->in_place ? whole == d->out[2] : 5 * whole <= 6 * d->out[2]);
    d->apart = d->one_row ? d->tiles <= MOST_APART : d->tiles <= FEW_APART && lines;
}

/* Cache lines of a panel in each plane, where they begin anywhere, and tiles that ask for each of the next panel's. */
static int64_t panel_lines(const struct im2col *d)
{
    return divide_up(d->nr, LINE_FLOATS) + 1;
}

static int64_t askers(const struct im2col *d)
{
    return d->tiles / panel_lines(d);
}

/* Cuts the output into units, and these into blocks whose strips, if any, fill half of L2. */
static void choose_block(const struct problem *p, const struct resources *r, struct im2col *d)
{
    const double area = (double)p->stride[1] * (double)p->stride[2]; /* input pixels for one more output pixel */
    const double reach = area < (double)p->taps ? area : (double)p->taps;
    const int64_t fitting = (int64_t)((double)r->cpu->l2 / 2.0 / (reach * (double)(p->x_group * p->kernel[0]) * sizeof(float)));
    const int64_t rows = p->batch * d->out[0] * d->out[1];
    const int64_t most = d->in_place ? p->out_pixels : larger(d->nr, fitting);
    d->segments = divide_up(d->out[2], most);
    if (rows < r->threads) /* one long row for many threads */
        d->segments = larger(d->segments, smaller(divide_up(r->threads, rows), divide_up(d->out[2], d->nr)));
    d->length = smaller(d->out[2], divide_up(divide_up(d->out[2], d->vec), d->segments) * d->vec); /* of whole vectors */
    d->units = rows * d->segments;
    d->block = d->segments > 1 ? 1 : larger(1, smaller(smaller(d->out[1], divide_up(rows, r->threads)), most / d->length));
}

/* Cycles of one piece of the grid. */
static double piece_cycles(const struct problem *p, const struct resources *r, const struct im2col *d, int64_t pixel_ranges,
                           int64_t row_ranges)
{
    const double all = (double)(p->groups * d->tiles), tiles = (double)divide_up(p->groups * d->tiles, row_ranges);
    const int64_t apart[3] = {p->out[1] * p->out[2], p->out[2], 1}; /* pixels from one to the next, in each dimension */
    const double seen_depth = falt_seen_share(p, outermost(p), divide_up(d->nr, apart[outermost(p)]));
    const double groups = tiles > (double)d->tiles ? tiles / (double)d->tiles : 1.0, depth = (double)d->depth * seen_depth;
    const int64_t line = flat(p, d) ? d->length * d->block : d->length; /* of which the last vector may be partly empty */
    const double pixels = (double)divide_up(d->units, pixel_ranges) * (double)d->length;
    const double vectors = pixels / (double)line * (double)divide_up(line, d->vec);
    const double panels = pixels / (double)line * (double)divide_up(line, d->nr);
    const double gemm = tiles / (double)d->tiles * depth * vectors * d->vec * pixel_step(p, r->kernels, d->vectors);
    const int64_t seen = smaller(d->strip_height, d->block * p->kernel[1]);
    const double lines = d->in_place ? 0.0
                                     : groups * pixels / (double)d->length * (double)seen / (double)d->block *
                                           (double)(p->kernel[0] * p->x_group);
    const double copy = p->layout == FALT_CHANNELS_FIRST ? cost_copy : cost_transpose(d->vec) / d->vec;
    const double sorted = p->stride[2] > 1 ? (double)smaller(d->strip_width, d->length * p->kernel[2]) * cost_float : 0.0;
    const double strip = lines * (cost_piece + (double)d->strip_width / d->vec * copy + sorted);
    /* Of patches that are collected: all, or where they lie as the pixels do, what is left of whole vectors. */
    const double ragged = line % d->vec && d->in_place ? pixels / (double)line : 0.0;
    const double collected = d->apart ? ragged * (double)divide_up(line % d->nr, d->vec) : vectors;
    const double pieces = d->apart ? ragged : pixels * (1.0 / (double)d->length + 1.0 / (double)d->nr); /* of their rows */
    const int64_t rows = divide_up(p->y_group, d->tiles);
    const double scatter = p->y.pixel[2] == 1 ? 0.0 : cost_scatter(rows, d->vec, d->vec, p->y.pixel[2], p->y.c == 1);
    const double patches = depth * (double)d->nr * sizeof(float), bytes = d->vec * sizeof(float);
    const double collect = bytes * (cost_collect + (patches > (double)r->cpu->l1d ? cost_l2_byte : 0.0));
    const double result = pixels / (double)(p->batch * p->out_pixels) * (double)p->y_count * sizeof(float);
    const double output = result > (double)r->cpu->l2 ? result / cost_l3_bytes : 0.0;
    /* What is asked for comes while others are multiplied. */
    const double input =
        d->asks ? 0.0 : groups / (double)p->groups * pixels / (double)(p->batch * p->out_pixels) * (double)p->x_count;
    const double weights = tiles / all * (double)p->w_count * sizeof(float);
    const double region = pixel_ranges * row_ranges > 1 ? r->region * cost_hertz : 0.0;
    const double calls = panels * (groups * cost_panel + tiles * (cost_tile + (double)rows * cost_row));
    /* Pieces of lines come from L2, too, and each vector from two cache lines. */
    const double there = d->apart && !d->one_row ? vectors * bytes * cost_l2_byte : 0.0;
    return gemm + depth * groups * (collected * collect + pieces + there) + strip + calls + tiles * vectors * scatter + output +
           input * sizeof(float) / cost_l3_bytes + weights / (r->warm_weights ? cost_l3_bytes : cost_memory_bytes) + region;
}

static double choose_grid(const struct problem *p, const struct resources *r, struct im2col *d)
{
    double least = -1.0;
    for (int64_t threads = 1; threads <= r->threads; threads++) {
        const int64_t pixel_ranges = smaller(threads, d->units),
                      row_ranges = smaller(r->threads / threads, p->groups * d->tiles);
        const double cycles = piece_cycles(p, r, d, pixel_ranges, row_ranges);
        if (least < 0.0 || cycles < least) {
            least = cycles;
            d->pixel_ranges = pixel_ranges;
            d->row_ranges = row_ranges;
        }
    }
    return least;
}

/* A quarter of L2 for runs of several panels, in which cache lines are whole but for the ends. */
static void choose_stage(const struct problem *p, const struct resources *r, struct im2col *d)
{
    enum { MOST_PIXELS = 1024, LEAST_PANELS = 4 };
    const int64_t fitting = r->cpu->l2 / 4 / (p->y_group * (int64_t)sizeof(float)), most = smaller(fitting, MOST_PIXELS);
    const int64_t panels = smaller(most, d->length * (flat(p, d) ? d->block : 1)) / d->nr;
    d->stage_pixels =
        d->stream && p->y.c % (int64_t)(SOLVER_ALIGN / sizeof(float)) && panels >= LEAST_PANELS ? panels * d->nr : 0;
}

/* Pointers to each output channel's weights: where lines are multiplied where they lie, each tap has its own. */
static int64_t table_taps(const struct problem *p, const struct im2col *d)
{
    return d->apart ? p->taps : 1;
}

static bool choose_workspace(const struct problem *p, struct im2col *d)
{
    const double strip = d->in_place ? 0.0 : (double)(p->kernel[0] * p->x_group) * (double)d->strip_height * (double)d->line;
    if (strip > 1e15 || (double)d->depth * (double)d->nr > 1e15 || (double)p->y_group * (double)p->taps > 1e15)
        return false;
    d->slice = d->in_place ? p->dilation[0] * p->in[1] * p->in[2] : p->x_group * d->plane;
    d->strip = round_to_lines(((size_t)strip + (size_t)d->nr) * sizeof(float)); /* vectors of the last line are whole, too */
    d->temporary = p->stride[2] > 1 ? round_to_lines((size_t)(d->strip_width * p->x_group) * sizeof(float)) : 0;
    d->offsets = round_to_lines((size_t)d->depth * sizeof(ptrdiff_t));
    d->gaps = d->apart ? round_to_lines((size_t)p->taps * sizeof(int64_t)) : 0;
    d->channels =
        round_to_lines((size_t)(p->y_group * table_taps(p, d)) * sizeof(float *) + (size_t)p->y_channels * sizeof(ptrdiff_t));
    d->patches = round_to_lines((size_t)(d->depth * d->nr) * sizeof(float));
    d->stage = round_to_lines((size_t)(p->y_group * d->stage_pixels) * sizeof(float));
    d->per_thread = d->strip + d->temporary + d->offsets + d->gaps + d->channels + d->patches + d->stage;
    return true;
}

static bool consider(const struct problem *p, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    const char *why = NULL;
    if (p->batch == 0 || p->taps == 0)
        why = "there is nothing to compute";
    if (why) {
        snprintf(reason, SOLVER_REASON, "%s", why);
        return false;
    }
    struct im2col *d = (struct im2col *)(void *)c->state;
    d->depth = p->taps * p->x_group;
    d->row = d->depth % 256 ? d->depth : d->depth + 16; /* rows a multiple of 1 KiB apart share few cache sets */
    d->in_place = is_in_place(p);
    d->one_row = d->in_place && is_row(p);
    for (int i = 0; i < 3; i++)
        d->out[i] = !d->one_row ? p->out[i] : i == 2 ? p->out_pixels : 1;
    choose_panels(p, r->kernels, d);
    d->asks = d->one_row && r->kernels->gemm_asks > 0 && (d->apart || askers(d) >= r->kernels->gemm_asks) &&
              (double)p->x_count * sizeof(float) > (double)r->cpu->l2;
    choose_block(p, r, d);
    d->strip_width = (d->length - 1) * p->stride[2] + window_extent(p, 2);
    d->strip_height = (d->block - 1) * p->stride[1] + window_extent(p, 1);
    d->pitch = divide_up(d->strip_width, p->stride[2]);
    d->line = d->in_place ? p->in[2] : d->pitch * p->stride[2];
    const double plane = (double)d->strip_height * (double)d->line;
    d->plane = d->in_place || plane > 1e15 ? p->in_pixels : d->strip_height * d->line;
    d->stream = falt_outgrows(p, r->cpu) && p->y.pixel[2] == 1;
    choose_stage(p, r, d);
    const double cycles = choose_grid(p, r, d), floats = (double)(p->groups * p->y_group) * (double)d->row;
    if (!choose_workspace(p, d) || floats > 1e15 || (!d->in_place && plane > 1e15)) {
        snprintf(reason, SOLVER_REASON, "patches or packed weights need more memory than can be addressed");
        return false;
    }
    c->packed = (size_t)floats * sizeof(float);
    c->threads = (int)(d->pixel_ranges * d->row_ranges);
    d->per_thread += falt_threads_apart(r, c->threads);
    c->workspace = d->per_thread * (size_t)c->threads;
    c->seconds = cycles / cost_hertz;
    c->accuracy = 1.0;
    c->error_growth = 1.0;
    c->error_terms = (double)d->depth;
    snprintf(c->kernel, SOLVER_NOTE, "%s %dx%d pixels", r->kernels->name, r->kernels->gemm_rows[d->vectors], (int)d->nr);
    snprintf(c->schedule, SOLVER_NOTE, "%lld pixel x %lld channel ranges, blocks of %lld pixels", (long long)d->pixel_ranges,
             (long long)d->row_ranges, (long long)(d->block * d->length));
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- packing */

/* A row for each output channel, [tap][channel]. */
static void pack(const struct problem *p, const struct candidate *c, const float *weights, void *packed)
{
    const struct im2col *d = (const struct im2col *)(const void *)c->state;
    for (int64_t o = 0; o < p->groups * p->y_group; o++) {
        const float *from = weights + p->w.base + o / p->y_group * p->w.group + o % p->y_group * p->w.o;
        float *out = (float *)packed + o * d->row;
        for (int64_t k = 0; k < p->kernel[0]; k++)
            for (int64_t r = 0; r < p->kernel[1]; r++)
                for (int64_t t = 0; t < p->kernel[2]; t++)
                    for (int64_t i = 0; i < p->x_group; i++)
                        *out++ = from[k * p->w.tap[0] + r * p->w.tap[1] + t * p->w.tap[2] + i * p->w.i];
        memset(out, 0, (size_t)(d->row - d->depth) * sizeof(float));
    }
}

/* ---------------------------------------------------------------------------------------------------------------- running */

struct job {
    const struct problem *p;
    const struct im2col *d;
    const struct kernels *kernels;
    const struct operands *operands;
    struct epilogue epilogue;
    struct tensor_strides x;
    bool stream; /* past the caches: the output outgrows them, and its channels begin with cache lines */
    bool staged; /* likewise, but they do not */
};

struct thread_space {
    float *strip, *temporary, *patches, *stage;
    ptrdiff_t *offsets;
    int64_t *gaps;         /* floats from behind the lines of the tap before to those of each tap */
    const float **weights; /* of each tap and output channel of the group at hand */
    ptrdiff_t *outputs;    /* its distance from channel 0, of y or of the stage */
};

/* A block of output pixels: `rows` rows of one plane from (y, x) on, `length` pixels each; several rows only if these are
 * whole. */
struct block {
    int64_t n, z, y, x, rows, length;
};

static struct block block_at(const struct job *job, int64_t unit, int64_t units)
{
    const struct im2col *d = job->d;
    struct block b;
    int64_t end;
    falt_share(divide_up(d->out[2], d->vec), (int)(unit % d->segments), (int)d->segments, &b.x, &end);
    b.x *= d->vec;
    end = smaller(end * d->vec, d->out[2]);
    unit /= d->segments;
    b.length = end - b.x;
    b.y = unit % d->out[1];
    b.z = unit / d->out[1] % d->out[0];
    b.n = unit / d->out[1] / d->out[0];
    b.rows = d->segments > 1 ? 1 : smaller(units, d->out[1] - b.y);
    return b;
}

/* Where in the strip a patch has its (tap, channel), counted from its first. */
static void set_offsets(const struct problem *p, const struct im2col *d, ptrdiff_t *offset)
{
    for (int64_t k = 0; k < p->kernel[0]; k++)
        for (int64_t r = 0; r < p->kernel[1]; r++)
            for (int64_t t = 0; t < p->kernel[2]; t++) {
                const int64_t x = t * p->dilation[2], column = x % p->stride[2] * d->pitch + x / p->stride[2];
                for (int64_t i = 0; i < p->x_group; i++)
                    *offset++ = k * d->slice + i * d->plane + r * p->dilation[1] * d->line + column;
            }
}

/* Whether some tap's window ever lies on the strip's columns of this phase. */
static bool is_seen(const struct problem *p, int64_t phase)
{
    int64_t t = 0;
    while (t < p->kernel[2] && t < p->stride[2] && t * p->dilation[2] % p->stride[2] != phase)
        t++;
    return t < p->kernel[2] && t < p->stride[2];
}

/* line[phase * pitch + i] = from[i * stride + phase], of `count` floats in all, for the phases that are seen. */
static void deinterleave(const struct job *job, const float *from, int64_t count, float *line)
{
    const int64_t stride = job->p->stride[2];
    for (int64_t phase = 0; phase < stride && phase < count; phase++, line += job->d->pitch)
        if (is_seen(job->p, phase))
            for (int64_t i = 0; i < (count - phase - 1) / stride + 1; i++)
                line[i] = from[i * stride + phase];
}

static void copy_pixels(const struct job *job, const float *from, int64_t pixels, float *to, int64_t step)
{
    if (job->x.pixel != 1)
        job->kernels->transpose(from, job->x.pixel, pixels, job->p->x_group, to, step);
    else
        for (int64_t c = 0; c < job->p->x_group; c++)
            memcpy(to + c * step, from + c * job->x.c, (size_t)pixels * sizeof(float));
}

/* Pixels [begin, begin + strip_width) of an input row, zeros outside of the image: channel c's go to to[c * step]. */
static void copy_line(const struct job *job, const float *row, int64_t begin, float *to, int64_t step)
{
    const struct problem *p = job->p;
    const int64_t width = job->d->strip_width;
    for (int64_t done = 0, run; p->circular && done < width; done += run) {
        const int64_t at = remainder_of(begin + done, p->in[2]);
        run = smaller(p->in[2] - at, width - done);
        copy_pixels(job, row + at * job->x.pixel, run, to + done, step);
    }
    if (p->circular)
        return;
    const int64_t left = begin < 0 ? smaller(-begin, width) : 0;
    const int64_t seen = larger(0, smaller(width, p->in[2] - begin) - left), right = width - left - seen;
    for (int64_t c = 0; c < p->x_group; c++) {
        float *line = to + c * step;
        for (int64_t i = 0; i < left; i++)
            line[i] = 0.0f;
        for (int64_t i = width - right; i < width; i++)
            line[i] = 0.0f;
    }
    if (seen)
        copy_pixels(job, row + (begin + left) * job->x.pixel, seen, to + left, step);
}

/* What a block sees of a group: [kernel depth][channel][strip_height][phase][pitch]. What lies between is not touched. */
static void fill_strip(const struct job *job, const struct block *b, int64_t group, const struct thread_space *space)
{
    const struct problem *p = job->p;
    const struct im2col *d = job->d;
    const int64_t height = (b->rows - 1) * p->stride[1] + window_extent(p, 1);
    const int64_t begin = window_begin(p, 2, b->x);
    for (int64_t k = 0; k < p->kernel[0]; k++)
        for (int64_t h = 0; h < height; h++) {
            if (!falt_line_seen(p, b->rows, h))
                continue;
            const int64_t z = falt_pixel(p, 0, window_begin(p, 0, b->z) + k * p->dilation[0]);
            const int64_t y = falt_pixel(p, 1, window_begin(p, 1, b->y) + h);
            float *line = space->strip + k * d->slice + h * d->line;
            const float *row = job->operands->x + b->n * job->x.n + group * p->x_group * job->x.c +
                               (z * p->in[1] + y) * p->in[2] * job->x.pixel;
            if (z < 0 || y < 0) {
                for (int64_t c = 0; c < p->x_group; c++)
                    memset(line + c * d->plane, 0, (size_t)d->line * sizeof(float));
            } else if (p->stride[2] == 1) {
                copy_line(job, row, begin, line, d->plane);
            } else {
                copy_line(job, row, begin, space->temporary, d->strip_width);
                for (int64_t c = 0; c < p->x_group; c++)
                    deinterleave(job, space->temporary + c * d->strip_width, d->strip_width, line + c * d->plane);
            }
        }
}

/* In the image that is the strip: where the first tap of a block's first output pixel is. */
static const float *in_image(const struct job *job, const struct block *b, int64_t group)
{
    const struct problem *p = job->p;
    return job->operands->x + b->n * job->x.n + group * p->x_group * job->x.c +
           (b->z * p->stride[0] * p->in[1] + b->y * p->stride[1]) * p->in[2] + b->x;
}

/* What the block sees of a group: where its first output pixel's first tap is. */
static const float *look(const struct job *job, const struct block *b, int64_t group, const struct thread_space *space)
{
    if (!job->d->in_place) {
        fill_strip(job, b, group, space);
        return space->strip;
    }
    return in_image(job, b, group);
}

/* What `length` pixels of the block from pixel (y, x) on, over the ends of rows, see of a patch: all other taps before and
 * behind are in the padding. */
static struct range seen_depth(const struct job *job, const struct block *b, int64_t y, int64_t x, int64_t length)
{
    const struct problem *p = job->p;
    const int i = outermost(p);
    if (job->d->in_place)
        return (struct range){0, job->d->depth};
    const int64_t rows = (x + length - 1) / b->length, all = job->d->depth, tap = p->kernel[i] > 0 ? all / p->kernel[i] : 0;
    const int64_t first[3] = {b->z, b->y + y, b->x + (rows > 0 ? 0 : x)}; /* outputs */
    const int64_t last[3] = {b->z, b->y + y + rows, b->x + (rows > 0 ? b->length : x + length) - 1};
    const struct range taps = falt_seen_taps(p, i, window_begin(p, i, first[i]), window_begin(p, i, last[i]));
    return (struct range){taps.begin * tap, taps.end * tap};
}

/* The patches of these pixels. */
static void collect_panel(const struct job *job, const struct thread_space *space, const struct block *b, const float *seen,
                          int64_t y, int64_t x, int64_t length, struct range depth)
{
    const struct im2col *d = job->d;
    const int64_t width = divide_up(length, d->vec) * d->vec;
    if (length < width)
        memset(space->patches, 0, (size_t)((depth.end - depth.begin) * width) * sizeof(float));
    for (int64_t done = 0; done < length; y++, x = 0) {
        const int64_t count = smaller(length - done, b->length - x);
        job->kernels->collect(seen + y * job->p->stride[1] * d->line + x, space->offsets + depth.begin, depth.end - depth.begin,
                              count, space->patches + done, width);
        done += count;
    }
}

/* Output channels [channel, channel + channels) of the panel at b, collected or, where `apart`, as its lines lie; its first
 * output of channel 0 is or would be `offset` floats from c. next: where the next panel begins, of which tiles ask for their
 * share, a cache line of each plane; or NULL. */
static void multiply_panel(const struct job *job, const struct thread_space *space, const float *b, bool apart, float *c,
                           int64_t offset, int64_t length, struct range depth, int64_t channel, int64_t channels,
                           const float *next)
{
    const struct problem *p = job->p;
    const struct im2col *d = job->d;
    const struct operands *o = job->operands;
    const int64_t vectors = divide_up(length, d->vec), tiles = divide_up(channels, job->kernels->gemm_rows[vectors]);
    const int64_t first = depth.begin / p->x_group, taps = (depth.end - depth.begin) / p->x_group;
    const int64_t before = channel / p->y_group * p->y_group - (apart ? first * p->y_group : 0); /* channels, to the table's */
    struct gemm_args args = {
        .b = apart ? b + (space->offsets[depth.begin] - space->gaps[first]) : b,
        .b_step = apart ? d->plane : 0,
        .a_offset = apart ? 0 : depth.begin,
        .a_tap = p->y_group,
        .taps = apart ? taps : 1,
        .depth = apart ? p->x_group : depth.end - depth.begin,
        .gaps = apart && !d->one_row ? space->gaps + first : NULL,
        .residual = o->residual ? o->residual + offset : NULL,
        .step = p->y.pixel[2],
        .stream = job->stream && falt_in_lines(o->y, length | offset),
        .columns = length,
        .epilogue = job->epilogue,
        .a_row = d->row,
        .c_row = job->staged ? d->stage_pixels : p->y.c,
        .tiles = 1,
        .coming_step = d->plane * (ptrdiff_t)sizeof(float),
    };
    const int64_t asking = next ? larger(1, askers(d)) : 0;
    const bool even =
        !apart && p->y.pixel[2] == 1 && length % d->vec == 0 && !o->residual && job->epilogue.activation == ACTIVATE_NONE;
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t rows = channels / tiles + (tile < channels % tiles);
        args.a = space->weights + (channel - before);
        args.row = space->outputs + channel;
        args.c = c + offset + (even ? *args.row : 0);
        args.row_bias = o->bias ? o->bias + channel : NULL;
        if (tile < asking * panel_lines(d)) {
            int64_t from, to;
            falt_share(d->depth, (int)(tile % asking), (int)asking, &from, &to);
            args.share = to - from;
            args.coming = next + tile / asking * LINE_FLOATS + from * d->plane;
        } else {
            args.share = 0;
        }
        (even ? job->kernels->even : job->kernels->gemm)[vectors][rows](&args);
        channel += rows;
    }
}

/* Pixels behind those of panel i of a line: about as many vectors in each; or full ones where several make a run of the stage,
 * or where the last is collected because its last vector is not whole, while all others are multiplied where they lie. */
static int64_t panel_end(const struct job *job, int64_t length, int64_t i, int64_t panels)
{
    const struct im2col *d = job->d;
    int64_t begin, end;
    if (job->staged || (d->apart && d->in_place && length % d->vec))
        return smaller((i + 1) * d->nr, length);
    falt_share(divide_up(length, d->vec), (int)i, (int)panels, &begin, &end);
    return smaller(end * d->vec, length);
}

/* Panels are cut from lines of evenly spaced output pixels, each used while it is in the nearest cache. after: where what comes
 * then lies, or NULL. */
static void run_panels(const struct job *job, const struct thread_space *space, const struct block *b, const float *seen,
                       const float *after, int64_t channel, int64_t channels)
{
    const struct problem *p = job->p;
    const bool one = flat(p, job->d);
    const int64_t lines = one ? 1 : b->rows, length = one ? b->rows * b->length : b->length;
    const int64_t origin = p->y.base + b->n * p->y.n + b->z * p->y.pixel[0] + b->y * p->y.pixel[1] + b->x * p->y.pixel[2];
    const int64_t most = job->staged ? job->d->stage_pixels : length;
    const int64_t panels = divide_up(length, job->d->nr);
    for (int64_t line = 0; line < lines; line++)
        for (int64_t i = 0, first = 0, count; i < panels; i++, first += count) {
            count = panel_end(job, length, i, panels) - first;
            const int64_t output = origin + line * p->y.pixel[1] + first * p->y.pixel[2], done = first % most + count;
            float *c = job->staged ? space->stage : job->operands->y;
            const int64_t offset = job->staged ? done - count - space->outputs[channel] : output;
            const int64_t y = line + first / b->length, x = first % b->length;
            const struct range depth = seen_depth(job, b, y, x, count);
            const float *const next = !job->d->asks ? NULL : i < panels - 1 ? seen + first + count : after;
            if (job->d->apart && (!job->d->in_place || count % job->d->vec == 0)) {
                const float *const there = seen + y * p->stride[1] * job->d->line + x;
                multiply_panel(job, space, there, true, c, offset, count, depth, channel, channels, next);
            } else {
                collect_panel(job, space, b, seen, y, x, count, depth);
                multiply_panel(job, space, space->patches, false, c, offset, count, depth, channel, channels, next);
            }
            for (int64_t o = 0; job->staged && o < channels && (done == most || first + count == length); o++)
                job->kernels->copy_past(space->stage + o * most, done,
                                        job->operands->y + output + count - done + (channel + o) * p->y.c);
        }
}

static void point_weights(const struct job *job, const struct thread_space *space, int64_t group)
{
    const struct problem *p = job->p;
    for (int64_t t = 0; t < table_taps(p, job->d); t++)
        for (int64_t o = 0; o < p->y_group; o++)
            space->weights[t * p->y_group + o] =
                (const float *)job->operands->packed + (group * p->y_group + o) * job->d->row + t * p->x_group;
}

/* Tiles [begin, end) of all groups' output channels. next: the block after this one, or NULL. */
static void run_block(const struct job *job, const struct thread_space *space, const struct block *b, const struct block *next,
                      int64_t begin, int64_t end)
{
    const int64_t tiles = job->d->tiles;
    for (int64_t group = begin / tiles; group * tiles < end; group++) {
        int64_t from, to, unused;
        falt_share(job->p->y_group, (int)larger(begin - group * tiles, 0), (int)tiles, &from, &unused);
        falt_share(job->p->y_group, (int)smaller(end - group * tiles, tiles) - 1, (int)tiles, &unused, &to);
        point_weights(job, space, group);
        const float *after = NULL;
        if (job->d->in_place && (group + 1) * tiles < end)
            after = in_image(job, b, group + 1);
        else if (job->d->in_place && next)
            after = in_image(job, next, begin / tiles);
        run_panels(job, space, b, look(job, b, group, space), after, group * job->p->y_group + from, to - from);
    }
}

static void run_member(const struct job *job, int member, int members)
{
    const struct im2col *d = job->d;
    char *memory = (char *)job->operands->workspace + d->per_thread * (size_t)member;
    char *parts[7];
    const size_t sizes[] = {d->strip, d->temporary, d->offsets, d->gaps, d->channels, d->patches, d->stage};
    for (int i = 0; i < 7; memory += sizes[i++])
        parts[i] = memory;
    const struct thread_space space = {
        .strip = (float *)(void *)parts[0],
        .temporary = (float *)(void *)parts[1],
        .offsets = (ptrdiff_t *)(void *)parts[2],
        .gaps = (int64_t *)(void *)parts[3],
        .weights = (const float **)(void *)parts[4],
        .outputs = (ptrdiff_t *)(void *)(parts[4] + (size_t)(job->p->y_group * table_taps(job->p, d)) * sizeof(float *)),
        .patches = (float *)(void *)parts[5],
        .stage = (float *)(void *)parts[6],
    };
    const int64_t depth = job->p->x_group;
    set_offsets(job->p, d, space.offsets);
    for (int64_t t = 0; t < job->p->taps && d->apart; t++)
        space.gaps[t] = space.offsets[t * depth] - (t > 0 ? space.offsets[(t - 1) * depth] + depth * d->plane : 0);
    for (int64_t o = 0; o < job->p->y_channels; o++)
        space.outputs[o] = o * (job->staged ? d->stage_pixels : job->p->y.c);
    for (int64_t piece = member; piece < d->pixel_ranges * d->row_ranges; piece += members) {
        int64_t first, last, begin, end;
        falt_share(d->units, (int)(piece % d->pixel_ranges), (int)d->pixel_ranges, &first, &last);
        falt_share(job->p->groups * d->tiles, (int)(piece / d->pixel_ranges), (int)d->row_ranges, &begin, &end);
        while (first < last) {
            const struct block b = block_at(job, first, smaller(d->block, last - first));
            first += b.rows;
            const struct block next = block_at(job, smaller(first, last - 1), smaller(d->block, last - first));
            run_block(job, &space, &b, first < last ? &next : NULL, begin, end);
        }
    }
    if (job->stream || job->staged)
        job->kernels->fence();
}

static void run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                const struct operands *operands, int member, int members)
{
    const struct im2col *d = (const struct im2col *)(const void *)c->state;
    const bool aligned = falt_in_lines(operands->y, p->y.c);
    const struct job job = {
        .p = p,
        .d = d,
        .kernels = kernels,
        .operands = operands,
        .epilogue = falt_epilogue(p),
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
        .stream = d->stream && aligned,
        .staged = d->stage_pixels && !aligned && !operands->residual,
    };
    run_member(&job, member, members);
}

const struct solver falt_solver_im2col = {"im2col", FALT_ALGO_IM2COL, SOLVES_FORWARD, true, consider, pack, run};
