#include "panels.h"

#include <math.h>
#include "cost.h"

double falt_panels_step(const struct panels *panels, int64_t rows)
{
    const int64_t all = panels->padded / panels->vec, each = all / panels->count, wider = all % panels->count;
    return (double)wider * cost_rows_step(rows, panels->rows, (int)each + 1) +
           (double)(panels->count - wider) * cost_rows_step(rows, panels->rows, (int)each);
}

double falt_full_panels_step(const struct panels *panels, int64_t channels, int64_t rows)
{
    const int64_t all = divide_up(channels, panels->vec);
    const int last = (int)(all % panels->vectors);
    const double cycles = (double)(all / panels->vectors) * cost_rows_step(rows, panels->rows, panels->vectors);
    return last ? cycles + cost_rows_step(rows, panels->rows, last) : cycles;
}

/*
 * Where sums are short, what a tile's rows cost beside them decides, and wide tiles have few: 1x1 24 -> 144 at 56x56 runs at
 * 0.84 of the FMA peak with 9x3, 0.81 with 6x4, 0.74 with 12x2 (AVX-512). Where they are long, two vectors unless another width
 * is clearly faster: tall tiles read the weights least often, and a wide panel outgrows L2. But pixels a multiple of 4 KiB
 * apart all meet in one set of L1, where a tile's rows had better leave a few ways to the weights' lines and to another thread
 * of the core: they come again in turn, so that one line too many costs all of them. With 12 ways, 44 problems of 1024 to 4096
 * channels are 1.01 times as fast with 10 rows as with 12 on a core by itself and 1.10 (to 1.24) times beside another thread
 * (Zen 5); with 8, 1x1 1024 -> 512 at 14x14 is 6 % faster with 6x4 than with 12x2 (Zen 4). A tile that takes all rows reads the
 * weights once, and may have all ways: 1x1 1024 -> 400 of 7 pixels is 1.3 times faster with 7x2 than with 4x4 and 3x4, 4096 ->
 * 1000 of 11 pixels 1.2 times with 11x2 than with 6x2 and 5x2.
 */
struct panels falt_panels(const struct kernels *kernels, int64_t channels, int64_t rows, int64_t depth, int64_t apart,
                          int64_t ways)
{
    enum { SHORT = 512, SET = 1024, SPARE_WAYS = 2 };
    struct panels best;
    double least = INFINITY;
    for (int vectors = 1; vectors <= GEMM_MAX_VECTORS; vectors++) {
        struct panels panels = falt_panels_of(kernels, channels, vectors);
        const int64_t most = rows > ways ? larger(1, ways - SPARE_WAYS) : ways;
        if (apart % SET == 0 && ways > 0)
            panels.rows = (int)smaller(panels.rows, most);
        const double step = falt_panels_step(&panels, rows);
        const double calls = (double)panels.count * cost_rows_calls(rows, panels.rows);
        const double tallest = depth > SHORT && vectors == 2 ? 0.97 : 1.0;
        const double favour = depth > SHORT && rows <= panels.rows ? 0.97 * tallest : tallest;
        const double cycles = ((double)depth * step + calls) * favour;
        if (cycles < least) {
            best = panels;
            least = cycles;
        }
    }
    return best;
}

struct panels falt_panels_of(const struct kernels *kernels, int64_t channels, int vectors)
{
    struct panels panels = {.vec = kernels->vec};
    panels.vectors = (int)smaller(vectors, divide_up(channels, kernels->vec));
    panels.rows = kernels->gemm_rows[panels.vectors];
    panels.nr = (int64_t)panels.vectors * panels.vec;
    panels.count = divide_up(channels, panels.nr);
    panels.padded = divide_up(channels, panels.vec) * panels.vec;
    return panels;
}

double falt_panels_floats(const struct problem *p, const struct panels *panels)
{
    return (double)p->groups * (double)panels->padded * (double)(p->taps * p->x_group);
}

void falt_pack_panels(const struct problem *p, const struct panels *panels, const float *weights, float *packed)
{
    float *out = packed;
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t panel = 0; panel < panels->count; panel++) {
            const int64_t first = falt_panel_first(panels, panel), width = falt_panel_width(panels, panel);
            const int64_t real = smaller(width, p->y_group - first);
            const float *from = weights + p->w.base + g * p->w.group + first * p->w.o;
            for (int64_t k = 0; k < p->kernel[0]; k++)
                for (int64_t r = 0; r < p->kernel[1]; r++)
                    for (int64_t t = 0; t < p->kernel[2]; t++)
                        for (int64_t i = 0; i < p->x_group; i++) {
                            const int64_t at = k * p->w.tap[0] + r * p->w.tap[1] + t * p->w.tap[2] + i * p->w.i;
                            for (int64_t o = 0; o < width; o++)
                                *out++ = o < real ? from[at + o * p->w.o] : 0.0f;
                        }
        }
}
