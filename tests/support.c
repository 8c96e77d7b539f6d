/* support.c - see support.h. */
#define _GNU_SOURCE
#include "support.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "../src/cpu.h"

/* -------------------------------------------------------------------------------------------------------- random numbers */

uint64_t random_seed(void)
{
    static bool known;
    static uint64_t seed;
    if (!known) {
        const char *text = getenv("FALTUNG_SEED");
        seed = text && *text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
        known = true;
        print_message("random seed: FALTUNG_SEED=%" PRIu64 "\n", seed);
    }
    return seed;
}

/* splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
uint64_t random_bits(struct random *random)
{
    uint64_t x = random->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

struct random random_stream(uint64_t stream)
{
    struct random random = {random_seed()};
    random.state = random_bits(&random) ^ stream;
    random.state = random_bits(&random);
    return random;
}

int64_t random_between(struct random *random, int64_t low, int64_t high)
{
    return low + (int64_t)(random_bits(random) % (uint64_t)(high - low + 1));
}

float random_uniform(struct random *random)
{
    return (float)(int32_t)(random_bits(random) >> 40) * 0x1p-23f - 1.0f;
}

float random_integer(struct random *random)
{
    return (float)random_between(random, -4, 4);
}

void fill_uniform(struct random *random, float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = random_uniform(random);
}

void fill_integer(struct random *random, float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = random_integer(random);
}

/* ------------------------------------------------------------------------------------------------------------------ guards */

static const uint32_t canary_bits = 0x7fc0ca1au;

float canary(void)
{
    float x;
    memcpy(&x, &canary_bits, sizeof x);
    return x;
}

bool is_canary(float x)
{
    return memcmp(&x, &canary_bits, sizeof x) == 0;
}

/* A stretch of canaries to copy and to compare with. */
enum { STRETCH = 1024 };

static const float *canaries(void)
{
    static float stretch[STRETCH];
    for (int i = 0; i < STRETCH && !is_canary(stretch[STRETCH - 1]); i++)
        stretch[i] = canary();
    return stretch;
}

void fill_canary(float *x, int64_t n)
{
    const float *const from = canaries();
    for (int64_t i = 0; i < n; i += STRETCH)
        memcpy(x + i, from, (size_t)(n - i < STRETCH ? n - i : STRETCH) * sizeof *x);
}

static int64_t count_written(const float *x, int64_t n)
{
    const float *const expected = canaries();
    int64_t written = 0;
    for (int64_t i = 0; i < n; i += STRETCH) {
        const int64_t end = n - i < STRETCH ? n : i + STRETCH;
        if (memcmp(x + i, expected, (size_t)(end - i) * sizeof *x) != 0)
            for (int64_t k = i; k < end; k++)
                written += !is_canary(x[k]);
    }
    return written;
}

struct mapping {
    struct mapping *next;
    unsigned char *base; /* guard page, body, guard page */
    size_t guard, body;
    float *x;
    int64_t n;
};

/* Those in use, and by pages those that are not, but no more of them than these: to map and to unmap takes longer than most
 * tests of what is inside. */
enum { SPARE_PAGES = 2048, ALL_SPARE_PAGES = 32 * SPARE_PAGES };
static struct mapping *mappings, *spare[SPARE_PAGES + 1];
static size_t spare_pages;

static struct mapping *map(size_t page, size_t pages)
{
    struct mapping *mapping = pages <= SPARE_PAGES ? spare[pages] : NULL;
    if (mapping) {
        spare[pages] = mapping->next;
        spare_pages -= pages;
        return mapping;
    }
    mapping = malloc(sizeof *mapping);
    assert_non_null(mapping);
    mapping->guard = page;
    mapping->body = pages * page;
    mapping->base = mmap(NULL, mapping->body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(mapping->base != MAP_FAILED);
    assert_int_equal(mprotect(mapping->base + page, mapping->body, PROT_READ | PROT_WRITE), 0);
    return mapping;
}

static void unmap(struct mapping *mapping)
{
    const size_t pages = mapping->body / mapping->guard;
    if (pages <= SPARE_PAGES && spare_pages + pages <= ALL_SPARE_PAGES) {
        mapping->next = spare[pages];
        spare[pages] = mapping;
        spare_pages += pages;
    } else {
        munmap(mapping->base, mapping->body + 2 * mapping->guard);
        free(mapping);
    }
}

float *guarded(int64_t n, enum guard_side side)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t bytes = ((size_t)n + (side == OFF_BY_FOUR)) * sizeof(float);
    struct mapping *mapping = map(page, bytes ? (bytes + page - 1) / page : 1);
    float *const begin = (float *)(void *)(mapping->base + page), *const end = begin + mapping->body / sizeof(float);
    mapping->x = side == AT_END ? end - n : begin + (side == OFF_BY_FOUR);
    mapping->n = n;
    mapping->next = mappings;
    mappings = mapping;
    fill_canary(begin, end - begin);
    return mapping->x;
}

void guarded_free(float *x)
{
    if (!x)
        return;
    struct mapping **link = &mappings;
    while (*link && (*link)->x != x)
        link = &(*link)->next;
    struct mapping *const mapping = *link;
    assert_non_null(mapping);
    *link = mapping->next;

    const float *const begin = (float *)(void *)(mapping->base + mapping->guard);
    const float *const end = begin + mapping->body / sizeof(float);
    const int64_t before = count_written(begin, x - begin), after = count_written(x + mapping->n, end - (x + mapping->n));
    unmap(mapping);
    if (before || after)
        fail_msg("%" PRId64 " floats before and %" PRId64 " after a tensor were written (FALTUNG_SEED=%" PRIu64 ")", before,
                 after, random_seed());
}

/* ------------------------------------------------------------------------------------------------------------- comparisons */

bool is_close(float actual, double expected, double tolerance)
{
    if (isnan(expected) || isnan(actual))
        return isnan(expected) && isnan(actual);
    if (isinf(actual) || isinf(expected))
        return (double)actual == expected || (double)actual == (double)(float)expected;
    return fabs((double)actual - expected) <= tolerance;
}

PRINTF(7, 0)
static void check(const float *actual, const double *expected, const double *tolerances, double tolerance, int64_t n, bool same,
                  const char *what, va_list arguments)
{
    int64_t wrong = 0, worst = -1;
    double worst_excess = -1.0;
    for (int64_t i = 0; i < n; i++) {
        const double allowed = tolerances ? tolerances[i] : tolerance;
        if (is_close(actual[i], expected[i], allowed) &&
            !(same && expected[i] == 0.0 && !signbit(expected[i]) != !signbit(actual[i])))
            continue;
        const double excess = fabs((double)actual[i] - expected[i]) - allowed;
        wrong++;
        if (worst < 0 || excess > worst_excess || isnan(excess)) {
            worst = i;
            worst_excess = isnan(excess) ? (double)INFINITY : excess;
        }
    }
    if (!wrong)
        return;
    char text[512];
    vsnprintf(text, sizeof text, what, arguments);
    fail_msg("%s: %" PRId64 " of %" PRId64 " wrong; worst at %" PRId64 ": %.9g, expected %.9g, off by %.3g, allowed %.3g"
             " (FALTUNG_SEED=%" PRIu64 ")",
             text, wrong, n, worst, (double)actual[worst], expected[worst], fabs((double)actual[worst] - expected[worst]),
             tolerances ? tolerances[worst] : tolerance, random_seed());
}

void check_close(const float *actual, const double *expected, int64_t n, double tolerance, const char *what, ...)
{
    va_list arguments;
    va_start(arguments, what);
    check(actual, expected, NULL, tolerance, n, false, what, arguments);
    va_end(arguments);
}

void check_within(const float *actual, const double *expected, const double *tolerance, int64_t n, const char *what, ...)
{
    va_list arguments;
    va_start(arguments, what);
    check(actual, expected, tolerance, 0.0, n, false, what, arguments);
    va_end(arguments);
}

void check_same(const float *actual, const float *expected, int64_t n, const char *what, ...)
{
    double *wide = malloc(n ? (size_t)n * sizeof *wide : 1);
    assert_non_null(wide);
    for (int64_t i = 0; i < n; i++)
        wide[i] = (double)expected[i];
    va_list arguments;
    va_start(arguments, what);
    check(actual, wide, NULL, 0.0, n, true, what, arguments);
    va_end(arguments);
    free(wide);
}

void check_canary(const float *x, int64_t n, const char *what, ...)
{
    int64_t written = 0, first = -1;
    for (int64_t i = 0; i < n; i++) {
        if (!is_canary(x[i])) {
            written++;
            first = first < 0 ? i : first;
        }
    }
    if (!written)
        return;
    char text[512];
    va_list arguments;
    va_start(arguments, what);
    vsnprintf(text, sizeof text, what, arguments);
    va_end(arguments);
    fail_msg("%s: %" PRId64 " of %" PRId64 " floats were written that should not, first at %" PRId64
             ": %.9g (FALTUNG_SEED=%" PRIu64 ")",
             text, written, n, first, (double)x[first], random_seed());
}

/* -------------------------------------------------------------------------------------------------------- instruction sets */

const struct kernels *const *runnable_kernels(void)
{
    static const struct kernels *runnable[16];
    if (runnable[0])
        return runnable;
    size_t count = 0;
    for (const struct kernels *const *table = falt_kernels_tables; *table; table++) {
        const uint32_t missing = (*table)->needs & ~falt_detect()->features;
        if (missing)
            print_message("%s: skipped, this CPU cannot run it\n", (*table)->name);
        else if (count + 1 < sizeof runnable / sizeof *runnable)
            runnable[count++] = *table;
    }
    return runnable;
}
