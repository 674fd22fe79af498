using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>Who may do what: mode bits, ACLs, sticky, setuid clearing, setgid directories, as seen by users other than root.</summary>
public sealed class PermissionMountTests
{
    private const string AllowOther = "--allow-other";

    [MountTheory, Mounts]
    public void ModeBitsBindOtherUsers(MountKind kind) => Parity.Check(kind, """
        put mine x
        chmod mine 600
        put all y
        chmod all 644
        put theirs z
        chown theirs 1000 1000
        chmod theirs 640
        mkdir closed
        chmod closed 700
        put closed/f x
        mkdir open
        chmod open 777
        put group g
        chown group 0 2000
        chmod group 660
        """, """
        @u ids 1000 1000 2000 => ok
        @u cat mine => EACCES
        @u cat all => 'y'
        @u open a all RDWR => EACCES
        @u cat theirs => 'z'
        @u app theirs + => ok
        @u cat theirs => 'z+'
        @u cat closed/f => EACCES
        @u ls closed => EACCES
        @u put new x => EACCES
        @u put open/new x => ok
        @u stat open/new ug => 1000 1000
        @u mkdir open/dir => ok
        @u stat open/dir ug => 1000 1000
        @u app group + => ok
        @u chmod all 777 => EPERM
        @u chown theirs 0 0 => EPERM
        @u chown theirs -1 2000 => ok
        @u chmod theirs 600 => ok
        @u utimens all 1.0 1.0 => EPERM
        @u utimens all now now => EACCES
        @u utimens theirs 1.0 1.0 => ok
        @u truncate all 0 => EACCES
        @u unlink all => EACCES
        @u rename all open/all => EACCES
        @u access mine r => EACCES
        @u access theirs rw => ok
        @u access open rwx => ok
        @u mknod open/dev c 600 1 3 => EPERM
        @u mkfifo open/p => ok
        @u setxattr all user.x y => EACCES
        @u setxattr theirs user.x y => ok
        @u setxattr theirs trusted.x y => EPERM
        @o ids 1001 1001 => ok
        @o cat theirs => EACCES
        @o cat group => EACCES
        @o unlink open/new => ok
        ls open
        """, options: AllowOther);

    [MountTheory, Mounts]
    public void StickyDirectories(MountKind kind) => Parity.Check(kind, """
        mkdir t
        chmod t 1777
        put t/rootfile x
        put t/his y
        chown t/his 1000 1000
        """, """
        @u ids 1000 1000 => ok
        @o ids 1001 1001 => ok
        @u put t/a x => ok
        @o unlink t/a => EPERM
        @o rename t/a t/b => EPERM
        @o unlink t/rootfile => EPERM
        @o unlink t/his => EPERM
        @u unlink t/his => ok
        @u unlink t/a => ok
        @o put t/o x => ok
        @u rename t/o t/p => EPERM
        ls t
        """, options: AllowOther);

    /// <summary>
    /// A chown to nobody is everybody's, but not where it would take set-id bits from somebody else's file: there it takes nothing, though it is not
    /// refused, since a write is announced by the same request.
    /// </summary>
    [MountTheory, Mounts]
    public void AChownToNobodyOfAnothersFile(MountKind kind) => Parity.Check(kind, """
        put plain x
        put user x
        chmod user 4755
        put group x
        chmod group 2755
        put mine x
        chown mine 1000 1000
        chmod mine 6755
        put open x
        chmod open 4777
        mkdir dir
        chmod dir 2755
        """, """
        @u ids 1000 1000 2000 => ok
        @o ids 1001 1001 => ok
        @u chown plain -1 -1 => ok
        @u chown user -1 -1 => EPERM || ok
        @u chown group -1 -1 => EPERM || ok
        @u chown open -1 -1 => EPERM || ok
        @u chown dir -1 -1 => ok
        @o chown mine -1 -1 => EPERM || ok
        stat mine m => 6755
        stat user m => 4755
        stat group m => 2755
        stat open m => 4777
        stat dir m => 2755
        @u chown mine -1 -1 => ok
        stat mine m => 755
        chown user -1 -1 => ok
        stat user m => 755
        put up x
        chmod up 4777
        @u chown up -1 -1 => EPERM || ok
        stat up m => 4777
        @u open f up WRONLY => ok
        @u write f y => ok
        stat up m => 777
        @u open g open WRONLY => ok
        @u write g y => ok
        stat open m => 777
        """);

    /// <summary>A write or truncate by someone without privilege clears setuid and setgid; so does chown.</summary>
    [MountTheory, Mounts]
    public void SetuidIsClearedByWrites(MountKind kind) => Parity.Check(kind, """
        put low x
        chown low 1000 1000
        chmod low 6777
        put low2 x
        chmod low2 6777
        put low4 x
        chown low4 1000 1000
        chmod low4 6755
        """, """
        @u ids 1000 1000 => ok
        @u app low y => ok
        stat low m => 777
        @u truncate low2 0 => ok
        stat low2 m => 777
        @u chown low4 1000 1000 => ok
        stat low4 m
        put up x => ok
        chown up 1000 1000 => ok
        chmod up 6777 => ok
        @u open f up RDWR => ok
        @u pwrite f y 0 => ok
        stat up m => 777
        chmod up 6777 => ok
        @u ftruncate f 0 => ok
        stat up m => 777
        chmod up 6777 => ok
        @u fallocate f 0 0 100 => ok
        stat up m => 777
        chmod up 6777 => ok
        @u open t up WRONLY|TRUNC => ok
        stat up m => 777
        chmod up 6777 => ok
        app up root => ok
        stat up m
        chown up 5 5 => ok
        stat up m
        """, options: AllowOther);

    [MountTheory, Mounts]
    public void SetgidDirectories(MountKind kind) => Parity.Check(kind, """
        mkdir g
        chown g 0 3000
        chmod g 2777
        mkdir lg
        chown lg 0 3000
        chmod lg 2777
        put lg/f x
        put lg/gone x
        put lg/gone2 x
        put lg/gone3 x
        """, """
        put g/a x => ok
        stat g/a g => 3000
        mkdir g/d => ok
        stat g/d mg => 2755 3000
        symlink x g/l => ok
        lstat g/l g => 3000
        mkfifo g/p => ok
        stat g/p g => 3000
        @u ids 1000 1000 => ok
        @u put lg/u x => ok
        @u stat lg/u ug => 1000 3000
        @u mkdir lg/d => ok
        @u stat lg/d mug => 2755 1000 3000
        @u open s lg/s CREAT|WRONLY 2755 => ok
        @u stat lg/s mg
        @u mkdir lg/d/e => ok
        @u stat lg/d/e mg => 2755 3000
        @u chmod lg/u 2755 => ok
        @u stat lg/u m
        unlink lg/gone => ok
        put lg/gone again => ok
        stat lg/gone ug => 0 3000
        unlink lg/gone2 => ok
        symlink x lg/gone2 => ok
        lstat lg/gone2 ug => 0 3000
        unlink lg/gone3 => ok
        @u mkfifo lg/gone3 => ok
        stat lg/gone3 ug => 1000 3000
        """, options: AllowOther);

    /// <summary>A chown takes set-id bits away, whoever asks, of a file that is open here or not, copied up or not.</summary>
    [MountTheory, Mounts]
    public void AChownTakesSetIdBits(MountKind kind) => Parity.Check(kind, """
        put low x
        chmod low 6755
        put lox x
        chmod lox 6745
        """, """
        put new x => ok
        chmod new 6755 => ok
        chown new 0 0 => ok
        stat new m => 755
        chmod new 6745 => ok
        chown new 1000 1000 => ok
        stat new mug
        chown low 1000 1000 => ok
        stat low mug => 755 1000 1000
        chown lox 0 1000 => ok
        stat lox mug
        !remount
        chmod new 6755 => ok
        chown new 1000 1000 => ok
        stat new mug => 755 1000 1000
        chmod low 4711 => ok
        @u ids 1000 1000 => ok
        @u chown low 1000 1000 => ok
        @u stat low m => 711
        """, options: AllowOther);

    [MountTheory, Mounts(NotOnErofs = "an ACL on a lower file that was not copied up is EOPNOTSUPP")]
    public void DefaultAclsAndUmask(MountKind kind) => Parity.Check(kind, """
        mkdir d
        setacl d default u::rwx,u:1000:rwx,g::r-x,m::rwx,o::---
        mkdir e
        """, """
        getacl d default => u::rwx,u:1000:rwx,g::r-x,m::rwx,o::---
        umask 77 => ok
        open f d/f CREAT|RDWR 666 => ok
        stat d/f m => 660
        getacl d/f access => u::rw-,u:1000:rwx,g::r-x,m::rw-,o::---
        mkdir d/sub 777 => ok
        stat d/sub m => 770
        getacl d/sub default => u::rwx,u:1000:rwx,g::r-x,m::rwx,o::---
        mkdir d/sub2 700 => ok
        stat d/sub2 m
        mkfifo d/p 666 => ok
        stat d/p m => 660
        setacl e default u::rwx,u:1001:r-x,g::---,m::r-x,o::--- => ok
        open f e/f CREAT|RDWR 666 => ok
        stat e/f m
        getacl e/f access
        umask 22 => ok
        put plain x => ok
        getacl plain access => ENODATA
        @u ids 1000 1000 => ok
        @u app d/f hello => ok
        @u cat d/f => 'hello'
        @u put d/sub/x y => ok
        @o ids 1002 1002 => ok
        @o cat d/f => EACCES
        !remount
        getacl d/f access => u::rw-,u:1000:rwx,g::r-x,m::rw-,o::---
        getacl d/sub default => u::rwx,u:1000:rwx,g::r-x,m::rwx,o::---
        """, options: AllowOther);

    [MountTheory, Mounts(NeedsTmpfile = true)]
    public void DefaultAclsOfNamelessFiles(MountKind kind) => Parity.Check(kind, "mkdir d\nsetacl d default u::rwx,u:1000:rwx,g::r-x,m::rwx,o::---\n", """
        umask 77 => ok
        open t d TMPFILE|RDWR 666 => ok
        fstat t m => 660
        linkfd t d/named => ok
        getacl d/named access => u::rw-,u:1000:rwx,g::r-x,m::rw-,o::---
        """, options: AllowOther);

    [MountTheory, Mounts(KernelEngineToo = true, NotOnErofs = "an ACL on a lower file that was not copied up is EOPNOTSUPP")]
    public void AccessAcls(MountKind kind) => Parity.Check(kind, """
        put low secret
        chmod low 600
        setacl low access u::rw-,u:1000:r--,g::---,m::r--,o::---
        put other x
        """, """
        getacl low access => u::rw-,u:1000:r--,g::---,m::r--,o::---
        @u ids 1000 1000 => ok
        @u cat low => 'secret'
        @u app low + => EACCES
        setacl low access u::rw-,u:1000:rw-,g::---,m::rw-,o::--- => ok
        stat low m => 660
        @u app low + => ok
        chmod low 600 => ok
        getacl low access => u::rw-,u:1000:rw-,g::---,m::---,o::---
        @u cat low => EACCES
        setacl other access u::rw-,g::r--,o::r-- => ok
        getacl other access
        stat other m => 644
        removexattr low system.posix_acl_access => ok
        getacl low access => ENODATA
        setacl other default u::rwx,g::r-x,o::r-x => EACCES
        """, options: AllowOther);
}
