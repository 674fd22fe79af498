namespace Antares.Aot.Diagnostics;

/// <summary>
/// The operations of the FUSE protocol by number (opcode of linux/fuse.h) and lower-case name. The counters have one slot for each;
/// numbers that no kernel is known to send share slot 0, "other".
/// </summary>
public static class OpNames
{
    /// <summary>Slots that a table over all operations needs: one more than the highest number.</summary>
    public const int Slots = 54;

    /// <summary>Slot of numbers without a name.</summary>
    public const int Other = 0;

    // The numbers 7 and 19 were never given out.
    private static readonly string?[] s_names =
    [
        "other", "lookup", "forget", "getattr", "setattr", "readlink", "symlink", null, "mknod", "mkdir",
        "unlink", "rmdir", "rename", "link", "open", "read", "write", "statfs", "release", null,
        "fsync", "setxattr", "getxattr", "listxattr", "removexattr", "flush", "init", "opendir", "readdir", "releasedir",
        "fsyncdir", "getlk", "setlk", "setlkw", "access", "create", "interrupt", "bmap", "destroy", "ioctl",
        "poll", "notify_reply", "batch_forget", "fallocate", "readdirplus", "rename2", "lseek", "copy_file_range", "setupmapping",
        "removemapping", "syncfs", "tmpfile", "statx", "copy_file_range_64",
    ];

    /// <summary>The slot of an opcode: itself, or <see cref="Other"/>.</summary>
    public static int SlotOf(uint opcode) => opcode < Slots && s_names[opcode] != null ? (int)opcode : Other;

    /// <summary>Name of a slot, or null for one that stands for no operation.</summary>
    public static string? NameOf(int slot) => s_names[slot];
}
