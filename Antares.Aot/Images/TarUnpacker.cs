using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Layers;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Images;

/// <summary>Writes an image's tree as a tar archive; sockets, which a tar cannot hold, are left out and counted.</summary>
internal sealed unsafe class TarUnpacker(ImageLayer image, int fd)
{
    private const int PieceBytes = ImageFormat.FrameBytes;

    private readonly TarWriter _tar = new(fd);
    private readonly SeenLinks _links = new();
    private readonly byte[] _buffer = new byte[PieceBytes];

    public long SkippedSockets { get; private set; }

    /// <exception cref="ImageException">The image is damaged.</exception>
    /// <exception cref="MountProblem">Host: the archive cannot be written.</exception>
    public void Run()
    {
        Add(ILayer.RootNode, "./"u8.ToArray(), '5', [], ".");
        var walk = new ImageWalk(image.Tree, ILayer.RootNode);
        while (walk.MoveNext())
        {
            Add(walk);
        }

        Must(_tar.End());
    }

    private void Add(ImageWalk walk)
    {
        var printed = walk.PrintedPath;
        byte[] path = [.. "./"u8, .. walk.Path];
        if (_links.Find(walk) is { } first)
        {
            Add(walk.Node, path, '1', [.. "./"u8, .. first], printed);
            return;
        }

        switch (FileTypes.FromMode(walk.Record.Mode))
        {
            case FileType.Directory:
                Add(walk.Node, [.. path, (byte)'/'], '5', [], printed);
                break;
            case FileType.Symlink:
                Add(walk.Node, path, '2', ImageReads.Target(image, walk.Node, printed), printed);
                break;
            case FileType.CharDevice:
                Add(walk.Node, path, '3', [], printed);
                break;
            case FileType.BlockDevice:
                Add(walk.Node, path, '4', [], printed);
                break;
            case FileType.Fifo:
                Add(walk.Node, path, '6', [], printed);
                break;
            case FileType.Socket:
                SkippedSockets++;
                break;
            default:
                Add(walk.Node, path, '0', [], printed);
                Content(walk.Node, walk.Record.Size, printed);
                break;
        }
    }

    private void Add(uint node, byte[] path, char type, byte[] target, string printed) => Must(_tar.Begin(new TarMember
    {
        Path = path,
        Type = type,
        Target = target,
        Attributes = ImageReads.Attributes(image, node, printed),
        Xattrs = type == '1' ? [] : ImageReads.Xattrs(image, node, printed),
    }));

    private void Content(uint node, ulong size, string printed)
    {
        for (ulong at = 0; at < size;)
        {
            int got;
            fixed (byte* buffer = _buffer)
            {
                got = ImageReads.Content(image, node, at, buffer, PieceBytes, printed);
            }

            Must(_tar.Write(_buffer.AsSpan(0, got)));
            at += (ulong)got;
        }

        Must(_tar.EndContent(size));
    }

    private static void Must(Errno error)
    {
        if (error != Errno.None)
        {
            const string What = "the archive cannot be written";
            throw error == Errno.EPIPE ? new MountProblem(ProblemKind.ClosedPipe, What) : MountProblem.Host(What, error);
        }
    }
}
