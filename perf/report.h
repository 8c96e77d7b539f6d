/* report.h - rows of results: an aligned table for people, csv or json for programs. */
#ifndef PERF_REPORT_H
#define PERF_REPORT_H

#include <stdbool.h>

enum format { FORMAT_TABLE, FORMAT_CSV, FORMAT_JSON, FORMAT_COUNT };
extern const char *const format_names[FORMAT_COUNT];

/* False where the build has no cJSON and the format needs it. */
bool report_available(enum format format);

enum { IN_TABLE = 1 << FORMAT_TABLE, IN_CSV = 1 << FORMAT_CSV, IN_JSON = 1 << FORMAT_JSON, IN_ALL = 7 };
enum { BLANK_NAN = 8 }; /* a number may be missing: NaN prints as nothing, in json as null */

/* How a column's values are written: TEXT, EXPONENT (3 significant digits), or fixed point with that many decimals (>= 0), and
 * one significant digit where all of those would be zero. */
enum { TEXT = -1, EXPONENT = -2 };

struct column {
    const char *name;    /* the key in csv and json */
    const char *heading; /* in the table */
    unsigned formats;    /* where it appears: IN_*, and BLANK_NAN */
    int digits;          /* TEXT, EXPONENT or a number of decimals */
    int width;           /* in the table */
};

union value {
    const char *text;
    double number;
};

struct report;

/* Prints the csv header. The columns must outlive the report. NULL when out of memory. */
struct report *report_open(enum format format, const struct column *columns, int count);

/* A new part of the table: a title and the headings. Nothing in the other formats. */
void report_section(struct report *report, const char *title);

/* One value for each column, of any format. */
void report_row(struct report *report, const union value *values);

/* A member beside the rows, in json only. */
void report_number(struct report *report, const char *name, double number);
void report_text(struct report *report, const char *name, const char *text);

/* Prints what json kept until now, and releases the report. */
void report_close(struct report *report);

/* A line that is overwritten by the next one, on stderr and only if that is a terminal; report_row clears it. "" clears it too.
 */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
void progress(const char *format, ...);

#endif
