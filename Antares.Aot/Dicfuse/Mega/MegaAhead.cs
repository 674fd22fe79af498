using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>A server's directory for <see cref="Prefetcher"/>.</summary>
internal sealed class MegaAhead(DicfuseTree tree, MegaSource source) : IAheadTree
{
    public Errno Find(uint directory, ByteName name, out uint node) => tree.Find(directory, name, out node);

    public Errno Next(uint directory, ulong cookie, out LayerEntry entry) => tree.Next(directory, cookie, out entry);

    public FileType TypeOf(uint node) => tree.TypeOf(node);

    public Errno LoadNames(uint directory) => tree.Load(directory, LayerPart.Names);

    public Errno Fetch(uint node, out long fetched) => source.Prefetch(node, out fetched);

    public string PathOf(uint node) => source.PathOf(node);
}
