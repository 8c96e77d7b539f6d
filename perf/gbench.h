/* gbench.h - Google Benchmark for C: name a function, count its operations, run. */
#ifndef GBENCH_H
#define GBENCH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is measured: does the same work `iterations` times. */
typedef void gbench_body(void *context, int64_t iterations);

/* Measures what the machine can do at this moment, in FLOP/s. */
typedef double gbench_peak(void *probe);

/* Registers a benchmark; flops is the number of operations of one iteration. Reports FLOP/s and, with a peak (or NULL), the
 * percentage of the mean of the peaks right before and after. The name is copied; probe and context live until gbench_run is
 * over. */
void gbench_register(const char *name, double flops, gbench_body *body, gbench_peak *peak, void *probe, void *context);

/* Reads the --benchmark_* flags, then measures what they select. Returns 0, or 2 for a flag it does not know. */
int gbench_run(int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
