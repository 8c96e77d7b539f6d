/* plan.h - a plan: plan.c makes it, packed.c packs its weights, execute.c runs it, bound.c and describe.c look at it. */
#ifndef FALT_PLAN_H
#define FALT_PLAN_H

#include "planner.h"

/* One solver's run. A plan has several where backward data is several forward problems (adjoint.h). */
struct step {
    struct problem problem;
    struct candidate chosen;
    size_t packed;  /* offset of its packed weights */
    bool exchanged; /* x and y have changed sides against the plan's problem */
};

struct falt_plan {
    struct problem asked;   /* as the caller sees it */
    struct problem whole;   /* in normal form */
    struct problem problem; /* what is computed: the same, or folded (fold.h) */
    int64_t fold;           /* pixels that are one then; or 1 */
    double thinned;         /* and by how much the error of what is not a plain sum counts more */
    struct resources resources;
    struct verdict verdicts[PLANNER_SOLVERS]; /* on all steps */
    falt_allocator allocator;
    bool forced;
    size_t packed, workspace; /* bytes, of all steps */
    bool apart;               /* members do not wait for each other between steps: */
    size_t slot;              /* bytes of workspace that are a member's own in all of them */
    size_t plain;             /* offset in the packed weights of a copy for the steps that do not pack; 0: there is none */
    uint64_t key;             /* of packed weights */
    int64_t main, steps;      /* the step that takes longest; their number */
    int64_t turns;            /* a part of the images in each goes through all steps, which find y in L2 */
    int threads;              /* the most that a step wants */
    bool turned;              /* steps see channels-last copies of x and y, of one turn, in the workspace: */
    size_t x_copy, y_copy;    /* bytes */
    struct step step[];
};

/* The step that takes longest speaks for the plan. */
static inline const struct candidate *main_choice(const falt_plan *plan)
{
    return &plan->step[plan->main].chosen;
}

/* As falt_plan_create, of a forward or backward-data pass whose image goes around in a circle: pixel h of x is pixel h mod in.
 * Backward data needs in == stride * out in each dimension. FALT_UNSUPPORTED where no solver knows circles. Such a plan has no
 * error bound. */
falt_status falt_plan_create_circular(falt_plan **plan, const falt_conv *conv, falt_pass pass, const falt_options *options);

/* Names a packed format: what of the problem the packing depends on, who packed, and for which kernel. Batch and image size
 * are not in it: plans that differ only there share packed weights, if they chose the same kernel and fold alike. */
uint64_t falt_packed_key(const falt_plan *plan);

/* For all steps; the payload has plan->packed bytes and is 64-byte aligned. */
void falt_pack_steps(const falt_plan *plan, const float *weights, char *payload);

/* Where it is in what falt_pack_weights has written, which is refused if that was for another plan. */
falt_status falt_find_packed(const falt_plan *plan, const void *packed, const char **payload);

/* The caller's tensors in the roles of the normal form: for a transposed convolution his dst is x and his src is y. Refused
 * where one of these two is missing; weights may come packed. What remains is left to falt_execute. */
falt_status falt_take_operands(const falt_plan *plan, const falt_tensors *tensors, struct operands *operands);

#endif
