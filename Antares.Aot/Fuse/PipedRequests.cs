using Antares.Aot.Base;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// Reads a thread's requests through a pipe while they are large writes, so that their data get to the file without a copy in memory. What comes is not
/// known before it is read, so one large write makes the next expected, and anything else ends that.
/// </summary>
/// <remarks>The pipe is made when it is first needed, and kept until the thread parks.</remarks>
internal sealed unsafe class PipedRequests(int device) : IDisposable
{
    /// <summary>
    /// What the device is asked for at most. More than the largest WRITE could be a list of FORGETs that has no room in the pipe, and would be lost.
    /// </summary>
    public const uint Capacity = InitNegotiation.MaxWrite + InitNegotiation.HeaderRoom;

    // A pipe costs a further system call and a page for the head; a copy of so much costs more.
    private const uint LargeBytes = 32 << 10;

    [ThreadStatic]
    private static PipedData? t_data;

    private PipedData? _data;
    private bool _hasTried;

    /// <summary>The pipe of the calling thread, whose request <see cref="RequestContext.IsPiped"/>.</summary>
    public static PipedData? DataOfThread => t_data;

    /// <summary>The next request is to be read by <see cref="Read"/>.</summary>
    public bool AreExpected { get; private set; }

    /// <summary>Reads a request, and its data too unless it is a WRITE that can leave them in the pipe.</summary>
    /// <param name="context">Of the calling thread; the request is put where its Header points, and told whether it is piped.</param>
    /// <param name="got">Bytes of the request.</param>
    /// <returns>As read(2) of the device.</returns>
    public Errno Read(RequestContext* context, out nuint got)
    {
        PipedData data = _data!;
        if (data.Left > 0)
        {
            AreExpected = false;
            return FileIo.Read(device, context->Header, LoopBuffer.RequestCapacity, out got);
        }

        Errno error = data.Fill(device, Capacity, out got);
        if (error != Errno.None)
        {
            if (error is Errno.EAGAIN or Errno.ENODEV or Errno.ENOENT)
            {
                return error;
            }

            // What a read would not have met is no reason to end the mount.
            AreExpected = false;
            return FileIo.Read(device, context->Header, LoopBuffer.RequestCapacity, out got);
        }

        nuint head = Math.Min(got, (nuint)(sizeof(fuse_in_header) + sizeof(fuse_write_in)));
        error = data.Take(context->Header, head);
        context->IsPiped = error == Errno.None && got >= LargeBytes && context->Opcode == fuse_opcode.FUSE_WRITE
            && ((fuse_write_in*)context->Body)->size == data.Left;
        if (context->IsPiped)
        {
            Volatile.Write(ref context->Piped, context->Piped + 1);
        }

        return error != Errno.None || context->IsPiped ? error : data.Take((byte*)context->Header + head, data.Left);
    }

    /// <summary>
    /// The piped request of the calling thread leaves the pipe, which is needed for others. If it <paramref name="isServedAgain"/>, what is not in
    /// the file yet becomes the whole of it; a write that is done or refused needs nothing of it.
    /// </summary>
    public static void Empty(RequestContext* context, bool isServedAgain)
    {
        PipedData data = t_data!;
        var body = (fuse_write_in*)context->Body;
        byte* memory = (byte*)(body + 1);
        context->IsPiped = false;

        // What was taken out already lies where it would with all of it in memory.
        uint moved = (uint)data.Moved;
        if (data.Take(memory + moved, data.Left) != Errno.None)
        {
            // Its own memory, so that this cannot be: what has such a size is refused (RequestShape).
            body->size = uint.MaxValue;
        }
        else if (isServedAgain && moved > 0)
        {
            body->offset += moved;
            body->size -= moved;
            Buffer.MemoryCopy(memory + moved, memory, body->size, body->size);
        }
    }

    /// <summary>A request of <paramref name="bytes"/> has been served, which tells what to expect.</summary>
    public void Note(nuint bytes) =>
        AreExpected = bytes >= LargeBytes && !(_data?.IsRefused ?? false) && (_data != null || TryMake());

    /// <summary>The thread parks: descriptors and a pipe of this size are too much to keep for nothing.</summary>
    public void GiveUp()
    {
        if (_data != null)
        {
            _hasTried = _data.IsRefused;
            Dispose();
            _data = null;
            AreExpected = false;
        }
    }

    public void Dispose()
    {
        t_data = null;
        _data?.Dispose();
    }

    private bool TryMake()
    {
        if (_hasTried)
        {
            return false;
        }

        // Without (few descriptors, a pipe that may not be so large) writes are copied, as small ones are.
        _hasTried = true;
        if (PipedData.TryMake(1 + InitNegotiation.MaxPages, out _data) == Errno.None)
        {
            t_data = _data;
        }

        return _data != null;
    }
}
