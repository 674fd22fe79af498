using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Layers;

namespace Antares.Aot.Overlay;

/// <summary>What the overlay keeps about a lower object that is no longer just lower: copied up, merged of several layers, or unlinked.</summary>
public unsafe struct InodeRecord
{
    public ulong NodeId;

    /// <summary>Lower parts, topmost first: one for a file, several for a merged directory.</summary>
    public LowerRef* Lowers;

    /// <summary>st_ino of the topmost lower part; 0 until asked for.</summary>
    public ulong StIno;
    public int LowerCount;

    /// <summary>Node in the upper; 0: not copied up.</summary>
    public uint Upper;

    /// <summary>Lower names (hard links) that were removed while the object had no upper copy.</summary>
    public uint RemovedNames;

    /// <summary>Lower names that the upper copy does not have yet, since their directories were not loaded when it was made.</summary>
    public uint MissingNames;

    /// <summary>Directories: names that both the upper has (as anything) and the lower part has as a directory.</summary>
    public int Overlap;
    public bool OverlapKnown;

    /// <summary>No name leads here any more.</summary>
    public bool Unlinked;
}

/// <summary>The records, found by node id, by lower node (who owns it as a part) and through the upper node's tag.</summary>
/// <remarks>Called with the overlay's gate held.</remarks>
public sealed unsafe class InodeRecords : IDisposable
{
    /// <summary>Record of the root directory.</summary>
    public const uint Root = 1;

    private readonly NativeTable<InodeRecord> _records = new();
    private readonly NativeMap _byNodeId = new();
    private readonly NativeMap _owners = new();
    private readonly LookupCounts _counts;
    private readonly DirectoryLayer? _upper;

    public InodeRecords(LookupCounts counts, DirectoryLayer? upper)
    {
        _counts = counts;
        _upper = upper;
    }

    public long Count => _records.Count;

    public InodeRecord* this[uint record] => _records[record];

    /// <summary>Record of a lower node id, 0 when there is none.</summary>
    public uint Find(ulong nodeId) => _byNodeId.TryGet(nodeId, out ulong record) ? (uint)record : 0;

    /// <summary>Id of the merged object of which a lower node is a part: mostly the node itself.</summary>
    public ulong OwnerOf(LowerRef lower) =>
        lower.Node == ILayer.RootNode ? NodeId.Root : _owners.TryGet(lower.NodeId, out ulong owner) ? owner : lower.NodeId;

    /// <summary>Makes a record.</summary>
    /// <param name="nodeId">Its id: that of the topmost lower part, or the root's.</param>
    /// <param name="lowers">Lower parts, topmost first; copied.</param>
    /// <param name="count">At least 1.</param>
    public uint Add(ulong nodeId, LowerRef* lowers, int count)
    {
        uint index = _records.Allocate();
        InodeRecord* record = _records[index];
        *record = default;
        record->NodeId = nodeId;
        record->Lowers = (LowerRef*)NativeMemory.Alloc((nuint)count, (nuint)sizeof(LowerRef));
        record->LowerCount = count;
        new ReadOnlySpan<LowerRef>(lowers, count).CopyTo(new Span<LowerRef>(record->Lowers, count));
        _byNodeId.Set(nodeId, index);
        if (nodeId != NodeId.Root)
        {
            _counts.SetTouched(NodeId.SlotOf(nodeId), NodeId.NodeOf(nodeId), true);
            for (int i = 1; i < count; i++)
            {
                _owners.Set(lowers[i].NodeId, nodeId);
            }
        }

        return index;
    }

    /// <summary>Ties a record to the object's copy in the upper.</summary>
    public void SetUpper(uint record, uint upper)
    {
        _records[record]->Upper = upper;
        _upper!.Table.Node(upper)->Tag = record;
    }

    /// <summary>Takes the lower parts away from a directory that was emptied; the nodes belong to nobody then.</summary>
    public void DetachLowers(uint index)
    {
        InodeRecord* record = _records[index];
        for (int i = 1; i < record->LowerCount; i++)
        {
            _ = _owners.Remove(record->Lowers[i].NodeId);
        }

        record->LowerCount = 0;
    }

    /// <summary>Gives a record back; the object is reached by no name and the kernel has forgotten it.</summary>
    public void Remove(uint index)
    {
        InodeRecord* record = _records[index];
        DetachLowers(index);
        _ = _byNodeId.Remove(record->NodeId);
        _counts.SetTouched(NodeId.SlotOf(record->NodeId), NodeId.NodeOf(record->NodeId), false);
        NativeMemory.Free(record->Lowers);
        *record = default;
        _records.Free(index);
    }

    public void Dispose()
    {
        for (uint i = 1; i <= _records.HighWater; i++)
        {
            NativeMemory.Free(_records[i]->Lowers);
            _records[i]->Lowers = null;
        }

        _records.Dispose();
        _byNodeId.Dispose();
        _owners.Dispose();
    }
}
