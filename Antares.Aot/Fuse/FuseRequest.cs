using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Aot.Overlay;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// A request that is worked on: where to find the file system, and the replies, each of which may be given once. After a reply nothing of
/// the request is touched but the thread's own context.
/// </summary>
/// <remarks>
/// Most replies are written here, head and body in one piece: libfuse gives them to writev(2) in two, each of which the kernel looks up and maps by itself.
/// </remarks>
internal readonly unsafe ref struct FuseRequest
{
    private readonly fuse_req* _handle;
    private readonly FuseServer _server;

    public FuseRequest(fuse_req* handle)
    {
        _handle = handle;
        _server = FuseServer.Of(handle);
        Context = RequestContext.Current;
    }

    /// <summary>A request that libfuse has not seen.</summary>
    public FuseRequest(FuseServer server, RequestContext* context)
    {
        _handle = null;
        _server = server;
        Context = context;
    }

    public RequestContext* Context { get; }

    /// <summary>What it is about; of a name, its directory.</summary>
    public ulong Node => Context->Header->nodeid;

    public OverlayFs Fs => _server.FileSystem;

    /// <summary>The kernel keeps what is written for a while (<see cref="FuseOptions.Writeback"/>).</summary>
    public bool CollectsWrites => (_server.Init.Accepted & Flags.FUSE_WRITEBACK_CACHE) != 0;

    /// <summary>Caller of an operation whose body has no umask.</summary>
    public Caller Caller => Context->Caller();

    /// <summary>An empty listing of at most <paramref name="size"/> bytes in the thread's reply buffer.</summary>
    public Listing StartListing(nuint size) => new()
    {
        Buffer = Context->ReplyBuffer,
        Capacity = Math.Min(size, Context->ReplyCapacity),
        CacheSeconds = _server.CacheSeconds,
        StaticLinks = _server.FileSystem.StaticLinks,
        Generation = _server.Generation,
    };

    /// <summary>The answer of an operation that gives nothing back: success or an errno.</summary>
    public void Answer(Errno error)
    {
        if (RequestWait.IsToWait(error))
        {
            Context->ToWait = true;
            AnswerNothing();
            return;
        }

        if (!Context->AwaitedRoom && _server.Room.MayHelp(error, Context->Opcode, Context->RoomEnded))
        {
            Context->AwaitsRoom = true;
            AnswerNothing();
            return;
        }

        bool tells = error != Errno.None && _server.Failures.Announce(Context, error);
        fuse_out_header reply;
        _ = Send(&reply, (uint)sizeof(fuse_out_header), error); // noted there if it is lost
        if (tells)
        {
            _server.Failures.Note(Context, error);
        }
    }

    /// <summary>For FORGET, which has no reply, and for a request that will be answered later.</summary>
    public void AnswerNothing()
    {
        Close(Errno.None);
        Free();
    }

    /// <summary>A name was found or made, or (node 0) is known not to be there.</summary>
    public void AnswerEntry(Errno error, ref EntryReply found)
    {
        if (error != Errno.None)
        {
            Answer(error);
            return;
        }

        if (_server.FileSystem.StaticLinks)
        {
            fixed (stat* attributes = &found.Attributes)
            {
                KernelAttributes.HideLinks(attributes);
            }
        }

        EntryOut reply;
        KernelAttributes.FillEntry(&reply.Body, found.NodeId, in found.Attributes, _server.Generation, _server.CacheSeconds);
        if (Send(&reply.Header, (uint)sizeof(EntryOut), Errno.None) != Errno.None && found.NodeId != NodeId.None)
        {
            // The kernel never saw the entry, so that it will not forget it either.
            Fs.Lookups.Forget(found.NodeId, 1);
        }
    }

    public void AnswerAttributes(Errno error, stat* attributes)
    {
        if (error != Errno.None)
        {
            Answer(error);
            return;
        }

        if (_server.FileSystem.StaticLinks)
        {
            KernelAttributes.HideLinks(attributes);
        }

        AttributesOut reply;
        reply.Body.attr_valid = (ulong)_server.CacheSeconds;
        reply.Body.attr_valid_nsec = 0;
        reply.Body.dummy = 0;
        KernelAttributes.Fill(&reply.Body.attr, in *attributes);
        _ = Send(&reply.Header, (uint)sizeof(AttributesOut), Errno.None); // noted there if it is lost
    }

    /// <summary>Bytes of the thread's reply buffer.</summary>
    public void AnswerBytes(Errno error, nuint length)
    {
        if (error != Errno.None)
        {
            Answer(error);
            return;
        }

        _ = SendBuffer(length); // noted there if it is lost
    }

    /// <summary>
    /// A listing in the thread's reply buffer. With lookup counts in it (<paramref name="plus"/>), they are given back if the reply is lost.
    /// An empty one, the end, is told as <paramref name="end"/> says.
    /// </summary>
    public void AnswerListing(Errno error, ulong directory, ref Listing listing, ListingEnd end, bool plus)
    {
        // What was accepted must arrive: an error in the middle shows at the next call.
        if (error != Errno.None && listing.Used == 0)
        {
            Answer(error);
            return;
        }

        if (listing.Used == 0 && (end == ListingEnd.KeepNothing || (end == ListingEnd.DropKept && !_server.TryDropPages(directory))))
        {
            listing.EndUnkept();
        }

        if (SendBuffer(listing.Used) != Errno.None && plus)
        {
            listing.ForgetAll(Fs.Lookups);
        }
    }

    /// <summary>An extended attribute or their list in the reply buffer, or with <paramref name="wanted"/> 0 its length alone.</summary>
    public void AnswerXattr(Errno error, uint wanted, int length)
    {
        if (error != Errno.None || wanted != 0)
        {
            AnswerBytes(error, (nuint)length);
            return;
        }

        XattrLengthOut reply;
        reply.Body = new fuse_getxattr_out { size = (uint)length };
        _ = Send(&reply.Header, (uint)sizeof(XattrLengthOut), Errno.None); // noted there if it is lost
    }

    public void AnswerWritten(Errno error, ulong count)
    {
        if (error != Errno.None)
        {
            Answer(error);
            return;
        }

        WrittenOut reply;
        reply.Body = new fuse_write_out { size = (uint)count };
        _ = Send(&reply.Header, (uint)sizeof(WrittenOut), Errno.None); // noted there if it is lost
    }

    public void AnswerStatfs(Errno error, statvfs* result)
    {
        if (error != Errno.None)
        {
            Answer(error);
            return;
        }

        Close(Errno.None);
        Sent(Reply.fuse_reply_statfs(_handle, result));
    }

    public void AnswerOffset(Errno error, long offset)
    {
        if (error != Errno.None)
        {
            Answer(error);
            return;
        }

        Close(Errno.None);
        Sent(Reply.fuse_reply_lseek(_handle, offset));
    }

    public void AnswerIoctl(Errno error, byte* output, nuint length)
    {
        if (error != Errno.None)
        {
            Answer(error);
            return;
        }

        Close(Errno.None);
        Sent(Reply.fuse_reply_ioctl(_handle, 0, output, length));
    }

    /// <summary>The catch of every trampoline: an exception that left it would end the process and with it the mount.</summary>
    public static void Crashed(fuse_req* handle, Exception exception)
    {
        RequestContext* context = RequestContext.Current;
        FailureReporter failures = FailureReporter.OfThread!;
        failures.NoteException(context, exception);
        if (!context->Answered)
        {
            // Else libfuse has freed it.
            context->Answered = true;
            context->Outcome = Errno.EIO;
            _ = failures.Announce(context, Errno.EIO); // always told
            _ = Reply.fuse_reply_err(handle, Errno.EIO); // there is nobody left to tell
            failures.Note(context, Errno.EIO);
        }
    }

    // libfuse, if it knows of the request, only frees what it keeps of it.
    private Errno Send(fuse_out_header* reply, uint length, Errno outcome)
    {
        reply->len = length;
        reply->error = ReplyError.Of(outcome);
        reply->unique = Context->Header->unique;
        Close(outcome);
        Errno error = FileIo.Write(_server.ReplyDescriptor, reply, length, out _);
        Free();
        if (error != Errno.None)
        {
            _server.ReplyLost(error);
        }

        return error;
    }

    // The reply buffer has room for the head before it.
    private Errno SendBuffer(nuint length)
    {
        fuse_out_header* reply = (fuse_out_header*)Context->ReplyBuffer - 1;
        return Send(reply, (uint)(length + (nuint)sizeof(fuse_out_header)), Errno.None);
    }

    private void Free()
    {
        if (_handle != null)
        {
            Reply.fuse_reply_none(_handle);
        }
    }

    // Set before the reply is sent, so that an exception after it cannot answer a second time.
    private void Close(Errno error)
    {
        Context->Outcome = error;
        Context->Answered = true;
    }

    private void Sent(int result)
    {
        if (result < 0)
        {
            _server.ReplyLost((Errno)(-result));
        }
    }
}
