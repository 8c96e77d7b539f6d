/*
 * fold.h - a stride along rows of few channels as channels.
 *
 * Channels last, the pixels of a row are neighbours in memory: a row of W pixels with C channels is also one of W/s pixels with
 * s C channels. With s the stride along it,
 *
 *     x[s u + e][c] = x'[u][e C + c],      w[o][c][r] = w'[o][e C + c][r'],      r = s r' + e + p - s p',  p' = ceil(p / s)
 *
 * and the rest of w' zero, the same convolution has stride 1 along x', padding p', and s times the channels. Where these fill
 * vectors that C leaves almost empty, or a transform has to be made but once for several pixels, that is worth the zeros:
 * backward data of first layers stores whole pieces of a row, not every s-th pixel, and a kernel of 7 becomes one of 4.
 */
#ifndef FALT_FOLD_H
#define FALT_FOLD_H

#include "problem.h"

enum { FOLD_MOST_CHANNELS = 48 }; /* of a folded problem: more fill vectors by themselves */

/* Pixels that become one; 1: it cannot be done, or is not worth a thought. */
int64_t falt_fold_factor(const struct problem *problem);

/* The problem that is left, of the same tensors but the weights. */
void falt_fold(const struct problem *problem, struct problem *folded);

/* Zeros make a sum no less accurate, but leave transforms their error, which is that of as many terms: by how much it then
 * counts more beside the error of the terms that there are. */
double falt_fold_thinned(const struct problem *problem, const struct problem *folded);

/* folded->w_count weights of the folded problem, in its dense layout. */
void falt_fold_weights(const struct problem *problem, const struct problem *folded, const float *weights, float *to);

#endif
