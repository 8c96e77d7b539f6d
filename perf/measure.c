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

/* A row a round, but column-wise, so that each can be sorted by itself. */
enum column { SECONDS, EFFICIENCY, RATIO, RUNNER_COLUMNS, PEAK = MAX_RUNNERS * RUNNER_COLUMNS, SCRATCH, COLUMNS };

struct samples {
    double *columns[COLUMNS];
    int count, capacity;
};

static double *column_of(const struct samples *s, int runner, enum column column)
{
    return s->columns[runner * RUNNER_COLUMNS + (int)column];
}

static bool samples_grow(struct samples *s)
{
    if (s->count < s->capacity)
        return true;
    const int capacity = s->capacity == 0 ? 256 : 2 * s->capacity;
    for (int i = 0; i < COLUMNS; i++) {
        double *grown = realloc(s->columns[i], (size_t)capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        s->columns[i] = grown;
    }
    s->capacity = capacity;
    return true;
}

/* Sorts what it judges: which run was which does not matter any more. */
static void judge(struct samples *s, int runner, struct measurement *result)
{
    double *judged = column_of(s, runner, runner == 0 ? EFFICIENCY : RATIO);
    const double middle = median(judged, s->count);
    for (int i = 0; i < s->count; i++)
        s->columns[SCRATCH][i] = fabs(judged[i] - middle);
    const double deviation = median(s->columns[SCRATCH], s->count);
    result->spread = middle > 0 ? deviation / middle : deviation;
    result->steady = s->count >= STEADY_SAMPLES && result->spread < small_spread;
}

static bool timed(const struct runner *runner, int64_t calls, double *seconds)
{
    const double start = seconds_now();
    for (int64_t i = 0; i < calls; i++)
        if (!runner->run(runner->context))
            return false;
    *seconds = seconds_now() - start;
    return true;
}

/* How many calls make a slice long enough to be timed. 0: one failed. */
static int64_t calibrate(const struct runner *runner)
{
    int64_t calls = 1;
    double seconds = 0;
    bool good = runner->run(runner->context); /* cold caches, page faults */
    while (good && (good = timed(runner, calls, &seconds)) && seconds < sample_seconds && calls < 1 << 20)
        calls *= 2;
    return good ? calls : 0;
}

/* A slice of each runner. *before is the probe before the first, and then the one behind the last. */
static bool sample_round(struct probe *probe, const struct runner *runners, int count, const int64_t *calls, double work,
                         double *before, struct samples *s)
{
    if (!samples_grow(s))
        return false;
    double peaks = 0;
    for (int i = 0; i < count; i++) {
        const int k = s->count % 2 == 0 ? i : count - 1 - i; /* a drift favours neither */
        double seconds;
        if ((runners[k].settle && !runners[k].run(runners[k].context)) || !timed(&runners[k], calls[k], &seconds))
            return false;
        const double after = probe_run(probe);
        column_of(s, k, SECONDS)[s->count] = seconds / (double)calls[k];
        column_of(s, k, EFFICIENCY)[s->count] = work * (double)calls[k] / seconds / (0.5 * (*before + after));
        peaks += *before = after;
    }
    for (int k = 0; k < count; k++)
        column_of(s, k, RATIO)[s->count] = column_of(s, k, SECONDS)[s->count] / column_of(s, 0, SECONDS)[s->count];
    s->columns[PEAK][s->count++] = peaks / count;
    return true;
}

bool measure(struct probe *probe, const struct runner *runners, int count, double work, double min_seconds,
             struct measurement results[MAX_RUNNERS])
{
    struct samples s = {.count = 0};
    int64_t calls[MAX_RUNNERS];
    bool good = true;
    for (int k = 0; k < count && good; k++)
        good = (calls[k] = calibrate(&runners[k])) > 0;

    const double start = seconds_now();
    double due = min_seconds, before = probe_run(probe);
    while (good && (good = sample_round(probe, runners, count, calls, work, &before, &s))) {
        const double elapsed = seconds_now() - start;
        if (s.count < MIN_SAMPLES || elapsed < due)
            continue;
        /* Sorting loses the order of the rows, which only the ratios need, and they are there already. */
        bool steady = true;
        for (int k = 0; k < count; k++) {
            judge(&s, k, &results[k]);
            steady &= results[k].steady;
        }
        if (steady || elapsed >= patience * min_seconds)
            break;
        due = elapsed * 1.25;
    }
    for (int k = 0; k < count && good; k++) {
        results[k].samples = s.count;
        results[k].peak = median(s.columns[PEAK], s.count);
        results[k].median_seconds = median(column_of(&s, k, SECONDS), s.count);
        results[k].min_seconds = column_of(&s, k, SECONDS)[0];
        results[k].efficiency = median(column_of(&s, k, EFFICIENCY), s.count);
        results[k].ratio = median(column_of(&s, k, RATIO), s.count);
    }
    for (int i = 0; i < COLUMNS; i++)
        free(s.columns[i]);
    return good;
}
