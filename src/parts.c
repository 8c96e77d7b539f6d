#include "parts.h"

#include "parallel.h"

struct sum {
    const struct problem *p;
    const float *copies;
    int64_t parts;
    float *w;
};

size_t falt_parts_size(const struct problem *problem, int64_t parts)
{
    return parts > 1 ? round_to_lines((size_t)(parts * problem->w_count) * sizeof(float)) : 0;
}

static void add_parts(void *context, int member, int members)
{
    const struct sum *sum = context;
    float *w = sum->w;
    int64_t begin, end;
    falt_share(sum->p->w_count, member, members, &begin, &end);
    for (int64_t part = 0; part < sum->parts; part++) {
        const float *copy = sum->copies + part * sum->p->w_count;
        for (int64_t i = begin; i < end; i++)
            w[i] = part || sum->p->accumulate ? w[i] + copy[i] : copy[i];
    }
}

void falt_add_parts(const struct problem *problem, const float *copies, int64_t parts, float *w, int threads)
{
    struct sum sum = {problem, copies, parts, w};
    falt_parallel(threads, add_parts, &sum);
}
