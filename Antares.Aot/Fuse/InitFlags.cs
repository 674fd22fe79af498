using static Antares.Interop.Fuse3.Flags;

namespace Antares.Aot.Fuse;

/// <summary>One feature that the kernel offers at INIT: whether we take it, and why.</summary>
/// <param name="Name">C name without FUSE_.</param>
/// <param name="Bit">The bit in the 64-bit word of flags and flags2.</param>
/// <param name="On">Taken where it is offered.</param>
/// <param name="Reason">Why.</param>
public readonly record struct InitFlag(string Name, ulong Bit, bool On, string Reason);

/// <summary>
/// The one table of INIT flags. The reply to INIT says exactly what this table says of what the kernel offered: nothing that libfuse
/// would choose by itself gets through (it takes AUTO_INVAL_DATA and ATOMIC_O_TRUNC by default, and knows none of the newer ones).
/// </summary>
public static class InitFlags
{
    /// <summary>For <see cref="FuseOptions.InitMask"/>: what Linux 5.15 offers (protocol 7.34, no flags2).</summary>
    public const ulong Linux515 = (1UL << 30) - 1;

    public static IReadOnlyList<InitFlag> Table { get; } =
    [
        new("ASYNC_READ", FUSE_ASYNC_READ, true, "several read-ahead requests of a file may be under way"),
        new("POSIX_LOCKS", FUSE_POSIX_LOCKS, false, "fcntl locks are the kernel's: one machine, one kernel; announced and unanswered they broke SQLite"),
        new("FILE_OPS", FUSE_FILE_OPS, false, "no handles: OPEN is answered ENOSYS"),
        new("ATOMIC_O_TRUNC", FUSE_ATOMIC_O_TRUNC, false, "with NO_OPEN no OPEN comes, and O_TRUNC would be lost without a word"),
        new("EXPORT_SUPPORT", FUSE_EXPORT_SUPPORT, false, "would promise lookups of . and .. on nodes that the kernel has forgotten; handles of cached nodes work without"),
        new("BIG_WRITES", FUSE_BIG_WRITES, true, "writes of more than a page"),
        new("DONT_MASK", FUSE_DONT_MASK, true, "with a default ACL the umask does not count, so that only we can apply it"),
        new("SPLICE_WRITE", FUSE_SPLICE_WRITE, false, "replies come from memory"),
        new("SPLICE_MOVE", FUSE_SPLICE_MOVE, false, "replies come from memory"),
        new("SPLICE_READ", FUSE_SPLICE_READ, false, "only libfuse asks for it: large writes are read through a pipe without, where one pays"),
        new("FLOCK_LOCKS", FUSE_FLOCK_LOCKS, false, "flock is the kernel's, as fcntl locks are"),
        new("HAS_IOCTL_DIR", FUSE_HAS_IOCTL_DIR, false, "news from the kernel, not a request: ioctl on directories comes anyhow"),
        new("AUTO_INVAL_DATA", FUSE_AUTO_INVAL_DATA, false, "a changed mtime would drop the file's pages, thus each of our own writes"),
        new("DO_READDIRPLUS", FUSE_DO_READDIRPLUS, true, "a listing brings the attributes that the next stat would ask for one by one"),
        new("READDIRPLUS_AUTO", FUSE_READDIRPLUS_AUTO, false, "sends only the first batch of a directory as plus; attributes cost us nothing, requests do"),
        new("ASYNC_DIO", FUSE_ASYNC_DIO, true, "the parts of a large O_DIRECT read or write go side by side, and one that fails fails the whole, which EROFS on our file relies on"),
        new("WRITEBACK_CACHE", FUSE_WRITEBACK_CACHE, false, "only when asked for: a full disk would show at close, not at write, and each close costs a request for attributes"),
        new("NO_OPEN_SUPPORT", FUSE_NO_OPEN_SUPPORT, false, "news from the kernel: ENOSYS to OPEN is what switches it on"),
        new("PARALLEL_DIROPS", FUSE_PARALLEL_DIROPS, true, "lookups and listings in one directory do not wait for each other"),
        new("HANDLE_KILLPRIV", FUSE_HANDLE_KILLPRIV, false, "first version, which clears set-id bits even where the VFS would not; V2 is taken"),
        new("POSIX_ACL", FUSE_POSIX_ACL, true, "the kernel checks and caches ACLs"),
        new("ABORT_ERROR", FUSE_ABORT_ERROR, false, "the end of the loop is ENODEV, aborted or not"),
        new("MAX_PAGES", FUSE_MAX_PAGES, true, "reads of 1 MiB and writes of 384 KiB instead of 128"),
        new("CACHE_SYMLINKS", FUSE_CACHE_SYMLINKS, true, "a link's target is asked for once"),
        new("NO_OPENDIR_SUPPORT", FUSE_NO_OPENDIR_SUPPORT, false, "news from the kernel: ENOSYS to OPENDIR is what switches it on"),
        new("EXPLICIT_INVAL_DATA", FUSE_EXPLICIT_INVAL_DATA, true, "pages go only when we say so"),
        new("MAP_ALIGNMENT", FUSE_MAP_ALIGNMENT, false, "DAX, virtiofs only"),
        new("SUBMOUNTS", FUSE_SUBMOUNTS, false, "one mount shows one st_dev"),
        new("HANDLE_KILLPRIV_V2", FUSE_HANDLE_KILLPRIV_V2, true, "saves a getxattr of security.capability per write; the flag of a request says when to clear set-id bits"),
        new("SETXATTR_EXT", FUSE_SETXATTR_EXT, false, "a longer SETXATTR body, which libfuse 3.14 would misread"),
        new("INIT_EXT", FUSE_INIT_EXT, true, "without it flags2 is not read"),
        new("INIT_RESERVED", FUSE_INIT_RESERVED, false, "never to be used"),
        new("SECURITY_CTX", FUSE_SECURITY_CTX, false, "appends SELinux labels to the bodies of creating requests; no layer could store them"),
        new("HAS_INODE_DAX", FUSE_HAS_INODE_DAX, false, "DAX, virtiofs only"),
        new("CREATE_SUPP_GROUP", FUSE_CREATE_SUPP_GROUP, false, "appends groups to the bodies of creating requests; a set-gid directory decides the group, access is the kernel's"),
        new("HAS_EXPIRE_ONLY", FUSE_HAS_EXPIRE_ONLY, false, "news from the kernel about a notification"),
        new("DIRECT_IO_ALLOW_MMAP", FUSE_DIRECT_IO_ALLOW_MMAP, false, "only for files opened FOPEN_DIRECT_IO, of which there are none"),
        new("PASSTHROUGH", FUSE_PASSTHROUGH, false, "excludes NO_OPEN, and gives up one page cache per file over copy-up"),
        new("NO_EXPORT_SUPPORT", FUSE_NO_EXPORT_SUPPORT, false, "would refuse even the handles that work"),
        new("HAS_RESEND", FUSE_HAS_RESEND, false, "no takeover by another server process"),
        new("ALLOW_IDMAP", FUSE_ALLOW_IDMAP, true, "mounts of this mount may have their ids mapped; takes uid and gid out of all requests but creating ones, which need them"),
        new("OVER_IO_URING", FUSE_OVER_IO_URING, false, "blocks every request until rings are registered"),
        new("REQUEST_TIMEOUT", FUSE_REQUEST_TIMEOUT, false, "the administrator's limit holds without it; a limit of ours would abort the whole mount"),
    ];

    /// <summary>What we answer to an offer: of its bits those that the table has on. Bits that the table does not know are off.</summary>
    /// <param name="offered">The kernel's offer.</param>
    /// <param name="asked">Bits that the mount's options ask for although the table has them off.</param>
    public static ulong Accept(ulong offered, ulong asked = 0)
    {
        ulong accepted = offered & asked;
        foreach (InitFlag flag in Table)
        {
            if (flag.On)
            {
                accepted |= offered & flag.Bit;
            }
        }

        // An ACL check without the umask left to us would mask twice or not at all: one without the other is worse than neither.
        const ulong Acl = FUSE_POSIX_ACL | FUSE_DONT_MASK;
        return (accepted & Acl) == Acl ? accepted : accepted & ~Acl;
    }

    /// <summary>The names of a set of bits, for messages.</summary>
    public static string Describe(ulong bits) => string.Join(' ', Table.Where(flag => (bits & flag.Bit) != 0).Select(flag => flag.Name));
}
