using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Remote;

/// <summary>An image on a server for <see cref="Mega.Prefetcher"/>: names are here, contents come by frames.</summary>
/// <param name="layer">The image, without a record of what is touched.</param>
/// <param name="frames">Brings them.</param>
internal sealed class RemoteAhead(ImageLayer layer, RemoteFrames frames) : IAheadTree
{
    public Errno Find(uint directory, ByteName name, out uint node) => layer.FindUnrecorded(directory, name, out node);

    public Errno Next(uint directory, ulong cookie, out LayerEntry entry) => layer.NextUnrecorded(directory, cookie, out entry);

    public FileType TypeOf(uint node) => layer.TypeOf(node);

    public Errno LoadNames(uint directory) => Errno.None;

    public Errno Fetch(uint node, out long fetched)
    {
        fetched = -1;
        Errno error = layer.Tree.GetObject(node, out _, out ImageNode record);
        if (error != Errno.None || ImageTree.TypeOf(record) != FileType.Regular || record.Size == 0)
        {
            return error;
        }

        error = layer.Content.StartOf(record, out ulong start);
        return error == Errno.None ? frames.Prefetch(start, record.Size, out fetched) : error;
    }

    public string PathOf(uint node)
    {
        var parts = new List<string>();
        for (uint at = node; at != ILayer.RootNode && layer.Tree.TryGetName(at, out uint directory, out ByteName name); at = directory)
        {
            parts.Add(Encoding.UTF8.GetString(name.Span));
        }

        parts.Reverse();
        return "/" + string.Join('/', parts);
    }
}
