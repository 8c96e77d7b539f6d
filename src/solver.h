/*
 * solver.h - an algorithm: says whether it applies to a problem and at what cost, packs weights, runs.
 *
 * Solvers are const tables in src/solvers/, one algorithm each, listed in planner.c; none includes another. A solver decides
 * everything in consider() and keeps it in candidate.state, so that run() only computes: it allocates nothing and cannot fail.
 */
#ifndef FALT_SOLVER_H
#define FALT_SOLVER_H

#include <stdbool.h>
#include <stdint.h>
#include "../arch/kernels.h"
#include "cpu.h"
#include "problem.h"

enum { SOLVER_STATE = 512, SOLVER_REASON = 160, SOLVER_NOTE = 96, SOLVER_ALIGN = 64 };

/* Of a cache line. */
enum { LINE_FLOATS = SOLVER_ALIGN / (int)sizeof(float) };

/* Bytes behind packed weights: kernels ask for what lies a page ahead, and there might be what another thread writes (first
 * layers on cores that share no L3: 0.75 times as fast). */
enum { SOLVER_BEHIND = 4096 + SOLVER_ALIGN };

/* What a plan may use. */
struct resources {
    const struct kernels *kernels;
    const struct cpu *cpu;
    int threads;             /* >= 1 */
    double accuracy;         /* >= 1, see falt_options */
    int64_t workspace_limit; /* < 0: none */
    bool warm_weights;
    double region; /* seconds to make more than one thread work */
};

struct solver;

/* Backward data comes to the forward solvers in phases (adjoint.h). */
enum {
    SOLVES_FORWARD = 1 << FALT_FORWARD,
    SOLVES_BACKWARD_DATA = 1 << FALT_BACKWARD_DATA,
    SOLVES_WEIGHTS = 1 << FALT_BACKWARD_WEIGHTS
};

/* A solver's answer: what it would do. */
struct candidate {
    const struct solver *solver;
    double seconds;             /* predicted, only for comparison */
    double nominal, alone;      /* the same for a nominal number of threads, and for one; set by falt_choose */
    size_t workspace;           /* bytes while running, for all threads, weights packed; 64-byte aligned when given to run() */
    size_t packed;              /* bytes of packed weights; 0: plain weights are read as they are */
    int threads;                /* the most that run() will use */
    bool sums_bias;             /* of a weight gradient: run() sees to operands.diff_bias, too */
    double accuracy;            /* expected error in units of direct fp32 summation */
    double error_growth;        /* a priori bound: gamma(error_terms + 1) * error_growth * max|a| * max sum|b| */
    double error_terms;         /* the longest sum */
    char kernel[SOLVER_NOTE];   /* "avx512 14x2"; equal names mean equal packed weights, see falt_pack_weights */
    char schedule[SOLVER_NOTE]; /* "4 pixel ranges x 1 channel range" */
    _Alignas(16) unsigned char state[SOLVER_STATE]; /* the solver's own */
};

/* The tensors of the normal form (problem.h). Of x, w, y the pass's output is written, the others are read. */
struct operands {
    float *x, *y, *w;      /* w: plain weights where candidate.packed == 0, or the weight gradient */
    const void *packed;    /* 64-byte aligned but for a caller who moved his packed weights: a multiple of 4 */
    const float *bias;     /* of the output's channels, or NULL */
    const float *residual; /* shaped as the output, or NULL */
    float *diff_bias;      /* or NULL; given where candidate.sums_bias is true */
    void *workspace;       /* 64-byte aligned; private to this run. A forward solver cuts it into parts of whole cache lines, as
                            * large for each of candidate.threads: a member's own, as others may be at another phase by then */
};

struct solver {
    const char *name;
    falt_algorithm algorithm; /* several solvers may share one: direct.c and direct_weights.c are both "direct" */
    unsigned passes;          /* SOLVES_*, of the normal form; the others never reach consider() */
    bool plain_chain;         /* each output is one chain of multiply-adds over (tap, channel), then bias, then residual: the
                               * same bits as those of all other such solvers */

    /* Fills *candidate (zeroed by the caller, solver set) and returns true, or writes why not and returns false; which of the
     * two must not depend on the number of threads. */
    bool (*consider)(const struct problem *problem, const struct resources *resources, struct candidate *candidate,
                     char reason[SOLVER_REASON]);

    /* plain weights -> packed (64-byte aligned); NULL for a solver that never packs. */
    void (*pack)(const struct problem *problem, const struct candidate *candidate, const float *weights, void *packed);

    /* A member's share, of 1 ... candidate.threads members; the result must not depend on their number. A weight gradient's
     * may wait for each other with falt_barrier(members). */
    void (*run)(const struct problem *problem, const struct candidate *candidate, const struct kernels *kernels,
                const struct operands *operands, int member, int members);
};

extern const struct solver falt_solver_depthwise, falt_solver_depthwise_weights, falt_solver_direct, falt_solver_direct_weights,
    falt_solver_dots, falt_solver_im2col, falt_solver_im2col_weights, falt_solver_reference, falt_solver_winograd,
    falt_solver_winograd_weights;

/* Whether pixels of x are a multiple of 512 bytes apart. Their lines then meet in few sets of the caches, and what comes from
 * L2 had better be two lines side by side (Zen 5, 1, 2 and 4 KiB apart: 3.1, 4.0 and 6.4 cycles a line, by twos 1.9, 3.0
 * and 4.3; other distances 2). */
static inline bool falt_pixels_meet(const struct problem *problem)
{
    return problem->x_channels * (int64_t)sizeof(float) % 512 == 0;
}

/* Bytes from the end of what one of so many threads writes to where the next one begins; none where memory is scarce. A core's
 * prefetchers run on past its own, and each line that they take from another core comes back late: on a Zen 5, from a core that
 * shares no L3 in 200 ns (small Winograd layers: 1.2 to 1.6 times as fast apart, 1.07 to 1.4 with half as much between). */
static inline size_t falt_threads_apart(const struct resources *resources, int threads)
{
    return threads > 1 && resources->workspace_limit < 0 ? 32768 : 0;
}

/* What a caller must provide for a workspace of that many aligned bytes at any address. */
static inline size_t falt_with_slack(size_t size)
{
    return size ? size + SOLVER_ALIGN : 0;
}

/* The first aligned address in it. */
static inline char *falt_align(void *pointer)
{
    const uintptr_t address = (uintptr_t)pointer;
    return (char *)pointer + ((SOLVER_ALIGN - address % SOLVER_ALIGN) % SOLVER_ALIGN);
}

/* Each tile asks for as many floats of what is coming, in order. */
static inline void falt_ask_in_order(struct gemm_args *args, int64_t floats)
{
    args->share = (floats + LINE_FLOATS - 1) / LINE_FLOATS;
    args->coming_step = args->share ? floats * (ptrdiff_t)sizeof(float) / args->share : 0;
}

/* The epilogue of a problem's output as kernels take it. */
struct epilogue falt_epilogue(const struct problem *problem);

/* Of x and y, of all phases. */
static inline double falt_tensor_bytes(const struct problem *problem)
{
    return problem->tensor_floats * sizeof(float);
}

/* Floats of x that some tap meets: a stride may be longer than the kernel. */
static inline double falt_touched_floats(const struct problem *problem)
{
    double floats = (double)problem->x_count;
    for (int i = 0; i < 3; i++)
        if (problem->taps > 0 && problem->kernel[i] < problem->stride[i])
            floats *= (double)problem->kernel[i] / (double)problem->stride[i];
    return floats;
}

/* Whether x and y outgrow the shared cache: then y is better stored past the caches, which spares its lines the way in. A phase
 * leaves gaps, whose lines prefetchers fetch in vain (measured: from half of that on 1.2 to 1.6 times as fast). */
static inline bool falt_outgrows(const struct problem *problem, const struct cpu *cpu)
{
    const bool phase = problem->tensor_floats > (double)problem->x_count + (double)problem->y_count;
    return falt_tensor_bytes(problem) > (double)cpu->l3 / (phase ? 6.0 : 3.0);
}

/* Cycles of a solver that goes through all pixels group by group, again and again, for what hardware does not see coming: a
 * line or two of each pixel, channels last, from L3 or memory (measured on Zen 5). */
static inline double falt_pieces_cycles(const struct problem *problem, const struct cpu *cpu)
{
    if (problem->layout != FALT_CHANNELS_LAST || problem->x_group > 32 || problem->x_channels < 128 ||
        falt_tensor_bytes(problem) <= (double)cpu->l2)
        return 0.0;
    const double pixels = (double)problem->batch * (double)(problem->in_pixels + problem->out_pixels);
    return pixels * (double)problem->groups * (falt_outgrows(problem, cpu) ? 80.0 : 20.0);
}

/* Whether whole cache lines begin at `floats` and at all multiples of the distances, or-ed together, from there. */
static inline bool falt_in_lines(const float *floats, int64_t distances)
{
    return (uintptr_t)floats % SOLVER_ALIGN == 0 && distances % (int64_t)(SOLVER_ALIGN / sizeof(float)) == 0;
}

#endif
