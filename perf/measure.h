/*
 * measure.h - timing on machines that change their speed.
 *
 * A neighbour on the other hyperthread, a turbo that ends or a hypervisor that takes a core away change what "peak" is by a
 * factor of two within seconds, so a rate is only worth something beside a peak that was measured at the same time:
 *
 *     probe   run   probe   run   probe  ...       a run's efficiency = its rate / mean of the two probes around it
 *
 * A probe is a burst of independent multiply-adds of the same instruction set on the same number of threads. The median
 * of the efficiencies is reported; runs are repeated until they agree.
 *
 * Programs that do the same work are compared in the same way: they alternate in slices of tens of microseconds, each
 * round in the other order, and the median of the rounds' quotients counts, not the quotient of two medians:
 *
 *     probe  A  probe  B  probe  B  probe  A  probe  A  ...       a round's ratio = B's time / A's time, a neighbour's
 */
#ifndef PERF_MEASURE_H
#define PERF_MEASURE_H

#include <stdbool.h>
#include "../arch/kernels.h"

double seconds_now(void);

/* The middle of values, which it sorts; 0 of nothing. */
double median(double *values, int count);

struct probe {
    const struct kernels *kernels;
    int threads;
    int64_t rounds;
    double *rates, *starts, *ends; /* of each thread */
};

/* Finds how many rounds make a burst long enough to be timed. False when out of memory. */
bool probe_init(struct probe *probe, const struct kernels *kernels, int threads);
void probe_free(struct probe *probe);

/* One burst: floating-point operations a second of all threads. */
double probe_run(struct probe *probe);

/* What is measured. run returns false when it failed. */
struct runner {
    bool (*run)(void *context);
    void *context;
    bool settle; /* once more before each timed slice, so that it finds in the caches what it left there, not what the other did
                  */
};
enum { MAX_RUNNERS = 6 };

struct measurement {
    double min_seconds, median_seconds; /* of one run */
    double peak;                        /* median of the probes, operations a second */
    double efficiency;                  /* median of the runs' rates, each divided by the peak around it */
    double ratio;                       /* median of the rounds' quotients: its time / the first runner's */
    double spread; /* median absolute deviation of the efficiencies (of the others: ratios) / their median */
    bool steady;   /* the spread is small */
    int samples;
};

/* Runs the runners by turns for at least min_seconds in all (three rounds, whatever that takes), and up to five times as long
 * while a spread is not small. `work` is the operations of one run. False when out of memory or when a run failed. */
bool measure(struct probe *probe, const struct runner *runners, int count, double work, double min_seconds,
             struct measurement results[MAX_RUNNERS]);

#endif
