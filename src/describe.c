/* describe.c - what a plan has chosen and expects, as numbers and as a text. */
#include <math.h>

#include "cost.h"
#include "error.h"
#include "plan.h"
#include "text.h"

/* In seconds. */
static double predicted(const falt_plan *plan)
{
    double seconds = 0.0;
    for (int64_t i = 0; i < plan->steps; i++)
        seconds += plan->step[i].chosen.seconds;
    seconds *= (double)plan->turns;
    if (plan->steps > 1 && plan->threads > 1)
        seconds += cost_region_seconds;
    if (plan->turned) /* copies of x and y */
        seconds += falt_tensor_bytes(&plan->problem) * cost_turned_byte / cost_hertz / (double)plan->threads;
    return seconds;
}

/* Of the least accurate step. */
static double accuracy(const falt_plan *plan)
{
    double most = 0.0;
    for (int64_t i = 0; i < plan->steps; i++)
        most = fmax(most, plan->step[i].chosen.accuracy);
    return most > 1.0 ? most * plan->thinned : most;
}

falt_status falt_plan_get_info(const falt_plan *plan, falt_plan_info *info)
{
    if (!plan || !info)
        return falt_missing(plan ? "info" : "plan");
    if (info->struct_size != sizeof *info)
        return falt_fail(FALT_INVALID_ARGUMENT, "struct_size %zu is not sizeof(falt_plan_info) %zu", info->struct_size,
                         sizeof *info);
    const struct candidate *c = main_choice(plan);
    info->algorithm = c->solver->algorithm;
    info->isa = falt_isa_of(plan->resources.kernels);
    info->threads = c->threads;
    info->kernel = c->kernel;
    info->predicted_seconds = predicted(plan);
    info->accuracy = accuracy(plan);
    return FALT_OK;
}

static void describe_text(const falt_plan *plan, const char *problem, struct text *text)
{
    const struct candidate *c = main_choice(plan);
    falt_text_append(text, "problem    %s\n", problem);
    falt_text_append(text, "algorithm  %s%s\n", c->solver->name, plan->forced ? " (forced)" : "");
    falt_text_append(text, "kernel     %s\n", c->kernel);
    falt_text_append(text, "schedule   %s\n", c->schedule);
    if (plan->steps > 1)
        falt_text_append(text, "phases     %lld, residue classes of the stride; this is the longest%s\n",
                         (long long)plan->steps, plan->apart || plan->threads == 1 ? "" : "; threads wait between them");
    if (plan->fold > 1)
        falt_text_append(text, "folded     %lld pixels of a row are one, of %lld channels\n", (long long)plan->fold,
                         (long long)plan->problem.x_channels);
    if (plan->turned)
        falt_text_append(text, "layout     channels last, in copies\n");
    if (plan->turns > 1)
        falt_text_append(text, "turns      %lld of %lld images, each through all phases\n", (long long)plan->turns,
                         (long long)(plan->problem.batch / plan->turns));
    falt_text_append(text, "threads    %d of %d\n", c->threads, plan->resources.threads);
    falt_text_append(text, "predicted  %.4g ms\n", predicted(plan) * 1e3);
    falt_text_append(text, "accuracy   %.3g x direct summation\n", accuracy(plan));
    falt_text_append(text, "workspace  %zu bytes, packed weights %zu bytes\n", falt_plan_workspace_size(plan, 1),
                     falt_plan_packed_weights_size(plan));
    for (int i = 0; i < PLANNER_SOLVERS; i++) {
        const struct verdict *v = &plan->verdicts[i];
        if (!v->solver || v->solver == c->solver)
            continue;
        if (v->applies)
            falt_text_append(text, "not        %s: predicted %.4g ms\n", v->solver->name, v->seconds * 1e3);
        else
            falt_text_append(text, "not        %s: %s\n", v->solver->name, v->reason);
    }
}

/* All strings here are our own and free of quotes and backslashes. */
static void describe_json(const falt_plan *plan, const char *problem, struct text *text)
{
    const struct candidate *c = main_choice(plan);
    falt_text_append(text, "{\"problem\":\"%s\",\"algorithm\":\"%s\",\"forced\":%s,\"kernel\":\"%s\",\"schedule\":\"%s\"",
                     problem, c->solver->name, plan->forced ? "true" : "false", c->kernel, c->schedule);
    falt_text_append(text, ",\"isa\":\"%s\",\"threads\":%d,\"predicted_ms\":%.6g,\"accuracy\":%.6g",
                     plan->resources.kernels->name, c->threads, predicted(plan) * 1e3, accuracy(plan));
    falt_text_append(text, ",\"fold\":%lld,\"phases\":%lld,\"turns\":%lld,\"copies\":%s", (long long)plan->fold,
                     (long long)plan->steps, (long long)plan->turns, plan->turned ? "true" : "false");
    falt_text_append(text, ",\"workspace_bytes\":%zu,\"packed_weights_bytes\":%zu,\"others\":[",
                     falt_plan_workspace_size(plan, 1), falt_plan_packed_weights_size(plan));
    const char *separator = "";
    for (int i = 0; i < PLANNER_SOLVERS; i++) {
        const struct verdict *v = &plan->verdicts[i];
        if (!v->solver || v->solver == c->solver)
            continue;
        falt_text_append(text, "%s{\"algorithm\":\"%s\",", separator, v->solver->name);
        if (v->applies)
            falt_text_append(text, "\"predicted_ms\":%.6g}", v->seconds * 1e3);
        else
            falt_text_append(text, "\"refused\":\"%s\"}", v->reason);
        separator = ",";
    }
    falt_text_append(text, "]}");
}

size_t falt_plan_describe(const falt_plan *plan, falt_format format, char *buffer, size_t size)
{
    struct text text = {buffer, buffer ? size : 0, 0};
    if (text.size)
        buffer[0] = 0;
    if (!plan || (format != FALT_TEXT && format != FALT_JSON))
        return 0;
    char problem[256];
    falt_problem_print(&plan->asked, problem, sizeof problem);
    if (format == FALT_JSON)
        describe_json(plan, problem, &text);
    else
        describe_text(plan, problem, &text);
    return text.length;
}
