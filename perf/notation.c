#include "notation.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What can be said of each spatial dimension, in the canonical order, and of the problem as a whole. */
enum quantity { IN, OUT, KERNEL, STRIDE, PAD, DILATION, QUANTITIES };
enum whole { GROUPS, BATCH, IN_CHANNELS, OUT_CHANNELS, WHOLES };

static const char quantity_letter[] = "iokspd";
static const char dim_letter[] = "dhw";
static const char *const whole_name[WHOLES] = {"g", "mb", "ic", "oc"};

/* With numbers below 2^31 no sum of two products of two of them overflows: sizes need no checks on the way. */
#define LIMIT INT32_MAX

#define BLANKS " \t\r\n\v\f"

struct field {
    int64_t value;
    int column; /* 0: absent */
};

struct parser {
    const char *text, *at;
    char *error;
    size_t error_size;
    struct field whole[WHOLES];
    struct field spatial[FALT_MAX_DIMS][QUANTITIES];
};

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static bool
fail(struct parser *parser, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parser->error, parser->error_size, format, arguments);
    va_end(arguments);
    return false;
}

static int column_of(const struct parser *parser, const char *at)
{
    return (int)(at - parser->text) + 1;
}

/* digits, no sign. *end is the first character behind them; false if there are none or the number is above LIMIT. */
static bool read_number(const char *text, const char **end, int64_t *number)
{
    *number = 0;
    for (*end = text; isdigit((unsigned char)**end); ++*end) {
        *number = *number * 10 + (**end - '0');
        if (*number > LIMIT)
            return false;
    }
    return *end != text;
}

/* The field that begins at text and the length of its name, or NULL. */
static struct field *find_field(struct parser *parser, const char *text, size_t *length)
{
    for (int i = 0; i < WHOLES; ++i) {
        *length = strlen(whole_name[i]);
        if (strncmp(text, whole_name[i], *length) == 0)
            return &parser->whole[i];
    }
    *length = 2;
    if (text[0] == '\0' || text[1] == '\0')
        return NULL;
    const char *quantity = strchr(quantity_letter, text[0]), *dim = strchr(dim_letter, text[1]);
    return quantity && dim ? &parser->spatial[dim - dim_letter][quantity - quantity_letter] : NULL;
}

static bool read_field(struct parser *parser)
{
    const char *start = parser->at;
    const int column = column_of(parser, start);
    size_t length;
    struct field *field = find_field(parser, start, &length);
    if (!field) {
        for (length = 0; isalpha((unsigned char)start[length]); ++length)
            ;
        if (length == 0)
            return isprint((unsigned char)*start)
                       ? fail(parser, "unexpected '%c' at column %d", *start, column)
                       : fail(parser, "unexpected byte %#x at column %d", (unsigned char)*start, column);
        return fail(parser, "unknown field '%.*s' at column %d", length > 16 ? 16 : (int)length, start, column);
    }
    if (field->column)
        return fail(parser, "field '%.*s' at column %d was given at column %d already", (int)length, start, column,
                    field->column);
    field->column = column;
    const char *digits = start + length;
    if (!read_number(digits, &parser->at, &field->value)) {
        if (parser->at != digits)
            return fail(parser, "'%.*s' at column %d: number above %d", (int)length, start, field->column, LIMIT);
        return fail(parser, "'%.*s' at column %d needs a number, 0 or above", (int)length, start, field->column);
    }
    return true;
}

/* Length of a name without its repeat count, "*3". */
static size_t stem_length(const char *name, size_t length)
{
    size_t star = length;
    while (star > 0 && isdigit((unsigned char)name[star - 1]))
        --star;
    return star > 0 && star < length && name[star - 1] == '*' ? star - 1 : length;
}

/* n"name*3", n"name", or with neither quotes nor blanks; the last thing in the text. */
static bool read_name(struct parser *parser, struct notation *notation)
{
    const char *start = ++parser->at;
    bool quoted = *start == '"';
    start += quoted;
    size_t length = strcspn(start, quoted ? "\"" : "\"" BLANKS);
    const char *end = start + length + quoted;
    if (quoted && start[length] == '\0')
        return fail(parser, "the quote opened at column %d is not closed", column_of(parser, start) - 1);
    parser->at = end + strspn(end, BLANKS);
    if (*parser->at != '\0')
        return fail(parser, "unexpected '%c' at column %d behind the name", *parser->at, column_of(parser, parser->at));

    const size_t stem = stem_length(start, length);
    if (stem < length) {
        const char *digits = start + stem + 1, *behind;
        if (!read_number(digits, &behind, &notation->repeats) || notation->repeats == 0)
            return fail(parser, "repeat count at column %d is not between 1 and %d", column_of(parser, digits), LIMIT);
        length = stem;
    }
    if (length >= sizeof notation->name)
        return fail(parser, "name at column %d is longer than %zu bytes", column_of(parser, start), sizeof notation->name - 1);
    memcpy(notation->name, start, length);
    notation->name[length] = '\0';
    return true;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* How many pixels of the larger side so many of the smaller one reach: out -> in, in the transposed convolution in -> out. */
static int64_t covered(int64_t pixels, int64_t stride, int64_t extent)
{
    return (pixels - 1) * stride + extent;
}

/* Output size as falt_conv defines it; <= 0 if there is none. */
static int64_t output_size(const falt_conv *conv, int dim)
{
    int64_t extent = (conv->kernel[dim] - 1) * conv->dilation[dim] + 1, pads = conv->pad_begin[dim] + conv->pad_end[dim];
    if (conv->transposed)
        return covered(conv->in[dim], conv->stride[dim], extent) - pads + conv->output_padding[dim];
    int64_t room = conv->in[dim] + pads - extent;
    return room < 0 ? 0 : room / conv->stride[dim] + 1;
}

/* Fills dimension `dim` of the conv from the fields of one given dimension: benchdnn's defaults, and the padding at the end. */
static bool resolve_dim(struct parser *parser, int letter, falt_conv *conv, int dim)
{
    const struct field *field = parser->spatial[letter];
    const char name = dim_letter[letter];
    static const enum quantity mandatory[] = {IN, KERNEL};
    for (int i = 0; i < 2; ++i) {
        const struct field *it = &field[mandatory[i]];
        if (it->column && it->value == 0)
            return fail(parser, "'%c%c' at column %d must be above 0", quantity_letter[mandatory[i]], name, it->column);
        if (!it->column)
            return fail(parser, "'%c%c' is missing", quantity_letter[mandatory[i]], name);
    }
    if (field[STRIDE].column && field[STRIDE].value == 0)
        return fail(parser, "'s%c' at column %d must be above 0", name, field[STRIDE].column);

    conv->in[dim] = field[IN].value;
    conv->kernel[dim] = field[KERNEL].value;
    conv->stride[dim] = field[STRIDE].column ? field[STRIDE].value : 1;
    conv->dilation[dim] = field[DILATION].value + 1;
    conv->output_padding[dim] = 0;

    const int64_t in = conv->in[dim], stride = conv->stride[dim], out = field[OUT].value;
    const int64_t extent = (conv->kernel[dim] - 1) * conv->dilation[dim] + 1;
    /* The padding of both ends that leads from in to out without a surplus; below 0: pixels would have to be left out. */
    const int64_t implied = conv->transposed ? covered(in, stride, extent) - out : covered(out, stride, extent) - in;
    int64_t pad = field[PAD].value;
    if (!field[PAD].column && out)
        pad = max64(implied, 0) / 2;
    if (pad > LIMIT)
        return fail(parser, "padding in '%c' would be %" PRId64 ", above %d", name, pad, LIMIT);
    conv->pad_begin[dim] = conv->pad_end[dim] = pad;

    if (!out) { /* 'o' is absent, or 0, which benchdnn takes for absent */
        const int64_t result = output_size(conv, dim);
        if (result <= 0 && conv->transposed)
            return fail(parser, "no output in '%c': padding %" PRId64 " takes away all of %" PRId64, name, pad,
                        covered(in, stride, extent));
        if (result <= 0)
            return fail(parser, "no output in '%c': kernel extent %" PRId64 " exceeds padded input %" PRId64, name, extent,
                        in + 2 * pad);
        if (result > LIMIT)
            return fail(parser, "output size in '%c' is above %d", name, LIMIT);
        return true;
    }
    if (conv->transposed) {
        const int64_t end = implied - pad; /* below pad: made up for by output_padding, as frameworks do */
        conv->pad_end[dim] = max64(end, pad);
        conv->output_padding[dim] = max64(pad - end, 0);
        return true;
    }
    if (output_size(conv, dim) == out)
        return true;
    conv->pad_end[dim] = max64(implied - pad, 0);
    const int64_t result = output_size(conv, dim);
    if (result != out)
        return fail(parser, "'o%c' %" PRId64 " at column %d: even without padding at the end there are %" PRId64 " outputs",
                    name, out, field[OUT].column, result);
    return true;
}

/* As benchdnn has it: a dimension of defaults only is not there. */
static bool is_given(const struct field *field)
{
    return field[IN].value || field[OUT].value || field[KERNEL].value || field[DILATION].value || field[PAD].value ||
           (field[STRIDE].column && field[STRIDE].value != 1);
}

static bool resolve(struct parser *parser, falt_conv *conv)
{
    struct field *whole = parser->whole;
    static const enum whole above_zero[] = {IN_CHANNELS, OUT_CHANNELS, GROUPS};
    for (int i = 0; i < 3; ++i) {
        const char *name = whole_name[above_zero[i]];
        const struct field *it = &whole[above_zero[i]];
        if (it->column && it->value == 0)
            return fail(parser, "'%s' at column %d must be above 0", name, it->column);
        if (!it->column && above_zero[i] != GROUPS)
            return fail(parser, "'%s' is missing", name);
    }
    conv->batch = whole[BATCH].column ? whole[BATCH].value : 2;
    conv->groups = whole[GROUPS].column ? whole[GROUPS].value : 1;
    conv->in_channels = whole[IN_CHANNELS].value;
    conv->out_channels = whole[OUT_CHANNELS].value;
    for (int i = IN_CHANNELS; i <= OUT_CHANNELS; ++i)
        if (whole[i].value % conv->groups != 0)
            return fail(parser, "'%s' %" PRId64 " at column %d is not a multiple of g %" PRId64, whole_name[i], whole[i].value,
                        whole[i].column, conv->groups);

    const bool d = is_given(parser->spatial[0]), h = is_given(parser->spatial[1]), w = is_given(parser->spatial[2]);
    if (!d && !h && !w)
        return fail(parser, "no spatial size: 'iw' and 'kw', 'ih' and 'kh', or 'id' and 'kd' are missing");
    if (d && h != w)
        return fail(parser, "with fields of 'd', both 'h' and 'w' must be given or neither; '%c' is missing", h ? 'w' : 'h');
    conv->spatial_dims = d ? 3 : h ? 2 : 1;
    for (int dim = 0; dim < conv->spatial_dims; ++dim) {
        int letter = FALT_MAX_DIMS - conv->spatial_dims + dim;
        if (!w) /* square, cube: the outermost dimension speaks for all */
            letter = d ? 0 : 1;
        if (!resolve_dim(parser, letter, conv, dim))
            return false;
    }
    return true;
}

bool notation_parse(const char *text, bool transposed, struct notation *notation, char *error, size_t error_size)
{
    struct parser parser = {.text = text, .at = text, .error = error, .error_size = error_size};
    *notation = (struct notation){.conv = FALT_CONV_INIT, .repeats = 1};
    notation->conv.transposed = transposed;

    parser.at += strspn(parser.at, BLANKS);
    if (*parser.at == '\0')
        return fail(&parser, "empty problem");
    while (*parser.at != '\0') {
        if (*parser.at == '_')
            ++parser.at;
        else if (*parser.at == 'n') {
            if (!read_name(&parser, notation))
                return false;
        } else if (parser.at[strspn(parser.at, BLANKS)] == '\0')
            break;
        else if (!read_field(&parser))
            return false;
    }
    return resolve(&parser, &notation->conv);
}

/* A growing text with snprintf's way of counting on behind the end of the buffer. */
struct writer {
    char *buffer;
    size_t size;
    int length;
};

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static void
put(struct writer *writer, const char *format, ...)
{
    size_t used = (size_t)writer->length < writer->size ? (size_t)writer->length : writer->size;
    va_list arguments;
    va_start(arguments, format);
    writer->length += vsnprintf(used < writer->size ? writer->buffer + used : NULL, writer->size - used, format, arguments);
    va_end(arguments);
}

int notation_print(const falt_conv *conv, const char *name, int64_t repeats, char *buffer, size_t size)
{
    struct writer writer = {buffer, size, 0};
    if (size > 0)
        buffer[0] = '\0';
    const int dims = conv->spatial_dims;
    if (dims < 1 || dims > FALT_MAX_DIMS)
        return 0;

    int64_t value[QUANTITIES][FALT_MAX_DIMS];
    bool uniform = true, strided = false, dilated = false;
    for (int dim = 0; dim < dims; ++dim) {
        if (conv->in[dim] < 1 || conv->kernel[dim] < 1 || conv->stride[dim] < 1 || conv->dilation[dim] < 1 ||
            output_size(conv, dim) < 1)
            return 0;
        value[IN][dim] = conv->in[dim];
        value[OUT][dim] = output_size(conv, dim);
        value[KERNEL][dim] = conv->kernel[dim];
        value[STRIDE][dim] = conv->stride[dim];
        value[PAD][dim] = conv->pad_begin[dim];
        value[DILATION][dim] = conv->dilation[dim] - 1;
        for (int q = 0; q < QUANTITIES; ++q)
            uniform = uniform && value[q][dim] == value[q][0];
        strided = strided || value[STRIDE][dim] != 1;
        dilated = dilated || value[DILATION][dim] != 0;
    }

    if (conv->groups != 1)
        put(&writer, "g%" PRId64, conv->groups);
    put(&writer, "mb%" PRId64, conv->batch);
    for (int q = 0; q < QUANTITIES; ++q) {
        if (q == IN)
            put(&writer, "ic%" PRId64, conv->in_channels);
        if (q == OUT)
            put(&writer, "oc%" PRId64, conv->out_channels);
        if ((q == STRIDE && !strided) || (q == DILATION && !dilated))
            continue;
        for (int dim = 0; dim < (uniform ? 1 : dims); ++dim)
            put(&writer, "%c%c%" PRId64, quantity_letter[q], dim_letter[FALT_MAX_DIMS - dims + dim], value[q][dim]);
    }
    if (!name)
        name = "";
    const size_t length = strlen(name);
    if (repeats > 1 || stem_length(name, length) < length) /* a name that looks like one with a count needs one */
        put(&writer, "n\"%s*%" PRId64 "\"", name, repeats);
    else if (length > 0)
        put(&writer, "n\"%s\"", name);
    return writer.length;
}

/* Ends the line where a comment begins: at a '#' outside of quotes. */
static void cut_comment(char *line)
{
    bool quoted = false;
    for (; *line != '\0' && (quoted || *line != '#'); ++line)
        quoted ^= *line == '"';
    *line = '\0';
}

static bool append(struct notation **problems, size_t *count, size_t *capacity, const struct notation *problem)
{
    if (*count == *capacity) {
        size_t larger = *capacity ? 2 * *capacity : 32;
        struct notation *moved = realloc(*problems, larger * sizeof *moved);
        if (!moved)
            return false;
        *problems = moved;
        *capacity = larger;
    }
    (*problems)[(*count)++] = *problem;
    return true;
}

/* The next line into a buffer that grows, without its end; false at the end of the file, on an error and when out of memory. */
static bool read_line(FILE *file, char **line, size_t *capacity, size_t *length)
{
    int c;
    *length = 0;
    errno = 0;
    while ((c = getc(file)) != EOF) {
        if (*length + 1 >= *capacity) {
            const size_t larger = 2 * *capacity + 256;
            char *grown = realloc(*line, larger);
            if (grown == NULL)
                return false;
            *line = grown;
            *capacity = larger;
        }
        if (c == '\n')
            break;
        (*line)[(*length)++] = (char)c;
    }
    if (ferror(file) || (c == EOF && *length == 0))
        return false;
    (*line)[*length] = '\0';
    return true;
}

bool notation_read_file(const char *path, bool transposed, struct notation **problems, size_t *count, char *error,
                        size_t error_size)
{
    *problems = NULL;
    *count = 0;
    FILE *file = fopen(path, "r");
    if (!file) {
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return false;
    }
    char *line = NULL;
    size_t line_size = 0, length, capacity = 0, number = 0;
    bool ok = true;
    while (ok && read_line(file, &line, &line_size, &length)) {
        char reason[256] = "";
        struct notation problem;
        ++number;
        const bool has_nul = strlen(line) != length;
        cut_comment(line);
        const size_t blank = strspn(line, BLANKS);
        if (has_nul) {
            snprintf(reason, sizeof reason, "a byte of value 0: not a text file");
            ok = false;
        } else if (strncmp(line + blank, "--", 2) == 0) {
            const size_t option = strcspn(line + blank, BLANKS "=");
            snprintf(reason, sizeof reason, "options ('%.*s') belong on the command line, not into a batch file",
                     option > 40 ? 40 : (int)option, line + blank);
            ok = false;
        } else if (line[blank] != '\0') {
            ok = notation_parse(line, transposed, &problem, reason, sizeof reason);
            if (ok && !append(problems, count, &capacity, &problem)) {
                snprintf(reason, sizeof reason, "out of memory");
                ok = false;
            }
        }
        if (!ok)
            snprintf(error, error_size, "%s:%zu: %s", path, number, reason);
    }
    if (ok && !feof(file)) {
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
        ok = false;
    } else if (ok && *count == 0) {
        snprintf(error, error_size, "%s: no problems in this file", path);
        ok = false;
    }
    free(line);
    fclose(file);
    if (!ok) {
        free(*problems);
        *problems = NULL;
        *count = 0;
    }
    return ok;
}
