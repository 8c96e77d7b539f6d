#include "parts.h"

#include "bias.h"
#include "parallel.h"

size_t falt_parts_size(const struct problem *problem, int64_t parts)
{
    return parts > 1 ? round_to_lines((size_t)(parts * problem->w_count) * sizeof(float)) : 0;
}

void falt_add_parts(const struct problem *problem, const float *copies, double *totals, int64_t parts,
                    const struct operands *operands, int member, int members)
{
    float *const w = operands->w;
    int64_t begin, end;
    falt_barrier(members);
    falt_share(problem->w_count, member, members, &begin, &end);
    for (int64_t part = 0; part < parts; part++) {
        const float *copy = copies + part * problem->w_count;
        for (int64_t i = begin; i < end; i++)
            w[i] = part || problem->accumulate ? w[i] + copy[i] : copy[i];
    }
    if (totals)
        falt_add_bias_parts(problem, share(problem->y_channels, member, members), parts, totals, operands->diff_bias);
}
