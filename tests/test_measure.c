/* test_measure.c - what `faltung bench` stands on: the measuring loop, rotating copies, how numbers are written, and the file
 * of the field's problems. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copies.h"
#include "cpu.h"
#include "faltung.h"
#include "measure.h"
#include "notation.h"
#include "report.h"

static const char *field_path;

/* ------------------------------------------------------------------------------------------------------------ measuring */

struct worker {
    double seconds;
    int runs, fails_at; /* 0: never */
};

static bool work(void *context)
{
    struct worker *worker = context;
    const double start = seconds_now();
    while (seconds_now() - start < worker->seconds)
        ;
    return ++worker->runs != worker->fails_at;
}

/* One worker takes three times as long as the other, in whichever place it stands. The machine may be busy: wide limits. */
static void ratios(void **state)
{
    (void)state;
    struct probe probe;
    struct measurement m[MAX_RUNNERS];
    assert_true(probe_init(&probe, falt_kernels(FALT_ISA_AUTO), 1));
    for (int settle = 0; settle < 2; settle++)
        for (int slow = 0; slow < 2; slow++) {
            struct worker workers[2] = {{slow == 0 ? 60e-6 : 20e-6, 0, 0}, {slow == 1 ? 60e-6 : 20e-6, 0, 0}};
            const struct runner runners[2] = {{work, &workers[0], settle}, {work, &workers[1], settle}};
            assert_true(measure(&probe, runners, 2, 1e6, 0.02, m));
            const double expected = slow == 1 ? 3 : 1.0 / 3;
            assert_true(m[0].ratio == 1);
            assert_true(m[1].ratio > 0.7 * expected && m[1].ratio < 1.4 * expected);
            assert_true(m[0].min_seconds >= workers[0].seconds && m[0].min_seconds <= m[0].median_seconds);
            assert_true(m[1].min_seconds >= workers[1].seconds && m[1].min_seconds <= m[1].median_seconds);
            assert_true(m[0].samples >= 3 && m[1].samples == m[0].samples);
            assert_true(m[0].efficiency > 0 && m[0].peak > 0);
        }
    probe_free(&probe);
}

static void failures(void **state)
{
    (void)state;
    struct probe probe;
    struct measurement m[MAX_RUNNERS];
    assert_true(probe_init(&probe, falt_kernels(FALT_ISA_AUTO), 1));
    for (int which = 0; which < 2; which++)
        for (int fails_at = 1; fails_at < 12; fails_at += 5) {
            struct worker workers[2] = {{1e-6, 0, 0}, {1e-6, 0, 0}};
            const struct runner runners[2] = {{work, &workers[0], true}, {work, &workers[1], true}};
            workers[which].fails_at = fails_at;
            assert_false(measure(&probe, runners, 2, 1e6, 0.001, m));
        }
    probe_free(&probe);
}

/* --------------------------------------------------------------------------------------------------------------- copies */

static void copies(void **state)
{
    (void)state;
    static const size_t sizes[] = {4, 100, 4096, 100000, 30000001};
    falt_cpu cpu = {.struct_size = sizeof cpu};
    assert_int_equal(falt_cpu_info(&cpu), FALT_OK);
    struct copies c = {.first = NULL};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const size_t size = sizes[s];
        unsigned char *block = malloc(size);
        assert_non_null(block);
        for (size_t i = 0; i < size; i++)
            block[i] = (unsigned char)(i * 7 + s);

        assert_true(copies_make(&c, block, size, false));
        assert_ptr_equal(copies_next(&c), block);
        assert_ptr_equal(copies_next(&c), block);

        assert_true(copies_make(&c, block, size, true));
        assert_true(c.count >= 2);
        const size_t count = c.count;
        unsigned char *seen = calloc(count, 1);
        assert_non_null(seen);
        for (size_t i = 0; i < count; i++) { /* each once, then the first again */
            const unsigned char *copy = copies_next(&c);
            assert_ptr_not_equal(copy, block);
            assert_int_equal((copy - c.first) % (ptrdiff_t)c.stride, 0);
            const size_t index = (size_t)(copy - c.first) / c.stride;
            assert_true(index < count && seen[index]++ == 0);
            assert_memory_equal(copy, block, size);
            assert_int_equal((uintptr_t)copy % 64, 0);
        }
        assert_ptr_equal(copies_next(&c), c.first);
        free(seen);
        free(block);
    }
    copies_free(&c);
    copies_free(&c);
}

/* --------------------------------------------------------------------------------------------------------------- report */

/* A candidate that another program kept from running for some milliseconds is at 0.04 % of the best, not at none. */
static void numbers(void **state)
{
    (void)state;
    static const struct column columns[] = {
        {"one", "", IN_ALL, 1, 0}, {"three", "", IN_ALL, 3, 0}, {"none", "", IN_ALL, 0, 0}, {"g", "", IN_ALL, EXPONENT, 0}};
    static const double rows[][4] = {
        {100, 1.1844, 7, 0.001234}, {0.0419, 0.00042, 0.4, 0}, {-0.04, 0.0005, 0.5, 1}, {0, 0, 0, 0}};
    static const char expected[] =
        "one,three,none,g\n100.0,1.184,7,0.00123\n0.04,0.0004,0.4,0\n-0.04,0.0005,0.5,1\n0.0,0.000,0,0\n";
    char written[sizeof expected + 100];
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    const int out = dup(STDOUT_FILENO);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
    struct report *report = report_open(FORMAT_CSV, columns, 4);
    for (int i = 0; i < 4 && report != NULL; i++)
        report_row(report, (union value[4]){
                               {.number = rows[i][0]}, {.number = rows[i][1]}, {.number = rows[i][2]}, {.number = rows[i][3]}});
    if (report != NULL)
        report_close(report);
    fflush(stdout);
    assert_true(dup2(out, STDOUT_FILENO) >= 0);
    close(out);
    assert_non_null(report);
    rewind(file);
    written[fread(written, 1, sizeof written - 1, file)] = 0;
    fclose(file);
    assert_string_equal(written, expected);
}

/* ---------------------------------------------------------------------------------------------------------------- field */

static bool has_prime(const falt_conv *conv, const int64_t *out)
{
    int64_t numbers[2 + 2 * FALT_MAX_DIMS] = {conv->in_channels, conv->out_channels};
    for (int d = 0; d < conv->spatial_dims; d++) {
        numbers[2 + 2 * d] = conv->in[d];
        numbers[3 + 2 * d] = out[d];
    }
    for (int i = 0; i < 2 + 2 * conv->spatial_dims; i++) {
        bool prime = numbers[i] > 2;
        for (int64_t divisor = 2; divisor * divisor <= numbers[i] && prime; divisor++)
            prime = numbers[i] % divisor != 0;
        if (prime)
            return true;
    }
    return false;
}

/* All can be planned, none is there twice, and every kind is there often enough to be worth a geometric mean. */
static void field(void **state)
{
    (void)state;
    struct notation *problems;
    size_t count, of_dims[FALT_MAX_DIMS + 1] = {0}, small = 0, grouped = 0, dilated = 0, prime = 0;
    char error[256], text[256], other[256];
    if (field_path == NULL)
        skip();
    if (!notation_read_file(field_path, false, &problems, &count, error, sizeof error))
        fail_msg("%s", error);
    assert_true(count >= 500);
    for (size_t i = 0; i < count; i++) {
        const falt_conv *conv = &problems[i].conv;
        falt_sizes sizes;
        falt_plan *plan = NULL;
        notation_print(conv, NULL, 1, text, sizeof text);
        if (falt_conv_sizes(conv, &sizes) != FALT_OK || falt_plan_create(&plan, conv, FALT_FORWARD, NULL) != FALT_OK)
            fail_msg("%s: %s", text, falt_last_error());
        falt_plan_destroy(plan);
        if (sizes.multiply_adds > 2.5e9)
            fail_msg("%s: too large", text);
        for (size_t k = 0; k < i; k++) {
            notation_print(&problems[k].conv, NULL, 1, other, sizeof other);
            assert_string_not_equal(text, other);
        }
        bool is_dilated = false;
        for (int d = 0; d < conv->spatial_dims; d++)
            is_dilated |= conv->dilation[d] > 1 && conv->kernel[d] > 1;
        of_dims[conv->spatial_dims]++;
        small += 2 * sizes.multiply_adds < 1e6;
        grouped += conv->groups > 1;
        dilated += is_dilated;
        prime += has_prime(conv, sizes.out);
    }
    free(problems);
    assert_true(of_dims[1] >= 60 && of_dims[2] >= 200 && of_dims[3] >= 60);
    assert_true(small >= 100);
    assert_true(grouped >= 80);
    assert_true(dilated >= 40);
    assert_true(prime >= 60);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ratios),  cmocka_unit_test(failures), cmocka_unit_test(copies),
        cmocka_unit_test(numbers), cmocka_unit_test(field),
    };
    field_path = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests_name("measuring", tests, NULL, NULL);
}
