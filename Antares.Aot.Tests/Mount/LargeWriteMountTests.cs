using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Mount;

/// <summary>Large writes, whose data get from the device to their file through a pipe: the same bytes as otherwise, whatever comes in between and whatever fails.</summary>
public sealed class LargeWriteMountTests
{
    private const int Seed = 20;

    /// <summary>Writes of all sizes, aligned and not, among other requests, by threads side by side.</summary>
    [MountTheory, InlineData(""), InlineData("--writeback")]
    public void WritesOfAllSizes(string option)
    {
        const int Threads = 3, Steps = 150, Most = 700_000, Area = 6_000_000;
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, option);
        mount.Mount();
        var expected = new byte[Threads][];
        Parallel.For(0, Threads, new ParallelOptions { MaxDegreeOfParallelism = Threads }, thread =>
        {
            var random = new Random(Seed + thread);
            byte[] mine = new byte[Area];
            byte[] piece = new byte[Most];
            string path = Path.Join(mount.Root, $"f{thread}");
            using (FileStream file = new(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0))
            {
                file.SetLength(Area);
                for (int step = 0; step < Steps; step++)
                {
                    int length = random.Next(3) switch { 0 => random.Next(1, 5000), 1 => 4096 * random.Next(1, 160), _ => random.Next(1, Most) };
                    int offset = random.Next(2) == 0 ? random.Next(Area - length) : 4096 * random.Next((Area - length) / 4096);
                    random.NextBytes(piece.AsSpan(0, length));
                    RandomAccess.Write(file.SafeFileHandle, piece.AsSpan(0, length), offset);
                    piece.AsSpan(0, length).CopyTo(mine.AsSpan(offset));
                    if (step % 8 == 0)
                    {
                        Assert.Equal(Area, new FileInfo(path).Length);
                        Assert.False(File.Exists(Path.Join(mount.Root, $"none{thread}-{step}")));
                    }
                }
            }

            expected[thread] = mine;
        });
        long piped = mount.Gauge("fuse_writes_piped");

        // Collected writes may all go out at the end, each byte once, and as large as a request may be.
        Assert.True(piped >= Threads * Area / (2 * 384 << 10), $"{piped} writes were piped");
        mount.Unmount();
        for (int thread = 0; thread < Threads; thread++)
        {
            AssertSame(expected[thread], File.ReadAllBytes(Path.Join(mount.Upper!, $"f{thread}")));
        }
    }

    /// <summary>A write that finds no room waits until a removed file has given back its own, and is served again: what has got to the file and what follows are one.</summary>
    [MountTheory, InlineData(""), InlineData("--writeback")]
    public void RoomComesInTheMiddle(string option)
    {
        const int Size = 11_000_001;
        using var outer = new ScratchFolder();
        using var disk = new SmallDisk(outer, "tmpfs", 16);
        using var scratch = new ScratchFolder(disk.Path);
        using AntaresMount mount = Make(scratch, option);
        mount.Mount();
        byte[] data = new byte[Size];
        new Random(Seed).NextBytes(data);
        string path = Path.Join(mount.Root, "kept");
        int inTime = 0;
        for (int round = 0; round < 8 && inTime < 3; round++)
        {
            string held = Path.Join(mount.Root, "held");
            FileStream holder = new(held, FileMode.CreateNew, FileAccess.ReadWrite);
            holder.Write(data, 0, Size * 3 / 4);
            holder.Flush(flushToDisk: true);
            File.Delete(held);
            Thread closer = new(() =>
            {
                Thread.Sleep(40);
                holder.Dispose();
            });
            closer.Start();
            try
            {
                using FileStream file = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.Read, bufferSize: 0);
                file.Write(data);
                file.Flush(flushToDisk: true);
                inTime++;
                AssertSame(data, File.ReadAllBytes(Path.Join(mount.Upper!, "kept")));
                AssertSame(data, File.ReadAllBytes(path));
            }
            catch (IOException late) when (late.Message.Contains("No space left", StringComparison.Ordinal))
            {
                // A wait is not for long, and on a busy machine the other thread may come later still: it is told, that is what counts.
            }

            closer.Join();
            File.Delete(path);
        }

        Assert.True(inTime >= 3, $"room came in time {inTime} times of 8");
        Assert.True(mount.Gauge("fuse_writes_piped") > 50, $"{mount.Gauge("fuse_writes_piped")} writes were piped");
    }

    /// <summary>Up to where the disk is full the data are there, and the writer hears of it.</summary>
    [MountTheory, InlineData("tmpfs"), InlineData("ext4")]
    public void NoRoomComes(string type)
    {
        using var outer = new ScratchFolder();
        using var disk = new SmallDisk(outer, type, 16);
        using var scratch = new ScratchFolder(disk.Path);
        using AntaresMount mount = Make(scratch, "");
        mount.Mount();
        byte[] data = new byte[20_000_000];
        new Random(Seed).NextBytes(data);
        string path = Path.Join(mount.Root, "f");
        using (FileStream file = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.Read, bufferSize: 0))
        {
            Assert.Contains("No space left", Assert.Throws<IOException>(() => file.Write(data)).Message, StringComparison.Ordinal);
        }

        byte[] there = File.ReadAllBytes(path);
        Assert.InRange(there.Length, 8_000_000, 16 << 20);
        AssertSame(data[..there.Length], there);
        File.Delete(path);
        File.WriteAllBytes(path, data[..5_000_000]);
        AssertSame(data[..5_000_000], File.ReadAllBytes(path));
    }

    /// <summary>A pipe that fails is no reason to fail; a file that does is one, and the next write is right again.</summary>
    [MountTheory]
    [InlineData("splice", "EIO", ""), InlineData("splice", "EINVAL", ""), InlineData("splice", "ENOMEM", ""), InlineData("splice,pwrite64", "EDQUOT", "EDQUOT"), InlineData("splice,pwrite64", "EIO", "EIO")]
    public void ACallFails(string calls, string errno, string expected)
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "");
        mount.Mount();
        _ = Probe.Check(mount.Root, "gen f 3000000 1 => ok\n");
        using (new Fault(mount.ServerPid(), calls, errno))
        {
            _ = Probe.Check(mount.Root, $"gen g 3000000 2 => {(expected.Length > 0 ? expected : "ok")}\n");
        }

        if (expected.Length == 0)
        {
            _ = Probe.Check(mount.Root, "open g g RDONLY => ok\ncheck g 0 3000000 2 => ok\n");
        }

        _ = Probe.Check(mount.Root, "gen h 3000000 3 => ok\nopen h h RDONLY => ok\ncheck h 0 3000000 3 => ok\nopen f f RDONLY => ok\ncheck f 0 3000000 1 => ok\n");
    }

    /// <summary>Direct I/O from as many pieces of memory as a call takes: each needs a place in the pipe, and the kernel fails what finds none.</summary>
    [MountFact]
    public unsafe void DirectWritesOfManyPieces()
    {
        const int Pieces = 1000, PieceBytes = 512, Rounds = 12;
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "");
        mount.Mount();
        byte[] large = new byte[128 << 10];
        new Random(Seed).NextBytes(large);
        byte[] all = new byte[Pieces * PieceBytes];
        new Random(Seed + 1).NextBytes(all);
        ReadOnlyMemory<byte>[] pieces = [.. Enumerable.Range(0, Pieces).Select(i => new ReadOnlyMemory<byte>(all, i * PieceBytes, PieceBytes))];
        string path = Path.Join(mount.Root, "f");
        fixed (byte* name = System.Text.Encoding.UTF8.GetBytes(path + "\0"))
        {
            Assert.Equal(Errno.None, Fd.Openat(Fcntl.AT_FDCWD, name, Fcntl.O_CREAT | Fcntl.O_RDWR | Fcntl.O_CLOEXEC | Fcntl.O_DIRECT, 0x180, out int fd));
            using var file = new Microsoft.Win32.SafeHandles.SafeFileHandle(fd, ownsHandle: true);
            for (int round = 0; round < Rounds; round++)
            {
                RandomAccess.Write(file, large, 0);
                RandomAccess.Write(file, pieces, large.Length + ((long)round * all.Length));
            }
        }

        Assert.True(mount.Gauge("fuse_writes_piped") > Rounds, $"{mount.Gauge("fuse_writes_piped")} writes were piped");
        mount.Unmount();
        byte[] expected = [.. large, .. Enumerable.Repeat(all, Rounds).SelectMany(bytes => bytes)];
        AssertSame(expected, File.ReadAllBytes(Path.Join(mount.Upper!, "f")));
    }

    /// <summary>Large writes that are refused before they get to a file leave nothing behind in the pipe.</summary>
    [MountFact]
    public void WhatIsRefused()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Make(scratch, "");
        _ = Probe.Check(mount.Lower, "gen low 3000000 1\n");
        mount.Mount();
        for (int round = 0; round < 3; round++)
        {
            // The copy-up fails, so the data are never asked for; from the second on they are in the pipe.
            using (new Fault(mount.ServerPid(), "copy_file_range,pwrite64", "EDQUOT"))
            {
                _ = Probe.Check(mount.Root, "open w low RDWR => ok\nfill w 0 3000000 9 => EDQUOT\nfill w 0 3000000 9 => EDQUOT\nfill w 5 3000000 9 => EDQUOT\n");
            }

            _ = Probe.Check(mount.Root, $"gen f{round} 3000000 {round + 3} => ok\nopen f f{round} RDONLY => ok\ncheck f 0 3000000 {round + 3} => ok\n");
        }

        _ = Probe.Check(mount.Root, "open l low RDONLY => ok\ncheck l 0 3000000 1 => ok\n");
    }

    private static AntaresMount Make(ScratchFolder scratch, string option) =>
        new(scratch, MountKind.AntaresFolder, option.Length > 0 ? [option] : []);

    private static void AssertSame(byte[] expected, byte[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        int at = expected.AsSpan().CommonPrefixLength(actual);
        Assert.True(at == expected.Length, $"the first byte that differs is at {at} of {expected.Length}");
    }
}
