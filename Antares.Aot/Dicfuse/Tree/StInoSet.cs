using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// Gives each node its st_ino: a number that depends on the path alone, so that it is the same after a remount, and that no two
/// nodes of the tree share.
/// </summary>
/// <remarks>
/// The rule: candidate k (0 to 15) is the low 60 bits of XXH64(name, seed = st_ino of the directory with k in bits 63..60), where 0
/// and 1 count as taken; after the sixteenth, the next free number above it. The first candidate that no other node has is the
/// node's. Within a directory names are numbered in the order of their bytes; between directories the one loaded first comes first.
/// A number therefore depends on the order of loading only for two paths whose 60 bits are equal: among a million nodes one such
/// pair is to be expected in two million trees.
/// The set behind it holds node indices only (4 bytes each, tables at most 7/8 full, in 64 parts that grow by a quarter each for
/// itself, so that no load waits for one big rehash).
/// </remarks>
internal sealed unsafe class StInoSet : IDisposable
{
    /// <summary>st_ino of the root.</summary>
    public const ulong Root = 1;

    /// <summary>The 60 bits that a number may have: the overlay marks its own above them.</summary>
    public const ulong DefaultMask = (1UL << 60) - 1;

    private const int Attempts = 16;
    private const int AttemptShift = 60;

    private readonly TreeArena _nodes;
    private readonly ulong _mask;
    private readonly Part[] _parts = new Part[64];
    private readonly Lock[] _locks = StripedLocks.Make(64);

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
            for (int i = 0; i < _parts.Length; i++)
            {
                bytes += Volatile.Read(ref _parts[i].Room) * (long)sizeof(uint);
            }

            return bytes;
        }
    }

    /// <summary>The hash that candidate 0 is cut from; a directory's name index uses it too.</summary>
    public static ulong HashOf(ulong directoryStIno, ByteName name) => name.Hash(directoryStIno);

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

    public void Dispose()
    {
        for (int i = 0; i < _parts.Length; i++)
        {
            NativeMemory.Free(_parts[i].Slots);
            _parts[i] = default;
        }
    }

    private Errno TryEnter(uint node, ulong number, out bool entered)
    {
        int index = (int)(number >> 54) & 63;
        lock (_locks[index])
        {
            entered = false;
            ref Part part = ref _parts[index];
            if (part.Room != 0 && Holds(part, number))
            {
                return Errno.None;
            }

            if ((part.Used + 1) * 8L > part.Room * 7L && !Grow(ref part))
            {
                return Errno.ENOMEM;
            }

            _nodes[node]->StIno = number;
            Put(part, node, number);
            part.Used++;
            entered = true;
            return Errno.None;
        }
    }

    private bool Holds(in Part part, ulong number)
    {
        for (uint at = part.Home(number); part.Slots[at] != 0; at = part.After(at))
        {
            if (_nodes[part.Slots[at]]->StIno == number)
            {
                return true;
            }
        }

        return false;
    }

    private bool Grow(ref Part part)
    {
        uint room = Math.Max(16, part.Room + (part.Room / 4));
        if (!NativeBlock.TryAllocZeroed(room * sizeof(uint), out byte* slots))
        {
            return false;
        }

        Part grown = new() { Slots = (uint*)slots, Room = room, Used = part.Used };
        for (uint i = 0; i < part.Room; i++)
        {
            uint node = part.Slots[i];
            if (node != 0)
            {
                Put(grown, node, _nodes[node]->StIno);
            }
        }

        NativeMemory.Free(part.Slots);
        part = grown;
        return true;
    }

    private static void Put(in Part part, uint node, ulong number)
    {
        uint at = part.Home(number);
        while (part.Slots[at] != 0)
        {
            at = part.After(at);
        }

        part.Slots[at] = node;
    }

    private struct Part
    {
        public uint* Slots;
        public uint Room;
        public uint Used;

        public readonly uint Home(ulong number) => (uint)(((number & uint.MaxValue) * Room) >> 32);

        public readonly uint After(uint at) => at + 1 == Room ? 0 : at + 1;
    }
}
