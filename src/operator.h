/*
 * operator.h - what operator.c, matrix.c, norm.c and fourier.c share.
 *
 * The operator is that of the problem's normal form, y = C x, or for a transposed convolution its transpose, x = C^T y: the
 * caller's x is then the normal form's y. "Rows" and "columns" are those of the caller's A.
 */
#ifndef FALT_OPERATOR_H
#define FALT_OPERATOR_H

#include "allocator.h"
#include "faltung_operator.h"
#include "problem.h"

/* With a circular boundary: the image as far as the kernels see it around the circle, pixel t being pixel t - shift of it. */
struct periodic {
    enum { NOTHING, EXTEND, FOLD } work; /* write out the input; add up the output, if that is not what the plan gives */
    int64_t image[3], extent[3], shift[3];
    int64_t channels;
    int64_t floats; /* of it, the whole batch; 0: none */
};

struct falt_operator {
    falt_allocator allocator;
    struct problem problem; /* as the caller sees it, forward; with a circular boundary its padding is the image */
    falt_boundary boundary;
    falt_conv conv;       /* the caller's */
    falt_options options; /* of the plans */
    int threads;          /* for extending and folding */
    float *weights;
    struct direction {
        falt_plan *plan;
        falt_pass pass;
        struct periodic periodic;
        void *packed;
    } direction[2]; /* A, A^T */
};

/* The largest singular value of a circulant operator, exact: see fourier.c. `embedding`: of the operator with the same kernel
 * on the torus of that size, stride 1. NULL: of op itself, which must be circular with in == stride * out. */
falt_status falt_fourier_norm(const struct falt_operator *op, const int64_t *embedding, double *norm);

/* A vector at the normal form's side of x, or of y, that is rich in the singular vectors of the largest singular values: the
 * waves that the kernel amplifies most, fading towards borders of zeros. It may be zero. The operator has a batch of 1. */
falt_status falt_fourier_start(const struct falt_operator *op, bool outputs, float *vector);

/* In one dimension of a circular boundary, taps t and t + period lie upon each other. */
int64_t falt_tap_period(const struct falt_operator *op, int dimension);

#endif
