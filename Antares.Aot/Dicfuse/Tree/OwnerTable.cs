using System.Runtime.InteropServices;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>The (uid, gid) pairs that occur in a tree; a node holds the 16-bit index of its pair.</summary>
/// <remarks>Readers take no lock: a pair is written before the node that refers to it is published, and never changes.</remarks>
internal sealed unsafe class OwnerTable : IDisposable
{
    private const int ChunkPairs = 1024;
    private const int Chunks = 64;

    /// <summary>Odd, so that pairs stay different; without it all pairs of equal uid and gid have one hash code.</summary>
    private const ulong Spread = 0x9E3779B97F4A7C15;

    private readonly ulong*[] _chunks = new ulong*[Chunks];
    private readonly Lock _growth = new();
    private Dictionary<ulong, ushort>? _known;
    private ulong _last;
    private ushort _lastIndex;

    /// <summary>Index of a pair, entered when it is new.</summary>
    /// <returns>None; EOVERFLOW: 65,536 other pairs are known already; ENOMEM.</returns>
    public Errno IndexOf(uint uid, uint gid, out ushort index)
    {
        ulong pair = ((ulong)uid << 32) | gid;
        lock (_growth)
        {
            if (_known != null && pair == _last)
            {
                index = _lastIndex;
                return Errno.None;
            }

            _known ??= [];
            if (!_known.TryGetValue(pair * Spread, out index))
            {
                int next = _known.Count;
                if (next == Chunks * ChunkPairs)
                {
                    return Errno.EOVERFLOW;
                }

                if (next % ChunkPairs == 0)
                {
                    if (!NativeBlock.TryAlloc(ChunkPairs * sizeof(ulong), out byte* chunk))
                    {
                        return Errno.ENOMEM;
                    }

                    _chunks[next / ChunkPairs] = (ulong*)chunk;
                }

                _chunks[next / ChunkPairs][next % ChunkPairs] = pair;
                index = (ushort)next;
                _known.Add(pair * Spread, index);
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
        for (int i = 0; i < Chunks; i++)
        {
            NativeMemory.Free(_chunks[i]);
            _chunks[i] = null;
        }
    }
}
