using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>
/// For each lower node one 32-bit word: the number of references that the kernel holds (nlookup) and, in the top bit, whether the
/// overlay keeps a record of the object (copied up, merged, unlinked). Reserved address space that costs memory only where touched.
/// </summary>
/// <remarks>Lock-free: words change by interlocked operations. The top bit changes with the overlay's gate held.</remarks>
public sealed unsafe class LookupCounts : IDisposable
{
    private const uint TouchedBit = 1u << 31;
    private const uint CountMask = TouchedBit - 1;
    private static readonly ulong[] s_sizes = [1UL << 28, 1UL << 25, 1UL << 22];

    private readonly uint*[] _words;
    private readonly ulong[] _lengths;
    private long _held;

    public LookupCounts(int slots)
    {
        _words = new uint*[slots + 1];
        _lengths = new ulong[slots + 1];
    }

    /// <summary>Objects to which the kernel holds at least one reference, those of the upper included, the root not.</summary>
    public long Held => Interlocked.Read(ref _held);

    /// <summary>Reserves the words of one slot.</summary>
    /// <returns>None; ENOMEM: not even a small range of addresses is to be had.</returns>
    public Errno Reserve(uint slot)
    {
        Errno error = Errno.ENOMEM;
        foreach (ulong size in s_sizes)
        {
            error = Memory.Mmap(
                null,
                (nuint)(size * sizeof(uint)),
                Memory.PROT_READ | Memory.PROT_WRITE,
                Memory.MAP_PRIVATE | Memory.MAP_ANONYMOUS | Memory.MAP_NORESERVE,
                -1,
                0,
                out void* words);
            if (error == Errno.None)
            {
                _words[slot] = (uint*)words;
                _lengths[slot] = size;
                break;
            }
        }

        return error;
    }

    /// <summary>Nodes that a slot has words for.</summary>
    public ulong LengthOf(uint slot) => _lengths[slot];

    /// <summary>True when an id from the kernel lies within the reserved range.</summary>
    public bool InRange(uint slot, uint node) => slot > 0 && slot < (uint)_words.Length && node != 0 && node < _lengths[slot];

    public bool IsTouched(uint slot, uint node) => (Volatile.Read(ref _words[slot][node]) & TouchedBit) != 0;

    public void SetTouched(uint slot, uint node, bool touched)
    {
        if (touched)
        {
            _ = Interlocked.Or(ref _words[slot][node], TouchedBit);
        }
        else
        {
            _ = Interlocked.And(ref _words[slot][node], CountMask);
        }
    }

    public uint CountOf(uint slot, uint node) => Volatile.Read(ref _words[slot][node]) & CountMask;

    /// <summary>Counts one more reference.</summary>
    public void Raise(uint slot, uint node)
    {
        if ((Interlocked.Increment(ref _words[slot][node]) & CountMask) == 1)
        {
            CountHeld(1);
        }
    }

    /// <summary>Takes references back; true when none is left and the overlay keeps a record of the object.</summary>
    public bool Lower(uint slot, uint node, ulong count)
    {
        uint* word = &_words[slot][node];
        while (true)
        {
            uint old = Volatile.Read(ref *word);
            uint references = old & CountMask;

            // The kernel never gives back more than it got; should it, the count stays at none rather than wrapping.
            uint left = count >= references ? 0 : references - (uint)count;
            if (Interlocked.CompareExchange(ref *word, (old & TouchedBit) | left, old) == old)
            {
                if (references > 0 && left == 0)
                {
                    CountHeld(-1);
                }

                return left == 0 && (old & TouchedBit) != 0;
            }
        }
    }

    /// <summary>Counts objects held that are not in these words (upper-only ones).</summary>
    public void CountHeld(int change) => _ = Interlocked.Add(ref _held, change);

    public void Dispose()
    {
        for (int slot = 1; slot < _words.Length; slot++)
        {
            if (_words[slot] != null)
            {
                // Addresses of our own mapping: this cannot fail.
                _ = Memory.Munmap(_words[slot], (nuint)(_lengths[slot] * sizeof(uint)));
                _words[slot] = null;
            }
        }
    }
}
