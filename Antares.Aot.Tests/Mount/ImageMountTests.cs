using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Tests.Support;
using K4os.Hash.xxHash;

namespace Antares.Aot.Tests.Mount;

/// <summary>Images as a source: mounted, run in, damaged, cut short, and the verbs around them.</summary>
public sealed class ImageMountTests
{
    private const int Usage = 2, Refused = 3, Different = 5;

    /// <summary>More names than one page of nodes holds, a large file, and attributes that are not everybody's.</summary>
    private const string Fill = """
        set -e
        mkdir -p d/e/f
        for i in $(seq 300); do echo "content $i" > d/e/file$i; done
        head -c 3000000 /dev/urandom > large
        printf deep > d/e/f/deep
        ln d/e/file1 second
        ln -s d/e link
        chmod 2750 d
        setfattr -n user.note -v kept large
        setfacl -m u:5:rw,d:g:6:r d
        touch -d '2001-02-03 04:05:06.123456789' .
        """;

    [MountFact]
    public void RunWorksInAnImage()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        string spaces = scratch.Make("spaces");
        Assert.Equal("deep", mount.Try("run", mount.Source, "--workspace-root", spaces, "--", "cat", "d/e/f/deep").Must().Trim());
        Assert.Equal("content 1\nmore", mount.Try("run", mount.Source, "--engine", "fuse", "--workspace-root", spaces, "--", "sh", "-c", "echo more >> second; cat d/e/file1").Must().Trim());
        Assert.Equal("981173106.1234567890", mount.Try("run", mount.Source, "--workspace-root", spaces, "--", "find", ".", "-maxdepth", "0", "-printf", "%T@").Must().Trim());
        Assert.Empty(Directory.GetFileSystemEntries(spaces));
    }

    /// <summary>An image whose header is sound and says more nodes than ids can be reserved for; its nodes are a hole of 11 GB.</summary>
    [MountFact]
    public unsafe void AnImageOfTooManyNodesIsRefusedAtTheMount()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        byte[] bytes = File.ReadAllBytes(mount.Source);
        fixed (byte* start = bytes)
        {
            var header = (ImageHeader*)start;
            const ulong Page = 4096;
            header->NodeCount = (1UL << 28) + 1;
            ulong end = ImageHeader.Bytes;
            for (ImageSection section = ImageSection.Nodes; section <= ImageSection.Contents; section++)
            {
                SectionPlace place = (*header)[section];
                ulong length = section switch
                {
                    ImageSection.Nodes => header->NodeCount * ImageNode.Bytes,
                    ImageSection.Checksums => (end - ImageHeader.Bytes + ImageFormat.BlockBytes - 1) / ImageFormat.BlockBytes * sizeof(ulong),
                    _ => place.Length,
                };
                (*header)[section] = place with { Offset = end, Length = length };
                header->MetadataBytes = section == ImageSection.Contents ? end : 0;
                end = section == ImageSection.Contents ? end + length : (end + length + Page - 1) / Page * Page;
            }

            header->FileBytes = end;
            header->HeaderChecksum = XXH64.DigestOf(start, ImageHeader.CheckedBytes);
            using FileStream file = File.Create(mount.Source);
            file.Write(bytes.AsSpan(0, ImageHeader.Bytes));
            file.SetLength((long)end);
        }

        ShellResult result = mount.Try("mount", mount.Source, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!);
        Assert.Equal(Refused, result.ExitCode);
        Assert.Contains("an image of 268435456 files", result.Error);
        Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Null(MountTable.Find(mount.Root));
    }

    [MountFact]
    public void NumbersAreTheIndicesAtEachMount()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        string[] seen = new string[2];
        for (int i = 0; i < 2; i++)
        {
            mount.Mount();
            seen[i] = Shell.Bash("find . -printf '%i %p\\n' | sort", directory: mount.Root).Must();
            mount.Unmount();
        }
        Assert.Equal(seen[0], seen[1]);
        int names = seen[0].Split('\n', StringSplitOptions.RemoveEmptyEntries).Length;
        Assert.All(seen[0].Split('\n', StringSplitOptions.RemoveEmptyEntries), line => Assert.InRange(long.Parse(line.Split(' ')[0]), 1, names));
    }

    [MountFact]
    public void ImagesAreStackedAndShareNoNumber()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        string patch = scratch.Make("patch"), image = scratch.Join("patch.image");
        _ = Shell.Bash("mkdir -p d/e new; echo patched > d/e/file7; echo x > new/x; mknod second c 0 0", directory: patch).Must();
        _ = mount.Try("pack", patch, "-o", image).Must();
        _ = mount.Try([.. mount.MountArguments, "--layer", image]).Must();
        Assert.Equal("patched\ncontent 8\nx\n", Shell.Bash("cat d/e/file7 d/e/file8 new/x", directory: mount.Root).Must());
        Assert.False(File.Exists(Path.Combine(mount.Root, "second")));
        string twice = Shell.Bash("find . ! -type d -links 1 -printf '%i\\n' | sort | uniq -d; find . -type d -printf '%i\\n' | sort | uniq -d", directory: mount.Root).Must();
        Assert.Equal("", twice);
        mount.Unmount();
    }

    [MountFact]
    public void DamageIsEioAndErrorsNameTheSection()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        // The end of the file is the end of the contents: the last frame, which holds the small files.
        using (FileStream image = File.OpenWrite(mount.Source))
        {
            image.Position = image.Length - 1000;
            image.Write(new byte[8]);
        }
        Start(mount);
        ShellResult read = Shell.Bash("cat large d/e/file* | wc -c", directory: mount.Root);
        Assert.Contains("Input/output error", read.Error);
        Assert.Contains("contents: checksum", mount.Try("errors", mount.Root).Must());
        Assert.Equal("large", Shell.Bash("ls | grep large", directory: mount.Root).Must().Trim());
        mount.Unmount();
        ShellResult verify = mount.Try("verify", mount.Source);
        Assert.Equal(Different, verify.ExitCode);
        Assert.Contains("contents: checksum", verify.Error);
        Assert.Matches(@"content \d+ \((d/e/file\d+|large)\): contents: checksum", verify.Error);
        Assert.Matches(@"^(.*\n){20}antares-aot: image \S+: and \d+ more\n$", verify.Error);
        Assert.Equal(Refused, mount.Try("unpack", mount.Source, scratch.Join("unpacked")).ExitCode);
    }

    [MountFact]
    public void AnImageWrittenOverUnderTheMountIsEioAndTheMountLives()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        string other = scratch.Join("other.image"), name = scratch.Join("name.image");
        _ = Shell.Bash("head -c 3000000 /dev/urandom > large; for i in $(seq 300); do echo \"changed $i\" > d/e/file$i; done", directory: mount.Lower).Must();
        _ = mount.Try("pack", mount.Lower, "-o", other).Must();
        Start(mount);
        Assert.Equal("deep\n", Shell.Bash($"cat {mount.Root}/d/e/f/deep").Must());
        _ = Shell.Bash($"ln {mount.Source} {name}; chmod 640 {name}; touch {name}; mv {name} {name}.moved; rm {name}.moved").Must();
        Assert.Equal("content 9\n", Shell.Bash($"cat {mount.Root}/d/e/file9").Must());
        _ = Shell.Bash($"sleep 0.1; dd if={other} of={mount.Source} conv=notrunc status=none; truncate -s $(stat -c %s {other}) {mount.Source}").Must();
        ShellResult read = Shell.Bash("cat large", directory: mount.Root);
        Assert.Contains("Input/output error", read.Error);
        Assert.Contains("written over", mount.Try("errors", mount.Root).Must());
        Assert.Contains("Input/output error", Shell.Bash("cat d/e/file77", directory: mount.Root).Error);
        _ = mount.ServerPid();
        mount.Unmount();
        Start(mount);
        Assert.Equal("changed 77\n", Shell.Bash($"cat {mount.Root}/d/e/file77").Must());
        mount.Unmount();
    }

    /// <summary>More images than were guarded once.</summary>
    [MountFact]
    public void OfManyImagesEachMayBeCutShort()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        string[] images = [.. Enumerable.Range(0, 70).Select(i => scratch.Join($"{i}.image"))];
        foreach (string image in images)
            File.Copy(mount.Source, image);
        _ = mount.Try(["mount", mount.Source, mount.Root, "--read-only", .. images.SelectMany(image => new[] { "--image", image })]).Must();
        Assert.Equal("deep\n", Shell.Bash($"cat {mount.Root}/d/e/f/deep").Must());
        using (FileStream file = File.OpenWrite(mount.Source)) // the last to be opened
            file.SetLength(4096);
        ShellResult list = Shell.Bash("find . > /dev/null", directory: mount.Root);
        Assert.Contains("Input/output error", list.Error);
        _ = mount.ServerPid();
        mount.Unmount();
    }

    [MountFact]
    public void AFileCutShortUnderTheMountIsEioAndTheMountLives()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        Start(mount);
        using (FileStream image = File.OpenWrite(mount.Source))
            image.SetLength(4096);
        ShellResult list = Shell.Bash("find . > /dev/null", directory: mount.Root);
        Assert.Contains("Input/output error", list.Error);
        Assert.Contains("cut short", mount.Try("errors", mount.Root).Must());
        _ = mount.ServerPid();
        mount.Unmount();
    }

    /// <summary>As for any program in a pipe: no message, and the exit code that a shell shows for SIGPIPE.</summary>
    [MountTheory]
    [InlineData("inspect \"$I\" --tree .")]
    [InlineData("inspect \"$I\"")]
    [InlineData("unpack \"$I\" --tar -")]
    [InlineData("inspect --help")]
    public void WhoReadsMayStop(string words)
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        ShellResult result = Shell.Bash($"{{ sleep 0.3; \"$B\" {words}; }} | true; echo ${{PIPESTATUS[0]}}", environment: [("B", TestEnvironment.Binary), ("I", mount.Source)]);
        Assert.Equal(("141\n", ""), (result.Output, result.Error));
        _ = Shell.Bash($"\"$B\" {words} > /dev/null", environment: [("B", TestEnvironment.Binary), ("I", mount.Source)]).Must();
    }

    [MountTheory]
    [InlineData("head -c -1 \"$I\" > bad", "cut short")]
    [InlineData("(cat \"$I\"; echo) > bad", "added to")]
    [InlineData("head -c 4095 \"$I\" > bad", "cut short")]
    [InlineData("echo text > bad", "no image")]
    [InlineData(": > bad", "no image")]
    [InlineData("cp \"$I\" bad; printf '\\002' | dd of=bad bs=1 seek=8 conv=notrunc status=none", "version 2")]
    [InlineData("cp \"$I\" bad; printf 'x' | dd of=bad bs=1 seek=100 conv=notrunc status=none", "checksum")]
    public void WhatIsNoImageIsRefused(string make, string said)
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        _ = Shell.Bash(make, directory: scratch.Path, environment: ("I", mount.Source)).Must();
        string bad = scratch.Join("bad");
        ShellResult result = mount.Try("mount", bad, mount.Root, "--upper", mount.Upper!, "--work", mount.Work!);
        Assert.Equal(Refused, result.ExitCode);
        Assert.Contains(said, result.Error);
        Assert.Contains(bad, result.Error);
        Assert.Equal(Different, mount.Try("verify", bad).ExitCode);
    }

    [MountFact]
    public void UnpackingGivesTheTreeBack()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        string folder = scratch.Join("folder"), tar = scratch.Join("archive.tar"), fromTar = scratch.Make("from-tar");
        string before = Probe.Digest(mount.Lower, "D");
        Assert.Equal("", mount.Try("unpack", mount.Source, folder).Must());
        Parity.AssertSameTree("packed", before, "unpacked", Probe.Digest(folder, "D"));
        _ = mount.Try("unpack", mount.Source, "--tar", tar).Must();
        _ = Shell.Run("tar", ["-C", fromTar, "--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*", "-xpf", tar]).Must();
        Parity.AssertSameTree("packed", before, "unpacked by tar", Probe.Digest(fromTar, "D"));
        string second = scratch.Join("second.image");
        _ = mount.Try("pack", fromTar, "-o", second).Must();
        Assert.Equal("", mount.Try("diff", mount.Source, second).Must());
        Assert.Equal(File.ReadAllBytes(mount.Source), File.ReadAllBytes(second));
        Assert.Equal(Refused, mount.Try("unpack", mount.Source, folder).ExitCode);
        Assert.Equal(Usage, mount.Try("unpack", mount.Source).ExitCode);
    }

    [MountFact]
    public void DiffTellsWhatIsNotAlike()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        _ = Shell.Bash("""
            set -e
            rm second; echo other > d/e/file7; chmod 600 large; mkdir new; echo x > new/x; ln -sfn d link
            touch -d '2001-02-03 04:05:06.123456789' .
            """, directory: mount.Lower).Must();
        string second = scratch.Join("second.image");
        _ = mount.Try("pack", mount.Lower, "-o", second).Must();
        ShellResult diff = mount.Try("diff", mount.Source, second);
        Assert.Equal(Different, diff.ExitCode);
        string[] lines = diff.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(["M d/e/file1 (links)", "M d/e/file7 (content, time)", "M large (mode)", "M link (target, time)", "A new", "A new/x", "D second"], lines);
        Assert.Equal(0, mount.Try("diff", second, second).ExitCode);
    }

    /// <summary>Attributes of files that their owner may not write, and modes of what has no descriptor.</summary>
    [MountFact]
    public void UnpackAsAPlainUserKeepsWhatAUserMaySet()
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, MountKind.AntaresImage);
        _ = Shell.Bash("echo x > f; mkdir d; setfattr -n user.note -v kept f d; mkfifo -m 640 p; ln -s f l; chmod 444 f; chmod 555 d", directory: mount.Lower).Must();
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        string told = Shell.Bash($"""
            set -e
            chmod 755 . && chmod 644 {mount.Source} && install -m 755 {TestEnvironment.Binary} binary && install -d -o 1000 out
            setpriv --reuid=1000 --regid=1000 --clear-groups ./binary unpack {mount.Source} out/tree
            cd out/tree
            getfattr --only-values -n user.note f d; echo
            stat -c '%a %n' f d p; readlink l
            """, directory: scratch.Path).Must();
        Assert.Equal("keptkept\n444 f\n555 d\n640 p\nf\n", told);
    }

    [MountFact]
    public void InspectTellsWhatIsThere()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        string text = mount.Try("inspect", mount.Source).Must();
        Assert.Contains("302 files, 4 directories, 1 links, 0 others, 1 further names", text);
        Assert.Contains("3000000  large", text);
        Assert.Contains("\"files\":302", mount.Try("inspect", mount.Source, "--json").Must());
        string[] tree = mount.Try("inspect", mount.Source, "--tree", "d/e/f").Must().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.EndsWith(" d/e/f/deep", Assert.Single(tree));
        Assert.Equal(Refused, mount.Try("inspect", mount.Source, "--tree", "d/none").ExitCode);
    }

    [MountFact]
    public void PackRefusesAndLeavesNothing()
    {
        using var scratch = new ScratchFolder();
        using AntaresMount mount = Packed(scratch);
        string kept = scratch.Join("kept.image");
        File.WriteAllText(kept, "before");
        Assert.Equal(Usage, mount.Try("pack", mount.Lower, "-o", Path.Combine(mount.Lower, "d", "own.image")).ExitCode);
        Assert.Equal(Refused, mount.Try("pack", scratch.Join("none"), "-o", kept).ExitCode);
        Assert.Equal(Refused, mount.Try("pack", mount.Lower, "-o", scratch.Join("none/x.image")).ExitCode);
        // A file that the user may not read is named, and nothing is replaced.
        _ = Shell.Bash("chmod 755 . d; chmod 000 large", directory: mount.Lower).Must();
        _ = Shell.Bash("chmod 777 \"$S\"", environment: ("S", scratch.Path)).Must();
        ShellResult refused = Shell.Run("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", TestEnvironment.Binary, "pack", mount.Lower, "-o", kept]);
        Assert.Equal(Refused, refused.ExitCode);
        Assert.Contains("large", refused.Error);
        Assert.Contains("--exclude", refused.Error);
        Assert.Equal("before", File.ReadAllText(kept));
        Assert.DoesNotContain(Directory.GetFileSystemEntries(scratch.Path), path => Path.GetFileName(path).StartsWith('.'));
    }

    private static AntaresMount Packed(ScratchFolder scratch)
    {
        var mount = new AntaresMount(scratch, MountKind.AntaresImage);
        _ = Shell.Bash(Fill, directory: mount.Lower).Must();
        _ = mount.Try("pack", mount.Lower, "-o", mount.Source).Must();
        return mount;
    }

    /// <summary>Mounts the image as it is now; <see cref="AntaresMount.Mount"/> would pack it anew.</summary>
    private static void Start(AntaresMount mount) => _ = mount.Try(mount.MountArguments).Must();
}
