/*
 * fourier.c - the spectral norm of a circulant operator, exactly.
 *
 * The Fourier transform makes a circulant operator block diagonal: for each frequency f of the torus of N pixels, the transform
 * of the kernel is a small complex matrix of output by input channels,
 *
 *     K(f)[o][i] = sum_t w[o,i,t] exp(2 pi i f t d / N),
 *
 * and the singular values of A are those of all K(f) together (Sedghi, Gupta, Long, "The singular values of convolutional
 * layers", ICLR 2019). With a stride s, N = s * out, the s frequencies f + a * out fall upon the same one of the output: the
 * matrix is then [K(f) K(f + out) ...] / sqrt(s). As w is real, K(-f) is the conjugate of K(f), and half of the frequencies
 * will do.
 *
 * A transform of so few taps is summed directly; its cost is a fraction of that of the singular values.
 */
#include <math.h>
#include <string.h>

#include "error.h"
#include "operator.h"
#include "parallel.h"

enum { MOST_STEPS = 256, MOST_MEMBERS = 64 };

/* What all frequencies have in common. */
struct torus {
    const struct falt_operator *op;
    int64_t size[3], stride[3], out[3];
    int64_t frequencies, aliases; /* products of out, of stride */
    int64_t rows, columns;        /* of the small matrices: y_group, x_group * aliases */
    int64_t side, steps;          /* the shorter of them; the most steps of Lanczos on it */
    const double *w;              /* [group][tap][o][i] */
    double *scratch;              /* of each member */
    int64_t scratch_size;         /* in doubles */
    double norm[MOST_MEMBERS];
};

struct scratch {
    double *matrix[2];  /* real and imaginary part, [row][column] */
    double *product[2]; /* of the longer side */
    double *basis;      /* [step][2][side] */
    double *phase[3];   /* [tap][2] */
};

static struct scratch scratch_of(const struct torus *t, int member)
{
    const int64_t cells = t->rows * t->columns, longer = t->rows + t->columns - t->side;
    struct scratch s;
    double *next = t->scratch + member * t->scratch_size;
    for (int i = 0; i < 2; i++, next += cells)
        s.matrix[i] = next;
    for (int i = 0; i < 2; i++, next += longer)
        s.product[i] = next;
    s.basis = next;
    next += (t->steps + 1) * 2 * t->side;
    for (int k = 0; k < 3; k++) {
        s.phase[k] = next;
        next += 2 * t->op->problem.kernel[k];
    }
    return s;
}

static bool size_scratch(struct torus *t)
{
    const int64_t *kernel = t->op->problem.kernel, longer = t->rows + t->columns - t->side;
    int64_t cells, basis;
    if (!falt_multiply(2 * t->rows, t->columns, &cells) || !falt_multiply(2 * (t->steps + 1), t->side, &basis) ||
        cells > INT64_MAX / 4 || basis > INT64_MAX / 4)
        return false;
    t->scratch_size = cells + basis + 2 * longer + 2 * (kernel[0] + kernel[1] + kernel[2]) + 8;
    return true;
}

/* K of a group, for all frequencies that are one of the output. */
static void transform(const struct torus *t, int64_t group, const int64_t frequency[3], const struct scratch *s)
{
    const struct problem *p = &t->op->problem;
    const double pi = 3.14159265358979323846, scale = 1.0 / sqrt((double)t->aliases);
    const int64_t inputs = p->x_group;
    memset(s->matrix[0], 0, (size_t)(t->rows * t->columns) * sizeof(double));
    memset(s->matrix[1], 0, (size_t)(t->rows * t->columns) * sizeof(double));
    for (int64_t alias = 0; alias < t->aliases; alias++) {
        int64_t rest = alias;
        for (int k = 2; k >= 0; k--) {
            const int64_t f = frequency[k] + rest % t->stride[k] * t->out[k];
            rest /= t->stride[k];
            for (int64_t tap = 0; tap < p->kernel[k]; tap++) { /* reduced as whole numbers, so that the angle is exact */
                const int64_t turn = tap % t->size[k] * (p->dilation[k] % t->size[k]) % t->size[k] * f % t->size[k];
                const double angle = 2.0 * pi * (double)turn / (double)t->size[k];
                s->phase[k][2 * tap] = cos(angle);
                s->phase[k][2 * tap + 1] = sin(angle);
            }
        }
        const double *w = t->w + group * p->taps * t->rows * inputs;
        for (int64_t a = 0; a < p->kernel[0]; a++)
            for (int64_t b = 0; b < p->kernel[1]; b++) {
                const double *x = s->phase[0] + 2 * a, *y = s->phase[1] + 2 * b;
                const double re = x[0] * y[0] - x[1] * y[1], im = x[0] * y[1] + x[1] * y[0];
                for (int64_t c = 0; c < p->kernel[2]; c++, w += t->rows * inputs) {
                    const double *z = s->phase[2] + 2 * c;
                    const double cosine = scale * (re * z[0] - im * z[1]), sine = scale * (re * z[1] + im * z[0]);
                    for (int64_t o = 0; o < t->rows; o++) {
                        double *to = s->matrix[0] + o * t->columns + alias * inputs;
                        double *to_i = s->matrix[1] + o * t->columns + alias * inputs;
                        for (int64_t i = 0; i < inputs; i++) {
                            to[i] += w[o * inputs + i] * cosine;
                            to_i[i] += w[o * inputs + i] * sine;
                        }
                    }
                }
            }
    }
}

/* Eight sums, which fit vectors and do not wait for each other. */
static double dot(const double *a, const double *b, int64_t n)
{
    double sum[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            sum[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        sum[0] += a[i] * b[i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

static void add_scaled(double *a, double scale, const double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        a[i] += scale * b[i];
}

/* to = M from */
static void multiply(const struct torus *t, const struct scratch *s, const double *re, const double *im, double *to,
                     double *to_i)
{
    const int64_t n = t->columns;
    for (int64_t r = 0; r < t->rows; r++) {
        const double *a = s->matrix[0] + r * n, *b = s->matrix[1] + r * n;
        to[r] = dot(a, re, n) - dot(b, im, n);
        to_i[r] = dot(a, im, n) + dot(b, re, n);
    }
}

/* to = M^* from */
static void multiply_adjoint(const struct torus *t, const struct scratch *s, const double *re, const double *im, double *to,
                             double *to_i)
{
    const int64_t n = t->columns;
    memset(to, 0, (size_t)n * sizeof *to);
    memset(to_i, 0, (size_t)n * sizeof *to_i);
    for (int64_t r = 0; r < t->rows; r++) {
        const double *a = s->matrix[0] + r * n, *b = s->matrix[1] + r * n;
        for (int64_t i = 0; i < n; i++) {
            to[i] += a[i] * re[r] + b[i] * im[r];
            to_i[i] += a[i] * im[r] - b[i] * re[r];
        }
    }
}

/* The largest eigenvalue of the symmetric tridiagonal matrix, which is at least `low`, by bisection: the number of those above
 * x is the number of positive pivots of T - x. */
static double largest_eigenvalue(const double *diagonal, const double *beside, int64_t n, double low)
{
    double high = low;
    for (int64_t i = 0; i < n; i++) {
        const double sum = diagonal[i] + (i > 0 ? fabs(beside[i - 1]) : 0.0) + (i + 1 < n ? fabs(beside[i]) : 0.0);
        high = fmax(high, sum);
    }
    for (int turn = 0; turn < 200 && high - low > 1e-16 * high; turn++) {
        const double x = low + 0.5 * (high - low);
        bool above = false;
        double pivot = diagonal[0] - x;
        for (int64_t i = 1; i <= n && !above; i++) {
            above = pivot > 0.0;
            if (i < n)
                pivot = diagonal[i] - x - beside[i - 1] * beside[i - 1] / (pivot != 0.0 ? pivot : -1e-300);
        }
        if (x <= low || x >= high)
            break;
        if (above)
            low = x;
        else
            high = x;
    }
    return low;
}

/* The largest singular value: Lanczos with full orthogonalisation on M M^* or M^* M, whichever is smaller, until it has been
 * through all dimensions or the value has stood still for three steps. */
static double singular_value(const struct torus *t, const struct scratch *s)
{
    const int64_t n = t->side;
    double diagonal[MOST_STEPS], beside[MOST_STEPS], value = 0.0;
    int still = 0;
    double *v = s->basis;
    uint64_t state = 1; /* any start that is not special: a linear congruential sequence (Knuth's MMIX) */
    for (int64_t i = 0; i < 2 * n; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        v[i] = (double)(state >> 33) * 0x1p-30 - 1.0;
    }
    double length = sqrt(dot(v, v, 2 * n));
    for (int64_t step = 0; step < t->steps; step++, v += 2 * n) {
        for (int64_t i = 0; i < 2 * n; i++)
            v[i] /= length;
        double *next = v + 2 * n;
        if (t->rows <= t->columns) {
            multiply_adjoint(t, s, v, v + n, s->product[0], s->product[1]);
            multiply(t, s, s->product[0], s->product[1], next, next + n);
        } else {
            multiply(t, s, v, v + n, s->product[0], s->product[1]);
            multiply_adjoint(t, s, s->product[0], s->product[1], next, next + n);
        }
        diagonal[step] = dot(v, next, 2 * n);
        for (int turn = 0; turn < 2; turn++)
            for (double *b = s->basis; b <= v; b += 2 * n) { /* complex: both b and i b */
                const double re = dot(b, next, 2 * n), im = dot(b, next + n, n) - dot(b + n, next, n);
                add_scaled(next, -re, b, 2 * n);
                add_scaled(next, im, b + n, n);
                add_scaled(next + n, -im, b, n);
            }
        length = sqrt(dot(next, next, 2 * n));
        beside[step] = length;
        const double before = value;
        value = largest_eigenvalue(diagonal, beside, step + 1, before);
        still = value - before <= 1e-14 * value ? still + 1 : 0;
        if (still == 3 || length <= 1e-14 * value)
            break;
    }
    return sqrt(value);
}

/* At least the largest singular value, and cheap. */
static double simple_bound(const struct torus *t, const struct scratch *s)
{
    const int64_t cells = t->rows * t->columns;
    return sqrt(dot(s->matrix[0], s->matrix[0], cells) + dot(s->matrix[1], s->matrix[1], cells)) * (1.0 + 1e-12);
}

static void norm_member(void *context, int member, int members)
{
    struct torus *t = context;
    const struct scratch s = scratch_of(t, member);
    double best = 0.0;
    for (int64_t index = member; index < t->frequencies; index += members) {
        const int64_t f[3] = {index / t->out[2] / t->out[1], index / t->out[2] % t->out[1], index % t->out[2]};
        int64_t mirrored = 0;
        for (int k = 0; k < 3; k++)
            mirrored = mirrored * t->out[k] + (t->out[k] - f[k]) % t->out[k];
        if (mirrored < index)
            continue;
        for (int64_t group = 0; group < t->op->problem.groups; group++) {
            transform(t, group, f, &s);
            if (simple_bound(t, &s) > best)
                best = fmax(best, singular_value(t, &s));
        }
    }
    t->norm[member] = best;
}

static void reorder_weights(const struct falt_operator *op, double *to)
{
    const struct problem *p = &op->problem;
    const struct weight_strides w = falt_weight_strides(p);
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t tap = 0; tap < p->taps; tap++)
            for (int64_t o = 0; o < p->y_group; o++)
                for (int64_t i = 0; i < p->x_group; i++)
                    *to++ = (double)op->weights[(g * p->y_group + o) * w.o + i * w.i + tap * w.t];
}

/* The torus with `size` pixels and that stride, and memory for `members`. */
static falt_status torus_make(struct torus *t, const struct falt_operator *op, const int64_t size[3], const int64_t stride[3],
                              int64_t steps, int members)
{
    const struct problem *p = &op->problem;
    *t = (struct torus){.op = op, .frequencies = 1, .aliases = 1, .rows = p->y_group};
    for (int k = 0; k < 3; k++) {
        t->size[k] = size[k];
        t->stride[k] = stride[k];
        t->out[k] = size[k] / stride[k];
        if (size[k] > INT32_MAX || !falt_multiply(t->frequencies, t->out[k], &t->frequencies) ||
            !falt_multiply(t->aliases, stride[k], &t->aliases))
            return falt_fail(FALT_TOO_LARGE, "a torus of %lld pixels in a dimension is too large for a Fourier transform",
                             (long long)size[k]);
    }
    if (!falt_multiply(p->x_group, t->aliases, &t->columns))
        return falt_fail(FALT_TOO_LARGE, "too many frequencies fall upon one");
    t->side = t->rows < t->columns ? t->rows : t->columns;
    t->steps = t->side < steps ? t->side : steps;
    int64_t doubles;
    if (!size_scratch(t) || !falt_multiply(t->scratch_size, members, &doubles))
        return falt_fail(FALT_TOO_LARGE, "the Fourier transform of the kernel does not fit an address space");
    double *w = falt_allocate(&op->allocator, p->w_count, sizeof *w);
    t->scratch = falt_allocate(&op->allocator, doubles, sizeof *t->scratch);
    t->w = w;
    if (w && t->scratch) {
        reorder_weights(op, w);
        return FALT_OK;
    }
    falt_release(&op->allocator, w);
    falt_release(&op->allocator, t->scratch);
    return falt_fail(FALT_OUT_OF_MEMORY, "no memory for a Fourier transform of the kernel");
}

static void torus_free(const struct torus *t)
{
    falt_release(&t->op->allocator, (void *)(uintptr_t)t->w);
    falt_release(&t->op->allocator, t->scratch);
}

falt_status falt_fourier_norm(const struct falt_operator *op, const int64_t *embedding, double *norm)
{
    const int64_t dense[3] = {1, 1, 1};
    const int threads = op->threads < MOST_MEMBERS ? op->threads : MOST_MEMBERS;
    struct torus t;
    const falt_status status =
        torus_make(&t, op, embedding ? embedding : op->problem.in, embedding ? dense : op->problem.stride, MOST_STEPS, threads);
    if (status != FALT_OK)
        return status;
    falt_parallel(threads, norm_member, &t);
    *norm = 0.0;
    for (int i = 0; i < threads; i++)
        *norm = fmax(*norm, t.norm[i]);
    torus_free(&t);
    return FALT_OK;
}

/* -------------------------------------------------------------------------------------------------- a vector to start from */

/* Where K is large: the highest local maxima of a coarse grid of frequencies, and about each of them ever finer grids. More
 * than one, because the last percent decides which is the highest, and it takes many steps to get from one peak to another. */
enum { PEAKS = 24, START_STEPS = 12, POWER = 200 };

struct peak {
    int64_t group, frequency[3], grid[3];
    double value, worth; /* the singular value; the square of the wave's own gain */
};

static void set_grid(struct torus *t, const int64_t out[3])
{
    for (int k = 0; k < 3; k++) {
        t->out[k] = out[k];
        t->size[k] = out[k] * t->stride[k];
    }
}

static double value_at(const struct torus *t, const struct scratch *s, int64_t group, const int64_t f[3])
{
    transform(t, group, f, s);
    return singular_value(t, s);
}

static void split_index(int64_t index, const int64_t grid[3], int64_t f[3])
{
    f[2] = index % grid[2];
    f[1] = index / grid[2] % grid[1];
    f[0] = index / grid[2] / grid[1];
}

static int64_t around(const int64_t grid[3], const int64_t f[3], int64_t a, int64_t b, int64_t c)
{
    return ((f[0] + a + grid[0]) % grid[0] * grid[1] + (f[1] + b + grid[1]) % grid[1]) * grid[2] +
           (f[2] + c + grid[2]) % grid[2];
}

static int64_t mirror(const int64_t grid[3], const int64_t f[3])
{
    const int64_t minus[3] = {(grid[0] - f[0]) % grid[0], (grid[1] - f[1]) % grid[1], (grid[2] - f[2]) % grid[2]};
    return around(grid, minus, 0, 0, 0);
}

/* Keeps the highest; returns their number. */
static int insert(struct peak *peaks, int count, struct peak peak)
{
    int i = count < PEAKS ? count : PEAKS;
    for (; i > 0 && peaks[i - 1].value < peak.value; i--)
        if (i < PEAKS)
            peaks[i] = peaks[i - 1];
    if (i < PEAKS)
        peaks[i] = peak;
    return count < PEAKS ? count + 1 : PEAKS;
}

/* The maxima of one group on the torus's grid, along its axes: a ridge askew to them may have two tops of which one is next to
 * a higher point on the other's slope. values: room for all of its points. */
static int find_maxima(const struct torus *t, const struct scratch *s, int64_t group, double *values, struct peak *peaks,
                       int count)
{
    const int64_t *grid = t->out, points = grid[0] * grid[1] * grid[2];
    int64_t f[3];
    for (int64_t i = 0; i < points; i++) {
        split_index(i, grid, f);
        const int64_t m = mirror(grid, f);
        values[i] = m < i ? values[m] : value_at(t, s, group, f);
    }
    for (int64_t i = 0; i < points; i++) {
        split_index(i, grid, f);
        bool highest = mirror(grid, f) >= i;
        for (int64_t n = -1; n < 2 && highest; n += 2)
            highest = values[around(grid, f, n, 0, 0)] <= values[i] && values[around(grid, f, 0, n, 0)] <= values[i] &&
                      values[around(grid, f, 0, 0, n)] <= values[i];
        if (highest)
            count = insert(peaks, count, (struct peak){group, {f[0], f[1], f[2]}, {grid[0], grid[1], grid[2]}, values[i], 0.0});
    }
    return count;
}

/* To the highest of its neighbours on its grid, if one is higher. */
static bool step_up(struct torus *t, const struct scratch *s, struct peak *peak)
{
    const struct peak here = *peak;
    set_grid(t, peak->grid);
    for (int64_t n = 0; n < 27; n++) {
        const int64_t step[3] = {n / 9 - 1, n / 3 % 3 - 1, n % 3 - 1};
        int64_t near[3];
        bool same = n == 13;
        for (int k = 0; k < 3; k++)
            same = same || (step[k] != 0 && peak->grid[k] == 1);
        if (same)
            continue;
        split_index(around(t->out, here.frequency, step[0], step[1], step[2]), t->out, near);
        const double value = value_at(t, s, peak->group, near);
        if (value > peak->value) {
            peak->value = value;
            memcpy(peak->frequency, near, sizeof near);
        }
    }
    return peak->value > here.value;
}

/* Climbs on grids twice as fine until they are four times as fine as the image's own, on each as far as it goes: a ridge that
 * the coarser one does not see may lead on to a higher peak. */
static void refine(struct torus *t, const struct scratch *s, struct peak *peak)
{
    for (bool finer = true; finer;) {
        finer = false;
        for (int k = 0; k < 3; k++) {
            const int twice = peak->grid[k] > 1 && peak->grid[k] < 4 * t->op->problem.out[k];
            peak->grid[k] <<= twice;
            peak->frequency[k] <<= twice;
            finer = finer || twice;
        }
        for (bool up = finer; up;)
            up = step_up(t, s, peak);
    }
}

/* Whether two climbs ended at one peak, or at one and its mirror image. */
static bool same_peak(const struct peak *a, const struct peak *b)
{
    bool same = a->group == b->group, mirrored = same;
    for (int k = 0; k < 3; k++) { /* give or take a step */
        const int64_t grid = a->grid[k], f = a->frequency[k] + grid + 1;
        same = same && (f - b->frequency[k]) % grid <= 2;
        mirrored = mirrored && (f + b->frequency[k]) % grid <= 2;
    }
    return same || mirrored;
}

/* In a window of half a sine wave the wave is made of those half a frequency of the image to either side: a narrow peak loses
 * more than a broad one. Their mean is the square of its gain to some 1e-5 for 56 x 56 pixels. */
static double worth_of(struct torus *t, const struct scratch *s, const struct peak *peak)
{
    if (t->op->boundary == FALT_BOUNDARY_CIRCULAR)
        return peak->value * peak->value;
    int64_t grid[3], aside[3], f[3];
    for (int k = 0; k < 3; k++) {
        const int64_t pixels = t->op->problem.out[k] + 1;
        grid[k] = peak->grid[k] > 1 ? 4 * peak->grid[k] : 1;
        aside[k] = peak->grid[k] > 1 ? (grid[k] + pixels) / (2 * pixels) : 0;
    }
    set_grid(t, grid);
    double sum = 0.0;
    for (int corner = 0; corner < 8; corner++) {
        for (int k = 0; k < 3; k++)
            f[k] = peak->grid[k] > 1 ? 4 * peak->frequency[k] + (corner >> k & 1 ? aside[k] : grid[k] - aside[k]) : 0;
        split_index(around(grid, f, 0, 0, 0), grid, f);
        const double value = value_at(t, s, peak->group, f);
        sum += value * value;
    }
    return sum / 8.0;
}

/* Adds the wave with these amplitudes, [aliases][channels of the group], at one side. */
static void add_wave(const struct torus *t, const struct peak *peak, const double *re, const double *im, bool outputs,
                     double weight, float *to)
{
    const struct problem *p = &t->op->problem;
    const int64_t *pixels = outputs ? p->out : p->in, channels = outputs ? p->y_channels : p->x_channels;
    const int64_t group = outputs ? p->y_group : p->x_group, aliases = outputs ? 1 : t->aliases;
    const struct tensor_strides stride = falt_tensor_strides(p, channels, pixels[0] * pixels[1] * pixels[2]);
    const double pi = 3.14159265358979323846;
    const bool circular = t->op->boundary == FALT_BOUNDARY_CIRCULAR;
    int64_t h[3], pixel = 0;
    for (h[0] = 0; h[0] < pixels[0]; h[0]++)
        for (h[1] = 0; h[1] < pixels[1]; h[1]++)
            for (h[2] = 0; h[2] < pixels[2]; h[2]++, pixel++)
                for (int64_t alias = 0; alias < aliases; alias++) {
                    double turn = 0.0, window = weight;
                    int64_t rest = alias;
                    for (int k = 2; k >= 0; k--) {
                        const int64_t f = peak->frequency[k] + rest % t->stride[k] * t->out[k];
                        rest /= t->stride[k];
                        turn += (double)f * (double)h[k] / (double)(outputs ? t->out[k] : t->size[k]);
                        window *= circular ? 1.0 : sin(pi * (double)(h[k] + 1) / (double)(pixels[k] + 1));
                    }
                    const double cosine = window * cos(2.0 * pi * turn), sine = window * sin(2.0 * pi * turn);
                    for (int64_t c = 0; c < group; c++) /* the matrix's columns are [alias][channel] */
                        to[(peak->group * group + c) * stride.c + pixel * stride.pixel] +=
                            (float)(re[alias * group + c] * cosine - im[alias * group + c] * sine);
                }
}

/* The singular vector of K at a peak, by the power method: it need not be exact. */
static void add_peak(struct torus *t, const struct scratch *s, const struct peak *peak, bool outputs, double weight,
                     float *vector)
{
    set_grid(t, peak->grid);
    transform(t, peak->group, peak->frequency, s);
    double *right[2], *left[2]; /* the longer side is the product, the shorter in the basis */
    const bool short_rows = t->rows <= t->columns;
    for (int i = 0; i < 2; i++) {
        right[i] = short_rows ? s->product[i] : s->basis + i * t->side;
        left[i] = short_rows ? s->basis + i * t->side : s->product[i];
    }
    for (int64_t i = 0; i < t->columns; i++) {
        right[0][i] = cos((double)(i * i + 1));
        right[1][i] = sin((double)(i * i + 1));
    }
    for (int turn = 0; turn < POWER; turn++) {
        const double length = sqrt(dot(right[0], right[0], t->columns) + dot(right[1], right[1], t->columns));
        for (int64_t i = 0; i < t->columns && length > 0.0; i++) {
            right[0][i] /= length;
            right[1][i] /= length;
        }
        multiply(t, s, right[0], right[1], left[0], left[1]);
        if (turn + 1 < POWER)
            multiply_adjoint(t, s, left[0], left[1], right[0], right[1]);
    }
    add_wave(t, peak, outputs ? left[0] : right[0], outputs ? left[1] : right[1], outputs, weight, vector);
}

falt_status falt_fourier_start(const struct falt_operator *op, bool outputs, float *vector)
{
    const struct problem *p = &op->problem;
    struct torus t;
    for (int k = 0; k < 3; k++) /* the finest grid is up to 32 times as fine, and the squares of its frequencies fit int64_t */
        if (p->out[k] > INT32_MAX / 32 / p->stride[k])
            return falt_fail(FALT_TOO_LARGE, "no grid of frequencies for %lld pixels in a dimension", (long long)p->out[k]);
    const falt_status status = torus_make(&t, op, p->stride, p->stride, START_STEPS, 1);
    if (status != FALT_OK)
        return status;
    int64_t grid[3];
    const int64_t points = p->dims < 3 ? 8 : 4;
    for (int k = 0; k < 3; k++) { /* K has as many oscillations as the kernel has taps; its singular values have a few more */
        const int64_t fine = points * (p->kernel[k] < 8 ? p->kernel[k] : 8);
        grid[k] = p->kernel[k] == 1 || p->out[k] == 1 ? 1 : fine < p->out[k] ? fine : p->out[k];
    }
    double *values = falt_allocate(&op->allocator, grid[0] * grid[1] * grid[2], sizeof *values);
    if (!values) {
        torus_free(&t);
        return falt_fail(FALT_OUT_OF_MEMORY, "no memory for a grid of frequencies");
    }
    const struct scratch s = scratch_of(&t, 0);
    struct peak peaks[PEAKS];
    int count = 0, distinct = 0;
    double best = 0.0;
    set_grid(&t, grid);
    for (int64_t group = 0; group < p->groups; group++)
        count = find_maxima(&t, &s, group, values, peaks, count);
    const double highest = count > 0 ? peaks[0].value : 0.0;
    for (int i = 0; i < count && peaks[i].value >= 0.95 * highest; i++) { /* no climb is as high as that */
        struct peak peak = peaks[i];
        bool known = false;
        refine(&t, &s, &peak);
        for (int j = 0; j < distinct; j++)
            known = known || same_peak(&peak, &peaks[j]);
        if (known)
            continue;
        peak.worth = worth_of(&t, &s, &peak);
        best = fmax(best, peak.worth);
        peaks[distinct++] = peak;
    }
    memset(vector, 0, (size_t)(outputs ? p->y_count : p->x_count) * sizeof *vector);
    for (int i = 0; i < distinct; i++) { /* all that may be the best, and no more of the others than Lanczos' method removes */
        const double weight = best > 0.0 ? exp((peaks[i].worth / best - 1.0) / 0.005) : 1.0;
        if (weight > 0.01)
            add_peak(&t, &s, &peaks[i], outputs, weight, vector);
    }
    falt_release(&op->allocator, values);
    torus_free(&t);
    return FALT_OK;
}
