#include "greeting.h"

#include <stdio.h>

int make_greeting(char *buffer, size_t size, const char *name)
{
    return snprintf(buffer, size, "Hello, %s, from inside the mount!", name);
}
