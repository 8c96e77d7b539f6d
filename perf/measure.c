#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../src/parallel.h"

static const double burst_seconds = 100e-6; /* a probe: short, but long beside the start of a parallel region */
static const double sample_seconds = 50e-6; /* shorter runs are timed several at a time */
static const double small_spread = 0.03;
static const double patience = 5; /* times the asked-for time, before an unsteady measurement is given up */
enum { MIN_SAMPLES = 3, STEADY_SAMPLES = 5 };

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, int count)
{
    if (count == 0)
        return 0;
    qsort(values, (size_t)count, sizeof *values, ascending);
    return 0.5 * (values[(count - 1) / 2] + values[count / 2]);
}

static void burst(void *context, int member, int members)
{
    struct probe *probe = context;
    float sink;
    falt_barrier(members);
    probe->starts[member] = seconds_now();
    probe->rates[member] = probe->kernels->burn(probe->rounds, &sink);
    probe->ends[member] = seconds_now();
}

double probe_run(struct probe *probe)
{
    memset(probe->rates, 0, (size_t)probe->threads * sizeof *probe->rates);
    falt_parallel(probe->threads, burst, probe);
    double start = INFINITY, rate = 0;
    for (int i = 0; i < probe->threads; i++)
        if (probe->rates[i] > 0)
            start = fmin(start, probe->starts[i]);
    /* From the common start, so that threads which take turns on one core do not count as if they had one each. */
    for (int i = 0; i < probe->threads; i++)
        if (probe->rates[i] > 0)
            rate += probe->rates[i] / (probe->ends[i] - start);
    return rate;
}

bool probe_init(struct probe *probe, const struct kernels *kernels, int threads)
{
    float sink;
    double *values = calloc((size_t)threads * 3, sizeof *values);
    if (values == NULL)
        return false;
    *probe = (struct probe){kernels, threads, 1, values, values + threads, values + 2 * threads};
    for (double best = 0; best < burst_seconds;) {
        best = INFINITY;
        for (int i = 0; i < 3; i++) {
            const double start = seconds_now();
            kernels->burn(probe->rounds, &sink);
            best = fmin(best, seconds_now() - start);
        }
        if (best < burst_seconds)
            probe->rounds *= 2;
    }
    return true;
}

void probe_free(struct probe *probe)
{
    free(probe->rates);
}

/* Column-wise, so that each can be sorted by itself. */
struct samples {
    double *seconds, *peaks, *efficiencies, *scratch;
    int count, capacity;
};

static bool samples_grow(struct samples *s)
{
    if (s->count < s->capacity)
        return true;
    const int capacity = s->capacity == 0 ? 256 : 2 * s->capacity;
    double **const columns[] = {&s->seconds, &s->peaks, &s->efficiencies, &s->scratch};
    for (int i = 0; i < 4; i++) {
        double *grown = realloc(*columns[i], (size_t)capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        *columns[i] = grown;
    }
    s->capacity = capacity;
    return true;
}

/* Sorts the efficiencies: which run was which does not matter any more. */
static void judge(struct samples *s, struct measurement *result)
{
    result->efficiency = median(s->efficiencies, s->count);
    for (int i = 0; i < s->count; i++)
        s->scratch[i] = fabs(s->efficiencies[i] - result->efficiency);
    const double deviation = median(s->scratch, s->count);
    result->spread = result->efficiency > 0 ? deviation / result->efficiency : deviation;
    result->steady = s->count >= STEADY_SAMPLES && result->spread < small_spread;
}

static bool timed(bool (*run)(void *context), void *context, int64_t calls, double *seconds)
{
    const double start = seconds_now();
    for (int64_t i = 0; i < calls; i++)
        if (!run(context))
            return false;
    *seconds = seconds_now() - start;
    return true;
}

bool measure(struct probe *probe, bool (*run)(void *context), void *context, double work, double min_seconds,
             struct measurement *result)
{
    struct samples s = {NULL, NULL, NULL, NULL, 0, 0};
    bool good = run(context); /* cold caches, page faults */
    double seconds = 0;
    int64_t calls = 1;
    while (good && (good = timed(run, context, calls, &seconds)) && seconds < sample_seconds && calls < 1 << 20)
        calls *= 2;

    const double start = seconds_now();
    double due = min_seconds, before = probe_run(probe);
    while (good) {
        good = samples_grow(&s) && timed(run, context, calls, &seconds);
        if (!good)
            break;
        const double after = probe_run(probe), peak = 0.5 * (before + after);
        s.seconds[s.count] = seconds / (double)calls;
        s.peaks[s.count] = before = after;
        s.efficiencies[s.count] = work * (double)calls / seconds / peak;
        s.count++;

        const double elapsed = seconds_now() - start;
        if (s.count < MIN_SAMPLES || elapsed < due)
            continue;
        judge(&s, result);
        if (result->steady || elapsed >= patience * min_seconds)
            break;
        due = elapsed * 1.25;
    }
    if (good) {
        result->samples = s.count;
        result->peak = median(s.peaks, s.count);
        result->median_seconds = median(s.seconds, s.count);
        result->min_seconds = s.seconds[0];
    }
    free(s.seconds);
    free(s.peaks);
    free(s.efficiencies);
    free(s.scratch);
    return good;
}
