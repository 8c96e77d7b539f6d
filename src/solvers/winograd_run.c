/* winograd_run.c - runs what winograd.c has planned: pieces of the grid, block by block. */
#include <math.h>
#include <string.h>

#include "../parallel.h"
#include "../strip.h"
#include "winograd.h"

enum { FUSED_AHEAD = 9 }; /* tiles from what is transformed to what is asked for, from memory */

struct job {
    const struct problem *p;
    const struct winograd *w;
    const struct kernels *kernels;
    const struct operands *operands;
    struct epilogue epilogue;
    struct tensor_strides x;
    bool stream;
};

struct thread_space {
    float *zeros, *dump, *v, *m;
    const float *
        *lists; /* V at the first point, for each slice: of all of them, and of those at infinity in w, in h, in both */
    float *strip, *out_strip, *residual_strip;
    float *turned; /* a line of the out strip: [channel][pixel] */
};

/* Neighbouring tiles of one tile row. */
struct segment {
    int64_t n, z, y, x;   /* of the first tile: image, plane, first output pixel */
    int64_t first, count; /* tiles, counted from the first one of the block */
};

static struct segment segment_at(const struct winograd *w, const struct problem *p, int64_t tile, int64_t first, int64_t most)
{
    const struct winograd_segment of = winograd_segment(&w->cover, tile, most);
    const struct segment s = {of.plane / p->out[0], of.plane % p->out[0], of.y, of.x, first, of.count};
    return s;
}

/* The pixels of a tile whose first input pixel is (y, x) of plane `from`, channels `step` floats a pixel. */
static void point_pixels(const struct job *job, const float *from, int64_t step, int64_t y, int64_t x, const float *zeros,
                         const float **d)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const bool whole = y >= 0 && y + (w->ah - 1) * w->apart_h < p->in[1] && x >= 0 && x + (w->aw - 1) * w->apart_w < p->in[2];
    for (int h = 0; h < w->ah; h++, y += w->apart_h) {
        const int64_t line = falt_pixel(p, 1, y);
        if (whole) {
            const float *pixel = from + (y * p->in[2] + x) * step;
            for (int v = 0; v < w->aw; v++, pixel += w->apart_w * step)
                *d++ = pixel;
        } else {
            for (int v = 0; v < w->aw; v++) {
                const int64_t column = falt_pixel(p, 2, x + v * w->apart_w);
                *d++ = line >= 0 && column >= 0 ? from + (line * p->in[2] + column) * step : zeros;
            }
        }
    }
}

/* Channels of x or y: those of a group, or of several. */
struct channels {
    int64_t first, count;
};

/* V of a segment for one slice, channels last. */
static void transform_segment(const struct job *job, const struct thread_space *space, const struct segment *s,
                              struct channels channels, const struct winograd_slice *slice, int64_t z)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const float *d[WINOGRAD_MAX_POINTS],
        *plane = job->operands->x + s->n * job->x.n + z * p->in[1] * p->in[2] * job->x.pixel + channels.first;
    const int64_t y = s->y * p->stride[1] - p->pad[1] + slice->h, x = s->x * p->stride[2] - p->pad[2] + slice->w;
    const int64_t step = w->cover.step * p->stride[2], wide = (w->aw - 1) * w->apart_w + 1;
    float *v = space->v + slice->index * w->v_slice + s->first * w->v_row;
    const bool lines = y >= 0 && y + (w->ah - 1) * w->apart_h < p->in[1]; /* all of them */
    struct winograd_input_args args = {.d = d,
                                       .v_step = w->v_point,
                                       .channels = channels.count,
                                       .d_tile = step * job->x.pixel,
                                       .v_tile = w->v_row,
                                       .ahead = step <= p->in[2] ? step * job->x.pixel : 0};
    for (int64_t t = 0; t < s->count; t += args.tiles) {
        args.tiles = lines ? winograd_alike(x, step, wide, p->in[2], t, s->count) : 1;
        point_pixels(job, plane, job->x.pixel, y, x + t * step, space->zeros, d);
        args.v = v + t * w->v_row;
        job->kernels->winograd[w->tile].input(&args);
    }
}

/* Channels first: what a segment sees of some channels, channels last, zeros for the padding: alpha_h lines of `pitch` pixels,
 * of one residue in h and all in w. Line h of it is in place (h + turn) % alpha_h. The next segment below needs only its last
 * m_h lines to be filled. */
struct window {
    struct segment of;
    int64_t pitch, z;
    int turn;
};

static void move_window(const struct job *job, const struct segment *s, int64_t z, int64_t residue, int64_t channel,
                        int64_t count, struct window *window, float *strip)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const float *image = job->operands->x + s->n * job->x.n + channel * job->x.c;
    const int64_t width = ((s->count - 1) * w->cover.mw + w->aw) * w->apart_w;
    const int64_t top = s->y * p->stride[1] - p->pad[1] + residue, left = s->x * p->stride[2] - p->pad[2];
    const bool below = window->pitch > 0 && s->n == window->of.n && z == window->z && s->x == window->of.x &&
                       s->count <= window->of.count && s->y == window->of.y + w->cover.mh;
    window->of = *s;
    window->z = z;
    window->pitch = below ? window->pitch : width;
    window->turn = below ? (window->turn + w->cover.mh) % w->ah : 0;
    for (int h = below ? w->ah - w->cover.mh : 0; h < w->ah; h++) {
        const int64_t y = falt_pixel(p, 1, top + h * w->apart_h);
        const float *row = y >= 0 ? image + (z * p->in[1] + y) * p->in[2] * job->x.pixel : NULL;
        falt_gather_row(job->kernels, row, p->in[2], job->x, count, p->circular, left, width,
                        strip + (h + window->turn) % w->ah * window->pitch * count, count);
    }
}

static int64_t depth_pixel(const struct problem *p, const struct segment *s, int64_t tap)
{
    return falt_pixel(p, 0, s->z * p->stride[0] - p->pad[0] + tap * p->dilation[0]);
}

/* V of a block for the slices of a depth tap and a residue in h, channels first, where it is inside. */
static void transform_strips(const struct job *job, const struct thread_space *space, struct channels channels,
                             const struct winograd_slice *slice, int64_t first, int64_t tiles)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const float *d[WINOGRAD_MAX_POINTS];
    for (int64_t channel = 0; channel < channels.count; channel += w->chunk) {
        const int64_t count = smaller(w->chunk, channels.count - channel);
        struct window window = {.pitch = 0};
        struct segment s;
        for (int64_t done = 0; done < tiles; done += s.count) {
            s = segment_at(w, p, first + done, done, tiles - done);
            const int64_t z = depth_pixel(p, &s, slice->depth);
            if (z < 0)
                continue;
            move_window(job, &s, z, slice->h, channels.first + channel, count, &window, space->strip);
            for (int64_t residue = 0; residue < w->residues_w.count; residue++) {
                for (int h = 0; h < w->ah; h++)
                    for (int k = 0; k < w->aw; k++)
                        d[h * w->aw + k] =
                            space->strip + ((h + window.turn) % w->ah * window.pitch + k * w->apart_w + residue) * count;
                job->kernels->winograd[w->tile].input(&(struct winograd_input_args){
                    .d = d,
                    .v = space->v + (slice->index + residue) * w->v_slice + s.first * w->v_row + channel,
                    .v_step = w->v_point,
                    .channels = count,
                    .tiles = s.count,
                    .d_tile = w->cover.mw * w->apart_w * count,
                    .v_tile = w->v_row,
                });
            }
        }
    }
}

/* V of a block. */
static void transform_input(const struct job *job, const struct thread_space *space, struct channels channels, int64_t first,
                            int64_t count)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    struct segment s;
    for (int64_t k = 0; k < w->slices && w->strip > 0; k += w->residues_w.count) {
        const struct winograd_slice slice = winograd_slice(w->residues_h, w->residues_w, k);
        transform_strips(job, space, channels, &slice, first, count);
    }
    for (int64_t done = 0; done < count; done += s.count) {
        s = segment_at(w, p, first + done, done, count - done);
        for (int64_t k = 0; k < w->slices; k++) {
            const struct winograd_slice slice = winograd_slice(w->residues_h, w->residues_w, k);
            const int64_t z = depth_pixel(p, &s, slice.depth);
            if (z >= 0 && w->strip == 0)
                transform_segment(job, space, &s, channels, &slice, z);
            for (int point = 0; point < w->points && z < 0; point++)
                memset(space->v + point * w->v_point + k * w->v_slice + s.first * w->v_row, 0,
                       (size_t)(s.count * w->v_row) * sizeof(float));
        }
    }
}

/* Neighbouring panels, side by side in M: of one group, or each of its own. */
struct run {
    int64_t group, panel, panels; /* the first one, and how many */
};

/* Channels of y, of the first so many panels. */
static struct channels outputs_of(const struct job *job, const struct run *run, int64_t panels)
{
    const struct problem *p = job->p;
    const struct panels *all = &job->w->panels;
    const int64_t from = falt_panel_first(all, run->panel), first = run->group * p->y_group + from;
    if (job->w->bundle > 1)
        return (struct channels){first, panels * p->y_group};
    return (struct channels){first, smaller(falt_panel_first(all, run->panel + panels), p->y_group) - from};
}

/* Which of the lists of slices is that of a point. */
static int list_at(const struct winograd *w, int point)
{
    return (point / w->aw == w->ah - 1) * 2 + (point % w->aw == w->aw - 1);
}

static void fill_lists(const struct winograd *w, const struct thread_space *space)
{
    for (int list = 0; list < LISTS; list++) {
        const float **to = space->lists + list * w->slices;
        for (int64_t k = 0; k < w->slices; k++) {
            const struct winograd_slice slice = winograd_slice(w->residues_h, w->residues_w, k);
            if (slice.h < (list / 2 ? w->residues_h.whole : w->residues_h.count) &&
                slice.w < (list % 2 ? w->residues_w.whole : w->residues_w.count))
                *to++ = space->v + k * w->v_slice;
        }
    }
}

/* M of panels: point by point. The lanes that a panel has for no channel are where the next one's columns go. */
static void multiply(const struct job *job, const struct thread_space *space, const struct run *run, int64_t count)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const int64_t turns = divide_up(count, w->panels.rows);     /* register tiles, even ones */
    const int64_t rows = count / turns, taller = count % turns; /* as many have one row more */
    struct gemm_args args = {
        .depth = p->x_group,
        .step = 1,
        .a_row = w->v_row,
        .a_tap = 1,
        .c_row = w->m_row,
        .epilogue = {.lo = -INFINITY, .hi = INFINITY},
    };
    const float *const packed = job->operands->packed;
    const float *const end = packed + falt_panel_offset(&w->panels, panel_depth(p, w), p->groups, 0);
    struct {
        int64_t channel, width, column;
        const float *weights;
    } items[BUNDLE];
    for (int64_t i = 0; i < run->panels; i++) {
        const int64_t group = w->bundle > 1 ? i : 0, panel = run->panel + (w->bundle > 1 ? 0 : i);
        items[i].channel = group * p->x_group;
        items[i].width = falt_panel_width(&w->panels, panel);
        items[i].column = outputs_of(job, run, i).count;
        items[i].weights = packed + falt_panel_offset(&w->panels, panel_depth(p, w), run->group + group, panel);
    }
    for (int point = 0; point < w->points; point++) {
        const int64_t before = slices_before(p, w, point);
        args.taps = p->kernel[0] * rows_at(w, point) * columns_at(w, point);
        args.a = space->lists + list_at(w, point) * w->slices;
        for (int64_t i = 0; i < run->panels; i++) {
            const int64_t width = items[i].width, floats = args.taps * p->x_group * width;
            gemm_kernel *const *kernels = job->kernels->even[width / w->panels.vec];
            args.a_offset = point * w->v_point + items[i].channel;
            args.b = items[i].weights + before * p->x_group * width;
            args.c = space->m + point * w->m_point + items[i].column;
            args.columns = width;
            falt_ask_in_order(&args, w->asks ? floats / turns : 0);
            args.coming = args.b + floats < end ? args.b + floats : packed;
            for (int more = 1; more >= 0; more--) {
                args.tiles = more ? taller : turns - taller;
                args.next.a_offset = (rows + more) * w->v_row;
                args.next.c = (rows + more) * w->m_row;
                if (args.tiles > 0)
                    kernels[rows + more](&args);
            }
        }
    }
}

/* Pixels of a segment's lines that are there. */
static int64_t visible(const struct winograd *w, const struct problem *p, const struct segment *s)
{
    return smaller(s->count * w->cover.mw, p->out[2] - s->x);
}

/* Channels first: a line of the out strip to y. Past the caches in pieces of rows: single lines of many planes take longer. */
static void store_line(const struct job *job, const struct thread_space *space, const float *strip, int64_t pixels,
                       int64_t columns, float *y)
{
    const int64_t nr = job->w->panels.nr, step = job->p->y.c;
    if (!job->stream || !falt_in_lines(y, pixels)) {
        job->kernels->transpose(strip, nr, pixels, columns, y, step);
        return;
    }
    job->kernels->transpose(strip, nr, pixels, columns, space->turned, pixels);
    for (int64_t n = 0; n < columns; n++)
        job->kernels->copy_past(space->turned + n * pixels, pixels, y + n * step);
}

/* m: of the first tile of the block. */
static void finish_segment(const struct job *job, const struct thread_space *space, const struct segment *s,
                           struct channels channels, const float *m)
{
    const int64_t channel = channels.first, columns = channels.count;
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const bool strips = w->out_strip > 0;
    const float *const residual_base = job->operands->residual;
    const int64_t plane = p->y.base + s->n * p->y.n + channel * p->y.c + s->z * p->y.pixel[0];
    const int64_t line = s->count * w->cover.mw * w->panels.nr; /* of a strip */
    float *y[WINOGRAD_MAX_OUTPUTS];
    const float *residual[WINOGRAD_MAX_OUTPUTS];
    struct winograd_output_args args = {
        .m_step = w->m_point,
        .y = y,
        .residual = residual_base ? residual : NULL,
        .bias = job->operands->bias ? job->operands->bias + channel : NULL,
        .channels = columns,
        .m_tile = w->m_row,
        .y_tile = w->cover.step * (strips ? w->panels.nr : p->y.pixel[2]),
        .ahead = strips || job->stream ? 0 : w->cover.step * p->y.pixel[2],
        .epilogue = job->epilogue,
    };
    if (strips && residual_base)
        for (int h = 0; h < w->cover.mh && s->y + h < p->out[1]; h++)
            job->kernels->transpose(residual_base + plane + (s->y + h) * p->y.pixel[1] + s->x, p->y.c, columns,
                                    visible(w, p, s), space->residual_strip + h * line, w->panels.nr);
    const int64_t room_h = p->out[1] - 1 - s->y - (w->cover.mh - 1) * w->cover.dh,
                  room = p->out[2] - 1 - s->x - (w->cover.mw - 1) * w->cover.dw;
    const int64_t seen = room_h >= 0 && room >= 0 ? smaller(room / w->cover.step + 1, s->count) : 0; /* tiles that are whole */
    for (int64_t t = 0; t < s->count; t += args.tiles) {
        args.tiles = t < seen ? seen - t : 1;
        args.stream = job->stream && !strips && columns % w->panels.vec == 0 && t < seen; /* and not to the dump */
        for (int h = 0; h < w->cover.mh; h++)
            for (int v = 0; v < w->cover.mw; v++) {
                const int64_t yy = s->y + h * w->cover.dh, xx = s->x + t * w->cover.step + v * w->cover.dw;
                const bool there = yy < p->out[1] && xx < p->out[2];
                const int64_t offset = there ? plane + yy * p->y.pixel[1] + xx * p->y.pixel[2] : 0;
                const int64_t in_strip = h * line + (t * w->cover.mw + v) * w->panels.nr;
                float **to = &y[h * w->cover.mw + v];
                *to = strips ? space->out_strip + in_strip : there ? job->operands->y + offset : space->dump;
                if (residual_base)
                    residual[h * w->cover.mw + v] = !there   ? space->zeros
                                                    : strips ? space->residual_strip + in_strip
                                                             : residual_base + offset;
            }
        args.m = m + (s->first + t) * w->m_row;
        job->kernels->winograd[w->tile].output(&args);
    }
    for (int h = 0; strips && h < w->cover.mh && s->y + h < p->out[1]; h++)
        store_line(job, space, space->out_strip + h * line, visible(w, p, s), columns,
                   job->operands->y + plane + (s->y + h) * p->y.pixel[1] + s->x);
}

/* The outputs of a block of tiles. */
static void finish_block(const struct job *job, const struct thread_space *space, struct channels channels, int64_t first,
                         int64_t count, const float *m)
{
    const struct winograd *w = job->w;
    struct segment s;
    for (int64_t done = 0; done < count; done += s.count) {
        s = segment_at(w, job->p, first + done, done, w->strip > 0 ? smaller(count - done, w->piece) : count - done);
        finish_segment(job, space, &s, channels, m);
    }
}

/* Of the tiles t to count - 1, `step` pixels apart, those like t: of each of its pixels, `apart` pixels from each other, theirs
 * are in the line of `size` as well, or on the same side of it and, if there are lines beside lines, in the same one. `left`:
 * the first one of tile 0. */
static int64_t tiles_alike(int64_t left, int64_t step, int64_t apart, int pixels, int64_t size, bool lines, int64_t t,
                           int64_t count)
{
    int64_t alike = count - t;
    for (int i = 0; i < pixels; i++) {
        const int64_t at = left + t * step + i * apart;
        if (lines || (at >= 0 && at < size))
            alike = smaller(alike, divide_up(size - remainder_of(at, size), step));
        else if (at < 0)
            alike = smaller(alike, divide_up(-at, step));
    }
    return alike;
}

/* A segment from x to y. first: channels of the panels, and of the one behind the last, counted from the first one. */
static void fuse_segment(const struct job *job, const struct thread_space *space, const struct segment *s,
                         const struct run *run, const int64_t *first)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    const int64_t step = w->cover.step, x_step = step * p->stride[2];
    const int64_t z = depth_pixel(p, s, 0), y = s->y * p->stride[1] - p->pad[1], x = s->x * p->stride[2] - p->pad[2];
    const int64_t x_plane = s->n * job->x.n + z * p->in[1] * p->in[2] * job->x.pixel + run->group * p->x_group;
    const int64_t from = falt_panel_first(&w->panels, run->panel), y_channel = run->group * p->y_group + from;
    const int64_t y_plane = p->y.base + s->n * p->y.n + y_channel * p->y.c + s->z * p->y.pixel[0];
    const float *in[WINOGRAD_ALPHA], *residual[WINOGRAD_ALPHA];
    float *out[WINOGRAD_ALPHA];
    ptrdiff_t in_tile[WINOGRAD_ALPHA], out_tile[WINOGRAD_ALPHA];
    struct winograd_fused_args args = {
        .d = in,
        .y = out,
        .residual = job->operands->residual ? residual : NULL,
        .d_tile = in_tile,
        .y_tile = out_tile,
        .u = (const float *)job->operands->packed + falt_panel_offset(&w->panels, panel_depth(p, w), run->group, run->panel),
        .first = first,
        .panels = run->panels,
        .bias = job->operands->bias ? job->operands->bias + y_channel : NULL,
        .channels = p->x_group,
        .outputs = smaller(first[run->panels], p->y_group - from),
        .v = space->v,
        .ahead = w->outgrows ? FUSED_AHEAD : 0,
        .epilogue = job->epilogue,
    };
    for (int64_t t = 0; t < s->count; t += args.tiles) {
        args.tiles = smaller(tiles_alike(x, x_step, w->apart_w, w->aw, p->in[2], p->circular, t, s->count),
                             tiles_alike(s->x, step, w->cover.dw, w->cover.mw, p->out[2], false, t, s->count));
        args.stream = job->stream && args.outputs % w->panels.vec == 0;
        for (int i = 0; i < w->points; i++) {
            const int64_t line = falt_pixel(p, 1, y + i / w->aw * w->apart_h);
            const int64_t column = falt_pixel(p, 2, x + t * x_step + i % w->aw * w->apart_w);
            const bool there = z >= 0 && line >= 0 && column >= 0;
            in[i] = there ? job->operands->x + x_plane + (line * p->in[2] + column) * job->x.pixel : space->zeros;
            in_tile[i] = there ? x_step * job->x.pixel : 0;
        }
        for (int i = 0; i < w->cover.mh * w->cover.mw; i++) {
            const int64_t line = s->y + i / w->cover.mw * w->cover.dh;
            const int64_t column = s->x + t * step + i % w->cover.mw * w->cover.dw;
            const bool there = line < p->out[1] && column < p->out[2];
            const int64_t offset = y_plane + line * p->y.pixel[1] + column * p->y.pixel[2];
            out[i] = there ? job->operands->y + offset : space->dump;
            out_tile[i] = there ? step * p->y.pixel[2] : 0;
            if (args.residual)
                residual[i] = there ? job->operands->residual + offset : space->zeros;
            args.stream = args.stream && there;
        }
        job->kernels->winograd[w->tile].fused(&args);
    }
}

static void fuse_block(const struct job *job, const struct thread_space *space, int64_t tile, int64_t count, int64_t begin,
                       int64_t end)
{
    const struct winograd *w = job->w;
    int64_t first[MOST_TOGETHER + 1];
    struct run run;
    struct segment s;
    for (int64_t item = begin; item < end; item += run.panels) {
        run = (struct run){.group = item / w->panels.count, .panel = item % w->panels.count};
        run.panels = smaller(w->together, smaller(end - item, w->panels.count - run.panel));
        for (int64_t i = 0; i <= run.panels; i++)
            first[i] = falt_panel_first(&w->panels, run.panel + i) - falt_panel_first(&w->panels, run.panel);
        for (int64_t done = 0; done < count; done += s.count) {
            s = segment_at(w, job->p, tile + done, done, count - done);
            fuse_segment(job, space, &s, &run, first);
        }
    }
}

static void run_block(const struct job *job, const struct thread_space *space, int64_t first, int64_t count, int64_t begin,
                      int64_t end)
{
    const struct problem *p = job->p;
    const struct winograd *w = job->w;
    int64_t transformed = 0; /* groups before this one */
    for (int64_t item = begin; item < end;) {
        struct run run = {.group = item / w->panels.count, .panel = item % w->panels.count};
        run.panels = smaller(w->together, smaller(end - item, w->bundle > 1 ? end - item : w->panels.count - run.panel));
        if (run.group >= transformed) {
            transformed = run.group + (w->bundle > 1 ? run.panels : 1);
            const struct channels channels = {run.group * p->x_group, (transformed - run.group) * p->x_group};
            transform_input(job, space, channels, first, count);
        }
        multiply(job, space, &run, count);
        /* Channels first, a panel fills the strip. */
        const int64_t step = w->strip > 0 ? 1 : run.panels;
        for (int64_t i = 0; i < run.panels; i += step) {
            const int64_t before = outputs_of(job, &run, i).count;
            struct channels channels = outputs_of(job, &run, i + step);
            channels.first += before;
            channels.count -= before;
            finish_block(job, space, channels, first, count, space->m + before);
        }
        item += run.panels;
    }
}

/* Where the block that begins at a tile ends: what is left is shared evenly, channels first in whole rows. */
static int64_t block_end(const struct winograd *w, int64_t from, int64_t last)
{
    const int64_t unit = w->strip > 0 && w->block >= w->cover.tiles_w && w->block < last - from ? w->cover.tiles_w : 1;
    const int64_t begin = from / unit, units = divide_up(last, unit) - begin, most = w->block / unit;
    return smaller((begin + divide_up(units, divide_up(units, most))) * unit, last);
}

static void run_member(const struct job *job, int member, int members)
{
    const struct winograd *w = job->w;
    char *memory = (char *)job->operands->workspace + w->per_thread * (size_t)member;
    const size_t sizes[] = {w->zeros, w->dump, w->v, w->m, w->lists, w->strip, w->out_strip, w->out_strip, w->turned};
    void *parts[sizeof sizes / sizeof *sizes];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        parts[i] = memory;
        memory += sizes[i];
    }
    const struct thread_space space = {parts[0], parts[1], parts[2], parts[3], parts[4],
                                       parts[5], parts[6], parts[7], parts[8]};
    memset(space.zeros, 0, w->zeros);
    fill_lists(w, &space);

    for (int64_t piece = member; piece < w->tile_ranges * w->panel_ranges; piece += members) {
        int64_t first, last, begin, end;
        falt_share(w->tiles, (int)(piece % w->tile_ranges), (int)w->tile_ranges, &first, &last);
        falt_share(all_runs(job->p, w), (int)(piece / w->tile_ranges), (int)w->panel_ranges, &begin, &end);
        begin *= w->bundle;
        end = smaller(end * w->bundle, job->p->groups * w->panels.count);
        for (int64_t from = first, to; from < last; from = to) {
            to = block_end(w, from, last);
            (w->fused ? fuse_block : run_block)(job, &space, from, to - from, begin, end);
        }
    }
    if (job->stream)
        job->kernels->fence();
}

/* Streaming stores need whole vectors at aligned addresses. */
static bool can_stream(const struct problem *p, const struct winograd *w, const float *y)
{
    const int64_t neighbours = w->out_strip > 0 ? p->y.c : p->y.pixel[2] | p->y_group;
    return w->stream && falt_in_lines(y, p->y.base | p->y.n | p->y.pixel[0] | p->y.pixel[1] | neighbours);
}

void falt_winograd_run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                       const struct operands *operands, int member, int members)
{
    const struct job job = {
        .p = p,
        .w = (const struct winograd *)(const void *)c->state,
        .kernels = kernels,
        .operands = operands,
        .epilogue = falt_epilogue(p),
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
        .stream = can_stream(p, (const struct winograd *)(const void *)c->state, operands->y),
    };
    run_member(&job, member, members);
}
