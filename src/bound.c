/* bound.c - what a plan's result is off by at most, for given tensors (docs/mathematics.md, Rounding). */
#include <float.h>
#include <math.h>

#include "error.h"
#include "plan.h"

static const double unit = 0x1p-24; /* by so much of its result a rounding is off at most */

/* NaN is the largest. */
static double larger_or_nan(double a, double b)
{
    return a >= b || isnan(a) ? a : b;
}

static double largest(const float *data, int64_t count)
{
    double most = 0.0;
    for (int64_t i = 0; data && i < count; i++)
        most = larger_or_nan(most, fabs((double)data[i]));
    return most;
}

/* max over channels of the output of sum |w|. */
static double largest_weight_sum(const struct problem *p, const float *w)
{
    const bool forward = p->pass == FALT_FORWARD;
    const int64_t rows = forward ? p->y_group : p->x_group, others = forward ? p->x_group : p->y_group;
    double most = 0.0;
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t row = 0; row < rows; row++) {
            double sum = 0.0;
            for (int64_t other = 0; other < others; other++)
                for (int64_t t = 0; t < p->taps; t++) /* all of a kernel, whose taps are evenly spaced in either layout */
                    sum += fabs((double)w[g * p->w.group + row * p->w.o + other * p->w.i + t * p->w.tap[2]]);
            most = larger_or_nan(most, sum);
        }
    return most;
}

static double largest_channel_sum(const struct problem *p, const float *y)
{
    const struct tensor_strides stride = falt_tensor_strides(p, p->y_channels, p->out_pixels);
    double most = 0.0;
    for (int64_t c = 0; y && c < p->y_channels; c++) {
        double sum = 0.0;
        for (int64_t n = 0; n < p->batch; n++)
            for (int64_t q = 0; q < p->out_pixels; q++)
                sum += fabs((double)y[n * stride.n + c * stride.c + q * stride.pixel]);
        most = larger_or_nan(most, sum);
    }
    return most;
}

/* Activations stretch an error by at most their Lipschitz constant. */
static double lipschitz(const struct problem *p)
{
    switch (p->activation) {
    case FALT_ACT_LEAKY:
        return fmax(1.0, fabs((double)p->alpha));
    case FALT_ACT_SILU:
        return 1.1;
    case FALT_ACT_HARDSWISH:
        return 1.5;
    default:
        return 1.0;
    }
}

/* A sum of n terms is off by gamma_n times the sum of their sizes at most. */
static double gamma_of(double n)
{
    return n * unit < 1.0 ? n * unit / (1.0 - n * unit) : DBL_MAX;
}

falt_status falt_plan_error_bound(const falt_plan *plan, const falt_tensors *tensors, double *bound)
{
    if (!plan || !tensors || !bound)
        return falt_missing(!plan ? "plan" : !tensors ? "tensors" : "bound");
    falt_tensors all = *tensors;
    float nothing; /* the outputs are not read, so they may be missing */
    if (!all.dst)
        all.dst = &nothing;
    if (!all.diff_src)
        all.diff_src = &nothing;
    struct operands operands;
    const falt_status status = falt_take_operands(plan, &all, &operands);
    if (status != FALT_OK)
        return status;
    *bound = 0.0;
    const struct problem *p = &plan->whole;
    if (p->batch == 0)
        return FALT_OK;

    double size, added; /* at most: of a sum's terms together, and of what is added to it */
    if (p->pass == FALT_BACKWARD_WEIGHTS) {
        size = largest(operands.x, p->x_count) * largest_channel_sum(p, operands.y);
        added = p->accumulate ? largest(tensors->diff_weights, p->w_count) : 0.0;
    } else if (!tensors->weights) {
        return falt_missing("weights");
    } else if (p->pass == FALT_FORWARD) {
        size = largest(operands.x, p->x_count) * largest_weight_sum(p, tensors->weights);
        added = largest(operands.bias, p->y_channels) + largest(operands.residual, p->y_count);
    } else {
        size = largest(operands.y, p->y_count) * largest_weight_sum(p, tensors->weights);
        added = largest(operands.bias, p->x_channels) + largest(operands.residual, p->x_count);
    }
    for (int64_t i = 0; i < plan->steps; i++) {
        const struct candidate *c = &plan->step[i].chosen;
        const double terms = c->error_terms + 1.0 + 2.0; /* bias and residual are terms, too */
        const double sums = gamma_of(terms) * c->error_growth * size;
        *bound = larger_or_nan(*bound, (sums + 3.0 * unit * (size + added)) * lipschitz(p));
    }
    return FALT_OK;
}
