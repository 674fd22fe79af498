using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>Adds single nodes that no listing of the source has. Nobody finds them until <see cref="TreeEdits"/> lead there.</summary>
/// <param name="layer">Name of the layer, for failure notes.</param>
/// <param name="store">Where the nodes go.</param>
/// <param name="numbers">Gives them their st_ino.</param>
internal sealed unsafe class NodeGrowth(string layer, NodeStore store, StInoSet numbers)
{
    private readonly string _layer = layer;
    private readonly NodeStore _store = store;
    private readonly StInoSet _numbers = numbers;
    private long _count;

    /// <summary>Nodes added.</summary>
    public long Count => Volatile.Read(ref _count);

    /// <summary>Adds a node.</summary>
    /// <param name="directory">Its directory, whose names are loaded: a name of the source has the first claim to the number of its path.</param>
    /// <param name="name">1 to 255 bytes, without '/' and NUL; copied.</param>
    /// <param name="type">Directory, regular file or symbolic link.</param>
    /// <param name="payload">What the source keeps with it; copied.</param>
    /// <param name="isListed">Of a directory: the source lists it. Otherwise it has no names of its own: those it shows are edits.</param>
    /// <param name="node">The node.</param>
    /// <returns>None; ENOMEM; EIO: not a name.</returns>
    public Errno Add(uint directory, ReadOnlySpan<byte> name, FileType type, ReadOnlySpan<byte> payload, bool isListed, out uint node)
    {
        node = 0;
        if (name.Length is < 1 or > ByteName.MaxLength || name.ContainsAny((byte)'/', (byte)0))
        {
            return Failure.Note(_layer, "not a name", Errno.EIO);
        }

        ulong bytes = (ulong)(name.Length + 1 + payload.Length);
        Errno error = _store.Names.Allocate(bytes, out uint place);
        if (error != Errno.None)
        {
            return Failure.Note(_layer, "tree is full", error);
        }

        error = _store.Nodes.Allocate(1, out node);
        if (error != Errno.None)
        {
            _store.Names.GiveBack(place, bytes);
            return Failure.Note(_layer, "tree is full", error);
        }

        byte* room = _store.Names.At(place);
        name.CopyTo(new Span<byte>(room, name.Length));
        room[name.Length] = 0;
        payload.CopyTo(new Span<byte>(room + name.Length + 1, payload.Length));
        NodeRecord* record = _store[node];
        record->Parent = directory;
        record->Name = place;
        record->NameLength = (byte)name.Length;
        record->Mode = (ushort)FileTypes.ToMode(type);
        ByteName own = _store.NameOf(record);
        ulong above = _store[directory]->StIno;
        error = _numbers.Claim(node, above, own, StInoSet.HashOf(above, own));
        if (error != Errno.None)
        {
            // The node stays taken, and nobody knows it.
            return Failure.Note(_layer, "tree is full", error);
        }

        if (type == FileType.Directory && !isListed)
        {
            record->Publish(NodeFlags.ChildrenLoaded);
        }

        // Only a counter for people.
        _ = Interlocked.Increment(ref _count);
        return Errno.None;
    }
}
