/*
 * fold.h - pixels of few channels as one of more.
 *
 * Channels last, the pixels of a row are neighbours in memory: a row of W pixels with C channels is also one of W/s pixels with
 * s C channels. With m pixels of y, K channels each, as one, s = m times the stride d along the row,
 *
 *     x[s u + e][c] = x'[u][e C + c],     y[m v + f][k] = y'[v][f K + k],     w[k][c][r] = w'[f K + k][e C + c][r'],
 *     r = s r' + e + p - s p' - d f,      p' = ceil(p / s)
 *
 * and the rest of w' zero, the same convolution has stride 1, padding p', and more channels. Where these fill vectors that C
 * and K leave almost empty, or a transform has to be made but once for several pixels, that is worth the zeros: backward data
 * of first layers (m = 1) stores whole pieces of a row, not every s-th pixel, and a kernel of 7 becomes one of 4; from 3
 * channels to 3 (d = 1), 4 pixels fill most of a vector, and any kernel of 3 to 9 with "same" padding is one of 3.
 */
#ifndef FALT_FOLD_H
#define FALT_FOLD_H

#include "problem.h"

enum { FOLD_MOST_CHANNELS = 48 }; /* of a folded problem that are several pixels': more fill vectors by themselves */

/* Pixels of x that become one, for vectors of so many lanes; 1: it cannot be done, or is not worth a thought. */
int64_t falt_fold_factor(const struct problem *problem, int lanes);

/* The problem that is left, of the same tensors but the weights and the bias. */
void falt_fold(const struct problem *problem, int64_t factor, struct problem *folded);

/* Zeros make a sum no less accurate, but leave transforms their error, which is that of as many terms: by how much it then
 * counts more beside the error of the terms that there are. */
double falt_fold_thinned(const struct problem *problem, const struct problem *folded);

/* folded->w_count weights of the folded problem, in its dense layout. */
void falt_fold_weights(const struct problem *problem, const struct problem *folded, const float *weights, float *to);

#endif
