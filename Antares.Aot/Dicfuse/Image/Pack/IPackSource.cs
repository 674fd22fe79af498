using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>
/// A tree that becomes an image: what packing asks, and no more. Nodes are the source's own numbers of objects; the root is
/// <see cref="ILayer.RootNode"/>. Asked by one thread.
/// </summary>
/// <remarks>No member throws. EIO notes the place with <see cref="Diagnostics.Failure.Note"/>.</remarks>
internal unsafe interface IPackSource : IDisposable
{
    /// <summary>What the source is, for the provenance: "folder", "image", "tar", "git", "mega".</summary>
    string Kind { get; }

    /// <summary>The revision that it has, for the provenance; null: none.</summary>
    string? Revision { get; }

    /// <summary>False: all times are one that the source was given, such as that of a commit.</summary>
    bool HasOwnTimes { get; }

    /// <summary>What the user should hear of when all is packed, a sentence each.</summary>
    IReadOnlyList<string> Notes { get; }

    /// <summary>As <see cref="ILayer.Next"/>, in the order of the bytes of the names.</summary>
    Errno Next(uint directory, ulong cookie, out LayerEntry entry);

    /// <summary>Attributes of an object, owners as they are to be stored; of one with several names st_ino tells which names are the same.</summary>
    Errno Attributes(uint node, stat* attributes);

    /// <summary>Tells whether a directory hides what lies below it.</summary>
    Errno IsOpaque(uint directory, out bool opaque);

    /// <summary>As <see cref="ILayer.Readlink"/>.</summary>
    Errno Readlink(uint node, byte* buffer, int capacity, out int length);

    /// <summary>Adds the extended attributes of an object, names without a NUL, in any order.</summary>
    Errno Xattrs(uint node, List<(byte[] Name, byte[] Value)> xattrs);

    /// <summary>A number that files share if and only if their contents are equal; 0: only their bytes tell.</summary>
    ulong ContentId(uint node);

    /// <summary>Tells the files whose contents will be read, in that order and each from its start to its end.</summary>
    void Announce(ReadOnlySpan<uint> nodes);

    /// <summary>As <see cref="ILayer.Read"/>.</summary>
    Errno Read(uint node, ulong offset, byte* buffer, uint size, out uint got);

    /// <summary>As <see cref="ILayer.OpenContent"/>: to find holes by.</summary>
    Errno OpenContent(uint node, out int fd);

    /// <summary>Of a file without such a descriptor: the place of the next byte that is in no hole.</summary>
    /// <param name="node">A regular file.</param>
    /// <param name="offset">Where to begin, below the file's size.</param>
    /// <returns>The offset itself when it is in no hole, or none is known of; the file's size or more when nothing but a hole follows. What is passed over need not be read.</returns>
    ulong NextData(uint node, ulong offset);

    /// <summary>Asks at the end whether the source is still what it was at the start.</summary>
    /// <returns>None; EIO: it has changed.</returns>
    Errno Finish();
}
