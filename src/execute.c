/* execute.c - runs a plan: the caller's tensors through all turns and steps, in one parallel region. */
#include <string.h>

#include "../arch/denormals.h"
#include "bias.h"
#include "error.h"
#include "fold.h"
#include "layout.h"
#include "parallel.h"
#include "plan.h"

size_t falt_plan_workspace_size(const falt_plan *plan, int packed)
{
    if (!plan)
        return 0;
    return falt_with_slack((packed ? 0 : plan->packed) + plan->x_copy + plan->y_copy + plan->workspace);
}

falt_status falt_take_operands(const falt_plan *plan, const falt_tensors *t, struct operands *operands)
{
    const struct problem *p = &plan->problem;
    const bool gradient = p->pass == FALT_BACKWARD_WEIGHTS;
    const bool forward = !gradient && (p->pass == FALT_FORWARD) != p->transposed; /* as the caller sees it */
    /* At his input and output side. Not const, yet only the pass's output is written. */
    float *const in = forward || gradient ? (float *)(uintptr_t)t->src : t->diff_src;
    float *const out = forward ? t->dst : (float *)(uintptr_t)t->diff_dst;
    *operands = (struct operands){
        .x = p->transposed ? out : in,
        .y = p->transposed ? in : out,
        .w = gradient ? t->diff_weights : (float *)(uintptr_t)t->weights,
        .bias = forward ? t->bias : NULL,
        .residual = forward ? t->residual : NULL,
    };
    if (p->batch == 0)
        return FALT_OK;                         /* tensors of no elements may be NULL */
    if (!in && !(gradient && !t->diff_weights)) /* diff_bias alone needs no src */
        return falt_missing(gradient || forward ? "src" : "diff_src");
    if (!out)
        return falt_missing(forward ? "dst" : "diff_dst");
    return FALT_OK;
}

/* A weight gradient over no images. */
static void clear(const struct problem *p, const falt_tensors *t)
{
    if (p->accumulate)
        return;
    if (t->diff_weights)
        memset(t->diff_weights, 0, (size_t)p->w_count * sizeof(float));
    if (t->diff_bias)
        memset(t->diff_bias, 0, (size_t)(p->transposed ? p->x_channels : p->y_channels) * sizeof(float));
}

struct execution {
    const falt_plan *plan;
    const struct operands *operands;
    const char *packed;
    const float *diff_dst;
    float *diff_bias; /* or NULL */
};

/* Of one turn, whose x and y the operands are. */
static void execute_steps(const struct execution *e, const struct operands *turn, int member, int members)
{
    const falt_plan *plan = e->plan;
    for (int64_t i = 0; i < plan->steps; i++) {
        const struct step *step = &plan->step[i];
        struct operands own = *turn;
        if (step->exchanged) {
            own.x = turn->y;
            own.y = turn->x;
        }
        own.packed = e->packed ? e->packed + step->packed : NULL;
        own.diff_bias = step->chosen.sums_bias ? e->diff_bias : NULL;
        const struct candidate *c = &step->chosen;
        const int active = c->threads < members ? c->threads : members;
        if (plan->apart) /* the solver adds as many of its own parts as there are members before */
            own.workspace = (char *)turn->workspace + (plan->slot - c->workspace / (size_t)c->threads) * (size_t)member;
        if (member < active)
            c->solver->run(&step->problem, c, plan->resources.kernels, &own, member, active);
        if (plan->steps > 1 && !plan->apart) /* all use the same workspace */
            falt_barrier(members);
    }
}

/* The same through copies in channels last. */
static void execute_copied(const struct execution *e, struct operands turn, int member, int members)
{
    const falt_plan *plan = e->plan;
    const struct problem *p = &plan->problem;
    const struct kernels *kernels = plan->resources.kernels;
    const int64_t images = p->batch / plan->turns;
    float *const x = turn.x;
    char *const space = turn.workspace;
    turn.x = (float *)(void *)space;
    turn.workspace = space + plan->x_copy + plan->y_copy;
    float *const y = (float *)(void *)(space + plan->x_copy);
    falt_to_channels_last(kernels, turn.y, images, p->y_channels, p->out_pixels, y, member, members);
    turn.y = y;
    if (turn.residual) {
        falt_to_channels_last(kernels, turn.residual, images, p->x_channels, p->in_pixels, turn.x, member, members);
        turn.residual = turn.x;
    }
    falt_barrier(members);
    execute_steps(e, &turn, member, members);
    falt_barrier(members);
    falt_to_channels_first(kernels, turn.x, images, p->x_channels, p->in_pixels, x, member, members);
}

static void execute_turns(const struct execution *e, int member, int members)
{
    const falt_plan *plan = e->plan;
    if (plan->turns == 1 && !plan->turned) { /* as most plans: small ones have no time for more */
        execute_steps(e, e->operands, member, members);
        return;
    }
    struct operands turn = *e->operands;
    for (int64_t i = 0; i < plan->turns; i++) {
        if (plan->turned && i > 0) /* all use the same copies */
            falt_barrier(members);
        if (plan->turned)
            execute_copied(e, turn, member, members);
        else
            execute_steps(e, &turn, member, members);
        turn.x += plan->problem.x_count / plan->turns;
        turn.y += plan->problem.y_count / plan->turns;
        if (turn.residual) /* of phases only, which have turns: shaped as x */
            turn.residual += plan->problem.x_count / plan->turns;
    }
}

/* One parallel region for all that there is to do: a barrier costs less than another one. */
static void execute_member(void *context, int member, int members)
{
    const struct execution *e = context;
    const falt_plan *plan = e->plan;
    const bool exact = main_choice(plan)->solver->algorithm == FALT_ALGO_REFERENCE;
    const uint64_t before = exact ? DENORMALS : denormals_to_zero(); /* DENORMALS: nothing to restore */
    if (plan->problem.pass != FALT_BACKWARD_WEIGHTS || e->operands->w)
        execute_turns(e, member, members);
    if (e->diff_bias && !(e->operands->w && plan->step[0].chosen.sums_bias))
        falt_bias_gradient(&plan->problem, plan->resources.kernels, e->diff_dst, e->diff_bias, member, members);
    denormals_restore(before);
}

static int64_t bias_channels(const struct problem *p)
{
    return p->pass == FALT_FORWARD ? p->y_channels : p->x_channels;
}

static falt_status run(const falt_plan *plan, const falt_tensors *t, struct operands *operands, void *workspace)
{
    char *free_space = falt_align(workspace);
    const char *packed = NULL;
    if (plan->packed && t->packed_weights) {
        const falt_status status = falt_find_packed(plan, t->packed_weights, &packed);
        if (status != FALT_OK)
            return status;
    } else if (plan->packed) {
        falt_pack_steps(plan, t->weights, free_space);
        packed = free_space;
        free_space += plan->packed;
    }
    if (plan->plain)
        operands->w = (float *)(uintptr_t)(packed + plan->plain);
    operands->workspace = free_space;
    float bias[FOLD_MOST_CHANNELS];
    const int64_t channels = bias_channels(&plan->whole), folded = bias_channels(&plan->problem);
    if (folded > channels && operands->bias) { /* pixels that are one have it each */
        for (int64_t c = 0; c < folded; c++)
            bias[c] = operands->bias[c % channels];
        operands->bias = bias;
    }
    struct execution execution = {plan, operands, packed, t->diff_dst, NULL};
    if (plan->problem.pass == FALT_BACKWARD_WEIGHTS)
        execution.diff_bias = t->diff_bias;
    const bool bias_alone = execution.diff_bias && !operands->w;
    falt_parallel(bias_alone ? plan->resources.threads : plan->threads, execute_member, &execution);
    return FALT_OK;
}

falt_status falt_execute(const falt_plan *plan, const falt_tensors *tensors)
{
    if (!plan || !tensors)
        return falt_missing(plan ? "tensors" : "plan");
    for (size_t i = 0; i < sizeof tensors->reserved / sizeof *tensors->reserved; i++)
        if (tensors->reserved[i])
            return falt_fail(FALT_INVALID_ARGUMENT, "reserved[%zu] is not NULL", i);
    const struct problem *p = &plan->problem;
    struct operands operands;
    falt_status status = falt_take_operands(plan, tensors, &operands);
    if (status != FALT_OK)
        return status;
    if (p->pass == FALT_BACKWARD_WEIGHTS) {
        if (!tensors->diff_weights && !tensors->diff_bias)
            return falt_missing("diff_weights");
        if (p->batch == 0) {
            clear(p, tensors);
            return FALT_OK;
        }
    } else {
        if (p->batch == 0)
            return FALT_OK;
        if (!tensors->weights && !(tensors->packed_weights && plan->packed))
            return falt_missing("weights");
    }

    const bool packed = tensors->packed_weights && plan->packed;
    const size_t needed = falt_plan_workspace_size(plan, packed);
    void *workspace = tensors->workspace, *own = NULL;
    if (workspace && tensors->workspace_size < needed)
        return falt_fail(FALT_WORKSPACE, "workspace needs %zu bytes, has %zu", needed, tensors->workspace_size);
    if (!workspace && needed) {
        workspace = own = plan->allocator.allocate(plan->allocator.context, needed, SOLVER_ALIGN);
        if (!own)
            return falt_fail(FALT_OUT_OF_MEMORY, "no memory for a workspace of %zu bytes", needed);
    }
    status = run(plan, tensors, &operands, workspace);
    if (own)
        plan->allocator.release(plan->allocator.context, own);
    return status;
}
