using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Interop;
using K4os.Hash.xxHash;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>
/// Sizes of blobs by id, shared by all processes that use the store: a sparse file of 4 KiB buckets, each slot with a checksum of its
/// own, so that a torn or lost write makes a size unknown and never wrong.
/// </summary>
/// <remarks>
/// <code>
/// slot, 32 bytes: id (20), XXH64 of id and size cut to 32 bits (4), size (8)
/// </code>
/// A full bucket gives up the slot that the id points at. No lock: two writers at once lose one of two sizes, which is then asked
/// for again.
/// </remarks>
internal sealed unsafe class SizeTable(OwnedFd file) : IDisposable
{
    private const int BucketBytes = 4096;
    private const int Buckets = 1 << 15;
    private const int Slots = BucketBytes / Slot.Bytes;

    private readonly OwnedFd _file = file;

    /// <summary>Looks a size up. One read of the page cache.</summary>
    [SkipLocalsInit]
    public bool TryFind(in ObjectId id, out long size)
    {
        byte* bucket = stackalloc byte[BucketBytes];
        if (FileIo.ReadFull(_file.Value, bucket, BucketBytes, PlaceOf(id), out nuint got) == Errno.None)
        {
            for (int i = 0; i < (int)got / Slot.Bytes; i++)
            {
                var slot = (Slot*)bucket + i;
                if (slot->IsOf(id))
                {
                    size = slot->Size;
                    return size >= 0;
                }
            }
        }

        size = 0;
        return false;
    }

    /// <summary>Remembers a size. A failure is not told: it is only a size that will be asked for again.</summary>
    [SkipLocalsInit]
    public void Add(in ObjectId id, long size)
    {
        byte* bucket = stackalloc byte[BucketBytes];
        if (FileIo.ReadFull(_file.Value, bucket, BucketBytes, PlaceOf(id), out nuint got) != Errno.None)
        {
            return;
        }

        new Span<byte>(bucket + got, BucketBytes - (int)got).Clear();
        int chosen = -1;
        for (int i = 0; i < Slots && chosen < 0; i++)
        {
            var slot = (Slot*)bucket + i;
            if (slot->IsOf(id))
            {
                if (slot->Size == size)
                {
                    return;
                }

                chosen = i;
            }
            else if (!slot->IsSound)
            {
                chosen = i;
            }
        }

        if (chosen < 0)
        {
            chosen = id.GetHashCode() & (Slots - 1);
        }

        var entry = new Slot(id, size);
        _ = FileIo.WriteFull(_file.Value, &entry, Slot.Bytes, PlaceOf(id) + ((long)chosen * Slot.Bytes)); // see above
    }

    public void Dispose() => _file.Dispose();

    private static long PlaceOf(in ObjectId id) => (id.Place & (Buckets - 1)) * BucketBytes;

    [StructLayout(LayoutKind.Sequential, Size = Bytes)]
    private struct Slot
    {
        public const int Bytes = 32;

        private ObjectId _id;
        private uint _check;
        public long Size;

        public Slot(in ObjectId id, long size)
        {
            _id = id;
            Size = size;
            _check = Check();
        }

        public bool IsSound => _check == Check() && !_id.IsNone;

        public bool IsOf(in ObjectId id) => _id == id && IsSound;

        private uint Check()
        {
            byte* bytes = stackalloc byte[ObjectId.Bytes + sizeof(long)];
            _id.CopyTo(new Span<byte>(bytes, ObjectId.Bytes));
            *(long*)(bytes + ObjectId.Bytes) = Size;
            return (uint)XXH64.DigestOf(bytes, ObjectId.Bytes + sizeof(long));
        }
    }
}
