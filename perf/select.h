/* select.h - what every subcommand is told: which layers, passes and layouts, and how to run and print them. */
#ifndef PERF_SELECT_H
#define PERF_SELECT_H

#include <stdbool.h>
#include "faltung.h"
#include "faltung_operator.h"
#include "peer.h"
#include "report.h"

struct layer {
    char name[192];     /* "resnet50 conv2_1", or "" */
    const char *source; /* --net's or --batch's argument; "" for a PROBLEM */
    int64_t repeats;
    bool cropped;
    falt_conv conv;
};

/* One pass of one layer in one layout: what a plan is made for. */
struct job {
    const struct layer *layer;
    falt_conv conv;
    falt_pass pass;
    char problem[256]; /* benchdnn notation */
};

/* Subcommands as bits, for the table of options. */
enum { INFO = 1, BENCH = 2, CHECK = 4, EXPLAIN = 8, MATRIX = 16, SIZES = 32 };

enum matrix_format { MATRIX_TEXT, MATRIX_CSV, MATRIX_MTX, MATRIX_SVG, MATRIX_PNG, MATRIX_FORMATS };

struct command {
    const char *name;
    unsigned bit;
    const char *summary;  /* one line */
    const char *synopsis; /* arguments */
    const char *text;     /* of --help, after the summary */
    unsigned default_layouts;
};

struct selection {
    const struct command *command;
    struct layer *layers;
    int layer_count, layer_capacity;
    struct job *jobs; /* ordered by pass, then layout, then layer */
    int job_count;
    int name_width, problem_width; /* the longest of them */

    falt_options options; /* algorithm, isa, threads, accuracy */
    bool each_algorithm;
    double min_time;
    uint64_t seed;
    enum format format;

    const char *versus; /* the peer's name, or NULL */
    struct peer_options peer;
    bool cold_weights;
    bool measured; /* explain: with measured times */
    bool error;    /* bench: with measured errors */

    struct {
        falt_boundary boundary;
        enum matrix_format format;
        bool numbers;       /* even without --values */
        const char *values; /* of the weights, or NULL */
        const char *output; /* a file, or NULL */
        int64_t out_channel, in_channel;
    } matrix;

    /* how jobs are made out of layers */
    unsigned passes, layouts; /* 1 << falt_pass, 1 << falt_layout */
    falt_weights_layout weights_layout;
    bool transposed;
    int64_t batch; /* 0: the layers' own */
    int64_t crop;  /* 0: none */
    falt_activation activation;
    float alpha, beta;

    const char **sources; /* --net and --batch arguments, in order */
    int source_count;
};

/* options.c: fills the selection; argv[0] is the command's name. Returns -1 to go on, or the exit code when all is said:
 * 0 after --help, 2 after a usage error. */
int options_parse(struct selection *selection, const struct command *command, int argc, char **argv);

/* Makes the jobs of --net, --batch and the PROBLEMs in argv, the options being known. False after a usage error. */
bool select_jobs(struct selection *selection, int argc, char **argv);
void select_free(struct selection *selection);

/* Whether the table begins a new section at this job: another pass or layout than before. Writes its title. */
bool select_section(const struct selection *selection, int job, char *title, size_t size);

/* "fwd", "bwd_d", "bwd_w"; "nchw", "nhwc" */
extern const char *const pass_names[3], *const layout_names[2];

/* The number of threads that options.threads stands for. */
int select_threads(const struct selection *selection);

/* Says on stderr what is wrong with the command line and where to read on. Returns false for the caller to return. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
bool usage_error(const struct selection *selection, const char *format, ...);

/* "faltung bench: resnet50 conv1 (mb1...), fwd, nhwc: ..." on stderr. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void complain(const struct selection *selection, const struct job *job, const char *format, ...);

#endif
