#include "bias.h"

#include "parallel.h"

/* Channels and pixels at once: whole cache lines, in loops that compilers know to be vectors. */
enum { BLOCK = 32, LANES = 16, ROWS = 8 };

static inline void add(const float *x, int64_t n, double *total)
{
    for (int64_t i = 0; i < n; i++)
        total[i] += (double)x[i];
}

/* Eight rows in one pass of the totals, which take most of the time: as a tree, which rounds three times, to float. */
static inline void add_rows(const float *x, ptrdiff_t apart, int64_t n, double *total)
{
    for (int64_t i = 0; i < n; i++, x++)
        total[i] += (double)(((x[0] + x[apart]) + (x[2 * apart] + x[3 * apart])) +
                             ((x[4 * apart] + x[5 * apart]) + (x[6 * apart] + x[7 * apart])));
}

/* In LANES sums, as one would be a chain of latencies. */
static double sum_of(const float *x, int64_t n)
{
    double total[LANES] = {0.0};
    int64_t i = 0;
    for (; i + ROWS * LANES <= n; i += ROWS * LANES)
        add_rows(x + i, LANES, LANES, total);
    for (; i + LANES <= n; i += LANES)
        add(x + i, LANES, total);
    add(x + i, n - i, total);
    for (int lane = 1; lane < LANES; lane++)
        total[0] += total[lane];
    return total[0];
}

/* n neighbouring channels of all pixels. */
static inline void sum_pixels(const float *x, ptrdiff_t apart, int64_t pixels, int64_t n, double *total)
{
    for (; pixels >= ROWS; pixels -= ROWS, x += ROWS * apart)
        add_rows(x, apart, n, total);
    for (; pixels > 0; pixels--, x += apart)
        add(x, n, total);
}

void falt_bias_gradient(const struct problem *p, const float *diff_dst, float *diff_bias, int member, int members)
{
    const int64_t channels = p->transposed ? p->x_channels : p->y_channels;
    const int64_t pixels = p->transposed ? p->in_pixels : p->out_pixels;
    const struct tensor_strides stride = falt_tensor_strides(p, channels, pixels);
    int64_t begin, end;
    falt_share(channels, member, members, &begin, &end);
    for (int64_t first = begin; first < end; first += BLOCK) {
        const int64_t count = end - first < BLOCK ? end - first : BLOCK;
        double total[BLOCK] = {0.0};
        for (int64_t n = 0; n < p->batch; n++) {
            const float *from = diff_dst + n * stride.n + first * stride.c;
            if (stride.c != 1)
                for (int64_t c = 0; c < count; c++)
                    total[c] += sum_of(from + c * stride.c, pixels);
            else if (count == BLOCK)
                sum_pixels(from, stride.pixel, pixels, BLOCK, total);
            else
                sum_pixels(from, stride.pixel, pixels, count, total);
        }
        for (int64_t c = 0; c < count; c++)
            diff_bias[first + c] = (float)((p->accumulate ? (double)diff_bias[first + c] : 0.0) + total[c]);
    }
}
