using System.Text.RegularExpressions;
using Antares.Aot.Cli;
using Antares.Aot.Mounts;

namespace Antares.Aot.Tests.Unit;

/// <summary>Called as fuse-overlayfs, by mount(8), or as itself.</summary>
public sealed class CliCallFormTests
{
    private const string Helper = "/sbin/mount.fuse.antares-aot";

    [Theory]
    [InlineData("-o lowerdir=/l /m", "mount -o whiteouts=aufs -o lowerdir=/l /m")]
    [InlineData("-olowerdir=/l,ro /m", "mount -o whiteouts=aufs -o lowerdir=/l,ro /m")]
    [InlineData("/m -o lowerdir=/l -o ro", "mount -o whiteouts=aufs /m -o lowerdir=/l -o ro")]
    [InlineData("-f -o lowerdir=/l /m", "mount -o whiteouts=aufs -f -o lowerdir=/l /m")]
    [InlineData("-d -o lowerdir=/l /m", "mount -o whiteouts=aufs --log-level debug --foreground -o lowerdir=/l /m")]
    [InlineData("-s -o lowerdir=/l /m", "mount -o whiteouts=aufs -o threaded=0 -o lowerdir=/l /m")]
    [InlineData("none /m -o lowerdir=/l", "mount none /m -o lowerdir=/l")]
    [InlineData("mount -o lowerdir=/l /m", "mount -o lowerdir=/l /m")]
    [InlineData("run /a -- sh -o x", "run /a -- sh -o x")]
    [InlineData("--version", "--version")]
    [InlineData("no-such-verb", "no-such-verb")]
    public void AsFuseOverlayfs(string line, string words) => Assert.Equal(words, Words("antares-aot", line));

    [Theory]
    [InlineData("none /m -o rw", "mount none /m -o rw")]
    [InlineData("none /m -o lowerdir=/l,ro", "mount none /m -o lowerdir=/l,ro")]
    [InlineData("none /m -n -v -o rw", "mount none /m -o rw")]
    [InlineData("none /m -s -o rw", "mount none /m -o sloppy -o rw")]
    [InlineData("none /m -o rw -t fuse.antares-aot", "mount none /m -o rw")]
    [InlineData("none /m -f -o rw", null)]
    [InlineData("none /m -vf -o rw", null)]
    [InlineData("umount /m -o rw", "mount umount /m -o rw")]
    public void AsAHelperOfMount(string line, string? words) => Assert.Equal(words, Words(Helper, line));

    [Theory]
    [InlineData("")]
    [InlineData("none")]
    [InlineData("-o rw none /m")]
    [InlineData("none /m extra")]
    [InlineData("none /m -x")]
    [InlineData("none /m -N /proc/1/ns/mnt -o rw")]
    public void WhatMountDoesNotGiveAHelper(string line) =>
        Assert.Equal(ProblemKind.Usage, Assert.Throws<MountProblem>(() => Words(Helper, line)).Kind);

    [Fact]
    public void AHelperEndsWithTheCodesOfMount()
    {
        var helper = new CallForm(Helper, []);
        Assert.Equal([0, 1, 32, 4], new[] { ExitCode.Ok, ExitCode.Usage, ExitCode.Mount, ExitCode.Internal }.Select(helper.ExitCode));
        var own = new CallForm("./antares-aot", []);
        Assert.Equal([0, 2, 3, 1], new[] { ExitCode.Ok, ExitCode.Usage, ExitCode.Mount, ExitCode.Internal }.Select(own.ExitCode));
    }

    /// <summary>The C main decides who serves before the runtime starts, so it has the verbs too.</summary>
    [Fact]
    public void TheCMainKnowsTheSameVerbs()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Antares.sln")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("the tests run outside of the checkout");
        }

        var main = File.ReadAllText(Path.Combine(folder, "interop", "native", "main.c"));
        var list = Regex.Match(main, @"verbs\[\] = \{([^}]*)\}").Groups[1].Value;
        Assert.Equal(CommandLine.Verbs, Regex.Matches(list, "\"([a-z]+)\"").Select(match => match.Groups[1].Value));
    }

    private static string? Words(string calledAs, string line)
    {
        var words = new CallForm(calledAs, line.Split(' ', StringSplitOptions.RemoveEmptyEntries)).ToWords();
        return words is null ? null : string.Join(' ', words);
    }
}
