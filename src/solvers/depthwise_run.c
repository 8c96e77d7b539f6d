/* depthwise_run.c - runs what depthwise.c has planned: shares out the grid, and runs tiles where x lies. */
#include "../parallel.h"
#include "depthwise_run.h"

/* ----------------------------------------------------------------------------------------------------------- a tile's lines */

/* The column that output `first` sees through position `tap` of the kernel; on a circle, counted around it. */
static int64_t position_of(const struct problem *p, const struct depthwise *d, int64_t first, int64_t tap)
{
    const int64_t position = first * p->stride[d->slide] - p->pad[d->slide] + tap * p->dilation[d->slide];
    const bool outside = position < 0 || position >= p->in[d->slide];
    return p->circular && outside ? remainder_of(position, p->in[d->slide]) : position;
}

/* Kernel line (i, k, o): i a part or an input channel, k the position in kernel depth, o in the dimension that is left. Its
 * vector at position 0 of the sliding dimension, or NULL if it is outside of the image. */
static const float *line_of(const struct job *job, const struct place *at, int64_t i, int64_t k, int64_t o)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t z = falt_pixel(p, 0, at->z * p->stride[0] - p->pad[0] + k * p->dilation[0]);
    if (z < 0)
        return NULL;
    const float *image = job->operands->x + at->n * job->x.n + z * p->in[1] * p->in[2] * job->x.pixel;
    if (d->kind == DEPTHWISE_ROWS)
        return image + (at->group * p->x_group + i) * job->x.c + o * p->dilation[2] - p->pad[2];
    const int64_t y = falt_pixel(p, 1, at->y * p->stride[1] - p->pad[1] + o * p->dilation[1]);
    return y >= 0 ? image + i * d->vec + y * job->row : NULL;
}

/* Which columns of each window and single tap of a kernel line lie inside of the image, where the first one would be, in floats
 * from position 0, and of a circle where each is behind that, in bytes. They are the same for all tiles with the same first
 * output along the sliding dimension. */
static void cut(const struct job *job, const struct thread_space *space, int64_t first)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t size = p->in[d->slide];
    for (int64_t i = 0; i < d->windows + d->rest; i++) {
        const int64_t position = position_of(p, d, first, tap_at(d, i)), count = columns_of(d, i);
        const int64_t stride = column_step(p, d, i);
        struct columns *columns = &space->columns[i];
        columns->offset = position * job->pitch;
        const bool inside = position >= 0 && position + (count - 1) * stride < size; /* most are, and divisions take long */
        columns->begin = position >= 0 ? 0 : (int32_t)smaller(divide_up(-position, stride), count);
        columns->end = inside             ? (int32_t)count
                       : position >= size ? columns->begin
                                          : (int32_t)smaller(divide_up(size - position, stride), count);
        if (!columns->around || (inside && columns->inside))
            continue;
        columns->inside = inside;
        for (int64_t j = 0, there = position; j < count; j++, there += stride) {
            there = there < size ? there : there % size;
            columns->around[j] = (there - position) * job->pitch * (ptrdiff_t)sizeof(float);
        }
    }
}

/* The lines of a tile that `cut` knows: of all windows, then of all single taps. `down` output rows at once see one more line
 * each. */
static void aim(const struct job *job, const struct thread_space *space, const struct place *at, int64_t down)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t channels = d->kind == DEPTHWISE_ROWS ? p->x_group : d->parts,
                  others = p->kernel[d->slide == 2 ? 1 : 2] + down - 1;
    struct depthwise_line *line = space->lines;
    for (int single = 0; single <= (d->rest > 0); single++) {
        const struct range range = windows_or_taps(d, single);
        for (int64_t i = 0; i < channels; i++)
            for (int64_t k = 0; k < p->kernel[0]; k++)
                for (int64_t o = 0; o < others; o++) {
                    const float *base = line_of(job, at, i, k, o);
                    for (int64_t w = range.begin; w < range.end; w++, line++) {
                        const struct columns *columns = &space->columns[w];
                        line->x = base ? base + columns->offset : NULL;
                        line->around = columns->around;
                        line->begin = columns->begin;
                        line->end = base ? columns->end : columns->begin;
                    }
                }
    }
}

/* ------------------------------------------------------------------------------------------------------------ channels last */

/* All units of `repeats` tiles below each other, or with direction -1 above, of `down` output rows at once. args: what all of
 * the tiles have in common. */
static void run_tiles(const struct job *job, const struct thread_space *space, struct depthwise_args *args,
                      const struct place *at, int64_t down, int64_t repeats, int64_t direction, int64_t begin, int64_t end)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const ptrdiff_t to = output_at(p, at);
    const float *packed = (const float *)job->operands->packed + index_size(d);
    aim(job, space, at, down);
    args->down = down;
    args->repeats = repeats;
    args->repeat_offset = direction * down * p->stride[1] * job->row;
    args->repeat_c = direction * down * p->y.pixel[1];
    for (int64_t unit = begin; unit < end;) {
        const struct unit channels = unit_of(p, d, unit);
        /* those that are alike: of one group, or all but a narrower last one */
        const int64_t next = !d->unit_groups ? smaller(end, (unit / d->units_per_group + 1) * d->units_per_group) : end;
        const int64_t whole = d->unit_groups ? d->whole_units : next - (p->y_group % d->vec != 0);
        args->units = unit < whole ? smaller(next, whole) - unit : next - unit;
        const int64_t lanes = d->kind == DEPTHWISE_SPREAD ? d->vec : channels.inputs;
        if (space->lines[0].lane_end != lanes)
            set_lanes(d, space->lines, NULL, lanes);
        args->offset = channels.x;
        args->w = packed + unit * args->unit_w;
        args->c = job->operands->y + to + channels.y;
        args->residual = job->operands->residual ? job->operands->residual + to + channels.y : NULL;
        args->bias = job->operands->bias ? job->operands->bias + channels.y : NULL;
        args->columns = channels.outputs;
        args->skip = channels.skip;
        (down > 1 || d->rolls ? job->block : job->kernel)(args);
        unit += args->units;
    }
}

/* Lines [line, last) of all planes: rows of the output, or columns of tiles. Tiles run down the image first: the rows that
 * neighbours share stay in the cache, and so do the columns' bounds; above another thread's rows up. */
static void run_channels_last(const struct job *job, const struct thread_space *space, int64_t line, int64_t last,
                              int64_t begin, int64_t end)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    const int64_t unit_y = d->unit_groups ? d->unit_groups * p->y_group : d->vec;
    struct depthwise_args args = {
        .x = space->lines,
        .step = job->pitch * column_step(p, d, 0),
        .tap_step = job->pitch * p->stride[2] * d->hop,
        .index = (const int32_t *)job->operands->packed,
        .lines = d->lines,
        .taps = d->taps,
        .depth = d->depth,
        .c_step = p->y.pixel[2] * d->hop,
        .lane_c = 1,
        .unit_offset = d->unit_groups * p->x_group,
        .unit_w = unit_size(d),
        .unit_bias = unit_y,
        .unit_c = unit_y,
        .down_c = p->y.pixel[1],
        .across = d->across,
        .asks = d->asks,
        .stream = job->stream,
        .epilogue = job->epilogue,
    };
    const struct range inside = rows_inside(p);
    set_lanes(d, space->lines, NULL, 0);
    const bool rows = d->by_rows;
    const int64_t lines = rows ? p->out[1] : d->row_tiles;
    for (int64_t next; line < last; line = next) {
        const int64_t plane = line / lines, from = line % lines, to = smaller(lines, from + last - line);
        next = line + to - from;
        const int64_t bottom = rows ? to : p->out[1];
        const bool seam_above = rows && from > 0, seam_below = rows && to < lines;
        struct place at = {.n = plane / p->out[0], .z = plane % p->out[0]};
        for (int64_t tile = rows ? 0 : from; tile < (rows ? d->row_tiles : to); tile++) {
            at.first = first_of(d, tile);
            cut(job, space, at.first);
            args.rows = (int)smaller(d->tile, divide_up(p->out[2] - at.first, d->hop));
            for (int64_t down, tiles, y = rows ? from : 0; y < bottom; y += tiles * down) {
                down = d->rolls ? smaller(bottom - y, d->down) : bottom - y < d->down ? 1 : d->down;
                /* tiles that are inside of the image differ by an offset only */
                const bool alike = y >= inside.begin && y + down <= inside.end;
                tiles = alike && !d->rolls ? smaller(d->repeats, (smaller(inside.end, bottom) - y) / down) : 1;
                /* Prefetchers go on beyond the last: they are to find this thread's rows there, not another's. */
                const int64_t upwards = !seam_below ? 0 : seam_above ? tiles / 2 : tiles;
                at.y = y;
                if (tiles > upwards)
                    run_tiles(job, space, &args, &at, down, tiles - upwards, 1, begin, end);
                at.y = y + (tiles - 1) * down;
                if (upwards > 0)
                    run_tiles(job, space, &args, &at, down, upwards, -1, begin, end);
            }
        }
    }
}

/* --------------------------------------------------------------------------------------------------------------------- rows */

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
                    for (int64_t i = length(windows_or_taps(d, single)); i > 0; i--)
                        *lanes++ = (struct lanes){(int32_t)begin, (int32_t)end};
                }
}

/* Whether no lane of a block is outside of the image. */
static bool whole_block(const struct problem *p, const struct depthwise *d, int64_t block)
{
    const int64_t from = block * d->vec - p->pad[2];
    return from >= 0 && from + (p->kernel[2] - 1) * p->dilation[2] + d->vec <= p->in[2];
}

/* args: what all tiles have in common, and how many below each other. */
static void run_rows_tiles(const struct job *job, const struct thread_space *space, struct depthwise_args *args,
                           const struct place *at)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    cut(job, space, at->first);
    aim(job, space, at, 1);
    args->w = (const float *)job->operands->packed + at->group * p->y_group * p->x_group * p->taps;
    args->rows = (int)smaller(d->tile, p->out[1] - at->first);
    for (int64_t o = at->group * p->y_group; o < (at->group + 1) * p->y_group; o++, args->w += p->x_group * p->taps) {
        const ptrdiff_t plane = p->y.base + at->n * p->y.n + o * p->y.c + at->z * p->y.pixel[0];
        args->bias = job->operands->bias ? job->operands->bias + o : NULL;
        for (int64_t block = 0; block < d->blocks; block += args->units) {
            const ptrdiff_t to = plane + at->first * p->y.pixel[1] + block * d->vec * p->y.pixel[2];
            args->offset = block * d->vec;
            args->units = 1;
            set_lanes(d, space->lines, space->lanes + block * (d->lines + d->taps), 0);
            int64_t most = d->blocks;
            if (d->mixed) { /* up to the last set of weights */
                most = d->sets > 1 ? d->sets - block % d->sets : most;
                args->w = (const float *)job->operands->packed + block % d->sets * p->taps * d->vec;
                args->bias = job->operands->bias ? space->bias + block % d->sets * d->vec : NULL;
            }
            if (whole_block(p, d, block)) {
                while (args->units < most && whole_block(p, d, block + args->units) &&
                       (block + args->units + 1) * d->vec <= p->out[2])
                    args->units++;
            }
            args->c = job->operands->y + to;
            args->residual = job->operands->residual ? job->operands->residual + to : NULL;
            args->columns = smaller(d->vec, p->out[2] - block * d->vec);
            job->kernel(args);
        }
    }
}

static void run_rows(const struct job *job, const struct thread_space *space, int64_t tile, int64_t last, int64_t begin,
                     int64_t end)
{
    const struct problem *p = job->p;
    const struct depthwise *d = job->d;
    struct depthwise_args args = {
        .x = space->lines,
        .step = job->pitch * column_step(p, d, 0),
        .tap_step = job->pitch * p->stride[1],
        .lines = d->lines,
        .taps = d->taps,
        .c_step = p->y.pixel[1],
        .lane_c = p->y.pixel[2],
        .unit_offset = d->vec,
        .unit_w = d->sets > 1 ? p->taps * d->vec : 0,
        .unit_bias = d->sets > 1 ? d->vec : 0,
        .unit_c = d->vec * p->y.pixel[2],
        .repeat_offset = d->tile * p->stride[1] * p->in[2],
        .repeat_c = d->tile * p->y.pixel[1],
        .across = d->across,
        .stream = job->stream,
        .lane_around = p->circular ? p->in[2] : 0,
        .epilogue = job->epilogue,
    };
    const struct range inside = tiles_inside(p, d);
    for (int64_t unit = begin; unit < end; unit++)
        for (int64_t t = tile; t < last; t += args.repeats) {
            const int64_t z = t / d->row_tiles, row = t % d->row_tiles;
            const struct place at = {.n = unit / p->groups, .group = unit % p->groups, .z = z, .first = row * d->tile};
            args.repeats =
                row < inside.begin || row >= inside.end ? 1 : smaller(d->repeats, smaller(inside.end - row, last - t));
            run_rows_tiles(job, space, &args, &at);
        }
}

/* ------------------------------------------------------------------------------------------------------------------ threads */

/* Units that write to the same place are one thread's. */
static void share_units(const struct depthwise *d, int64_t range, int64_t *begin, int64_t *end)
{
    const int64_t apart = d->units - d->overlaps;
    falt_share(apart, (int)range, (int)d->unit_ranges, begin, end);
    if (*begin < *end && *end == apart)
        *end = d->units;
}

static void run_member(const struct job *job, int member, int members)
{
    const struct depthwise *d = job->d;
    char *memory = (char *)job->operands->workspace + d->per_thread * (size_t)member;
    struct thread_space space;
    space.lines = (struct depthwise_line *)(void *)memory;
    space.columns = (struct columns *)(void *)(memory += d->table);
    ptrdiff_t *around = (ptrdiff_t *)(void *)(memory += d->columns);
    space.lanes = (struct lanes *)(void *)(memory += d->around);
    space.bias = (float *)(void *)(memory += d->lanes);
    space.strip = (float *)(void *)(memory += d->biases);
    space.result = (float *)(void *)(memory += d->strip_bytes);
    space.scattered = (float *)(void *)(memory + d->result);
    for (int64_t i = 0; d->mixed && job->operands->bias && i < d->sets * d->vec; i++)
        space.bias[i] = job->operands->bias[i % d->mixed];
    for (int64_t i = 0; i < d->windows + d->rest; i++) {
        space.columns[i] = (struct columns){.around = d->around ? around : NULL};
        around += d->around ? columns_of(d, i) : 0;
    }
    if (d->lanes)
        find_lanes(job->p, d, space.lanes);
    for (int64_t piece = member; piece < d->tile_ranges * d->unit_ranges; piece += members) {
        int64_t tile, last, begin, end;
        falt_share(d->tiles, (int)(piece % d->tile_ranges), (int)d->tile_ranges, &tile, &last);
        share_units(d, piece / d->tile_ranges, &begin, &end);
        (d->kind == DEPTHWISE_ROWS ? run_rows
         : d->strip                ? falt_depthwise_run_strips
                                   : run_channels_last)(job, &space, tile, last, begin, end);
    }
    if (job->stream)
        job->kernels->fence();
}

/* Where the output outgrows the caches and is written in vectors that are cache lines, the last one, too, which may reach back.
 * Not out of strips: one line of each of many planes at a time took 1.25 times as long. */
static bool can_stream(const struct problem *p, const struct depthwise *d, const float *y)
{
    const int64_t unit = d->kind == DEPTHWISE_ROWS ? p->y.c : d->unit_groups ? d->unit_groups * p->y_group : p->y_group;
    const int64_t along = d->kind == DEPTHWISE_ROWS ? p->y.pixel[0] | p->y.pixel[1]
                                                    : p->y.pixel[0] | p->y.pixel[1] | p->y.pixel[2] | p->y_channels;
    return d->stream && (d->kind != DEPTHWISE_ROWS || p->y.pixel[2] == 1) &&
           falt_in_lines(y, p->y.base | p->y.n | along | unit);
}

void falt_depthwise_run(const struct problem *problem, const struct candidate *c, const struct kernels *kernels,
                        const struct operands *operands, int member, int members)
{
    const struct depthwise *d = (const struct depthwise *)(const void *)c->state;
    struct problem seen;
    const struct problem *p = problem;
    if (d->mixed || d->turned) {
        seen = falt_depthwise_seen(d, problem);
        p = &seen;
    }
    const struct job job = {
        .p = p,
        .d = d,
        .operands = operands,
        .kernel = d->pairs ? kernels->depthwise_pairs[d->width][d->stride - 1]
                           : kernels->depthwise[d->mixed ? DEPTHWISE_CHANNELS : d->kind][d->width][d->stride - 1][d->height],
        .block = d->rolls ? kernels->depthwise_rolling : kernels->depthwise_block,
        .kernels = kernels,
        .epilogue = falt_epilogue(p),
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
        .pitch = slide_step(p, d),
        .row = other_step(p, d),
        .stream = can_stream(p, d, operands->y),
    };
    run_member(&job, member, members);
}
