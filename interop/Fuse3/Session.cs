using System.Runtime.InteropServices;

namespace Antares.Interop.Fuse3;

/// <summary>
/// Sessions of libfuse: made, mounted, fed with requests that our own threads read from its descriptor, unmounted, destroyed.
/// Functions keep their C names and their C answers (0 and -1, or a negative errno), since libfuse is not of one mind.
/// Its session loops are left out on purpose: they cancel threads, which must not happen to a managed frame.
/// </summary>
public static unsafe partial class Session
{
    /// <summary>
    /// A session for <paramref name="operations"/> (copied); mount options come as <c>-o name</c> in <paramref name="args"/>.
    /// </summary>
    /// <returns>Null: an option is not known, or no memory; the reason goes to the log function (stderr by default).</returns>
    [LibraryImport("libfuse3")]
    public static partial fuse_session* fuse_session_new(
        fuse_args* args, fuse_lowlevel_ops* operations, nuint operationsSize, void* userdata);

    /// <summary>Mounts, by the system call or through fusermount3. 0, or -1 with the reason in the log.</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_session_mount(fuse_session* session, byte* mountpoint);

    /// <summary>
    /// Before any mount: takes <paramref name="fd"/> instead, with own reads and writes. 0, -EINVAL: a function is missing,
    /// -EBADF.
    /// </summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_session_custom_io(fuse_session* session, fuse_custom_io* io, int fd);

    /// <summary>The descriptor that requests are read from; libfuse's own, closed by <see cref="fuse_session_destroy"/>.</summary>
    [LibraryImport("libfuse3")]
    [SuppressGCTransition]
    public static partial int fuse_session_fd(fuse_session* session);

    /// <summary>Calls the operation of one request, on this thread. Not to be entered after <see cref="fuse_session_destroy"/>.</summary>
    [LibraryImport("libfuse3")]
    public static partial void fuse_session_process_buf(fuse_session* session, fuse_buf* buffer);

    /// <summary>Reads one request: its size, 0 at the end of the session, or a negative errno (-EINTR, -EAGAIN).</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_session_receive_buf(fuse_session* session, fuse_buf* buffer);

    /// <summary>Unmounts; does nothing when it is not mounted, blocks while the kernel flushes.</summary>
    [LibraryImport("libfuse3")]
    public static partial void fuse_session_unmount(fuse_session* session);

    /// <summary>Calls destroy (once INIT was handled), closes the descriptor, frees the session.</summary>
    [LibraryImport("libfuse3")]
    public static partial void fuse_session_destroy(fuse_session* session);

    /// <summary>Sets the flag that <see cref="fuse_session_exited"/> shows; wakes nobody.</summary>
    [LibraryImport("libfuse3")]
    [SuppressGCTransition]
    public static partial void fuse_session_exit(fuse_session* session);

    [LibraryImport("libfuse3")]
    [SuppressGCTransition]
    public static partial void fuse_session_reset(fuse_session* session);

    /// <summary>Not 0: the session is over (exit was called, or the kernel sent DESTROY or closed).</summary>
    [LibraryImport("libfuse3")]
    [SuppressGCTransition]
    public static partial int fuse_session_exited(fuse_session* session);

    /// <summary>The userdata of <see cref="fuse_session_new"/>.</summary>
    [LibraryImport("libfuse3")]
    [SuppressGCTransition]
    public static partial void* fuse_req_userdata(fuse_req* request);

    /// <summary>Who asks; valid until the request is answered.</summary>
    [LibraryImport("libfuse3")]
    [SuppressGCTransition]
    public static partial fuse_ctx* fuse_req_ctx(fuse_req* request);

    /// <summary>
    /// Supplementary groups of the caller, read from /proc: all of them are counted, up to <paramref name="size"/> written.
    /// </summary>
    /// <returns>The count, or -ENOENT: no /proc, or the caller is gone or of another pid namespace; -EIO, -ENOMEM.</returns>
    [LibraryImport("libfuse3")]
    public static partial int fuse_req_getgroups(fuse_req* request, int size, uint* list);

    /// <summary>Not 0: the caller was interrupted and waits no more; an answer is needed all the same.</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_req_interrupted(fuse_req* request);

    /// <summary>Version of the library, 314 for 3.14.</summary>
    [LibraryImport("libfuse3")]
    [SuppressGCTransition]
    public static partial int fuse_version();

    /// <summary>Version of the library as text, e.g. 3.14.0; static memory.</summary>
    [LibraryImport("libfuse3")]
    [SuppressGCTransition]
    public static partial byte* fuse_pkgversion();
}
