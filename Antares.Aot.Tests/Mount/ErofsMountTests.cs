using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>The kernel engine with the kernel's EROFS below its overlay, which reads an image as blocks that are made when they are asked for.</summary>
public sealed class ErofsMountTests
{
    /// <summary>Kinds, sizes around blocks and places, names around "." and "..", hard links, attributes also of the root, a large directory, long names.</summary>
    private const string Everything = """
        set -e
        cd "$1"
        for n in 0 1 4095 4096 4097 8193 1048576 1048577 3000000; do head -c $n /dev/urandom > "f$n"; done
        head -c 20000000 /dev/urandom > large
        truncate -s 3000000 holes; printf end >> holes
        mkdir -p dir/empty dir/deep/er; mkdir many
        (cd many && seq -f 'a file with the number %g' 3000 | xargs -d '\n' touch)
        for name in '!' '+a' '-a' '.-x' '..a' '.a' '...' '/' 'ä'; do [ "$name" = / ] || printf "%s" "$name" > "dir/$name"; done
        printf long > "dir/$(printf 'n%.0s' $(seq 255))"; printf long > "many/$(printf 'm%.0s' $(seq 255))"
        ln f1 dir/hard; ln f1 dir/again; ln -s f1 short; ln -s "$(printf 'x/%.0s' $(seq 2000))y" longlink
        mkfifo fifo; mknod char c 1 7; mknod block b 7 300; touch -d '1960-01-02 03:04:05.123456789' old; touch -d '2100-01-01' new
        chown 12345:54321 f4096; chmod 4755 f4096; chmod 1777 dir/empty; chmod 0 f0
        setfattr -n user.one -v 1 f1; setfattr -n user.big -v "$(printf 'v%.0s' $(seq 3000))" f4097; setfattr -n trusted.t -v t dir; setfattr -n user.root -v r .
        setfacl -m u:1000:rw f8193; setfacl -d -m u:1000:rwx dir
        """;

    [MountFact]
    public void TheTreeIsThatOfTheImage()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelImage);
        _ = Shell.Run("bash", ["-c", Everything, "bash", mount.Lower], 60).Must();
        _ = Shell.Bash($"chmod --reference={mount.Lower} {mount.Upper}; setfattr -n user.root -v r {mount.Upper}; touch --reference={mount.Lower} {mount.Upper}").Must();
        mount.Mount();
        Assert.Contains("reading flags", Shell.Bash($"lsattr {mount.Root}/f1").Error); // which a file of FUSE lets one do
        Parity.AssertSameTree("the folder", Probe.Digest(mount.Lower), "the mount", Probe.Digest(mount.Root));
        Assert.Equal(Shell.Bash($"cd {mount.Lower}; getfattr -dm- -h f1 f4097 dir f8193").Must(), Shell.Bash($"cd {mount.Root}; getfattr -dm- -h f1 f4097 dir f8193").Must());
        Assert.Equal("3\n", Shell.Bash($"find {mount.Root} -samefile {mount.Root}/f1 | wc -l").Must());
        // Nobody reads a file from its middle on, or past a hole, otherwise.
        Assert.Equal(Shell.Bash($"tail -c 12345 {mount.Lower}/large | sha1sum; tail -c +2999990 {mount.Lower}/holes | sha1sum").Must(),
            Shell.Bash($"tail -c 12345 {mount.Root}/large | sha1sum; tail -c +2999990 {mount.Root}/holes | sha1sum").Must());
        foreach (string name in new[] { "!", "-a", ".-x", "..a", "...", "ä" })
            Assert.Equal(name, File.ReadAllText(Path.Combine(mount.Root, "dir", name)));
        _ = Probe.Check(mount.Root, "stat dir/.b => ENOENT\nstat many/zzz => ENOENT\nstat many/... => ENOENT\n");
        string numbers = Shell.Bash($"cd {mount.Root}; find . -mindepth 1 -printf '%i %p\\n' | sort").Must();
        mount.Unmount();
        mount.Mount();
        Assert.Equal(numbers, Shell.Bash($"cd {mount.Root}; find . -mindepth 1 -printf '%i %p\\n' | sort").Must());
        mount.Unmount();
    }

    [MountFact]
    public void AKilledServerIsCleanedUp()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelImage);
        _ = Probe.Check(mount.Lower, "put f x\ngen g 300000 1\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "put new y => ok\n");
        mount.KillServer();
        _ = Probe.Check(mount.Root, "cat g => EIO || ENOTCONN || ECONNABORTED\ncat new => 'y'\n");
        Assert.Contains("stale", mount.Try("list").Must());
        _ = mount.Try("umount", "--stale").Must();
        Assert.Empty(MountTable.Below(scratch.Path));
        mount.Mount();
        _ = Probe.Check(mount.Root, "cat f => 'x'\ncat new => 'y'\n");
        mount.Unmount();
    }

    [MountFact]
    public void DamageIsAnErrorAndNothingElse()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelImage);
        _ = Shell.Bash($"cd {mount.Lower}; head -c 3000000 /dev/urandom > bad; echo good > good").Must();
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        // In the middle of the contents, which are the last and by far the largest part.
        _ = Shell.Bash($"printf XXXX | dd of={mount.Source} bs=1 seek=$(($(stat -c %s {mount.Source}) / 2)) conv=notrunc status=none").Must();
        _ = mount.Try(mount.MountArguments).Must();
        Assert.Contains("Input/output error", Shell.Bash($"cat {mount.Root}/bad > /dev/null").Error);
        Assert.Equal("good\n", File.ReadAllText(Path.Combine(mount.Root, "good")));
        Assert.Contains("checksum", mount.Try("errors", mount.Root).Must());
        mount.Unmount();
    }

    [MountTheory]
    [InlineData("one image", "SOURCE", "--engine", "kernel")]
    [InlineData("kernel engine", "IMAGE", "--engine", "fuse")]
    [InlineData("kernel engine", "IMAGE", "--read-only")]
    public void WhereItIsNotToBeHad(string said, string source, params string[] options)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelImage);
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        ShellResult refused = mount.Try(["mount", source == "IMAGE" ? mount.Source : mount.Lower, mount.Root, "--erofs", .. options]);
        Assert.True(refused.ExitCode == 2, refused.ToString());
        Assert.Contains(said, refused.Error);
    }

    [MountTheory, InlineData("fsopen:error=ENODEV:when=1"), InlineData("fsconfig:error=EINVAL:when=1"), InlineData("fsconfig:error=ENOTBLK:when=4"), InlineData("fsmount:error=EPERM:when=1")]
    public void ARefusalLeavesNothing(string failure)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelImage);
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        foreach (string engine in new[] { "kernel", "auto" })
        {
            ShellResult refused = mount.Inject(failure, [.. mount.MountArguments.Select(argument => argument == "kernel" ? engine : argument)]);
            Assert.True(refused.ExitCode == 3, refused.ToString());
            Assert.Contains("EROFS", refused.Error);
            Assert.Empty(MountTable.Below(scratch.Path));
        }
        Assert.Equal("[]", mount.Try("list", "--json").Must().Trim());
        Parity.AssertWorkIsClean(mount.Work!);
    }
}
