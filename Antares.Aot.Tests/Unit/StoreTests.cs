using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Mounts;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>The store: whole objects or none, whatever happens to its files.</summary>
public sealed unsafe class StoreTests : IDisposable
{
    private readonly ScratchFolder _scratch = new();
    private readonly string _folder;

    public StoreTests() => _folder = _scratch.Make("store");

    public void Dispose() => _scratch.Dispose();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(131071)]
    [InlineData(131072)]
    [InlineData(131073)]
    [InlineData(1_000_000)]
    public void WhatWasAddedIsRead(int bytes)
    {
        using ObjectStore store = Open();
        byte[] content = DicfuseFolder.Bytes(bytes, 3);
        ObjectId id = Add(store, content);
        Assert.Equal(content, Read(store, id, 0, bytes + 10));
        foreach (int offset in new[] { 1, 70_000, 131_072, bytes - 1, bytes, bytes + 5 }.Where(offset => offset >= 0))
            Assert.Equal(content.Skip(offset).Take(5000), Read(store, id, (ulong)offset, 5000));
        Assert.True(store.TryStat(id, ObjectKind.Blob, out long size));
        Assert.Equal(bytes, size);
        Assert.False(store.TryStat(id, ObjectKind.Tree, out _));
        Assert.False(store.TryStat(id, ObjectKind.View, out _));
    }

    [Fact]
    public void IdsAreThoseOfGit()
    {
        Assert.Equal("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", GitHash.Of(ObjectKind.Blob, default).ToString());
        Assert.Equal("4b825dc642cb6eb9a060e54bf8d69288fbee4904", GitHash.Of(ObjectKind.Tree, default).ToString());
        Assert.Equal("ce013625030ba8dba906f756967f9e9ca394464a", GitHash.Of(ObjectKind.Blob, "hello\n"u8).ToString());
        Assert.False(ObjectId.TryParse("ce013625030ba8dba906f756967f9e9ca394464", out _));
        Assert.False(ObjectId.TryParse("ce013625030ba8dba906f756967f9e9ca394464g", out _));
        Assert.False(ObjectId.TryParse("ce013625030ba8dba906f756967f9e9ca394464aa", out _));
    }

    [Fact]
    public void ADamagedFileIsNeverServed()
    {
        using ObjectStore store = Open();
        byte[] content = DicfuseFolder.Bytes(300_000, 5);
        ObjectId id = Add(store, content);
        string file = FileOf(id);
        byte[] whole = File.ReadAllBytes(file);
        var random = new Random(7);
        for (int round = 0; round < 400; round++)
        {
            byte[] damaged = round % 4 == 0 ? whole[..random.Next(whole.Length)] : [.. whole];
            if (round % 4 != 0)
                damaged[round < 200 ? random.Next(Math.Min(200, whole.Length)) : random.Next(whole.Length)] ^= (byte)(1 << random.Next(8));
            File.WriteAllBytes(file, damaged);
            byte[] buffer = new byte[300_000];
            fixed (byte* bytes = buffer)
            {
                Errno error = store.Read(id, ObjectKind.Blob, 0, bytes, 300_000, out uint got, out _);
                Assert.True(error is Errno.None or Errno.ENOENT, $"{error}");
                // A bit that nothing depends on may be another one; what is served is right.
                if (error == Errno.None)
                    Assert.True(got == 300_000 && buffer.AsSpan().SequenceEqual(content), $"round {round}: damaged content was served");
                else
                    Assert.True(!File.Exists(file) || IsOfAnotherFormat(damaged), "the damaged file is still there");
            }
        }
        Assert.True(store.Damaged > 100);
    }

    [Fact]
    public void WhatIsNotPublishedLeavesNothing()
    {
        using ObjectStore store = Open();
        Assert.Equal(Errno.None, store.Begin(ObjectKind.Blob, out ObjectWriter? writer));
        Assert.Equal(Errno.None, writer!.Append(new byte[400_000]));
        Assert.Single(Directory.GetFiles(Path.Combine(_folder, "tmp")));
        writer.Dispose();
        Assert.Empty(Directory.GetFiles(Path.Combine(_folder, "tmp")));
        Assert.Empty(Directory.GetFileSystemEntries(Path.Combine(_folder, ObjectStore.ObjectsName)));
    }

    [Fact]
    public void ManyMayMakeItAtOnce()
    {
        for (int i = 0; i < 100; i++)
        {
            string folder = _scratch.Make($"store {i}");
            _ = Parallel.For(0, 8, _ =>
            {
                Errno error = ObjectStore.Open(folder, out ObjectStore? store, out string problem);
                Assert.True(error == Errno.None, $"{error}: {problem}");
                store!.Dispose();
            });
        }
    }

    [Fact]
    public void AFolderOfSomebodyElseIsNotTaken()
    {
        File.WriteAllText(Path.Combine(_folder, "precious"), "x");
        Assert.Equal(Errno.EPROTO, ObjectStore.Open(_folder, out _, out string problem));
        Assert.Contains("neither empty nor a store", problem);
        File.Delete(Path.Combine(_folder, "precious"));
        Open().Dispose();
        File.WriteAllText(Path.Combine(_folder, "format"), "antares-store 99\n");
        Assert.Equal(Errno.EPROTO, ObjectStore.Open(_folder, out _, out problem));
        Assert.Contains("version", problem);
    }

    [Fact]
    public void SizesAreRememberedAndNeverWrong()
    {
        var ids = Enumerable.Range(0, 20_000).Select(i => GitHash.OfKey($"{i}")).ToArray();
        using (ObjectStore store = Open())
        {
            for (int i = 0; i < ids.Length; i++)
                store.Sizes.Add(ids[i], i);
            store.Sizes.Add(ids[5], 500);
        }
        using ObjectStore again = Open();
        int known = 0;
        for (int i = 0; i < ids.Length; i++)
        {
            if (again.Sizes.TryFind(ids[i], out long size))
            {
                Assert.Equal(i == 5 ? 500 : i, size);
                known++;
            }
        }
        Assert.Equal(ids.Length, known);
        Assert.False(again.Sizes.TryFind(GitHash.OfKey("other"), out _));
        byte[] file = File.ReadAllBytes(Path.Combine(_folder, "sizes"));
        var random = new Random(3);
        for (int i = 0; i < file.Length; i += 16)
            file[i] ^= (byte)random.Next(256);
        File.WriteAllBytes(Path.Combine(_folder, "sizes"), file);
        for (int i = 0; i < ids.Length; i++)
            Assert.True(!again.Sizes.TryFind(ids[i], out long size) || size == (i == 5 ? 500 : i));
    }

    [Fact]
    public void LocksAreThoseOfTheOpenFile()
    {
        using ObjectStore one = Open();
        using ObjectStore two = Open();
        ObjectId id = GitHash.OfKey("a");
        Assert.Equal(Errno.None, one.Locks.TryLock(id));
        Assert.Equal(Errno.EAGAIN, two.Locks.TryLock(id));
        Assert.Equal(Errno.None, two.Locks.TryLock(GitHash.OfKey("b")));
        one.Locks.Unlock(id);
        Assert.Equal(Errno.None, two.Locks.TryLock(id));
        Assert.Equal(Errno.None, one.Locks.TryLockCollection());
        Assert.Equal(Errno.EAGAIN, two.Locks.TryLockCollection());
    }

    [Fact]
    public void ACollectionRemovesWhatWasUsedLongestAgo()
    {
        using ObjectStore store = Open();
        var ids = Enumerable.Range(0, 40).Select(i => Add(store, DicfuseFolder.Bytes(100_000, i + 1))).ToArray();
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        for (int i = 0; i < ids.Length; i++)
            DicfuseAsk.SetMtime(FileOf(ids[i]), now - ((ids.Length - i) * 100_000), 0);
        string old = Path.Combine(_folder, "tmp", "1.2.3");
        File.WriteAllText(old, "left by a process that was killed");
        DicfuseAsk.SetMtime(old, now - 100_000, 0);
        var collector = new StoreCollector(store, 1 << 30, Log.Off);
        Assert.Equal(Errno.None, collector.Collect(1 << 30, out CollectionResult first));
        Assert.Equal((40, 0), (first.Objects, first.Removed));
        Assert.False(File.Exists(old));
        Assert.Equal(Errno.None, collector.Collect(first.Bytes / 2, out CollectionResult result));
        Assert.InRange(result.Bytes - result.RemovedBytes, 1, first.Bytes / 2);
        int[] left = [.. Enumerable.Range(0, ids.Length).Where(i => File.Exists(FileOf(ids[i])))];
        // Ages are told apart in steps: within a step any may go.
        Assert.True(left.Min() >= ids.Length / 2 - 8, $"oldest left: {left.Min()}");
        Assert.Contains(ids.Length - 1, left);
        // What was used just now stays, however small the limit.
        DicfuseAsk.SetMtime(FileOf(ids[left[0]]), now, 0);
        Assert.Equal(Errno.None, collector.Collect(1, out _));
        Assert.True(File.Exists(FileOf(ids[left[0]])));
        Assert.Single(Directory.GetFiles(Path.Combine(_folder, ObjectStore.ObjectsName), "*", SearchOption.AllDirectories));
    }

    [Fact]
    public void VerificationFindsContentUnderAWrongName()
    {
        using ObjectStore store = Open();
        ObjectId good = Add(store, DicfuseFolder.Bytes(200_000, 1));
        ObjectId other = Add(store, DicfuseFolder.Bytes(200_000, 2));
        File.Copy(FileOf(good), FileOf(other), overwrite: true);
        var damaged = new List<string>();
        Assert.Equal(Errno.None, StoreVerifier.Verify(store, damaged.Add, out VerificationResult result));
        Assert.Equal([other.ToString()], damaged);
        Assert.Equal((2, 1), (result.Objects, result.Damaged));
        Assert.False(store.TryStat(other, ObjectKind.Blob, out _));
        Assert.True(store.TryStat(good, ObjectKind.Blob, out _));
    }

    [Fact]
    public void AFileUnderAnotherNameIsNotServed()
    {
        using ObjectStore store = Open();
        ObjectId good = Add(store, DicfuseFolder.Bytes(200_000, 1));
        ObjectId other = Add(store, DicfuseFolder.Bytes(200_000, 2));
        File.Copy(FileOf(good), FileOf(other), overwrite: true);
        byte[] buffer = new byte[10];
        fixed (byte* bytes = buffer)
            Assert.Equal(Errno.ENOENT, store.Read(other, ObjectKind.Blob, 0, bytes, 10, out _, out _));
        Assert.False(File.Exists(FileOf(other)));
        Assert.Equal(1, store.Damaged);
        Assert.Equal(10, Read(store, good, 0, 10).Length);
    }

    /// <summary>Of a former or later version of this program, which may be running: not served, not removed, and no damage.</summary>
    [Theory]
    [InlineData("antobj1\n")]
    [InlineData("antobj3\n")]
    public void AnObjectOfAnotherFormatIsNotThereAndLeftAlone(string magic)
    {
        using ObjectStore store = Open();
        byte[] content = DicfuseFolder.Bytes(1000, 1);
        ObjectId id = Add(store, content);
        byte[] file = [.. System.Text.Encoding.ASCII.GetBytes(magic), .. DicfuseFolder.Bytes(500, 2)];
        File.WriteAllBytes(FileOf(id), file);
        Assert.False(store.TryStat(id, ObjectKind.Blob, out _));
        byte[] buffer = new byte[10];
        fixed (byte* bytes = buffer)
            Assert.Equal(Errno.ENOENT, store.Read(id, ObjectKind.Blob, 0, bytes, 10, out _, out _));
        var damaged = new List<string>();
        Assert.Equal(Errno.None, StoreVerifier.Verify(store, damaged.Add, out VerificationResult result));
        Assert.Empty(damaged);
        Assert.Equal((0, 0), (result.Objects, result.Damaged));
        Assert.Equal(file, File.ReadAllBytes(FileOf(id)));
        Assert.Equal(0, store.Damaged);
        Add(store, content);
        Assert.Equal(content, Read(store, id, 0, 1000));
    }

    /// <summary>The folder names the format, so that no version meets the objects of another under the names of its own.</summary>
    [Fact]
    public void AnotherFormatHasAnotherFolder()
    {
        char format = (char)((ObjectHeader.MagicValue >> 48) & 0xFF);
        Assert.Equal(("objects" + format, "views" + format), (ObjectStore.ObjectsName, ObjectStore.ViewsName));
        using ObjectStore store = Open();
        Add(store, DicfuseFolder.Bytes(1000, 1));
        var made = Directory.GetFiles(_folder, "*", SearchOption.AllDirectories).Select(path => Path.GetRelativePath(_folder, path).Split('/')[0]);
        Assert.Equal(["format", "locks", ObjectStore.ObjectsName, "sizes"], made.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void WhatAFormerVersionLeftAgesLikeTheRestAndWhatALaterOneKeepsStays()
    {
        using ObjectStore store = Open();
        ObjectId id = Add(store, DicfuseFolder.Bytes(100_000, 1));
        string former = Copy("objects"), formerView = Copy("views"), later = Copy("objects3");
        var collector = new StoreCollector(store, 1 << 30, Log.Off);
        Assert.Equal(Errno.None, collector.Collect(1 << 30, out CollectionResult all));
        Assert.Equal((3, 0), (all.Objects, all.Removed));
        Assert.Equal(Errno.None, collector.Collect(all.Bytes / 2, out _));
        Assert.Equal([true, false, false, true], new[] { FileOf(id), former, formerView, later }.Select(File.Exists));

        string Copy(string folder)
        {
            string path = FileOf(id).Replace("/" + ObjectStore.ObjectsName + "/", $"/{folder}/", StringComparison.Ordinal);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.Copy(FileOf(id), path);
            DicfuseAsk.SetMtime(path, DateTimeOffset.UtcNow.ToUnixTimeSeconds() - 1_000_000, 0);
            return path;
        }
    }

    [Fact]
    public void AStoreOfOthersIsRefused()
    {
        Open().Dispose();
        foreach (string mode in new[] { "720", "702" })
        {
            _ = Shell.Run("chmod", [mode, _folder]).Must();
            Assert.Equal(Errno.EPERM, ObjectStore.Open(_folder, out _, out string problem));
            Assert.Contains("others may write into it", problem);
            _ = Shell.Run("chmod", ["700", _folder]).Must();
        }
        Open().Dispose();
    }

    [DicfuseRootFact]
    public void AStoreOfAnotherUserIsRefused()
    {
        Open().Dispose();
        _ = Shell.Run("chown", ["-R", "12345:12345", _folder]).Must();
        Assert.Equal(Errno.EPERM, ObjectStore.Open(_folder, out _, out string problem));
        Assert.Contains("belongs to user 12345", problem);
        MountProblem told = Assert.Throws<MountProblem>(() => StoreFolder.OpenAt(_folder));
        Assert.Contains("--store", told.Message);
    }

    [Fact]
    public void NamesOfUnfinishedFilesDifferAmongEqualProcesses()
    {
        var random = Enumerable.Range(0, 1000).Select(_ => System.Text.Encoding.ASCII.GetString(ObjectStore.NewTemporaryName()).TrimEnd('\0').Split('.')[^1]).ToList();
        Assert.Equal(1000, random.Distinct().Count());
        Assert.All(random, part => Assert.Equal(24, part.Length));
    }

    [Fact]
    public void SizesThatWereToldAreMarkedAndGiveWay()
    {
        using ObjectStore store = Open();
        ObjectId id = GitHash.OfKey("a");
        store.Sizes.AddTold(id, 7);
        Assert.True(store.Sizes.TryFind(id, out long size, out bool isSure));
        Assert.Equal((7, false), (size, isSure));
        store.Sizes.Add(id, 9);
        store.Sizes.AddTold(id, 7);
        Assert.True(store.Sizes.TryFind(id, out size, out isSure));
        Assert.Equal((9, true), (size, isSure));
    }

    [Fact]
    public void AViewOfAFormerVersionIsNotBelieved()
    {
        using ObjectStore store = Open();
        var views = new MegaViews(store, "http://server");
        ObjectId commit = GitHash.OfKey("commit");
        Assert.Equal(Errno.None, views.Add(commit, "/a", new MegaView(GitHash.OfKey("tree"), ViewFlags.None)));
        Assert.True(views.TryFind(commit, "/a", out _));
        ObjectId key = views.Key($"{commit}\npath /a");
        Assert.Equal(Errno.None, store.ReadAll(key, ObjectKind.View, 100, out NativeBody? record));
        byte[] old = record!.Span.ToArray();
        record.Dispose();
        old[0] = 1;
        Assert.Equal(Errno.None, store.Add(key, ObjectKind.View, old));
        Assert.False(views.TryFind(commit, "/a", out _));
    }

    [Fact]
    public void WhatIsHeldInMemoryIsBounded()
    {
        using var memory = new MemoryObjects();
        byte[] content = DicfuseFolder.Bytes(10 << 20, 1);
        for (int i = 0; i < 10; i++)
            Assert.True(memory.TryAdd(GitHash.OfKey($"{i}"), ObjectKind.Blob, content));
        Assert.False(memory.TryAdd(GitHash.OfKey("large"), ObjectKind.Blob, new byte[MemoryObjects.LargestBytes + 1]));
        Assert.InRange(memory.Bytes, MemoryObjects.MostBytes / 2, MemoryObjects.MostBytes);
        Assert.False(memory.TryStat(GitHash.OfKey("0"), ObjectKind.Blob, out _));
        Assert.True(memory.TryStat(GitHash.OfKey("9"), ObjectKind.Blob, out long bytes));
        Assert.False(memory.TryStat(GitHash.OfKey("9"), ObjectKind.Tree, out _));
        Assert.Equal(content.Length, bytes);
        byte[] part = new byte[100];
        fixed (byte* target = part)
            Assert.True(memory.TryRead(GitHash.OfKey("9"), ObjectKind.Blob, (ulong)content.Length - 50, target, 100, out uint got, out _) && got == 50);
        Assert.Equal(content[^50..], part[..50]);
        memory.Remove(GitHash.OfKey("9"), ObjectKind.Blob);
        Assert.False(memory.TryStat(GitHash.OfKey("9"), ObjectKind.Blob, out _));
    }

    private static ObjectId Add(ObjectStore store, byte[] content)
    {
        ObjectId id = GitHash.Of(ObjectKind.Blob, content);
        Assert.Equal(Errno.None, store.Add(id, ObjectKind.Blob, content));
        return id;
    }

    // A bit of the format's number may be the one that was changed.
    private static bool IsOfAnotherFormat(byte[] file) => file.Length > 8 && file[6] is >= (byte)'1' and <= (byte)'9' and not (byte)'2';

    private static byte[] Read(ObjectStore store, ObjectId id, ulong offset, int size)
    {
        byte[] buffer = new byte[size];
        fixed (byte* bytes = buffer)
        {
            Assert.Equal(Errno.None, store.Read(id, ObjectKind.Blob, offset, bytes, (uint)size, out uint got, out _));
            return buffer[..(int)got];
        }
    }

    private string FileOf(ObjectId id) => Path.Combine(_folder, ObjectStore.ObjectsName, id.ToString()[..2], id.ToString()[2..]);

    private ObjectStore Open()
    {
        Errno error = ObjectStore.Open(_folder, out ObjectStore? store, out string problem);
        Assert.True(error == Errno.None, $"{error} {problem}");
        return store!;
    }
}
