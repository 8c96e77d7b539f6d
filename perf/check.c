/* check.c - faltung check: results against a double-precision oracle. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "block.h"
#include "commands.h"
#include "comparison.h"
#include "data.h"

static const double unit_roundoff = 0x1p-24;

enum { NAME, PROBLEM, PASS, LAYOUT, ALGO, ISA, THREADS, MAX_ERROR, BOUND, L2, STATUS, COLUMNS };

static const struct column check_columns[COLUMNS] = {
    [NAME] = {"name", "layer", IN_TABLE | IN_JSON, TEXT, 0}, [PROBLEM] = {"problem", "problem", IN_ALL, TEXT, 0},
    [PASS] = {"pass", "", IN_CSV | IN_JSON, TEXT, 0},        [LAYOUT] = {"layout", "", IN_CSV | IN_JSON, TEXT, 0},
    [ALGO] = {"algo", "algorithm", IN_ALL, TEXT, 9},         [ISA] = {"isa", "ISA", IN_ALL, TEXT, 6},
    [THREADS] = {"threads", "", IN_CSV | IN_JSON, 0, 0},     [MAX_ERROR] = {"max_error", "max error", IN_ALL, EXPONENT, 9},
    [BOUND] = {"error_bound", "bound", IN_ALL, EXPONENT, 9}, [L2] = {"l2_error", "L2 error", IN_TABLE | IN_JSON, EXPONENT, 9},
    [STATUS] = {"status", "status", IN_ALL, TEXT, 6},
};

/* A job's data, what the oracle made of it, and what was checked so far. */
struct examination {
    const struct selection *selection;
    const struct job *job;
    struct report *report;
    struct data data;
    float *oracle[MAX_OUTPUTS], *first[MAX_OUTPUTS]; /* shaped as data.outputs */
    bool seen[FALT_ALGO_COUNT][FALT_ISA_COUNT];
    int passed, failed;
};

/* -------------------------------------------------------------------------------------------------------------- tolerance */

/* By how much an activation can enlarge an error of its argument (its largest slope), and the error it makes itself. */
static double activation_slope(const falt_conv *conv)
{
    switch (conv->activation) {
    case FALT_ACT_LEAKY:
        return fmax(1, fabs((double)conv->alpha));
    case FALT_ACT_SILU:
        return 1.1;
    case FALT_ACT_HARDSWISH:
        return 1.5;
    default:
        return 1;
    }
}

static double activation_roundings(const falt_conv *conv)
{
    return conv->activation >= FALT_ACT_LEAKY ? 8 : 0;
}

/* The longest sum of each output: the pass's own, then diff_bias. The adjoint of a strided convolution meets each kernel
 * element once in `stride` pixels. */
static void count_terms(const falt_conv *conv, falt_pass pass, double terms[MAX_OUTPUTS])
{
    falt_sizes sizes;
    falt_conv_sizes(conv, &sizes);
    double taps = 1, sparse_taps = 1, in = (double)conv->batch, out = (double)conv->batch;
    for (int d = 0; d < conv->spatial_dims; d++) {
        taps *= (double)conv->kernel[d];
        sparse_taps *= ceil((double)conv->kernel[d] / (double)conv->stride[d]);
        in *= (double)conv->in[d];
        out *= (double)sizes.out[d];
    }
    const bool adjoint = (conv->transposed != 0) != (pass == FALT_BACKWARD_DATA);
    const int64_t channels = pass == FALT_FORWARD ? conv->in_channels : conv->out_channels;
    if (pass == FALT_BACKWARD_WEIGHTS)
        terms[0] = conv->transposed ? in : out;
    else
        terms[0] = (double)(channels / conv->groups) * (adjoint ? sparse_taps : taps);
    terms[1] = out;
}

/* --------------------------------------------------------------------------------------------------------------- comparison */

static bool run(struct examination *e, falt_plan *plan)
{
    data_poison(&e->data);
    return falt_execute(plan, &e->data.tensors) == FALT_OK;
}

static void keep(const struct examination *e, float *const copies[MAX_OUTPUTS])
{
    for (int k = 0; k < e->data.output_count; k++)
        memcpy(copies[k], e->data.outputs[k].values, (size_t)e->data.outputs[k].count * sizeof(float));
}

static bool same(const struct examination *e, float *const copies[MAX_OUTPUTS])
{
    for (int k = 0; k < e->data.output_count; k++)
        if (memcmp(copies[k], e->data.outputs[k].values, (size_t)e->data.outputs[k].count * sizeof(float)) != 0)
            return false;
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- one result */

/* Prints a row. reason is NULL for a result that passed. */
static void verdict(struct examination *e, const falt_plan_info *info, const struct comparison *worst, double bound,
                    const char *reason)
{
    const struct selection *s = e->selection;
    report_row(e->report, (union value[COLUMNS]){
                              [NAME] = {.text = e->job->layer->name},
                              [PROBLEM] = {.text = e->job->problem},
                              [PASS] = {.text = pass_names[e->job->pass]},
                              [LAYOUT] = {.text = layout_names[e->job->conv.layout]},
                              [ALGO] = {.text = falt_algorithm_name(info->algorithm)},
                              [ISA] = {.text = falt_isa_name(info->isa)},
                              [THREADS] = {.number = select_threads(s)},
                              [MAX_ERROR] = {.number = worst->max_error},
                              [BOUND] = {.number = bound},
                              [L2] = {.number = worst->l2_error},
                              [STATUS] = {.text = reason == NULL ? "passed" : "failed"},
                          });
    if (reason != NULL)
        complain(s, e->job, "%s on %s (--seed %llu): %s", falt_algorithm_name(info->algorithm), falt_isa_name(info->isa),
                 (unsigned long long)s->seed, reason);
    e->passed += reason == NULL;
    e->failed += reason != NULL;
}

/* The result that is in data.outputs, against the oracle's. */
static const char *judge(const struct examination *e, const falt_plan_info *info, double *bound, struct comparison *worst,
                         char *text, size_t size)
{
    const falt_conv *conv = &e->job->conv;
    const double slope = activation_slope(conv), roundings = 1 + activation_roundings(conv), stated = *bound;
    double terms[MAX_OUTPUTS], largest = 0;
    const char *reason = NULL;
    *worst = (struct comparison){0, 0, 0};
    count_terms(conv, e->job->pass, terms);
    for (int k = 0; k < e->data.output_count; k++) {
        const struct comparison c = compare(e->data.outputs[k].values, e->oracle[k], e->data.outputs[k].count);
        /* A transform's error follows the size of its tile, most of which may be padding. */
        const double slack = info->accuracy > 1 ? 10 : 4;
        const double tolerance = slack * info->accuracy * unit_roundoff * sqrt(terms[k]) + 1e-6;
        const double limit = slope * stated + roundings * unit_roundoff * c.largest;
        if (!(c.max_error <= worst->max_error))
            worst->max_error = c.max_error;
        if (!(c.l2_error <= worst->l2_error))
            worst->l2_error = c.l2_error;
        largest = fmax(largest, c.largest);
        if (c.max_error <= limit && c.l2_error <= tolerance)
            continue;
        if (isnan(c.max_error))
            snprintf(text, size, "an element is NaN: not written, or computed wrongly");
        else if (!(c.max_error <= limit))
            snprintf(text, size, "error %.3g exceeds the bound %.3g", c.max_error, limit);
        else
            snprintf(text, size, "relative L2 error %.3g exceeds %.3g", c.l2_error, tolerance);
        reason = text;
    }
    *bound = slope * stated + roundings * unit_roundoff * largest;
    return reason;
}

/* One choice of algorithm and instruction set. `quiet`: a refusal is no failure. */
static void check_one(struct examination *e, falt_algorithm algorithm, falt_isa isa, bool quiet)
{
    const struct selection *s = e->selection;
    const int threads = select_threads(s);
    falt_options options = s->options;
    options.algorithm = algorithm;
    options.isa = isa;
    options.threads = threads;
    falt_plan *plan = NULL, *single = NULL;
    falt_plan_info info = {.struct_size = sizeof info, .algorithm = algorithm, .isa = isa};
    struct comparison worst = {NAN, NAN, NAN};
    double bound = NAN;
    char text[160];
    const char *reason = NULL;

    if (falt_plan_create(&plan, &e->job->conv, e->job->pass, &options) != FALT_OK) {
        if (!quiet)
            verdict(e, &info, &worst, bound, falt_last_error());
        return;
    }
    falt_plan_get_info(plan, &info);
    const bool reference = info.algorithm == FALT_ALGO_REFERENCE;
    bool *seen = &e->seen[info.algorithm][reference ? 0 : info.isa]; /* the reference has no instruction set */
    if (*seen) {
        falt_plan_destroy(plan);
        return;
    }
    *seen = true;

    options.threads = 1;
    if (falt_plan_error_bound(plan, &e->data.tensors, &bound) != FALT_OK || !run(e, plan)) {
        reason = falt_last_error();
    } else {
        reason = judge(e, &info, &bound, &worst, text, sizeof text);
        if (reason == NULL && threads > 1) {
            keep(e, e->first);
            if (falt_plan_create(&single, &e->job->conv, e->job->pass, &options) != FALT_OK || !run(e, single))
                reason = falt_last_error();
            else if (!same(e, e->first))
                reason = "one thread gives other bits";
        }
    }
    verdict(e, &info, &worst, bound, reason);
    falt_plan_destroy(single);
    falt_plan_destroy(plan);
}

/* ----------------------------------------------------------------------------------------------------------------- all of them
 */

static bool allocate(struct examination *e)
{
    const struct job *job = e->job;
    bool good = data_init(&e->data, &job->conv, job->pass, e->selection->seed, true);
    for (int k = 0; k < e->data.output_count && good; k++) {
        e->oracle[k] = block_allocate((size_t)e->data.outputs[k].count * sizeof(float));
        e->first[k] = block_allocate((size_t)e->data.outputs[k].count * sizeof(float));
        good = e->oracle[k] != NULL && e->first[k] != NULL;
    }
    return good;
}

/* NULL, or why there is none. */
static const char *ask_oracle(struct examination *e)
{
    falt_options options = FALT_OPTIONS_INIT;
    options.algorithm = FALT_ALGO_REFERENCE;
    options.threads = e->selection->options.threads;
    falt_plan *plan;
    const char *reason = NULL;
    if (falt_plan_create(&plan, &e->job->conv, e->job->pass, &options) != FALT_OK)
        return falt_last_error();
    if (!allocate(e))
        reason = "out of memory";
    else if (!run(e, plan))
        reason = falt_last_error();
    else
        keep(e, e->oracle);
    falt_plan_destroy(plan);
    return reason;
}

/* The asked-for instruction set, or all that can be used, best first. */
static int list_isas(const struct selection *s, falt_isa isas[FALT_ISA_COUNT])
{
    falt_cpu cpu = {.struct_size = sizeof cpu};
    int count = 0;
    if (s->options.isa != FALT_ISA_AUTO || falt_cpu_info(&cpu) != FALT_OK) {
        isas[count++] = s->options.isa;
        return count;
    }
    for (int isa = (int)cpu.isa; isa > FALT_ISA_AUTO; isa--)
        if ((cpu.isas >> isa & 1) != 0)
            isas[count++] = (falt_isa)isa;
    return count;
}

static void check_job(struct examination *e, const falt_isa *isas, int isa_count)
{
    const char *reason = ask_oracle(e);
    if (reason != NULL) {
        const falt_plan_info info = {.algorithm = FALT_ALGO_REFERENCE, .isa = FALT_ISA_AUTO};
        const struct comparison none = {NAN, NAN, NAN};
        verdict(e, &info, &none, NAN, reason);
    }
    for (int i = 0; i < isa_count && reason == NULL; i++) {
        check_one(e, e->selection->options.algorithm, isas[i], false);
        for (int algorithm = FALT_ALGO_REFERENCE; algorithm < FALT_ALGO_COUNT && e->selection->each_algorithm; algorithm++)
            check_one(e, (falt_algorithm)algorithm, isas[i], true);
    }
    for (int k = 0; k < MAX_OUTPUTS; k++) {
        block_release(e->oracle[k]);
        block_release(e->first[k]);
    }
    data_free(&e->data);
}

int run_check(const struct selection *s)
{
    struct column columns[COLUMNS];
    memcpy(columns, check_columns, sizeof columns);
    columns[NAME].width = s->name_width > 5 ? s->name_width : 5;
    columns[PROBLEM].width = s->problem_width > 7 ? s->problem_width : 7;
    if (s->name_width == 0)
        columns[NAME].formats = IN_JSON;

    falt_isa isas[FALT_ISA_COUNT];
    const int isa_count = list_isas(s, isas);
    struct report *report = report_open(s->format, columns, COLUMNS);
    if (report == NULL)
        return 1;
    int passed = 0, failed = 0;
    for (int i = 0; i < s->job_count; i++) {
        const struct job *job = &s->jobs[i];
        char title[128], line[192];
        if (select_section(s, i, title, sizeof title)) {
            snprintf(line, sizeof line, "%s, seed %llu", title, (unsigned long long)s->seed);
            report_section(report, line);
        }
        progress("[%d/%d] %s", i + 1, s->job_count, job->layer->name[0] != 0 ? job->layer->name : job->problem);
        struct examination e = {.selection = s, .job = job, .report = report};
        check_job(&e, isas, isa_count);
        passed += e.passed;
        failed += e.failed;
    }
    report_number(report, "seed", (double)s->seed);
    report_number(report, "passed", passed);
    report_number(report, "failed", failed);
    report_close(report);
    if (s->format != FORMAT_JSON)
        printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
