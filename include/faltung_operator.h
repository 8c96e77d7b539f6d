/*
 * faltung_operator.h - a convolution as the linear operator that it is: y = A x, with A a sparse matrix of great regularity.
 *
 * x is one image of all input channels, y one of all output channels, both as vectors in the order of the conv's layout: a
 * tensor of falt_tensors with batch 1. A holds the weights, each many times: A[(o,q)][(i,h)] = sum of w[o,i,t] over the taps t
 * with h = q * stride + t * dilation - pad, in each dimension. Nobody needs the matrix to multiply by it, but it can be had.
 *
 *     falt_operator *a;
 *     falt_status st = falt_operator_create(&a, &conv, FALT_BOUNDARY_ZERO, weights, NULL);
 *     st = falt_operator_apply(a, x, y, NULL, 0);                        (y = A x)
 *     st = falt_operator_apply_transposed(a, y, x, NULL, 0);             (x = A^T y)
 *     falt_norm norm = FALT_NORM_INIT;
 *     st = falt_operator_norm(a, &norm);                                 (norm.lower <= ||A||_2 <= norm.upper)
 *     falt_operator_destroy(a);
 *
 * An operator is immutable and may be used by many threads at once, like a plan.
 */
#ifndef FALTUNG_OPERATOR_H
#define FALTUNG_OPERATOR_H

#include "faltung.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct falt_operator falt_operator;

/* What lies beyond the border of the image. */
typedef enum falt_boundary {
    FALT_BOUNDARY_ZERO = 0,    /* zeros */
    FALT_BOUNDARY_CIRCULAR = 1 /* the image again: pixel h is pixel h mod in. pad_begin and pad_end say how far, as with zeros.
                                * Of a transposed convolution A is the transpose of such a matrix: what it writes beyond one
                                * border is added at the other */
} falt_boundary;

/* Copies the weights (in conv->weights_layout) and plans both directions with these options (NULL: the defaults), which thereby
 * decide on algorithms and accuracy. conv may be transposed; an activation is refused, it is not linear. conv->batch is the
 * number of vectors that apply takes at a time, one after the other as images of a batch. *op is NULL on failure.
 * Returns what falt_plan_create may return. Thread-safe. */
FALT_API falt_status falt_operator_create(falt_operator **op, const falt_conv *conv, falt_boundary boundary,
                                          const float *weights, const falt_options *options);

/* NULL is allowed. */
FALT_API void falt_operator_destroy(falt_operator *op);

/* Bytes of workspace, at any address, of one apply or apply_transposed. options.workspace_limit is for each of the two plans: a
 * periodic image, where one is needed, comes on top of it. 0 for a null operator. */
FALT_API size_t falt_operator_workspace_size(const falt_operator *op);

/* y = A x and x = A^T y, for conv->batch vectors. The vectors may not overlap. workspace == NULL: allocated and released within
 * the call, through options.allocator. With a circular boundary some algorithms have the image extended into the workspace
 * first, or what they computed there folded back.
 * Returns FALT_OK, FALT_INVALID_ARGUMENT, FALT_WORKSPACE, FALT_OUT_OF_MEMORY. */
FALT_API falt_status falt_operator_apply(const falt_operator *op, const float *x, float *y, void *workspace,
                                         size_t workspace_size);
FALT_API falt_status falt_operator_apply_transposed(const falt_operator *op, const float *y, float *x, void *workspace,
                                                    size_t workspace_size);

/* ---------------------------------------------------------------------------------------------------------------- matrix */

/* In place of a channel's number. */
#define FALT_ALL_CHANNELS (-1)

/* How A repeats itself. It consists of out_channels x in_channels blocks (interleaved with channels last), and each of them is,
 * in 1-D, what the name says; in 2-D, a matrix of blocks in that pattern, each of which is in that pattern; and so on in 3-D.
 */
typedef enum falt_structure {
    FALT_TOEPLITZ = 0,  /* an entry depends on column - row only */
    FALT_CIRCULANT = 1, /* square, an entry depends on (column - row) mod size: each row is the one above, rotated by 1 */
    FALT_TOEPLITZ_STRIDED = 2, /* every stride-th row of a Toeplitz matrix; column if transposed */
    FALT_CIRCULANT_PART = 3    /* rows of a circulant matrix, some left out (stride) or repeated; columns if transposed */
} falt_structure;

typedef struct falt_matrix_info {
    size_t struct_size; /* set by the caller: sizeof(falt_matrix_info) */
    int64_t rows, columns;
    int64_t nonzeros;               /* entries with a weight in them, be its value 0 or not */
    int64_t csr_bytes, dense_bytes; /* of all arrays; -1: more than an address space can hold */
    falt_structure structure;
    char name[64]; /* "doubly block Toeplitz" */
} falt_matrix_info;

/* The matrix, or the rows and columns of one output and input channel: each either the channel's number or FALT_ALL_CHANNELS.
 * Returns FALT_OK, FALT_INVALID_ARGUMENT, or FALT_TOO_LARGE if it has 2^63 nonzeros or more. Thread-safe. */
FALT_API falt_status falt_operator_matrix(const falt_operator *op, int64_t out_channel, int64_t in_channel,
                                          falt_matrix_info *info);

/* The matrix as compressed sparse rows: the entries of row r are [row_start[r], row_start[r + 1]) of column and value, columns
 * ascending, each once. row_start has rows + 1 elements, column and value `capacity`, at least nonzeros. value may be NULL.
 * Taps that a circular boundary lays upon each other are added, in double precision.
 * Returns FALT_OK, FALT_INVALID_ARGUMENT, FALT_TOO_LARGE, FALT_WORKSPACE (capacity), FALT_OUT_OF_MEMORY (for the tables of one
 * dimension each, and a copy of the weights). */
FALT_API falt_status falt_operator_csr(const falt_operator *op, int64_t out_channel, int64_t in_channel, int64_t *row_start,
                                       int64_t *column, float *value, int64_t capacity);

/* The whole of it, rows x columns numbers, row-major. capacity: of matrix, in floats. Returns what falt_operator_csr may
 * return. */
FALT_API falt_status falt_operator_dense(const falt_operator *op, int64_t out_channel, int64_t in_channel, float *matrix,
                                         int64_t capacity);

/* ------------------------------------------------------------------------------------------------------------------ norm */

typedef enum falt_norm_method {
    FALT_NORM_AUTO = 0,    /* Fourier where it is exact, otherwise Lanczos */
    FALT_NORM_LANCZOS = 1, /* on A^T A, through apply and apply_transposed */
    FALT_NORM_FOURIER =
        2 /* the singular values of a circulant operator, from the Fourier transform of its kernel (Sedghi, Gupta,
           * Long, 2019). Refused unless the boundary is circular and in == stride * out in each dimension */
} falt_norm_method;

/* The spectral norm ||A||_2, A's largest singular value. The first half is set by the caller; start from FALT_NORM_INIT. */
typedef struct falt_norm {
    size_t struct_size; /* sizeof(falt_norm) */
    falt_norm_method method;
    double tolerance;     /* of the estimate, relative, > 0 */
    int64_t applications; /* Lanczos: stop after so many products by A or A^T, >= 3 */
    int64_t basis;        /* Lanczos: vectors kept, the most memory it takes; restarted when they are used up. >= 4 */
    int32_t certify; /* Lanczos: 1: evaluate the lower bound in double precision, which takes the time of dozens of products;
                      * 0: by apply, to its rounding */
    int32_t embed;   /* Lanczos: 1: also bound by the circulant matrix of which A is a part, which is tight, but takes a Fourier
                      * transform; 0: by the largest sums of rows and columns alone */

    double estimate;
    double lower;      /* <= ||A||_2: ||A x|| / ||x|| of the last vector x */
    double upper;      /* >= ||A||_2: the least of the known bounds */
    int64_t used;      /* products by A or A^T */
    int32_t converged; /* to the tolerance, by the residual and after a least number of steps; 1 for Fourier. Where singular
                        * values crowd at the top it may be one of them, not the largest: seen with a basis of 8, not with 48 */
    int32_t exact;     /* Fourier: lower and upper are the estimate, give or take rounding in double precision */
} falt_norm;

#define FALT_NORM_INIT                                                                                                         \
    {                                                                                                                          \
        sizeof(falt_norm), FALT_NORM_AUTO, 1e-4, 200, 48, 1, 0, 0.0, 0.0, 0.0, 0, 0, 0                                         \
    }

/* Deterministic: the same call gives the same bits. Not having converged is no error.
 * Returns FALT_OK, FALT_INVALID_ARGUMENT (also of a weight that is not finite, or weights whose products overflow),
 * FALT_TOO_LARGE (for a Fourier transform; with Lanczos, embed 0 needs none), FALT_UNSUPPORTED, FALT_OUT_OF_MEMORY.
 * Thread-safe.
 */
FALT_API falt_status falt_operator_norm(const falt_operator *op, falt_norm *norm);

#ifdef __cplusplus
}
#endif

#endif
