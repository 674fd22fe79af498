#ifndef WORDS_H
#define WORDS_H

#include <stddef.h>

/* Counts the words of a text: runs of characters other than spaces. */
size_t count_words(const char *text);

#endif
