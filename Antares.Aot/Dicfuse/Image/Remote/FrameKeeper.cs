using System.Globalization;
using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;
using Antares.Interop;
using K4os.Hash.xxHash;

namespace Antares.Aot.Dicfuse.Image.Remote;

/// <summary>The frames of an image that are here: in the file in the store, or where its disk was full in memory.</summary>
/// <remarks>
/// A frame is written when its checksum was right, and read back with that checksum; so a frame that another process is just writing, that a
/// killed one left torn, or that was given up, is no frame.
/// </remarks>
internal sealed unsafe class FrameKeeper : IDisposable
{
    /// <summary>How often it is looked after how much the file takes.</summary>
    private const long LookBytes = 4 << 20;

    private readonly ImageFile _image;
    private readonly FrameReader _frames;
    private readonly ObjectStore _store;
    private readonly ObjectId _id;
    private readonly long _limit;
    private readonly Lock _boundLock = new();
    private readonly uint* _here;
    private readonly nuint _hereBytes;
    private long _kept;
    private long _sinceLook;
    private uint _hand;

    /// <param name="image">The part that is here, open for writing; outlives this.</param>
    /// <param name="store">Where it is; outlives this.</param>
    /// <param name="id">Its name there.</param>
    /// <param name="limit">Most bytes that the file takes.</param>
    public FrameKeeper(ImageFile image, ObjectStore store, ObjectId id, long limit)
    {
        _image = image;
        _store = store;
        _id = id;
        _limit = limit;
        _frames = new FrameReader(image);
        _hereBytes = (nuint)((_frames.Count / 32) + 1) * sizeof(uint);
        _here = (uint*)ZeroPages.Allocate(_hereBytes);
    }

    public FrameReader Frames => _frames;

    /// <summary>Frames that were put here.</summary>
    public long Kept => Volatile.Read(ref _kept);

    /// <summary>A frame was read from the file with the right checksum.</summary>
    public void NoteHere(uint frame) => _ = Interlocked.Or(ref _here[frame / 32], 1u << (int)(frame % 32)); // what was there before is of no interest

    /// <summary>Copies the packed bytes of a frame that the disk had no room for.</summary>
    /// <returns>False: it is not held.</returns>
    public bool TryReadHeld(in FramePlace place, byte* packed)
    {
        MemoryObjects held = _store.Room.Memory;
        return held.Bytes != 0
            && held.TryRead(HeldId(place.Index), ObjectKind.Remote, 0, packed, place.PackedBytes, out uint got, out _) && got == place.PackedBytes
            && XXH64.DigestOf(packed, (int)place.PackedBytes) == place.Checksum;
    }

    /// <summary>True where nothing of some frames is known to be lacking.</summary>
    public bool AreHere(uint first, uint last)
    {
        for (uint frame = first; frame <= last; frame++)
        {
            // A damaged table shows when it is read from.
            if (!IsNoted(frame) && (_frames.Get(frame, out FramePlace place) != Errno.None || !IsHere(place)))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>A frame that is most likely here: whoever reads it sees whether it is.</summary>
    public bool IsHere(in FramePlace place)
    {
        if (place.IsZeros || IsNoted(place.Index))
        {
            return true;
        }

        return HasData(_image, place)
            || (_store.Room.Memory.Bytes != 0 && _store.Room.Memory.TryStat(HeldId(place.Index), ObjectKind.Remote, out _));
    }

    /// <summary>True when the file has no hole at the place of a frame.</summary>
    public static bool HasData(ImageFile image, in FramePlace place)
    {
        long offset = (long)place.Offset;
        return FileIo.Lseek(image.Fd, offset, Fcntl.SEEK_DATA, out long data) == Errno.None && data == offset
            && FileIo.Lseek(image.Fd, offset, Fcntl.SEEK_HOLE, out long hole) == Errno.None && hole >= offset + place.PackedBytes;
    }

    /// <summary>Looks whether a frame is here indeed: another process may have brought it.</summary>
    public bool IsSound(uint frame)
    {
        if (_frames.Get(frame, out FramePlace place) != Errno.None)
        {
            Failure.Clear(); // told by the fetch
            return false;
        }

        NoteGone(frame);
        if (place.IsZeros || !IsHere(place))
        {
            return place.IsZeros;
        }

        byte* packed = (byte*)NativeMemory.Alloc(place.PackedBytes);
        try
        {
            bool isSound = TryReadHeld(place, packed) || _frames.ReadPacked(place, packed) == Errno.None;
            Failure.Clear(); // what cannot be read is fetched
            if (isSound)
            {
                NoteHere(frame);
            }

            return isSound;
        }
        finally
        {
            NativeMemory.Free(packed);
        }
    }

    /// <summary>Copies what came into the packed bytes of a frame.</summary>
    public static void Copy(ReadOnlySpan<byte> part, NativeBody body, int at) => part.CopyTo(new Span<byte>(body.Pointer + at, body.Length - at));

    /// <summary>True for packed bytes that have the frame's checksum.</summary>
    public static bool Matches(NativeBody body, in FramePlace place) => XXH64.DigestOf(body.Pointer, body.Length) == place.Checksum;

    /// <summary>Puts a frame into the file; where the disk is full, into memory.</summary>
    /// <exception cref="WebProblem">It cannot be kept.</exception>
    public void Keep(in FramePlace place, NativeBody packed)
    {
        Errno error = FileIo.WriteFull(_image.Fd, packed.Pointer, place.PackedBytes, (long)place.Offset);
        if (StoreRoom.IsFull(error) && _store.Room.Make())
        {
            error = FileIo.WriteFull(_image.Fd, packed.Pointer, place.PackedBytes, (long)place.Offset);
        }

        if (StoreRoom.IsFull(error))
        {
            _store.Room.TellFull(_store.Folder);
            error = _store.Room.Memory.TryAdd(HeldId(place.Index), ObjectKind.Remote, packed.Span) ? Errno.None : error;
        }
        else if (error == Errno.None)
        {
            NoteHere(place.Index);
            _store.CountWritten(place.PackedBytes);
            Bound(place.PackedBytes);
        }

        RemoteFiles.Check(error, _store);

        // Only a counter for people.
        _ = Interlocked.Increment(ref _kept);
    }

    public void Dispose() => ZeroPages.Free(_here, _hereBytes);

    /// <summary>What the file has there is not the frame.</summary>
    public void NoteGone(uint frame) => _ = Interlocked.And(ref _here[frame / 32], ~(1u << (int)(frame % 32))); // as above

    private ObjectId HeldId(uint frame) => GitHash.OfKey(string.Create(CultureInfo.InvariantCulture, $"{_id} {frame}"));

    private bool IsNoted(uint frame) => (Volatile.Read(ref _here[frame / 32]) & (1u << (int)(frame % 32))) != 0;

    /// <summary>
    /// Keeps the file itself within the store's limit, since a collection leaves what is in use: frames are punched out in the order of the stream,
    /// so that of a tree that is read through those go that were read long ago.
    /// </summary>
    private void Bound(uint added)
    {
        if (Interlocked.Add(ref _sinceLook, added) < Math.Min(LookBytes, _limit / 16))
        {
            return;
        }

        lock (_boundLock)
        {
            Volatile.Write(ref _sinceLook, 0);
            stat attributes;
            long over = Attributes.Fstat(_image.Fd, &attributes) == Errno.None ? (attributes.st_blocks * 512) - _limit : 0;
            if (over <= 0)
            {
                return;
            }

            // An eighth more, so that it is not done again at once.
            over += _limit / 8;
            for (uint i = 0; i < _frames.Count && over > 0; i++)
            {
                _hand = _hand + 1 < _frames.Count ? _hand + 1 : 0;
                if (_frames.Get(_hand, out FramePlace place) == Errno.None && !place.IsZeros && IsHere(place))
                {
                    NoteGone(_hand);
                    const int Punch = Fcntl.FALLOC_FL_PUNCH_HOLE | Fcntl.FALLOC_FL_KEEP_SIZE;
                    Errno error = FileIo.Fallocate(_image.Fd, Punch, (long)place.Offset, place.PackedBytes);
                    over = error == Errno.None ? over - place.PackedBytes : 0; // a file system that cannot do it keeps what it has
                }
            }
        }
    }
}
