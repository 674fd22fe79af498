using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>unlink and rmdir over each state of a name, and what can then be made in its place.</summary>
public sealed class RemoveMountTests
{
    private const string Lower = """
        put f lower
        put g lower
        mkdir d
        put d/f lower
        put d/g lower
        mkdir d/sub
        put d/sub/x deep
        mkdir empty
        symlink f l
        mkdirp a/b/c
        put a/b/c/f deep
        put a/b/x lower
        """;

    [MountTheory, Mounts]
    public void FilesOfEachState(MountKind kind) => Parity.Check(kind, Lower, """
        unlink f => ok
        stat f => ENOENT
        unlink f => ENOENT
        app g + => ok
        unlink g => ok
        stat g => ENOENT
        put new x => ok
        unlink new => ok
        stat new => ENOENT
        unlink l => ok
        lstat l => ENOENT
        unlink d => EISDIR
        unlink d/f/x => ENOTDIR
        unlink none/x => ENOENT
        unlink d/f => ok
        ls d => [2] 'g:f' 'sub:d'
        ls .
        !remount
        stat f => ENOENT
        stat g => ENOENT
        stat d/f => ENOENT
        ls d => [2] 'g:f' 'sub:d'
        unlink f => ENOENT
        ls .
        """);

    [MountTheory, Mounts(KernelEngineToo = true)]
    public void DirectoriesOfEachState(MountKind kind) => Parity.Check(kind, Lower, """
        rmdir d => ENOTEMPTY
        rmdir f => ENOTDIR
        rmdir none => ENOENT
        rmdir empty => ok
        stat empty => ENOENT
        mkdir new => ok
        rmdir new => ok
        mkdir new => ok
        put new/x x => ok
        rmdir new => ENOTEMPTY
        unlink new/x => ok
        rmdir new => ok
        unlink d/f => ok
        unlink d/g => ok
        rmdir d => ENOTEMPTY
        unlink d/sub/x => ok
        rmdir d/sub => ok
        ls d => [0]
        rmdir d => ok
        stat d => ENOENT
        ls .
        !remount
        stat d => ENOENT
        stat empty => ENOENT
        ls .
        """);

    /// <summary>A directory made where a lower one was removed must not show what the lower one held (opaque).</summary>
    [MountTheory, Mounts]
    public void ADirectoryMadeAgainIsEmpty(MountKind kind) => Parity.Check(kind, Lower, """
        rmtree d => ok
        mkdir d => ok
        ls d => [0]
        stat d/f => ENOENT
        stat d/sub => ENOENT
        put d/g new => ok
        mkdir d/sub => ok
        ls d/sub => [0]
        stat d/sub/x => ENOENT
        rmtree a => ok
        mkdirp a/b => ok
        ls a => [1] 'b:d'
        ls a/b => [0]
        rmdir a/b => ok
        rmdir a => ok
        mkdirp a/b/c => ok
        ls a/b/c => [0]
        !remount
        ls d => [2] 'g:f' 'sub:d'
        ls d/sub => [0]
        cat d/g => 'new'
        ls a/b => [1] 'c:d'
        ls a/b/c => [0]
        rmtree a => ok
        put a file => ok
        cat a => 'file'
        unlink a => ok
        symlink d a => ok
        ls a => [2] 'g:f' 'sub:d'
        unlink a => ok
        mkdirp a/b => ok
        put a/b/x again => ok
        !remount
        ls a => [1] 'b:d'
        ls a/b => [1] 'x:f'
        cat a/b/x => 'again'
        """);

    /// <summary>A file put in place of a lower directory, and removed, must not bring the directory back.</summary>
    [MountTheory, Mounts]
    public void AnotherTypeInPlaceOfADirectory(MountKind kind) => Parity.Check(kind, Lower, """
        rmtree d => ok
        put d now-a-file => ok
        !remount
        cat d => 'now-a-file'
        unlink d => ok
        stat d => ENOENT
        !remount
        stat d => ENOENT
        mkdir d => ok
        ls d => [0]
        rmtree a/b => ok
        symlink c a/b => ok
        unlink a/b => ok
        mkdirp a/b/c/d => ok
        ls a/b/c => [1] 'd:d'
        unlink f => ok
        mkdir f => ok
        put f/x y => ok
        !remount
        ls f => [1] 'x:f'
        rmtree f => ok
        stat f => ENOENT
        """);

    [MountTheory, Mounts]
    public void TenThousandNamesAreUnlinkedInOneScan(MountKind kind) => Parity.Check(kind, "mkdir d\nmany d low 5000\n", """
        many d up 5000 => ok
        unlinkscan d => 10000 ok
        stat d => ENOENT
        mkdir d => ok
        ls d => [0]
        """);

    [MountTheory, Mounts]
    public void TheRootAndDotsAreRefused(MountKind kind) => Parity.Check(kind, Lower, """
        rmdir d/. => EINVAL
        rmdir d/sub/.. => ENOTEMPTY
        rename d/. x => EBUSY
        unlink . => EISDIR
        rename d d/sub/inside => EINVAL
        rename d d/inside => EINVAL
        rename d/sub d => ENOTEMPTY
        ls .
        """);
}
