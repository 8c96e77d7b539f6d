#include "data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"

enum use { UNUSED, READ, READ_RESIDUAL, WRITTEN };

/* Which tensors each pass reads and writes (forward, backward data, backward weights), and how large they are. */
static const struct tensor {
    size_t pointer; /* in falt_tensors */
    size_t count;   /* in falt_sizes */
    enum use use[3];
} tensors[] = {
    {offsetof(falt_tensors, src), offsetof(falt_sizes, src), {READ, UNUSED, READ}},
    {offsetof(falt_tensors, weights), offsetof(falt_sizes, weights), {READ, READ, UNUSED}},
    {offsetof(falt_tensors, bias), offsetof(falt_sizes, bias), {READ, UNUSED, UNUSED}},
    {offsetof(falt_tensors, residual), offsetof(falt_sizes, dst), {READ_RESIDUAL, UNUSED, UNUSED}},
    {offsetof(falt_tensors, diff_dst), offsetof(falt_sizes, dst), {UNUSED, READ, READ}},
    {offsetof(falt_tensors, dst), offsetof(falt_sizes, dst), {WRITTEN, UNUSED, UNUSED}},
    {offsetof(falt_tensors, diff_src), offsetof(falt_sizes, src), {UNUSED, WRITTEN, UNUSED}},
    {offsetof(falt_tensors, diff_weights), offsetof(falt_sizes, weights), {UNUSED, UNUSED, WRITTEN}},
    {offsetof(falt_tensors, diff_bias), offsetof(falt_sizes, bias), {UNUSED, UNUSED, WRITTEN}},
};
enum { TENSORS = sizeof tensors / sizeof tensors[0] };

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void fill(float *values, int64_t count, uint64_t seed)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)((int32_t)(random_bits(&seed) >> 40) - (1 << 23)) * 0x1p-23f;
}

bool data_init(struct data *data, const falt_conv *conv, falt_pass pass, uint64_t seed, bool residual)
{
    falt_sizes sizes;
    *data = (struct data){.output_count = 0};
    if (falt_conv_sizes(conv, &sizes) != FALT_OK)
        return false;
    for (int i = 0; i < TENSORS; i++) {
        const enum use use = tensors[i].use[pass];
        if (use == UNUSED || (use == READ_RESIDUAL && !residual))
            continue;
        int64_t count;
        memcpy(&count, (const char *)&sizes + tensors[i].count, sizeof count);
        float *values = block_allocate((size_t)count * sizeof *values);
        if (values == NULL) {
            data_free(data);
            return false;
        }
        memcpy((char *)&data->tensors + tensors[i].pointer, &values, sizeof values);
        if (use == WRITTEN)
            data->outputs[data->output_count++] = (struct output){values, count};
        else
            fill(values, count, seed + ((uint64_t)i << 32));
    }
    data_poison(data);
    return true;
}

void data_free(struct data *data)
{
    for (int i = 0; i < TENSORS; i++) {
        void *values;
        memcpy(&values, (const char *)&data->tensors + tensors[i].pointer, sizeof values);
        block_release(values);
    }
    *data = (struct data){.output_count = 0};
}

void data_poison(struct data *data)
{
    for (int k = 0; k < data->output_count; k++)
        for (int64_t i = 0; i < data->outputs[k].count; i++)
            data->outputs[k].values[i] = NAN;
}
