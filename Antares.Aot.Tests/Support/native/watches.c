/* Who is told of changes, and other ways to hold on to a file: inotify, fanotify, leases, file handles. */
#include "fsprobe.h"
#include <poll.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>

typedef struct { uint32_t bit; const char *name; } Event;
static const Event inotify_events[] = {
    { IN_CREATE, "create" }, { IN_DELETE, "delete" }, { IN_MODIFY, "modify" }, { IN_ATTRIB, "attrib" }, { IN_MOVED_FROM, "from" }, { IN_MOVED_TO, "to" },
    { IN_CLOSE_WRITE, "closewrite" }, { IN_DELETE_SELF, "deleteself" }, { IN_MOVE_SELF, "moveself" }, { IN_IGNORED, "ignored" }, { 0, NULL } };
static const Event fanotify_events[] = {
    { FAN_CREATE, "create" }, { FAN_DELETE, "delete" }, { FAN_MODIFY, "modify" }, { FAN_ATTRIB, "attrib" }, { FAN_MOVED_FROM, "from" }, { FAN_MOVED_TO, "to" },
    { FAN_CLOSE_WRITE, "closewrite" }, { FAN_OPEN, "open" }, { FAN_CLOSE_NOWRITE, "close" }, { 0, NULL } };

static void say_event(const Event *table, uint64_t mask, const char *name)
{
    for (; table->name; table++)
        if (mask & table->bit) say("%s%s%s", table->name, *name ? ":" : "", name);
}

static ssize_t next(int fd, void *buffer, size_t size)
{
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    return poll(&wait, 1, 50) == 1 ? read(fd, buffer, size) : 0;
}

static void inotify_read(int fd)
{
    static char buffer[1 << 16] __attribute__((aligned(8)));
    ssize_t n;
    say("events");
    while ((n = next(fd, buffer, sizeof buffer)) > 0)
        for (char *at = buffer; at < buffer + n; at += sizeof(struct inotify_event) + ((struct inotify_event *)at)->len) {
            const struct inotify_event *event = (void *)at;
            say_event(inotify_events, event->mask, event->len ? event->name : "");
        }
}

/* Masks of one file are merged by the kernel or not, as it likes: all bits that came are told once, in the table's order. */
static void fanotify_read(int fd, bool names)
{
    static char buffer[1 << 16] __attribute__((aligned(8)));
    uint64_t all = 0;
    ssize_t n;
    say("events");
    while ((n = next(fd, buffer, sizeof buffer)) > 0)
        for (struct fanotify_event_metadata *event = (void *)buffer; FAN_EVENT_OK(event, n); event = FAN_EVENT_NEXT(event, n)) {
            const char *name = "";
            if (event->fd >= 0) close(event->fd);
            if (names && event->event_len > event->metadata_len) {
                struct fanotify_event_info_fid *info = (void *)((char *)event + event->metadata_len);
                struct file_handle *handle = (void *)info->handle;
                if (info->hdr.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME) name = (char *)handle->f_handle + handle->handle_bytes;
                say_event(fanotify_events, event->mask, name);
            } else all |= event->mask;
        }
    if (!names) say_event(fanotify_events, all, "");
}

static void fanotify_watch(const char *name, const char *path, bool names)
{
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | (names ? FAN_REPORT_DFID_NAME : 0), O_RDONLY | O_CLOEXEC);
    uint64_t mask = names ? FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_MODIFY | FAN_EVENT_ON_CHILD | FAN_ONDIR
                          : FAN_OPEN | FAN_MODIFY | FAN_CLOSE_WRITE | FAN_CLOSE_NOWRITE | FAN_EVENT_ON_CHILD;
    if (fd < 0 || fanotify_mark(fd, FAN_MARK_ADD, mask, AT_FDCWD, path) < 0) { say_errno(); if (fd >= 0) close(fd); return; }
    fd_store(name, fd);
    say("ok");
}

/* How much is watched, and whether events name objects by handles, which asks for a file system id. */
static void fanotify_range(const char *path, const char *range, bool names)
{
    unsigned mark = FAN_MARK_ADD | (*range == 'm' ? FAN_MARK_MOUNT : *range == 'f' ? FAN_MARK_FILESYSTEM : 0);
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | (names ? FAN_REPORT_FID : 0), O_RDONLY | O_CLOEXEC);
    if (fd < 0) { say_errno(); return; }
    say_result(fanotify_mark(fd, mark, FAN_OPEN | FAN_MODIFY, AT_FDCWD, path));
    close(fd);
}

static void open_handle(const char *name, const char *path)
{
    union { struct file_handle handle; char room[sizeof(struct file_handle) + MAX_HANDLE_SZ]; } at = { .handle.handle_bytes = MAX_HANDLE_SZ };
    int id, root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || name_to_handle_at(AT_FDCWD, path, &at.handle, &id, 0) < 0) say_errno();
    else {
        int fd = open_by_handle_at(root, &at.handle, O_RDONLY | O_CLOEXEC);
        if (fd < 0) say_errno();
        else { fd_store(name, fd); say("ok"); }
    }
    close(root);
}

bool watch_command(const Line *line)
{
    const char *a = arg(line, 1), *b = arg(line, 2);
    if (is(line, "watch")) {
        int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        uint32_t mask = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF;
        if (fd < 0 || inotify_add_watch(fd, b, mask) < 0) say_errno();
        else { fd_store(a, fd); say("ok"); }
    } else if (is(line, "events")) inotify_read(fd_named(a));
    else if (is(line, "fanwatch")) fanotify_watch(a, b, line->count > 3);
    else if (is(line, "fanrange")) fanotify_range(a, b, line->count > 3); /* fanrange PATH inode|mount|filesystem [FID] */
    else if (is(line, "fanevents")) fanotify_read(fd_named(a), line->count > 2);
    else if (is(line, "lease")) say_result(fcntl(fd_named(a), F_SETLEASE, *b == 'r' ? F_RDLCK : *b == 'w' ? F_WRLCK : F_UNLCK));
    else if (is(line, "openhandle")) open_handle(a, b);
    else return false;
    return true;
}
