using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>Tells which parts of one file are in its holes, so that they are not read; asked from the file's start on.</summary>
internal sealed unsafe class HoleFinder : IDisposable
{
    /// <summary>From this size on a file with fewer blocks than its size says is asked where its holes are.</summary>
    private const ulong LeastSparse = 1 << 20;

    private readonly IPackSource _source;
    private readonly uint _node;
    private readonly ulong _size;
    private readonly OwnedFd? _file;
    private ulong _data;

    /// <param name="source">The file's source.</param>
    /// <param name="node">The file.</param>
    /// <param name="size">Its size.</param>
    public HoleFinder(IPackSource source, uint node, ulong size)
    {
        _source = source;
        _node = node;
        _size = size;
        stat attributes;
        bool sparse = size >= LeastSparse && source.Attributes(node, &attributes) == Errno.None && (ulong)attributes.st_blocks * 512 < size;
        _file = sparse && source.OpenContent(node, out int fd) == Errno.None ? new OwnedFd(fd) : null;
    }

    /// <summary>True when a part of the file lies in a hole: all of its bytes are zero.</summary>
    public bool Covers(ulong at, uint part)
    {
        if (_size >= LeastSparse && _data < at + part)
        {
            _data = NextData(at);
        }

        return _data >= at + part;
    }

    public void Dispose() => _file?.Dispose();

    private ulong NextData(ulong at)
    {
        if (_file is null)
        {
            return _source.NextData(_node, at);
        }

        return FileIo.Lseek(_file.Value, (long)at, Fcntl.SEEK_DATA, out long data) switch
        {
            Errno.None => (ulong)data,
            Errno.ENXIO => _size,
            _ => at,
        };
    }
}
