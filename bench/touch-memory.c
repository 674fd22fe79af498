/*
 * touch-memory: asks for as much memory as is available, less a quarter, and touches each page of it once.
 *
 * A guest gives free memory back to its host (free page reporting); each page that it then uses for the first time costs a fault of the host, some
 * microseconds, wherever that happens to be. Afterwards all of it is there, so that what is measured is not the host's memory.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* MemAvailable, in bytes; 0 if it is not told. */
static size_t available(void)
{
    char line[128];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    if (f == NULL) {
        return 0;
    }

    while (kib == 0 && fgets(line, sizeof line, f) != NULL) {
        (void)sscanf(line, "MemAvailable: %lu", &kib);
    }

    fclose(f);
    return (size_t)kib << 10;
}

int main(void)
{
    size_t size = available() / 4 * 3, page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = size == 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        fputs("touch-memory: it is not to be had\n", stderr);
        return 1;
    }

    for (size_t i = 0; i < size; i += page) {
        memory[i] = 1;
    }

    return 0;
}
