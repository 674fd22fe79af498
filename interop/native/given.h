/* What main.c hands to interop/Libc/GivenWords.cs (words of bytes, a null pointer at the end) and GivenSignals.cs (bit n - 1 for signal n). */
#ifndef GIVEN_H
#define GIVEN_H

#include <stdint.h>

char **antares_argv(void);
char **antares_environ(void);
uint64_t antares_ignored_signals(void);

#endif
