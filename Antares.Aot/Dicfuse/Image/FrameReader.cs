using System.Runtime.InteropServices;
using Antares.Aot.Dicfuse.Image.Remote;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;
using K4os.Hash.xxHash;
using ZstdSharp.Unsafe;

namespace Antares.Aot.Dicfuse.Image;

/// <summary>Where a frame lies, as the table says and as was checked.</summary>
/// <param name="Index">Its number.</param>
/// <param name="Start">Place in the stream of contents.</param>
/// <param name="RawBytes">Length in the stream; at most the image's frame size unless <see cref="IsZeros"/>.</param>
/// <param name="Offset">Place of the packed bytes in the file.</param>
/// <param name="PackedBytes">Their number.</param>
/// <param name="Checksum">XXH64 of them.</param>
internal readonly record struct FramePlace(uint Index, ulong Start, ulong RawBytes, ulong Offset, uint PackedBytes, ulong Checksum)
{
    public bool IsZeros => PackedBytes == 0;

    public ulong End => Start + RawBytes;
}

/// <summary>Finds frames in an image's table, and reads and unpacks them. No state but the image; unpackers are the caller's.</summary>
internal sealed unsafe class FrameReader(ImageFile image)
{
    private readonly SectionPlace _frames = image.Header[ImageSection.Frames];
    private readonly SectionPlace _contents = image.Header[ImageSection.Contents];
    private readonly uint _count = (uint)((image.Header[ImageSection.Frames].Length / ImageFrame.Bytes) - 1);

    /// <summary>Number of frames.</summary>
    public uint Count => _count;

    /// <summary>The frame that holds a byte of the stream of contents.</summary>
    /// <returns>None; EIO: damaged.</returns>
    public Errno Find(ulong position, out FramePlace place)
    {
        place = default;
        uint low = 0;
        uint high = _count;
        while (low < high)
        {
            uint middle = low + ((high - low) / 2);
            Errno error = Entry(middle, out ImageFrame entry);
            if (error != Errno.None)
            {
                return error;
            }

            if (entry.Start <= position)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        if (low == 0)
        {
            return ImageFile.Note("frames: missing");
        }

        // Read once more: what the search saw may have been written over since.
        Errno found = Get(low - 1, out place);
        return found != Errno.None || (place.Start <= position && position < place.End) ? found : ImageFile.Note("frames: missing");
    }

    /// <summary>The frame of a number below <see cref="Count"/>.</summary>
    /// <returns>None; EIO: damaged.</returns>
    public Errno Get(uint index, out FramePlace place)
    {
        place = default;
        Errno error = Entry(index, out ImageFrame entry);
        ImageFrame next = default;
        if (error == Errno.None)
        {
            error = Entry(index + 1, out next);
        }

        if (error != Errno.None)
        {
            return error;
        }

        ulong raw = next.Start - entry.Start;
        ulong packed = next.Packed - entry.Packed;
        bool good = next.Start > entry.Start && next.Start <= image.Header.StreamBytes
            && next.Packed >= entry.Packed && next.Packed <= _contents.Length
            && packed <= raw && (packed == 0 || raw <= image.Header.FrameBytes);
        if (!good)
        {
            return ImageFile.Note("frames: an entry");
        }

        place = new FramePlace(index, entry.Start, raw, _contents.Offset + entry.Packed, (uint)packed, entry.Checksum);
        return Errno.None;
    }

    /// <summary>Reads the packed bytes of a frame that is not all zeros, and compares them with their checksum.</summary>
    /// <param name="place">From <see cref="Find"/> or <see cref="Get"/>.</param>
    /// <param name="packed">Room for them.</param>
    /// <returns>None; EBADMSG, not noted: cut short, or others than were written; EIO: pread(2) failed.</returns>
    public Errno ReadPacked(in FramePlace place, byte* packed)
    {
        Errno error = FileIo.ReadFull(image.Fd, packed, place.PackedBytes, (long)place.Offset, out nuint got);
        if (error != Errno.None)
        {
            return Diagnostics.Failure.Note(ImageFile.LayerName, "pread", Errno.EIO);
        }

        return got == place.PackedBytes && XXH64.DigestOf(packed, (int)place.PackedBytes) == place.Checksum ? Errno.None : Errno.EBADMSG;
    }

    /// <summary>Reads and unpacks a frame that is not all zeros.</summary>
    /// <param name="place">From <see cref="Find"/> or <see cref="Get"/>.</param>
    /// <param name="raw">Receives the frame's raw bytes; room for the image's frame size.</param>
    /// <param name="unpacker">Used by nobody else meanwhile.</param>
    /// <param name="remote">Where the frame may be held, since the disk had no room for it; null: it is in the file.</param>
    /// <returns>None; EBADMSG, not noted: cut short or wrong checksum; EIO: no zstd frame of this length, or the file was written over; else as pread(2).</returns>
    public Errno Read(in FramePlace place, byte* raw, FrameDecoder unpacker, RemoteFrames? remote)
    {
        bool stored = place.PackedBytes == place.RawBytes;
        byte* packed = stored ? raw : unpacker.Packed;
        if (remote?.Keeper.TryReadHeld(place, packed) != true)
        {
            Errno error = ReadPacked(place, packed);
            Errno changed = image.CheckUnchanged();
            error = changed != Errno.None ? changed : error;
            if (error != Errno.None)
            {
                return error;
            }
        }

        return stored || unpacker.TryUnpack(packed, place.PackedBytes, raw, place.RawBytes)
            ? Errno.None
            : ImageFile.Note("contents: zstd");
    }

    private Errno Entry(uint index, out ImageFrame entry)
    {
        ulong at = _frames.Offset + ((ulong)index * ImageFrame.Bytes);
        Errno error = image.Need(at, ImageFrame.Bytes);
        entry = error == Errno.None ? *(ImageFrame*)(image.Base + at) : default;
        return error;
    }
}

/// <summary>A zstd context and room for a packed frame. For one thread at a time.</summary>
internal sealed unsafe class FrameDecoder : IDisposable
{
    private ZSTD_DCtx_s* _context;
    private byte* _packed;

    private FrameDecoder(ZSTD_DCtx_s* context, byte* packed)
    {
        _context = context;
        _packed = packed;
    }

    /// <summary>Room for the packed bytes of one frame.</summary>
    public byte* Packed => _packed;

    /// <summary>Null when there is no memory for it.</summary>
    /// <param name="frameBytes">Most raw bytes of a frame; packed ones are never more.</param>
    public static FrameDecoder? TryMake(ulong frameBytes)
    {
        try
        {
            ZSTD_DCtx_s* context = Methods.ZSTD_createDCtx();
            if (context == null)
            {
                return null;
            }

            if (NativeBlock.TryAlloc((nuint)frameBytes, out byte* packed))
            {
                return new FrameDecoder(context, packed);
            }

            // Frees what was just made; cannot fail for a context that is not in use.
            _ = Methods.ZSTD_freeDCtx(context);
            return null;
        }
        catch (OutOfMemoryException)
        {
            // ZstdSharp allocates by the throwing wrapper.
            return null;
        }
    }

    /// <returns>False: not one zstd frame of exactly this length.</returns>
    public bool TryUnpack(byte* packed, ulong packedBytes, byte* raw, ulong rawBytes)
    {
        nuint result = Methods.ZSTD_decompressDCtx(_context, raw, (nuint)rawBytes, packed, (nuint)packedBytes);
        return !Methods.ZSTD_isError(result) && result == (nuint)rawBytes;
    }

    public void Dispose()
    {
        if (_context != null)
        {
            // As above.
            _ = Methods.ZSTD_freeDCtx(_context);
            _context = null;
            NativeMemory.Free(_packed);
            _packed = null;
        }
    }
}
