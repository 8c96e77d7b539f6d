/*
 * notation.h - benchdnn's problem descriptors, in which the field writes down convolutions, to and from falt_conv.
 *
 *     gX mbX icX idX ihX iwX ocX odX ohX owX kdX khX kwX sdX shX swX pdX phX pwX ddX dhX dwX n"name*3"
 *
 * Fields come in any order, '_' between them is ignored, and the name is last. The rules are benchdnn's (oneDNN,
 * tests/benchdnn/conv/conv_aux.cpp, deconv/deconv_aux.cpp and utils: str2desc, sanitize_desc):
 *
 *   - without mb the batch is 2, without g there is one group; ic and oc count the channels of all groups;
 *   - dX is the number of skipped pixels: dh0 is a dense kernel, dilation 1 of falt_conv;
 *   - fields of w only make a 1-D problem, of h only a square, of d only a cube; a dimension whose fields all have their
 *     defaults (i, o, k absent, s1, p0, d0) counts as not given. Input and kernel size are mandatory in every dimension given;
 *   - without the output size it follows from equal padding at both ends, and p is then 0 if absent;
 *   - with the output size, p is the padding at the begin (if absent, half of what the sizes imply, rounded down) and the
 *     padding at the end is what remains. Where padding both ends alike gives this very output, falt_conv has it so;
 *   - a transposed convolution maps i to o too. Output that no padding at the end accounts for is output_padding.
 *
 * Stricter than benchdnn: a field given twice, an output that cannot be had, and padding below zero are errors.
 */
#ifndef NOTATION_H
#define NOTATION_H

#include <stdbool.h>
#include "faltung.h"

struct notation {
    falt_conv conv;  /* layout, weights_layout and activation as in FALT_CONV_INIT */
    char name[128];  /* without quotes and repeat count; "" if none was given */
    int64_t repeats; /* N of n"name*N", how many such layers the network has; otherwise 1 */
};

/* false: error (of error_size > 0 bytes) says what is wrong and at which column of text, the first being 1. */
bool notation_parse(const char *text, bool transposed, struct notation *notation, char *error, size_t error_size);

/* The canonical string: no fields but those needed, and mb, the output size and the padding always. It parses back to the same
 * problem (pad_end and output_padding may come back smaller by rows that no output depends on). name may be NULL or "". Returns
 * the length as snprintf does, or 0 and "" for a conv that has no output. */
int notation_print(const falt_conv *conv, const char *name, int64_t repeats, char *buffer, size_t size);

/* Reads a batch file: a problem a line, '#' begins a comment. On success *problems is an array of *count for the caller to
 * free; a file without problems is an error. On failure *problems is NULL and error begins with "path:line: " or "path: ". */
bool notation_read_file(const char *path, bool transposed, struct notation **problems, size_t *count, char *error,
                        size_t error_size);

#endif
