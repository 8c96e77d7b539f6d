/* collect.h - rows from anywhere into a matrix. The usual lengths are unrolled: a row is a few vectors, or less than one. */

INLINE void collect_vectors(const float *base, const ptrdiff_t *offset, int64_t rows, float *dst, ptrdiff_t dst_stride,
                            const int vectors)
{
    for (int64_t r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++)
            vec_store(dst + r * dst_stride + v * VEC, vec_load(base + offset[r] + v * VEC));
    }
}

NOINLINE void collect(const float *base, const ptrdiff_t *offset, int64_t rows, int64_t columns, float *dst,
                      ptrdiff_t dst_stride)
{
    if (columns == VEC) {
        collect_vectors(base, offset, rows, dst, dst_stride, 1);
    } else if (columns == 2 * VEC) {
        collect_vectors(base, offset, rows, dst, dst_stride, 2);
    } else if (columns == 4 * VEC) {
        collect_vectors(base, offset, rows, dst, dst_stride, 4);
    } else if (columns < VEC) {
        for (int64_t r = 0; r < rows; r++)
            vec_store_n(dst + r * dst_stride, vec_load_n(base + offset[r], columns), columns);
    } else {
        /* the last vector overlaps the one before */
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t i = 0; i < columns - VEC; i += VEC)
                vec_store(dst + r * dst_stride + i, vec_load(base + offset[r] + i));
            vec_store(dst + r * dst_stride + columns - VEC, vec_load(base + offset[r] + columns - VEC));
        }
    }
}

INLINE void copy_some(const float *src, int64_t count, float *dst)
{
    for (int64_t i = 0; i < count; i += VEC)
        vec_store_n(dst + i, vec_load_n(src + i, count - i), count - i);
}

static void copy_past(const float *src, int64_t count, float *dst)
{
    enum { LINE = 64 / sizeof(float) };
    const int64_t before = (int64_t)(-((uintptr_t)dst / sizeof(float)) % LINE), first = before < count ? before : count;
    copy_some(src, first, dst);
    int64_t i = first;
    for (; i <= count - LINE; i += LINE)
        UNROLL for (int n = 0; n < LINE; n += VEC) vec_stream(dst + i + n, vec_load(src + i + n));
    copy_some(src + i, count - i, dst + i);
}
