/*
 * reference.c - the definition, summed in double precision and rounded once: slow, and right for every problem.
 *
 * All three passes go over the same pairs: in each dimension, kernel tap t joins pixel q of y with pixel q*s + t*d - p of x.
 * Forward and backward data sum them into a piece of a row of y or x, backward weights into a run of channels of one tap.
 * Each such piece is one item of work, summed by one thread in an order that depends on nothing but the problem.
 */
#include "../range.h"
#include "../solver.h"

#include <math.h>
#include <stdio.h>
#include "../parallel.h"

enum { PIECE = 64 };

struct job {
    const struct problem *problem;
    const struct operands *operands;
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t ceiling_quotient(int64_t a, int64_t b)
{
    return a > 0 ? (a - 1) / b + 1 : a / b;
}

/* The q in y with q * stride + offset in x. */
static struct range pairs(struct range y, struct range x, int64_t stride, int64_t offset)
{
    const int64_t begin = ceiling_quotient(x.begin - offset, stride), end = ceiling_quotient(x.end - offset, stride);
    return (struct range){begin > y.begin ? begin : y.begin, end < y.end ? end : y.end};
}

static int64_t tap_offset(const struct problem *p, int dimension, int64_t tap)
{
    return tap * p->dilation[dimension] - p->pad[dimension];
}

/* sums[m * step] += sum_k a[m * a_m + k * a_k] * b[k * b_k], walking through a along the shorter of its strides. */
static void multiply_add(double *sums, int64_t step, int64_t rows, int64_t depth, const float *a, int64_t a_m, int64_t a_k,
                         const float *b, int64_t b_k)
{
    if (a_k < a_m)
        for (int64_t m = 0; m < rows; m++) {
            /* Four sums, because one would wait for its own last addition. */
            double s[4] = {0, 0, 0, 0};
            const float *row = a + m * a_m;
            int64_t k = 0;
            for (; k + 4 <= depth; k += 4)
                for (int j = 0; j < 4; j++)
                    s[j] += (double)row[(k + j) * a_k] * (double)b[(k + j) * b_k];
            for (; k < depth; k++)
                s[0] += (double)row[k * a_k] * (double)b[k * b_k];
            sums[m * step] += (s[0] + s[1]) + (s[2] + s[3]);
        }
    else
        for (int64_t k = 0; k < depth; k++) {
            const double scale = (double)b[k * b_k];
            const float *column = a + k * a_k;
            if (a_m == 1 && step == 1)
                for (int64_t m = 0; m < rows; m++)
                    sums[m] += scale * (double)column[m];
            else
                for (int64_t m = 0; m < rows; m++)
                    sums[m * step] += scale * (double)column[m * a_m];
        }
}

static double activate(const struct problem *p, double v)
{
    const double alpha = (double)p->alpha, beta = (double)p->beta;
    switch (p->activation) {
    case FALT_ACT_NONE:
        return v;
    case FALT_ACT_RELU:
        return v < 0 ? 0 : v;
    case FALT_ACT_CLAMP:
        return v < alpha ? alpha : v > beta ? beta : v;
    case FALT_ACT_LEAKY:
        return v < 0 ? alpha * v : v;
    case FALT_ACT_SIGMOID:
        return 1 / (1 + exp(-v));
    case FALT_ACT_SILU:
        return v / (1 + exp(-v));
    case FALT_ACT_HARDSWISH:
        return v * (v < -3 ? 0 : v > 3 ? 6 : v + 3) / 6;
    }
    return v;
}

/* Forward and backward data. "To" is the side that is written, "from" the side that is read. */
static void data_member(const struct job *job, int member, int members)
{
    const struct problem *p = job->problem;
    const struct operands *t = job->operands;
    const bool forward = p->pass == FALT_FORWARD;

    const struct tensor_strides xs = falt_tensor_strides(p, p->x_channels, p->in_pixels);
    const struct tensor_strides ys = falt_tensor_strides(p, p->y_channels, p->out_pixels);
    const struct tensor_strides from_strides = forward ? xs : ys;
    const int64_t to_channels = forward ? p->y_channels : p->x_channels;
    const int64_t to_group = forward ? p->y_group : p->x_group, from_group = forward ? p->x_group : p->y_group;
    const int64_t *size = forward ? p->out : p->in;
    const float *from = forward ? t->x : t->y;
    float *to = forward ? t->y : t->x;

    /* Along a row, neighbouring sums are this far apart, and so are the pixels that they read. */
    const int64_t sum_step = forward ? 1 : p->stride[2];
    const int64_t from_step = from_strides.pixel * (forward ? p->stride[2] : 1);

    const int64_t pieces = (size[2] - 1) / PIECE + 1;
    int64_t item, end;
    falt_share(p->batch * to_channels * size[0] * size[1] * pieces, member, members, &item, &end);
    for (; item < end; item++) {
        int64_t rest = item;
        const int64_t first = rest % pieces * PIECE;
        rest /= pieces;
        const int64_t row = rest % size[1];
        rest /= size[1];
        const int64_t slice = rest % size[0];
        rest /= size[0];
        const int64_t channel = rest % to_channels, n = rest / to_channels;
        const int64_t group = channel / to_group;

        /* What is written of each dimension; of the side that is read, all. */
        const struct range part[3] = {{slice, slice + 1}, {row, row + 1}, {first, least(first + PIECE, size[2])}};
        struct range x[3], y[3];
        for (int k = 0; k < 3; k++) {
            x[k] = forward ? (struct range){0, p->in[k]} : part[k];
            y[k] = forward ? part[k] : (struct range){0, p->out[k]};
        }

        const float *w = t->w + p->w.base + group * p->w.group + (channel - group * to_group) * p->w.o;
        const float *image = from + n * from_strides.n + group * from_group * from_strides.c;

        double sums[PIECE] = {0};
        for (int64_t td = 0; td < p->kernel[0]; td++) {
            const int64_t ed = tap_offset(p, 0, td);
            const struct range qd = pairs(y[0], x[0], p->stride[0], ed);
            for (int64_t th = 0; qd.begin < qd.end && th < p->kernel[1]; th++) {
                const int64_t eh = tap_offset(p, 1, th);
                const struct range qh = pairs(y[1], x[1], p->stride[1], eh);
                for (int64_t tw = 0; qh.begin < qh.end && tw < p->kernel[2]; tw++) {
                    const int64_t ew = tap_offset(p, 2, tw);
                    const struct range qw = pairs(y[2], x[2], p->stride[2], ew);
                    if (qw.begin >= qw.end)
                        continue;
                    /* One row and slice are written, so qd and qh are one pixel. */
                    const int64_t x_pixel =
                        ((qd.begin * p->stride[0] + ed) * p->in[1] + qh.begin * p->stride[1] + eh) * p->in[2] +
                        qw.begin * p->stride[2] + ew;
                    const int64_t y_pixel = (qd.begin * p->out[1] + qh.begin) * p->out[2] + qw.begin;
                    const int64_t column = forward ? qw.begin : qw.begin * p->stride[2] + ew;
                    multiply_add(sums + (column - first), sum_step, qw.end - qw.begin, from_group,
                                 image + (forward ? x_pixel : y_pixel) * from_strides.pixel, from_step, from_strides.c,
                                 w + td * p->w.tap[0] + th * p->w.tap[1] + tw * p->w.tap[2], p->w.i);
                }
            }
        }

        const int64_t address =
            p->y.base + n * p->y.n + channel * p->y.c + slice * p->y.pixel[0] + row * p->y.pixel[1] + first * p->y.pixel[2];
        for (int64_t m = 0; m < part[2].end - first; m++) {
            const int64_t a = address + m * p->y.pixel[2];
            const double bias = t->bias ? (double)t->bias[channel] : 0, residual = t->residual ? (double)t->residual[a] : 0;
            to[a] = (float)activate(p, sums[m] + bias + residual);
        }
    }
}

/* Backward weights. */
static void weights_member(const struct job *job, int member, int members)
{
    const struct problem *p = job->problem;
    const struct operands *t = job->operands;
    const struct tensor_strides xs = falt_tensor_strides(p, p->x_channels, p->in_pixels);
    const struct tensor_strides ys = falt_tensor_strides(p, p->y_channels, p->out_pixels);
    const struct weight_strides ws = falt_weight_strides(p);

    const int64_t pieces = (p->x_group - 1) / PIECE + 1;
    int64_t item, end;
    falt_share(p->y_channels * p->taps * pieces, member, members, &item, &end);
    for (; item < end; item++) {
        int64_t rest = item;
        const int64_t first = rest % pieces * PIECE, count = least(PIECE, p->x_group - first);
        rest /= pieces;
        const int64_t tap = rest % p->taps, o = rest / p->taps;
        const int64_t taps[3] = {tap / p->kernel[2] / p->kernel[1], tap / p->kernel[2] % p->kernel[1], tap % p->kernel[2]};
        int64_t e[3];
        struct range q[3];
        for (int k = 0; k < 3; k++) {
            e[k] = tap_offset(p, k, taps[k]);
            q[k] = pairs((struct range){0, p->out[k]}, (struct range){0, p->in[k]}, p->stride[k], e[k]);
        }

        const float *x = t->x + (o / p->y_group * p->x_group + first) * xs.c, *y = t->y + o * ys.c;
        double sums[PIECE] = {0};
        for (int64_t n = 0; n < p->batch && q[2].begin < q[2].end; n++)
            for (int64_t qd = q[0].begin; qd < q[0].end; qd++)
                for (int64_t qh = q[1].begin; qh < q[1].end; qh++) {
                    const int64_t x_pixel = ((qd * p->stride[0] + e[0]) * p->in[1] + qh * p->stride[1] + e[1]) * p->in[2] +
                                            q[2].begin * p->stride[2] + e[2];
                    const int64_t y_pixel = (qd * p->out[1] + qh) * p->out[2] + q[2].begin;
                    multiply_add(sums, 1, count, q[2].end - q[2].begin, x + n * xs.n + x_pixel * xs.pixel, xs.c,
                                 xs.pixel * p->stride[2], y + n * ys.n + y_pixel * ys.pixel, ys.pixel);
                }

        float *w = t->w + o * ws.o + first * ws.i + tap * ws.t;
        for (int64_t m = 0; m < count; m++)
            w[m * ws.i] = (float)(sums[m] + (p->accumulate ? (double)w[m * ws.i] : 0));
    }
}

static void run(const struct problem *problem, const struct candidate *candidate, const struct kernels *kernels,
                const struct operands *operands, int member, int members)
{
    (void)candidate, (void)kernels;
    const struct job job = {problem, operands};
    (problem->pass == FALT_BACKWARD_WEIGHTS ? weights_member : data_member)(&job, member, members);
}

static bool consider(const struct problem *p, const struct resources *resources, struct candidate *candidate,
                     char reason[SOLVER_REASON])
{
    if (p->circular) {
        snprintf(reason, SOLVER_REASON, "the image goes around in a circle");
        return false;
    }
    const double outputs = (double)(p->pass == FALT_FORWARD         ? p->y_count
                                    : p->pass == FALT_BACKWARD_DATA ? p->x_count
                                                                    : p->w_count);
    /* The longest sum; the taps of a backward data pass that a stride skips are counted too. */
    const double terms = p->pass == FALT_BACKWARD_WEIGHTS
                             ? (double)p->batch * (double)p->out_pixels
                             : (double)p->taps * (double)(p->pass == FALT_FORWARD ? p->x_group : p->y_group);

    candidate->seconds = 2e-6 + (4e-9 * p->multiply_adds + 2e-8 * outputs) / resources->threads;
    candidate->threads = resources->threads;
    candidate->accuracy = 1;
    /* One rounding to float, and before it sums of exact products in double: gamma(terms + 2) of u = 2^-53, or, in units of
     * the one rounding, less than (terms + 2) * 2^-28. */
    candidate->error_terms = 0;
    candidate->error_growth = 1 + (terms + 2) * 0x1p-28;
    snprintf(candidate->kernel, SOLVER_NOTE, "double");
    snprintf(candidate->schedule, SOLVER_NOTE, "equal ranges of %s",
             p->pass == FALT_BACKWARD_WEIGHTS ? "weights" : "output rows");
    return true;
}

const struct solver falt_solver_reference = {
    .name = "reference",
    .algorithm = FALT_ALGO_REFERENCE,
    .passes = SOLVES_FORWARD | SOLVES_BACKWARD_DATA | SOLVES_WEIGHTS,
    .consider = consider,
    .pack = NULL,
    .run = run,
};
