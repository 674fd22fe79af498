using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Interop;
using K4os.Hash.xxHash;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>
/// Sizes of blobs by id, shared by all processes that use the store: a sparse file of 4 KiB buckets, each slot with a checksum of its
/// own, so that a torn or lost write makes a size unknown and never another one.
/// </summary>
/// <remarks>
/// A size is sure when the content was seen with it; otherwise a server told it, and the content may prove it wrong.
/// <code>
/// slot, 32 bytes: id (20), XXH64 of id and size cut to 32 bits (4), size, with bit 62 set when it is sure (8)
/// </code>
/// A full bucket gives up the slot that the id points at. No lock: two writers at once lose one of two sizes, which is then asked
/// for again.
/// </remarks>
internal sealed unsafe class SizeTable(OwnedFd file) : IDisposable
{
    private const int BucketBytes = 4096;
    private const int Buckets = 1 << 15;
    private const int Slots = BucketBytes / Slot.Bytes;
    private const long SureBit = 1L << 62;

    private readonly OwnedFd _file = file;

    /// <inheritdoc cref="TryFind(in ObjectId, out long, out bool)"/>
    public bool TryFind(in ObjectId id, out long size) => TryFind(id, out size, out _);

    /// <summary>Looks a size up. One read of the page cache.</summary>
    /// <param name="id">The blob.</param>
    /// <param name="size">Its size.</param>
    /// <param name="isSure">The content was seen with it.</param>
    [SkipLocalsInit]
    public bool TryFind(in ObjectId id, out long size, out bool isSure)
    {
        byte* bucket = stackalloc byte[BucketBytes];
        if (FileIo.ReadFull(_file.Value, bucket, BucketBytes, PlaceOf(id), out nuint got) == Errno.None)
        {
            for (int i = 0; i < (int)got / Slot.Bytes; i++)
            {
                var slot = (Slot*)bucket + i;
                if (slot->IsOf(id))
                {
                    isSure = (slot->Size & SureBit) != 0;
                    size = slot->Size & ~SureBit;
                    return size >= 0;
                }
            }
        }

        size = 0;
        isSure = false;
        return false;
    }

    /// <summary>Remembers the size of content that was seen. A failure is not told: it is only a size that will be asked for again.</summary>
    public void Add(in ObjectId id, long size) => Put(id, size | SureBit);

    /// <summary>Remembers a size that a server told, unless a sure one is known.</summary>
    public void AddTold(in ObjectId id, long size) => Put(id, size);

    public void Dispose() => _file.Dispose();

    [SkipLocalsInit]
    private void Put(in ObjectId id, long marked)
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
                if (slot->Size == marked || (slot->Size & SureBit) > (marked & SureBit))
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

        var entry = new Slot(id, marked);
        _ = FileIo.WriteFull(_file.Value, &entry, Slot.Bytes, PlaceOf(id) + ((long)chosen * Slot.Bytes)); // see above
    }

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
