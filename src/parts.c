#include "parts.h"

#include "parallel.h"

size_t falt_parts_size(const struct problem *problem, int64_t parts)
{
    return parts > 1 ? round_to_lines((size_t)(parts * problem->w_count) * sizeof(float)) : 0;
}

void falt_add_parts(const struct problem *problem, const float *copies, int64_t parts, float *w, int member, int members)
{
    int64_t begin, end;
    falt_share(problem->w_count, member, members, &begin, &end);
    for (int64_t part = 0; part < parts; part++) {
        const float *copy = copies + part * problem->w_count;
        for (int64_t i = begin; i < end; i++)
            w[i] = part || problem->accumulate ? w[i] + copy[i] : copy[i];
    }
}
