using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>A base with its patch over it is the tree that the patch was made of.</summary>
public sealed class PatchMountTests
{
    private const int Usage = 2, Refused = 3, Different = 5;

    [MountTheory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void BaseAndPatchAreTheTree(int seed)
    {
        using var scratch = new ScratchFolder();
        string tree = scratch.Make("tree"), state = scratch.Make("state"), mnt = scratch.Make("mnt");
        _ = Shell.Bash(Script("fill", seed), 120, tree).Must();
        Try(state, "pack", tree, "-o", scratch.Join("base")).Must();
        _ = Shell.Bash(Script("change", seed), 120, tree).Must();
        Try(state, "pack", tree, "-o", scratch.Join("whole")).Must();
        Try(state, "pack", tree, "-o", scratch.Join("patch"), "--base", scratch.Join("base")).Must();
        Try(state, "verify", scratch.Join("patch")).Must();
        Assert.True(new FileInfo(scratch.Join("patch")).Length < new FileInfo(scratch.Join("whole")).Length / 2);
        Try(state, "mount", scratch.Join("base"), mnt, "--image", scratch.Join("patch"), "--read-only").Must();
        Try(state, "pack", mnt, "-o", scratch.Join("merged")).Must();
        Try(state, "umount", mnt).Must();
        Assert.Equal("", Try(state, "diff", scratch.Join("whole"), scratch.Join("merged")).Must());
        Assert.Equal(Different, Try(state, "diff", scratch.Join("whole"), scratch.Join("base")).ExitCode);
    }

    /// <summary>Layers of containers: base and patch, alone and over another layer, show what the whole new layer shows there.</summary>
    [MountTheory]
    [InlineData("opq d; echo 1 > d/a; echo b > d/b; echo c > d/e/c", "echo 2 > d/a")]
    [InlineData("echo 1 > d/a; echo b > d/b; echo c > d/e/c; ln d/b link", "opq d; rm d/a; echo x > d/x")]
    [InlineData("opq d; echo 1 > d/a; echo b > d/b; echo c > d/e/c; echo c > d/e/f", "opq d/e; rm d/e/c; echo 2 > d/a")]
    [InlineData("opq d/e; echo 1 > d/a; echo c > d/e/c; echo c > d/e/f", "opq d; echo 2 > d/e/c")]
    [InlineData("opq d/e; echo 1 > d/a; echo c > d/e/c; touch d/.wh.low", "rm d/e/c; echo 2 > d/a")]
    [InlineData("touch .wh.d; rm -r d", "rm .wh.d; mkdir d; opq d; echo 1 > d/a")]
    public void OpaqueDirectoriesHideNoMoreThanInTheWholeLayer(string fill, string change)
    {
        using var scratch = new ScratchFolder();
        string tree = scratch.Make("tree"), state = scratch.Make("state"), mnt = scratch.Make("mnt"), below = scratch.Make("below");
        string basis = scratch.Join("base"), whole = scratch.Join("whole"), patch = scratch.Join("patch");
        const string Opq = "opq() { touch \"$1/.wh..wh..opq\"; }; set -e; ";
        _ = Shell.Bash("mkdir -p d/e d/f; echo low > d/low; echo low > d/a; echo low > d/e/low; echo low > top", directory: below).Must();
        _ = Shell.Bash($"{Opq}mkdir -p d/e; {fill}; touch -h -d @1000000000 $(find .); tar -cf ../base.tar .", directory: tree).Must();
        _ = Shell.Bash($"{Opq}{change}; touch -h -d @1000000000 $(find .); tar -cf ../new.tar .", directory: tree).Must();
        Try(state, "pack", $"tar:{scratch.Join("base.tar")}", "-o", basis).Must();
        Try(state, "pack", $"tar:{scratch.Join("new.tar")}", "-o", whole).Must();
        ShellResult packed = Try(state, "pack", $"tar:{scratch.Join("new.tar")}", "-o", patch, "--base", basis);
        packed.Must();
        Assert.DoesNotContain("stays hidden", packed.Error);
        string Seen(params string[] stack)
        {
            Try(state, ["mount", stack[0], mnt, "--read-only", .. stack[1..]]).Must();
            string seen = Shell.Bash("find . -mindepth 1 -printf '%P %y %m %s\n' | sort; find . -type f | sort | xargs md5sum", directory: mnt).Must();
            Try(state, "umount", mnt).Must();
            return seen;
        }

        Assert.Equal(Seen(whole), Seen(basis, "--image", patch));
        Assert.Equal(Seen(below, "--image", whole), Seen(below, "--image", patch, "--image", basis));
    }

    [MountFact]
    public void APatchIsMountedOverItsBaseOnly()
    {
        using var scratch = new ScratchFolder();
        string tree = scratch.Make("tree"), state = scratch.Make("state"), mnt = scratch.Make("mnt");
        _ = Shell.Bash("echo a > a; echo b > b", directory: tree).Must();
        Try(state, "pack", tree, "-o", scratch.Join("base")).Must();
        _ = Shell.Bash("echo changed > a; rm b", directory: tree).Must();
        Try(state, "pack", tree, "-o", scratch.Join("patch"), "--base", scratch.Join("base")).Must();
        Try(state, "pack", tree, "-o", scratch.Join("other")).Must();
        Try(state, "pack", tree, "-o", scratch.Join("top")).Must();
        foreach (string[] stack in new string[][] { [scratch.Join("patch"), mnt], [scratch.Join("other"), mnt, "--image", scratch.Join("patch")], [tree, mnt, "--layer", scratch.Join("patch")] })
        {
            ShellResult result = Try(state, ["mount", .. stack]);
            Assert.Equal(Refused, result.ExitCode);
            Assert.Contains("is a patch", result.Error);
        }
        ShellResult twice = Try(state, "pack", tree, "-o", scratch.Join("third"), "--base", scratch.Join("patch"));
        Assert.Equal(Usage, twice.ExitCode);
        Try(state, "mount", scratch.Join("base"), mnt, "--image", scratch.Join("patch")).Must();
        Assert.Equal("changed\n", Shell.Bash($"cat {mnt}/a; ls {mnt} | grep -v a; true").Must());
        Try(state, "umount", mnt).Must();
        ShellResult folder = Try(state, "mount", scratch.Join("base"), mnt, "--image", tree);
        Assert.Equal(Refused, folder.ExitCode);
        Assert.Contains("--layer", folder.Error);
    }

    private static ShellResult Try(string state, params string[] arguments) =>
        Shell.Run(TestEnvironment.Binary, arguments, 120, environment: ("ANTARES_STATE_DIR", state));

    private static string Script(string what, int seed) => what == "fill"
        ? $$"""
            RANDOM={{seed}}
            for d in $(seq 30); do
                mkdir -p d$((d % 7))/e$d; for f in $(seq 20); do head -c $((RANDOM % 9000)) /dev/urandom > d$((d % 7))/e$d/f$f; done
                ln d$((d % 7))/e$d/f1 d$((d % 7))/link$d; ln -s $RANDOM d$((d % 7))/e$d/s
            done
            head -c 3000000 /dev/urandom > large
            """
        : $$"""
            RANDOM={{seed + 100}}
            find . -mindepth 1 ! -name large | sort | while read -r p; do
                [ -e "$p" ] || [ -h "$p" ] || continue
                case $((RANDOM % 60)) in
                    0) rm -rf "$p";;
                    1) rm -rf "$p"; echo file > "$p";;
                    2) rm -rf "$p"; mkdir -p "$p/new"; echo new > "$p/new/x";;
                    3) [ -d "$p" ] && echo more > "$p/more";;
                    4) [ -f "$p" ] && echo more >> "$p";;
                    5) [ -f "$p" ] && ln "$p" "$p.link";;
                    6) chmod u-w "$p" 2>/dev/null;;
                    7) mv "$p" "$p.moved";;
                    8) [ -h "$p" ] || setfattr -n user.x -v y "$p";;
                esac
            done
            true
            """;
}
