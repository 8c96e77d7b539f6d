/* commands.h - the subcommands; each returns the exit code: 0, or 1 if anything failed. */
#ifndef PERF_COMMANDS_H
#define PERF_COMMANDS_H

#include "select.h"

int run_info(const struct selection *selection);
int run_bench(const struct selection *selection);
int run_check(const struct selection *selection);
int run_explain(const struct selection *selection);
int run_candidates(const struct selection *selection); /* explain --measure */
int run_matrix(const struct selection *selection);
int run_sizes(const struct selection *selection);

#endif
