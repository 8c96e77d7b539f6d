#include "padding.h"

enum { MOST_TAPS = 1024 }; /* that are counted: of more, some stand for all */

struct range falt_whole_outputs(const struct problem *p, int dimension)
{
    const int64_t out = p->out[dimension], last = p->in[dimension] + p->pad[dimension] - window_extent(p, dimension);
    const int64_t begin = smaller(divide_up(larger(p->pad[dimension], 0), p->stride[dimension]), out);
    const int64_t end = last < 0 ? begin : smaller(last / p->stride[dimension] + 1, out);
    return (struct range){begin, larger(begin, end)};
}

double falt_whole_share(const struct problem *p)
{
    double share = 1.0;
    for (int i = 0; i < 3; i++)
        share *= (double)length(falt_whole_outputs(p, i)) / (double)larger(p->out[i], 1);
    return share;
}

bool falt_reaches_out(const struct problem *p)
{
    for (int i = 0; i < 3; i++)
        if (p->pad[i] > 0 || window_begin(p, i, p->out[i] - 1) + window_extent(p, i) > p->in[i])
            return true;
    return false;
}

struct range falt_seen_taps(const struct problem *p, int dimension, int64_t first, int64_t last)
{
    const int64_t kernel = p->kernel[dimension], step = p->dilation[dimension], in = p->in[dimension];
    const int64_t begin = last < 0 ? smaller(divide_up(-last, step), kernel) : 0;
    const int64_t end = first + (kernel - 1) * step < in ? kernel : first < in ? divide_up(in - first, step) : 0;
    if (p->circular)
        return (struct range){0, kernel};
    return begin < end ? (struct range){begin, end} : (struct range){0, 0};
}

struct range falt_seeing_outputs(const struct problem *p, int dimension, int64_t tap)
{
    const int64_t from = p->pad[dimension] - tap * p->dilation[dimension], to = from + p->in[dimension];
    const int64_t begin = from > 0 ? divide_up(from, p->stride[dimension]) : 0;
    const int64_t end = to > 0 ? divide_up(to, p->stride[dimension]) : 0;
    return (struct range){smaller(begin, p->out[dimension]), smaller(end, p->out[dimension])};
}

double falt_seen_share(const struct problem *p, int dimension, int64_t together)
{
    const int64_t out = p->out[dimension], kernel = p->kernel[dimension], step = 1 + kernel / MOST_TAPS;
    double seen = 0.0, all = 0.0;
    if (p->circular || out == 0 || kernel == 0)
        return 1.0;
    for (int64_t k = 0; k < kernel; k += step) {
        const int64_t count = length(falt_seeing_outputs(p, dimension, k));
        seen += count > 0 ? (double)smaller(count + together - 1, out) : 0.0;
        all += (double)out;
    }
    return seen / all;
}

bool falt_is_flat(const struct problem *p)
{
    int64_t pixels = 1; /* of the output dimensions further in */
    for (int i = 2; i >= 0; pixels *= p->out[i--])
        if (p->out[i] != p->in[i] || (p->out[i] > 1 && p->y.pixel[i] != pixels * p->y.pixel[2]))
            return false;
    return p->taps == 1 && (p->batch == 1 || p->y.n == pixels * p->y.pixel[2]);
}
