/* execution.h - a plan with all it needs: running it neither packs weights nor allocates. */
#ifndef PERF_EXECUTION_H
#define PERF_EXECUTION_H

#include "copies.h"
#include "data.h"
#include "faltung.h"

struct execution {
    falt_plan *plan;        /* the caller's */
    struct copies *weights; /* the caller's */
    falt_tensors tensors;
    void *packed;
    bool refused; /* by the library, which knows why */
};

/* plan and weights are set, the rest is zero. False when out of memory, or refused. */
bool execution_prepare(struct execution *execution, const struct data *data, int64_t plain_weights, bool cold);
void execution_release(struct execution *execution);

/* Takes a struct execution: a runner of measure.h. */
bool execution_run(void *execution);

#endif
