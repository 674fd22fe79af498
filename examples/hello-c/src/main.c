#include <stdio.h>

#include "greeting.h"
#include "words.h"

int main(int argc, char **argv)
{
    char text[256];
    make_greeting(text, sizeof text, argc > 1 ? argv[1] : "world");
    printf("%s (%zu words)\n", text, count_words(text));
    return 0;
}
