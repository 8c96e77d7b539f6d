#include "adjoint.h"

#include "arithmetic.h"

enum { MOST_PHASES = 1024 };

/* The residues of a dimension modulo its stride, and the first tap that each uses, or -1. */
struct residues {
    int64_t stride, count, with_taps;
    int64_t phases; /* of one that has taps: those of the dimensions behind */
    int64_t tap[MOST_PHASES];
};

/* a * b modulo m, of numbers below it, whose product may be none. */
static int64_t multiply_modulo(int64_t a, int64_t b, int64_t m)
{
    uint64_t product = 0, power = (uint64_t)a;
    for (; b > 0; b >>= 1) {
        product = b & 1 ? (product + power) % (uint64_t)m : product;
        power = 2 * power % (uint64_t)m;
    }
    return (int64_t)product;
}

/* The number below m that gives 1 modulo m with a, which has no divisor in common with it: Euclid's. */
static int64_t inverse_modulo(int64_t a, int64_t m)
{
    int64_t rest = m, next = a % m, factor = 0, next_factor = 1; /* rest = factor * a modulo m */
    while (next != 0) {
        const int64_t quotient = rest / next, r = rest - quotient * next, f = factor - quotient * next_factor;
        rest = next, next = r;
        factor = next_factor, next_factor = f;
    }
    return m == 1 ? 0 : remainder_of(factor, m);
}

/* Pixel i is seen through tap r where r d = i + pad modulo the stride. False if there are too many. */
static bool find_residues(const struct problem *p, int dimension, int64_t stride, struct residues *residues)
{
    const int64_t d = p->dilation[dimension], g = common_divisor(stride, d), step = stride / g;
    const int64_t inverse = inverse_modulo(d / g, step);
    residues->stride = stride;
    residues->count = smaller(stride, p->in[dimension]);
    residues->with_taps = 0;
    if (residues->count > MOST_PHASES)
        return false;
    for (int64_t i = 0; i < residues->count; i++) {
        const int64_t position = remainder_of(i + p->pad[dimension], stride);
        const int64_t r = position % g == 0 ? multiply_modulo(position / g, inverse, step) : p->kernel[dimension];
        residues->tap[i] = r < p->kernel[dimension] ? r : -1;
        residues->with_taps += residues->tap[i] >= 0;
    }
    return true;
}

/* Their number, or 0. */
static int64_t with_strides(const struct problem *p, const int64_t strides[3], struct residues residues[3])
{
    int64_t count = 1; /* of the dimensions behind */
    for (int i = 2; i >= 0; i--) {
        residues[i].phases = count;
        if (!find_residues(p, i, strides[i], &residues[i]) || !falt_multiply(count, residues[i].with_taps, &count))
            return 0;
        count += residues[i].count - residues[i].with_taps;
        if (count > MOST_PHASES)
            return 0;
    }
    return count;
}

/* Where y has a single pixel any stride is the same map. With one that is as long as the kernel each phase has one tap, and
 * none of them falls into the padding: for a dense layer that is as many times less to do as it has taps. */
static int64_t find_phases(const struct problem *p, struct residues residues[3])
{
    int64_t apart[3];
    if (p->pass != FALT_BACKWARD_DATA)
        return 0;
    for (int i = 0; i < 3; i++)
        apart[i] =
            p->out[i] == 1 && !p->circular ? larger(p->stride[i], (p->kernel[i] - 1) * p->dilation[i] + 1) : p->stride[i];
    const int64_t count = with_strides(p, apart, residues);
    return count ? count : with_strides(p, p->stride, residues);
}

int64_t falt_phases(const struct problem *p)
{
    struct residues residues[3];
    return find_phases(p, residues);
}

int64_t falt_phase_distance(const struct problem *p)
{
    struct residues residues[3];
    find_phases(p, residues);
    return smaller(residues[2].stride, p->in[2]);
}

/* One dimension: pixels phase + s u, which taps r0, r0 + s/g ... see; or none, with r0 = -1. Shifts the views to it. */
static void take_phase(const struct problem *p, int dimension, int64_t s, int64_t phase, int64_t r0, struct problem *f)
{
    const int64_t d = p->dilation[dimension], g = common_divisor(s, d);
    const int64_t step = s / g, taps = r0 < 0 ? 0 : (p->kernel[dimension] - 1 - r0) / step + 1;
    f->in[dimension] = p->out[dimension];
    f->out[dimension] = divide_up(p->in[dimension] - phase, s);
    f->kernel[dimension] = taps;
    f->stride[dimension] = 1;
    f->dilation[dimension] = d / g;
    f->pad[dimension] = taps ? (taps - 1) * (d / g) - (phase + p->pad[dimension] - r0 * d) / s : 0;
    f->w.base += taps ? (r0 + (taps - 1) * step) * f->w.tap[dimension] : 0;
    f->y.base += phase * f->y.pixel[dimension];
    if (taps > 1) /* otherwise the product may not even be a number */
        f->w.tap[dimension] *= -step;
    if (f->out[dimension] > 1)
        f->y.pixel[dimension] *= s;
}

/* The residue of a dimension that phase `index` is of, which remains to be found among those of the dimensions behind. */
static int64_t residue_of(const struct residues *residues, int64_t *index)
{
    int64_t phase = 0;
    for (int64_t phases; *index >= (phases = residues->tap[phase] < 0 ? 1 : residues->phases); phase++)
        *index -= phases;
    return phase;
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
    struct residues residues[3];
    find_phases(p, residues);
    bool zeros = false;
    for (int i = 0; i < 3; i++) {
        const int64_t phase = zeros ? 0 : residue_of(&residues[i], &index);
        take_phase(p, i, zeros ? 1 : residues[i].stride, phase, zeros ? -1 : residues[i].tap[phase], f);
        zeros = zeros || residues[i].tap[phase] < 0;
    }
    f->taps = f->kernel[0] * f->kernel[1] * f->kernel[2];
    if (f->taps == 0) { /* none in any dimension, nor any groups, and nothing that is read: so no output is at an edge */
        for (int i = 0; i < 3; i++) {
            f->in[i] = f->out[i];
            f->kernel[i] = f->pad[i] = 0;
            f->dilation[i] = 1;
        }
        f->x_count = 0;
        f->groups = 1;
        f->x_group = f->x_channels;
        f->y_group = f->y_channels;
    }
    f->in_pixels = f->in[0] * f->in[1] * f->in[2];
    f->out_pixels = f->out[0] * f->out[1] * f->out[2];
    f->y_count = f->batch * f->y_channels * f->out_pixels;
    f->w_count = f->taps * f->x_group * f->y_channels;
    f->multiply_adds = (double)f->w_count * (double)(f->batch * f->out_pixels);
}
