/* select.c - layers from networks, files and arguments; jobs from layers. */
#include "select.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../src/parallel.h"
#include "nets.h"
#include "notation.h"

const char *const pass_names[3] = {"fwd", "bwd_d", "bwd_w"};
const char *const layout_names[2] = {[FALT_NCHW] = "nchw", [FALT_NHWC] = "nhwc"};

bool usage_error(const struct selection *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "faltung %s: ", s->command->name);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nTry 'faltung %s --help'.\n", s->command->name);
    va_end(arguments);
    return false;
}

/* ---------------------------------------------------------------------------------------------------------------- layers */

static bool add_layer(struct selection *s, const char *prefix, const struct notation *notation)
{
    if (s->layer_count == s->layer_capacity) {
        const int capacity = s->layer_capacity == 0 ? 64 : 2 * s->layer_capacity;
        struct layer *layers = realloc(s->layers, (size_t)capacity * sizeof *layers);
        if (layers == NULL)
            return usage_error(s, "out of memory");
        s->layers = layers;
        s->layer_capacity = capacity;
    }
    struct layer *layer = &s->layers[s->layer_count++];
    layer->source = "";
    layer->conv = notation->conv;
    layer->repeats = notation->repeats;
    layer->cropped = false;
    snprintf(layer->name, sizeof layer->name, "%s%s%s", prefix, *prefix != 0 && notation->name[0] != 0 ? " " : "",
             notation->name);
    return true;
}

static bool add_net(struct selection *s, const char *name, bool prefixed)
{
    const struct net *net = net_find(name);
    if (net == NULL)
        return usage_error(s, "--net: no network '%s'; --net list lists them", name);
    for (size_t i = 0; i < net->layer_count; i++) {
        struct notation notation;
        char error[256];
        if (!notation_parse(net->layers[i].problem, net->layers[i].transposed, &notation, error, sizeof error))
            return usage_error(s, "--net %s: '%s': %s", name, net->layers[i].problem, error);
        if (!add_layer(s, prefixed ? net->name : "", &notation))
            return false;
    }
    return true;
}

static bool add_file(struct selection *s, const char *path)
{
    struct notation *problems;
    size_t count;
    char error[512];
    if (!notation_read_file(path, s->transposed, &problems, &count, error, sizeof error))
        return usage_error(s, "--batch: %s", error);
    bool good = true;
    for (size_t i = 0; i < count && good; i++)
        good = add_layer(s, "", &problems[i]);
    free(problems);
    return good;
}

static bool add_problem(struct selection *s, const char *text)
{
    struct notation notation;
    char error[256];
    if (!notation_parse(text, s->transposed, &notation, error, sizeof error))
        return usage_error(s, "'%s': %s", text, error);
    return add_layer(s, "", &notation);
}

/* Limits every spatial size of the input to `limit`, or to what one output pixel needs. */
static void crop_layer(struct layer *layer, int64_t limit)
{
    falt_conv conv = layer->conv;
    falt_sizes sizes;
    for (int d = 0; d < conv.spatial_dims; d++) {
        const int64_t extent = conv.dilation[d] * (conv.kernel[d] - 1) + 1 - conv.pad_begin[d] - conv.pad_end[d];
        const int64_t least = conv.transposed == 0 && extent > limit ? extent : limit;
        if (conv.in[d] > least)
            conv.in[d] = least;
    }
    if (memcmp(conv.in, layer->conv.in, sizeof conv.in) == 0 || falt_conv_sizes(&conv, &sizes) != FALT_OK)
        return;
    layer->conv = conv;
    layer->cropped = true;
}

static bool add_layers(struct selection *s, int argc, char **argv)
{
    int net_total = 0, sourced = 0;
    for (int i = 0; i < s->source_count; i += 2)
        net_total += strcmp(s->sources[i], "net") == 0;
    for (int i = 0; i < s->source_count; i += 2) {
        const char *source = s->sources[i + 1];
        if (!(strcmp(s->sources[i], "net") == 0 ? add_net(s, source, net_total > 1) : add_file(s, source)))
            return false;
        for (; sourced < s->layer_count; sourced++)
            s->layers[sourced].source = source;
    }
    for (int i = 0; i < argc; i++)
        if (!add_problem(s, argv[i]))
            return false;
    if (s->layer_count == 0)
        return usage_error(s, "nothing to do: give a PROBLEM, --net or --batch");

    int cropped = 0;
    for (int i = 0; i < s->layer_count; i++) {
        if (s->batch > 0)
            s->layers[i].conv.batch = s->batch;
        if (s->crop > 0)
            crop_layer(&s->layers[i], s->crop);
        cropped += s->layers[i].cropped;
    }
    if (cropped > 0)
        fprintf(stderr, "faltung %s: --crop %lld cropped %d of %d layers in space\n", s->command->name, (long long)s->crop,
                cropped, s->layer_count);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------------ jobs */

static int bits(unsigned mask)
{
    int count = 0;
    for (; mask != 0; mask &= mask - 1)
        count++;
    return count;
}

static void make_job(const struct selection *s, const struct layer *layer, falt_pass pass, falt_layout layout, struct job *job)
{
    job->layer = layer;
    job->pass = pass;
    job->conv = layer->conv;
    job->conv.layout = layout;
    job->conv.weights_layout = s->weights_layout;
    if (pass == FALT_FORWARD) {
        job->conv.activation = s->activation;
        job->conv.alpha = s->alpha;
        job->conv.beta = s->beta;
    }
    /* The notation does not tell a transposed convolution from the other, so the option that does goes along. */
    const int prefix = snprintf(job->problem, sizeof job->problem, "%s", layer->conv.transposed ? "--transposed " : "");
    if (notation_print(&layer->conv, NULL, 1, job->problem + prefix, sizeof job->problem - (size_t)prefix) == 0)
        snprintf(job->problem, sizeof job->problem, "(problem %d)", (int)(layer - s->layers) + 1);
}

static bool make_jobs(struct selection *s)
{
    const size_t count = (size_t)s->layer_count * bits(s->passes) * bits(s->layouts);
    s->jobs = malloc(count * sizeof *s->jobs);
    if (s->jobs == NULL)
        return usage_error(s, "out of memory");
    static const falt_layout layouts[] = {FALT_NHWC, FALT_NCHW};
    for (int pass = 0; pass < 3; pass++)
        for (int l = 0; l < 2; l++)
            if ((s->passes >> pass & 1) != 0 && (s->layouts >> layouts[l] & 1) != 0)
                for (int i = 0; i < s->layer_count; i++)
                    make_job(s, &s->layers[i], (falt_pass)pass, layouts[l], &s->jobs[s->job_count++]);
    for (int i = 0; i < s->job_count; i++) {
        const int name = (int)strlen(s->jobs[i].layer->name), problem = (int)strlen(s->jobs[i].problem);
        s->name_width = name > s->name_width ? name : s->name_width;
        s->problem_width = problem > s->problem_width ? problem : s->problem_width;
    }
    return true;
}

bool select_section(const struct selection *s, int index, char *title, size_t size)
{
    const struct job *job = &s->jobs[index];
    if (index > 0 && job->pass == job[-1].pass && job->conv.layout == job[-1].conv.layout)
        return false;
    const int threads = select_threads(s);
    snprintf(title, size, "%s%s, %s, %d thread%s", index > 0 ? "\n" : "", pass_names[job->pass], layout_names[job->conv.layout],
             threads, threads == 1 ? "" : "s");
    return true;
}

int select_threads(const struct selection *s)
{
    return s->options.threads > 0 ? s->options.threads : falt_default_threads();
}

void complain(const struct selection *s, const struct job *job, const char *format, ...)
{
    progress("%s", "");
    fprintf(stderr, "faltung %s: %s%s%s, %s, %s: ", s->command->name, job->layer->name, job->layer->name[0] != 0 ? " " : "",
            job->problem, pass_names[job->pass], layout_names[job->conv.layout]);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

bool select_jobs(struct selection *s, int argc, char **argv)
{
    return add_layers(s, argc, argv) && make_jobs(s);
}

void select_free(struct selection *s)
{
    free(s->layers);
    free(s->jobs);
    free(s->sources);
}
