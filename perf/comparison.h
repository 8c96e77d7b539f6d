/* comparison.h - how far a result is from what it should be. */
#ifndef PERF_COMPARISON_H
#define PERF_COMPARISON_H

#include <stdint.h>

struct comparison {
    double max_error, largest; /* absolute; the largest value there should be */
    double l2_error;           /* relative: |result - oracle| / |oracle|, or 0 for an oracle of zeros */
};

/* A NaN anywhere makes both errors NaN. */
struct comparison compare(const float *result, const float *oracle, int64_t count);

#endif
