/*
 * problem.h - a validated convolution in normal form, the only form that planner and solvers see.
 *
 * Always three spatial dimensions (depth, height, width), leading ones for the missing. A transposed convolution is rewritten
 * as a pass of the convolution whose adjoint it is, so solvers know only
 *
 *     y[n,o,q] (=) sum_{i,t} x[n,i, q*s + t*d - p] * w[o,i,t]        x: input side, y: output side of that convolution
 *
 *     FALT_FORWARD           x, w -> y
 *     FALT_BACKWARD_DATA     y, w -> x
 *     FALT_BACKWARD_WEIGHTS  x, y -> w
 *
 * The end padding is implied by in and out; it may be negative (a transposed convolution with output padding).
 */
#ifndef FALT_PROBLEM_H
#define FALT_PROBLEM_H

#include <stdbool.h>
#include "arithmetic.h"
#include "faltung.h"

/* Where a forward solver finds the weight of (group, o, i, tap (z, y, x)), o and i within the group:
 * w[base + group * group + o * o + i * i + z * tap[0] + y * tap[1] + x * tap[2]]. Strides may be negative. */
struct weight_view {
    int64_t base, group, o, i, tap[3];
};

/* Where it puts channel c of pixel (z, y, x) of image n: y[base + n * n + c * c + z * pixel[0] + y * pixel[1] + x * pixel[2]].
 */
struct output_view {
    int64_t base, n, c, pixel[3];
};

struct problem {
    falt_pass pass;  /* of the normal form */
    bool transposed; /* as the caller sees it: x is then his dst, y his src */
    int dims;        /* as the caller sees it */
    int64_t batch, groups;
    int64_t x_channels, y_channels; /* all groups */
    int64_t x_group, y_group;       /* of one group */
    int64_t in[3], out[3];          /* of x, of y */
    int64_t kernel[3], stride[3], dilation[3], pad[3];
    int64_t in_pixels, out_pixels, taps; /* products over the three */
    int64_t x_count, y_count, w_count;   /* floats in each tensor; each fits size_t in bytes */
    double tensor_floats, weight_floats; /* in x and y, and in w; of a phase (adjoint.h), in those of all phases */
    falt_layout layout;
    falt_weights_layout weights_layout;
    falt_activation activation; /* applied to the output; NONE but for the caller's forward pass */
    float alpha, beta;
    bool accumulate;      /* backward weights */
    bool circular;        /* of a forward problem: beyond a border of x is the image again, not zeros; see falt_pixel */
    struct weight_view w; /* of a forward problem */
    struct output_view y;
    double multiply_adds; /* batch * y_channels * out_pixels * taps * x_group */
};

/* Validates everything, with a reason for each refusal. options may be NULL and has been validated if not. */
falt_status falt_problem_init(struct problem *problem, const falt_conv *conv, falt_pass pass, const falt_options *options);

/* Moves dimensions in which nothing happens to the front, as if the tensors had none of them: solvers expect neighbours in the
 * last one. */
void falt_problem_squeeze(struct problem *problem);

/* The same with rows of the image for columns and columns for rows, for solvers that know where their pixels are: channels
 * last, one and the other are different steps between the same pixels. */
struct problem falt_problem_turned(const struct problem *problem);

/* Where pixel i of x lies in that dimension: beyond a border around the circle, or nowhere (-1), which counts as zero. */
static inline int64_t falt_pixel(const struct problem *problem, int dimension, int64_t i)
{
    const int64_t size = problem->in[dimension];
    if (i >= 0 && i < size)
        return i;
    return problem->circular ? remainder_of(i, size) : -1;
}

/* The pixel of x at which the window of an output begins, in that dimension; maybe one of the padding. */
static inline int64_t window_begin(const struct problem *problem, int dimension, int64_t output)
{
    return output * problem->stride[dimension] - problem->pad[dimension];
}

/* Pixels of x from the first that a window sees to the last. */
static inline int64_t window_extent(const struct problem *problem, int dimension)
{
    return (problem->kernel[dimension] - 1) * problem->dilation[dimension] + 1;
}

/* Writes the problem as a line of text ("forward 1x64x56x56 -> 64, 3x3, pad 1"); as snprintf. */
int falt_problem_print(const struct problem *problem, char *buffer, size_t size);

/* a * b, false on overflow. Both >= 0. */
bool falt_multiply(int64_t a, int64_t b, int64_t *product);

/* Strides, in floats, of w[o][i][t] in problem->weights_layout (o over all y channels, i within its group, t over taps). */
struct weight_strides {
    int64_t o, i, t;
};
struct weight_strides falt_weight_strides(const struct problem *problem);

/* Strides of a tensor [n][c][pixel] with `channels` channels and `pixels` pixels in problem->layout. */
struct tensor_strides {
    int64_t n, c, pixel;
};
struct tensor_strides falt_tensor_strides(const struct problem *problem, int64_t channels, int64_t pixels);

/* Sets the views of `seen` to all weights and all output pixels of p as they lie in memory; for backward data with o and i
 * exchanged and those of x. */
void falt_dense_views(const struct problem *p, struct problem *seen);

#endif
