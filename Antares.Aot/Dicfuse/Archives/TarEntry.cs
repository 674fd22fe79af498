using Antares.Interop;

namespace Antares.Aot.Dicfuse.Archives;

/// <summary>A piece of a file's content that is no hole.</summary>
/// <param name="At">Place in the file.</param>
/// <param name="Length">Bytes.</param>
internal readonly record struct SparsePiece(ulong At, ulong Length);

/// <summary>One member of an archive, with what its extended headers say of it. Paths and targets are bytes, not checked yet.</summary>
internal sealed class TarEntry
{
    public required byte[] Path { get; init; }

    /// <summary>0 file, 1 hard link, 2 symlink, 3 and 4 devices, 5 directory, 6 FIFO; others as the archive has them.</summary>
    public required char Type { get; init; }

    public required byte[] Target { get; init; }

    public uint Mode { get; init; }

    public uint Uid { get; init; }

    public uint Gid { get; init; }

    public ulong Device { get; init; }

    public timespec Time { get; init; }

    /// <summary>Bytes of the file, its holes included.</summary>
    public ulong Size { get; init; }

    /// <summary>Bytes of content that the archive holds; its pieces lie one after another.</summary>
    public ulong Stored { get; init; }

    /// <summary>What the stored bytes are in the file; null: all of it.</summary>
    public IReadOnlyList<SparsePiece>? Pieces { get; init; }

    /// <summary>Names without a NUL.</summary>
    public IReadOnlyList<(byte[] Name, byte[] Value)> Xattrs { get; init; } = [];

    /// <summary>The path for messages.</summary>
    public string Printed => Utf8.Print(Path);
}
