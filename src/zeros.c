#include "zeros.h"

#include <string.h>

#include "arithmetic.h"
#include "parallel.h"

bool falt_leaves_zeros(const struct problem *p, const struct operands *o)
{
    const struct epilogue epilogue = falt_epilogue(p);
    return p->taps == 0 && !o->bias && !o->residual && epilogue.activation == ACTIVATE_NONE && epilogue.lo <= 0.0f &&
           epilogue.hi >= 0.0f;
}

/* `count` floats that are `apart`. */
static void clear(float *y, int64_t count, int64_t apart)
{
    if (apart == 1)
        memset(y, 0, (size_t)count * sizeof *y);
    else
        for (int64_t i = 0; i < count; i++)
            y[i * apart] = 0.0f;
}

/* Pixels of a row: channels last, where they are neighbours, all at once. */
static void clear_pixels(const struct problem *p, float *y, int64_t pixels)
{
    const int64_t step = p->y.pixel[2];
    if (p->layout == FALT_CHANNELS_FIRST)
        clear(y, pixels, step);
    else if (step == p->y_channels)
        clear(y, pixels * step, 1);
    else
        for (int64_t i = 0; i < pixels; i++)
            clear(y + i * step, p->y_channels, 1);
}

void falt_write_zeros(const struct problem *p, float *y, int member, int members)
{
    const int64_t *step = p->y.pixel, channels = p->layout == FALT_CHANNELS_FIRST ? p->y_channels : 1;
    int64_t planes = p->out[0], rows = p->out[1], width = p->out[2];
    if (rows == 1 || step[1] == width * step[2]) { /* rows that follow each other are one */
        width *= rows;
        rows = 1;
    }
    if (rows == 1 && (planes == 1 || step[0] == width * step[2])) {
        width *= planes;
        planes = 1;
    }
    int64_t pixel, end; /* channels first, once for each channel */
    falt_share(p->batch * channels * p->out_pixels, member, members, &pixel, &end);
    for (int64_t next; pixel < end; pixel = next) {
        const int64_t row = pixel / width, plane = row / rows, image = plane / planes, x = pixel % width;
        next = smaller(end, pixel + width - x);
        const int64_t at = image / channels * p->y.n + image % channels * p->y.c + plane % planes * step[0] +
                           row % rows * step[1] + x * step[2];
        clear_pixels(p, y + p->y.base + at, next - pixel);
    }
}
