/*
 * test_dots.c - the dot products for few outputs, every number of outputs of every instruction set that this CPU runs, against
 * double precision.
 *
 * x and w lie flush against inaccessible pages, with NaN between what is to be read; outputs start as NaN and must stay so
 * where nothing is to be stored. Whole numbers as data: every sum is exact. Other numbers must give a pixel the same bits in
 * any tile.
 */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 4, MOST_PIXELS = 40 };

static int64_t round_up(int64_t n, int64_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

struct tensors {
    float *x, *w, *y, *bias, *residual;
    int64_t x_count, w_count, y_count;
};

/* A place that no other output has, whatever lies between. */
static int64_t place(const struct dots_args *args, int64_t m, int64_t n)
{
    return m * args->y_step + n;
}

static void make_runs(struct random *random, int vec, int64_t columns, struct dots_run *runs, struct dots_args *args,
                      struct tensors *t)
{
    int64_t reach = 0;
    t->w_count = 0;
    args->count = random_between(random, 0, MOST_RUNS);
    for (int64_t i = 0; i < args->count; i++) {
        static const int64_t beside[] = {1, 3, 0, 0, -1, 1};
        const int64_t whole = random_between(random, 0, 3) * vec, more = beside[random_between(random, 0, 5)];
        runs[i].length = whole + more > 0 ? whole + more : random_between(random, 1, vec);
        runs[i].x = random_between(random, 0, 50);
        runs[i].w = t->w_count;
        t->w_count += round_up(runs[i].length, vec) * columns;
        reach = runs[i].x + runs[i].length > reach ? runs[i].x + runs[i].length : reach;
    }
    t->x_count = args->pixels > 0 && reach > 0 ? (args->pixels - 1) * args->x_step + reach : 0;
}

static void fill(struct random *random, bool whole, float *x, int64_t n)
{
    if (whole)
        fill_integer(random, x, n);
    else
        fill_uniform(random, x, n);
}

static void make_tensors(struct random *random, const struct dots_args *args, int vec, bool whole, bool residual,
                         struct tensors *t)
{
    const int64_t columns = args->columns;
    t->x = guarded(t->x_count, (enum guard_side)random_between(random, 0, GUARD_SIDES - 1));
    for (int64_t i = 0; i < args->count; i++)
        for (int64_t m = 0; m < args->pixels; m++)
            fill(random, whole, t->x + m * args->x_step + args->runs[i].x, args->runs[i].length);
    t->w = guarded(t->w_count, (enum guard_side)random_between(random, 0, GUARD_SIDES - 1));
    for (int64_t i = 0; i < args->count; i++) {
        const int64_t length = args->runs[i].length;
        float *w = t->w + args->runs[i].w;
        for (int64_t k = 0; k < round_up(length, vec); k++)
            for (int64_t n = 0; n < columns; n++) {
                float *at = w + k / vec * vec * columns + n * vec + k % vec;
                *at = 0.0f;
                if (k < length)
                    fill(random, whole, at, 1);
            }
    }
    t->bias = guarded(columns, AT_END);
    fill(random, whole, t->bias, columns);
    t->y_count = args->pixels > 0 ? place(args, args->pixels - 1, columns - 1) + 1 : 0;
    t->y = guarded(t->y_count, (enum guard_side)random_between(random, 0, GUARD_SIDES - 1));
    t->residual = residual ? guarded(t->y_count, AT_END) : NULL;
    for (int64_t m = 0; m < args->pixels && residual; m++)
        for (int64_t n = 0; n < columns; n++)
            fill(random, whole, t->residual + place(args, m, n), 1);
}

static double expected_sum(const struct dots_args *args, int vec, int64_t m, int64_t n)
{
    double sum = args->bias ? (double)args->bias[n] : 0.0;
    for (int64_t i = 0; i < args->count; i++)
        for (int64_t k = 0; k < args->runs[i].length; k++)
            sum += (double)args->x[m * args->x_step + args->runs[i].x + k] *
                   (double)args->w[args->runs[i].w + k / vec * vec * args->columns + n * vec + k % vec];
    sum += args->residual ? (double)args->residual[place(args, m, n)] : 0.0;
    sum = fmin(fmax(sum, (double)args->epilogue.lo), (double)args->epilogue.hi);
    return args->epilogue.activation == ACTIVATE_LEAKY && sum < 0.0 ? (double)args->epilogue.alpha * sum : sum;
}

static void run_case(const struct kernels *kernels, int64_t columns, struct random *random)
{
    static const struct epilogue epilogues[] = {{-INFINITY, INFINITY, ACTIVATE_NONE, 0.0f},
                                                {-INFINITY, INFINITY, ACTIVATE_NONE, 0.0f},
                                                {0.0f, 6.0f, ACTIVATE_NONE, 0.0f},
                                                {-INFINITY, INFINITY, ACTIVATE_LEAKY, 0.5f}};
    const int vec = kernels->vec;
    const bool whole = random_bits(random) & 1, residual = random_between(random, 0, 3) == 0, dense = random_bits(random) & 1;
    struct dots_run runs[MOST_RUNS];
    struct tensors t;
    struct dots_args args = {
        .runs = runs,
        .pixels = random_between(random, 0, MOST_PIXELS),
        .columns = columns,
        .asks = (int)random_between(random, 0, 1),
        .x_step = random_between(random, 1, 200),
        .y_step = columns,
        .epilogue = epilogues[random_between(random, 0, 3)],
    };
    if (!dense)
        args.y_step = columns + random_between(random, 1, 3);
    make_runs(random, vec, columns, runs, &args, &t);
    make_tensors(random, &args, vec, whole, residual, &t);
    args.x = t.x;
    args.w = t.w;
    args.y = t.y;
    args.bias = random_bits(random) & 1 ? t.bias : NULL;
    const bool in_place = residual && random_bits(random) & 1;
    args.residual = t.residual;
    if (in_place && t.y_count > 0) {
        memcpy(t.y, t.residual, (size_t)t.y_count * sizeof(float));
        args.residual = t.y;
    }
    kernels->dots[columns](&args);
    args.residual = t.residual;

    bool *written = calloc((size_t)t.y_count + 1, sizeof *written);
    assert_non_null(written);
    for (int64_t m = 0; m < args.pixels; m++)
        for (int64_t n = 0; n < columns; n++) {
            const int64_t at = place(&args, m, n);
            const double expected = expected_sum(&args, vec, m, n);
            check_close(t.y + at, &expected, 1, whole ? 0.0 : 1e-4, "%s, %lld of %lld outputs, pixel %lld of %lld",
                        kernels->name, (long long)n, (long long)columns, (long long)m, (long long)args.pixels);
            written[at] = true;
        }
    for (int64_t i = 0; i < t.y_count; i++)
        assert_true(written[i] || is_canary(t.y[i]));
    free(written);

    for (int64_t m = 0; m < args.pixels; m++) { /* by itself */
        float alone[8];
        struct dots_args one = args;
        one.x += m * args.x_step;
        one.y = alone;
        one.pixels = 1;
        float beside[8];
        for (int64_t n = 0; n < columns && t.residual; n++)
            beside[n] = t.residual[place(&args, m, n)];
        one.residual = t.residual ? beside : NULL;
        one.y_step = columns;
        kernels->dots[columns](&one);
        for (int64_t n = 0; n < columns; n++)
            check_same(t.y + place(&args, m, n), alone + n, 1, "%s, %lld outputs, pixel %lld by itself", kernels->name,
                       (long long)columns, (long long)m);
    }
    guarded_free(t.x);
    guarded_free(t.w);
    guarded_free(t.y);
    guarded_free(t.bias);
    guarded_free(t.residual);
}

static void test_dots(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(0);
        assert_in_range((*table)->dots_sums, DOTS_MAX_COLUMNS, 1 << 10);
        for (int columns = 1; columns <= DOTS_MAX_COLUMNS; columns++)
            for (int i = 0; i < 500; i++)
                run_case(*table, columns, &random);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dots)};
    random_seed();
    return cmocka_run_group_tests_name("dot products", tests, NULL, NULL);
}
