#include "execution.h"

#include <stdlib.h>
#include "block.h"

bool execution_run(void *context)
{
    struct execution *execution = context;
    if (execution->packed != NULL)
        execution->tensors.packed_weights = copies_next(execution->weights);
    else if (execution->tensors.weights != NULL)
        execution->tensors.weights = copies_next(execution->weights);
    execution->refused = falt_execute(execution->plan, &execution->tensors) != FALT_OK;
    return !execution->refused;
}

bool execution_prepare(struct execution *execution, const struct data *data, int64_t plain_weights, bool cold)
{
    falt_tensors *tensors = &execution->tensors;
    const size_t packed = falt_plan_packed_weights_size(execution->plan);
    *tensors = data->tensors;
    if (packed > 0) {
        execution->packed = block_allocate(packed);
        if (execution->packed == NULL)
            return false;
        execution->refused = falt_pack_weights(execution->plan, tensors->weights, execution->packed, packed) != FALT_OK;
        if (execution->refused)
            return false;
    }
    void *weights = packed > 0 ? execution->packed : (void *)(uintptr_t)tensors->weights;
    const size_t size = packed > 0 ? packed : (size_t)plain_weights * sizeof(float);
    if (weights != NULL && !copies_make(execution->weights, weights, size, cold))
        return false;
    tensors->workspace_size = falt_plan_workspace_size(execution->plan, 1);
    tensors->workspace = block_allocate(tensors->workspace_size);
    return tensors->workspace != NULL;
}

void execution_release(struct execution *execution)
{
    block_release(execution->packed);
    block_release(execution->tensors.workspace);
}
