/* layout.h - tensors between channels first and channels last. */
#ifndef FALT_LAYOUT_H
#define FALT_LAYOUT_H

#include "../arch/kernels.h"
#include "parallel.h"

/* [image][channel][pixel] -> [image][pixel][channel], a member's share. */
void falt_to_channels_last(const struct kernels *kernels, const float *from, int64_t images, int64_t channels, int64_t pixels,
                           float *to, int member, int members);

/* And back. */
void falt_to_channels_first(const struct kernels *kernels, const float *from, int64_t images, int64_t channels, int64_t pixels,
                            float *to, int member, int members);

#endif
