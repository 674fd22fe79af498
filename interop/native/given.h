/* What main.c hands to interop/Libc/GivenWords.cs: words of bytes, a null pointer at the end. */
#ifndef GIVEN_H
#define GIVEN_H

char **antares_argv(void);
char **antares_environ(void);

#endif
