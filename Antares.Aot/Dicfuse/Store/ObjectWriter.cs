using System.Runtime.InteropServices;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Content;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;
using K4os.Hash.xxHash;
using ZstdSharp.Unsafe;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>
/// Writes one object: content in, packed frames out, into a file with a name of its own that becomes the object's by one rename.
/// What is not published leaves nothing.
/// </summary>
/// <remarks>
/// For one thread at a time. Not synced: after a crash of the machine a file may be torn, which its checksums tell, and is then fetched
/// again.
/// </remarks>
internal sealed unsafe class ObjectWriter : IDisposable
{
    /// <summary>Unit of packing and of random access.</summary>
    public const int FrameBytes = FrameStore.FrameBytes;

    private const int ZstdLevel = 1;
    private const string Layer = "store";

    private readonly ObjectStore _store;
    private readonly ObjectKind _kind;
    private readonly byte[] _name;
    private int _fd;
    private byte* _raw;
    private nuint _rawRoom;
    private int _rawUsed;
    private byte* _packed;
    private byte* _table;
    private nuint _tableRoom;
    private uint _frames;
    private ulong _rawBytes;
    private ulong _end = ObjectHeader.Bytes;
    private bool _published;

    private ObjectWriter(ObjectStore store, ObjectKind kind, int fd, byte[] name)
    {
        _store = store;
        _kind = kind;
        _fd = fd;
        _name = name;
    }

    /// <summary>Bytes of content so far.</summary>
    public ulong RawBytes => _rawBytes;

    /// <summary>Bytes of the file so far.</summary>
    public ulong FileBytes => _end;

    /// <returns>None; ENOSPC, EDQUOT, EROFS, EACCES, EMFILE: the store's file system.</returns>
    internal static Errno Begin(ObjectStore store, ObjectKind kind, out ObjectWriter? writer)
    {
        writer = null;
        byte[] name = ObjectStore.NewTemporaryName();
        int fd;
        Errno error;
        fixed (byte* path = name)
        {
            const int Flags = Fcntl.O_RDWR | Fcntl.O_CREAT | Fcntl.O_EXCL | Fcntl.O_CLOEXEC;
            error = Failure.Note(Layer, "openat (temporary)", Fd.Openat(store.Root, path, Flags, 0x180, out fd));
        }

        if (error == Errno.None)
        {
            writer = new ObjectWriter(store, kind, fd, name);
        }

        return error;
    }

    /// <returns>None; ENOMEM; ENOSPC, EDQUOT, EIO: the store's file system.</returns>
    public Errno Append(ReadOnlySpan<byte> content)
    {
        while (!content.IsEmpty)
        {
            int take = Math.Min(content.Length, FrameBytes - _rawUsed);
            nuint wanted = (nuint)(_rawUsed + take);
            if (wanted > _rawRoom)
            {
                nuint room = Math.Min(Math.Max(wanted, _rawRoom * 4), FrameBytes);
                if (!NativeBlock.TryGrow(ref _raw, room))
                {
                    return Failure.Note(Layer, "memory", Errno.ENOMEM);
                }

                _rawRoom = room;
            }

            content[..take].CopyTo(new Span<byte>(_raw + _rawUsed, take));
            _rawUsed += take;
            _rawBytes += (ulong)take;
            content = content[take..];
            if (_rawUsed == FrameBytes)
            {
                Errno error = Flush();
                if (error != Errno.None)
                {
                    return error;
                }
            }
        }

        return Errno.None;
    }

    /// <summary>Completes the file and gives it its name, replacing what is there (which is the same content).</summary>
    /// <returns>As <see cref="Append"/>.</returns>
    public Errno Publish(in ObjectId id)
    {
        Errno error = _rawUsed > 0 ? Flush() : Errno.None;
        if (error != Errno.None)
        {
            return error;
        }

        ObjectHeader header = new()
        {
            Magic = ObjectHeader.MagicValue,
            Kind = (uint)_kind,
            FrameBytes = FrameBytes,
            RawBytes = _rawBytes,
            Frames = _frames,
            TableOffset = _end,
            Id = id,
        };
        header.Checksum = ObjectHeader.ChecksumOf(&header);
        ulong tableBytes = (ulong)_frames * ObjectFrame.Bytes;
        error = FileIo.WriteFull(_fd, _table, (nuint)tableBytes, (long)_end);
        _end += tableBytes;
        if (error == Errno.None)
        {
            error = FileIo.WriteFull(_fd, &header, ObjectHeader.Bytes, 0);
        }

        if (error == Errno.None)
        {
            error = Fd.Close(_fd);
            _fd = -1;
        }

        if (error == Errno.None)
        {
            fixed (byte* name = _name)
            {
                error = _store.Rename(name, id, _kind);
            }
        }

        _published = error == Errno.None;
        if (_published)
        {
            _store.CountWritten((long)_end);
        }

        return Failure.Note(Layer, "write object", error);
    }

    public void Dispose()
    {
        if (_fd >= 0)
        {
            // What it held is given up.
            _ = Fd.Close(_fd);
            _fd = -1;
        }

        if (!_published)
        {
            fixed (byte* name = _name)
            {
                _ = PathOps.Unlinkat(_store.Root, name, 0); // otherwise the next collection takes it
            }

            _published = true;
        }

        NativeMemory.Free(_raw);
        NativeMemory.Free(_packed);
        NativeMemory.Free(_table);
        _raw = null;
        _packed = null;
        _table = null;
    }

    private Errno Flush()
    {
        nuint tableWanted = ((nuint)_frames + 1) * ObjectFrame.Bytes;
        if (tableWanted > _tableRoom)
        {
            nuint room = Math.Max(tableWanted, _tableRoom * 2);
            if (!NativeBlock.TryGrow(ref _table, room))
            {
                return Failure.Note(Layer, "memory", Errno.ENOMEM);
            }

            _tableRoom = room;
        }

        nuint bound = Methods.ZSTD_compressBound((nuint)_rawUsed);
        if (_packed == null && !NativeBlock.TryAlloc(_frames == 0 ? bound : Methods.ZSTD_compressBound(FrameBytes), out _packed))
        {
            return Failure.Note(Layer, "memory", Errno.ENOMEM);
        }

        nuint packedBytes = Pack(bound);
        bool stored = packedBytes == 0;
        byte* bytes = stored ? _raw : _packed;
        uint count = stored ? (uint)_rawUsed : (uint)packedBytes;
        ((ObjectFrame*)_table)[_frames++] = new ObjectFrame
        {
            Offset = _end,
            Packed = count,
            Stored = stored ? 1u : 0,
            Checksum = XXH64.DigestOf(_raw, _rawUsed),
        };
        Errno error = FileIo.WriteFull(_fd, bytes, count, (long)_end);
        _end += count;
        _rawUsed = 0;
        return Failure.Note(Layer, "pwrite", error);
    }

    // Bytes packed; 0 when packing gains nothing, or there is no memory for it.
    private nuint Pack(nuint bound)
    {
        try
        {
            ZSTD_CCtx_s* context = _store.Presses.Rent();
            if (context == null)
            {
                return 0;
            }

            nuint packed = Methods.ZSTD_compressCCtx(context, _packed, bound, _raw, (nuint)_rawUsed, ZstdLevel);
            _store.Presses.Return(context);
            return Methods.ZSTD_isError(packed) || packed >= (nuint)_rawUsed ? 0 : packed;
        }
        catch (OutOfMemoryException)
        {
            // ZstdSharp allocates by the throwing wrapper.
            return 0;
        }
    }
}

/// <summary>zstd contexts for packing; a few idle ones are kept.</summary>
internal sealed unsafe class PressPool : IDisposable
{
    private const int Kept = 2;

    private readonly Lock _lock = new();
    private readonly nint[] _idle = new nint[Kept];
    private int _count;

    /// <summary>Null when there is no memory for one.</summary>
    public ZSTD_CCtx_s* Rent()
    {
        lock (_lock)
        {
            if (_count > 0)
            {
                return (ZSTD_CCtx_s*)_idle[--_count];
            }
        }

        return Methods.ZSTD_createCCtx();
    }

    public void Return(ZSTD_CCtx_s* context)
    {
        lock (_lock)
        {
            if (_count < Kept)
            {
                _idle[_count++] = (nint)context;
                return;
            }
        }

        // Cannot fail for a context that is not in use.
        _ = Methods.ZSTD_freeCCtx(context);
    }

    public void Dispose()
    {
        lock (_lock)
        {
            while (_count > 0)
            {
                // As above.
                _ = Methods.ZSTD_freeCCtx((ZSTD_CCtx_s*)_idle[--_count]);
            }
        }
    }
}
