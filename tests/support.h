/*
 * support.h - what all tests share: CMocka, seeded random numbers, guarded memory, comparisons, the instruction sets of this
 * machine.
 */
#ifndef FALT_SUPPORT_H
#define FALT_SUPPORT_H

/* CMocka wants these first, in this order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include "../arch/kernels.h"

#define PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))

/* -------------------------------------------------------------------------------------------------------- random numbers */

struct random {
    uint64_t state;
};

/* The seed of this process: FALTUNG_SEED, or else the time. Printed at the first call and whenever a comparison fails. */
uint64_t random_seed(void);

/* A stream of its own for each number: random_stream(1) and random_stream(2) have nothing in common. */
struct random random_stream(uint64_t stream);

uint64_t random_bits(struct random *random);
int64_t random_between(struct random *random, int64_t low, int64_t high); /* low ... high, both included */
float random_uniform(struct random *random);                              /* [-1, 1) */

/* Whole numbers -4 ... 4: sums of up to 2^20 products of two are exact in fp32, in any order. */
float random_integer(struct random *random);

void fill_uniform(struct random *random, float *x, int64_t n);
void fill_integer(struct random *random, float *x, int64_t n);

/* ------------------------------------------------------------------------------------------------------------------ guards */

/*
 * n floats (n >= 0) between two inaccessible pages, filled with canaries:
 *
 *     guard | floats | canaries | guard     AT_BEGIN     starts a page
 *     guard | canaries | floats | guard     AT_END       the last float ends a page
 *     guard | 1 canary | floats | guard     OFF_BY_FOUR  as AT_BEGIN, aligned to 4 bytes and no more
 */
enum guard_side { AT_BEGIN, AT_END, OFF_BY_FOUR, GUARD_SIDES };

float *guarded(int64_t n, enum guard_side side);

/* Fails the test if a canary around the floats has changed. NULL is allowed. */
void guarded_free(float *x);

/* The canary is a NaN, so that reading it shows as well as writing it. */
float canary(void);
bool is_canary(float x);
void fill_canary(float *x, int64_t n);

/* ------------------------------------------------------------------------------------------------------------- comparisons */

/* |actual - expected| <= tolerance; NaN is close to NaN; an infinity only to itself, or to what overflows fp32. */
bool is_close(float actual, double expected, double tolerance);

/* Fails with the worst element and how many are wrong. what: printf format for the case at hand. Tolerance is absolute. */
void check_close(const float *actual, const double *expected, int64_t n, double tolerance, const char *what, ...) PRINTF(5, 6);

/* As check_close with a tolerance for each element. */
void check_within(const float *actual, const double *expected, const double *tolerance, int64_t n, const char *what, ...)
    PRINTF(5, 6);

/* The same bits; any NaN equals any other. */
void check_same(const float *actual, const float *expected, int64_t n, const char *what, ...) PRINTF(4, 5);

/* All n floats still are canaries. */
void check_canary(const float *x, int64_t n, const char *what, ...) PRINTF(3, 4);

/* -------------------------------------------------------------------------------------------------------- instruction sets */

/* The tables that this CPU can run, best first, NULL at the end. The first call prints those that it cannot ("skipped").
 *
 *     for (const struct kernels *const *table = runnable_kernels(); *table; table++)
 */
const struct kernels *const *runnable_kernels(void);

#endif
