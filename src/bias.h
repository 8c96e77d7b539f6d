/* bias.h - the bias gradient. */
#ifndef FALT_BIAS_H
#define FALT_BIAS_H

#include "../arch/kernels.h"
#include "problem.h"

/* A member's share of diff_bias[c] (+)= sum over n and pixels of diff_dst[n,c,pixel], the caller's output side. Sums in double,
 * of trees of eight floats, in a fixed order. */
void falt_bias_gradient(const struct problem *problem, const struct kernels *kernels, const float *diff_dst, float *diff_bias,
                        int member, int members);

#endif
