using Antares.Aot.Base;
using Antares.Aot.Overlay;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// The requests that libfuse 3.14 does not know, answered from the raw buffer before it sees them, and those that need no libfuse.
/// </summary>
/// <remarks>
/// <list type="bullet">
/// <item>TMPFILE (Linux 6.1): O_TMPFILE; the reply is that of CREATE.</item>
/// <item>COPY_FILE_RANGE_64 (6.18): as COPY_FILE_RANGE with a 64-bit count.</item>
/// <item>STATX (6.6): ENOSYS, upon which the kernel never asks again and serves statx from the attributes it has. What is lost is the
/// birth time, which few layers know. An answer would cost one request per file for every program that asks for the birth time too, as
/// each Rust program does with its metadata call, even where READDIRPLUS has brought the attributes just before.</item>
/// <item>SYNCFS: ENOSYS; Linux sends it to virtiofs and fuseblk only, and takes ENOSYS for success.</item>
/// <item>INTERRUPT: has no answer of its own. It lets a killed process go that waits for a source; nothing else can be broken off in the middle.</item>
/// </list>
/// </remarks>
/// <param name="fs">Where TMPFILE and COPY_FILE_RANGE_64 go.</param>
/// <param name="room">For requests that find no room.</param>
/// <param name="failures">Ring of failures.</param>
/// <param name="device">Descriptor that replies are written to.</param>
/// <param name="old">The kernel is (or plays) one before 5.17: it sends none of these, and gets ENOSYS if it does.</param>
/// <param name="generation">Of the mount.</param>
/// <param name="cacheSeconds">How long names and attributes may be kept.</param>
internal sealed unsafe class RawRequests(OverlayFs fs, RoomRelief room, FailureReporter failures, int device, bool old, ulong generation, double cacheSeconds)
{
    private static readonly Func<uint, bool> s_isKilled = CallerRights.IsKilled;

    /// <summary>Is this one answered here?</summary>
    public static bool Handles(fuse_opcode opcode) => opcode
        is fuse_opcode.FUSE_TMPFILE or fuse_opcode.FUSE_STATX or fuse_opcode.FUSE_SYNCFS or fuse_opcode.FUSE_COPY_FILE_RANGE_64
        or fuse_opcode.FUSE_INTERRUPT;

    /// <summary>Answers a request for which <see cref="Handles"/> is true; its shape has been checked.</summary>
    public void Answer(RequestContext* context)
    {
        switch (context->Opcode)
        {
            case fuse_opcode.FUSE_TMPFILE when !old:
                Tmpfile(context);
                break;
            case fuse_opcode.FUSE_COPY_FILE_RANGE_64 when !old:
                CopyFileRange(context);
                break;
            case fuse_opcode.FUSE_INTERRUPT:
                Interrupt(context);
                break;
            default:
                AnswerError(context, Errno.ENOSYS);
                break;
        }
    }

    /// <summary>
    /// A process that waits for an answer got a signal. One that was killed is let go where it waits for its turn at a source (its request has changed
    /// nothing) or for a server (<see cref="CallerWait"/>; the request fails as when the server is away). All others go on to their end, as on a disk,
    /// where no signal makes a call fail; the interruption itself needs no answer.
    /// </summary>
    private void Interrupt(RequestContext* context)
    {
        context->Answered = true;
        ulong unique = ((fuse_interrupt_in*)context->Body)->unique;
        if (RequestPlaces.TryFind(unique, out uint thread) && CallerRights.IsKilled(thread) && RequestPlaces.TryTakeOut(unique))
        {
            var reply = new fuse_out_header { len = (uint)sizeof(fuse_out_header), error = -(int)Errno.EINTR, unique = unique };
            _ = FileIo.Write(device, &reply, (nuint)sizeof(fuse_out_header), out _); // lost only when the mount is gone
            return;
        }

        CallerWait.Tell(unique, s_isKilled);
    }

    /// <summary>Answers any request with an errno.</summary>
    public void AnswerError(RequestContext* context, Errno error)
    {
        if (RequestWait.IsToWait(error))
        {
            context->ToWait = true;
            context->Answered = true;
            return;
        }

        if (!context->AwaitedRoom && room.MayHelp(error, context->Opcode, context->RoomEnded))
        {
            context->AwaitsRoom = true;
            context->Answered = true;
            return;
        }

        var reply = new fuse_out_header { len = (uint)sizeof(fuse_out_header), error = ReplyError.Of(error), unique = context->Header->unique };
        context->Outcome = error;
        context->Answered = true;
        bool tells = failures.Announce(context, error);
        _ = FileIo.Write(device, &reply, (nuint)sizeof(fuse_out_header), out _); // lost only when the mount is gone
        if (tells)
        {
            failures.Note(context, error);
        }
    }

    private void Tmpfile(RequestContext* context)
    {
        var body = (fuse_create_in*)context->Body;
        EntryReply made = default;
        Errno error = fs.Creation.Tmpfile(
            context->Caller(body->umask), context->Header->nodeid, body->mode, (int)body->flags, ref made);
        if (error != Errno.None)
        {
            AnswerError(context, error);
            return;
        }

        var reply = new CreateReply { Open = default };
        KernelAttributes.FillEntry(&reply.Entry, made.NodeId, made.Attributes, generation, cacheSeconds);
        if (Send(context, &reply.Header, (uint)sizeof(CreateReply)) != Errno.None)
        {
            // The kernel never saw the file, so that it will not forget it either.
            fs.Lookups.Forget(made.NodeId, 1);
        }
    }

    private void CopyFileRange(RequestContext* context)
    {
        var body = (fuse_copy_file_range_in*)context->Body;
        Errno error = fs.Data.CopyFileRange(
            context->Caller(), context->Header->nodeid, body->off_in, body->nodeid_out, body->off_out, body->len, (uint)body->flags, out ulong copied);
        if (error != Errno.None)
        {
            AnswerError(context, error);
            return;
        }

        CopyReply reply = default;
        reply.Body.bytes_copied = copied;
        _ = Send(context, &reply.Header, (uint)sizeof(CopyReply)); // lost only when the mount is gone
    }

    private Errno Send(RequestContext* context, fuse_out_header* reply, uint length)
    {
        reply->len = length;
        reply->unique = context->Header->unique;
        context->Outcome = Errno.None;
        context->Answered = true;
        return FileIo.Write(device, reply, length, out _);
    }

    private struct CreateReply
    {
        public fuse_out_header Header;
        public fuse_entry_out Entry;

        // All zero: no handle, no flags.
        public fuse_open_out Open;
    }

    private struct CopyReply
    {
        public fuse_out_header Header;
        public fuse_copy_file_range_out Body;
    }
}
