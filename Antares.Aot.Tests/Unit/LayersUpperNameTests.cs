using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Names that come from a lower layer lead nowhere but into the directory that they are made in.</summary>
public sealed unsafe class LayersUpperNameTests : IDisposable
{
    private readonly DicfuseFolder _folder = new();
    private readonly FdCache _fds = new(64);
    private readonly DirectoryLayer _layer;

    public LayersUpperNameTests()
    {
        Directory.CreateDirectory(_folder.At("upper"));
        Directory.CreateDirectory(_folder.At("work"));
        DicfuseFolder.Check(DirectoryLayer.OpenUpper(
            Open("upper"), Open("work"), new UpperOptions { Volatile = true, UserXattrs = Process.Geteuid() != 0 }, _fds, new FolderOptions(), out DirectoryLayer? layer, out string? problem));
        Assert.Null(problem);
        _layer = layer!;
    }

    [Theory]
    [InlineData("../out", Errno.EIO)]
    [InlineData("..", Errno.EIO)]
    [InlineData("sub/out", Errno.EIO)]
    [InlineData("out", Errno.None)]
    public void ACopyIsPublishedInItsDirectoryOnly(string text, Errno expected)
    {
        Directory.CreateDirectory(_folder.At("upper/sub"));
        byte[] bytes = [.. Encoding.UTF8.GetBytes(text), 0];
        byte* workName = stackalloc byte[16];
        UpperWriter writer = _layer.Writer;
        uint number = writer.Work.Take();
        DicfuseFolder.Check(PathOps.Mkdirat(writer.Work.Fd, FolderAccess.WorkName(number, workName).Pointer, 0x1C0));
        uint linked;
        stat attributes;
        lock (_layer.Gate)
        {
            fixed (byte* name = bytes)
            {
                Assert.Equal(expected, writer.Creation.Publish(number, -1, ILayer.RootNode, new ByteName(name, bytes.Length - 1), 7, FileType.Directory, out _));
                DicfuseFolder.Check(writer.Creation.CreateUnnamed(ILayer.RootNode, new NewNode { Mode = StatMode.S_IFREG | 0x180 }, out linked, &attributes));
                bytes[^2] = (byte)(bytes[^2] == '.' ? '.' : 'T'); // "out" becomes "ouT"
                Assert.Equal(expected, writer.Creation.Link(linked, ILayer.RootNode, new ByteName(name, bytes.Length - 1), keepTimes: true));
            }
        }

        Assert.Equal(expected == Errno.None, Directory.Exists(_folder.At("upper/out")));
        Assert.Equal(expected == Errno.None, File.Exists(_folder.At("upper/ouT")));
        Assert.Equal(["upper", "work"], Directory.GetFileSystemEntries(_folder.Path).Select(Path.GetFileName).Order());
        Assert.Empty(Directory.GetFileSystemEntries(_folder.At("upper/sub")));
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
        fixed (byte* path = (byte[])[.. Encoding.UTF8.GetBytes(_folder.At(name)), 0])
        {
            DicfuseFolder.Check(Fd.Openat(Fcntl.AT_FDCWD, path, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out int fd));
            return fd;
        }
    }
}
