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
    const int through = WINDOW_REGISTERS > 16 && beside * (rows * width + down * (kept + 1)) <= WINDOW_REGISTERS - 4;
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

/* Lines that go together where that is worth its code: as many as leave a register for x. */
INLINE int window_down(const int beside, const int rows, const int width, const int apart, const int whole)
{
    const int left = WINDOW_REGISTERS - beside * rows * width - 1, down = left / (beside * ((width - 1) / apart + 1));
    return rows < 3 || width % 2 == 0 || width == 1 || apart > 2 || !whole || down < 1 ? 1
           : down < WINDOW_MAX_LINES                                                   ? down
                                                                                       : WINDOW_MAX_LINES;
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
                         const int down, const int most, const int rows, const int width, const int apart, const int whole,
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
    if (down == 1)
        window_block(args, span, asking, x, y, c, bias, inside, beside, 1, rows, width, apart, whole, totals);
    else if (most > 1 && down == 2)
        window_block(args, span, asking, x, y, c, bias, inside, beside, 2, rows, width, apart, whole, totals);
    else if (most > 2)
        window_block(args, span, asking, x, y, c, bias, inside, beside, 3, rows, width, apart, whole, totals);
}

/* pairs: units go by twos. */
INLINE void window_sum(const struct window_args *args, const int rows, const int width, const int apart, const int whole,
                       const int pairs, const int totals)
{
    struct window_span span = {0, 0, INT64_MAX, totals ? args->columns : 0};
    EACH_WINDOW_TAP
    {
        const int64_t from = args->taps[k].begin + k / apart, to = args->taps[k].end + k / apart;
        span.first = from > span.first ? from : span.first;
        span.last = to < span.last ? to : span.last;
        span.end = to > span.end ? to : span.end;
    }
    if (span.last < span.first)
        span.last = span.first;

    /* Lines go together as pairs do, whether a unit has a partner or not: which have one depends on the threads. */
    const int most = window_down(pairs ? WINDOW_PAIR : 1, rows, width, apart, whole);
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
                    window_lines(args, &chain, &asking, x, y, next, inside, WINDOW_PAIR, down, most, rows, width, apart, whole,
                                 totals);
                for (; next < last; next++)
                    window_lines(args, &chain, &asking, x, y, next, inside, 1, down, most, rows, width, apart, whole, totals);
            }
        }
        line += down;
    }
}

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
        else if (WINDOW_PAIRS && rows == 3 && width == 3 && args->pairs && window_stride(args, rows) > 0)                      \
            window_pairs(args);                                                                                                \
        else                                                                                                                   \
            window_each(args, rows, width, 1);                                                                                 \
    }
WINDOW_ALL(WINDOW_DEFINE)

#define WINDOW_ENTRY(rows, width) [rows][width] = window_##rows##x##width,
