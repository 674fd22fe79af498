using Antares.Aot.Base;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>
/// In which order contents follow each other in the stream: short files of a name that many directories have come first, one name after
/// another, then all others as the nodes lie.
/// </summary>
/// <remarks>
/// Who reads one Makefile or package.json of a tree mostly reads them all, and of a tree on a server would fetch a frame for each directory. The order
/// follows from the tree alone, so that images stay the same bytes.
/// </remarks>
internal static class ContentOrder
{
    /// <summary>So many files of a name lie together.</summary>
    public const uint LeastOfName = 16;

    /// <summary>A longer file stays where it is.</summary>
    public const ulong MostBytes = 64 << 10;

    /// <summary>The nodes that have content, each once.</summary>
    /// <param name="tree">Nodes and names; the caller disposes the result.</param>
    public static NativeList<uint> Of(PackedTree tree)
    {
        var order = new NativeList<uint>();
        using NativeMap counts = new();
        uint end = (uint)tree.Nodes.Count;
        for (uint node = ImageFormat.RootNode + 1; node < end; node++)
        {
            if (HasContent(tree.Nodes[node]) && tree.Nodes[node].Size <= MostBytes)
            {
                // Equal names have one place in the heap.
                _ = counts.TryGet(tree.Nodes[node].Name, out ulong known); // 0 for the first
                counts.Set(tree.Nodes[node].Name, known + 1);
            }
        }

        // Where each group begins: in the order of the first of each name.
        using NativeMap starts = new();
        ulong next = 0;
        for (uint node = ImageFormat.RootNode + 1; node < end; node++)
        {
            if (IsGrouped(tree.Nodes[node], counts, out ulong count) && !starts.TryGet(tree.Nodes[node].Name, out _))
            {
                starts.Set(tree.Nodes[node].Name, next + 1);
                next += count;
            }
        }

        _ = order.AddZeroed((long)next); // they begin at 0
        for (uint node = ImageFormat.RootNode + 1; node < end; node++)
        {
            if (IsGrouped(tree.Nodes[node], counts, out _))
            {
                _ = starts.TryGet(tree.Nodes[node].Name, out ulong place); // it has one
                starts.Set(tree.Nodes[node].Name, place + 1);
                order[(long)place - 1] = node;
            }
            else if (HasContent(tree.Nodes[node]))
            {
                order.Add(node);
            }
        }

        return order;
    }

    private static bool HasContent(in ImageNode record) =>
        FileTypes.FromMode(record.Mode) == FileType.Regular && (record.Flags & ImageNode.Alias) == 0 && record.Size != 0;

    private static bool IsGrouped(in ImageNode record, NativeMap counts, out ulong count)
    {
        count = 0;
        return HasContent(record) && record.Size <= MostBytes && counts.TryGet(record.Name, out count) && count >= LeastOfName;
    }
}
