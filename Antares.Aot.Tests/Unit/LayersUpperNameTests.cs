using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Names that come from a lower layer lead nowhere but into the directory that they are made in.</summary>
public sealed unsafe class LayersUpperNameTests : IDisposable
{
    private readonly UpperInFolder _upper = new();

    [Theory]
    [InlineData("../out", Errno.EIO)]
    [InlineData("..", Errno.EIO)]
    [InlineData("sub/out", Errno.EIO)]
    [InlineData("out", Errno.None)]
    public void ACopyIsPublishedInItsDirectoryOnly(string text, Errno expected)
    {
        Directory.CreateDirectory(_upper.Folder.At("upper/sub"));
        byte[] bytes = [.. Encoding.UTF8.GetBytes(text), 0];
        byte* workName = stackalloc byte[16];
        UpperWriter writer = _upper.Layer.Writer;
        uint number = writer.Work.Take();
        DicfuseFolder.Check(PathOps.Mkdirat(writer.Work.Fd, FolderAccess.WorkName(number, workName).Pointer, 0x1C0));
        uint linked;
        stat attributes;
        lock (_upper.Layer.Gate)
        {
            fixed (byte* name = bytes)
            {
                Assert.Equal(expected, writer.Creation.Publish(number, -1, ILayer.RootNode, new ByteName(name, bytes.Length - 1), 7, FileType.Directory, out _));
                DicfuseFolder.Check(writer.Creation.CreateUnnamed(ILayer.RootNode, new NewNode { Mode = StatMode.S_IFREG | 0x180 }, out linked, &attributes));
                bytes[^2] = (byte)(bytes[^2] == '.' ? '.' : 'T'); // "out" becomes "ouT"
                Assert.Equal(expected, writer.Creation.Link(linked, ILayer.RootNode, new ByteName(name, bytes.Length - 1), keepTimes: true));
            }
        }

        Assert.Equal(expected == Errno.None, Directory.Exists(_upper.Folder.At("upper/out")));
        Assert.Equal(expected == Errno.None, File.Exists(_upper.Folder.At("upper/ouT")));
        Assert.Equal(["upper", "work"], Directory.GetFileSystemEntries(_upper.Folder.Path).Select(Path.GetFileName).Order());
        Assert.Empty(Directory.GetFileSystemEntries(_upper.Folder.At("upper/sub")));
    }

    public void Dispose() => _upper.Dispose();
}
