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
/// inert and vanishes when the part is next rebuilt. 16 parts, each with its lock, which is the innermost of the tree.
/// </remarks>
internal sealed unsafe class LinkTable(TreeArena nodes) : IDisposable
{
    private const int PartCount = 16;
    private const int PartShift = 60;

    private readonly TreeArena _nodes = nodes;
    private readonly Part[] _parts = new Part[PartCount];
    private readonly StripedLocks _locks = new(PartCount);
    private long _suspicions;

    /// <summary>How often a node was told as one that may be the same object.</summary>
    public long Suspicions => Interlocked.Read(ref _suspicions);

    /// <summary>Slots that a part may have; fewer than there is memory for only to make them run out.</summary>
    internal uint MostSlots { get; set; } = uint.MaxValue;

    /// <summary>Native bytes of the tables.</summary>
    public long Bytes
    {
        get
        {
            long bytes = 0;
            for (int i = 0; i < PartCount; i++)
            {
                lock (_locks[(uint)i])
                {
                    bytes += _parts[i].Pending.Bytes + (_parts[i].ObjectRoom * (long)sizeof(LinkedObject));
                }
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
        int index = (int)(hash >> PartShift);
        lock (_locks[(uint)index])
        {
            ref Part part = ref _parts[index];
            suspect = part.FindObject(hash, device, inode);
            if (suspect != 0)
            {
                _ = Interlocked.Increment(ref _suspicions);
                return Errno.None;
            }

            uint at = part.Pending.Start(hash);
            while ((suspect = part.Pending.Next(hash, ref at)) != 0)
            {
                NodeRecord* other = _nodes[suspect];
                if (other->Size == inode && other->Time == device && !other->Has(NodeFlags.AttributesLoaded))
                {
                    _ = Interlocked.Increment(ref _suspicions);
                    return Errno.None;
                }
            }

            if (part.Pending.IsFull && !RebuildPending(ref part.Pending))
            {
                return Errno.ENOMEM;
            }

            part.Pending.Add(hash, node);
            return Errno.None;
        }
    }

    /// <summary>
    /// Takes a node out again that was not published; one that was not entered is left alone. Whoever was told of it before
    /// (<see cref="Suspicions"/>) may still ask for its attributes.
    /// </summary>
    public void Withdraw(uint node)
    {
        NodeRecord* record = _nodes[node];
        ulong hash = Hash(record->Time, record->Size);
        int index = (int)(hash >> PartShift);
        lock (_locks[(uint)index])
        {
            if (!record->Has(NodeFlags.AttributesLoaded))
            {
                _parts[index].Pending.Remove(hash, node);
            }
        }
    }

    /// <summary>
    /// Tells which node stands for an object with several links: the first that asked. Any later one joins the ring of its names.
    /// The caller is the one that loads the node's attributes, and marks the node by <see cref="Publish"/>.
    /// </summary>
    /// <param name="node">A node whose attributes are just being loaded.</param>
    /// <param name="device">st_dev of the object.</param>
    /// <param name="inode">st_ino of the object.</param>
    /// <param name="primary">The node that stands for the object.</param>
    /// <returns>None; ENOMEM.</returns>
    public Errno Join(uint node, ulong device, ulong inode, out uint primary)
    {
        ulong hash = Hash(device, inode);
        int index = (int)(hash >> PartShift);
        lock (_locks[(uint)index])
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
    /// <param name="node">A node that is no directory, whose attributes the caller loads.</param>
    /// <param name="size">Size, or rdev of a device.</param>
    /// <param name="time">Packed modification time.</param>
    /// <param name="flags">What to publish, <see cref="NodeFlags.AttributesLoaded"/> among it.</param>
    public void Publish(uint node, ulong size, ulong time, NodeFlags flags)
    {
        NodeRecord* record = _nodes[node];
        lock (_locks[(uint)(Hash(record->Time, record->Size) >> PartShift)])
        {
            record->Size = size;
            record->Time = time;
            record->Publish(flags);
        }
    }

    public void Dispose()
    {
        foreach (ref Part part in _parts.AsSpan())
        {
            part.Pending.Free();
            NativeMemory.Free(part.ObjectSlots);
            part = default;
        }
    }

    /// <summary>Drops the inert nodes; grows when too few of them were there.</summary>
    private bool RebuildPending(ref NodeSlots pending)
    {
        uint live = 0;
        for (uint at = 0; at < pending.Room; at++)
        {
            live += IsPending(pending.NodeAt(at)) ? 1u : 0;
        }

        uint room = live * 4L >= pending.Room * 3L ? pending.NextRoom : pending.Room;
        if (room > MostSlots || !NodeSlots.TryMake(room, out NodeSlots rebuilt))
        {
            return false;
        }

        for (uint at = 0; at < pending.Room; at++)
        {
            uint node = pending.NodeAt(at);
            if (IsPending(node))
            {
                rebuilt.Add(Hash(_nodes[node]->Time, _nodes[node]->Size), node);
            }
        }

        pending.Free();
        pending = rebuilt;
        return true;
    }

    private bool IsPending(uint node) => node != 0 && !_nodes[node]->Has(NodeFlags.AttributesLoaded);

    private static ulong Hash(ulong device, ulong inode)
    {
        ulong mixed = (inode ^ ulong.RotateLeft(device, 32)) * 0x9E3779B97F4A7C15;
        mixed = (mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9;
        return mixed ^ (mixed >> 32);
    }

    private static uint Home(ulong hash, uint room) => (uint)((((hash >> 26) & uint.MaxValue) * room) >> 32);

    private static uint After(uint at, uint room) => at + 1 == room ? 0 : at + 1;

    private struct LinkedObject
    {
        public ulong Device;
        public ulong Inode;
        public uint Node;
    }

    private struct Part
    {
        public NodeSlots Pending;
        public LinkedObject* ObjectSlots;
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
