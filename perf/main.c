/* main.c - the command `faltung`: its subcommands are a table. */
#include <stdio.h>
#include <string.h>
#include "commands.h"
#include "faltung.h"

enum { NHWC = 1 << FALT_NHWC, BOTH = 1 << FALT_NHWC | 1 << FALT_NCHW };

static const char selection_synopsis[] = "[OPTION]... [--net NAME | --batch FILE | PROBLEM]...";

/* The texts are laid out as they are printed. */
/* clang-format off */
#define PROBLEMS                                                                                                               \
    "A PROBLEM is written in benchdnn's notation: mb1ic64ih56oc64oh56kh3ph1n\"name*3\" is a batch of 1, from 64\n"             \
    "channels of 56x56 pixels to 64 channels, a 3x3 kernel and padding 1, three times in its network. Strides are\n"           \
    "sh2, groups g32, dilation counts the skipped pixels (dh0 is dense), _ may separate fields; fields of w only\n"            \
    "make a 1-D problem, of d a 3-D one.\n"

#define EXIT_STATUS "Exit status: 0, 1 if anything failed (its reason is on stderr), 2 after a usage error.\n"

static const struct {
    struct command command;
    int (*run)(const struct selection *selection);
} commands[] = {
    {{"info", INFO, "the CPU as the library sees it, and its measured peak", "[OPTION]...",
      "Prints the caches, the instruction sets that can be used, and the rate at which each of them does independent\n"
      "fused multiply-adds: on one thread and on all. FALTUNG_ISA in the environment caps what the library uses.\n",
      NHWC},
     run_info},
    {{"bench", BENCH, "measures layers beside the peak of the moment", selection_synopsis,
      PROBLEMS "\n"
      "Every run stands between two short probes of the multiply-add peak of the same instruction set, on as many\n"
      "threads as the layer may use; the percentage of peak is the median of these quotients, so that it holds on a\n"
      "machine that changes its speed. Runs are repeated until the quotients agree within 3 % (median absolute\n"
      "deviation); a layer where they never did is marked ~ (json: steady 0). Weights are packed beforehand, the\n"
      "workspace is given. FLOPs are 2 per multiply-add of direct convolution without its padding, whatever the\n"
      "algorithm: a fast one, which does fewer, may pass 100 %. The total counts each layer as often as its network\n"
      "has it.\n"
      "\n"
      "--versus onednn alternates with oneDNN in the same process: the same threads and instruction set, the same plain\n"
      "layout, its weights reordered and its scratchpad given beforehand (of bwd_w, the weights' gradient in the format\n"
      "it likes). ratio is the median of the quotients of neighbouring runs, its time / ours: above 1 we are faster.\n"
      "Results are compared; where they differ the exit status is 1. A kernel in parentheses is oneDNN's reason to\n"
      "refuse. The geometric mean is that of the ratios of a network's or file's layers, each shape once.\n"
      "--weights cold takes other copies of the weights in each run, of both sides, four times the last-level cache in\n"
      "all, and plans for that. It costs a moment and memory.\n"
      "Tensors, weights and workspaces of 512 KiB and more, of both sides, are in huge pages where the system grants\n"
      "them (Linux: transparent_hugepage 'always' or 'madvise'). With --pages small no memory is: speeds then also\n"
      "depend on which pages the system happens to have at hand.\n"
      "--error measures the relative L2 error of the result against sums in double precision, and that of the direct\n"
      "algorithm on the same data: uniform in [-1, 1).\n"
      "\n"
      "csv: problem,pass,layout,algo,kernel,isa,threads,plan_us,min_ms,median_ms,gflops,peak_gflops,percent_of_peak,\n"
      "     workspace_bytes. plan_us is the median time to create and destroy a plan, without packing weights.\n"
      "     With --error also l2_error,direct_l2_error.\n"
      "     With --versus also peer,peer_kernel,peer_min_ms,peer_median_ms,ratio, and after each network or file a row\n"
      "     with problem 'geomean ...' that has its ratio only.\n"
      EXIT_STATUS,
      NHWC},
     run_bench},
    {{"check", CHECK, "compares results with a double-precision oracle", selection_synopsis,
      PROBLEMS "\n"
      "The oracle sums in double and rounds once. A result passes if no element is further from it than the bound\n"
      "that the plan itself states, if its relative L2 error is what the plan's accuracy lets expect, if every\n"
      "element was written, and if one thread gives the same bits as --threads. Without --isa every instruction set\n"
      "of this CPU is checked, without --layout both layouts; --algo each checks every algorithm that applies beside\n"
      "the one that would be chosen.\n"
      "\n"
      "csv: problem,pass,layout,algo,isa,threads,max_error,error_bound,status. The last line is 'N passed, N failed'.\n"
      EXIT_STATUS,
      BOTH},
     run_check},
    {{"explain", EXPLAIN, "what is planned for a layer, and why not otherwise", selection_synopsis,
      PROBLEMS "\n"
      "Prints the chosen algorithm, kernel, schedule, predicted time and workspace, and why the others were not chosen.\n"
      "\n"
      "--measure forces each algorithm that applies (the reference only where nothing else does) and prints what it takes\n"
      "beside what was predicted; they run by turns, medians count, and each has its share of the best one's speed. The\n"
      "others have their reasons. In the end it says how often the planner's choice was within 10 % of the best: over\n"
      "everything there is with --net all --pass all --layout all. \"auto\" is a choice of several algorithms, one for each\n"
      "phase of backward data. Weights are warm and packed, as in bench.\n"
      "\n"
      "csv: problem,pass,layout,algo,kernel,isa,threads,predicted_ms,measured_ms,percent_of_best,chosen,refused, and the last\n"
      "     line 'planner: within 10 % of the best on N of M layers' (json: layers, within_10_percent).\n"
      EXIT_STATUS,
      NHWC},
     run_explain},
    {{"matrix", MATRIX, "the convolution as a matrix: symbols, values, files, pictures", "[OPTION]... [--batch FILE | PROBLEM]...",
      PROBLEMS "\n"
      "Prints A of dst = A src for one image, both as vectors in the order of the layout (nchw if not told). W12 is the\n"
      "weight in row 1, column 2 of the kernel; with channels W2,1,12 is that from input channel 1 to output channel 2.\n"
      "Dots are zeros. With a circular boundary, taps that meet are added: W1+W4.\n"
      EXIT_STATUS,
      1 << FALT_NCHW},
     run_matrix},
    {{"sizes", SIZES, "output sizes, and the transposed convolution that goes the way back", selection_synopsis,
      PROBLEMS "\n"
      "Prints the output size and how it comes about, the padding that would keep the size, the transposed convolution\n"
      "that gives back the input size (and for a transposed one, the convolution), and the convolution over an input with\n"
      "zeros inserted that is the same. What has no solution is refused with its reason.\n"
      EXIT_STATUS,
      NHWC},
     run_sizes},
};
/* clang-format on */
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *file)
{
    fputs("usage: faltung COMMAND [OPTION]... [ARGUMENT]...\n\n"
          "Convolution on CPUs: libfaltung measured, checked and explained.\n\ncommands:\n",
          file);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(file, "  %-9s  %s\n", commands[i].command.name, commands[i].command.summary);
    fputs("\n'faltung COMMAND --help' says more. 'faltung --version' prints the version.\n", file);
}

static int run_command(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0) {
        printf("faltung %s\n", falt_version());
        return 0;
    }
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].command.name) != 0)
            continue;
        struct selection selection;
        int code = options_parse(&selection, &commands[i].command, argc - 1, argv + 1);
        if (code < 0)
            code = commands[i].run(&selection);
        select_free(&selection);
        return code;
    }
    fprintf(stderr, "faltung: unknown command '%s'\nTry 'faltung --help'.\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    const int code = run_command(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("faltung: cannot write to standard output\n", stderr);
        return 1;
    }
    return code;
}
