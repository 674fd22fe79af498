/* stat and its relatives, owner, mode, times, xattrs and ACLs. */
#include "fsprobe.h"
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>

char type_letter(mode_t mode)
{
    switch (mode & S_IFMT) {
        case S_IFREG: return 'f';
        case S_IFDIR: return 'd';
        case S_IFLNK: return 'l';
        case S_IFCHR: return 'c';
        case S_IFBLK: return 'b';
        case S_IFIFO: return 'p';
        case S_IFSOCK: return 's';
        default: return '?';
    }
}

static long long ns(struct timespec t) { return (long long)t.tv_sec * 1000000000ll + t.tv_nsec; }

/* Letters: t type, m mode, n nlink, u uid, g gid, s size, r rdev, a atime, M mtime, B has blocks, 5 blocks (512 bytes each). */
static void say_stat(const struct stat *st, const char *spec)
{
    if (!*spec) spec = "tmnugs";
    for (; *spec; spec++)
        switch (*spec) {
            case 't': say("%c", type_letter(st->st_mode)); break;
            case 'm': say("%o", st->st_mode & 07777); break;
            case 'n': say("%lu", (unsigned long)st->st_nlink); break;
            case 'u': say("%u", st->st_uid); break;
            case 'g': say("%u", st->st_gid); break;
            case 's': say("%lld", (long long)st->st_size); break;
            case 'r': say("%u,%u", major(st->st_rdev), minor(st->st_rdev)); break;
            case 'a': say("%lld", ns(st->st_atim)); break;
            case 'M': say("%lld", ns(st->st_mtim)); break;
            case 'B': say(st->st_blocks > 0 ? "blocks" : "no-blocks"); break;
            case '5': say("%lld", (long long)st->st_blocks); break;
            default: say("?%c", *spec);
        }
}

static struct { char name[16]; struct stat st; } marks[64];

static struct stat *mark(const char *name, bool make)
{
    for (int i = 0; i < 64; i++) {
        if (marks[i].name[0] && strcmp(marks[i].name, name) == 0) return &marks[i].st;
        if (!marks[i].name[0]) {
            if (!make) return NULL;
            snprintf(marks[i].name, sizeof marks[i].name, "%s", name);
            return &marks[i].st;
        }
    }
    return NULL;
}

static void say_order(char letter, long long before, long long after) { say("%c%c", letter, after == before ? '=' : after > before ? '+' : '-'); }

/* What changed since the mark: for each letter of the spec '=' same, '+' greater, '-' smaller. i ino, d dev, c ctime, a atime, ... */
static void compare(const struct stat *was, const struct stat *now, const char *spec)
{
    if (!was) { say("NO-MARK"); return; }
    for (; *spec; spec++)
        switch (*spec) {
            case 'i': say("i%c", was->st_ino == now->st_ino ? '=' : '!'); break;
            case 'd': say("d%c", was->st_dev == now->st_dev ? '=' : '!'); break;
            case 'M': say_order('M', ns(was->st_mtim), ns(now->st_mtim)); break;
            case 'c': say_order('c', ns(was->st_ctim), ns(now->st_ctim)); break;
            case 'a': say_order('a', ns(was->st_atim), ns(now->st_atim)); break;
            case 's': say_order('s', was->st_size, now->st_size); break;
            case 'm': say_order('m', was->st_mode, now->st_mode); break;
            case 'n': say_order('n', (long long)was->st_nlink, (long long)now->st_nlink); break;
            case 'u': say_order('u', was->st_uid, now->st_uid); break;
            default: say("?%c", *spec);
        }
}

static bool stat_command(const Line *line)
{
    struct stat st;
    const char *a = arg(line, 1), *b = arg(line, 2);
    if (is(line, "stat")) { if (stat(a, &st) < 0) say_errno(); else say_stat(&st, b); }
    else if (is(line, "lstat")) { if (lstat(a, &st) < 0) say_errno(); else say_stat(&st, b); }
    else if (is(line, "fstat")) { if (fstat(fd_named(a), &st) < 0) say_errno(); else say_stat(&st, b); }
    else if (is(line, "mark")) { if (lstat(b, &st) < 0) say_errno(); else { *mark(a, true) = st; say("ok"); } }
    else if (is(line, "fmark")) { if (fstat(fd_named(b), &st) < 0) say_errno(); else { *mark(a, true) = st; say("ok"); } }
    else if (is(line, "cmp")) { if (lstat(b, &st) < 0) say_errno(); else compare(mark(a, false), &st, arg(line, 3)); }
    else if (is(line, "fcmp")) { if (fstat(fd_named(b), &st) < 0) say_errno(); else compare(mark(a, false), &st, arg(line, 3)); }
    else return false;
    return true;
}

static struct timespec time_of(const char *text)
{
    struct timespec t = { 0, 0 };
    if (strcmp(text, "now") == 0) t.tv_nsec = UTIME_NOW;
    else if (strcmp(text, "omit") == 0) t.tv_nsec = UTIME_OMIT;
    else {
        char *end;
        t.tv_sec = strtoll(text, &end, 10);
        if (*end == '.') t.tv_nsec = strtol(end + 1, NULL, 10);
    }
    return t;
}

/* Text form of an ACL: u::rwx,u:1000:rw-,g::r-x,g:5:r--,m::rwx,o::--- */
static size_t acl_encode(const char *text, unsigned char *out)
{
    memcpy(out, "\x02\0\0\0", 4);
    size_t at = 4;
    char copy[512];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *save, *entry = strtok_r(copy, ",", &save); entry; entry = strtok_r(NULL, ",", &save)) {
        bool named = entry[2] != ':';
        uint32_t id = named ? (uint32_t)strtoul(entry + 2, NULL, 10) : UINT32_MAX;
        const char *perm = strrchr(entry, ':') + 1;
        uint16_t bits = (uint16_t)((strchr(perm, 'r') ? 4 : 0) | (strchr(perm, 'w') ? 2 : 0) | (strchr(perm, 'x') ? 1 : 0));
        uint16_t tag = *entry == 'u' ? (named ? 2 : 1) : *entry == 'g' ? (named ? 8 : 4) : *entry == 'm' ? 16 : 32;
        memcpy(out + at, &tag, 2);
        memcpy(out + at + 2, &bits, 2);
        memcpy(out + at + 4, &id, 4);
        at += 8;
    }
    return at;
}

static void acl_say(const unsigned char *acl, ssize_t length)
{
    char text[1024] = "";
    size_t at = 0;
    for (ssize_t i = 4; i + 8 <= length; i += 8) {
        uint16_t tag, bits;
        uint32_t id;
        memcpy(&tag, acl + i, 2);
        memcpy(&bits, acl + i + 2, 2);
        memcpy(&id, acl + i + 4, 4);
        char name[16] = "";
        if (tag == 2 || tag == 8) snprintf(name, sizeof name, "%u", id);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s:%s:%c%c%c", at ? "," : "", tag <= 2 ? "u" : tag <= 8 ? "g" : tag == 16 ? "m" : "o", name,
                               bits & 4 ? 'r' : '-', bits & 2 ? 'w' : '-', bits & 1 ? 'x' : '-');
    }
    say("%s", text);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void say_names(char *list, ssize_t length)
{
    if (length < 0) { say_errno(); return; }
    char *names[256];
    int count = 0;
    for (char *p = list; p < list + length && count < 256; p += strlen(p) + 1)
        if (strncmp(p, "trusted.overlay.", 16) && strcmp(p, "security.selinux")) names[count++] = p;
    qsort(names, (size_t)count, sizeof *names, by_text);
    say("[%d]", count);
    for (int i = 0; i < count; i++) say("%s", names[i]);
}

static bool xattr_command(const Line *line)
{
    static char value[1 << 16];
    const char *a = arg(line, 1), *b = arg(line, 2);
    ssize_t n;
    int flags = strstr(arg(line, 4), "CREATE") ? XATTR_CREATE : strstr(arg(line, 4), "REPLACE") ? XATTR_REPLACE : 0;
    if (is(line, "setxattr")) say_result(lsetxattr(a, b, arg(line, 3), line->count > 3 ? line->length[3] : 0, flags));
    else if (is(line, "fsetxattr")) say_result(fsetxattr(fd_named(a), b, arg(line, 3), line->length[3], flags));
    else if (is(line, "getxattr")) { if ((n = lgetxattr(a, b, value, sizeof value)) < 0) say_errno(); else say_bytes(value, (size_t)n); }
    else if (is(line, "fgetxattr")) { if ((n = fgetxattr(fd_named(a), b, value, sizeof value)) < 0) say_errno(); else say_bytes(value, (size_t)n); }
    else if (is(line, "getxattrsize")) { if ((n = lgetxattr(a, b, NULL, 0)) < 0) say_errno(); else say("%zd", n); }
    else if (is(line, "getxattrsmall")) { if ((n = lgetxattr(a, b, value, 1)) < 0) say_errno(); else say("%zd", n); }
    else if (is(line, "listxattr")) say_names(value, llistxattr(a, value, sizeof value));
    else if (is(line, "listxattrsmall")) { if ((n = llistxattr(a, value, 1)) < 0) say_errno(); else say("%zd", n); }
    else if (is(line, "removexattr")) say_result(lremovexattr(a, b));
    else if (is(line, "setacl")) {
        size_t length = acl_encode(arg(line, 3), (unsigned char *)value);
        say_result(setxattr(a, *b == 'd' ? "system.posix_acl_default" : "system.posix_acl_access", value, length, 0));
    }
    else if (is(line, "getacl")) {
        if ((n = getxattr(a, *b == 'd' ? "system.posix_acl_default" : "system.posix_acl_access", value, sizeof value)) < 0) say_errno();
        else acl_say((unsigned char *)value, n);
    }
    else if (is(line, "setcap")) {
        /* cap_net_raw, permitted and effective, as revision 2 */
        unsigned char cap[20] = { 1, 0, 0, 2, 0, 0x20 };
        say_result(setxattr(a, "security.capability", cap, sizeof cap, 0));
    }
    else return false;
    return true;
}

bool attribute_command(const Line *line)
{
    const char *a = arg(line, 1), *b = arg(line, 2);
    if (is(line, "chmod")) say_result(chmod(a, (mode_t)strtol(b, NULL, 8)));
    else if (is(line, "fchmod")) say_result(fchmod(fd_named(a), (mode_t)strtol(b, NULL, 8)));
    else if (is(line, "chown")) say_result(chown(a, (uid_t)number(line, 2, -1), (gid_t)number(line, 3, -1)));
    else if (is(line, "lchown")) say_result(lchown(a, (uid_t)number(line, 2, -1), (gid_t)number(line, 3, -1)));
    else if (is(line, "fchown")) say_result(fchown(fd_named(a), (uid_t)number(line, 2, -1), (gid_t)number(line, 3, -1)));
    else if (is(line, "utimens")) {
        /* utimens PATH ATIME MTIME, each SECONDS[.NANOSECONDS], now or omit; the link itself */
        struct timespec two[2] = { time_of(b), time_of(arg(line, 3)) };
        say_result(utimensat(AT_FDCWD, a, two, AT_SYMLINK_NOFOLLOW));
    }
    else if (is(line, "futimens")) {
        struct timespec two[2] = { time_of(b), time_of(arg(line, 3)) };
        say_result(futimens(fd_named(a), two));
    }
    else return stat_command(line) || xattr_command(line);
    return true;
}
