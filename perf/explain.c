/* explain.c - faltung explain: what is planned, and why. */
#include <stdio.h>
#include <stdlib.h>
#include "commands.h"

/* The whole description, for the caller to free; NULL when out of memory. */
static char *describe(const falt_plan *plan, falt_format format)
{
    const size_t size = falt_plan_describe(plan, format, NULL, 0) + 1;
    char *text = malloc(size);
    if (text != NULL)
        falt_plan_describe(plan, format, text, size);
    return text;
}

int run_explain(const struct selection *s)
{
    if (s->measured)
        return run_candidates(s);
    const bool json = s->format == FORMAT_JSON;
    int failures = 0, printed = 0;
    for (int i = 0; i < s->job_count; i++) {
        const struct job *job = &s->jobs[i];
        falt_plan *plan;
        if (falt_plan_create(&plan, &job->conv, job->pass, &s->options) != FALT_OK) {
            complain(s, job, "%s", falt_last_error());
            failures++;
            continue;
        }
        char *text = describe(plan, json ? FALT_JSON : FALT_TEXT);
        falt_plan_destroy(plan);
        if (text == NULL) {
            complain(s, job, "out of memory");
            failures++;
            continue;
        }
        if (json)
            printf("%s%s", printed == 0 ? "[\n" : ",\n", text);
        else
            printf("%s%s%s%s, %s, %s\n%s", printed == 0 ? "" : "\n", job->layer->name, job->layer->name[0] != 0 ? ": " : "",
                   job->problem, pass_names[job->pass], layout_names[job->conv.layout], text);
        printed++;
        free(text);
    }
    if (json)
        puts(printed == 0 ? "[]" : "\n]");
    return failures > 0;
}
