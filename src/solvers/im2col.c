/*
 * im2col.c - convolution as a matrix product: what each output pixel sees is copied to where the register tile reads it fastest.
 *
 * The general fallback: any geometry at GEMM speed, in a workspace that does not grow with the image. In blocks of output pixels,
 *
 *     x  -- strip -->   what the block sees of a group, with its padding
 *        -- collect --> patches: each pixel's depth = taps * channels inputs, in the order [tap][channel]
 *        -- gemm -->    y, with the epilogue
 *
 * so that strip and patches stay in the core's L2. There are two forms, and which side of the product the patches are decides:
 *
 *     channels in the lanes              pixels in the lanes
 *
 *              panels of weights                  panels of patches [depth][nr pixels]
 *     patches  +--------+                weights  +--------+
 *     [pixel]  |        |                [output  |        |
 *     [depth]  |  tile  |                channel] |  tile  |
 *              |        |                [depth]  |        |
 *
 * Pixels in the lanes write channels-first results as they lie in memory, and waste nothing where there are too few output channels
 * for a vector; the strip is then channels first, with strided lines sorted by phase, so that a panel's row is a piece of a line.
 *
 * Work is cut into a grid of (pixel range x panel range) pieces, one a thread. Each output is one chain of multiply-adds over
 * (tap, channel), however the work is cut and whichever the form.
 */
#include <stdio.h>
#include <string.h>

#include "../arithmetic.h"
#include "../cost.h"
#include "../panels.h"
#include "../parallel.h"
#include "../solver.h"

struct im2col {
    bool pixels_in_lanes;
    struct panels panels;        /* of output channels, or vectors and nr of pixels and panels.count tiles of rows */
    int64_t depth, row;          /* of a sum; floats from one output channel's packed weights, or one pixel's patch, to the next */
    int64_t segments, units;     /* pieces of an output row that are never separated; their number in all images */
    int64_t length, block;       /* pixels in a unit, units in a block, at most; of several units only in one plane */
    int64_t pixel_ranges, panel_ranges;
    int64_t runs, run;           /* contiguous pieces of a patch: their number, floats */
    int64_t strip_width, strip_height; /* pixels */
    int64_t line, pitch;         /* floats from one strip line to the next, and, pixels in the lanes, from one phase to the next */
    size_t strip, temporary, offsets, patches; /* a thread's workspace, in bytes and in this order */
    size_t per_thread;
};

_Static_assert(sizeof(struct im2col) <= SOLVER_STATE, "the solver's state must fit");

/* --------------------------------------------------------------------------------------------------------------- planning */

/* Whether the pixels of an output plane are evenly spaced, over the ends of rows, too. */
static bool flat(const struct problem *p, const struct im2col *d)
{
    return d->segments == 1 && p->y.pixel[1] == p->out[2] * p->y.pixel[2];
}

/* Cycles of one k-step of a panel of `vectors` vectors of pixels for all output channels of a group. */
static struct panels choose_pixel_panels(const struct problem *p, const struct kernels *kernels, double *cycles)
{
    struct panels best = {0};
    double least = 0.0;
    for (int i = 0; i <= GEMM_MAX_VECTORS; i++) {
        const int vectors = i ? i : 2; /* first: see falt_panels */
        const int64_t nr = (int64_t)vectors * kernels->vec;
        if (!kernels->gemm_rows[vectors])
            continue;
        const double step = cost_rows_step(p->y_group, kernels->gemm_rows[vectors], vectors) / (double)nr;
        if (!best.nr || step < least * 0.97) {
            least = step;
            best = (struct panels){vectors, kernels->vec, nr, divide_up(p->y_group, kernels->gemm_rows[vectors]), p->y_group};
        }
    }
    *cycles = least;
    return best;
}

/* Cuts the output into units and blocks whose patches fill half of L2, but for very long ones. */
static void choose_block(const struct problem *p, const struct resources *r, struct im2col *d)
{
    const int64_t least = d->pixels_in_lanes ? d->panels.nr : 2 * r->kernels->gemm_rows[d->panels.vectors];
    const int64_t most = larger(least, r->cpu->l2 / 2 / (d->row * (int64_t)sizeof(float)));
    const int64_t rows = p->batch * p->out[0] * p->out[1];
    d->segments = divide_up(p->out[2], most);
    if (rows < r->threads) /* one long row for many threads */
        d->segments = larger(d->segments, smaller(divide_up(r->threads, rows), divide_up(p->out[2], least)));
    d->length = divide_up(p->out[2], d->segments);
    d->units = rows * d->segments;
    d->block = d->segments > 1 ? 1 : larger(1, smaller(p->out[1], most / d->length));
}

/* Cycles of one piece of the grid. */
static double piece_cycles(const struct problem *p, const struct resources *r, const struct im2col *d, int64_t pixel_ranges,
                           int64_t panel_ranges)
{
    const double pixels = (double)divide_up(d->units, pixel_ranges) * (double)d->length, depth = (double)d->depth;
    const double all = (double)(p->groups * d->panels.count), panels = (double)divide_up(p->groups * d->panels.count, panel_ranges);
    const double groups = panels > (double)d->panels.count ? panels / (double)d->panels.count : 1.0;
    const double vec = (double)d->panels.vec, tile = (double)r->kernels->gemm_rows[d->panels.vectors];
    double step, copies, tiles;
    if (d->pixels_in_lanes) {
        double each;
        choose_pixel_panels(p, r->kernels, &each);
        const double line = (double)(flat(p, d) ? d->length * d->block : d->length); /* of which the last panel may be narrower */
        const double waste = (double)divide_up((int64_t)line, d->panels.vec) * vec / line;
        step = pixels * waste * each / (double)d->panels.count;
        copies = groups * pixels * waste * depth / vec;
        tiles = panels * pixels / (double)d->panels.nr;
    } else {
        step = falt_panels_step(r->kernels, p->y_group, d->panels.vectors, (int64_t)pixels) / (double)d->panels.count;
        copies = groups * pixels * (double)d->runs * (double)divide_up(d->run, d->panels.vec);
        tiles = panels * pixels / tile;
    }
    const double output_lanes = d->pixels_in_lanes ? (p->y.pixel[2] == 1 ? 0.0 : 4.0) : (p->y.c == 1 ? 0.0 : 4.0);
    const double strip_pixels = pixels * (double)p->stride[1] * (double)p->stride[2] * (double)d->strip_height /
                                (double)(d->block * p->stride[1]) * (double)p->kernel[0];
    const double strip = groups * strip_pixels * (double)p->x_group / vec * (d->pixels_in_lanes && p->layout == FALT_CHANNELS_LAST ? 4.0 : 2.0);
    const double weights = panels / all * (double)p->w_count * sizeof(float);
    const double region = pixel_ranges * panel_ranges > 1 ? cost_region_seconds * cost_hertz : 0.0;
    return panels * depth * step + copies * cost_collect + strip + tiles * (cost_tile + output_lanes * tile * d->panels.vectors) +
           weights / (r->warm_weights ? cost_l3_bytes : cost_memory_bytes) + region;
}

static double choose_grid(const struct problem *p, const struct resources *r, struct im2col *d)
{
    double least = -1.0;
    for (int64_t threads = 1; threads <= r->threads; threads++) {
        const int64_t pixel_ranges = smaller(threads, d->units);
        const int64_t panel_ranges = smaller(r->threads / threads, p->groups * d->panels.count);
        const double cycles = piece_cycles(p, r, d, pixel_ranges, panel_ranges);
        if (least < 0.0 || cycles < least) {
            least = cycles;
            d->pixel_ranges = pixel_ranges;
            d->panel_ranges = panel_ranges;
        }
    }
    d->block = smaller(d->block, divide_up(d->units, d->pixel_ranges));
    return least;
}

/* The geometry of strip and patches, given the block. */
static void set_strip(const struct problem *p, struct im2col *d)
{
    d->strip_width = (d->length - 1) * p->stride[2] + (p->kernel[2] - 1) * p->dilation[2] + 1;
    d->strip_height = (d->block - 1) * p->stride[1] + (p->kernel[1] - 1) * p->dilation[1] + 1;
    d->pitch = divide_up(d->strip_width, p->stride[2]);
    d->line = d->pixels_in_lanes ? d->pitch * p->stride[2] : d->strip_width * p->x_group;
    const bool whole_lines = !d->pixels_in_lanes && p->dilation[2] == 1;
    d->run = d->pixels_in_lanes ? 1 : whole_lines ? p->x_group * p->kernel[2] : p->x_group;
    d->runs = d->depth / d->run;
}

static bool choose_workspace(const struct problem *p, struct im2col *d)
{
    const double strip = (double)p->kernel[0] * (double)d->strip_height * (double)d->line *
                         (d->pixels_in_lanes ? (double)p->x_group : 1.0);
    const int64_t lines = d->pixels_in_lanes ? (flat(p, d) ? 1 : d->block) : 1;
    const int64_t padded = d->pixels_in_lanes ? divide_up(d->block * d->length / lines, d->panels.vec) * d->panels.vec
                                              : d->block * d->length;
    const double patches = (double)lines * (double)padded * (double)d->row;
    if (strip > 1e15 || patches > 1e15)
        return false;
    const bool temporary = d->pixels_in_lanes && p->stride[2] > 1;
    d->strip = round_to_lines((size_t)strip * sizeof(float));
    d->temporary = temporary ? round_to_lines((size_t)(d->strip_width * p->x_group) * sizeof(float)) : 0;
    d->offsets = round_to_lines((size_t)d->runs * sizeof(ptrdiff_t));
    d->patches = round_to_lines((size_t)patches * sizeof(float));
    d->per_thread = d->strip + d->temporary + d->offsets + d->patches;
    return true;
}

static double choose_form(const struct problem *p, const struct resources *r, bool pixels_in_lanes, struct im2col *d)
{
    double unused;
    memset(d, 0, sizeof *d);
    d->pixels_in_lanes = pixels_in_lanes;
    d->depth = p->taps * p->x_group;
    d->row = d->depth % 256 ? d->depth : d->depth + 16; /* rows a multiple of 1 KiB apart share few cache sets */
    d->panels = pixels_in_lanes ? choose_pixel_panels(p, r->kernels, &unused) : falt_panels(r->kernels, p->y_group, 64, p->taps * p->x_group);
    choose_block(p, r, d);
    set_strip(p, d);
    const double cycles = choose_grid(p, r, d);
    set_strip(p, d);
    return cycles;
}

static bool consider(const struct problem *p, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    const char *why = NULL;
    if (p->pass != FALT_FORWARD)
        why = "it computes only the forward pass of a convolution";
    else if (p->batch == 0 || p->taps == 0)
        why = "there is nothing to compute";
    if (why) {
        snprintf(reason, SOLVER_REASON, "%s", why);
        return false;
    }
    /* The form is packed weights' business, so the threads must not decide it. */
    struct im2col *d = (struct im2col *)(void *)c->state;
    struct resources nominal = *r;
    nominal.threads = cost_nominal_threads;
    const bool lanes = p->layout == FALT_CHANNELS_FIRST ||
                       choose_form(p, &nominal, true, d) < choose_form(p, &nominal, false, d);
    const double cycles = choose_form(p, r, lanes, d);
    const double floats = lanes ? (double)p->groups * (double)p->y_group * (double)d->row : falt_panels_floats(p, &d->panels);
    if (!choose_workspace(p, d) || floats > 1e15) {
        snprintf(reason, SOLVER_REASON, "patches or packed weights need more memory than can be addressed");
        return false;
    }
    c->packed = (size_t)floats * sizeof(float);
    c->threads = (int)(d->pixel_ranges * d->panel_ranges);
    c->workspace = d->per_thread * (size_t)c->threads;
    c->seconds = cycles / cost_hertz;
    c->accuracy = 1.0;
    c->error_growth = 1.0;
    c->error_terms = (double)d->depth;
    snprintf(c->kernel, SOLVER_NOTE, "%s %dx%d%s", r->kernels->name, r->kernels->gemm_rows[d->panels.vectors], (int)d->panels.nr,
             lanes ? " pixels" : "");
    snprintf(c->schedule, SOLVER_NOTE, "%lld pixel x %lld channel ranges, blocks of %lld pixels", (long long)d->pixel_ranges,
             (long long)d->panel_ranges, (long long)(d->block * d->length));
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- packing */

/* Rows of one output channel each, [tap][channel]. */
static void pack_rows(const struct problem *p, const struct im2col *d, const float *weights, float *packed)
{
    for (int64_t o = 0; o < p->groups * p->y_group; o++) {
        const float *from = weights + p->w.base + o / p->y_group * p->w.group + o % p->y_group * p->w.o;
        float *out = packed + o * d->row;
        for (int64_t k = 0; k < p->kernel[0]; k++)
            for (int64_t r = 0; r < p->kernel[1]; r++)
                for (int64_t t = 0; t < p->kernel[2]; t++)
                    for (int64_t i = 0; i < p->x_group; i++)
                        *out++ = from[k * p->w.tap[0] + r * p->w.tap[1] + t * p->w.tap[2] + i * p->w.i];
        memset(out, 0, (size_t)(d->row - d->depth) * sizeof(float));
    }
}

static void pack(const struct problem *p, const struct candidate *c, const float *weights, void *packed)
{
    const struct im2col *d = (const struct im2col *)(const void *)c->state;
    if (d->pixels_in_lanes)
        pack_rows(p, d, weights, packed);
    else
        falt_pack_panels(p, &d->panels, weights, packed);
}

/* ---------------------------------------------------------------------------------------------------------------- running */

struct job {
    const struct problem *p;
    const struct im2col *d;
    const struct kernels *kernels;
    const struct operands *operands;
    struct epilogue epilogue;
    struct tensor_strides x;
};

struct thread_space {
    float *strip, *temporary, *patches;
    ptrdiff_t *offsets;
};

/* A block of output pixels: `rows` rows of one plane from (y, x) on, `length` pixels each; several rows only if these are whole. */
struct block {
    int64_t n, z, y, x, rows, length;
};

static struct block block_at(const struct job *job, int64_t unit, int64_t units)
{
    const struct problem *p = job->p;
    const struct im2col *d = job->d;
    struct block b;
    int64_t end;
    falt_share(p->out[2], (int)(unit % d->segments), (int)d->segments, &b.x, &end);
    unit /= d->segments;
    b.length = end - b.x;
    b.y = unit % p->out[1];
    b.z = unit / p->out[1] % p->out[0];
    b.n = unit / p->out[1] / p->out[0];
    b.rows = d->segments > 1 ? 1 : smaller(units, p->out[1] - b.y);
    return b;
}

/* Where in the strip a patch has its runs, counted from its first input. */
static void set_offsets(const struct problem *p, const struct im2col *d, ptrdiff_t *offset)
{
    const bool lanes = d->pixels_in_lanes, lines = d->run > p->x_group || (!lanes && p->dilation[2] == 1);
    for (int64_t k = 0; k < p->kernel[0]; k++)
        for (int64_t r = 0; r < p->kernel[1]; r++)
            for (int64_t t = 0; t < (lines ? 1 : p->kernel[2]); t++)
                for (int64_t i = 0; i < (lanes ? p->x_group : 1); i++) {
                    const int64_t plane = lanes ? k * p->x_group + i : k, x = t * p->dilation[2];
                    const int64_t column = lanes ? x % p->stride[2] * d->pitch + x / p->stride[2] : x * p->x_group;
                    *offset++ = (plane * d->strip_height + r * p->dilation[1]) * d->line + column;
                }
}

/* One line of the strip, or of its temporary copy: channel c's pixel x at to[c * channel_step + x * pixel_step]. */
static void fill_line(const struct job *job, const float *from, int64_t begin, float *to, int64_t channel_step, int64_t pixel_step)
{
    const struct problem *p = job->p;
    const int64_t width = job->d->strip_width, channels = p->x_group;
    const int64_t left = begin < 0 ? smaller(-begin, width) : 0, seen = larger(0, smaller(width, p->in[2] - begin) - left);
    const int64_t right = width - left - seen;
    if (pixel_step != 1) { /* channels last */
        memset(to, 0, (size_t)(left * channels) * sizeof(float));
        for (int64_t x = left; x < left + seen && job->x.pixel != channels; x++)
            memcpy(to + x * channels, from + (begin + x) * job->x.pixel, (size_t)channels * sizeof(float));
        if (job->x.pixel == channels && seen)
            memcpy(to + left * channels, from + (begin + left) * channels, (size_t)(seen * channels) * sizeof(float));
        memset(to + (left + seen) * channels, 0, (size_t)(right * channels) * sizeof(float));
        return;
    }
    for (int64_t c = 0; c < channels; c++) {
        float *line = to + c * channel_step;
        memset(line, 0, (size_t)left * sizeof(float));
        if (job->x.pixel == 1 && seen)
            memcpy(line + left, from + c * job->x.c + begin + left, (size_t)seen * sizeof(float));
        memset(line + left + seen, 0, (size_t)right * sizeof(float));
    }
    if (job->x.pixel != 1 && seen)
        job->kernels->transpose(from + (begin + left) * job->x.pixel, job->x.pixel, seen, channels, to + left, channel_step);
}

/* line[phase * pitch + i] = from[i * stride + phase], of `count` floats in all. */
static void deinterleave(const struct job *job, const float *from, int64_t count, float *line)
{
    const int64_t stride = job->p->stride[2], whole = count / stride;
    job->kernels->transpose(from, stride, whole, stride, line, job->d->pitch);
    job->kernels->transpose(from + whole * stride, stride, 1, count % stride, line + whole, job->d->pitch);
}

/* What a block sees of a group: [kernel depth][strip_height][strip_width][channel], or with pixels in the lanes
 * [kernel depth][channel][strip_height][phase][pitch]. */
static void fill_strip(const struct job *job, const struct block *b, int64_t group, const struct thread_space *space)
{
    const struct problem *p = job->p;
    const struct im2col *d = job->d;
    const int64_t height = (b->rows - 1) * p->stride[1] + (p->kernel[1] - 1) * p->dilation[1] + 1, channels = p->x_group;
    const int64_t planes = d->pixels_in_lanes ? channels : 1, step = d->strip_height * d->line;
    for (int64_t k = 0; k < p->kernel[0]; k++)
        for (int64_t h = 0; h < height; h++) {
            const int64_t z = b->z * p->stride[0] - p->pad[0] + k * p->dilation[0];
            const int64_t y = b->y * p->stride[1] - p->pad[1] + h, begin = b->x * p->stride[2] - p->pad[2];
            float *line = space->strip + (k * planes * d->strip_height + h) * d->line;
            if (!inside(z, p->in[0]) || !inside(y, p->in[1])) {
                for (int64_t c = 0; c < planes; c++)
                    memset(line + c * step, 0, (size_t)d->line * sizeof(float));
                continue;
            }
            const float *from = job->operands->x + b->n * job->x.n + group * channels * job->x.c +
                                (z * p->in[1] + y) * p->in[2] * job->x.pixel;
            if (!d->pixels_in_lanes) {
                fill_line(job, from, begin, line, 1, channels);
            } else if (p->stride[2] == 1) {
                fill_line(job, from, begin, line, step, 1);
            } else {
                fill_line(job, from, begin, space->temporary, d->strip_width, 1);
                for (int64_t c = 0; c < channels; c++)
                    deinterleave(job, space->temporary + c * d->strip_width, d->strip_width, line + c * step);
            }
        }
}

/* Panels of pixels: lines of evenly spaced output pixels, cut into pieces of nr. */
struct pixels {
    int64_t lines, length; /* of the block */
};

static struct pixels pixels_of(const struct job *job, const struct block *b)
{
    return flat(job->p, job->d) ? (struct pixels){1, b->rows * b->length} : (struct pixels){b->rows, b->length};
}

/* Floats before a line's piece from pixel `first` on; a line's last piece is as narrow as whole vectors allow. */
static float *piece_at(const struct job *job, const struct thread_space *space, const struct pixels *x, int64_t line, int64_t first)
{
    const int64_t padded = divide_up(x->length, job->d->panels.vec) * job->d->panels.vec;
    return space->patches + (line * padded + first) * job->d->depth;
}

static void collect_panels(const struct job *job, const struct block *b, const struct thread_space *space)
{
    const struct problem *p = job->p;
    const struct im2col *d = job->d;
    const struct pixels x = pixels_of(job, b);
    for (int64_t line = 0; line < x.lines; line++)
        for (int64_t first = 0; first < x.length; first += d->panels.nr) {
            const int64_t length = smaller(d->panels.nr, x.length - first);
            const int64_t width = divide_up(length, d->panels.vec) * d->panels.vec;
            float *panel = piece_at(job, space, &x, line, first);
            if (length < width)
                memset(panel, 0, (size_t)(d->depth * width) * sizeof(float));
            for (int64_t done = 0, count; done < length; done += count) {
                const int64_t row = line + (first + done) / b->length, column = (first + done) % b->length;
                count = smaller(length - done, b->length - column);
                job->kernels->collect(space->strip + row * p->stride[1] * d->line + column, space->offsets, d->depth, count,
                                      panel + done, width);
            }
        }
}

static void collect_patches(const struct job *job, const struct block *b, const struct thread_space *space)
{
    const struct problem *p = job->p;
    const struct im2col *d = job->d;
    float *patch = space->patches;
    for (int64_t y = 0; y < b->rows; y++)
        for (int64_t x = 0; x < b->length; x++, patch += d->row)
            job->kernels->collect(space->strip + y * p->stride[1] * d->line + x * p->stride[2] * p->x_group, space->offsets,
                                  d->runs, d->run, patch, d->run);
}

static int64_t output_offset(const struct problem *p, const struct block *b, int64_t channel, int64_t y, int64_t x)
{
    return p->y.base + b->n * p->y.n + channel * p->y.c + b->z * p->y.pixel[0] + (b->y + y) * p->y.pixel[1] +
           (b->x + x) * p->y.pixel[2];
}

/* Channels [begin, end) of a group from panels of pixels. */
static void multiply_panels(const struct job *job, const struct block *b, const struct thread_space *space, int64_t group,
                            int64_t begin, int64_t end)
{
    const struct problem *p = job->p;
    const struct im2col *d = job->d;
    const struct operands *o = job->operands;
    const struct pixels x = pixels_of(job, b);
    for (int64_t line = 0; line < x.lines; line++)
        for (int64_t first = 0; first < x.length; first += d->panels.nr) {
            const int64_t length = smaller(d->panels.nr, x.length - first), vectors = divide_up(length, d->panels.vec);
            const int64_t tiles = divide_up(end - begin, job->kernels->gemm_rows[vectors]);
            const float *panel = piece_at(job, space, &x, line, first);
            for (int64_t tile = 0; tile < tiles; tile++) {
                int64_t from, to;
                falt_share(end - begin, (int)tile, (int)tiles, &from, &to);
                const int64_t channel = group * p->y_group + begin + from;
                const int64_t offset = output_offset(p, b, channel, line, first);
                const float *a[GEMM_MAX_ROWS], *residual[GEMM_MAX_ROWS];
                float *c[GEMM_MAX_ROWS];
                for (int64_t m = 0; m < to - from; m++) {
                    a[m] = (const float *)o->packed + (channel + m) * d->row;
                    c[m] = o->y + offset + m * p->y.c;
                    if (o->residual)
                        residual[m] = o->residual + offset + m * p->y.c;
                }
                const struct gemm_args args = {
                    .a = a,
                    .b = panel,
                    .taps = 1,
                    .depth = d->depth,
                    .c = c,
                    .residual = o->residual ? residual : NULL,
                    .row_bias = o->bias ? o->bias + channel : NULL,
                    .step = p->y.pixel[2],
                    .columns = length,
                    .epilogue = job->epilogue,
                };
                job->kernels->gemm[vectors][to - from](&args);
            }
        }
}

/* One panel of output channels from patches. */
static void multiply_patches(const struct job *job, const struct block *b, const struct thread_space *space, int64_t group,
                             int64_t panel)
{
    const struct problem *p = job->p;
    const struct im2col *d = job->d;
    const struct operands *o = job->operands;
    const int64_t width = falt_panel_width(&d->panels, panel), vectors = width / d->panels.vec;
    const int64_t first = panel * d->panels.nr, channel = group * p->y_group + first;
    const int64_t pixels = b->rows * b->length, tiles = divide_up(pixels, job->kernels->gemm_rows[d->panels.vectors]);
    const float *a[GEMM_MAX_ROWS], *residual[GEMM_MAX_ROWS];
    float *c[GEMM_MAX_ROWS];
    const struct gemm_args args = {
        .a = a,
        .b = (const float *)o->packed + falt_panel_offset(&d->panels, d->depth, group, panel),
        .taps = 1,
        .depth = d->depth,
        .c = c,
        .residual = o->residual ? residual : NULL,
        .bias = o->bias ? o->bias + channel : NULL,
        .step = p->y.c,
        .columns = smaller(width, p->y_group - first),
        .epilogue = job->epilogue,
    };
    int64_t y = 0, x = 0;
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t from, to;
        falt_share(pixels, (int)tile, (int)tiles, &from, &to);
        for (int64_t m = 0; m < to - from; m++) {
            const int64_t offset = output_offset(p, b, channel, y, x);
            a[m] = space->patches + (from + m) * d->row;
            c[m] = o->y + offset;
            if (o->residual)
                residual[m] = o->residual + offset;
            if (++x == b->length) {
                x = 0;
                y++;
            }
        }
        job->kernels->gemm[vectors][to - from](&args);
    }
}

/* Panels [begin, end) of all groups. */
static void run_block(const struct job *job, const struct thread_space *space, const struct block *b, int64_t begin, int64_t end)
{
    const struct im2col *d = job->d;
    const int64_t count = d->panels.count;
    for (int64_t group = begin / count; group * count < end; group++) {
        const int64_t first = larger(begin - group * count, 0), last = smaller(end - group * count, count);
        fill_strip(job, b, group, space);
        if (d->pixels_in_lanes) {
            int64_t from, to, unused;
            falt_share(job->p->y_group, (int)first, (int)count, &from, &unused);
            falt_share(job->p->y_group, (int)(last - 1), (int)count, &unused, &to);
            collect_panels(job, b, space);
            multiply_panels(job, b, space, group, from, to);
        } else {
            collect_patches(job, b, space);
            for (int64_t panel = first; panel < last; panel++)
                multiply_patches(job, b, space, group, panel);
        }
    }
}

static void run_member(void *context, int member, int members)
{
    const struct job *job = context;
    const struct im2col *d = job->d;
    char *memory = (char *)job->operands->workspace + d->per_thread * (size_t)member;
    const struct thread_space space = {
        .strip = (float *)(void *)memory,
        .temporary = (float *)(void *)(memory + d->strip),
        .offsets = (ptrdiff_t *)(void *)(memory + d->strip + d->temporary),
        .patches = (float *)(void *)(memory + d->strip + d->temporary + d->offsets),
    };
    set_offsets(job->p, d, space.offsets);
    for (int64_t piece = member; piece < d->pixel_ranges * d->panel_ranges; piece += members) {
        int64_t first, last, begin, end;
        falt_share(d->units, (int)(piece % d->pixel_ranges), (int)d->pixel_ranges, &first, &last);
        falt_share(job->p->groups * d->panels.count, (int)(piece / d->pixel_ranges), (int)d->panel_ranges, &begin, &end);
        while (first < last) {
            const struct block b = block_at(job, first, smaller(d->block, last - first));
            run_block(job, &space, &b, begin, end);
            first += b.rows;
        }
    }
}

static void run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                const struct operands *operands, int threads)
{
    const struct job job = {
        .p = p,
        .d = (const struct im2col *)(const void *)c->state,
        .kernels = kernels,
        .operands = operands,
        .epilogue = falt_epilogue(p),
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
    };
    falt_parallel(threads, run_member, (void *)(uintptr_t)&job);
}

const struct solver falt_solver_im2col = {"im2col", FALT_ALGO_IM2COL, consider, pack, run};
