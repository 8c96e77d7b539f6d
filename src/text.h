/* text.h - a text that grows in a buffer which may be too small: as with snprintf, length counts on behind its end. */
#ifndef FALT_TEXT_H
#define FALT_TEXT_H

#include <stddef.h>

struct text {
    char *buffer; /* may be NULL when size is 0 */
    size_t size, length;
};

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void falt_text_append(struct text *text, const char *format, ...);

#endif
