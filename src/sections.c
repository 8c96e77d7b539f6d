#include "sections.h"

#include "cost.h"
#include "padding.h"

enum { MOST_TAPS = 16 }; /* longer kernels are not worth the time to plan */
static const double WORTH = 0.98;

struct rectangles falt_uncut(const struct problem *p)
{
    return (struct rectangles){.rows = {1, {p->out[1]}}, .columns = {1, {p->out[2]}}, .share = 1.0};
}

/* What register tiles are like, and which outputs of the last two dimensions see the image through each tap. */
struct tiling {
    const struct problem *p;
    int64_t rows;
    int vectors;
    double least; /* cycles of a k-step: to read the weights */
    struct range seeing[3][MOST_TAPS];
};

/* Cuts a dimension wherever an output sees a tap that its neighbour does not; not at all if that is too often. */
static struct sections cut_everywhere(const struct tiling *t, int i)
{
    const struct problem *p = t->p;
    struct sections s = {.count = 0};
    for (int64_t begin = 0, end; begin < p->out[i]; begin = end) {
        end = p->out[i];
        for (int64_t k = 0; k < p->kernel[i]; k++) {
            const struct range r = t->seeing[i][k];
            end = r.begin > begin ? smaller(end, r.begin) : end;
            end = r.end > begin ? smaller(end, r.end) : end;
        }
        if (s.count == MOST_SECTIONS)
            return (struct sections){.count = 1, .end = {p->out[i]}};
        s.end[s.count++] = end;
    }
    return s;
}

/* Taps along a dimension through which some of `together` neighbours see the image, on average in a section. */
static double seen_taps(const struct tiling *t, int i, const struct sections *s, int index, int64_t together)
{
    const int64_t begin = section_begin(s, index), end = s->end[index];
    int64_t seen = 0;
    for (int64_t k = 0; k < t->p->kernel[i]; k++) {
        const int64_t count = smaller(t->seeing[i][k].end, end) - larger(t->seeing[i][k].begin, begin);
        seen += count > 0 ? smaller(count + together - 1, end - begin) : 0;
    }
    return (double)seen / (double)(end - begin);
}

/* Cycles of a column, cut into those rows. Tiles of wide ones are a piece of a row. */
static double column_cycles(const struct tiling *t, const struct sections *columns, int column, const struct sections *rows)
{
    const struct problem *p = t->p;
    const int64_t width = columns->end[column] - section_begin(columns, column);
    const double depth = seen_taps(t, 2, columns, column, t->rows) * (double)(p->kernel[0] * p->x_group);
    double cycles = 0.0;
    for (int i = 0; i < rows->count; i++) {
        const int64_t pixels = (rows->end[i] - section_begin(rows, i)) * width;
        const double step = fmax(cost_rows_step(pixels, t->rows, t->vectors), (double)divide_up(pixels, t->rows) * t->least);
        cycles += step * depth * seen_taps(t, 1, rows, i, divide_up(t->rows, width)) + cost_rows_calls(pixels, t->rows);
    }
    return cycles;
}

static double plane_cycles(const struct tiling *t, struct rectangles *r)
{
    const struct sections uncut = falt_uncut(t->p).rows;
    double cycles = 0.0;
    for (int c = 0; c < r->columns.count; c++) {
        const double cut = column_cycles(t, &r->columns, c, &r->rows), whole = column_cycles(t, &r->columns, c, &uncut);
        r->whole[c] = whole <= cut;
        cycles += fmin(whole, cut);
    }
    return cycles;
}

/* Takes out cuts of `s`, rows or columns of r, the least useful first, as long as that makes a plane no slower. */
static double merge(const struct tiling *t, struct rectangles *r, struct sections *s)
{
    double least = plane_cycles(t, r);
    for (bool better = true; better && s->count > 1;) {
        const struct sections before = *s;
        struct sections best = before;
        better = false;
        for (int without = 0; without < before.count - 1; without++) {
            s->count = before.count - 1;
            for (int i = without; i < s->count; i++)
                s->end[i] = before.end[i + 1];
            const double cycles = plane_cycles(t, r);
            if (cycles <= least) {
                least = cycles;
                best = *s;
                better = true;
            }
            *s = before;
        }
        *s = best;
    }
    return plane_cycles(t, r);
}

struct rectangles falt_rectangles(const struct problem *p, const struct panels *panels, int64_t l2)
{
    const double width = (double)panels->nr * sizeof(float), panel = width * (double)(p->taps * p->x_group);
    struct tiling t = {
        .p = p,
        .rows = panels->rows,
        .vectors = panels->vectors,
        .least = panel > (double)l2 / 2.0 ? width / cost_stream_bytes : 0.0,
    };
    struct rectangles uncut = falt_uncut(p);
    for (int i = 1; i < 3; i++) {
        if (p->kernel[i] > MOST_TAPS)
            return uncut;
        for (int64_t k = 0; k < p->kernel[i]; k++)
            t.seeing[i][k] = falt_seeing_outputs(p, i, k);
    }
    const double least = falt_seen_share(p, 1, 1) * falt_seen_share(p, 2, 1); /* as if each pixel were by itself */
    const double whole = plane_cycles(&t, &uncut), all = cost_rows_step(p->out[1] * p->out[2], t.rows, t.vectors);
    if (least * all * (double)(p->taps * p->x_group) > WORTH * whole)
        return uncut;
    struct rectangles cut = {.rows = cut_everywhere(&t, 1), .columns = cut_everywhere(&t, 2)};
    merge(&t, &cut, &cut.columns);
    cut.share = merge(&t, &cut, &cut.rows) / whole;
    return cut.share < WORTH ? cut : uncut;
}
