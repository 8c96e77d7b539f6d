/* packed.c - a plan's packed weights: a header that names their format, then what its steps read. */
#include <string.h>

#include "error.h"
#include "fold.h"
#include "plan.h"

/*
 * A packed buffer:  | header | gap | payload ... |
 * The gap aligns the payload at the address where it was packed; the header remembers it, so that the buffer may be moved.
 */
struct packed_header {
    uint64_t magic, key, offset, size;
};

static const uint64_t packed_magic = UINT64_C(0x31304b50544c4146); /* "FALTPK01", little-endian */

static uint64_t hash(uint64_t h, const void *data, size_t size)
{
    const unsigned char *byte = data; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        h = (h ^ byte[i]) * UINT64_C(0x100000001b3);
    return h;
}

uint64_t falt_packed_key(const falt_plan *plan)
{
    const struct problem *p = &plan->asked;
    const int64_t numbers[] = {p->pass, p->groups, p->x_group, p->y_group, (int64_t)plan->packed};
    uint64_t h = hash(UINT64_C(0xcbf29ce484222325), numbers, sizeof numbers);
    h = hash(h, p->kernel, sizeof p->kernel);
    h = hash(h, p->stride, sizeof p->stride);
    h = hash(h, p->dilation, sizeof p->dilation);
    h = hash(h, p->pad, sizeof p->pad);
    if (plan->fold > 1) { /* along which dimension, the image has a say in: falt_problem_squeeze */
        const struct problem *folded = &plan->problem;
        h = hash(h, &plan->fold, sizeof plan->fold);
        h = hash(h, folded->kernel, sizeof folded->kernel);
        h = hash(h, folded->pad, sizeof folded->pad);
    }
    if (plan->plain)
        h = hash(h, p->weights_layout == FALT_OIHW ? "oihw" : "ohwi", 4);
    for (int64_t i = 0; i < plan->steps; i++) {
        const struct candidate *c = &plan->step[i].chosen;
        const struct problem *phase = &plan->step[i].problem; /* which taps it has, the image has a say in */
        if (phase->taps == 0 && c->packed == 0)
            continue;
        h = hash(h, c->solver->name, strlen(c->solver->name));
        h = hash(h, c->kernel, strlen(c->kernel));
        h = hash(h, phase->kernel, sizeof phase->kernel);
        h = hash(h, &phase->w.base, sizeof phase->w.base);
    }
    return h;
}

void falt_pack_steps(const falt_plan *plan, const float *weights, char *payload)
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
        return falt_missing("plan");
    const size_t needed = falt_plan_packed_weights_size(plan);
    if (!needed)
        return FALT_OK;
    if (!weights || !packed)
        return falt_missing(weights ? "packed" : "weights");
    if (size < needed)
        return falt_fail(FALT_WORKSPACE, "packed weights need %zu bytes, the buffer has %zu", needed, size);
    char *payload = falt_align((char *)packed + sizeof(struct packed_header));
    const struct packed_header header = {packed_magic, plan->key, (uint64_t)(payload - (char *)packed), plan->packed};
    memcpy(packed, &header, sizeof header);
    memset(payload + plan->packed - SOLVER_BEHIND, 0, SOLVER_BEHIND); /* for those who write the buffer to a file */
    falt_pack_steps(plan, weights, payload);
    return FALT_OK;
}

falt_status falt_find_packed(const falt_plan *plan, const void *packed, const char **payload)
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
