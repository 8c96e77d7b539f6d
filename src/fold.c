#include "fold.h"

#include <math.h>

#include "arithmetic.h"

/* Channels of the folded problem's x, if they are only read; weights, also for each float of x and y: they would take longer
 * than what they are for. */
enum { MOST_READ = 16, MOST_WEIGHTS = 1 << 20, WEIGHTS_SHARE = 2 };

int64_t falt_fold_factor(const struct problem *p)
{
    const int64_t s = p->stride[2], most = p->pass == FALT_FORWARD ? MOST_READ : FOLD_MOST_CHANNELS;
    const bool can = p->pass != FALT_BACKWARD_WEIGHTS && p->layout == FALT_CHANNELS_LAST && p->groups == 1 && !p->circular &&
                     p->dilation[2] == 1 && p->in[2] % s == 0 && p->kernel[2] > 1 && p->out[2] > 1;
    if (!can || s == 1 || s > most / p->x_channels || p->w_count > MOST_WEIGHTS)
        return 1;
    struct problem folded;
    falt_fold(p, &folded);
    const int64_t weights = folded.w_count;
    return weights <= MOST_WEIGHTS && weights / WEIGHTS_SHARE <= p->x_count + p->y_count ? s : 1;
}

void falt_fold(const struct problem *p, struct problem *folded)
{
    const int64_t s = p->stride[2], pad = divide_up(p->pad[2], s);
    *folded = *p;
    folded->x_channels = folded->x_group = s * p->x_channels;
    folded->in[2] = p->in[2] / s;
    folded->in_pixels = p->in_pixels / s;
    folded->stride[2] = 1;
    folded->pad[2] = pad;
    folded->kernel[2] = divide_up(p->kernel[2] + s * pad - p->pad[2], s);
    folded->taps = p->taps / p->kernel[2] * folded->kernel[2];
    folded->w_count = folded->taps * folded->x_channels * p->y_channels;
    folded->weight_floats = (double)folded->w_count;
    folded->multiply_adds = (double)folded->w_count * (double)(p->batch * p->out_pixels);
    falt_dense_views(folded, folded);
}

double falt_fold_thinned(const struct problem *p, const struct problem *folded)
{
    return sqrt((double)folded->w_count / (double)p->w_count);
}

void falt_fold_weights(const struct problem *p, const struct problem *folded, const float *weights, float *to)
{
    const struct weight_strides from = falt_weight_strides(p), at = falt_weight_strides(folded);
    const int64_t s = p->stride[2], before = s * folded->pad[2] - p->pad[2]; /* taps that are not there */
    for (int64_t o = 0; o < p->y_channels; o++)
        for (int64_t e = 0; e < s; e++)
            for (int64_t c = 0; c < p->x_channels; c++)
                for (int64_t t = 0; t < folded->taps; t++) {
                    const int64_t line = t / folded->kernel[2], r = s * (t % folded->kernel[2]) + e - before;
                    to[o * at.o + (e * p->x_channels + c) * at.i + t * at.t] =
                        inside(r, p->kernel[2]) ? weights[o * from.o + c * from.i + (line * p->kernel[2] + r) * from.t] : 0.0f;
                }
}
