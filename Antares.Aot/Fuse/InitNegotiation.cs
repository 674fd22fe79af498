using Antares.Interop;
using Antares.Interop.Fuse3;
using static Antares.Interop.Fuse3.Flags;

namespace Antares.Aot.Fuse;

/// <summary>What kernel and mount agreed on.</summary>
/// <param name="Minor">Protocol minor of the kernel (7.x), as far as the mask lets it be seen.</param>
/// <param name="Offered">INIT flags of the kernel, masked.</param>
/// <param name="Accepted">Those that we took.</param>
public readonly record struct InitResult(uint Minor, ulong Offered, ulong Accepted);

/// <summary>
/// Answers INIT, once, before the loop starts. libfuse 3.14 writes the reply, but into a pipe that stands in for the device meanwhile, so
/// that the flags and limits it does not know can be put in on the way. Nothing of this is left on the path of later requests.
/// </summary>
internal static unsafe class InitNegotiation
{
    /// <summary>Bytes that the largest READ stays below, with MAX_PAGES.</summary>
    public const uint MaxTransfer = 1 << 20;

    /// <summary>
    /// Pages, or parts of pages, of a request at most. Direct I/O from many small pieces of memory (writev(2)) makes a part of each, and each takes a place in the pipe
    /// (fuse_copy_folio), beside the head's: a request that finds none is answered EIO by the kernel itself. So they are as many as a pipe that anybody may
    /// have (1 MiB) has places for.
    /// </summary>
    public const ushort MaxPages = 255;

    /// <summary>
    /// Largest WRITE in bytes. What the client has just put into its pages is still in the processor's cache when they are handed over, and fits into a
    /// pipe that anybody may have (1 MiB at a time takes a quarter longer).
    /// </summary>
    public const uint MaxWrite = 384 << 10;

    /// <summary>Room that the kernel wants beyond the data of a WRITE (FUSE_BUFFER_HEADER_SIZE of libfuse).</summary>
    public const uint HeaderRoom = 4096;

    /// <summary>
    /// Reads of files, asynchronous direct I/O and FORGETs that may wait for us at a time. While so many wait, no other file is read: a
    /// source that stands still must not stop those of the others, so there is no end to it that matters.
    /// </summary>
    public const ushort MaxBackground = 4096;

    /// <summary>From here on the kernel counts the device as congested and holds read-ahead back.</summary>
    public const ushort CongestionThreshold = 48;

    /// <summary>A minor that the kernel of <see cref="InitFlags.Linux515"/> speaks.</summary>
    private const uint MinorWithoutInitExt = 34;
    private const uint DefaultMaxTransfer = 32 * 4096;

    /// <summary>Reads INIT from the session's descriptor and answers it; the descriptor is what it was, afterwards.</summary>
    /// <param name="session">Mounted, nothing read from it yet.</param>
    /// <param name="visible">INIT flags that may be seen (<see cref="FuseOptions.InitMask"/>).</param>
    /// <param name="asked">Those that are taken only when asked for, and are.</param>
    /// <param name="result">What was agreed.</param>
    /// <returns>None; EPROTO: the kernel speaks something else, or libfuse refused; ENODEV: unmounted already; errno of the plumbing.</returns>
    public static Errno Run(fuse_session* session, ulong visible, ulong asked, out InitResult result)
    {
        result = default;
        int device = Session.fuse_session_fd(session);
        Errno error = Fd.DupCloexec(device, out int real);
        if (error != Errno.None)
        {
            return error;
        }

        using var kept = new OwnedFd(real);
        int* ends = stackalloc int[2];
        error = Fd.Pipe2(ends, Fcntl.O_CLOEXEC);
        if (error != Errno.None)
        {
            return error;
        }

        using var readEnd = new OwnedFd(ends[0]);
        using (new OwnedFd(ends[1]))
        {
            error = Fd.Dup3(ends[1], device, Fcntl.O_CLOEXEC);
        }

        if (error != Errno.None)
        {
            return error;
        }

        error = Exchange(session, real, readEnd.Value, visible, asked, out result);

        // Also after a failure: whoever cleans up must find the device, not a pipe.
        Errno restored = Fd.Dup3(real, device, Fcntl.O_CLOEXEC);
        return error == Errno.None ? restored : error;
    }

    /// <summary>Hides from a request what <paramref name="visible"/> does not have. Without INIT_EXT the kernel looks like one before 5.17.</summary>
    internal static ulong Mask(fuse_init_in* body, nuint length, ulong visible)
    {
        bool extended = length >= 20 && (body->flags & visible & FUSE_INIT_EXT) != 0;
        ulong offered = body->flags | (extended ? (ulong)body->flags2 << 32 : 0);
        offered &= visible;
        body->flags = (uint)offered;
        if (extended)
        {
            body->flags2 = (uint)(offered >> 32);
        }
        else if ((visible & FUSE_INIT_EXT) == 0)
        {
            body->minor = Math.Min(body->minor, MinorWithoutInitExt);
        }

        return offered;
    }

    /// <summary>Puts our flags and limits into a reply that libfuse wrote.</summary>
    /// <param name="reply">The reply with its header.</param>
    /// <param name="length">Bytes of it.</param>
    /// <param name="offered">What the kernel offered, masked.</param>
    /// <param name="asked">What is taken only when asked for, and is.</param>
    /// <param name="accepted">What the reply says now.</param>
    /// <returns>None; EPROTO: no reply to INIT of protocol 7.23 or later, or an error of libfuse's. The reply is unchanged then.</returns>
    internal static Errno Patch(byte* reply, nuint length, ulong offered, ulong asked, out ulong accepted)
    {
        accepted = 0;
        var header = (fuse_out_header*)reply;
        if (length != (nuint)(sizeof(fuse_out_header) + sizeof(fuse_init_out)) || header->len != length || header->error != 0)
        {
            return Errno.EPROTO;
        }

        var body = (fuse_init_out*)(reply + sizeof(fuse_out_header));
        if (body->major != FUSE_KERNEL_VERSION)
        {
            return Errno.EPROTO;
        }

        accepted = InitFlags.Accept(offered, asked);
        body->flags = (uint)accepted;
        body->flags2 = (accepted & FUSE_INIT_EXT) != 0 ? (uint)(accepted >> 32) : 0;
        bool large = (accepted & FUSE_MAX_PAGES) != 0;
        body->max_write = large ? MaxWrite : DefaultMaxTransfer;
        body->max_pages = large ? MaxPages : (ushort)0;
        body->max_background = MaxBackground;
        body->congestion_threshold = CongestionThreshold;
        body->time_gran = 1;
        body->map_alignment = 0;
        body->max_stack_depth = 0;
        body->request_timeout = 0;
        return Errno.None;
    }

    private static Errno Exchange(fuse_session* session, int real, int pipe, ulong visible, ulong asked, out InitResult result)
    {
        result = default;
        byte* request = stackalloc byte[(int)FUSE_MIN_READ_BUFFER];
        Errno error = FileIo.Read(real, request, FUSE_MIN_READ_BUFFER, out nuint got);
        if (error != Errno.None)
        {
            return error;
        }

        var header = (fuse_in_header*)request;
        if (got < (nuint)sizeof(fuse_in_header) + 16 || header->len != got || header->opcode != (uint)fuse_opcode.FUSE_INIT)
        {
            return Errno.EPROTO;
        }

        var body = (fuse_init_in*)(header + 1);
        ulong offered = Mask(body, got - (nuint)sizeof(fuse_in_header), visible);
        uint minor = body->minor;
        var buffer = new fuse_buf { size = got, mem = request, fd = -1 };
        Session.fuse_session_process_buf(session, &buffer);

        // libfuse has answered by now, or it never will: not to block here, look first.
        var poll = new pollfd { fd = pipe, events = 1 /* POLLIN */ };
        error = Signals.Poll(&poll, 1, 0, out int ready);
        if (error != Errno.None || ready == 0)
        {
            return error == Errno.None ? Errno.EPROTO : error;
        }

        byte* reply = stackalloc byte[256];
        error = FileIo.Read(pipe, reply, 256, out nuint length);
        if (error != Errno.None)
        {
            return error;
        }

        Errno patched = Patch(reply, length, offered, asked, out ulong accepted);
        error = FileIo.Write(real, reply, length, out _); // the device takes a reply whole or not at all
        result = new InitResult(minor, offered, accepted);
        return patched == Errno.None ? error : patched;
    }
}
