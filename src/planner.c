#include "planner.h"

#include <stdio.h>
#include <string.h>

#include "cost.h"
#include "error.h"

/* Ties go to the earlier one. The reference solver applies to everything and stands last. */
static const struct solver *const solvers[PLANNER_SOLVERS] = {
    &falt_solver_direct,    &falt_solver_im2col,    &falt_solver_direct_weights,
    &falt_solver_winograd,  &falt_solver_depthwise, &falt_solver_depthwise_weights,
    &falt_solver_reference,
};

static bool consider(const struct solver *solver, const struct problem *problem, const struct resources *resources, int threads,
                     struct candidate *candidate, char reason[SOLVER_REASON])
{
    struct resources with = *resources;
    with.threads = threads;
    memset(candidate, 0, sizeof *candidate);
    candidate->solver = solver;
    if (!solver->consider(problem, &with, candidate, reason))
        return false;
    if (resources->workspace_limit >= 0 && falt_with_slack(candidate->workspace) > (uint64_t)resources->workspace_limit) {
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
 * Solvers round differently, and results must not depend on the number of threads: so whether a solver applies is decided for
 * one thread, and which one is the fastest for a nominal number. Then as many threads as wanted, or as fit the workspace limit.
 */
falt_status falt_choose(const struct problem *problem, const struct resources *resources, falt_algorithm forced,
                        struct candidate *chosen, struct verdict verdicts[PLANNER_SOLVERS])
{
    const struct solver *fastest = NULL;
    const struct verdict *refused = NULL;
    double least = 0.0;
    char reason[SOLVER_REASON];
    struct candidate candidate;
    for (int i = 0; i < PLANNER_SOLVERS; i++) {
        struct verdict *verdict = &verdicts[i];
        memset(verdict, 0, sizeof *verdict);
        verdict->solver = solvers[i];
        verdict->applies = consider(solvers[i], problem, resources, 1, &candidate, verdict->reason);
        const bool wanted = forced == FALT_ALGO_AUTO || solvers[i]->algorithm == forced;
        if (!verdict->applies) {
            refused = wanted ? verdict : refused;
            continue;
        }
        const double one = candidate.seconds;
        verdict->seconds =
            consider(solvers[i], problem, resources, resources->threads, &candidate, reason) ? candidate.seconds : one;
        const double nominal =
            consider(solvers[i], problem, resources, cost_nominal_threads, &candidate, reason) ? candidate.seconds : one;
        if (wanted && (!fastest || nominal < least)) {
            fastest = solvers[i];
            least = nominal;
        }
    }
    if (fastest) {
        for (int threads = resources->threads; !consider(fastest, problem, resources, threads, chosen, reason); threads--)
            if (threads <= 1)
                break;
        return FALT_OK;
    }
    if (!refused)
        return falt_fail(FALT_UNSUPPORTED, "algorithm %s is not in this library yet", falt_algorithm_name(forced));
    return falt_fail(FALT_UNSUPPORTED, "algorithm %s does not apply: %s", refused->solver->name, refused->reason);
}
