using Antares.Aot.Base;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Data on their way through a pipe, which another pipe stands in for the device of.</summary>
public sealed unsafe class BasePipedDataTests
{
    private const uint Room = 4096;

    /// <summary>A file that takes nothing from a pipe gets its data from memory, and the pipe is as good as before.</summary>
    [Fact]
    public void AFileThatTakesNothingFromAPipeLeavesItInUse()
    {
        using var scratch = new ScratchFolder();
        Assert.Equal(Errno.None, PipedData.TryMake(1, out PipedData? made));
        using PipedData piped = made!;
        using var device = new Device();
        int appends = Open(scratch.Join("appends"), Fcntl.O_APPEND), file = Open(scratch.Join("file"), 0);
        byte[] memory = new byte[Room];
        for (int round = 0; round < 2; round++)
        {
            Assert.Equal(Errno.None, device.Fill(piped, "one"u8));
            Assert.Equal(Errno.None, piped.MoveTo(appends, 0));
            Assert.Equal((nuint)3, piped.Left);
            Assert.Equal((nuint)0, piped.Moved);
            fixed (byte* into = memory)
            {
                Assert.Equal(Errno.None, piped.Take(into, piped.Left));
            }

            Assert.Equal("one"u8, memory.AsSpan(0, 3));
            Assert.False(piped.IsRefused);
            Assert.Equal(Errno.None, device.Fill(piped, "two"u8));
            Assert.Equal(Errno.None, piped.MoveTo(file, round * 3));
            Assert.Equal((nuint)3, piped.Moved);
            Assert.Equal((nuint)0, piped.Left);
        }

        _ = Fd.Close(appends);
        _ = Fd.Close(file);
        Assert.Equal("", File.ReadAllText(scratch.Join("appends")));
        Assert.Equal("twotwo", File.ReadAllText(scratch.Join("file")));
    }

    /// <summary>What gives nothing to a pipe is not asked again.</summary>
    [Fact]
    public void ADeviceThatGivesNothingIsRemembered()
    {
        using var scratch = new ScratchFolder();
        Assert.Equal(Errno.None, PipedData.TryMake(1, out PipedData? made));
        using PipedData piped = made!;
        int folder = Open(scratch.Path, Fcntl.O_DIRECTORY, create: false);
        Assert.NotEqual(Errno.None, piped.Fill(folder, Room, out _));
        Assert.True(piped.IsRefused);
        _ = Fd.Close(folder);
    }

    private static int Open(string path, int flags, bool create = true)
    {
        byte[] name = [.. System.Text.Encoding.UTF8.GetBytes(path), 0];
        fixed (byte* pointer = name)
        {
            Assert.Equal(Errno.None, Fd.Openat(Fcntl.AT_FDCWD, pointer, flags | Fcntl.O_CLOEXEC | (create ? Fcntl.O_CREAT | Fcntl.O_RDWR : 0), 0x180, out int fd));
            return fd;
        }
    }

    private sealed class Device : IDisposable
    {
        private readonly int[] _ends = new int[2];

        public Device()
        {
            fixed (int* ends = _ends)
            {
                Assert.Equal(Errno.None, Fd.TryPipe2(ends, Fcntl.O_CLOEXEC));
            }
        }

        public Errno Fill(PipedData piped, ReadOnlySpan<byte> data)
        {
            fixed (byte* bytes = data)
            {
                Assert.Equal(Errno.None, FileIo.Write(_ends[1], bytes, (nuint)data.Length, out nuint written));
                Assert.Equal((nuint)data.Length, written);
            }

            return piped.Fill(_ends[0], (nuint)data.Length, out _);
        }

        public void Dispose()
        {
            _ = Fd.Close(_ends[0]);
            _ = Fd.Close(_ends[1]);
        }
    }
}
