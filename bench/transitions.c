/*
 * transitions: what the machine takes for the two things that a FUSE request is made of, in nanoseconds, the least of five series each, as one line:
 *   a system call that does nothing, and
 *   a round trip between two processes, each of which sleeps until the other has written a byte: two wake-ups and four calls.
 * Where they are bound to is the scheduler's affair, as it is with a mount and its programs.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SERIES = 5, CALLS = 100000, TRIPS = 10000 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void pass(int from, int to)
{
    char byte = 0;
    if (read(from, &byte, 1) != 1 || write(to, &byte, 1) != 1) {
        die("transitions: pipe");
    }
}

int main(void)
{
    double call = 0, trip = 0;
    int there[2], back[2];
    for (int s = 0; s < SERIES; s++) {
        double start = now();
        for (int i = 0; i < CALLS; i++) {
            (void)syscall(SYS_getppid);
        }

        double took = (now() - start) / CALLS;
        call = s == 0 || took < call ? took : call;
    }

    if (pipe(there) != 0 || pipe(back) != 0) {
        die("transitions: pipe");
    }

    pid_t other = fork();
    if (other < 0) {
        die("transitions: fork");
    }

    if (other == 0) {
        close(there[1]);
        close(back[0]);
        for (int i = 0; i < SERIES * TRIPS; i++) {
            pass(there[0], back[1]);
        }

        _exit(0);
    }

    close(there[0]);
    close(back[1]);
    for (int s = 0; s < SERIES; s++) {
        double start = now();
        for (int i = 0; i < TRIPS; i++) {
            char byte = 0;
            if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) {
                die("transitions: pipe");
            }
        }

        double took = (now() - start) / TRIPS;
        trip = s == 0 || took < trip ? took : trip;
    }

    if (waitpid(other, NULL, 0) != other) {
        die("transitions: waitpid");
    }

    printf("%.0f %.0f\n", call, trip);
    return 0;
}
