using System.Runtime.InteropServices;
using Antares.Aot.Dicfuse.Tree;
using K4os.Hash.xxHash;
using ZstdSharp.Unsafe;

namespace Antares.Aot.Dicfuse.Content;

/// <summary>A zstd context and a buffer for packed bytes that come from the store file. For one thread at a time.</summary>
internal sealed unsafe class FrameUnpacker : IDisposable
{
    private ZSTD_DCtx_s* _context;
    private byte* _scratch;
    private byte* _raw;

    private FrameUnpacker(ZSTD_DCtx_s* context, byte* scratch)
    {
        _context = context;
        _scratch = scratch;
    }

    /// <summary>Room for one packed frame, which is never longer than the raw one.</summary>
    public byte* Scratch => _scratch;

    /// <summary>Room for one unpacked frame, made when first asked for; null when there is no memory for it.</summary>
    public byte* Raw
    {
        get
        {
            if (_raw == null && !NativeBlock.TryAlloc(FrameStore.FrameBytes, out _raw))
            {
                _raw = null;
            }

            return _raw;
        }
    }

    /// <summary>Null when there is no memory for it.</summary>
    public static FrameUnpacker? TryMake()
    {
        try
        {
            ZSTD_DCtx_s* context = Methods.ZSTD_createDCtx();
            if (context == null)
            {
                return null;
            }

            if (NativeBlock.TryAlloc(FrameStore.FrameBytes, out byte* scratch))
            {
                return new FrameUnpacker(context, scratch);
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

    /// <summary>Unpacks a frame and compares its checksum.</summary>
    /// <param name="packed">Packed bytes.</param>
    /// <param name="packedBytes">Their number.</param>
    /// <param name="stored">True when they are the raw bytes.</param>
    /// <param name="raw">Receives exactly <paramref name="rawBytes"/> bytes.</param>
    /// <param name="rawBytes">Length of the frame.</param>
    /// <param name="checksum">XXH64 that the raw bytes had when they were packed.</param>
    /// <returns>False: the packed bytes are damaged, and <paramref name="raw"/> holds anything.</returns>
    public bool TryUnpack(byte* packed, int packedBytes, bool stored, byte* raw, int rawBytes, ulong checksum)
    {
        if (stored)
        {
            if (packedBytes != rawBytes)
            {
                return false;
            }

            Buffer.MemoryCopy(packed, raw, rawBytes, rawBytes);
        }
        else
        {
            nuint result = Methods.ZSTD_decompressDCtx(_context, raw, (nuint)rawBytes, packed, (nuint)packedBytes);
            if (Methods.ZSTD_isError(result) || result != (nuint)rawBytes)
            {
                return false;
            }
        }

        return XXH64.DigestOf(raw, rawBytes) == checksum;
    }

    public void Dispose()
    {
        if (_context != null)
        {
            // Cannot fail for a context that is not in use.
            _ = Methods.ZSTD_freeDCtx(_context);
            _context = null;
            NativeMemory.Free(_scratch);
            NativeMemory.Free(_raw);
            _scratch = null;
            _raw = null;
        }
    }
}

/// <summary>As many unpackers as threads unpack at once; a few idle ones are kept.</summary>
internal sealed class FrameUnpackers : IDisposable
{
    private readonly FrameUnpacker?[] _idle = new FrameUnpacker?[8];

    /// <summary>Null when there is no memory for one.</summary>
    public FrameUnpacker? Rent()
    {
        for (int i = 0; i < _idle.Length; i++)
        {
            if (_idle[i] != null)
            {
                FrameUnpacker? found = Interlocked.Exchange(ref _idle[i], null);
                if (found != null)
                {
                    return found;
                }
            }
        }

        return FrameUnpacker.TryMake();
    }

    public void Return(FrameUnpacker unpacker)
    {
        for (int i = 0; i < _idle.Length; i++)
        {
            if (_idle[i] == null && Interlocked.CompareExchange(ref _idle[i], unpacker, null) == null)
            {
                return;
            }
        }

        unpacker.Dispose();
    }

    public void Dispose()
    {
        for (int i = 0; i < _idle.Length; i++)
        {
            _idle[i]?.Dispose();
            _idle[i] = null;
        }
    }
}
