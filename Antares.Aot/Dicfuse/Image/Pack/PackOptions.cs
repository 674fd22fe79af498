using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>How an image is made.</summary>
public sealed record PackOptions
{
    /// <summary>zstd level, 1 to 19.</summary>
    public int Level { get; init; } = 6;

    /// <summary>Most raw bytes of a frame.</summary>
    public int FrameBytes { get; init; } = ImageFormat.FrameBytes;

    /// <summary>Threads that compress; the bytes do not depend on it.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Patterns of paths that are left out.</summary>
    public IReadOnlyList<string> Excludes { get; init; } = [];

    /// <summary>Name of the image that this one is a patch of (<see cref="ImageProvenance.NameOf"/>); null: of none.</summary>
    public string? Base { get; init; }

    /// <summary>One modification time for everything; null: those of the source.</summary>
    public timespec? Mtime { get; init; }

    /// <summary>One owner for everything; null: those of the source.</summary>
    public (uint Uid, uint Gid)? Owner { get; init; }
}

/// <summary>How far a pack is, for people.</summary>
/// <param name="Nodes">Names found so far.</param>
/// <param name="Bytes">Bytes of contents read so far.</param>
/// <param name="OfBytes">Bytes to be read; 0 while names are still being found.</param>
public readonly record struct PackProgress(long Nodes, long Bytes, long OfBytes);
