#include "adjoint.h"

#include "arithmetic.h"

enum { MOST_PHASES = 1024 };

struct strides {
    int64_t of[3];
};

static int64_t count_phases(const struct problem *p, const struct strides *s)
{
    int64_t count = p->pass == FALT_BACKWARD_DATA;
    for (int i = 0; i < 3; i++)
        if (!falt_multiply(count, smaller(s->of[i], p->in[i]), &count) || count > MOST_PHASES)
            return 0;
    return count;
}

/* Where y has a single pixel any stride is the same map. With one that is as long as the kernel each phase has one tap, and
 * none of them falls into the padding: for a dense layer that is as many times less to do as it has taps. */
static struct strides choose_strides(const struct problem *p)
{
    struct strides own, apart;
    for (int i = 0; i < 3; i++) {
        own.of[i] = apart.of[i] = p->stride[i];
        if (p->out[i] == 1 && !p->circular)
            apart.of[i] = larger(p->stride[i], (p->kernel[i] - 1) * p->dilation[i] + 1);
    }
    return count_phases(p, &apart) ? apart : own;
}

int64_t falt_phases(const struct problem *p)
{
    const struct strides strides = choose_strides(p);
    return count_phases(p, &strides);
}

int64_t falt_phase_distance(const struct problem *p)
{
    return smaller(choose_strides(p).of[2], p->in[2]);
}

static int64_t greatest_divisor(int64_t a, int64_t b)
{
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* One dimension: pixels phase + s u. Shifts the views to it. */
static void take_phase(const struct problem *p, int dimension, int64_t s, int64_t phase, struct problem *f)
{
    const int64_t d = p->dilation[dimension], g = greatest_divisor(s, d);
    const int64_t step = s / g, first = phase + p->pad[dimension];
    int64_t r0 = 0, taps = 0;
    while (r0 < step && r0 < p->kernel[dimension] && (first - r0 * d) % s != 0)
        r0++;
    if (r0 < step && r0 < p->kernel[dimension])
        taps = (p->kernel[dimension] - 1 - r0) / step + 1;
    f->in[dimension] = p->out[dimension];
    f->out[dimension] = divide_up(p->in[dimension] - phase, s);
    f->kernel[dimension] = taps;
    f->stride[dimension] = 1;
    f->dilation[dimension] = d / g;
    f->pad[dimension] = taps ? (taps - 1) * (d / g) - (first - r0 * d) / s : 0;
    f->w.base += taps ? (r0 + (taps - 1) * step) * f->w.tap[dimension] : 0;
    f->y.base += phase * f->y.pixel[dimension];
    if (taps > 1) /* otherwise the product may not even be a number */
        f->w.tap[dimension] *= -step;
    if (f->out[dimension] > 1)
        f->y.pixel[dimension] *= s;
}

void falt_phase(const struct problem *p, int64_t index, struct problem *f)
{
    *f = *p;
    f->pass = FALT_FORWARD;
    f->x_channels = p->y_channels;
    f->y_channels = p->x_channels;
    f->x_group = p->y_group;
    f->y_group = p->x_group;
    f->x_count = p->y_count;
    falt_dense_views(p, f);
    const struct strides strides = choose_strides(p);
    for (int i = 2; i >= 0; i--) {
        const int64_t phases = smaller(strides.of[i], p->in[i]);
        take_phase(p, i, strides.of[i], index % phases, f);
        index /= phases;
    }
    f->in_pixels = p->out_pixels;
    f->out_pixels = f->out[0] * f->out[1] * f->out[2];
    f->taps = f->kernel[0] * f->kernel[1] * f->kernel[2];
    if (f->taps == 0) { /* none in any dimension, nor any groups */
        f->kernel[0] = f->kernel[1] = f->kernel[2] = 0;
        f->groups = 1;
        f->x_group = f->x_channels;
        f->y_group = f->y_channels;
    }
    f->y_count = f->batch * f->y_channels * f->out_pixels;
    f->w_count = f->taps * f->x_group * f->y_channels;
    f->multiply_adds = (double)f->w_count * (double)(f->batch * f->out_pixels);
}
