/*
 * operator.c - y = A x and x = A^T y through the fast passes.
 *
 * A circular boundary most solvers find by themselves: a pixel beyond the border is one at the other side (falt_pixel). For the
 * others it is had by writing out the periodic image as far as the outputs see it, E x, and a convolution without padding, K:
 * C = K E. Its transpose is C^T = E^T K^T: backward data, then E^T, which adds what belongs to the same pixel. Both E and E^T
 * are done row by row of what they write, so threads never meet.
 *
 *     image      a b c d            pad_begin 2, pad_end 1
 *     E image    c d a b c d a      E^T adds columns 2 and 6 into a, 3 into b, 0 and 4 into c, 1 and 5 into d
 *
 * With stride 1 and as many outputs as inputs C^T goes around the circle as well, and needs no E^T: C^T = K'^T E', y written
 * out, then backward data of the convolution whose padding is all that its kernel reaches.
 */
#include "operator.h"

#include <string.h>

#include "arithmetic.h"
#include "error.h"
#include "parallel.h"
#include "plan.h"
#include "solver.h"

/* -------------------------------------------------------------------------------------------------- the periodic image */

/* Images and, with channels first, channels form `planes` of three dimensions; with channels last they are in the pixel. */
struct extension {
    const struct periodic *periodic;
    const float *from;
    float *to;
    int64_t planes, pixel; /* floats of a pixel */
};

static struct extension extension_of(const struct falt_operator *op, const struct direction *d, const float *from, float *to)
{
    const struct problem *p = &op->problem;
    const bool last = p->layout == FALT_CHANNELS_LAST;
    const int64_t channels = d->periodic.channels;
    return (struct extension){&d->periodic, from, to, p->batch * (last ? 1 : channels), last ? channels : 1};
}

static void extend_member(void *context, int member, int members)
{
    const struct extension *e = context;
    const int64_t *extent = e->periodic->extent, *in = e->periodic->image, *shift = e->periodic->shift;
    int64_t item, end;
    falt_share(e->planes * extent[0] * extent[1], member, members, &item, &end);
    for (; item < end; item++) {
        const int64_t h = remainder_of(item % extent[1] - shift[1], in[1]), rest = item / extent[1];
        const int64_t d = remainder_of(rest % extent[0] - shift[0], in[0]), plane = rest / extent[0];
        const float *from = e->from + ((plane * in[0] + d) * in[1] + h) * in[2] * e->pixel;
        float *to = e->to + item * extent[2] * e->pixel;
        int64_t w = remainder_of(-shift[2], in[2]);
        for (int64_t done = 0, run; done < extent[2]; done += run, w = 0) {
            run = smaller(in[2] - w, extent[2] - done);
            memcpy(to + done * e->pixel, from + w * e->pixel, (size_t)(run * e->pixel) * sizeof(float));
        }
    }
}

static void fold_member(void *context, int member, int members)
{
    const struct extension *e = context;
    const int64_t *extent = e->periodic->extent, *in = e->periodic->image, *shift = e->periodic->shift;
    int64_t item, end;
    falt_share(e->planes * in[0] * in[1], member, members, &item, &end);
    for (; item < end; item++) {
        const int64_t row = item % in[1], slice = item / in[1] % in[0], plane = item / in[1] / in[0];
        float *to = e->to + item * in[2] * e->pixel;
        bool fresh = true; /* what comes first is copied, so that most is written once */
        for (int64_t d = remainder_of(slice + shift[0], in[0]); d < extent[0]; d += in[0])
            for (int64_t h = remainder_of(row + shift[1], in[1]); h < extent[1]; h += in[1], fresh = false) {
                const float *from = e->from + ((plane * extent[0] + d) * extent[1] + h) * extent[2] * e->pixel;
                if (fresh && extent[2] < in[2])
                    memset(to, 0, (size_t)(in[2] * e->pixel) * sizeof(float));
                int64_t w = remainder_of(-shift[2], in[2]);
                for (int64_t done = 0, run; done < extent[2]; done += run, w = w + run < in[2] ? w + run : 0) {
                    const bool first = fresh && done < in[2];
                    run = smaller(in[2] - w, (first ? smaller(extent[2], in[2]) : extent[2]) - done);
                    if (first)
                        memcpy(to + w * e->pixel, from + done * e->pixel, (size_t)(run * e->pixel) * sizeof(float));
                    else
                        for (int64_t i = 0; i < run * e->pixel; i++)
                            to[w * e->pixel + i] += from[done * e->pixel + i];
                }
            }
        if (fresh)
            memset(to, 0, (size_t)(in[2] * e->pixel) * sizeof(float));
    }
}

/* --------------------------------------------------------------------------------------------------------------- creation */

static bool is_circulant(const struct problem *p)
{
    bool circulant = true;
    for (int k = 0; k < 3; k++)
        circulant = circulant && p->stride[k] == 1 && p->out[k] == p->in[k];
    return circulant;
}

/* What a direction computes with a circular boundary, by a plan without padding, or with all of it where y is written out. What
 * outputs do not see (end padding that a stride skips) is left out; what they see beyond the end padding (output_padding) is
 * in. */
static falt_conv plan_periodic(const struct falt_operator *op, struct direction *d)
{
    const struct problem *p = &op->problem;
    const bool outputs = d->pass == FALT_BACKWARD_DATA && is_circulant(p);
    struct periodic *c = &d->periodic;
    falt_conv planned = op->conv;
    planned.transposed = 0;
    planned.in_channels = p->x_channels;
    planned.out_channels = p->y_channels;
    c->work = outputs || d->pass == FALT_FORWARD ? EXTEND : FOLD;
    c->channels = outputs ? p->y_channels : p->x_channels;
    for (int k = 0; k < 3; k++) {
        const int64_t reach = (p->kernel[k] - 1) * p->dilation[k];
        c->image[k] = p->in[k];
        c->extent[k] = (p->out[k] - 1) * p->stride[k] + reach + 1;
        c->shift[k] = outputs ? reach - p->pad[k] : p->pad[k];
    }
    for (int i = 0; i < p->dims; i++) {
        const int k = FALT_MAX_DIMS - p->dims + i;
        planned.in[i] = outputs ? p->in[k] : c->extent[k];
        planned.pad_begin[i] = planned.pad_end[i] = outputs ? (p->kernel[k] - 1) * p->dilation[k] : 0;
        planned.output_padding[i] = 0;
        planned.stride[i] = p->stride[k]; /* a step that is never taken is 1 here, and may not be in conv */
        planned.dilation[i] = p->dilation[k];
    }
    return planned;
}

/* The plan that finds its pixels around the circle by itself, instead of that of the periodic image, where there is one:
 * backward data must come around to where its phases began, and vectors of a row's pixels go around once, so that some rows are
 * too short for a depthwise plan, for which no other algorithm makes up. Which of the two serves follows from the algorithms,
 * and so not from the threads. */
static falt_status plan_around(const struct falt_operator *op, struct direction *d)
{
    const struct problem *p = &op->problem;
    falt_plan_info info = {.struct_size = sizeof info};
    falt_status status = falt_plan_get_info(d->plan, &info);
    if (status != FALT_OK || info.algorithm == FALT_ALGO_REFERENCE)
        return status;
    const bool depthwise = info.algorithm == FALT_ALGO_DEPTHWISE;
    falt_conv conv = op->conv;
    conv.transposed = 0;
    conv.in_channels = p->x_channels;
    conv.out_channels = p->y_channels;
    for (int i = 0; i < p->dims; i++) {
        const int k = FALT_MAX_DIMS - p->dims + i;
        const int64_t last = (p->out[k] - 1) * p->stride[k] + (p->kernel[k] - 1) * p->dilation[k] - p->pad[k];
        const int64_t beyond = larger(last + 1 - p->in[k], 0);
        if (p->in[k] + beyond - last - 1 >= p->stride[k] || /* ends so early that there are more outputs */
            (d->pass == FALT_BACKWARD_DATA && p->in[k] != p->stride[k] * p->out[k]))
            return FALT_OK;
        conv.in[i] = p->in[k];
        conv.pad_end[i] = beyond;
        conv.output_padding[i] = 0;
        conv.stride[i] = p->stride[k];
        conv.dilation[i] = p->dilation[k];
    }
    falt_plan *around;
    status = falt_plan_create_circular(&around, &conv, d->pass, &op->options);
    if (status == FALT_UNSUPPORTED)
        return FALT_OK;
    if (status == FALT_OK)
        status = falt_plan_get_info(around, &info);
    if (status != FALT_OK || (depthwise && info.algorithm != FALT_ALGO_DEPTHWISE)) {
        falt_plan_destroy(around);
        return status;
    }
    falt_plan_destroy(d->plan);
    d->plan = around;
    d->periodic.work = NOTHING;
    return FALT_OK;
}

static falt_status plan_direction(struct falt_operator *op, struct direction *d, falt_pass pass)
{
    const struct problem *p = &op->problem;
    d->pass = pass;
    falt_conv planned = op->conv;
    if (op->boundary == FALT_BOUNDARY_CIRCULAR)
        planned = plan_periodic(op, d);
    falt_status status = falt_plan_create(&d->plan, &planned, pass, &op->options);
    if (status == FALT_OK && d->periodic.work != NOTHING)
        status = plan_around(op, d);
    if (status != FALT_OK)
        return status;
    if (d->periodic.work != NOTHING) /* the plan has found that this fits */
        d->periodic.floats =
            p->batch * d->periodic.channels * d->periodic.extent[0] * d->periodic.extent[1] * d->periodic.extent[2];
    const size_t size = falt_plan_packed_weights_size(d->plan);
    if (size == 0)
        return FALT_OK;
    d->packed = op->allocator.allocate(op->allocator.context, size, SOLVER_ALIGN);
    if (!d->packed)
        return falt_fail(FALT_OUT_OF_MEMORY, "no memory for packed weights of %zu bytes", size);
    return falt_pack_weights(d->plan, op->weights, d->packed, size);
}

static falt_status fill(struct falt_operator *op, const float *weights)
{
    const struct problem *p = &op->problem;
    const bool circular = op->boundary == FALT_BOUNDARY_CIRCULAR;
    op->weights = falt_allocate(&op->allocator, p->w_count, sizeof(float));
    if (!op->weights)
        return falt_fail(FALT_OUT_OF_MEMORY, "no memory for %lld weights", (long long)p->w_count);
    memcpy(op->weights, weights, (size_t)p->w_count * sizeof(float));
    const bool backward = circular && p->transposed; /* the plans know C only */
    falt_status status = plan_direction(op, &op->direction[0], backward ? FALT_BACKWARD_DATA : FALT_FORWARD);
    if (status == FALT_OK)
        status = plan_direction(op, &op->direction[1], backward ? FALT_FORWARD : FALT_BACKWARD_DATA);
    if (status != FALT_OK)
        return status;
    falt_plan_info info = {.struct_size = sizeof info};
    status = falt_plan_get_info(op->direction[0].plan, &info);
    op->threads = info.threads;
    return status;
}

falt_status falt_operator_create(falt_operator **op, const falt_conv *conv, falt_boundary boundary, const float *weights,
                                 const falt_options *options)
{
    if (!op)
        return falt_fail(FALT_INVALID_ARGUMENT, "op is NULL");
    *op = NULL;
    if (!weights)
        return falt_fail(FALT_INVALID_ARGUMENT, "weights is NULL");
    if (boundary != FALT_BOUNDARY_ZERO && boundary != FALT_BOUNDARY_CIRCULAR)
        return falt_fail(FALT_INVALID_ARGUMENT, "boundary %d is neither zero (0) nor circular (1)", (int)boundary);
    const falt_options defaults = FALT_OPTIONS_INIT;
    if (!options)
        options = &defaults;
    if (options->struct_size != sizeof *options || !options->allocator.allocate != !options->allocator.release) {
        falt_plan *none; /* has the words for it */
        return falt_plan_create(&none, conv, FALT_FORWARD, options);
    }
    struct problem problem;
    falt_status status = falt_problem_init(&problem, conv, FALT_FORWARD, NULL);
    if (status != FALT_OK)
        return status;
    if (conv->activation != FALT_ACT_NONE)
        return falt_fail(FALT_INVALID_ARGUMENT, "activation %d is not linear", (int)conv->activation);

    const falt_allocator allocator = falt_allocator_of(options);
    falt_operator *made = falt_allocate(&allocator, 1, sizeof *made);
    if (!made)
        return falt_fail(FALT_OUT_OF_MEMORY, "no memory for an operator of %zu bytes", sizeof *made);
    memset(made, 0, sizeof *made);
    made->allocator = allocator;
    made->problem = problem;
    made->boundary = boundary;
    made->conv = *conv;
    made->options = *options;
    status = fill(made, weights);
    if (status != FALT_OK) {
        falt_operator_destroy(made);
        return status;
    }
    *op = made;
    return FALT_OK;
}

void falt_operator_destroy(falt_operator *op)
{
    if (!op)
        return;
    const falt_allocator allocator = op->allocator;
    for (int i = 0; i < 2; i++) {
        falt_plan_destroy(op->direction[i].plan);
        falt_release(&allocator, op->direction[i].packed);
    }
    falt_release(&allocator, op->weights);
    falt_release(&allocator, op);
}

/* ------------------------------------------------------------------------------------------------------------ application */

/* The periodic image comes first in the workspace, the plan's own workspace after it. */
static size_t periodic_bytes(const struct direction *d)
{
    return d->periodic.floats ? falt_with_slack(round_to_lines((size_t)d->periodic.floats * sizeof(float))) : 0;
}

static size_t direction_bytes(const struct direction *d)
{
    return periodic_bytes(d) + falt_plan_workspace_size(d->plan, 1);
}

size_t falt_operator_workspace_size(const falt_operator *op)
{
    if (!op)
        return 0;
    const size_t a = direction_bytes(&op->direction[0]), b = direction_bytes(&op->direction[1]);
    return a > b ? a : b;
}

static falt_status run(const falt_operator *op, const struct direction *d, const float *from, float *to, char *workspace,
                       size_t size)
{
    const size_t skip = (size_t)(-(uintptr_t)workspace % SOLVER_ALIGN), used = periodic_bytes(d);
    const int work = d->periodic.work;
    float *image = work == NOTHING ? NULL : (float *)(void *)(workspace + skip);
    const float *in = work == EXTEND ? image : from;
    float *out = work == FOLD ? image : to;
    struct extension extend = extension_of(op, d, from, image), fold = extension_of(op, d, image, to);
    falt_tensors t = {.weights = op->weights,
                      .packed_weights = d->packed,
                      .workspace = size > used ? workspace + used : NULL,
                      .workspace_size = size - used};
    if (d->pass == FALT_FORWARD) {
        t.src = in;
        t.dst = out;
    } else {
        t.diff_dst = in;
        t.diff_src = out;
    }
    if (work == EXTEND)
        falt_parallel(op->threads, extend_member, &extend);
    const falt_status status = falt_execute(d->plan, &t);
    if (status == FALT_OK && work == FOLD)
        falt_parallel(op->threads, fold_member, &fold);
    return status;
}

static falt_status apply(const falt_operator *op, int direction, const float *from, float *to, void *workspace, size_t size)
{
    if (!op)
        return falt_fail(FALT_INVALID_ARGUMENT, "op is NULL");
    if (op->problem.batch == 0)
        return FALT_OK;
    if (!from || !to)
        return falt_fail(FALT_INVALID_ARGUMENT, "%s is NULL", !from == !direction ? "x" : "y");
    const size_t needed = falt_operator_workspace_size(op);
    if (workspace && size < needed)
        return falt_fail(FALT_WORKSPACE, "workspace needs %zu bytes, has %zu", needed, size);
    void *own = NULL;
    if (!workspace && needed) {
        workspace = own = op->allocator.allocate(op->allocator.context, needed, SOLVER_ALIGN);
        if (!own)
            return falt_fail(FALT_OUT_OF_MEMORY, "no memory for a workspace of %zu bytes", needed);
    }
    const falt_status status = run(op, &op->direction[direction], from, to, workspace, needed);
    falt_release(&op->allocator, own);
    return status;
}

falt_status falt_operator_apply(const falt_operator *op, const float *x, float *y, void *workspace, size_t workspace_size)
{
    return apply(op, 0, x, y, workspace, workspace_size);
}

falt_status falt_operator_apply_transposed(const falt_operator *op, const float *y, float *x, void *workspace,
                                           size_t workspace_size)
{
    return apply(op, 1, y, x, workspace, workspace_size);
}
