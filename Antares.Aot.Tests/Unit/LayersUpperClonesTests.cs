using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Which answers to FICLONE are remembered, and for what: a file that could be cloned and is not costs its copy.</summary>
public sealed class LayersUpperClonesTests : IDisposable
{
    private readonly UpperInFolder _upper = new();

    [Theory]
    [InlineData(Errno.EINVAL)]
    [InlineData(Errno.EIO)]
    [InlineData(Errno.ENOSPC)]
    [InlineData(Errno.EPERM)]
    [InlineData(Errno.ETXTBSY)]
    public void WhatIsTheFilesOwnIsAskedAgain(Errno answer)
    {
        _upper.Layer.Writer.NoteClone(7, answer);
        Assert.True(_upper.Layer.Writer.MayClone);
        Assert.True(_upper.Layer.Writer.MayCloneFrom(7));
    }

    [Fact]
    public void AnotherFileSystemIsNotAskedForAndOthersAre()
    {
        _upper.Layer.Writer.NoteClone(7, Errno.EXDEV);
        Assert.True(_upper.Layer.Writer.MayClone);
        Assert.False(_upper.Layer.Writer.MayCloneFrom(7));
        Assert.True(_upper.Layer.Writer.MayCloneFrom(8));
    }

    [Theory]
    [InlineData(Errno.EOPNOTSUPP)]
    [InlineData(Errno.ENOTTY)]
    public void AFileSystemWithoutReflinksIsNotAskedAgain(Errno answer)
    {
        Assert.True(_upper.Layer.Writer.MayClone);
        _upper.Layer.Writer.NoteClone(7, answer);
        Assert.False(_upper.Layer.Writer.MayClone);
    }

    public void Dispose() => _upper.Dispose();
}
