using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Another source, whose contents are counted as they are read. Disposes it.</summary>
internal sealed unsafe class CountedSource(IPackSource source) : IPackSource
{
    public ulong BytesRead { get; private set; }

    public string Kind => source.Kind;

    public string? Revision => source.Revision;

    public bool HasOwnTimes => source.HasOwnTimes;

    public IReadOnlyList<string> Notes => source.Notes;

    public Errno Next(uint directory, ulong cookie, out LayerEntry entry) => source.Next(directory, cookie, out entry);

    public Errno Attributes(uint node, stat* attributes) => source.Attributes(node, attributes);

    public Errno IsOpaque(uint directory, out bool opaque) => source.IsOpaque(directory, out opaque);

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length) => source.Readlink(node, buffer, capacity, out length);

    public Errno Xattrs(uint node, List<(byte[] Name, byte[] Value)> xattrs) => source.Xattrs(node, xattrs);

    public ulong ContentId(uint node) => source.ContentId(node);

    public void Announce(ReadOnlySpan<uint> nodes) => source.Announce(nodes);

    public Errno Read(uint node, ulong offset, byte* buffer, uint size, out uint got)
    {
        Errno error = source.Read(node, offset, buffer, size, out got);
        BytesRead += got;
        return error;
    }

    public Errno OpenContent(uint node, out int fd) => source.OpenContent(node, out fd);

    public ulong NextData(uint node, ulong offset) => source.NextData(node, offset);

    public Errno Finish() => source.Finish();

    public void Dispose() => source.Dispose();
}
