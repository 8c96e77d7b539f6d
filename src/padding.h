/*
 * padding.h - what of a forward problem sees the image, and what sees padding only.
 */
#ifndef FALT_PADDING_H
#define FALT_PADDING_H

#include "problem.h"
#include "range.h"

/* Outputs along a dimension whose windows lie inside of the image; maybe none. */
struct range falt_whole_outputs(const struct problem *problem, int dimension);

/* Their share of all pixels. */
double falt_whole_share(const struct problem *problem);

/* Whether any window reaches out of the image. */
bool falt_reaches_out(const struct problem *problem);

/* Whether the windows of `rows` neighbours in a column of outputs see anything of a line of pixels, counted from where the
 * first of them begins: stride and dilation may skip it. */
static inline bool falt_line_seen(const struct problem *problem, int64_t rows, int64_t line)
{
    for (int64_t r = 0; r < problem->kernel[1] && r * problem->dilation[1] <= line; r++) {
        const int64_t from_tap = line - r * problem->dilation[1];
        if (from_tap % problem->stride[1] == 0 && from_tap / problem->stride[1] < rows)
            return true;
    }
    return false;
}

/* Taps along a dimension through which windows that begin at pixels first to last see the image: through those before and
 * behind none of them does. On a circle all. */
struct range falt_seen_taps(const struct problem *problem, int dimension, int64_t first, int64_t last);

/* Outputs along a dimension that see the image through a tap; maybe none. */
struct range falt_seeing_outputs(const struct problem *problem, int dimension, int64_t tap);

/* The share of pairs of an output and a tap along a dimension that meet at a pixel of the image, or do so for one of `together`
 * neighbours. On a circle all do. */
double falt_seen_share(const struct problem *problem, int dimension, int64_t together);

/* Whether both the windows and the outputs of all neighbours are equally far apart, over the ends of rows, too. They may look
 * past the border all the same, as phases do (adjoint.h). */
bool falt_is_flat(const struct problem *problem);

#endif
