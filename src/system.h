/* system.h - what the operating system tells of the machine; 0 where it does not. The only file that knows systems apart. */
#ifndef FALT_SYSTEM_H
#define FALT_SYSTEM_H

#include <stdint.h>

/* Bytes of data that one core finds in its cache of this level, 1 to 3. */
int64_t falt_system_cache(int level);

int falt_system_cores(void);

/* Bytes of the machine's memory. */
int64_t falt_system_memory(void);

#endif
