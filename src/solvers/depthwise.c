/*
 * depthwise.c - depthwise convolution, and grouped convolution with few channels a group: windows that slide over vectors
 * (kernels.h, depthwise_args).
 *
 * Channels last: a vector holds `vec` neighbouring channels of one pixel, of one or many groups (a unit of the plan). A tile is a
 * run of outputs along an image row. Its pointers, [line][input column], are made once and serve all units, each at its offset;
 * outside pixels point to zeros.
 *
 *      x    . . . . . . . . . . . .    one kernel row: each pixel's vector is loaded once
 *           |_____|                    output 0
 *             |_____|                  output 1 ...                    lines: kernel depth x kernel height
 *
 * Channels first: a vector holds neighbouring pixels of an image row, and a tile is a run of outputs down a column of such blocks;
 * the window slides over the image's rows, so lines are input channels x kernel depth x kernel width. A line's vectors start
 * anywhere in the row; lanes over its ends are masked. With a stride along the row the tile's input is first copied into a strip
 * with its zeros around it, every stride-th pixel side by side:
 *
 *      0 1 2 3 4 5 6 7   --- stride 2 --->   0 2 4 6 | 1 3 5 7         kernel column q: phase q % stride, shifted by q / stride
 *
 * and the same with images of a single row, where the tile is a run of blocks along it.
 *
 * The kernel's extent along the sliding dimension is cut into windows of a width that there are kernels for, and single taps for the
 * rest; with a dilation, or a stride beyond 2, it is all single taps. Each output is one chain of multiply-adds in an order that only
 * the plan determines.
 */
#include <stdio.h>
#include <string.h>

#include "../arithmetic.h"
#include "../cost.h"
#include "../parallel.h"
#include "../solver.h"

struct depthwise {
    enum depthwise_kind kind;
    enum depthwise_height height;
    int vec, tile;           /* floats in a vector; outputs in a tile */
    int width, stride;       /* of the kernel's window */
    int slide;               /* the dimension that the window slides along */
    int64_t windows, rest;   /* of a kernel line: kernel[slide] = windows * width + rest */
    int64_t parts;           /* channels last: vectors of input channels of a group */
    int64_t outer;           /* kernel lines: the product of all but the sliding dimension */
    int64_t lines, taps;     /* of depthwise_args */
    int64_t depth;           /* likewise */
    int64_t unit_groups;     /* channels last: groups in a unit, or 0: units_per_group units in a group */
    int64_t units_per_group;
    int64_t units;           /* channels last: vectors of output channels; channels first: groups of all images */
    int64_t blocks;          /* channels first: vectors in an output row */
    int64_t row_tiles, tiles; /* tiles of one row (last), or one plane (first); of all that a unit has to do */
    bool strip, along;       /* channels first: input is copied; the tile runs along the row */
    int64_t pitch, strip_rows; /* floats of a strip's phase; rows of one kernel depth */
    int64_t tile_ranges, unit_ranges;
    size_t table, lanes, strip_bytes, per_thread;        /* a thread's workspace, in this order; their sum */
};

/* Lanes [begin, end) of a vector. */
struct lanes {
    int32_t begin, end;
};

_Static_assert(sizeof(struct depthwise) <= SOLVER_STATE, "the solver's state must fit");

/* --------------------------------------------------------------------------------------------------------------- planning */

/* Cycles of one tile and vector of outputs: bound by multiply-adds, by loads (two for each vector, its pointer is one), by
 * permutations or by the latency of the sums' chains. */
static double tile_cycles(const struct depthwise *d, int tile)
{
    const double depth = d->kind == DEPTHWISE_GROUPS ? (double)d->depth : 1.0;
    const double columns = (double)((tile - 1) * d->stride + d->width), width = (double)d->width;
    const double loads = (2.0 * columns + width) / cost_loads_per_cycle * 0.75;
    const double fma = (double)tile * width / cost_fma_per_cycle, permutes = d->kind == DEPTHWISE_GROUPS ? columns : 0.0;
    double line = fma > loads ? fma : loads;
    line = line > permutes ? line : permutes;
    line = line > cost_fma_latency * width ? line : cost_fma_latency * width;
    const double tap = 1.5 * (double)tile;
    return depth * ((double)d->lines * line + (double)d->taps * tap) + 10.0 + 1.5 * (double)tile;
}

/* The window that needs the fewest loads. */
static void choose_window(const struct problem *p, const struct resources *r, struct depthwise *d)
{
    const int64_t extent = p->kernel[d->slide], stride = p->stride[d->slide];
    const int64_t tile = r->kernels->depthwise_rows[DEPTHWISE_TALL];
    int64_t least = extent * tile;
    d->width = d->stride = 1;
    for (int width = 3; width <= 7 && p->dilation[d->slide] == 1 && stride <= 2 && !d->along; width += 2) {
        const int64_t loads = extent / width * ((tile - 1) * stride + width) + extent % width * tile;
        if (loads < least) {
            least = loads;
            d->width = width;
            d->stride = (int)stride;
        }
    }
    d->windows = extent / d->width;
    d->rest = extent % d->width;
    d->lines = d->outer * d->windows;
    d->taps = d->outer * d->rest;
}

/* The height that wastes the least on outputs beyond the last. */
static void choose_height(const struct resources *r, struct depthwise *d, int64_t outputs)
{
    double least = -1.0;
    for (int height = 0; height < DEPTHWISE_HEIGHTS_COUNT; height++) {
        const int tile = r->kernels->depthwise_rows[height];
        const double cycles = (double)divide_up(outputs, tile) * tile_cycles(d, tile);
        if (least < 0.0 || cycles < least) {
            least = cycles;
            d->height = (enum depthwise_height)height;
            d->tile = tile;
        }
    }
}

static bool consider_channels_last(const struct problem *p, const struct resources *r, struct depthwise *d,
                                   char reason[SOLVER_REASON])
{
    const int64_t vec = d->vec, widest = larger(p->x_group, p->y_group);
    if (p->x_group > 2 * vec || (p->x_group > vec && p->x_group % vec)) {
        snprintf(reason, SOLVER_REASON, "a vector holds %d channels, a group has %lld", d->vec, (long long)p->x_group);
        return false;
    }
    d->slide = 2;
    d->kind = widest == 1 ? DEPTHWISE_CHANNELS : DEPTHWISE_GROUPS;
    d->depth = smaller(p->x_group, vec);
    d->parts = divide_up(p->x_group, vec);
    d->unit_groups = widest <= vec ? smaller(vec / widest, p->groups) : 0;
    d->units_per_group = divide_up(p->y_group, vec);
    d->units = d->unit_groups ? divide_up(p->groups, d->unit_groups) : p->groups * d->units_per_group;
    d->outer = d->parts * p->kernel[0] * p->kernel[1];
    choose_window(p, r, d);
    choose_height(r, d, p->out[2]);
    d->row_tiles = divide_up(p->out[2], d->tile);
    d->tiles = p->batch * p->out[0] * p->out[1] * d->row_tiles;
    return true;
}

static bool consider_channels_first(const struct problem *p, const struct resources *r, struct depthwise *d,
                                    char reason[SOLVER_REASON])
{
    if (p->x_group > 4 * d->vec) {
        snprintf(reason, SOLVER_REASON, "%lld channels a group are too many to read again for each output channel",
                 (long long)p->x_group);
        return false;
    }
    d->slide = 1;
    d->kind = DEPTHWISE_ROWS;
    d->along = p->out[1] == 1;
    d->strip = d->along || p->stride[2] > 1;
    d->depth = d->parts = 1;
    d->units = p->batch * p->groups;
    d->blocks = divide_up(p->out[2], d->vec);
    d->outer = p->x_group * p->kernel[0] * p->kernel[2];
    choose_window(p, r, d);
    if (d->along) {
        const int64_t whole = p->out[2] / d->vec;
        choose_height(r, d, larger(whole, 1));
        d->row_tiles = divide_up(whole, d->tile) + (p->out[2] % d->vec != 0);
    } else {
        choose_height(r, d, p->out[1]);
        d->row_tiles = divide_up(p->out[1], d->tile);
    }
    d->tiles = p->out[0] * d->row_tiles;
    if (d->strip) {
        const int64_t reach = (p->kernel[2] - 1) * p->dilation[2] / p->stride[2];
        d->pitch = (d->along ? smaller(d->tile, d->blocks) : d->blocks) * d->vec + reach;
        d->strip_rows = (d->along ? 0 : (d->tile - 1) * p->stride[1]) + (p->kernel[1] - 1) * p->dilation[1] + 1;
    }
    return true;
}

static bool choose_workspace(const struct problem *p, struct depthwise *d)
{
    const double lines = (double)(d->lines + d->taps);
    const double lanes = d->kind == DEPTHWISE_ROWS && !d->strip ? lines * (double)d->blocks : 0.0;
    const double strip = (double)p->x_group * (double)p->kernel[0] * (double)d->strip_rows * (double)p->stride[2] * (double)d->pitch;
    if (lines > 1e12 || lanes > 1e12 || (d->strip && strip > 1e12))
        return false;
    d->table = round_to_lines((size_t)lines * sizeof(struct depthwise_line));
    d->lanes = round_to_lines((size_t)lanes * sizeof(struct lanes));
    d->strip_bytes = d->strip ? round_to_lines((size_t)strip * sizeof(float)) : 0;
    d->per_thread = d->table + d->lanes + d->strip_bytes;
    return true;
}

/* The grid with the least time for its slowest piece, or a single thread where that is not worth a parallel region. */
static double choose_grid(const struct problem *p, const struct resources *r, struct depthwise *d)
{
    const double first = d->kind == DEPTHWISE_ROWS;
    double table = 30.0 + 5.0 * (double)(d->lines + d->taps), cell = tile_cycles(d, d->tile);
    if (first) {
        const double strip = 0.25 * (double)d->strip_bytes / (double)d->vec;
        cell = cell * (double)(p->y_group * (d->along ? 1 : d->blocks)) + table + strip;
        table = 0.0;
    }
    const double input = (double)(p->x_count + p->y_count) * sizeof(float) / cost_l3_bytes;
    const double weights = (double)p->w_count * sizeof(float) / (r->warm_weights ? cost_l3_bytes : cost_memory_bytes);
    double least = -1.0;
    for (int64_t threads = 1; threads <= r->threads; threads++) {
        const int64_t tile_ranges = smaller(threads, d->tiles), unit_ranges = smaller(r->threads / threads, d->units);
        for (int alone = threads == 1; alone >= 0; alone--) {
            const int64_t units = alone ? 1 : unit_ranges;
            const double members = (double)(tile_ranges * units), share = (double)divide_up(d->units, units);
            const double cycles = (double)divide_up(d->tiles, tile_ranges) * (table + share * cell) + input / members +
                                  weights * share / (double)d->units;
            const double seconds = cycles / cost_hertz + (members > 1.0 ? cost_region_seconds : 0.0);
            if (least < 0.0 || seconds < least) {
                least = seconds;
                d->tile_ranges = tile_ranges;
                d->unit_ranges = units;
            }
        }
    }
    return least;
}

static bool consider(const struct problem *p, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    static const char *const kinds[] = {"channels", "groups", "rows"};
    struct depthwise *d = (struct depthwise *)(void *)c->state;
    if (p->pass != FALT_FORWARD) {
        snprintf(reason, SOLVER_REASON, "it computes only the forward pass of a convolution");
        return false;
    }
    if (!falt_has_dense_views(p)) {
        snprintf(reason, SOLVER_REASON, "the problem is a phase of a backward pass");
        return false;
    }
    d->vec = r->kernels->vec;
    /* With a single channel the layouts are the same, and rows fill the vectors. */
    const bool first = p->layout == FALT_CHANNELS_FIRST || (p->x_channels == 1 && p->y_channels == 1);
    if (!(first ? consider_channels_first : consider_channels_last)(p, r, d, reason))
        return false;
    if (!choose_workspace(p, d)) {
        snprintf(reason, SOLVER_REASON, "a tile needs more workspace than can be addressed");
        return false;
    }
    if (first) {
        c->packed = (size_t)p->w_count * sizeof(float);
    } else {
        const double packed = (double)d->units * (double)(d->lines * d->width + d->taps) * (double)(d->depth * d->vec);
        if (packed > 1e15) {
            snprintf(reason, SOLVER_REASON, "the packed weights need more memory than can be addressed");
            return false;
        }
        c->packed = (size_t)(d->depth * d->vec) * sizeof(float) * (1 + (size_t)d->units * (size_t)(d->lines * d->width + d->taps));
    }
    d->tile_ranges = d->unit_ranges = 1;
    c->seconds = p->batch ? choose_grid(p, r, d) : 0.0;
    c->threads = (int)(d->tile_ranges * d->unit_ranges);
    c->workspace = d->per_thread * (size_t)c->threads;
    c->accuracy = 1.0;
    c->error_growth = 1.0;
    c->error_terms = (double)(p->taps * p->x_group);
    snprintf(c->kernel, SOLVER_NOTE, "%s %s %dx%d", r->kernels->name, kinds[d->kind], d->tile, d->width);
    snprintf(c->schedule, SOLVER_NOTE, "%lld tile x %lld channel ranges%s", (long long)d->tile_ranges, (long long)d->unit_ranges,
             d->strip ? ", input strips" : "");
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- packing */

/* What a unit of channels-last work reads and writes. */
struct unit {
    int64_t x, y;            /* first channel of each */
    int64_t inputs, outputs; /* lanes */
};

static struct unit unit_of(const struct problem *p, const struct depthwise *d, int64_t unit)
{
    if (d->unit_groups) {
        const int64_t first = unit * d->unit_groups, groups = smaller(d->unit_groups, p->groups - first);
        return (struct unit){first * p->x_group, first * p->y_group, groups * d->depth, groups * p->y_group};
    }
    const int64_t group = unit / d->units_per_group, begin = unit % d->units_per_group * d->vec;
    return (struct unit){group * p->x_group, group * p->y_group + begin, d->depth, smaller(d->vec, p->y_group - begin)};
}

/* Tap t of the weights at the given outer index ([channel or part][depth][the other dimension]) and position of the kernel. */
static int64_t tap_of(const struct problem *p, const struct depthwise *d, int64_t outer, int64_t position)
{
    const int64_t other = d->slide == 2 ? p->kernel[1] : p->kernel[2];
    const int64_t k = outer / other % p->kernel[0];
    const int64_t row = d->slide == 2 ? outer % other : position, column = d->slide == 2 ? position : outer % other;
    return (k * p->kernel[1] + row) * p->kernel[2] + column;
}

struct packer {
    const struct problem *p;
    const struct depthwise *d;
    const float *weights;
    struct weight_strides stride;
    float *out;
};

/* The vectors, or the float, of one output unit and outer index, at `count` positions of the kernel from `position` on. */
static void pack_window(struct packer *k, int64_t unit, int64_t outer, int64_t position, int64_t count)
{
    const struct problem *p = k->p;
    const struct depthwise *d = k->d;
    const int64_t line = outer / (d->outer / (d->kind == DEPTHWISE_ROWS ? p->x_group : d->parts)); /* input channel or part */
    if (d->kind == DEPTHWISE_ROWS) {
        for (int64_t i = 0; i < count; i++)
            *k->out++ = k->weights[unit * k->stride.o + line * k->stride.i + tap_of(p, d, outer, position + i) * k->stride.t];
        return;
    }
    const struct unit at = unit_of(p, d, unit);
    for (int64_t depth = 0; depth < d->depth; depth++)
        for (int64_t i = 0; i < count; i++) {
            const float *in = k->weights + at.y * k->stride.o + (line * d->vec + depth) * k->stride.i +
                              tap_of(p, d, outer, position + i) * k->stride.t;
            for (int64_t n = 0; n < d->vec; n++)
                *k->out++ = n < at.outputs ? in[n * k->stride.o] : 0.0f;
        }
}

static void pack(const struct problem *p, const struct candidate *c, const float *weights, void *packed)
{
    const struct depthwise *d = (const struct depthwise *)(const void *)c->state;
    struct packer k = {p, d, weights, falt_weight_strides(p), packed};
    const int64_t units = d->kind == DEPTHWISE_ROWS ? p->y_channels : d->units;
    if (d->kind != DEPTHWISE_ROWS) {
        int32_t *index = packed; /* channel i of its group in each output channel's lane */
        for (int64_t i = 0; i < d->depth; i++)
            for (int64_t n = 0; n < d->vec; n++) {
                const int64_t group = n / p->y_group;
                *index++ = (int32_t)(group < d->unit_groups ? group * p->x_group + i : i);
            }
        k.out += d->depth * d->vec;
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

/* ---------------------------------------------------------------------------------------------------------------- running */

struct job {
    const struct problem *p;
    const struct depthwise *d;
    const struct operands *operands;
    depthwise_kernel *kernel;
    void (*deinterleave)(const float *src, int64_t n, int64_t stride, float *dst, ptrdiff_t pitch);
    struct epilogue epilogue;
    struct tensor_strides x, y;
    ptrdiff_t pitch; /* floats from one position of the sliding dimension to the next */
};

/* Where a tile is: image, output depth, output row, and its first output along the sliding dimension (a block of a row where
 * the tile runs along it); channels first: of which group. */
struct place {
    int64_t n, z, y, first, group;
};

/* A thread's workspace. */
struct thread_space {
    struct depthwise_line *lines;
    struct lanes *lanes;
    float *strip;
};

/* Kernel line (i, k, o): i a part or an input channel, k the position in kernel depth, o in the dimension that is left. Its
 * vector at position 0 of the sliding dimension, or NULL if it is outside of the image. */
static const float *line_of(const struct job *job, const float *strip, const struct place *at, int64_t i, int64_t k, int64_t o)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t z = at->z * p->stride[0] - p->pad[0] + k * p->dilation[0];
    if (!inside(z, p->in[0]))
        return NULL;
    if (d->strip) {
        const int64_t column = o * p->dilation[2];
        const int64_t top = (d->along ? 0 : at->first) * p->stride[1] - p->pad[1]; /* the image row that the strip starts with */
        return strip + ((i * p->kernel[0] + k) * d->strip_rows - top) * job->pitch + column % p->stride[2] * d->pitch +
               column / p->stride[2];
    }
    const float *image = job->operands->x + at->n * job->x.n + z * p->in[1] * p->in[2] * job->x.pixel;
    if (d->kind == DEPTHWISE_ROWS)
        return image + (at->group * p->x_group + i) * job->x.c + o * p->dilation[2] - p->pad[2];
    const int64_t y = at->y * p->stride[1] - p->pad[1] + o * p->dilation[1];
    return inside(y, p->in[1]) ? image + i * d->vec + y * p->in[2] * job->x.pixel : NULL;
}

/* Columns from `position` on, `stride` apart, and which of them are inside of [0, size). */
static void clip(struct depthwise_line *line, const float *base, int64_t pitch, int64_t position, int64_t stride, int64_t size,
                 int64_t count)
{
    line->x = NULL;
    line->begin = line->end = 0;
    if (!base || position >= size)
        return;
    const int64_t left = size - position;
    line->x = base + position * pitch;
    line->begin = position >= 0 ? 0 : (int32_t)smaller(stride == 1 ? -position : divide_up(-position, stride), count);
    line->end = (int32_t)smaller(stride == 1 ? left : divide_up(left, stride), count);
}

/* The lines of a tile: of all windows, then of all single taps. */
static void point(const struct job *job, const struct thread_space *space, const struct place *at)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t stride = p->stride[d->slide], dilation = p->dilation[d->slide], size = p->in[d->slide];
    const int64_t begin = (d->along ? 0 : at->first * stride) - p->pad[d->slide];
    const int64_t columns = (d->tile - 1) * d->stride + d->width;
    const int64_t channels = d->kind == DEPTHWISE_ROWS ? p->x_group : d->parts, others = p->kernel[d->slide == 2 ? 1 : 2];
    struct depthwise_line *line = space->lines;
    for (int single = 0; single <= (d->rest > 0); single++)
        for (int64_t i = 0; i < channels; i++)
            for (int64_t k = 0; k < p->kernel[0]; k++)
                for (int64_t o = 0; o < others; o++) {
                    const float *base = line_of(job, space->strip, at, i, k, o);
                    const int64_t count = single ? d->rest : d->windows, first = single ? d->windows * d->width : 0;
                    for (int64_t w = 0; w < count; w++, line++) {
                        const int64_t position = begin + (first + w * (single ? 1 : d->width)) * dilation;
                        if (d->along) { /* a block for each column, all of the same row */
                            const bool there = base && inside(position, size);
                            line->x = there ? base + position * job->pitch : NULL;
                            line->begin = 0;
                            line->end = there ? (int32_t)smaller(d->tile, d->blocks) : 0;
                        } else {
                            const bool window = d->width > 1 && !single;
                            clip(line, base, job->pitch, position, window ? 1 : stride, size, window ? columns : d->tile);
                        }
                    }
                }
}

/* Which lanes of all lines may be read. */
static void set_lanes(const struct depthwise *d, struct depthwise_line *lines, const struct lanes *lanes, int64_t end)
{
    for (int64_t i = 0; i < d->lines + d->taps; i++) {
        lines[i].lane_begin = lanes ? lanes[i].begin : 0;
        lines[i].lane_end = lanes ? lanes[i].end : (int32_t)end;
    }
}

/* ------------------------------------------------------------------------------------------------------------ channels last */

/* Units [unit, unit + units), which are alike. */
static void run_units(const struct job *job, const struct thread_space *space, const struct place *at, int64_t unit, int64_t units)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const struct unit channels = unit_of(p, d, unit);
    const int64_t taps = d->lines * d->width + d->taps;
    const ptrdiff_t to = at->n * job->y.n + ((at->z * p->out[1] + at->y) * p->out[2] + at->first) * job->y.pixel + channels.y;
    const float *packed = job->operands->packed;
    set_lanes(d, space->lines, NULL, channels.inputs);
    const struct depthwise_args args = {
        .x = space->lines,
        .offset = channels.x,
        .step = job->pitch,
        .tap_step = job->pitch * p->stride[2],
        .w = packed + d->depth * d->vec * (1 + unit * taps),
        .index = (const int32_t *)(const void *)packed,
        .lines = d->lines,
        .taps = d->taps,
        .depth = d->depth,
        .c = job->operands->y + to,
        .residual = job->operands->residual ? job->operands->residual + to : NULL,
        .c_step = job->y.pixel,
        .bias = job->operands->bias ? job->operands->bias + channels.y : NULL,
        .columns = channels.outputs,
        .rows = (int)smaller(d->tile, p->out[2] - at->first),
        .units = units,
        .unit_offset = d->unit_groups * p->x_group,
        .unit_w = d->depth * d->vec * taps,
        .unit_bias = d->unit_groups ? d->unit_groups * p->y_group : d->vec,
        .unit_c = d->unit_groups ? d->unit_groups * p->y_group : d->vec,
        .epilogue = job->epilogue,
    };
    job->kernel(&args);
}

/* How many units from `unit` on one call of the kernel can do: those of one group, or all but a narrower last one. */
static int64_t alike(const struct problem *p, const struct depthwise *d, int64_t unit, int64_t end)
{
    const int64_t in_row = d->unit_groups ? d->units : d->units_per_group;
    const bool last = d->unit_groups ? p->groups % d->unit_groups != 0 : p->y_group % d->vec != 0;
    const int64_t left = in_row - unit % in_row;
    return smaller(end - unit, left > 1 && last ? left - 1 : left);
}

static void run_channels_last(const struct job *job, const struct thread_space *space, int64_t tile, int64_t last, int64_t begin,
                              int64_t end)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t row = tile / d->row_tiles, plane = row / p->out[1];
    struct place at = {plane / p->out[0], plane % p->out[0], row % p->out[1], tile % d->row_tiles * d->tile, 0};
    for (; tile < last; tile++) {
        point(job, space, &at);
        for (int64_t unit = begin; unit < end;) {
            const int64_t units = alike(p, d, unit, end);
            run_units(job, space, &at, unit, units);
            unit += units;
        }
        at.first += d->tile;
        if (at.first < p->out[2])
            continue;
        at.first = 0;
        if (++at.y < p->out[1])
            continue;
        at.y = 0;
        if (++at.z < p->out[0])
            continue;
        at.z = 0;
        at.n++;
    }
}

/* ----------------------------------------------------------------------------------------------------------- channels first */

/* One row into a strip: dst[phase][e] = src[from + e * stride + phase], e < pitch, zeros outside of the row. */
static void copy_row(const struct job *job, const float *src, int64_t from, float *dst)
{
    const int64_t stride = job->p->stride[2], size = job->p->in[2], pitch = job->d->pitch;
    const int64_t head = from >= 0 ? 0 : smaller(divide_up(-from, stride), pitch);
    const int64_t first = from + head * stride;
    const int64_t seen = first < 0 || first >= size ? 0 : smaller(size - first, (pitch - head) * stride);
    for (int64_t phase = 0; phase < stride; phase++) {
        float *row = dst + phase * pitch;
        memset(row, 0, (size_t)head * sizeof(float));
        memset(row + head + seen / stride, 0, (size_t)(pitch - head - seen / stride) * sizeof(float));
        if (head > 0 && inside(first - stride + phase, size))
            row[head - 1] = src[first - stride + phase];
    }
    job->deinterleave(src + first, seen, stride, dst + head, pitch);
}

/* All that the tile sees of its group. */
static void fill_strip(const struct job *job, const struct place *at, float *strip)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t top = (d->along ? 0 : at->first) * p->stride[1] - p->pad[1];
    const int64_t from = (d->along ? at->first * d->vec * p->stride[2] : 0) - p->pad[2], row = p->stride[2] * d->pitch;
    for (int64_t i = 0; i < p->x_group; i++)
        for (int64_t k = 0; k < p->kernel[0]; k++, strip += d->strip_rows * row) {
            const int64_t z = at->z * p->stride[0] - p->pad[0] + k * p->dilation[0];
            if (!inside(z, p->in[0]))
                continue;
            const float *plane = job->operands->x + at->n * job->x.n + (at->group * p->x_group + i) * job->x.c +
                                 z * p->in[1] * p->in[2];
            for (int64_t y = 0; y < d->strip_rows; y++) {
                if (inside(top + y, p->in[1]))
                    copy_row(job, plane + (top + y) * p->in[2], from, strip + y * row);
            }
        }
}

/* Lanes of each block of a row that lie inside of the image, for each kernel column. */
static void find_lanes(const struct problem *p, const struct depthwise *d, struct lanes *lanes)
{
    for (int64_t block = 0; block < d->blocks; block++)
        for (int single = 0; single <= (d->rest > 0); single++)
            for (int64_t line = 0; line < p->x_group * p->kernel[0]; line++)
                for (int64_t q = 0; q < p->kernel[2]; q++) {
                    const int64_t from = block * d->vec + q * p->dilation[2] - p->pad[2];
                    const int64_t end = from >= p->in[2] ? 0 : smaller(d->vec, p->in[2] - from);
                    const int64_t begin = from >= 0 ? 0 : smaller(-from, end);
                    for (int64_t i = 0; i < (single ? d->rest : d->windows); i++)
                        *lanes++ = (struct lanes){(int32_t)begin, (int32_t)end};
                }
}

/* Whether no lane of a block is outside of the image. */
static bool whole_block(const struct problem *p, const struct depthwise *d, int64_t block)
{
    const int64_t from = block * d->vec - p->pad[2];
    return d->strip || (from >= 0 && from + (p->kernel[2] - 1) * p->dilation[2] + d->vec <= p->in[2]);
}

static void run_plane_tile(const struct job *job, const struct thread_space *space, const struct place *at)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    if (d->strip)
        fill_strip(job, at, space->strip);
    point(job, space, at);
    set_lanes(d, space->lines, NULL, d->vec);
    struct depthwise_args args = {
        .x = space->lines,
        .step = job->pitch,
        .tap_step = d->along ? d->vec : job->pitch * p->stride[1],
        .w = (const float *)job->operands->packed + at->group * p->y_group * p->x_group * p->taps,
        .lines = d->lines,
        .taps = d->taps,
        .units = 1,
        .unit_offset = d->vec,
        .unit_c = d->vec,
        .epilogue = job->epilogue,
    };
    for (int64_t o = at->group * p->y_group; o < (at->group + 1) * p->y_group; o++, args.w += p->x_group * p->taps) {
        const ptrdiff_t plane = at->n * job->y.n + o * job->y.c + at->z * p->out[1] * p->out[2];
        args.bias = job->operands->bias ? job->operands->bias + o : NULL;
        if (d->along) {
            const ptrdiff_t to = plane + at->first * d->vec;
            const int64_t left = p->out[2] - at->first * d->vec;
            args.c = job->operands->y + to;
            args.residual = job->operands->residual ? job->operands->residual + to : NULL;
            args.c_step = d->vec;
            args.columns = smaller(left, d->vec);
            args.rows = (int)larger(1, smaller(d->tile, left / d->vec));
            job->kernel(&args);
            continue;
        }
        args.c_step = p->out[2];
        args.rows = (int)smaller(d->tile, p->out[1] - at->first);
        for (int64_t block = 0; block < d->blocks; block += args.units) {
            const ptrdiff_t to = plane + at->first * p->out[2] + block * d->vec;
            args.offset = block * d->vec;
            args.units = 1;
            if (!d->strip)
                set_lanes(d, space->lines, space->lanes + block * (d->lines + d->taps), 0);
            if (whole_block(p, d, block)) {
                while (whole_block(p, d, block + args.units) && (block + args.units + 1) * d->vec <= p->out[2])
                    args.units++;
            }
            args.c = job->operands->y + to;
            args.residual = job->operands->residual ? job->operands->residual + to : NULL;
            args.columns = smaller(d->vec, p->out[2] - block * d->vec);
            job->kernel(&args);
        }
    }
}

static void run_channels_first(const struct job *job, const struct thread_space *space, int64_t tile, int64_t last, int64_t begin,
                               int64_t end)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    for (int64_t unit = begin; unit < end; unit++)
        for (int64_t t = tile; t < last; t++) {
            struct place at = {.n = unit / p->groups, .group = unit % p->groups, .z = t / d->row_tiles};
            at.first = t % d->row_tiles * d->tile;
            if (d->along) /* whole blocks, then the rest of the row */
                at.first = smaller(at.first, p->out[2] / d->vec);
            run_plane_tile(job, space, &at);
        }
}

/* ------------------------------------------------------------------------------------------------------------------- threads */

static void run_member(void *context, int member, int members)
{
    const struct job *job = context;
    const struct depthwise *d = job->d;
    char *memory = (char *)job->operands->workspace + d->per_thread * (size_t)member;
    const struct thread_space space = {
        .lines = (struct depthwise_line *)(void *)memory,
        .lanes = (struct lanes *)(void *)(memory + d->table),
        .strip = (float *)(void *)(memory + d->table + d->lanes),
    };
    if (d->lanes)
        find_lanes(job->p, d, space.lanes);
    for (int64_t piece = member; piece < d->tile_ranges * d->unit_ranges; piece += members) {
        int64_t tile, last, begin, end;
        falt_share(d->tiles, (int)(piece % d->tile_ranges), (int)d->tile_ranges, &tile, &last);
        falt_share(d->units, (int)(piece / d->tile_ranges), (int)d->unit_ranges, &begin, &end);
        (d->kind == DEPTHWISE_ROWS ? run_channels_first : run_channels_last)(job, &space, tile, last, begin, end);
    }
}

static void run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                const struct operands *operands, int threads)
{
    const struct depthwise *d = (const struct depthwise *)(const void *)c->state;
    struct job job = {
        .p = p,
        .d = d,
        .operands = operands,
        .kernel = kernels->depthwise[d->kind][d->width / 2][d->stride - 1][d->height],
        .deinterleave = kernels->deinterleave,
        .epilogue = falt_epilogue(p),
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
        .y = falt_tensor_strides(p, p->y_channels, p->out_pixels),
    };
    job.pitch = d->strip ? p->stride[2] * d->pitch : d->slide == 2 ? job.x.pixel : p->in[2];
    falt_parallel(threads, run_member, &job);
}

const struct solver falt_solver_depthwise = {"depthwise", FALT_ALGO_DEPTHWISE, consider, pack, run};
