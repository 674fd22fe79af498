using Antares.Aot.Cli;
using Antares.Aot.Mounts;

namespace Antares.Aot.Tests.Unit;

public sealed class CliOverlayOptionTests
{
    [Fact]
    public void TheThreeFolders()
    {
        var options = OverlayOptionList.Parse(["lowerdir=/a:/b:/c,upperdir=/u,workdir=/w"]);
        Assert.Equal(["/a", "/b", "/c"], options.Lowers);
        Assert.Equal(("/u", "/w"), (options.Upper, options.Work));
        var request = options.ToRequest("/m");
        Assert.False(request.ReadOnly);
        Assert.Equal(["/a", "/b", "/c"], request.Lowers.Select(lower => lower.Path));
        Assert.All(request.Lowers, lower => Assert.Equal(SourceKind.Folder, lower.Kind));
    }

    [Theory]
    [InlineData(@"lowerdir=/a\:b:/c", new[] { "/a:b", "/c" })]
    [InlineData(@"lowerdir=/a\,b,ro", new[] { "/a,b" })]
    [InlineData(@"lowerdir=/a\\b", new[] { @"/a\b" })]
    [InlineData(@"lowerdir=/a\\:b", new[] { @"/a\", "b" })]
    [InlineData(@"lowerdir=/a=b,ro", new[] { "/a=b" })]
    [InlineData(@"lowerdir=/a\", new[] { @"/a\" })]
    [InlineData(@"lowerdir=dir:/a", new[] { "dir", "/a" })]
    public void ABackslashTakesTheMeaningAway(string list, string[] lowers) => Assert.Equal(lowers, OverlayOptionList.Parse([list]).Lowers);

    [Fact]
    public void EscapesInUpperAndWork()
    {
        var options = OverlayOptionList.Parse([@"lowerdir=/l,upperdir=/u\,1:x,workdir=/w\\2"]);
        Assert.Equal(("/u,1:x", @"/w\2"), (options.Upper, options.Work));
    }

    [Fact]
    public void SeveralListsAddUp()
    {
        var options = OverlayOptionList.Parse(["lowerdir=/l", "ro", "nosuid,noatime"]);
        Assert.True(options.ReadOnly);
        Assert.Equal(["nosuid", "noatime"], options.MountOptions);
    }

    [Fact]
    public void GenericOptionsOfMount8AreTaken()
    {
        const string All = "lowerdir=/l,rw,noatime,relatime,suid,nosuid,dev,nodev,exec,noexec,allow_other,volatile,userxattr,defaults,nofail,_netdev,"
            + "x-systemd.automount,index=off,metacopy=off,redirect_dir=on,xino=auto,";
        var options = OverlayOptionList.Parse([All]);
        Assert.True(options.Volatile);
        Assert.True(options.AllowOther);
        Assert.True(options.UserXattrs);
        Assert.Equal(["noatime", "suid", "nosuid", "dev", "nodev", "exec", "noexec"], options.MountOptions);
    }

    [Theory]
    [InlineData("lowerdir=/l,foo", "'foo'")]
    [InlineData("lowerdir=/l,metacopy=on", "'metacopy=on'")]
    [InlineData("lowerdir=/l,redirect_dir=off", "'redirect_dir=off'")]
    [InlineData("lowerdir=/l,ro=1", "'ro=1'")]
    [InlineData("lowerdir=/l,lowerdir=/m", "twice")]
    [InlineData("lowerdir", "'lowerdir'")]
    [InlineData("lowerdir=", "empty")]
    [InlineData("lowerdir=/a::/b", "empty")]
    [InlineData("lowerdir=/a,upperdir=", "empty")]
    public void WhatIsNotKnownIsRefusedByName(string list, string named)
    {
        var problem = Assert.Throws<MountProblem>(() => OverlayOptionList.Parse([list]));
        Assert.Equal(ProblemKind.Usage, problem.Kind);
        Assert.Contains(named, problem.Message);
    }

    [Fact]
    public void WithoutUpperItIsReadOnlyAndWorkNeedsIt()
    {
        Assert.True(OverlayOptionList.Parse(["lowerdir=/l"]).ToRequest("/m").ReadOnly);
        _ = Assert.Throws<MountProblem>(() => OverlayOptionList.Parse(["lowerdir=/l,workdir=/w"]).ToRequest("/m"));
        _ = Assert.Throws<MountProblem>(() => OverlayOptionList.Parse(["ro"]).ToRequest("/m"));
    }
}
