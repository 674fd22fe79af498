using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Aot.Overlay;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Owner maps, the ids in ACLs, and what is asked of /proc about a caller.</summary>
public sealed unsafe class OverlayOwnerTests
{
    private static readonly IdMap s_map = new([new IdRange(1000, 0, 10), new IdRange(5, 100_000, 1)], overflow: 65_534);

    [Theory]
    [InlineData(0u, 1000u)]
    [InlineData(9u, 1009u)]
    [InlineData(10u, 65_534u)]
    [InlineData(100_000u, 5u)]
    [InlineData(100_001u, 65_534u)]
    [InlineData(uint.MaxValue, 65_534u)]
    public void AStoredIdIsShownMapped(uint stored, uint shown) => Assert.Equal(shown, s_map.ToMount(stored));

    [Theory]
    [InlineData(1000u, true, 0u)]
    [InlineData(1009u, true, 9u)]
    [InlineData(5u, true, 100_000u)]
    [InlineData(0u, false, 0u)]
    [InlineData(1010u, false, 0u)]
    [InlineData(65_534u, false, 0u)]
    public void AGivenIdIsStoredMapped(uint given, bool mapped, uint stored)
    {
        Assert.Equal(mapped, s_map.TryToLayer(given, out uint found));
        Assert.Equal(mapped ? stored : IdMap.None, found);
    }

    [Fact]
    public void WhoTakesUnmappedCallersStoresTheOverflowId()
    {
        var lenient = new IdMap([new IdRange(1000, 0, 10)], overflow: 77, takesUnmapped: true);
        Assert.True(lenient.TryCallerToLayer(5, out uint stored));
        Assert.Equal(77u, stored);
        Assert.False(lenient.TryToLayer(5, out _));
        Assert.False(s_map.TryCallerToLayer(0, out _));
    }

    [Fact]
    public void SquashingChangesOnlyWhatIsShown()
    {
        var squash = new IdMap([], squash: 3);
        Assert.Equal((3u, 3u), (squash.ToMount(0), squash.ToMount(1234)));
        Assert.True(squash.TryToLayer(1234, out uint stored));
        Assert.Equal(1234u, stored);
        Assert.Equal(1234u, squash.AclToMount(1234));
        Assert.False(squash.IsIdentity);
    }

    [Fact]
    public void NamedEntriesOfAclsAreMappedAndOthersAreNot()
    {
        byte[] acl = Acl((1, uint.MaxValue), (2, 3), (4, uint.MaxValue), (8, 9), (16, uint.MaxValue), (32, uint.MaxValue));
        fixed (byte* value = acl)
        {
            AclIds.ToMount(value, acl.Length, s_map, IdMap.Identity);
        }

        Assert.Equal(Acl((1, uint.MaxValue), (2, 1003), (4, uint.MaxValue), (8, 9), (16, uint.MaxValue), (32, uint.MaxValue)), acl);
        fixed (byte* value = acl)
        {
            Assert.Equal(Errno.None, AclIds.ToLayer(value, acl.Length, s_map, IdMap.Identity));
        }

        Assert.Equal(Acl((1, uint.MaxValue), (2, 3), (4, uint.MaxValue), (8, 9), (16, uint.MaxValue), (32, uint.MaxValue)), acl);
        byte[] unmapped = Acl((2, 7));
        fixed (byte* value = unmapped)
        {
            Assert.Equal(Errno.EINVAL, AclIds.ToLayer(value, unmapped.Length, s_map, IdMap.Identity));
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(11)]
    public void WhatIsNoAclIsLeftAlone(int length)
    {
        byte[] acl = Acl((2, 3))[..Math.Min(length, 12)];
        byte[] before = [.. acl];
        fixed (byte* value = acl)
        {
            Assert.Equal(Errno.None, AclIds.ToLayer(value, acl.Length, s_map, s_map));
            AclIds.ToMount(value, acl.Length, s_map, s_map);
        }

        Assert.Equal(before, acl);
        byte[] other = Acl((2, 3));
        other[0] = 1; // another version
        byte[] kept = [.. other];
        fixed (byte* value = other)
        {
            AclIds.ToMount(value, other.Length, s_map, s_map);
        }

        Assert.Equal(kept, other);
    }

    [Theory]
    [InlineData("system.posix_acl_access\0user.a\0system.posix_acl_default\0", "user.a\0")]
    [InlineData("user.system.posix_acl_access\0", "user.system.posix_acl_access\0")]
    [InlineData("", "")]
    public void NamesOfAclsAreHidden(string names, string left)
    {
        byte[] list = Encoding.ASCII.GetBytes(names);
        int length;
        fixed (byte* pointer = list)
        {
            length = AclIds.HideNames(pointer, list.Length);
        }

        Assert.Equal(left, Encoding.ASCII.GetString(list, 0, length));
    }

    [Theory]
    [InlineData("Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n", true)]
    [InlineData("Name:\tx\nUid:\t0\t0\t0\t1000\nGid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n", false)]
    [InlineData("Name:\tx\nUid:\t1000\t1000\t1000\t1000\nGid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n", false)]
    [InlineData("Name:\tx\nUid:\t0\t0\t0\t10\nGid:\t0\t0\t0\t0\nCapEff:\t0000000000000010\n", false)]
    [InlineData("Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapEff:\t0000000000000010\n", true)]
    [InlineData("Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffef\n", false)]
    [InlineData("Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapEff:\t00", false)]
    [InlineData("", false)]
    public void RootWithTheRightKeepsSetId(string status, bool may) => Assert.Equal(may, CallerRights.IsRootWithRight(Encoding.ASCII.GetBytes(status)));

    [Theory]
    [InlineData("Name:\tx\nUid:\t1\t2\t3\t2000\nGid:\t1\t1\t1\t1\n", true)]
    [InlineData("Name:\tx\nUid:\t2000\t2000\t2000\t20001\nGid:\t1\t1\t1\t2000\n", false)]
    [InlineData("Name:\tx\nUid:\t1\t2\t3\t2000", false)]
    [InlineData("Name:\tx\nUid:\t1\t2\t3\t\n", false)]
    [InlineData("", false)]
    public void TheIdForFiles(string status, bool isIt) =>
        Assert.Equal(isIt, CallerRights.TryReadFileId(Encoding.ASCII.GetBytes(status), "\nUid:\t"u8, out uint id) && id == 2000);

    [Fact]
    public void WhoOwnsAFileIsAskedWhereTheRequestDoesNotTell()
    {
        var unnamed = new Caller(IdMap.None, IdMap.None, (uint)Environment.ProcessId, 0);
        uint self = Process.Geteuid();
        Assert.True(CallerRights.OwnsOrMay(unnamed, self));
        Assert.Equal(self == 0 && Process.HasCapability(3), CallerRights.OwnsOrMay(unnamed, self + 1));
        Assert.True(CallerRights.OwnsOrMay(new Caller(1000, 1000, 0, 0), 1000));
        Assert.False(CallerRights.OwnsOrMay(new Caller(1000, 1000, 0, 0), 1001));
        Assert.False(CallerRights.OwnsOrMay(new Caller(IdMap.None, IdMap.None, 0, 0), 0));
    }

    [Fact]
    public void OfThisProcess()
    {
        bool root = Process.Geteuid() == 0 && Process.HasCapability(4);
        Assert.Equal(root, CallerRights.MayKeepSetId(new Caller(IdMap.None, IdMap.None, (uint)Environment.ProcessId, 0)));
        Assert.False(CallerRights.MayKeepSetId(new Caller(1000, 1000, (uint)Environment.ProcessId, 0)));
        Assert.False(CallerRights.MayKeepSetId(new Caller(0, 0, 0, 0)));
    }

    [Theory]
    [InlineData(".wh.x", true, "x")]
    [InlineData(".wh.", true, null)]
    [InlineData(".wh..", true, null)]
    [InlineData(".wh...", true, null)]
    [InlineData(".wh.. x", true, ". x")]
    [InlineData(".wh..wh..opq", true, null)]
    [InlineData(".wh..wh.plnk", true, null)]
    [InlineData(".wx.x", false, null)]
    [InlineData("x.wh.", false, null)]
    [InlineData(".wh", false, null)]
    public void MarksInNames(string text, bool reserved, string? hides)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(text + "\0");
        fixed (byte* pointer = bytes)
        {
            var name = new ByteName(pointer, bytes.Length - 1);
            Assert.Equal(reserved, AufsMarks.IsReserved(name));
            bool found = AufsMarks.TryHiddenName(name, out ByteName hidden);
            Assert.Equal(hides, found ? Encoding.ASCII.GetString(hidden.Span) : null);
            byte* mark = stackalloc byte[256];
            if (found)
            {
                Assert.True(AufsMarks.TryMarkOf(hidden, mark));
                Assert.True(name.SameBytes(ByteName.FromNulTerminated(mark)));
            }
        }
    }

    private static byte[] Acl(params (ushort Tag, uint Id)[] entries)
    {
        var bytes = new List<byte>(BitConverter.GetBytes(2));
        foreach ((ushort tag, uint id) in entries)
        {
            bytes.AddRange(BitConverter.GetBytes(tag));
            bytes.AddRange(BitConverter.GetBytes((ushort)6));
            bytes.AddRange(BitConverter.GetBytes(id));
        }

        return [.. bytes];
    }
}
