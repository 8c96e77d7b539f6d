/*
 * cost.h - the planner's physical constants. Predictions only rank candidates, so the numbers are those of a typical core
 * (two FMA pipes, two load ports), not of the one at hand.
 */
#ifndef FALT_COST_H
#define FALT_COST_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

static const double cost_hertz = 3e9;
/* Vector instructions; loads of two ports, of which a tile bound by them was seen to use so much. */
static const double cost_fma_per_cycle = 2.0, cost_loads_per_cycle = 1.75;
static const double cost_fma_latency = 4.5;
static const double cost_l3_bytes = 16.0;     /* per cycle and core */
static const double cost_stream_bytes = 12.0; /* of that, of weights that are read once by the few rows that need them */
static const double cost_memory_bytes = 5.0;  /* per cycle and core */
static const double cost_shared_bytes = 2.0;  /* of what another core has just written */
/* Two cores that write to neighbouring lines lose some to each other's prefetchers. Cycles (measured on Zen 5) for each row
 * that is split between two, times the cache lines of a pixel; and for each pixel whose channels are split. */
static const double cost_seam_line = 60.0, cost_seam_pixel = 300.0;
/* And for each row of w that is split between two (22 where they share an L3, 380 where they do not). */
static const double cost_seam_row = 100.0;
static const int cost_nominal_threads = 4;      /* for choices that change the rounding, and so must not know the real number */
static const double cost_region_seconds = 3e-6; /* a parallel region while the threads spin: 2 to 5 us on Zen 5 */
static const double cost_barrier_seconds = 5e-7; /* or one of several steps in it, which end at different times */

/* Cycles beside the k-steps: of a call of a register tile and of each of its rows, for each pointer of a tile's table, the more
 * if it may leave the image, for each vector that is copied, of a call that copies a short piece, and for each float that is
 * moved by itself; and for a tap's channels that a patch takes by themselves. */
static const double cost_tile = 20.0, cost_row = 4.0, cost_pointer = 2.0, cost_edge = 3.0;
static const double cost_segment = 8.0; /* of an outer product's, beside its k-steps */
static const double cost_copy = 2.0, cost_call = 40.0, cost_piece = 15.0, cost_float = 1.3, cost_patch_piece = 4.0;
static const double cost_apart = 1.4; /* times as much to transpose what comes from planes far apart */

/* Cycles beside that of a panel of patches; for each byte that is collected into one, that goes to L2 and back; and for a line
 * that L1 has lost to others of its set, of which it holds so many. */
static const double cost_panel = 80.0;
static const double cost_collect = 2.0 / 64.0, cost_l2_byte = 1.5 / 64.0, cost_turned_byte = 10.0 / 64.0, cost_lost_line = 25.0,
                    cost_ways = 12.0;
static const double cost_store_line = 3.0; /* to come from L2, for a part of it to be written */

/* Winograd transforms: cycles for each point of a tile and vector of channels, and beside them for each line of a pixel that no
 * neighbour follows (measured 3 to 15). */
static const double cost_winograd_input = 3.5, cost_winograd_output = 3.5, cost_single_line = 4.0;
/* Of fused tiles, which hide most of that; for each load of what they multiply, a little more than half a cycle; and of a call,
 * whose first tiles hide nothing. */
static const double cost_fused = 1.8, cost_fused_load = 0.55, cost_fused_call = 300.0;
static const double cost_winograd_gradient = 3.0, cost_winograd_weights = 3.0;

/* Cycles of one k-step of a register tile: bound by FMAs, by loads (one broadcast a row, one load a vector), or, where the tile
 * is small, by the latency of the accumulators' chains. */
static inline double cost_tile_step(int64_t rows, int vectors)
{
    const double fma = (double)rows * vectors / cost_fma_per_cycle;
    const double load = (double)(rows + vectors) / cost_loads_per_cycle;
    const double bound = fma > load ? fma : load;
    return bound > cost_fma_latency ? bound : cost_fma_latency;
}

/* Cycles of `rows` rows cut evenly into tiles of at most `most`, for each k. */
static inline double cost_rows_step(int64_t rows, int64_t most, int vectors)
{
    const int64_t tiles = (rows + most - 1) / most;
    if (tiles == 0)
        return 0.0;
    const int64_t each = rows / tiles, larger = rows % tiles;
    return (double)larger * cost_tile_step(each + 1, vectors) + (double)(tiles - larger) * cost_tile_step(each, vectors);
}

/* And of their calls, beside the k-steps. */
static inline double cost_rows_calls(int64_t rows, int64_t most)
{
    return (double)((rows + most - 1) / most) * cost_tile + (double)rows * cost_row;
}

/* Cycles of a block of vec x vec floats that is transposed in registers: log2(vec) rounds of shuffles, and as many vectors are
 * loaded and stored. A block that is partly empty takes as long. */
static inline double cost_transpose(int vec)
{
    double rounds = 1.0;
    for (int n = vec; n > 1; n /= 2)
        rounds += 1.0;
    return rounds * vec;
}

/* Cycles to write to lines `step` floats apart: a multiple of 4 KiB is one and the same set, whose ways are soon gone. */
static inline double cost_lost(int64_t step, double lines)
{
    return step % 1024 == 0 && lines > cost_ways ? (lines - cost_ways) * cost_lost_line : 0.0;
}

/* Cycles to store a tile of rows x columns, the columns `step` floats apart: transposed, where its rows are neighbours, whose
 * short stores cost as much as another round, and a line from L2 for each column; float by float elsewhere. */
static inline double cost_scatter(int64_t rows, double columns, int vec, int64_t step, bool neighbours)
{
    const double blocks = (double)((rows + vec - 1) / vec) * ceil(columns / vec);
    const double lines = columns * (step < 16 ? (double)step / 16.0 : 1.0); /* several columns in each */
    return neighbours ? blocks * (cost_transpose(vec) + vec) + lines * cost_store_line + cost_lost(step, columns)
                      : (double)rows * columns * cost_float;
}

#endif
