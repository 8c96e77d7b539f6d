/*
 * direct_weights.h - direct backward weights: the register tile of outer products over (input channels x output channels),
 * summed over pixels, once for each tap.
 *
 *                    columns: vectors of y channels            A[k]: x channels of the pixel that tap t sees for pixel k
 *                   +---------+---------+---                   B[k]: y channels of pixel k
 *     rows:      0  |  tile   |  tile   |
 *     x channels    +---------+---------+---            both are read where they lie: k steps through an image row, and a table
 *              14  |  tile   |  tile   |               of segments, one for each row and tap, through the rows. Padding makes
 *                   +---------+---------+---            segments shorter.
 *
 * A tile comes out as [x channel][y channel] and passes through a scratch block, which is transposed into w[o][...]: a block of
 * some rows and one column of tiles, in L2, where one chunk is all that an item sees, else all of the item in the end. What is
 * complete is transposed strip by strip between the tiles of the next block, so that its stores wait for their lines while
 * these multiply: two blocks take turns.
 * Where x channels are neighbours in w (OHWI, 1x1) the operands may be exchanged instead: x has the vectors, and tiles lie in w
 * as they are. They go along its rows where L2 does not hold w: its lines are then asked for by hardware, row by row.
 *
 * The pixels are cut into chunks, so that their part of x and y stays in cache for all tiles and taps, and because chains of a
 * few hundred terms, added up, are far more accurate than one of many thousand. Where tiles are few, the chunks are also dealt
 * to a number of parts with a copy of w each. Chunks and parts depend on the problem only, and are added in order: the sum is
 * the same for any number of threads. Threads take items of a grid (part, group, range of taps, of rows, of columns).
 *
 * Where channels are not contiguous (channels first), a chunk's rows are first transposed into channels-last strips, and where
 * pixels meet in few sets of L1 they are copied: A as rows that do not meet or in panels [row tile][pixel][rows], B in panels
 * [column tile][pixel][nr], each of which stays in L1 for all rows. Where x has few channels, a strip with its padding makes
 * the taps of a kernel row and their channels neighbours: kernel width * channels rows.
 *
 * What comes from memory would come to the tiles that use it first, faster than memory is. So the tiles of a column of tiles
 * ask for the next column's B, and those of a row for their A of the next chunk, each for its share.
 *
 * direct_weights.c plans, direct_weights_run.c runs.
 */
#ifndef FALT_SOLVERS_DIRECT_WEIGHTS_H
#define FALT_SOLVERS_DIRECT_WEIGHTS_H

#include "../arithmetic.h"
#include "../solver.h"

struct gradient {
    bool exchanged; /* A is y, B is x */
    bool merged;    /* a row of A is a pair (tap of a kernel row, x channel) */
    bool x_strip, y_strip;
    bool asks;             /* tiles ask for what the next chunk will see */
    int vectors, vec;      /* of a full tile; floats in a vector */
    int64_t nr;            /* columns of a full tile: vectors * vec */
    int64_t rows, columns; /* of one group and line */
    int64_t lines;         /* taps, or with merged rows kernel rows */
    int64_t row_tiles, column_tiles;
    int64_t height;        /* rows of a tile, but of the last */
    bool panels;           /* of A's strip, too: a tile's rows of all pixels */
    bool along;            /* tiles go along the rows of w */
    int64_t block;         /* tiles of rows that go through all columns together; along rows, of columns through all rows */
    bool once;             /* items are one chunk, and a block of one column of tiles is transposed at once */
    int64_t pieces, span;  /* of an output row; pixels of a piece, at most */
    int64_t units;         /* pieces of all output rows of all images */
    int64_t chunks, chunk; /* their number; units of one, at most */
    int64_t parts;
    int64_t row_ranges, column_ranges, line_ranges, items;
    int64_t slots, width;                               /* the x strip: image rows, pixels of each */
    size_t x_bytes, y_bytes, segments, counts, scratch; /* a thread's workspace, in bytes and in this order */
    size_t per_thread;                                  /* their sum, and what is between threads */
    size_t bias; /* bytes of the totals of the bias gradient, summed chunk by chunk, while y is in L2; 0: it is not */
};

_Static_assert(sizeof(struct gradient) <= SOLVER_STATE, "the solver's state must fit");

/* The problem that is solved instead: a 1x1 kernel that sees all pixels knows no rows; a plane is one row, and with channels
 * last all images are. */
struct problem falt_flattened(const struct problem *p);

/* Floats from one pixel of a strip to the next: whole cache lines, and not so many that all pixels meet in one cache set. */
static inline int64_t strip_pitch(int64_t channels)
{
    const int64_t lines = divide_up(channels, LINE_FLOATS) * LINE_FLOATS;
    return lines % 256 ? lines : lines + LINE_FLOATS;
}

/* Of a strip. One more than there are: panels would be powers of two apart. */
static inline int64_t x_pixels(const struct gradient *g)
{
    return g->slots * g->width + 1;
}

static inline int64_t y_pixels(const struct gradient *g)
{
    return g->chunk * g->span + 1;
}

/* The `run` of the solver. */
void falt_direct_weights_run(const struct problem *problem, const struct candidate *c, const struct kernels *kernels,
                             const struct operands *operands, int member, int members);

#endif
