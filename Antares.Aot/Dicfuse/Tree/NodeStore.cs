using System.Runtime.CompilerServices;
using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>The nodes and their names: what a tree is made of, and what a source reads to know where a node lies.</summary>
internal sealed unsafe class NodeStore : INamedTree, IDisposable
{
    private NodeStore(TreeArena nodes, NameHeap names)
    {
        Nodes = nodes;
        Names = names;
    }

    public TreeArena Nodes { get; }

    public NameHeap Names { get; }

    public NodeRecord* this[uint node]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Nodes[node];
    }

    /// <summary>Reserves the address space and makes the root, of which only the type is known.</summary>
    /// <returns>None; ENOMEM.</returns>
    public static Errno Create(ulong nodeReservation, ulong nameReservation, out NodeStore? store)
    {
        store = null;
        Errno error = TreeArena.Create(nodeReservation, out TreeArena? nodes);
        if (error != Errno.None)
        {
            return error;
        }

        error = NameHeap.Create(nameReservation, out NameHeap? names);
        if (error != Errno.None)
        {
            nodes!.Dispose();
            return error;
        }

        store = new NodeStore(nodes!, names!);
        NodeRecord* root = store[ILayer.RootNode];
        root->Mode = (ushort)FileTypes.ToMode(FileType.Directory);
        root->StIno = StInoSet.Root;
        return Errno.None;
    }

    /// <summary>Name of a node; of the root the empty one. Valid as long as the store.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ByteName NameOf(NodeRecord* record) => new(Names.At(record->Name), record->NameLength);

    public bool TryGetName(uint node, out uint directory, out ByteName name)
    {
        directory = this[node]->Parent;
        name = NameOf(this[node]);
        return true;
    }

    public bool IsDirectory(uint node) => this[node]->IsDirectory;

    /// <summary>What the source keeps with a node (<see cref="DirectoryListing.PayloadBytes"/>); the root has none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* PayloadOf(NodeRecord* record) => Names.At(record->Name) + record->NameLength + 1;

    /// <summary>The node that stands for the object: for a further name of a hard link the first one known, else the node itself.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Canonical(uint node)
    {
        NodeRecord* record = Nodes[node];
        return (record->LoadFlags() & NodeFlags.Alias) == 0 ? node : record->Body;
    }

    public void Dispose()
    {
        Nodes.Dispose();
        Names.Dispose();
    }
}
