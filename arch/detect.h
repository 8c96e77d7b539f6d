/* detect.h - what the processor and the operating system can run; compiled for the baseline instruction set. */
#ifndef FALT_DETECT_H
#define FALT_DETECT_H

#include <stdint.h>

/* CPU_* bits of kernels.h; writes the processor's name, "" where it does not tell. */
uint32_t falt_cpu_features(char name[64]);

#endif
