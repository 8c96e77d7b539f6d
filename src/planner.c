#include "planner.h"

#include <stdio.h>
#include <string.h>

#include "cost.h"
#include "error.h"

/* Ties go to the earlier one. The reference solver applies to everything and stands last. */
static const struct solver *const solvers[PLANNER_SOLVERS] = {
    &falt_solver_direct,   &falt_solver_im2col,           &falt_solver_direct_weights, &falt_solver_im2col_weights,
    &falt_solver_winograd, &falt_solver_winograd_weights, &falt_solver_depthwise,      &falt_solver_depthwise_weights,
    &falt_solver_dots,     &falt_solver_reference,
};

static bool consider(const struct solver *solver, const struct problem *problem, const struct resources *resources, int threads,
                     struct candidate *candidate, char reason[SOLVER_REASON])
{
    struct resources with = *resources;
    with.threads = threads;
    memset(candidate, 0, sizeof *candidate);
    candidate->solver = solver;
    return solver->consider(problem, &with, candidate, reason);
}

static bool fits(const struct candidate *candidate, const struct resources *resources)
{
    return resources->workspace_limit < 0 || falt_with_slack(candidate->workspace) <= (uint64_t)resources->workspace_limit;
}

static bool is_allowed(const struct candidate *candidate, const struct resources *resources, char reason[SOLVER_REASON])
{
    if (!fits(candidate, resources)) {
        snprintf(reason, SOLVER_REASON, "needs %zu bytes of workspace, the limit is %lld",
                 falt_with_slack(candidate->workspace), (long long)resources->workspace_limit);
        return false;
    }
    if (candidate->accuracy > resources->accuracy) {
        snprintf(reason, SOLVER_REASON, "%.2g times the error of direct summation, %.2g is allowed", candidate->accuracy,
                 resources->accuracy);
        return false;
    }
    return true;
}

/*
 * Solvers round differently, and results must not depend on the number of threads: so whether a solver is allowed is decided
 * for one thread, and which one is the fastest for a nominal number; but among those that round alike it is the fastest for the
 * real one. Then as many threads as wanted, or as fit the workspace limit, or one where the others are not worth waking.
 */
falt_status falt_choose(const struct problem *problem, const struct resources *resources, falt_algorithm forced,
                        struct candidate *chosen, struct verdict verdicts[PLANNER_SOLVERS])
{
    const struct solver *fastest = NULL;
    const struct verdict *refused = NULL;
    struct candidate alike = {.solver = NULL}; /* the fastest plain chain */
    double least = 0.0;
    memset(verdicts, 0, PLANNER_SOLVERS * sizeof *verdicts);
    for (int i = 0; i < PLANNER_SOLVERS; i++) {
        const struct solver *solver = solvers[i];
        struct verdict *verdict = &verdicts[i];
        struct candidate alone, candidate; /* of one thread, of many */
        if (!(solver->passes & (1u << problem->pass)))
            continue;
        const bool wanted = forced == FALT_ALGO_AUTO || solver->algorithm == forced;
        verdict->solver = solver;
        verdict->applies = consider(solver, problem, resources, 1, &alone, verdict->reason) &&
                           is_allowed(&alone, resources, verdict->reason) &&
                           consider(solver, problem, resources, cost_nominal_threads, &candidate, verdict->reason);
        const double nominal = !verdict->applies ? 0.0 : alone.seconds < candidate.seconds ? alone.seconds : candidate.seconds;
        verdict->applies =
            verdict->applies && consider(solver, problem, resources, resources->threads, &candidate, verdict->reason);
        if (!verdict->applies) {
            refused = wanted ? verdict : refused;
            continue;
        }
        if (alone.seconds < candidate.seconds) /* others are not worth waking */
            candidate = alone;
        verdict->seconds = candidate.seconds;
        candidate.alone = alone.seconds;
        if (wanted && (!fastest || nominal < least)) {
            fastest = solver;
            least = nominal;
            *chosen = candidate;
        }
        if (wanted && solver->plain_chain && (!alike.solver || candidate.seconds < alike.seconds))
            alike = candidate;
    }
    if (fastest && fastest->plain_chain) {
        fastest = alike.solver;
        *chosen = alike;
    }
    if (!fastest && !refused)
        return falt_fail(FALT_UNSUPPORTED, "algorithm %s does not compute this pass", falt_algorithm_name(forced));
    if (!fastest)
        return falt_fail(FALT_UNSUPPORTED, "algorithm %s does not apply: %s", refused->solver->name, refused->reason);
    const double alone = chosen->alone;
    for (int threads = resources->threads; threads > 1 && !fits(chosen, resources);) {
        const double share = (double)resources->workspace_limit / (double)falt_with_slack(chosen->workspace);
        const int fewer = (int)((double)threads * share);
        threads = fewer < 1 ? 1 : fewer < threads ? fewer : threads - 1;
        char reason[SOLVER_REASON];
        consider(fastest, problem, resources, threads, chosen, reason);
        if (alone < chosen->seconds)
            consider(fastest, problem, resources, 1, chosen, reason);
    }
    chosen->nominal = least;
    chosen->alone = alone;
    return FALT_OK;
}
