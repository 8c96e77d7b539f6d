/* plan.c - creates plans, and destroys them: folded or not, in which turns and phases, and which solver does each step. */
#include "plan.h"

#include <math.h>
#include <string.h>

#include "adjoint.h"
#include "allocator.h"
#include "arithmetic.h"
#include "cost.h"
#include "error.h"
#include "fold.h"
#include "parallel.h"

/* Whatever the caller asks for: an OpenMP runtime aborts when it cannot make a thread, and each has some MiB of stack, of which
 * an address space of 32 bits holds few. */
enum { MOST_THREADS = sizeof(void *) < 8 ? 64 : 1024 };

static falt_status check_options(const falt_options *options)
{
    if (options->struct_size != sizeof *options)
        return falt_fail(FALT_INVALID_ARGUMENT, "struct_size %zu is not sizeof(falt_options) %zu: start from FALT_OPTIONS_INIT",
                         options->struct_size, sizeof *options);
    if ((unsigned)options->algorithm >= FALT_ALGO_COUNT)
        return falt_fail(FALT_INVALID_ARGUMENT, "unknown algorithm %d", (int)options->algorithm);
    if ((unsigned)options->isa >= FALT_ISA_COUNT)
        return falt_fail(FALT_INVALID_ARGUMENT, "unknown isa %d", (int)options->isa);
    if (options->threads < 0)
        return falt_fail(FALT_INVALID_ARGUMENT, "threads %d is negative", (int)options->threads);
    if (options->accumulate != 0 && options->accumulate != 1)
        return falt_fail(FALT_INVALID_ARGUMENT, "accumulate %d is neither 0 nor 1", (int)options->accumulate);
    if (options->warm_weights != 0 && options->warm_weights != 1)
        return falt_fail(FALT_INVALID_ARGUMENT, "warm_weights %d is neither 0 nor 1", (int)options->warm_weights);
    if (!(options->accuracy == FALT_ACCURACY_DEFAULT || options->accuracy >= 1.0f))
        return falt_fail(FALT_INVALID_ARGUMENT, "accuracy %g is neither 0 nor >= 1", (double)options->accuracy);
    if (!options->allocator.allocate != !options->allocator.release)
        return falt_fail(FALT_INVALID_ARGUMENT, "allocator has only one of allocate and release");
    return FALT_OK;
}

/* A solver that is refused by one step is refused. */
static void add_verdicts(struct verdict sum[PLANNER_SOLVERS], const struct verdict step[PLANNER_SOLVERS], bool first)
{
    for (int i = 0; i < PLANNER_SOLVERS; i++) {
        if (first || (sum[i].applies && !step[i].applies))
            sum[i] = step[i];
        else
            sum[i].seconds += step[i].seconds;
    }
}

/* Turns of several phases: of so many images that half of one L2 holds their y, where it outgrows the caches with x; if not so
 * few that the weights, which come anew for each turn, would matter. Larger ones go one by one, if all together outgrow L3:
 * each then comes from memory once, not for each phase (3 channels of 224x224, 3x3 with stride 2, batch 16: 1.4 to 1.7 times as
 * fast). The number of threads has no say, as the planner chooses by what a turn has to do. */
static int64_t choose_turns(const struct problem *p, const struct resources *r)
{
    const double y = (double)p->y_count * sizeof(float), room = 0.5 * (double)r->cpu->l2;
    const double images = (double)p->batch * room / (y + 1.0); /* that fit */
    const double all = falt_tensor_bytes(p), l3 = (double)r->cpu->l3;
    if (p->taps < 2 || all <= l3 / 6.0 || y < 2.0 * room)
        return 1;
    const bool large = images < 0.8;
    if (large && (all <= l3 / 2.0 || all > (double)p->batch * l3 / 4.0))
        return 1;
    const int64_t least = large ? p->batch : (int64_t)(y / room) + 1;
    int64_t turns = least;
    while (turns < 8 * least && p->batch % turns != 0)
        turns++;
    const double weights = (double)p->w_count * sizeof(float);
    return p->batch % turns == 0 && weights <= y / (double)turns / 8.0 ? turns : 1;
}

/* Phases whose pixels are no neighbours would store float by float, channels first. Transposing both tensors takes less, a few
 * images at a time, which L2 has room for; if not so few that the weights, which come anew for each turn, would matter. Not
 * where a caller has less than twice the room for the copies: solvers need some, too. And wide rows of few channels, or
 * depthwise ones, are better off with vectors of pixels. */
static void choose_copies(falt_plan *plan, int64_t limit)
{
    enum { MOST_TURNS = 10000, CHANNELS = 16, PIXELS = 16 };
    const struct problem *p = &plan->problem;
    const int64_t apart = falt_phase_distance(p);
    const bool dense = p->groups == 1 && p->x_channels >= CHANNELS, narrow = p->x_channels > 1 && p->in[2] < PIXELS * apart;
    if (p->layout != FALT_CHANNELS_FIRST || p->circular || p->batch == 0 || apart == 1 || !(dense || narrow))
        return;
    const double bytes = ((double)p->x_count + (double)p->y_count) * sizeof(float);
    const double fit = bytes / (2.0 * (double)plan->resources.cpu->l2), pay = bytes / ((double)p->w_count * sizeof(float));
    if (fit > MOST_TURNS || bytes > (double)(SIZE_MAX / 4))
        return;
    const int64_t least = (int64_t)fmax(1.0, ceil(fmin(fit, pay)));
    int64_t turns = least;
    while (turns < 8 * least && p->batch % turns != 0)
        turns++;
    if (p->batch % turns != 0)
        turns = (double)p->batch <= pay ? p->batch : 1;
    const size_t x = round_to_lines((size_t)(p->x_count / turns) * sizeof(float));
    const size_t y = round_to_lines((size_t)(p->y_count / turns) * sizeof(float));
    if (limit >= 0 && 2 * ((uint64_t)x + y) > (uint64_t)limit)
        return;
    plan->turned = true;
    plan->turns = turns;
    plan->x_copy = x;
    plan->y_copy = y;
    if (limit >= 0)
        plan->resources.workspace_limit -= (int64_t)(x + y);
}

/* Phases write to different pixels, and each member of a forward solver has a part of the workspace to itself. Where these are
 * as large as those of any phase, nobody has to wait between phases; but a caller may have no room for that. */
static void choose_slot(falt_plan *plan)
{
    const int64_t limit = plan->resources.workspace_limit;
    size_t slot = 0, members = 1; /* that have one: zeros take no workspace */
    for (int64_t i = 0; i < plan->steps; i++) {
        const struct candidate *c = &plan->step[i].chosen;
        const size_t threads = (size_t)c->threads, own = c->workspace / threads;
        slot = own > slot ? own : slot;
        members = own > 0 && threads > members ? threads : members;
    }
    if (slot > SIZE_MAX / 2 / members || (limit >= 0 && falt_with_slack(slot * members) > (uint64_t)limit))
        return;
    plan->apart = true;
    plan->slot = slot;
    plan->workspace = slot * members;
}

/* What each turn has to do. */
static struct problem turn_of(const falt_plan *plan)
{
    struct problem turn = plan->problem;
    turn.batch /= plan->turns;
    turn.x_count /= plan->turns;
    turn.y_count /= plan->turns;
    turn.multiply_adds /= (double)plan->turns;
    if (plan->turned) {
        turn.layout = FALT_CHANNELS_LAST;
        turn.tensor_floats /= (double)plan->turns;
        falt_dense_views(&turn, &turn);
    }
    return turn;
}

/* A caller with packed weights need not have plain ones, whichever of the steps read them. Nobody has folded ones. */
static void add_plain(falt_plan *plan)
{
    if (plan->fold > 1)
        plan->plain = plan->packed = plan->packed ? plan->packed : SOLVER_ALIGN;
    for (int64_t i = 0; i < plan->steps && plan->packed && !plan->plain; i++)
        if (!plan->step[i].chosen.packed && plan->step[i].problem.taps > 0)
            plan->plain = plan->packed;
    if (plan->plain)
        plan->packed += round_to_lines((size_t)plan->problem.w_count * sizeof(float));
}

/* Backward data goes to the forward solvers in phases, but to a forced reference solver as it is: it is the oracle of the
 * others. */
static falt_status plan_steps(falt_plan *plan, bool phases, falt_algorithm forced)
{
    double most = 0.0;
    bool first = true; /* or only phases of zeros before */
    const struct problem turn = turn_of(plan);
    for (int64_t i = 0; i < plan->steps; i++) {
        struct step *step = &plan->step[i];
        struct verdict verdicts[PLANNER_SOLVERS];
        step->exchanged = phases;
        if (phases)
            falt_phase(&turn, i, &step->problem);
        else
            step->problem = turn;
        const bool zeros = step->problem.taps == 0; /* a phase that anyone may fill */
        const falt_status status =
            falt_choose(&step->problem, &plan->resources, zeros ? FALT_ALGO_AUTO : forced, &step->chosen, verdicts);
        if (status != FALT_OK)
            return status;
        step->packed = plan->packed;
        plan->packed += round_to_lines(step->chosen.packed);
        if (step->chosen.workspace > plan->workspace && plan->problem.batch > 0)
            plan->workspace = step->chosen.workspace;
        if (step->chosen.threads > plan->threads)
            plan->threads = step->chosen.threads;
        if (zeros && i > 0)
            continue;
        if (first || step->chosen.seconds > most) {
            most = step->chosen.seconds;
            plan->main = i;
        }
        for (int k = 0; k < PLANNER_SOLVERS; k++)
            verdicts[k].seconds *= (double)plan->turns;
        add_verdicts(plan->verdicts, verdicts, first);
        first = zeros;
    }
    add_plain(plan);
    if (plan->packed)
        plan->packed += SOLVER_BEHIND;
    if (plan->steps > 1 && plan->problem.batch > 0)
        choose_slot(plan);
    return FALT_OK;
}

/* Threads are woken once for all phases: each counts but the time for which its own leave some idle. Where a single thread
 * needs less for all of them together, the plan is for one. */
static falt_status plan_phases(falt_plan *plan, falt_algorithm forced)
{
    plan->resources.region = cost_barrier_seconds;
    const falt_plan start = *plan;
    falt_status status = plan_steps(plan, true, forced);
    /* Copies have no say: so small ones are in L2, where to share them takes longer than to make them. */
    const double turns = (double)plan->turns;
    double alone = 0.0, together = cost_region_seconds;
    for (int64_t i = 0; i < plan->steps && status == FALT_OK; i++) {
        alone += turns * plan->step[i].chosen.alone;
        together += turns * plan->step[i].chosen.seconds;
    }
    if (status != FALT_OK || plan->threads == 1 || alone > together)
        return status;
    *plan = start;
    plan->resources.threads = 1;
    status = plan_steps(plan, true, forced);
    plan->resources.threads = start.resources.threads; /* that there are */
    return status;
}

/* start: all that the plan is made of but for its steps. */
static falt_status make(falt_plan **plan, const falt_plan *start, const falt_options *options)
{
    const falt_allocator allocator = start->allocator;
    const int64_t phases = options->algorithm == FALT_ALGO_REFERENCE ? 0 : falt_phases(&start->problem);
    const int64_t steps = phases ? phases : 1;
    const size_t size = sizeof(falt_plan) + (size_t)steps * sizeof(struct step);
    falt_plan *made = allocator.allocate(allocator.context, size, _Alignof(falt_plan));
    if (!made)
        return falt_fail(FALT_OUT_OF_MEMORY, "no memory for a plan of %zu bytes", size);
    memset(made, 0, size);
    *made = *start;
    made->resources.region = cost_region_seconds;
    made->steps = steps;
    made->turns = steps > 1 && made->problem.batch > 1 ? choose_turns(&made->problem, &made->resources) : 1;
    if (steps > 1)
        choose_copies(made, options->workspace_limit);
    const falt_status status =
        steps > 1 ? plan_phases(made, options->algorithm) : plan_steps(made, phases > 0, options->algorithm);
    if (status != FALT_OK) {
        allocator.release(allocator.context, made);
        return status;
    }
    made->key = falt_packed_key(made);
    *plan = made;
    return FALT_OK;
}

/* Predicted seconds, with a nominal number of threads. */
static double nominal(const falt_plan *plan)
{
    double seconds = 0.0;
    for (int64_t i = 0; i < plan->steps; i++)
        seconds += plan->step[i].chosen.nominal;
    return seconds * (double)plan->turns;
}

/* Puts a plan of the folded problem in the place of another one, if it is faster. */
static falt_status make_folded(falt_plan **plan, falt_plan *start, const falt_options *options)
{
    const int64_t fold = falt_fold_factor(&start->whole, start->resources.kernels->vec);
    /* Zeros times what is not finite are nothing that plain sums would have. */
    if (start->forced || fold == 1 || start->resources.accuracy == 1.0)
        return FALT_OK;
    falt_plan *folded = NULL;
    start->fold = fold;
    falt_fold(&start->whole, fold, &start->problem);
    start->thinned = falt_fold_thinned(&start->whole, &start->problem);
    start->resources.accuracy = fmax(1.0, start->resources.accuracy / start->thinned);
    const falt_status status = make(&folded, start, options);
    if (status == FALT_OUT_OF_MEMORY) {
        falt_plan_destroy(*plan);
        *plan = NULL;
        return status;
    }
    const bool better = status == FALT_OK && nominal(folded) < 0.97 * nominal(*plan); /* it packs twice as much, and copies */
    falt_plan_destroy(better ? *plan : folded);
    *plan = better ? folded : *plan;
    return FALT_OK;
}

static falt_status create(falt_plan **plan, const falt_conv *conv, bool circular, falt_pass pass, const falt_options *options)
{
    if (!plan)
        return falt_missing("plan");
    *plan = NULL;
    const falt_options defaults = FALT_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    falt_status status = check_options(options);
    if (status != FALT_OK)
        return status;
    falt_plan start = {
        .resources = {.kernels = falt_kernels(options->isa),
                      .cpu = falt_detect(),
                      .threads = options->threads ? options->threads : falt_default_threads(),
                      .accuracy = options->accuracy == FALT_ACCURACY_DEFAULT ? 3.0 : (double)options->accuracy,
                      .workspace_limit = options->workspace_limit,
                      .warm_weights = options->warm_weights},
        .allocator = falt_allocator_of(options),
        .forced = options->algorithm != FALT_ALGO_AUTO,
        .fold = 1,
        .thinned = 1.0,
    };
    status = falt_problem_init(&start.asked, conv, pass, options);
    if (status != FALT_OK)
        return status;
    start.asked.circular = circular;
    if (start.resources.threads > MOST_THREADS)
        start.resources.threads = MOST_THREADS;
    if (!start.resources.kernels)
        return falt_fail(FALT_UNSUPPORTED, "this CPU or this build lacks %s", falt_isa_name(options->isa));
    start.whole = start.asked;
    if (options->algorithm != FALT_ALGO_REFERENCE)
        falt_problem_squeeze(&start.whole);
    start.problem = start.whole;
    status = make(plan, &start, options);
    return status == FALT_OK ? make_folded(plan, &start, options) : status;
}

falt_status falt_plan_create(falt_plan **plan, const falt_conv *conv, falt_pass pass, const falt_options *options)
{
    return create(plan, conv, false, pass, options);
}

falt_status falt_plan_create_circular(falt_plan **plan, const falt_conv *conv, falt_pass pass, const falt_options *options)
{
    return create(plan, conv, true, pass, options);
}

void falt_plan_destroy(falt_plan *plan)
{
    if (plan) {
        const falt_allocator allocator = plan->allocator;
        allocator.release(allocator.context, plan);
    }
}
