#include "bias.h"

#include "arithmetic.h"
#include "parallel.h"

/* LINE channels are a cache line, which no two members share. Trees of TREE pixels are what the kernels add. */
enum { LINE = 16, BLOCK = 4 * LINE, TREE = 8 };

void falt_add_bias_pixels(const struct problem *p, const struct kernels *kernels, const float *diff_dst, struct range channels,
                          struct range pixels, double *total)
{
    const int64_t all = p->batch * p->out_pixels, apart = p->y_channels;
    const int64_t begin = smaller(divide_up(pixels.begin, TREE) * TREE, all);
    const int64_t end = smaller(divide_up(pixels.end, TREE) * TREE, all);
    kernels->sum_rows(diff_dst + begin * apart + channels.begin, apart, end - begin, length(channels), total);
}

static void store(const struct problem *p, struct range channels, const double *total, float *diff_bias)
{
    for (int64_t c = 0; c < length(channels); c++)
        diff_bias[channels.begin + c] = (float)((p->accumulate ? (double)diff_bias[channels.begin + c] : 0.0) + total[c]);
}

size_t falt_bias_size(const struct problem *p, int64_t parts)
{
    const bool pieces = p->layout == FALT_CHANNELS_LAST && !p->transposed;
    return pieces ? round_to_lines((size_t)(parts * p->y_channels) * sizeof(double)) : 0;
}

void falt_add_bias_parts(const struct problem *p, struct range channels, int64_t parts, double *totals, float *diff_bias)
{
    for (int64_t part = 1; part < parts; part++)
        for (int64_t c = channels.begin; c < channels.end; c++)
            totals[c] += totals[part * p->y_channels + c];
    store(p, channels, totals + channels.begin, diff_bias);
}

void falt_bias_gradient(const struct problem *p, const struct kernels *kernels, const float *diff_dst, float *diff_bias,
                        int member, int members)
{
    const int64_t channels = p->transposed ? p->x_channels : p->y_channels;
    const int64_t pixels = p->transposed ? p->in_pixels : p->out_pixels;
    const struct tensor_strides stride = falt_tensor_strides(p, channels, pixels);
    const bool last = p->layout == FALT_CHANNELS_LAST; /* then the pixels of all images are one run */
    const int64_t unit = last ? LINE : 1;
    struct range own = share(divide_up(channels, unit), member, members);
    own = (struct range){own.begin * unit, smaller(own.end * unit, channels)};
    for (int64_t first = own.begin; first < own.end; first += BLOCK) {
        const struct range some = {first, smaller(first + BLOCK, own.end)};
        double total[BLOCK] = {0.0};
        if (last)
            kernels->sum_rows(diff_dst + first, stride.pixel, p->batch * pixels, length(some), total);
        for (int64_t n = 0; n < p->batch && !last; n++)
            for (int64_t c = 0; c < length(some); c++)
                total[c] += kernels->sum_run(diff_dst + n * stride.n + (first + c) * stride.c, pixels);
        store(p, some, total, diff_bias);
    }
}
