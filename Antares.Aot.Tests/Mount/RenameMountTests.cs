using System.Text;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>rename over each state of source and target: lower only, upper only, merged, removed; files, links and directories.</summary>
public sealed class RenameMountTests
{
    /// <summary>A state of a name: what the lower holds at it, and the calls on the mount that bring it about.</summary>
    private sealed record State(string Name, string Lower, string Calls, string OnPlain = "");

    private static readonly State[] Sources =
    [
        new("lowerfile", "put N low-N", ""),
        new("upperfile", "", "put N up-N"),
        new("copiedup", "put N low-N", "app N +up"),
        new("overremoved", "put N low-N", "unlink N\nput N up-N"),
        new("lowerlink", "symlink target-N N", ""),
        new("lowerfifo", "mkfifo N 640", ""),
        new("lowerdir", "mkdirp N/s\nput N/f low-N\nput N/s/g low-deep", ""),
        new("lowerempty", "mkdir N", ""),
        new("upperdir", "", "mkdirp N/s\nput N/u up-N"),
        new("mergeddir", "mkdirp N/s\nput N/f low-N\nput N/s/g low-deep", "put N/u up-N\nput N/s/v up-deep\nunlink N/f"),
        new("opaquedir", "mkdirp N/s\nput N/f low-N", "rmtree N\nmkdir N\nput N/o up-N"),
    ];

    private static readonly State[] Targets =
    [
        new("none", "", ""),
        new("removed", "put N low-N", "unlink N"),
        new("removeddir", "mkdirp N/s\nput N/f low-N", "rmtree N"),
        new("lowerfile", "put N low-N", ""),
        new("upperfile", "", "put N up-N"),
        new("copiedup", "put N low-N", "app N +up"),
        new("lowerempty", "mkdir N", ""),
        new("upperempty", "", "mkdir N"),
        new("emptied", "mkdirp N/s\nput N/f low-N", "rmdir N/s\nunlink N/f"),
        new("lowerdir", "mkdirp N/s\nput N/f low-N", ""),
        new("mergeddir", "mkdirp N/s\nput N/f low-N", "put N/u up-N"),
    ];

    [MountTheory, Mounts(KernelEngineToo = true)]
    public void EachStateOverEachState(MountKind kind) => Matrix(kind, "", sameDirectory: true);

    [MountTheory, Mounts]
    public void EachStateIntoAnotherDirectory(MountKind kind) => Matrix(kind, "", sameDirectory: false);

    [MountTheory, Mounts]
    public void NoreplaceOverEachState(MountKind kind) => Matrix(kind, "NOREPLACE", sameDirectory: true);

    [MountTheory, Mounts]
    public void ExchangeOfEachState(MountKind kind) => Matrix(kind, "EXCHANGE", sameDirectory: true);

    [MountTheory, Mounts]
    public void ExchangeOfEachStateBetweenDirectories(MountKind kind) => Matrix(kind, "EXCHANGE", sameDirectory: false);

    private static void Matrix(MountKind kind, string flags, bool sameDirectory)
    {
        var lower = new StringBuilder();
        var script = new StringBuilder();
        var afterwards = new StringBuilder();
        foreach (State source in Sources)
            foreach (State target in Targets)
            {
                string folder = $"{source.Name}-{target.Name}";
                string from = $"{folder}/src", to = sameDirectory ? $"{folder}/dst" : $"{folder}/other/dst";
                lower.AppendLine($"mkdirp {folder}/other");
                lower.AppendLine(source.Lower.Replace("N", from)).AppendLine(target.Lower.Replace("N", to));
                script.AppendLine(source.Calls.Replace("N", from)).AppendLine(target.Calls.Replace("N", to));
                script.AppendLine($"rename {from} {to} {flags}");
                var look = new StringBuilder();
                foreach (string name in new[] { from, to })
                    look.AppendLine($"lstat {name} tmns".Replace(" tmns", source.Name.Contains("dir") || target.Name.Contains("dir") || source.Name.Contains("empt") || target.Name.Contains("empt") ? " tm" : " tmns"));
                look.AppendLine($"cat {to}").AppendLine($"ls {folder}").AppendLine($"ls {folder}/other").AppendLine($"ls {to}").AppendLine($"ls {to}/s").AppendLine($"ls {from}");
                look.AppendLine($"cat {to}/s/g").AppendLine($"cat {to}/f");
                script.Append(look);
                // The name that became free can be used again, and shows nothing of what was there.
                if (flags != "EXCHANGE")
                    look.AppendLine($"mkdir {from}").AppendLine($"ls {from}");
                afterwards.Append(look);
            }
        // A digest of sizes of directories is not taken, so the plain folder answers the same.
        Parity.Check(kind, lower.ToString(), script + "\n!remount\n" + afterwards, timeoutSeconds: 120);
    }

    /// <summary>Build tools and package managers rename whole directories; an EXDEV there is what users of overlays suffer from.</summary>
    [MountTheory, Mounts(KernelEngineToo = true)]
    public void LowerDirectoriesMoveAndStayWritable(MountKind kind) => Parity.Check(kind, """
        mkdirp top/mid/leaf
        put top/a low-a
        put top/mid/b low-b
        put top/mid/leaf/c low-c
        mkdir other
        put other/o low-o
        """, """
        rename top moved => ok
        stat top => ENOENT
        cat moved/mid/leaf/c => 'low-c'
        app moved/mid/leaf/c +1 => ok
        cat moved/mid/leaf/c => 'low-c+1'
        unlink moved/a => ok
        put moved/new n => ok
        rename moved/mid other/mid => ok
        ls moved => [1] 'new:f'
        ls other => [2] 'mid:d' 'o:f'
        cat other/mid/b => 'low-b'
        rename other/mid/leaf leaf => ok
        cat leaf/c => 'low-c+1'
        mkdir top => ok
        ls top => [0]
        put top/a fresh => ok
        !remount
        ls . => [4] 'leaf:d' 'moved:d' 'other:d' 'top:d'
        ls moved => [1] 'new:f'
        ls top => [1] 'a:f'
        ls other => [2] 'mid:d' 'o:f'
        ls other/mid => [1] 'b:f'
        cat other/mid/b => 'low-b'
        cat leaf/c => 'low-c+1'
        rename other top/other => ok
        rename top/other/mid mid => ok
        rename mid top => ENOTEMPTY
        cat mid/b => 'low-b'
        rename moved/none x => ENOENT
        rename leaf top/leaf => ok
        rename top leaf => ok
        cat leaf/leaf/c => 'low-c+1'
        dino leaf => ok
        dino leaf/other => ok
        !remount
        ls . => [3] 'leaf:d' 'mid:d' 'moved:d'
        ls leaf => [3] 'a:f' 'leaf:d' 'other:d'
        cat leaf/leaf/c => 'low-c+1'
        cat leaf/other/o => 'low-o'
        cat mid/b => 'low-b'
        rmtree leaf => ok
        rmtree mid => ok
        rmtree moved => ok
        ls . => [0]
        """);

    [MountTheory, Mounts]
    public void ADirectoryMovedManyTimes(MountKind kind)
    {
        var script = new StringBuilder("mkdir hop\n");
        string at = "d";
        for (int i = 0; i < 60; i++)
        {
            string next = i % 3 == 0 ? $"hop/m{i}" : $"m{i}";
            script.AppendLine($"rename {at} {next} => ok").AppendLine($"cat {next}/x/f => 'low'");
            if (i % 20 == 5)
                script.AppendLine($"mkdir {at} => ok").AppendLine($"ls {at} => [0]");
            if (i % 25 == 10)
                script.AppendLine("!remount");
            at = next;
        }
        script.AppendLine($"rename {at} d => EEXIST || ENOTEMPTY || ok").AppendLine("ls .");
        Parity.Check(kind, "mkdirp d/x\nput d/x/f low\n", script.ToString());
    }

    /// <summary>A renamed lower directory that was emptied, and opened to be replaced by a rename that then failed, stays empty: what it was merged with counts no more.</summary>
    [MountTheory, InlineData(MountKind.AntaresFolder, "renameat,renameat2"), InlineData(MountKind.AntaresFolder, "unlinkat"), InlineData(MountKind.AntaresDir, "renameat,renameat2")]
    public void WhatWasRemovedStaysAwayAfterAFailedReplacement(MountKind kind, string failing)
    {
        using var scratch = new ScratchFolder();
        using var mount = new AntaresMount(scratch, kind);
        _ = Probe.Check(mount.Lower, "mkdir d\nput d/f low\nput d/g low\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, "rename d e => ok\nunlink e/f => ok\nunlink e/g => ok\nmkdir x => ok\n");
        using (new Fault(mount.ServerPid(), failing, "EIO"))
        {
            _ = Probe.Check(mount.Root, "rename x e => EIO\nls e => [0]\nstat e/f m => ENOENT\n");
        }

        mount.Unmount();
        mount.Mount();
        _ = Probe.Check(mount.Root, "ls e => [0]\nstat e/f m => ENOENT\nrename x e => ok\nls . => [1] 'e:d'\n");
    }

    [MountTheory, Mounts(NotKernel = "refuses redirects of more than 256 bytes with EXDEV")]
    public void DeepAndLongRedirects(MountKind kind) => Parity.Check(kind, """
        mkdirp {n*200}/{m*200}/{o*200}/leaf
        put {n*200}/{m*200}/{o*200}/leaf/f low
        mkdir to
        """, """
        rename {n*200}/{m*200}/{o*200}/leaf to/{p*255} => ok
        cat to/{p*255}/f => 'low'
        rename {n*200}/{m*200} to/{q*255} => ok
        ls to/{q*255}/{o*200} => [0]
        rename to renamed => ok
        cat renamed/{p*255}/f => 'low'
        """, otherTree: null, otherKernelTree: null);

    [MountTheory, Mounts]
    public void SameNodeAndDotDotRules(MountKind kind) => Parity.Check(kind, "put f x\nmkdir d\nput d/g y\n", """
        rename f f => ok
        cat f => 'x'
        link f h => ok
        rename f h => ok
        stat f n => 2
        stat h n => 2
        rename f d => EISDIR
        rename d f => ENOTDIR
        rename d d => ok
        rename f h NOREPLACE => EEXIST
        rename f f EXCHANGE => ok
        rename f none EXCHANGE => ENOENT
        rename f x NOREPLACE|EXCHANGE => EINVAL
        rename none x => ENOENT
        rename f d/g/x => ENOTDIR
        """, otherKernelTree: null);

    /// <summary>An open descriptor follows its file through a rename, and a file renamed over keeps serving those that have it open.</summary>
    [MountTheory, Mounts]
    public void OpenFilesSurviveRenames(MountKind kind) => Parity.Check(kind, "put a low-a\nput b low-b\nmkdir d\nput d/c low-c\n", """
        open a a RDWR => ok
        open b b RDWR => ok
        open c d/c RDWR => ok
        rename a b => ok
        pread a 9 0 => 'low-a'
        pread b 9 0 => 'low-b'
        fstat b n => 0
        pwrite b gone! 0 => ok
        pread b 9 0 => 'gone!'
        pwrite a LOW 0 => ok
        cat b => 'LOW-a'
        rename d e => ok
        pwrite c LOW 0 => ok
        pread c 9 0 => 'LOW-c'
        cat e/c => 'LOW-c'
        rename e/c b => ok
        fstat a n => 0
        pread a 9 0 => 'LOW-a'
        cat b => 'LOW-c'
        ls . => [2] 'b:f' 'e:d'
        """);

    [MountTheory, Mounts]
    public void ReplacedFilesAreNeverMissing(MountKind kind) => Parity.Check(kind, "gen f 4096 1\nput f {z*4096}\n", """
        put f {a*4096} => ok
        replacerace f temp 300 => ok
        """);

    /// <summary>A whiteout in the upper is nothing that one sees, so nobody can ask for one: as kernel overlayfs answers.</summary>
    [MountTheory, Mounts(NotPlain = "shows the whiteout as a device")]
    public void WhiteoutsCannotBeAskedFor(MountKind kind)
    {
        using var scratch = new ScratchFolder();
        using IMountUnderTest mount = Parity.Create(kind, scratch);
        _ = Probe.Check(mount.Lower, "put f low\nput g low-g\n");
        mount.Mount();
        _ = Probe.Check(mount.Root, """
            rename f moved WHITEOUT => EINVAL
            mknod w c 600 0 0 => EPERM
            put up u => ok
            rename up g WHITEOUT => EINVAL
            cat f => 'low'
            ls . => [3] 'f:f' 'g:f' 'up:f'
            """);
    }
}
