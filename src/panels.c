#include "panels.h"

#include "cost.h"

double falt_panels_step(const struct kernels *kernels, int64_t channels, int vectors, int64_t rows)
{
    const int64_t all = divide_up(channels, kernels->vec);
    const int64_t most = kernels->gemm_rows[vectors];
    const int last = (int)(all % vectors);
    const double cycles = (double)(all / vectors) * cost_rows_step(rows, most, vectors);
    return last ? cycles + cost_rows_step(rows, most, last) : cycles;
}

struct panels falt_panels(const struct kernels *kernels, int64_t channels, int64_t rows)
{
    int best = 2;
    double least = falt_panels_step(kernels, channels, best, rows);
    /* Two vectors first: tall tiles read the weights least often. Another width must be better by more than that. */
    for (int vectors = 1; vectors <= GEMM_MAX_VECTORS; vectors++) {
        const double cycles = kernels->gemm_rows[vectors] ? falt_panels_step(kernels, channels, vectors, rows) : 1e30;
        if (cycles < least * 0.97) {
            best = vectors;
            least = cycles;
        }
    }
    struct panels panels = {.vectors = channels <= kernels->vec ? 1 : best, .vec = kernels->vec};
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
            const int64_t first = panel * panels->nr, width = falt_panel_width(panels, panel);
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
