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

void falt_gather_row(const struct kernels *kernels, const float *row, int64_t size, struct tensor_strides stride,
                     int64_t channels, bool circular, int64_t begin, int64_t width, float *to, int64_t pitch)
{
    if (circular && row) {
        for (int64_t done = 0, run; done < width; done += run) {
            const int64_t at = remainder_of(begin + done, size);
            run = smaller(size - at, width - done);
            falt_gather(kernels, row + at * stride.pixel, stride, channels, run, to + done * pitch, pitch);
        }
        return;
    }
    /* The part of it that is inside, counted from begin; empty as [width, width), where all are zeros before it. */
    const int64_t first = smaller(larger(-begin, 0), width), last = smaller(size - begin, width);
    const int64_t from = row && first < last ? first : width, end = row && first < last ? last : width;
    memset(to, 0, (size_t)(from * pitch) * sizeof(float));
    if (from < end)
        falt_gather(kernels, row + (begin + from) * stride.pixel, stride, channels, end - from, to + from * pitch, pitch);
    memset(to + end * pitch, 0, (size_t)((width - end) * pitch) * sizeof(float));
}
