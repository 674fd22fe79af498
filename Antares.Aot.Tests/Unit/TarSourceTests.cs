using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Layers;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>An image of an archive is the image of what tar packed into it; what is wrong with an archive is said, and never a shorter tree.</summary>
public sealed unsafe class TarSourceTests
{
    /// <summary>All that a folder can hold and the named form of tar can say.</summary>
    private const string Fill = """
        set -e
        mkdir -p a/b sparse empty
        printf one > a/one; ln a/one a/two; ln a/one other
        printf x > "$(printf 'a/\377\376 not text')"
        ln -s "$(head -c 3000 /dev/zero | tr '\0' t)" a/longlink
        ln -s one a/link; mkfifo a/fifo; mknod a/null c 1 3; mknod a/disk b 8 1
        long=$(head -c 240 /dev/zero | tr '\0' n); mkdir -p "$long/$long"; printf deep > "$long/$long/deep"; ln "$long/$long/deep" "$long/hard"
        head -c 900000 /dev/urandom > a/b/large; cp a/b/large a/b/again; : > a/b/none
        truncate -s 9M sparse/hole; printf end >> sparse/hole; truncate -s 5M sparse/all
        for i in $(seq 60); do printf %d $i | dd of=sparse/many bs=1 seek=$((i * 65536)) conv=notrunc status=none; done
        chmod 2750 a/b; chmod 4711 a/one; chown 12345:2000000 a/b/large; chown 3000000:4 a/b
        touch -d @-77 a/b/none; touch -d @981173106 a sparse .
        """;

    [Theory]
    [InlineData("--format=gnu")]
    [InlineData("--format=gnu -S")]
    [InlineData("--format=pax")]
    [InlineData("--format=pax -S --sparse-version=0.0")]
    [InlineData("--format=pax -S --sparse-version=0.1")]
    [InlineData("--format=pax -S --sparse-version=1.0")]
    [InlineData("--format=pax --sort=name --transform=s,^\\./,,")]
    public void It_is_what_tar_packed(string options)
    {
        using DicfuseFolder folder = new();
        string tar = Made(folder, Fill, options);
        byte[] archive = File.ReadAllBytes(tar);
        File.Delete(tar);
        byte[] image = PackedImage.PackTar(archive, out IReadOnlyList<string> notes);
        Assert.Empty(notes);
        Assert.Equal("", PackedImage.Verify(image));
        // Parts of a second are not in every form.
        _ = Shell.Bash("find . -exec touch -h -d @981173106 {} + && touch -d @-77 a/b/none", directory: folder.Path).Must();
        byte[] expected = PackedImage.Pack(folder);
        string differences = PackedImage.Compare(expected, image);
        Assert.True(differences.Split('\n').All(line => line.EndsWith(" time", StringComparison.Ordinal) || line.Length == 0), differences);
        using ImageLayer packed = PackedImage.Open(image);
        Assert.Equal((-77L, 981173106L), (packed.Getattr(packed.Find("a/b/none")).st_mtim.tv_sec, packed.Getattr(packed.Find("a")).st_mtim.tv_sec));
    }

    [Fact]
    public void Attributes_and_lists_come_with_it_and_times_to_the_nanosecond()
    {
        using DicfuseFolder folder = new();
        string tar = Made(folder, """
            set -e
            mkdir d; printf x > d/f; printf y > g
            setfattr -n user.note -v kept d/f; setfattr -n user.bytes -v 0x00ff01 g; setfattr -n user.empty d
            setfacl -m u:5:rw,g:7:r d/f; setfacl -d -m u:6:x d
            touch -d '1960-02-03 04:05:06.123456789' g; touch -d '2001-02-03 04:05:06.987654321' d/f
            """, "--format=pax --xattrs --xattrs-include=* --acls --numeric-owner --pax-option=delete=atime,delete=ctime");
        byte[] archive = File.ReadAllBytes(tar);
        File.Delete(tar);
        string differences = PackedImage.Compare(PackedImage.Pack(folder), PackedImage.PackTar(archive, out IReadOnlyList<string> notes));
        // The archive itself was made and removed in the folder.
        Assert.Equal("M . time", differences.Trim());
        Assert.Empty(notes);
    }

    [Fact]
    public void Lists_as_text_are_read_where_they_name_numbers()
    {
        byte[] archive = new TarBuilder()
            .Pax(("SCHILY.acl.access", "user::rw-\nuser:7:r--\ngroup::r--\nmask::rw-\nother::---\n")).Add("numbers")
            .Pax(("SCHILY.acl.access", "user::rw-,user:lisa:rw-:502,group::r--,mask::rw-,other::r--")).Add("star")
            .Pax(("SCHILY.acl.access", "user::rw-,user:lisa:rw-,group::r--,mask::rw-,other::r--")).Add("names")
            .Pax(("SCHILY.acl.access", "user::rw-,group::r--,other::r--")).Add("trivial")
            .End();
        using ImageLayer image = PackedImage.Open(PackedImage.PackTar(archive, out IReadOnlyList<string> notes));
        Assert.Contains("1 access control lists were left out", Assert.Single(notes));
        string[] texts = [.. new[] { "numbers", "star", "names", "trivial" }.Select(name => Acl(image, name))];
        Assert.Equal(["user::rw-,user:7:r--,group::r--,mask::rw-,other::---", "user::rw-,user:502:rw-,group::r--,mask::rw-,other::r--", "", ""], texts);
    }

    [Fact]
    public void Packed_or_not_it_is_the_same_image()
    {
        using DicfuseFolder folder = new();
        string tar = Made(folder, Fill, "--format=pax -S");
        byte[] plain = PackedImage.PackTar(File.ReadAllBytes(tar));
        foreach (string command in new[] { "gzip -1 -c", "zstd -q -c", "zstd -q -c --long=27 -19", "gzip -c -n | cat - /dev/null" })
        {
            _ = Shell.Bash($"< '{tar}' {command} > '{tar}.packed'").Must();
            Assert.True(plain.AsSpan().SequenceEqual(PackedImage.PackTar(File.ReadAllBytes(tar + ".packed"))), command);
        }

        // Several members of gzip, several frames of zstd.
        _ = Shell.Bash($"head -c 100000 '{tar}' | gzip > '{tar}.packed'; tail -c +100001 '{tar}' | gzip >> '{tar}.packed'").Must();
        Assert.True(plain.AsSpan().SequenceEqual(PackedImage.PackTar(File.ReadAllBytes(tar + ".packed"))));
        _ = Shell.Bash($"head -c 100000 '{tar}' | zstd -q > '{tar}.packed'; tail -c +100001 '{tar}' | zstd -q >> '{tar}.packed'").Must();
        Assert.True(plain.AsSpan().SequenceEqual(PackedImage.PackTar(File.ReadAllBytes(tar + ".packed"))));
    }

    [Theory]
    [InlineData("cat")]
    [InlineData("gzip -n")]
    [InlineData("zstd -q")]
    public void Cut_short_anywhere_it_is_an_error_or_the_whole_tree(string pack)
    {
        using DicfuseFolder folder = new();
        string tar = Made(folder, """
            mkdir d; head -c 700 /dev/urandom > d/f; head -c 2000 /dev/zero > z; ln d/f hard
            printf x > "$(head -c 150 /dev/zero | tr '\0' n)"
            """, "--format=pax -b1");
        _ = Shell.Bash($"< '{tar}' {pack} > '{tar}.packed'").Must();
        byte[] archive = File.ReadAllBytes(tar + ".packed");
        byte[] whole = PackedImage.PackTar(archive);
        // Whole is what lacks only the second of the two blocks of an archive's end, or gzip's own end.
        int enough = archive.Length - (pack == "cat" ? 512 : pack == "gzip -n" ? 16 : 0);
        for (int length = 0; length < archive.Length; length++)
        {
            if (TestEnvironment.Short && length % 11 != 0 && length % 512 is not (0 or 1 or 511) && Math.Abs(length - enough) > 1)
            {
                continue;
            }

            try
            {
                Assert.True(whole.AsSpan().SequenceEqual(PackedImage.PackTar(archive.AsSpan(0, length), out _, threads: 1)), $"{length} of {archive.Length} bytes");
                Assert.True(length >= enough, $"{length} of {archive.Length} bytes were enough");
            }
            catch (ImageException)
            {
                // As it must be for all that is too short.
            }
        }
    }

    [Theory]
    [InlineData("gzip -n", -8)]
    [InlineData("gzip -n", -4)]
    [InlineData("zstd -q --check", -1)]
    [InlineData("zstd -q --check", -300)]
    public void A_wrong_checksum_of_the_packing_is_an_error(string pack, int at)
    {
        using DicfuseFolder folder = new();
        string tar = Made(folder, "head -c 5000 /dev/urandom > f", "--format=pax");
        _ = Shell.Bash($"< '{tar}' {pack} > '{tar}.packed'").Must();
        byte[] archive = File.ReadAllBytes(tar + ".packed");
        _ = PackedImage.PackTar(archive);
        archive[archive.Length + at] ^= 1;
        Assert.Contains("damaged", Said(archive));
    }

    [Theory]
    [InlineData("BZh91AY&SY", "bzip2")]
    [InlineData("\u00fd7zXZ\0", "xz")]
    [InlineData("PK\u0003\u0004", "zip")]
    [InlineData("", "empty")]
    [InlineData("#!/bin/sh\n", "cut short")]
    public void What_is_no_archive_is_told(string start, string said)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(start);
        Assert.Contains(said, Said(bytes));
        byte[] block = new byte[1024];
        bytes.CopyTo(block, 0);
        Assert.Contains(start.Length == 0 || start[0] == '#' ? "" : said, Said(block, mayPass: start.Length == 0));
    }

    [Fact]
    public void The_last_of_two_members_wins()
    {
        byte[] archive = new TarBuilder()
            .Add("d/", '5').Add("d/f", content: "old").Add("h", '1', target: "d/f").Add("d/f", content: "newer")
            .Add("l", '2', target: "f").Add("l", content: "file now")
            .Add("e/", '5').Add("e", content: "no directory")
            .Add("s", content: "x").Add("s/", '5').Add("s/t", content: "in it")
            .Add("d/", '5', edit: block => TarBuilder.Put(block, 100, "0000700"))
            .End();
        using ImageLayer image = PackedImage.Open(PackedImage.PackTar(archive));
        Assert.Equal("newer", Text(image, "d/f"));
        Assert.Equal("old", Text(image, "h"));
        Assert.Equal(1ul, image.Getattr(image.Find("h")).st_nlink);
        Assert.Equal("file now", Text(image, "l"));
        Assert.Equal("no directory", Text(image, "e"));
        Assert.Equal("in it", Text(image, "s/t"));
        Assert.Equal(0x41C0u, image.Getattr(image.Find("d")).st_mode);
    }

    [Fact]
    public void Directories_that_it_does_not_tell_of_are_like_what_is_in_them()
    {
        using ImageLayer image = PackedImage.Open(PackedImage.PackTar(new TarBuilder().Add("/a//./b/f", content: "x").Add("a/g").End()));
        stat attributes = image.Getattr(image.Find("a/b"));
        Assert.Equal((0x41EDu, 10u, 11u, 1000000000L), (attributes.st_mode, attributes.st_uid, attributes.st_gid, attributes.st_mtim.tv_sec));
        Assert.Equal(attributes.st_mtim.tv_sec, image.Getattr(ILayer.RootNode).st_mtim.tv_sec);
        Assert.Equal("x", Text(image, "a/b/f"));
    }

    [Fact]
    public void Marks_of_container_layers_hide_names_and_directories()
    {
        byte[] archive = new TarBuilder()
            .Add("d/", '5').Add("d/.wh.gone").Add("d/kept")
            .Add("o/", '5').Add("o/.wh..wh..opq").Add("o/new")
            .Add(".wh.r").Add("r/", '5').Add("r/in")
            .Add("q/", '5').Add("q/in").Add(".wh.q")
            .Add("f").Add(".wh.f").Add(".wh..wh.plnk/", '5').Add(".wh..wh.aufs")
            .Add("dev", '3')
            .End();
        byte[] bytes = PackedImage.PackTar(archive);
        Assert.Equal("", PackedImage.Verify(bytes));
        using ImageLayer image = PackedImage.Open(bytes);
        Assert.Equal(ImageFormat.OpaqueFeature, image.Image.Header.Features);
        Assert.Equal(["dev", "d", "f", "o", "q", "r"], image.List(ILayer.RootNode).Select(entry => Encoding.UTF8.GetString(entry.Name)).Order(StringComparer.Ordinal).OrderBy(name => name == "dev" ? 0 : 1));
        Assert.Equal(FileType.Whiteout, image.TypeOf(image.Find("d/gone")));
        Assert.Equal(FileType.Whiteout, image.TypeOf(image.Find("dev")));
        Assert.Equal(FileType.Regular, image.TypeOf(image.Find("f")));
        Assert.Equal([false, true, true, true], new[] { "d", "o", "q", "r" }.Select(path => IsOpaque(image, path)));
        Assert.Equal(bytes, PackedImage.Pack(new Antares.Aot.Dicfuse.Image.Pack.LayerSource(image, "tar")));
    }

    [Fact]
    public void Large_numbers_and_old_forms_are_read()
    {
        byte[] archive = new TarBuilder()
            .Add("big", edit: block =>
            {
                ((byte[])[0x80, 0, 0, 0, 0xB2, 0xD0, 0x5E, 0x00]).CopyTo(block, 108); // 3,000,000,000
                ((byte[])[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE]).CopyTo(block, 136); // -2
            })
            .Add("old/", '\0', edit: block => block.AsSpan(257, 8).Clear())
            .Add("name", content: "x", edit: block => TarBuilder.Put(block, 345, "pre/fix"))
            .Add("contiguous", '7', "c")
            .Pax(("path", "b\u00fcn/\u00ff"), ("size", "3"), ("mtime", "-1.25"), ("uid", "7")).Add("else", content: "abc", edit: block => TarBuilder.Put(block, 124, "00000000000"))
            .Add("global", 'g', TarBuilder.Record("gid", "99")).Add("after")
            .End();
        using ImageLayer image = PackedImage.Open(PackedImage.PackTar(archive));
        Assert.Equal((3000000000u, -2L), (image.Getattr(image.Find("big")).st_uid, image.Getattr(image.Find("big")).st_mtim.tv_sec));
        Assert.Equal(FileType.Directory, image.TypeOf(image.Find("old")));
        Assert.Equal("x", Text(image, "pre/fix/name"));
        Assert.Equal("c", Text(image, "contiguous"));
        DicfuseFolder.Check(image.TryFind(ILayer.RootNode, (byte[])[(byte)'b', 0xFC, (byte)'n'], out uint odd));
        DicfuseFolder.Check(image.TryFind(odd, (byte[])[0xFF], out uint file));
        Assert.Equal("abc", Encoding.UTF8.GetString(image.Read(file, 0, 10)));
        Assert.Equal((-2L, 750_000_000L, 7u), (image.Getattr(file).st_mtim.tv_sec, image.Getattr(file).st_mtim.tv_nsec, image.Getattr(file).st_uid));
        Assert.Equal(99u, image.Getattr(image.Find("after")).st_gid);
    }

    [Fact]
    public void What_it_says_of_others_is_refused_with_the_name()
    {
        (string Said, TarBuilder Archive)[] hostile =
        [
            ("leads out of it", new TarBuilder().Add("../x")),
            ("leads out of it", new TarBuilder().Add("a/../../x")),
            ("leads out of it", new TarBuilder().Add("a").Add("h", '1', target: "../a")),
            ("a symbolic link", new TarBuilder().Add("l", '2', target: "/etc").Add("l/passwd", content: "x")),
            ("no directory", new TarBuilder().Add("f").Add("f/x")),
            ("twice", new TarBuilder().Add("d/x").Add("d")),
            ("no file before it", new TarBuilder().Add("h", '1', target: "missing")),
            ("no file before it", new TarBuilder().Add("d/", '5').Add("h", '1', target: "d")),
            ("target of 0 bytes", new TarBuilder().Add("l", '2')),
            ("target of 4096 bytes", new TarBuilder().Pax(("linkpath", new string('t', 4096))).Add("l", '2')),
            ("name of 256 bytes", new TarBuilder().Pax(("path", "d/" + new string('n', 256))).Add("x")),
            ("a NUL in it", new TarBuilder().Pax(("path", "a\0b")).Add("x")),
            ("a root", new TarBuilder().Add("./")),
            ("cut short", new TarBuilder().Add("x", edit: block => TarBuilder.Put(block, 124, "120000000000"))), // 10 GiB
            ("malformed size", new TarBuilder().Add("x", edit: block => TarBuilder.Put(block, 124, "0000000008x"))),
            ("malformed size", new TarBuilder().Add("x", edit: block => block.AsSpan(124, 12).Fill(0xFF))),
            ("malformed owner", new TarBuilder().Add("x", edit: block => ((byte[])[0x80, 0, 0, 1, 0, 0, 0, 0]).CopyTo(block, 108))),
            ("names the owner", new TarBuilder().Pax(("uid", "4294967295")).Add("x")),
            ("size is malformed", new TarBuilder().Pax(("size", "-1")).Add("x")),
            ("mtime is malformed", new TarBuilder().Pax(("mtime", "soon")).Add("x")),
            ("extended header that is none", new TarBuilder().Add("p", 'x', "99 path=x\n").Add("x")),
            ("extended header that is none", new TarBuilder().Add("p", 'x', "path=x\n").Add("x")),
            ("ends after an extended header", new TarBuilder().Pax(("path", "x"))),
            ("more than names", Enumerable.Range(0, 20).Aggregate(new TarBuilder(), (tar, i) => tar.Add("g", 'g', TarBuilder.Record($"k{i}", new string('v', 1 << 20)))).Add("x")),
            ("more than names", new TarBuilder().Add("p", 'x', edit: block => TarBuilder.Put(block, 124, "00200000000"))),
            ("type 'Q'", new TarBuilder().Add("x", 'Q')),
            ("one part of several", new TarBuilder().Add("x", 'M')),
            ("no file system takes", new TarBuilder().Pax(("SCHILY.xattr.", "v")).Add("x")),
            ("no file system takes", new TarBuilder().Pax(("SCHILY.xattr.user.x", new string('v', 65537))).Add("x")),
            ("overlay.redirect", new TarBuilder().Pax(("SCHILY.xattr.trusted.overlay.redirect", "/y")).Add("d/", '5')),
            ("hides nothing", new TarBuilder().Add("d/.wh.")),
            ("map of its holes", new TarBuilder().Pax(("GNU.sparse.size", "10"), ("GNU.sparse.map", "8,3")).Add("x", content: "abc")),
            ("map of its holes", new TarBuilder().Pax(("GNU.sparse.size", "10"), ("GNU.sparse.map", "4,2,3,1")).Add("x", content: "abc")),
            ("map of its holes", new TarBuilder().Pax(("GNU.sparse.size", "10"), ("GNU.sparse.map", "0,2")).Add("x", content: "abc")),
            ("map of its holes", new TarBuilder().Pax(("GNU.sparse.size", "99999999999999999"), ("GNU.sparse.map", "0,3")).Add("x", content: "abc")),
            ("map of its holes", new TarBuilder().Pax(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "9")).Add("x", content: "4611686018427387904\n")),
            ("holes", Enumerable.Range(0, 5).Aggregate(new TarBuilder(), (tar, i) => tar.Pax(("GNU.sparse.size", $"{16UL << 40}"), ("GNU.sparse.map", "0,1")).Add($"x{i}", content: "x"))),
            ("a path of 70001 bytes", new TarBuilder().Pax(("path", string.Concat(Enumerable.Repeat("a/", 35_000)) + "x")).Add("x")),
            ("a path of 70001 bytes", new TarBuilder().Add("x").Pax(("linkpath", string.Concat(Enumerable.Repeat("./", 35_000)) + "x")).Add("h", '1')),
            ("names take more than 65536", new TarBuilder().Pax([.. Enumerable.Range(0, 7_000).Select(i => ($"SCHILY.xattr.user.{i:D6}", "v"))]).Add("x")),
            ("names take more than 65536", new TarBuilder()
                .Add("g", 'g', string.Concat(Enumerable.Range(0, 5_000).Select(i => TarBuilder.Record($"SCHILY.xattr.user.{i:D6}", "v"))))
                .Add("x").Pax([.. Enumerable.Range(5_000, 2_000).Select(i => ($"SCHILY.xattr.user.{i:D6}", "v"))]).Add("y")),
            ("put one after another", new TarBuilder().Add("x").Raw(new byte[1024]).Add("y")),
            ("no header", new TarBuilder().Add("x").Raw(Enumerable.Repeat((byte)'z', 512).ToArray())),
        ];
        foreach ((string said, TarBuilder archive) in hostile)
        {
            string got = Said(archive.End());
            Assert.True(said == "a root" ? got.Length == 0 : got.Contains(said), $"expected '{said}': '{got}'");
        }
    }

    [Fact]
    public void Of_attributes_in_both_headers_the_members_own_count()
    {
        byte[] archive = new TarBuilder()
            .Add("g", 'g', TarBuilder.Record("SCHILY.xattr.user.a", "global") + TarBuilder.Record("SCHILY.xattr.user.b", "global"))
            .Pax(("SCHILY.xattr.user.b", "own"), ("SCHILY.xattr.user.c%3D", "own")).Add("x").Add("y")
            .End();
        using ImageLayer image = PackedImage.Open(PackedImage.PackTar(archive));
        Assert.Equal(["user.a=global", "user.b=own", "user.c==own"], XattrsOf(image, "x"));
        Assert.Equal(["user.a=global", "user.b=global"], XattrsOf(image, "y"));
    }

    /// <summary>Two files that are equal, so that they are compared too, in a base that they are compared with as well.</summary>
    [Fact]
    public void Holes_are_not_read()
    {
        const ulong Size = 1UL << 30;
        TarBuilder archive = new();
        foreach (string name in new[] { "a", "b" })
        {
            archive = archive.Pax(("GNU.sparse.size", $"{Size}"), ("GNU.sparse.map", $"5,3,{Size - 3},3")).Add(name, content: "oneend");
        }

        using OwnedFd scratch = PackedImage.NewFile();
        CountedSource counted = new(PackedImage.OpenTar(archive.End(), scratch));
        byte[] bytes = PackedImage.Pack(counted, new PackOptions { Threads = 1 });
        Assert.InRange(counted.BytesRead, 1ul, 20ul << 20);
        Assert.InRange(bytes.Length, 1, 100_000);
        using (ImageLayer image = PackedImage.Open(bytes))
        {
            Assert.Equal(Size, image.Image.Header.StreamBytes);
            Assert.Equal("\0one\0"u8.ToArray(), image.Read(image.Find("b"), 4, 5));
            Assert.Equal("\0end"u8.ToArray(), image.Read(image.Find("a"), Size - 4, 10));
        }

        CountedSource again = new(new LayerSource(PackedImage.Open(bytes), "tar"));
        Assert.Equal(bytes, PackedImage.Pack(again, new PackOptions { Threads = 1 }));
        Assert.InRange(again.BytesRead, 1ul, 20ul << 20);

        CountedSource now = new(PackedImage.OpenTar(archive.End(), scratch));
        CountedSource old = new(new LayerSource(PackedImage.Open(bytes), "image"));
        using PatchSource patch = PatchSource.Make(now, old, new PackOptions());
        Assert.InRange(now.BytesRead + old.BytesRead, 1ul, 20ul << 20);
        Assert.Equal(Errno.ENOENT, patch.Next(ILayer.RootNode, 0, out _));
        again.Dispose();
        counted.Dispose();
    }

    [Fact]
    public void What_follows_the_end_is_passed_over_and_told()
    {
        byte[] archive = new TarBuilder().Add("x", content: "abc").End();
        byte[] expected = PackedImage.PackTar(archive);
        Assert.Equal(expected, PackedImage.PackTar([.. archive, .. new byte[10240]], out IReadOnlyList<string> notes));
        Assert.Empty(notes);
        Assert.Equal(expected, PackedImage.PackTar([.. archive, .. "garbage"u8], out notes));
        Assert.Contains("519 bytes behind", Assert.Single(notes)); // with the second block of the end mark
    }

    [Fact]
    public void Changed_by_chance_it_is_an_archive_or_an_error()
    {
        using DicfuseFolder folder = new();
        string tar = Made(folder, """
            mkdir d; printf abc > d/f; ln d/f h; ln -s d/f l; truncate -s 100K s; printf x >> s; setfattr -n user.n -v v d/f
            printf x > "$(head -c 150 /dev/zero | tr '\0' n)"
            """, "--format=pax -S --xattrs -b1");
        byte[] archive = File.ReadAllBytes(tar);
        Random random = new(7);
        int errors = 0;
        int rounds = TestEnvironment.Short ? 1000 : 4000;
        for (int i = 0; i < rounds; i++)
        {
            byte[] changed = [.. archive];
            for (int flips = random.Next(1, 4); flips > 0; flips--)
            {
                int at = random.Next(changed.Length);
                changed[at] = (byte)random.Next(256);
                int block = at / 512 * 512;
                if (random.Next(4) != 0 && TarHeaderLike(archive, block))
                {
                    TarBuilder.Seal(changed.AsSpan(block, 512));
                }
            }

            try
            {
                Assert.Equal("", PackedImage.Verify(PackedImage.PackTar(changed, out _, threads: 1)));
            }
            catch (ImageException)
            {
                errors++;
            }
        }

        Assert.InRange(errors, rounds / 100, rounds * 99 / 100);
    }

    private static bool TarHeaderLike(byte[] archive, int block) => archive.AsSpan(block + 257, 5).SequenceEqual("ustar"u8);

    private static string Made(DicfuseFolder folder, string fill, string options)
    {
        _ = Shell.Bash($"{fill}\n", directory: folder.Path).Must();
        _ = Shell.Bash($"tar -C '{folder.Path}' {options} -cf '{folder.Path}/../{Path.GetFileName(folder.Path)}.tar' . && mv '{folder.Path}/../{Path.GetFileName(folder.Path)}.tar' '{folder.Path}/archive.tar'").Must();
        return folder.At("archive.tar");
    }

    private static string Said(byte[] archive, bool mayPass = true)
    {
        try
        {
            _ = PackedImage.PackTar(archive);
            return mayPass ? "" : "passed";
        }
        catch (ImageException problem)
        {
            return problem.Message;
        }
    }

    private static string Acl(ImageLayer image, string path)
    {
        byte[] value = new byte[200];
        fixed (byte* name = "system.posix_acl_access\0"u8, room = value)
        {
            return image.Getxattr(image.Find(path), name, room, (nuint)value.Length, out int length) == Errno.None ? PosixAcl.Text(value.AsSpan(0, length)) ?? "none" : "";
        }
    }

    private static IEnumerable<string> XattrsOf(ImageLayer image, string path)
    {
        List<(byte[] Name, byte[] Value)> all = [];
        LayerSource source = new(image, "image"); // the layer stays the caller's
        DicfuseFolder.Check(source.Xattrs(image.Find(path), all));
        return all.Select(pair => $"{Encoding.UTF8.GetString(pair.Name)}={Encoding.UTF8.GetString(pair.Value)}").Order();
    }

    private static string Text(ImageLayer image, string path) => Encoding.UTF8.GetString(image.Read(image.Find(path), 0, 100));

    private static bool IsOpaque(ImageLayer image, string path)
    {
        byte* redirect = stackalloc byte[16];
        DicfuseFolder.Check(image.Merging(image.Find(path), out bool opaque, redirect, 16, out int length));
        Assert.Equal(0, length);
        return opaque;
    }
}
