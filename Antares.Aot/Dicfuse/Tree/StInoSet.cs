using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// Gives each node its st_ino: a number that depends on the path alone, or on the object of the source, so that it is the same after a
/// remount, whatever was touched first, and that no two objects of the tree share.
/// </summary>
/// <remarks>
/// <code>
/// bit 59  bit 58  bits below
/// 0       hash of the path: directories, and names whose listing tells no inode number
/// 1       0       the inode number in the source, of an object on the device of the root
/// 1       1       hash of device and inode number: other devices, and numbers of more than 58 bits
/// </code>
/// An object on another device than the root's (a mount point within the source) is told by st_dev, for want of anything that every file
/// system keeps: f_fsid is made from the device number by some, is 0 with others, and can be asked of an opened object only. Block
/// devices mostly have the same number after a reboot; what has none (tmpfs, btrfs, overlayfs, network file systems) gets another one
/// when it is mounted anew, and its objects get other numbers then.
/// What can have several names goes by its inode number, since names of one object must show one number, and a listing, which does not
/// ask how many names an object has, must show the same one.
/// The rule for a path: candidate k (0 to 15) is the low 59 bits of XXH64(name, seed = st_ino of the directory with k in bits 63..60),
/// where 0 and 1 count as taken; after the sixteenth, the next free number above it. The first candidate that no other node has is the
/// node's. Within a directory names are numbered in the order of their bytes; between directories the one loaded first comes first.
/// A number therefore depends on the order of loading only for two paths whose 59 bits are equal: among a million directories one such
/// pair is to be expected in a million trees.
/// The set behind it holds node indices only (<see cref="NodeSlots"/>), in 16 parts that grow each for itself, so that no
/// load waits for one big rehash.
/// </remarks>
internal sealed unsafe class StInoSet : IDisposable
{
    /// <summary>st_ino of the root.</summary>
    public const ulong Root = 1;

    /// <summary>The bits of a number made from a path. Bit 59 marks the others; the overlay marks its own from bit 60 on.</summary>
    public const ulong DefaultMask = ObjectBit - 1;

    private const ulong ObjectBit = 1UL << 59;
    private const ulong HashedBit = 1UL << 58;

    private const int PartCount = 16;
    private const int Attempts = 16;
    private const int AttemptShift = 60;

    private readonly TreeArena _nodes;
    private readonly ulong _mask;
    private readonly NodeSlots[] _parts = new NodeSlots[PartCount];
    private readonly StripedLocks _locks = new(PartCount);
    private ulong _device;

    /// <param name="nodes">Where the numbers of the nodes in the set stand.</param>
    /// <param name="mask">Bits of a number; narrower than <see cref="DefaultMask"/> only to make collisions happen.</param>
    public StInoSet(TreeArena nodes, ulong mask = DefaultMask)
    {
        _nodes = nodes;
        _mask = mask;
    }

    /// <summary>Native bytes of the set.</summary>
    public long Bytes
    {
        get
        {
            long bytes = 0;
            for (int i = 0; i < PartCount; i++)
            {
                lock (_locks[(uint)i])
                {
                    bytes += _parts[i].Bytes;
                }
            }

            return bytes;
        }
    }

    /// <summary>The hash that candidate 0 is cut from; a directory's name index uses it too.</summary>
    public static ulong HashOf(ulong directoryStIno, ByteName name) => name.Hash(directoryStIno);

    /// <summary>Device of the root in the source: told before the first <see cref="OfObject"/>.</summary>
    public ulong Device
    {
        get => Volatile.Read(ref _device);
        set => Volatile.Write(ref _device, value);
    }

    /// <summary>The number of an object by what it is in the source: the same at each mount as long as both are.</summary>
    /// <param name="device">Its device (st_dev), which for an object that is not on the root's may change when it is mounted anew.</param>
    /// <param name="inode">Its inode number there, not 0.</param>
    public ulong OfObject(ulong device, ulong inode)
    {
        if (device == Device && inode < HashedBit)
        {
            return ObjectBit | inode;
        }

        ulong* key = stackalloc ulong[2];
        key[0] = device;
        key[1] = inode;
        return ObjectBit | HashedBit | (new ByteName((byte*)key, 2 * sizeof(ulong)).Hash(0) & (HashedBit - 1));
    }

    /// <summary>Chooses the number of <paramref name="node"/>, writes it to the node and enters the node.</summary>
    /// <param name="node">A node that is in no set yet.</param>
    /// <param name="directoryStIno">st_ino of its directory.</param>
    /// <param name="name">Its name.</param>
    /// <param name="hash"><see cref="HashOf"/> of the two.</param>
    /// <returns>None; ENOMEM.</returns>
    public Errno Claim(uint node, ulong directoryStIno, ByteName name, ulong hash)
    {
        ulong candidate = hash & _mask;
        for (int attempt = 1; ; attempt++)
        {
            if (candidate > Root)
            {
                Errno error = TryEnter(node, candidate, out bool entered);
                if (entered || error != Errno.None)
                {
                    return error;
                }
            }

            candidate = attempt < Attempts
                ? name.Hash(directoryStIno | ((ulong)attempt << AttemptShift)) & _mask
                : (candidate + 1) & _mask;
        }
    }

    /// <summary>Takes back the number of a node that was never published; does nothing for one that has none by its path.</summary>
    public void Withdraw(uint node)
    {
        ulong number = _nodes[node]->StIno;
        if (number is 0 or >= ObjectBit)
        {
            return;
        }

        int index = PartOf(number);
        lock (_locks[(uint)index])
        {
            _parts[index].Remove(number, node);
            _nodes[node]->StIno = 0;
        }
    }

    public void Dispose()
    {
        foreach (ref NodeSlots part in _parts.AsSpan())
        {
            part.Free();
        }
    }

    private static int PartOf(ulong number) => (int)(number >> 55) & (PartCount - 1);

    private Errno TryEnter(uint node, ulong number, out bool entered)
    {
        int index = PartOf(number);
        lock (_locks[(uint)index])
        {
            entered = false;
            ref NodeSlots part = ref _parts[index];
            if (Holds(part, number))
            {
                return Errno.None;
            }

            if (part.IsFull && !Grow(ref part))
            {
                return Errno.ENOMEM;
            }

            _nodes[node]->StIno = number;
            part.Add(number, node);
            entered = true;
            return Errno.None;
        }
    }

    private bool Holds(in NodeSlots part, ulong number)
    {
        uint at = part.Start(number);
        uint node;
        while ((node = part.Next(number, ref at)) != 0)
        {
            if (_nodes[node]->StIno == number)
            {
                return true;
            }
        }

        return false;
    }

    private bool Grow(ref NodeSlots part)
    {
        if (!NodeSlots.TryMake(part.NextRoom, out NodeSlots grown))
        {
            return false;
        }

        for (uint at = 0; at < part.Room; at++)
        {
            uint node = part.NodeAt(at);
            if (node != 0)
            {
                grown.Add(_nodes[node]->StIno, node);
            }
        }

        part.Free();
        part = grown;
        return true;
    }
}
