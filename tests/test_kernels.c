/*
 * test_kernels.c - every kernel of every instruction set that this CPU runs, against double precision.
 *
 * As checkasm does it: all tiles, all numbers of columns, odd depths, addresses of no alignment, tensors flush against
 * inaccessible pages on either side, outputs full of NaN, canaries around whatever must not be written.
 */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float inf = INFINITY;

/* ------------------------------------------------------------------------------------------------------------ epilogue oracle
 */

static double exact_epilogue(const struct epilogue *epilogue, double x)
{
    x = x < (double)epilogue->lo ? (double)epilogue->lo : x > (double)epilogue->hi ? (double)epilogue->hi : x;
    switch (epilogue->activation) {
    case ACTIVATE_LEAKY:
        return x < 0.0 ? (double)epilogue->alpha * x : x;
    case ACTIVATE_SIGMOID:
        return 1.0 / (1.0 + exp(-x));
    case ACTIVATE_SILU:
        return x / (1.0 + exp(-x));
    case ACTIVATE_HARDSWISH: {
        const double gate = x + 3.0 < 0.0 ? 0.0 : x + 3.0 > 6.0 ? 6.0 : x + 3.0;
        return x * gate / 6.0;
    }
    default:
        return x;
    }
}

/* None of the activations is steeper than this: how far an error of the sum can grow. */
static double steepness(const struct epilogue *epilogue)
{
    return epilogue->activation == ACTIVATE_HARDSWISH ? 1.5 : epilogue->activation == ACTIVATE_SILU ? 1.1 : 1.0;
}

static const struct epilogue epilogues[] = {
    {-INFINITY, INFINITY, ACTIVATE_NONE, 0.0f},   {0.0f, INFINITY, ACTIVATE_NONE, 0.0f},
    {-0.5f, 0.75f, ACTIVATE_NONE, 0.0f},          {-INFINITY, INFINITY, ACTIVATE_LEAKY, 0.1f},
    {-INFINITY, INFINITY, ACTIVATE_LEAKY, -2.0f}, {-INFINITY, INFINITY, ACTIVATE_SIGMOID, 0.0f},
    {-INFINITY, INFINITY, ACTIVATE_SILU, 0.0f},   {-INFINITY, INFINITY, ACTIVATE_HARDSWISH, 0.0f},
};
enum { EPILOGUES = sizeof epilogues / sizeof *epilogues };

/* -------------------------------------------------------------------------------------------------------------------- finish
 */

static double ulp(double x)
{
    const float magnitude = (float)fabs(x);
    return (double)(nextafterf(magnitude, INFINITY) - magnitude);
}

/* A few ulp over the whole range where the activations do something, and at the limits. */
static void test_finish_accuracy(void **state)
{
    (void)state;
    const struct epilogue none = epilogues[0];
    static float x[4096], y[4096];
    static double expected[4096], tolerance[4096];
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(1);
        for (int activation = ACTIVATE_LEAKY; activation <= ACTIVATE_HARDSWISH; activation++) {
            struct epilogue epilogue = none;
            epilogue.activation = activation;
            epilogue.alpha = 0.1f;
            for (int i = 0; i < 4096; i++) {
                x[i] = i < 2048 ? (float)(i - 1024) * 0.125f : random_uniform(&random) * (i & 1 ? 10.0f : 100.0f);
                y[i] = x[i];
                expected[i] = exact_epilogue(&epilogue, (double)x[i]);
                /* of subnormal results the last bits are lost on the way */
                tolerance[i] = 1e-6 * fabs(expected[i]) + (activation == ACTIVATE_SILU ? 128.0 : 2.0) * 0x1p-149;
                if (activation == ACTIVATE_HARDSWISH) /* x + 3 rounds near -3 */
                    tolerance[i] += 3.0 * ulp(3.0);
            }
            (*table)->finish(y, 4096, &epilogue);
            check_within(y, expected, tolerance, 4096, "%s activation %d", (*table)->name, activation);
        }
    }
}

static void test_finish_limits(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        for (int e = 0; e < EPILOGUES; e++) {
            float x[] = {0.0f, 1.0f, -1.0f, 100.0f, -100.0f, 1e30f, -1e30f, FLT_MAX, -FLT_MAX, inf, -inf, NAN, -NAN};
            enum { N = sizeof x / sizeof *x };
            double expected[N], tolerance[N];
            for (int i = 0; i < N; i++) {
                expected[i] = exact_epilogue(&epilogues[e], (double)x[i]);
                tolerance[i] = isfinite(expected[i]) ? 1e-6 * fabs(expected[i]) + FLT_MIN : 0.0;
            }
            (*table)->finish(x, N, &epilogues[e]);
            check_within(x, expected, tolerance, N, "%s epilogue %d", (*table)->name, e);
            assert_true(isnan(x[N - 1]) && isnan(x[N - 2]));
        }
    }
}

/* All lengths, on both sides of a guard; the same bits as one element at a time. */
static void test_finish_sizes(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(2);
        for (int64_t n = 0; n <= 3 * (*table)->vec + 1; n++) {
            for (int side = 0; side < GUARD_SIDES; side++) {
                float *x = guarded(n, (enum guard_side)side);
                float single[64];
                fill_uniform(&random, x, n);
                for (int64_t i = 0; i < n; i++) {
                    single[i] = x[i];
                    (*table)->finish(&single[i], 1, &epilogues[n % EPILOGUES]);
                }
                (*table)->finish(x, n, &epilogues[n % EPILOGUES]);
                check_same(x, single, n, "%s finish of %d", (*table)->name, (int)n);
                guarded_free(x);
            }
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------------- collect
 */

/* Rows that overlap and end at the guard page, into a matrix with gaps. */
static void collect_case(const struct kernels *kernels, int64_t rows, int64_t columns, int64_t gap, enum guard_side side)
{
    const int64_t pitch = columns + gap, reach = columns + 2 * (rows - 1);
    float *src = guarded(reach, side), *dst = guarded((rows - 1) * pitch + columns, side);
    ptrdiff_t offset[40];
    for (int64_t r = 0; r < rows; r++)
        offset[r] = 2 * (rows - 1 - r);
    for (int64_t i = 0; i < reach; i++)
        src[i] = (float)i;
    kernels->collect(src, offset, rows, columns, dst, pitch);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < columns; i++)
            if (dst[r * pitch + i] != src[offset[r] + i])
                fail_msg("%s collect of %d x %d: wrong at %d, %d", kernels->name, (int)rows, (int)columns, (int)r, (int)i);
        if (r < rows - 1)
            check_canary(dst + r * pitch + columns, gap, "%s collect of %d x %d, between rows", kernels->name, (int)rows,
                         (int)columns);
    }
    guarded_free(src);
    guarded_free(dst);
}

static void test_collect(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++)
        for (int64_t columns = 1; columns <= 5 * (*table)->vec; columns++)
            for (int side = 0; side < GUARD_SIDES; side++) {
                collect_case(*table, 1, columns, 0, (enum guard_side)side);
                collect_case(*table, 7, columns, columns % 4, (enum guard_side)side);
            }
}

/* ----------------------------------------------------------------------------------------------------------------- copying */

static void test_copy_past(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++)
        for (int64_t count = 0; count <= 70; count++)
            for (int64_t off = 0; off < 16; off++) {
                float *src = guarded(count, AT_END), *dst = guarded(count + off, count % 2 ? AT_END : AT_BEGIN);
                for (int64_t i = 0; i < count; i++)
                    src[i] = (float)i;
                (*table)->copy_past(src, count, dst + off);
                (*table)->fence();
                check_canary(dst, off, "%s copy of %d, before", (*table)->name, (int)count);
                for (int64_t i = 0; i < count; i++)
                    if (dst[off + i] != src[i])
                        fail_msg("%s copy of %d: wrong at %d", (*table)->name, (int)count, (int)i);
                guarded_free(src);
                guarded_free(dst);
            }
}

/* -------------------------------------------------------------------------------------------------------------------- sums */

/* Trees of eight rows, then single ones. */
static double column_sum(const float *x, ptrdiff_t apart, int64_t rows, double total)
{
    for (; rows >= 8; rows -= 8, x += 8 * apart)
        total += (double)(((x[0] + x[apart]) + (x[2 * apart] + x[3 * apart])) +
                          ((x[4 * apart] + x[5 * apart]) + (x[6 * apart] + x[7 * apart])));
    for (; rows > 0; rows--, x += apart)
        total += (double)x[0];
    return total;
}

static void sums_case(const struct kernels *kernels, struct random *random, int64_t rows, int64_t columns, int64_t gap,
                      enum guard_side side)
{
    const int64_t apart = columns + gap, count = rows == 0 ? 0 : (rows - 1) * apart + columns;
    float *x = guarded(count, side);
    double total[100], before[100];
    fill_uniform(random, x, count);
    for (int64_t i = 0; i < count; i++)
        x[i] *= i % 3 == 0 ? 1e4f : 1.0f;
    for (int64_t c = 0; c < 100; c++)
        total[c] = before[c] = (double)c / 7.0;
    kernels->sum_rows(x, apart, rows, columns, total);
    for (int64_t c = 0; c < 100; c++)
        if (total[c] != (c < columns ? column_sum(x + c, apart, rows, before[c]) : before[c]))
            fail_msg("%s sums of %d x %d: wrong at %d", kernels->name, (int)rows, (int)columns, (int)c);
    guarded_free(x);
}

static void run_case(const struct kernels *kernels, struct random *random, int64_t count, enum guard_side side)
{
    float *x = guarded(count, side);
    double lane[16];
    fill_uniform(random, x, count);
    for (int64_t i = 0; i < count; i++)
        x[i] *= i % 3 == 0 ? 1e4f : 1.0f;
    for (int64_t i = 0; i < 16; i++) {
        const int64_t rows = count / 16;
        lane[i] = column_sum(x + i, 16, rows, 0.0) + (i < count % 16 ? (double)x[rows * 16 + i] : 0.0);
    }
    for (int64_t left = 8; left > 0; left /= 2)
        for (int64_t i = 0; i < left; i++)
            lane[i] += lane[i + left];
    if (kernels->sum_run(x, count) != lane[0])
        fail_msg("%s sum of %d", kernels->name, (int)count);
    guarded_free(x);
}

static void test_sums(void **state)
{
    (void)state;
    struct random random = random_stream(9);
    for (const struct kernels *const *table = runnable_kernels(); *table; table++)
        for (int side = 0; side < GUARD_SIDES; side++) {
            for (int64_t columns = 0; columns <= 70; columns++)
                for (int64_t rows = 0; rows <= 17; rows++)
                    sums_case(*table, &random, rows, columns, columns % 4, (enum guard_side)side);
            for (int64_t count = 0; count <= 300; count++)
                run_case(*table, &random, count, (enum guard_side)side);
        }
}

/* ----------------------------------------------------------------------------------------------------------------- transpose
 */

static void transpose_case(const struct kernels *kernels, int64_t rows, int64_t columns, int64_t extra, enum guard_side side)
{
    const int64_t src_stride = columns + extra, dst_stride = rows + 2 * extra;
    const int64_t src_count = rows && columns ? (rows - 1) * src_stride + columns : 0;
    const int64_t dst_count = rows && columns ? (columns - 1) * dst_stride + rows : 0;
    float *src = guarded(src_count, side), *dst = guarded(dst_count, side);
    for (int64_t i = 0; i < src_count; i++)
        src[i] = (float)i;
    kernels->transpose(src, src_stride, rows, columns, dst, dst_stride);
    for (int64_t c = 0; c < columns && rows; c++) {
        for (int64_t r = 0; r < rows; r++) {
            if (dst[c * dst_stride + r] != src[r * src_stride + c])
                fail_msg("%s transpose of %d x %d: wrong at %d, %d", kernels->name, (int)rows, (int)columns, (int)r, (int)c);
        }
        if (c + 1 < columns)
            check_canary(dst + c * dst_stride + rows, dst_stride - rows, "%s transpose of %d x %d, between rows", kernels->name,
                         (int)rows, (int)columns);
    }
    guarded_free(src);
    guarded_free(dst);
}

static void test_transpose(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        const int64_t most = 2 * (*table)->vec + 1;
        for (int64_t rows = 0; rows <= most; rows++) {
            for (int64_t columns = 0; columns <= most; columns++)
                transpose_case(*table, rows, columns, (rows + columns) % 3, (enum guard_side)((rows ^ columns) % GUARD_SIDES));
        }
        transpose_case(*table, 131, 257, 0, AT_END);
        transpose_case(*table, 300, 3, 5, AT_END);
    }
}

/* ---------------------------------------------------------------------------------------------------------------------- burn
 */

static void test_burn(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        float sink = NAN;
        const double one = (*table)->burn(1, &sink), ten = (*table)->burn(10, &sink);
        assert_true(one >= 2.0 * 900.0 * (*table)->vec && one <= 2.0 * 1100.0 * (*table)->vec);
        assert_true(ten == 10.0 * one);
        assert_true(isfinite(sink) && sink > 0.0f);
    }
}

/* ---------------------------------------------------------------------------------------------------------------------- gemm
 */

/* How the rows of C lie: c[m][n] at origin + m * row + n * step. */
enum placement { ROWS, CHANNELS_FIRST, APART, PLACEMENTS };

enum { TURNS = 32 }; /* tiles in a row, enough for any of them to leave most of the prefetching to the others */

struct gemm_case {
    const struct kernels *kernels;
    int vectors, rows;
    int64_t columns, depth, taps;
    enum placement placement;
    enum guard_side side;
    bool apart;  /* rows of B */
    bool gaps;   /* in B, before taps */
    bool stream; /* where C is in rows, aligned then */
    bool accumulate, bias, row_bias, residual, integers;
    const struct epilogue *epilogue;
};

static void fill(struct random *random, bool integers, float *x, int64_t n)
{
    if (integers)
        fill_integer(random, x, n);
    else
        fill_uniform(random, x, n);
}

enum { MOST_TAPS = 9 };

static void gemm_run(const struct gemm_case *at, struct random *random)
{
    const int rows = at->rows, nr = at->vectors * at->kernels->vec;
    const int64_t columns = at->columns, depth = at->depth, taps = at->taps, terms = taps * depth;

    /* Rows of A in shuffled order, the first tap's first row last, flush against the end. */
    float *a = guarded(taps * rows * depth, at->side);
    const int64_t a_tap = rows + (at->gaps ? random_between(random, 0, 3) : 0);
    const float **pointers = calloc((size_t)(taps * a_tap + 1), sizeof *pointers);
    assert_non_null(pointers);
    const int64_t offset = random_between(random, 0, taps * rows > 1 ? depth : 0);
    for (int64_t i = 0; i < taps * rows; i++)
        pointers[i / rows * a_tap + i % rows] = a + (taps * rows - 1 - i) * depth - offset;
    fill(random, at->integers, a, taps * rows * depth);

    const int64_t pitch = nr + (at->apart ? random_between(random, 0, 19) : 0); /* what lies between is the guard's NaN */
    int64_t gaps[MOST_TAPS], first[MOST_TAPS], all = 0; /* rows of B, gaps of floats where they lie apart */
    for (int64_t t = 0; t < taps; t++) {
        const int64_t rows_between = at->gaps ? random_between(random, 0, 3) : 0;
        gaps[t] = rows_between * (at->apart ? pitch : 1);
        first[t] = all + rows_between;
        all = first[t] + depth;
    }
    float *b = guarded(all ? (all - 1) * pitch + nr : 0, at->side);
    for (int64_t i = 0; i < terms; i++) {
        float *const to = b + (first[i / depth] + i % depth) * pitch;
        fill(random, at->integers, to, nr);
        for (int64_t n = columns; n < nr; n++)
            to[n] = 0.0f;
    }

    const bool stream = at->stream && at->placement == ROWS && columns == nr;
    const int64_t gap = stream ? at->kernels->vec * random_between(random, 0, 2) : random_between(random, 0, 3);
    const enum guard_side side = stream ? AT_BEGIN : at->side;
    const ptrdiff_t step = at->placement == ROWS ? 1 : at->placement == CHANNELS_FIRST ? rows + gap : 2 * rows + 1 + gap;
    const ptrdiff_t row = at->placement == ROWS ? columns + gap : at->placement == CHANNELS_FIRST ? 1 : 2;
    const int64_t count = (rows - 1) * row + (columns - 1) * step + 1;
    float *c = guarded(count, side), *residual = at->residual ? guarded(count, side) : NULL;
    float *bias = at->bias ? guarded(columns, at->side) : NULL, *row_bias = at->row_bias ? guarded(rows, at->side) : NULL;
    ptrdiff_t rows_of_c[GEMM_MAX_ROWS];
    bool *touched = calloc((size_t)count, sizeof *touched);
    double *expected = calloc((size_t)count, sizeof *expected), *tolerance = calloc((size_t)count, sizeof *tolerance);
    assert_true(touched && expected && tolerance);
    if (bias)
        fill(random, at->integers, bias, columns);
    if (row_bias)
        fill(random, at->integers, row_bias, rows);
    for (int m = 0; m < rows; m++) {
        rows_of_c[m] = m * row;
        for (int64_t n = 0; n < columns; n++) {
            const int64_t i = m * row + n * step;
            double sum = 0.0, magnitude = 0.0;
            touched[i] = true;
            if (at->accumulate) {
                fill(random, at->integers, c + i, 1);
                sum += (double)c[i];
                magnitude += fabs((double)c[i]);
            }
            for (int64_t t = 0; t < taps; t++) {
                for (int64_t k = 0; k < depth; k++) {
                    const double product = (double)pointers[t * a_tap + m][offset + k] * (double)b[(first[t] + k) * pitch + n];
                    sum += product;
                    magnitude += fabs(product);
                }
            }
            if (bias) {
                sum += (double)bias[n];
                magnitude += fabs((double)bias[n]);
            }
            if (row_bias) {
                sum += (double)row_bias[m];
                magnitude += fabs((double)row_bias[m]);
            }
            if (residual) {
                fill(random, at->integers, residual + i, 1);
                sum += (double)residual[i];
                magnitude += fabs((double)residual[i]);
            }
            expected[i] = exact_epilogue(at->epilogue, sum);
            /* gamma(terms) * sum of magnitudes; products round too where there is no FMA. Nothing at all on whole numbers. */
            tolerance[i] = at->integers ? 0.0 : ((double)terms + 4.0) * FLT_EPSILON * magnitude;
            if (at->epilogue->activation != ACTIVATE_NONE)
                tolerance[i] = tolerance[i] * fmax(steepness(at->epilogue), fabs((double)at->epilogue->alpha)) +
                               4.0 * FLT_EPSILON * (fabs(expected[i]) + 3.0);
        }
    }

    at->kernels->gemm[at->vectors][rows](&(struct gemm_args){.a = pointers,
                                                             .a_offset = offset,
                                                             .b = b,
                                                             .b_step = at->apart ? pitch : 0,
                                                             .taps = taps,
                                                             .a_tap = a_tap,
                                                             .depth = depth,
                                                             .gaps = at->gaps ? gaps : NULL,
                                                             .c = c,
                                                             .residual = residual,
                                                             .row = rows_of_c,
                                                             .bias = bias,
                                                             .row_bias = row_bias,
                                                             .step = step,
                                                             .columns = columns,
                                                             .accumulate = at->accumulate,
                                                             .stream = stream,
                                                             .share = random_between(random, 0, 1) * taps * depth / TURNS,
                                                             .coming_step = random_between(random, -1, 1) * 64,
                                                             .coming = a,
                                                             .ahead = random_between(random, -1, 1) * 100000,
                                                             .epilogue = *at->epilogue});
    at->kernels->fence();

    char text[256];
    snprintf(text, sizeof text,
             "%s %dx%d, columns %d, depth %d, taps %d, placement %d, side %d, apart %d, gaps %d, stream %d, accumulate %d, "
             "bias %d, row "
             "bias %d, "
             "residual %d, "
             "epilogue %d, integers %d",
             at->kernels->name, rows, at->vectors, (int)columns, (int)depth, (int)taps, (int)at->placement, (int)at->side,
             at->apart, at->gaps, stream, at->accumulate, at->bias, at->row_bias, at->residual, (int)(at->epilogue - epilogues),
             at->integers);
    for (int64_t i = 0; i < count; i++) {
        if (touched[i] && !is_close(c[i], expected[i], tolerance[i]))
            check_close(c + i, expected + i, 1, tolerance[i], "%s, element %d", text, (int)i);
        else if (!touched[i] && !is_canary(c[i]))
            check_canary(c + i, 1, "%s, element %d", text, (int)i);
    }
    free(tolerance);
    free(expected);
    free(touched);
    free(pointers);
    guarded_free(a);
    guarded_free(b);
    guarded_free(c);
    guarded_free(residual);
    guarded_free(bias);
    guarded_free(row_bias);
}

/* Every tile and every number of columns; the rest varies with the case and at random. */
static void test_gemm(void **state)
{
    (void)state;
    static const int64_t depths[] = {0, 1, 2, 3, 7, 17}, taps[] = {0, 1, 2, 9};
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(3);
        int tiles = 0;
        for (int vectors = 1; vectors <= GEMM_MAX_VECTORS; vectors++) {
            for (int rows = 1; rows <= (*table)->gemm_rows[vectors]; rows++, tiles++) {
                assert_non_null((*table)->gemm[vectors][rows]);
                const int64_t nr = vectors * (*table)->vec;
                for (int64_t columns = 1; columns <= nr; columns++) {
                    const int repeat = columns == nr ? 16 : columns == 1 || columns == nr - 1 ? 6 : 2;
                    for (int i = 0; i < repeat; i++) {
                        for (int placement = 0; placement < PLACEMENTS; placement++) {
                            const uint64_t bits = random_bits(&random);
                            const struct gemm_case at = {
                                .kernels = *table,
                                .vectors = vectors,
                                .rows = rows,
                                .columns = columns,
                                .depth = depths[random_between(&random, 0, 5)],
                                .taps = taps[random_between(&random, 0, 3)],
                                .placement = (enum placement)placement,
                                .side = (enum guard_side)random_between(&random, 0, GUARD_SIDES - 1),
                                .accumulate = bits & 1,
                                .bias = bits >> 1 & 1,
                                .residual = bits >> 2 & 1,
                                .row_bias = bits >> 5 & 1,
                                .apart = bits >> 6 & 1,
                                .stream = bits >> 7 & 1,
                                .gaps = bits >> 8 & 1,
                                .integers = bits >> 3 & 1,
                                .epilogue = &epilogues[bits >> 4 & 1 ? random_between(&random, 0, EPILOGUES - 1) : 0],
                            };
                            gemm_run(&at, &random);
                        }
                    }
                }
            }
        }
        print_message("%s: %d tiles\n", (*table)->name, tiles);
    }
}

/* The whole product of the options on one tall and one wide tile. */
static void test_gemm_options(void **state)
{
    (void)state;
    static const int64_t depths[] = {0, 1, 3, 17}, taps[] = {0, 1, 2};
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(4);
        for (int vectors = 2; vectors <= 3; vectors++) {
            for (int choice = 0; choice < 4 * 3 * PLACEMENTS * EPILOGUES * 16; choice++) {
                int rest = choice;
                struct gemm_case at = {.kernels = *table, .vectors = vectors, .rows = (*table)->gemm_rows[vectors]};
                at.accumulate = rest & 1, at.bias = rest & 2, at.residual = rest & 4, rest >>= 3;
                at.columns = vectors * (*table)->vec - (rest & 1 ? (*table)->vec + 1 : 0), rest >>= 1;
                at.epilogue = &epilogues[rest % EPILOGUES], rest /= EPILOGUES;
                at.placement = (enum placement)(rest % PLACEMENTS), rest /= PLACEMENTS;
                at.depth = depths[rest % 4], rest /= 4;
                at.taps = taps[rest];
                at.integers = random_bits(&random) & 1;
                at.apart = random_bits(&random) & 1;
                at.stream = random_bits(&random) & 1;
                at.side = (enum guard_side)random_between(&random, 0, GUARD_SIDES - 1);
                gemm_run(&at, &random);
            }
        }
    }
}

/* Two tiles that compute the same element give the same bits, wherever it lies in them and however it is stored: those of one
 * chain of fused multiply-adds over taps, then depth, then the bias, then the residual. (Scalar code may round products.) */
static void test_gemm_same_bits(void **state)
{
    (void)state;
    enum { DEPTH = 37, TAPS = 3, MOST = GEMM_MAX_ROWS };
    static float a[TAPS][MOST][DEPTH], column[TAPS][DEPTH];
    struct random random = random_stream(5);
    fill_uniform(&random, &a[0][0][0], TAPS * MOST * DEPTH);
    fill_uniform(&random, &column[0][0], TAPS * DEPTH);
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        float first[EPILOGUES][MOST];
        bool known[EPILOGUES][MOST] = {{false}};
        for (int vectors = 1; vectors <= GEMM_MAX_VECTORS; vectors++) {
            for (int rows = 1; rows <= (*table)->gemm_rows[vectors]; rows++) {
                const int nr = vectors * (*table)->vec, at = (int)random_between(&random, 0, nr - 1);
                float *b = guarded((int64_t)TAPS * DEPTH * nr, AT_END), *c = guarded((int64_t)rows * nr, AT_END);
                const float *pointers[TAPS * MOST];
                ptrdiff_t row[MOST];
                fill_uniform(&random, b, (int64_t)TAPS * DEPTH * nr);
                for (int t = 0; t < TAPS; t++) {
                    for (int k = 0; k < DEPTH; k++)
                        b[(t * DEPTH + k) * nr + at] = column[t][k];
                    for (int m = 0; m < rows; m++)
                        pointers[t * rows + m] = a[t][m];
                }
                float bias[4 * 64];
                float *added = guarded((int64_t)rows * nr, AT_END);
                for (int n = 0; n < nr; n++)
                    bias[n] = 0.3f;
                for (int i = 0; i < rows * nr; i++)
                    added[i] = 0.7f;
                for (int choice = 0; choice < 3 * EPILOGUES; choice++) {
                    const int e = choice % EPILOGUES;
                    const ptrdiff_t step = choice / EPILOGUES == 0 ? rows : 1;
                    const int64_t columns = choice / EPILOGUES == 1 ? at + 1 : nr;
                    for (int m = 0; m < rows; m++) {
                        row[m] = step == 1 ? m * nr : m;
                    }
                    (*table)->gemm[vectors][rows](&(struct gemm_args){.a = pointers,
                                                                      .b = b,
                                                                      .a_tap = rows,
                                                                      .taps = TAPS,
                                                                      .depth = DEPTH,
                                                                      .c = c,
                                                                      .residual = added,
                                                                      .row = row,
                                                                      .bias = bias,
                                                                      .step = step,
                                                                      .columns = columns,
                                                                      .coming = &a[0][0][0],
                                                                      .coming_step = 64,
                                                                      .share = choice % 2 * TAPS * DEPTH / TURNS,
                                                                      .ahead = choice / 2 % 2 * 100000,
                                                                      .epilogue = epilogues[e]});
                    for (int m = 0; m < rows; m++) {
                        const float *result = c + row[m] + at * step;
                        if (!known[e][m])
                            first[e][m] = *result;
                        known[e][m] = true;
                        if ((*table)->needs && epilogues[e].activation == ACTIVATE_NONE) {
                            float chain = 0.0f;
                            for (int i = 0; i < TAPS * DEPTH; i++)
                                chain = fmaf(a[i / DEPTH][m][i % DEPTH], column[i / DEPTH][i % DEPTH], chain);
                            chain = fminf(fmaxf(chain + 0.3f + 0.7f, epilogues[e].lo), epilogues[e].hi);
                            check_same(result, &chain, 1, "%s %dx%d, epilogue %d, row %d, one chain", (*table)->name, rows,
                                       vectors, e, m);
                        }
                        check_same(result, &first[e][m], 1, "%s %dx%d, epilogue %d, row %d, way %d", (*table)->name, rows,
                                   vectors, e, m, choice / EPILOGUES);
                    }
                }
                guarded_free(b);
                guarded_free(c);
                guarded_free(added);
            }
        }
    }
}

/* A run of tiles is the same as one call for each, and leaves its arguments behind the last. */
static void test_gemm_run(void **state)
{
    (void)state;
    enum { DEPTH = 9, TAPS = 2, TILES = 5 };
    struct random random = random_stream(8);
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        for (int vectors = 1; vectors <= GEMM_MAX_VECTORS; vectors++) {
            for (int rows = 1; rows <= (*table)->gemm_rows[vectors]; rows++) {
                const int nr = vectors * (*table)->vec, size = rows * nr;
                float *a = guarded(TILES * TAPS * rows * DEPTH, AT_END), *b = guarded(TAPS * DEPTH * nr, AT_END);
                float *one = guarded(TILES * size, AT_END), *run = guarded(TILES * size, AT_END);
                float *residual = guarded(TILES * size, AT_END);
                fill_uniform(&random, a, TILES * TAPS * rows * DEPTH);
                fill_uniform(&random, b, TAPS * DEPTH * nr);
                fill_uniform(&random, residual, TILES * size);
                const float *pointers[TILES * TAPS * GEMM_MAX_ROWS];
                ptrdiff_t row[GEMM_MAX_ROWS];
                for (int m = 0; m < rows; m++)
                    row[m] = m * nr;
                for (int choice = 0; choice < 8; choice++) {
                    /* Each tile with pointers of its own, or those of the first one shifted. */
                    const bool shifted = choice & 1, added = choice & 2;
                    for (int i = 0; i < TILES * TAPS * rows; i++)
                        pointers[i] = a + i * DEPTH;
                    struct gemm_args args = {
                        .a = pointers,
                        .b = b,
                        .a_tap = rows,
                        .taps = TAPS,
                        .depth = DEPTH,
                        .c = run,
                        .residual = added ? residual : NULL,
                        .row = row,
                        .step = 1,
                        .columns = nr,
                        .tiles = TILES,
                        .next = {.a = shifted ? 0 : TAPS * rows, .a_offset = shifted ? TAPS * rows * DEPTH : 0, .c = size},
                        .coming = a,
                        .coming_step = choice & 1 ? 64 : 1000,
                        .share = TAPS * DEPTH / (choice & 4 ? TURNS : TILES),
                        .ahead = choice & 2 ? 100000 : 0,
                        .epilogue = epilogues[0]};
                    struct gemm_args single = args;
                    (*table)->gemm[vectors][rows](&args);
                    for (int t = 0; t < TILES; t++) {
                        single.a = pointers + t * TAPS * rows;
                        single.a_offset = 0;
                        single.c = one + t * size;
                        single.residual = added ? residual + t * size : NULL;
                        single.tiles = t % 2;
                        (*table)->gemm[vectors][rows](&single);
                    }
                    check_same(run, one, TILES * size, "%s %dx%d, choice %d", (*table)->name, rows, vectors, choice);
                    assert_true(args.a == pointers + (shifted ? 0 : TILES * TAPS * rows) &&
                                (const char *)args.coming == (const char *)a + TILES * args.share * args.coming_step);
                    assert_true(args.a_offset == (shifted ? TILES * TAPS * rows * DEPTH : 0) && args.c == run + TILES * size);
                    assert_true(args.residual == (added ? residual + TILES * size : NULL));
                }
                guarded_free(a);
                guarded_free(b);
                guarded_free(one);
                guarded_free(run);
                guarded_free(residual);
            }
        }
    }
}

/* Where rows lie evenly, the kernels for that give the same bits, touch nothing else, and leave their arguments alike. */
static void test_gemm_even(void **state)
{
    (void)state;
    enum { TILES = 4 };
    static const int64_t depths[] = {0, 1, 3, 4, 9, 33}, taps[] = {0, 1, 2, 5};
    struct random random = random_stream(9);
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        for (int vectors = 1; vectors <= GEMM_MAX_VECTORS; vectors++) {
            for (int rows = 1; rows <= (*table)->gemm_rows[vectors]; rows++) {
                for (int choice = 0; choice < 6 * 4 * 4; choice++) {
                    const int64_t depth = depths[choice % 6], tapped = taps[choice / 6 % 4], nr = vectors * (*table)->vec;
                    const bool shifted = choice / 24 & 1, stream = choice / 24 & 2;
                    const bool lines = shifted && random_between(&random, 0, 1); /* tiles 0 and 2, 1 and 3 */
                    const enum guard_side side = (enum guard_side)random_between(&random, 0, GUARD_SIDES - 1);
                    /* The rows of all tiles of a tap follow each other, the taps in falling order. */
                    const int64_t a_row = depth + random_between(&random, 0, 5), all = TILES * rows;
                    const int64_t size = tapped > 0 ? (tapped * all - 1) * a_row + depth : 0;
                    const int64_t c_row = nr + (*table)->vec * random_between(&random, 0, 2), reach = (all - 1) * c_row + nr;
                    float *a = guarded(size, side), *b = guarded(tapped * depth * nr, side);
                    float *even = guarded(reach, stream ? AT_BEGIN : side), *odd = guarded(reach, stream ? AT_BEGIN : side);
                    float bias[GEMM_MAX_VECTORS * 64];
                    const float *first[TILES * 5], *pointers[5 * GEMM_MAX_ROWS];
                    ptrdiff_t row[GEMM_MAX_ROWS];
                    for (int64_t i = 0; i < tapped * all; i++)
                        fill_uniform(&random, a + i * a_row, depth);
                    fill_uniform(&random, b, tapped * depth * nr);
                    fill_uniform(&random, bias, GEMM_MAX_VECTORS * 64);
                    for (int m = 0; m < rows; m++)
                        row[m] = m * c_row;
                    struct gemm_args args = {
                        .a = first,
                        .b = b,
                        .taps = tapped,
                        .depth = depth,
                        .c = even,
                        .bias = random_between(&random, 0, 1) ? bias : NULL,
                        .row_bias = random_between(&random, 0, 1) ? bias : NULL,
                        .step = 1,
                        .columns = nr,
                        .stream = stream,
                        .a_row = a_row,
                        .a_tap = shifted ? 1 : TILES,
                        .c_row = c_row,
                        .tiles = lines ? 2 : TILES,
                        .next = {.a = !shifted,
                                 .a_offset = shifted ? (1 + lines) * rows * a_row : 0,
                                 .c = (1 + lines) * rows * c_row},
                        .lines = lines ? 2 : random_between(&random, 0, 1),
                        .line = {.a_offset = lines ? -3 * rows * a_row : 0, .c = lines ? -3 * rows * c_row : 0},
                        .coming_step = 64,
                        .share = random_between(&random, 0, 1) * tapped * depth / TURNS,
                        .coming = a,
                        .epilogue = epilogues[random_between(&random, 0, 2)],
                    };
                    assert_int_equal(args.epilogue.activation, ACTIVATE_NONE);
                    for (int64_t t = 0; t < tapped; t++)
                        for (int64_t i = 0; i < TILES; i++)
                            first[t * args.a_tap + (shifted ? 0 : i)] =
                                a + (tapped - 1 - t) * all * a_row + (shifted ? 0 : i * rows * a_row);
                    struct gemm_args pointed = args;
                    pointed.a = pointers;
                    pointed.a_tap = rows;
                    pointed.c = odd;
                    pointed.row = row;
                    pointed.tiles = 1;
                    pointed.next.c = rows * c_row;
                    for (int tile = 0; tile < TILES; tile++) {
                        for (int64_t t = 0; t < tapped; t++)
                            for (int m = 0; m < rows; m++)
                                pointers[t * rows + m] = a + ((tapped - 1 - t) * all + tile * rows + m) * a_row;
                        pointed.a = pointers;
                        pointed.a_offset = 0;
                        (*table)->gemm[vectors][rows](&pointed);
                    }
                    const struct gemm_args before = args;
                    (*table)->even[vectors][rows](&args);
                    (*table)->fence();
                    for (int64_t i = 0; i < all; i++)
                        check_same(even + i * c_row, odd + i * c_row, nr, "%s %dx%d, choice %d, row %d", (*table)->name, rows,
                                   vectors, choice, (int)i);
                    for (int64_t i = 0; i < all - 1; i++)
                        check_canary(even + i * c_row + nr, c_row - nr, "%s %dx%d, choice %d, behind row %d", (*table)->name,
                                     rows, vectors, choice, (int)i);
                    const int64_t behind = (lines ? 2 : TILES) * rows; /* where the next tile would begin */
                    assert_true(args.a == before.a + TILES * before.next.a && args.c == even + behind * c_row);
                    assert_true(args.a_offset == (shifted ? behind * a_row : 0) &&
                                (const char *)args.coming == (const char *)a + TILES * args.share * args.coming_step);
                    guarded_free(a);
                    guarded_free(b);
                    guarded_free(even);
                    guarded_free(odd);
                }
            }
        }
    }
}

/* NaN and infinities go where IEEE arithmetic takes them, and nowhere else; a NaN gets past every clamp. */
static void test_gemm_special(void **state)
{
    (void)state;
    enum { DEPTH = 5 };
    static const float specials[] = {NAN, INFINITY, -INFINITY};
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        for (int vectors = 1; vectors <= GEMM_MAX_VECTORS; vectors++) {
            for (int rows = 1; rows <= (*table)->gemm_rows[vectors]; rows++) {
                const int nr = vectors * (*table)->vec;
                for (int choice = 0; choice < 3 * 2 * 3; choice++) {
                    const float special = specials[choice % 3];
                    const bool in_a = choice / 3 % 2;
                    const struct epilogue *epilogue = &epilogues[choice / 6];
                    float a[GEMM_MAX_ROWS][DEPTH], b[DEPTH * 256], c[GEMM_MAX_ROWS * 256];
                    const float *pointers[GEMM_MAX_ROWS];
                    ptrdiff_t row[GEMM_MAX_ROWS];
                    const int hit_m = rows / 2, hit_n = nr / 3;
                    for (int m = 0; m < rows; m++) {
                        pointers[m] = a[m];
                        row[m] = m * nr;
                        for (int k = 0; k < DEPTH; k++)
                            a[m][k] = 1.0f;
                    }
                    for (int i = 0; i < DEPTH * nr; i++)
                        b[i] = 1.0f;
                    b[3 * nr] = 0.0f; /* times infinity */
                    if (in_a)
                        a[hit_m][3] = special;
                    else
                        b[3 * nr + hit_n] = special;
                    (*table)->gemm[vectors][rows](&(struct gemm_args){.a = pointers,
                                                                      .b = b,
                                                                      .taps = 1,
                                                                      .depth = DEPTH,
                                                                      .c = c,
                                                                      .row = row,
                                                                      .step = 1,
                                                                      .columns = nr,
                                                                      .epilogue = *epilogue});
                    for (int m = 0; m < rows; m++) {
                        for (int n = 0; n < nr; n++) {
                            double sum = 0.0;
                            for (int k = 0; k < DEPTH; k++)
                                sum += (double)a[m][k] * (double)b[k * nr + n];
                            const double expected = exact_epilogue(epilogue, sum);
                            check_close(&c[m * nr + n], &expected, 1, 0.0, "%s %dx%d, %g in %s, row %d, column %d",
                                        (*table)->name, rows, vectors, (double)special, in_a ? "a" : "b", m, n);
                        }
                    }
                }
            }
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------ outer, window
 */

static int64_t sign_of(bool negative)
{
    return negative ? -1 : 1;
}

/* Segments of several lengths, an empty one too, in no order, the first flush against the end of A or B. */
static void outer_run(const struct kernels *kernels, int rows, int vectors, int64_t columns, bool accumulate, bool integers,
                      enum guard_side side, struct random *random)
{
    enum { SEGMENTS = 4 };
    static const int64_t lengths[SEGMENTS] = {3, 0, 7, 1};
    const int64_t a_step = rows + random_between(random, 0, 3), b_step = columns + random_between(random, 0, 3);
    const int64_t count = random_between(random, 0, SEGMENTS), c_step = columns + random_between(random, 0, 2);
    struct outer_segment segments[SEGMENTS];
    int64_t pixels = 0;
    for (int s = 0; s < SEGMENTS; s++)
        pixels += lengths[s];
    int64_t end = pixels;
    for (int s = 0; s < SEGMENTS; s++) {
        end -= lengths[s];
        segments[s] = (struct outer_segment){end * a_step, end * b_step, lengths[s]};
    }
    const int64_t a_count = (pixels - 1) * a_step + rows, b_count = (pixels - 1) * b_step + columns;
    const int64_t c_count = (rows - 1) * c_step + columns;
    float *a = guarded(a_count, side), *b = guarded(b_count, side), *c = guarded(c_count, side);
    const bool backwards = random_bits(random) & 1;
    const ptrdiff_t c_row = backwards ? -c_step : c_step;
    float *const c_first = backwards ? c + (rows - 1) * c_step : c;
    fill(random, integers, a, a_count);
    fill(random, integers, b, b_count);
    double expected[GEMM_MAX_ROWS * 256], tolerance[GEMM_MAX_ROWS * 256];
    for (int m = 0; m < rows; m++) {
        float *c_m = c_first + m * c_row;
        for (int64_t n = 0; n < columns; n++) {
            double sum = 0.0, magnitude = 0.0;
            if (accumulate) {
                fill(random, integers, c_m + n, 1);
                sum = (double)c_m[n];
                magnitude = fabs(sum);
            }
            for (int64_t s = 0; s < count; s++)
                for (int64_t k = 0; k < lengths[s]; k++) {
                    const double product =
                        (double)a[segments[s].a + k * a_step + m] * (double)b[segments[s].b + k * b_step + n];
                    sum += product;
                    magnitude += fabs(product);
                }
            expected[m * columns + n] = sum;
            tolerance[m * columns + n] = integers ? 0.0 : 20.0 * FLT_EPSILON * magnitude;
        }
    }
    kernels->outer[vectors][rows](&(struct outer_args){.a = a,
                                                       .b = b,
                                                       .segments = segments,
                                                       .count = count,
                                                       .a_step = a_step,
                                                       .b_step = b_step,
                                                       .c = c_first,
                                                       .c_row = c_row,
                                                       .columns = columns,
                                                       .accumulate = accumulate,
                                                       .by_twos = random_bits(random) & 1,
                                                       /* nothing is read there: anywhere will do */
                                                       .a_ahead = {a, 1 << 20, random_between(random, 0, 3)},
                                                       .b_ahead = {b, -(1 << 20), random_between(random, 0, 3)}});
    for (int m = 0; m < rows; m++) {
        check_within(c_first + m * c_row, expected + m * columns, tolerance + m * columns, columns,
                     "%s outer %dx%d, columns %d, segments %d, accumulate %d, row %d", kernels->name, rows, vectors,
                     (int)columns, (int)count, accumulate, m);
        if (m < rows - 1)
            check_canary(c + m * c_step + columns, c_step - columns, "%s outer %dx%d, after row %d", kernels->name, rows,
                         vectors, m);
    }
    guarded_free(a);
    guarded_free(b);
    guarded_free(c);
}

static void test_outer(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(7);
        const int vec = (*table)->vec;
        for (int vectors = 1; vectors <= GEMM_MAX_VECTORS; vectors++)
            for (int rows = 1; rows <= (*table)->gemm_rows[vectors]; rows++)
                for (int64_t columns = (vectors - 1) * vec + 1; columns <= vectors * vec; columns++)
                    for (int choice = 0; choice < 6; choice++)
                        outer_run(*table, rows, vectors, columns, choice & 1, random_bits(&random) & 1,
                                  (enum guard_side)(choice % GUARD_SIDES), &random);
    }
}

/* Where it lies inside of an image of `size` is looked up for tap t of each output, as a padding of `pad` has it. */
static struct window_range window_range(int64_t outputs, int64_t stride, int64_t tap, int64_t pad, int64_t size)
{
    struct window_range range = {0, 0};
    for (int64_t q = outputs - 1; q >= 0; q--)
        if (q * stride + tap - pad >= 0 && q * stride + tap - pad < size) {
            range.begin = q;
            range.end = range.end ? range.end : q + 1;
        }
    return range;
}

/* An image of random size, padding, strides and dilation, several units of it. With an index: some lanes only, permuted. Rows,
 * taps and lines run forwards and backwards in memory. */
static void window_run(const struct kernels *kernels, int rows, int width, bool whole, bool backwards, enum guard_side side,
                       struct random *random)
{
    enum { VEC_MAX = 64, UNITS = 18 };
    const int vec = kernels->vec;
    const int x_lanes = whole ? vec : (int)random_between(random, 1, vec),
              y_lanes = whole ? vec : (int)random_between(random, 1, vec);
    const bool wide = random_between(random, 0, rows == 3 && whole ? 1 : 7) == 0; /* rows and paddings */
    const int64_t lines = random_between(random, 0, 16), length = random_between(random, 1, wide ? 100 : 12);
    const int64_t units = random_between(random, 1, random_between(random, 0, 3) ? 3 : UNITS);
    const int64_t stride = random_between(random, 1, 3), line_stride = random_between(random, 0, 3) ? stride : 2;
    const int64_t dilation = random_between(random, 0, 3) ? 1 : 2;
    const int64_t x_pitch = units * x_lanes + random_between(random, 0, 3),
                  y_pitch = units * y_lanes + random_between(random, 0, 3);
    /* The image is what the windows see, but for some of its border. */
    const int64_t left = random_between(random, 0, wide ? 60 : dilation * width - 1),
                  top = random_between(random, 0, dilation * rows - 1);
    const int64_t right = random_between(random, 0, random_between(random, 0, 3) ? 2 : dilation * width + 1);
    const int64_t seen_width = (length - 1) * stride + (width - 1) * dilation + 1 - left - right;
    const int64_t seen_height = (lines - 1) * line_stride + (rows - 1) * dilation + 1 - top - random_between(random, 0, 2);
    const int64_t x_width = seen_width < 1 ? 1 : seen_width, x_height = seen_height < 1 ? 1 : seen_height;
    const int64_t x_count = (x_height * x_width - 1) * x_pitch + units * x_lanes;
    const int64_t y_count = lines > 0 ? (lines * length - 1) * y_pitch + units * y_lanes : 1;
    const int64_t c_row = width * vec + random_between(random, 0, 2), c_unit = rows * c_row + random_between(random, 0, 2);
    const int64_t c_count = (units - 1) * c_unit + (rows - 1) * c_row + width * vec;
    float *x = guarded(x_count, side), *y = guarded(y_count, side), *c = guarded(c_count, side);
    const bool integers = random_bits(random) & 1;
    fill(random, integers, x, x_count);
    fill(random, integers, y, y_count);
    for (int64_t i = 0; i < y_count && wide && !integers; i++)
        y[i] = 0.1f; /* whose sums in float all round the same way */
    int32_t index[VEC_MAX];
    for (int n = 0; n < vec; n++)
        index[n] = (int32_t)random_between(random, 0, vec - 1);
    const int64_t direction = sign_of(backwards);
    struct window_args args = {
        .lines = lines,
        .columns = length,
        .x_line = direction * line_stride * x_width * x_pitch,
        .y_line = direction * length * y_pitch,
        .x_step = direction * stride * x_pitch,
        .y_step = direction * y_pitch,
        .row_step = direction * dilation * x_width * x_pitch,
        .tap_step = direction * dilation * x_pitch,
        .index = whole ? NULL : index,
        .x_lanes = x_lanes,
        .y_lanes = y_lanes,
        .c = c,
        .c_row = c_row,
        .steps = random_between(random, 0, 1) ? random_between(random, 1, 12) : 0,
        .units = units,
        .down = random_between(random, 1, WINDOW_MAX_LINES),
        .unit_x = x_lanes,
        .unit_y = y_lanes,
        .unit_c = c_unit,
        .pairs = whole && random_between(random, 0, 1),
        .rolls = whole && length <= WINDOW_ROLLED && random_between(random, 0, 1),
    };
    for (int i = 0; i < WINDOW_ASKED; i++) {
        args.ask[i] = i > 0 ? y : x;
        args.ask_lines[i] = random_between(random, 0, 1) ? random_between(random, 1, 40) : 0;
    }
    double totals[2 * UNITS * VEC_MAX], *const again = totals + UNITS * VEC_MAX;
    for (int64_t n = 0; n < units * vec; n++)
        totals[n] = again[n] = (double)(n % 3);
    args.bias = window_totals(&args, rows, width) && random_between(random, 0, 1) ? totals : NULL;
    args.x = (backwards ? x + (x_height * x_width - 1) * x_pitch : x) - direction * (top * x_width + left) * x_pitch;
    args.y = backwards && lines > 0 ? y + (lines * length - 1) * y_pitch : y;
    for (int r = 0; r < rows; r++)
        args.rows[r] = window_range(lines, line_stride, r * dilation, top, x_height);
    for (int k = 0; k < width; k++)
        args.taps[k] = window_range(length, stride, k * dilation, left, x_width);
    static double expected[UNITS][WINDOW_MAX_ROWS][WINDOW_MAX_WIDTH][VEC_MAX];
    static double tolerance[UNITS][WINDOW_MAX_ROWS][WINDOW_MAX_WIDTH][VEC_MAX];
    for (int64_t unit = 0; unit < units; unit++)
        for (int r = 0; r < rows; r++)
            for (int k = 0; k < width; k++) {
                float *const sums = c + unit * c_unit + r * c_row + k * vec;
                fill(random, integers, sums, vec);
                for (int n = 0; n < vec; n++) {
                    double sum = (double)sums[n], magnitude = fabs(sum);
                    const int from = whole ? n : index[n];
                    for (int64_t l = args.rows[r].begin; l < args.rows[r].end && n < y_lanes && from < x_lanes; l++)
                        for (int64_t j = args.taps[k].begin; j < args.taps[k].end; j++) {
                            const ptrdiff_t at = unit * args.unit_x + l * args.x_line + j * args.x_step + r * args.row_step;
                            const double product = (double)args.x[at + k * args.tap_step + from] *
                                                   (double)args.y[unit * args.unit_y + l * args.y_line + j * args.y_step + n];
                            sum += product;
                            magnitude += fabs(product);
                        }
                    expected[unit][r][k][n] = sum;
                    tolerance[unit][r][k][n] = integers ? 0.0 : 20.0 * FLT_EPSILON * magnitude;
                }
            }
    float *alone = guarded(c_count, side); /* a unit's sums are the same without the others, which threads share out */
    memcpy(alone, c, (size_t)c_count * sizeof *c);
    kernels->window[rows][width](&args);
    for (int64_t unit = 0; unit < units; unit++) {
        struct window_args one = args;
        one.x += unit * args.unit_x;
        one.y += unit * args.unit_y;
        one.c = alone + unit * c_unit;
        one.bias = args.bias ? again + unit * vec : NULL;
        one.units = 1;
        kernels->window[rows][width](&one);
    }
    assert_memory_equal(c, alone, (size_t)c_count * sizeof *c);
    assert_memory_equal(totals, again, (size_t)(units * vec) * sizeof *totals);
    for (int64_t n = 0; n < units * vec; n++) {
        double sum = (double)(n % 3), magnitude = sum;
        for (int64_t i = 0; i < lines * length && args.bias; i++) {
            sum += (double)y[i * y_pitch + n / vec * args.unit_y + n % vec];
            magnitude += fabs((double)y[i * y_pitch + n / vec * args.unit_y + n % vec]);
        }
        if (fabs(totals[n] - sum) > (integers ? 0.0 : 4.0 * FLT_EPSILON * magnitude))
            fail_msg("%s window %dx%d, lines %d, length %d: lane %d of y adds to %g, not %g", kernels->name, rows, width,
                     (int)lines, (int)length, (int)n, totals[n], sum);
    }
    for (int64_t unit = 0; unit < units; unit++)
        for (int r = 0; r < rows; r++) {
            float *const sums = c + unit * c_unit + r * c_row;
            for (int k = 0; k < width; k++)
                check_within(sums + k * vec, expected[unit][r][k], tolerance[unit][r][k], vec,
                             "%s window %dx%d, whole %d, lanes %d and %d, lines %d, length %d, strides %d and %d, dilation %d, "
                             "row %d, tap %d",
                             kernels->name, rows, width, whole, x_lanes, y_lanes, (int)lines, (int)length, (int)line_stride,
                             (int)stride, (int)dilation, r, k);
            if (r + 1 < rows)
                check_canary(sums + width * vec, c_row - width * vec, "%s window %dx%d, between rows", kernels->name, rows,
                             width);
            else if (unit + 1 < units)
                check_canary(sums + width * vec, c_unit - r * c_row - width * vec, "%s window %dx%d, between units",
                             kernels->name, rows, width);
        }
    guarded_free(x);
    guarded_free(y);
    guarded_free(c);
    guarded_free(alone);
}

static void test_window(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(8);
        for (int rows = 1; rows <= WINDOW_MAX_ROWS; rows++)
            for (int width = 1; width <= WINDOW_MAX_WIDTH; width++)
                for (int choice = 0; choice < 384; choice++)
                    window_run(*table, rows, width, choice % 4 == 0, choice & 4, (enum guard_side)(choice % GUARD_SIDES),
                               &random);
    }
}

/* Lanes of x and y as they lie, y permuted or spread, rows and taps forwards and backwards in memory; what is to be asked for
 * is anywhere. */
static void groups_run(const struct kernels *kernels, int channels, int width, bool spread, bool backwards,
                       enum guard_side side, struct random *random)
{
    enum { VEC_MAX = 64 };
    const int vec = kernels->vec;
    const int x_lanes = random_bits(random) & 1 ? vec : (int)random_between(random, 1, vec);
    const int y_lanes = spread ? channels : random_bits(random) & 1 ? vec : (int)random_between(random, 1, vec);
    const int64_t lines = random_between(random, 0, 5), length = random_between(random, 1, 12);
    const int64_t stride = random_between(random, 1, 3), dilation = random_between(random, 0, 3) ? 1 : 2;
    const int64_t x_pitch = x_lanes + random_between(random, 0, 3), y_pitch = y_lanes + random_between(random, 0, 3);
    const int64_t left = random_between(random, 0, dilation * width - 1);
    const int64_t seen = (length - 1) * stride + (width - 1) * dilation + 1 - left - random_between(random, 0, 4);
    const int64_t x_width = seen < 1 ? 1 : seen;
    const int64_t x_count = lines > 0 ? (lines * x_width - 1) * x_pitch + x_lanes : 1;
    const int64_t y_count = lines > 0 ? (lines * length - 1) * y_pitch + y_lanes : 1;
    const int64_t c_channel = width * vec + random_between(random, 0, 2), c_count = (channels - 1) * c_channel + width * vec;
    float *x = guarded(x_count, side), *y = guarded(y_count, side), *c = guarded(c_count, side);
    const bool integers = random_bits(random) & 1;
    fill(random, integers, x, x_count);
    fill(random, integers, y, y_count);
    int32_t index[GROUPS_MAX_CHANNELS * VEC_MAX];
    for (int n = 0; n < channels * vec; n++)
        index[n] = (int32_t)random_between(random, 0, y_lanes - 1);
    const int64_t direction = sign_of(backwards);
    struct groups_args args = {
        .lines = lines,
        .x_line = direction * x_width * x_pitch,
        .y_line = direction * length * y_pitch,
        .x_step = direction * stride * x_pitch,
        .y_step = direction * y_pitch,
        .tap_step = direction * dilation * x_pitch,
        .index = spread ? NULL : index,
        .x_lanes = x_lanes,
        .y_lanes = y_lanes,
        .c = c,
        .c_channel = c_channel,
        .ask = x,
        .ask_lines = random_between(random, 0, 9),
    };
    args.x = (backwards && lines > 0 ? x + (lines * x_width - 1) * x_pitch : x) - direction * left * x_pitch;
    args.y = backwards && lines > 0 ? y + (lines * length - 1) * y_pitch : y;
    for (int k = 0; k < width; k++)
        args.taps[k] = window_range(length, stride, k * dilation, left, x_width);
    static double expected[GROUPS_MAX_CHANNELS][GROUPS_MAX_WIDTH][VEC_MAX];
    static double tolerance[GROUPS_MAX_CHANNELS][GROUPS_MAX_WIDTH][VEC_MAX];
    for (int j = 0; j < channels; j++)
        for (int k = 0; k < width; k++) {
            float *const sums = c + j * c_channel + k * vec;
            fill(random, integers, sums, vec);
            for (int n = 0; n < x_lanes; n++) {
                double sum = (double)sums[n], magnitude = fabs(sum);
                for (int64_t l = 0; l < lines; l++)
                    for (int64_t step = args.taps[k].begin; step < args.taps[k].end; step++) {
                        const float *at = args.x + l * args.x_line + step * args.x_step + k * args.tap_step;
                        const float *of = args.y + l * args.y_line + step * args.y_step;
                        const double product = (double)at[n] * (double)of[spread ? j : index[j * vec + n]];
                        sum += product;
                        magnitude += fabs(product);
                    }
                expected[j][k][n] = sum;
                tolerance[j][k][n] = integers ? 0.0 : 20.0 * FLT_EPSILON * magnitude;
            }
        }
    kernels->groups[channels][width](&args);
    for (int j = 0; j < channels; j++) {
        for (int k = 0; k < width; k++)
            check_within(c + j * c_channel + k * vec, expected[j][k], tolerance[j][k], x_lanes,
                         "%s groups %dx%d, spread %d, lanes %d and %d, lines %d, length %d, stride %d, dilation %d, left %d, "
                         "channel %d, tap %d",
                         kernels->name, channels, width, spread, x_lanes, y_lanes, (int)lines, (int)length, (int)stride,
                         (int)dilation, (int)left, j, k);
        if (j + 1 < channels)
            check_canary(c + j * c_channel + width * vec, c_channel - width * vec, "%s groups %dx%d, between channels",
                         kernels->name, channels, width);
    }
    guarded_free(x);
    guarded_free(y);
    guarded_free(c);
}

static void test_groups(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(9);
        for (int channels = 1; channels <= GROUPS_MAX_CHANNELS; channels++)
            for (int width = 1; width <= GROUPS_MAX_WIDTH; width++)
                for (int choice = 0; choice < 384; choice++)
                    groups_run(*table, channels, width, choice & 1, choice & 2, (enum guard_side)(choice / 4 % GUARD_SIDES),
                               &random);
    }
}

/* What callers rely on without looking. */
static void test_tables(void **state)
{
    (void)state;
    bool scalar = false;
    for (const struct kernels *const *table = falt_kernels_tables; *table; table++) {
        const struct kernels *kernels = *table;
        scalar = kernels->needs == 0;
        assert_non_null(kernels->name);
        assert_true(kernels->vec >= 1 && kernels->vec <= 64);
        for (int vectors = 1; vectors <= GEMM_MAX_VECTORS; vectors++) {
            assert_in_range(kernels->gemm_rows[vectors], 1, vectors > 1 ? kernels->gemm_rows[vectors - 1] : GEMM_MAX_ROWS);
            for (int rows = 1; rows <= GEMM_MAX_ROWS; rows++)
                assert_int_equal(kernels->gemm[vectors][rows] != NULL, rows <= kernels->gemm_rows[vectors]);
            for (int rows = 1; rows <= GEMM_MAX_ROWS; rows++)
                assert_int_equal(kernels->outer[vectors][rows] != NULL, rows <= kernels->gemm_rows[vectors]);
            for (int rows = 1; rows <= GEMM_MAX_ROWS; rows++)
                assert_int_equal(kernels->even[vectors][rows] != NULL, rows <= kernels->gemm_rows[vectors]);
        }
        for (int rows = 1; rows <= WINDOW_MAX_ROWS; rows++)
            for (int width = 1; width <= WINDOW_MAX_WIDTH; width++)
                assert_non_null(kernels->window[rows][width]);
        assert_true(kernels->window_registers > 2 * WINDOW_MAX_WIDTH);
        for (int channels = 1; channels <= GROUPS_MAX_CHANNELS; channels++)
            for (int width = 1; width <= GROUPS_MAX_WIDTH; width++)
                assert_non_null(kernels->groups[channels][width]);
        assert_true(kernels->groups_sums >= GROUPS_MAX_WIDTH);
        assert_true(kernels->collect && kernels->transpose && kernels->finish && kernels->burn);
    }
    assert_true(scalar); /* the last one runs everywhere */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),        cmocka_unit_test(test_finish_accuracy),
        cmocka_unit_test(test_finish_limits), cmocka_unit_test(test_finish_sizes),
        cmocka_unit_test(test_copy_past),     cmocka_unit_test(test_transpose),
        cmocka_unit_test(test_burn),          cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_gemm_options),  cmocka_unit_test(test_gemm_same_bits),
        cmocka_unit_test(test_gemm_even),     cmocka_unit_test(test_gemm_run),
        cmocka_unit_test(test_gemm_special),  cmocka_unit_test(test_outer),
        cmocka_unit_test(test_window),        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_collect),       cmocka_unit_test(test_sums),
    };
    random_seed();
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
