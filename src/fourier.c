/*
 * fourier.c - the spectral norm of a circulant operator, exactly.
 *
 * The Fourier transform makes a circulant operator block diagonal: for each frequency f of the torus of N pixels, the transform of the
 * kernel is a small complex matrix of output by input channels,
 *
 *     K(f)[o][i] = sum_t w[o,i,t] exp(2 pi i f t d / N),
 *
 * and the singular values of A are those of all K(f) together (Sedghi, Gupta, Long, "The singular values of convolutional layers",
 * ICLR 2019). With a stride s, N = s * out, the s frequencies f + a * out fall upon the same one of the output: the matrix is then
 * [K(f) K(f + out) ...] / sqrt(s). As w is real, K(-f) is the conjugate of K(f), and half of the frequencies will do.
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
static void multiply(const struct torus *t, const struct scratch *s, const double *re, const double *im, double *to, double *to_i)
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

/* The largest eigenvalue of the symmetric tridiagonal matrix, which is at least `low`, by bisection: the number of those above x is
 * the number of positive pivots of T - x. */
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

/* The largest singular value: Lanczos with full orthogonalisation on M M^* or M^* M, whichever is smaller, until it has been through
 * all dimensions or the value has stood still for three steps. */
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

falt_status falt_fourier_norm(const struct falt_operator *op, const int64_t *embedding, double *norm)
{
    const struct problem *p = &op->problem;
    struct torus t = {.op = op, .frequencies = 1, .aliases = 1};
    for (int k = 0; k < 3; k++) {
        t.size[k] = embedding ? embedding[k] : p->in[k];
        t.stride[k] = embedding ? 1 : p->stride[k];
        t.out[k] = t.size[k] / t.stride[k];
        if (t.size[k] > INT32_MAX || !falt_multiply(t.frequencies, t.out[k], &t.frequencies) ||
            !falt_multiply(t.aliases, t.stride[k], &t.aliases))
            return falt_fail(FALT_TOO_LARGE, "a torus of %lld pixels in a dimension is too large for a Fourier transform",
                             (long long)t.size[k]);
    }
    t.rows = p->y_group;
    if (!falt_multiply(p->x_group, t.aliases, &t.columns))
        return falt_fail(FALT_TOO_LARGE, "too many frequencies fall upon one");
    t.side = t.rows < t.columns ? t.rows : t.columns;
    t.steps = t.side < MOST_STEPS ? t.side : MOST_STEPS;
    const int threads = op->threads < MOST_MEMBERS ? op->threads : MOST_MEMBERS;
    int64_t doubles;
    if (!size_scratch(&t) || !falt_multiply(t.scratch_size, threads, &doubles))
        return falt_fail(FALT_TOO_LARGE, "the Fourier transform of the kernel does not fit an address space");
    double *w = falt_allocate(&op->allocator, p->w_count, sizeof *w);
    t.scratch = falt_allocate(&op->allocator, doubles, sizeof *t.scratch);
    falt_status status = FALT_OK;
    if (w && t.scratch) {
        reorder_weights(op, w);
        t.w = w;
        falt_parallel(threads, norm_member, &t);
        *norm = 0.0;
        for (int i = 0; i < threads; i++)
            *norm = fmax(*norm, t.norm[i]);
    } else
        status = falt_fail(FALT_OUT_OF_MEMORY, "no memory for a Fourier transform of the kernel");
    falt_release(&op->allocator, w);
    falt_release(&op->allocator, t.scratch);
    return status;
}
