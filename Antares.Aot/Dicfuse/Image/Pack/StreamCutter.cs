using System.Runtime.InteropServices;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>
/// Cuts the stream of contents into frames: small contents share one, a large one begins its own and is cut every frame size, so that reads
/// of aligned parts need one frame each. Whole frames of zeros are given as such.
/// </summary>
/// <param name="frames">Takes them.</param>
/// <param name="frameBytes">Most raw bytes of each.</param>
internal sealed unsafe class StreamCutter(FrameCompressor frames, int frameBytes)
{
    private byte* _room;
    private int _used;
    private ulong _zeros;
    private ulong _position;

    /// <summary>Where the next byte will be in the stream.</summary>
    public ulong Position => _position;

    /// <summary>Bytes of zeros given as such so far.</summary>
    public ulong Zeros { get; private set; }

    /// <summary>Adds the whole of a content that fits into one frame.</summary>
    public void AddSmall(byte* bytes, int count)
    {
        if (_used + count > frameBytes)
        {
            Flush();
        }

        Buffer.MemoryCopy(bytes, Open() + _used, frameBytes - _used, count);
        _used += count;
        _position += (ulong)count;
        if (_used == frameBytes)
        {
            Flush();
        }
    }

    /// <summary>Ends the frame at hand; a large content begins after this.</summary>
    public void Flush()
    {
        if (_zeros != 0)
        {
            // They take the place whose room may be open.
            frames.GiveZeros(_zeros);
            _zeros = 0;
            _room = null;
        }

        if (_used != 0)
        {
            frames.Give(_used);
            _used = 0;
            _room = null;
        }
    }

    /// <summary>Where the next part of a large content may be put before it is added: room for a frame.</summary>
    public byte* PartRoom() => Open();

    /// <summary>Adds the part that is in <see cref="PartRoom"/>: a whole frame, or the last of a content.</summary>
    public void AddPart(int count)
    {
        if (!new ReadOnlySpan<byte>(_room, count).ContainsAnyExcept((byte)0))
        {
            AddZeros((ulong)count);
            return;
        }

        if (_zeros != 0)
        {
            // The bytes are in the room of the frame that the zeros come before.
            byte* kept = (byte*)NativeMemory.Alloc((nuint)count);
            Buffer.MemoryCopy(_room, kept, count, count);
            Flush();
            Buffer.MemoryCopy(kept, Open(), frameBytes, count);
            NativeMemory.Free(kept);
        }

        _used = count;
        _position += (ulong)count;
        if (count == frameBytes)
        {
            Flush();
        }
    }

    /// <summary>Adds zeros without looking at them. No part may be open.</summary>
    public void AddZeros(ulong count)
    {
        _zeros += count;
        Zeros += count;
        _position += count;
    }

    /// <summary>Ends a large content: what follows does not mix with its zeros.</summary>
    public void EndLarge()
    {
        if (_zeros != 0)
        {
            Flush();
        }
    }

    private byte* Open()
    {
        if (_room == null)
        {
            _room = frames.Room();
        }

        return _room;
    }
}
