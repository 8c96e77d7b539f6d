/* plan.c - a plan's life: every public entry point that has to do with one. */
#include "plan.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../arch/denormals.h"
#include "adjoint.h"
#include "allocator.h"
#include "arithmetic.h"
#include "bias.h"
#include "cost.h"
#include "error.h"
#include "fold.h"
#include "layout.h"
#include "parallel.h"
#include "planner.h"
#include "text.h"

/* Whatever the caller asks for: an OpenMP runtime aborts when it cannot make a thread, and each has some MiB of stack, of which
 * an address space of 32 bits holds few. */
enum { MOST_THREADS = sizeof(void *) < 8 ? 64 : 1024 };

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

static char *align(void *pointer)
{
    const uintptr_t address = (uintptr_t)pointer;
    return (char *)pointer + ((SOLVER_ALIGN - address % SOLVER_ALIGN) % SOLVER_ALIGN);
}

/* --------------------------------------------------------------------------------------------------------------- creation */

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

/* Backward data goes to the forward solvers in phases, but to a forced reference solver as it is: it is the oracle of the
 * others. */
static falt_status plan_steps(falt_plan *plan, bool phases, falt_algorithm forced)
{
    double most = 0.0;
    bool first = true; /* or only phases of zeros before */
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
    /* A caller with packed weights need not have plain ones, whichever of the steps read them. Nobody has folded ones. */
    if (plan->fold > 1)
        plan->plain = plan->packed = plan->packed ? plan->packed : SOLVER_ALIGN;
    for (int64_t i = 0; i < plan->steps && plan->packed && !plan->plain; i++)
        if (!plan->step[i].chosen.packed && plan->step[i].problem.taps > 0)
            plan->plain = plan->packed;
    if (plan->plain)
        plan->packed += round_to_lines((size_t)plan->problem.w_count * sizeof(float));
    if (plan->packed)
        plan->packed += SOLVER_BEHIND;
    if (plan->steps > 1 && plan->problem.batch > 0)
        choose_slot(plan);
    return FALT_OK;
}

static const struct candidate *main_choice(const falt_plan *plan)
{
    return &plan->step[plan->main].chosen;
}

static uint64_t hash(uint64_t h, const void *data, size_t size)
{
    const unsigned char *byte = data; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        h = (h ^ byte[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* Names a packed format: what of the problem the packing depends on, who packed, and for which kernel. Batch and image size
 * are not in it: plans that differ only there share packed weights, if they chose the same kernel. */
static uint64_t packed_key(const falt_plan *plan)
{
    const struct problem *p = &plan->asked;
    const int64_t numbers[] = {p->pass, p->groups, p->x_group, p->y_group, (int64_t)plan->packed};
    uint64_t h = hash(UINT64_C(0xcbf29ce484222325), numbers, sizeof numbers);
    h = hash(h, p->kernel, sizeof p->kernel);
    h = hash(h, p->stride, sizeof p->stride);
    h = hash(h, p->dilation, sizeof p->dilation);
    h = hash(h, p->pad, sizeof p->pad);
    for (int i = 0; i < 3 && p->pass == FALT_BACKWARD_DATA; i++) /* other phases, see adjoint.c */
        h = hash(h, p->out[i] == 1 ? "1" : "n", 1);
    if (plan->fold > 1)
        h = hash(h, &plan->fold, sizeof plan->fold);
    if (plan->plain)
        h = hash(h, p->weights_layout == FALT_OIHW ? "oihw" : "ohwi", 4);
    for (int64_t i = 0; i < plan->steps; i++) {
        const struct candidate *c = &plan->step[i].chosen;
        h = hash(h, c->solver->name, strlen(c->solver->name));
        h = hash(h, c->kernel, strlen(c->kernel));
    }
    return h;
}

/* For a nominal number of threads. */
static double nominal(const falt_plan *plan)
{
    double seconds = 0.0;
    for (int64_t i = 0; i < plan->steps; i++)
        seconds += plan->step[i].chosen.nominal;
    return seconds * (double)plan->turns;
}

/* To copy x and y, for a single thread. */
static double copies_seconds(const falt_plan *plan)
{
    return plan->turned ? falt_tensor_bytes(&plan->problem) * cost_turned_byte / cost_hertz : 0.0;
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
    made->key = packed_key(made);
    *plan = made;
    return FALT_OK;
}

static falt_status create(falt_plan **plan, const falt_conv *conv, bool circular, falt_pass pass, const falt_options *options)
{
    if (!plan)
        return falt_fail(FALT_INVALID_ARGUMENT, "plan is NULL");
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
    const int64_t fold = falt_fold_factor(&start.whole, start.resources.kernels->vec);
    /* Zeros times what is not finite are nothing that plain sums would have. */
    if (status != FALT_OK || start.forced || fold == 1 || start.resources.accuracy == 1.0)
        return status;
    falt_plan *folded = NULL;
    start.fold = fold;
    falt_fold(&start.whole, fold, &start.problem);
    start.thinned = falt_fold_thinned(&start.whole, &start.problem);
    start.resources.accuracy = fmax(1.0, start.resources.accuracy / start.thinned);
    status = make(&folded, &start, options);
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

/* --------------------------------------------------------------------------------------------------------- packed weights */

/*
 * A packed buffer:  | header | gap | payload ... |
 * The gap aligns the payload at the address where it was packed; the header remembers it, so that the buffer may be moved.
 */
struct packed_header {
    uint64_t magic, key, offset, size;
};

static const uint64_t packed_magic = UINT64_C(0x31304b50544c4146); /* "FALTPK01", little-endian */

static void pack_steps(const falt_plan *plan, const float *weights, char *payload)
{
    if (plan->fold > 1) {
        float *const folded = (float *)(void *)(payload + plan->plain);
        falt_fold_weights(&plan->whole, &plan->problem, weights, folded);
        weights = folded;
    } else if (plan->plain) {
        memcpy(payload + plan->plain, weights, (size_t)plan->problem.w_count * sizeof(float));
    }
    for (int64_t i = 0; i < plan->steps; i++) {
        const struct step *step = &plan->step[i];
        if (step->chosen.packed)
            step->chosen.solver->pack(&step->problem, &step->chosen, weights, payload + step->packed);
    }
}

size_t falt_plan_packed_weights_size(const falt_plan *plan)
{
    return plan && plan->packed ? sizeof(struct packed_header) + SOLVER_ALIGN + plan->packed : 0;
}

falt_status falt_pack_weights(const falt_plan *plan, const float *weights, void *packed, size_t size)
{
    if (!plan)
        return falt_fail(FALT_INVALID_ARGUMENT, "plan is NULL");
    const size_t needed = falt_plan_packed_weights_size(plan);
    if (!needed)
        return FALT_OK;
    if (!weights || !packed)
        return falt_fail(FALT_INVALID_ARGUMENT, "%s is NULL", weights ? "packed" : "weights");
    if (size < needed)
        return falt_fail(FALT_WORKSPACE, "packed weights need %zu bytes, the buffer has %zu", needed, size);
    char *payload = align((char *)packed + sizeof(struct packed_header));
    const struct packed_header header = {packed_magic, plan->key, (uint64_t)(payload - (char *)packed), plan->packed};
    memcpy(packed, &header, sizeof header);
    memset(payload + plan->packed - SOLVER_BEHIND, 0, SOLVER_BEHIND); /* for those who write the buffer to a file */
    pack_steps(plan, weights, payload);
    return FALT_OK;
}

static falt_status find_payload(const falt_plan *plan, const void *packed, const void **payload)
{
    struct packed_header header;
    memcpy(&header, packed, sizeof header);
    if (header.magic != packed_magic)
        return falt_fail(FALT_WORKSPACE, "packed_weights were not made by falt_pack_weights");
    if (header.key != plan->key || header.size != plan->packed || header.offset < sizeof header ||
        header.offset > sizeof header + SOLVER_ALIGN)
        return falt_fail(FALT_WORKSPACE, "packed_weights are those of another plan (this one is %s, %s)",
                         main_choice(plan)->solver->name, main_choice(plan)->kernel);
    *payload = (const char *)packed + header.offset;
    return FALT_OK;
}

/* -------------------------------------------------------------------------------------------------------------- execution */

static bool is_forward(const falt_plan *plan)
{
    return (plan->problem.pass == FALT_FORWARD) != plan->problem.transposed && plan->problem.pass != FALT_BACKWARD_WEIGHTS;
}

size_t falt_plan_workspace_size(const falt_plan *plan, int packed)
{
    if (!plan)
        return 0;
    return falt_with_slack((packed ? 0 : plan->packed) + plan->x_copy + plan->y_copy + plan->workspace);
}

static falt_status missing(const char *name)
{
    return falt_fail(FALT_INVALID_ARGUMENT, "%s is NULL", name);
}

/* The caller's tensors in the roles of the normal form: for a transposed convolution his dst is x and his src is y. */
static falt_status take_operands(const falt_plan *plan, const falt_tensors *t, struct operands *operands)
{
    const struct problem *p = &plan->problem;
    float *in, *out; /* at the caller's input and output side */
    if (is_forward(plan)) {
        in = (float *)(uintptr_t)t->src; /* const again below: only the pass's output is written */
        out = t->dst;
    } else if (p->pass == FALT_BACKWARD_WEIGHTS) {
        in = (float *)(uintptr_t)t->src;
        out = (float *)(uintptr_t)t->diff_dst;
    } else {
        in = t->diff_src;
        out = (float *)(uintptr_t)t->diff_dst;
    }
    memset(operands, 0, sizeof *operands);
    operands->x = p->transposed ? out : in;
    operands->y = p->transposed ? in : out;
    operands->w = p->pass == FALT_BACKWARD_WEIGHTS ? t->diff_weights : (float *)(uintptr_t)t->weights;
    if (is_forward(plan)) {
        operands->bias = t->bias;
        operands->residual = t->residual;
    }
    if (p->batch == 0)
        return FALT_OK;                                                 /* tensors of no elements may be NULL */
    if (!in && !(p->pass == FALT_BACKWARD_WEIGHTS && !t->diff_weights)) /* diff_bias alone needs no src */
        return missing(p->pass == FALT_BACKWARD_WEIGHTS || is_forward(plan) ? "src" : "diff_src");
    if (!out)
        return missing(is_forward(plan) ? "dst" : "diff_dst");
    return FALT_OK;
}

/* A weight gradient over no images. */
static void clear(const falt_plan *plan, const falt_tensors *t, int64_t channels)
{
    if (plan->problem.accumulate)
        return;
    if (t->diff_weights)
        memset(t->diff_weights, 0, (size_t)plan->problem.w_count * sizeof(float));
    if (t->diff_bias)
        memset(t->diff_bias, 0, (size_t)channels * sizeof(float));
}

struct execution {
    const falt_plan *plan;
    const struct operands *operands;
    const char *packed;
    const float *diff_dst;
    float *diff_bias; /* or NULL */
};

/* x and y of a turn. */
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
        const int those = c->threads < members ? c->threads : members;
        if (plan->apart) /* the solver adds as many of its own parts as there are members before */
            own.workspace = (char *)turn->workspace + (plan->slot - c->workspace / (size_t)c->threads) * (size_t)member;
        if (member < those)
            c->solver->run(&step->problem, c, plan->resources.kernels, &own, member, those);
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
    const bool exact = plan->step[plan->main].chosen.solver->algorithm == FALT_ALGO_REFERENCE;
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
    char *free_space = align(workspace);
    const char *packed = NULL;
    if (plan->packed && t->packed_weights) {
        const void *payload = NULL;
        const falt_status status = find_payload(plan, t->packed_weights, &payload);
        if (status != FALT_OK)
            return status;
        packed = payload;
    } else if (plan->packed) {
        pack_steps(plan, t->weights, free_space);
        packed = free_space;
        free_space += plan->packed;
    }
    if (plan->plain)
        operands->w = (float *)(uintptr_t)(packed + plan->plain);
    operands->workspace = free_space;
    float bias[FOLD_MOST_CHANNELS];
    const int64_t channels = bias_channels(&plan->whole), of_pixels = bias_channels(&plan->problem);
    if (of_pixels > channels && operands->bias) {
        for (int64_t c = 0; c < of_pixels; c++)
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
        return missing(plan ? "tensors" : "plan");
    for (size_t i = 0; i < sizeof tensors->reserved / sizeof *tensors->reserved; i++)
        if (tensors->reserved[i])
            return falt_fail(FALT_INVALID_ARGUMENT, "reserved[%zu] is not NULL", i);
    const struct problem *p = &plan->problem;
    struct operands operands;
    falt_status status = take_operands(plan, tensors, &operands);
    if (status != FALT_OK)
        return status;
    if (p->pass == FALT_BACKWARD_WEIGHTS) {
        if (!tensors->diff_weights && !tensors->diff_bias)
            return missing("diff_weights");
        if (p->batch == 0) {
            clear(plan, tensors, p->transposed ? p->x_channels : p->y_channels);
            return FALT_OK;
        }
    } else {
        if (p->batch == 0)
            return FALT_OK;
        if (!tensors->weights && !(tensors->packed_weights && plan->packed))
            return missing("weights");
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

/* ------------------------------------------------------------------------------------------------------------ error bound */

/* NaN is the largest. */
static double larger_or_nan(double a, double b)
{
    return a >= b || isnan(a) ? a : b;
}

static double largest(const float *data, int64_t count)
{
    double most = 0.0;
    for (int64_t i = 0; data && i < count; i++)
        most = larger_or_nan(most, fabs((double)data[i]));
    return most;
}

/* max over channels of the output of sum |w|. */
static double largest_weight_sum(const struct problem *p, const float *w)
{
    const bool forward = p->pass == FALT_FORWARD;
    const int64_t rows = forward ? p->y_group : p->x_group, others = forward ? p->x_group : p->y_group;
    double most = 0.0;
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t row = 0; row < rows; row++) {
            double sum = 0.0;
            for (int64_t other = 0; other < others; other++)
                for (int64_t t = 0; t < p->taps; t++) /* all of a kernel, whose taps are evenly spaced in either layout */
                    sum += fabs((double)w[g * p->w.group + row * p->w.o + other * p->w.i + t * p->w.tap[2]]);
            most = larger_or_nan(most, sum);
        }
    return most;
}

static double largest_channel_sum(const struct problem *p, const float *y)
{
    const struct tensor_strides stride = falt_tensor_strides(p, p->y_channels, p->out_pixels);
    double most = 0.0;
    for (int64_t c = 0; c < p->y_channels; c++) {
        double sum = 0.0;
        for (int64_t n = 0; n < p->batch; n++)
            for (int64_t q = 0; q < p->out_pixels; q++)
                sum += fabs((double)y[n * stride.n + c * stride.c + q * stride.pixel]);
        most = larger_or_nan(most, sum);
    }
    return most;
}

/* Activations stretch an error by at most their Lipschitz constant. */
static double lipschitz(const struct problem *p)
{
    switch (p->activation) {
    case FALT_ACT_LEAKY:
        return fmax(1.0, fabs((double)p->alpha));
    case FALT_ACT_SILU:
        return 1.1;
    case FALT_ACT_HARDSWISH:
        return 1.5;
    default:
        return 1.0;
    }
}

falt_status falt_plan_error_bound(const falt_plan *plan, const falt_tensors *tensors, double *bound)
{
    if (!plan || !tensors || !bound)
        return missing(!plan ? "plan" : !tensors ? "tensors" : "bound");
    const struct problem *p = &plan->whole;
    struct operands operands;
    falt_tensors all = *tensors;
    float nothing; /* the outputs are not read, so they may be missing */
    if (!all.dst)
        all.dst = &nothing;
    if (!all.diff_src)
        all.diff_src = &nothing;
    const falt_status status = take_operands(plan, &all, &operands);
    if (status != FALT_OK)
        return status;
    *bound = 0.0;
    if (p->batch == 0)
        return FALT_OK;

    double size, added = 0.0;
    if (p->pass == FALT_BACKWARD_WEIGHTS) {
        size = largest(operands.x, p->x_count) * largest_channel_sum(p, operands.y);
        added = p->accumulate ? largest(tensors->diff_weights, p->w_count) : 0.0;
    } else {
        if (!tensors->weights)
            return missing("weights");
        const bool forward = p->pass == FALT_FORWARD;
        size = largest(forward ? operands.x : operands.y, forward ? p->x_count : p->y_count) *
               largest_weight_sum(p, tensors->weights);
        added = largest(operands.bias, forward ? p->y_channels : p->x_channels) +
                largest(operands.residual, forward ? p->y_count : p->x_count);
    }
    const double unit = ldexp(1.0, -24);
    for (int64_t i = 0; i < plan->steps; i++) {
        const struct candidate *c = &plan->step[i].chosen;
        const double terms = c->error_terms + 1.0 + 2.0; /* bias and residual are terms, too */
        const double gamma = terms * unit < 1.0 ? terms * unit / (1.0 - terms * unit) : DBL_MAX;
        const double sums = gamma * c->error_growth * size;
        *bound = larger_or_nan(*bound, (sums + 3.0 * unit * (size + added)) * lipschitz(p));
    }
    return FALT_OK;
}

/* ------------------------------------------------------------------------------------------------------------ description */

static double predicted(const falt_plan *plan)
{
    double seconds = 0.0;
    for (int64_t i = 0; i < plan->steps; i++)
        seconds += plan->step[i].chosen.seconds;
    seconds *= (double)plan->turns;
    if (plan->steps > 1 && plan->threads > 1)
        seconds += cost_region_seconds;
    return seconds + copies_seconds(plan) / (double)plan->threads;
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
        return missing(plan ? "info" : "plan");
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
        falt_text_append(text, "phases     %lld, one for each residue class of the stride; this is the longest%s\n",
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
