using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Listings and names: what readdir promises, long and odd names, identity of objects.</summary>
public sealed class DirectoryMountTests
{
    [MountTheory, Mounts(KernelEngineToo = true)]
    public void MergedListings(MountKind kind) => Parity.Check(kind, "mkdir d\nmany d low 300\nmkdir d/sub\nsymlink x d/link\n", """
        ls d
        dino d => ok
        many d up 300 => ok
        ls d
        dino d => ok
        unlink d/low5 => ok
        rename d/low6 d/renamed => ok
        rmdir d/sub => ok
        put d/sub x => ok
        ls d
        dino d => ok
        dino . => ok
        telldir d => ok
        !remount
        ls d
        dino d => ok
        telldir d => ok
        """);

    [MountTheory, Mounts]
    public void EntriesThatStayAreSeenOnce(MountKind kind) => Parity.Check(kind, "mkdir d\nmany d s 1000\nmany d r 1000\n", """
        churn d 1000 => ok
        rmtree d => ok
        mkdir d => ok
        many d s 1000 => ok
        many d r 1000 => ok
        churn d 1000 => ok
        """, otherTree: "the rounds of the churn differ with the size of the kernel's answers");

    /// <summary>
    /// A reader that began after names were made sees them, also when another one, which began before, comes to its end meanwhile: what the kernel
    /// keeps of that one's listing lacks them. Where the readers stand is chance, so that it takes several directories.
    /// </summary>
    [MountTheory, Mounts]
    public void AReaderSeesWhatWasThereWhenItBegan(MountKind kind) => Parity.Check(kind, "mkdir low\nput low/x y\n", """
        tworeaders low => ok
        """ + string.Concat(Enumerable.Range(0, 12).Select(i => $"\nmkdir d{i} => ok\ntworeaders d{i} => ok")));

    /// <summary>
    /// A reader whose last name is removed goes on, also where what the kernel keeps of the others' listings ends with a page: it would take him for
    /// one that has read all.
    /// </summary>
    [MountTheory, Mounts(KernelEngineToo = true)]
    public void ListingsThatFillPages(MountKind kind) => Parity.Check(kind, "mkdir low\nput low/x y\n", """
        mkdir d => ok
        fullpages d => ok
        fullpages d => ok
        unlink low/x => ok
        fullpages low => ok
        """);

    /// <summary>A name that is replaced while a directory is read was never away, so it is seen, and once.</summary>
    [MountTheory, Mounts]
    public void NamesThatAreReplacedAreSeenOnce(MountKind kind) => Parity.Check(kind, "mkdir d\nmany d s 1000\nmkdir e\nmany e s 1000\n", """
        changescan d replace => 1000 there
        changescan d replace => 1000 there
        changescan e remake => 1000 there
        changescan e replace => 1000 there
        mkdir n => ok
        many n s 1000 => ok
        changescan n replace => 1000 there
        """);

    /// <summary>A loop that renames each name it lists, or removes it and makes it anew, comes to its end.</summary>
    [MountTheory, Mounts]
    public void ALoopThatRenamesWhatItListsEnds(MountKind kind) => Parity.Check(kind, "mkdir d\nmany d s 1000\nmkdir e\nmany e s 1000\n", """
        changescan d rename => 1000 there
        changescan d rename => 1000 there
        changescan d remake => 1000 there
        changescan e remake => 1000 there
        changescan e rename => 1000 there
        mkdir n => ok
        many n s 1500 => ok
        changescan n rename => 1500 there
        changescan n remake => 1500 there
        """, otherTree: "how often a name is met again differs", otherKernelTree: "how often a name is met again differs");

    [MountTheory, Mounts]
    public void PositionsStayValid(MountKind kind) => Parity.Check(kind, "mkdir d\nmany d f 2000\nmkdir e\n", """
        telldir d => ok
        many d g 1000 => ok
        telldir d => ok
        telldir e => ok
        """);

    [MountTheory, Mounts]
    public void RewindSeesChanges(MountKind kind) => Parity.Check(kind, "mkdir d\nmany d f 100\nput d/rewind-old x\n", """
        rewind d => ok
        """);

    [MountTheory, Mounts]
    public void EmptyAndHugeDirectories(MountKind kind) => Parity.Check(kind, "mkdir e\nmkdir h\nmany h {long*20} 8000\n", """
        ls e => [0]
        dino e => ok
        ls h
        stat h/{long*20}7999 s => 0
        stat h/{long*20}8000 => ENOENT
        app h/{long*20}7 x => ok
        unlink h/{long*20}8 => ok
        ls h
        """, timeoutSeconds: 120);

    [MountTheory, Mounts]
    public void LongNames(MountKind kind) => Parity.Check(kind, "put {n*255} low\nmkdir {d*255}\nput {d*255}/{f*255} deep\nsymlink {t*4095} longlink\n", """
        cat {n*255} => 'low'
        stat {n*256} => ENAMETOOLONG
        put {n*256} x => ENAMETOOLONG
        mkdir {m*256} => ENAMETOOLONG
        rename {n*255} {m*256} => ENAMETOOLONG
        symlink x {l*256} => ENAMETOOLONG
        link {n*255} {l*256} => ENAMETOOLONG
        unlink {n*256} => ENAMETOOLONG
        stat {n*1000} => ENAMETOOLONG
        put {m*255} up => ok
        app {n*255} + => ok
        cat {d*255}/{f*255} => 'deep'
        app {d*255}/{f*255} + => ok
        unlink {d*255}/{f*255} => ok
        putx {d*255}/{f*255} again => ok
        rename {d*255} {e*255} => ok
        cat {e*255}/{f*255} => 'again'
        readlink longlink
        lstat longlink s => 4095
        symlink {u*4095} newlink => ok
        lstat newlink s => 4095
        readlink newlink
        symlink {u*4096} toolong => ENAMETOOLONG
        stat longlink => ENAMETOOLONG
        unlink {m*255} => ok
        ls .
        !remount
        ls .
        readlink newlink
        """);

    /// <summary>Names are bytes: not UTF-8, spaces, newlines, what shells and databases trip over.</summary>
    [MountTheory, Mounts]
    public void OddNames(MountKind kind) => Parity.Check(kind, """
        put \xff\xfe\x80 bytes
        put new\x0aline nl
        put \s\sspaces\s sp
        put ... dots
        put -rf dash
        put \x23hash\x2b\x25 marks
        put a\x5cb backslash
        put \xc3\xa9 precomposed
        put e\xcc\x81 decomposed
        mkdir \xf0\x9f\x92\xa9
        put \xf0\x9f\x92\xa9/\x01 ctrl
        """, """
        ls .
        cat \xff\xfe\x80 => 'bytes'
        app \xff\xfe\x80 + => ok
        cat new\x0aline => 'nl'
        cat \s\sspaces\s => 'sp'
        cat \xc3\xa9 => 'precomposed'
        cat e\xcc\x81 => 'decomposed'
        rename \xff\xfe\x80 \xfe => ok
        unlink ... => ok
        put ... again => ok
        put \x80new up => ok
        rename \xf0\x9f\x92\xa9 \x92 => ok
        cat \x92/\x01 => 'ctrl'
        stat \xe9 => ENOENT
        cat A => ENOENT
        ls .
        !remount
        ls .
        cat \xfe => 'bytes+'
        """.Replace("cat A => ENOENT\n", ""), otherKernelTree: null);

    /// <summary>A path of 4,095 bytes below the mount's root: each component is walked, nothing is glued to the layer's own path.</summary>
    [MountTheory, Mounts]
    public void PathsOfFourThousandBytes(MountKind kind) => Parity.Check(kind, "mkdirp {abcdefgh/*227}\n" + Deep("low"), $$"""
        {{DeepCheck("low")}}
        mkdirp {ijklmnop/*454} => ok
        put {ijklmnop/*454}123456789 up => ok
        cat {ijklmnop/*454}123456789 => 'up'
        put {ijklmnop/*454}1234567890 up => ENAMETOOLONG
        rename {ijklmnop/*454}123456789 {ijklmnop/*453}m => ok
        mkdirp {ijklmnop/*454}{q/*10} => ok
        rename ijklmnop moved => ok
        cat moved/{ijklmnop/*452}m => 'up'
        rmtree moved => ok
        """);

    private static string Deep(string text) => $"put {{abcdefgh/*227}}f {text}\n";

    private static string DeepCheck(string text) => $"cat {{abcdefgh/*227}}f => '{text}'\napp {{abcdefgh/*227}}f + => ok\ncat {{abcdefgh/*227}}f => '{text}+'\nrename abcdefgh/{{abcdefgh/*226}}f top => ok\ncat top => '{text}+'";

    /// <summary>One object is one (st_dev, st_ino), before and after copy-up and rename; two objects never share one.</summary>
    [MountTheory, Mounts]
    public void IdentityIsStable(MountKind kind) => Parity.Check(kind, "put f low\nmkdir d\nput d/g low\nsymlink f l\nmkdir d/sub\nput d/sub/h low\n", """
        mark f f => ok
        mark d d => ok
        mark g d/g => ok
        mark s d/sub => ok
        mark l l => ok
        mark r . => ok
        open o f RDONLY => ok
        app f + => ok
        cmp f f id => i= d=
        fcmp f o id => i= d=
        chmod d 700 => ok
        cmp d d id => i= d=
        put d/new x => ok
        cmp d d id => i= d=
        rename d/g g2 => ok
        cmp g g2 id => i= d=
        app g2 + => ok
        cmp g g2 id => i= d=
        rename d/sub sub => ok
        cmp s sub id => i= d=
        lchown l 1 1 => ok
        cmp l l id => i= d=
        cmp r f d => d=
        cmp r d d => d=
        cmp r d/new d => d=
        cmp f g2 i => i!
        unlink f => ok
        put f again => ok
        fcmp f o i => i=
        dino . => ok
        dino d => ok
        dino sub => ok
        """);
}
