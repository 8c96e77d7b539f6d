/* gbench.cc - the C shim around Google Benchmark, whose interface is C++. */
#include "gbench.h"

#include <benchmark/benchmark.h>
#include <chrono>

void gbench_register(const char *name, double flops, gbench_body *body, gbench_peak *peak, void *probe, void *context)
{
    const auto run = [=](benchmark::State &state) {
        /* The library's clock runs only while KeepRunningBatch says yes: probing outside of it costs no measured time. Ours is
         * there because a share of the peak is not a rate, and counters that are not do not get to see the library's. */
        const double before = peak != nullptr ? peak(probe) : 0;
        const auto batch = state.max_iterations;
        std::chrono::duration<double> elapsed{0};
        while (state.KeepRunningBatch(batch)) {
            const auto start = std::chrono::steady_clock::now();
            body(context, batch);
            elapsed += std::chrono::steady_clock::now() - start;
        }
        const double after = peak != nullptr ? peak(probe) : 0;

        const double rate = flops * static_cast<double>(state.iterations()) / elapsed.count();
        state.counters["FLOP/s"] = rate;
        if (peak != nullptr)
            state.counters["%peak"] = 100 * rate / ((before + after) / 2);
    };
    /* Wall clock: the processor time of the calling thread says nothing about work done by several. */
    benchmark::RegisterBenchmark(name, run)->UseRealTime();
}

int gbench_run(int argc, char **argv)
{
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 2;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
