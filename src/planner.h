/* planner.h - asks every solver and takes the best. */
#ifndef FALT_PLANNER_H
#define FALT_PLANNER_H

#include "solver.h"

enum { PLANNER_SOLVERS = 10 };

/* What became of each solver, in the order of the table; solver is NULL where it has nothing to do with the pass. */
struct verdict {
    const struct solver *solver;
    bool applies;
    double seconds;             /* predicted, where it applies */
    char reason[SOLVER_REASON]; /* where it does not */
};

/* Chooses the candidate with the least predicted time, or the forced algorithm's. Returns FALT_OK, or FALT_UNSUPPORTED when the
 * forced algorithm does not apply, or nothing fits the workspace limit. */
falt_status falt_choose(const struct problem *problem, const struct resources *resources, falt_algorithm forced,
                        struct candidate *chosen, struct verdict verdicts[PLANNER_SOLVERS]);

#endif
