/* bench.c - faltung bench: how fast layers run, beside the peak of the moment and beside another library. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../src/cpu.h"
#include "block.h"
#include "commands.h"
#include "comparison.h"
#include "copies.h"
#include "data.h"
#include "execution.h"
#include "measure.h"
#include "peer.h"

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
    L2_ERROR,
    DIRECT_L2_ERROR,
    TIMES_DIRECT,
    PEER,
    PEER_KERNEL,
    PEER_MIN_MS,
    PEER_MEDIAN_MS,
    RATIO,
    DIFFERS,
    COLUMNS
};

static const struct column bench_columns[COLUMNS] = {
    [NAME] = {"name", "layer", IN_TABLE | IN_JSON, TEXT, 0},
    [PROBLEM] = {"problem", "problem", IN_ALL, TEXT, 0},
    [REPEATS] = {"repeats", "x", IN_TABLE | IN_JSON, 0, 3},
    [PASS] = {"pass", "", IN_CSV | IN_JSON, TEXT, 0},
    [LAYOUT] = {"layout", "", IN_CSV | IN_JSON, TEXT, 0},
    [ALGO] = {"algo", "algorithm", IN_ALL, TEXT, 9},
    [KERNEL] = {"kernel", "kernel", IN_ALL, TEXT, 24},
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
    /* only with --error */
    [L2_ERROR] = {"l2_error", "L2 error", IN_ALL, EXPONENT, 8},
    [DIRECT_L2_ERROR] = {"direct_l2_error", "", IN_CSV | IN_JSON, EXPONENT, 0},
    [TIMES_DIRECT] = {"", "x direct", IN_TABLE, 2, 8},
    /* only with --versus; a kernel in parentheses is the reason why there is none */
    [PEER] = {"peer", "", IN_CSV | IN_JSON, TEXT, 0},
    [PEER_KERNEL] = {"peer_kernel", "peer's kernel", IN_ALL, TEXT, 20},
    [PEER_MIN_MS] = {"peer_min_ms", "", IN_CSV | IN_JSON, 6, 0},
    [PEER_MEDIAN_MS] = {"peer_median_ms", "peer's ms", IN_ALL, 4, 10},
    [RATIO] = {"ratio", "ratio", IN_ALL, 3, 7},
    [DIFFERS] = {"", "", IN_TABLE, TEXT, 7},
};

/* What the layers of a section come to, each as often as its network has it. */
struct total {
    double repeats, seconds, work;
    double peak_seconds; /* what the work would have taken at the peaks of the moment */
    double peer_seconds; /* NaN if it refused a layer */
    bool unsteady;
};

/* The ratios to the peer of a section's layers that have one source, each distinct layer once. */
struct ratios {
    double logarithms, lowest;
    int count;
    const struct job *lowest_job, *last_job;
};

/* What is there for all layers. */
struct bench {
    const struct selection *selection;
    struct report *report;
    struct peer *peer; /* or NULL */
    struct copies weights;
    struct total total;
    struct ratios ratios;
    bool unsteady, differs;
};

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

/* Whether the peer finds what we do, but for rounding: |a - b| <= 1e-3 (|b| + the root mean square of all b). A wrong or
 * missing term is about as large as the result, both libraries' errors are a hundred times below that limit. */
static bool agrees(const struct peer_layer *peer, const struct data *data)
{
    for (int k = 0; k < data->output_count; k++) {
        const int64_t count = data->outputs[k].count;
        const float *ours = data->outputs[k].values;
        float *theirs = block_allocate((size_t)count * sizeof *theirs);
        bool good = theirs != NULL && peer_layer_output(peer, k, theirs);
        double squares = 0;
        for (int64_t i = 0; i < count && good; i++)
            squares += (double)theirs[i] * theirs[i];
        const double rms = sqrt(squares / (double)count);
        for (int64_t i = 0; i < count && good; i++)
            good = fabs((double)ours[i] - theirs[i]) <= 1e-3 * (fabs((double)theirs[i]) + rms);
        block_release(theirs);
        if (!good)
            return false;
    }
    return true;
}

/* What an algorithm finds is in data.outputs then. False if it does not apply, or out of memory. */
static bool find(const struct selection *s, const struct job *job, falt_algorithm algorithm, const struct data *data)
{
    falt_options options = s->options;
    falt_plan *plan;
    options.algorithm = algorithm;
    options.workspace_limit = -1;
    if (falt_plan_create(&plan, &job->conv, job->pass, &options) != FALT_OK)
        return false;
    const bool good = falt_execute(plan, &data->tensors) == FALT_OK;
    falt_plan_destroy(plan);
    return good;
}

/* The relative L2 errors of the result, which is in data.outputs[0], and of the direct algorithm's (NaN: it does not apply),
 * against sums in double precision. False when out of memory. */
static bool find_errors(const struct selection *s, const struct job *job, const struct data *data, double *ours, double *direct)
{
    const size_t size = (size_t)data->outputs[0].count * sizeof(float);
    const int64_t count = data->outputs[0].count;
    float *const output = data->outputs[0].values, *result = block_allocate(size), *oracle = block_allocate(size);
    bool good = result != NULL && oracle != NULL;
    if (good)
        memcpy(result, output, size);
    good = good && find(s, job, FALT_ALGO_REFERENCE, data);
    if (good) {
        memcpy(oracle, output, size);
        *ours = compare(result, oracle, count).l2_error;
        *direct = find(s, job, FALT_ALGO_DIRECT, data) ? compare(output, oracle, count).l2_error : (double)NAN;
    }
    block_release(result);
    block_release(oracle);
    return good;
}

static void add_ratio(struct ratios *ratios, const struct job *job, double ratio)
{
    ratios->last_job = job;
    if (isnan(ratio))
        return;
    ratios->logarithms += log(ratio);
    if (ratios->count++ == 0 || ratio < ratios->lowest) {
        ratios->lowest = ratio;
        ratios->lowest_job = job;
    }
}

/* NULL, or why it failed. */
static const char *bench_plan(struct bench *bench, const struct job *job, falt_plan *plan)
{
    const struct selection *s = bench->selection;
    struct data data;
    struct execution execution = {.plan = plan, .weights = &bench->weights};
    struct peer_layer *peer = NULL;
    struct probe probe = {.rates = NULL};
    struct measurement m[MAX_RUNNERS];
    falt_plan_info info = {.struct_size = sizeof info};
    falt_sizes sizes;
    const char *refusal = "";
    bool differs = false;
    const int threads = select_threads(s);

    falt_plan_get_info(plan, &info);
    falt_conv_sizes(&job->conv, &sizes);
    const struct kernels *kernels = falt_kernels_of(info.isa);
    if (kernels == NULL)
        kernels = falt_kernels(FALT_ISA_AUTO);
    const double work = 2 * sizes.multiply_adds;

    bool good = data_init(&data, &job->conv, job->pass, s->seed, false);
    good = good && execution_prepare(&execution, &data, sizes.weights, s->cold_weights) && probe_init(&probe, kernels, threads);
    if (good && bench->peer != NULL) {
        peer = peer_layer_create(bench->peer, &job->conv, job->pass, &data, &refusal);
        if (peer != NULL && peer_layer_run(peer))
            good = execution_run(&execution), differs = good && !agrees(peer, &data);
    }
    const bool settle = peer != NULL && !s->cold_weights;
    const struct runner runners[MAX_RUNNERS] = {{execution_run, &execution, settle}, {peer_layer_run, peer, settle}};
    good = good && measure(&probe, runners, peer != NULL ? 2 : 1, work, s->min_time, m);
    double error = NAN, direct_error = NAN;
    good = good && (!s->error || find_errors(s, job, &data, &error, &direct_error));
    if (good) {
        const double repeats = (double)job->layer->repeats, ratio = peer != NULL ? m[1].ratio : (double)NAN;
        const bool steady = m[0].steady && (peer == NULL || m[1].steady);
        char peer_kernel[128];
        snprintf(peer_kernel, sizeof peer_kernel, peer != NULL ? "%s" : "(%s)",
                 peer != NULL ? peer_layer_kernel(peer) : refusal);
        report_row(bench->report, (union value[COLUMNS]){
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
                                      [MIN_MS] = {.number = 1e3 * m[0].min_seconds},
                                      [MEDIAN_MS] = {.number = 1e3 * m[0].median_seconds},
                                      [GFLOPS] = {.number = 1e-9 * work / m[0].median_seconds},
                                      [PEAK] = {.number = 1e-9 * m[0].peak},
                                      [PERCENT] = {.number = 100 * m[0].efficiency},
                                      [MARK] = {.text = steady ? "" : "~"},
                                      [SPREAD] = {.number = m[0].spread},
                                      [STEADY] = {.number = steady},
                                      [WORKSPACE] = {.number = (double)execution.tensors.workspace_size},
                                      [L2_ERROR] = {.number = error},
                                      [DIRECT_L2_ERROR] = {.number = direct_error},
                                      [TIMES_DIRECT] = {.number = error / direct_error},
                                      [PEER] = {.text = s->versus != NULL ? s->versus : ""},
                                      [PEER_KERNEL] = {.text = peer_kernel},
                                      [PEER_MIN_MS] = {.number = peer != NULL ? 1e3 * m[1].min_seconds : (double)NAN},
                                      [PEER_MEDIAN_MS] = {.number = peer != NULL ? 1e3 * m[1].median_seconds : (double)NAN},
                                      [RATIO] = {.number = ratio},
                                      [DIFFERS] = {.text = differs ? "differs" : ""},
                                  });
        if (differs)
            complain(s, job, "the result of %s's %s differs from ours", s->versus, peer_kernel);
        add_ratio(&bench->ratios, job, ratio);
        struct total *total = &bench->total;
        total->repeats += repeats;
        total->unsteady |= !steady;
        total->seconds += repeats * m[0].median_seconds;
        total->work += repeats * work;
        total->peak_seconds += repeats * m[0].median_seconds * m[0].efficiency;
        total->peer_seconds += repeats * (peer != NULL ? m[1].median_seconds : (double)NAN);
    }
    bench->differs |= differs;
    probe_free(&probe);
    peer_layer_destroy(peer);
    execution_release(&execution);
    data_free(&data);
    return good                ? NULL
           : execution.refused ? falt_last_error()
           : peer != NULL      ? "out of memory, or the peer failed"
                               : "out of memory";
}

/* The end of a section. */
static void print_total(struct bench *bench)
{
    const struct selection *s = bench->selection;
    const struct total total = bench->total;
    bench->total = (struct total){0};
    bench->unsteady |= total.unsteady;
    if (s->format != FORMAT_TABLE || total.repeats < 2)
        return;
    const bool named = s->name_width > 0;
    report_row(bench->report, (union value[COLUMNS]){
                                  [NAME] = {.text = "total"},
                                  [PROBLEM] = {.text = named ? "" : "total"},
                                  [REPEATS] = {.number = total.repeats},
                                  [ALGO] = {.text = ""},
                                  [KERNEL] = {.text = ""},
                                  [MEDIAN_MS] = {.number = 1e3 * total.seconds},
                                  [GFLOPS] = {.number = 1e-9 * total.work / total.seconds},
                                  [PERCENT] = {.number = 100 * total.peak_seconds / total.seconds},
                                  [MARK] = {.text = ""},
                                  [L2_ERROR] = {.number = NAN},
                                  [TIMES_DIRECT] = {.number = NAN},
                                  [PEER_KERNEL] = {.text = ""},
                                  [PEER_MEDIAN_MS] = {.number = 1e3 * total.peer_seconds},
                                  [RATIO] = {.number = NAN},
                                  [DIFFERS] = {.text = ""},
                              });
}

/* The end of a source within a section: in csv a row that has nothing but what it is of and the ratio, in the table a line. */
static void print_ratios(struct bench *bench)
{
    const struct ratios ratios = bench->ratios;
    bench->ratios = (struct ratios){.count = 0};
    if (ratios.count == 0)
        return;
    const struct job *job = ratios.last_job;
    const char *source = job->layer->source, *separator = *source != 0 ? " " : "";
    const double mean = exp(ratios.logarithms / ratios.count);
    char name[256];
    if (bench->selection->format == FORMAT_TABLE) {
        const char *lowest =
            ratios.lowest_job->layer->name[0] != 0 ? ratios.lowest_job->layer->name : ratios.lowest_job->problem;
        progress("%s", "");
        printf("%s%s%s's time / ours: geometric mean %.3f over %d distinct layer%s, each once; lowest %.3f (%s)\n", source,
               *source != 0 ? ": " : "", bench->selection->versus, mean, ratios.count, ratios.count == 1 ? "" : "s",
               ratios.lowest, lowest);
    } else if (bench->selection->format == FORMAT_CSV) {
        union value values[COLUMNS];
        for (int i = 0; i < COLUMNS; i++)
            values[i] = bench_columns[i].digits == TEXT ? (union value){.text = ""} : (union value){.number = NAN};
        snprintf(name, sizeof name, "geomean%s%s", separator, source);
        values[PROBLEM].text = name;
        values[PASS].text = pass_names[job->pass];
        values[LAYOUT].text = layout_names[job->conv.layout];
        values[PEER].text = bench->selection->versus;
        values[RATIO].number = mean;
        report_row(bench->report, values);
    } else {
        snprintf(name, sizeof name, "geomean%s%s %s %s", separator, source, pass_names[job->pass],
                 layout_names[job->conv.layout]);
        report_number(bench->report, name, mean);
    }
}

static bool open_peer(struct bench *bench)
{
    const struct selection *s = bench->selection;
    if (s->versus == NULL)
        return true;
    falt_cpu cpu = {.struct_size = sizeof cpu};
    struct peer_options options = s->peer;
    options.threads = select_threads(s);
    options.cold_weights = s->cold_weights;
    options.isa = s->options.isa;
    if (options.isa == FALT_ISA_AUTO && falt_cpu_info(&cpu) == FALT_OK)
        options.isa = cpu.isa; /* FALTUNG_ISA caps both sides */
    const char *reason = "";
    bench->peer = peer_open(&options, &reason);
    if (bench->peer == NULL)
        fprintf(stderr, "faltung %s: --versus %s: %s\n", s->command->name, s->versus, reason);
    return bench->peer != NULL;
}

int run_bench(const struct selection *s)
{
    struct bench bench = {.selection = s};
    struct column columns[COLUMNS];
    memcpy(columns, bench_columns, sizeof columns);
    columns[NAME].width = s->name_width > 5 ? s->name_width : 5;
    columns[PROBLEM].width = s->problem_width > 7 ? s->problem_width : 7;
    if (s->name_width == 0)
        columns[NAME].formats = IN_JSON;
    for (int i = 0; i < COLUMNS; i++)
        columns[i].formats |= BLANK_NAN;
    for (int i = L2_ERROR; i <= TIMES_DIRECT && !s->error; i++)
        columns[i].formats = 0;
    for (int i = PEER; i < COLUMNS && s->versus == NULL; i++)
        columns[i].formats = 0;

    if (!open_peer(&bench))
        return 1;
    bench.report = report_open(s->format, columns, COLUMNS);
    if (bench.report == NULL) {
        peer_close(bench.peer);
        return 1;
    }
    int failures = 0;
    for (int i = 0; i < s->job_count; i++) {
        const struct job *job = &s->jobs[i];
        char title[128];
        const bool section = select_section(s, i, title, sizeof title);
        if (section)
            print_total(&bench);
        if (section || job->layer->source != job[-1].layer->source)
            print_ratios(&bench);
        if (section)
            report_section(bench.report, title);
        progress("[%d/%d] %s", i + 1, s->job_count, job->layer->name[0] != 0 ? job->layer->name : job->problem);
        falt_plan *plan;
        if (falt_plan_create(&plan, &job->conv, job->pass, &s->options) != FALT_OK) {
            complain(s, job, "%s", falt_last_error());
            failures++;
            continue;
        }
        const char *reason = bench_plan(&bench, job, plan);
        if (reason != NULL) {
            complain(s, job, "%s", reason);
            failures++;
        }
        falt_plan_destroy(plan);
    }
    print_total(&bench);
    print_ratios(&bench);
    report_close(bench.report);
    copies_free(&bench.weights);
    peer_close(bench.peer);
    if (bench.unsteady && s->format == FORMAT_TABLE)
        puts("~ the runs did not come to agree within 3 %: the machine was busy");
    return failures > 0 || bench.differs;
}
