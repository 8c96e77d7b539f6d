#include "planner.h"

#include <stdio.h>
#include <string.h>

#include "error.h"

/* Ties go to the earlier one. The reference solver applies to everything and stands last. */
static const struct solver *const solvers[PLANNER_SOLVERS] = {
    &falt_solver_direct,
    &falt_solver_winograd,
    &falt_solver_reference,
};

static bool consider(const struct solver *solver, const struct problem *problem, const struct resources *resources,
                     struct candidate *candidate, char reason[SOLVER_REASON])
{
    memset(candidate, 0, sizeof *candidate);
    candidate->solver = solver;
    if (!solver->consider(problem, resources, candidate, reason))
        return false;
    if (resources->workspace_limit >= 0 && falt_with_slack(candidate->workspace) > (uint64_t)resources->workspace_limit) {
        snprintf(reason, SOLVER_REASON, "needs %zu bytes of workspace, the limit is %lld", falt_with_slack(candidate->workspace),
                 (long long)resources->workspace_limit);
        return false;
    }
    if (candidate->accuracy > resources->accuracy) {
        snprintf(reason, SOLVER_REASON, "%.2g times the error of direct summation, %.2g is allowed", candidate->accuracy,
                 resources->accuracy);
        return false;
    }
    return true;
}

falt_status falt_choose(const struct problem *problem, const struct resources *resources, falt_algorithm forced,
                        struct candidate *chosen, struct verdict verdicts[PLANNER_SOLVERS])
{
    bool found = false;
    const struct verdict *refused = NULL;
    for (int i = 0; i < PLANNER_SOLVERS; i++) {
        struct verdict *verdict = &verdicts[i];
        struct candidate candidate;
        memset(verdict, 0, sizeof *verdict);
        verdict->solver = solvers[i];
        verdict->applies = consider(solvers[i], problem, resources, &candidate, verdict->reason);
        verdict->seconds = candidate.seconds;
        const bool wanted = forced == FALT_ALGO_AUTO || solvers[i]->algorithm == forced;
        if (wanted && !verdict->applies)
            refused = verdict;
        if (wanted && verdict->applies && (!found || candidate.seconds < chosen->seconds)) {
            *chosen = candidate;
            found = true;
        }
    }
    if (found)
        return FALT_OK;
    if (!refused)
        return falt_fail(FALT_UNSUPPORTED, "algorithm %s is not in this library yet", falt_algorithm_name(forced));
    return falt_fail(FALT_UNSUPPORTED, "algorithm %s does not apply: %s", refused->solver->name, refused->reason);
}
