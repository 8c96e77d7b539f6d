#include "bias.h"

#include "parallel.h"

struct sum {
    const struct problem *problem;
    const float *diff_dst;
    float *diff_bias;
};

static void sum_channels(void *context, int member, int members)
{
    enum { BLOCK = 64 }; /* channels at once: whole cache lines of a channels-last tensor */
    const struct sum *sum = context;
    const struct problem *p = sum->problem;
    const int64_t channels = p->transposed ? p->x_channels : p->y_channels;
    const int64_t pixels = p->transposed ? p->in_pixels : p->out_pixels;
    const struct tensor_strides stride = falt_tensor_strides(p, channels, pixels);
    int64_t begin, end;
    falt_share(channels, member, members, &begin, &end);
    for (int64_t first = begin; first < end; first += BLOCK) {
        const int64_t count = end - first < BLOCK ? end - first : BLOCK;
        double total[BLOCK] = {0.0};
        if (stride.c == 1) {
            for (int64_t n = 0; n < p->batch; n++)
                for (int64_t q = 0; q < pixels; q++)
                    for (int64_t c = 0; c < count; c++)
                        total[c] += (double)sum->diff_dst[n * stride.n + q * stride.pixel + first + c];
        } else {
            for (int64_t n = 0; n < p->batch; n++)
                for (int64_t c = 0; c < count; c++)
                    for (int64_t q = 0; q < pixels; q++)
                        total[c] += (double)sum->diff_dst[n * stride.n + q * stride.pixel + (first + c) * stride.c];
        }
        for (int64_t c = 0; c < count; c++)
            sum->diff_bias[first + c] = (float)((p->accumulate ? (double)sum->diff_bias[first + c] : 0.0) + total[c]);
    }
}

void falt_bias_gradient(const struct problem *problem, const float *diff_dst, float *diff_bias, int threads)
{
    struct sum sum = {problem, diff_dst, diff_bias};
    falt_parallel(threads, sum_channels, &sum);
}
