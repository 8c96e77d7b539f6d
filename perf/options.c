/* options.c - the command line: a table of options, and what each does to the selection. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "block.h"
#include "nets.h"
#include "select.h"

static const char *const weights_layout_names[2] = {[FALT_OIHW] = "oihw", [FALT_OHWI] = "ohwi"};

/* ---------------------------------------------------------------------------------------------------------------- values */

/* The index of value in names; count, after saying which there are, if it is none. */
static int choose(const struct selection *s, const char *option, const char *value, const char *const *names, int count)
{
    char all[256] = "";
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(value, names[i]) == 0)
            return i;
        const char *separator = i == 0 ? "" : i < count - 1 ? ", " : " or ";
        length += (size_t)snprintf(all + length, sizeof all - length, "%s%s", separator, names[i]);
    }
    usage_error(s, "--%s: '%s' is not %s", option, value, all);
    return count;
}

static bool integer(const struct selection *s, const char *option, const char *value, int64_t least, int64_t most,
                    int64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoll(value, &end, 10);
    if (end == value || *end != 0 || errno != 0 || *number < least || *number > most)
        return usage_error(s, "--%s: '%s' is not an integer from %lld to %lld", option, value, (long long)least,
                           (long long)most);
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- options */

/* One name of several, or "all": as a bit mask. */
static bool choose_mask(const struct selection *s, const char *option, const char *value, const char *const *names, int count,
                        unsigned *mask)
{
    const char *with_all[4];
    for (int i = 0; i < count; i++)
        with_all[i] = names[i];
    with_all[count] = "all";
    const int choice = choose(s, option, value, with_all, count + 1);
    *mask = choice == count ? (1u << count) - 1 : 1u << choice;
    return choice <= count;
}

static bool set_pass(struct selection *s, const char *option, const char *value)
{
    return choose_mask(s, option, value, pass_names, 3, &s->passes);
}

static bool set_layout(struct selection *s, const char *option, const char *value)
{
    return choose_mask(s, option, value, layout_names, 2, &s->layouts);
}

static bool set_weights_layout(struct selection *s, const char *option, const char *value)
{
    const int choice = choose(s, option, value, weights_layout_names, 2);
    s->weights_layout = (falt_weights_layout)choice;
    return choice < 2;
}

static bool set_algorithm(struct selection *s, const char *option, const char *value)
{
    const char *names[FALT_ALGO_COUNT + 1];
    for (int i = 0; i < FALT_ALGO_COUNT; i++)
        names[i] = falt_algorithm_name((falt_algorithm)i);
    names[FALT_ALGO_COUNT] = "each";
    const int count = FALT_ALGO_COUNT + (s->command->bit == CHECK);
    const int choice = choose(s, option, value, names, count);
    s->each_algorithm = choice == FALT_ALGO_COUNT;
    s->options.algorithm = s->each_algorithm ? FALT_ALGO_AUTO : (falt_algorithm)choice;
    return choice < count;
}

static bool set_isa(struct selection *s, const char *option, const char *value)
{
    const char *names[FALT_ISA_COUNT];
    for (int i = 0; i < FALT_ISA_COUNT; i++)
        names[i] = falt_isa_name((falt_isa)i);
    s->options.isa = (falt_isa)choose(s, option, value, names, FALT_ISA_COUNT);
    return s->options.isa < FALT_ISA_COUNT;
}

static bool set_threads(struct selection *s, const char *option, const char *value)
{
    int64_t threads = 0;
    const bool good = integer(s, option, value, 0, 4096, &threads);
    s->options.threads = (int32_t)threads;
    return good;
}

static bool set_mb(struct selection *s, const char *option, const char *value)
{
    return integer(s, option, value, 1, INT64_MAX, &s->batch);
}

static bool set_crop(struct selection *s, const char *option, const char *value)
{
    return integer(s, option, value, 1, INT64_MAX, &s->crop);
}

static bool set_seed(struct selection *s, const char *option, const char *value)
{
    int64_t seed = 0;
    const bool good = integer(s, option, value, 0, INT64_MAX, &seed);
    s->seed = (uint64_t)seed;
    return good;
}

static bool set_real(const struct selection *s, const char *option, const char *value, double least, double *number)
{
    char *end;
    *number = strtod(value, &end);
    if (end == value || *end != 0 || !isfinite(*number) || *number < least)
        return usage_error(s, "--%s: '%s' is not a number >= %g", option, value, least);
    return true;
}

static bool set_min_time(struct selection *s, const char *option, const char *value)
{
    return set_real(s, option, value, 0, &s->min_time);
}

static bool set_accuracy(struct selection *s, const char *option, const char *value)
{
    double accuracy = 0;
    const bool good = set_real(s, option, value, 1, &accuracy);
    s->options.accuracy = (float)accuracy;
    return good;
}

/* relu6 is a name of clamp:0:6. */
static bool set_act(struct selection *s, const char *option, const char *value)
{
    static const struct {
        const char *name;
        int parameters;
        falt_activation activation;
        float alpha, beta;
    } activations[] = {
        {"none", 0, FALT_ACT_NONE, 0, 0},   {"relu", 0, FALT_ACT_RELU, 0, 0},           {"relu6", 0, FALT_ACT_CLAMP, 0, 6},
        {"clamp", 2, FALT_ACT_CLAMP, 0, 0}, {"leaky", 1, FALT_ACT_LEAKY, 0, 0},         {"sigmoid", 0, FALT_ACT_SIGMOID, 0, 0},
        {"silu", 0, FALT_ACT_SILU, 0, 0},   {"hardswish", 0, FALT_ACT_HARDSWISH, 0, 0},
    };
    const size_t length = strcspn(value, ":");
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++) {
        if (strlen(activations[i].name) != length || strncmp(activations[i].name, value, length) != 0)
            continue;
        float parameters[2] = {activations[i].alpha, activations[i].beta};
        const char *rest = value + length;
        int given = 0;
        while (*rest == ':' && given < activations[i].parameters) {
            char *end;
            parameters[given++] = strtof(rest + 1, &end);
            if (end == rest + 1)
                break;
            rest = end;
        }
        if (*rest != 0 || given < activations[i].parameters || !isfinite(parameters[0]) || !isfinite(parameters[1]))
            break;
        if (activations[i].activation == FALT_ACT_CLAMP && parameters[0] > parameters[1])
            return usage_error(s, "--%s: '%s' is an empty range", option, value);
        s->activation = activations[i].activation;
        s->alpha = parameters[0];
        s->beta = parameters[1];
        return true;
    }
    return usage_error(s, "--%s: '%s' is not none, relu, relu6, clamp:LOW:HIGH, leaky:SLOPE, sigmoid, silu or hardswish",
                       option, value);
}

static bool set_format(struct selection *s, const char *option, const char *value)
{
    s->format = (enum format)choose(s, option, value, format_names, FORMAT_COUNT);
    if (s->format == FORMAT_COUNT)
        return false;
    return true;
}

static bool set_boundary(struct selection *s, const char *option, const char *value)
{
    static const char *const names[] = {[FALT_BOUNDARY_ZERO] = "zero", [FALT_BOUNDARY_CIRCULAR] = "circular"};
    const int choice = choose(s, option, value, names, 2);
    s->matrix.boundary = (falt_boundary)choice;
    return choice < 2;
}

static bool set_entries(struct selection *s, const char *option, const char *value)
{
    static const char *const names[] = {"symbols", "values"};
    const int choice = choose(s, option, value, names, 2);
    s->matrix.numbers = choice == 1;
    return choice < 2;
}

static bool set_values(struct selection *s, const char *option, const char *value)
{
    (void)option;
    s->matrix.values = value;
    return true;
}

static bool set_output(struct selection *s, const char *option, const char *value)
{
    (void)option;
    s->matrix.output = value;
    return true;
}

static bool set_out_channel(struct selection *s, const char *option, const char *value)
{
    return integer(s, option, value, 0, INT64_MAX, &s->matrix.out_channel);
}

static bool set_in_channel(struct selection *s, const char *option, const char *value)
{
    return integer(s, option, value, 0, INT64_MAX, &s->matrix.in_channel);
}

static bool set_matrix_format(struct selection *s, const char *option, const char *value)
{
    static const char *const names[MATRIX_FORMATS] = {"text", "csv", "mtx", "svg", "png"};
    s->matrix.format = (enum matrix_format)choose(s, option, value, names, MATRIX_FORMATS);
    return s->matrix.format < MATRIX_FORMATS;
}

static bool set_versus(struct selection *s, const char *option, const char *value)
{
    s->versus = peer_name();
    if (strcmp(value, "onednn") != 0)
        return usage_error(s, "--%s: '%s' is not onednn", option, value);
    if (s->versus == NULL)
        return usage_error(s, "--%s %s: this faltung was built without it", option, value);
    return true;
}

static bool set_versus_algorithm(struct selection *s, const char *option, const char *value)
{
    static const char *const names[PEER_ALGORITHMS] = {
        [PEER_BEST] = "best", [PEER_DIRECT] = "direct", [PEER_WINOGRAD] = "winograd"};
    s->peer.algorithm = (enum peer_algorithm)choose(s, option, value, names, PEER_ALGORITHMS);
    return s->peer.algorithm < PEER_ALGORITHMS;
}

static bool set_versus_layout(struct selection *s, const char *option, const char *value)
{
    static const char *const names[] = {"same", "any"};
    const int choice = choose(s, option, value, names, 2);
    s->peer.any_layout = choice == 1;
    return choice < 2;
}

static bool set_weights(struct selection *s, const char *option, const char *value)
{
    static const char *const names[] = {"warm", "cold"};
    const int choice = choose(s, option, value, names, 2);
    s->cold_weights = choice == 1;
    s->options.warm_weights = choice == 0;
    return choice < 2;
}

static bool set_pages(struct selection *s, const char *option, const char *value)
{
    static const char *const names[] = {"huge", "small"};
    const int choice = choose(s, option, value, names, 2);
    if (choice == 1)
        block_use_small_pages();
    return choice < 2;
}

static bool set_measured(struct selection *s, const char *option, const char *value)
{
    (void)option, (void)value;
    s->measured = true;
    s->options.warm_weights = !s->cold_weights;
    return true;
}

static bool set_error(struct selection *s, const char *option, const char *value)
{
    (void)option, (void)value;
    s->error = true;
    return true;
}

static bool set_transposed(struct selection *s, const char *option, const char *value)
{
    (void)option, (void)value;
    s->transposed = true;
    return true;
}

/* Read after all options, as --transposed decides how a batch file is read. */
static bool set_source(struct selection *s, const char *option, const char *value)
{
    if (strcmp(option, "net") == 0 && strcmp(value, "all") == 0) {
        for (size_t i = 0; i < net_count; i++)
            set_source(s, option, nets[i].name);
        return true;
    }
    s->sources[s->source_count++] = option;
    s->sources[s->source_count++] = value;
    return true;
}

static const struct option_row {
    const char *name, *argument;
    unsigned commands;
    bool (*set)(struct selection *selection, const char *option, const char *value);
    const char *help;
} rows[] = {
    {"net", "NAME", BENCH | CHECK | EXPLAIN | SIZES, set_source,
     "the layers of a built-in network, or of all; may be repeated. --net list lists them"},
    {"batch", "FILE", BENCH | CHECK | EXPLAIN | MATRIX | SIZES, set_source,
     "a problem a line, # begins a comment; may be repeated"},
    {"transposed", NULL, BENCH | CHECK | EXPLAIN | MATRIX | SIZES, set_transposed,
     "read PROBLEMs and files as transposed convolutions, i -> o all the same"},
    {"pass", "PASS", BENCH | CHECK | EXPLAIN, set_pass, "fwd (default), bwd_d, bwd_w or all"},
    {"layout", "LAYOUT", BENCH | CHECK | EXPLAIN | MATRIX, set_layout,
     "nhwc (channels last) or nchw (first), which also name their 1-D and 3-D forms; or all"},
    {"weights-layout", "LAYOUT", BENCH | CHECK | EXPLAIN | MATRIX, set_weights_layout, "oihw (default) or ohwi"},
    {"algo", "ALGO", BENCH | CHECK | EXPLAIN, set_algorithm,
     "auto (default), reference, direct, im2col, winograd, depthwise, dots; of check also each"},
    {"isa", "ISA", BENCH | CHECK | EXPLAIN, set_isa, "nothing beyond scalar, avx2, avx512 or neon; auto: the best there is"},
    {"threads", "N", BENCH | CHECK | EXPLAIN | INFO, set_threads, "0 (default): as many as OpenMP would use"},
    {"accuracy", "X", BENCH | CHECK | EXPLAIN, set_accuracy,
     "tolerate X >= 1 times the error of plain summation (default 3); 1: nothing less accurate than that"},
    {"mb", "N", BENCH | CHECK | EXPLAIN, set_mb, "batch size of all problems, instead of their own"},
    {"crop", "N", BENCH | CHECK | EXPLAIN, set_crop, "crop larger inputs to N pixels in each spatial dimension (and say so)"},
    {"act", "ACT", BENCH | CHECK | EXPLAIN, set_act,
     "forward: none (default), relu, relu6, clamp:LOW:HIGH, leaky:SLOPE, sigmoid, silu or hardswish"},
    {"measure", NULL, EXPLAIN, set_measured, "measure each algorithm that applies, and judge the choice"},
    {"min-time", "S", BENCH | EXPLAIN, set_min_time,
     "seconds for each layer (default 0.2); up to five times that to become steady"},
    {"weights", "STATE", BENCH | EXPLAIN, set_weights,
     "warm (default): they stay in cache; cold: they come from memory, as in a network"},
    {"pages", "SIZE", BENCH | EXPLAIN, set_pages,
     "huge (default): large tensors are in huge pages, where the system grants them; small: they are not"},
    {"error", NULL, BENCH, set_error, "measure the error of the result, too, against double precision"},
    {"versus", "PEER", BENCH, set_versus, "alternate with another library, and compare results: onednn"},
    {"versus-algo", "ALGO", BENCH, set_versus_algorithm,
     "the peer's: best (default; the faster of the others), direct, winograd"},
    {"versus-layout", "LAYOUT", BENCH, set_versus_layout,
     "the peer's src and dst: same (default) as ours, or any: its choice, reordering not counted"},
    {"boundary", "BOUNDARY", MATRIX, set_boundary, "zero (default) or circular: the image goes on with itself"},
    {"entries", "WHAT", MATRIX, set_entries, "symbols (default in text and csv): W11, W12, ...; values: random ones"},
    {"values", "W,W,...", MATRIX, set_values, "the weights, in the order of their layout; implies --entries values"},
    {"out-channel", "N", MATRIX, set_out_channel, "the rows of output channel N (from 0) only"},
    {"in-channel", "N", MATRIX, set_in_channel, "the columns of input channel N (from 0) only"},
    {"format", "FORMAT", MATRIX, set_matrix_format,
     "text (default), csv, mtx (Matrix Market), svg or png: a picture of the entries"},
    {"output", "FILE", MATRIX, set_output, "instead of standard output"},
    {"seed", "N", BENCH | CHECK | EXPLAIN | MATRIX, set_seed, "of the random data (default 1)"},
    {"format", "FORMAT", BENCH | CHECK | EXPLAIN | INFO, set_format, "table (default), csv or json"},
    {"help", NULL, BENCH | CHECK | EXPLAIN | INFO | MATRIX | SIZES, NULL, "this text"},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void print_help(const struct command *command)
{
    printf("faltung %s - %s\n\nusage: faltung %s %s\n\n%s\noptions:\n", command->name, command->summary, command->name,
           command->synopsis, command->text);
    for (int i = 0; i < ROWS; i++) {
        if ((rows[i].commands & command->bit) == 0)
            continue;
        char left[40];
        snprintf(left, sizeof left, "--%s%s%s", rows[i].name, rows[i].argument != NULL ? " " : "",
                 rows[i].argument != NULL ? rows[i].argument : "");
        printf("  %-24s  %s\n", left, rows[i].help);
    }
}

static void print_nets(void)
{
    for (size_t i = 0; i < net_count; i++)
        printf("%-14s  %3zu shapes  %s\n", nets[i].name, nets[i].layer_count, nets[i].about);
}

/* ------------------------------------------------------------------------------------------------------------- arguments */

enum { FIRST_LONG = 256 }; /* codes of long options: beyond any character */

static int option_error(const struct selection *s, int code, char **argv)
{
    if (code == ':')
        usage_error(s, "option '%s' needs an argument", argv[optind - 1]);
    else if (optopt > 0 && optopt < FIRST_LONG)
        usage_error(s, "unknown option '-%c'", optopt);
    else
        usage_error(s, "%s option '%s'", optopt > 0 ? "no argument may be given to" : "unknown or ambiguous", argv[optind - 1]);
    return 2;
}

/* What explain prints without measuring, the library itself writes. */
static bool has_format(const struct selection *s)
{
    const bool described = s->command->bit == EXPLAIN && !s->measured;
    if (described && s->format == FORMAT_CSV)
        return usage_error(s, "--format csv: a plan's description is text (table) or json; --measure has csv");
    if (!described && !report_available(s->format))
        return usage_error(s, "--format json: this faltung was built without cJSON");
    return true;
}

int options_parse(struct selection *s, const struct command *command, int argc, char **argv)
{
    *s = (struct selection){.command = command,
                            .options = FALT_OPTIONS_INIT,
                            .passes = 1u << FALT_FORWARD,
                            .layouts = command->default_layouts,
                            .min_time = 0.2,
                            .matrix = {.out_channel = FALT_ALL_CHANNELS, .in_channel = FALT_ALL_CHANNELS},
                            .seed = 1};
    s->options.warm_weights = command->bit == BENCH;
    struct option options[ROWS + 1] = {{NULL, 0, NULL, 0}};
    int count = 0;
    for (int i = 0; i < ROWS; i++)
        if ((rows[i].commands & command->bit) != 0)
            options[count++] =
                (struct option){rows[i].name, rows[i].argument != NULL ? required_argument : no_argument, NULL, FIRST_LONG + i};
    s->sources = malloc(2 * (size_t)(argc + 1) * net_count * sizeof *s->sources);
    if (s->sources == NULL) {
        usage_error(s, "out of memory");
        return 2;
    }

    opterr = 0;
    optind = 1;
    for (;;) {
        const int code = getopt_long(argc, argv, ":h", options, NULL);
        if (code == -1)
            break;
        if (code == '?' || code == ':')
            return option_error(s, code, argv);
        const struct option_row *row = code == 'h' ? &rows[ROWS - 1] : &rows[code - FIRST_LONG];
        if (row->set == NULL) {
            print_help(command);
            return 0;
        }
        if (row->set == set_source && strcmp(row->name, "net") == 0 && strcmp(optarg, "list") == 0) {
            print_nets();
            return 0;
        }
        if (!row->set(s, row->name, optarg))
            return 2;
    }
    if (!has_format(s))
        return 2;
    if (command->bit == INFO) {
        if (optind < argc)
            usage_error(s, "unexpected argument '%s'", argv[optind]);
        return optind < argc ? 2 : -1;
    }
    return select_jobs(s, argc - optind, argv + optind) ? -1 : 2;
}
