/* error.h - statuses with a reason (falt_last_error). */
#ifndef FALT_ERROR_H
#define FALT_ERROR_H

#include "faltung.h"

/* Stores the reason for the calling thread and returns status. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
falt_status
falt_fail(falt_status status, const char *format, ...);

/* For an argument that is NULL. */
falt_status falt_missing(const char *name);

#endif
