#include <stdio.h>
#include <string.h>

#include "greeting.h"
#include "words.h"

static int failures;

static void check(int ok, const char *what)
{
    printf("%s %s\n", ok ? "ok    " : "FAILED", what);
    failures += !ok;
}

int main(void)
{
    char text[64];
    check(count_words("") == 0, "no words in an empty text");
    check(count_words("  two  words ") == 2, "spaces around words");
    check(make_greeting(text, sizeof text, "x") == (int)strlen(text), "the greeting fits");
    check(make_greeting(text, 4, "x") > 4 && strlen(text) == 3, "a short buffer cuts it");
    return failures != 0;
}
