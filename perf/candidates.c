/*
 * candidates.c - faltung explain --measure: what every algorithm that applies takes, beside what was predicted, and whether the
 * planner chose well.
 *
 * Each algorithm is forced, and they run by turns with what the planner chose. Where backward data is several forward problems
 * the planner may give each to another algorithm: then its choice is a candidate of its own, "auto".
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../src/cpu.h"
#include "commands.h"
#include "copies.h"
#include "data.h"
#include "execution.h"
#include "measure.h"

static const double good_share = 1 / 1.1; /* of the best: within 10 % */

enum { NAME, PROBLEM, PASS, LAYOUT, ALGO, KERNEL, ISA, THREADS, PREDICTED, MEASURED, SHARE, CHOSEN, REFUSED, COLUMNS };

static const struct column candidate_columns[COLUMNS] = {
    [NAME] = {"name", "", IN_JSON, TEXT, 0},
    [PROBLEM] = {"problem", "", IN_CSV | IN_JSON, TEXT, 0},
    [PASS] = {"pass", "", IN_CSV | IN_JSON, TEXT, 0},
    [LAYOUT] = {"layout", "", IN_CSV | IN_JSON, TEXT, 0},
    [ALGO] = {"algo", "algorithm", IN_ALL, TEXT, 9},
    [KERNEL] = {"kernel", "kernel", IN_ALL, TEXT, 24},
    [ISA] = {"isa", "", IN_CSV | IN_JSON, TEXT, 0},
    [THREADS] = {"threads", "", IN_CSV | IN_JSON, 0, 0},
    [PREDICTED] = {"predicted_ms", "predicted ms", IN_ALL | BLANK_NAN, 4, 12},
    [MEASURED] = {"measured_ms", "measured ms", IN_ALL | BLANK_NAN, 4, 11},
    [SHARE] = {"percent_of_best", "% of the best", IN_ALL | BLANK_NAN, 1, 13},
    [CHOSEN] = {"chosen", "", IN_ALL, TEXT, 6},
    [REFUSED] = {"refused", "", IN_CSV | IN_JSON, TEXT, 0},
};

struct candidate {
    const char *algorithm;
    falt_plan_info info;
    struct execution execution; /* without a plan: refused */
    char reason[256];
    bool chosen;
};

enum { MOST = FALT_ALGO_COUNT }; /* every algorithm, auto among them */

struct judgement {
    const struct selection *selection;
    struct report *report;
    struct copies weights[MOST];
    int layers, good;
};

static falt_plan *make_plan(const struct selection *s, const struct job *job, falt_algorithm algorithm, falt_plan_info *info)
{
    falt_options options = s->options;
    falt_plan *plan;
    options.algorithm = algorithm;
    *info = (falt_plan_info){.struct_size = sizeof *info};
    if (falt_plan_create(&plan, &job->conv, job->pass, &options) != FALT_OK)
        return NULL;
    falt_plan_get_info(plan, info);
    return plan;
}

/* Whether an algorithm forced on all of a plan is what the planner chose by itself. */
static bool is_same(const falt_plan_info *a, const falt_plan_info *b)
{
    return a->algorithm == b->algorithm && a->predicted_seconds == b->predicted_seconds && a->accuracy == b->accuracy &&
           strcmp(a->kernel, b->kernel) == 0;
}

/* Of "algorithm winograd does not apply: the stride is not 1" what is not said already. */
static const char *reason_of(const char *error)
{
    static const char prefix[] = "does not apply: ";
    const char *verb = strstr(error, "does not ");
    if (verb == NULL)
        return error;
    return strncmp(verb, prefix, strlen(prefix)) == 0 ? verb + strlen(prefix) : verb;
}

/* The chosen one comes first. The oracle is a candidate only where nothing else applies: it takes seconds, and nobody doubts
 * it. Returns their number, of which the first *applying have a plan; 0 if nothing could be planned. */
static int make_candidates(struct judgement *j, const struct job *job, struct candidate candidates[MOST], int *applying)
{
    const struct selection *s = j->selection;
    struct candidate refused[MOST];
    int count = 1, refusals = 0;
    memset(candidates, 0, MOST * sizeof *candidates);
    candidates[0].chosen = true;
    candidates[0].algorithm = "auto";
    candidates[0].execution.plan = make_plan(s, job, FALT_ALGO_AUTO, &candidates[0].info);
    if (candidates[0].execution.plan == NULL)
        return 0;
    for (int i = FALT_ALGO_REFERENCE; i < FALT_ALGO_COUNT; i++) {
        struct candidate made = {.algorithm = falt_algorithm_name((falt_algorithm)i)};
        made.execution.plan = make_plan(s, job, (falt_algorithm)i, &made.info);
        if (made.execution.plan == NULL) {
            snprintf(made.reason, sizeof made.reason, "%s", reason_of(falt_last_error()));
            refused[refusals++] = made;
        } else if (is_same(&made.info, &candidates[0].info)) {
            candidates[0].algorithm = made.algorithm;
            falt_plan_destroy(made.execution.plan);
        } else if (i == FALT_ALGO_REFERENCE) {
            falt_plan_destroy(made.execution.plan);
        } else {
            candidates[count++] = made;
        }
    }
    *applying = count;
    memcpy(candidates + count, refused, (size_t)refusals * sizeof *refused);
    return count + refusals;
}

static void report_candidate(struct judgement *j, const struct job *job, const struct candidate *c, double seconds,
                             double share)
{
    const bool applies = c->execution.plan != NULL;
    const char *instead = j->selection->format == FORMAT_TABLE ? c->reason : "";
    report_row(j->report, (union value[COLUMNS]){
                              [NAME] = {.text = job->layer->name},
                              [PROBLEM] = {.text = job->problem},
                              [PASS] = {.text = pass_names[job->pass]},
                              [LAYOUT] = {.text = layout_names[job->conv.layout]},
                              [ALGO] = {.text = c->algorithm},
                              [KERNEL] = {.text = applies ? c->info.kernel : instead},
                              [ISA] = {.text = applies ? falt_isa_name(c->info.isa) : ""},
                              [THREADS] = {.number = select_threads(j->selection)},
                              [PREDICTED] = {.number = applies ? 1e3 * c->info.predicted_seconds : (double)NAN},
                              [MEASURED] = {.number = 1e3 * seconds},
                              [SHARE] = {.number = 100 * share},
                              [CHOSEN] = {.text = c->chosen ? "chosen" : ""},
                              [REFUSED] = {.text = c->reason},
                          });
}

/* NULL, or why it failed. */
static const char *judge_job(struct judgement *j, const struct job *job)
{
    const struct selection *s = j->selection;
    struct candidate candidates[MOST];
    struct runner runners[MAX_RUNNERS];
    struct measurement m[MAX_RUNNERS];
    struct probe probe = {.rates = NULL};
    struct data data;
    falt_sizes sizes;
    int applying = 0;
    const int count = make_candidates(j, job, candidates, &applying);
    if (count == 0)
        return falt_last_error();

    falt_conv_sizes(&job->conv, &sizes);
    bool good = data_init(&data, &job->conv, job->pass, s->seed, false);
    for (int i = 0; i < applying && good; i++) {
        candidates[i].execution.weights = &j->weights[i];
        runners[i] = (struct runner){execution_run, &candidates[i].execution, !s->cold_weights && applying > 1};
        good = execution_prepare(&candidates[i].execution, &data, sizes.weights, s->cold_weights);
    }
    const struct kernels *kernels = falt_kernels_of(candidates[0].info.isa);
    good = good && probe_init(&probe, kernels, select_threads(s)) &&
           measure(&probe, runners, applying, 2 * sizes.multiply_adds, s->min_time, m);
    if (good) {
        double least = 1;
        for (int i = 0; i < applying; i++)
            least = fmin(least, m[i].ratio);
        for (int i = 0; i < count; i++)
            report_candidate(j, job, &candidates[i], i < applying ? m[i].median_seconds : (double)NAN,
                             i < applying ? least / m[i].ratio : (double)NAN);
        j->layers++;
        j->good += least >= good_share;
    }
    probe_free(&probe);
    for (int i = 0; i < applying; i++) {
        execution_release(&candidates[i].execution);
        falt_plan_destroy(candidates[i].execution.plan);
    }
    data_free(&data);
    return good ? NULL : "out of memory";
}

int run_candidates(const struct selection *s)
{
    struct judgement j = {.selection = s};
    j.report = report_open(s->format, candidate_columns, COLUMNS);
    if (j.report == NULL)
        return 1;
    int failures = 0;
    for (int i = 0; i < s->job_count; i++) {
        const struct job *job = &s->jobs[i];
        char title[512];
        snprintf(title, sizeof title, "%s%s%s%s, %s, %s", i == 0 ? "" : "\n", job->layer->name,
                 job->layer->name[0] != 0 ? ": " : "", job->problem, pass_names[job->pass], layout_names[job->conv.layout]);
        report_section(j.report, title);
        progress("[%d/%d] %s", i + 1, s->job_count, job->layer->name[0] != 0 ? job->layer->name : job->problem);
        const char *reason = judge_job(&j, job);
        if (reason != NULL) {
            complain(s, job, "%s", reason);
            failures++;
        }
    }
    report_number(j.report, "layers", j.layers);
    report_number(j.report, "within_10_percent", j.good);
    report_close(j.report);
    for (int i = 0; i < MOST; i++)
        copies_free(&j.weights[i]);
    if (s->format != FORMAT_JSON)
        printf("%splanner: within 10 %% of the best on %d of %d layers\n", s->format == FORMAT_TABLE ? "\n" : "", j.good,
               j.layers);
    return failures > 0;
}
