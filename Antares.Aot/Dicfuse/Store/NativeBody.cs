using System.Runtime.InteropServices;
using Antares.Aot.Dicfuse.Tree;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>Bytes of an answer in native memory: listings may be large, and the managed heap is small on purpose.</summary>
internal sealed unsafe class NativeBody : IDisposable
{
    private byte* _bytes;
    private nuint _room;

    ~NativeBody() => NativeMemory.Free(_bytes);

    public int Length { get; private set; }

    public byte* Pointer => _bytes;

    public ReadOnlySpan<byte> Span => new(_bytes, Length);

    /// <summary>A body of a known length, to be filled through <see cref="Pointer"/>; null: no memory.</summary>
    public static NativeBody? OfLength(int length)
    {
        var body = new NativeBody();
        if (!body.TryReserve((nuint)length))
        {
            body.Dispose();
            return null;
        }

        body.Length = length;
        return body;
    }

    /// <summary>False: no memory.</summary>
    public bool TryAppend(ReadOnlySpan<byte> more)
    {
        if (!TryReserve((nuint)Length + (nuint)more.Length))
        {
            return false;
        }

        more.CopyTo(new Span<byte>(_bytes + Length, more.Length));
        Length += more.Length;
        return true;
    }

    public void Dispose()
    {
        NativeMemory.Free(_bytes);
        _bytes = null;
        Length = 0;
        GC.SuppressFinalize(this);
    }

    private bool TryReserve(nuint wanted)
    {
        if (wanted <= _room)
        {
            return true;
        }

        nuint room = Math.Max(Math.Max(wanted, 1024), _room * 2);
        if (!NativeBlock.TryGrow(ref _bytes, room))
        {
            return false;
        }

        _room = room;
        return true;
    }
}
