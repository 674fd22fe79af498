using System.Text;
using Antares.Aot.Diagnostics;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Tests.Unit;

public class DiagnosticsFailuresTests
{
    private const int Write = (int)fuse_opcode.FUSE_WRITE;

    [Fact]
    public void KeepsWhatItWasTold()
    {
        var ring = new FailureRing();
        long before = DateTime.UtcNow.Ticks;
        ring.Add(Write, Errno.ENOSPC, 42, "/a/b"u8, "upper", "pwrite");
        FailureRecord record = Assert.Single(ring.Snapshot());
        Assert.Equal(Write, record.Op);
        Assert.Equal(Errno.ENOSPC, record.Error);
        Assert.Equal(42UL, record.NodeId);
        Assert.Equal("/a/b", Encoding.UTF8.GetString(record.Path));
        Assert.Equal("upper", record.Layer);
        Assert.Equal("pwrite", record.Call);
        Assert.InRange(record.UtcTicks, before, DateTime.UtcNow.Ticks);
    }

    /// <summary>As the kernel asks again, page by page, for what it could not read ahead.</summary>
    [Fact]
    public void TheSameAtOnceIsOneLineWithItsCount()
    {
        var diagnostics = new MountDiagnostics();
        FailureRing ring = diagnostics.Failures;
        const int Read = (int)fuse_opcode.FUSE_READ;
        for (int i = 0; i < 3; i++)
        {
            ring.Add(Read, Errno.EIO, 42, "/a"u8, "lower0", "pread");
        }

        ring.Add(Read, Errno.EIO, 42, "/a"u8, "lower0", "checksum");
        ring.Add(Read, Errno.EIO, 42, "/a"u8, "upper", "checksum");
        ring.Add(Read, Errno.EIO, 42, "/b"u8, "upper", "checksum");
        ring.Add(Read, Errno.ENOSPC, 42, "/b"u8, "upper", "checksum");
        ring.Add(Write, Errno.ENOSPC, 42, "/b"u8, "upper", "checksum");
        ring.Add(Write, Errno.ENOSPC, 43, "/b"u8, "upper", "checksum");
        ring.Add(Read, Errno.EIO, 42, "/a"u8, "lower0", "pread");
        Assert.Equal([3, 1, 1, 1, 1, 1, 1, 1], ring.Snapshot().Select(record => record.Times));
        Assert.Equal(10, ring.Total);
        using var text = new StringWriter();
        diagnostics.WriteErrorsText(text);
        Assert.Contains("/a (3 times)", text.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("no longer kept", text.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void TheOldestMakeRoom()
    {
        var ring = new FailureRing();
        for (int i = 0; i < FailureRing.Capacity + 10; i++)
        {
            ring.Add(Write, Errno.EIO, (ulong)i, default, null, null);
        }

        FailureRecord[] records = ring.Snapshot();
        Assert.Equal(FailureRing.Capacity, records.Length);
        Assert.Equal(FailureRing.Capacity + 10, ring.Total);
        Assert.Equal(10UL, records[0].NodeId);
        Assert.Equal((ulong)FailureRing.Capacity + 9, records[^1].NodeId);
        Assert.Equal("", records[0].Layer);
    }

    [Fact]
    public void ALongPathLosesItsFront()
    {
        var ring = new FailureRing();
        byte[] path = Encoding.UTF8.GetBytes("/" + new string('d', 1000) + "/the-end");
        ring.Add(Write, Errno.EIO, 1, path, new string('l', 100), new string('c', 299) + "äö");
        FailureRecord record = ring.Snapshot()[0];
        string kept = Encoding.UTF8.GetString(record.Path);
        Assert.StartsWith("…", kept, StringComparison.Ordinal);
        Assert.EndsWith("/the-end", kept, StringComparison.Ordinal);
        Assert.Equal(FailureRecord.PathCapacity, record.Path.Length);
        Assert.Equal(new string('l', 12), record.Layer);
        // Cut off between characters: the next one takes two bytes.
        Assert.Equal(new string('c', 299), record.Call);
    }

    [Fact]
    public void APathThatJustFitsIsWhole()
    {
        var ring = new FailureRing();
        byte[] path = Encoding.UTF8.GetBytes(new string('p', FailureRecord.PathCapacity));
        ring.Add(Write, Errno.EIO, 1, path, null, null);
        Assert.True(ring.Snapshot()[0].Path.SequenceEqual(path));
    }

    [Theory]
    [InlineData(fuse_opcode.FUSE_LOOKUP, Errno.ENOENT)]
    [InlineData(fuse_opcode.FUSE_GETXATTR, Errno.ENODATA)]
    [InlineData(fuse_opcode.FUSE_GETXATTR, Errno.ERANGE)]
    [InlineData(fuse_opcode.FUSE_RMDIR, Errno.ENOTEMPTY)]
    [InlineData(fuse_opcode.FUSE_RENAME2, Errno.ENOTEMPTY)]
    [InlineData(fuse_opcode.FUSE_RENAME2, Errno.EEXIST)]
    [InlineData(fuse_opcode.FUSE_MKDIR, Errno.EEXIST)]
    [InlineData(fuse_opcode.FUSE_SETXATTR, Errno.ENODATA)]
    [InlineData(fuse_opcode.FUSE_OPEN, Errno.ENOSYS)]
    [InlineData(fuse_opcode.FUSE_IOCTL, Errno.ENOTTY)]
    [InlineData(fuse_opcode.FUSE_WRITE, Errno.None)]
    public void EverydayAnswersAreNoFailures(fuse_opcode opcode, Errno error) => Assert.True(OrdinaryAnswers.Contains(opcode, error));

    [Theory]
    [InlineData(fuse_opcode.FUSE_LOOKUP, Errno.EIO)]
    [InlineData(fuse_opcode.FUSE_GETATTR, Errno.ENOENT)]
    [InlineData(fuse_opcode.FUSE_WRITE, Errno.ENOSYS)]
    [InlineData(fuse_opcode.FUSE_WRITE, Errno.ENOSPC)]
    [InlineData(fuse_opcode.FUSE_RENAME2, Errno.EXDEV)]
    [InlineData(fuse_opcode.FUSE_SETXATTR, Errno.EOPNOTSUPP)]
    [InlineData(fuse_opcode.FUSE_RMDIR, Errno.ENOENT)]
    [InlineData(fuse_opcode.FUSE_UNLINK, Errno.ENOTEMPTY)]
    [InlineData(fuse_opcode.FUSE_RENAME2, Errno.ENOENT)]
    [InlineData(fuse_opcode.FUSE_CREATE, Errno.EROFS)]
    public void FailuresStayFailures(fuse_opcode opcode, Errno error) => Assert.False(OrdinaryAnswers.Contains(opcode, error));
}
