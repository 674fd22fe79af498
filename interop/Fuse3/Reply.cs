using System.Runtime.InteropServices;

namespace Antares.Interop.Fuse3;

/// <summary>
/// Answers. Each ends the request: nothing of it may be touched after. All answer 0 or a negative errno of the write to the
/// device (-ENOENT: the request was interrupted and taken back), which no caller can mend: to be counted, not to be acted on.
/// The exception is an entry or create reply that fails: its lookup never reached the kernel, so it must be forgotten.
/// </summary>
public static unsafe partial class Reply
{
    /// <param name="request">The request.</param>
    /// <param name="error">A positive errno, or 0 for success of an op without an answer of its own.</param>
    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_err(fuse_req* request, int error);

    /// <summary>As the C form.</summary>
    public static int fuse_reply_err(fuse_req* request, Errno error) => fuse_reply_err(request, (int)error);

    /// <summary>For forget and forget_multi, which have no answer on the wire.</summary>
    [LibraryImport("libfuse3")]
    public static partial void fuse_reply_none(fuse_req* request);

    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_entry(fuse_req* request, fuse_entry_param* entry);

    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_create(fuse_req* request, fuse_entry_param* entry, fuse_file_info* info);

    /// <param name="request">The request.</param>
    /// <param name="attributes">st_ino is sent as it stands.</param>
    /// <param name="timeoutSeconds">How long they may be cached.</param>
    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_attr(fuse_req* request, stat* attributes, double timeoutSeconds);

    /// <summary><paramref name="link"/> is NUL-terminated.</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_readlink(fuse_req* request, byte* link);

    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_open(fuse_req* request, fuse_file_info* info);

    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_write(fuse_req* request, nuint count);

    /// <summary>Bytes for read, readdir, readdirplus, getxattr, listxattr; size 0 (buffer null) is the end.</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_buf(fuse_req* request, byte* buffer, nuint size);

    /// <summary>As <see cref="fuse_reply_buf"/> of pieces that may be descriptors.</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_data(fuse_req* request, fuse_bufvec* buffers, uint flags);

    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_iov(fuse_req* request, iovec* pieces, int count);

    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_statfs(fuse_req* request, statvfs* result);

    /// <summary>The size, for getxattr and listxattr with size 0.</summary>
    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_xattr(fuse_req* request, nuint count);

    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_lock(fuse_req* request, flock* found);

    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_bmap(fuse_req* request, ulong index);

    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_lseek(fuse_req* request, long offset);

    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_ioctl(fuse_req* request, int result, void* buffer, nuint size);

    [LibraryImport("libfuse3")]
    public static partial int fuse_reply_poll(fuse_req* request, uint revents);
}
