/* direct_run.c - runs what direct.c has planned: pieces of the grid, block by block, through tables of pointers. */
#include <string.h>

#include "../../arch/compiler.h"
#include "../arithmetic.h"
#include "../padding.h"
#include "../parallel.h"
#include "../strip.h"
#include "../zeros.h"
#include "direct.h"

struct job {
    const struct problem *p;
    const struct direct *d;
    const struct kernels *kernels;
    const struct operands *operands;
    struct epilogue epilogue;
    struct tensor_strides x;
    bool stream; /* past the caches: the output outgrows them, and its pixels begin with cache lines */
};

struct thread_space {
    float *zeros, *strip;
    const float **table;
    int64_t *gaps;
    struct tile *tiles;
    int64_t pointed;   /* pixels of the block that the tiles are for, if they hold for any such block; else 0 */
    bool above, below; /* whether pixels before the block and behind it are another thread's */
};

/* ----------------------------------------------------------------------------------------------------------------- places */

struct place {
    int64_t n, z, y, x;
    int column; /* of rectangles */
};

static struct place place_of(const struct problem *p, const struct direct *d, int64_t pixel)
{
    const struct sections *columns = &d->rectangles.columns;
    const int64_t plane = pixel / (p->out[1] * p->out[2]), at = pixel % (p->out[1] * p->out[2]);
    const int column = section_of(columns, at / p->out[1]);
    const int64_t begin = section_begin(columns, column), within = at - begin * p->out[1], width = columns->end[column] - begin;
    return (struct place){
        .n = plane / p->out[0],
        .z = plane % p->out[0],
        .y = within / width,
        .x = begin + within % width,
        .column = column,
    };
}

/* Pixels from one on that are neighbours in its row and its rectangle. */
static int64_t row_left(const struct direct *d, const struct place *at)
{
    return d->rectangles.columns.end[at->column] - at->x;
}

/* Pixels from one on that are in its rectangle, where planes are cut. */
static int64_t rectangle_left(const struct direct *d, const struct place *at)
{
    const struct sections *columns = &d->rectangles.columns;
    const int64_t begin = section_begin(columns, at->column), width = columns->end[at->column] - begin;
    return (rectangle_end(&d->rectangles, at->column, at->y) - at->y) * width - (at->x - begin);
}

/* Floats from y to channel 0 of an output pixel. */
static int64_t output_of(const struct problem *p, struct place at)
{
    return p->y.base + at.n * p->y.n + at.z * p->y.pixel[0] + at.y * p->y.pixel[1] + at.x * p->y.pixel[2];
}

/* `count` pixels further, at most to the end of the row. */
static void advance(const struct problem *p, const struct direct *d, struct place *place, int64_t count)
{
    const struct sections *columns = &d->rectangles.columns;
    place->x += count;
    if (place->x < columns->end[place->column])
        return;
    place->x = section_begin(columns, place->column);
    if (++place->y < p->out[1])
        return;
    place->y = 0;
    if (++place->column < columns->count) {
        place->x = section_begin(columns, place->column);
        return;
    }
    place->column = 0;
    place->x = 0;
    if (++place->z < p->out[0])
        return;
    place->z = 0;
    place->n++;
}

/* Whether a window that begins at a pixel of x, in that dimension, is inside of the image. */
static bool window_inside(const struct problem *p, int dimension, int64_t begin)
{
    return begin >= 0 && begin + window_extent(p, dimension) <= p->in[dimension];
}

/* Whether an output row has inner pixels. */
static bool row_inside(const struct problem *p, const struct place *at)
{
    return window_inside(p, 0, window_begin(p, 0, at->z)) && window_inside(p, 1, window_begin(p, 1, at->y));
}

/* Past the inner pixels, if it is at some. */
static void skip_inner(const struct job *job, struct place *place)
{
    const struct direct *d = job->d;
    while (place->n < job->p->batch && place->x >= d->inner_begin && place->x < d->inner_end && row_inside(job->p, place))
        advance(job->p, d, place, d->inner_end - place->x);
}

/* Neighbours from a pixel on, in its row, that are not inner ones if it is none. */
static int64_t neighbours(const struct job *job, const struct place *at)
{
    const bool before = at->x < job->d->inner_begin && row_inside(job->p, at);
    return (before ? job->d->inner_begin : job->p->out[2]) - at->x;
}

/* ------------------------------------------------------------------------------------------------------ what a block sees */

/* One thread's view of the block at hand: where a pixel's window begins, n * image + z * plane + ... from base on, and how to
 * step from one tap to the next. */
struct view {
    const float *base;
    int64_t image, plane, row, pixel;
    int64_t tap[3];
    bool runs; /* the taps of a kernel row are contiguous inside of the image */
};

/* Copies what `pixels` of plane (n, z), whole rows or a piece of one, see of a group into the strip, channels last, with
 * padding: [kernel depth][strip_height][strip_width][x channel]. */
static void fill_strip(const struct job *job, int64_t group, struct place at, int64_t pixels, float *strip)
{
    const struct problem *p = job->p;
    const struct direct *d = job->d;
    const int64_t rows = d->cuts > 1 ? 1 : pixels / p->out[2], window = window_extent(p, 1);
    const int64_t height = (rows - 1) * p->stride[1] + window, line = d->strip_width * p->x_group;
    const int64_t width = d->strip_width - (d->unit - pixels / rows) * p->stride[2];
    const float *image = job->operands->x + at.n * job->x.n + group * p->x_group * job->x.c;
    for (int64_t k = 0; k < p->kernel[0]; k++)
        for (int64_t h = 0; h < height; h++) {
            if (h % p->stride[1] >= window) /* no kernel sees it */
                continue;
            const int64_t z = falt_pixel(p, 0, window_begin(p, 0, at.z) + k * p->dilation[0]);
            const int64_t y = falt_pixel(p, 1, window_begin(p, 1, at.y) + h);
            const float *row = z >= 0 && y >= 0 ? image + (z * p->in[1] + y) * p->in[2] * job->x.pixel : NULL;
            falt_gather_row(job->kernels, row, p->in[2], job->x, p->x_group, p->circular, window_begin(p, 2, at.x), width,
                            strip + (k * d->strip_height + h) * line, p->x_group);
        }
}

static struct view look(const struct job *job, int64_t group, struct place at, int64_t pixels, float *strip)
{
    const struct problem *p = job->p;
    const struct tensor_strides *x = &job->x;
    if (job->d->strip) { /* has the padding in it, and one plane for each tap in depth */
        const int64_t pixel = p->x_group, line = pixel * job->d->strip_width;
        fill_strip(job, group, at, pixels, strip);
        return (struct view){
            .base = strip - at.y * p->stride[1] * line - at.x * p->stride[2] * pixel,
            .row = p->stride[1] * line,
            .pixel = p->stride[2] * pixel,
            .tap = {line * job->d->strip_height, line * p->dilation[1], pixel * p->dilation[2]},
            .runs = p->dilation[2] == 1,
        };
    }
    const int64_t line = x->pixel * p->in[2], plane = line * p->in[1];
    return (struct view){
        .base = job->operands->x - p->pad[0] * plane - p->pad[1] * line - p->pad[2] * x->pixel,
        .image = x->n,
        .plane = p->stride[0] * plane,
        .row = p->stride[1] * line,
        .pixel = p->stride[2] * x->pixel,
        .tap = {plane * p->dilation[0], line * p->dilation[1], x->pixel * p->dilation[2]},
        .runs = p->dilation[2] == 1 && p->groups == 1,
    };
}

/* ----------------------------------------------------------------------------------------------- tiles and their pointers */

/* A tile's pointers where the image goes around in a circle: all of them find a pixel. */
static void point_around(const struct job *job, const struct view *view, const float *const *window, int64_t (*begin)[3],
                         const struct tile *tile)
{
    const struct problem *p = job->p;
    const float **entry = tile->table;
    for (int64_t d = 0; d < p->kernel[0]; d++)
        for (int64_t r = 0; r < p->kernel[1]; r++)
            for (int64_t s = 0; s < p->kernel[2]; s++)
                for (int64_t m = 0; m < tile->rows; m++) {
                    const int64_t z = begin[m][0] + d * p->dilation[0], y = begin[m][1] + r * p->dilation[1];
                    const int64_t x = begin[m][2] + s * p->dilation[2], line = falt_pixel(p, 1, y) - y;
                    const int64_t around = ((falt_pixel(p, 0, z) - z) * p->in[1] + line) * p->in[2] + falt_pixel(p, 2, x) - x;
                    *entry++ = window[m] + d * view->tap[0] + r * view->tap[1] + s * view->tap[2] + around * job->x.pixel;
                }
}

/* A tile's pointers where some windows reach out of the image. Taps through which all of them do are left out. */
static void point_edges(const struct job *job, const struct view *view, const float *zeros, const float *const *window,
                        int64_t (*begin)[3], struct tile *tile)
{
    const struct problem *p = job->p;
    const int64_t rows = tile->rows, width = p->kernel[2];
    const float **entry = tile->table;
    struct range taps[GEMM_MAX_ROWS];
    for (int64_t m = 0; m < rows; m++)
        taps[m] = falt_seen_taps(p, 2, begin[m][2], begin[m][2]);
    int64_t kept = 0, gap = 0; /* taps */
    for (int64_t d = 0; d < p->kernel[0]; d++)
        for (int64_t r = 0; r < p->kernel[1]; r++) {
            int64_t size[GEMM_MAX_ROWS]; /* of the line */
            struct range any = {width, 0};
            for (int64_t m = 0; m < rows; m++) {
                size[m] = 0;
                if (!inside(begin[m][0] + d * p->dilation[0], p->in[0]) ||
                    !inside(begin[m][1] + r * p->dilation[1], p->in[1]) || taps[m].end == 0)
                    continue;
                size[m] = p->in[2];
                any.begin = smaller(any.begin, taps[m].begin);
                any.end = larger(any.end, taps[m].end);
            }
            gap += smaller(any.begin, width);
            for (int64_t s = any.begin; s < any.end; s++, entry += rows) {
                tile->gapped = tile->gapped || gap > 0;
                tile->gaps[kept++] = gap * p->x_group;
                gap = 0;
                const int64_t offset = d * view->tap[0] + r * view->tap[1] + s * view->tap[2];
                for (int64_t m = 0; m < rows; m++) /* without branches */
                    entry[m] = inside(begin[m][2] + s * p->dilation[2], size[m]) ? window[m] + offset : zeros;
            }
            gap += any.begin < any.end ? width - any.end : 0;
        }
    tile->taps = kept;
}

/* Fills in a tile from `at` on, and its pointers: [tap][row], or [kernel row][row] where all taps of a kernel row are one run.
 * inner: its windows are known to be whole. Inlined: where sums are short a call costs 4 % of a tile. */
INLINE void point(const struct job *job, const struct view *view, const float *zeros, int64_t origin, struct place *at,
                  bool inner, struct tile *tile)
{
    const struct problem *p = job->p;
    const float *window[GEMM_MAX_ROWS];
    int64_t begin[GEMM_MAX_ROWS][3];
    const bool edges = job->d->edges && !inner, apart = job->d->inner && !inner;
    bool whole = true, straight = true;                      /* all of them are neighbours */
    for (int64_t m = 0, count; m < tile->rows; m += count) { /* neighbours in an output row */
        count = smaller(tile->rows - m, apart ? neighbours(job, at) : row_left(job->d, at));
        straight = count == tile->rows;
        const float *first = view->base + at->n * view->image + at->z * view->plane + at->y * view->row + at->x * view->pixel;
        const int64_t output = output_of(p, *at) - origin;
        for (int64_t i = 0; i < count; i++) {
            window[m + i] = first + i * view->pixel;
            tile->output[m + i] = output + i * p->y.pixel[2];
        }
        if (edges) {
            const int64_t z = window_begin(p, 0, at->z), y = window_begin(p, 1, at->y), x = window_begin(p, 2, at->x);
            whole = whole && window_inside(p, 0, z) && window_inside(p, 1, y) && window_inside(p, 2, x) &&
                    window_inside(p, 2, x + (count - 1) * p->stride[2]);
            for (int64_t i = 0; i < count; i++) {
                begin[m + i][0] = z;
                begin[m + i][1] = y;
                begin[m + i][2] = x + i * p->stride[2];
            }
        }
        advance(p, job->d, at, count);
        if (apart)
            skip_inner(job, at);
    }
    tile->window_step = tile->rows > 1 ? window[1] - window[0] : 0;
    tile->output_step = tile->rows > 1 ? tile->output[1] - tile->output[0] : 0;
    tile->even = whole;
    for (int64_t m = 0; m < tile->rows && tile->even && !straight; m++)
        tile->even =
            window[m] - window[0] == m * tile->window_step && tile->output[m] - tile->output[0] == m * tile->output_step;
    const bool runs = whole && view->runs;
    const int64_t width = runs ? 1 : p->kernel[2], rows = tile->rows;
    const float **entry = tile->table;
    tile->taps = p->kernel[0] * p->kernel[1] * width;
    tile->depth = p->x_group * (runs ? p->kernel[2] : 1);
    tile->gapped = false;
    if (p->circular && !whole) {
        point_around(job, view, window, begin, tile);
        return;
    }
    if (!whole) {
        point_edges(job, view, zeros, window, begin, tile);
        return;
    }
    for (int64_t d = 0; d < p->kernel[0]; d++)
        for (int64_t r = 0; r < p->kernel[1]; r++)
            for (int64_t s = 0; s < width; s++, entry += rows) {
                const int64_t offset = d * view->tap[0] + r * view->tap[1] + s * view->tap[2];
                for (int64_t m = 0; m < rows; m++)
                    entry[m] = window[m] + offset;
            }
}

/* Whether the tile after this one differs by its place only, and the outputs of both are evenly spaced. */
static bool goes_on(const struct tile *tile, ptrdiff_t pixel)
{
    const struct tile *next = tile + 1;
    bool same = next->rows == tile->rows && next->taps == tile->taps && next->depth == tile->depth &&
                next->gapped == tile->gapped && next->even == tile->even && next->window_step == tile->window_step;
    for (int64_t t = 0; t < tile->taps && same && tile->gapped; t++)
        same = next->gaps[t] == tile->gaps[t];
    for (int64_t m = 0; m < tile->rows && same; m++)
        same = next->output[m] - tile->output[m] == tile->rows * pixel;
    return same;
}

/* Cuts a block into tiles, so many. Those in a strip depend on the number of pixels only: blocks of the same size share them.
 * Where all pixels are evenly spaced, the first two, one of them a row taller, stand for all others. */
static int64_t point_tiles(const struct job *job, struct thread_space *space, const struct view *view, struct place start,
                           int64_t pixels)
{
    const struct direct *d = job->d;
    const float **table = space->table;
    int64_t *gaps = space->gaps, tiles = 0;
    struct place at = start;
    if (space->pointed == pixels)
        return divide_up(pixels, d->panels.rows);
    for (int64_t done = 0, some; done < pixels; done += some) {
        some = is_cut(&d->rectangles) ? smaller(rectangle_left(d, &at), pixels - done) : pixels;
        const int64_t count = divide_up(some, d->panels.rows), differ = d->flat ? 1 + (some % count > 0) : count;
        for (int64_t t = 0; t < differ; t++) {
            struct tile *tile = &space->tiles[tiles + t];
            tile->rows = some / count + (d->flat ? t : t < some % count);
            tile->table = table;
            table += tile->rows * job->p->taps;
            tile->gaps = gaps;
            gaps += d->edges ? job->p->taps : 0;
            if (d->flat)
                at = start;
            point(job, view, space->zeros, output_of(job->p, start), &at, false, tile);
        }
        tiles += count;
    }
    for (int64_t t = tiles - 1; t >= 0 && !d->flat; t--)
        space->tiles[t].alike =
            1 + (t + 1 < tiles && goes_on(&space->tiles[t], job->p->y.pixel[2]) ? space->tiles[t + 1].alike : 0);
    space->pointed = d->strip ? pixels : 0;
    return tiles;
}

/* Cuts so many whole windows of a row into tiles, all of which the first two stand for. */
static void point_inner(const struct job *job, struct thread_space *space, const struct view *view, int64_t pixels)
{
    const struct direct *d = job->d;
    const struct place corner = {.x = d->inner_begin};
    const int64_t count = divide_up(pixels, d->panels.rows);
    if (space->pointed == pixels)
        return;
    for (int taller = 0; taller < 2; taller++) {
        struct tile *tile = &space->tiles[taller];
        struct place at = corner;
        tile->rows = smaller(pixels / count + taller, d->panels.rows);
        tile->table = space->table + taller * d->panels.rows * job->p->taps;
        point(job, view, space->zeros, output_of(job->p, corner), &at, true, tile);
    }
    space->pointed = pixels;
}

/* ----------------------------------------------------------------------------------------------------------------- panels */

/* Tiles that are computed together. */
struct run {
    const struct tile *tiles;
    int64_t count, pixels;
    bool flat;        /* the first two, of which one is a row taller, stand for all of them */
    ptrdiff_t offset; /* floats from where their pointers point to their input */
    int64_t origin;   /* floats from y to their first output pixel */
    int64_t falling;  /* of flat ones, so many last ones go from the last on */
    int64_t lines;    /* of flat ones, so many rows of output pixels, if they are even */
    ptrdiff_t line;   /* floats from one's input to the next */
};

/* Tiles that one call computes: so many in that direction, which are alike. */
struct steps {
    int64_t first, count, direction;
};

/* Of flat ones, the first `tall` of which are a row taller: those behind the first `done`. */
static struct steps steps_of(const struct run *run, int64_t tall, int64_t done)
{
    const int64_t rising = run->count - run->falling;
    if (done < rising)
        return (struct steps){done, smaller(rising, done < tall ? tall : run->count) - done, 1};
    const int64_t first = run->count - 1 - (done - rising);
    return (struct steps){first, first + 1 - (first < tall ? rising : larger(tall, rising)), -1};
}

/* What kernels for rows that lie evenly can do. */
static bool writes_rows(const struct job *job, int64_t columns, int64_t width)
{
    return job->p->y.c == 1 && columns == width && !job->operands->residual && job->epilogue.activation == ACTIVATE_NONE;
}

/* first: no panel has seen these pixels before. */
static void run_panel(const struct job *job, const struct run *run, int64_t group, int64_t panel, bool first)
{
    const struct problem *p = job->p;
    const struct operands *o = job->operands;
    const struct panels *panels = &job->d->panels;
    const struct tile *const tiles = run->tiles; /* calls could change what run points to */
    const int64_t count = run->count, low = run->pixels / count, tall = run->pixels % count, origin = run->origin;
    const bool flat = run->flat;
    const int64_t from = falt_panel_first(panels, panel), channel = group * p->y_group + from,
                  width = falt_panel_width(panels, panel);
    const ptrdiff_t offset = run->offset + (job->d->strip ? 0 : group * p->x_group);
    const float *const b = (const float *)o->packed + falt_panel_offset(panels, p->taps * p->x_group, group, panel);
    float *const c = o->y + origin + channel * p->y.c;
    const float *const residual = o->residual ? o->residual + origin + channel * p->y.c : NULL;
    struct gemm_args args = {
        .b = b,
        .step = p->y.c,
        .bias = o->bias ? o->bias + channel : NULL,
        .columns = smaller(width, p->y_group - from),
        .stream = job->stream && falt_in_lines(o->y, channel | width),
        .epilogue = job->epilogue,
    };
    /* Where vectors are whole lines, each of so many tiles would ask for far more than its share (measured with AVX-512: 0.91
     * to 1.0 times as fast). */
    const bool lines = job->kernels->vec >= LINE_FLOATS, asks = first && job->d->asks;
    const bool beyond = first && lines && job->d->beyond;
    if (!lines)
        falt_ask_in_order(&args, divide_up(p->taps * p->x_group * width, count * run->lines));
    const bool last = group == p->groups - 1 && panel == panels->count - 1; /* what is behind it may be another thread's */
    args.coming = last ? (const float *)o->packed : b + p->taps * p->x_group * width;
    const bool plain = writes_rows(job, args.columns, width);
    for (int64_t done = 0; done < count; done += args.tiles) {
        const struct steps steps = flat ? steps_of(run, tall, done) : (struct steps){done, tiles[done].alike, 1};
        const struct tile *tile = &tiles[flat ? steps.first < tall : done];
        /* Floats from its pixels to the next one's. */
        const int64_t next = steps.direction * tile->rows * p->stride[2] * job->x.pixel;
        const int64_t before = flat ? steps.first * low + smaller(steps.first, tall) : 0; /* pixels */
        args.a_offset = offset + before * p->stride[2] * job->x.pixel;
        const bool in_order = beyond && tile->taps == 1 && next > 0 && next <= tile->depth * job->kernels->vec;
        args.ahead = asks && !in_order ? next : 0;
        if (in_order)
            args.coming = tile->table[0] + args.a_offset + next;
        if (lines)
            falt_ask_in_order(&args, in_order ? next : 0);
        const bool even = plain && tile->even && args.ahead == 0;
        args.tiles = steps.count;
        if (flat) {
            args.next.a_offset = next;
            args.c = c + before * p->y.pixel[2];
            args.residual = residual ? residual + before * p->y.pixel[2] : NULL;
            if (run->lines > 1) {
                const int64_t pixels = args.tiles * tile->rows;
                args.lines = run->lines;
                args.line.a_offset = run->line - pixels * p->stride[2] * job->x.pixel;
                args.line.c = p->y.pixel[1] - pixels * p->y.pixel[2];
            }
        } else {
            args.next.a = tile->rows * p->taps;
            args.c = c + (even ? tile->output[0] : 0);
            args.residual = residual;
        }
        args.next.c = steps.direction * tile->rows * p->y.pixel[2];
        args.a = tile->table;
        args.taps = tile->taps;
        args.depth = tile->depth;
        args.gaps = tile->gapped ? tile->gaps : NULL;
        args.row = tile->output;
        args.a_row = tile->window_step;
        args.a_tap = tile->rows;
        args.c_row = tile->output_step;
        (even ? job->kernels->even : job->kernels->gemm)[width / panels->vec][tile->rows](&args);
    }
}

/* ----------------------------------------------------------------------------------------------------------------- blocks */

/* Panels [begin, end) of pixels [first, first + pixels). */
static void run_block(const struct job *job, struct thread_space *space, int64_t first, int64_t pixels, int64_t begin,
                      int64_t end)
{
    const struct direct *d = job->d;
    const int64_t panels = d->panels.count;
    const struct place start = place_of(job->p, d, first);
    int64_t tiles = 0, falling = 0;
    for (int64_t group = begin / panels; group * panels < end; group++) {
        if (group == begin / panels || d->strip) {
            const struct view view = look(job, group, start, pixels, space->strip);
            tiles = point_tiles(job, space, &view, start, pixels);
            falling = !d->falls || !space->below ? 0 : space->above ? tiles / 2 : tiles;
        }
        const struct run run = {
            .tiles = space->tiles,
            .count = tiles,
            .pixels = pixels,
            .flat = d->flat,
            .origin = output_of(job->p, start),
            .falling = falling,
            .lines = 1,
        };
        const int64_t from = larger(begin - group * panels, 0), to = smaller(end - group * panels, panels);
        for (int64_t panel = from; panel < to; panel++)
            run_panel(job, &run, group, panel, panel == from);
    }
}

/* Of so many pixels the inner ones, row by row. Returns how many there are. */
static int64_t run_inner(const struct job *job, struct thread_space *space, const struct view *view, int64_t first,
                         int64_t pixels, int64_t begin, int64_t end)
{
    const struct problem *p = job->p;
    const struct direct *d = job->d;
    /* Several rows in one call, as long as nothing is to be asked for meanwhile. */
    const bool together = writes_rows(job, p->y_group, d->panels.padded) && !d->asks && !d->beyond;
    int64_t inner = 0;
    for (int64_t pixel = first, next; pixel < first + pixels; pixel = next) {
        struct place at = place_of(p, d, pixel);
        next = smaller(pixel + p->out[2] - at.x, first + pixels);
        const int64_t from = larger(at.x, d->inner_begin), to = smaller(at.x + next - pixel, d->inner_end);
        if (from >= to || !row_inside(p, &at))
            continue;
        point_inner(job, space, view, to - from);
        struct run run = {
            .tiles = space->tiles,
            .count = divide_up(to - from, d->panels.rows),
            .pixels = to - from,
            .flat = true,
            .offset = at.n * view->image + at.z * view->plane + at.y * view->row + (from - d->inner_begin) * view->pixel,
            .lines = 1,
            .line = view->row,
        };
        struct place below = at;
        while (together && space->tiles[0].even && space->tiles[1].even && at.x == 0 && run.lines < d->lines &&
               next + p->out[2] <= first + pixels && ++below.y < p->out[1] && row_inside(p, &below)) {
            run.lines++;
            next += p->out[2];
        }
        at.x = from;
        run.origin = output_of(p, at);
        for (int64_t panel = begin; panel < end; panel++)
            run_panel(job, &run, 0, panel, panel == begin);
        inner += run.lines * (to - from);
    }
    return inner;
}

/* The other ones, so many, in tiles over the gaps that the inner ones leave. */
static void run_edges(const struct job *job, struct thread_space *space, const struct view *view, int64_t first, int64_t edges,
                      int64_t begin, int64_t end)
{
    const struct problem *p = job->p;
    const struct direct *d = job->d;
    struct tile *tile = &space->tiles[2];
    struct place at = place_of(p, d, first);
    skip_inner(job, &at);
    for (; edges > 0; edges -= tile->rows) {
        const int64_t origin = output_of(p, at);
        tile->rows = smaller(edges, d->panels.rows);
        tile->alike = 1;
        tile->table = space->table + 2 * d->panels.rows * p->taps;
        tile->gaps = space->gaps;
        point(job, view, space->zeros, origin, &at, false, tile);
        const struct run run = {.tiles = tile, .count = 1, .pixels = tile->rows, .origin = origin, .lines = 1};
        for (int64_t panel = begin; panel < end; panel++)
            run_panel(job, &run, 0, panel, false);
    }
}

/* The same as run_block where whole windows and edges go apart. */
static void run_rows(const struct job *job, struct thread_space *space, int64_t first, int64_t pixels, int64_t begin,
                     int64_t end)
{
    const struct view view = look(job, 0, (struct place){0}, pixels, NULL);
    const int64_t inner = run_inner(job, space, &view, first, pixels, begin, end);
    run_edges(job, space, &view, first, pixels - inner, begin, end);
}

static void run_piece(const struct job *job, struct thread_space *space, int64_t piece)
{
    const struct direct *d = job->d;
    int64_t first, last, begin, end;
    falt_share(units_of(job->p, d), (int)(piece % d->pixel_ranges), (int)d->pixel_ranges, &first, &last);
    falt_share(job->p->groups * d->panels.count, (int)(piece / d->pixel_ranges), (int)d->panel_ranges, &begin, &end);
    const bool seam_above = first > 0, seam_below = last < units_of(job->p, d);
    const int64_t top = first;
    while (first < last) {
        int64_t units = smaller(d->block, last - first), pixel = first * d->unit, pixels;
        if (d->strip && d->cuts == 1) /* units are output rows: stay within one plane */
            units = smaller(units, job->p->out[1] - first % job->p->out[1]);
        pixels = units * d->unit;
        if (d->cuts > 1) { /* or pieces of them, one by one */
            const int64_t x = first % d->cuts * d->unit, row = job->p->out[2];
            pixel = first / d->cuts * row + x;
            pixels = smaller(d->unit, row - x);
        }
        space->above = seam_above && first == top;
        space->below = seam_below && first + units == last;
        (d->inner ? run_rows : run_block)(job, space, pixel, pixels, begin, end);
        first += units;
    }
}

static void run_member(const struct job *job, int member, int members)
{
    const struct direct *d = job->d;
    char *memory = (char *)job->operands->workspace + d->per_thread * (size_t)member;
    struct thread_space space = {
        .zeros = (float *)(void *)memory,
        .strip = (float *)(void *)(memory + d->zeros),
        .table = (const float **)(void *)(memory + d->zeros + d->strip_bytes),
        .gaps = (int64_t *)(void *)(memory + d->zeros + d->strip_bytes + d->table),
        .tiles = (struct tile *)(void *)(memory + d->zeros + d->strip_bytes + d->table + d->gaps),
    };
    memset(space.zeros, 0, d->zeros);
    for (int64_t piece = member; piece < d->pixel_ranges * d->panel_ranges; piece += members)
        run_piece(job, &space, piece);
    if (job->stream)
        job->kernels->fence();
}

void falt_direct_run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                     const struct operands *operands, int member, int members)
{
    const struct direct *d = (const struct direct *)(const void *)c->state;
    const struct job job = {
        .p = p,
        .d = d,
        .kernels = kernels,
        .operands = operands,
        .epilogue = falt_epilogue(p),
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
        .stream = d->stream && falt_in_lines(operands->y, p->y.base | p->y.n | p->y.pixel[0] | p->y.pixel[1] | p->y.pixel[2]),
    };
    if (falt_leaves_zeros(p, operands) && !job.stream)
        falt_write_zeros(p, operands->y, member, members);
    else
        run_member(&job, member, members);
}
