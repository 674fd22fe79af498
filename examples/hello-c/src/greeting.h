#ifndef GREETING_H
#define GREETING_H

#include <stddef.h>

/* Writes the greeting for a name into a buffer; returns its length as snprintf does. */
int make_greeting(char *buffer, size_t size, const char *name);

#endif
