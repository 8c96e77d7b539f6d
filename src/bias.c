#include "bias.h"

#include "arithmetic.h"
#include "parallel.h"

/* LINE channels are a cache line, which no two members share. */
enum { LINE = 16, BLOCK = 4 * LINE };

void falt_bias_gradient(const struct problem *p, const struct kernels *kernels, const float *diff_dst, float *diff_bias,
                        int member, int members)
{
    const int64_t channels = p->transposed ? p->x_channels : p->y_channels;
    const int64_t pixels = p->transposed ? p->in_pixels : p->out_pixels;
    const struct tensor_strides stride = falt_tensor_strides(p, channels, pixels);
    const int64_t unit = stride.c == 1 ? LINE : 1;
    int64_t begin, end;
    falt_share(divide_up(channels, unit), member, members, &begin, &end);
    begin *= unit;
    end = smaller(end * unit, channels);
    for (int64_t first = begin; first < end; first += BLOCK) {
        const int64_t count = smaller(BLOCK, end - first);
        double total[BLOCK] = {0.0};
        for (int64_t n = 0; n < p->batch; n++) {
            const float *from = diff_dst + n * stride.n + first * stride.c;
            if (stride.c == 1)
                kernels->sum_rows(from, stride.pixel, pixels, count, total);
            else
                for (int64_t c = 0; c < count; c++)
                    total[c] += kernels->sum_run(from + c * stride.c, pixels);
        }
        for (int64_t c = 0; c < count; c++)
            diff_bias[first + c] = (float)((p->accumulate ? (double)diff_bias[first + c] : 0.0) + total[c]);
    }
}
