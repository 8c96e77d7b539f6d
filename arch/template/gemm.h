/*
 * gemm.h - the batch-reduce GEMM of kernels.h, written once and instantiated for every tile of the instruction set.
 *
 * The tile's sums stay in registers for all taps and all of the depth; per k the inner loop loads one row of B and broadcasts
 * one float of each row of A. Tiles with unit step finish in registers. All others (channels first, an activation
 * beyond a clamp) go through a copy of the tile on the stack, whose lanes beyond the last column hold zeros.
 */

enum { LINE = 16 };

/* Asks for the row of B that lies GEMM_AHEAD floats, a page, ahead. Hardware that prefetches stops at the end of each page, and
 * B goes through one in a few hundred cycles: weights from memory, as in a network, or from L3 would have to be waited for. */
INLINE void fetch_ahead(const float *b, const int vectors)
{
#ifdef GEMM_AHEAD
    UNROLL for (int n = 0; n < GEMM_MAX_VECTORS * VEC; n += LINE) if (n < vectors * VEC) __builtin_prefetch(b + GEMM_AHEAD + n);
#else
    (void)b;
    (void)vectors;
#endif
}

/* Of rows that lie apart, no hardware knows the next one: asks for the one of APART rows later. */
enum { APART = 8 };

INLINE void fetch_apart(const float *b, ptrdiff_t step, const int vectors)
{
#ifdef GEMM_AHEAD
    const float *then = floats_behind(b, APART * step);
    UNROLL for (int n = 0; n < GEMM_MAX_VECTORS * VEC; n += LINE) if (n < vectors * VEC) __builtin_prefetch(then + n);
#else
    (void)b;
    (void)step;
    (void)vectors;
#endif
}

enum { TILE_FLOATS = GEMM_MAX_ROWS * GEMM_MAX_VECTORS * VEC };

/* Rows that are neighbours in memory, with columns `step` apart: the tile is a transposed matrix there. */
INLINE int rows_adjoin(const ptrdiff_t *row, int rows)
{
    for (int m = 1; m < rows; m++) {
        if (row[m] != row[0] + m)
            return 0;
    }
    return 1;
}

/* Whether columns are further apart than rows. What is far goes into the outer loop: 64 planes a multiple of 4 KiB apart share
 * a cache set, and each should be visited but once. */
INLINE int columns_far(const ptrdiff_t *row, ptrdiff_t step, int rows)
{
    return rows > 1 && step > row[1] - row[0];
}

/* tile[m][n] = c[row[m] + n * step] */
NOINLINE void tile_read(const float *c, const ptrdiff_t *row, ptrdiff_t step, int rows, int64_t columns, float *tile, int nr)
{
    for (int i = 0; i < rows * nr; i += VEC)
        vec_store(tile + i, vec_zero());
    if (step == 1) {
        for (int m = 0; m < rows; m++) {
            for (int64_t n = 0; n < columns; n += VEC)
                vec_store(tile + m * nr + n, vec_load_n(c + row[m] + n, columns - n));
        }
    } else if (rows_adjoin(row, rows)) {
        transpose(c + row[0], step, columns, rows, tile, nr);
    } else if (columns_far(row, step, rows)) {
        for (int64_t n = 0; n < columns; n++) {
            for (int m = 0; m < rows; m++)
                tile[m * nr + n] = c[row[m] + n * step];
        }
    } else {
        for (int m = 0; m < rows; m++) {
            for (int64_t n = 0; n < columns; n++)
                tile[m * nr + n] = c[row[m] + n * step];
        }
    }
}

/* c[row[m] + n * step] = tile[m][n] */
NOINLINE void tile_write(const float *tile, int nr, float *c, const ptrdiff_t *row, ptrdiff_t step, int rows, int64_t columns)
{
    if (step == 1) {
        for (int m = 0; m < rows; m++) {
            for (int64_t n = 0; n < columns; n += VEC)
                vec_store_n(c + row[m] + n, vec_load(tile + m * nr + n), columns - n);
        }
    } else if (rows_adjoin(row, rows)) {
        transpose(tile, nr, rows, columns, c + row[0], step);
    } else if (columns_far(row, step, rows)) {
        for (int64_t n = 0; n < columns; n++) {
            for (int m = 0; m < rows; m++)
                c[row[m] + n * step] = tile[m * nr + n];
        }
    } else {
        for (int m = 0; m < rows; m++) {
            for (int64_t n = 0; n < columns; n += VEC)
                vec_store_apart(c + row[m] + n * step, step, vec_load(tile + m * nr + n), columns - n);
        }
    }
}

/* The sums in the tile through the epilogue to C. */
NOINLINE void tile_finish(const struct gemm_args *args, float *tile, int rows, int nr)
{
    if (args->bias) {
        for (int64_t n = 0; n < args->columns; n += VEC) {
            const vec bias = vec_load_n(args->bias + n, args->columns - n);
            for (int m = 0; m < rows; m++)
                vec_store(tile + m * nr + n, vec_add(vec_load(tile + m * nr + n), bias));
        }
    }
    if (args->row_bias) {
        for (int m = 0; m < rows; m++) {
            for (int n = 0; n < nr; n += VEC)
                vec_store(tile + m * nr + n, vec_add(vec_load(tile + m * nr + n), vec_broadcast(args->row_bias[m])));
        }
    }
    if (args->residual) {
        _Alignas(64) float residual[TILE_FLOATS];
        tile_read(args->residual, args->row, args->step, rows, args->columns, residual, nr);
        for (int i = 0; i < rows * nr; i += VEC)
            vec_store(tile + i, vec_add(vec_load(tile + i), vec_load(residual + i)));
    }
    finish(tile, rows * nr, &args->epilogue);
    tile_write(tile, nr, args->c, args->row, args->step, rows, args->columns);
}

/* Over the tile. The counts are those of the largest tile, so that every compiler sees a constant and unrolls; the rest of the
 * iterations vanishes (clang 14 leaves a loop of one iteration to a pass too late to keep the sums in registers). */
#define EACH_ROW UNROLL for (int m = 0; m < GEMM_MAX_ROWS; m++) if (m < rows)
#define EACH_VECTOR UNROLL for (int v = 0; v < GEMM_MAX_VECTORS; v++) if (v < vectors)

INLINE int stays_in_registers(const struct gemm_args *args)
{
    return args->step == 1 && args->epilogue.activation == ACTIVATE_NONE;
}

#ifdef GEMM_LANES
/* GEMM_LANES k-steps with one load of each row of A, whose lanes the multiply-adds broadcast by themselves. Besides the sums
 * that takes registers for each row, and for a row of B. */
INLINE const float *gemm_lanes(const float *const *row, int64_t k, const float *b, const ptrdiff_t step,
                               vec sum[GEMM_MAX_ROWS][GEMM_MAX_VECTORS], const int rows, const int vectors)
{
    vec am[GEMM_MAX_ROWS];
    EACH_ROW am[m] = vec_load(row[m] + k);
    UNROLL for (int j = 0; j < GEMM_LANES; j++, b = floats_behind(b, step))
    {
        vec bk[GEMM_MAX_VECTORS];
        EACH_VECTOR bk[v] = vec_load(b + v * VEC);
        EACH_ROW EACH_VECTOR sum[m][v] = vec_fma_lane(am[m], j, bk[v], sum[m][v]);
        /* Each k-step for itself: where the registers get scarce, loads that overtake the multiply-adds of the one before make
         * gcc move sums from register to register, and clang spill them. */
        if (vectors > 1)
            EACH_ROW EACH_VECTOR sum[m][v] = vec_pin(sum[m][v]);
    }
    return b;
}
#endif

/* Pointers to rows beyond these are read from the stack in each step of k, which costs nothing. gcc would keep them in vector
 * registers, and the way back takes turns with the multiply-adds, and waits for those before it. */
#ifndef GEMM_POINTERS
#define GEMM_POINTERS GEMM_MAX_ROWS
#endif

struct gemm_rows {
    const float *near[GEMM_MAX_ROWS];
    const float *volatile far[GEMM_MAX_ROWS];
};

/* A vector of B. For up to three uses gcc would load it anew for each. */
INLINE vec gemm_b(const float *b, const int rows)
{
    return rows == 2 || rows == 3 ? vec_keep(vec_load(b)) : vec_load(b);
}

INLINE void gemm_step(const struct gemm_rows *row, int64_t k, const float *b, vec sum[GEMM_MAX_ROWS][GEMM_MAX_VECTORS],
                      const int rows, const int vectors)
{
    vec bk[GEMM_MAX_VECTORS];
    EACH_VECTOR bk[v] = gemm_b(b + v * VEC, rows);
    EACH_ROW
    {
        const vec amk = vec_broadcast((m < GEMM_POINTERS ? row->near[m] : row->far[m])[k]);
        EACH_VECTOR sum[m][v] = vec_fma_onto(amk, bk[v], sum[m][v]);
    }
}

/* Whether tiles ask for what is coming, a line with each GEMM_STEPS rows of B until they have their share: in order, as the
 * hardware's own prefetcher likes it, and all the time, not only while one waits for it. With more than that to ask for, which
 * few tiles have, each asks for its own B. */
INLINE int gemm_shares(const struct gemm_args *args)
{
#ifdef GEMM_STEPS
    return args->share > 0 && args->share * GEMM_STEPS <= args->taps * args->depth;
#else
    (void)args;
    return 0;
#endif
}

/* asks: for what args->ahead says, a line of each row in LINE steps of k. */
INLINE void gemm_tile(const struct gemm_args *args, const int rows, const int vectors, const int asks)
{
    /* Where rows take all general registers, gcc keeps the rest in vector registers during the loop, and to get it back waits
     * for the multiply-adds. */
    const struct gemm_args *volatile kept = args;
    const int nr = vectors * VEC;
    _Alignas(64) float tile[TILE_FLOATS];
    vec sum[GEMM_MAX_ROWS][GEMM_MAX_VECTORS];

    if (!args->accumulate) {
        EACH_ROW EACH_VECTOR sum[m][v] = vec_zero();
    } else if (args->columns == nr && stays_in_registers(args)) {
        EACH_ROW EACH_VECTOR sum[m][v] = vec_load(args->c + args->row[m] + v * VEC);
    } else {
        tile_read(args->c, args->row, args->step, rows, args->columns, tile, nr);
        EACH_ROW EACH_VECTOR sum[m][v] = vec_load(tile + m * nr + v * VEC);
    }

    const float *const *a = args->a;
    const float *b = args->b;
    const int64_t depth = args->depth;
    const ptrdiff_t offset = args->a_offset, apart = args->b_step * (ptrdiff_t)sizeof(float);
#ifdef GEMM_STEPS
    const float *coming = args->coming;
    const int shared = gemm_shares(args);
    int64_t lines = args->share; /* still to be asked for */
#else
    const int shared = 0;
#endif
    for (int64_t t = args->taps; t > 0; t--, a += kept->a_tap) {
        struct gemm_rows row;
        EACH_ROW
        {
            row.near[m] = a[m] + offset;
            if (m >= GEMM_POINTERS)
                row.far[m] = row.near[m];
        }
        int64_t k = 0;
        if (kept->gaps)
            b += kept->gaps[kept->taps - t] * (apart ? 1 : nr);
        if (apart) {
#ifdef GEMM_LANES
            EACH_ROW FORGET_VALUE(row.near[m]);
            for (; k <= depth - GEMM_LANES; k += GEMM_LANES)
                b = gemm_lanes(row.near, k, b, apart, sum, rows, vectors);
#endif
#ifdef GEMM_STEPS
            for (; lines > 0 && k < depth; k++, lines--, b = floats_behind(b, apart)) {
                __builtin_prefetch(coming, 0, 2);
                coming = floats_behind(coming, kept->coming_step);
                fetch_apart(b, apart, vectors);
                gemm_step(&row, k, b, sum, rows, vectors);
            }
#endif
            for (; k < depth; k++, b = floats_behind(b, apart)) {
                if (!kept->gaps) /* short runs: not worth it (measured: 0.85 to 1.0 times as fast) */
                    fetch_apart(b, apart, vectors);
                gemm_step(&row, k, b, sum, rows, vectors);
            }
            continue;
        }
#ifdef GEMM_LANES
        EACH_ROW FORGET_VALUE(row.near[m]); /* or clang adds the offset again in each step */
#endif
        while (k < depth) {
            const int64_t end = asks && depth - k > LINE ? k + LINE : depth;
            if (asks)
                EACH_ROW __builtin_prefetch(row.near[m] + k + args->ahead);
#ifdef GEMM_LANES
            for (; k <= end - GEMM_LANES; k += GEMM_LANES)
                b = gemm_lanes(row.near, k, b, nr * (ptrdiff_t)sizeof(float), sum, rows, vectors);
#endif
#ifdef GEMM_STEPS
            for (; shared && lines > 0 && k <= end - GEMM_STEPS; k += GEMM_STEPS, lines--) {
                __builtin_prefetch(coming, 0, 2);
                coming = floats_behind(coming, kept->coming_step);
                UNROLL for (int j = 0; j < GEMM_STEPS; j++, b += nr) gemm_step(&row, k + j, b, sum, rows, vectors);
            }
            for (; k <= end - GEMM_STEPS; k += GEMM_STEPS) {
                UNROLL for (int j = 0; j < GEMM_STEPS; j++, b += nr)
                {
                    if (!shared)
                        fetch_ahead(b, vectors);
                    gemm_step(&row, k + j, b, sum, rows, vectors);
                }
            }
#endif
            for (; k < end; k++, b += nr) {
                if (!shared)
                    fetch_ahead(b, vectors);
                gemm_step(&row, k, b, sum, rows, vectors);
            }
        }
    }

    args = kept;
    if (!stays_in_registers(args)) {
        EACH_ROW EACH_VECTOR vec_store(tile + m * nr + v * VEC, sum[m][v]);
        tile_finish(args, tile, rows, nr);
        return;
    }
    const int whole = args->columns == nr;
    float *const c = args->c; /* stores could change what args points to: compilers read it again after each */
    const ptrdiff_t *const at = args->row;
    if (args->bias) {
        EACH_VECTOR
        {
            const vec bias = whole ? vec_load(args->bias + v * VEC) : vec_load_n(args->bias + v * VEC, args->columns - v * VEC);
            EACH_ROW sum[m][v] = vec_add(sum[m][v], bias);
        }
    }
    if (args->row_bias)
        EACH_ROW EACH_VECTOR sum[m][v] = vec_add(sum[m][v], vec_broadcast(args->row_bias[m]));
    if (args->residual && whole)
        EACH_ROW EACH_VECTOR sum[m][v] = vec_add(sum[m][v], vec_load(args->residual + args->row[m] + v * VEC));
    if (args->residual && !whole)
        EACH_ROW EACH_VECTOR sum[m][v] =
            vec_add(sum[m][v], vec_load_n(args->residual + args->row[m] + v * VEC, args->columns - v * VEC));
    if (epilogue_clamps(&args->epilogue)) {
        const vec lo = vec_broadcast(args->epilogue.lo), hi = vec_broadcast(args->epilogue.hi);
        EACH_ROW EACH_VECTOR sum[m][v] = vec_clamp(sum[m][v], lo, hi);
    }
    if (whole && args->stream) {
        EACH_ROW
        {
            float *const to = c + at[m];
            EACH_VECTOR vec_stream(to + v * VEC, sum[m][v]);
        }
    } else if (whole) {
        EACH_ROW
        {
            float *const to = c + at[m];
            EACH_VECTOR vec_store(to + v * VEC, sum[m][v]);
        }
    } else {
        const int64_t columns = args->columns;
        EACH_ROW
        {
            float *const to = c + at[m];
            EACH_VECTOR vec_store_n(to + v * VEC, sum[m][v], columns - v * VEC);
        }
    }
}

INLINE void gemm_next(struct gemm_args *args)
{
    args->a += args->next.a;
    args->a_offset += args->next.a_offset;
    args->c += args->next.c;
    if (args->residual)
        args->residual += args->next.c;
    if (args->share > 0)
        args->coming = floats_behind(args->coming, args->share * args->coming_step);
}

INLINE void gemm_tiles(struct gemm_args *args, const int rows, const int vectors, const int asks)
{
    int64_t tiles = args->tiles;
    do {
        gemm_tile(args, rows, vectors, asks);
        gemm_next(args);
    } while (--tiles > 0);
}

INLINE void gemm(struct gemm_args *args, const int rows, const int vectors)
{
    if (args->ahead != 0)
        gemm_tiles(args, rows, vectors, 1);
    else
        gemm_tiles(args, rows, vectors, 0);
}

/* X(rows, vectors) for 1 ... n rows. */
#define ROWS_1(X, vectors) X(1, vectors)
#define ROWS_2(X, vectors) ROWS_1(X, vectors) X(2, vectors)
#define ROWS_3(X, vectors) ROWS_2(X, vectors) X(3, vectors)
#define ROWS_4(X, vectors) ROWS_3(X, vectors) X(4, vectors)
#define ROWS_5(X, vectors) ROWS_4(X, vectors) X(5, vectors)
#define ROWS_6(X, vectors) ROWS_5(X, vectors) X(6, vectors)
#define ROWS_7(X, vectors) ROWS_6(X, vectors) X(7, vectors)
#define ROWS_8(X, vectors) ROWS_7(X, vectors) X(8, vectors)
#define ROWS_9(X, vectors) ROWS_8(X, vectors) X(9, vectors)
#define ROWS_10(X, vectors) ROWS_9(X, vectors) X(10, vectors)
#define ROWS_11(X, vectors) ROWS_10(X, vectors) X(11, vectors)
#define ROWS_12(X, vectors) ROWS_11(X, vectors) X(12, vectors)
#define ROWS_13(X, vectors) ROWS_12(X, vectors) X(13, vectors)
#define ROWS_14(X, vectors) ROWS_13(X, vectors) X(14, vectors)

#define ROWS_UP_TO_(n) ROWS_##n
#define ROWS_UP_TO(n) ROWS_UP_TO_(n)

/* Every tile of this instruction set. */
#define GEMM_TILES(X)                                                                                                          \
    ROWS_UP_TO(GEMM_ROWS_1)(X, 1) ROWS_UP_TO(GEMM_ROWS_2)(X, 2) ROWS_UP_TO(GEMM_ROWS_3)(X, 3) ROWS_UP_TO(GEMM_ROWS_4)(X, 4)

/* gemm_14x2: the tile of 14 rows and 2 vectors. */
#define GEMM_DEFINE(rows, vectors)                                                                                             \
    static void gemm_##rows##x##vectors(struct gemm_args *args)                                                                \
    {                                                                                                                          \
        gemm(args, rows, vectors);                                                                                             \
    }
GEMM_TILES(GEMM_DEFINE)

#define GEMM_ENTRY(rows, vectors) [vectors][rows] = gemm_##rows##x##vectors,
