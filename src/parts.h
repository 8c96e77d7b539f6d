/* parts.h - weight gradients that were summed in parts: by pixels, as the problem dictates, each part into a copy of its own.
 */
#ifndef FALT_PARTS_H
#define FALT_PARTS_H

#include "solver.h"

/* Bytes of the copies; none for a lone part. */
size_t falt_parts_size(const struct problem *problem, int64_t parts);

/* Waits for all members; then a member's share of w (+)= sum of the copies, in order, which is the same for any number of
 * members, and of the bias's gradient from the totals of all parts (bias.h), unless they are NULL. */
void falt_add_parts(const struct problem *problem, const float *copies, double *totals, int64_t parts,
                    const struct operands *operands, int member, int members);

#endif
