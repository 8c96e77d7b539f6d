#include "padding.h"

enum { MOST_TAPS = 1024 }; /* that are counted: of more, some stand for all */

struct range falt_whole_outputs(const struct problem *p, int dimension)
{
    const int64_t reach = (p->kernel[dimension] - 1) * p->dilation[dimension] + 1, out = p->out[dimension];
    const int64_t last = p->in[dimension] + p->pad[dimension] - reach;
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

double falt_seen_share(const struct problem *p, int dimension, int64_t together)
{
    const int64_t out = p->out[dimension], kernel = p->kernel[dimension], stride = p->stride[dimension];
    const int64_t step = 1 + kernel / MOST_TAPS;
    double seen = 0.0, all = 0.0;
    if (p->circular || out == 0 || kernel == 0)
        return 1.0;
    for (int64_t k = 0; k < kernel; k += step) {
        const int64_t from = p->pad[dimension] - k * p->dilation[dimension], to = from + p->in[dimension];
        const int64_t begin = from > 0 ? divide_up(from, stride) : 0;
        const int64_t count = to > 0 ? smaller(divide_up(to, stride), out) - begin : 0;
        seen += count > 0 ? (double)smaller(count + together - 1, out) : 0.0;
        all += (double)out;
    }
    return seen / all;
}
