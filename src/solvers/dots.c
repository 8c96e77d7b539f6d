/*
 * dots.c - direct convolution for few output channels: dot products over input channels (kernels.h, dots_args).
 *
 * Channels last, of x. An output row is cut where its pixels begin or cease to see a tap:
 *
 *                 padding | image                  | padding       with a kernel of 3: the first pixel sees two taps, those in
 *     output row          | 0 | 1 ...          | n |               the middle all, and go through the kernel together, the last
 *                                                                  one two again
 *
 * What they see is a list of runs: the taps of a kernel row, or, where their channels are not neighbours or fill no whole
 * vectors, each tap by itself. 1x1 kernels have all pixels in one run. Weights are packed so that each run finds its own
 * without a gap:
 *
 *     [group][tap][vector of channels][output channel][vec]
 *
 * Each output is summed by lanes, in an order that only the problem determines; threads share out the pixels.
 */
#include <math.h>
#include <stdio.h>

#include "../arithmetic.h"
#include "../cost.h"
#include "../padding.h"
#include "../parallel.h"
#include "../range.h"
#include "../solver.h"

struct dots {
    int vec, rows;     /* floats in a vector; pixels of a tile */
    int64_t vectors;   /* of a tap's channels */
    bool flat;         /* all pixels are in one run */
    bool asks;         /* x is read once, from beyond L2 */
    bool merges;       /* the taps of a kernel row are one run */
    size_t per_thread; /* bytes of workspace: runs, and what is between threads */
};

enum { MOST_MEMBERS = 1024 }; /* of any plan */

_Static_assert(sizeof(struct dots) <= SOLVER_STATE, "the solver's state must fit");

/* --------------------------------------------------------------------------------------------------------------- planning */

static double packed_floats(const struct problem *p, const struct dots *d)
{
    return (double)p->groups * (double)p->taps * (double)d->vectors * (double)(p->y_group * d->vec);
}

/* Cycles of one group's `rows` pixels, which see that share of their taps. */
static double rows_cycles(const struct problem *p, const struct resources *r, const struct dots *d, double seen, double rows)
{
    const double sums = (double)(d->rows * p->y_group), tiles = rows / d->rows;
    const double fma = sums / cost_fma_per_cycle, loads = (double)(d->rows + p->y_group) / cost_loads_per_cycle;
    /* Weights that outgrow L1 come from L2 again for each tile. */
    const double bytes = packed_floats(p, d) / (double)p->groups * sizeof(float);
    const double again =
        bytes > 0.75 * (double)r->cpu->l1d ? (double)(p->y_group * d->vec) * sizeof(float) * cost_l2_byte : 0.0;
    const double step = fmax(fmax(fma, loads), fmax(cost_fma_latency, again));
    const double runs = seen * (double)p->taps / (d->merges ? (double)p->kernel[2] : 1.0);
    const bool dense = p->y.pixel[2] == p->y_group && falt_epilogue(p).activation == ACTIVATE_NONE;
    const double store = dense ? 2.0 : 1.5 * sums;
    const double transpose = (double)divide_up((int64_t)sums, d->vec) * 0.25 * cost_transpose(d->vec);
    return tiles * (seen * (double)(p->taps * d->vectors) * step + 4.0 * runs + transpose + store + cost_tile);
}

/* Seconds with as many threads as pay. */
static double choose_threads(const struct problem *p, const struct resources *r, const struct dots *d, int *threads)
{
    const int64_t pixels = p->batch * p->out_pixels, most = smaller(larger(pixels, 1), r->threads);
    const double row = (double)larger(p->out[2], 1);
    /* Pixels of a row that see few taps go by themselves, or with those few that see the same ones, and wait for the latency of
     * their sums' chains. */
    const int64_t cuts = smaller(p->out[2] - length(falt_whole_outputs(p, 2)), 2 * (p->kernel[2] - 1));
    const double alone = (double)cuts / row * (double)(p->taps * d->vectors) * 0.5 * cost_fma_latency;
    const double call = d->flat ? 0.0 : 2.0 * cost_call * (1.0 + (double)cuts) / row;
    const double seen = falt_seen_share(p, 0, 1) * falt_seen_share(p, 1, 1) * falt_seen_share(p, 2, 1);
    double least = INFINITY;
    for (int64_t n = 1; n <= most; n++) {
        const double each = ceil((double)pixels / (double)n);
        const double input = falt_touched_floats(p) / (double)n * sizeof(float) / cost_l3_bytes;
        const double rows = rows_cycles(p, r, d, seen, each);
        const double cycles = (double)p->groups * (rows + each * (alone + call) + cost_call) + input;
        const double seconds = cycles / cost_hertz + (n > 1 ? r->region : 0.0);
        if (seconds < least) {
            least = seconds;
            *threads = (int)n;
        }
    }
    return least;
}

static bool consider(const struct problem *p, const struct resources *r, struct candidate *c, char reason[SOLVER_REASON])
{
    struct dots *d = (struct dots *)(void *)c->state;
    d->vec = r->kernels->vec;
    if (p->layout == FALT_CHANNELS_FIRST) {
        snprintf(reason, SOLVER_REASON, "the channels of an input pixel are not neighbours");
        return false;
    }
    if (p->y_group > DOTS_MAX_COLUMNS || p->x_group < d->vec) {
        snprintf(reason, SOLVER_REASON, "a group has %lld input and %lld output channels: it is for at least %d and at most %d",
                 (long long)p->x_group, (long long)p->y_group, d->vec, DOTS_MAX_COLUMNS);
        return false;
    }
    if (p->circular || p->taps == 0) {
        snprintf(reason, SOLVER_REASON, p->circular ? "it knows no images that come around" : "there is nothing to multiply");
        return false;
    }
    d->rows = r->kernels->dots_sums / (int)p->y_group;
    d->vectors = divide_up(p->x_group, d->vec);
    d->flat = falt_is_flat(p) && falt_whole_share(p) == 1.0;
    /* Of a single output, loads are all there is time for. */
    d->asks = d->flat && p->groups == 1 && p->y_group > 1 && falt_tensor_bytes(p) > (double)r->cpu->l2 * (double)r->threads;
    d->merges = p->dilation[2] == 1 && p->groups == 1 && p->x_group % d->vec == 0;
    const double packed = packed_floats(p, d), runs = (double)p->taps * (double)sizeof(struct dots_run) * MOST_MEMBERS;
    if (packed > 1e15 || runs > (double)(SIZE_MAX / 2)) {
        snprintf(reason, SOLVER_REASON, "the packed weights, or lists of the taps, need more memory than can be addressed");
        return false;
    }
    c->packed = (size_t)packed * sizeof(float);

    c->seconds = choose_threads(p, r, d, &c->threads);
    d->per_thread = round_to_lines((size_t)p->taps * sizeof(struct dots_run)) + falt_threads_apart(r, c->threads);
    c->workspace = d->per_thread * (size_t)c->threads;
    c->accuracy = 1.0;
    c->error_growth = 1.0;
    c->error_terms = (double)(p->taps * p->x_group);
    snprintf(c->kernel, SOLVER_NOTE, "%s %d pixels x %lld channels", r->kernels->name, d->rows, (long long)p->y_group);
    snprintf(c->schedule, SOLVER_NOTE, "%d pixel ranges", c->threads);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- packing */

static void pack(const struct problem *p, const struct candidate *c, const float *weights, void *packed)
{
    const struct dots *d = (const struct dots *)(const void *)c->state;
    float *out = packed;
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t k = 0; k < p->kernel[0]; k++)
            for (int64_t r = 0; r < p->kernel[1]; r++)
                for (int64_t t = 0; t < p->kernel[2]; t++) {
                    const float *tap =
                        weights + p->w.base + g * p->w.group + k * p->w.tap[0] + r * p->w.tap[1] + t * p->w.tap[2];
                    for (int64_t first = 0; first < d->vectors * d->vec; first += d->vec)
                        for (int64_t o = 0; o < p->y_group; o++)
                            for (int64_t i = first; i < first + d->vec; i++)
                                *out++ = i < p->x_group ? tap[o * p->w.o + i * p->w.i] : 0.0f;
                }
}

/* ---------------------------------------------------------------------------------------------------------------- running */

struct job {
    const struct problem *p;
    const struct dots *d;
    const struct kernels *kernels;
    const struct operands *operands;
    struct tensor_strides x;
    struct dots_run *runs; /* this thread's */
    struct dots_args args; /* what is the same for all */
};

/* Output pixels that follow each other in a row, all of which see the same taps. */
struct piece {
    int64_t n, z, y, x;
    struct range taps[3];
};

static void run_piece(const struct job *job, const struct piece *at, int64_t pixels)
{
    const struct problem *p = job->p;
    const struct dots *d = job->d;
    const int64_t chunk = d->vectors * d->vec * p->y_group, width = length(at->taps[2]); /* of a tap; taps */
    const int64_t pieces = d->merges ? smaller(width, 1) : width;
    struct dots_run *run = job->runs;
    for (int64_t k = at->taps[0].begin; k < at->taps[0].end; k++)
        for (int64_t r = at->taps[1].begin; r < at->taps[1].end; r++)
            for (int64_t i = 0; i < pieces; i++, run++) {
                const int64_t t = at->taps[2].begin + i;
                const int64_t z = window_begin(p, 0, at->z) + k * p->dilation[0],
                              y = window_begin(p, 1, at->y) + r * p->dilation[1];
                run->x = ((z * p->in[1] + y) * p->in[2] + window_begin(p, 2, at->x) + t * p->dilation[2]) * job->x.pixel;
                run->w = ((k * p->kernel[1] + r) * p->kernel[2] + t) * chunk;
                run->length = p->x_group * (d->merges ? width : 1);
            }
    const int64_t to = p->y.base + at->n * p->y.n + at->z * p->y.pixel[0] + at->y * p->y.pixel[1] + at->x * p->y.pixel[2];
    struct dots_args args = job->args;
    args.x = job->operands->x + at->n * job->x.n;
    args.count = run - job->runs;
    args.pixels = pixels;
    args.x_step = pixels > 1 && args.count > 0 ? args.x_step : 0; /* otherwise its multiples need not be numbers */
    for (int64_t g = 0; g < p->groups; g++) {
        const int64_t there = to + g * p->y_group;
        args.y = job->operands->y + there;
        args.residual = job->operands->residual ? job->operands->residual + there : NULL;
        args.bias = job->operands->bias ? job->operands->bias + g * p->y_group : NULL;
        job->kernels->dots[p->y_group](&args);
        args.x += p->x_group;
        args.w += p->taps * chunk;
    }
}

/* Pixels from one on, in its row, that see the same taps along it. */
static int64_t alike(const struct problem *p, struct range whole, int64_t x, int64_t end, struct range taps)
{
    int64_t last = x >= whole.begin && x < whole.end ? smaller(whole.end, end) : x + 1;
    for (; last < end; last++) {
        const int64_t begin = window_begin(p, 2, last);
        const struct range seen = falt_seen_taps(p, 2, begin, begin);
        if (seen.begin != taps.begin || seen.end != taps.end)
            break;
    }
    return last - x;
}

static void run(const struct problem *p, const struct candidate *c, const struct kernels *kernels,
                const struct operands *operands, int member, int members)
{
    const struct dots *d = (const struct dots *)(const void *)c->state;
    const struct tensor_strides x = falt_tensor_strides(p, p->x_channels, p->in_pixels);
    const struct job job = {
        .p = p,
        .d = d,
        .kernels = kernels,
        .operands = operands,
        .x = x,
        .runs = (struct dots_run *)(void *)((char *)operands->workspace + d->per_thread * (size_t)member),
        .args = {.w = operands->packed,
                 .runs = (const struct dots_run *)(const void *)((char *)operands->workspace + d->per_thread * (size_t)member),
                 .columns = p->y_group,
                 .asks = d->asks,
                 .x_step = p->stride[2] * x.pixel,
                 .y_step = p->y.pixel[2],
                 .epilogue = falt_epilogue(p)},
    };
    const struct range whole = falt_whole_outputs(p, 2);
    int64_t pixel, end;
    falt_share(p->batch * p->out_pixels, member, members, &pixel, &end);
    for (int64_t some; pixel < end; pixel += some) {
        int64_t rest = pixel;
        struct piece at;
        at.x = rest % p->out[2];
        rest /= p->out[2];
        at.y = rest % p->out[1];
        rest /= p->out[1];
        at.z = rest % p->out[0];
        at.n = rest / p->out[0];
        const int64_t begin[3] = {window_begin(p, 0, at.z), window_begin(p, 1, at.y), window_begin(p, 2, at.x)};
        for (int i = 0; i < 3; i++)
            at.taps[i] = falt_seen_taps(p, i, begin[i], begin[i]);
        some = d->flat ? end - pixel : alike(p, whole, at.x, smaller(p->out[2], at.x + end - pixel), at.taps[2]);
        run_piece(&job, &at, some);
    }
}

const struct solver falt_solver_dots = {"dots", FALT_ALGO_DOTS, SOLVES_FORWARD, false, consider, pack, run};
