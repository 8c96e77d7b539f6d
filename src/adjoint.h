/*
 * adjoint.h - backward data as forward convolutions, so that every forward solver serves it, too.
 *
 * x[h] = sum over r of y[(h + p - r d) / s] w[r], where that is a whole number. The pixels h = phase + s u of one residue class
 * use the taps r = r0, r0 + s/g, r0 + 2 s/g ... only (g = gcd(s, d)), and on u they are a convolution with stride 1 and
 * dilation d/g, with its taps in reverse and o and i exchanged. So backward data is one forward problem for each residue class,
 * which reads y, writes every s-th pixel of x, and sees the weights through a view. With stride 1 there is just one.
 *
 * Residues that use no taps leave zeros, whole planes and rows of them at once:
 *
 *      x    t z t z t z t    a 1x1 kernel with stride 2: a phase with a tap, one of single pixels between them, and
 *           z z z z z z z    one of the rows between those
 *           t z t z t z t
 */
#ifndef FALT_ADJOINT_H
#define FALT_ADJOINT_H

#include "problem.h"

/* Number of phases of a problem: the product of its strides, where not larger than its image, or of its kernel where y is a
 * single pixel; but one only for each plane, and for each row of a plane, that is without taps. 0 if it is not backward data,
 * or there are more than a plan should have. */
int64_t falt_phases(const struct problem *problem);

/* Pixels from one of a phase to the next in its row. */
int64_t falt_phase_distance(const struct problem *problem);

/* Phase `index` as a forward problem; x and y have changed sides. It may have no taps: then its pixels are zero (and epilogue),
 * whatever the groups are, so it has but one; and its x, which is not read, as many pixels as its y. */
void falt_phase(const struct problem *backward, int64_t index, struct problem *forward);

#endif
