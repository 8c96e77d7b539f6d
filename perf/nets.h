/* nets.h - the convolution layers of well-known networks, in the notation of notation.h. */
#ifndef NETS_H
#define NETS_H

#include <stdbool.h>
#include <stddef.h>

struct net_layer {
    const char *problem; /* batch 1; the name carries how often the shape occurs: n"conv2_1*3" */
    bool transposed;
};

struct net {
    const char *name;  /* "resnet50" */
    const char *about; /* one line: which variant, input size, paper */
    const struct net_layer *layers;
    size_t layer_count;
};

/* NULL if there is none of that name. */
const struct net *net_find(const char *name);

/* All nets, in the order of the table. */
extern const struct net nets[];
extern const size_t net_count;

#endif
