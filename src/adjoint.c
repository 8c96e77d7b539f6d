#include "adjoint.h"

#include "arithmetic.h"

enum { MOST_PHASES = 1024 };

struct strides {
    int64_t of[3];
};

/* The residues of a dimension, and the first tap that each uses, or -1. */
struct residues {
    int64_t count, with_taps;
    int64_t tap[MOST_PHASES];
};

/* False if there are too many. */
static bool find_residues(const struct problem *p, int dimension, int64_t s, struct residues *residues)
{
    const int64_t d = p->dilation[dimension], step = s / common_divisor(s, d);
    residues->count = smaller(s, p->in[dimension]);
    residues->with_taps = 0;
    if (residues->count > MOST_PHASES)
        return false;
    for (int64_t i = 0; i < residues->count; i++)
        residues->tap[i] = -1;
    for (int64_t r = 0; r < step && r < p->kernel[dimension]; r++) {
        const int64_t phase = remainder_of(r * d - p->pad[dimension], s);
        if (phase < residues->count) {
            residues->tap[phase] = r;
            residues->with_taps++;
        }
    }
    return true;
}

/* Phases of all dimensions behind this one, -1 being before all of them: where a dimension's residue has taps, those of the
 * next ones, else a single one. 0: more than a plan should have. */
static int64_t phases_behind(const struct problem *p, const struct strides *s, int dimension)
{
    int64_t count = 1;
    for (int i = 2; i > dimension; i--) {
        struct residues residues;
        if (!find_residues(p, i, s->of[i], &residues) || !falt_multiply(count, residues.with_taps, &count))
            return 0;
        count += residues.count - residues.with_taps;
        if (count > MOST_PHASES)
            return 0;
    }
    return count;
}

static int64_t count_phases(const struct problem *p, const struct strides *s)
{
    return p->pass == FALT_BACKWARD_DATA ? phases_behind(p, s, -1) : 0;
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

/* The residue of one dimension that phase `index` is of, which remains to be found among those of the dimensions behind, of
 * which there are `behind`. */
static int64_t residue_of(const struct residues *residues, int64_t behind, int64_t *index)
{
    int64_t phase = 0;
    for (int64_t phases; *index >= (phases = residues->tap[phase] < 0 ? 1 : behind); phase++)
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
    const struct strides strides = choose_strides(p);
    bool zeros = false;
    for (int i = 0; i < 3; i++) {
        struct residues residues;
        find_residues(p, i, strides.of[i], &residues);
        const int64_t phase = zeros ? 0 : residue_of(&residues, phases_behind(p, &strides, i), &index);
        take_phase(p, i, zeros ? 1 : strides.of[i], phase, zeros ? -1 : residues.tap[phase], f);
        zeros = zeros || residues.tap[phase] < 0;
    }
    f->taps = f->kernel[0] * f->kernel[1] * f->kernel[2];
    if (f->taps == 0) { /* none in any dimension, nor any groups, and nothing that is read: so no output is at an edge */
        for (int i = 0; i < 3; i++) {
            f->in[i] = f->out[i];
            f->kernel[i] = f->pad[i] = 0;
            f->dilation[i] = 1;
        }
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
