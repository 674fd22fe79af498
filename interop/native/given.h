/* What main.c hands to interop/Libc/GivenWords.cs (words of bytes, a null pointer at the end) and GivenSignals.cs (bit n - 1 for signal n), and
   does for MappingGuard.cs (mapped.h). */
#ifndef GIVEN_H
#define GIVEN_H

#include <stddef.h>
#include <stdint.h>

char **antares_argv(void);
char **antares_environ(void);
uint64_t antares_ignored_signals(void);
volatile int *antares_guard(void *start, size_t length);
void antares_unguard(void *start);

#endif
