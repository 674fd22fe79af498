/*
 * A mapped file that is cut short gives SIGBUS where it is read, which would end the process and with it the whole mount. For the ranges
 * entered here the page reads as zeros instead, and a mark tells the reader, who answers EIO (interop/Libc/MappingGuard.cs). A fault
 * anywhere else is what it was before. The handler makes system calls only.
 */
#ifndef ANTARES_MAPPED_H
#define ANTARES_MAPPED_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* More than the layers that a mount may have (OverlayOptions.MaxLowers), each of which can be an image. */
enum { GUARDED_MOST = 512 };
static struct { uintptr_t start, end; volatile int faulted; } guarded[GUARDED_MOST];
static struct sigaction bus_before;
static uintptr_t bus_page;

static void on_bus(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    uintptr_t at = (uintptr_t)info->si_addr;
    for (int i = 0; i < GUARDED_MOST; i++) {
        uintptr_t start = __atomic_load_n(&guarded[i].start, __ATOMIC_ACQUIRE);
        if (start == 0 || at < start || at >= guarded[i].end)
            continue;
        void *page = (void *)(at & ~(bus_page - 1));
        if (mmap(page, bus_page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
            break;
        guarded[i].faulted = 1;
        return;
    }
    /* Not ours: the access is repeated, and faults again. */
    (void)sigaction(SIGBUS, &bus_before, NULL);
}

/* The mark of a range, or NULL when there are too many. One caller at a time. */
volatile int *antares_guard(void *start, size_t length)
{
    if (bus_page == 0) {
        struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
        bus_page = (uintptr_t)sysconf(_SC_PAGESIZE);
        if (sigaction(SIGBUS, &action, &bus_before) != 0)
            return NULL;
    }
    for (int i = 0; i < GUARDED_MOST; i++)
        if (guarded[i].start == 0) {
            guarded[i].faulted = 0;
            guarded[i].end = (uintptr_t)start + length;
            __atomic_store_n(&guarded[i].start, (uintptr_t)start, __ATOMIC_RELEASE);
            return &guarded[i].faulted;
        }
    return NULL;
}

void antares_unguard(void *start)
{
    for (int i = 0; i < GUARDED_MOST; i++)
        if (guarded[i].start == (uintptr_t)start)
            __atomic_store_n(&guarded[i].start, 0, __ATOMIC_RELEASE);
}

#endif
