using System.Runtime.InteropServices;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// Finds the names of one hard-linked object. Two tables by (device, inode number) of the source: of the nodes whose attributes are
/// not loaded, under what the directory listing said ("pending"), and of the objects known to have several links.
/// </summary>
/// <remarks>
/// A listing tells inode numbers but neither link counts nor, reliably, the device (a file may be a mount point, and some file
/// systems list other numbers than they stat). So an equal number is a suspicion, which loading both nodes' attributes settles.
/// A pending node keeps its key in its own record (Size, Time) until its attributes overwrite it; its place in the table is then
/// inert and vanishes when the part is next rebuilt. 64 parts, each with its lock, which is the innermost of the tree.
/// </remarks>
internal sealed unsafe class LinkTable(TreeArena nodes) : IDisposable
{
    private readonly TreeArena _nodes = nodes;
    private readonly Part[] _parts = new Part[64];
    private readonly Lock[] _locks = StripedLocks.Make(64);

    /// <summary>Native bytes of the tables.</summary>
    public long Bytes
    {
        get
        {
            long bytes = 0;
            for (int i = 0; i < _parts.Length; i++)
            {
                bytes += Volatile.Read(ref _parts[i].PendingRoom) * (long)sizeof(uint);
                bytes += Volatile.Read(ref _parts[i].ObjectRoom) * (long)sizeof(LinkedObject);
            }

            return bytes;
        }
    }

    /// <summary>
    /// Enters a node that is not published yet and no directory, with the listing's inode number and the directory's device in
    /// its Size and Time; or finds one with the same key.
    /// </summary>
    /// <param name="node">The new node.</param>
    /// <param name="suspect">Another node that may be the same object, or 0 when <paramref name="node"/> was entered.</param>
    /// <returns>None; ENOMEM.</returns>
    public Errno EnterPending(uint node, out uint suspect)
    {
        NodeRecord* record = _nodes[node];
        ulong inode = record->Size;
        ulong device = record->Time;
        ulong hash = Hash(device, inode);
        int index = (int)(hash >> 58);
        lock (_locks[index])
        {
            ref Part part = ref _parts[index];
            suspect = part.FindObject(hash, device, inode);
            if (suspect != 0)
            {
                return Errno.None;
            }

            if (part.PendingRoom != 0)
            {
                for (uint at = Home(hash, part.PendingRoom); part.Pending[at] != 0; at = After(at, part.PendingRoom))
                {
                    NodeRecord* other = _nodes[part.Pending[at]];
                    if (other->Size == inode && other->Time == device && !other->Has(NodeFlags.AttributesLoaded))
                    {
                        suspect = part.Pending[at];
                        return Errno.None;
                    }
                }
            }

            if ((part.PendingUsed + 1) * 8L > part.PendingRoom * 7L && !RebuildPending(ref part))
            {
                return Errno.ENOMEM;
            }

            Put(part.Pending, part.PendingRoom, hash, node);
            part.PendingUsed++;
            return Errno.None;
        }
    }

    /// <summary>
    /// Tells which node stands for an object with several links: the first that asked. Any later one joins the ring of its names.
    /// The caller holds the node's attribute lock, and marks the node by <see cref="Publish"/>.
    /// </summary>
    /// <param name="node">A node whose attributes are just being loaded.</param>
    /// <param name="device">st_dev of the object.</param>
    /// <param name="inode">st_ino of the object.</param>
    /// <param name="primary">The node that stands for the object.</param>
    /// <returns>None; ENOMEM.</returns>
    public Errno Join(uint node, ulong device, ulong inode, out uint primary)
    {
        ulong hash = Hash(device, inode);
        int index = (int)(hash >> 58);
        lock (_locks[index])
        {
            ref Part part = ref _parts[index];
            primary = part.FindObject(hash, device, inode);
            if (primary == 0)
            {
                if ((part.Objects + 1) * 4L > part.ObjectRoom * 3L && !part.GrowObjects())
                {
                    return Errno.ENOMEM;
                }

                part.PutObject(hash, new LinkedObject { Device = device, Inode = inode, Node = node });
                part.Objects++;
                primary = node;
                return Errno.None;
            }

            if (primary != node)
            {
                NodeRecord* first = _nodes[primary];
                _nodes[node]->Extra = first->Extra == 0 ? primary : first->Extra;
                // The ring is walked without a lock: the new name's own link stands before the name can be reached.
                Volatile.Write(ref first->Extra, node);
            }

            return Errno.None;
        }
    }

    /// <summary>Overwrites a pending node's key by its attributes and marks the node, in one step for all who compare keys.</summary>
    /// <param name="node">A node that is no directory; the caller holds its attribute lock.</param>
    /// <param name="size">Size, or rdev of a device.</param>
    /// <param name="time">Packed modification time.</param>
    /// <param name="flags">What to publish, <see cref="NodeFlags.AttributesLoaded"/> among it.</param>
    public void Publish(uint node, ulong size, ulong time, NodeFlags flags)
    {
        NodeRecord* record = _nodes[node];
        lock (_locks[(int)(Hash(record->Time, record->Size) >> 58)])
        {
            record->Size = size;
            record->Time = time;
            record->Publish(flags);
        }
    }

    public void Dispose()
    {
        for (int i = 0; i < _parts.Length; i++)
        {
            NativeMemory.Free(_parts[i].Pending);
            NativeMemory.Free(_parts[i].ObjectSlots);
            _parts[i] = default;
        }
    }

    /// <summary>Drops the inert nodes; grows by a quarter when too few of them were there.</summary>
    private bool RebuildPending(ref Part part)
    {
        uint live = 0;
        for (uint i = 0; i < part.PendingRoom; i++)
        {
            if (part.Pending[i] != 0 && !_nodes[part.Pending[i]]->Has(NodeFlags.AttributesLoaded))
            {
                live++;
            }
        }

        uint room = live * 4L > part.PendingRoom * 3L || part.PendingRoom == 0
            ? Math.Max(16, part.PendingRoom + (part.PendingRoom / 4))
            : part.PendingRoom;
        if (!NativeBlock.TryAllocZeroed(room * sizeof(uint), out byte* slots))
        {
            return false;
        }

        for (uint i = 0; i < part.PendingRoom; i++)
        {
            uint node = part.Pending[i];
            if (node != 0 && !_nodes[node]->Has(NodeFlags.AttributesLoaded))
            {
                Put((uint*)slots, room, Hash(_nodes[node]->Time, _nodes[node]->Size), node);
            }
        }

        NativeMemory.Free(part.Pending);
        part.Pending = (uint*)slots;
        part.PendingRoom = room;
        part.PendingUsed = live;
        return true;
    }

    private static ulong Hash(ulong device, ulong inode)
    {
        ulong mixed = (inode ^ ulong.RotateLeft(device, 32)) * 0x9E3779B97F4A7C15;
        return (mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9;
    }

    private static uint Home(ulong hash, uint room) => (uint)((((hash >> 26) & uint.MaxValue) * room) >> 32);

    private static uint After(uint at, uint room) => at + 1 == room ? 0 : at + 1;

    private static void Put(uint* slots, uint room, ulong hash, uint node)
    {
        uint at = Home(hash, room);
        while (slots[at] != 0)
        {
            at = After(at, room);
        }

        slots[at] = node;
    }

    private struct LinkedObject
    {
        public ulong Device;
        public ulong Inode;
        public uint Node;
    }

    private struct Part
    {
        public uint* Pending;
        public LinkedObject* ObjectSlots;
        public uint PendingRoom;
        public uint PendingUsed;
        public uint ObjectRoom;
        public uint Objects;

        public readonly uint FindObject(ulong hash, ulong device, ulong inode)
        {
            if (ObjectRoom == 0)
            {
                return 0;
            }

            uint at = Home(hash, ObjectRoom);
            while (ObjectSlots[at].Node != 0)
            {
                if (ObjectSlots[at].Inode == inode && ObjectSlots[at].Device == device)
                {
                    return ObjectSlots[at].Node;
                }

                at = After(at, ObjectRoom);
            }

            return 0;
        }

        public readonly void PutObject(ulong hash, LinkedObject linked)
        {
            uint at = Home(hash, ObjectRoom);
            while (ObjectSlots[at].Node != 0)
            {
                at = After(at, ObjectRoom);
            }

            ObjectSlots[at] = linked;
        }

        public bool GrowObjects()
        {
            uint room = Math.Max(8, ObjectRoom + (ObjectRoom / 2));
            if (!NativeBlock.TryAllocZeroed(room * (nuint)sizeof(LinkedObject), out byte* slots))
            {
                return false;
            }

            Part grown = this;
            grown.ObjectSlots = (LinkedObject*)slots;
            grown.ObjectRoom = room;
            for (uint i = 0; i < ObjectRoom; i++)
            {
                if (ObjectSlots[i].Node != 0)
                {
                    grown.PutObject(Hash(ObjectSlots[i].Device, ObjectSlots[i].Inode), ObjectSlots[i]);
                }
            }

            NativeMemory.Free(ObjectSlots);
            this = grown;
            return true;
        }
    }
}
