/*
 * main of the published binary. A mount outlives the command that makes it, so the process splits in two here, before the
 * runtime starts: a fork after that would lose the runtime's threads and hang at its first collection
 * (docs/decisions/0001-fork-before-the-runtime.md).
 *
 *   mount               parent: reporter                  child: server, in a session of its own
 *   mount --foreground  child: reporter                   parent: server
 *   everything else     no split
 *
 * The server asks the reporter over a socket to look at the mounted root (it refuses requests of its own threads, so it can't
 * itself), and tells it what to print and with which code to end. The reporter answers one byte when the root is there and the
 * text is printed. A server that gets no answer, because the root is not there, the text cannot be printed or the reporter was
 * interrupted, unmounts: nothing is left behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "given.h"
#include "mapped.h"

extern int __managed__Main(int argc, char *argv[]);

/* For interop/Libc/GivenWords.cs: the runtime's strings lose what is not UTF-8. */
static char **given;
char **antares_argv(void) { return given; }
char **antares_environ(void) { return environ; }

/* For interop/Libc/GivenSignals.cs: what nohup or a shell's "&" told us to ignore stays ignored, for us and for the command of run. */
static uint64_t ignored;
uint64_t antares_ignored_signals(void) { return ignored; }
static int is_ignored(int signal)
{
    struct sigaction now;
    int is = sigaction(signal, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
    if (is)
        ignored |= UINT64_C(1) << (signal - 1);
    return is;
}

/* Mounts/ReadyReport.cs writes these: four words of this machine's byte order, then size bytes. */
struct frame { uint32_t magic, kind, code, size; };
enum { FRAME_MAGIC = 0x31524141 /* "AAR1" */, FRAME_ASK = 1 /* a path */, FRAME_END = 2 /* text for stdout */, FRAME_MAX = 1 << 20 };
#define READY_VARIABLE "ANTARES_READY_FD"
#define WRITE_OUT "--write-out"
enum { EXIT_INTERNAL = 1, EXIT_MOUNT = 3 };
enum split { NONE, BACKGROUND, FOREGROUND };

static int has(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], word) == 0)
            return 1;
    return 0;
}

/* All verbs of Cli/CommandLine.cs (a test compares them). */
static const char *const verbs[] = { "mount", "run", "umount", "list", "stats", "errors", "cl", "refresh", "pack", "inspect", "verify", "unpack", "diff", "store", "origin" };

static int is_verb(const char *word)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(word, verbs[i]) == 0)
            return 1;
    return 0;
}

/* Started by mount(8) under the name mount.TYPE: SOURCE MNT [-sfnv] [-o …], where -f means "do nothing". */
static int is_helper(char **argv)
{
    const char *slash = argv[0] ? strrchr(argv[0], '/') : NULL;
    return argv[0] && strncmp(slash ? slash + 1 : argv[0], "mount.", 6) == 0;
}

/* `mount …`, and without a verb but with -o as fuse-overlayfs is called. Cli/CallForm.cs decides by the same rule. */
static enum split split_of(int argc, char **argv)
{
    int mounts = is_helper(argv) || (argc > 1 && strcmp(argv[1], "mount") == 0), own = mounts;
    if (argc < 2 || has(argc, argv, "--help") || has(argc, argv, "-h") || has(argc, argv, "-?"))
        return NONE;
    for (int i = 1; !mounts && !is_verb(argv[1]) && i < argc && strcmp(argv[i], "--") != 0; i++)
        mounts = strncmp(argv[i], "-o", 2) == 0;
    if (!mounts)
        return NONE;
    if (is_helper(argv)) {
        for (int i = 3; i < argc; i += 1 + (strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "-t") == 0 || strcmp(argv[i], "-N") == 0))
            if (argv[i][0] == '-' && strchr(argv[i], 'f') && strspn(argv[i] + 1, "sfnv") == strlen(argv[i] + 1))
                return NONE;
        return BACKGROUND;
    }
    if (has(argc, argv, "--foreground") || has(argc, argv, "-f") || (!own && (has(argc, argv, "-d") || has(argc, argv, "--debug"))))
        return FOREGROUND;
    return BACKGROUND;
}

/*
 * A descriptor that we open must not become 0, 1 or 2, or the server would take it for the terminal. What was closed still cannot be
 * written: a result that nobody gets is a failure.
 */
static void fill_standard(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF && open("/dev/null", O_RDONLY) == -1)
            (void)!open("/", O_RDONLY);
}

static int read_full(int fd, void *to, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = read(fd, (char *)to + got, size - got);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            return 0;
        got += n > 0 ? (size_t)n : 0;
    }
    return 1;
}

static int lost(pid_t server)
{
    int status = 0;
    if (server > 0 && waitpid(server, &status, 0) == server && WIFSIGNALED(status))
        fprintf(stderr, "antares-aot: the mount process was ended by signal %d before it was ready\n", WTERMSIG(status));
    else
        fprintf(stderr, "antares-aot: the mount process ended (status %d) before it was ready\n", WEXITSTATUS(status));
    return EXIT_INTERNAL;
}

/* Ends without an answer: the server unmounts, and has cleaned up when we end. */
static int refuse(int fd, pid_t server, int code)
{
    close(fd);
    if (server > 0)
        (void)waitpid(server, NULL, 0);
    return code;
}

static int print(const char *text, size_t size)
{
    errno = 0;
    if (fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0)
        return 1;
    fprintf(stderr, "antares-aot: cannot print the result: %s\n", strerror(errno));
    return 0;
}

/* asked: the server mounted and waits for the answer. */
static int end(int fd, pid_t server, const struct frame *frame, const char *text, int asked)
{
    if (!print(text, frame->size))
        return refuse(fd, server, EXIT_INTERNAL);
    if (frame->code != 0 || !asked)
        return refuse(fd, server, (int)frame->code);
    /* Interrupted before the answer, the command ends here and the mount is taken back; after it, the command has succeeded and says so. */
    sigset_t all, before, came;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    if (sigpending(&came) == 0 && !sigisemptyset(&came)) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        sigprocmask(SIG_BLOCK, &all, NULL); /* still here: what came does not end us */
    }
    return write(fd, "y", 1) == 1 ? 0 : lost(server);
}

/* server: the child that serves; 0 when this is the child and its parent serves. */
static int reporter(int fd, pid_t server)
{
    for (int asked = 0;; asked = 1) {
        struct frame frame;
        struct stat root;
        char *body = NULL;
        if (!read_full(fd, &frame, sizeof frame) || frame.magic != FRAME_MAGIC || frame.size > FRAME_MAX
            || !(body = calloc(1, frame.size + 1)) || !read_full(fd, body, frame.size))
            return lost(server);
        if (frame.kind == FRAME_END)
            return end(fd, server, &frame, body, asked);
        if (stat(body, &root) != 0) {
            fprintf(stderr, "antares-aot: %s is mounted but its root does not answer: %s\n", body, strerror(errno));
            return refuse(fd, server, EXIT_MOUNT);
        }
        free(body);
    }
}

/* For Mounts/CollectedWrites.cs: a thread of the server that waits for its own mount could not be ended. */
static int write_out(const char *mount_point)
{
    int fd = open(mount_point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && syncfs(fd) == 0 ? 0 : EXIT_INTERNAL;
}

int main(int argc, char **argv)
{
    enum split split = split_of(argc, argv);
    sigset_t ours, before;
    given = argv;
    unsetenv(READY_VARIABLE);
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0))
        return puts("antares-aot " ANTARES_VERSION) < 0 ? EXIT_INTERNAL : 0; /* needs no runtime */
    if (argc == 3 && strcmp(argv[1], WRITE_OUT) == 0)
        return write_out(argv[2]);
    if (split != NONE || (argc > 1 && !is_helper(argv) && strcmp(argv[1], "run") == 0)) {
        /* Every thread of the runtime inherits this; the one that waits for signals takes them (Mounts/MountEvents.cs). */
        static const int taken[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
        sigemptyset(&ours);
        sigaddset(&ours, SIGCHLD);
        signal(SIGCHLD, SIG_DFL); /* ignored, it would take the exit codes of our children with it */
        for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
            if (!is_ignored(taken[i]))
                sigaddset(&ours, taken[i]);
        sigprocmask(SIG_BLOCK, &ours, &before);
        if (!is_ignored(SIGPIPE))
            signal(SIGPIPE, SIG_IGN);
        if (!is_ignored(SIGXFSZ))
            signal(SIGXFSZ, SIG_IGN); /* a file that gets larger than our own limit (ulimit -f) is EFBIG for its writer, not our end */
    }
    fill_standard();
    if (split == NONE)
        return __managed__Main(argc, argv);

    int ends[2];
    pid_t child;
    char number[16];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0 || (child = fork()) < 0) {
        fprintf(stderr, "antares-aot: cannot start the mount process: %s\n", strerror(errno));
        return EXIT_INTERNAL;
    }
    if ((split == BACKGROUND) == (child != 0)) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        close(ends[1]);
        return reporter(ends[0], child);
    }
    close(ends[0]);
    if (split == BACKGROUND) {
        /* What the caller's shell had open (a lock, a pipe's end) must not stay open for the life of the mount. */
        setsid();
        if (ends[1] > 3)
            close_range(3, (unsigned)ends[1] - 1, 0);
        close_range((unsigned)ends[1] + 1, ~0u, 0);
    }
    snprintf(number, sizeof number, "%d", ends[1]);
    setenv(READY_VARIABLE, number, 1);
    return __managed__Main(argc, argv);
}
