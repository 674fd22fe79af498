using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Content;
using Antares.Aot.Dicfuse.Sources;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>The native parts of a tree, each for itself.</summary>
public sealed unsafe class DicfuseStorageTests
{
    [Fact]
    public void A_node_is_48_bytes_as_its_table_says()
    {
        Assert.Equal(48, Unsafe.SizeOf<NodeRecord>());
        Assert.Equal(64, Unsafe.SizeOf<FrameSlot>());
        Assert.Equal(24, Unsafe.SizeOf<ListedName>());
        (string Field, int Offset)[] table =
        [
            (nameof(NodeRecord.Parent), 0), (nameof(NodeRecord.Name), 4), (nameof(NodeRecord.Body), 8),
            (nameof(NodeRecord.Extra), 12), (nameof(NodeRecord.Size), 16), (nameof(NodeRecord.Time), 24),
            (nameof(NodeRecord.StIno), 32), (nameof(NodeRecord.Mode), 40), (nameof(NodeRecord.Owner), 42),
            (nameof(NodeRecord.NameLength), 44), ("_flags", 45), (nameof(NodeRecord.Nlink), 46),
        ];
        foreach ((string field, int offset) in table)
        {
            Assert.Equal(offset, (int)Marshal.OffsetOf<NodeRecord>(field));
        }
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 999_999_999)]
    [InlineData(-1, 5)]
    [InlineData(PackedTime.MinSeconds, 0)]
    [InlineData(PackedTime.MaxSeconds, 999_999_999)]
    [InlineData(4_102_444_800, 123_456_789)]
    public void Times_of_ext4s_range_come_back_to_the_nanosecond(long seconds, long nanoseconds)
    {
        timespec back = PackedTime.Unpack(PackedTime.Pack(new timespec { tv_sec = seconds, tv_nsec = nanoseconds }));
        Assert.Equal((seconds, nanoseconds), (back.tv_sec, back.tv_nsec));
    }

    [Fact]
    public void Times_outside_are_clamped_to_the_ends_of_1901_and_2446()
    {
        timespec early = PackedTime.Unpack(PackedTime.Pack(new timespec { tv_sec = PackedTime.MinSeconds - 1, tv_nsec = 7 }));
        timespec late = PackedTime.Unpack(PackedTime.Pack(new timespec { tv_sec = long.MaxValue, tv_nsec = 7 }));
        Assert.Equal((-2_147_483_648L, 0L), (early.tv_sec, early.tv_nsec));
        Assert.Equal((15_032_385_535L, 999_999_999L), (late.tv_sec, late.tv_nsec));
        Assert.Equal(2446, DateTimeOffset.FromUnixTimeSeconds(late.tv_sec).Year);
    }

    [Fact]
    public void A_reservation_that_does_not_fit_becomes_a_smaller_one_and_its_end_is_enomem()
    {
        // More than the 47 bits of a process: the kernel refuses it as it refuses what RLIMIT_AS forbids.
        DicfuseFolder.Check(NativeRange.Reserve(1UL << 52, out NativeRange? huge));
        Assert.InRange(huge!.Reserved, 1UL << 20, 1UL << 47);
        huge.Dispose();

        DicfuseFolder.Check(NativeRange.Reserve(1 << 20, out NativeRange? small));
        Assert.Equal(0UL, small!.Committed);
        DicfuseFolder.Check(small.Commit(1));
        byte* start = small.Base;
        DicfuseFolder.Check(small.Commit(1 << 20));
        Assert.True(start == small.Base);
        small.Base[(1 << 20) - 1] = 1;
        Assert.Equal(Errno.ENOMEM, small.Commit((1 << 20) + 1));
        small.Dispose();
    }

    [Fact]
    public void A_full_arena_is_enomem_and_takes_nothing()
    {
        DicfuseFolder.Check(TreeArena.Create(1 << 20, out TreeArena? arena));
        uint room = ((1 << 20) / NodeRecord.Bytes) - 2;
        Assert.Equal(Errno.ENOMEM, arena!.Allocate(room + 1, out _));
        DicfuseFolder.Check(arena.Allocate(room, out uint first));
        Assert.Equal(2u, first);
        Assert.True(arena.Contains(first + room - 1));
        Assert.False(arena.Contains(first + room));
        Assert.False(arena.Contains(0));
        Assert.Equal(Errno.ENOMEM, arena.Allocate(1, out _));
        arena.Dispose();
    }

    [Fact]
    public void A_listing_sorts_by_bytes_and_keeps_one_of_equal_names()
    {
        Random random = new(7);
        List<byte[]> names = [];
        DirectoryListing listing = default;
        for (int i = 0; i < 3000; i++)
        {
            byte[] name = new byte[random.Next(1, i % 10 == 0 ? 256 : 14)];
            for (int at = 0; at < name.Length; at++)
            {
                // Few different bytes: many equal prefixes and some equal names.
                name[at] = (byte)(random.Next(3) == 0 ? 0xFF : 'a' + random.Next(2));
            }

            names.Add(name);
            Assert.Equal(Errno.None, Add(ref listing, name, (ulong)i + 1));
        }

        DicfuseFolder.Check(listing.Sort());
        List<byte[]> expected = [.. names.DistinctBy(Convert.ToHexString)];
        expected.Sort((a, b) => a.AsSpan().SequenceCompareTo(b));
        Assert.True(expected.Count < names.Count);
        Assert.Equal(expected.Count, listing.Count);
        for (int i = 0; i < expected.Count; i++)
        {
            Assert.Equal(expected[i], listing.NameOf(i).Span.ToArray());
            Assert.Equal(expected[i], names[(int)listing.Items[i].Inode - 1]);
        }

        listing.Dispose();
    }

    [Fact]
    public void A_listing_takes_only_names()
    {
        DirectoryListing listing = default;
        Assert.Equal(Errno.EIO, Add(ref listing, [], 1));
        Assert.Equal(Errno.EIO, Add(ref listing, "a/b"u8, 1));
        Assert.Equal(Errno.EIO, Add(ref listing, "a\0b"u8, 1));
        Assert.Equal(Errno.EIO, Add(ref listing, new byte[256].Select(_ => (byte)'x').ToArray(), 1));
        Assert.Equal(Errno.None, Add(ref listing, "."u8, 1));
        Assert.Equal(Errno.None, Add(ref listing, ".."u8, 1));
        Assert.Equal(0, listing.Count);
        Assert.Equal(Errno.None, Add(ref listing, "..."u8, 1));
        Assert.Equal(Errno.None, Add(ref listing, new byte[255].Select(_ => (byte)'x').ToArray(), 1));
        Assert.Equal(2, listing.Count);
        listing.Dispose();
    }

    [Fact]
    public void A_listing_without_types_is_asked_for_them()
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("directory"));
        File.CreateSymbolicLink(folder.At("link"), "nowhere");
        byte* records = stackalloc byte[256];
        int length = Dirent(records, "directory", 0);
        length += Dirent(records + length, "link", 0);
        length += Dirent(records + length, "vanished", 0);
        length += Dirent(records + length, "told", 8);

        using FolderListing reader = new("dicfuse");
        DirectoryListing listing = default;
        DicfuseFolder.Check(reader.Take(folder.Fd, records, length, ref listing));
        Assert.Equal(3, listing.Count);
        Assert.Equal(FileType.Directory, listing.Items[0].Type);
        Assert.Equal(FileType.Symlink, listing.Items[1].Type);
        Assert.Equal(FileType.Regular, listing.Items[2].Type);
        listing.Dispose();
    }

    [Fact]
    public void Colliding_numbers_are_probed_to_others_and_the_same_way_each_time()
    {
        const ulong Mask = 1023;
        ulong[] once = Numbers(Mask, 900);
        Assert.Equal(900, once.Distinct().Count());
        Assert.All(once, number => Assert.InRange(number, 2UL, Mask));
        Assert.Equal(once, Numbers(Mask, 900));

        // The control: without probing these names do collide.
        HashSet<ulong> plain = [];
        Assert.Contains(Enumerable.Range(0, 900), i => !plain.Add(PlainHash(i) & Mask));
    }

    [Fact]
    public void Numbers_of_paths_have_59_bits_and_are_the_hash_of_the_path_when_nothing_collides()
    {
        ulong[] numbers = Numbers(StInoSet.DefaultMask, 5000);
        Assert.Equal(5000, numbers.Distinct().Count());
        Assert.Equal(0UL, numbers.Aggregate(0UL, (all, number) => all | number) >> 59);
        for (int i = 0; i < numbers.Length; i++)
        {
            Assert.Equal(PlainHash(i) & StInoSet.DefaultMask, numbers[i]);
        }
    }

    [Fact]
    public void Owners_come_back_and_too_many_pairs_are_refused()
    {
        using OwnerTable owners = new();
        // Counted, not asserted one by one: that would take longer than the rest of the tests.
        int wrong = 0;
        for (uint i = 0; i < 65_536; i++)
        {
            wrong += owners.IndexOf(i, ~i, out ushort index) != Errno.None || owners[index] != (i, ~i) ? 1 : 0;
        }

        Assert.Equal(0, wrong);

        Assert.Equal(Errno.EOVERFLOW, owners.IndexOf(1, 1, out _));
        DicfuseFolder.Check(owners.IndexOf(77, ~77u, out ushort known));
        Assert.Equal((77u, ~77u), owners[known]);
    }

    [Fact]
    public void The_descriptor_cache_keeps_its_bound_and_what_is_pinned()
    {
        Dictionary<int, int> writers = [];
        using SourceFds fds = new(2);
        FdPin a = fds.Adopt(10, Descriptor(writers));
        FdPin b = fds.Adopt(11, Descriptor(writers));
        FdPin passing = fds.Adopt(12, Descriptor(writers));
        Assert.Equal(FdPin.Passing, passing.Entry);
        Assert.Equal(2, fds.Open);
        fds.Release(passing);
        Assert.False(IsOpen(writers[passing.Fd]));
        Assert.False(fds.TryPin(12, out _));

        fds.Release(a);
        fds.Release(b);
        Assert.True(fds.TryPin(10, out FdPin again));
        Assert.Equal(a.Fd, again.Fd);
        fds.Release(again);

        // 11 is now the least recently used.
        FdPin c = fds.Adopt(13, Descriptor(writers));
        Assert.Equal(2, fds.Open);
        Assert.False(fds.TryPin(11, out _));
        Assert.True(fds.TryPin(10, out again));
        fds.Release(again);

        Assert.True(fds.Shed());
        Assert.Equal(1, fds.Open);
        Assert.True(IsOpen(writers[c.Fd]));
        Assert.False(fds.Shed());
        fds.Release(c);
        Assert.True(fds.Shed());
        Assert.Equal(0, fds.Open);
        foreach (int writer in writers.Values)
        {
            Assert.False(IsOpen(writer));
            Fd.Close(writer);
        }
    }

    private static Errno Add(ref DirectoryListing listing, ReadOnlySpan<byte> name, ulong inode)
    {
        byte[] terminated = [.. name, 0];
        fixed (byte* pointer = terminated)
        {
            return listing.Add(new ByteName(pointer, name.Length), FileType.Regular, inode);
        }
    }

    private static int Dirent(byte* record, string name, byte type)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(name + "\0");
        dirent64* header = (dirent64*)record;
        header->d_ino = 5;
        header->d_type = type;
        int nameAt = (int)((byte*)header->d_name - record);
        bytes.CopyTo(new Span<byte>(record + nameAt, bytes.Length));
        header->d_reclen = (ushort)((nameAt + bytes.Length + 7) & ~7);
        return header->d_reclen;
    }

    private static ulong[] Numbers(ulong mask, int count)
    {
        DicfuseFolder.Check(TreeArena.Create(1 << 24, out TreeArena? arena));
        DicfuseFolder.Check(arena!.Allocate((uint)count, out uint first));
        using StInoSet set = new(arena, mask);
        ulong[] numbers = new ulong[count];
        for (int i = 0; i < count; i++)
        {
            byte[] name = Encoding.UTF8.GetBytes($"file{i}\0");
            fixed (byte* pointer = name)
            {
                ByteName byteName = new(pointer, name.Length - 1);
                DicfuseFolder.Check(set.Claim(first + (uint)i, 1, byteName, StInoSet.HashOf(1, byteName)));
            }

            numbers[i] = arena[first + (uint)i]->StIno;
        }

        arena.Dispose();
        return numbers;
    }

    private static ulong PlainHash(int i)
    {
        byte[] name = Encoding.UTF8.GetBytes($"file{i}");
        fixed (byte* pointer = name)
        {
            return K4os.Hash.xxHash.XXH64.DigestOf(pointer, name.Length, 1);
        }
    }

    /// <summary>The reading end of a pipe: whether it is closed shows at the other end, whoever gets the number next.</summary>
    private static int Descriptor(Dictionary<int, int> writers)
    {
        int* ends = stackalloc int[2];
        DicfuseFolder.Check(Fd.Pipe2(ends, Fcntl.O_CLOEXEC | Fcntl.O_NONBLOCK));
        writers[ends[0]] = ends[1];
        return ends[0];
    }

    private static bool IsOpen(int writer)
    {
        byte one = 1;
        return FileIo.Write(writer, &one, 1, out _) != Errno.EPIPE;
    }
}
