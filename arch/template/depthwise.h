/*
 * depthwise.h - the sliding kernels of kernels.h for depthwise and grouped convolution, written once and instantiated for each
 * kind, width, stride and tile height.
 *
 * With few channels a group there is nothing to reuse but the window's overlap: a line's weights stay in registers, each vector
 * of x is loaded once and multiplied into every output whose window covers it. Loads per multiply-add fall from 1 to
 * ((rows - 1) * stride + width) / (rows * width), about 0.4 for a window of 3, where the FMA units, not the load ports, are the
 * limit. Where a group fills a vector, its channels are broadcast one by one, which takes no permutation: with a window of 1
 * the multiply-add loads its factor itself, as in gemm.h.
 */

enum { DEPTHWISE_MAX_TILE = 14, DEPTHWISE_MAX_DOWN = DEPTHWISE_DOWN };
enum { DEPTHWISE_TURN = 4 }; /* columns that are loaded from one address, at distances that stay in registers */
enum { DEPTHWISE_TOGETHER = 128 / (VEC * sizeof(float)) }; /* units of a tile before the tile below: whole cache lines */

/* Constant counts, as in gemm.h. */
#define EACH_OUTPUT UNROLL for (int m = 0; m < DEPTHWISE_MAX_TILE; m++) if (m < tile)
#define EACH_TAP UNROLL for (int k = 0; k < DEPTHWISE_MAX_WIDTH; k++) if (k < width)
#define EACH_DOWN UNROLL for (int r = 0; r < DEPTHWISE_MAX_DOWN; r++) if (r >= top && r < bottom)

/* What of a line lies inside of the image: nothing, everything, some columns, or some columns and some lanes of them. The rest
 * are zeros, or come around the circle. */
enum extent { NOTHING, WHOLE, SOME_COLUMNS, SOME_LANES, COLUMNS_AROUND, LANES_AROUND };

INLINE int depthwise_grouped(const int kind)
{
    return kind == DEPTHWISE_GROUPS || kind == DEPTHWISE_SPREAD;
}

/* One line of x, all of its depth: a window of `width` slides over the tile. Bit j of `inside` tells whether column j lies in
 * the image: a test each, where comparing with the bounds takes four instructions. Output rows [top, bottom) of a block of them
 * see the line, each through another row of the kernel: w is row 0's, the next lies row_w before. apart: of columns. paired:
 * instead of rows, units that are neighbours, each with x of its own. */
INLINE void slide(const struct depthwise_args *args, const struct depthwise_line *line, const uint64_t inside,
                  const ptrdiff_t offset, const ptrdiff_t *apart, const float *w, const ptrdiff_t row_w,
                  vec sum[][DEPTHWISE_MAX_TILE], const int top, const int bottom, const int paired, const int kind,
                  const int width, const int stride, const int tile, const enum extent extent)
{
    const int some = extent == SOME_LANES || extent == LANES_AROUND, before = line->lane_begin > 0;
    const int beyond = extent == LANES_AROUND && line->lane_begin == line->lane_end; /* all of them come around */
    const vec_lanes lanes = some && !beyond ? vec_lanes_between(line->lane_begin, line->lane_end) : vec_lanes_between(0, VEC);
    const vec_lanes others = before ? vec_lanes_between(0, line->lane_begin) : vec_lanes_between(line->lane_end, VEC);
    const ptrdiff_t there = before ? args->lane_around : -args->lane_around;
    const int turns =
        kind == DEPTHWISE_ROWS && !beyond && (before || line->lane_end < args->columns); /* lanes that are stored */
    const int circle = extent == COLUMNS_AROUND || extent == LANES_AROUND;
    const int64_t depth = depthwise_grouped(kind) ? args->depth : 1;
    for (int64_t i = 0; i < depth; i++, w += width * VEC) {
        const float *const start = line->x + offset + (beyond ? there : 0) + (kind == DEPTHWISE_SPREAD ? i : 0), *base = start;
        FORGET_VALUE(base);
        vec weights[DEPTHWISE_MAX_DOWN][DEPTHWISE_MAX_WIDTH];
        if (kind == DEPTHWISE_GROUPS)
            FORGET_MEMORY(); /* x is the same for all i */
        EACH_DOWN EACH_TAP weights[r][k] = kind == DEPTHWISE_ROWS ? vec_scalar(w + k) : vec_load(w - r * row_w + k * VEC);
        static const int32_t unused[VEC];
        const vec_index index = vec_index_load(kind == DEPTHWISE_GROUPS ? args->index + i * VEC : unused);
        /* Two loops over the columns j = at * TURN + phase: no compiler unrolls one of more than 32. */
        UNROLL for (int at = 0; at < (DEPTHWISE_MAX_TILE * stride + DEPTHWISE_MAX_WIDTH) / DEPTHWISE_TURN + 1; at++)
        {
            UNROLL for (int phase = 0; phase < DEPTHWISE_TURN; phase++)
            {
                const int j = at * DEPTHWISE_TURN + phase;
                if (j < (tile - 1) * stride + width) {
                    const float *x = circle ? floats_behind(start, line->around[j]) : floats_behind(base, apart[phase]);
                    if (circle || extent == WHOLE || LIKELY(inside >> j & 1)) {
                        vec xj = kind == DEPTHWISE_SPREAD ? vec_broadcast(*x) : some ? vec_load_lanes(x, lanes) : vec_load(x);
                        if (extent == LANES_AROUND && turns)
                            xj = vec_load_lanes_over(xj, x + there, others);
                        if (kind == DEPTHWISE_GROUPS)
                            xj = vec_permute(xj, index);
                        if (kind != DEPTHWISE_SPREAD || width > 1) /* of a single use, it is part of a multiply-add */
                            xj = vec_keep(xj);
                        EACH_DOWN
                        {
                            if (paired && r > top)
                                xj = vec_keep(vec_load(x + r * VEC));
                            EACH_OUTPUT
                            {
                                if (j >= m * stride && j - m * stride < width)
                                    sum[r][m] = kind == DEPTHWISE_ROWS
                                                    ? vec_fma_scalar_onto(xj, weights[r][j - m * stride], sum[r][m])
                                                    : vec_fma_onto(xj, weights[r][j - m * stride], sum[r][m]);
                            }
                        }
                    }
                }
            }
            base = floats_behind(base, apart[DEPTHWISE_TURN]);
        }
    }
}

INLINE uint64_t columns_inside(const struct depthwise_line *line)
{
    return line->begin < line->end ? (~UINT64_C(0) >> (64 - (line->end - line->begin))) << line->begin : 0;
}

/* Without a branch for each. */
INLINE int is_whole(const struct depthwise_line *line, int columns)
{
    return (line->begin == 0) & (line->end == columns) & (line->lane_begin == 0) & (line->lane_end == VEC);
}

INLINE enum extent extent_of(const struct depthwise_line *line, int columns)
{
    if (line->begin >= line->end)
        return NOTHING;
    if (line->lane_begin != 0 || line->lane_end != VEC)
        return line->lane_begin < line->lane_end ? SOME_LANES : NOTHING;
    return line->begin != 0 || line->end != columns ? SOME_COLUMNS : WHOLE;
}

/* The same of a circle, of which no line lies outside. */
INLINE enum extent extent_around(const struct depthwise_line *line, int columns)
{
    if (line->lane_begin != 0 || line->lane_end != VEC)
        return LANES_AROUND;
    return line->begin != 0 || line->end != columns ? COLUMNS_AROUND : WHOLE;
}

/* Whether all sums of a tile go to memory as they are, but for a bias. */
INLINE int plain_tile(const struct depthwise_args *args, int tile)
{
    return args->rows == tile && args->columns == VEC && args->lane_c == 1 && !args->residual &&
           args->epilogue.activation == ACTIVATE_NONE && !epilogue_clamps(&args->epilogue);
}

/* The sums in the tile, of room for one more vector, through the epilogue to C. */
NOINLINE void depthwise_finish(const struct depthwise_args *args, const float *tile, ptrdiff_t to)
{
    const int64_t columns = args->columns - args->skip;
    const ptrdiff_t apart = args->lane_c;
    tile += args->skip;
    to += args->skip * apart;
    if (args->epilogue.activation == ACTIVATE_NONE && !args->residual && apart == 1) { /* the last tile of a row */
        const vec lo = vec_broadcast(args->epilogue.lo), hi = vec_broadcast(args->epilogue.hi);
        const ptrdiff_t step = args->c_step;
        float *c = args->c + to;
        for (const float *const end = tile + args->rows * VEC; tile < end; tile += VEC, c += step)
            vec_store_n(c, vec_clamp(vec_load(tile), lo, hi), columns);
        return;
    }
    for (int m = 0; m < args->rows; m++, to += args->c_step) {
        vec sum = vec_load(tile + m * VEC);
        if (args->residual && apart == 1) {
            sum = vec_add(sum, vec_load_n(args->residual + to, columns));
        } else if (args->residual) {
            float lane[VEC] = {0.0f};
            for (int64_t n = 0; n < columns; n++)
                lane[n] = args->residual[to + n * apart];
            sum = vec_add(sum, vec_load(lane));
        }
        sum = vec_finish(sum, &args->epilogue);
        if (apart == 1)
            vec_store_n(args->c + to, sum, columns);
        else
            vec_store_apart(args->c + to, apart, sum, columns);
    }
}

/* One vector of finished sums for each m, to c + to. */
INLINE void depthwise_store(const struct depthwise_args *args, vec *sum, const float *bias, const ptrdiff_t to, const int plain,
                            const int kind, const int tile)
{
    const int64_t n = args->columns;
    float *c = args->c + to;
    const ptrdiff_t step = args->c_step; /* stores could change what args points to */
    if (bias) {
        const vec added = kind == DEPTHWISE_ROWS ? vec_broadcast(*bias) : n == VEC ? vec_load(bias) : vec_load_n(bias, n);
        EACH_OUTPUT sum[m] = vec_add(sum[m], added);
    }
    if (plain && args->stream) {
        EACH_OUTPUT
        {
            vec_stream(c, sum[m]);
            c += step;
        }
        return;
    }
    if (plain) {
        EACH_OUTPUT
        {
            vec_store(c, sum[m]);
            c += step;
        }
        return;
    }
    if (args->epilogue.activation != ACTIVATE_NONE || args->residual || args->rows < tile || args->lane_c != 1) {
        _Alignas(64) float sums[(DEPTHWISE_MAX_TILE + 1) * VEC];
        EACH_OUTPUT vec_store(sums + m * VEC, sum[m]);
        depthwise_finish(args, sums, to);
        return;
    }
    const vec lo = vec_broadcast(args->epilogue.lo), hi = vec_broadcast(args->epilogue.hi);
    if (n == VEC && args->stream) {
        EACH_OUTPUT
        {
            vec_stream(c, vec_clamp(sum[m], lo, hi));
            c += step;
        }
    } else if (n == VEC) {
        EACH_OUTPUT
        {
            vec_store(c, vec_clamp(sum[m], lo, hi));
            c += step;
        }
    } else {
        EACH_OUTPUT
        {
            vec_store_n(c, vec_clamp(sum[m], lo, hi), n);
            c += step;
        }
    }
}

/* The extent of all lines that have any column in the image, or with DEPTHWISE_ALIKE 1 of all lines, NOTHING if they differ:
 * looked at once for all units and repeats. */
INLINE enum extent extent_of_all(const struct depthwise_args *args, int columns, uint64_t *inside)
{
    enum extent all = NOTHING;
    *inside = 0;
    for (const struct depthwise_line *line = args->x; line < args->x + args->lines; line++) {
        const enum extent extent = line->around ? extent_around(line, columns) : extent_of(line, columns);
        if (DEPTHWISE_ALIKE > 1 && extent == NOTHING && line->begin >= line->end)
            continue;
        if (extent == NOTHING || (all != NOTHING && (extent != all || columns_inside(line) != *inside)))
            return NOTHING;
        all = extent;
        *inside = columns_inside(line);
    }
    return args->taps == 0 ? all : NOTHING;
}

/* One line, however much of it there is. */
INLINE void slide_any(const struct depthwise_args *args, const struct depthwise_line *line, const ptrdiff_t offset,
                      const ptrdiff_t *apart, const float *w, vec sum[][DEPTHWISE_MAX_TILE], const int kind, const int width,
                      const int stride, const int tile)
{
    const int columns = (tile - 1) * stride + width;
    if (is_whole(line, columns)) {
        slide(args, line, 0, offset, apart, w, 0, sum, 0, 1, 0, kind, width, stride, tile, WHOLE);
        return;
    }
    const uint64_t inside = columns_inside(line);
    const enum extent extent = line->around ? extent_around(line, columns) : extent_of(line, columns);
    const int lanes = kind != DEPTHWISE_SPREAD;
    if (extent == SOME_COLUMNS)
        slide(args, line, inside, offset, apart, w, 0, sum, 0, 1, 0, kind, width, stride, tile, SOME_COLUMNS);
    else if (lanes && extent == SOME_LANES)
        slide(args, line, inside, offset, apart, w, 0, sum, 0, 1, 0, kind, width, stride, tile, SOME_LANES);
    else if (extent == COLUMNS_AROUND)
        slide(args, line, inside, offset, apart, w, 0, sum, 0, 1, 0, kind, width, stride, tile, COLUMNS_AROUND);
    else if (lanes && extent == LANES_AROUND)
        slide(args, line, inside, offset, apart, w, 0, sum, 0, 1, 0, kind, width, stride, tile, LANES_AROUND);
}

/* What the windows leave of a kernel line, tap by tap from `line` on, is added to [tile][VEC] sums: of all widths and strides,
 * so not a part of each. */
typedef void add_taps(const struct depthwise_args *args, const struct depthwise_line *line, ptrdiff_t offset, const float *w,
                      float *sums);

#define DEPTHWISE_TAPS_DEFINE(kind, height)                                                                                    \
    NOINLINE void depthwise_taps_##kind##_##height(const struct depthwise_args *args, const struct depthwise_line *line,       \
                                                   ptrdiff_t offset, const float *w, float *sums)                              \
    {                                                                                                                          \
        const int tile = DEPTHWISE_##height##_ROWS;                                                                            \
        const int64_t depth = depthwise_grouped(DEPTHWISE_##kind) ? args->depth : 1;                                           \
        vec sum[1][DEPTHWISE_MAX_TILE];                                                                                        \
        ptrdiff_t apart[DEPTHWISE_TURN + 1];                                                                                   \
        distances(args->tap_step, DEPTHWISE_TURN + 1, apart);                                                                  \
        EACH_OUTPUT sum[0][m] = vec_load(sums + m * VEC);                                                                      \
        for (int64_t t = 0; t < args->taps; t++, line++, w += depth * (DEPTHWISE_##kind == DEPTHWISE_ROWS ? 1 : VEC))          \
            slide_any(args, line, offset, apart, w, sum, DEPTHWISE_##kind, 1, 1, tile);                                        \
        EACH_OUTPUT vec_store(sums + m * VEC, sum[0][m]);                                                                      \
    }
DEPTHWISE_TAPS_DEFINE(CHANNELS, TALL)
DEPTHWISE_TAPS_DEFINE(CHANNELS, SHORT)
DEPTHWISE_TAPS_DEFINE(GROUPS, TALL)
DEPTHWISE_TAPS_DEFINE(GROUPS, SHORT)
DEPTHWISE_TAPS_DEFINE(SPREAD, TALL)
DEPTHWISE_TAPS_DEFINE(SPREAD, SHORT)
DEPTHWISE_TAPS_DEFINE(ROWS, TALL)
DEPTHWISE_TAPS_DEFINE(ROWS, SHORT)

/* One unit of a tile. all: extent_of_all, inside: of those lines. */
INLINE void depthwise_unit(const struct depthwise_args *args, const int64_t repeat, const int64_t unit, const int plain,
                           const int kind, const int width, const int stride, const int tile, add_taps *taps,
                           const enum extent all, const uint64_t inside)
{
    const int each = kind == DEPTHWISE_ROWS ? 1 : VEC;
    const int64_t depth = depthwise_grouped(kind) ? args->depth : 1;
    const ptrdiff_t offset = args->offset + repeat * args->repeat_offset + unit * args->unit_offset;
    ptrdiff_t apart[DEPTHWISE_TURN + 1];
    distances(width == 1 ? args->tap_step : args->step, DEPTHWISE_TURN + 1, apart);
    const struct depthwise_line *line = args->x;
    const float *w = args->w + unit * args->unit_w;
    vec sum[1][DEPTHWISE_MAX_TILE];
    EACH_OUTPUT sum[0][m] = vec_zero();
    for (const struct depthwise_line *const end = line + args->lines; line < end; line++, w += depth * width * each) {
        if (all == NOTHING)
            slide_any(args, line, offset, apart, w, sum, kind, width, stride, tile);
        else if (DEPTHWISE_ALIKE == 1 || all == COLUMNS_AROUND || line->begin < line->end)
            slide(args, line, inside, offset, apart, w, 0, sum, 0, 1, 0, kind, width, stride, tile, all);
    }
    if (width > 1 && all == NOTHING && args->taps) {
        _Alignas(64) float sums[DEPTHWISE_MAX_TILE * VEC];
        EACH_OUTPUT vec_store(sums + m * VEC, sum[0][m]);
        taps(args, line, offset, w, sums);
        EACH_OUTPUT sum[0][m] = vec_load(sums + m * VEC);
    }
    depthwise_store(args, sum[0], args->bias ? args->bias + unit * args->unit_bias : NULL,
                    repeat * args->repeat_c + unit * args->unit_c, plain, kind, tile);
}

INLINE void depthwise_units(const struct depthwise_args *args, const int kind, const int width, const int stride,
                            const int tile, add_taps *taps, const enum extent all, const uint64_t inside)
{
    const int plain = plain_tile(args, tile);
    /* With repeats inside, the rows that they share, and the weights, come from L1. Units that are but part of a cache line go
     * with those that find the rest of it there. */
    const int64_t together = args->across ? args->units : DEPTHWISE_TOGETHER;
    for (int64_t from = 0; from < args->units; from += together) {
        const int64_t to = from + together < args->units ? from + together : args->units;
        for (int64_t repeat = 0; repeat < args->repeats; repeat++) {
            for (int64_t unit = from; unit < to; unit++)
                depthwise_unit(args, repeat, unit, plain, kind, width, stride, tile, taps, all, inside);
        }
    }
}

INLINE void depthwise(const struct depthwise_args *args, const int kind, const int width, const int stride, const int tile,
                      add_taps *taps)
{
    uint64_t inside = 0;
    /* All columns but those of half a window at an end, as a padding that keeps the size leaves them: known, they need no test
     * each (AVX2: up to 1.2 times as fast). */
    const int columns = (tile - 1) * stride + width, half = width / 2;
    const uint64_t before = ~UINT64_C(0) >> (64 - columns + half), after = before << half;
    const enum extent all = DEPTHWISE_ALIKE ? extent_of_all(args, columns, &inside) : NOTHING;
    const int edges = DEPTHWISE_ALIKE > 1 && kind == DEPTHWISE_CHANNELS && (width == 3 || width == 5) && all == SOME_COLUMNS;
    if (all == WHOLE)
        depthwise_units(args, kind, width, stride, tile, taps, WHOLE, inside);
    else if (edges && inside == after)
        depthwise_units(args, kind, width, stride, tile, taps, SOME_COLUMNS, after);
    else if (edges && inside == before)
        depthwise_units(args, kind, width, stride, tile, taps, SOME_COLUMNS, before);
    else if (edges && inside == (before & after))
        depthwise_units(args, kind, width, stride, tile, taps, SOME_COLUMNS, before & after);
    else if (DEPTHWISE_ALIKE > 1 && all == SOME_COLUMNS)
        depthwise_units(args, kind, width, stride, tile, taps, SOME_COLUMNS, inside);
    else if (DEPTHWISE_ALIKE > 1 && all == COLUMNS_AROUND)
        depthwise_units(args, kind, width, stride, tile, taps, COLUMNS_AROUND, inside);
    else
        depthwise_units(args, kind, width, stride, tile, taps, NOTHING, inside);
}

#if DEPTHWISE_DOWN > 1
/* One unit of a block of `down` output rows: each line is loaded once for all of the rows that see it. */
INLINE void depthwise_block_unit(const struct depthwise_args *args, const int64_t repeat, const int64_t unit, const int plain,
                                 const int width, const int stride, const int tile, const int down, const int circular,
                                 const int asks)
{
    const int kind = DEPTHWISE_CHANNELS, columns = (tile - 1) * stride + width;
    const enum extent some_columns = circular ? COLUMNS_AROUND : SOME_COLUMNS;
    const enum extent some_lanes = circular ? LANES_AROUND : SOME_LANES;
    const ptrdiff_t row_w = width * VEC;
    const ptrdiff_t offset = args->offset + repeat * args->repeat_offset + unit * args->unit_offset;
    const struct depthwise_line *line = args->x;
    const float *w = args->w + unit * args->unit_w;
    vec sum[DEPTHWISE_MAX_DOWN][DEPTHWISE_MAX_TILE];
    ptrdiff_t apart[DEPTHWISE_TURN + 1];
    distances(args->step, DEPTHWISE_TURN + 1, apart);
    UNROLL for (int r = 0; r < down; r++) EACH_OUTPUT sum[r][m] = vec_zero();
    for (int64_t l = 0; l < args->lines + down - 1; l++, line++, w += width * VEC) {
        const int64_t from = l < args->lines ? 0 : l - args->lines + 1, to = l < down ? l + 1 : down; /* rows that see it */
        const enum extent extent = circular ? extent_around(line, columns) : extent_of(line, columns);
        const uint64_t inside = columns_inside(line);
        if (asks && l >= args->lines - 1)
            UNROLL for (int j = 0; j < columns; j++)
                __builtin_prefetch(line->x + offset + args->repeat_offset + j * args->step);
        UNROLL for (int top = 0; top < down; top++)
        {
            UNROLL for (int bottom = top + 1; bottom <= down; bottom++)
            {
                if (from != top || to != bottom)
                    continue;
                if (extent == WHOLE)
                    slide(args, line, inside, offset, apart, w, row_w, sum, top, bottom, 0, kind, width, stride, tile, WHOLE);
                else if (extent == some_columns)
                    slide(args, line, inside, offset, apart, w, row_w, sum, top, bottom, 0, kind, width, stride, tile,
                          some_columns);
                else if (extent == some_lanes)
                    slide(args, line, inside, offset, apart, w, row_w, sum, top, bottom, 0, kind, width, stride, tile,
                          some_lanes);
            }
        }
    }
    UNROLL for (int r = 0; r < down; r++)
        depthwise_store(args, sum[r], args->bias ? args->bias + unit * args->unit_bias : NULL,
                        repeat * args->repeat_c + unit * args->unit_c + r * args->down_c, plain, kind, tile);
}

/* All units of all repeats, of blocks of 3x3 windows. A repeat shares few rows with the next: better x as it lies. A macro and
 * functions: in one, gcc makes the usual case slower by some 2 %; through one more inlined, clang unrolls too late. */
#define DEPTHWISE_BLOCK_DEFINE(name, circular, asks)                                                                           \
    NOINLINE void name(const struct depthwise_args *args)                                                                      \
    {                                                                                                                          \
        const int plain = plain_tile(args, DEPTHWISE_SHORT_ROWS);                                                              \
        for (int64_t repeat = 0; repeat < args->repeats; repeat++) {                                                           \
            for (int64_t unit = 0; unit < args->units; unit++)                                                                 \
                depthwise_block_unit(args, repeat, unit, plain, 3, 1, DEPTHWISE_SHORT_ROWS, DEPTHWISE_DOWN, circular, asks);   \
        }                                                                                                                      \
    }
DEPTHWISE_BLOCK_DEFINE(depthwise_block_inside, 0, 0)
DEPTHWISE_BLOCK_DEFINE(depthwise_block_asking, 0, 1)
DEPTHWISE_BLOCK_DEFINE(depthwise_block_around, 1, 0)

static void depthwise_block_3x3(const struct depthwise_args *args)
{
    (args->x->around ? depthwise_block_around : args->asks ? depthwise_block_asking : depthwise_block_inside)(args);
}
#define DEPTHWISE_BLOCK depthwise_block_3x3

enum { DEPTHWISE_ROLLED = 1024 / (VEC * sizeof(float)) }; /* units side by side: cache lines in as many sets */

/* Line l of one unit: it ends output row l - 2, which is sum[0], and begins row l. open: what rows l - 2 and l - 1 have got. */
INLINE void depthwise_roll(const struct depthwise_args *args, const int64_t l, const int64_t unit, const int plain,
                           const ptrdiff_t *apart, float open[][DEPTHWISE_SHORT_ROWS][VEC])
{
    const int kind = DEPTHWISE_CHANNELS, width = 3, down = 3, tile = DEPTHWISE_SHORT_ROWS, columns = tile + width - 1;
    const int64_t from = l < 2 ? 2 - l : 0, to = l < args->down ? 3 : args->down + 2 - l; /* sums that see the line */
    const struct depthwise_line *line = args->x + l;
    const ptrdiff_t offset = args->offset + unit * args->unit_offset, row_w = width * VEC;
    const float *w = args->w + unit * args->unit_w + 2 * row_w;
    const enum extent extent = extent_of(line, columns);
    const uint64_t inside = columns_inside(line);
    vec sum[DEPTHWISE_MAX_DOWN][DEPTHWISE_MAX_TILE];
    EACH_OUTPUT
    {
        sum[0][m] = l > 0 ? vec_load(open[0][m]) : vec_zero();
        sum[1][m] = l > 0 ? vec_load(open[1][m]) : vec_zero();
        sum[2][m] = vec_zero();
    }
    UNROLL for (int top = 0; top < down; top++)
    {
        UNROLL for (int bottom = top + 1; bottom <= down; bottom++)
        {
            if (from != top || to != bottom)
                continue;
            if (extent == WHOLE)
                slide(args, line, inside, offset, apart, w, row_w, sum, top, bottom, 0, kind, width, 1, tile, WHOLE);
            else if (extent == SOME_COLUMNS)
                slide(args, line, inside, offset, apart, w, row_w, sum, top, bottom, 0, kind, width, 1, tile, SOME_COLUMNS);
            else if (extent == SOME_LANES)
                slide(args, line, inside, offset, apart, w, row_w, sum, top, bottom, 0, kind, width, 1, tile, SOME_LANES);
        }
    }
    EACH_OUTPUT
    {
        vec_store(open[0][m], sum[1][m]);
        vec_store(open[1][m], sum[2][m]);
    }
    if (l >= 2)
        depthwise_store(args, sum[0], args->bias ? args->bias + unit * args->unit_bias : NULL,
                        (l - 2) * args->down_c + unit * args->unit_c, plain, kind, tile);
}

/* Lines [l, last) of units [from, to). */
INLINE void depthwise_roll_lines(const struct depthwise_args *args, int64_t l, const int64_t last, const int64_t from,
                                 const int64_t to, const int plain, const ptrdiff_t *apart,
                                 float open[][2][DEPTHWISE_SHORT_ROWS][VEC])
{
    for (; l < last; l++)
        for (int64_t unit = from; unit < to; unit++)
            depthwise_roll(args, l, unit, plain, apart, open[unit - from]);
}

/* The last lines by instructions of their own: prefetchers, which know stores by these, have learnt nothing from rows above,
 * and do not run on to rows that are another thread's (Zen 5, two cores that share no L3: 0.8 and 1.1 times as fast as blocks).
 */
static void depthwise_rolling_3x3(const struct depthwise_args *args)
{
    _Alignas(64) float open[DEPTHWISE_ROLLED][2][DEPTHWISE_SHORT_ROWS][VEC];
    const int plain = plain_tile(args, DEPTHWISE_SHORT_ROWS);
    ptrdiff_t apart[DEPTHWISE_TURN + 1];
    distances(args->step, DEPTHWISE_TURN + 1, apart);
    for (int64_t from = 0; from < args->units; from += DEPTHWISE_ROLLED) {
        const int64_t to = args->units - from > DEPTHWISE_ROLLED ? from + DEPTHWISE_ROLLED : args->units;
        depthwise_roll_lines(args, 0, args->down, from, to, plain, apart, open);
        depthwise_roll_lines(args, args->down, args->down + 2, from, to, plain, apart, open);
    }
}
#define DEPTHWISE_ROLLING depthwise_rolling_3x3
#else
#define DEPTHWISE_BLOCK NULL
#define DEPTHWISE_ROLLING NULL
#endif

#ifdef DEPTHWISE_PAIRS
/* One unit of a short tile, or two side by side. */
INLINE void depthwise_beside(const struct depthwise_args *args, const int64_t repeat, const int64_t unit, const int plain,
                             const int width, const int stride, const int beside)
{
    const int kind = DEPTHWISE_CHANNELS, tile = DEPTHWISE_SHORT_ROWS, columns = (tile - 1) * stride + width;
    const ptrdiff_t offset = args->offset + repeat * args->repeat_offset + unit * args->unit_offset;
    ptrdiff_t apart[DEPTHWISE_TURN + 1];
    distances(args->step, DEPTHWISE_TURN + 1, apart);
    const float *w = args->w + unit * args->unit_w;
    vec sum[DEPTHWISE_MAX_DOWN][DEPTHWISE_MAX_TILE];
    UNROLL for (int u = 0; u < beside; u++) EACH_OUTPUT sum[u][m] = vec_zero();
    for (const struct depthwise_line *line = args->x; line < args->x + args->lines; line++, w += width * VEC) {
        if (line->begin == 0 && line->end == columns)
            slide(args, line, 0, offset, apart, w, -args->unit_w, sum, 0, beside, 1, kind, width, stride, tile, WHOLE);
        else if (line->begin < line->end)
            slide(args, line, columns_inside(line), offset, apart, w, -args->unit_w, sum, 0, beside, 1, kind, width, stride,
                  tile, SOME_COLUMNS);
    }
    UNROLL for (int u = 0; u < beside; u++)
        depthwise_store(args, sum[u], args->bias ? args->bias + (unit + u) * args->unit_bias : NULL,
                        repeat * args->repeat_c + (unit + u) * args->unit_c, plain, kind, tile);
}

/* depthwise_pairs_3_2: width 3, stride 2 */
#define DEPTHWISE_PAIRS_DEFINE(width, stride)                                                                                  \
    static void depthwise_pairs_##width##_##stride(const struct depthwise_args *args)                                          \
    {                                                                                                                          \
        const int plain = plain_tile(args, DEPTHWISE_SHORT_ROWS);                                                              \
        const int64_t together = args->across ? args->units : 2;                                                               \
        for (int64_t from = 0; from < args->units; from += together) {                                                         \
            const int64_t to = from + together < args->units ? from + together : args->units;                                  \
            for (int64_t repeat = 0; repeat < args->repeats; repeat++) {                                                       \
                int64_t unit = from;                                                                                           \
                for (; unit + 2 <= to; unit += 2)                                                                              \
                    depthwise_beside(args, repeat, unit, plain, width, stride, 2);                                             \
                if (unit < to)                                                                                                 \
                    depthwise_beside(args, repeat, unit, plain, width, stride, 1);                                             \
            }                                                                                                                  \
        }                                                                                                                      \
    }
#define DEPTHWISE_PAIRS_ENTRY(width, stride) [width][stride - 1] = depthwise_pairs_##width##_##stride,
DEPTHWISE_PAIRS(DEPTHWISE_PAIRS_DEFINE)
#else
#define DEPTHWISE_PAIRS(X)
#define DEPTHWISE_PAIRS_ENTRY(width, stride)
#endif

/* X(kind, width, stride, height) */
#define DEPTHWISE_HEIGHTS(X, kind, width, stride) X(kind, width, stride, TALL) X(kind, width, stride, SHORT)
#define DEPTHWISE_STRIDE_1(X, kind)                                                                                            \
    DEPTHWISE_HEIGHTS(X, kind, 1, 1)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 2, 1)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 3, 1)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 4, 1)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 5, 1)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 7, 1)
/* With stride 2 a window of 2 shares nothing with the next. */
#define DEPTHWISE_STRIDE_2(X, kind)                                                                                            \
    DEPTHWISE_HEIGHTS(X, kind, 3, 2)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 4, 2)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 5, 2)                                                                                           \
    DEPTHWISE_HEIGHTS(X, kind, 7, 2)
/* ROWS has stride 1 along the row, and few problems have another one across it. */
#define DEPTHWISE_ALL(X)                                                                                                       \
    DEPTHWISE_STRIDE_1(X, CHANNELS)                                                                                            \
    DEPTHWISE_STRIDE_2(X, CHANNELS)                                                                                            \
    DEPTHWISE_STRIDE_1(X, GROUPS)                                                                                              \
    DEPTHWISE_STRIDE_2(X, GROUPS)                                                                                              \
    DEPTHWISE_STRIDE_1(X, SPREAD)                                                                                              \
    DEPTHWISE_STRIDE_2(X, SPREAD)                                                                                              \
    DEPTHWISE_STRIDE_1(X, ROWS)

/* depthwise_CHANNELS_3_2_TALL: width 3, stride 2 */
#define DEPTHWISE_DEFINE(kind, width, stride, height)                                                                          \
    static void depthwise_##kind##_##width##_##stride##_##height(const struct depthwise_args *args)                            \
    {                                                                                                                          \
        depthwise(args, DEPTHWISE_##kind, width, stride, DEPTHWISE_##height##_ROWS, depthwise_taps_##kind##_##height);         \
    }
DEPTHWISE_ALL(DEPTHWISE_DEFINE)

#define DEPTHWISE_ENTRY(kind, width, stride, height)                                                                           \
    [DEPTHWISE_##kind][width][stride - 1][DEPTHWISE_##height] = depthwise_##kind##_##width##_##stride##_##height,
