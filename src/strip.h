/*
 * strip.h - pieces of a tensor with the channels of a pixel as neighbours, [pixel][pitch]: what a solver copies into its
 * scratch where they are not (channels first), or where it wants the padding beside the pixels.
 */
#ifndef FALT_STRIP_H
#define FALT_STRIP_H

#include "../arch/kernels.h"
#include "problem.h"

/* to[i * pitch + c] = from[i * stride.pixel + c * stride.c],  i < pixels, c < channels <= pitch. */
void falt_gather(const struct kernels *kernels, const float *from, struct tensor_strides stride, int64_t channels,
                 int64_t pixels, float *to, int64_t pitch);

/* The same of pixels [begin, begin + width) of an image row of `size` pixels, with zeros outside of it, or the row again where
 * it is a circle. row is the address of its pixel 0, or NULL for a row that is all outside. */
void falt_gather_row(const struct kernels *kernels, const float *row, int64_t size, struct tensor_strides stride,
                     int64_t channels, bool circular, int64_t begin, int64_t width, float *to, int64_t pitch);

/* The same in panels of `width` channels: channel c of pixel i goes to to[c / width * panel + i * width + c % width]. */
void falt_gather_panels(const struct kernels *kernels, const float *from, struct tensor_strides stride, int64_t channels,
                        int64_t pixels, float *to, int64_t width, int64_t panel);

#endif
