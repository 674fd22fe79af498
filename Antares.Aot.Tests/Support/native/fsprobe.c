/* Entry, the tokenizer, the answers, and the worker processes ("@A command" runs in process A, "&A command" starts it there,
   "wait A" fetches its answer). */
#include "fsprobe.h"
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/wait.h>

static char answer[1 << 16];
static size_t answer_length;

void say(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (answer_length > 0 && answer_length + 1 < sizeof answer) answer[answer_length++] = ' ';
    int n = vsnprintf(answer + answer_length, sizeof answer - answer_length, format, list);
    va_end(list);
    if (n > 0) answer_length += (size_t)n;
    if (answer_length >= sizeof answer) answer_length = sizeof answer - 1;
}

void say_bytes(const void *data, size_t length)
{
    const unsigned char *bytes = data;
    if (length > 96) { say("%zu:%016llx", length, (unsigned long long)hash_bytes(0, data, length)); return; }
    char text[512];
    size_t at = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = bytes[i];
        if (c > 32 && c < 127 && c != '\\') text[at++] = (char)c;
        else at += (size_t)sprintf(text + at, "\\x%02x", c);
    }
    text[at] = 0;
    say("'%s'", text);
}

void say_errno(void) { say("%s", strerrorname_np(errno) ? strerrorname_np(errno) : "E?"); }

void say_result(long result)
{
    if (result < 0) say_errno();
    else say("ok");
}

uint64_t hash_bytes(uint64_t seed, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    uint64_t h = seed ? seed : 14695981039346656037ull;
    for (size_t i = 0; i < length; i++) h = (h ^ bytes[i]) * 1099511628211ull;
    return h;
}

/* Of more than a GiB a 64th, and all that is within a MiB of the ends and of each GiB, where numbers of 31, 32 and 33 bits go wrong. */
static bool is_hashed(uint64_t at, uint64_t size)
{
    const uint64_t mib = 1 << 20, gib = 1 << 30, near = at % gib;
    return size <= gib || at % (16 * mib) == 0 || near < mib || near >= gib - mib || at + 2 * mib >= size;
}

uint64_t hash_fd(int fd, uint64_t *size)
{
    static char buffer[1 << 18];
    uint64_t h = 14695981039346656037ull, at = 0;
    struct stat st;
    if (fstat(fd, &st) < 0) { *size = UINT64_MAX; return 0; }
    for (;;) {
        /* to the next piece that counts; the last ones are read to where the file ends */
        while (!is_hashed(at, (uint64_t)st.st_size)) at += sizeof buffer;
        ssize_t n = pread(fd, buffer, sizeof buffer, (off_t)at);
        if (n < 0) { *size = UINT64_MAX; return 0; }
        if (n == 0) break;
        /* eight bytes at a time: the digests of large files are read often */
        size_t i = 0;
        for (; i + 8 <= (size_t)n; i += 8) { uint64_t w; memcpy(&w, buffer + i, 8); h = (h ^ w) * 0x9E3779B97F4A7C15ull; h ^= h >> 29; }
        h = hash_bytes(h, buffer + i, (size_t)n - i);
        at += (uint64_t)n;
    }
    *size = at;
    return h;
}

/* Deterministic content: a function of seed and offset, so that any piece can be checked alone. */
void pattern(char *buffer, size_t length, uint64_t offset, uint64_t seed)
{
    for (size_t i = 0; i < length; i++) {
        uint64_t word = (offset + i) / 8 + seed * 0x9E3779B97F4A7C15ull;
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ull;
        word ^= word >> 27;
        buffer[i] = (char)('!' + ((word >> (((offset + i) & 7) * 8)) & 0xff) % 90);
    }
}

static struct { char name[16]; int fd; } fds[256];

int fd_named(const char *name)
{
    if (strcmp(name, "cwd") == 0) return AT_FDCWD;
    for (int i = 0; i < 256; i++) if (fds[i].name[0] && strcmp(fds[i].name, name) == 0) return fds[i].fd;
    return -1;
}

void fd_store(const char *name, int fd)
{
    fd_forget(name);
    for (int i = 0; i < 256; i++)
        if (!fds[i].name[0]) { snprintf(fds[i].name, sizeof fds[i].name, "%s", name); fds[i].fd = fd; return; }
}

void fd_forget(const char *name)
{
    for (int i = 0; i < 256; i++) if (fds[i].name[0] && strcmp(fds[i].name, name) == 0) { close(fds[i].fd); fds[i].name[0] = 0; }
}

void fd_close_all(void)
{
    for (int i = 0; i < 256; i++) if (fds[i].name[0]) { close(fds[i].fd); fds[i].name[0] = 0; }
}

/* Words are parted by spaces. \xNN and \s (space) are bytes; {text*N} repeats; "" is the empty word. */
static bool parse(char *text, Line *line)
{
    line->count = 0;
    char *p = text;
    for (;;) {
        while (*p == ' ' || *p == '\t') p++;
        if (!*p || *p == '\n' || *p == '#') break;
        if (line->count == MAX_ARGS) return false;
        size_t capacity = 1 << 14, at = 0;
        char *out = malloc(capacity);
        while (*p && *p != ' ' && *p != '\t' && *p != '\n') {
            if (at + 8192 > capacity) out = realloc(out, capacity *= 2);
            if (p[0] == '"' && p[1] == '"') { p += 2; continue; }
            if (p[0] == '\\' && p[1] == 'x') { char hex[3] = { p[2], p[3], 0 }; out[at++] = (char)strtol(hex, NULL, 16); p += 4; continue; }
            if (p[0] == '\\' && p[1] == 's') { out[at++] = ' '; p += 2; continue; }
            if (p[0] == '\\' && p[1] == 'n') { out[at++] = '\n'; p += 2; continue; }
            char *star, *end;
            if (p[0] == '{' && (end = strchr(p, '}')) && (star = memchr(p, '*', (size_t)(end - p)))) {
                long times = strtol(star + 1, NULL, 10);
                size_t size = (size_t)(star - p - 1);
                while (at + size * (size_t)times + 8192 > capacity) out = realloc(out, capacity *= 2);
                for (long i = 0; i < times; i++) { memcpy(out + at, p + 1, size); at += size; }
                p = end + 1;
                continue;
            }
            out[at++] = *p++;
        }
        out[at] = 0;
        line->length[line->count] = at;
        line->word[line->count++] = out;
    }
    return line->count > 0;
}

static struct { char name[8]; int fd; pid_t pid; } workers[16];
static void evaluate(char *text);

static void reply_loop(int fd)
{
    FILE *in = fdopen(dup(fd), "r");
    char *text = NULL;
    size_t size = 0;
    while (getline(&text, &size, in) > 0) {
        evaluate(text);
        dprintf(fd, "%s\n", answer);
    }
    _exit(0);
}

static int worker(const char *name)
{
    int slot = -1;
    for (int i = 0; i < 16; i++) {
        if (workers[i].name[0] && strcmp(workers[i].name, name) == 0) return i;
        if (!workers[i].name[0] && slot < 0) slot = i;
    }
    int pair[2];
    if (slot < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) exit(99);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        for (int i = 0; i < 16; i++) if (workers[i].name[0]) close(workers[i].fd);
        memset(workers, 0, sizeof workers);
        fd_close_all();
        reply_loop(pair[1]);
    }
    close(pair[1]);
    snprintf(workers[slot].name, sizeof workers[slot].name, "%s", name);
    workers[slot].fd = pair[0];
    workers[slot].pid = pid;
    return slot;
}

static void fetch(int slot)
{
    answer_length = 0;
    for (;;) {
        char c;
        ssize_t n = read(workers[slot].fd, &c, 1);
        if (n <= 0) { say("worker-died"); return; }
        if (c == '\n') break;
        if (answer_length + 1 < sizeof answer) answer[answer_length++] = c;
    }
    answer[answer_length] = 0;
}

static void evaluate(char *text)
{
    answer_length = 0;
    answer[0] = 0;
    while (*text == ' ' || *text == '\t') text++;
    if (*text == '@' || *text == '&') {
        char name[8] = "";
        int n = 0;
        sscanf(text + 1, "%7s%n", name, &n);
        int slot = worker(name);
        dprintf(workers[slot].fd, "%.*s\n", (int)strcspn(text + 1 + n, "\n"), text + 1 + n);
        if (*text == '&') say("started");
        else fetch(slot);
        return;
    }
    Line line;
    if (!parse(text, &line)) { say("EMPTY"); return; }
    if (is(&line, "wait")) fetch(worker(arg(&line, 1)));
    else if (is(&line, "stop")) {
        int slot = worker(arg(&line, 1)), status;
        close(workers[slot].fd);
        waitpid(workers[slot].pid, &status, 0);
        workers[slot].name[0] = 0;
        say("ok");
    } else if (!path_command(&line) && !file_command(&line) && !map_command(&line) && !attribute_command(&line)
             && !directory_command(&line) && !process_command(&line) && !watch_command(&line) && !differential_command(&line))
        say("UNKNOWN-COMMAND %s", line.word[0]);
    for (int i = 0; i < line.count; i++) free(line.word[i]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "exit") == 0) return argc > 2 ? atoi(argv[2]) : 0;
    if (argc > 1 && strcmp(argv[1], "setid") == 0) return geteuid() != getuid() || getegid() != getgid();
    if (argc > 2 && strcmp(argv[1], "digest") == 0) return digest_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "idmap") == 0) return idmap_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "linux515") == 0) return linux515_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "fsx") == 0) return fsx_main(argc, argv);
    if (argc > 1 && strncmp(argv[1], "crash", 5) == 0) return crash_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "entries") == 0) return entries_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "renametime") == 0) return rename_time_main(argc, argv);
    if (argc < 3 || strcmp(argv[1], "run") != 0) return load_main(argc, argv);
    umask(022);
    if (chdir(argv[2]) < 0) { perror("fsprobe: chdir"); return 98; }
    char *text = NULL;
    size_t size = 0;
    while (getline(&text, &size, stdin) > 0) {
        if (text[strspn(text, " \t\n")] == 0 || text[strspn(text, " \t")] == '#') continue;
        if (strncmp(text, "digest ", 7) == 0) {
            /* the one command whose answer is many lines */
            text[strcspn(text, "\n")] = 0;
            digest_here(text + 7);
            continue;
        }
        evaluate(text);
        printf("%s\n", answer);
        fflush(stdout);
    }
    /* Once this process is gone, nothing of it holds the mount. */
    for (int i = 0; i < 16; i++) if (workers[i].name[0]) close(workers[i].fd);
    for (int i = 0; i < 16; i++) if (workers[i].name[0]) waitpid(workers[i].pid, NULL, 0);
    return 0;
}
