/* info.c - faltung info: the CPU and its measured peak. */
#include <stdio.h>
#include "../src/cpu.h"
#include "commands.h"
#include "measure.h"

/* The best of a quarter of a second of bursts, in GFLOP/s; 0 when out of memory. */
static double peak(const struct kernels *kernels, int threads)
{
    struct probe probe;
    double best = 0;
    if (!probe_init(&probe, kernels, threads))
        return 0;
    for (const double start = seconds_now(); seconds_now() - start < 0.25;) {
        const double rate = probe_run(&probe);
        best = rate > best ? rate : best;
    }
    probe_free(&probe);
    return 1e-9 * best;
}

enum { ISA, VECTOR, ONE, THREADS, ALL, COLUMNS };
static const struct column columns[COLUMNS] = {
    [ISA] = {"isa", "ISA", IN_ALL, TEXT, 8},
    [VECTOR] = {"vector_floats", "floats a vector", IN_ALL, 0, 15},
    [ONE] = {"one_thread_gflops", "GFLOP/s, 1 thread", IN_ALL, 1, 17},
    [THREADS] = {"threads", "threads", IN_CSV | IN_JSON, 0, 7},
    [ALL] = {"all_threads_gflops", "all threads", IN_ALL, 1, 11},
};

static void print_size(const char *label, int64_t bytes)
{
    if (bytes >= 1 << 20)
        printf("%-8s  %.4g MiB\n", label, (double)bytes / (1 << 20));
    else
        printf("%-8s  %.4g KiB\n", label, (double)bytes / (1 << 10));
}

int run_info(const struct selection *s)
{
    falt_cpu cpu = {.struct_size = sizeof cpu};
    if (falt_cpu_info(&cpu) != FALT_OK) {
        fprintf(stderr, "faltung info: %s\n", falt_last_error());
        return 1;
    }
    const int threads = select_threads(s);
    if (s->format == FORMAT_TABLE) {
        printf("%-8s  %s\n%-8s  %s\n", "version", falt_version(), "CPU", cpu.name[0] != 0 ? cpu.name : "unknown");
        print_size("L1d", cpu.l1d);
        print_size("L2", cpu.l2);
        print_size("L3", cpu.l3);
        printf("%-8s  %d\n%-8s  %s\n\n", "threads", threads, "ISA used", falt_isa_name(cpu.isa));
    }
    struct report *report = report_open(s->format, columns, COLUMNS);
    if (report == NULL)
        return 1;
    report_text(report, "version", falt_version());
    report_text(report, "cpu", cpu.name);
    report_text(report, "isa", falt_isa_name(cpu.isa));
    report_number(report, "threads", threads);
    report_number(report, "l1d", (double)cpu.l1d);
    report_number(report, "l2", (double)cpu.l2);
    report_number(report, "l3", (double)cpu.l3);
    report_section(report, "Fused multiply-add peak");
    for (int isa = FALT_ISA_COUNT - 1; isa > FALT_ISA_AUTO; isa--) {
        const struct kernels *kernels = falt_kernels_of((falt_isa)isa);
        if (kernels == NULL)
            continue;
        progress("measuring %s", falt_isa_name((falt_isa)isa));
        report_row(report, (union value[COLUMNS]){[ISA] = {.text = falt_isa_name((falt_isa)isa)},
                                                  [VECTOR] = {.number = kernels->vec},
                                                  [ONE] = {.number = peak(kernels, 1)},
                                                  [THREADS] = {.number = threads},
                                                  [ALL] = {.number = peak(kernels, threads)}});
    }
    report_close(report);
    return 0;
}
