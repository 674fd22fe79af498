using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Extended attributes of each namespace, on each type and state.</summary>
public sealed class XattrMountTests
{
    private const string Lower = """
        put f x
        setxattr f user.low value
        setxattr f trusted.t tv
        setxattr f security.s sv
        mkdir d
        setxattr d user.dir dv
        put d/g y
        symlink f l
        setxattr l trusted.link lv
        put c prog
        setcap c
        """;

    [MountTheory, Mounts(KernelEngineToo = true)]
    public void LowerAttributesAreKeptByCopyUp(MountKind kind) => Parity.Check(kind, Lower, """
        getxattr f user.low => 'value'
        getxattr f trusted.t => 'tv'
        getxattr f security.s => 'sv'
        listxattr f
        getxattrsize f user.low => 5
        getxattrsmall f user.low => ERANGE
        listxattrsmall f => ERANGE
        getxattr f user.none => ENODATA
        getxattr d user.dir => 'dv'
        getxattr l trusted.link => 'lv'
        getxattr l user.low => ENODATA || EPERM
        app f more => ok
        listxattr f
        getxattr f security.s => 'sv'
        put d/new x => ok
        getxattr d user.dir => 'dv'
        lchown l 3 3 => ok
        getxattr l trusted.link => 'lv'
        chmod c 700 => ok
        getxattr c security.capability
        app c x => ok
        getxattr c security.capability
        !remount
        listxattr f
        listxattr d
        listxattr l
        """);

    [MountTheory, Mounts]
    public void SetReplaceRemove(MountKind kind) => Parity.Check(kind, Lower, """
        setxattr f user.low v2 CREATE => EEXIST
        setxattr f user.new v REPLACE => ENODATA
        setxattr f user.low v2 REPLACE => ok
        setxattr f user.new v CREATE => ok
        getxattr f user.low => 'v2'
        removexattr f user.none => ENODATA
        removexattr f user.low => ok
        getxattr f user.low => ENODATA
        listxattr f
        setxattr d user.x y => ok
        listxattr d
        removexattr d user.dir => ok
        listxattr d
        setxattr l trusted.link new => ok
        getxattr l trusted.link => 'new'
        setxattr l user.x y => EPERM
        setxattr d/g user.empty "" => ok
        getxattrsize d/g user.empty => 0
        setxattr d/g user.big {v*3000} => ok
        getxattrsize d/g user.big => 3000
        setxattr d/g user.{n*250} y => ok
        setxattr d/g user.{n*251} y => ERANGE
        getxattr d/g user.{n*251} => ERANGE
        setxattr d/g bogus.x y => EOPNOTSUPP
        getxattr d/g bogus.x => EOPNOTSUPP
        setxattr d/g user. y => EINVAL
        put new x => ok
        setxattr new user.a \xff\x00b => ok
        getxattr new user.a => '\xff\x00b'
        mkfifo p => ok
        setxattr p trusted.a b => ok
        setxattr p user.a b => EPERM
        getxattr p trusted.a => 'b'
        open h new RDWR => ok
        fsetxattr h user.b c => ok
        fgetxattr h user.b => 'c'
        unlink new => ok
        fgetxattr h user.b => 'c'
        fsetxattr h user.b d => ok
        fgetxattr h user.b => 'd'
        !remount
        listxattr f
        listxattr d
        listxattr d/g
        """);

    /// <summary>The kernel keeps trusted attributes from others than root where it lists them itself.</summary>
    [MountTheory, Mounts]
    public void TrustedAttributesAreListedForRootAlone(MountKind kind) => Parity.Check(kind, "put f x\nsetxattr f trusted.t v\nsetxattr f user.u v\nput g x\nsetxattr g trusted.t v\n", """
        @u ids 1000 1000 => ok
        listxattr f => [2] trusted.t user.u
        @u listxattr f => [1] user.u
        @u listxattrsmall f => ERANGE
        @u listxattr g => [0]
        put h x => ok
        setxattr h trusted.t v => ok
        @u listxattr h => [0]
        setxattr h user.u v => ok
        listxattr h => [2] trusted.t user.u
        @u listxattr h => [1] user.u
        """);

    /// <summary>An object without a name keeps its attributes for who holds it open, whatever its type.</summary>
    [MountTheory, Mounts]
    public void AttributesOfWhatHasNoNameLeft(MountKind kind) => Parity.Check(kind, Lower, """
        mknod d/dev c 600 1 3 => ok
        mkfifo d/pipe 600 => ok
        put d/file x => ok
        setxattr d/dev trusted.t v => ok
        open dev d/dev RDWR => ok
        open pipe d/pipe RDWR => ok
        open file d/file RDWR => ok
        unlink d/dev => ok
        unlink d/pipe => ok
        unlink d/file => ok
        fgetxattr dev trusted.t => 'v'
        fgetxattr dev security.four => ENODATA
        fsetxattr dev trusted.t w => ok
        fgetxattr dev trusted.t => 'w'
        fsetxattr pipe trusted.t w => ok
        fgetxattr pipe trusted.t => 'w'
        fgetxattr file trusted.t => ENODATA
        fsetxattr file trusted.t w => ok
        fgetxattr file trusted.t => 'w'
        """);

    /// <summary>The layers' own marks are neither shown nor changed by a user's attributes of that name.</summary>
    [MountTheory, Mounts]
    public void OverlayMarksStayHidden(MountKind kind) => Parity.Check(kind, Lower + "\nmkdirp gone/x\n", """
        rename d moved => ok
        rmtree gone => ok
        mkdir gone => ok
        listxattr moved => [1] user.dir
        listxattr gone => [0]
        getxattr gone trusted.overlay.opaque => ENODATA
        getxattr moved trusted.overlay.redirect => ENODATA
        put f2 x => ok
        listxattr f2 => [0]
        !remount
        listxattr moved => [1] user.dir
        listxattr gone => [0]
        ls gone => [0]
        """);
}
