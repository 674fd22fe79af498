using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>An upper layer without a mount: upper and work in a folder of their own.</summary>
internal sealed unsafe class UpperInFolder : IDisposable
{
    private readonly FdCache _fds = new(64);

    public UpperInFolder()
    {
        Directory.CreateDirectory(Folder.At("upper"));
        Directory.CreateDirectory(Folder.At("work"));
        DicfuseFolder.Check(DirectoryLayer.OpenUpper(
            Open("upper"), Open("work"), new UpperOptions { Volatile = true, UserXattrs = Process.Geteuid() != 0 }, _fds, new FolderOptions(), out DirectoryLayer? layer, out string? problem));
        Assert.Null(problem);
        Layer = layer!;
    }

    public DicfuseFolder Folder { get; } = new();

    public DirectoryLayer Layer { get; }

    public void Dispose()
    {
        // The cache writes into the layer's nodes when it ends.
        _fds.Dispose();
        Layer.Dispose();
        Folder.Dispose();
    }

    private int Open(string name)
    {
        DicfuseFolder.Check(Fd.Open((byte*)DicfuseFolder.Text(Folder.At(name)), Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out int fd));
        return fd;
    }
}
