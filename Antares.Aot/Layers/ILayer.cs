using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>
/// One tree of the stack. Nodes are indices into the layer's own table: 0 is none, <see cref="RootNode"/> the root; hard links of
/// one object share one node. No member has a default body: a layer that lacks an operation does not compile.
/// </summary>
/// <remarks>
/// All members may be called from several threads at once and none throws. Names handed in are NUL-terminated. No member allocates
/// managed memory once the directory concerned is loaded. EIO stands for a damaged, vanished or changed source; the place is noted
/// with <see cref="Diagnostics.Failure.Note"/>.
/// </remarks>
public unsafe interface ILayer : IDisposable
{
    /// <summary>Index of the root directory in every layer.</summary>
    const uint RootNode = 1;

    /// <summary>Short name for messages: "upper", "cl", "lower0", "dicfuse".</summary>
    string Name { get; }

    /// <summary>True when each write is answered EROFS.</summary>
    bool IsReadOnly { get; }

    /// <summary>Finds one name in a directory, touching no sibling's attributes. Loads the directory when it is touched first.</summary>
    /// <param name="directory">Node index of a directory of this layer.</param>
    /// <param name="name">1 to 255 bytes.</param>
    /// <param name="node">
    /// The node that the name leads to; it may be a whiteout. Names of one object lead to one node once the node's attributes are loaded: see
    /// <see cref="ObjectOf"/>.
    /// </param>
    /// <returns>None; ENOENT: no such name in this layer; EIO, ENOMEM: the directory or the node could not be loaded.</returns>
    Errno Find(uint directory, ByteName name, out uint node);

    /// <summary>The next name of a directory after <paramref name="cookie"/> (0: from the start), in cookie order.</summary>
    /// <param name="directory">Node index of a directory of this layer.</param>
    /// <param name="cookie">Place after which to go on.</param>
    /// <param name="entry">The entry; its node is the one that <see cref="Find"/> gives for the name.</param>
    /// <returns>None; ENOENT: no further entry; EIO, ENOMEM: the directory could not be loaded.</returns>
    Errno Next(uint directory, ulong cookie, out LayerEntry entry);

    /// <summary>Type of a node; <see cref="FileType.Whiteout"/> for one that hides its name below.</summary>
    FileType TypeOf(uint node);

    /// <summary>
    /// The node that stands for the object: of several names of one object the same. An id may be handed out only for this one, and only once
    /// the attributes are loaded (<see cref="LayerPart.Attributes"/>), since these may tell that a node is a further name of another.
    /// </summary>
    uint ObjectOf(uint node);

    /// <summary>
    /// True when the members that need the part answer at once. What is loaded stays so. A layer in a folder of this machine answers each call
    /// by system calls that it takes to be short, and has nothing to load.
    /// </summary>
    /// <param name="node">Node index; of one that does not exist everything is loaded.</param>
    /// <param name="part">What is going to be asked for.</param>
    bool IsLoaded(uint node, LayerPart part);

    /// <summary>Loads a part, unless it is loaded. It may take as long as the place where the layer comes from likes: no lock may be held.</summary>
    /// <returns>None; EIO, EACCES, ENOMEM: it could not be loaded, and the next call tries again; ENOTDIR; ESTALE.</returns>
    Errno Load(uint node, LayerPart part);

    /// <summary>Tells whether a directory hides what lies below it (opaque), and whether it stands for another path below (redirect).</summary>
    /// <param name="directory">Node index of a directory.</param>
    /// <param name="opaque">True: the layers below are not merged in.</param>
    /// <param name="redirect">Receives the redirect value: an absolute path from the layers' root, or one name.</param>
    /// <param name="capacity">Room in <paramref name="redirect"/>.</param>
    /// <param name="length">Bytes written; 0 when there is no redirect.</param>
    /// <returns>None; EIO: the marks could not be read; ERANGE: the redirect is longer than the room.</returns>
    Errno Merging(uint directory, out bool opaque, byte* redirect, int capacity, out int length);

    /// <summary>Walks the known names of a node: one for most, several for hard links.</summary>
    /// <param name="node">Node index; the root has no name.</param>
    /// <param name="cursor">0 at the start; kept by the caller between calls.</param>
    /// <param name="directory">Directory of the name.</param>
    /// <param name="name">The name.</param>
    /// <returns>False when there is no further name.</returns>
    bool NextName(uint node, ref uint cursor, out uint directory, out ByteName name);

    /// <summary>
    /// Fills an unmanaged <c>stat</c> in place: what getattr shows and what copy-up keeps. This is the method whose absence once
    /// made every write fail three layers away from the fault.
    /// </summary>
    /// <param name="node">Node index.</param>
    /// <param name="mapping">True for what the kernel is shown (owner ids mapped as the mount asks); false for copy-up (ids as stored).</param>
    /// <param name="attributes">Receives the attributes; st_ino is the stable number of the object, st_dev 0. Allocates nothing.</param>
    /// <returns>None; EIO: the source is gone or has changed; ESTALE: the node was released.</returns>
    Errno GetattrWithMapping(uint node, bool mapping, stat* attributes);

    /// <summary>
    /// True when <see cref="GetattrWithMapping"/> of this node waits for no server. A listing shows the attributes of such nodes only;
    /// whoever wants the others asks for each by its name.
    /// </summary>
    bool AttributesAreAtHand(uint node);

    /// <summary>Reads a symbolic link's target.</summary>
    /// <param name="node">Node index of a symlink.</param>
    /// <param name="buffer">Receives the target without a NUL.</param>
    /// <param name="capacity">Room, at least 4,096.</param>
    /// <param name="length">Bytes of the target.</param>
    /// <returns>None; EINVAL: not a symlink; EIO.</returns>
    Errno Readlink(uint node, byte* buffer, int capacity, out int length);

    /// <summary>Reads file content.</summary>
    /// <param name="node">Node index of a regular file.</param>
    /// <param name="offset">Byte offset; at or past the end gives 0 bytes.</param>
    /// <param name="buffer">Receives the bytes.</param>
    /// <param name="size">Bytes wanted; fewer are returned only at the end of the file.</param>
    /// <param name="got">Bytes read.</param>
    /// <returns>None; EISDIR; EINVAL: no regular file; EIO: source gone, changed or damaged (checksum).</returns>
    Errno Read(uint node, ulong offset, byte* buffer, uint size, out uint got);

    /// <summary>A descriptor of the file that holds the content, for copy-up by reflink or copy_file_range and for SEEK_HOLE.</summary>
    /// <param name="node">Node index of a regular file.</param>
    /// <param name="fd">Opened read-only; the caller closes it. Its position may be shared with others: reads give theirs.</param>
    /// <returns>None; EOPNOTSUPP: the content is not in a plain file (use <see cref="Read"/>); EIO.</returns>
    Errno OpenContent(uint node, out int fd);

    /// <summary>Reads one extended attribute.</summary>
    /// <param name="node">Node index.</param>
    /// <param name="name">NUL-terminated name with its namespace. The overlay's own marks are never shown.</param>
    /// <param name="value">Receives the value.</param>
    /// <param name="size">Room; 0 asks for the length.</param>
    /// <param name="length">Length of the value.</param>
    /// <returns>None; ENODATA: no such attribute; ERANGE: too small; EOPNOTSUPP; EIO.</returns>
    Errno Getxattr(uint node, byte* name, byte* value, nuint size, out int length);

    /// <summary>Lists the names of the extended attributes, each ended by a NUL.</summary>
    /// <returns>None; ERANGE: too small; EIO.</returns>
    Errno Listxattr(uint node, byte* list, nuint size, out int length);

    /// <summary>Makes an object under a name that is free or a whiteout in this layer.</summary>
    /// <returns>None; EROFS: a read-only layer; EEXIST; ENOSPC, EDQUOT, EPERM and others of the file system.</returns>
    Errno Create(uint directory, ByteName name, in NewNode what, out uint node, stat* attributes);

    /// <summary>Gives an object a further name that is free or a whiteout in this layer.</summary>
    /// <param name="node">Any object but a directory.</param>
    /// <param name="directory">Directory of the new name.</param>
    /// <param name="name">The name.</param>
    /// <param name="keepTimes">True to leave the directory's times alone (a lower hard link that is being kept).</param>
    /// <returns>None; EROFS: a read-only layer; EEXIST; EMLINK; ENOENT: it has no name any more; others.</returns>
    Errno Link(uint node, uint directory, ByteName name, bool keepTimes);

    /// <summary>Removes the name of a non-directory.</summary>
    /// <param name="directory">Its directory.</param>
    /// <param name="name">A name that this layer has.</param>
    /// <param name="whiteout">True to leave a whiteout, since a layer below has the name.</param>
    /// <param name="keep">True when the object may be in use and must live on without a name.</param>
    /// <returns>None; EROFS: a read-only layer; ENOSPC and others: the name is still there.</returns>
    Errno Unlink(uint directory, ByteName name, bool whiteout, bool keep);

    /// <summary>Removes a directory that holds nothing but whiteouts; parameters and results as for <see cref="Unlink"/>.</summary>
    Errno Rmdir(uint directory, ByteName name, bool whiteout, bool keep);

    /// <summary>Writes file content.</summary>
    /// <param name="node">Node index of a regular file.</param>
    /// <param name="offset">Byte offset.</param>
    /// <param name="data">Bytes.</param>
    /// <param name="size">Their number.</param>
    /// <param name="killSetId">True when set-id bits go with this write.</param>
    /// <param name="written">Bytes written; fewer than asked for when an error came after some were.</param>
    /// <returns>None when something was written; EROFS: a read-only layer; ENOSPC, EDQUOT, EFBIG, EIO.</returns>
    Errno Write(uint node, ulong offset, byte* data, uint size, bool killSetId, out uint written);

    /// <summary>Sets the size of a regular file.</summary>
    /// <returns>None; EROFS: a read-only layer; EFBIG, ENOSPC, EIO.</returns>
    Errno Truncate(uint node, long size);

    /// <summary>Changes the permission bits (0 to 07777).</summary>
    /// <returns>None; EROFS: a read-only layer; EOPNOTSUPP: a symbolic link; EPERM.</returns>
    Errno Chmod(uint node, uint mode);

    /// <summary>Changes the owner, ids as stored; <see cref="uint.MaxValue"/> leaves one as it is.</summary>
    /// <returns>None; EROFS: a read-only layer; EPERM; EINVAL: an id that the user namespace lacks.</returns>
    Errno Chown(uint node, uint uid, uint gid);

    /// <summary>Sets access time (first) and modification time (second); UTIME_NOW and UTIME_OMIT as in utimensat(2).</summary>
    /// <returns>None; EROFS: a read-only layer; EPERM.</returns>
    Errno Utimens(uint node, timespec* times);

    /// <summary>Sets an extended attribute, under the name that the mount shows.</summary>
    /// <returns>None; EROFS: a read-only layer; EEXIST, ENODATA (flags); EOPNOTSUPP; EPERM; ENOSPC, E2BIG, ERANGE.</returns>
    Errno Setxattr(uint node, byte* name, byte* value, nuint size, int flags);

    /// <summary>Removes an extended attribute.</summary>
    /// <returns>None; EROFS: a read-only layer; ENODATA; EPERM.</returns>
    Errno Removexattr(uint node, byte* name);
}
