using System.Runtime.InteropServices;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>The (uid, gid) pairs that occur in a tree; a node holds the 16-bit index of its pair.</summary>
/// <remarks>Readers take no lock: a pair is written before the node that refers to it is published, and never changes.</remarks>
internal sealed unsafe class OwnerTable : IDisposable
{
    private const int ChunkPairs = 256;
    private const int Chunks = 256;

    private readonly Dictionary<ulong, ushort> _known = [];
    private readonly Lock _growth = new();
    private ulong** _chunks = (ulong**)NativeMemory.AllocZeroed(Chunks, (nuint)sizeof(ulong*));
    private ulong _last;
    private ushort _lastIndex;

    /// <summary>Index of a pair, entered when it is new.</summary>
    /// <returns>None; EOVERFLOW: 65,536 other pairs are known already.</returns>
    public Errno IndexOf(uint uid, uint gid, out ushort index)
    {
        ulong pair = ((ulong)uid << 32) | gid;
        lock (_growth)
        {
            if (_known.Count != 0 && pair == _last)
            {
                index = _lastIndex;
                return Errno.None;
            }

            if (!_known.TryGetValue(pair, out index))
            {
                int next = _known.Count;
                if (next == Chunks * ChunkPairs)
                {
                    return Errno.EOVERFLOW;
                }

                if (next % ChunkPairs == 0)
                {
                    _chunks[next / ChunkPairs] = (ulong*)NativeMemory.Alloc(ChunkPairs, sizeof(ulong));
                }

                _chunks[next / ChunkPairs][next % ChunkPairs] = pair;
                index = (ushort)next;
                _known.Add(pair, index);
            }

            _last = pair;
            _lastIndex = index;
            return Errno.None;
        }
    }

    /// <summary>The pair of an index that a published node holds.</summary>
    public (uint Uid, uint Gid) this[ushort index]
    {
        get
        {
            ulong pair = _chunks[index / ChunkPairs][index % ChunkPairs];
            return ((uint)(pair >> 32), (uint)pair);
        }
    }

    public void Dispose()
    {
        if (_chunks == null)
        {
            return;
        }

        for (int i = 0; i < Chunks; i++)
        {
            NativeMemory.Free(_chunks[i]);
        }

        NativeMemory.Free(_chunks);
        _chunks = null;
    }
}
