using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Archives;
using Antares.Aot.Dicfuse.Git;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Layers;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Unit;

/// <summary>A patch holds what differs from its base and nothing else.</summary>
public sealed class PatchTests
{
    [Fact]
    public void Of_the_same_tree_nothing_is_left()
    {
        using DicfuseFolder folder = ImageTests.Sample();
        byte[] full = PackedImage.Pack(folder);
        byte[] patch = Patch(folder, full);
        Assert.Equal("", PackedImage.Verify(patch));
        Assert.Equal([], Names(patch));
        using ImageLayer image = PackedImage.Open(patch);
        using ImageLayer whole = PackedImage.Open(full);
        Assert.True(image.IsPatch);
        Assert.Equal(whole.PatchName, image.PatchedName);
        Assert.Equal(whole.Getattr(ILayer.RootNode).st_mtim.tv_nsec, image.Getattr(ILayer.RootNode).st_mtim.tv_nsec);
    }

    [Theory]
    [InlineData("touch -d @7 sub/deep/3", "sub sub/deep sub/deep/3")]
    [InlineData("printf x >> sub/deep/3; touch -r none sub/deep/3", "sub sub/deep sub/deep/3")]
    [InlineData("touch -r sub/deep/3 kept; printf XX | dd of=sub/deep/3 conv=notrunc status=none; touch -r kept sub/deep/3; rm kept; touch -r sub .", "sub sub/deep sub/deep/3")]
    [InlineData("chmod 640 none", "none")]
    [InlineData("chown 3:4 sub/link -h", "sub sub/link")]
    [InlineData("setfattr -n user.note -v other sub", "sub")]
    [InlineData("setfattr -x user.note sub", "sub")]
    [InlineData("rm sub/deep/7; touch -d @9 sub/deep", "sub sub/deep -sub/deep/7")]
    [InlineData("rm -r sub/deep; touch -d @9 sub", "sub -sub/deep")]
    [InlineData("rm -r sub/deep; printf now > sub/deep", "sub sub/deep")]
    [InlineData("rm none; mkdir none; printf x > none/x", "none none/x")]
    [InlineData("rm sub/link; ln -s ../two sub/link", "sub sub/link")]
    [InlineData("mkdir new; mkdir new/er", "new new/er")]
    [InlineData("touch -d @5 one", "one sub sub/other sub/third")]
    [InlineData("rm sub/third", "one sub sub/other -sub/third")]
    [InlineData("ln one fourth", "fourth one sub sub/other sub/third")]
    [InlineData("cp -p one x; ln -f x sub/third; rm x", "one sub sub/other sub/third")]
    [InlineData("cp -p big again; rm big; ln again big; rm again", "big")]
    [InlineData("mkfifo sub/deep/fifo", "sub sub/deep sub/deep/fifo")]
    public void It_has_what_changed(string change, string expected)
    {
        using DicfuseFolder folder = ImageTests.Sample();
        byte[] full = PackedImage.Pack(folder);
        _ = Shell.Bash(change, directory: folder.Path).Must();
        byte[] patch = Patch(folder, full);
        Assert.Equal("", PackedImage.Verify(patch));
        string[] names = Names(patch);
        if (change.StartsWith("cp -p big", StringComparison.Ordinal))
        {
            // Another inode, but the same in all that counts.
            expected = "";
        }

        Assert.Equal(expected, string.Join(' ', names));
    }

    [Fact]
    public void What_is_left_out_is_gone_in_the_patch_too()
    {
        using DicfuseFolder folder = ImageTests.Sample();
        byte[] full = PackedImage.Pack(folder);
        byte[] patch = Patch(folder, full, new PackOptions { Threads = 2, Excludes = ["sub/deep", "o*"] });
        Assert.Equal("-one sub -sub/deep -sub/other", string.Join(' ', Names(patch).Where(name => name != "sub/third")));
        byte[] less = PackedImage.Pack(folder, new PackOptions { Threads = 2, Excludes = ["sub/deep"] });
        Assert.Equal([], Names(Patch(folder, less, new PackOptions { Threads = 2, Excludes = ["sub/deep"] })));
        Assert.Equal([], Names(Patch(folder, PackedImage.Pack(folder, Fixed), Fixed)));
    }

    [Fact]
    public void A_commit_keeps_the_times_of_what_did_not_change()
    {
        using var scratch = new ScratchFolder();
        var repository = new GitRepository(scratch.Join("repo"));
        _ = repository.Commit("mkdir d e; printf one > d/a; cp d/a d/b; cp d/a e/c; head -c 900000 /dev/urandom > big; cp big e/big; printf x > e/x");
        byte[] full = PackedImage.Pack(GitSource.Open(GitRevision.Resolve(repository.Path, "HEAD"), static _ => { }));
        _ = Shell.Bash($"cd {repository.Path} && printf two > d/b && cp d/b d/new && rm e/x && git add -A && GIT_COMMITTER_DATE='1800000000 +0000' git -c user.name=a -c user.email=b@c commit -qm y").Must();
        GitSource now = GitSource.Open(GitRevision.Resolve(repository.Path, "HEAD"), static _ => { });
        byte[] patch = Patch(now, full, new PackOptions { Threads = 2 });
        Assert.Equal("d d/b d/new e -e/x", string.Join(' ', Names(patch)));
        using ImageLayer image = PackedImage.Open(patch);
        Assert.Equal("two", Encoding.UTF8.GetString(image.Read(image.Find("d/b"), 0, 10)));
        Assert.Equal(1800000000, image.Getattr(image.Find("d/b")).st_mtim.tv_sec);
    }

    /// <summary>Paths of archives, a mark before what a layer of a container hides; "=" gives a file another content, "!" stands before an opaque directory of the patch.</summary>
    [Theory]
    [InlineData("d/a d/b d/.wh..wh..opq", "d/a=2 d/b d/.wh..wh..opq", "d d/a")]
    [InlineData("d/a d/b d/.wh..wh..opq", "d/a d/.wh..wh..opq", "d -d/b")]
    [InlineData("d/a d/b d/.wh..wh..opq", "d/a d/b d/.wh..wh..opq", "")]
    [InlineData("d/a d/b", "d/a d/b d/.wh..wh..opq", "!d d/a d/b")]
    [InlineData("d/a d/b d/e/x", "d/a d/e/x d/e/y d/.wh..wh..opq", "!d d/a d/e d/e/x d/e/y")]
    [InlineData("d/e/a d/e/b d/e/.wh..wh..opq d/c", "d/e/a=2 d/e/b d/e/.wh..wh..opq d/c d/.wh..wh..opq", "!d d/c !d/e d/e/a d/e/b")]
    [InlineData("d/e/a d/e/b d/f/g d/.wh..wh..opq", "d/e/a d/e/b d/e/.wh..wh..opq d/f/g=2 d/.wh..wh..opq", "d !d/e d/e/a d/e/b d/f d/f/g")]
    [InlineData("a b", "a b=2 .wh..wh..opq", "b")]
    [InlineData("a b", "a .wh..wh..opq", "-b")]
    [InlineData("d/a .wh.e", "d/a=2 .wh.e", "d d/a")]
    [InlineData(".wh.d a", "d/a d/.wh..wh..opq a", "!d d/a")]
    [InlineData("d a", "d/a d/.wh..wh..opq a", "!d d/a")]
    public void An_opaque_directory_hides_no_more_than_in_the_tree(string before, string after, string expected)
    {
        byte[] patch = Patch(before, after, out IReadOnlyList<string> notes);
        Assert.Equal("", PackedImage.Verify(patch));
        Assert.Equal(expected, string.Join(' ', Names(patch)));
        Assert.Empty(notes);
    }

    /// <summary>No layer can show again what one below it hides.</summary>
    [Theory]
    [InlineData("d/a d/b d/.wh..wh..opq", "d/a d/b", "", 1)]
    [InlineData("d/a d/e/b d/e/.wh..wh..opq d/.wh..wh..opq", "d/a=2 d/e/b", "d d/a", 2)]
    [InlineData(".wh.a .wh.b .wh.c d/x", "a d/x b/y", "a b b/y", 2)]
    public void What_the_base_hides_from_layers_below_is_told(string before, string after, string expected, int count)
    {
        byte[] patch = Patch(before, after, out IReadOnlyList<string> notes);
        Assert.Equal(expected, string.Join(' ', Names(patch)));
        Assert.Contains($"{count} names are hidden", Assert.Single(notes));
    }

    [Fact]
    public void A_deep_tree_takes_no_deep_stack()
    {
        string deep = string.Concat(Enumerable.Repeat("d/", 16_000));
        byte[] full = PackedImage.PackTar(new TarBuilder().Pax(("path", deep + "f")).Add("x", content: "1").End());
        byte[] archive = new TarBuilder().Pax(("path", deep + "f")).Add("x", content: "2").End();
        Exception? problem = null;
        byte[] patch = [];
        Thread packer = new(
            () =>
            {
                try
                {
                    using Interop.OwnedFd scratch = PackedImage.NewFile();
                    patch = Patch(PackedImage.OpenTar(archive, scratch), full, new PackOptions { Threads = 1 });
                }
                catch (ImageException thrown)
                {
                    problem = thrown;
                }
            },
            512 << 10);
        packer.Start();
        packer.Join();
        Assert.Null(problem);
        using ImageLayer image = PackedImage.Open(patch);
        Assert.Equal(16_002, image.NodeCount);
    }

    private static PackOptions Fixed => new() { Threads = 2, Owner = (3, 4), Mtime = new Antares.Interop.timespec { tv_sec = 77 } };

    private static byte[] Patch(DicfuseFolder folder, byte[] full, PackOptions? options = null) =>
        Patch(new LayerSource(folder.Open(new DicfuseOptions { MemoryLimitBytes = 0 }), "folder"), full, options ?? new PackOptions { Threads = 2 });

    private static byte[] Patch(string before, string after, out IReadOnlyList<string> notes)
    {
        using Interop.OwnedFd scratch = PackedImage.NewFile();
        TarSource now = PackedImage.OpenTar(Archive(after), scratch);
        return Patch(now, PackedImage.PackTar(Archive(before)), new PackOptions { Threads = 1 }, out notes);
    }

    private static byte[] Archive(string paths) => paths.Split(' ').Select(path => path.Split('=')).Aggregate(
        new TarBuilder(), (tar, path) => tar.Add(path[0], content: path[0].Contains(".wh.") ? "" : path.Length > 1 ? path[1] : "1")).End();

    private static byte[] Patch(IPackSource now, byte[] full, PackOptions options) => Patch(now, full, options, out _);

    private static byte[] Patch(IPackSource now, byte[] full, PackOptions options, out IReadOnlyList<string> notes)
    {
        ImageLayer old = PackedImage.Open(full);
        options = options with { Base = old.PatchName };
        using PatchSource patch = PatchSource.Make(now, new LayerSource(old, "image"), options);
        notes = patch.Notes;
        return PackedImage.Pack(patch, options);
    }

    /// <summary>All paths, those of whiteouts with a minus before them, of opaque directories with a "!".</summary>
    private static string[] Names(byte[] bytes)
    {
        using ImageLayer image = PackedImage.Open(bytes);
        List<string> names = [];
        var walk = new ImageWalk(image.Tree, ILayer.RootNode);
        while (walk.MoveNext())
        {
            string mark = image.TypeOf(walk.Node) == FileType.Whiteout ? "-" : (walk.Record.Flags & ImageNode.Opaque) != 0 ? "!" : "";
            names.Add(mark + walk.PrintedPath);
        }

        return [.. names.OrderBy(name => name.TrimStart('-', '!'), StringComparer.Ordinal)];
    }
}
