/* peer_none.c - no other library was there to build with. */
#include "peer.h"

const char *peer_name(void)
{
    return NULL;
}

struct peer *peer_open(const struct peer_options *options, const char **reason)
{
    (void)options;
    *reason = "this faltung was built without another library";
    return NULL;
}

void peer_close(struct peer *peer)
{
    (void)peer;
}

struct peer_layer *peer_layer_create(struct peer *peer, const falt_conv *conv, falt_pass pass, const struct data *data,
                                     const char **reason)
{
    (void)peer, (void)conv, (void)pass, (void)data, (void)reason;
    return NULL;
}

void peer_layer_destroy(struct peer_layer *layer)
{
    (void)layer;
}

const char *peer_layer_kernel(const struct peer_layer *layer)
{
    (void)layer;
    return "";
}

bool peer_layer_run(void *layer)
{
    (void)layer;
    return false;
}

bool peer_layer_output(const struct peer_layer *layer, int k, float *values)
{
    (void)layer, (void)k, (void)values;
    return false;
}
