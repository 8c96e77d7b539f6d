/*
 * outer.h - the sum of outer products of kernels.h on the same register tiles as gemm.h.
 *
 * Rows of A are neighbours in memory, so a tile's broadcasts are one pointer with constant displacements. Nothing is packed: a
 * narrow tile loads its last vector through a mask, which costs nothing where the hardware has masks.
 *
 * Pixels may lie pages apart, where hardware prefetches nothing: a tile that has the time asks for those OUTER_AHEAD steps
 * ahead, some 400 cycles, the latency of memory.
 */
enum { OUTER_AHEAD = 16 };

INLINE void outer_ahead(const float *a, const float *b, const int rows, const int vectors)
{
    __builtin_prefetch(a);
    __builtin_prefetch(a + rows - 1);
    UNROLL for (int n = 0; n < GEMM_MAX_VECTORS * VEC; n += LINE) if (n < vectors * VEC) __builtin_prefetch(b + n);
}

/* whole: all columns of the last vector are there. */
INLINE void outer_sum(const struct outer_args *args, vec sum[GEMM_MAX_ROWS][GEMM_MAX_VECTORS], const int rows,
                      const int vectors, const int whole)
{
    const vec_lanes last = vec_lanes_between(0, whole ? VEC : (int32_t)(args->columns - (vectors - 1) * VEC));
    const ptrdiff_t a_step = args->a_step, b_step = args->b_step;
    const struct outer_segment *segment = args->segments;
    for (int64_t s = args->count; s > 0; s--, segment++) {
        const float *a = args->a + segment->a, *b = args->b + segment->b;
        for (int64_t k = segment->length; k > 0; k--, a += a_step, b += b_step) {
            if (rows * vectors >= 8)
                outer_ahead(a + OUTER_AHEAD * a_step, b + OUTER_AHEAD * b_step, rows, vectors);
            vec bk[GEMM_MAX_VECTORS];
            EACH_VECTOR bk[v] = whole || v < vectors - 1 ? vec_load(b + v * VEC) : vec_load_lanes(b + v * VEC, last);
            EACH_ROW
            {
                const vec amk = vec_broadcast(a[m]);
                EACH_VECTOR sum[m][v] = vec_fma(amk, bk[v], sum[m][v]);
            }
        }
    }
}

INLINE void outer(const struct outer_args *args, const int rows, const int vectors)
{
    vec sum[GEMM_MAX_ROWS][GEMM_MAX_VECTORS];
    EACH_ROW EACH_VECTOR sum[m][v] = vec_zero();
    if (args->columns == vectors * VEC) {
        outer_sum(args, sum, rows, vectors, 1);
        if (args->accumulate)
            EACH_ROW EACH_VECTOR sum[m][v] = vec_add(vec_load(args->c[m] + v * VEC), sum[m][v]);
        EACH_ROW EACH_VECTOR vec_store(args->c[m] + v * VEC, sum[m][v]);
    } else {
        outer_sum(args, sum, rows, vectors, 0);
        EACH_ROW EACH_VECTOR
        {
            const int64_t n = args->columns - v * VEC;
            if (args->accumulate)
                sum[m][v] = vec_add(vec_load_n(args->c[m] + v * VEC, n), sum[m][v]);
            vec_store_n(args->c[m] + v * VEC, sum[m][v], n);
        }
    }
}

/* outer_14x2: the tile of 14 rows and 2 vectors. */
#define OUTER_DEFINE(rows, vectors)                                                                                            \
    static void outer_##rows##x##vectors(const struct outer_args *args)                                                        \
    {                                                                                                                          \
        outer(args, rows, vectors);                                                                                            \
    }
GEMM_TILES(OUTER_DEFINE)

#define OUTER_ENTRY(rows, vectors) [vectors][rows] = outer_##rows##x##vectors,
