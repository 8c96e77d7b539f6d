/* direct_weights_run.c - runs what direct_weights.c has planned: a member's items, chunk by chunk. */
#include <string.h>

#include "../bias.h"
#include "../padding.h"
#include "../parallel.h"
#include "../parts.h"
#include "../range.h"
#include "../strip.h"
#include "direct_weights.h"

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
    int64_t x_panel, y_panel; /* and from one panel of a strip to the next; 0: there are none */
    const float *a, *b;       /* of the item's first tile, and floats to that of the next: */
    ptrdiff_t a_tile, b_tile;
    ptrdiff_t a_step, b_step; /* to what the next pixel of an output row sees */
    float *c;                 /* in w, of the group and the first of the item's lines, if exchanged */
    ptrdiff_t c_row;          /* of what is summed into, w or a block */
    int64_t steps;            /* pixels of the chunk */
    bool last;                /* of the item */
    struct coming x_coming, y_coming;
};

/* Those of some tiles. */
static struct range rows_of(const struct gradient *g, struct range tiles)
{
    return (struct range){tiles.begin * g->height, smaller(tiles.end * g->height, g->rows)};
}

static struct range columns_of(const struct gradient *g, struct range tiles)
{
    return (struct range){tiles.begin * g->nr, smaller(tiles.end * g->nr, g->columns)};
}

/* Whether B is read from a strip. */
static bool b_strip(const struct gradient *g)
{
    return g->exchanged ? g->x_strip : g->y_strip;
}

/* ---------------------------------------------------------------------------------------------------- strips and segments */

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

/* The pixels of an image row that a unit sees: of the image, or with merged rows its whole window. */
static struct range seen_columns(const struct problem *p, const struct gradient *g, const struct unit *unit)
{
    const struct range window = {window_begin(p, 2, unit->q.begin), window_begin(p, 2, unit->q.end - 1) + window_extent(p, 2)};
    if (g->merged)
        return window;
    const int64_t begin = larger(window.begin, 0);
    return (struct range){begin, larger(begin, smaller(window.end, p->in[2]))};
}

static struct range seen_lines(const struct problem *p, int64_t first, int64_t rows)
{
    const int64_t begin = larger(window_begin(p, 1, first), 0),
                  end = window_begin(p, 1, first + rows - 1) + window_extent(p, 1);
    return (struct range){begin, larger(begin, smaller(end, p->in[1]))};
}

/* Copies what a run of `rows` output rows sees into the strip: [kernel depth][image row][pixel][channel]. */
static void fill_x(const struct item *item, const struct unit *unit, int64_t rows, float *strip)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const int64_t line = job->g->width * item->x_pitch, top = window_begin(p, 1, unit->y);
    const struct range lines = seen_lines(p, unit->y, rows), seen = seen_columns(p, job->g, unit);
    const float *x = job->operands->x + unit->n * job->x.n + (item->group * p->x_group + item->x.begin) * job->x.c;
    for (int64_t d = 0; d < p->kernel[0]; d++) {
        const int64_t z = window_begin(p, 0, unit->z) + d * p->dilation[0];
        for (int64_t h = lines.begin; h < lines.end; h++, strip += line) {
            const float *row = x + (z * p->in[1] + h) * p->in[2] * job->x.pixel;
            if (!inside(z, p->in[0]) || !falt_line_seen(p, rows, h - top))
                continue;
            if (item->x_panel > 0)
                falt_gather_panels(job->kernels, row + seen.begin * job->x.pixel, job->x, length(item->x), length(seen), strip,
                                   item->x_pitch, item->x_panel);
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
    const int64_t z = window_begin(p, 0, first->z) + d * p->dilation[0];
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
        const int64_t h = window_begin(p, 1, first->y + i) + r * p->dilation[1];
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
            if (item->y_panel > 0)
                falt_gather_panels(job->kernels, y, job->y, length(item->y), pixels, item->y_strip + y_strip, item->y_pitch,
                                   item->y_panel);
            else
                falt_gather(job->kernels, y, job->y, length(item->y), pixels, item->y_strip + y_strip, item->y_pitch);
        }
        for (int64_t l = 0; l < length(item->lines); l++)
            item->counts[l] += list_segments(item, item->lines.begin + l, &first, rows, x_strip, y_strip,
                                             item->segments + l * g->chunk + item->counts[l]);
        x_strip += p->kernel[0] * length(seen_lines(p, first.y, rows)) * g->width * item->x_pitch;
        y_strip += rows * g->span * item->y_pitch;
        at += rows;
    }
}

/* --------------------------------------------------------------------------------------------------------- what is coming */

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
    if (window_extent(p, 1) < p->stride[1] || window_extent(p, 2) < p->stride[2])
        return;
    /* Where what is new to the first window begins: the rest was seen. */
    const int64_t back = window_begin(p, 0, unit.z) + window_extent(p, 0) - 1;
    const int64_t below = window_begin(p, 1, unit.y) + window_extent(p, 1) - p->stride[1];
    const int64_t z = smaller(larger(back, 0), p->in[0] - 1);
    const int64_t h = unit.y == 0 ? 0 : smaller(larger(below, 0), p->in[1] - 1),
                  v = larger(window_begin(p, 2, unit.q.begin), 0);
    const int64_t x = ((unit.n * p->in[0] + z) * p->in[1] + h) * p->in[2] + v;
    const int64_t pixels = g->pieces > 1 ? item->steps * p->stride[2] : length(units) * p->stride[1] * p->in[2];
    const bool narrow = job->x.pixel < LINE_FLOATS; /* then by lines, not by pixels */
    item->x_coming =
        (struct coming){job->operands->x + item->group * p->x_group + x * job->x.pixel,
                        narrow ? pixels * job->x.pixel / LINE_FLOATS : pixels, narrow ? LINE_FLOATS : job->x.pixel};
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

/* A: the same rows in the next chunk, by all tiles of the row. B: the next column, by all tiles of this one; behind the last
 * the first of the next chunk; where B is in a strip, of which all columns are filled at once, this one in the next chunk. */
static void ask_ahead(const struct item *item, struct outer_args *args, struct range rows, struct range columns, int64_t tap)
{
    const struct gradient *g = item->job->g;
    const int64_t row = rows.begin / g->height - item->row_tiles.begin,
                  column = columns.begin / g->nr - item->column_tiles.begin;
    const int64_t lines = length(item->lines);
    const bool strip = b_strip(g), back = !strip && columns.end < item->columns.end;
    const int64_t next = strip ? columns.begin : back ? columns.end : item->columns.begin;
    args->a_ahead = args->b_ahead = (struct outer_ahead){NULL, 0, 0};
    if (!item->last)
        args->a_ahead = ask_for(g->exchanged ? &item->y_coming : &item->x_coming, false, g->merged ? 0 : rows.begin,
                                column * lines + tap, length(item->column_tiles) * lines, item->steps);
    if (!item->last || back)
        args->b_ahead = ask_for(g->exchanged ? &item->x_coming : &item->y_coming, back, next, row * lines + tap,
                                length(item->row_tiles) * lines, item->steps);
}

/* ----------------------------------------------------------------------------------------------------- sums that become w */

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

/* ------------------------------------------------------------------------------------------------------------------ tiles */

/* The tiles of row tile i and column tile j, of all lines, and between them so many strips of what is done. Short sums are over
 * in a few hundred cycles: what can be known before is not found out here. */
static void run_lines(struct item *item, int64_t i, int64_t j, bool add, int64_t strips)
{
    const struct job *job = item->job;
    const struct gradient *g = job->g;
    const struct range rows = rows_of(g, (struct range){i, i + 1}), columns = columns_of(g, (struct range){j, j + 1});
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
    args.by_twos = true;
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
            const struct range columns = columns_of(g, (struct range){j, j + 1});
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

/* ------------------------------------------------------------------------------------------------------------------ items */

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
    const int64_t a_panel = g->panels ? (g->exchanged ? y_pixels(g) : x_pixels(g)) * g->height : 0;
    const int64_t b_panel = (g->exchanged ? x_pixels(g) : y_pixels(g)) * g->nr;
    item->x_pitch = !g->x_strip ? job->x.pixel : g->exchanged ? g->nr : a;
    item->y_pitch = !g->y_strip ? job->y.pixel : g->exchanged ? a : g->nr;
    item->x_panel = g->exchanged ? b_panel : a_panel;
    item->y_panel = g->exchanged ? a_panel : b_panel;
    item->a_tile = g->panels ? a_panel : g->height;
    item->b_tile = b_strip(g) ? b_panel : g->nr;
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
    item.scratch = (float *)(void *)(memory + g->counts);
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
        item.columns = columns_of(g, item.column_tiles);
        item.x = g->merged ? (struct range){0, p->x_group} : g->exchanged ? item.columns : item.rows;
        item.y = g->exchanged ? item.rows : item.columns;
        item.bias = job->bias ? job->bias + part * p->y_channels : NULL;
        item.w = job->copies ? job->copies + part * p->w_count : job->operands->w;
        item.add = p->accumulate && !job->copies;
        locate_tiles(&item);
        run_item(&item);
    }
}

void falt_direct_weights_run(const struct problem *problem, const struct candidate *c, const struct kernels *kernels,
                             const struct operands *operands, int member, int members)
{
    const struct problem flat = falt_flattened(problem), *p = &flat;
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
    if (job.copies)
        falt_add_parts(p, job.copies, job.bias, g->parts, operands, member, members);
}
