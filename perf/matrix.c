/*
 * matrix.c - faltung matrix: the convolution as the matrix that it is, in symbols or numbers, or a picture of where they are.
 *
 * Symbols need no other library call: A is linear in the weights, so the entry of which the symbol consists is found by
 * exporting A for each weight alone being 1.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_PNG
#include <png.h>
#endif
#include "commands.h"
#include "faltung_operator.h"

enum { MOST_SYMBOLS = 4096, CELL = 12 };

struct sparse {
    falt_matrix_info info;
    int64_t *start, *column;
    float *value;
};

static void sparse_free(struct sparse *a)
{
    free(a->start);
    free(a->column);
    free(a->value);
}

static bool sparse_make(const struct selection *s, const struct job *job, const float *weights, struct sparse *a)
{
    memset(a, 0, sizeof *a);
    a->info.struct_size = sizeof a->info;
    falt_operator *op;
    if (falt_operator_create(&op, &job->conv, s->matrix.boundary, weights, &s->options) != FALT_OK) {
        complain(s, job, "%s", falt_last_error());
        return false;
    }
    const int64_t o = s->matrix.out_channel, i = s->matrix.in_channel;
    falt_status status = falt_operator_matrix(op, o, i, &a->info);
    if (status == FALT_OK && a->info.csr_bytes >= 0) {
        a->start = malloc((size_t)(a->info.rows + 1) * sizeof *a->start);
        a->column = malloc((size_t)a->info.nonzeros * sizeof *a->column + 1);
        a->value = malloc((size_t)a->info.nonzeros * sizeof *a->value + 1);
    }
    const bool room = a->start != NULL && a->column != NULL && a->value != NULL;
    if (status == FALT_OK && !room) {
        complain(s, job, "%" PRId64 " x %" PRId64 " with %" PRId64 " nonzeros does not fit the memory", a->info.rows,
                 a->info.columns, a->info.nonzeros);
        status = FALT_OUT_OF_MEMORY;
    } else {
        if (status == FALT_OK)
            status = falt_operator_csr(op, o, i, a->start, a->column, a->value, a->info.nonzeros);
        if (status != FALT_OK)
            complain(s, job, "%s", falt_last_error());
    }
    falt_operator_destroy(op);
    if (status != FALT_OK)
        sparse_free(a);
    return status == FALT_OK;
}

/* ---------------------------------------------------------------------------------------------------------------- symbols */

/* "W12": the tap's place in the kernel, from 1; with channels "W2,1,12": output, input, tap. Digits are separated where a size
 * has more than one. */
static void name_weight(const falt_conv *conv, int64_t o, int64_t i, int64_t tap, char *text, size_t size)
{
    const int64_t inputs = (conv->transposed ? conv->out_channels : conv->in_channels) / conv->groups;
    const int64_t outputs = conv->transposed ? conv->in_channels : conv->out_channels;
    int64_t at[FALT_MAX_DIMS];
    bool wide = false;
    for (int d = conv->spatial_dims - 1; d >= 0; d--) {
        at[d] = tap % conv->kernel[d] + 1;
        tap /= conv->kernel[d];
        wide = wide || (conv->kernel[d] > 9 && conv->spatial_dims > 1);
    }
    int length = snprintf(text, size, "W");
    if (inputs > 1 || outputs > 1)
        length += snprintf(text + length, size - (size_t)length, "%" PRId64 ",%" PRId64 ",", o + 1, i + 1);
    for (int d = 0; d < conv->spatial_dims; d++)
        length += snprintf(text + length, size - (size_t)length, "%s%" PRId64, d > 0 && wide ? "." : "", at[d]);
}

/* Writes "W11+W13" for each entry; NULL after having said why not. */
static char **name_entries(const struct selection *s, const struct job *job, const struct sparse *a, int64_t weights)
{
    const falt_conv *conv = &job->conv;
    if (a->info.nonzeros > MOST_SYMBOLS || weights > MOST_SYMBOLS) {
        complain(s, job, "%" PRId64 " entries of %" PRId64 " weights are too many to name: --entries values", a->info.nonzeros,
                 weights);
        return NULL;
    }
    char **names = calloc((size_t)a->info.nonzeros + 1, sizeof *names);
    float *w = calloc((size_t)weights, sizeof *w);
    bool good = names != NULL && w != NULL;
    int64_t taps = 1;
    for (int d = 0; d < conv->spatial_dims; d++)
        taps *= conv->kernel[d];
    const int64_t inputs = (conv->transposed ? conv->out_channels : conv->in_channels) / conv->groups;
    for (int64_t k = 0; k < weights && good; k++) {
        const bool ohwi = conv->weights_layout == FALT_OHWI;
        const int64_t o = k / taps / inputs, i = ohwi ? k % inputs : k / taps % inputs,
                      tap = ohwi ? k / inputs % taps : k % taps;
        char name[64];
        name_weight(conv, o, i, tap, name, sizeof name);
        struct sparse one;
        w[k] = 1.0f;
        if (!sparse_make(s, job, w, &one)) {
            good = false;
            break;
        }
        w[k] = 0.0f;
        for (int64_t n = 0; n < a->info.nonzeros && good; n++) {
            if (one.value[n] == 0.0f)
                continue;
            const size_t before = names[n] != NULL ? strlen(names[n]) : 0;
            char *longer = realloc(names[n], before + strlen(name) + 2);
            good = longer != NULL;
            if (good) {
                names[n] = longer;
                sprintf(longer + before, "%s%s", before > 0 ? "+" : "", name);
            }
        }
        sparse_free(&one);
    }
    free(w);
    return names;
}

/* ---------------------------------------------------------------------------------------------------------------- writers */

struct picture {
    const struct selection *selection;
    const struct job *job;
    const struct sparse *a;
    char **names; /* of the entries, or NULL: their values */
    FILE *file;
};

static const char *entry(const struct picture *p, int64_t n, char *buffer, size_t size)
{
    if (p->names != NULL)
        return p->names[n] != NULL ? p->names[n] : "0";
    snprintf(buffer, size, "%.9g", (double)p->a->value[n]);
    return buffer;
}

/* "  .  " where there is no weight. */
static bool write_text(const struct picture *p)
{
    const struct sparse *a = p->a;
    char buffer[64];
    int width = 1;
    for (int64_t n = 0; n < a->info.nonzeros; n++) {
        const int length = (int)strlen(entry(p, n, buffer, sizeof buffer));
        width = length > width ? length : width;
    }
    for (int64_t r = 0; r < a->info.rows; r++) {
        int64_t n = a->start[r];
        for (int64_t c = 0; c < a->info.columns; c++) {
            const bool here = n < a->start[r + 1] && a->column[n] == c;
            fprintf(p->file, "%s%*s", c > 0 ? " " : "", width, here ? entry(p, n, buffer, sizeof buffer) : ".");
            n += here;
        }
        fputc('\n', p->file);
    }
    return true;
}

static bool write_csv(const struct picture *p)
{
    const struct sparse *a = p->a;
    char buffer[64];
    for (int64_t r = 0; r < a->info.rows; r++) {
        int64_t n = a->start[r];
        for (int64_t c = 0; c < a->info.columns; c++) {
            const bool here = n < a->start[r + 1] && a->column[n] == c;
            const char *text = here ? entry(p, n, buffer, sizeof buffer) : "0";
            const char *quote = strchr(text, ',') != NULL ? "\"" : "";
            fprintf(p->file, "%s%s%s%s", c > 0 ? "," : "", quote, text, quote);
            n += here;
        }
        fputc('\n', p->file);
    }
    return true;
}

/* Boisvert, Pozo, Remington, "The Matrix Market Exchange Formats", NISTIR 5935, 1996. */
static bool write_matrix_market(const struct picture *p)
{
    const struct sparse *a = p->a;
    fprintf(p->file, "%%%%MatrixMarket matrix coordinate real general\n%% faltung %s: %s, %s\n", falt_version(),
            p->job->problem, a->info.name);
    fprintf(p->file, "%" PRId64 " %" PRId64 " %" PRId64 "\n", a->info.rows, a->info.columns, a->info.nonzeros);
    for (int64_t r = 0; r < a->info.rows; r++)
        for (int64_t n = a->start[r]; n < a->start[r + 1]; n++)
            fprintf(p->file, "%" PRId64 " %" PRId64 " %.9g\n", r + 1, a->column[n] + 1, (double)a->value[n]);
    return true;
}

/* Blue for positive, red for negative weights, the paler the smaller; a weight of 0 is still grey. */
struct colour {
    unsigned char red, green, blue;
};

static struct colour colour_of(float value, float largest)
{
    if (value == 0.0f || !(largest > 0.0f))
        return (struct colour){200, 200, 200};
    const float share = value / largest, strength = share < 0.0f ? -share : share;
    const unsigned char pale = (unsigned char)(200.0f - 180.0f * (strength < 1.0f ? strength : 1.0f));
    return value > 0.0f ? (struct colour){pale, pale, 220} : (struct colour){220, pale, pale};
}

static float largest_value(const struct sparse *a)
{
    float most = 0.0f;
    for (int64_t n = 0; n < a->info.nonzeros; n++) {
        const float size = a->value[n] < 0.0f ? -a->value[n] : a->value[n];
        most = size > most ? size : most;
    }
    return most;
}

static bool write_svg(const struct picture *p)
{
    const struct sparse *a = p->a;
    const float largest = largest_value(a);
    const int64_t w = a->info.columns * CELL, h = a->info.rows * CELL;
    fprintf(p->file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-1 -1 %" PRId64 " %" PRId64
            "\" shape-rendering=\"crispEdges\">\n"
            "<title>%s: %" PRId64 " x %" PRId64 ", %s</title>\n"
            "<rect width=\"%" PRId64 "\" height=\"%" PRId64 "\" fill=\"white\" stroke=\"black\"/>\n",
            w + 2, h + 2, p->job->problem, a->info.rows, a->info.columns, a->info.name, w, h);
    for (int64_t r = 0; r < a->info.rows; r++)
        for (int64_t n = a->start[r]; n < a->start[r + 1]; n++) {
            const struct colour c = colour_of(a->value[n], largest);
            fprintf(p->file, "<rect x=\"%" PRId64 "\" y=\"%" PRId64 "\" width=\"%d\" height=\"%d\" fill=\"#%02x%02x%02x\"/>\n",
                    a->column[n] * CELL, r * CELL, CELL, CELL, c.red, c.green, c.blue);
        }
    fputs("</svg>\n", p->file);
    return true;
}

/* A pixel an entry. */
static bool write_png(const struct picture *p)
{
#ifdef HAVE_PNG
    const struct sparse *a = p->a;
    const float largest = largest_value(a);
    if (a->info.rows > 32768 || a->info.columns > 32768) {
        complain(p->selection, p->job, "a picture of %" PRId64 " x %" PRId64 " pixels is too large", a->info.columns,
                 a->info.rows);
        return false;
    }
    const size_t width = (size_t)a->info.columns, height = (size_t)a->info.rows;
    unsigned char *pixels = malloc(3 * width * height);
    bool good = pixels != NULL;
    if (good) {
        memset(pixels, 255, 3 * width * height);
        for (int64_t r = 0; r < a->info.rows; r++)
            for (int64_t n = a->start[r]; n < a->start[r + 1]; n++) {
                const struct colour c = colour_of(a->value[n], largest);
                memcpy(pixels + 3 * ((size_t)r * width + (size_t)a->column[n]), &c, 3);
            }
        png_image image = {
            .version = PNG_IMAGE_VERSION, .width = (png_uint_32)width, .height = (png_uint_32)height, .format = PNG_FORMAT_RGB};
        good = png_image_write_to_stdio(&image, p->file, 0, pixels, 0, NULL) != 0;
        if (!good)
            complain(p->selection, p->job, "%s", image.message);
    } else
        complain(p->selection, p->job, "out of memory");
    free(pixels);
    return good;
#else
    complain(p->selection, p->job, "this faltung was built without libpng");
    return false;
#endif
}

/* --------------------------------------------------------------------------------------------------------------- command */

static bool (*const writers[MATRIX_FORMATS])(const struct picture *) = {
    [MATRIX_TEXT] = write_text, [MATRIX_CSV] = write_csv, [MATRIX_MTX] = write_matrix_market,
    [MATRIX_SVG] = write_svg,   [MATRIX_PNG] = write_png,
};

/* The weights of --values, or uniform random numbers. NULL after having said why not. */
static float *choose_weights(const struct selection *s, const struct job *job, int64_t count)
{
    float *w = malloc((size_t)count * sizeof *w);
    if (w == NULL) {
        complain(s, job, "out of memory");
        return NULL;
    }
    const char *text = s->matrix.values;
    uint64_t state = s->seed;
    for (int64_t i = 0; i < count; i++) {
        if (text != NULL) {
            char *end;
            w[i] = strtof(text, &end);
            if (end == text || (*end != ',' && *end != 0) || (*end == 0) != (i + 1 == count)) {
                complain(s, job, "--values: '%s' is not %" PRId64 " numbers separated by commas", s->matrix.values, count);
                free(w);
                return NULL;
            }
            text = end + 1;
        } else {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            w[i] = (float)(int32_t)(state >> 40) * 0x1p-23f - 1.0f;
        }
    }
    return w;
}

static bool print_matrix(const struct selection *s, const struct job *job, FILE *file)
{
    falt_sizes sizes;
    if (falt_conv_sizes(&job->conv, &sizes) != FALT_OK) {
        complain(s, job, "%s", falt_last_error());
        return false;
    }
    float *w = choose_weights(s, job, sizes.weights);
    struct sparse a;
    if (w == NULL || !sparse_make(s, job, w, &a)) {
        free(w);
        return false;
    }
    const enum matrix_format format = s->matrix.format;
    const bool named = (format == MATRIX_TEXT || format == MATRIX_CSV) && s->matrix.values == NULL && !s->matrix.numbers;
    char **names = named ? name_entries(s, job, &a, sizes.weights) : NULL;
    bool good = !named || names != NULL;
    if (good) {
        if (format == MATRIX_TEXT)
            fprintf(file, "%s%s: %" PRId64 " x %" PRId64 ", %" PRId64 " nonzeros, %s\n",
                    s->matrix.boundary == FALT_BOUNDARY_CIRCULAR ? "--boundary circular " : "", job->problem, a.info.rows,
                    a.info.columns, a.info.nonzeros, a.info.name);
        good = writers[format](&(struct picture){s, job, &a, names, file});
    }
    for (int64_t n = 0; names != NULL && n < a.info.nonzeros; n++)
        free(names[n]);
    free(names);
    sparse_free(&a);
    free(w);
    return good;
}

int run_matrix(const struct selection *s)
{
    FILE *file = stdout;
    if (s->job_count > 1 && s->matrix.format != MATRIX_TEXT) {
        complain(s, &s->jobs[1], "only one matrix in this format");
        return 1;
    }
    if (s->matrix.output != NULL && (file = fopen(s->matrix.output, "wb")) == NULL) {
        perror(s->matrix.output);
        return 1;
    }
    int failures = 0;
    for (int i = 0; i < s->job_count; i++)
        failures += !print_matrix(s, &s->jobs[i], file);
    if (file != stdout && (ferror(file) != 0) + (fclose(file) != 0) > 0) {
        perror(s->matrix.output);
        failures++;
    }
    return failures > 0;
}
