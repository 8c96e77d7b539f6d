#include "fold.h"

#include <math.h>
#include <string.h>

#include "arithmetic.h"

/* Channels of the folded problem's x, if they are only read and y has its pixels to itself; weights, also for each float of x
 * and y: they would take longer than what they are for. */
enum { MOST_READ = 16, MOST_WEIGHTS = 1 << 20, WEIGHTS_SHARE = 2 };

static int64_t divisor_of_rows(const struct problem *p, int64_t most)
{
    while (most > 1 && (p->in[2] % most != 0 || p->out[2] % most != 0))
        most--;
    return larger(most, 1);
}

/* As many pixels as fill a vector of what is written. */
static int64_t without_stride(const struct problem *p, int lanes)
{
    const bool forward = p->pass == FALT_FORWARD;
    const int64_t read = forward ? p->x_channels : p->y_channels, written = forward ? p->y_channels : p->x_channels;
    return divisor_of_rows(p, smaller(smaller(lanes, FOLD_MOST_CHANNELS) / written, FOLD_MOST_CHANNELS / read));
}

static int64_t with_stride(const struct problem *p)
{
    const int64_t s = p->stride[2], most = p->pass == FALT_FORWARD ? MOST_READ : FOLD_MOST_CHANNELS;
    return p->kernel[2] > 1 && p->in[2] % s == 0 && s <= most / p->x_channels ? s : 1;
}

int64_t falt_fold_factor(const struct problem *p, int lanes)
{
    const bool can = p->pass != FALT_BACKWARD_WEIGHTS && p->layout == FALT_CHANNELS_LAST && p->groups == 1 && !p->circular &&
                     p->dilation[2] == 1 && p->out[2] > 1;
    if (!can || p->w_count > MOST_WEIGHTS)
        return 1;
    const int64_t s = p->stride[2] == 1 ? without_stride(p, lanes) : with_stride(p);
    if (s == 1)
        return 1;
    struct problem folded;
    falt_fold(p, s, &folded);
    const int64_t weights = folded.w_count;
    return weights <= MOST_WEIGHTS && weights / WEIGHTS_SHARE <= p->x_count + p->y_count ? s : 1;
}

void falt_fold(const struct problem *p, int64_t s, struct problem *folded)
{
    const int64_t m = s / p->stride[2], pad = divide_up(p->pad[2], s);
    *folded = *p;
    folded->x_channels = folded->x_group = s * p->x_channels;
    folded->y_channels = folded->y_group = m * p->y_channels;
    folded->in[2] = p->in[2] / s;
    folded->out[2] = p->out[2] / m;
    folded->in_pixels = p->in_pixels / s;
    folded->out_pixels = p->out_pixels / m;
    folded->stride[2] = 1;
    folded->pad[2] = pad;
    folded->kernel[2] = divide_up(p->kernel[2] + (m - 1) * p->stride[2] + s * pad - p->pad[2], s);
    folded->taps = p->taps / p->kernel[2] * folded->kernel[2];
    folded->w_count = folded->taps * folded->x_channels * folded->y_channels;
    folded->weight_floats = (double)folded->w_count;
    folded->multiply_adds = (double)folded->w_count * (double)(p->batch * folded->out_pixels);
    falt_dense_views(folded, folded);
}

double falt_fold_thinned(const struct problem *p, const struct problem *folded)
{
    const double outputs = (double)(folded->y_channels / p->y_channels); /* each has sums of its own */
    return sqrt((double)folded->w_count / outputs / (double)p->w_count);
}

void falt_fold_weights(const struct problem *p, const struct problem *folded, const float *weights, float *to)
{
    const struct weight_strides from = falt_weight_strides(p), at = falt_weight_strides(folded);
    const int64_t s = folded->x_channels / p->x_channels, m = folded->y_channels / p->y_channels;
    const int64_t before = s * folded->pad[2] - p->pad[2]; /* taps that are not there */
    const int64_t lines = p->taps / p->kernel[2];
    memset(to, 0, (size_t)folded->w_count * sizeof(float));
    for (int64_t f = 0; f < m; f++)
        for (int64_t r = 0; r < p->kernel[2]; r++) {
            const int64_t place = r + before + p->stride[2] * f, tap = place / s, e = place % s;
            for (int64_t line = 0; line < lines; line++) {
                const float *const w = weights + (line * p->kernel[2] + r) * from.t;
                float *const there = to + (line * folded->kernel[2] + tap) * at.t;
                for (int64_t o = 0; o < p->y_channels; o++)
                    for (int64_t i = 0; i < p->x_channels; i++)
                        there[(f * p->y_channels + o) * at.o + (e * p->x_channels + i) * at.i] = w[o * from.o + i * from.i];
            }
        }
}
