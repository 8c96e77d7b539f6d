/* bench.c - faltung bench: how fast layers run, beside the peak of the moment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../src/cpu.h"
#include "commands.h"
#include "data.h"
#include "measure.h"

enum {
    NAME,
    PROBLEM,
    REPEATS,
    PASS,
    LAYOUT,
    ALGO,
    KERNEL,
    ISA,
    THREADS,
    PLAN_US,
    MIN_MS,
    MEDIAN_MS,
    GFLOPS,
    PEAK,
    PERCENT,
    MARK,
    SPREAD,
    STEADY,
    WORKSPACE,
    COLUMNS
};

static const struct column bench_columns[COLUMNS] = {
    [NAME] = {"name", "layer", IN_TABLE | IN_JSON, TEXT, 0},
    [PROBLEM] = {"problem", "problem", IN_ALL, TEXT, 0},
    [REPEATS] = {"repeats", "x", IN_TABLE | IN_JSON, 0, 3},
    [PASS] = {"pass", "", IN_CSV | IN_JSON, TEXT, 0},
    [LAYOUT] = {"layout", "", IN_CSV | IN_JSON, TEXT, 0},
    [ALGO] = {"algo", "algorithm", IN_ALL, TEXT, 9},
    [KERNEL] = {"kernel", "kernel", IN_ALL, TEXT, 14},
    [ISA] = {"isa", "", IN_CSV | IN_JSON, TEXT, 0},
    [THREADS] = {"threads", "", IN_CSV | IN_JSON, 0, 0},
    [PLAN_US] = {"plan_us", "", IN_CSV | IN_JSON, 2, 0},
    [MIN_MS] = {"min_ms", "", IN_CSV | IN_JSON, 6, 0},
    [MEDIAN_MS] = {"median_ms", "ms", IN_ALL, 4, 10},
    [GFLOPS] = {"gflops", "GFLOP/s", IN_ALL, 1, 8},
    [PEAK] = {"peak_gflops", "", IN_CSV | IN_JSON, 1, 0},
    [PERCENT] = {"percent_of_peak", "% of peak", IN_ALL, 1, 9},
    [MARK] = {"", "", IN_TABLE, TEXT, 1},
    [SPREAD] = {"spread", "", IN_JSON, 4, 0},
    [STEADY] = {"steady", "", IN_JSON, 0, 0},
    [WORKSPACE] = {"workspace_bytes", "", IN_CSV | IN_JSON, 0, 0},
};

/* What the layers of a section come to, each as often as its network has it. */
struct total {
    double repeats, seconds, work;
    double peak_seconds; /* what the work would have taken at the peaks of the moment */
    bool unsteady;
};

struct execution {
    falt_plan *plan;
    falt_tensors tensors;
    bool refused; /* by the library, which knows why */
};

static bool execute(void *context)
{
    struct execution *execution = context;
    execution->refused = falt_execute(execution->plan, &execution->tensors) != FALT_OK;
    return !execution->refused;
}

/* Median time to create and destroy a plan; a few, as plans are made in microseconds. */
static double plan_seconds(const struct job *job, const falt_options *options)
{
    double seconds[15];
    int count = 0;
    const double begin = seconds_now();
    while (count < (int)(sizeof seconds / sizeof seconds[0]) && (count < 3 || seconds_now() - begin < 0.02)) {
        falt_plan *plan;
        const double start = seconds_now();
        if (falt_plan_create(&plan, &job->conv, job->pass, options) == FALT_OK)
            falt_plan_destroy(plan);
        seconds[count++] = seconds_now() - start;
    }
    return median(seconds, count);
}

/* Fills the tensors' packed weights and workspace, so that executing neither packs nor allocates. */
static bool prepare(struct execution *execution, size_t *workspace)
{
    falt_tensors *tensors = &execution->tensors;
    const size_t packed = falt_plan_packed_weights_size(execution->plan);
    if (packed > 0) {
        void *weights = data_allocate(packed);
        tensors->packed_weights = weights;
        if (weights == NULL)
            return false;
        execution->refused = falt_pack_weights(execution->plan, tensors->weights, weights, packed) != FALT_OK;
        if (execution->refused)
            return false;
    }
    *workspace = falt_plan_workspace_size(execution->plan, 1);
    tensors->workspace = data_allocate(*workspace);
    tensors->workspace_size = *workspace;
    return tensors->workspace != NULL;
}

/* NULL, or why it failed. */
static const char *bench_plan(const struct selection *s, const struct job *job, falt_plan *plan, struct report *report,
                              struct total *total)
{
    struct data data;
    struct execution execution = {.plan = plan};
    struct probe probe = {.rates = NULL};
    struct measurement m;
    falt_plan_info info = {.struct_size = sizeof info};
    falt_sizes sizes;
    size_t workspace = 0;
    const int threads = select_threads(s);

    falt_plan_get_info(plan, &info);
    falt_conv_sizes(&job->conv, &sizes);
    const struct kernels *kernels = falt_kernels_of(info.isa);
    if (kernels == NULL)
        kernels = falt_kernels(FALT_ISA_AUTO);
    const double work = 2 * sizes.multiply_adds;

    bool good = data_init(&data, &job->conv, job->pass, s->seed, false);
    execution.tensors = data.tensors;
    good = good && prepare(&execution, &workspace) && probe_init(&probe, kernels, threads) &&
           measure(&probe, execute, &execution, work, s->min_time, &m);
    if (good) {
        const double repeats = (double)job->layer->repeats;
        report_row(report, (union value[COLUMNS]){
                               [NAME] = {.text = job->layer->name},
                               [PROBLEM] = {.text = job->problem},
                               [REPEATS] = {.number = repeats},
                               [PASS] = {.text = pass_names[job->pass]},
                               [LAYOUT] = {.text = layout_names[job->conv.layout]},
                               [ALGO] = {.text = falt_algorithm_name(info.algorithm)},
                               [KERNEL] = {.text = info.kernel},
                               [ISA] = {.text = falt_isa_name(info.isa)},
                               [THREADS] = {.number = threads},
                               [PLAN_US] = {.number = 1e6 * plan_seconds(job, &s->options)},
                               [MIN_MS] = {.number = 1e3 * m.min_seconds},
                               [MEDIAN_MS] = {.number = 1e3 * m.median_seconds},
                               [GFLOPS] = {.number = 1e-9 * work / m.median_seconds},
                               [PEAK] = {.number = 1e-9 * m.peak},
                               [PERCENT] = {.number = 100 * m.efficiency},
                               [MARK] = {.text = m.steady ? "" : "~"},
                               [SPREAD] = {.number = m.spread},
                               [STEADY] = {.number = m.steady},
                               [WORKSPACE] = {.number = (double)workspace},
                           });
        total->repeats += repeats;
        total->unsteady |= !m.steady;
        total->seconds += repeats * m.median_seconds;
        total->work += repeats * work;
        total->peak_seconds += repeats * m.median_seconds * m.efficiency;
    }
    probe_free(&probe);
    free((void *)(uintptr_t)execution.tensors.packed_weights);
    free(execution.tensors.workspace);
    data_free(&data);
    return good ? NULL : execution.refused ? falt_last_error() : "out of memory";
}

static void print_total(const struct selection *s, struct report *report, const struct total *total)
{
    if (s->format != FORMAT_TABLE || total->repeats < 2)
        return;
    const bool named = s->name_width > 0;
    report_row(report, (union value[COLUMNS]){
                           [NAME] = {.text = "total"},
                           [PROBLEM] = {.text = named ? "" : "total"},
                           [REPEATS] = {.number = total->repeats},
                           [ALGO] = {.text = ""},
                           [KERNEL] = {.text = ""},
                           [MEDIAN_MS] = {.number = 1e3 * total->seconds},
                           [GFLOPS] = {.number = 1e-9 * total->work / total->seconds},
                           [PERCENT] = {.number = 100 * total->peak_seconds / total->seconds},
                           [MARK] = {.text = ""},
                       });
}

int run_bench(const struct selection *s)
{
    struct column columns[COLUMNS];
    memcpy(columns, bench_columns, sizeof columns);
    columns[NAME].width = s->name_width > 5 ? s->name_width : 5;
    columns[PROBLEM].width = s->problem_width > 7 ? s->problem_width : 7;
    if (s->name_width == 0)
        columns[NAME].formats = IN_JSON;

    struct report *report = report_open(s->format, columns, COLUMNS);
    if (report == NULL)
        return 1;
    struct total total = {0};
    bool unsteady = false;
    int failures = 0;
    for (int i = 0; i < s->job_count; i++) {
        const struct job *job = &s->jobs[i];
        char title[128];
        if (select_section(s, i, title, sizeof title)) {
            print_total(s, report, &total);
            unsteady |= total.unsteady;
            total = (struct total){0};
            report_section(report, title);
        }
        progress("[%d/%d] %s", i + 1, s->job_count, job->layer->name[0] != 0 ? job->layer->name : job->problem);
        falt_plan *plan;
        if (falt_plan_create(&plan, &job->conv, job->pass, &s->options) != FALT_OK) {
            complain(s, job, "%s", falt_last_error());
            failures++;
            continue;
        }
        const char *reason = bench_plan(s, job, plan, report, &total);
        if (reason != NULL) {
            complain(s, job, "%s", reason);
            failures++;
        }
        falt_plan_destroy(plan);
    }
    print_total(s, report, &total);
    unsteady |= total.unsteady;
    report_close(report);
    if (unsteady && s->format == FORMAT_TABLE)
        puts("~ the runs did not come to agree within 3 %: the machine was busy");
    return failures > 0;
}
