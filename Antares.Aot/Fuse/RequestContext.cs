using Antares.Aot.Base;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// The request that a thread works on, in native memory, one per thread of the loop. It gives the operations what libfuse 3.14 hides
/// (flags that it does not know, the caller without a further call) and takes back what was answered.
/// </summary>
internal unsafe struct RequestContext
{
    [ThreadStatic]
    private static RequestContext* t_current;

    /// <summary>The request as read from the device. Valid until the thread reads the next one.</summary>
    public fuse_in_header* Header;

    /// <summary>First name of the body (lengths checked), or the default where the operation has none.</summary>
    public ByteName Name;

    /// <summary>Second name (rename) or target (symlink).</summary>
    public ByteName SecondName;

    /// <summary>Room for a reply, in the same buffer behind where the short requests that need it end; the head's is right before it.</summary>
    public byte* ReplyBuffer;
    public uint ReplyCapacity;

    /// <summary>errno of the reply.</summary>
    public Errno Outcome;

    /// <summary>A reply has been sent, or none is due: nothing more may be sent for this request.</summary>
    public bool Answered;

    /// <summary>No reply has been sent: the request is to wait for a place at a source, or among those that wait for room.</summary>
    public bool ToWait;

    /// <summary>No reply has been sent: the request found no room, and is to be served once more (<see cref="RoomRelief"/>).</summary>
    public bool AwaitsRoom;

    /// <summary>It has waited for room already.</summary>
    public bool AwaitedRoom;

    /// <summary><see cref="RoomRelief.Ended"/> when it began.</summary>
    public long RoomEnded;

    /// <summary>Its data are not behind its body but in the thread's pipe (<see cref="PipedRequests"/>).</summary>
    public bool IsPiped;

    /// <summary>How many of the thread's requests were. Read by others as a gauge.</summary>
    public long Piped;

    /// <summary>When the request was read, in ticks of Stopwatch; 0 while the thread has none. Read by the watching thread.</summary>
    public long Started;

    /// <summary>When the last one had been served, in ticks of Stopwatch.</summary>
    public long Ended;

    /// <summary>Requests that the thread has read. Read by others as a gauge.</summary>
    public long Served;

    /// <summary>As <see cref="Served"/>, large ones counted <see cref="WakeUps.WeightOfALarge"/> times. Read by others.</summary>
    public long Weight;

    /// <summary>When the last <see cref="WakeUps.WeightOfABurst"/> of that had come, in ticks of Stopwatch.</summary>
    public long Told;

    /// <summary>Requests since the thread last decided about the number of readers (<see cref="ReaderMode"/>).</summary>
    public int Noted;

    /// <summary>Those of them that were there when the thread came back.</summary>
    public int AtOnce;

    /// <summary>What they took, in ticks of Stopwatch.</summary>
    public long ServedTicks;

    /// <summary>Another thread was fetched to read while this request is served.</summary>
    public bool Replaced;

    /// <summary>How much speaks for looking for the next request before sleeping.</summary>
    public int Credit;

    /// <summary>Of the calling thread; null outside the loop.</summary>
    public static RequestContext* Current
    {
        get => t_current;
        set => t_current = value;
    }

    public readonly fuse_opcode Opcode => (fuse_opcode)Header->opcode;

    /// <summary>Bytes that a READ asks for; 0: another request.</summary>
    public readonly uint ReadSize => Opcode == fuse_opcode.FUSE_READ && Header->len >= sizeof(fuse_in_header) + sizeof(fuse_read_in) ? ((fuse_read_in*)(Header + 1))->size : 0;

    /// <summary>What follows the header.</summary>
    public readonly void* Body => Header + 1;

    /// <summary>Who asks. The umask comes with the body of creating requests only.</summary>
    public readonly Caller Caller(uint umask = 0) => new(Header->uid, Header->gid, Header->pid, umask);
}
