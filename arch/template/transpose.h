/* transpose.h - a matrix, block by block of VEC x VEC in registers. */

/* of_rows, of_columns: less than VEC of them, or all of a block's. */
INLINE void transpose_block(const float *src, ptrdiff_t src_stride, const int of_rows, const int of_columns, int64_t rows,
                            int64_t columns, float *dst, ptrdiff_t dst_stride)
{
    vec x[VEC];
    UNROLL for (int i = 0; i < VEC; i++)
    {
        if (of_rows && i >= rows)
            x[i] = vec_zero();
        else
            x[i] = of_columns ? vec_load_n(src + i * src_stride, columns) : vec_load(src + i * src_stride);
    }
    vec_transpose(x);
    UNROLL for (int i = 0; i < VEC; i++)
    {
        if (of_columns && i >= columns)
            continue;
        if (of_rows)
            vec_store_n(dst + i * dst_stride, x[i], rows);
        else
            vec_store(dst + i * dst_stride, x[i]);
    }
}

/* What is left of whole blocks is done with a block that reaches back: masks, of stores above all, take longer. */
static void transpose_whole(const float *src, ptrdiff_t src_stride, int64_t rows, int64_t columns, float *dst,
                            ptrdiff_t dst_stride)
{
    for (int64_t r = 0; r < rows; r += VEC) {
        const int64_t row = r + VEC <= rows ? r : rows - VEC;
        for (int64_t c = 0; c < columns; c += VEC) {
            const int64_t column = c + VEC <= columns ? c : columns - VEC;
            transpose_block(src + row * src_stride + column, src_stride, 0, 0, VEC, VEC, dst + column * dst_stride + row,
                            dst_stride);
        }
    }
}

NOINLINE void transpose_narrow(const float *src, ptrdiff_t src_stride, int64_t rows, int64_t columns, float *dst,
                               ptrdiff_t dst_stride)
{
    const int of_rows = rows < VEC, of_columns = columns < VEC;
    for (int64_t r = 0; r < rows; r += VEC) {
        const int64_t row = of_rows || r + VEC <= rows ? r : rows - VEC;
        for (int64_t c = 0; c < columns; c += VEC) {
            const int64_t column = of_columns || c + VEC <= columns ? c : columns - VEC;
            const float *from = src + row * src_stride + column;
            float *to = dst + column * dst_stride + row;
            if (!of_rows)
                transpose_block(from, src_stride, 0, 1, VEC, columns, to, dst_stride);
            else if (!of_columns)
                transpose_block(from, src_stride, 1, 0, rows, VEC, to, dst_stride);
            else
                transpose_block(from, src_stride, 1, 1, rows, columns, to, dst_stride);
        }
    }
}

NOINLINE void transpose(const float *src, ptrdiff_t src_stride, int64_t rows, int64_t columns, float *dst, ptrdiff_t dst_stride)
{
    if (rows < VEC || columns < VEC)
        transpose_narrow(src, src_stride, rows, columns, dst, dst_stride);
    else
        transpose_whole(src, src_stride, rows, columns, dst, dst_stride);
}
