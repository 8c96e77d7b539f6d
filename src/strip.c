#include "strip.h"

#include <string.h>

#include "arithmetic.h"

void falt_gather(const struct kernels *kernels, const float *from, struct tensor_strides stride, int64_t channels,
                 int64_t pixels, float *to, int64_t pitch)
{
    if (stride.c != 1) {
        kernels->transpose(from, stride.c, channels, pixels, to, pitch);
    } else if (stride.pixel == channels && pitch == channels) {
        memcpy(to, from, (size_t)(pixels * channels) * sizeof(float));
    } else {
        for (int64_t i = 0; i < pixels; i++)
            memcpy(to + i * pitch, from + i * stride.pixel, (size_t)channels * sizeof(float));
    }
}

void falt_gather_panels(const struct kernels *kernels, const float *from, struct tensor_strides stride, int64_t channels,
                        int64_t pixels, float *to, int64_t width, int64_t panel)
{
    enum { PIXELS = 8 }; /* at a time: they stay in L1, and no more panels are open than the TLB has entries for stores */
    const int64_t whole = stride.c == 1 ? channels / width : 0;
    ptrdiff_t offset[PIXELS];
    for (int i = 0; i < PIXELS; i++)
        offset[i] = i * stride.pixel;
    for (int64_t i = 0; i < pixels; i += PIXELS)
        for (int64_t n = 0; n < whole; n++)
            kernels->collect(from + i * stride.pixel + n * width, offset, smaller(PIXELS, pixels - i), width,
                             to + n * panel + i * width, width);
    for (int64_t c = whole * width; c < channels; c += width)
        falt_gather(kernels, from + c * stride.c, stride, smaller(width, channels - c), pixels, to + c / width * panel, width);
}

/* Pixels [at, stop) of a strip that starts at pixel `begin` of a circle. Those of its pixels [from, end) are there already:
 * copying them again is faster than transposing one or two of the image (but not than copying those: they have just been
 * stored). */
static void gather_circle(const struct kernels *kernels, const float *row, int64_t size, struct tensor_strides stride,
                          int64_t channels, int64_t begin, int64_t from, int64_t end, int64_t at, int64_t stop, float *to,
                          int64_t pitch)
{
    for (int64_t run; at < stop; at += run) {
        const int64_t pixel = remainder_of(begin + at, size), there = pixel - begin;
        run = smaller(size - pixel, stop - at);
        if (stride.c != 1 && there >= from && there + run <= end)
            memcpy(to + at * pitch, to + there * pitch, (size_t)(run * pitch) * sizeof(float));
        else
            falt_gather(kernels, row + pixel * stride.pixel, stride, channels, run, to + at * pitch, pitch);
    }
}

void falt_gather_row(const struct kernels *kernels, const float *row, int64_t size, struct tensor_strides stride,
                     int64_t channels, bool circular, int64_t begin, int64_t width, float *to, int64_t pitch)
{
    /* The part of it that is inside, counted from begin; empty as [width, width), where all are zeros before it. */
    const int64_t first = smaller(larger(-begin, 0), width), last = smaller(size - begin, width);
    const int64_t from = row && first < last ? first : width, end = row && first < last ? last : width;
    if (from < end)
        falt_gather(kernels, row + (begin + from) * stride.pixel, stride, channels, end - from, to + from * pitch, pitch);
    /* All of the row is there, as for most strips, which need no division and no more than two copies. */
    if (circular && row && stride.c != 1 && end - from == size && from <= size && width - end <= size) {
        memcpy(to, to + size * pitch, (size_t)(from * pitch) * sizeof(float));
        memcpy(to + end * pitch, to + from * pitch, (size_t)((width - end) * pitch) * sizeof(float));
        return;
    }
    if (circular && row) {
        gather_circle(kernels, row, size, stride, channels, begin, from, end, 0, from, to, pitch);
        gather_circle(kernels, row, size, stride, channels, begin, from, end, end, width, to, pitch);
        return;
    }
    memset(to, 0, (size_t)(from * pitch) * sizeof(float));
    memset(to + end * pitch, 0, (size_t)((width - end) * pitch) * sizeof(float));
}
