/* parts.h - weight gradients that were summed in parts: by pixels, as the problem dictates, each part into a copy of its own.
 */
#ifndef FALT_PARTS_H
#define FALT_PARTS_H

#include "problem.h"

/* Bytes of the copies; none for a lone part. */
size_t falt_parts_size(const struct problem *problem, int64_t parts);

/* A member's share of w (+)= sum of the copies, in order: the same for any number of members. */
void falt_add_parts(const struct problem *problem, const float *copies, int64_t parts, float *w, int member, int members);

#endif
