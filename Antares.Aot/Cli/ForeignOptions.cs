namespace Antares.Aot.Cli;

/// <summary>An option of another overlay that changes nothing here.</summary>
/// <param name="Name">Before '='.</param>
/// <param name="Values">Values that it may have, separated by '|'; "*": any; null: it has none.</param>
/// <param name="Why">Why it has no effect, for the log and docs/MOUNT-OPTIONS.md.</param>
/// <param name="KeptByFuse">Of the values, those whose wish is met by the FUSE engine only; empty: none.</param>
public readonly record struct IdleOption(string Name, string? Values, string Why, string KeptByFuse = "");

/// <summary>An option that would promise what is not done.</summary>
/// <param name="Name">Before '='.</param>
/// <param name="Values">As for <see cref="IdleOption"/>.</param>
/// <param name="Advice">What to do instead.</param>
public readonly record struct RefusedOption(string Name, string? Values, string Advice);

/// <summary>
/// What may stand after <c>-o</c> for fuse-overlayfs, for <c>mount -t overlay</c> and for mount(8) besides what
/// <see cref="OverlayOptionList"/> takes itself. docs/MOUNT-OPTIONS.md lists the same, for users; a test compares them.
/// </summary>
public static class ForeignOptions
{
    /// <summary>Options that change what the mount itself does; the kernel takes them through libfuse.</summary>
    public static IReadOnlyList<string> OfTheMount { get; } =
    [
        "suid", "nosuid", "dev", "nodev", "exec", "noexec", "atime", "noatime", "sync", "async", "dirsync",
    ];

    /// <summary>SELinux labels of the whole mount; the kernel takes them.</summary>
    public static IReadOnlyList<string> OfLabels { get; } = ["context", "fscontext", "defcontext", "rootcontext"];

    public static IReadOnlyList<IdleOption> Idle { get; } =
    [
        new("defaults", null, "the defaults are what there is"),
        new("auto", null, "for mount(8)"),
        new("noauto", null, "for mount(8)"),
        new("user", "*", "for mount(8)"),
        new("user", null, "for mount(8)"),
        new("nouser", null, "for mount(8)"),
        new("users", null, "for mount(8)"),
        new("owner", null, "for mount(8)"),
        new("group", null, "for mount(8)"),
        new("nofail", null, "for mount(8)"),
        new("_netdev", null, "for mount(8)"),
        new("comment", "*", "for mount(8)"),
        new("silent", null, "for the kernel's log"),
        new("loud", null, "for the kernel's log"),
        new("relatime", null, "access times are kept by the upper's file system"),
        new("strictatime", null, "access times are kept by the upper's file system"),
        new("norelatime", null, "access times are kept by the upper's file system"),
        new("nostrictatime", null, "access times are kept by the upper's file system"),
        new("nodiratime", null, "access times are kept by the upper's file system"),
        new("diratime", null, "access times are kept by the upper's file system"),
        new("lazytime", null, "times are kept by the upper's file system"),
        new("nolazytime", null, "times are kept by the upper's file system"),
        new("symfollow", null, "the default"),
        new("iversion", null, "the kernel counts for itself"),
        new("noiversion", null, "the kernel counts for itself"),
        new("default_permissions", null, "always on"),
        new("metacopy", "on|off", "a copy-up is always whole"),
        new("index", "on|off", "hard links of lower files stay linked without an index", "on"),
        new("nfs_export", "off", "there is no export"),
        new("xino", "on|off|auto", "inode numbers are always unique and stay over remounts"),
        new("uuid", "on|off|null|auto", "f_fsid is 0, as on every FUSE mount", "on|off|null"),
        new("verity", "off", "no digests are kept"),
        new("override_creds", null, "layers are always accessed as the user that mounted"),
        new("timeout", "*", "what the kernel keeps is told of every change made through the mount; layers are taken to be still"),
        new("entry_timeout", "*", "as timeout"),
        new("attr_timeout", "*", "as timeout"),
        new("negative_timeout", "*", "as timeout"),
        new("ac_attr_timeout", "*", "as timeout"),
        new("fast_ino", "0|1", "inode numbers need no search"),
        new("fast_ino_check", "0|1", "inode numbers need no search"),
        new("noxattrs", "0", "extended attributes are on"),
        new("xattr_permissions", "0", "owners and modes are those of the files"),
        new("clone_fd", null, "one descriptor of the device serves all threads"),
        new("max_idle_threads", "*", "threads are not ended when idle"),
        new("max_threads", "*", "use --threads"),
        new("splice_read", null, "large writes go through a pipe, anything else through memory"),
        new("splice_write", null, "large writes go through a pipe, anything else through memory"),
        new("splice_move", null, "large writes go through a pipe, anything else through memory"),
        new("no_splice_read", null, "large writes go through a pipe, anything else through memory"),
        new("no_splice_write", null, "large writes go through a pipe, anything else through memory"),
        new("no_splice_move", null, "large writes go through a pipe, anything else through memory"),
        new("kernel_cache", null, "always so"),
        new("big_writes", null, "always so"),
        new("async_read", null, "always so"),
        new("max_write", "*", "requests are as large as pays"),
        new("max_read", "*", "requests are as large as pays"),
        new("max_readahead", "*", "set by the program"),
        new("subtype", "antares-aot", "always so"),
    ];

    public static IReadOnlyList<RefusedOption> Refused { get; } =
    [
        new("allow_root", null, "the kernel's cache would let other users in too; give allow_other, or leave it out"),
        new("debug", null, "give --log-level debug and --foreground (-d as for fuse-overlayfs does both)"),
        new("datadir+", "*", "data-only layers are not supported; give the folders as lowerdir"),
        new("nfs_export", "on", "the mount cannot be exported; leave it out"),
        new("verity", "on|require", "digests of lower files are not checked; leave it out"),
        new("nooverride_creds", null, "layers are always accessed as the user that mounted; leave it out"),
        new("ino32_t", null, "inode numbers have 64 bits; build the program for large files instead (_FILE_OFFSET_BITS=64)"),
        new("plugins", "*", "there are no plugins; unpack the layer and give its folder"),
        new("xattr_permissions", "1|2", "owners and modes in attributes are not supported; take force_mask out of storage.conf, or run in a user namespace"),
        new("direct_io", null, "mmap would not work; leave it out"),
        new("nonempty", null, "the mount point must be empty; choose an empty folder"),
        new("subtype", "*", "the mount is found by its type fuse.antares-aot; leave it out"),
        new("umask", "*", "modes are those of the files; change them with chmod"),
        new("uid", "*", "use squash_to_uid"),
        new("gid", "*", "use squash_to_gid"),
        new("nosymfollow", null, "libfuse does not know it; after mounting: mount -o remount,bind,nosymfollow MNT"),
        new("remount", null, "a mount cannot be changed; unmount it and mount anew"),
        new("bind", null, "bind the mount after it is made: mount --bind"),
    ];

    /// <summary>Whether an option is one of a table's.</summary>
    /// <param name="values">Values of the table.</param>
    /// <param name="value">Value given, or null.</param>
    internal static bool Matches(string? values, string? value) =>
        values is null ? value is null : value is not null && (values == "*" || values.Split('|').Contains(value));
}
