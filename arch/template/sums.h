/*
 * sums.h - sums in double, the bias gradient. Eight rows are added as a tree, which rounds three times, before they are
 * widened, as that takes most of the time.
 */

enum { SUM_ROWS = 8, SUM_VECTORS = 4, SUM_LANES = 16 };

_Static_assert(SUM_LANES % VEC == 0 && SUM_LANES / VEC <= SUM_VECTORS, "the lanes of a run are some vectors");

/* sum[v] += rows of `vectors` vectors, or of the first lanes of one where they are not whole. */
INLINE void sum_block(const float *x, ptrdiff_t apart, int64_t rows, int64_t lanes, vec_wide *sum, const int vectors,
                      const int whole)
{
#define SUM_LOAD(p) (whole ? vec_load(p) : vec_load_n(p, lanes))
    for (; rows >= SUM_ROWS; rows -= SUM_ROWS, x += SUM_ROWS * apart) {
        UNROLL for (int v = 0; v < vectors; v++)
        {
            vec tree[SUM_ROWS];
            UNROLL for (int r = 0; r < SUM_ROWS; r++) tree[r] = SUM_LOAD(x + r * apart + v * VEC);
            UNROLL for (int left = SUM_ROWS / 2; left > 0; left /= 2)
            {
                UNROLL for (int r = 0; r < left; r++) tree[r] = vec_add(tree[2 * r], tree[2 * r + 1]);
            }
            sum[v] = vec_wide_add(sum[v], tree[0]);
        }
    }
    for (; rows > 0; rows--, x += apart)
        UNROLL for (int v = 0; v < vectors; v++) sum[v] = vec_wide_add(sum[v], SUM_LOAD(x + v * VEC));
#undef SUM_LOAD
}

INLINE void sum_columns(const float *x, ptrdiff_t apart, int64_t rows, double *total, const int vectors)
{
    vec_wide sum[SUM_VECTORS];
    UNROLL for (int v = 0; v < vectors; v++) sum[v] = vec_wide_load(total + v * VEC);
    sum_block(x, apart, rows, VEC, sum, vectors, 1);
    UNROLL for (int v = 0; v < vectors; v++) vec_wide_store(total + v * VEC, sum[v]);
}

/* Vectors that are neighbours go together: rows that lie far apart are read in runs. */
static void sum_rows(const float *x, ptrdiff_t apart, int64_t rows, int64_t columns, double *total)
{
    int64_t c = 0;
    for (; c <= columns - SUM_VECTORS * VEC; c += SUM_VECTORS * VEC)
        sum_columns(x + c, apart, rows, total + c, SUM_VECTORS);
    for (; c <= columns - VEC; c += VEC)
        sum_columns(x + c, apart, rows, total + c, 1);
    if (c < columns) {
        double part[VEC] = {0.0};
        memcpy(part, total + c, (size_t)(columns - c) * sizeof *part);
        vec_wide sum = vec_wide_load(part);
        sum_block(x + c, apart, rows, columns - c, &sum, 1, 0);
        vec_wide_store(part, sum);
        memcpy(total + c, part, (size_t)(columns - c) * sizeof *part);
    }
}

/* In SUM_LANES sums, as one would be a chain of latencies, and these by a tree. */
static double sum_run(const float *x, int64_t count)
{
    enum { VECTORS = SUM_LANES / VEC };
    double lane[SUM_LANES] = {0.0};
    vec_wide sum[SUM_VECTORS];
    const int64_t rows = count / SUM_LANES, rest = count % SUM_LANES;
    UNROLL for (int v = 0; v < VECTORS; v++) sum[v] = vec_wide_load(lane);
    sum_block(x, SUM_LANES, rows, VEC, sum, VECTORS, 1);
    UNROLL for (int v = 0; v < VECTORS; v++)
    {
        if (rest > v * VEC)
            sum[v] = vec_wide_add(sum[v], vec_load_n(x + rows * SUM_LANES + v * VEC, rest - v * VEC));
    }
    UNROLL for (int v = 0; v < VECTORS; v++) vec_wide_store(lane + v * VEC, sum[v]);
    UNROLL for (int left = SUM_LANES / 2; left > 0; left /= 2)
    {
        UNROLL for (int i = 0; i < left; i++) lane[i] += lane[i + left];
    }
    return lane[0];
}
