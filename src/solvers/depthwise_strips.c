/*
 * depthwise_strips.c - runs the depthwise solver block by block: what a block's outputs see is copied into the thread's
 * scratch, with its padding, and channels first the outputs are transposed from there.
 */
#include <string.h>

#include "../strip.h"
#include "depthwise_run.h"

/* What a strip serves: so many rows of so many outputs. */
struct block {
    struct place at; /* the first one */
    int64_t rows, outputs;
};

/* What a block sees of a unit's channels, with its zeros. Lanes of no channel are left as they are: no output uses them. */
static void fill_block(const struct job *job, const struct place *at, const struct unit *channels, float *strip)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t top = at->y * p->stride[1] - p->pad[1], left = at->first * p->stride[2] - p->pad[2];
    const int64_t pixel = d->together * d->vec;
    for (int64_t part = 0; part < d->parts; part++)
        for (int64_t k = 0; k < p->kernel[0]; k++) {
            const int64_t z = falt_pixel(p, 0, at->z * p->stride[0] - p->pad[0] + k * p->dilation[0]);
            const float *image = job->operands->x + at->n * job->x.n + (channels->x + part * d->vec) * job->x.c;
            for (int64_t i = 0; i < d->strip_rows; i++, strip += d->strip_pitch * pixel) {
                if (p->circular && i >= p->in[1]) { /* the same as once around before it, without transposing it again */
                    const int64_t once = p->in[1] * d->strip_pitch * pixel;
                    memcpy(strip, strip - once, (size_t)(d->strip_pitch * pixel) * sizeof(float));
                    continue;
                }
                const int64_t y = falt_pixel(p, 1, top + i);
                const float *row = z >= 0 && y >= 0 ? image + (z * p->in[1] + y) * p->in[2] * job->x.pixel : NULL;
                falt_gather_row(job->kernels, row, p->in[2], job->x, channels->inputs, p->circular, left, d->strip_pitch, strip,
                                pixel);
            }
        }
}

/* The lines of a strip's first tile; those of all others are the same at an offset. */
static void point_block(const struct job *job, const struct thread_space *space, int64_t down)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t others = p->kernel[1] + down - 1, pixel = d->together * d->vec;
    struct depthwise_line *line = space->lines;
    for (int single = 0; single <= (d->rest > 0); single++) {
        const struct range range = windows_or_taps(d, single);
        for (int64_t plane = 0; plane < d->parts * p->kernel[0]; plane++)
            for (int64_t o = 0; o < others; o++)
                for (int64_t i = range.begin; i < range.end; i++, line++) {
                    const int64_t row = plane * d->strip_rows + o * p->dilation[1], column = tap_at(d, i) * p->dilation[2];
                    line->x = space->strip + (row * d->strip_pitch + column) * pixel;
                    line->around = NULL; /* the strip has them all */
                    line->begin = 0;
                    line->end = (int32_t)columns_of(d, i);
                }
    }
    set_lanes(d, space->lines, NULL, d->vec);
}

/* Pixels of a row of y, which are a phase's where they are no neighbours, to and from [pixel][vec], through [channel][pixel].
 */
static void move_row(const struct job *job, const struct unit *channels, int64_t pixels, const float *from, float *result,
                     float *scattered, float *to)
{
    const struct output_view *y = &job->p->y;
    const int64_t vec = job->d->vec, step = y->pixel[2];
    if (step == 1 && from)
        job->kernels->transpose(from, y->c, channels->outputs, pixels, result, vec);
    else if (step == 1)
        job->kernels->transpose(result, vec, pixels, channels->outputs, to, y->c);
    else if (from) {
        for (int64_t n = 0; n < channels->outputs; n++)
            for (int64_t i = 0; i < pixels; i++)
                scattered[n * pixels + i] = from[n * y->c + i * step];
        job->kernels->transpose(scattered, pixels, channels->outputs, pixels, result, vec);
    } else {
        job->kernels->transpose(result, vec, pixels, channels->outputs, scattered, pixels);
        for (int64_t n = 0; n < channels->outputs; n++)
            for (int64_t i = 0; i < pixels; i++)
                to[n * y->c + i * step] = scattered[n * pixels + i];
    }
}

/* The block's outputs between the tensors' layout and [pixel][vec]; whole rows, if they are neighbours, are one long one. */
static void move_block(const struct job *job, const struct block *block, const struct unit *channels, const float *from,
                       const struct thread_space *space, float *to)
{
    const struct problem *p = job->p;
    const int64_t vec = job->d->vec, width = block->outputs;
    const bool whole = width == p->out[2] && p->y.pixel[2] == 1 && p->y.pixel[1] == width;
    const int64_t rows = whole ? 1 : block->rows, pixels = whole ? block->rows * width : width;
    float *result = space->result;
    ptrdiff_t offset = output_at(p, &block->at) + channels->y * p->y.c;
    for (int64_t row = 0; row < rows; row++, offset += p->y.pixel[1], result += width * vec)
        move_row(job, channels, pixels, from ? from + offset : NULL, result, space->scattered, to ? to + offset : NULL);
}

/* A block out of its strip. args: all that its tiles have in common, and where the first output is. */
static void run_block(const struct job *job, const struct thread_space *space, const struct block *block,
                      struct depthwise_args *args)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t line = p->stride[1] * d->strip_pitch * d->together * d->vec;
    const ptrdiff_t row_c = args->down_c;
    float *const c = args->c;
    const float *const residual = args->residual;
    for (int64_t down, y = 0; y < block->rows; y += args->repeats * down) {
        down = block->rows - y < d->down ? 1 : d->down;
        point_block(job, space, down);
        args->repeats = (block->rows - y) / down;
        args->repeat_offset = down * line;
        args->repeat_c = down * row_c;
        for (int64_t x = 0; x < block->outputs; x += d->tile) {
            const ptrdiff_t to = y * row_c + x * args->c_step;
            args->rows = (int)smaller(d->tile, block->outputs - x);
            args->offset = y * line + x * args->tap_step;
            args->c = c + to;
            args->residual = residual ? residual + to : NULL;
            (down > 1 ? job->block : job->kernel)(args);
        }
    }
}

/* Units [unit, next) of a block, which share its strip. */
static void run_units(const struct job *job, const struct thread_space *space, const struct block *block, int64_t unit,
                      int64_t next)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const struct operands *o = job->operands;
    const struct unit channels = unit_of(p, d, unit);
    const ptrdiff_t to = output_at(p, &block->at) + channels.y * p->y.c;
    const float *packed = o->packed;
    struct depthwise_args args = {
        .x = space->lines,
        .w = packed + index_size(d) + unit * unit_size(d),
        .bias = o->bias ? o->bias + channels.y : NULL,
        .columns = channels.outputs,
        .units = next - unit,
        .step = d->together * d->vec * column_step(p, d, 0),
        .tap_step = d->together * d->vec * p->stride[2],
        .index = (const int32_t *)(const void *)packed,
        .lines = d->lines,
        .taps = d->taps,
        .depth = d->depth,
        .unit_offset = d->vec,
        .unit_w = unit_size(d),
        .unit_bias = d->vec,
        .unit_c = d->vec,
        .lane_c = 1,
        .stream = job->stream,
        .epilogue = job->epilogue,
    };
    if (d->result) {
        if (o->residual)
            move_block(job, block, &channels, o->residual, space, NULL);
        args.c = space->result;
        args.residual = o->residual ? space->result : NULL;
        args.c_step = d->vec;
        args.down_c = block->outputs * d->vec;
    } else {
        args.c = o->y + to;
        args.residual = o->residual ? o->residual + to : NULL;
        args.c_step = p->y.pixel[2];
        args.down_c = p->y.pixel[1];
    }
    run_block(job, space, block, &args);
    if (d->result)
        move_block(job, block, &channels, NULL, space, o->y);
}

void falt_depthwise_run_strips(const struct job *job, const struct thread_space *space, int64_t index, int64_t last,
                               int64_t begin, int64_t end)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t columns = d->block_tiles * d->tile;
    for (; index < last; index++) {
        const int64_t row = index / d->column_blocks, plane = row / d->row_blocks;
        const struct place at = {plane / p->out[0], plane % p->out[0], row % d->row_blocks * d->block_rows,
                                 index % d->column_blocks * columns, 0};
        const struct block block = {at, smaller(d->block_rows, p->out[1] - at.y), smaller(columns, p->out[2] - at.first)};
        for (int64_t next, unit = begin; unit < end; unit = next) {
            next = smaller(end, unit + d->together);
            struct unit channels = unit_of(p, d, unit);
            if (d->together > 1) {
                const struct unit to = unit_of(p, d, next - 1);
                channels.inputs = to.x + to.inputs - channels.x;
            }
            if (d->unit_groups || unit == begin || unit % d->units_per_group == 0)
                fill_block(job, &at, &channels, space->strip);
            run_units(job, space, &block, unit, next);
        }
    }
}
