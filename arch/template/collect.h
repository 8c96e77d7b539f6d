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
