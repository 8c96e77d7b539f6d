/* error.c - the reason of the calling thread's last failure. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_error[256];

falt_status falt_fail(falt_status status, const char *format, ...)
{
    /* By way of a second buffer, because an argument may be the last error itself. */
    char text[sizeof last_error];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        text[0] = 0;
    memcpy(last_error, text, sizeof last_error);
    return status;
}

falt_status falt_missing(const char *name)
{
    return falt_fail(FALT_INVALID_ARGUMENT, "%s is NULL", name);
}

const char *falt_last_error(void)
{
    return last_error;
}
