/*
 * sizes.c - faltung sizes: the arithmetic of output sizes, and of the way back (Dumoulin, Visin, "A guide to convolution
 * arithmetic for deep learning", 2016).
 *
 * A convolution takes i + 2p - (dilated) k to a multiple of s, and drops the remainder a: so i -> o is not one to one. The
 * transposed convolution with the same kernel, stride and padding takes o back to i - a, and an output padding of a makes it i.
 * It is the same as a plain convolution, stride 1, over its input with s - 1 zeros inserted between pixels, padded by k - 1 - p
 * at the begin, with its kernel rotated by half a turn.
 */
#include <inttypes.h>
#include <stdio.h>
#include "commands.h"

/* "56x56" */
static void print_sizes(const char *label, const int64_t *sizes, int dims)
{
    printf("%s", label);
    for (int d = 0; d < dims; d++)
        printf("%s%" PRId64, d > 0 ? "x" : "", sizes[d]);
}

static int64_t extent_of(const falt_conv *conv, int d)
{
    return conv->dilation[d] * (conv->kernel[d] - 1) + 1;
}

/* The convolution of which `conv`, a transposed one, goes the way back; false and the reason if there is none. */
static bool associate(const falt_conv *conv, falt_conv *other, char *reason, size_t size)
{
    int64_t out[FALT_MAX_DIMS];
    falt_output_shape(conv, out);
    *other = *conv;
    other->transposed = !conv->transposed;
    other->in_channels = conv->out_channels;
    other->out_channels = conv->in_channels;
    for (int d = 0; d < conv->spatial_dims; d++) {
        other->in[d] = out[d];
        const int64_t padding = conv->pad_begin[d] + conv->pad_end[d], extent = extent_of(conv, d), s = conv->stride[d];
        if (!conv->transposed) {
            const int64_t natural = (out[d] - 1) * s + extent - padding; /* what comes back without output padding */
            other->output_padding[d] = conv->in[d] - natural;            /* what the stride dropped: 0 to s - 1 */
        } else {
            other->output_padding[d] = 0;
            const int64_t padded = out[d] + padding;
            const int64_t back = padded < extent ? 0 : (padded - extent) / s + 1;
            if (back != conv->in[d]) {
                snprintf(reason, size,
                         "output_padding %" PRId64 " in dimension %d is not less than the stride %" PRId64
                         ": a convolution takes its %" PRId64 " pixels to %" PRId64 ", not %" PRId64,
                         conv->output_padding[d], d, s, out[d], back, conv->in[d]);
                return false;
            }
        }
    }
    return true;
}

static void print_way_back(const struct job *job, const falt_conv *other)
{
    const falt_conv *conv = &job->conv, *up = conv->transposed ? conv : other;
    const int dims = conv->spatial_dims;
    falt_sizes sizes;
    if (falt_conv_sizes(other, &sizes) != FALT_OK) {
        printf("way back     none: %s\n", falt_last_error());
        return;
    }
    print_sizes(conv->transposed ? "way back     convolution " : "way back     transposed convolution ", other->in, dims);
    print_sizes(" -> ", sizes.out, dims);
    print_sizes(", kernel ", other->kernel, dims);
    print_sizes(", stride ", other->stride, dims);
    print_sizes(", padding ", other->pad_begin, dims);
    print_sizes(" and ", other->pad_end, dims);
    print_sizes(", output padding ", other->output_padding, dims);
    printf("\n");

    /* The transposed one as a convolution over stretched input. */
    int64_t out[FALT_MAX_DIMS], stretched[FALT_MAX_DIMS], zeros[FALT_MAX_DIMS], begin[FALT_MAX_DIMS], end[FALT_MAX_DIMS];
    falt_output_shape(up, out);
    for (int d = 0; d < dims; d++) {
        zeros[d] = up->stride[d] - 1;
        stretched[d] = (up->in[d] - 1) * up->stride[d] + 1;
        begin[d] = extent_of(up, d) - 1 - up->pad_begin[d];
        end[d] = extent_of(up, d) - 1 - up->pad_end[d] + up->output_padding[d];
    }
    print_sizes("the same as  convolution, stride 1, over ", up->in, dims);
    print_sizes(" with ", zeros, dims);
    print_sizes(" zeros inserted: ", stretched, dims);
    print_sizes(", padding ", begin, dims);
    print_sizes(" and ", end, dims);
    print_sizes(" -> ", out, dims);
    printf(", kernel rotated\n");
    for (int d = 0; d < dims; d++)
        if (begin[d] < 0 || end[d] < 0) {
            printf("             (negative padding crops: the padding exceeds the kernel)\n");
            break;
        }
}

/* Which padding gives output = input: only stride 1 does for every size. */
static void print_same(const falt_conv *conv)
{
    printf("same size    ");
    for (int d = 0; d < conv->spatial_dims; d++) {
        const int64_t s = conv->stride[d], total = (conv->in[d] - 1) * s + extent_of(conv, d) - conv->in[d];
        printf("%s", d > 0 ? "; " : "");
        if (conv->transposed) {
            const int64_t all = (conv->in[d] - 1) * s + extent_of(conv, d) + conv->output_padding[d] - conv->in[d];
            printf("padding %" PRId64 " and %" PRId64, all / 2, all - all / 2);
        } else if (total < 0)
            printf("none: a stride of %" PRId64 " and a kernel extent of %" PRId64 " need a negative padding", s,
                   extent_of(conv, d));
        else
            printf("padding %" PRId64 " and %" PRId64 "%s", total / 2, total - total / 2,
                   s > 1 ? " (this many, as the stride skips)" : "");
    }
    printf("\n");
}

int run_sizes(const struct selection *s)
{
    int failures = 0;
    for (int i = 0; i < s->job_count; i++) {
        const struct job *job = &s->jobs[i];
        const falt_conv *conv = &job->conv;
        falt_sizes sizes;
        if (falt_conv_sizes(conv, &sizes) != FALT_OK) {
            complain(s, job, "%s", falt_last_error());
            failures++;
            continue;
        }
        const int dims = conv->spatial_dims;
        printf("%s%s%s%s\n", i > 0 ? "\n" : "", job->layer->name, job->layer->name[0] != 0 ? ": " : "", job->problem);
        print_sizes(conv->transposed ? "transposed   " : "convolution  ", conv->in, dims);
        print_sizes(" -> ", sizes.out, dims);
        print_sizes(", kernel ", conv->kernel, dims);
        print_sizes(", stride ", conv->stride, dims);
        print_sizes(", dilation ", conv->dilation, dims);
        print_sizes(", padding ", conv->pad_begin, dims);
        print_sizes(" and ", conv->pad_end, dims);
        if (conv->transposed)
            print_sizes(", output padding ", conv->output_padding, dims);
        printf("\n");
        for (int d = 0; d < dims && !conv->transposed; d++) {
            const int64_t left = conv->in[d] + conv->pad_begin[d] + conv->pad_end[d] - extent_of(conv, d);
            printf("dimension %d  (%" PRId64 " + %" PRId64 " + %" PRId64 " - %" PRId64 ") / %" PRId64 " + 1 = %" PRId64
                   ", remainder %" PRId64 "\n",
                   d, conv->in[d], conv->pad_begin[d], conv->pad_end[d], extent_of(conv, d), conv->stride[d], sizes.out[d],
                   left % conv->stride[d]);
        }
        for (int d = 0; d < dims && conv->transposed; d++)
            printf("dimension %d  (%" PRId64 " - 1) * %" PRId64 " + %" PRId64 " - %" PRId64 " - %" PRId64 " + %" PRId64
                   " = %" PRId64 "\n",
                   d, conv->in[d], conv->stride[d], extent_of(conv, d), conv->pad_begin[d], conv->pad_end[d],
                   conv->output_padding[d], sizes.out[d]);
        printf("floats       src %" PRId64 ", weights %" PRId64 ", dst %" PRId64 "; %.6g multiply-adds\n", sizes.src,
               sizes.weights, sizes.dst, sizes.multiply_adds);
        print_same(conv);
        falt_conv other;
        char reason[256];
        if (associate(conv, &other, reason, sizeof reason))
            print_way_back(job, &other);
        else {
            complain(s, job, "%s", reason);
            failures++;
        }
    }
    return failures > 0;
}
