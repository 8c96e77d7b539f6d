/*
 * outer.h - the sum of outer products of kernels.h on the same register tiles as gemm.h.
 *
 * Rows of A are neighbours in memory, so a tile's broadcasts are one pointer with constant displacements. Nothing is packed: a
 * narrow tile loads its last vector through a mask, which costs nothing where the hardware has masks.
 *
 * Pixels may lie pages apart, where hardware prefetches nothing: a tile that has the time asks for those OUTER_AHEAD
 * multiply-adds ahead, some 100 cycles: enough for L2 and the nearer L3. More would meet in L1, where pixels lie in few of its
 * sets. What comes from memory comes to the first tiles that use it only, faster than memory is: the caller names what later
 * tiles will use, and each asks for its share.
 */
enum { OUTER_AHEAD = 192 };

/* For a row of A or B. */
INLINE void outer_ask(const float *row, const int floats)
{
    UNROLL for (int n = 0; n < GEMM_MAX_VECTORS * VEC; n += LINE) if (n < floats) __builtin_prefetch(row + n);
    if (floats % LINE != 0) /* it may lie across lines */
        __builtin_prefetch(row + floats - 1);
}

INLINE void outer_ask_ahead(struct outer_ahead *ahead, int64_t *wait, const int floats)
{
    if (--*wait == 0) {
        outer_ask(ahead->from, floats);
        ahead->from += ahead->step;
        *wait = ahead->every;
    }
}

/* whole: all columns of the last vector are there. asks: ahead, for what is in args; it takes registers. */
INLINE void outer_sum(const struct outer_args *args, vec sum[GEMM_MAX_ROWS][GEMM_MAX_VECTORS], const int rows,
                      const int vectors, const int whole, const int asks)
{
    const vec_lanes last = vec_lanes_between(0, whole ? VEC : (int32_t)(args->columns - (vectors - 1) * VEC));
    const ptrdiff_t a_step = args->a_step, b_step = args->b_step;
    const struct outer_segment *segment = args->segments;
    struct outer_ahead a_ahead = args->a_ahead, b_ahead = args->b_ahead;
    int64_t a_wait = a_ahead.every, b_wait = b_ahead.every;
    /* Chains of sums for two multiply-adds a cycle: then steps go by twos, where registers have room. */
    const int few = rows * vectors < 8 && 2 * (rows + 1) * vectors + 2 < WINDOW_REGISTERS;
    const int by_twos = few && args->by_twos;
    vec other[GEMM_MAX_ROWS][GEMM_MAX_VECTORS];
    EACH_ROW EACH_VECTOR other[m][v] = vec_zero();
    for (int64_t s = args->count; s > 0; s--, segment++) {
        const float *a = args->a + segment->a, *b = args->b + segment->b;
        int64_t k = segment->length;
        for (; by_twos && k > 1; k -= 2, a += 2 * a_step, b += 2 * b_step) {
            vec bk[GEMM_MAX_VECTORS], bl[GEMM_MAX_VECTORS];
            EACH_VECTOR
            {
                bk[v] = whole || v < vectors - 1 ? gemm_b(b + v * VEC, rows) : vec_load_lanes(b + v * VEC, last);
                bl[v] =
                    whole || v < vectors - 1 ? gemm_b(b + b_step + v * VEC, rows) : vec_load_lanes(b + b_step + v * VEC, last);
            }
            EACH_ROW
            {
                const vec amk = vec_broadcast(a[m]), aml = vec_broadcast(a[a_step + m]);
                EACH_VECTOR sum[m][v] = vec_fma(amk, bk[v], sum[m][v]);
                EACH_VECTOR other[m][v] = vec_fma(aml, bl[v], other[m][v]);
            }
        }
        for (; k > 0; k--, a += a_step, b += b_step) {
            if (rows * vectors >= 8) {
                outer_ask(a + OUTER_AHEAD / (rows * vectors) * a_step, rows);
                outer_ask(b + OUTER_AHEAD / (rows * vectors) * b_step, vectors * VEC);
            }
            if (asks) {
                outer_ask_ahead(&a_ahead, &a_wait, rows);
                outer_ask_ahead(&b_ahead, &b_wait, vectors * VEC);
            }
            vec bk[GEMM_MAX_VECTORS];
            EACH_VECTOR bk[v] = whole || v < vectors - 1 ? gemm_b(b + v * VEC, rows) : vec_load_lanes(b + v * VEC, last);
            EACH_ROW
            {
                const vec amk = vec_broadcast(a[m]);
                EACH_VECTOR sum[m][v] = vec_fma(amk, bk[v], sum[m][v]);
            }
        }
    }
    if (by_twos)
        EACH_ROW EACH_VECTOR sum[m][v] = vec_add(sum[m][v], other[m][v]);
}

INLINE void outer(const struct outer_args *args, const int rows, const int vectors)
{
    vec sum[GEMM_MAX_ROWS][GEMM_MAX_VECTORS];
    EACH_ROW EACH_VECTOR sum[m][v] = vec_zero();
    float *c = args->c; /* stores might change args */
    const ptrdiff_t c_row = args->c_row;
    const int64_t columns = args->columns;
    const int accumulate = args->accumulate;
    if (columns == vectors * VEC) {
        if (rows * vectors >= 8 && (args->a_ahead.every || args->b_ahead.every))
            outer_sum(args, sum, rows, vectors, 1, 1);
        else
            outer_sum(args, sum, rows, vectors, 1, 0);
        EACH_ROW
        {
            if (accumulate)
                EACH_VECTOR sum[m][v] = vec_add(vec_load(c + v * VEC), sum[m][v]);
            EACH_VECTOR vec_store(c + v * VEC, sum[m][v]);
            c += c_row;
        }
    } else {
        outer_sum(args, sum, rows, vectors, 0, 0);
        EACH_ROW
        {
            EACH_VECTOR
            {
                const int64_t n = columns - v * VEC;
                if (accumulate)
                    sum[m][v] = vec_add(vec_load_n(c + v * VEC, n), sum[m][v]);
                vec_store_n(c + v * VEC, sum[m][v], n);
            }
            c += c_row;
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
