using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Fuse;
using Antares.Aot.Tests.Support;
using Antares.Aot.Tests.Unit;
using Antares.Interop;
using Process = System.Diagnostics.Process;

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

    /// <summary>At its end EROFS waits, not to be killed, for what it asked: who is killed while it waits for itself must not wait for ever.</summary>
    [MountFact]
    public void AKillInTheMiddleOfTheUnmountEndsIt()
    {
        using var below = new ScratchFolder();
        using var scratch = new ScratchFolder();
        using var source = new AntaresMount(below, MountKind.AntaresFolder) { Upper = null };
        _ = Probe.Check(source.Lower, "mkdir in\ngen in/f 60000000 1\n");
        _ = source.Try("pack", Path.Combine(source.Lower, "in"), "-o", Path.Combine(source.Lower, "image")).Must();
        source.Mount();
        string mnt = scratch.Join("mnt");
        _ = Directory.CreateDirectory(mnt);
        int stopped = source.ServerPid();
        using Process server = Shell.Start(source.Binary, ["mount", "--foreground", Path.Combine(source.Root, "image"), mnt, "--engine", "kernel", "--erofs"], null, ("ANTARES_STATE_DIR", scratch.Join("state")));
        try
        {
            Assert.True(SpinWait.SpinUntil(() => MountTable.Find(mnt) is not null, 20_000));
            Assert.Equal("f\n", Shell.Bash($"echo 3 > /proc/sys/vm/drop_caches; ls {mnt}").Must());
            _ = Shell.Run("kill", ["-STOP", $"{stopped}"]).Must();
            using Process reader = Shell.Start("dd", [$"if={mnt}/f", "of=/dev/null", "bs=1M", "skip=20", "count=1"]);
            Thread.Sleep(1000);
            reader.Kill();
            Assert.True(reader.WaitForExit(10_000));
            _ = Shell.Run("kill", ["-TERM", $"{server.Id}"]).Must();
            Assert.True(SpinWait.SpinUntil(() => Shell.Bash($"cat /proc/{server.Id}/task/*/stack").Output.Contains("evict", StringComparison.Ordinal), 20_000), "it does not wait");
            server.Kill();
            Assert.True(server.WaitForExit(10_000), "it waits for itself");
        }
        finally
        {
            _ = Shell.Run("kill", ["-CONT", $"{stopped}"]);
        }

        _ = Shell.Run(source.Binary, ["umount", "--stale"], 60, environment: ("ANTARES_STATE_DIR", scratch.Join("state"))).Must();
        Assert.Empty(MountTable.Below(scratch.Path));
        source.Unmount();
    }

    /// <summary>
    /// What is read in one piece with the damage is an error or what it is, no zeros: what is read ahead (more for cat, which promises to read in order), and a
    /// huge page of a mapping, which is several requests of ours, the damage in the second.
    /// </summary>
    [MountFact]
    public unsafe void DamageIsAnErrorAndNothingElse()
    {
        const int Size = 8 << 20;
        const int HugePage = 2 << 20;
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelImage);
        _ = Shell.Bash($"cd {mount.Lower}; head -c {Size} /dev/urandom > bad; echo good > good").Must();
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        // The contents are the last in an image, and such are not compressed.
        _ = Shell.Bash($"printf XXXX | dd of={mount.Source} bs=1 seek=$(($(stat -c %s {mount.Source}) - {Size - HugePage - HugePage * 3 / 4})) conv=notrunc status=none").Must();
        _ = mount.Try(mount.MountArguments).Must();
        using (var file = File.OpenHandle(Path.Combine(mount.Root, "bad")))
        {
            Assert.Equal(Errno.None, Memory.Mmap(null, Size, Memory.PROT_READ, Memory.MAP_PRIVATE, (int)file.DangerousGetHandle(), 0, out void* mapping));
            Assert.Equal(Errno.None, Memory.Madvise(mapping, Size, Memory.MADV_HUGEPAGE));
            Assert.NotEqual(Errno.None, Memory.Madvise(mapping, Size, Memory.MADV_POPULATE_READ));
            Assert.Equal(Errno.None, Memory.Munmap(mapping, Size));
        }

        _ = Shell.Bash($$"""
            cd {{scratch.Path}}
            same() {
                for i in $(seq 0 127); do
                    if dd if={{mount.Root}}/bad bs=64K skip=$i count=1 of=part status=none; then cmp part <(dd if={{mount.Lower}}/bad bs=64K skip=$i count=1 status=none) && echo $i || exit 1; fi
                done > right 2> wrong
                grep -q . right && grep -q Input/output wrong
            }
            same || exit 1
            echo 1 > /proc/sys/vm/drop_caches
            cat {{mount.Root}}/bad > got 2> wrong
            grep -q Input/output wrong && cmp got <(head -c $(stat -c %s got) {{mount.Lower}}/bad) && same
            """).Must();
        Assert.Equal("good\n", File.ReadAllText(Path.Combine(mount.Root, "good")));
        string errors = mount.Try("errors", mount.Root).Must();
        Assert.Contains("checksum", errors);
        Assert.Contains("/bad", errors);
        mount.Unmount();
    }

    /// <summary>Which of the kernel's devices is ours is known unless another EROFS was mounted in the same moment.</summary>
    [MountFact]
    public void MoreIsReadAhead()
    {
        Assert.True(2 * Antares.Aot.Mounts.ErofsLower.ReadAheadKb << 10 <= InitNegotiation.MaxPages << 12, "one request of ours");
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelImage);
        _ = Probe.Check(mount.Lower, "put f x\n");
        bool isRaised = false;
        for (int i = 0; i < 5 && !isRaised; i++)
        {
            var before = Directory.GetFileSystemEntries("/sys/class/bdi", "erofs-*");
            mount.Mount();
            isRaised = Directory.GetFileSystemEntries("/sys/class/bdi", "erofs-*").Except(before).ToArray() is [var device]
                && File.ReadAllText(device + "/read_ahead_kb").Trim() == Antares.Aot.Mounts.ErofsLower.ReadAheadKb.ToString();
            mount.Unmount();
        }

        Assert.True(isRaised);
    }

    /// <summary>A node that is damaged is named, though the kernel is given its neighbours.</summary>
    [MountFact]
    public void ADamagedNodeIsNamed()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelImage);
        _ = Probe.Check(mount.Lower, "mkdir dir\nput dir/bad x\nput dir/good y\n");
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        DamageLastNode(mount.Source);
        _ = mount.Try(mount.MountArguments).Must();
        Assert.Contains("Structure needs cleaning", Shell.Bash($"stat {mount.Root}/dir/good").Error); // the last in order of names
        Assert.Equal("x", File.ReadAllText(Path.Combine(mount.Root, "dir/bad")));
        Assert.Contains("/dir/good", mount.Try("errors", mount.Root).Must());
        mount.Unmount();
    }

    /// <summary>A directory whose children are damaged can be looked at, and so can be listed what it is in.</summary>
    [MountFact]
    public void ADirectoryOfDamagedNodesIsThere()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelImage);
        _ = Shell.Bash($"cd {mount.Lower}; mkdir a z; for i in $(seq 3000); do : > z/$i; done").Must();
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        byte[] bytes = File.ReadAllBytes(mount.Source);
        unsafe
        {
            fixed (byte* start = bytes)
            {
                bytes[(*(ImageHeader*)start)[ImageSection.Nodes].Offset + (2000 * ImageNode.Bytes)] ^= 1; // so the checksum of its block is wrong
            }
        }

        File.WriteAllBytes(mount.Source, bytes);
        _ = mount.Try(mount.MountArguments).Must();
        Assert.Equal("a\nz\n", Shell.Bash($"ls {mount.Root}").Must());
        Assert.Contains("Input/output error", Shell.Bash($"ls {mount.Root}/z").Error);
        Assert.Matches("/z\\s", mount.Try("errors", mount.Root).Must());
        mount.Unmount();
    }

    /// <summary>Gives the last of an image's nodes an owner that there is not.</summary>
    private static unsafe void DamageLastNode(string image)
    {
        byte[] good = File.ReadAllBytes(image);
        byte[] bytes = [.. good];
        fixed (byte* start = bytes)
        {
            var header = (ImageHeader*)start;
            ((ImageNode*)(start + (*header)[ImageSection.Nodes].Offset))[header->NodeCount - 1].Owner = ushort.MaxValue;
        }

        PackedImage.Seal(bytes, good);
        File.WriteAllBytes(image, bytes);
    }

    /// <summary>Of an image that was packed from an upper, whiteouts are not listed: neither in directories that the new upper has nor in others.</summary>
    [MountTheory, InlineData(true), InlineData(false)]
    public void WhiteoutsAreNotShown(bool isRead)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelImage);
        _ = Shell.Bash($"cd {mount.Lower}; mkdir some all; echo f > some/f; printf z > some/z; mknod some/gone c 0 0; ln some/gone some/a; ln some/gone all/b; mknod all/c c 0 0; mknod top c 0 0; mknod device c 1 7; ln device device2").Must();
        mount.Mount();
        if (!isRead)
            _ = Probe.Check(mount.Root, "put some/new x\nput all/new x\nunlink some/f\n");
        string left = isRead ? "all\ndevice\ndevice2\nsome\nsome/f\nsome/z\n" : "all\nall/new\ndevice\ndevice2\nsome\nsome/new\nsome/z\n";
        Assert.Equal(left, Shell.Bash($"cd {mount.Root}; find . -mindepth 1 -printf '%P\\n' | LC_ALL=C sort").Must());
        _ = Probe.Check(mount.Root, "stat top => ENOENT\nstat some/gone => ENOENT\nstat all/b => ENOENT\ncat some/z => 'z'\nput some/gone y => ok\ncat some/gone => 'y'\n");
        _ = Shell.Bash($"rm -r {mount.Root}/all").Must();
        mount.Unmount();
    }

    /// <summary>Nobody has to ask for it; where the kernel has none, the image is read by FUSE below the same engine.</summary>
    [MountFact]
    public void ItIsTakenUnasked()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresKernelImage);
        _ = Probe.Check(mount.Lower, "put f x\n");
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        string[] unasked = [.. mount.MountArguments.Where(argument => argument != "--erofs")];
        Assert.Contains("EROFS reads the image", ReasonOf(mount.Try(unasked)));
        Assert.Contains("as asked", ReasonOf(mount.Try([.. unasked, "--erofs=false"])));
        // What EROFS would not show alike.
        _ = Shell.Bash($"truncate -s 2M {mount.Lower}/holes; rm {mount.Source}").Must();
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        Assert.Contains("holes", ReasonOf(mount.Try(unasked)));
        _ = Shell.Bash($"rm {mount.Lower}/holes {mount.Source}; setfattr -n user.a -v b {mount.Lower}/f").Must();
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        Assert.Contains("extended attributes", ReasonOf(mount.Try(unasked)));
        _ = Shell.Bash($"rm {mount.Source}; setfattr -x user.a {mount.Lower}/f").Must();
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        foreach (string failure in new[] { "fsopen:error=ENODEV:when=1", "fsmount:error=EPERM:when=1" })
            Assert.Contains("read by FUSE (the kernel's EROFS", ReasonOf(mount.Inject(failure, unasked)));

        string ReasonOf(ShellResult mounted)
        {
            _ = mounted.Must();
            Assert.Equal("overlay", MountTable.Find(mount.Root)?.Type);
            Assert.Equal("x", File.ReadAllText(Path.Combine(mount.Root, "f")));
            string reason = mount.Stats().GetProperty("engine_reason").GetString()!;
            mount.Unmount();
            Assert.Empty(MountTable.Below(scratch.Path));
            return reason;
        }
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
            Assert.Contains("without --erofs", refused.Error);
            Assert.Empty(MountTable.Below(scratch.Path));
        }
        Assert.Equal("[]", mount.Try("list", "--json").Must().Trim());
        Parity.AssertWorkIsClean(mount.Work!);
    }
}
