using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Sources;

/// <summary>
/// Where a tree comes from. A source is asked by node and finds out from the <see cref="NodeStore"/> where the node lies; it keeps no
/// state per node of its own.
/// </summary>
/// <remarks>
/// All members may be called from several threads at once; none throws and none is called with a lock of the contents held. Each errno
/// is already one that the kernel may see, with the call that failed noted by <see cref="Diagnostics.Failure.Note"/>: ENOMEM; EACCES:
/// the source may not be read by this process; ETIMEDOUT: a server did not answer in time; EIO: anything else, such as a source that is
/// gone.
/// </remarks>
internal unsafe interface ITreeSource : IDisposable
{
    /// <summary>Lists the names and types of a directory, without the attributes of what is in it.</summary>
    /// <param name="directory">Node whose ancestors are all known.</param>
    /// <param name="listing">Receives the names in any order.</param>
    Errno List(uint directory, ref DirectoryListing listing);

    /// <summary>Reads the attributes of one node, st_dev and st_ino as they identify the object in the source.</summary>
    Errno Attributes(uint node, stat* attributes);

    /// <summary>True when <see cref="Attributes"/> of this node needs no server: a listing may then show them without being held up.</summary>
    bool AttributesAreAtHand(uint node);

    /// <summary>Reads a link's target: 1 to 4,095 bytes, without a NUL.</summary>
    Errno Readlink(uint node, byte* buffer, int capacity, out int length);

    /// <summary>Reads content, and tells the attributes that the file has after that.</summary>
    /// <param name="node">Node of a regular file.</param>
    /// <param name="offset">Byte offset.</param>
    /// <param name="buffer">Receives the bytes.</param>
    /// <param name="size">Bytes wanted.</param>
    /// <param name="got">Bytes read: fewer than <paramref name="size"/> only at the end of the file.</param>
    /// <param name="after">Attributes of the file that was read, taken when the bytes were already here.</param>
    Errno ReadContent(uint node, ulong offset, byte* buffer, uint size, out uint got, stat* after);

    /// <summary>Opens the content as a plain file.</summary>
    /// <param name="node">Node of a regular file.</param>
    /// <param name="fd">Open for reading, close-on-exec, shared with nobody; the caller closes it.</param>
    /// <param name="attributes">Attributes of the opened file.</param>
    /// <returns>None; EOPNOTSUPP: the source keeps contents in no plain files.</returns>
    Errno OpenContent(uint node, out int fd, stat* attributes);

    /// <summary>Reads one extended attribute; with size 0 its length.</summary>
    /// <returns>None; ENODATA; ERANGE; EOPNOTSUPP: the source has none at all.</returns>
    Errno Getxattr(uint node, byte* name, byte* value, nuint size, out int length);

    /// <summary>Lists all names of extended attributes, each with its NUL; with size 0 the length.</summary>
    /// <returns>None; ERANGE; EOPNOTSUPP: the source has none at all.</returns>
    Errno Listxattr(uint node, byte* list, nuint size, out int length);
}
