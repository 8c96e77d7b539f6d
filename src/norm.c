/*
 * norm.c - the spectral norm: an estimate, and between which bounds it lies.
 *
 * The estimate is the square root of the largest Ritz value of A^T A (or A A^T, whichever is smaller) in a Krylov space, by
 * Lanczos' method with full orthogonalisation and thick restarts (Wu, Simon, "Thick-restart Lanczos method for large symmetric
 * eigenvalue problems", 2000). It converges like the square of the power method at the least, and as the top of the spectrum of
 * a convolution is crowded, that matters. All coefficients of the projected matrix are taken from the orthogonalisation, so
 * that a restart is nothing but a change of basis, and where the space is exhausted it goes on from noise.
 */
#include <math.h>
#include <string.h>

#include "arithmetic.h"
#include "error.h"
#include "operator.h"

/* ----------------------------------------------------------------------------------------------------------- upper bounds */

/*
 * ||A||_2^2 <= ||A||_1 ||A||_inf. A row sums all inputs and taps of an output channel (fewer at the border). A column sums all
 * outputs and those taps that a stride leaves: of taps that differ by a multiple of g / gcd(g, dilation), g the stride, a pixel
 * is seen by all or by none. Around a circle of `in` pixels the same with g = gcd(stride, in), but if there are more outputs
 * than in / g, some are copies, and `copies` tells how many at most.
 */
struct column_classes {
    int64_t step[3];
    double copies;
};

static struct column_classes classes_of(const struct falt_operator *op)
{
    const struct problem *p = &op->problem;
    struct column_classes c = {.copies = 1.0};
    for (int k = 0; k < 3; k++) {
        int64_t g = p->stride[k];
        if (op->boundary == FALT_BOUNDARY_CIRCULAR) {
            g = common_divisor(p->stride[k], p->in[k]);
            c.copies *= (double)divide_up(p->out[k], p->in[k] / g);
        }
        c.step[k] = g / common_divisor(g, p->dilation[k]);
    }
    return c;
}

static double sum_of_taps(const struct problem *p, const float *w, int64_t tap_stride, const int64_t first[3],
                          const int64_t step[3])
{
    double sum = 0.0;
    for (int64_t a = first[0]; a < p->kernel[0]; a += step[0])
        for (int64_t b = first[1]; b < p->kernel[1]; b += step[1])
            for (int64_t c = first[2]; c < p->kernel[2]; c += step[2])
                sum += fabs((double)w[((a * p->kernel[1] + b) * p->kernel[2] + c) * tap_stride]);
    return sum;
}

static double bound_by_sums(const struct falt_operator *op)
{
    const struct problem *p = &op->problem;
    const struct weight_strides w = falt_weight_strides(p);
    const struct column_classes classes = classes_of(op);
    const int64_t all[3] = {1, 1, 1}, none[3] = {0, 0, 0};
    double row = 0.0, column = 0.0;
    for (int64_t o = 0; o < p->y_channels; o++) {
        double sum = 0.0;
        for (int64_t i = 0; i < p->x_group; i++)
            sum += sum_of_taps(p, op->weights + o * w.o + i * w.i, w.t, none, all);
        row = fmax(row, sum);
    }
    for (int64_t i = 0; i < p->x_channels; i++) {
        const float *first = op->weights + i / p->x_group * p->y_group * w.o + i % p->x_group * w.i;
        int64_t t[3];
        for (t[0] = 0; t[0] < smaller(classes.step[0], p->kernel[0]); t[0]++)
            for (t[1] = 0; t[1] < smaller(classes.step[1], p->kernel[1]); t[1]++)
                for (t[2] = 0; t[2] < smaller(classes.step[2], p->kernel[2]); t[2]++) {
                    double sum = 0.0;
                    for (int64_t o = 0; o < p->y_group; o++)
                        sum += sum_of_taps(p, first + o * w.o, w.t, t, classes.step);
                    column = fmax(column, sum);
                }
    }
    return sqrt(row * column * classes.copies) * (1.0 + 1e-9); /* more than the rounding of these sums */
}

/*
 * Choosing rows and columns of a matrix cannot make its norm larger. With zeros around, A consists of rows and columns of the
 * circulant matrix, stride 1, of a torus where the image has so much room that no output sees it from both sides.
 */
static falt_status bound_by_embedding(const struct falt_operator *op, double *bound)
{
    const struct problem *p = &op->problem;
    int64_t size[3];
    for (int k = 0; k < 3; k++) {
        const int64_t outputs = (p->out[k] - 1) * p->stride[k] + 1, extent = outputs + (p->kernel[k] - 1) * p->dilation[k];
        size[k] = op->boundary == FALT_BOUNDARY_CIRCULAR ? p->in[k]
                                                         : larger(outputs, larger(p->in[k] + p->pad[k], extent - p->pad[k]));
    }
    const falt_status status = falt_fourier_norm(op, size, bound);
    *bound *= sqrt(classes_of(op).copies) * (1.0 + 1e-9);
    return status;
}

/* ---------------------------------------------------------------------------------------------------------------- vectors */

/* Sixteen sums in double, which fit vectors and do not wait for each other. */
static double dot(const float *a, const float *b, int64_t n)
{
    double sum[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++)
            sum[j] += (double)a[i + j] * (double)b[i + j];
    for (; i < n; i++)
        sum[0] += (double)a[i] * (double)b[i];
    for (int j = 8; j > 0; j /= 2)
        for (int k = 0; k < j; k++)
            sum[k] += sum[k + j];
    return sum[0];
}

static double length_of(const float *a, int64_t n)
{
    return sqrt(dot(a, a, n));
}

static void add_scaled(float *a, double scale, const float *b, int64_t n)
{
    const float s = (float)scale;
    for (int64_t i = 0; i < n; i++)
        a[i] += s * b[i];
}

static void scale(float *a, double factor, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        a[i] = (float)(factor * (double)a[i]);
}

/* ------------------------------------------------------------------------------------------------------- small eigenproblem */

/* Eigenvalues (descending) and eigenvectors (rows of v) of the symmetric matrix a, both n x n with rows `stride` apart; a is
 * used up. Jacobi's method (Golub, Van Loan, "Matrix Computations", 8.5). */
static void eigen(double *a, double *v, int64_t n, int64_t stride)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            v[i * stride + j] = i == j;
    for (int sweep = 0; sweep < 40; sweep++) {
        double off = 0.0, all = 0.0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                const double square = a[i * stride + j] * a[i * stride + j];
                all += square;
                off += i != j ? square : 0.0;
            }
        if (off <= 1e-26 * all)
            break;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                const double apq = a[p * stride + q];
                if (apq == 0.0)
                    continue;
                const double tau = (a[q * stride + q] - a[p * stride + p]) / (2.0 * apq);
                const double t = (tau >= 0.0 ? 1.0 : -1.0) / (fabs(tau) + sqrt(1.0 + tau * tau));
                const double c = 1.0 / sqrt(1.0 + t * t), s = t * c;
                for (int64_t k = 0; k < n; k++) {
                    const double x = a[k * stride + p], y = a[k * stride + q];
                    a[k * stride + p] = c * x - s * y;
                    a[k * stride + q] = s * x + c * y;
                }
                for (int64_t k = 0; k < n; k++) {
                    const double x = a[p * stride + k], y = a[q * stride + k];
                    a[p * stride + k] = c * x - s * y;
                    a[q * stride + k] = s * x + c * y;
                    const double u = v[p * stride + k], w = v[q * stride + k];
                    v[p * stride + k] = c * u - s * w;
                    v[q * stride + k] = s * u + c * w;
                }
            }
    }
    for (int64_t i = 0; i < n; i++) { /* into descending order */
        int64_t most = i;
        for (int64_t j = i + 1; j < n; j++)
            most = a[j * stride + j] > a[most * stride + most] ? j : most;
        if (most == i)
            continue;
        const double value = a[i * stride + i];
        a[i * stride + i] = a[most * stride + most];
        a[most * stride + most] = value;
        for (int64_t k = 0; k < n; k++) {
            const double x = v[i * stride + k];
            v[i * stride + k] = v[most * stride + k];
            v[most * stride + k] = x;
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------------- Lanczos */

enum {
    PIECE = 64, /* floats of each vector at a time where all of them are transformed */
    /* Before a Ritz value may count as settled. A start that hardly has the leading singular vector settles on the second for a
     * while: after 16 steps 3 of 40 test runs (of 80 operators each) had one that was off by up to 0.2 %, after 24 still 1 of
     * 60, after 32 none of 200. */
    LEAST_STEPS = 32
};

struct lanczos {
    const struct falt_operator *op; /* of one vector */
    int first;        /* the direction of the first product, mostly that with the smaller input; B = A_other A_first */
    int64_t n, other; /* floats of that side, of the other */
    int64_t most;     /* basis vectors */
    float *basis;     /* most + 1 */
    float *product;   /* of the other side */
    double *projected, *values, *vectors; /* most x most: B in the basis; its diagonalised copy; eigenvectors as rows */
    void *workspace;
    size_t workspace_size;
    uint64_t noise;
    falt_norm *norm;
};

static void lanczos_free(struct lanczos *l)
{
    void *const all[] = {l->basis, l->product, l->projected, l->values, l->vectors, l->workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        falt_release(&l->op->allocator, all[i]);
}

static falt_status lanczos_init(struct lanczos *l, const struct falt_operator *op, falt_norm *norm)
{
    const struct problem *p = &op->problem;
    const int64_t columns = p->transposed ? p->y_count : p->x_count, rows = p->transposed ? p->x_count : p->y_count;
    /* The adjoint of a convolution around a circle sums what it has rounded, and would not do for a lower bound. */
    const int first = op->boundary == FALT_BOUNDARY_CIRCULAR ? p->transposed : columns > rows;
    *l = (struct lanczos){.op = op,
                          .norm = norm,
                          .first = first,
                          .n = first ? rows : columns,
                          .other = first ? columns : rows,
                          .workspace_size = falt_operator_workspace_size(op),
                          .noise = 1};
    l->most = smaller(smaller(norm->basis, norm->applications / 2), l->n);
    int64_t floats;
    if (l->most <= 46340 && falt_multiply(l->most + 1, l->n, &floats)) {
        const falt_allocator *a = &op->allocator;
        l->basis = falt_allocate(a, floats, sizeof(float));
        l->product = falt_allocate(a, l->other, sizeof(float));
        l->projected = falt_allocate(a, l->most * l->most, sizeof(double));
        l->values = falt_allocate(a, l->most * larger(l->most, PIECE), sizeof(double));
        l->vectors = falt_allocate(a, l->most * l->most, sizeof(double));
        l->workspace = falt_allocate(a, (int64_t)l->workspace_size + 1, 1);
    }
    if (l->basis && l->product && l->projected && l->values && l->vectors && l->workspace)
        return FALT_OK;
    lanczos_free(l);
    return falt_fail(FALT_OUT_OF_MEMORY, "no memory for %lld vectors of %lld floats", (long long)l->most + 1, (long long)l->n);
}

static falt_status multiply(const struct lanczos *l, int direction, const float *from, float *to)
{
    l->norm->used++;
    return direction == 0 ? falt_operator_apply(l->op, from, to, l->workspace, l->workspace_size)
                          : falt_operator_apply_transposed(l->op, from, to, l->workspace, l->workspace_size);
}

/* The first `count` Ritz vectors in place of the basis vectors that they are made of, a piece of all of them at a time. */
static void change_basis(const struct lanczos *l, int64_t size, int64_t count)
{
    for (int64_t i = 0; i < l->n; i += PIECE) {
        const int64_t piece = smaller(PIECE, l->n - i);
        for (int64_t r = 0; r < count; r++) {
            double sum[PIECE] = {0};
            for (int64_t b = 0; b < size; b++)
                for (int64_t j = 0; j < piece; j++)
                    sum[j] += l->vectors[r * l->most + b] * (double)l->basis[b * l->n + i + j];
            memcpy(l->values + r * PIECE, sum, sizeof sum); /* the basis is still needed */
        }
        for (int64_t r = 0; r < count; r++)
            for (int64_t j = 0; j < piece; j++)
                l->basis[r * l->n + i + j] = (float)l->values[r * PIECE + j];
    }
}

/* Another piece of a linear congruential sequence (Knuth's MMIX) each time. */
static void fill_noise(struct lanczos *l, float *v)
{
    for (int64_t i = 0; i < l->n; i++) {
        l->noise = l->noise * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        v[i] = (float)(int32_t)(l->noise >> 40) * 0x1p-23f - 1.0f;
    }
    scale(v, 1.0 / length_of(v, l->n), l->n);
}

/* The waves that Fourier analysis recommends, which save most of the steps, and some noise in case that it errs. */
static falt_status start(struct lanczos *l)
{
    float *v = l->basis, *noise = v + l->n;
    const bool outputs = (l->first == 1) != l->op->problem.transposed;
    const falt_status status = falt_fourier_start(l->op, outputs, v);
    if (status == FALT_OUT_OF_MEMORY)
        return status;
    if (status != FALT_OK) /* not to be had at this size */
        memset(v, 0, (size_t)l->n * sizeof *v);
    fill_noise(l, noise);
    const double length = length_of(v, l->n);
    if (length > 0.0)
        scale(v, 1.0 / length, l->n);
    add_scaled(v, 0.1, noise, l->n);
    if (!(length_of(v, l->n) > 0.05)) /* they cancel */
        fill_noise(l, v);
    scale(v, 1.0 / length_of(v, l->n), l->n);
    return FALT_OK;
}

/* Eigenvectors and eigenvalues (on the diagonal of l->values) of the projected matrix. */
static void solve_projected(const struct lanczos *l, int64_t size)
{
    memcpy(l->values, l->projected, (size_t)(l->most * l->most) * sizeof *l->values);
    eigen(l->values, l->vectors, size, l->most);
}

/*
 * How far the largest Ritz value is from an eigenvalue, relatively to it and as to their square roots: its residual bounds it,
 * and so do the squares of the residuals of the largest few over the gap to the rest (Parlett, "The Symmetric Eigenvalue
 * Problem", 11.7), whether they are one value or a cluster.
 */
static double relative_error(const struct lanczos *l, int64_t size, double beta)
{
    const double top = l->values[0];
    double error = beta * fabs(l->vectors[size - 1]), squares = 0.0;
    if (!(top > 0.0))
        return 0.0;
    for (int64_t i = 0; i + 1 < size; i++) {
        const double residual = beta * l->vectors[i * l->most + size - 1];
        const double gap = top - l->values[(i + 1) * l->most + i + 1];
        squares += residual * residual;
        if (gap > 0.0)
            error = fmin(error, squares / gap);
    }
    return 0.5 * error / top;
}

/*
 * Makes next, a vector of this length, orthogonal to the basis up to vector j; if it is a product, over `stretch`, the
 * coefficients are the projected matrix's column j. What cancels takes accuracy with it, so it is done again until hardly
 * anything does (Daniel, Gragg, Kaufman, Stewart, 1976). Returns the remaining length; 0 if there is nothing but rounding left.
 */
static double orthogonalise(const struct lanczos *l, int64_t j, float *next, double stretch, double before)
{
    const double rounding = 4e-7 * before;
    double length = before;
    for (int turn = 0; turn < 4; turn++) {
        const double last = length;
        for (int64_t i = 0; i <= j; i++) {
            const double h = dot(l->basis + i * l->n, next, l->n);
            if (stretch > 0.0)
                l->projected[j * l->most + i] = l->projected[i * l->most + j] += stretch * h;
            add_scaled(next, -h, l->basis + i * l->n, l->n);
        }
        length = length_of(next, l->n);
        if (!(length > rounding))
            return length <= rounding ? 0.0 : length; /* NaN stays */
        if (length > 0.7 * last)
            return length;
    }
    return 0.0;
}

/* B times basis vector j, normalised and orthogonal to the basis so far, as the next one; *beta is its length before, 0 if
 * there is nothing but rounding left. */
static falt_status step(const struct lanczos *l, int64_t j, double *beta)
{
    float *next = l->basis + (j + 1) * l->n;
    falt_status status = multiply(l, l->first, l->basis + j * l->n, l->product);
    if (status != FALT_OK)
        return status;
    const double stretch = length_of(l->product, l->other);
    if (stretch > 0.0)
        scale(l->product, 1.0 / stretch, l->other); /* the square of a norm may have no float */
    status = multiply(l, !l->first, l->product, next);
    if (status != FALT_OK)
        return status;
    for (int64_t i = 0; i <= j; i++)
        l->projected[i * l->most + j] = l->projected[j * l->most + i] = 0.0;
    const double length = orthogonalise(l, j, next, stretch, length_of(next, l->n));
    *beta = stretch * length;
    if (!isfinite(*beta))
        return falt_fail(FALT_INVALID_ARGUMENT, "the weights are so large that products overflow");
    if (length > 0.0)
        scale(next, 1.0 / length, l->n);
    return FALT_OK;
}

/* Half of a full basis makes room: the largest Ritz vectors, and the next vector behind them. Returns the last one's index. */
static int64_t restart(const struct lanczos *l)
{
    const int64_t kept = l->most / 2;
    for (int64_t i = 0; i < kept; i++)
        for (int64_t k = 0; k < kept; k++)
            l->projected[i * l->most + k] = i == k ? l->values[i * l->most + i] : 0.0;
    change_basis(l, l->most, kept);
    memcpy(l->basis + kept * l->n, l->basis + l->most * l->n, (size_t)l->n * sizeof(float));
    return kept - 1;
}

/* Noise, orthogonal to the basis up to vector j, which is not all of the space, as the next one. */
static void go_on_from_noise(struct lanczos *l, int64_t j)
{
    float *next = l->basis + (j + 1) * l->n;
    double length = 0.0;
    while (!(length > 0.0)) {
        fill_noise(l, next);
        length = orthogonalise(l, j, next, 0.0, 1.0);
    }
    scale(next, 1.0 / length, l->n);
}

/* Leaves the largest Ritz vector in the place of the first of the basis. */
static falt_status iterate(struct lanczos *l)
{
    falt_norm *norm = l->norm;
    const int64_t limit = norm->applications - 1; /* one is for the lower bound */
    double before = -1.0, beta;                   /* the largest Ritz value when the space was last exhausted */
    falt_status status = start(l);
    for (int64_t j = 0, steps = 1; status == FALT_OK; j++, steps++) {
        status = step(l, j, &beta);
        if (status != FALT_OK)
            break;
        const bool exhausted = beta == 0.0 || j + 1 == l->n, full = j + 1 == l->most, last = norm->used + 2 > limit;
        if (!exhausted && !full && !last && steps % 4 != 0)
            continue;
        solve_projected(l, j + 1);
        const double top = l->values[0];
        const bool settled = steps >= LEAST_STEPS && relative_error(l, j + 1, beta) <= 0.25 * norm->tolerance;
        const bool stood = before >= 0.0 && top <= before * (1.0 + norm->tolerance); /* what other noise may have missed */
        norm->estimate = sqrt(fmax(0.0, top));
        norm->converged = exhausted ? stood || j + 1 == l->n : settled;
        if (norm->converged || last) {
            change_basis(l, j + 1, 1);
            break;
        }
        if (full)
            j = restart(l);
        if (exhausted) {
            before = top;
            go_on_from_noise(l, j);
        }
    }
    return status;
}

/* A with one vector at a time. */
static falt_status single(const struct falt_operator *op, bool reference, falt_operator **made)
{
    falt_conv conv = op->conv;
    falt_options options = op->options;
    conv.batch = 1;
    if (reference) {
        options.algorithm = FALT_ALGO_REFERENCE;
        options.workspace_limit = -1;
    }
    return falt_operator_create(made, &conv, op->boundary, op->weights, &options);
}

/* ||A x|| / ||x||, by the reference solver, which sums in double and rounds once. */
static falt_status lower_bound(struct lanczos *l)
{
    falt_norm *norm = l->norm;
    const double length = length_of(l->basis, l->n);
    falt_operator *reference = NULL;
    falt_status status = FALT_OK;
    void *const workspace = l->workspace;
    const struct falt_operator *const op = l->op;
    if (norm->certify) {
        status = single(op, true, &reference);
        if (status != FALT_OK)
            return status;
        l->op = reference;
        l->workspace = NULL;
    }
    status = multiply(l, l->first, l->basis, l->product);
    l->op = op;
    l->workspace = workspace;
    falt_operator_destroy(reference);
    norm->lower = length > 0.0 ? length_of(l->product, l->other) / length * (1.0 - 0x1p-22) : 0.0;
    return status;
}

static falt_status by_lanczos(const struct falt_operator *op, falt_norm *norm)
{
    falt_operator *own = NULL;
    falt_status status = FALT_OK;
    if (op->problem.batch != 1) {
        status = single(op, false, &own);
        if (status != FALT_OK)
            return status;
        op = own;
    }
    struct lanczos l;
    status = lanczos_init(&l, op, norm);
    if (status == FALT_OK) {
        status = iterate(&l);
        if (status == FALT_OK)
            status = lower_bound(&l);
        lanczos_free(&l);
    }
    if (status == FALT_OK) {
        norm->upper = bound_by_sums(op);
        if (norm->embed) {
            double bound = 0.0;
            status = bound_by_embedding(op, &bound);
            if (status == FALT_OK)
                norm->upper = fmin(norm->upper, bound);
        }
        /* Rounding of a Ritz value must not carry it out of what is known. */
        norm->estimate = fmin(fmax(norm->estimate, norm->lower), norm->upper);
    }
    falt_operator_destroy(own);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ entry point */

static bool has_fourier(const struct falt_operator *op)
{
    const struct problem *p = &op->problem;
    for (int k = 0; k < 3; k++)
        if (p->in[k] % p->stride[k] != 0 || p->in[k] / p->stride[k] != p->out[k])
            return false;
    return op->boundary == FALT_BOUNDARY_CIRCULAR;
}

static falt_status check(const falt_operator *op, const falt_norm *norm)
{
    if (!op || !norm)
        return falt_fail(FALT_INVALID_ARGUMENT, "%s is NULL", op ? "norm" : "op");
    if (norm->struct_size != sizeof *norm)
        return falt_fail(FALT_INVALID_ARGUMENT, "struct_size %zu is not sizeof(falt_norm) %zu: start from FALT_NORM_INIT",
                         norm->struct_size, sizeof *norm);
    if ((unsigned)norm->method > FALT_NORM_FOURIER)
        return falt_fail(FALT_INVALID_ARGUMENT, "unknown norm method %d", (int)norm->method);
    if (!(norm->tolerance > 0.0))
        return falt_fail(FALT_INVALID_ARGUMENT, "tolerance %g is not positive", norm->tolerance);
    if (norm->applications < 3 || norm->basis < 4)
        return falt_fail(FALT_INVALID_ARGUMENT, "%s %lld is less than %d", norm->applications < 3 ? "applications" : "basis",
                         (long long)(norm->applications < 3 ? norm->applications : norm->basis),
                         norm->applications < 3 ? 3 : 4);
    if ((norm->certify != 0 && norm->certify != 1) || (norm->embed != 0 && norm->embed != 1))
        return falt_fail(FALT_INVALID_ARGUMENT, "certify %d or embed %d is neither 0 nor 1", (int)norm->certify,
                         (int)norm->embed);
    for (int64_t i = 0; i < op->problem.w_count; i++)
        if (!isfinite(op->weights[i]))
            return falt_fail(FALT_INVALID_ARGUMENT, "weight %lld is not finite", (long long)i);
    return FALT_OK;
}

falt_status falt_operator_norm(const falt_operator *op, falt_norm *norm)
{
    falt_status status = check(op, norm);
    if (status != FALT_OK)
        return status;
    norm->estimate = norm->lower = norm->upper = 0.0;
    norm->used = 0;
    norm->converged = norm->exact = 0;
    const bool fourier = has_fourier(op);
    if (norm->method == FALT_NORM_FOURIER && !fourier)
        return falt_fail(FALT_UNSUPPORTED, "only a circular boundary with in == stride * out has a Fourier transform");
    if (!fourier || norm->method == FALT_NORM_LANCZOS)
        return by_lanczos(op, norm);
    status = falt_fourier_norm(op, NULL, &norm->estimate);
    norm->lower = norm->upper = norm->estimate;
    norm->converged = norm->exact = 1;
    return status;
}
