#include "sections.h"

#include "cost.h"
#include "padding.h"

static const double WORTH = 0.98;

struct rectangles falt_uncut(const struct problem *p)
{
    return (struct rectangles){.rows = {1, {p->out[1]}}, .columns = {1, {p->out[2]}}, .share = 1.0};
}

/* Cuts a dimension wherever an output sees a tap that its neighbour does not; not at all if that is too often. */
static struct sections cut_everywhere(const struct problem *p, int i)
{
    struct sections s = {.count = 0};
    for (int64_t begin = 0, end; begin < p->out[i]; begin = end) {
        end = p->out[i];
        for (int64_t t = 0; t < p->kernel[i]; t++) {
            const struct range r = falt_seeing_outputs(p, i, t);
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
static double seen_taps(const struct problem *p, int i, const struct sections *s, int index, int64_t together)
{
    const int64_t begin = section_begin(s, index), end = s->end[index];
    int64_t seen = 0;
    for (int64_t t = 0; t < p->kernel[i]; t++) {
        const struct range r = falt_seeing_outputs(p, i, t);
        const int64_t count = smaller(r.end, end) - larger(r.begin, begin);
        seen += count > 0 ? smaller(count + together - 1, end - begin) : 0;
    }
    return (double)seen / (double)(end - begin);
}

/* What the register tiles are like. */
struct tiling {
    const struct problem *p;
    int64_t rows;
    int vectors;
    double least; /* cycles of a k-step: to read the weights */
};

/* Cycles of a column, cut into those rows. Tiles of wide ones are a piece of a row. */
static double column_cycles(const struct tiling *t, const struct sections *columns, int column, const struct sections *rows)
{
    const struct problem *p = t->p;
    const int64_t width = columns->end[column] - section_begin(columns, column);
    const double depth = seen_taps(p, 2, columns, column, t->rows) * (double)(p->kernel[0] * p->x_group);
    double cycles = 0.0;
    for (int i = 0; i < rows->count; i++) {
        const int64_t pixels = (rows->end[i] - section_begin(rows, i)) * width;
        const double step = fmax(cost_rows_step(pixels, t->rows, t->vectors), (double)divide_up(pixels, t->rows) * t->least);
        cycles += step * depth * seen_taps(p, 1, rows, i, divide_up(t->rows, width)) + cost_rows_calls(pixels, t->rows);
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
    const struct tiling t = {
        .p = p,
        .rows = panels->rows,
        .vectors = panels->vectors,
        .least = panel > (double)l2 / 2.0 ? width / cost_stream_bytes : 0.0,
    };
    struct rectangles uncut = falt_uncut(p);
    const struct sections rows = cut_everywhere(p, 1), columns = cut_everywhere(p, 2);
    const struct rectangles starts[] = {
        {.rows = uncut.rows, .columns = columns},
        {.rows = rows, .columns = uncut.columns},
        {.rows = rows, .columns = columns},
    };
    const double whole = plane_cycles(&t, &uncut);
    struct rectangles best = {.share = WORTH};
    for (int i = 0; i < 3; i++) {
        struct rectangles cut = starts[i];
        merge(&t, &cut, &cut.columns);
        cut.share = merge(&t, &cut, &cut.rows) / whole;
        if (cut.share < best.share)
            best = cut;
    }
    return best.share < WORTH ? best : uncut;
}
