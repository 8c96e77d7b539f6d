#include "layout.h"

#include "arithmetic.h"

enum { BLOCK = 64 }; /* rows and columns of a block, which L1 has room for */

/* Each image a matrix [row][column] that is transposed, block by block: those that follow each other write to the same rows of
 * the result, so that threads meet in few of its lines. */
static void transpose_images(const struct kernels *kernels, const float *from, int64_t images, int64_t rows, int64_t columns,
                             float *to, int member, int members)
{
    const int64_t down = divide_up(rows, BLOCK), across = divide_up(columns, BLOCK);
    int64_t block, end;
    falt_share(images * down * across, member, members, &block, &end);
    for (; block < end; block++) {
        const int64_t row = block % down * BLOCK, rest = block / down, column = rest % across * BLOCK;
        const int64_t image = rest / across * rows * columns;
        kernels->transpose(from + image + row * columns + column, columns, smaller(BLOCK, rows - row),
                           smaller(BLOCK, columns - column), to + image + column * rows + row, rows);
    }
}

void falt_to_channels_last(const struct kernels *kernels, const float *from, int64_t images, int64_t channels, int64_t pixels,
                           float *to, int member, int members)
{
    transpose_images(kernels, from, images, channels, pixels, to, member, members);
}

void falt_to_channels_first(const struct kernels *kernels, const float *from, int64_t images, int64_t channels, int64_t pixels,
                            float *to, int member, int members)
{
    transpose_images(kernels, from, images, pixels, channels, to, member, members);
}
