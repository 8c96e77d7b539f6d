/* zeros.h - phases of backward data that no tap sees. */
#ifndef FALT_ZEROS_H
#define FALT_ZEROS_H

#include "solver.h"

/* Whether each output of a problem without taps is zero: with neither a bias, nor a residual, nor an epilogue that makes it
 * something else. */
bool falt_leaves_zeros(const struct problem *problem, const struct operands *operands);

/* This member's share of them. */
void falt_write_zeros(const struct problem *problem, float *y, int member, int members);

#endif
