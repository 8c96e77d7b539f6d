/* data.h - the tensors of one pass of a convolution, filled with seeded random numbers. */
#ifndef PERF_DATA_H
#define PERF_DATA_H

#include <stdbool.h>
#include "faltung.h"

enum { MAX_OUTPUTS = 2 };

struct data {
    falt_tensors tensors; /* everything that the pass reads and writes; no packed weights, no workspace */
    struct output {
        float *values;
        int64_t count;
    } outputs[MAX_OUTPUTS]; /* dst, or diff_src, or diff_weights and diff_bias */
    int output_count;
};

/* Inputs are uniform in [-1, 1). The residual (forward) is optional. False when out of memory; the conv must be valid. */
bool data_init(struct data *data, const falt_conv *conv, falt_pass pass, uint64_t seed, bool residual);
void data_free(struct data *data);

/* Fills the outputs with NaN, so that an element that nobody writes is found. */
void data_poison(struct data *data);

#endif
