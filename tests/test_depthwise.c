/*
 * test_depthwise.c - the sliding kernels of depthwise and grouped convolution, each kind, width, stride and height of every
 * instruction set that this CPU runs, against double precision.
 *
 * Each line of x lies by itself, flush against an inaccessible page, with NaN wherever a kernel must not read; outputs start as
 * NaN and must stay so where nothing is to be stored. Whole numbers as data: every sum is exact. Some lines are circles: their
 * columns come around as often as they like, and of pixels of a row the lanes do once.
 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_LINES = 16, MOST_VEC = 64, MOST_COLUMNS = 64 };

struct sliding {
    const struct kernels *kernels;
    depthwise_kernel *kernel;
    enum depthwise_kind kind;
    int width, stride, tile;
    int64_t down; /* output rows of a block, or 1 */
    bool pairs;   /* whole vectors that are neighbours, and no circle */
    bool rolling; /* lines of 3x3 windows, one call for all rows, and no circle */
};

struct line {
    float *memory;
    ptrdiff_t around[MOST_COLUMNS];
};

/* Columns [first, end) and lanes likewise are in memory, counted from x. */
struct extent {
    int64_t first, end, lane, lane_end;
};

/* circle: columns once around, or 0. */
static struct extent extent_of(const struct sliding *at, const struct depthwise_line *line, int64_t circle)
{
    struct extent e = {line->begin, line->end, line->lane_begin, line->lane_end};
    if (circle) {
        e.first = 0;
        e.end = circle;
    }
    if (circle && at->kind == DEPTHWISE_ROWS && line->lane_begin > 0)
        e.lane_end = e.lane + at->kernels->vec;
    else if (circle && at->kind == DEPTHWISE_ROWS)
        e.lane = e.lane_end - at->kernels->vec;
    return e;
}

static void line_make(const struct sliding *at, struct random *random, const struct depthwise_args *args,
                      struct depthwise_line *line, int64_t step, int64_t circle, int64_t columns, struct line *made)
{
    const struct extent e = extent_of(at, line, circle);
    const int64_t lanes = at->kind == DEPTHWISE_SPREAD ? args->depth : e.lane_end - e.lane, more = e.end - 1 - e.first;
    const int64_t count = more < 0 || lanes <= 0 ? 0
                                                 : more * step + lanes + (args->units - 1) * args->unit_offset +
                                                       (args->repeats - 1) * args->repeat_offset;
    made->memory = guarded(count, (enum guard_side)random_between(random, 0, GUARD_SIDES - 1));
    line->x = made->memory - (e.first * step + e.lane) - args->offset;
    for (int64_t repeat = 0; repeat < args->repeats && count; repeat++)
        for (int64_t unit = 0; unit < args->units; unit++)
            for (int64_t j = 0; j <= more; j++)
                fill_integer(random, made->memory + j * step + unit * args->unit_offset + repeat * args->repeat_offset, lanes);
    if (circle) { /* columns that are inside follow each other from x on */
        const bool inside = line->begin == 0 && line->end == columns;
        const int64_t first = inside ? 0 : random_between(random, 0, circle - 1);
        for (int64_t j = 0; j < columns; j++)
            made->around[j] = (first + j) % circle * step * (ptrdiff_t)sizeof(float);
        line->around = made->around;
    }
}

static double pixel(const struct sliding *at, const struct depthwise_args *args, const struct depthwise_line *line,
                    int64_t step, int64_t repeat, int64_t unit, int64_t j, int64_t lane)
{
    const bool inside = lane >= line->lane_begin && lane < line->lane_end;
    ptrdiff_t offset = args->offset + repeat * args->repeat_offset + unit * args->unit_offset + lane;
    if (!line->around)
        return inside && j >= line->begin && j < line->end ? (double)line->x[offset + j * step] : 0.0;
    if (!inside && at->kind != DEPTHWISE_ROWS)
        return 0.0;
    if (!inside)
        offset += line->lane_begin > 0 ? args->lane_around : -args->lane_around;
    return (double)line->x[offset + line->around[j] / (ptrdiff_t)sizeof(float)];
}

/* Terms of C[m][n] of row r that line l contributes through its window of `width` taps. */
static double contribution(const struct sliding *at, const struct depthwise_args *args, int64_t l, int64_t step, int64_t width,
                           int64_t stride, const float *w, int64_t repeat, int64_t unit, int64_t m, int64_t n)
{
    const int vec = at->kernels->vec;
    double sum = 0.0;
    const bool spread = at->kind == DEPTHWISE_SPREAD, groups = at->kind == DEPTHWISE_GROUPS;
    for (int64_t i = 0; i < (groups || spread ? args->depth : 1); i++)
        for (int64_t k = 0; k < width; k++) {
            const int64_t lane = groups ? args->index[i * vec + n] : spread ? i : n;
            const double weight = (double)(at->kind == DEPTHWISE_ROWS ? w[k] : w[(i * width + k) * vec + n]);
            sum += weight * pixel(at, args, &args->x[l], step, repeat, unit, m * stride + k, lane);
        }
    return sum;
}

static void run_case(const struct sliding *at, struct random *random)
{
    static const struct epilogue epilogues[] = {{-INFINITY, INFINITY, ACTIVATE_NONE, 0.0f},
                                                {-INFINITY, INFINITY, ACTIVATE_NONE, 0.0f},
                                                {0.0f, 6.0f, ACTIVATE_NONE, 0.0f},
                                                {-INFINITY, INFINITY, ACTIVATE_LEAKY, 0.5f}};
    const int vec = at->kernels->vec, columns = (at->tile - 1) * at->stride + at->width;
    const bool rows = at->kind == DEPTHWISE_ROWS, bias = random_bits(random) & 1, residual = random_between(random, 0, 3) == 0;
    const bool whole = random_bits(random) & 1; /* nothing outside of the image, all of the tile stored */
    /* all lines as a padding that keeps the size cuts them */
    const bool edges = !whole && random_bits(random) & 1;
    const int32_t half = at->width / 2, first = random_bits(random) & 1 ? half : 0, last = random_bits(random) & 1 ? half : 0;
    const bool circular = !at->pairs && !at->rolling && !edges && random_between(random, 0, 2) == 0;
    const int64_t each = rows ? 1 : vec;
    struct depthwise_line lines[MOST_LINES];
    struct line made[MOST_LINES];
    int32_t index[4 * MOST_VEC];
    for (int i = 0; i < 4 * vec; i++)
        index[i] = (int32_t)random_between(random, 0, vec - 1);

    struct depthwise_args args = {
        .x = lines,
        .offset = random_between(random, -3, 3),
        .step = vec + random_between(random, 0, 3),
        .index = index,
        .lines = at->rolling ? 3 : random_between(random, 1, 3),
        .taps = at->width > 1 && at->down == 1 && !edges && !at->pairs && !at->rolling ? random_between(random, 0, 2) : 0,
        .depth = at->kind == DEPTHWISE_GROUPS || at->kind == DEPTHWISE_SPREAD ? random_between(random, 1, 4) : 1,
        .columns = whole || at->pairs ? vec : random_between(random, 1, vec),
        .rows = whole ? at->tile : (int)random_between(random, 1, at->tile),
        .units = random_between(random, 0, 3) ? random_between(random, 1, 3) : random_between(random, 4, at->rolling ? 70 : 20),
        .unit_offset = at->pairs ? vec : random_between(random, 0, vec + 2),
        .repeats = at->rolling ? 1 : random_between(random, 1, 2),
        .down = at->down,
        .across = (int)random_between(random, 0, 1),
        .repeat_offset = random_between(random, 0, 2 * vec),
        .asks = (int)random_between(random, 0, 1),
        .lane_around = circular && rows ? vec : 0,
        .epilogue = epilogues[random_between(random, 0, 3)],
    };
    args.tap_step = at->width == 1 ? args.step : args.step * at->stride;
    const int64_t all = args.lines + args.taps + at->down - 1;
    for (int64_t l = 0; l < all; l++) {
        const bool tap = l >= args.lines + at->down - 1;
        const int32_t most = tap ? at->tile : columns;
        struct depthwise_line *line = &lines[l];
        *line = (struct depthwise_line){.end = most, .lane_end = vec};
        if (edges) {
            line->begin = first;
            line->end = most - last;
        } else if (!whole && random_bits(random) & 1) {
            line->begin = (int32_t)random_between(random, 0, most);
            line->end = (int32_t)random_between(random, line->begin, most);
        }
        if (!edges && !whole && !at->pairs && at->kind != DEPTHWISE_SPREAD && random_bits(random) & 1) {
            const bool before = rows || (at->kind == DEPTHWISE_CHANNELS && !circular);
            line->lane_begin = before ? (int32_t)random_between(random, 0, vec) : 0;
            line->lane_end = (int32_t)random_between(random, line->lane_begin + (circular && !rows), vec);
            if (circular && line->lane_begin > 0)
                line->lane_end = vec;
        }
        const bool inside = line->begin == 0 && line->end == most;
        const int64_t circle = !circular ? 0 : inside ? most : random_between(random, 1, most);
        line_make(at, random, &args, line, tap ? args.tap_step : args.step, circle, most, &made[l]);
    }

    const int64_t taps = args.lines * at->width + args.taps, unit_w = rows ? 0 : taps * args.depth * each;
    const int64_t weights = taps * args.depth * each + (args.units - 1) * unit_w;
    float *w = guarded(weights, AT_END), *b = bias ? guarded(rows ? 1 : args.units * vec, AT_END) : NULL;
    fill_integer(random, w, weights);
    if (b)
        fill_integer(random, b, rows ? 1 : args.units * vec);
    args.w = w;
    args.bias = b;
    args.unit_w = unit_w;
    args.unit_bias = rows ? 0 : vec;
    const bool stream = random_bits(random) & 1; /* vectors of c are aligned then */
    args.unit_c = vec + (stream ? vec * random_between(random, 0, 1) : random_between(random, 0, 2));
    args.lane_c = rows && !stream ? random_between(random, 1, 3) : 1;
    args.unit_c *= args.lane_c;
    args.c_step = args.units * args.unit_c;
    args.down_c = at->tile * args.c_step;
    args.repeat_c = at->down * args.down_c;
    const int64_t count = (args.repeats - 1) * args.repeat_c + (at->down - 1) * args.down_c + (args.rows - 1) * args.c_step +
                          (args.units - 1) * args.unit_c + (args.columns - 1) * args.lane_c + 1;
    const enum guard_side side = stream ? AT_BEGIN : (enum guard_side)random_between(random, 0, GUARD_SIDES - 1);
    float *c = guarded(count, side), *added = residual ? guarded(count, side) : NULL;
    enum { NO, YES, EITHER_WAY };
    unsigned char *stored = calloc((size_t)count, sizeof *stored);
    double *expected = calloc((size_t)count, sizeof *expected);
    assert_true(stored && expected);
    if (added)
        fill_integer(random, added, count);
    args.c = c;
    args.residual = added;
    args.skip = at->pairs || random_between(random, 0, 2) ? 0 : random_between(random, 0, args.columns - 1);
    args.stream = stream;

    for (int64_t repeat = 0; repeat < args.repeats; repeat++)
        for (int64_t r = 0; r < at->down; r++)
            for (int64_t unit = 0; unit < args.units; unit++)
                for (int64_t m = 0; m < args.rows; m++)
                    for (int64_t n = 0; n < args.columns; n++) {
                        const float *at_w = w + unit * unit_w;
                        double sum = 0.0;
                        for (int64_t l = 0; l < args.lines; l++, at_w += args.depth * at->width * each)
                            sum += contribution(at, &args, l + r, args.step, at->width, at->stride, at_w, repeat, unit, m, n);
                        for (int64_t t = 0; t < args.taps; t++, at_w += args.depth * each)
                            sum += contribution(at, &args, args.lines + t, args.tap_step, 1, 1, at_w, repeat, unit, m, n);
                        const int64_t i =
                            repeat * args.repeat_c + r * args.down_c + unit * args.unit_c + m * args.c_step + n * args.lane_c;
                        sum += b ? (double)b[rows ? 0 : unit * vec + n] : 0.0;
                        sum += added ? (double)added[i] : 0.0;
                        sum = fmin(fmax(sum, (double)args.epilogue.lo), (double)args.epilogue.hi);
                        stored[i] = n >= args.skip ? YES : added ? NO : EITHER_WAY;
                        expected[i] =
                            args.epilogue.activation == ACTIVATE_LEAKY && sum < 0.0 ? (double)args.epilogue.alpha * sum : sum;
                    }
    at->kernel(&args);
    at->kernels->fence();

    char text[256];
    snprintf(text, sizeof text,
             "%s kind %d, width %d, stride %d, tile %dx%d, %s%s, lines %d, taps %d, depth %d, columns %d, rows %d",
             at->kernels->name, (int)at->kind, at->width, at->stride, (int)at->down, at->tile, whole ? "whole" : "cut",
             circular ? ", around" : "", (int)args.lines, (int)args.taps, (int)args.depth, (int)args.columns, args.rows);
    for (int64_t i = 0; i < count; i++) {
        if (stored[i] == EITHER_WAY && is_canary(c[i]))
            continue;
        if (stored[i] != NO && !is_close(c[i], expected[i], 0.0))
            check_close(c + i, expected + i, 1, 0.0, "%s, element %d", text, (int)i);
        else if (stored[i] == NO && !is_canary(c[i]))
            check_canary(c + i, 1, "%s, element %d", text, (int)i);
    }
    free(expected);
    free(stored);
    for (int64_t l = 0; l < all; l++)
        guarded_free(made[l].memory);
    guarded_free(w);
    guarded_free(b);
    guarded_free(c);
    guarded_free(added);
}

static void test_sliding(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(1);
        for (int kind = 0; kind < DEPTHWISE_KINDS; kind++)
            for (int width = 0; width <= DEPTHWISE_MAX_WIDTH; width++)
                for (int stride = 1; stride <= DEPTHWISE_STRIDES_COUNT; stride++)
                    for (int height = 0; height < DEPTHWISE_HEIGHTS_COUNT; height++) {
                        const struct sliding at = {*table,
                                                   (*table)->depthwise[kind][width][stride - 1][height],
                                                   (enum depthwise_kind)kind,
                                                   width,
                                                   stride,
                                                   (*table)->depthwise_rows[height],
                                                   1,
                                                   false,
                                                   false};
                        const bool there = width > 0 && width != 6 && (stride == 1 || (width > 2 && kind != DEPTHWISE_ROWS));
                        assert_int_equal(at.kernel != NULL, there);
                        if (!there)
                            continue;
                        for (int i = 0; i < 150; i++)
                            run_case(&at, &random);
                    }
    }
}

static void test_blocks(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(2);
        const struct sliding at = {*table,
                                   (*table)->depthwise_block,
                                   DEPTHWISE_CHANNELS,
                                   3,
                                   1,
                                   (*table)->depthwise_rows[DEPTHWISE_SHORT],
                                   (*table)->depthwise_down,
                                   false,
                                   false};
        assert_true((at.kernel != NULL) == (at.down > 1));
        for (int i = 0; i < 500 && at.kernel; i++)
            run_case(&at, &random);
    }
}

static void test_rolling(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(4);
        struct sliding at = {.kernels = *table,
                             .kernel = (*table)->depthwise_rolling,
                             .kind = DEPTHWISE_CHANNELS,
                             .width = 3,
                             .stride = 1,
                             .tile = (*table)->depthwise_rows[DEPTHWISE_SHORT],
                             .rolling = true};
        assert_true((at.kernel != NULL) == ((*table)->depthwise_down > 1));
        for (int i = 0; i < 500 && at.kernel; i++) {
            at.down = random_between(&random, 1, 10);
            run_case(&at, &random);
        }
    }
}

static void test_pairs(void **state)
{
    (void)state;
    for (const struct kernels *const *table = runnable_kernels(); *table; table++) {
        struct random random = random_stream(3);
        for (int width = 0; width <= DEPTHWISE_MAX_WIDTH; width++)
            for (int stride = 1; stride <= DEPTHWISE_STRIDES_COUNT; stride++) {
                const struct sliding at = {*table,
                                           (*table)->depthwise_pairs[width][stride - 1],
                                           DEPTHWISE_CHANNELS,
                                           width,
                                           stride,
                                           (*table)->depthwise_rows[DEPTHWISE_SHORT],
                                           1,
                                           true,
                                           false};
                for (int i = 0; i < 500 && at.kernel; i++)
                    run_case(&at, &random);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sliding), cmocka_unit_test(test_blocks),
                                       cmocka_unit_test(test_pairs), cmocka_unit_test(test_rolling)};
    random_seed();
    return cmocka_run_group_tests_name("depthwise kernels", tests, NULL, NULL);
}
