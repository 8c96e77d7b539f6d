#include "parallel.h"

#ifdef _OPENMP
#include <omp.h>

void falt_parallel(int threads, parallel_body *body, void *context)
{
    if (threads <= 1 || omp_in_parallel()) {
        body(context, 0, 1);
        return;
    }
#pragma omp parallel num_threads(threads)
    body(context, omp_get_thread_num(), omp_get_num_threads());
}

void falt_barrier(int members)
{
    if (members > 1) {
#pragma omp barrier
    }
}

int falt_default_threads(void)
{
    return omp_in_parallel() ? 1 : omp_get_max_threads();
}

#else

void falt_parallel(int threads, parallel_body *body, void *context)
{
    (void)threads;
    body(context, 0, 1);
}

void falt_barrier(int members)
{
    (void)members;
}

int falt_default_threads(void)
{
    return 1;
}

#endif
