using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Aot.Overlay;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// A request in a trampoline: where to find the file system, and the replies, each of which may be given once. After a reply nothing of
/// the request is touched but the thread's own context.
/// </summary>
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

    public RequestContext* Context { get; }

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

        if (!Context->AwaitedRoom && _server.Room.MayHelp(error, Context->Opcode))
        {
            Context->AwaitsRoom = true;
            AnswerNothing();
            return;
        }

        bool tells = error != Errno.None && _server.Failures.Announce(Context, error);
        Close(error);
        Sent(Reply.fuse_reply_err(_handle, error));
        if (tells)
        {
            _server.Failures.Note(Context, error);
        }
    }

    /// <summary>For FORGET, which has no reply, and for a request that will be answered later.</summary>
    public void AnswerNothing()
    {
        Close(Errno.None);
        Reply.fuse_reply_none(_handle);
    }

    /// <summary>A name was found or made, or (node 0) is known not to be there.</summary>
    public void AnswerEntry(Errno error, ref EntryReply found)
    {
        if (error != Errno.None)
        {
            Answer(error);
            return;
        }

        fuse_entry_param entry;
        FillEntry(&entry, ref found);
        Close(Errno.None);
        UndoIfLost(Reply.fuse_reply_entry(_handle, &entry), found.NodeId);
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

        Close(Errno.None);
        Sent(Reply.fuse_reply_attr(_handle, attributes, _server.CacheSeconds));
    }

    /// <summary>Bytes of the thread's reply buffer.</summary>
    public void AnswerBytes(Errno error, nuint length)
    {
        if (error != Errno.None)
        {
            Answer(error);
            return;
        }

        Close(Errno.None);
        Sent(Reply.fuse_reply_buf(_handle, Context->ReplyBuffer, length));
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

        Close(Errno.None);
        int sent = Reply.fuse_reply_buf(_handle, listing.Buffer, listing.Used);
        Sent(sent);
        if (sent < 0 && plus)
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

        Close(Errno.None);
        Sent(Reply.fuse_reply_xattr(_handle, (nuint)length));
    }

    public void AnswerWritten(Errno error, ulong count)
    {
        if (error != Errno.None)
        {
            Answer(error);
            return;
        }

        Close(Errno.None);
        Sent(Reply.fuse_reply_write(_handle, (nuint)count));
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
        FailureReporter failures = FuseServer.Of(handle).Failures;
        failures.NoteException(context, exception);
        if (!context->Answered)
        {
            context->Answered = true;
            context->Outcome = Errno.EIO;
            _ = failures.Announce(context, Errno.EIO); // always told
            _ = Reply.fuse_reply_err(handle, Errno.EIO); // there is nobody left to tell
            failures.Note(context, Errno.EIO);
        }
    }

    private void FillEntry(fuse_entry_param* entry, ref EntryReply reply)
    {
        entry->ino = reply.NodeId;
        entry->generation = _server.Generation;
        entry->attr = reply.Attributes;
        if (_server.FileSystem.StaticLinks)
        {
            KernelAttributes.HideLinks(&entry->attr);
        }

        entry->attr_timeout = _server.CacheSeconds;
        entry->entry_timeout = _server.CacheSeconds;
    }

    // Set before the reply is sent, so that an exception after it cannot answer a second time.
    private void Close(Errno error)
    {
        Context->Outcome = error;
        Context->Answered = true;
    }

    private void UndoIfLost(int sent, ulong nodeId)
    {
        Sent(sent);
        if (sent < 0 && nodeId != NodeId.None)
        {
            // The kernel never saw the entry, so that it will not forget it either.
            Fs.Lookups.Forget(nodeId, 1);
        }
    }

    private void Sent(int result)
    {
        if (result < 0)
        {
            _server.ReplyLost((Errno)(-result));
        }
    }
}
