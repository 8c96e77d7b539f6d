/*
 * kernels.c - all kernels of one instruction set; compiled once per set with
 *
 *     KERNELS_ISA         its name, avx2
 *     KERNELS_VOCABULARY  its vector vocabulary, "vec_avx2.h"
 *
 * Everything but the table is static: a helper that leaked out of an AVX-512 object could be the copy that the linker keeps for
 * code that runs everywhere.
 */
#include "kernels.h"
#include KERNELS_VOCABULARY
#include "template/epilogue.h"
#include "template/distances.h"
#include "template/transpose.h"
#include "template/collect.h"
#include "template/gemm.h"
#include "template/even.h"
#include "template/outer.h"
#include "template/winograd.h"
#include "template/winograd_fused.h"
#include "template/depthwise.h"
#include "template/dots.h"
#include "template/window.h"
#include "template/groups.h"
#include "template/sums.h"
#include "template/burn.h"

#define TABLE_(isa) falt_kernels_##isa
#define TABLE(isa) TABLE_(isa)
#define TEXT_(isa) #isa
#define TEXT(isa) TEXT_(isa)

extern const struct kernels TABLE(KERNELS_ISA);

const struct kernels TABLE(KERNELS_ISA) = {
    .name = TEXT(KERNELS_ISA),
    .needs = KERNELS_NEEDS,
    .vec = VEC,
#ifdef GEMM_STEPS
    .gemm_asks = GEMM_STEPS,
#endif
    .gemm_rows = {0, GEMM_ROWS_1, GEMM_ROWS_2, GEMM_ROWS_3, GEMM_ROWS_4},
    .gemm = {GEMM_TILES(GEMM_ENTRY)},
    .even = {GEMM_TILES(EVEN_ENTRY)},
    .outer = {GEMM_TILES(OUTER_ENTRY)},
    .winograd = {WINOGRAD_TILES(WINOGRAD_ENTRY)},
    .depthwise_rows = {DEPTHWISE_TALL_ROWS, DEPTHWISE_SHORT_ROWS},
    .depthwise = {DEPTHWISE_ALL(DEPTHWISE_ENTRY)},
    .depthwise_down = DEPTHWISE_DOWN,
    .depthwise_block = DEPTHWISE_BLOCK,
    .depthwise_rolling = DEPTHWISE_ROLLING,
    .depthwise_pairs = {{NULL}, DEPTHWISE_PAIRS(DEPTHWISE_PAIRS_ENTRY)},
    .dots_sums = DOTS_SUMS,
    .dots = {DOTS_ALL(DOTS_ENTRY)},
    .collect = collect,
    .window_registers = WINDOW_REGISTERS,
    .window = {WINDOW_ALL(WINDOW_ENTRY)},
    .groups_sums = WINDOW_REGISTERS - GROUPS_MAX_WIDTH - 1,
    .groups = {GROUPS_ALL(GROUPS_ENTRY)},
    .sum_rows = sum_rows,
    .sum_run = sum_run,
    .transpose = transpose,
    .copy_past = copy_past,
    .fence = vec_fence,
    .finish = finish,
    .burn = burn,
};
