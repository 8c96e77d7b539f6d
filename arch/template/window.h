/*
 * window.h - the sums over pixels of kernels.h for weight gradients of depthwise and grouped convolution.
 *
 * One accumulator for each position of the window, which slides along a few lines at once. Their last vectors of y are kept,
 * and each vector of x is loaded once for all pixels whose window covers it: 3 x 3 with stride 1 takes ten loads for nine
 * multiply-adds as each pixel by itself, four along one line, and eight for 27 along three. Fewer loads are fewer waits, too:
 * most of them come from L2, as pixels of many channels lie far apart and meet in few sets of L1. The sums of y, which a bias
 * gradient is, take an addition for each vector of y.
 */

enum {
    WINDOW_MAX_SPAN = 2 * (WINDOW_MAX_LINES - 1) + WINDOW_MAX_ROWS,
    WINDOW_PAIR = 2,
    WINDOW_LINE = (int)VEC < (int)LINE ? (int)LINE / (int)VEC : 1, /* units that share a cache line */
    WINDOW_TOTAL = 8 /* pixels of each line that are added before they are widened, at most */
};

#define EACH_WINDOW_ROW UNROLL for (int r = 0; r < WINDOW_MAX_ROWS; r++) if (r < rows)
#define EACH_WINDOW_TAP UNROLL for (int k = 0; k < WINDOW_MAX_WIDTH; k++) if (k < width)
#define EACH_WINDOW_LINE UNROLL for (int l = 0; l < WINDOW_MAX_LINES; l++) if (l < down)
#define EACH_WINDOW_UNIT UNROLL for (int u = 0; u < WINDOW_PAIR; u++) if (u < beside)
/* Rows of x that `down` lines see, those inside of the image. */
#define EACH_WINDOW_SEEN                                                                                                       \
    UNROLL for (int h = 0; h < WINDOW_MAX_SPAN; h++) if (h < (down - 1) * apart + rows && LIKELY(inside >> h & 1))

/* What a call's units and lines have in common: of a chain's steps [begin, end) those where each tap meets a pixel; or none. */
struct window_span {
    int64_t begin, first, last, end;
};

/* What is left to be asked for. */
struct window_asking {
    const float *from, *end;
    int region;
};

/*
 * One unit, or two side by side, `down` lines. Row h of x is seen by line l through row h - l * apart of the window, and column
 * n of step j by pixel j - i through tap n + i * apart. So `apart` is the stride both ways, or where no two windows share
 * anything the width, and down is 1. whole: all lanes are there, each multiplies its own.
 */
INLINE void window_block(const struct window_args *args, const struct window_span *span, struct window_asking *asking,
                         const float *x, const float *y, float *c, double *bias, const unsigned inside, const int beside,
                         const int down, const int rows, const int width, const int apart, const int whole, const int totals)
{
    const vec_lanes x_lanes = vec_lanes_between(0, whole ? VEC : args->x_lanes);
    const vec_lanes y_lanes = vec_lanes_between(0, whole ? VEC : args->y_lanes);
    vec_index index;
    if (!whole)
        index = vec_index_load(args->index);
#define WINDOW_X(p) vec_keep(whole ? vec_load(p) : vec_permute(vec_load_lanes(p, x_lanes), index))
#define WINDOW_Y(p) vec_keep(whole ? vec_load(p) : vec_load_lanes(p, y_lanes))
    const ptrdiff_t tap_step = args->tap_step, row_step = args->row_step, x_step = args->x_step;
    const ptrdiff_t y_step = args->y_step, y_line = args->y_line;
    const int kept = (width - 1) / apart;
    /* y stays in registers from the edges on; else, where they are few, edges load all of it. */
    const int through = WINDOW_REGISTERS > 16 && beside * (rows * width + down * (kept + 1) + 1) < WINDOW_REGISTERS;
    const int news = beside * down * (apart <= 2 ? 1 + apart * apart : 2); /* vectors that a step is the first to see, */
    const int asks = (news * (int)VEC + LINE - 1) / LINE;                  /* in cache lines */
    const float *ask = asking->from, *const ask_end = asking->end;
    vec sum[WINDOW_PAIR][WINDOW_MAX_ROWS][WINDOW_MAX_WIDTH], total[WINDOW_PAIR];
    EACH_WINDOW_UNIT EACH_WINDOW_ROW EACH_WINDOW_TAP sum[u][r][k] = vec_zero();
    EACH_WINDOW_UNIT total[u] = vec_zero();
    const float *from = x + span->begin * x_step, *at = y + span->begin * y_step;
    vec yj[WINDOW_PAIR][WINDOW_MAX_LINES][WINDOW_MAX_WIDTH]; /* of step j, j - 1, ... */
#define EACH_WINDOW_KEPT UNROLL for (int i = WINDOW_MAX_WIDTH - 1; i > 0; i--) if (i <= kept)
#define WINDOW_KEEP(is)                                                                                                        \
    EACH_WINDOW_KEPT EACH_WINDOW_UNIT EACH_WINDOW_LINE yj[u][l][i] =                                                           \
        (is) ? WINDOW_Y(at + l * y_line - i * y_step + u * VEC) : vec_zero()
#define WINDOW_SLIDE() EACH_WINDOW_KEPT EACH_WINDOW_UNIT EACH_WINDOW_LINE yj[u][l][i] = yj[u][l][i - 1]
#define WINDOW_WIDEN()                                                                                                         \
    if (totals)                                                                                                                \
        EACH_WINDOW_UNIT                                                                                                       \
        {                                                                                                                      \
            vec_wide_store(bias + u * VEC, vec_wide_add(vec_wide_load(bias + u * VEC), total[u]));                             \
            total[u] = vec_zero();                                                                                             \
        }
    WINDOW_KEEP(through && span->begin >= i && span->begin - i < args->columns);
    for (int64_t j = span->begin; j < span->end;) {
        if (j < span->first || j >= span->last) {
            const int is = (through || totals) && j < args->columns;
            EACH_WINDOW_LINE EACH_WINDOW_UNIT yj[u][l][0] = is ? WINDOW_Y(at + l * y_line + u * VEC) : vec_zero();
            EACH_WINDOW_TAP
            {
                const int64_t pixel = j - k / apart;
                if (pixel >= args->taps[k].begin && pixel < args->taps[k].end) {
                    vec yk[WINDOW_PAIR][WINDOW_MAX_LINES];
                    EACH_WINDOW_UNIT EACH_WINDOW_LINE yk[u][l] =
                        through ? yj[u][l][k / apart] : WINDOW_Y(at + l * y_line - k / apart * y_step + u * VEC);
                    EACH_WINDOW_SEEN EACH_WINDOW_UNIT
                    {
                        const vec xj = WINDOW_X(from + h * row_step + k % apart * tap_step + u * VEC);
                        EACH_WINDOW_LINE
                        {
                            const int r = h - l * apart;
                            if (r >= 0 && r < rows)
                                sum[u][r][k] = vec_fma_onto(xj, yk[u][l], sum[u][r][k]);
                        }
                    }
                }
            }
            if (totals)
                EACH_WINDOW_UNIT EACH_WINDOW_LINE total[u] = vec_add(total[u], yj[u][l][0]);
            if (through)
                WINDOW_SLIDE();
            j++, from += x_step, at += y_step;
            if (j % WINDOW_TOTAL == 0 || j == span->first)
                WINDOW_WIDEN();
            continue;
        }
        if (!through)
            WINDOW_KEEP(1);
        const int64_t stop = totals && span->last - j > WINDOW_TOTAL ? j + WINDOW_TOTAL : span->last;
        for (; j < stop; j++, from += x_step, at += y_step) {
            if (ask < ask_end) {
                UNROLL for (int i = 0; i < asks; i++) __builtin_prefetch(ask + i * LINE, 0, 2);
                ask += asks * LINE;
            }
            EACH_WINDOW_LINE EACH_WINDOW_UNIT yj[u][l][0] = WINDOW_Y(at + l * y_line + u * VEC);
            EACH_WINDOW_SEEN
            {
                UNROLL for (int n = 0; n < WINDOW_MAX_WIDTH; n++) if (n < apart && n < width) EACH_WINDOW_UNIT
                {
                    const vec xj = WINDOW_X(from + h * row_step + n * tap_step + u * VEC);
                    EACH_WINDOW_LINE
                    {
                        const int r = h - l * apart;
                        UNROLL for (int i = 0; i < WINDOW_MAX_WIDTH; i++) if (r >= 0 && r < rows && n + i * apart < width)
                            sum[u][r][n + i * apart] = vec_fma_onto(xj, yj[u][l][i], sum[u][r][n + i * apart]);
                    }
                }
            }
            if (totals)
                EACH_WINDOW_UNIT EACH_WINDOW_LINE total[u] = vec_add(total[u], yj[u][l][0]);
            WINDOW_SLIDE();
        }
        WINDOW_WIDEN();
    }
    asking->from = ask;
    WINDOW_WIDEN();
    EACH_WINDOW_UNIT EACH_WINDOW_ROW EACH_WINDOW_TAP
    {
        float *to = c + u * args->unit_c + r * args->c_row + k * VEC;
        vec_store(to, vec_add(vec_load(to), sum[u][r][k]));
    }
#undef WINDOW_WIDEN
#undef WINDOW_SLIDE
#undef WINDOW_KEEP
#undef EACH_WINDOW_KEPT
#undef WINDOW_X
#undef WINDOW_Y
}

/* Of all taps; it ends at `end` at least. */
INLINE struct window_span window_span_of(const struct window_args *args, const int width, const int apart, const int64_t end)
{
    struct window_span span = {0, 0, INT64_MAX, end};
    EACH_WINDOW_TAP
    {
        const int64_t from = args->taps[k].begin + k / apart, to = args->taps[k].end + k / apart;
        span.first = from > span.first ? from : span.first;
        span.last = to < span.last ? to : span.last;
        span.end = to > span.end ? to : span.end;
    }
    if (span.last < span.first)
        span.last = span.first;
    return span;
}

/* Lines that go together where that is worth its code: as many as leave a register for x. With stride 2, where they share one
 * row of three only, or where the next unit would find its half of a cache line gone: few. */
INLINE int window_down(const int beside, const int rows, const int width, const int apart, const int whole)
{
    const int left = WINDOW_REGISTERS - beside * rows * width - 1, down = left / (beside * ((width - 1) / apart + 1));
    const int most = apart > 1 || WINDOW_LINE > 1 ? WINDOW_FEW_LINES : WINDOW_MAX_LINES;
    return rows < 3 || width % 2 == 0 || width == 1 || apart > 2 || !whole || down < 1 ? 1 : down < most ? down : most;
}

/* The chain that begins with a step: `steps` of them, or all. */
INLINE struct window_span window_chain(const struct window_span *all, const int64_t begin, const int64_t steps)
{
    struct window_span chain = *all;
    chain.begin = begin;
    chain.end = steps && all->end - begin > steps ? begin + steps : all->end;
    chain.first = all->first > begin ? all->first : begin;
    chain.last = all->last < chain.end ? all->last : chain.end;
    if (chain.last <= chain.first)
        chain.first = chain.last = chain.end;
    return chain;
}

INLINE void window_lines(const struct window_args *args, const struct window_span *span, struct window_asking *asking,
                         const float *x, const float *y, const int64_t unit, const unsigned inside, const int beside,
                         const int down, const int limit, const int rows, const int width, const int apart, const int whole,
                         const int totals)
{
    float *c = args->c + unit * args->unit_c;
    double *bias = totals ? args->bias + unit * VEC : NULL;
    x += unit * args->unit_x;
    y += unit * args->unit_y;
    if (asking->from >= asking->end && asking->region + 1 < WINDOW_ASKED) {
        asking->region++;
        asking->from = args->ask[asking->region];
        asking->end = asking->from + args->ask_lines[asking->region] * LINE;
    }
#define WINDOW_LINES(d)                                                                                                        \
    case d:                                                                                                                    \
        if (d <= limit)                                                                                                        \
            window_block(args, span, asking, x, y, c, bias, inside, beside, d, rows, width, apart, whole, totals);             \
        break;
    switch (down) { /* clang unrolls no loop of as much */
        WINDOW_LINES(1)
        WINDOW_LINES(2)
        WINDOW_LINES(3)
        WINDOW_LINES(4)
        WINDOW_LINES(5)
        WINDOW_LINES(6)
        WINDOW_LINES(7)
    }
#undef WINDOW_LINES
}

/* pairs: units go by twos. */
INLINE void window_sum(const struct window_args *args, const int rows, const int width, const int apart, const int whole,
                       const int pairs, const int totals)
{
    const struct window_span span = window_span_of(args, width, apart, totals ? args->columns : 0);
    /* Lines go together as pairs do, whether a unit has a partner or not: which have one depends on the threads. */
    const int limit = window_down(pairs ? WINDOW_PAIR : 1, rows, width, apart, whole);
    const int most = args->down < limit ? (int)args->down : limit;
    struct window_asking asking = {NULL, NULL, -1};
    for (int64_t line = 0; line < args->lines;) {
        const int64_t left = args->lines - line, blocks = (left + most - 1) / most;
        const int down = (int)((left + blocks - 1) / blocks);
        unsigned inside = 0;
        for (int l = 0; l < down; l++)
            EACH_WINDOW_ROW
            {
                if (line + l >= args->rows[r].begin && line + l < args->rows[r].end)
                    inside |= 1u << (l * apart + r);
            }
        const float *x = args->x + line * args->x_line, *y = args->y + line * args->y_line;
        for (int64_t unit = 0, last; unit < args->units; unit = last) {
            const int64_t some = pairs ? WINDOW_PAIR : WINDOW_LINE;
            last = args->units - unit > some ? unit + some : args->units;
            for (struct window_span chain = {.end = 0}; chain.end < span.end;) {
                chain = window_chain(&span, chain.end, args->steps);
                int64_t next = unit;
                for (; pairs && next + WINDOW_PAIR <= last; next += WINDOW_PAIR)
                    window_lines(args, &chain, &asking, x, y, next, inside, WINDOW_PAIR, down, limit, rows, width, apart, whole,
                                 totals);
                for (; next < last; next++)
                    window_lines(args, &chain, &asking, x, y, next, inside, 1, down, limit, rows, width, apart, whole, totals);
            }
        }
        line += down;
    }
}

/* What rolls: for units side by side three lines of y, copied to L1, as long a run of cache lines from L2 as may be. */
enum { WINDOW_RING = 4 * WINDOW_ROLLED, WINDOW_BESIDE = 16, WINDOW_TURN = 5 };

#define EACH_MET UNROLL for (int r = 0; r < 3; r++) if (r >= lo && r < hi)
#define EACH_OF_3 UNROLL for (int k = 0; k < 3; k++)

/* Line l of x and one unit: rows [lo, hi) of the window see it, row r from line l - r of y, which is at y[r]. same: a padding
 * of one on both sides, so that all but the outer steps meet all taps; then y[0], if it is met, is added to the bias. */
INLINE void window_roll(const struct window_args *args, const struct window_span *span, const float *x, const float *const *y,
                        float *c, double *bias, const int lo, const int hi, const int same)
{
    const ptrdiff_t step = args->tap_step;
    vec sum[3][3], yj[3][3]; /* y of step j, j - 1, j - 2 */
    EACH_MET EACH_OF_3 sum[r][k] = yj[r][k] = vec_zero();
#define WINDOW_EDGE(until)                                                                                                     \
    for (; j < (until); j++) {                                                                                                 \
        EACH_OF_3                                                                                                              \
        {                                                                                                                      \
            const int64_t pixel = j - k;                                                                                       \
            if (pixel >= args->taps[k].begin && pixel < args->taps[k].end) {                                                   \
                const vec xj = vec_keep(vec_load(x + j * step));                                                               \
                EACH_MET sum[r][k] = vec_fma_onto(xj, vec_load(y[r] + pixel * VEC), sum[r][k]);                                \
            }                                                                                                                  \
        }                                                                                                                      \
    }
    int64_t j = same ? 2 : span->begin;
    if (!same)
        WINDOW_EDGE(span->first);
    const int64_t last = same ? args->columns : span->last;
    if (same || j < last)
        EACH_MET
        {
            yj[r][1] = vec_keep(vec_load(y[r] + (j - 1) * VEC));
            yj[r][2] = vec_keep(vec_load(y[r] + (j - 2) * VEC));
        }
    vec total = vec_zero();
    if (same) {
        const vec xj = vec_keep(vec_load(x + step));
        EACH_MET
        {
            sum[r][0] = vec_fma_onto(xj, yj[r][1], sum[r][0]);
            sum[r][1] = vec_fma_onto(xj, yj[r][2], sum[r][1]);
        }
        if (lo == 0)
            total = vec_add(yj[0][2], yj[0][1]);
    }
    const float *at = x + j * step;
#define WINDOW_STEP()                                                                                                          \
    do {                                                                                                                       \
        const vec xj = vec_keep(vec_load(at));                                                                                 \
        EACH_MET yj[r][0] = vec_keep(vec_load(y[r] + j * VEC));                                                                \
        EACH_MET EACH_OF_3 sum[r][k] = vec_fma_onto(xj, yj[r][k], sum[r][k]);                                                  \
        if (same && lo == 0)                                                                                                   \
            total = vec_add(total, yj[0][0]);                                                                                  \
        EACH_MET                                                                                                               \
        {                                                                                                                      \
            yj[r][2] = yj[r][1];                                                                                               \
            yj[r][1] = yj[r][0];                                                                                               \
        }                                                                                                                      \
        at += step;                                                                                                            \
        j++;                                                                                                                   \
    } while (0)
    while (last - j >= WINDOW_TURN) {
        UNROLL for (int i = 0; i < WINDOW_TURN; i++) WINDOW_STEP();
    }
    while (j < last)
        WINDOW_STEP();
    if (same) {
        const vec xj = vec_keep(vec_load(at));
        EACH_MET
        {
            sum[r][1] = vec_fma_onto(xj, yj[r][1], sum[r][1]);
            sum[r][2] = vec_fma_onto(xj, yj[r][2], sum[r][2]);
        }
        if (lo == 0 && bias)
            vec_wide_store(bias, vec_wide_add(vec_wide_load(bias), total));
    } else {
        WINDOW_EDGE(span->end);
    }
    EACH_MET EACH_OF_3
    {
        float *to = c + r * args->c_row + k * VEC;
        vec_store(to, vec_add(vec_load(to), sum[r][k]));
    }
#undef WINDOW_STEP
#undef WINDOW_EDGE
}

/* The rows of the window that see line l of x, [lo, hi): for all of them it lies in the image, or for none. */
INLINE int window_rows_at(const struct window_args *args, const int64_t l, int *lo)
{
    int hi = 0;
    *lo = 0;
    for (int r = 2; r >= 0; r--)
        if (l - r >= args->rows[r].begin && l - r < args->rows[r].end) {
            hi = hi ? hi : r + 1;
            *lo = r;
        }
    return hi;
}

/*
 * 3x3 with stride 1, line by line of x. Lines of x and y come from L2 once, those of y pixel by pixel for some units,
 *
 *     ring [unit][l % 3][column]      the last three lines of y: 21 KiB
 *
 * and what a line of x gives to each window is added to c.
 */
NOINLINE void window_rolling(const struct window_args *args)
{
    _Alignas(64) float ring[3 * WINDOW_RING * VEC];
    const int64_t columns = args->columns, line = columns * VEC;
    const int64_t most = WINDOW_RING / columns < WINDOW_BESIDE ? WINDOW_RING / columns : WINDOW_BESIDE;
    const ptrdiff_t y_step = args->y_step, unit_c = args->unit_c;
    const struct window_range *taps = args->taps;
    const struct window_span span = window_span_of(args, 3, 1, 0);
    const int same = columns > 1 && taps[0].begin == 1 && taps[0].end == columns && taps[1].begin == 0 &&
                     taps[1].end == columns && taps[2].begin == 0 && taps[2].end == columns - 1;
    for (int64_t from = 0; from < args->units; from += most) {
        const int64_t units = args->units - from < most ? args->units - from : most;
        for (int64_t l = 0; l < args->lines + 2; l++) {
            float *const newest = ring + l % 3 * line;
            const float *const older = ring + (l + 2) % 3 * line, *const oldest = ring + (l + 1) % 3 * line;
            for (int64_t j = 0; j < columns && l < args->lines; j++) {
                const float *y = args->y + l * args->y_line + j * y_step + from * VEC;
                float *to = newest + j * VEC;
                for (int64_t u = 0; u < units; u++, y += VEC, to += 3 * line)
                    vec_store(to, vec_load(y));
            }
            int begin;
            const int end = window_rows_at(args, l, &begin);
            const int added = same && begin == 0 && end > 0; /* y to the bias, with what it is multiplied with */
            for (int64_t u = 0; u < units && args->bias && !added && l < args->lines; u++) {
                double *bias = args->bias + (from + u) * VEC;
                vec total = vec_zero();
                for (int64_t j = 0; j < columns; j++)
                    total = vec_add(total, vec_load(newest + 3 * u * line + j * VEC));
                vec_wide_store(bias, vec_wide_add(vec_wide_load(bias), total));
            }
            UNROLL for (int lo = 0; lo < 3; lo++) UNROLL for (int hi = lo + 1; hi <= 3; hi++)
            {
                if (lo != begin || hi != end)
                    continue;
                const float *x = args->x + l * args->x_line + from * VEC;
                float *c = args->c + from * unit_c;
                double *bias = args->bias ? args->bias + from * VEC : NULL;
                for (int64_t u = 0; u < 3 * units * line; u += 3 * line, x += VEC, c += unit_c) {
                    const float *const y[3] = {newest + u, older + u, oldest + u};
                    if (same)
                        window_roll(args, &span, x, y, c, bias, lo, hi, 1);
                    else
                        window_roll(args, &span, x, y, c, NULL, lo, hi, 0);
                    bias += bias ? VEC : 0;
                }
            }
        }
    }
}
#undef EACH_MET
#undef EACH_OF_3

/* 3x3. A function of its own, for the sake of the others' registers. */
NOINLINE void window_pairs(const struct window_args *args)
{
    if (window_stride(args, 3) == 1 && args->bias)
        window_sum(args, 3, 3, 1, 1, 1, 1);
    else if (window_stride(args, 3) == 1)
        window_sum(args, 3, 3, 1, 1, 1, 0);
    else if (args->bias)
        window_sum(args, 3, 3, 2, 1, 1, 1);
    else
        window_sum(args, 3, 3, 2, 1, 1, 0);
}

/* As far apart as the windows are, where `apart` is a constant. Few kernels are of even width: they are worth no code. */
INLINE void window_each(const struct window_args *args, const int rows, const int width, const int whole)
{
    const int slides = width > 1 && width % 2 == 1, stride = slides ? window_stride(args, rows) : 0;
    const int totals = slides && whole && rows == WINDOW_MAX_ROWS;
    if (stride == 1 && totals && args->bias)
        window_sum(args, rows, width, 1, whole, 0, totals);
    else if (stride == 1)
        window_sum(args, rows, width, 1, whole, 0, 0);
    else if (stride == 2 && totals && args->bias)
        window_sum(args, rows, width, 2, whole, 0, totals);
    else if (stride == 2)
        window_sum(args, rows, width, 2, whole, 0, 0);
    else
        window_sum(args, rows, width, WINDOW_MAX_WIDTH, whole, 0, 0);
}

/* X(rows, width) */
#define WINDOW_WIDTHS(X, rows) X(rows, 1) X(rows, 2) X(rows, 3) X(rows, 4) X(rows, 5) X(rows, 6) X(rows, 7)
#define WINDOW_ALL(X) WINDOW_WIDTHS(X, 1) WINDOW_WIDTHS(X, 2) WINDOW_WIDTHS(X, 3)

/* window_3x7: 3 rows, 7 taps each */
#define WINDOW_DEFINE(rows, width)                                                                                             \
    static void window_##rows##x##width(const struct window_args *args)                                                        \
    {                                                                                                                          \
        if (args->index)                                                                                                       \
            window_each(args, rows, width, 0);                                                                                 \
        else if (WINDOW_PAIRS && rows == 3 && width == 3 && args->rolls && window_stride(args, rows) == 1)                     \
            window_rolling(args);                                                                                              \
        else if (WINDOW_PAIRS && rows == 3 && width == 3 && args->pairs && window_stride(args, rows) > 0)                      \
            window_pairs(args);                                                                                                \
        else                                                                                                                   \
            window_each(args, rows, width, 1);                                                                                 \
    }
WINDOW_ALL(WINDOW_DEFINE)

#define WINDOW_ENTRY(rows, width) [rows][width] = window_##rows##x##width,
