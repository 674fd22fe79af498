using Antares.Aot.Base;
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
        Assert.Equal(Durability.Volatile, options.Durability);
        Assert.True(options.AllowOther);
        Assert.True(options.UserXattrs);
        Assert.Equal(["noatime", "suid", "nosuid", "dev", "nodev", "exec", "noexec"], options.MountOptions);
    }

    [Theory]
    [InlineData("lowerdir=/l,foo", "'foo'")]
    [InlineData("lowerdir=/l,metacopy=maybe", "'metacopy=maybe'")]
    [InlineData("lowerdir=/l,redirect_dir=sometimes", "'redirect_dir=sometimes'")]
    [InlineData("lowerdir=/l,xino=yes", "'xino=yes'")]
    [InlineData("lowerdir=/l,fsync=2", "'fsync=2'")]
    [InlineData("lowerdir=/l,allow_root", "allow_other")]
    [InlineData("lowerdir=/l,debug", "--log-level debug")]
    [InlineData("lowerdir=/l,nfs_export=on", "cannot be exported")]
    [InlineData("lowerdir=/l,datadir+=/d", "'datadir+=/d'")]
    [InlineData("lowerdir=/l,plugins=/usr/lib/x.so", "plugins")]
    [InlineData("lowerdir=/l,xattr_permissions=2", "force_mask")]
    [InlineData("lowerdir=/l,subtype=other", "subtype")]
    [InlineData("lowerdir=/l,uidmapping=0:1000", "stored:shown:count")]
    [InlineData("lowerdir=/l,uidmapping=0:1000:x", "'x'")]
    [InlineData("lowerdir=/l,uidmapping=0:1000:0", "empty")]
    [InlineData("lowerdir=/l,gidmapping=0:1000:10:5:3000:1", "overlaps")]
    [InlineData("lowerdir=/l,squash_to_uid=-1", "'-1'")]
    [InlineData("lowerdir=/l,squash_to_gid=4294967295", "'4294967295'")]
    [InlineData("lowerdir=/l,whiteouts=oci", "'oci'")]
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

    [Fact]
    public void OptionsOfFuseOverlayfsHaveTheirMeaning()
    {
        var options = OverlayOptionList.Parse(
            ["lowerdir=/l,static_nlink,noacl,noxattrs=1,redirect_dir=off,threaded=0,fsync=0,uidmapping=:0:1000:1:1:110000:65536,squash_to_gid=7"]);
        Assert.Equal((Durability.Volatile, 1), (options.Durability, options.Threads));
        var behaviour = options.Behaviour;
        Assert.Equal((true, false, false, false), (behaviour.StaticLinks, behaviour.Acls, behaviour.Xattrs, behaviour.RenamesLowerDirectories));
        Assert.Equal([new IdRange(1000, 0, 1), new IdRange(110_000, 1, 65_536)], behaviour.Uids!);
        Assert.Equal((null, 7u), (behaviour.SquashToUid, behaviour.SquashToGid));
        Assert.True(behaviour.FollowsRedirects);
    }

    [Theory]
    [InlineData("squash_to_root", 0u, 0u)]
    [InlineData("squash_to_uid=5,squash_to_root", 5u, 0u)]
    [InlineData("squash_to_root,squash_to_uid=5,squash_to_gid=6", 5u, 6u)]
    public void ASquashedIdWinsOverRoot(string list, uint uid, uint gid)
    {
        var behaviour = OverlayOptionList.Parse([list]).Behaviour;
        Assert.Equal((uid, gid), (behaviour.SquashToUid, behaviour.SquashToGid));
    }

    [Fact]
    public void FoldersOneByOneHaveColonsInTheirNames() =>
        Assert.Equal(["/a:b", "/c"], OverlayOptionList.Parse(["lowerdir+=/a:b,lowerdir+=/c"]).Lowers);

    [Fact]
    public void ManyLowers() => Assert.Equal(500, OverlayOptionList.Parse(["lowerdir=" + string.Join(':', Enumerable.Range(0, 500).Select(i => $"/l{i}"))]).Lowers.Count);

    [Fact]
    public void ALabelKeepsItsCommas()
    {
        var options = OverlayOptionList.Parse(["lowerdir=/l,context=\"system_u:object_r:container_file_t:s0:c1,c2\",nodev"]);
        Assert.Equal(["context=\"system_u:object_r:container_file_t:s0:c1,c2\"", "nodev"], options.MountOptions);
    }

    [Fact]
    public void TheLastOfContradictingOptionsCounts()
    {
        Assert.False(OverlayOptionList.Parse(["ro,rw"]).ReadOnly);
        Assert.True(OverlayOptionList.Parse(["rw", "ro"]).ReadOnly);
        Assert.False(OverlayOptionList.Parse(["whiteouts=aufs", "whiteouts=overlay"]).Behaviour.ReadsAufsWhiteouts);
        Assert.Equal(Durability.Fsync, OverlayOptionList.Parse(["volatile,fsync=1"]).Durability);
    }

    [Fact]
    public void SloppyIgnoresTheUnknownButNotTheRefused()
    {
        var options = OverlayOptionList.Parse(["foo=1,sloppy"]);
        Assert.Contains(options.Idle, idle => idle.StartsWith("foo=1 ", StringComparison.Ordinal));
        _ = Assert.Throws<MountProblem>(() => OverlayOptionList.Parse(["allow_root,sloppy"]));
    }

    [Theory]
    [InlineData("0:1000:1", new uint[] { 0, 1000, 1 })]
    [InlineData("0:100000:65536,65536:5:1", new uint[] { 0, 100_000, 65_536, 65_536, 5, 1 })]
    public void OwnerMaps(string text, uint[] numbers) =>
        Assert.Equal(numbers.Chunk(3).Select(n => new IdRange(n[0], n[1], n[2])), IdMapText.Parse("--uid-map", text)!);

    [Theory]
    [InlineData("")]
    [InlineData("0:0")]
    [InlineData("0:0:0")]
    [InlineData("0:0:1:2")]
    [InlineData("0:0:1,")]
    [InlineData("a:0:1")]
    [InlineData("-1:0:1")]
    [InlineData("4294967295:0:1")]
    [InlineData("4294967290:0:10")]
    [InlineData("0:0:2,1:10:1")]
    [InlineData("0:0:2,10:1:1")]
    public void OwnerMapsThatMakeNoSense(string text)
    {
        var problem = Assert.Throws<MountProblem>(() => IdMapText.Parse("--gid-map", text));
        Assert.StartsWith("--gid-map", problem.Message);
    }

    /// <summary>docs/MOUNT-OPTIONS.md is what users read: its tables and the program say the same of each option.</summary>
    [Fact]
    public void TheDocumentNamesEveryOption()
    {
        var rows = File.ReadLines(Path.Combine(Checkout(), "docs", "MOUNT-OPTIONS.md")).Where(line => line.StartsWith("| `", StringComparison.Ordinal))
            .Select(line => line.Split('|', 3)[1]).ToList();
        var documented = rows.SelectMany(cell => cell.Split('`').Where((_, i) => i % 2 == 1)).ToHashSet();
        IEnumerable<string> known =
        [
            .. ForeignOptions.OfTheMount, .. ForeignOptions.OfLabels.Select(name => name + "=LABEL"),
            .. ForeignOptions.Idle.SelectMany(idle => Forms(idle.Name, idle.Values)), .. ForeignOptions.Refused.SelectMany(refused => Forms(refused.Name, refused.Values)),
            "lowerdir=A:B", "lowerdir+=A", "upperdir=U", "workdir=W", "ro", "rw", "volatile", "fsync=0", "fsync=1", "sync=0", "sync=1", "allow_other", "userxattr",
            "static_nlink", "noacl", "noxattrs=1", "squash_to_root", "squash_to_uid=UID", "squash_to_gid=GID", "uidmapping=STORED:SHOWN:COUNT[:…]",
            "gidmapping=STORED:SHOWN:COUNT[:…]", "redirect_dir=on", "redirect_dir=off", "redirect_dir=follow", "redirect_dir=nofollow", "threaded=0", "threaded=1", "writeback=0", "writeback=1", "whiteouts=overlay",
            "whiteouts=aufs", "fsname=NAME", "source=NAME", "auto_unmount", "sloppy",
        ];
        Assert.Equal(known.Distinct().Order(StringComparer.Ordinal), documented.Order(StringComparer.Ordinal));
    }

    /// <summary>Each form in the document that is not refused is taken by the parser.</summary>
    [Fact]
    public void WhatTheDocumentDoesNotRefuseIsTaken()
    {
        foreach (var line in File.ReadLines(Path.Combine(Checkout(), "docs", "MOUNT-OPTIONS.md")))
        {
            if (line.StartsWith("## Refused", StringComparison.Ordinal))
            {
                return;
            }

            if (!line.StartsWith("| `", StringComparison.Ordinal))
            {
                continue;
            }

            foreach (var form in line.Split('|', 3)[1].Split('`').Where((_, i) => i % 2 == 1))
            {
                _ = OverlayOptionList.Parse([form.Replace("UID", "1").Replace("GID", "1").Replace("STORED:SHOWN:COUNT[:…]", "0:1:2")]);
            }
        }

        Assert.Fail("the document has no section of what is refused");
    }

    private static IEnumerable<string> Forms(string name, string? values) =>
        values is null ? [name] : values == "*" ? [name + "=…"] : values.Split('|').Select(value => $"{name}={value}");

    private static string Checkout()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Antares.sln")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("the tests run outside of the checkout");
        }

        return folder;
    }
}
