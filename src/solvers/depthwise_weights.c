/*
 * depthwise_weights.c - weight gradients of depthwise convolution, and of grouped convolution with few channels a group.
 *
 * In the lanes of a vector are the y channels of as many groups as it holds, a unit; for each x channel of a group a
 * permutation brings it into the lanes of its group. Each tap then is one accumulator, summed over pixels:
 *
 *     sum[r][k] += permute(x[y * sh + r, q * sw + k]) * y[y, q]          a window of up to 3 kernel rows at once
 *
 * or, where a group has four x channels or more and not fewer than y channels, these are in the lanes and y is permuted, once
 * for all taps of a row that see it; a unit may be a single group then, whose y channels need no permutation:
 *
 *     sum[j][k] += x[y * sh, q * sw + k] * permute_j(y[y, q])            channels j of y, one kernel row at a time
 *
 * The kernels themselves leave out taps that lie outside of the image. Units go side by side while their pixels' lines are at
 * hand, and what comes from memory, or with x in the lanes from L3, goes band by band: one is in L2 for all units, and asks for
 * the next meanwhile.
 * Channels first, a band of rows passes through channels-last strips.
 *
 * Channels last with a kernel of a single column, it is turned: chains run down the image, where windows share what they load.
 *
 * Rows (turned: columns) are cut into parts, which depend on the problem only; each sums into vectors of its own, which are
 * added in order.
 */
#include <stdio.h>
#include <string.h>

#include "../arithmetic.h"
#include "../bias.h"
#include "../cost.h"
#include "../parallel.h"
#include "../range.h"
#include "../solver.h"
#include "../strip.h"

enum {
    MOST_COLUMNS = 512,   /* of a chain of sums, along a row */
    LEAST_LANES = 4,      /* of one of several groups: fewer x channels make too few sums at once (0.9 times as fast) */
    WANTED_ITEMS = 64,    /* parts are made for at least as many */
    LEAST_PIXELS = 2048,  /* but not smaller than this, */
    PART_CYCLES = 8000,   /* but of few units, */
    PART_BYTES = 1 << 19, /* or for so much of x and y each: a part has whole pixels */
    SUMS_SHARE = 4,       /* and that outnumber its sums, which are written and read again, */
    NEAR_STEPS = 8,       /* of a chain where units share cache lines and pixels meet in few sets of L1, */
    ROW_LINES = 400,      /* or, where a row is more lines than these, */
    ROW_STEPS = 16,       /* of other pixels */
    STRIP_FLOATS = 32768, /* of y in a strip, about */
    TURNED_ROWS = 5,      /* of a kernel of one column, at least, for 1.1 to 1.7 times the speed (AVX-512), */
    TURNED_COLUMNS = 16,  /* of all images, which parts are made of, */
    PAGE_FLOATS = 1024,   /* and rows of an image that are no multiple of it apart */
    STRIP_BANDS = 2,      /* as high is a strip of x, whose rows serve the next band, too */
    BAND_BYTES = 1 << 18, /* of x and y in a band, which had better stay in L2, about */
    ROLLED_BYTES = 2048,  /* pixels apart by a multiple of it: less far 0.85 to 0.97 times as fast without a bias */
    STRIP_PITCH = 128,    /* of strips of pixels that lie far apart: their lines come from L2 side by side */
};

struct slices {
    int vec;
    int64_t groups, units; /* groups of a unit; their number */
    int64_t rows, width;   /* of a window, at most */
    int64_t pieces;        /* of an output row */
    int64_t lines, band;   /* pieces of all output rows; those that go together, at most */
    int64_t parts;
    int64_t steps;    /* of a chain of sums along a row, or 0: all of a piece */
    bool plain;       /* one channel a group: nothing to permute */
    bool x_in_lanes;  /* and y's channels are permuted; else the other way around */
    int64_t others;   /* channels of a group on the side that is not in the lanes: each has sums of its own */
    int64_t channels; /* of these go together, at most, where x is in the lanes */
    bool pairs;       /* of units go together */
    int64_t down;     /* lines of a chain, at most, without x in the lanes */
    bool rolls;       /* line by line of x, many units next to each other */
    bool asks;        /* bands ask for what comes next */
    bool strip;
    bool turned;             /* columns of the image serve as rows */
    int64_t together, pitch; /* units of a strip, floats of its pixels */
    int64_t x_lines;         /* image rows of a strip, at most */
    bool totals;             /* the kernels sum the bias gradient */
    size_t bias;             /* bytes of the parts' totals of the bias gradient; 0: it is not summed here */
    size_t sums;             /* bytes of one unit's sums of one part */
    int64_t kept;            /* units whose sums a thread has at once, where there is a single part; of several, all are kept */
    size_t index, x_bytes, y_bytes, kept_bytes, per_thread; /* a thread's workspace, in this order and then the units' totals of
                                                             * the bias, far from what other threads write; and where the
                                                             * next one's begins */
};

_Static_assert(sizeof(struct slices) <= SOLVER_STATE, "the solver's state must fit");

/* --------------------------------------------------------------------------------------------------------------- planning */

static int64_t extent(const struct problem *p, int dimension)
{
    return (p->kernel[dimension] - 1) * p->dilation[dimension] + 1;
}

static bool choose_workspace(const struct problem *p, const struct resources *r, struct slices *s)
{
    const double vectors = (double)s->others * (double)p->taps;
    const double all = vectors * (double)s->parts * (double)s->units * (double)s->vec;
    double x = 0.0, y = 0.0;
    if (s->strip) {
        const int64_t y_line = divide_up(p->out[2], s->pieces);
        const int64_t x_line = smaller((y_line - 1) * p->stride[2] + extent(p, 2), p->in[2]);
        s->x_lines = smaller((STRIP_BANDS * s->band - 1) * p->stride[1] + extent(p, 1), p->in[1]);
        x = (double)x_line * (double)s->x_lines * (double)s->pitch;
        y = (double)y_line * (double)s->band * (double)s->pitch;
    }
    if (all > 1e15 || x > 1e15 || y > 1e15)
        return false;
    s->sums = (size_t)vectors * (size_t)s->vec * sizeof(float);
    s->index = round_to_lines((size_t)(s->others * s->vec) * sizeof(int32_t));
    s->x_bytes = round_to_lines((size_t)x * sizeof(float));
    s->y_bytes = round_to_lines((size_t)y * sizeof(float));
    s->kept = s->parts > 1 ? s->units : smaller(s->together, divide_up(s->units, r->threads));
    s->kept_bytes = s->parts > 1 ? 0 : round_to_lines(s->sums * (size_t)s->kept);
    s->per_thread = s->index + s->x_bytes + s->y_bytes + s->kept_bytes;
    s->per_thread += s->totals ? round_to_lines((size_t)(s->kept * s->vec) * sizeof(double)) : 0;
    return true;
}

/* Of all units and parts. */
static size_t sums_bytes(const struct slices *s)
{
    return s->parts > 1 ? round_to_lines(s->sums * (size_t)(s->parts * s->units)) : 0;
}

/* falt_pixels_meet, of what follows each other in a chain. */
static bool pixels_meet(const struct problem *p, const struct slices *s)
{
    return s->turned ? p->in[1] * p->x_channels * (int64_t)sizeof(float) % 512 == 0 : falt_pixels_meet(p);
}

/* Cycles of one pixel and unit. */
static double pixel_cycles(const struct problem *p, const struct slices *s)
{
    const double seen = (double)p->in_pixels / (double)p->out_pixels + 1.0;
    const double copies = s->strip ? 0.35 * (double)(s->pitch / s->together) * seen : 2.0 * seen;
    if (s->x_in_lanes) {
        const int64_t blocks = divide_up(s->others, s->channels) * divide_up(p->kernel[2], s->width);
        const double step = (double)(s->others * p->kernel[2]) / (double)blocks / cost_fma_per_cycle;
        const double lines = pixels_meet(p, s) && !s->strip ? (double)(smaller(p->stride[2], s->width) + 1)
                             : s->strip                     ? 1.0
                                                            : 0.5;
        const double ends = (25.0 + 60.0 / (double)s->band) / (double)divide_up(p->out[2], s->pieces);
        return (double)(blocks * p->kernel[0] * p->kernel[1]) *
                   ((step > cost_fma_latency ? step : cost_fma_latency) + lines + ends) +
               copies;
    }
    const double windows = (double)(divide_up(p->kernel[1], s->rows) * divide_up(p->kernel[2], s->width));
    const double sums = (double)(p->kernel[1] * p->kernel[2]) / windows, step = sums * (s->plain ? 0.55 : 1.0);
    const double each = 1.1 * (step > cost_fma_latency ? step : cost_fma_latency);
    return (double)(p->x_group * p->kernel[0]) * windows * each + copies;
}

/* A chain, the others that are added to it, and the parts; but in no order is a sum worse than one chain of all. */
static double longest_sum(const struct problem *p, const struct slices *s)
{
    const int64_t piece = divide_up(p->out[2], s->pieces) + s->width - 1; /* a tap's pixels begin so many steps later */
    const int64_t steps = s->steps ? smaller(s->steps, piece) : piece;
    const int64_t together = s->x_in_lanes ? s->band : s->down; /* lines */
    const int64_t chain = together * steps, chains = divide_up(s->lines, s->parts) * divide_up(piece, steps);
    const double terms = (double)chain + (double)chains + (double)s->parts, all = (double)(p->batch * p->out_pixels);
    return terms < all ? terms : all;
}

/* Units of less than a cache line take turns at so many steps, of which L1 still has the lines for the next one. */
static int64_t chain_steps(const struct problem *p, const struct slices *s)
{
    const int64_t apart = smaller(p->stride[2], 2), lines = (s->rows + 1) * apart * p->out[2];
    if (s->vec >= LINE_FLOATS || !s->plain || s->strip)
        return 0;
    if (pixels_meet(p, s))
        return NEAR_STEPS / apart;
    return lines > ROW_LINES && (apart == 1 || !s->asks) ? ROW_STEPS
                                                         : 0; /* asked for, strided rows go whole (1.3 times as fast) */
}

/* Whether a window's neighbours are one tap from it both ways, or two. */
static bool slides(const struct problem *p)
{
    const int64_t step = p->stride[2] / p->dilation[2];
    return step >= 1 && step <= 2 && p->stride[2] == step * p->dilation[2] && p->stride[1] == step * p->dilation[1];
}

static bool consider(const struct problem *p, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    struct slices *s = (struct slices *)(void *)c->state;
    const int64_t widest = larger(p->x_group, p->y_group);
    s->vec = r->kernels->vec;
    const bool several = p->groups > 1 && 2 * p->x_group > s->vec && p->x_group <= s->vec && p->y_group <= 2 * s->vec;
    if (widest > 1 && 2 * widest > s->vec && !several) {
        snprintf(reason, SOLVER_REASON, "a vector holds %d channels, which are neither two groups of %lld nor one of several",
                 s->vec, (long long)widest);
        return false;
    }
    s->groups = smaller(larger(1, s->vec / widest), p->groups);
    s->units = divide_up(p->groups, s->groups);
    s->plain = widest == 1;
    s->x_in_lanes = (several && 2 * widest > s->vec) || (p->x_group >= LEAST_LANES && p->x_group >= p->y_group);
    s->others = s->x_in_lanes ? p->y_group : p->x_group;
    /* Pixels that are a large power of two apart meet in few sets of the cache: a copy pays where their lines come again and
     * again, for the channels of a group or because a vector is but a part of one. */
    const bool again = widest > 1 || (size_t)s->vec * sizeof(float) < 64;
    const int64_t far = s->x_in_lanes ? 1024 : widest > 1 ? 128 : 512;
    s->strip = p->layout == FALT_CHANNELS_FIRST || (again && p->x_channels % far == 0);
    s->turned = !s->strip && p->kernel[2] == 1 && p->kernel[1] >= TURNED_ROWS && p->in[2] * p->x_channels % PAGE_FLOATS != 0 &&
                p->batch * p->out[0] * p->out[2] >= TURNED_COLUMNS;
    const struct problem turned = falt_problem_turned(p);
    p = s->turned ? &turned : p;
    s->together = !s->strip ? s->units : p->layout == FALT_CHANNELS_FIRST ? 1 : divide_up(STRIP_PITCH, s->vec);
    s->pitch = s->together * divide_up(s->groups * widest, s->vec) * s->vec;
    s->pairs = s->plain && !s->strip && !s->turned && falt_pixels_meet(p);

    const int64_t registers = r->kernels->window_registers, widths = smaller(p->kernel[2], WINDOW_MAX_WIDTH);
    for (s->rows = smaller(p->kernel[1], WINDOW_MAX_ROWS); s->rows > 1 && (s->rows + 1) * widths >= registers;)
        s->rows--;
    s->width = divide_up(p->kernel[2], divide_up(p->kernel[2], smaller(WINDOW_MAX_WIDTH, (registers - 1) / (s->rows + 1))));
    /* Of more lines, L1 has none left for the next unit; with strides they have less in common; and larger windows leave no
     * registers for them. */
    const bool few =
        s->vec < LINE_FLOATS || p->stride[1] > 1 || s->rows != 3 || s->width != 3 || (!s->strip && pixels_meet(p, s));
    s->down = few ? WINDOW_FEW_LINES : WINDOW_MAX_LINES;

    if (s->x_in_lanes) {
        s->rows = 1;
        s->width = divide_up(p->kernel[2], divide_up(p->kernel[2], GROUPS_MAX_WIDTH));
        const int64_t most = smaller(GROUPS_MAX_CHANNELS, r->kernels->groups_sums / s->width);
        s->channels = divide_up(s->others, divide_up(s->others, most));
    }

    s->pieces = divide_up(p->out[2], MOST_COLUMNS);
    s->band = p->out[1];
    s->lines = p->batch * p->out[0] * p->out[1] * s->pieces;
    const int64_t most = larger(1, smaller(s->lines, p->batch * p->out_pixels / LEAST_PIXELS));
    const double bytes = falt_tensor_bytes(p);
    s->parts = smaller(divide_up(WANTED_ITEMS, s->units), most);
    /* Few units take fewer, if that pays for threads to meet. */
    const double worth = (double)(p->batch * p->out_pixels) * pixel_cycles(p, s) / PART_CYCLES;
    s->parts = larger(s->parts, smaller(smaller(divide_up(cost_nominal_threads, s->units), s->lines), (int64_t)worth));
    static const int64_t even[] = {2, 4, 6, 8, 12, 16}; /* for the usual numbers of threads */
    const double sums = (double)(s->units * s->others * p->taps) * (double)s->vec * sizeof(float);
    const double worthy = SUMS_SHARE * sums > PART_BYTES ? SUMS_SHARE * sums : PART_BYTES; /* of a part */
    for (int i = 0; i < (int)(sizeof even / sizeof *even) && even[i] <= s->lines && bytes >= (double)even[i] * worthy; i++)
        s->parts = larger(s->parts, even[i]);
    /* Asking for what is in L3 takes windows longer than waiting for it. */
    s->asks = !s->strip && !s->turned && (s->pieces == 1 || s->x_in_lanes) && p->out[0] * p->kernel[0] == 1 && s->parts > 1 &&
              bytes > (s->x_in_lanes ? (double)r->cpu->l2 : (double)r->cpu->l3 / 2.0);
    s->rolls = s->pairs && !s->asks && p->out[2] <= WINDOW_ROLLED && p->x_channels * (int64_t)sizeof(float) % ROLLED_BYTES == 0;
    s->steps = chain_steps(p, s);
    s->totals = r->kernels->window_registers >= 32 && s->plain && s->rows == WINDOW_MAX_ROWS && s->width > 1 &&
                s->width % 2 == 1 && slides(p) && !p->transposed;
    s->bias = s->totals                      ? round_to_lines((size_t)(s->parts * p->y_channels) * sizeof(double))
              : s->pieces == 1 && !s->turned ? falt_bias_size(p, s->parts)
                                             : 0; /* whose lines are whole rows */
    const double row = sizeof(float) * (double)(p->out[2] * p->y_channels + p->in[2] * p->stride[1] * p->x_channels);
    if (s->x_in_lanes && !s->strip)
        s->band = smaller(s->band, larger(1, (int64_t)(BAND_BYTES / row)));
    else if (s->strip)
        s->band = smaller(s->band, divide_up(STRIP_FLOATS, smaller(p->out[2], MOST_COLUMNS) * s->pitch));
    else if (s->asks) {
        const bool two = r->kernels->window_registers < 32 || s->pairs; /* lines of stride 1 go together */
        const int64_t down = two && p->stride[1] == 1 ? 2 : s->down, rows = (int64_t)(BAND_BYTES / row),
                      whole = rows / down * down;
        s->band = smaller(s->band, whole > 0 ? whole : larger(1, rows));
    } else if (s->bias > 0 && !s->totals) /* whole chains */
        s->band = smaller(
            s->band, divide_up(divide_up(BAND_BYTES / (int64_t)sizeof(float), s->down), p->out[2] * p->y_channels) * s->down);
    if (!choose_workspace(p, r, s)) {
        snprintf(reason, SOLVER_REASON, "it needs more workspace than can be addressed");
        return false;
    }

    const int64_t items = s->units * s->parts;
    const double pixels = (double)(p->batch * p->out_pixels) / (double)s->parts;
    c->threads = (int)smaller(r->threads, items);
    const double region = c->threads > 1 ? (r->region + (s->parts > 1 ? cost_barrier_seconds : 0.0)) * cost_hertz : 0.0;
    c->sums_bias = s->bias > 0;
    s->per_thread += falt_threads_apart(r, c->threads);
    c->workspace = sums_bytes(s) + s->bias + s->per_thread * (size_t)c->threads;
    c->seconds = ((double)divide_up(items, r->threads) * (pixels * pixel_cycles(p, s) + 500.0) + region) / cost_hertz;
    c->accuracy = 1.0;
    c->error_growth = 1.0;
    c->error_terms = longest_sum(p, s);
    snprintf(c->kernel, SOLVER_NOTE, "%s %s %dx%d%s", r->kernels->name, s->plain ? "channels" : "groups",
             (int)(s->x_in_lanes ? s->channels : s->rows), (int)s->width, s->turned ? " turned" : "");
    snprintf(c->schedule, SOLVER_NOTE, "%lld parts x %lld vectors of channels%s", (long long)s->parts, (long long)s->units,
             s->strip ? ", strips" : "");
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- running */

struct job {
    const struct problem *p;
    const struct slices *s;
    const struct kernels *kernels;
    const struct operands *operands;
    struct tensor_strides x, y;
    int64_t x_row, y_row, x_plane, y_plane; /* floats from one to the next */
    struct weight_strides w;
    char *threads;
    double *bias; /* or NULL */
    float *sums;  /* of several parts: [part][unit][channel of the other side][tap][vec] */
};

/* What the next band is the first to see, to be asked for: of y, then of x. */
enum { ASKED = 2 };
struct asking {
    const float *from[ASKED];
    int64_t lines[ASKED];
    int at;
};

/* A member's item, and the band of output rows that it is at. */
struct item {
    const struct job *job;
    int64_t units, x_lanes, y_lanes; /* of each unit */
    float *x_strip, *y_strip;
    double *totals, *bias;  /* [units][vec] of the bias gradient; or NULL, where this band's are not to be summed */
    float *kept, *sums;     /* the thread's own; of the units at hand */
    const float *held_from; /* rows and columns of x that are in its strip, and of which plane */
    struct range held;
    int32_t *index;     /* [channel of a group on the side that is not in the lanes][vec] */
    const float *x, *y; /* image n, the unit's first channel; or the strips */
    struct tensor_strides x_stride, y_stride;
    int64_t x_row, y_row;           /* floats from one row to the next */
    int64_t x_first[2], y_first[2]; /* row and column of the first pixel */
    struct range rows, columns;     /* of the output */
    struct asking ask;
};

/* Where within the output positions q a tap of a dimension lies inside of the image, counted from q.begin. */
static struct window_range meeting(const struct problem *p, int dimension, int64_t tap, struct range q)
{
    const int64_t stride = p->stride[dimension], shift = tap * p->dilation[dimension] - p->pad[dimension];
    const int64_t first = shift < 0 ? divide_up(-shift, stride) : 0;
    const int64_t last = p->in[dimension] > shift ? divide_up(p->in[dimension] - shift, stride) : 0;
    const struct range met = {larger(first, q.begin), smaller(last, q.end)};
    return met.begin < met.end ? (struct window_range){met.begin - q.begin, met.end - q.begin} : (struct window_range){0, 0};
}

/* All sums of a band for one plane of taps with x in the lanes. */
static void sum_groups(const struct item *item, float *sums)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct slices *s = job->s;
    const int64_t h = item->rows.begin * p->stride[1] - p->pad[1] - item->x_first[0];
    const int64_t v = item->columns.begin * p->stride[2] - p->pad[2] - item->x_first[1];
    const float *y = item->y + (item->rows.begin - item->y_first[0]) * item->y_row +
                     (item->columns.begin - item->y_first[1]) * item->y_stride.pixel;
    struct groups_args args = {
        .x_line = p->stride[1] * item->x_row,
        .y_line = item->y_row,
        .x_step = p->stride[2] * item->x_stride.pixel,
        .y_step = item->y_stride.pixel,
        .tap_step = p->dilation[2] * item->x_stride.pixel,
        .c_channel = p->taps * s->vec,
    };
    const bool spread = s->groups == 1;
    const int64_t unit_c = (int64_t)(s->sums / sizeof(float));
    struct asking ask = item->ask;
    for (int64_t r = 0; r < p->kernel[1]; r++) {
        const struct window_range met = meeting(p, 1, r, item->rows);
        args.lines = met.end - met.begin;
        const float *x_row =
            item->x + v * item->x_stride.pixel + (h + met.begin * p->stride[1] + r * p->dilation[1]) * item->x_row;
        const float *y_row = y + met.begin * item->y_row;
        for (int64_t k = 0, width; k < p->kernel[2] && args.lines > 0; k += width) {
            width = smaller(s->width, p->kernel[2] - k);
            struct range all = {0, INT64_MAX};
            for (int64_t i = 0; i < width; i++) {
                args.taps[i] = meeting(p, 2, k + i, item->columns);
                all.begin = larger(all.begin, args.taps[i].begin);
                all.end = smaller(all.end, args.taps[i].end);
            }
            const int64_t steps = larger(0, length(all)) * args.lines;
            for (int64_t unit = 0; unit < item->units; unit++) {
                const int64_t x_from = unit * item->x_lanes, y_from = unit * item->y_lanes;
                args.x = x_row + k * args.tap_step + x_from;
                args.x_lanes = (int)smaller(s->vec, item->units * item->x_lanes - x_from); /* another unit's do no harm */
                args.y_lanes = (int)smaller(s->vec, item->units * item->y_lanes - y_from);
                for (int64_t j = 0, channels; j < s->others; j += channels) {
                    channels = smaller(s->channels, s->others - j);
                    args.y = y_row + y_from + (spread ? j : 0);
                    args.index = spread ? NULL : item->index + j * s->vec;
                    args.c = sums + unit * unit_c + (j * p->taps + r * p->kernel[2] + k) * s->vec;
                    args.ask = ask.from[ask.at];
                    args.ask_lines = smaller(ask.lines[ask.at], steps * GROUPS_ASKS);
                    job->kernels->groups[channels][width](&args);
                    ask.from[ask.at] += args.ask_lines * LINE_FLOATS;
                    ask.lines[ask.at] -= args.ask_lines;
                    if (ask.lines[ask.at] == 0)
                        ask.at = ASKED - 1;
                }
            }
        }
    }
}

/* All windows of a band for one plane of taps, sums of the plane at `sums`. */
static void sum_band(struct item *item, int64_t channel, float *sums)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct slices *s = job->s;
    const bool whole = s->plain && item->y_lanes == s->vec;
    const int64_t h = item->rows.begin * p->stride[1] - p->pad[1] - item->x_first[0];
    const int64_t v = item->columns.begin * p->stride[2] - p->pad[2] - item->x_first[1];
    struct window_args args = {
        .y = item->y + (item->rows.begin - item->y_first[0]) * item->y_row +
             (item->columns.begin - item->y_first[1]) * item->y_stride.pixel,
        .lines = length(item->rows),
        .columns = length(item->columns),
        .down = s->down,
        .x_line = p->stride[1] * item->x_row,
        .y_line = item->y_row,
        .x_step = p->stride[2] * item->x_stride.pixel,
        .y_step = item->y_stride.pixel,
        .row_step = p->dilation[1] * item->x_row,
        .tap_step = p->dilation[2] * item->x_stride.pixel,
        .index = whole ? NULL : item->index + channel * s->vec,
        .x_lanes = (int)item->x_lanes,
        .y_lanes = (int)item->y_lanes,
        .c_row = p->kernel[2] * s->vec,
        .steps = s->steps,
        .units = item->units,
        .unit_x = s->groups * p->x_group,
        .unit_y = s->groups * p->y_group,
        .unit_c = (ptrdiff_t)(s->sums / sizeof(float)),
        .pairs = s->pairs,
        .rolls = s->rolls,
        .ask = {item->ask.from[0], item->ask.from[1]},
        .ask_lines = {item->ask.lines[0], item->ask.lines[1]},
    };
    if (item->bias && window_totals(&args, s->rows, s->width)) {
        args.bias = item->bias;
        item->bias = NULL;
    }
    for (int64_t r = 0, rows; r < p->kernel[1]; r += rows) {
        rows = smaller(s->rows, p->kernel[1] - r);
        for (int64_t i = 0; i < rows; i++)
            args.rows[i] = meeting(p, 1, r + i, item->rows);
        for (int64_t k = 0, width; k < p->kernel[2]; k += width) {
            width = smaller(s->width, p->kernel[2] - k);
            for (int64_t i = 0; i < width; i++)
                args.taps[i] = meeting(p, 2, k + i, item->columns);
            args.x = item->x + h * item->x_row + v * item->x_stride.pixel + r * args.row_step + k * args.tap_step;
            args.c = sums + r * args.c_row + k * s->vec;
            job->kernels->window[rows][width](&args);
            args.bias = NULL;
            args.ask_lines[0] = args.ask_lines[1] = 0;
        }
    }
}

/* What an output range sees of the image. */
static struct range seen(const struct problem *p, int dimension, struct range q)
{
    const int64_t stride = p->stride[dimension], pad = p->pad[dimension];
    const int64_t begin = larger(0, q.begin * stride - pad);
    return (struct range){begin, larger(begin, smaller(p->in[dimension], (q.end - 1) * stride - pad + extent(p, dimension)))};
}

/* Pixels [rows) x [columns) of a plane with rows of `size` pixels to a strip. */
static void gather(const struct item *item, const float *plane, struct tensor_strides stride, int64_t channels, int64_t size,
                   struct range rows, struct range columns, float *strip)
{
    const int64_t pitch = item->job->s->pitch, pixels = length(columns);
    const bool all = pixels == size; /* then rows follow each other on both sides */
    for (int64_t i = rows.begin; i < rows.end; i = all ? rows.end : i + 1)
        falt_gather(item->job->kernels, plane + (i * size + columns.begin) * stride.pixel, stride, channels,
                    all ? pixels * length(rows) : pixels, strip + (i - rows.begin) * pixels * pitch, pitch);
}

/* Rows h of a plane of x, columns v of them, in the strip, where those are that this band has in common with the last one. */
static void hold(struct item *item, const float *plane, struct range h, struct range v)
{
    const struct job *job = item->job;
    const int64_t size = job->p->in[2];
    const float *from = plane + v.begin * job->x.pixel;
    int64_t *first = &item->x_first[0];
    if (item->held_from != from || h.begin < item->held.begin || h.begin > item->held.end)
        item->held = (struct range){h.begin, h.begin};
    if (h.end - item->held.begin > job->s->x_lines) {
        memmove(item->x_strip, item->x_strip + (h.begin - item->held.begin) * item->x_row,
                (size_t)((item->held.end - h.begin) * item->x_row) * sizeof(float));
        item->held.begin = h.begin;
    }
    *first = item->held.begin;
    if (h.end > item->held.end) {
        gather(item, plane, job->x, item->units * item->x_lanes, size, (struct range){item->held.end, h.end}, v,
               item->x_strip + (item->held.end - *first) * item->x_row);
        item->held.end = h.end;
    }
    item->held_from = from;
}

/* A band of rows of one plane: [rows) x [columns) of plane z of image n. */
static void run_band(struct item *item, int64_t unit, int64_t n, int64_t z)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct slices *s = job->s;
    const struct range h = seen(p, 1, item->rows), v = seen(p, 2, item->columns);
    const float *y = job->operands->y + n * job->y.n + unit * s->groups * p->y_group * job->y.c + z * job->y_plane;
    item->y = y;
    item->y_stride = job->y;
    item->y_row = job->y_row;
    item->y_first[0] = item->y_first[1] = item->x_first[0] = item->x_first[1] = 0;
    if (s->strip) {
        item->y = item->y_strip;
        item->y_stride.pixel = s->pitch;
        item->y_row = length(item->columns) * s->pitch;
        item->y_first[0] = item->rows.begin;
        item->y_first[1] = item->columns.begin;
        gather(item, y, job->y, item->units * item->y_lanes, p->out[2], item->rows, item->columns, item->y_strip);
    }
    for (int64_t d = 0; d < p->kernel[0]; d++) {
        const int64_t plane = z * p->stride[0] - p->pad[0] + d * p->dilation[0];
        if (!inside(plane, p->in[0]) || length(h) == 0 || length(v) == 0)
            continue;
        const float *x = job->operands->x + n * job->x.n + unit * s->groups * p->x_group * job->x.c + plane * job->x_plane;
        item->x = x;
        item->x_stride = job->x;
        item->x_row = job->x_row;
        if (s->strip) {
            item->x = item->x_strip;
            item->x_stride.pixel = s->pitch;
            item->x_row = length(v) * s->pitch;
            item->x_first[1] = v.begin;
            hold(item, x, h, v);
        }
        float *sums = item->sums + d * p->kernel[1] * p->kernel[2] * s->vec;
        if (s->x_in_lanes)
            sum_groups(item, sums);
        else
            for (int64_t channel = 0; channel < s->others; channel++) {
                sum_band(item, channel, sums + channel * p->taps * s->vec);
                item->ask = (struct asking){.at = 0};
            }
    }
    /* Of less than a vector of channels, or of rows that see nothing of the image. */
    y = item->y + (item->rows.begin - item->y_first[0]) * item->y_row +
        (item->columns.begin - item->y_first[1]) * item->y_stride.pixel;
    for (int64_t i = 0; item->bias && i < length(item->rows); i++)
        job->kernels->sum_rows(y + i * item->y_row, item->y_stride.pixel, length(item->columns), item->units * item->y_lanes,
                               item->bias);
}

/* Of one channel of the other side: [tap][vec] to lanes of w that are `apart`. */
static void scatter(const struct job *job, const float *sums, int64_t lanes, float *w, int64_t apart)
{
    const struct problem *p = job->p;
    const struct slices *s = job->s;
    if (job->w.t == 1 && !p->accumulate) {
        job->kernels->transpose(sums, s->vec, p->taps, lanes, w, apart);
        return;
    }
    for (int64_t t = 0; t < p->taps; t++, sums += s->vec)
        for (int64_t lane = 0; lane < lanes; lane++) {
            float *to = w + lane * apart + t * job->w.t;
            *to = p->accumulate ? *to + sums[lane] : sums[lane];
        }
}

/* Adds the parts and puts lane after lane where it belongs. sums: of the first part and unit. */
static void collect(const struct job *job, struct range units, float *sums)
{
    const struct problem *p = job->p;
    const struct slices *s = job->s;
    const int64_t each = (int64_t)(s->sums / sizeof(float));
    for (int64_t unit = units.begin; unit < units.end; unit++) {
        const int64_t groups = smaller(s->groups, p->groups - unit * s->groups), chunk = p->taps * s->vec;
        float *w = job->operands->w + unit * s->groups * p->y_group * job->w.o;
        for (int64_t part = 1; part < s->parts; part++) {
            const float *more = sums + part * s->units * each;
            for (int64_t i = 0; i < each; i++)
                sums[i] += more[i];
        }
        if (!s->x_in_lanes)
            for (int64_t i = 0; i < s->others; i++, sums += chunk)
                scatter(job, sums, groups * p->y_group, w + i * job->w.i, job->w.o);
        else
            for (int64_t o = 0; o < s->others; o++, sums += chunk)
                for (int64_t group = 0; group < groups; group++)
                    scatter(job, sums + group * p->x_group, p->x_group, w + (group * p->y_group + o) * job->w.o, job->w.i);
    }
}

/* So many lines that follow, or those of them that are of one plane. */
static void ask_for(struct item *item, struct range lines)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const int64_t plane = lines.begin / p->out[1] / job->s->pieces, n = plane / p->out[0], z = plane % p->out[0],
                  row = lines.begin % p->out[1];
    const struct range next = {row, smaller(p->out[1], row + length(lines))}, above = {0, row};
    const struct range h = {row > 0 ? larger(seen(p, 1, next).begin, seen(p, 1, above).end) : seen(p, 1, next).begin,
                            seen(p, 1, next).end};
    item->ask.from[0] = job->operands->y + n * job->y.n + z * job->y_plane + next.begin * job->y_row;
    item->ask.lines[0] = length(next) * job->y_row / LINE_FLOATS;
    item->ask.from[1] = job->operands->x + n * job->x.n + z * job->x_plane + h.begin * job->x_row;
    item->ask.lines[1] = larger(0, length(h)) * job->x_row / LINE_FLOATS;
}

/* Units that have as many lanes each. */
static void run_units(struct item *item, struct range units, int64_t part)
{
    const struct job *job = item->job;
    const struct problem *p = job->p;
    const struct slices *s = job->s;
    const int64_t groups = smaller(s->groups, p->groups - units.begin * s->groups);
    item->units = length(units);
    item->x_lanes = groups * p->x_group;
    item->y_lanes = groups * p->y_group;
    item->sums = s->parts > 1 ? job->sums + (size_t)(part * s->units + units.begin) * (s->sums / sizeof(float)) : item->kept;
    memset(item->sums, 0, s->sums * (size_t)item->units);
    const int64_t first = units.begin * s->groups * p->y_group;
    const struct range channels = {first, smaller(units.end * s->groups * p->y_group, p->y_channels)};
    double *bias = job->bias ? job->bias + part * p->y_channels + first : NULL;
    if (bias)
        memset(s->totals ? item->totals : bias, 0, (size_t)length(channels) * sizeof *bias);
    struct range lines = share(s->lines, part, s->parts);
    while (lines.begin < lines.end) {
        int64_t rest = lines.begin;
        item->rows.begin = rest % p->out[1];
        rest /= p->out[1];
        item->columns = share(p->out[2], rest % s->pieces, s->pieces);
        rest /= s->pieces;
        const int64_t rows = smaller(smaller(s->band, length(lines)), p->out[1] - item->rows.begin);
        item->rows.end = item->rows.begin + rows;
        item->ask = (struct asking){.at = 0};
        if (s->asks && rows < length(lines))
            ask_for(item, (struct range){lines.begin + rows, smaller(lines.begin + rows + s->band, lines.end)});
        item->bias = s->totals && bias ? item->totals : NULL;
        run_band(item, units.begin, rest / p->out[0], rest % p->out[0]);
        if (bias && !s->totals) /* lines are counted through all images */
            falt_add_bias_pixels(p, job->kernels, job->operands->y, channels,
                                 (struct range){lines.begin * p->out[2], (lines.begin + rows) * p->out[2]}, bias);
        lines.begin += rows;
    }
    if (bias && s->totals)
        memcpy(bias, item->totals, (size_t)length(channels) * sizeof *bias);
    if (s->parts > 1)
        return;
    collect(job, units, item->sums); /* nobody else's */
    if (bias)
        falt_add_bias_parts(p, channels, 1, job->bias, job->operands->diff_bias);
}

static void run_member(const struct job *job, int member, int members)
{
    const struct problem *p = job->p;
    const struct slices *s = job->s;
    char *memory = job->threads + s->per_thread * (size_t)member;
    struct item item = {.job = job};
    item.index = (int32_t *)(void *)memory;
    item.x_strip = (float *)(void *)(memory + s->index);
    item.y_strip = (float *)(void *)(memory + s->index + s->x_bytes);
    item.kept = (float *)(void *)(memory + s->index + s->x_bytes + s->y_bytes);
    item.totals = (double *)(void *)(memory + s->index + s->x_bytes + s->y_bytes + s->kept_bytes);
    const int64_t held = s->x_in_lanes ? p->x_group : p->y_group; /* lanes of a group */
    for (int64_t i = 0; i < s->others; i++)
        for (int64_t lane = 0; lane < s->vec; lane++)
            item.index[i * s->vec + lane] = (int32_t)(lane / held < s->groups ? lane / held * s->others + i : 0);
    int64_t index, end;
    falt_share(s->units * s->parts, member, members, &index, &end);
    while (index < end) {
        const int64_t part = index / s->units, unit = index % s->units, whole = p->groups / s->groups;
        const int64_t most = unit < whole ? smaller(smaller(s->together, s->kept), whole - unit) : 1;
        const int64_t units = smaller(most, end - index);
        run_units(&item, (struct range){unit, unit + units}, part);
        index += units;
    }
}

static void run(const struct problem *problem, const struct candidate *c, const struct kernels *kernels,
                const struct operands *operands, int member, int members)
{
    const struct slices *s = (const struct slices *)(const void *)c->state;
    struct problem turned;
    const struct problem *p = problem;
    if (s->turned) {
        turned = falt_problem_turned(problem);
        p = &turned;
    }
    struct job job = {
        .p = p,
        .s = s,
        .kernels = kernels,
        .operands = operands,
        .x = falt_tensor_strides(p, p->x_channels, p->in_pixels),
        .y = falt_tensor_strides(p, p->y_channels, p->out_pixels),
        .w = falt_weight_strides(p),
        .threads = (char *)operands->workspace + sums_bytes(s) + s->bias,
        .bias = operands->diff_bias ? (double *)(void *)((char *)operands->workspace + sums_bytes(s)) : NULL,
        .sums = operands->workspace,
    };
    job.x_plane = p->in[1] * p->in[2] * job.x.pixel;
    job.y_plane = p->out[1] * p->out[2] * job.y.pixel;
    job.x_row = s->turned ? job.x.pixel : p->in[2] * job.x.pixel;
    job.y_row = s->turned ? job.y.pixel : p->out[2] * job.y.pixel;
    if (s->turned) {
        job.x.pixel *= p->in[1];
        job.y.pixel *= p->out[1];
    }
    run_member(&job, member, members);
    if (s->parts == 1)
        return;
    falt_barrier(members);
    const struct range units = share(s->units, member, members);
    collect(&job, units, job.sums + units.begin * (int64_t)(s->sums / sizeof(float)));
    if (job.bias)
        falt_add_bias_parts(p, share(p->y_channels, member, members), s->parts, job.bias, operands->diff_bias);
}

const struct solver falt_solver_depthwise_weights = {"depthwise", FALT_ALGO_DEPTHWISE, SOLVES_WEIGHTS, false, consider, NULL,
                                                     run};
