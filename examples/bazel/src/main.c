#include <stdio.h>
#include "src/greeting.h"
#include "version.h"

int main(void)
{
    printf("%s %s\n", greeting(), VERSION);
    return 0;
}
