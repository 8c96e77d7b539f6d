/*
 * peer.h - another library that runs the same problems in the same process, to be measured against.
 *
 * It gets what a user of it would give: inputs in the same plain layout (or in the one it likes best), weights reordered
 * beforehand into whatever format it asks for, everything created and allocated before the first run, as many threads, and the
 * same instruction set at most.
 */
#ifndef PERF_PEER_H
#define PERF_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include "data.h"
#include "faltung.h"

enum peer_algorithm { PEER_BEST, PEER_DIRECT, PEER_WINOGRAD, PEER_ALGORITHMS };

struct peer_options {
    falt_isa isa; /* nothing beyond */
    int threads;
    enum peer_algorithm algorithm; /* BEST: the faster of the others, measured */
    bool any_layout;               /* its own choice of layouts; reordering is not counted, of outputs neither */
    bool cold_weights;
};

struct peer;       /* the library */
struct peer_layer; /* one pass of one convolution in it */

/* "onednn", or NULL in a build without a peer. */
const char *peer_name(void);

/* Once in a process. NULL, and why. */
struct peer *peer_open(const struct peer_options *options, const char **reason);
void peer_close(struct peer *peer);

/* Reads the inputs in data, now and whenever it runs; outputs are its own. NULL, and why: it cannot, or memory is out. */
struct peer_layer *peer_layer_create(struct peer *peer, const falt_conv *conv, falt_pass pass, const struct data *data,
                                     const char **reason);
void peer_layer_destroy(struct peer_layer *layer);

/* Its own name of what it runs; lives as long as the layer. */
const char *peer_layer_kernel(const struct peer_layer *layer);

/* Takes a struct peer_layer. False if the library failed. */
bool peer_layer_run(void *layer);

/* What the last run made of data.outputs[k], in the problem's layout. */
bool peer_layer_output(const struct peer_layer *layer, int k, float *values);

#endif
