/*
 * kernels.h - the contract between the library and everything that knows an instruction set.
 *
 * Each instruction set is one object file that exports one symbol, a const struct kernels. Nothing in arch/ allocates, knows
 * threads, keeps state or calls libm; nothing in src/ has an intrinsic. Kernels trust their arguments.
 */
#ifndef FALT_KERNELS_H
#define FALT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* What a table's code needs of the CPU; cpu.c detects it. */
enum {
    CPU_AVX2 = 1 << 0,   /* AVX2 and FMA, and the system saves ymm */
    CPU_AVX512 = 1 << 1, /* AVX-512 F, BW, DQ, VL, and the system saves zmm */
    CPU_NEON = 1 << 2    /* armv8-a Advanced SIMD */
};

enum { GEMM_MAX_VECTORS = 4, GEMM_MAX_ROWS = 14 };

/* Beyond a clamp, which every store does anyway (lo = -inf, hi = inf for none). Same numbers as falt_activation. */
enum { ACTIVATE_NONE = 0, ACTIVATE_LEAKY = 3, ACTIVATE_SIGMOID = 4, ACTIVATE_SILU = 5, ACTIVATE_HARDSWISH = 6 };

/* What happens to a finished sum on its way to memory:  activate(clamp(sum + bias + residual, lo, hi)).
 * NaN passes through all of it. */
struct epilogue {
    float lo, hi;
    int activation; /* ACTIVATE_* */
    float alpha;    /* of ACTIVATE_LEAKY */
};

/*
 * Batch-reduce GEMM on one register tile, the one building block:
 *
 *     C[m][n] = epilogue( (accumulate ? C[m][n] : 0) + sum_t sum_k A[t][m][k] * B[t][k][n] )      m < rows, n < columns
 *
 *                 B  packed panel: taps * depth rows of nr = vectors * vec floats
 *                +--------------------+
 *                |  b + (t*depth+k)*nr |  loaded as `vectors` vectors, zero beyond the last channel
 *                +--------------------+  or, where b_step is not 0, rows that lie b_step floats apart, each whole
 *      A         C
 *     a[t*a_tap+m] + a_offset -> depth contiguous floats, each broadcast: one output pixel seen through tap t.
 *     Any stride, dilation and padding is a matter of this pointer table; outside pixels point to zeros.
 *
 * Each C[m][n] is one chain of fused multiply-adds in the order of t and k, whatever the tile: results do not depend on
 * how the work was cut into tiles.
 */
struct gemm_args {
    const float *const *a; /* [taps][a_tap], of each the first rows */
    ptrdiff_t a_offset;    /* floats: one table serves all tiles that are alike */
    const float *b;
    ptrdiff_t b_step;      /* 0: packed */
    int64_t taps, depth;   /* >= 0 */
    const int64_t *gaps;   /* [taps]: to pass over in B before each tap, rows or, where these lie apart, floats; or NULL */
    float *c;              /* C[m][n] is c[row[m] + n * step] */
    const float *residual; /* likewise, or NULL */
    const ptrdiff_t *row;  /* [rows] */
    ptrdiff_t step;        /* 1, or e.g. height*width for NCHW */
    const float *bias;     /* [columns], or NULL */
    const float *row_bias; /* [rows], or NULL: where the output channels are in the rows */
    int64_t columns;       /* 1 ... nr */
    int accumulate;        /* start from what is in C */
    int stream;            /* store whole rows past the caches; they are aligned to whole vectors then, see fence() */
    ptrdiff_t a_row, a_tap,
        c_row;     /* floats, entries of the table, floats; a_row and c_row for rows that lie evenly, see below */
    int64_t tiles; /* to compute, of as many rows, with the same B; 0 is 1. From each to the next: */
    struct {
        ptrdiff_t a, a_offset, c; /* entries of the table; floats; floats, of the residual too */
    } next;
    /* The kernels for rows that lie evenly, and no others, do that so many times, 0 is 1, and go on beside from each to the
     * next: */
    int64_t lines;
    struct {
        ptrdiff_t a_offset, c;
    } line;
    ptrdiff_t ahead;     /* floats from each row of A to where another comes from memory soon, which is asked for; 0: nowhere */
    const float *coming; /* what will be needed later: each tile asks for `share` cache lines of it, one after the other; */
    ptrdiff_t coming_step; /* bytes from each line to the next */
    int64_t share;         /* 0, or with a packed B more than one in `gemm_asks` steps of k: each asks for B itself */
    struct epilogue epilogue;
};

/* Leaves a, a_offset, c, residual and coming as the tile behind the last one would have them. */
typedef void gemm_kernel(struct gemm_args *args);

/*
 * Where rows lie evenly there are kernels that take
 *
 *     A[t][m]  at a[t * a_tap] + a_offset + m * a_row,        C[m][n]  at c[m * c_row + n]
 *
 * and give the same bits, sooner if sums are short. They do without row and ahead, and are for whole rows: columns = nr,
 * step = 1, b_step = 0, no gaps, tiles >= 1, ACTIVATE_NONE, and nothing to add but biases.
 */

/*
 * Sum of outer products on the same register tiles, for weight gradients: the reduction runs over pixels.
 *
 *     C[m][n] = (accumulate ? C[m][n] : 0) + sum_s sum_k A[s][k][m] * B[s][k][n]                          m < rows, n < columns
 *
 *     A[s][k] --> rows contiguous floats at a + segment[s].a + k * a_step, each broadcast
 *     B[s][k] --> columns contiguous floats at b + segment[s].b + k * b_step, loaded as vectors, unpacked
 *
 * A segment is a piece of an image row that a tap sees; padding makes it shorter. Each sum is one chain of fused multiply-adds
 * in the order of s and k that starts from zero, whatever the tile; C is added at the end. By twos, tiles of few rows may have
 * two chains, of even and of odd k, which are added before: which tiles do is the kernels' affair, so they must be the same for
 * any number of threads.
 */
struct outer_segment {
    ptrdiff_t a, b;
    int64_t length;
};

/* What is multiplied later and asked for meanwhile, evenly: each `every` steps of k as much as a row of A or of B has, from
 * `from` on, `step` floats apart. every 0: nothing. Addresses need not be valid. */
struct outer_ahead {
    const float *from;
    ptrdiff_t step;
    int64_t every;
};

struct outer_args {
    const float *a, *b;
    const struct outer_segment *segments;
    int64_t count; /* of segments, >= 0 */
    ptrdiff_t a_step, b_step;
    float *c; /* C[m][n] is c[m * c_row + n] */
    ptrdiff_t c_row;
    int64_t columns; /* (vectors - 1) * vec + 1 ... vectors * vec */
    int accumulate, by_twos;
    struct outer_ahead a_ahead, b_ahead;
};

typedef void outer_kernel(const struct outer_args *args);

/*
 * Winograd transforms of one tile, channels in the vector lanes. A tile of m_h x m_w outputs reads alpha_h x alpha_w inputs,
 * alpha = m + r - 1, and multiplies at alpha_h * alpha_w points. A dimension that is not transformed has m = alpha = 1.
 *
 *     d (pixels, by pointer) -- input --> V[point][channel] -- a GEMM for each point --> M[point][channel] -- output --> y
 *
 * For the gradient of a kernel of r = alpha - m + 1 taps the m_h x m_w pixels of the gradient of y are brought to the points,
 * too, and a GEMM over tiles follows:
 *
 *     dy (pixels, by pointer) -- gradient --> V'[point][channel]              M[point][channel] -- weights --> dw[tap][channel]
 */
enum { WINOGRAD_MAX_POINTS = 64, WINOGRAD_MAX_OUTPUTS = 36 };

/*            name   m_h alpha_h m_w alpha_w */
#define WINOGRAD_TILES(X)                                                                                                      \
    X(F2x2_3x3, 2, 4, 2, 4)                                                                                                    \
    X(F4x4_3x3, 4, 6, 4, 6)                                                                                                    \
    X(F6x6_3x3, 6, 8, 6, 8)                                                                                                    \
    X(F2x2_5x5, 2, 6, 2, 6)                                                                                                    \
    X(F4x4_5x5, 4, 8, 4, 8)                                                                                                    \
    X(F1x2_1x3, 1, 1, 2, 4)                                                                                                    \
    X(F2x1_3x1, 2, 4, 1, 1)                                                                                                    \
    X(F1x4_1x3, 1, 1, 4, 6)                                                                                                    \
    X(F4x1_3x1, 4, 6, 1, 1)                                                                                                    \
    X(F1x2_1x5, 1, 1, 2, 6)                                                                                                    \
    X(F2x1_5x1, 2, 6, 1, 1)                                                                                                    \
    X(F1x4_1x5, 1, 1, 4, 8)                                                                                                    \
    X(F4x1_5x1, 4, 8, 1, 1)                                                                                                    \
    X(F1x2_1x7, 1, 1, 2, 8)                                                                                                    \
    X(F2x1_7x1, 2, 8, 1, 1)                                                                                                    \
    X(F3x3_2x2, 3, 4, 3, 4)                                                                                                    \
    X(F4x4_2x2, 4, 5, 4, 5)                                                                                                    \
    X(F1x3_1x2, 1, 1, 3, 4)                                                                                                    \
    X(F3x1_2x1, 3, 4, 1, 1)                                                                                                    \
    X(F1x4_1x2, 1, 1, 4, 5)                                                                                                    \
    X(F4x1_2x1, 4, 5, 1, 1)                                                                                                    \
    X(F3x3_4x4, 3, 6, 3, 6)                                                                                                    \
    X(F1x3_1x4, 1, 1, 3, 6)                                                                                                    \
    X(F3x1_4x1, 3, 6, 1, 1)

enum winograd_tile {
#define WINOGRAD_NAME(name, mh, ah, mw, aw) WINOGRAD_##name,
    WINOGRAD_TILES(WINOGRAD_NAME)
#undef WINOGRAD_NAME
        WINOGRAD_COUNT
};

struct winograd_input_args {
    const float *const *d; /* [alpha_h * alpha_w], of gradient [m_h * m_w]: a pixel's channels, or zeros outside of the image */
    float *v;              /* V[point] is at v + point * v_step */
    ptrdiff_t v_step;
    int64_t channels;
    int64_t tiles; /* neighbours: all of a tile's pixels are d_tile behind the last one's, its V v_tile behind */
    ptrdiff_t d_tile, v_tile;
    ptrdiff_t ahead; /* floats from a pixel to the same of the next tile, to be fetched meanwhile; or 0 */
};

struct winograd_output_args {
    const float *m; /* M[point] is at m + point * m_step, readable up to whole vectors */
    ptrdiff_t m_step;
    float *const *y;              /* [m_h * m_w]: where a pixel's channels go, all distinct */
    const float *const *residual; /* likewise, or NULL */
    const float *bias;            /* [channels], or NULL */
    int64_t channels;
    int64_t tiles; /* neighbours: all of a tile's pixels, and the residual's, are y_tile behind the last one's, its M m_tile */
    ptrdiff_t m_tile, y_tile;
    int stream; /* store past the caches; y is aligned to whole vectors then, and fence() follows before others may read it */
    struct epilogue epilogue;
    ptrdiff_t ahead; /* likewise */
};

struct winograd_weights_args {
    const float *m; /* M[point] is at m + point * m_step, readable up to whole vectors */
    ptrdiff_t m_step;
    float *w; /* dw[k][l], k < r_h, l < r_w, is at w + k * w_line + l * w_step; the first rows x columns of them are written, */
    ptrdiff_t w_line, w_step;
    int rows, columns; /* and without the last ones M may be anything at infinity */
    int64_t channels;
    int accumulate; /* add to what is in dw */
};

/*
 * One-dimensional tiles all at once: a few are transformed, multiplied and transformed back before the next ones. V of these
 * stays in L1, M in registers. The same bits as those of input, a GEMM for each point, and output.
 *
 *     d -- input --> V[tile][point][channel] * U[panel][point][channel][width] -- output --> y
 */
struct winograd_fused_args {
    const float *const *d;            /* [alpha]: a pixel's channels, or zeros outside of the image */
    float *const *y;                  /* [m]: where a pixel's outputs go, all distinct; or what is of no use, for one outside */
    const float *const *residual;     /* likewise, or NULL */
    const ptrdiff_t *d_tile, *y_tile; /* [alpha], [m]: floats to those of the next tile */
    int64_t tiles;
    const float *u;       /* of the first panel, those of the others behind it */
    const int64_t *first; /* [panels + 1]: of each the first output, and their end; each is one or two vectors wide */
    int64_t panels;
    const float *bias; /* [outputs], or NULL */
    int64_t channels, outputs;
    int64_t ahead; /* tiles from those that are transformed to those whose pixels are asked for; 0: none */
    float *v;      /* room for 2 * fused_tiles tiles: alpha times as many channels, rounded up to whole vectors */
    int stream;    /* as above */
    struct epilogue epilogue;
};

struct winograd_kernels {
    void (*input)(const struct winograd_input_args *args);
    void (*output)(const struct winograd_output_args *args);
    void (*fused)(const struct winograd_fused_args *args); /* or NULL */
    int fused_tiles;                                       /* that are multiplied at once */
    void (*gradient)(const struct winograd_input_args *args);
    void (*weights)(const struct winograd_weights_args *args);
};

/*
 * Depthwise and grouped convolution: a window slides along one dimension over `lines` of vectors of x.
 *
 *     C[m] = epilogue( sum over l, i, k of permute_i(X[l][m * stride + k]) * W[l][i][k]
 *                    + sum over t, i of permute_i(X[lines + t][m]) * W'[t][i] )
 *
 *     line l    | 0 | 1 | 2 | 3 | 4 | 5 | ...            columns, each a vector of x, `step` floats apart
 *               |--- C[0] --|
 *                   |--- C[1] --|                        width 3, stride 1: a column is loaded once for all outputs that see it
 *
 * followed by `taps` lines that each output sees once: what is left of a kernel whose width is no multiple of the window's; and
 * with width 1 the lines, too, are single taps, for any stride and dilation. Columns and lanes outside of the image count as
 * zeros or, where it goes around in a circle, are those at its other side. In the lanes of a vector are
 *
 *     CHANNELS  channels of a pixel; m runs along a row of the image, or a column. One input channel for each output channel.
 *     GROUPS    the same, several groups side by side; permute_i brings channel i of its group into each output channel's lane.
 *     SPREAD    the same, a single group: permute_i brings channel i, the float at x + i, into all lanes. lane_end is vec.
 *     ROWS      pixels of a row of one channel; m runs down the image. Weights and bias are single floats.
 *
 * Each C[m][n] is one chain of multiply-adds in the order of the formula. A call does `units` of such tiles side by side, the
 * next channels of the same pixels or the next pixels of the same rows, and `repeats` of these below each other, or where m
 * runs along a column beside each other.
 */
enum depthwise_kind { DEPTHWISE_CHANNELS, DEPTHWISE_GROUPS, DEPTHWISE_SPREAD, DEPTHWISE_ROWS, DEPTHWISE_KINDS };
enum depthwise_height { DEPTHWISE_TALL, DEPTHWISE_SHORT, DEPTHWISE_HEIGHTS_COUNT };
enum { DEPTHWISE_MAX_WIDTH = 7, DEPTHWISE_STRIDES_COUNT = 2 };

struct depthwise_line {
    const float *x;               /* column j is at x + offset + j * step */
    const ptrdiff_t *around;      /* or, not NULL, around[j] bytes behind x + offset: on a circle, wherever j is */
    int32_t begin, end;           /* columns inside of the image, of (tile - 1) * stride + width, or of a tap's `tile` */
    int32_t lane_begin, lane_end; /* lanes that may be read: [0, vec) is all */
};

struct depthwise_args {
    const struct depthwise_line *x;   /* [lines + taps] */
    ptrdiff_t offset, step, tap_step; /* tap_step: of the taps, and of lines of width 1 */
    const float *w;                   /* [lines][depth][width], then [taps][depth]; each a vector, or of ROWS a float */
    const int32_t *index;             /* GROUPS: [depth][vec], lane n of permute_i(x) is lane index[i][n] of x */
    int64_t lines, taps, depth;       /* depth: input channels of a group; used by GROUPS and SPREAD only */
    float *c;                         /* C[m][n] is c[m * c_step + n * lane_c] */
    const float *residual;            /* likewise, or NULL */
    ptrdiff_t c_step, lane_c;         /* lane_c: 1, or of ROWS any */
    const float *bias;                /* [columns], of ROWS [1]; or NULL */
    int64_t columns;                  /* lanes to store: 1 ... vec */
    int64_t skip;  /* of those, the first, which others store, too: left out where there is a residual, which may be c */
    int rows;      /* to store: 1 ... tile */
    int stream;    /* store whole vectors past the caches; they are aligned then, and fence() follows */
    int64_t units; /* >= 1; floats from one to the next: */
    ptrdiff_t unit_offset, unit_w, unit_bias, unit_c;
    int64_t repeats; /* >= 1: all of it again further on in the image; from one to the next, in floats: */
    ptrdiff_t repeat_offset, repeat_c;
    int asks;              /* blocks: for what the next repeat is the first to see, as it comes from memory */
    int across;            /* all units before repeats; else those of a cache line or two */
    int64_t down;          /* rolling: output rows */
    ptrdiff_t down_c;      /* blocks and rolling: floats from an output row to the next */
    ptrdiff_t lane_around; /* floats once around the circle, from a lane outside of the image to the same inside of it */
    struct epilogue epilogue;
};

typedef void depthwise_kernel(const struct depthwise_args *args);

/*
 * Few outputs, as dot products: input channels are in the lanes.
 *
 *     y[m][n] = epilogue( sum_r sum_k x[m][r][k] * w[r][n][k] + bias[n] + residual[m][n] )           m < pixels, n < columns
 *
 *     x[m][r] --> runs[r].length floats at x + m * x_step + runs[r].x
 *     w[r]    --> w + runs[r].w     of [ceil(length / vec)][columns][vec] floats, zeros beyond `length`
 *     y[m]    --> y + m * y_step    and the residual's likewise
 *
 * Each lane is one chain of multiply-adds, and the lanes are added in pairs, whatever the number of pixels.
 */
enum { DOTS_MAX_COLUMNS = 8 };

struct dots_run {
    ptrdiff_t x, w; /* floats */
    int64_t length;
};

struct dots_args {
    const float *x, *w;
    const struct dots_run *runs;
    int64_t count;  /* of runs, >= 0 */
    int64_t pixels; /* >= 0 */
    int64_t columns;
    int asks; /* x is read but once, from beyond L2: tiles ask for the next one's */
    ptrdiff_t x_step;
    float *y;
    const float *residual; /* or NULL */
    ptrdiff_t y_step;
    const float *bias; /* [columns], or NULL */
    struct epilogue epilogue;
};

typedef void dots_kernel(const struct dots_args *args);

/*
 * Weight gradient of depthwise and grouped convolution, channels in the lanes: a window of rows x width taps
 *
 *     C[r][k] += sum_l sum_j permute(X[l][j][r][k]) * Y[l][j]        rows[r].begin <= l < rows[r].end <= lines,
 *                                                                    taps[k].begin <= j < taps[k].end
 *
 *     X[l][j][r][k]  at x + l * x_line + j * x_step + r * row_step + k * tap_step, for other l and j outside of the image
 *     Y[l][j]        at y + l * y_line + j * y_step
 *     C[r][k]        at c + r * c_row + k * vec, a whole vector
 *
 * X are one image's pixels: addresses that are equal are inside both or outside both. Up to `down` lines are one
 * chain of multiply-adds that starts from zero; how many and in which order is the kernel's choice, and follows from these
 * sizes only.
 */
enum {
    WINDOW_MAX_ROWS = 3,
    WINDOW_MAX_WIDTH = 7,
    WINDOW_MAX_LINES = 7,
    WINDOW_FEW_LINES = 3,
    WINDOW_ASKED = 2,
    WINDOW_ROLLED = 28
};

struct window_range {
    int64_t begin, end; /* 0 <= begin <= end */
};

struct window_args {
    const float *x, *y;
    int64_t lines, columns; /* columns of y: taps[k].end <= columns */
    int64_t down;           /* 1 <= down <= WINDOW_MAX_LINES: lines of a chain, at most */
    struct window_range rows[WINDOW_MAX_ROWS], taps[WINDOW_MAX_WIDTH];
    ptrdiff_t x_line, y_line, x_step, y_step, row_step, tap_step;
    const int32_t *index; /* [vec], lane n of permute(x) is lane index[n] of x; NULL: x as it is, and all lanes are there */
    int x_lanes, y_lanes; /* that may be read, if with an index; the others are 0 */
    float *c;
    ptrdiff_t c_row;
    double *bias;  /* or NULL; where window_totals(): [units][vec] += sum_l sum_j Y[l][j], all lines and columns */
    int64_t steps; /* of a chain along a line, at most: then units take turns that share its cache lines; 0: no limit */
    int64_t units; /* >= 1: other channels of the same pixels, each with sums of its own; floats from one to the next: */
    ptrdiff_t unit_x, unit_y, unit_c;
    int pairs; /* units are neighbouring vectors that had better go by twos: of pixels that meet in few sets of the caches */
    int rolls; /* or, 3x3 with stride 1 of up to WINDOW_ROLLED columns, go line by line of x; without steps and asks */
    const float *ask[WINDOW_ASKED];  /* what comes next, in order, to be asked for meanwhile: */
    int64_t ask_lines[WINDOW_ASKED]; /* so many cache lines, or 0 */
};

typedef void window_kernel(const struct window_args *args);

/* Taps from a window of some rows to the next one, if that is one or two both ways; else 0. */
static inline int window_stride(const struct window_args *args, int64_t rows)
{
    for (int stride = 1; stride <= 2; stride++)
        if (args->x_step == stride * args->tap_step && (rows == 1 || args->x_line == stride * args->row_step))
            return stride;
    return 0;
}

/* Whether a kernel sums Y: one that slides both ways over whole vectors. */
static inline int window_totals(const struct window_args *args, int64_t rows, int64_t width)
{
    return !args->index && rows == WINDOW_MAX_ROWS && width > 1 && width % 2 == 1 && window_stride(args, rows) > 0;
}

/*
 * Weight gradient of grouped convolution, x channels in the lanes: a few y channels of each group, a few taps of a row
 *
 *     C[j][k] += sum_l sum_p X[l][p][k] * permute_j(Y[l][p])         0 <= l < lines, taps[k].begin <= p < taps[k].end
 *
 *     X[l][p][k]  at x + l * x_line + p * x_step + k * tap_step, for other p outside of the image
 *     Y[l][p]     at y + l * y_line + p * y_step
 *     C[j][k]     at c + j * c_channel + k * vec, a whole vector
 *
 * Each C[j][k] is one chain of multiply-adds that starts from zero: the steps that all taps meet, line by line, then its
 * others.
 */
enum { GROUPS_MAX_CHANNELS = 8, GROUPS_MAX_WIDTH = 3, GROUPS_ASKS = 2 };

struct groups_args {
    const float *x, *y;
    int64_t lines;
    struct window_range taps[GROUPS_MAX_WIDTH];
    ptrdiff_t x_line, y_line, x_step, y_step, tap_step;
    const int32_t *index; /* [channels][vec], lane n of permute_j(y) is lane index[j][n] of y; NULL: y[j] in all lanes */
    int x_lanes, y_lanes; /* that may be read; of other lanes of x what C holds then means nothing */
    float *c;
    ptrdiff_t c_channel;
    const float *ask;  /* what comes next, in order, to be asked for meanwhile: GROUPS_ASKS cache lines a step at most, */
    int64_t ask_lines; /* so many in all */
};

typedef void groups_kernel(const struct groups_args *args);

struct kernels {
    const char *name; /* "avx512" */
    uint32_t needs;   /* CPU_* */
    int vec;          /* floats in a vector */

    /* gemm[v][m]: the tile of m rows and v vectors, 1 <= v <= GEMM_MAX_VECTORS, 1 <= m <= gemm_rows[v]. All of a row of this
     * table run at the same efficiency but for the smallest, so that callers cut work evenly instead of leaving remainders.
     * gemm_rows falls with v: what is cut for a panel can be done with a narrower one, too. */
    int gemm_rows[GEMM_MAX_VECTORS + 1];
    int gemm_asks; /* tiles with a packed B ask for a line of what is coming in so many steps of k; 0: no tile does */
    gemm_kernel *gemm[GEMM_MAX_VECTORS + 1][GEMM_MAX_ROWS + 1];
    gemm_kernel *even[GEMM_MAX_VECTORS + 1][GEMM_MAX_ROWS + 1]; /* as many */
    outer_kernel *outer[GEMM_MAX_VECTORS + 1][GEMM_MAX_ROWS + 1];

    struct winograd_kernels winograd[WINOGRAD_COUNT];

    /* depthwise[kind][width][stride - 1][height]: widths 1 to 5 and 7, strides 1 and 2; widths 1 and 2 and ROWS have stride 1
     * only. NULL: there is none. */
    int depthwise_rows[DEPTHWISE_HEIGHTS_COUNT];
    depthwise_kernel *depthwise[DEPTHWISE_KINDS][DEPTHWISE_MAX_WIDTH + 1][DEPTHWISE_STRIDES_COUNT][DEPTHWISE_HEIGHTS_COUNT];

    /* Of CHANNELS, width 3, stride 1 both ways, short: `down` output rows at once, so that a line comes from L2 once for all
     * the rows that see it. x has lines + down - 1 lines, row r sees `lines` of them from r on; no taps. NULL where down is 1.
     */
    int depthwise_down;
    depthwise_kernel *depthwise_block;

    /* The same for args->down rows, any number of them, line by line: a line comes from L2 once for all rows, and next to it
     * those of the units beside. For pixels that meet in few sets of L1: lines of one set come slowly, whatever asks for them.
     * lines is 3, repeats 1; no circle. */
    depthwise_kernel *depthwise_rolling;

    /* Of CHANNELS, short, whole vectors and no taps: units that are neighbours by twos, each pixel's lines side by side. NULL:
     * there is none. */
    depthwise_kernel *depthwise_pairs[DEPTHWISE_MAX_WIDTH + 1][DEPTHWISE_STRIDES_COUNT];

    int dots_sums; /* pixels times outputs of a tile of dots[columns], at most */
    dots_kernel *dots[DOTS_MAX_COLUMNS + 1];

    /* dst[r * dst_stride + i] = base[offset[r] + i],  r < rows, i < columns: patches for im2col. */
    void (*collect)(const float *base, const ptrdiff_t *offset, int64_t rows, int64_t columns, float *dst,
                    ptrdiff_t dst_stride);

    /* dst[i] = src[i], i < count, whole cache lines past the caches; fence() follows. */
    void (*copy_past)(const float *src, int64_t count, float *dst);

    /* window[rows][width]: fast where (rows + 1) * width < window_registers, for sums and what slides along. */
    int window_registers;
    window_kernel *window[WINDOW_MAX_ROWS + 1][WINDOW_MAX_WIDTH + 1];

    /* groups[channels][width]: fast where channels * width <= groups_sums. */
    int groups_sums;
    groups_kernel *groups[GROUPS_MAX_CHANNELS + 1][GROUPS_MAX_WIDTH + 1];

    /* The bias gradient, in double: total[c] += sum over r of x[r * apart + c],  r < rows, c < columns;  and the sum of x[i],
     * i < count. Every table gives the same bits, and for a column whatever the others are. */
    void (*sum_rows)(const float *x, ptrdiff_t apart, int64_t rows, int64_t columns, double *total);
    double (*sum_run)(const float *x, int64_t count);

    /* dst[c * dst_stride + r] = src[r * src_stride + c],  r < rows, c < columns: channels first <-> channels last. */
    void (*transpose)(const float *src, ptrdiff_t src_stride, int64_t rows, int64_t columns, float *dst, ptrdiff_t dst_stride);

    /* Makes what this thread has streamed visible to others. */
    void (*fence)(void);

    /* x[i] = epilogue(x[i]), i < n: for solvers that store elsewhere. */
    void (*finish)(float *x, int64_t n, const struct epilogue *epilogue);

    /* Runs independent chains of multiply-adds as fast as the FMA units go; returns the number of floating-point operations.
     * rounds > 0, about 1,000 FMA instructions each. *sink takes a value that depends on all of them. */
    double (*burn)(int64_t rounds, float *sink);
};

/* The tables that this build has, best first, NULL at the end; a table's CPU needs are checked by cpu.c. */
extern const struct kernels *const falt_kernels_tables[];

#endif
