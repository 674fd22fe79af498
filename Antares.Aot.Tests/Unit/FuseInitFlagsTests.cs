using System.Numerics;
using System.Reflection;
using Antares.Aot.Fuse;
using Antares.Interop.Fuse3;
using static Antares.Interop.Fuse3.Flags;

namespace Antares.Aot.Tests.Unit;

public class FuseInitFlagsTests
{
    /// <summary>What Linux 6.18 offers.</summary>
    internal const ulong Linux618 = 0x5FD_73FF_FFFB;

    [Theory]
    [InlineData(FUSE_ATOMIC_O_TRUNC)]
    [InlineData(FUSE_AUTO_INVAL_DATA)]
    [InlineData(FUSE_POSIX_LOCKS)]
    [InlineData(FUSE_FLOCK_LOCKS)]
    [InlineData(FUSE_WRITEBACK_CACHE)]
    [InlineData(FUSE_SETXATTR_EXT)]
    [InlineData(FUSE_SPLICE_READ)]
    [InlineData(FUSE_SPLICE_WRITE)]
    [InlineData(FUSE_SPLICE_MOVE)]
    [InlineData(FUSE_EXPORT_SUPPORT)]
    [InlineData(FUSE_READDIRPLUS_AUTO)]
    [InlineData(FUSE_HANDLE_KILLPRIV)]
    [InlineData(FUSE_SECURITY_CTX)]
    [InlineData(FUSE_CREATE_SUPP_GROUP)]
    [InlineData(FUSE_PASSTHROUGH)]
    [InlineData(FUSE_OVER_IO_URING)]
    [InlineData(FUSE_ABORT_ERROR)]
    public void MustBeOff(ulong bit) => Assert.Equal(0UL, InitFlags.Accept(ulong.MaxValue) & bit);

    [Theory]
    [InlineData(FUSE_EXPLICIT_INVAL_DATA)]
    [InlineData(FUSE_PARALLEL_DIROPS)]
    [InlineData(FUSE_HANDLE_KILLPRIV_V2)]
    [InlineData(FUSE_POSIX_ACL)]
    [InlineData(FUSE_DONT_MASK)]
    [InlineData(FUSE_CACHE_SYMLINKS)]
    [InlineData(FUSE_MAX_PAGES)]
    [InlineData(FUSE_DO_READDIRPLUS)]
    [InlineData(FUSE_ASYNC_READ)]
    [InlineData(FUSE_BIG_WRITES)]
    [InlineData(FUSE_ASYNC_DIO)]
    public void MustBeOnWhereOffered(ulong bit)
    {
        Assert.Equal(bit, InitFlags.Accept(ulong.MaxValue) & bit);
        Assert.Equal(bit, InitFlags.Accept(Linux618) & bit);
        Assert.Equal(bit, InitFlags.Accept(InitFlags.Linux515) & bit);
        Assert.Equal(0UL, InitFlags.Accept(~bit) & bit);
    }

    /// <summary>Linux 6.12 and later: a mount of the mount may have its ids mapped.</summary>
    [Fact]
    public void IdsMayBeMappedWhereTheKernelCan()
    {
        Assert.NotEqual(0UL, InitFlags.Accept(Linux618) & FUSE_ALLOW_IDMAP);
        Assert.Equal(0UL, InitFlags.Accept(InitFlags.Linux515) & FUSE_ALLOW_IDMAP);
    }

    [Fact]
    public void NothingIsAcceptedThatWasNotOffered()
    {
        for (int bit = 0; bit < 64; bit++)
        {
            ulong offered = 1UL << bit;
            Assert.Equal(0UL, InitFlags.Accept(offered) & ~offered);
        }

        Assert.Equal(0UL, InitFlags.Accept(0));
    }

    [Fact]
    public void AclAndUmaskGoTogether()
    {
        Assert.Equal(0UL, InitFlags.Accept(FUSE_POSIX_ACL));
        Assert.Equal(0UL, InitFlags.Accept(FUSE_DONT_MASK));
        Assert.Equal(FUSE_POSIX_ACL | FUSE_DONT_MASK, InitFlags.Accept(FUSE_POSIX_ACL | FUSE_DONT_MASK));
    }

    [Fact]
    public void TheMaskOfLinux515HidesAllThatIsNewer()
    {
        ulong seen = Linux618 & InitFlags.Linux515;
        Assert.Equal(0UL, seen & (FUSE_INIT_EXT | FUSE_PASSTHROUGH | FUSE_SECURITY_CTX));
        Assert.NotEqual(0UL, seen & FUSE_HANDLE_KILLPRIV_V2);
        Assert.NotEqual(0UL, seen & FUSE_SETXATTR_EXT);
    }

    [Fact]
    public void EachEntryIsOneBitOfItsNameWithAReason()
    {
        ulong all = 0;
        foreach (InitFlag flag in InitFlags.Table)
        {
            Assert.Equal(1, BitOperations.PopCount(flag.Bit));
            Assert.Equal(0UL, all & flag.Bit);
            all |= flag.Bit;
            FieldInfo? constant = typeof(Flags).GetField("FUSE_" + flag.Name, BindingFlags.Public | BindingFlags.Static);
            Assert.NotNull(constant);
            Assert.Equal(flag.Bit, (ulong)constant.GetRawConstantValue()!);
            Assert.False(string.IsNullOrWhiteSpace(flag.Reason));
        }

        // The table says something about each bit that a kernel offers today.
        Assert.Equal(0UL, Linux618 & ~all);
    }
}
