using System.Text;
using Antares.Aot.Dicfuse.Git;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Layers;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>An image of a commit is what git would check out; what git would not check out is refused.</summary>
public sealed class GitSourceTests
{
    [Fact]
    public void It_is_what_git_keeps_at_the_time_of_the_commit()
    {
        using var scratch = new ScratchFolder();
        var repository = new GitRepository(scratch.Join("repo"));
        string first = repository.CommitSample();
        _ = repository.Commit("rm -r src; printf later > README; cp README copy; head -c 2000000 /dev/urandom > big; cp big big2; chmod 755 big2");
        string checkout = scratch.Make("out");
        foreach ((string revision, string commit) in new[] { ("HEAD", repository.Head()), (first, first), ("HEAD^", first), (first[..10], first) })
        {
            _ = Shell.Bash($"rm -rf out; mkdir out; git -C repo archive {revision} | tar -C out -xf - && find out -exec touch -h -d @1700000000 {{}} + && chown -hR 0:0 out && umask 022 && chmod -R u=rwX,go=rX out", directory: scratch.Path).Must();
            byte[] image = Pack(repository.Path, revision, out IReadOnlyList<string> notes);
            Assert.Equal("", PackedImage.Verify(image));
            Assert.Empty(notes);
            byte[] expected = PackedImage.Pack(FolderOf(checkout));
            Assert.Equal("", PackedImage.Compare(expected, image));
            using ImageLayer packed = PackedImage.Open(image);
            Assert.Contains($"revision={commit}\n", ProvenanceOf(packed));
            Assert.Contains("source=git\n", ProvenanceOf(packed));
        }

        Assert.Equal(Pack(repository.Path, "HEAD", out _), Pack(repository.Path, "HEAD", out _));
    }

    [Fact]
    public void Equal_contents_are_read_once()
    {
        using var scratch = new ScratchFolder();
        var repository = new GitRepository(scratch.Join("repo"));
        _ = repository.Commit("head -c 800000 /dev/urandom > a; cp a b; mkdir d; cp a d/c; printf small > s; cp s d/s");
        using ImageLayer image = PackedImage.Open(Pack(repository.Path, "HEAD", out _));
        Assert.Equal(800_005ul, image.Image.Header.StreamBytes);
        Assert.Equal(image.Read(image.Find("a"), 0, 800_000), image.Read(image.Find("d/c"), 0, 800_000));
    }

    [Fact]
    public void A_commit_is_what_its_id_stands_for_whatever_replaces_it()
    {
        using var scratch = new ScratchFolder();
        var repository = new GitRepository(scratch.Join("repo"));
        _ = repository.Commit("printf one > f");
        byte[] before = Pack(repository.Path, "HEAD", out _);
        _ = repository.Git($"replace $(git -C {repository.Path} rev-parse HEAD:f) $(printf other | git -C {repository.Path} hash-object -w --stdin)");
        Assert.Equal("other", repository.Git("show HEAD:f"));
        Assert.Equal(before, Pack(repository.Path, "HEAD", out _));
    }

    [Fact]
    public void Submodules_are_empty_and_pointers_are_told()
    {
        using var scratch = new ScratchFolder();
        var repository = new GitRepository(scratch.Join("repo"));
        _ = repository.Commit("""
            printf x > f; mkdir media
            printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n' > media/movie
            git init -q sub/module && git -C sub/module -c user.name=a -c user.email=b@c commit -q --allow-empty -m x
            """);
        using ImageLayer image = PackedImage.Open(Pack(repository.Path, "HEAD", out IReadOnlyList<string> notes));
        Assert.Empty(image.List(image.Find("sub/module")));
        Assert.Equal(["1 submodules are empty directories", "1 contents are pointers of Git LFS, not what they point to (the first: media/movie)"], notes);
    }

    [Fact]
    public void What_git_would_not_check_out_is_refused()
    {
        using var scratch = new ScratchFolder();
        var repository = new GitRepository(scratch.Join("repo"));
        string blob = Shell.Bash("git hash-object -w --stdin", directory: repository.Path, input: "x").Must().Trim();
        foreach ((string said, byte[] tree) in new (string, byte[])[]
        {
            (".git", Tree("100644", ".git", blob)),
            (".GIT", Tree("100644", ".GIT", blob)),
            ("'..'", Tree("100644", "..", blob)),
            ("'.'", Tree("100644", ".", blob)),
            ("twice", [.. Tree("100644", "a", blob), .. Tree("100755", "a", blob)]),
            ("in no directory", Tree("100644", "a/b", blob)),
            ("300 bytes", Tree("100644", new string('n', 300), blob)),
            ("target of 0 bytes", Tree("120000", "l", Shell.Bash("git hash-object -w /dev/null", directory: repository.Path).Must().Trim())),
            ("no blob", Tree("120000", "l", new string('1', 40))),
        })
        {
            File.WriteAllBytes(scratch.Join("tree"), tree);
            string commit = Shell.Bash(
                "t=$(git hash-object -w -t tree --literally ../tree) && git -c user.name=a -c user.email=b@c commit-tree -m x $t", directory: repository.Path).Must().Trim();
            ImageException problem = Assert.Throws<ImageException>(() => Pack(repository.Path, commit, out _));
            Assert.Contains(said, problem.Message);
        }
    }

    [Fact]
    public void What_is_missing_is_an_error_and_never_a_shorter_tree()
    {
        using var scratch = new ScratchFolder();
        var repository = new GitRepository(scratch.Join("repo"));
        _ = repository.Commit("mkdir d e; for i in $(seq 200); do printf $i > d/$i; done; head -c 3000000 /dev/urandom > big; printf last > e/z");
        string commit = repository.Head();
        byte[] whole = Pack(repository.Path, commit, out _);
        foreach (string name in new[] { "HEAD:d/77", "HEAD:big", "HEAD:e/z", "HEAD:d", "HEAD^{tree}", "HEAD" })
        {
            string id = repository.Git($"rev-parse {name}");
            string file = Path.Combine(repository.Path, ".git/objects", id[..2], id[2..]);
            File.Move(file, scratch.Join("kept"));
            _ = Assert.Throws<ImageException>(() => Pack(repository.Path, commit, out _));
            File.Move(scratch.Join("kept"), file);
        }

        Assert.Equal(whole, Pack(repository.Path, commit, out _));
    }

    [Fact]
    public void Revisions_that_are_none_and_places_that_are_none_are_told()
    {
        using var scratch = new ScratchFolder();
        var repository = new GitRepository(scratch.Join("repo"));
        _ = repository.Commit("mkdir sub; printf x > sub/f");
        foreach ((string place, string revision, string said) in new[]
        {
            (repository.Path, "nowhere", "no revision 'nowhere'"), (repository.Path, "", "no revision"), (repository.Path, "--all", "no revision"),
            (repository.Path, "HEAD..HEAD", "no single commit"), (repository.Path, "HEAD:sub", "fatal"), (repository.Path, "a\nb", "no revision"),
            (Path.Combine(repository.Path, "sub"), "HEAD", "within a repository"), (scratch.Make("empty"), "HEAD", "fatal"),
        })
        {
            Assert.Contains(said, Assert.Throws<ImageException>(() => GitRevision.Resolve(place, revision)).Message);
        }

        Assert.Equal(repository.Head(), GitRevision.Resolve(repository.Path, "HEAD").Commit);
    }

    private static byte[] Tree(string mode, string name, string id) => [.. Encoding.ASCII.GetBytes($"{mode} {name}\0"), .. Convert.FromHexString(id)];

    private static byte[] Pack(string repository, string revision, out IReadOnlyList<string> notes)
    {
        using GitSource source = GitSource.Open(GitRevision.Resolve(repository, revision), static _ => { });
        byte[] image = PackedImage.Pack(source);
        notes = source.Notes;
        return image;
    }

    private static unsafe DicfuseLayer FolderOf(string path)
    {
        DicfuseFolder.Check(Fd.Open((byte*)DicfuseFolder.Text(path), Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out int fd));
        DicfuseFolder.Check(DicfuseLayer.OpenFolder("dicfuse", fd, new Antares.Aot.Dicfuse.DicfuseOptions { MemoryLimitBytes = 0 }, out DicfuseLayer? layer));
        return layer!;
    }

    private static unsafe string ProvenanceOf(ImageLayer image)
    {
        SectionPlace place = image.Image.Header[ImageSection.Provenance];
        return Encoding.UTF8.GetString(image.Image.Base + place.Offset, (int)place.Length);
    }
}
