using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Which answers to FICLONE are remembered, and for what: a file that could be cloned and is not costs its copy.</summary>
public sealed unsafe class LayersUpperClonesTests : IDisposable
{
    private readonly DicfuseFolder _folder = new();
    private readonly FdCache _fds = new(16);
    private readonly DirectoryLayer _layer;

    public LayersUpperClonesTests()
    {
        Directory.CreateDirectory(_folder.At("upper"));
        Directory.CreateDirectory(_folder.At("work"));
        DicfuseFolder.Check(DirectoryLayer.OpenUpper(
            Open("upper"), Open("work"), new UpperOptions { Volatile = true, UserXattrs = Process.Geteuid() != 0 }, _fds, new FolderOptions(), out DirectoryLayer? layer, out string? problem));
        Assert.Null(problem);
        _layer = layer!;
    }

    [Theory]
    [InlineData(Errno.EINVAL)]
    [InlineData(Errno.EIO)]
    [InlineData(Errno.ENOSPC)]
    [InlineData(Errno.EPERM)]
    [InlineData(Errno.ETXTBSY)]
    public void WhatIsTheFilesOwnIsAskedAgain(Errno answer)
    {
        _layer.Writer.NoteClone(7, answer);
        Assert.True(_layer.Writer.MayClone);
        Assert.True(_layer.Writer.MayCloneFrom(7));
    }

    [Fact]
    public void AnotherFileSystemIsNotAskedForAndOthersAre()
    {
        _layer.Writer.NoteClone(7, Errno.EXDEV);
        Assert.True(_layer.Writer.MayClone);
        Assert.False(_layer.Writer.MayCloneFrom(7));
        Assert.True(_layer.Writer.MayCloneFrom(8));
    }

    [Theory]
    [InlineData(Errno.EOPNOTSUPP)]
    [InlineData(Errno.ENOTTY)]
    public void AFileSystemWithoutReflinksIsNotAskedAgain(Errno answer)
    {
        Assert.True(_layer.Writer.MayClone);
        _layer.Writer.NoteClone(7, answer);
        Assert.False(_layer.Writer.MayClone);
    }

    public void Dispose()
    {
        // The cache writes into the layer's nodes when it ends.
        _fds.Dispose();
        _layer.Dispose();
        _folder.Dispose();
    }

    private int Open(string name)
    {
        DicfuseFolder.Check(Fd.Open((byte*)DicfuseFolder.Text(_folder.At(name)), Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out int fd));
        return fd;
    }
}
