/* bias.h - the bias gradient. */
#ifndef FALT_BIAS_H
#define FALT_BIAS_H

#include "../arch/kernels.h"
#include "problem.h"
#include "range.h"

/* A member's share of diff_bias[c] (+)= sum over n and pixels of diff_dst[n,c,pixel], the caller's output side. Sums in double,
 * of trees of eight floats, in a fixed order. */
void falt_bias_gradient(const struct problem *problem, const struct kernels *kernels, const float *diff_dst, float *diff_bias,
                        int member, int members);

/* The same in pieces, while they are in the cache, for channels last and not transposed: adds pixels of all images, counted
 * through, to a total for each of some channels. Adjoining ranges begin with the tree that the one before has left: of a single
 * part, one range after the other, the bits are those of falt_bias_gradient. */
void falt_add_bias_pixels(const struct problem *problem, const struct kernels *kernels, const float *diff_dst,
                          struct range channels, struct range pixels, double *total);

/* Bytes of such totals, [part][channel]; 0 where the gradient cannot be summed in pieces. */
size_t falt_bias_size(const struct problem *problem, int64_t parts);

/* Some channels of diff_bias from totals [part][channel], which are added in order to those of the first part. */
void falt_add_bias_parts(const struct problem *problem, struct range channels, int64_t parts, double *totals, float *diff_bias);

#endif
