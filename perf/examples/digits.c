/*
 * digits.c - an example of training: a network of two convolutions learns to read digits, which the program draws itself.
 *
 *     src 28x28 --5x5, ReLU--> H1 28x28x16 --max--> 14x14x16 --5x5, ReLU--> H2 14x14x32 --max--> 7x7x32 --dense--> softmax
 *
 * The dense layer is a convolution, too: its kernel is as large as its picture. So all of the work but pooling and softmax is
 * three layers' three passes. Every picture is new: a digit's strokes, turned, sheared, scaled, shifted, thick or thin, in
 * noise. Stochastic gradient descent with momentum and a rate that falls to zero finds the same weights, bit for bit, with any
 * number of threads; a hash of them is printed.
 */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "faltung.h"

enum { SIDE = 28, PIXELS = SIDE * SIDE, BATCH = 64, CLASSES = 10 };

static const double rate = 0.02, momentum = 0.9;

static bool complain(const char *what, const char *reason)
{
    fprintf(stderr, "faltung_digits: %s: %s\n", what, reason);
    return false;
}

static bool succeeded(falt_status status)
{
    return status == FALT_OK || complain(falt_status_string(status), falt_last_error());
}

/* ----------------------------------------------------------------------------------------------------------------- random */

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static float uniform(uint64_t *state, float least, float most)
{
    return least + (most - least) * (float)(random_bits(state) >> 40) * 0x1p-24f;
}

/* Of mean 0 and variance 1, nearly: the sum of twelve. */
static float normal(uint64_t *state)
{
    float sum = -6.0f;
    for (int i = 0; i < 12; i++)
        sum += uniform(state, 0.0f, 1.0f);
    return sum;
}

/* ----------------------------------------------------------------------------------------------------------------- digits */

/* The pen never leaves the paper; x runs to the right, y down, the digit is 20 high. */
static const struct {
    int points;
    struct {
        signed char x, y;
    } at[13];
} strokes[CLASSES] = {
    {11, {{0, -10}, {5, -8}, {7, -3}, {7, 3}, {5, 8}, {0, 10}, {-5, 8}, {-7, 3}, {-7, -3}, {-5, -8}, {0, -10}}},
    {3, {{-4, -6}, {0, -10}, {0, 10}}},
    {8, {{-6, -6}, {-4, -9}, {0, -10}, {4, -9}, {6, -6}, {5, -2}, {-6, 10}, {6, 10}}},
    {9, {{-6, -8}, {0, -10}, {5, -8}, {5, -3}, {0, 0}, {6, 3}, {6, 7}, {0, 10}, {-6, 8}}},
    {4, {{7, 4}, {-7, 4}, {3, -10}, {3, 10}}},
    {9, {{6, -10}, {-5, -10}, {-5, -1}, {0, -3}, {5, -1}, {7, 4}, {4, 9}, {-1, 10}, {-6, 8}}},
    {10, {{4, -10}, {-2, -6}, {-6, 1}, {-6, 6}, {-2, 10}, {3, 10}, {6, 6}, {5, 1}, {1, -1}, {-5, 2}}},
    {3, {{-6, -10}, {6, -10}, {-1, 10}}},
    {13,
     {{0, -1}, {-5, -4}, {-4, -8}, {0, -10}, {4, -8}, {5, -4}, {0, -1}, {-6, 3}, {-5, 8}, {0, 10}, {5, 8}, {6, 3}, {0, -1}}},
    {10, {{-4, 10}, {2, 6}, {6, -1}, {6, -6}, {2, -10}, {-3, -10}, {-6, -6}, {-5, -1}, {-1, 1}, {5, -2}}},
};

struct point {
    float x, y;
};

static float squared_distance(struct point p, struct point a, struct point b)
{
    const float ax = p.x - a.x, ay = p.y - a.y, dx = b.x - a.x, dy = b.y - a.y;
    const float along = fminf(fmaxf((ax * dx + ay * dy) / (dx * dx + dy * dy), 0.0f), 1.0f);
    const float x = ax - along * dx, y = ay - along * dy;
    return x * x + y * y;
}

static void draw(int digit, uint64_t *state, float *pixels)
{
    const float angle = uniform(state, -0.35f, 0.35f), shear = uniform(state, -0.25f, 0.25f);
    const float width = uniform(state, 0.6f, 1.0f), height = uniform(state, 0.6f, 1.0f);
    const float left = uniform(state, -3.0f, 3.0f), top = uniform(state, -3.0f, 3.0f);
    const float radius = uniform(state, 0.6f, 1.8f), ink = uniform(state, 0.5f, 1.0f), noise = uniform(state, 0.0f, 0.25f);
    const int count = strokes[digit].points;
    struct point at[13];
    for (int i = 0; i < count; i++) {
        const float y = height * (float)strokes[digit].at[i].y + uniform(state, -0.8f, 0.8f);
        const float x = width * (float)strokes[digit].at[i].x + uniform(state, -0.8f, 0.8f) + shear * y;
        at[i].x = 0.5f * (SIDE - 1) + left + cosf(angle) * x - sinf(angle) * y;
        at[i].y = 0.5f * (SIDE - 1) + top + sinf(angle) * x + cosf(angle) * y;
    }
    for (int i = 0; i < PIXELS; i++) {
        float nearest = INFINITY;
        for (int k = 0; k + 1 < count; k++)
            nearest = fminf(nearest, squared_distance((struct point){(float)(i % SIDE), (float)(i / SIDE)}, at[k], at[k + 1]));
        pixels[i] = ink * fminf(fmaxf(radius + 0.5f - sqrtf(nearest), 0.0f), 1.0f) + noise * normal(state);
    }
}

static void draw_batch(uint64_t *state, float *src, int *labels)
{
    for (int n = 0; n < BATCH; n++) {
        labels[n] = (int)(random_bits(state) % CLASSES);
        draw(labels[n], state, src + n * PIXELS);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- network */

enum { LAYERS = 3, PASSES = 3, DENSE = LAYERS - 1 };

struct layer {
    falt_plan *plans[PASSES]; /* the first layer has no backward data: nobody asks for the gradient of a picture */
    int64_t side, channels;   /* of out */
    size_t weights, parameters;
    float *values, *gradient, *velocity; /* weights, then biases */
    float *out, *diff_out;
    float *pooled, *diff_pooled; /* the next layer's src */
};

struct network {
    struct layer layers[LAYERS];
    float *memory, *src;
    void *workspace;
    size_t workspace_size;
};

/* In channels last, H2's pooled pixels lie as the dense layer reads them, one run of 7 x 7 x 32. */
static falt_conv layer_conv(int index, falt_pass pass)
{
    static const struct {
        int64_t side, channels, out_channels, kernel, pad;
    } shapes[LAYERS] = {{SIDE, 1, 16, 5, 2}, {SIDE / 2, 16, 32, 5, 2}, {SIDE / 4, 32, CLASSES, SIDE / 4, 0}};
    falt_conv conv = FALT_CONV_INIT;
    conv.batch = BATCH;
    conv.in_channels = shapes[index].channels;
    conv.out_channels = shapes[index].out_channels;
    for (int d = 0; d < 2; d++) {
        conv.in[d] = shapes[index].side;
        conv.kernel[d] = shapes[index].kernel;
        conv.pad_begin[d] = conv.pad_end[d] = shapes[index].pad;
    }
    if (pass == FALT_FORWARD && index != DENSE)
        conv.activation = FALT_ACT_RELU;
    return conv;
}

static float *carve(float **memory, size_t count)
{
    float *begin = *memory;
    *memory += count;
    return begin;
}

static bool network_create(struct network *net, int threads)
{
    falt_options options = FALT_OPTIONS_INIT;
    options.threads = threads;
    size_t floats = BATCH * PIXELS;
    for (int i = 0; i < LAYERS; i++) {
        struct layer *layer = &net->layers[i];
        for (int pass = 0; pass < PASSES; pass++) {
            const falt_conv conv = layer_conv(i, (falt_pass)pass);
            if (i == 0 && pass == FALT_BACKWARD_DATA)
                continue;
            if (!succeeded(falt_plan_create(&layer->plans[pass], &conv, (falt_pass)pass, &options)))
                return false;
            const size_t workspace = falt_plan_workspace_size(layer->plans[pass], 0);
            net->workspace_size = workspace > net->workspace_size ? workspace : net->workspace_size;
        }
        const falt_conv conv = layer_conv(i, FALT_FORWARD);
        falt_sizes sizes;
        if (!succeeded(falt_conv_sizes(&conv, &sizes)))
            return false;
        layer->side = sizes.out[0];
        layer->channels = conv.out_channels;
        layer->weights = (size_t)sizes.weights;
        layer->parameters = (size_t)(sizes.weights + sizes.bias);
        floats += 3 * layer->parameters + 2 * (size_t)(sizes.dst + sizes.dst / 4);
    }
    float *memory = net->memory = calloc(floats, sizeof *memory);
    net->workspace = malloc(net->workspace_size + 1);
    if (net->memory == NULL || net->workspace == NULL)
        return complain("training", "out of memory");
    net->src = carve(&memory, BATCH * PIXELS);
    for (int i = 0; i < LAYERS; i++) {
        struct layer *layer = &net->layers[i];
        const size_t out = (size_t)(BATCH * layer->side * layer->side * layer->channels);
        layer->values = carve(&memory, layer->parameters);
        layer->gradient = carve(&memory, layer->parameters);
        layer->velocity = carve(&memory, layer->parameters);
        layer->out = carve(&memory, out);
        layer->diff_out = carve(&memory, out);
        layer->pooled = carve(&memory, out / 4);
        layer->diff_pooled = carve(&memory, out / 4);
    }
    return true;
}

static void network_destroy(struct network *net)
{
    for (int i = 0; i < LAYERS; i++)
        for (int pass = 0; pass < PASSES; pass++)
            falt_plan_destroy(net->layers[i].plans[pass]);
    free(net->memory);
    free(net->workspace);
}

/* He et al. 2015: the variance that ReLU halves. */
static void initialise(struct network *net, uint64_t seed)
{
    for (int i = 0; i < LAYERS; i++) {
        struct layer *layer = &net->layers[i];
        const float deviation = sqrtf(2.0f * (float)layer->channels / (float)layer->weights);
        for (size_t k = 0; k < layer->weights; k++)
            layer->values[k] = deviation * normal(&seed);
    }
}

/* Where the largest of the 2x2 outputs lies that become one pooled pixel; the first, if several are. */
static int64_t winner(const struct layer *layer, int64_t image, int64_t y, int64_t x, int64_t c)
{
    const int64_t side = layer->side, channels = layer->channels;
    const int64_t first = ((image * side + 2 * y) * side + 2 * x) * channels + c;
    const int64_t at[4] = {first, first + channels, first + side * channels, first + (side + 1) * channels};
    int64_t best = at[0];
    for (int i = 1; i < 4; i++)
        best = layer->out[at[i]] > layer->out[best] ? at[i] : best;
    return best;
}

static void pool(struct layer *layer)
{
    float *pooled = layer->pooled;
    for (int64_t n = 0; n < BATCH; n++)
        for (int64_t y = 0; y < layer->side / 2; y++)
            for (int64_t x = 0; x < layer->side / 2; x++)
                for (int64_t c = 0; c < layer->channels; c++)
                    *pooled++ = layer->out[winner(layer, n, y, x, c)];
}

/* The way back through pooling and ReLU: only a winner that is positive gets the gradient. */
static void unpool(struct layer *layer)
{
    const float *diff = layer->diff_pooled;
    memset(layer->diff_out, 0, (size_t)(BATCH * layer->side * layer->side * layer->channels) * sizeof *layer->diff_out);
    for (int64_t n = 0; n < BATCH; n++)
        for (int64_t y = 0; y < layer->side / 2; y++)
            for (int64_t x = 0; x < layer->side / 2; x++)
                for (int64_t c = 0; c < layer->channels; c++, diff++) {
                    const int64_t at = winner(layer, n, y, x, c);
                    layer->diff_out[at] = layer->out[at] > 0.0f ? *diff : 0.0f;
                }
}

static bool forward(struct network *net)
{
    const float *src = net->src;
    for (int i = 0; i < LAYERS; i++) {
        struct layer *layer = &net->layers[i];
        const falt_tensors tensors = {.src = src,
                                      .weights = layer->values,
                                      .bias = layer->values + layer->weights,
                                      .dst = layer->out,
                                      .workspace = net->workspace,
                                      .workspace_size = net->workspace_size};
        if (!succeeded(falt_execute(layer->plans[FALT_FORWARD], &tensors)))
            return false;
        if (i != DENSE)
            pool(layer);
        src = layer->pooled;
    }
    return true;
}

static bool backward(struct network *net)
{
    for (int i = LAYERS - 1; i >= 0; i--) {
        struct layer *layer = &net->layers[i], *below = i > 0 ? &net->layers[i - 1] : NULL;
        const falt_tensors tensors = {.src = below ? below->pooled : net->src,
                                      .weights = layer->values,
                                      .diff_dst = layer->diff_out,
                                      .diff_src = below ? below->diff_pooled : NULL,
                                      .diff_weights = layer->gradient,
                                      .diff_bias = layer->gradient + layer->weights,
                                      .workspace = net->workspace,
                                      .workspace_size = net->workspace_size};
        if (!succeeded(falt_execute(layer->plans[FALT_BACKWARD_WEIGHTS], &tensors)))
            return false;
        if (below == NULL)
            continue;
        if (!succeeded(falt_execute(layer->plans[FALT_BACKWARD_DATA], &tensors)))
            return false;
        unpool(below);
    }
    return true;
}

/* The mean cross entropy of softmax(out) and its gradient, (softmax - label) / batch; counts what is read right. */
static double softmax_loss(struct layer *dense, const int *labels, int *right)
{
    double loss = 0.0;
    for (int n = 0; n < BATCH; n++) {
        const float *out = dense->out + n * CLASSES;
        float *diff = dense->diff_out + n * CLASSES;
        int best = 0;
        double sum = 0.0;
        for (int c = 1; c < CLASSES; c++)
            best = out[c] > out[best] ? c : best;
        for (int c = 0; c < CLASSES; c++)
            sum += exp((double)(out[c] - out[best]));
        for (int c = 0; c < CLASSES; c++)
            diff[c] = (float)((exp((double)(out[c] - out[best])) / sum - (c == labels[n])) / BATCH);
        loss += log(sum) - (double)(out[labels[n]] - out[best]);
        *right += best == labels[n];
    }
    return loss / BATCH;
}

static void descend(struct network *net, double step_rate)
{
    for (int i = 0; i < LAYERS; i++) {
        struct layer *layer = &net->layers[i];
        for (size_t k = 0; k < layer->parameters; k++) {
            layer->velocity[k] = (float)momentum * layer->velocity[k] - (float)step_rate * layer->gradient[k];
            layer->values[k] += layer->velocity[k];
        }
    }
}

/* --------------------------------------------------------------------------------------------------------------- training */

struct task {
    int steps, threads, batches; /* batches: of held-out digits */
    bool quiet;
};

struct outcome {
    double *losses; /* of each step */
    int right;      /* of the held-out digits */
    uint64_t hash;  /* of all weights and biases */
    double seconds;
};

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* FNV-1a */
static uint64_t hash(const struct network *net)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (int i = 0; i < LAYERS; i++) {
        const unsigned char *bytes = (const unsigned char *)net->layers[i].values;
        for (size_t k = 0; k < net->layers[i].parameters * sizeof(float); k++)
            h = (h ^ bytes[k]) * UINT64_C(0x100000001b3);
    }
    return h;
}

static bool learn(struct network *net, const struct task *task, struct outcome *outcome)
{
    uint64_t state = 1, held_out = 2; /* of training and of testing: no picture is seen twice */
    int labels[BATCH], right = 0;
    initialise(net, 3);
    for (int step = 0; step < task->steps; step++) {
        draw_batch(&state, net->src, labels);
        if (!forward(net))
            return false;
        outcome->losses[step] = softmax_loss(&net->layers[DENSE], labels, &right);
        if (!backward(net))
            return false;
        descend(net, rate * (1.0 - (double)step / task->steps));
        if (!task->quiet && (step + 1) % 50 == 0) {
            printf("step %4d  loss %.4f  read %5.1f %% of the last 50 batches\n", step + 1, outcome->losses[step],
                   100.0 * right / (50 * BATCH));
            right = 0;
        }
    }
    for (int n = 0; n < task->batches; n++) {
        draw_batch(&held_out, net->src, labels);
        if (!forward(net))
            return false;
        softmax_loss(&net->layers[DENSE], labels, &outcome->right);
    }
    outcome->hash = hash(net);
    return true;
}

static bool train(const struct task *task, struct outcome *outcome)
{
    struct network net = {.memory = NULL};
    const double start = seconds_now();
    *outcome = (struct outcome){.losses = calloc((size_t)task->steps + 1, sizeof(double))};
    const bool good = (outcome->losses != NULL || complain("training", "out of memory")) &&
                      network_create(&net, task->threads) && learn(&net, task, outcome);
    outcome->seconds = seconds_now() - start;
    network_destroy(&net);
    return good;
}

static double percent(const struct task *task, const struct outcome *outcome)
{
    return 100.0 * outcome->right / (task->batches * BATCH);
}

/* ---------------------------------------------------------------------------------------------------------------- picture */

enum { LEFT = 52, TOP = 30, WIDTH = 400, HEIGHT = 200, MOST_POINTS = 100 };

static const double highest = 3.0, lowest = 0.01; /* of the loss, on a logarithmic scale */

static double height_of(double loss)
{
    const double inside = fmin(fmax(loss, lowest), highest);
    return TOP + HEIGHT * log(highest / inside) / log(highest / lowest);
}

/* The loss over the steps, means of equal pieces. */
static bool write_svg(const char *path, const struct task *task, const struct outcome *outcome)
{
    static const double marks[] = {0.01, 0.1, 1.0};
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return complain(path, "cannot be written");
    fprintf(
        file,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
        "<text x=\"%d\" y=\"18\">cross entropy of a batch; %.1f %% of the held-out digits read</text>\n",
        LEFT + WIDTH + 20, TOP + HEIGHT + 40, LEFT, percent(task, outcome));
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        fprintf(file, "<path d=\"M%d %.1fh%d\" stroke=\"#ccc\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                LEFT, height_of(marks[i]), WIDTH, LEFT - 6, height_of(marks[i]) + 4.0, marks[i]);
    for (int i = 0; i <= 4; i++)
        fprintf(file, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", LEFT + i * WIDTH / 4, TOP + HEIGHT + 16,
                i * task->steps / 4);
    fprintf(file,
            "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">steps</text>\n<polyline fill=\"none\" stroke=\"#06c\" points=\"",
            LEFT + WIDTH / 2, TOP + HEIGHT + 32);
    const int points = task->steps < MOST_POINTS ? task->steps : MOST_POINTS;
    for (int i = 0; i < points; i++) {
        const int begin = (int)((int64_t)i * task->steps / points), end = (int)((int64_t)(i + 1) * task->steps / points);
        double sum = 0.0;
        for (int k = begin; k < end; k++)
            sum += outcome->losses[k];
        fprintf(file, "%s%.1f,%.1f", i > 0 ? " " : "", LEFT + WIDTH * 0.5 * (begin + end) / task->steps,
                height_of(sum / (end - begin)));
    }
    fputs("\"/>\n</svg>\n", file);
    return fclose(file) == 0 || complain(path, "cannot be written");
}

/* ----------------------------------------------------------------------------------------------------------- command line */

static int usage(FILE *file)
{
    fputs("usage: faltung_digits [OPTION]...\n"
          "Trains a network of two convolutions to read digits that it draws, and counts how many new ones it reads.\n"
          "  --steps N     of 64 digits each (default 600)\n"
          "  --test N      batches of 64 new digits that it is tested with (default 32)\n"
          "  --threads N   default: as many as OpenMP would use\n"
          "  --expect P    exit with 1 if fewer than P percent are read\n"
          "  --svg FILE    draw the loss\n"
          "  --twice       train with 1 thread and with 4 (or --threads), and exit with 1 if any bit of the weights differs,\n"
          "                or if the loss did not fall\n"
          "  --quiet\n",
          file);
    return file == stdout ? 0 : 2;
}

static bool number(const char *text, double least, double most, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return (end != text && *end == 0 && *value >= least && *value <= most) || complain(text, "not a number in range");
}

static bool fell(const struct task *task, const struct outcome *outcome)
{
    const double last = outcome->losses[task->steps - 1];
    return last < outcome->losses[0] || complain("training", "the loss did not fall");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"steps", required_argument, NULL, 's'},
        {"threads", required_argument, NULL, 't'},
        {"test", required_argument, NULL, 'n'},
        {"expect", required_argument, NULL, 'e'},
        {"svg", required_argument, NULL, 'v'},
        {"twice", no_argument, NULL, '2'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct task task = {.steps = 600, .batches = 32};
    struct outcome outcome = {.losses = NULL}, again = {.losses = NULL};
    double value, expected = 0.0;
    const char *svg = NULL;
    bool twice = false, good = true;
    for (int code; good && (code = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (code) {
        case 's':
            good = number(optarg, 1, 1e6, &value);
            task.steps = (int)value;
            break;
        case 'n':
            good = number(optarg, 1, 1e4, &value);
            task.batches = (int)value;
            break;
        case 't':
            good = number(optarg, 0, 1024, &value);
            task.threads = (int)value;
            break;
        case 'e':
            good = number(optarg, 0, 100, &expected);
            break;
        case 'v':
            svg = optarg;
            break;
        case '2':
            twice = true;
            break;
        case 'q':
            task.quiet = true;
            break;
        default:
            return usage(code == 'h' ? stdout : stderr);
        }
    }
    if (!good || optind < argc)
        return usage(stderr);

    if (twice && task.threads == 0)
        task.threads = 4;
    const struct task alone = {.steps = task.steps, .threads = 1, .quiet = true}; /* needs no test */
    good = train(&task, &outcome) && (!twice || (train(&alone, &again) && fell(&task, &outcome)));
    if (good) {
        const double read = percent(&task, &outcome);
        printf("%.1f %% of %d held-out digits read, after %d steps in %.1f s\nweights %016llx\n", read, task.batches * BATCH,
               task.steps, outcome.seconds, (unsigned long long)outcome.hash);
        if (twice && again.hash != outcome.hash)
            good = complain("--twice", "another number of threads made other weights");
        if (read < expected)
            good = complain("--expect", "too few");
        good = good && (svg == NULL || write_svg(svg, &task, &outcome));
    }
    free(outcome.losses);
    free(again.losses);
    return !good;
}
