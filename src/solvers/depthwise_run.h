/* depthwise_run.h - what depthwise_run.c, which runs tiles where x lies, and depthwise_strips.c, out of copies, share. */
#ifndef FALT_SOLVERS_DEPTHWISE_RUN_H
#define FALT_SOLVERS_DEPTHWISE_RUN_H

#include "depthwise.h"

struct job {
    const struct problem *p;
    const struct depthwise *d;
    const struct operands *operands;
    depthwise_kernel *kernel, *block; /* of one output row, of d->down */
    const struct kernels *kernels;
    struct epilogue epilogue;
    struct tensor_strides x;
    ptrdiff_t pitch; /* floats from one position of the sliding dimension to the next, */
    ptrdiff_t row;   /* and channels last, of the other one */
    bool stream;     /* store past the caches */
};

/* Where a tile is: image, output depth, output row, and its first output along the sliding dimension (a block of a row where
 * the tile runs along it); channels first: of which group. */
struct place {
    int64_t n, z, y, first, group;
};

/* A thread's workspace. */
struct thread_space {
    struct depthwise_line *lines;
    struct columns *columns;
    struct lanes *lanes;
    float *strip, *result, *scattered, *bias;
};

/* Where its first output is, of the first channel. */
static inline ptrdiff_t output_at(const struct problem *p, const struct place *at)
{
    return p->y.base + at->n * p->y.n + at->z * p->y.pixel[0] + at->y * p->y.pixel[1] + at->first * p->y.pixel[2];
}

/* Which lanes of all lines may be read. */
static inline void set_lanes(const struct depthwise *d, struct depthwise_line *lines, const struct lanes *lanes, int64_t end)
{
    for (int64_t i = 0; i < d->lines + d->taps + d->down - 1; i++) {
        lines[i].lane_begin = lanes ? lanes[i].begin : 0;
        lines[i].lane_end = lanes ? lanes[i].end : (int32_t)end;
    }
}

/* Units [begin, end) of blocks [index, last) of all planes, out of strips. */
void falt_depthwise_run_strips(const struct job *job, const struct thread_space *space, int64_t index, int64_t last,
                               int64_t begin, int64_t end);

#endif
