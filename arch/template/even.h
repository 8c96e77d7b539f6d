/*
 * even.h - the register tiles of gemm.h where rows lie evenly and sums are finished in registers, as most are.
 *
 * Short sums leave no time for a table of pointers: on x86-64 it takes all general registers, gcc keeps what does not fit in
 * vector registers, and to get it back waits for the multiply-adds. Here every third row has a pointer, and the two behind it
 * are found by the distance between rows.
 */

enum { NEIGHBOURS = 3, EVEN_POINTERS = (GEMM_MAX_ROWS + NEIGHBOURS - 1) / NEIGHBOURS };

#define EACH_POINTER UNROLL for (int i = 0; i < EVEN_POINTERS; i++) if (i * NEIGHBOURS < rows)

INLINE void even_step(const float *const *at, ptrdiff_t apart, const float *b, vec sum[GEMM_MAX_ROWS][GEMM_MAX_VECTORS],
                      const int rows, const int vectors)
{
    vec bk[GEMM_MAX_VECTORS];
    EACH_VECTOR bk[v] = gemm_b(b + v * VEC, rows);
    EACH_ROW
    {
        const vec amk = vec_broadcast(*floats_behind(at[m / NEIGHBOURS], m % NEIGHBOURS * apart));
        EACH_VECTOR sum[m][v] = vec_fma_onto(amk, bk[v], sum[m][v]);
    }
}

/* shared: the tile asks for what is coming, a line in GEMM_STEPS steps, else for B itself. */
INLINE void even_tile(const struct gemm_args *args, const int shared, const int rows, const int vectors)
{
    const struct gemm_args *volatile kept = args; /* as in gemm.h */
    const float *b = args->b, *const *a = args->a;
    const ptrdiff_t offset = args->a_offset;
#ifdef GEMM_STEPS
    const float *coming = args->coming;
    int64_t lines = args->share; /* still to be asked for */
#endif
    vec sum[GEMM_MAX_ROWS][GEMM_MAX_VECTORS];
    EACH_ROW EACH_VECTOR sum[m][v] = vec_zero();
    for (int64_t t = args->taps; t > 0; t--, a += args->a_tap) {
        int64_t k = args->depth;
#ifdef GEMM_LANES
        (void)shared; /* it asks for nothing */
        struct gemm_rows row;
        EACH_ROW
        {
            row.near[m] = *a + offset + m * args->a_row;
            FORGET_VALUE(row.near[m]);
        }
        int64_t done = 0;
        for (; k >= GEMM_LANES; k -= GEMM_LANES, done += GEMM_LANES)
            b = gemm_lanes(row.near, done, b, vectors * VEC * (ptrdiff_t)sizeof(float), sum, rows, vectors);
        for (; k > 0; k--, done++, b += vectors * VEC)
            gemm_step(&row, done, b, sum, rows, vectors);
#else
        const ptrdiff_t apart = args->a_row * (ptrdiff_t)sizeof(float);
        const float *at[EVEN_POINTERS];
        EACH_POINTER at[i] = *a + offset + i * NEIGHBOURS * args->a_row;
#ifdef GEMM_STEPS
        const int64_t rest = lines * GEMM_STEPS < k ? k - lines * GEMM_STEPS : 0;
        lines -= (k - rest) / GEMM_STEPS;
        for (; shared && k >= rest + GEMM_STEPS; k -= GEMM_STEPS, coming = floats_behind(coming, args->coming_step)) {
            __builtin_prefetch(coming, 0, 2);
            UNROLL for (int j = 0; j < GEMM_STEPS; j++, b += vectors * VEC)
            {
                even_step(at, apart, b, sum, rows, vectors);
                EACH_POINTER at[i]++;
            }
        }
        for (; k >= GEMM_STEPS; k -= GEMM_STEPS) {
            UNROLL for (int j = 0; j < GEMM_STEPS; j++, b += vectors * VEC)
            {
                if (!shared)
                    fetch_ahead(b, vectors);
                even_step(at, apart, b, sum, rows, vectors);
                EACH_POINTER at[i]++;
            }
        }
#endif
        for (; k > 0; k--, b += vectors * VEC) {
            if (!shared)
                fetch_ahead(b, vectors);
            even_step(at, apart, b, sum, rows, vectors);
            EACH_POINTER at[i]++;
        }
#endif
    }
    args = kept;
    if (args->bias) {
        EACH_VECTOR
        {
            const vec bias = vec_load(args->bias + v * VEC);
            EACH_ROW sum[m][v] = vec_add(sum[m][v], bias);
        }
    }
    if (args->row_bias)
        EACH_ROW EACH_VECTOR sum[m][v] = vec_add(sum[m][v], vec_broadcast(args->row_bias[m]));
    if (epilogue_clamps(&args->epilogue)) {
        const vec lo = vec_broadcast(args->epilogue.lo), hi = vec_broadcast(args->epilogue.hi);
        EACH_ROW EACH_VECTOR sum[m][v] = vec_clamp(sum[m][v], lo, hi);
    }
    float *const c = args->c;
    const ptrdiff_t c_row = args->c_row;
    if (args->stream) {
        EACH_ROW EACH_VECTOR vec_stream(c + m * c_row + v * VEC, sum[m][v]);
    } else {
        EACH_ROW EACH_VECTOR vec_store(c + m * c_row + v * VEC, sum[m][v]);
    }
}

INLINE void even_tiles(struct gemm_args *args, const int shared, const int rows, const int vectors)
{
    int64_t lines = args->lines;
    do {
        int64_t tiles = args->tiles;
        do {
            even_tile(args, shared, rows, vectors);
            gemm_next(args);
        } while (--tiles > 0);
        args->a_offset += args->line.a_offset;
        args->c += args->line.c;
    } while (--lines > 0);
}

INLINE void even(struct gemm_args *args, const int rows, const int vectors)
{
    if (gemm_shares(args))
        even_tiles(args, 1, rows, vectors);
    else
        even_tiles(args, 0, rows, vectors);
}

#define EVEN_DEFINE(rows, vectors)                                                                                             \
    static void even_##rows##x##vectors(struct gemm_args *args)                                                                \
    {                                                                                                                          \
        even(args, rows, vectors);                                                                                             \
    }
GEMM_TILES(EVEN_DEFINE)

#define EVEN_ENTRY(rows, vectors) [vectors][rows] = even_##rows##x##vectors,
