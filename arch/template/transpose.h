/* transpose.h - a matrix, block by block of VEC x VEC in registers. */

INLINE void transpose_block(const float *src, ptrdiff_t src_stride, int64_t rows, int64_t columns, float *dst,
                            ptrdiff_t dst_stride)
{
    vec x[VEC];
    if (rows >= VEC && columns >= VEC) {
        UNROLL for (int i = 0; i < VEC; i++) x[i] = vec_load(src + i * src_stride);
        vec_transpose(x);
        UNROLL for (int i = 0; i < VEC; i++) vec_store(dst + i * dst_stride, x[i]);
    } else {
        UNROLL for (int i = 0; i < VEC; i++) x[i] = i < rows ? vec_load_n(src + i * src_stride, columns) : vec_zero();
        vec_transpose(x);
        UNROLL for (int i = 0; i < VEC; i++)
        {
            if (i < columns)
                vec_store_n(dst + i * dst_stride, x[i], rows);
        }
    }
}

NOINLINE void transpose(const float *src, ptrdiff_t src_stride, int64_t rows, int64_t columns, float *dst, ptrdiff_t dst_stride)
{
    for (int64_t r = 0; r < rows; r += VEC) {
        for (int64_t c = 0; c < columns; c += VEC)
            transpose_block(src + r * src_stride + c, src_stride, rows - r, columns - c, dst + c * dst_stride + r, dst_stride);
    }
}
