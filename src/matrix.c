/*
 * matrix.c - the operator written out as a matrix.
 *
 * In each dimension, the pairs (row, column) that a tap joins are a small sparse matrix P. The pattern of one block is the
 * Kronecker product of the three, and every entry's tap is the tuple of theirs:
 *
 *     P (5 samples, 3 taps, pad 1)      1-D block            2-D block: P with a block like it for each entry
 *          1 2 . . .                    w1 w2  .  .  .
 *          0 1 2 . .                    w0 w1 w2  .  .
 *          . 0 1 2 .                     . w0 w1 w2  .
 *          . . 0 1 2                     .  . w0 w1 w2
 *          . . . 0 1                     .  .  . w0 w1
 *
 * So rows are written one after the other, each in ascending order of columns, and nothing of the matrix is ever sorted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "arithmetic.h"
#include "error.h"
#include "operator.h"
#include "range.h"

int64_t falt_tap_period(const struct falt_operator *op, int k)
{
    return op->problem.in[k] / common_divisor(op->problem.in[k], op->problem.dilation[k]);
}

/* Taps that differ: with a circular boundary, those that lie upon each other are one. */
static int64_t distinct_taps(const struct falt_operator *op, int k)
{
    const int64_t taps = op->problem.kernel[k];
    return op->boundary == FALT_BOUNDARY_CIRCULAR ? smaller(taps, falt_tap_period(op, k)) : taps;
}

/* The q in [0, out) with q * stride + tap * dilation - pad in [0, in). */
static void outputs_of_tap(const struct problem *p, int k, int64_t tap, int64_t *begin, int64_t *end)
{
    const int64_t offset = tap * p->dilation[k] - p->pad[k], s = p->stride[k];
    *begin = offset < 0 ? divide_up(-offset, s) : 0;
    *end = p->in[k] > offset ? smaller(p->out[k], divide_up(p->in[k] - offset, s)) : 0;
    *end = larger(*begin, *end);
}

static bool count_pairs(const struct falt_operator *op, int k, int64_t *count)
{
    const struct problem *p = &op->problem;
    if (op->boundary == FALT_BOUNDARY_CIRCULAR)
        return falt_multiply(p->out[k], distinct_taps(op, k), count);
    *count = 0;
    for (int64_t t = 0; t < p->kernel[k]; t++) {
        int64_t begin, end;
        outputs_of_tap(p, k, t, &begin, &end);
        if (*count > INT64_MAX - (end - begin))
            return false;
        *count += end - begin;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- queries */

/* What is asked for, in terms of A: rows and columns of one block, and which blocks. */
struct part {
    struct range row_channels, column_channels;
    int64_t row_pixels, column_pixels, row_group, column_group;
    struct matrix_size {
        int64_t rows, columns, nonzeros;
    } size;
};

static falt_status choose(const char *name, int64_t channel, int64_t channels, struct range *range)
{
    if (channel != FALT_ALL_CHANNELS && !inside(channel, channels))
        return falt_fail(FALT_INVALID_ARGUMENT, "%s %" PRId64 " is not one of 0 to %" PRId64, name, channel, channels - 1);
    *range = channel == FALT_ALL_CHANNELS ? (struct range){0, channels} : (struct range){channel, channel + 1};
    return FALT_OK;
}

/* The column channels of the part that a row channel is joined with. */
static struct range columns_of(const struct part *part, int64_t row_channel)
{
    const int64_t first = row_channel / part->row_group * part->column_group;
    const int64_t begin = larger(first, part->column_channels.begin);
    return (struct range){begin, larger(begin, smaller(first + part->column_group, part->column_channels.end))};
}

static falt_status choose_part(const falt_operator *op, int64_t out_channel, int64_t in_channel, struct part *part)
{
    if (!op)
        return falt_fail(FALT_INVALID_ARGUMENT, "op is NULL");
    const struct problem *p = &op->problem;
    const bool t = p->transposed;
    falt_status status = choose("out_channel", out_channel, t ? p->x_channels : p->y_channels, &part->row_channels);
    if (status == FALT_OK)
        status = choose("in_channel", in_channel, t ? p->y_channels : p->x_channels, &part->column_channels);
    if (status != FALT_OK)
        return status;
    part->row_pixels = t ? p->in_pixels : p->out_pixels;
    part->column_pixels = t ? p->out_pixels : p->in_pixels;
    part->row_group = t ? p->x_group : p->y_group;
    part->column_group = t ? p->y_group : p->x_group;

    int64_t blocks = 0; /* of those that are not zero */
    for (int64_t c = part->row_channels.begin; c < part->row_channels.end; c++) {
        const struct range columns = columns_of(part, c);
        blocks += columns.end - columns.begin;
    }
    struct matrix_size *size = &part->size;
    size->rows = (part->row_channels.end - part->row_channels.begin) * part->row_pixels;
    size->columns = (part->column_channels.end - part->column_channels.begin) * part->column_pixels;
    size->nonzeros = blocks;
    for (int k = 0; k < 3; k++) {
        int64_t pairs;
        if (!count_pairs(op, k, &pairs) || !falt_multiply(size->nonzeros, pairs, &size->nonzeros))
            return falt_fail(FALT_TOO_LARGE, "the matrix has 2^63 nonzeros or more");
    }
    return FALT_OK;
}

static int64_t bytes(int64_t count, int64_t size)
{
    int64_t product;
    return falt_multiply(count, size, &product) && (uint64_t)product <= (uint64_t)PTRDIFF_MAX ? product : -1;
}

static int64_t csr_bytes(const struct matrix_size *size)
{
    const int64_t starts = bytes(size->rows + 1, sizeof(int64_t));
    const int64_t entries = bytes(size->nonzeros, sizeof(int64_t) + sizeof(float));
    return starts < 0 || entries < 0 || (uint64_t)entries > (uint64_t)PTRDIFF_MAX - (uint64_t)starts ? -1 : starts + entries;
}

static int64_t dense_bytes(const struct matrix_size *size)
{
    int64_t numbers;
    return falt_multiply(size->rows, size->columns, &numbers) ? bytes(numbers, sizeof(float)) : -1;
}

static falt_structure structure_of(const falt_operator *op)
{
    const struct problem *p = &op->problem;
    bool strided = false, square = true;
    for (int k = 0; k < 3; k++) {
        strided = strided || p->stride[k] != 1;
        square = square && p->out[k] == p->in[k];
    }
    if (op->boundary == FALT_BOUNDARY_CIRCULAR)
        return !strided && square ? FALT_CIRCULANT : FALT_CIRCULANT_PART;
    return strided ? FALT_TOEPLITZ_STRIDED : FALT_TOEPLITZ;
}

falt_status falt_operator_matrix(const falt_operator *op, int64_t out_channel, int64_t in_channel, falt_matrix_info *info)
{
    static const char *const levels[] = {"", "doubly block ", "triply block "};
    static const char *const names[] = {"Toeplitz", "circulant", "Toeplitz", "circulant"};
    if (!info)
        return falt_fail(FALT_INVALID_ARGUMENT, "info is NULL");
    if (info->struct_size != sizeof *info)
        return falt_fail(FALT_INVALID_ARGUMENT, "struct_size %zu is not sizeof(falt_matrix_info) %zu", info->struct_size,
                         sizeof *info);
    struct part part;
    const falt_status status = choose_part(op, out_channel, in_channel, &part);
    if (status != FALT_OK)
        return status;
    const struct problem *p = &op->problem;
    const falt_structure structure = structure_of(op);
    info->rows = part.size.rows;
    info->columns = part.size.columns;
    info->nonzeros = part.size.nonzeros;
    info->csr_bytes = csr_bytes(&part.size);
    info->dense_bytes = dense_bytes(&part.size);
    info->structure = structure;
    const bool partial = structure == FALT_TOEPLITZ_STRIDED || structure == FALT_CIRCULANT_PART;
    snprintf(info->name, sizeof info->name, "%s%s%s", partial ? p->transposed ? "columns of " : "rows of " : "",
             levels[p->dims - 1], names[structure]);
    return FALT_OK;
}

/* ----------------------------------------------------------------------------------------------- the pairs of a dimension */

struct pairs {
    int64_t rows, columns;
    int64_t *start; /* of row r: [start[r], start[r + 1]) */
    int64_t *column, *tap;
};

static void pairs_free(const falt_operator *op, struct pairs *pairs)
{
    falt_release(&op->allocator, pairs->start);
}

static bool pairs_allocate(const falt_operator *op, struct pairs *pairs, int64_t rows, int64_t columns, int64_t count)
{
    *pairs = (struct pairs){.rows = rows, .columns = columns};
    if (count > (INT64_MAX - rows) / 4)
        return false;
    pairs->start = falt_allocate(&op->allocator, rows + 1 + 2 * count, sizeof(int64_t));
    if (!pairs->start)
        return false;
    pairs->column = pairs->start + rows + 1;
    pairs->tap = pairs->column + count;
    return true;
}

/* By increasing row and tap. */
static bool pairs_list(const falt_operator *op, int k, int64_t count, struct pairs *pairs)
{
    const struct problem *p = &op->problem;
    const bool circular = op->boundary == FALT_BOUNDARY_CIRCULAR;
    const int64_t taps = distinct_taps(op, k), in = p->in[k];
    if (!pairs_allocate(op, pairs, p->out[k], in, count))
        return false;
    int64_t n = 0;
    for (int64_t q = 0; q < p->out[k]; q++) {
        pairs->start[q] = n;
        for (int64_t t = 0; t < taps; t++) {
            const int64_t h = q * p->stride[k] + t * p->dilation[k] - p->pad[k];
            if (!circular && !inside(h, in))
                continue;
            pairs->column[n] = circular ? (h % in + in) % in : h;
            pairs->tap[n++] = t;
        }
    }
    pairs->start[p->out[k]] = n;
    return true;
}

/* Columns become rows. Within each, what was a row and is a column now ascends, whatever the order was before. */
static bool pairs_transpose(const falt_operator *op, struct pairs *pairs)
{
    const struct pairs from = *pairs;
    const int64_t count = from.start[from.rows];
    const bool good = pairs_allocate(op, pairs, from.columns, from.rows, count);
    if (good) {
        memset(pairs->start, 0, (size_t)(pairs->rows + 1) * sizeof *pairs->start);
        for (int64_t i = 0; i < count; i++)
            pairs->start[from.column[i] + 1]++;
        for (int64_t r = 0; r < pairs->rows; r++)
            pairs->start[r + 1] += pairs->start[r];
        for (int64_t r = 0; r < from.rows; r++) /* start[c] runs through its row, to the begin of the next */
            for (int64_t i = from.start[r]; i < from.start[r + 1]; i++) {
                const int64_t to = pairs->start[from.column[i]]++;
                pairs->column[to] = r;
                pairs->tap[to] = from.tap[i];
            }
        memmove(pairs->start + 1, pairs->start, (size_t)pairs->rows * sizeof *pairs->start);
        pairs->start[0] = 0;
    }
    falt_release(&op->allocator, from.start);
    return good;
}

/* Ascending columns. With zeros around the taps ascend and so do the columns; around a circle they do not, until they are
 * sorted by transposing twice, which takes linear time. */
static bool pairs_of(const falt_operator *op, int k, struct pairs *pairs)
{
    int64_t count;
    const int turns = op->problem.transposed ? 1 : op->boundary == FALT_BOUNDARY_CIRCULAR ? 2 : 0;
    bool good = count_pairs(op, k, &count) && pairs_list(op, k, count, pairs);
    for (int i = 0; good && i < turns; i++)
        good = pairs_transpose(op, pairs);
    return good;
}

/* --------------------------------------------------------------------------------------------------------------- the rows */

struct matrix {
    const falt_operator *op;
    struct part part;
    struct pairs pairs[3];
    int64_t taps[3]; /* distinct ones */
    float *kernel;   /* [row channel of the part][its column channels][taps], or [taps][column channels] with channels last */
};

/* The kernel in the order in which rows are written, taps that lie upon each other added. */
static bool gather_kernel(struct matrix *m)
{
    const falt_operator *op = m->op;
    const struct problem *p = &op->problem;
    const struct part *part = &m->part;
    const struct weight_strides w = falt_weight_strides(p);
    const bool last = p->layout == FALT_CHANNELS_LAST;
    const int64_t taps = m->taps[0] * m->taps[1] * m->taps[2], channels = part->column_group;
    m->kernel =
        falt_allocate(&op->allocator, (part->row_channels.end - part->row_channels.begin) * channels * taps, sizeof(float));
    if (!m->kernel)
        return false;
    float *to = m->kernel;
    for (int64_t r = part->row_channels.begin; r < part->row_channels.end; r++, to += channels * taps)
        for (int64_t c = 0; c < channels; c++) {
            const int64_t group = r / part->row_group;
            const int64_t o = p->transposed ? group * p->y_group + c : r, i = p->transposed ? r - group * p->x_group : c;
            const float *from = op->weights + o * w.o + i * w.i;
            int64_t t[3];
            for (t[0] = 0; t[0] < m->taps[0]; t[0]++)
                for (t[1] = 0; t[1] < m->taps[1]; t[1]++)
                    for (t[2] = 0; t[2] < m->taps[2]; t[2]++) {
                        double sum = 0.0;
                        for (int64_t a = t[0]; a < p->kernel[0]; a += m->taps[0])
                            for (int64_t b = t[1]; b < p->kernel[1]; b += m->taps[1])
                                for (int64_t d = t[2]; d < p->kernel[2]; d += m->taps[2])
                                    sum += (double)from[((a * p->kernel[1] + b) * p->kernel[2] + d) * w.t];
                        const int64_t tap = (t[0] * m->taps[1] + t[1]) * m->taps[2] + t[2];
                        to[last ? tap * channels + c : c * taps + tap] = (float)sum;
                    }
        }
    return true;
}

static void matrix_free(struct matrix *m)
{
    for (int k = 0; k < 3; k++)
        pairs_free(m->op, &m->pairs[k]);
    falt_release(&m->op->allocator, m->kernel);
}

static falt_status matrix_make(struct matrix *m, const falt_operator *op, int64_t out_channel, int64_t in_channel)
{
    memset(m, 0, sizeof *m);
    m->op = op;
    const falt_status status = choose_part(op, out_channel, in_channel, &m->part);
    if (status != FALT_OK)
        return status;
    for (int k = 0; k < 3; k++)
        m->taps[k] = distinct_taps(op, k);
    if (pairs_of(op, 0, &m->pairs[0]) && pairs_of(op, 1, &m->pairs[1]) && pairs_of(op, 2, &m->pairs[2]) && gather_kernel(m))
        return FALT_OK;
    matrix_free(m);
    return falt_fail(FALT_OUT_OF_MEMORY, "no memory for the tables of a matrix");
}

/* A row of one channel and pixel; returns its number of entries. value may be NULL. */
static int64_t write_row(const struct matrix *m, int64_t channel, const int64_t pixel[3], int64_t *column, float *value)
{
    const struct part *part = &m->part;
    const struct pairs *a = &m->pairs[0], *b = &m->pairs[1], *c = &m->pairs[2];
    const bool last = m->op->problem.layout == FALT_CHANNELS_LAST;
    const struct range channels = columns_of(part, channel);
    const int64_t count = channels.end - channels.begin, taps = m->taps[0] * m->taps[1] * m->taps[2];
    const int64_t first = channels.begin - part->column_channels.begin; /* in the part */
    const int64_t all = part->column_channels.end - part->column_channels.begin;
    const int64_t inner = channels.begin % part->column_group; /* in its group */
    const float *kernel = m->kernel + (channel - part->row_channels.begin) * part->column_group * taps;
    int64_t n = 0;
    for (int64_t i = 0; i < (last ? 1 : count); i++)
        for (int64_t j = a->start[pixel[0]]; j < a->start[pixel[0] + 1]; j++)
            for (int64_t k = b->start[pixel[1]]; k < b->start[pixel[1] + 1]; k++) {
                const int64_t row = (a->column[j] * b->columns + b->column[k]) * c->columns;
                const int64_t tap = (a->tap[j] * m->taps[1] + b->tap[k]) * m->taps[2];
                const int64_t begin = c->start[pixel[2]], end = c->start[pixel[2] + 1];
                if (last) {
                    for (int64_t l = begin; l < end; l++, n += count) {
                        const int64_t to = (row + c->column[l]) * all + first;
                        for (int64_t o = 0; o < count; o++)
                            column[n + o] = to + o;
                        if (value)
                            memcpy(value + n, kernel + (tap + c->tap[l]) * part->column_group + inner,
                                   (size_t)count * sizeof(float));
                    }
                    continue;
                }
                const int64_t to = (first + i) * part->column_pixels + row;
                const float *w = kernel + (inner + i) * taps + tap;
                for (int64_t l = begin; l < end; l++)
                    column[n + l - begin] = to + c->column[l];
                if (value)
                    for (int64_t l = begin; l < end; l++)
                        value[n + l - begin] = w[c->tap[l]];
                n += end - begin;
            }
    return n;
}

/* Row r of the part: its channel and pixel. */
static int64_t locate(const struct matrix *m, int64_t r, int64_t pixel[3])
{
    const struct part *part = &m->part;
    const int64_t channels = part->row_channels.end - part->row_channels.begin;
    const bool last = m->op->problem.layout == FALT_CHANNELS_LAST;
    const int64_t q = last ? r / channels : r % part->row_pixels;
    pixel[2] = q % m->pairs[2].rows;
    pixel[1] = q / m->pairs[2].rows % m->pairs[1].rows;
    pixel[0] = q / m->pairs[2].rows / m->pairs[1].rows;
    return part->row_channels.begin + (last ? r % channels : r / part->row_pixels);
}

/* At least the number of entries of any row; no more than there are columns. */
static int64_t longest_row(const struct matrix *m)
{
    int64_t longest = m->part.column_group;
    for (int k = 0; k < 3; k++) {
        int64_t most = 0;
        for (int64_t r = 0; r < m->pairs[k].rows; r++)
            most = larger(most, m->pairs[k].start[r + 1] - m->pairs[k].start[r]);
        longest *= most;
    }
    return longest;
}

falt_status falt_operator_csr(const falt_operator *op, int64_t out_channel, int64_t in_channel, int64_t *row_start,
                              int64_t *column, float *value, int64_t capacity)
{
    struct part part;
    falt_status status = choose_part(op, out_channel, in_channel, &part);
    if (status != FALT_OK)
        return status;
    if (csr_bytes(&part.size) < 0)
        return falt_fail(FALT_TOO_LARGE, "a matrix of %" PRId64 " nonzeros is more than an address space can hold",
                         part.size.nonzeros);
    if (!row_start || (!column && part.size.nonzeros))
        return falt_fail(FALT_INVALID_ARGUMENT, "%s is NULL", row_start ? "column" : "row_start");
    if (capacity < part.size.nonzeros)
        return falt_fail(FALT_WORKSPACE, "the matrix has %" PRId64 " nonzeros, there is room for %" PRId64, part.size.nonzeros,
                         capacity);
    struct matrix m;
    status = matrix_make(&m, op, out_channel, in_channel);
    if (status != FALT_OK)
        return status;
    int64_t n = 0, pixel[3];
    for (int64_t r = 0; r < part.size.rows; r++) {
        row_start[r] = n;
        const int64_t channel = locate(&m, r, pixel);
        n += write_row(&m, channel, pixel, column + n, value ? value + n : NULL);
    }
    row_start[part.size.rows] = n;
    matrix_free(&m);
    return FALT_OK;
}

falt_status falt_operator_dense(const falt_operator *op, int64_t out_channel, int64_t in_channel, float *matrix,
                                int64_t capacity)
{
    struct part part;
    falt_status status = choose_part(op, out_channel, in_channel, &part);
    if (status != FALT_OK)
        return status;
    if (dense_bytes(&part.size) < 0)
        return falt_fail(FALT_TOO_LARGE, "a dense matrix of %" PRId64 " x %" PRId64 " is more than an address space can hold",
                         part.size.rows, part.size.columns);
    if (!matrix)
        return falt_fail(FALT_INVALID_ARGUMENT, "matrix is NULL");
    const int64_t numbers = part.size.rows * part.size.columns;
    if (capacity < numbers)
        return falt_fail(FALT_WORKSPACE, "the matrix has %" PRId64 " x %" PRId64 " numbers, there is room for %" PRId64,
                         part.size.rows, part.size.columns, capacity);
    struct matrix m;
    status = matrix_make(&m, op, out_channel, in_channel);
    if (status != FALT_OK)
        return status;
    const int64_t longest = longest_row(&m);
    int64_t *column = falt_allocate(&op->allocator, longest, sizeof *column);
    float *value = falt_allocate(&op->allocator, longest, sizeof *value);
    if (column && value) {
        memset(matrix, 0, (size_t)numbers * sizeof *matrix);
        int64_t pixel[3];
        for (int64_t r = 0; r < part.size.rows; r++) {
            const int64_t channel = locate(&m, r, pixel), n = write_row(&m, channel, pixel, column, value);
            for (int64_t i = 0; i < n; i++)
                matrix[r * part.size.columns + column[i]] = value[i];
        }
    } else
        status = falt_fail(FALT_OUT_OF_MEMORY, "no memory for a row of %" PRId64 " entries", longest);
    falt_release(&op->allocator, column);
    falt_release(&op->allocator, value);
    matrix_free(&m);
    return status;
}
