using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>What is wrong is said at mount time, names the place and what to do, and leaves nothing behind.</summary>
public sealed class MountErrorTests
{
    private const int Usage = 2, MountFailed = 3;

    [MountFact]
    public void NoSuchSource() => Refused((m, s) => ["mount", $"dir:{s.Join("absent")}", m.Root, "--upper", m.Upper!, "--work", m.Work!], s => s.Join("absent"));

    [MountFact]
    public void NoSuchPlainSource() => Refused((m, s) => ["mount", s.Join("absent"), m.Root, "--upper", m.Upper!, "--work", m.Work!], s => s.Join("absent"));

    [MountFact]
    public void TheSourceIsAFile() => Refused((m, s) =>
    {
        File.WriteAllText(s.Join("file"), "x");
        return ["mount", $"dir:{s.Join("file")}", m.Root, "--upper", m.Upper!, "--work", m.Work!];
    }, s => s.Join("file"));

    [MountFact]
    public void NoSuchMountPoint() => Refused((m, s) => ["mount", m.Source, s.Join("no-mnt"), "--upper", m.Upper!, "--work", m.Work!], s => s.Join("no-mnt"));

    [MountFact]
    public void TheMountPointIsAFile() => Refused((m, s) =>
    {
        File.WriteAllText(s.Join("mnt-file"), "x");
        return ["mount", m.Source, s.Join("mnt-file"), "--upper", m.Upper!, "--work", m.Work!];
    }, s => s.Join("mnt-file"));

    [MountFact]
    public void TheMountPointIsNotEmpty() => Refused((m, s) =>
    {
        File.WriteAllText(Path.Combine(m.Root, "something"), "x");
        return m.MountArguments;
    }, s => s.Join("mnt"));

    [MountFact]
    public void NoSuchUpper() => Refused((m, s) => ["mount", m.Source, m.Root, "--upper", s.Join("no-upper"), "--work", m.Work!], s => s.Join("no-upper"));

    [MountFact]
    public void NoSuchWork() => Refused((m, s) => ["mount", m.Source, m.Root, "--upper", m.Upper!, "--work", s.Join("no-work")], s => s.Join("no-work"));

    /// <summary>A mount empties its work folder: one that somebody else put in the place of the one beside the upper is refused untouched.</summary>
    [MountTheory]
    [InlineData("mkdir -p victim/work && (cd victim/work && echo x > precious) && ln -s victim .upper.antares-work")]
    [InlineData("mkdir -p .upper.antares-work/work && (cd .upper.antares-work/work && echo x > precious) && chown -R 1234 .upper.antares-work")]
    [InlineData("mkdir -p .upper.antares-work/work && (cd .upper.antares-work/work && echo x > precious) && chmod 777 .upper.antares-work")]
    public void TheWorkFolderBesideTheUpperIsSomebodyElses(string prepared)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Shell.Bash($"cd \"$S\" && {prepared}", environment: ("S", scratch.Path)).Must();
        ShellResult result = mount.Try("mount", mount.Source, mount.Root, "--upper", mount.Upper!);
        Assert.Equal(MountFailed, result.ExitCode);
        Assert.Contains(scratch.Join(".upper.antares-work"), result.Error);
        Assert.Null(MountTable.Find(mount.Root));
        Assert.Equal("x", File.ReadAllText(Path.Combine(scratch.Join(".upper.antares-work"), "work", "precious")).Trim());
    }

    [MountFact]
    public void TheUpperIsInsideTheMountPoint() => Refused((m, s) =>
    {
        _ = Directory.CreateDirectory(Path.Combine(m.Root, "u"));
        _ = Directory.CreateDirectory(Path.Combine(m.Root, "w"));
        return ["mount", m.Source, m.Root, "--upper", Path.Combine(m.Root, "u"), "--work", Path.Combine(m.Root, "w")];
    }, s => s.Join("mnt"));

    [MountFact]
    public void TheMountPointIsTheUpper() => Refused((m, s) => ["mount", m.Source, m.Upper!, "--upper", m.Upper!, "--work", m.Work!], s => s.Join("upper"));

    [MountFact]
    public void TheWorkIsTheUpper() => Refused((m, s) => ["mount", m.Source, m.Root, "--upper", m.Upper!, "--work", m.Upper!], s => s.Join("upper"));

    [MountFact]
    public void TheWorkIsInsideTheUpper() => Refused((m, s) =>
    {
        _ = Directory.CreateDirectory(Path.Combine(m.Upper!, "w"));
        return ["mount", m.Source, m.Root, "--upper", m.Upper!, "--work", Path.Combine(m.Upper!, "w")];
    }, s => s.Join("upper"));

    [MountFact]
    public void TheUpperIsInsideTheLower() => Refused((m, s) =>
    {
        string upper = Path.Combine(m.Lower, "u"), work = Path.Combine(m.Lower, "w");
        _ = Directory.CreateDirectory(upper);
        _ = Directory.CreateDirectory(work);
        return ["mount", m.Source, m.Root, "--upper", upper, "--work", work];
    }, s => s.Join("lower"));

    [MountFact]
    public void TheWorkIsOnAnotherFileSystem()
    {
        if (!Directory.Exists("/dev/shm"))
            return;
        string work = $"/dev/shm/antares-work-{Environment.ProcessId}";
        _ = Directory.CreateDirectory(work);
        try
        {
            Refused((m, s) => ["mount", m.Source, m.Root, "--upper", m.Upper!, "--work", work], _ => work);
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }
    }

    /// <summary>Whoever does not get the result cannot unmount what it names: a mount that cannot be told is taken back.</summary>
    [MountTheory]
    [InlineData("--json > /dev/full", "No space left"), InlineData("--json >&-", "Bad file descriptor"), InlineData("--json | true", null)]
    [InlineData("--json --foreground > /dev/full", "No space left")]
    public void AResultThatCannotBePrintedLeavesNothing(string way, string? named)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        string spaces = scratch.Make("spaces");
        ShellResult result = Shell.Bash($"set -o pipefail; \"$BIN\" mount {mount.Source} --workspace-root {spaces} {way}",
            environment: [("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", mount.State)]);
        if (named != null)
        {
            Assert.True(result.ExitCode is 1 or 3, result.ToString());
            Assert.Contains(named, result.Error);
        }
        else if (result.ExitCode == 0)
        {
            // The reader may have been there still when the text was written.
            _ = mount.Try("umount", "--all").Must();
        }
        Assert.Empty(MountTable.Below(spaces));
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
        Assert.Equal("[]", mount.Try("list", "--json").Must().Trim());
    }

    /// <summary>A path that is not UTF-8 is refused; it never becomes another one. $X is such a folder, $L a link to it.</summary>
    [MountTheory]
    [InlineData("mount $X $M"), InlineData("mount dir:$X $M"), InlineData("mount $S $X"), InlineData("mount $S $M --upper $X --work $M"), InlineData("mount -o lowerdir=$X $M")]
    [InlineData("mount $S $M --log-file $X/log"), InlineData("mount $S --workspace-root $X"), InlineData("umount $X"), InlineData("stats $X"), InlineData("run $S --cd $X -- true")]
    [InlineData("run $X true"), InlineData("run -- $X true"), InlineData("mount $S $L"), InlineData("mount $S $M --upper $L"), InlineData("mount $S --workspace-root $L")]
    [InlineData("mount $S $M --upper $U --work $L")]
    public void PathsThatAreNotUtf8AreRefused(string line)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        ShellResult result = Shell.Bash($$"""
            cd {{scratch.Path}}; X=$PWD/x$'\xff'; mkdir "$X"; ln -s "$X" link; L=$PWD/link S={{mount.Source}} M={{mount.Root}} U={{mount.Upper}}
            before=$(find . | od -An -tx1)
            $BIN {{line}}; code=$?
            [ "$before" = "$(find . -path ./state/mounts.lock -prune -o -path ./state/mounts.json -prune -o -path ./state/places.lock -prune -o -print | od -An -tx1)" ] || find . >&2
            exit $code
            """, environment: [("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", mount.State)]);
        Assert.True(result.ExitCode == Usage, result.ToString());
        Assert.Single(result.Error.TrimEnd('\n').Split('\n'));
        Assert.Contains("UTF-8", result.Error);
        Assert.Empty(MountTable.Below(scratch.Path));
    }

    [MountFact]
    public void AStateFolderThatIsNotUtf8IsRefused()
    {
        using var scratch = new ScratchFolder();
        ShellResult result = Shell.Bash("cd \"$P\"; ANTARES_STATE_DIR=state$'\\xff' \"$BIN\" list; code=$?; ls -A; exit $code", environment: [("BIN", TestEnvironment.Binary), ("P", scratch.Path)]);
        Assert.True(result.ExitCode == Usage, result.ToString());
        Assert.Contains("ANTARES_STATE_DIR", result.Error);
        Assert.Equal("", result.Output);
    }

    [MountFact]
    public void UnknownOptionsAndVerbs()
    {
        Refused((m, _) => [.. m.MountArguments, "--no-such-option"], _ => "--no-such-option", Usage);
        Refused((_, _) => ["no-such-verb"], _ => "no-such-verb", Usage);
        Refused((_, _) => ["mount"], _ => "", Usage);
        Refused((m, _) => ["mount", "-o", "upperdir=x", m.Root], _ => "lowerdir", Usage);
    }

    [MountFact]
    public void NoDeviceSaysSo() => InNamespace("mount -t tmpfs t /dev && mknod -m 666 /dev/null c 1 3", "", "/dev/fuse");

    [MountFact]
    public void NoPermissionOnTheUpperSaysSo() =>
        InNamespace("mknod \"$S/fuse\" c 10 229 && chmod 666 \"$S/fuse\" && mount --bind \"$S/fuse\" /dev/fuse && chmod 755 \"$S\" && chown 1000 \"$S/mnt\" \"$S/state\" \"$S/work\"",
            "setpriv --reuid=1000 --regid=1000 --clear-groups", "upper");

    [MountFact]
    public void NoPermissionOnTheDeviceSaysSo() =>
        InNamespace("mknod \"$S/fuse\" c 10 229 && chmod 600 \"$S/fuse\" && mount --bind \"$S/fuse\" /dev/fuse && { [ ! -e /usr/bin/fusermount3 ] || mount --bind /dev/null /usr/bin/fusermount3; } && chown -R 1000 \"$S\" && chown 0 \"$S/fuse\"",
            "setpriv --reuid=1000 --regid=1000 --clear-groups", "/dev/fuse");

    /// <summary>An unwritable state folder is an error of its own, told before anything is mounted.</summary>
    [MountFact]
    public void AnImpossibleStateFolderSaysSo()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        File.WriteAllText(scratch.Join("state-file"), "x");
        ShellResult result = Shell.Run(TestEnvironment.Binary, mount.MountArguments, environment: ("ANTARES_STATE_DIR", scratch.Join("state-file/below")));
        Assert.True(result.ExitCode is Usage or MountFailed, result.ToString());
        Assert.Contains("state-file", result.Error);
        Assert.Null(MountTable.Find(mount.Root));
    }

    private static void InNamespace(string prepare, string wrapper, string mustName)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\n");
        string script = $"{prepare} || exit 99\ncp \"$BIN\" \"$S/antares-aot\" && chmod 755 \"$S/antares-aot\"\n{wrapper} \"$S/antares-aot\" {string.Join(' ', mount.MountArguments)}\ncode=$?\ngrep -q \"$S/mnt\" /proc/self/mountinfo && exit 98\nexit $code";
        ShellResult result = Shell.Run("unshare", ["--mount", "/bin/bash", "-c", script], 60,
            environment: [("S", scratch.Path), ("BIN", TestEnvironment.Binary), ("ANTARES_STATE_DIR", mount.State)]);
        Assert.True(result.ExitCode == MountFailed, result.ToString());
        Assert.Contains(mustName, result.Error);
        Assert.Empty(mount.ServerPids());
    }

    private static void Refused(Func<AntaresMount, ScratchFolder, string[]> arguments, Func<ScratchFolder, string> mustName, int exitCode = MountFailed)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch);
        _ = Probe.Check(mount.Lower, "put f x\n");
        string[] command = arguments(mount, scratch);
        string before = Probe.Digest(scratch.Path, "iT");
        ShellResult result = mount.Try(command);
        Assert.True(result.ExitCode == exitCode, result.ToString());
        Assert.Contains(mustName(scratch), result.Error);
        Assert.Empty(MountTable.Below(scratch.Path));
        Assert.Empty(mount.ServerPids());
        Assert.DoesNotContain("   at ", result.Error); // no stack trace
        string listed = mount.Try("list").Must();
        Assert.DoesNotContain(mount.Root, listed);
        string after = Probe.Digest(scratch.Path, "iT");
        Parity.AssertSameTree("before", WithoutState(before), "after the refusal", WithoutState(after));
    }

    private static string WithoutState(string digest) =>
        string.Join('\n', digest.Split('\n').Where(l => !l.StartsWith("./state", StringComparison.Ordinal)));
}
