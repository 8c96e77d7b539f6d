#include "report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_CJSON
#include <cjson/cJSON.h>
#endif

const char *const format_names[FORMAT_COUNT] = {"table", "csv", "json"};

struct report {
    enum format format;
    const struct column *columns;
    int count;
#ifdef HAVE_CJSON
    cJSON *root, *rows;
#endif
};

bool report_available(enum format format)
{
#ifdef HAVE_CJSON
    (void)format;
    return true;
#else
    return format != FORMAT_JSON;
#endif
}

/* RFC 4180 */
static void print_csv_text(const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text != 0; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

/* What is too small for its decimals keeps a digit: nothing that was measured reads as zero. */
static int print_number(int digits, int width, double number)
{
    if (digits == EXPONENT)
        return printf("%*.3g", width, number);
    if (number != 0 && fabs(number) <= 0.5 * pow(10, -digits))
        return printf("%*.1g", width, number);
    return printf("%*.*f", width, digits, number);
}

static bool is_blank(const struct column *column, const union value *value)
{
    return column->digits == TEXT ? *value->text == 0 : (column->formats & BLANK_NAN) != 0 && isnan(value->number);
}

static void csv_row(const struct report *report, const union value *values)
{
    const char *separator = "";
    for (int i = 0; i < report->count; i++) {
        const struct column *column = &report->columns[i];
        if ((column->formats & IN_CSV) == 0)
            continue;
        fputs(separator, stdout);
        separator = ",";
        if (values == NULL)
            fputs(column->name, stdout);
        else if (column->digits == TEXT)
            print_csv_text(values[i].text);
        else if (!is_blank(column, &values[i]))
            print_number(column->digits, 0, values[i].number);
    }
    putchar('\n');
}

/* Text to the left, numbers to the right, nothing after the last column. */
static void table_row(const struct report *report, const union value *values)
{
    int at = 0, written = 0;
    for (int i = 0; i < report->count; i++) {
        const struct column *column = &report->columns[i];
        if ((column->formats & IN_TABLE) == 0)
            continue;
        const char *text = values == NULL ? column->heading : column->digits == TEXT ? values[i].text : NULL;
        if (values == NULL ? *text == 0 : is_blank(column, &values[i])) {
            at += column->width + 2;
            continue;
        }
        const int pad = at > written ? at - written : written > 0 ? 1 : 0;
        written += printf("%*s", pad, "");
        /* what a longer value took from the next column's blanks is given back where there is room */
        const int room = at + column->width - written;
        const int width = room > 0 ? room : 0;
        if (column->digits == TEXT)
            written += printf("%s", text);
        else if (text != NULL)
            written += printf("%*s", width, text);
        else
            written += print_number(column->digits, width, values[i].number);
        at += column->width + 2;
    }
    putchar('\n');
}

#ifdef HAVE_CJSON
static void json_row(const struct report *report, const union value *values)
{
    cJSON *row = cJSON_CreateObject();
    for (int i = 0; i < report->count; i++) {
        const struct column *column = &report->columns[i];
        if ((column->formats & IN_JSON) == 0)
            continue;
        if (column->digits == TEXT)
            cJSON_AddStringToObject(row, column->name, values[i].text);
        else
            cJSON_AddNumberToObject(row, column->name, values[i].number);
    }
    cJSON_AddItemToArray(report->rows, row);
}
#endif

struct report *report_open(enum format format, const struct column *columns, int count)
{
    struct report *report = calloc(1, sizeof *report);
    if (report == NULL)
        return NULL;
    report->format = format;
    report->columns = columns;
    report->count = count;
#ifdef HAVE_CJSON
    if (format == FORMAT_JSON) {
        report->root = cJSON_CreateObject();
        report->rows = cJSON_CreateArray();
    }
#endif
    if (format == FORMAT_CSV)
        csv_row(report, NULL);
    return report;
}

void report_section(struct report *report, const char *title)
{
    if (report->format != FORMAT_TABLE)
        return;
    progress("%s", "");
    printf("%s\n", title);
    table_row(report, NULL);
}

void report_row(struct report *report, const union value *values)
{
    progress("%s", "");
    if (report->format == FORMAT_CSV)
        csv_row(report, values);
    else if (report->format == FORMAT_TABLE)
        table_row(report, values);
#ifdef HAVE_CJSON
    else
        json_row(report, values);
#endif
    fflush(stdout);
}

void report_number(struct report *report, const char *name, double number)
{
#ifdef HAVE_CJSON
    if (report->format == FORMAT_JSON)
        cJSON_AddNumberToObject(report->root, name, number);
#else
    (void)report, (void)name, (void)number;
#endif
}

void report_text(struct report *report, const char *name, const char *text)
{
#ifdef HAVE_CJSON
    if (report->format == FORMAT_JSON)
        cJSON_AddStringToObject(report->root, name, text);
#else
    (void)report, (void)name, (void)text;
#endif
}

void report_close(struct report *report)
{
    progress("%s", "");
#ifdef HAVE_CJSON
    if (report->format == FORMAT_JSON) {
        cJSON_AddItemToObject(report->root, "results", report->rows);
        char *text = cJSON_Print(report->root);
        if (text != NULL)
            puts(text);
        cJSON_free(text);
        cJSON_Delete(report->root);
    }
#endif
    free(report);
}

void progress(const char *format, ...)
{
    static bool shown;
    char line[80]; /* more would wrap, and a wrapped line cannot be overwritten */
    if (!isatty(STDERR_FILENO))
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (shown || line[0] != 0)
        fprintf(stderr, "\r\033[K%s", line);
    shown = line[0] != 0;
    fflush(stderr);
}
