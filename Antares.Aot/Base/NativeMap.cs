using System.Runtime.InteropServices;

namespace Antares.Aot.Base;

/// <summary>Map from a non-zero 64-bit key to a 64-bit value in native memory: open addressing, linear probing, no tombstones.</summary>
/// <remarks>Not synchronised: the owner's lock protects it. Allocates native memory when it grows, never managed memory.</remarks>
public sealed unsafe class NativeMap : IDisposable
{
    private struct Slot
    {
        public ulong Key;
        public ulong Value;
    }

    private Slot* _slots;
    private uint _mask;
    private uint _count;

    public uint Count => _count;

    /// <summary>The values in no order. For the end of an owner that must release what they stand for: allocates.</summary>
    public IReadOnlyList<ulong> Values
    {
        get
        {
            List<ulong> values = [];
            for (uint i = 0; _slots != null && i <= _mask; i++)
            {
                if (_slots[i].Key != 0)
                {
                    values.Add(_slots[i].Value);
                }
            }

            return values;
        }
    }

    public bool TryGet(ulong key, out ulong value)
    {
        if (_count != 0)
        {
            for (uint i = Home(key); ; i = (i + 1) & _mask)
            {
                if (_slots[i].Key == key)
                {
                    value = _slots[i].Value;
                    return true;
                }

                if (_slots[i].Key == 0)
                {
                    break;
                }
            }
        }

        value = 0;
        return false;
    }

    /// <summary>Adds or replaces. The key must not be 0.</summary>
    public void Set(ulong key, ulong value)
    {
        if (_slots == null || (_count + 1) * 4 > (_mask + 1) * 3)
        {
            Grow();
        }

        uint i = Home(key);
        while (_slots[i].Key != 0 && _slots[i].Key != key)
        {
            i = (i + 1) & _mask;
        }

        if (_slots[i].Key == 0)
        {
            _count++;
        }

        _slots[i] = new Slot { Key = key, Value = value };
    }

    public bool Remove(ulong key)
    {
        if (_count == 0)
        {
            return false;
        }

        uint i = Home(key);
        while (_slots[i].Key != key)
        {
            if (_slots[i].Key == 0)
            {
                return false;
            }

            i = (i + 1) & _mask;
        }

        // Backward shift: close the gap with the entries that probed past it, so that no tombstone is ever needed.
        uint gap = i;
        for (uint j = (i + 1) & _mask; _slots[j].Key != 0; j = (j + 1) & _mask)
        {
            uint home = Home(_slots[j].Key);
            if (((j - home) & _mask) >= ((j - gap) & _mask))
            {
                _slots[gap] = _slots[j];
                gap = j;
            }
        }

        _slots[gap] = default;
        _count--;
        return true;
    }

    public void Dispose()
    {
        NativeMemory.Free(_slots);
        _slots = null;
        _mask = 0;
        _count = 0;
    }

    private uint Home(ulong key) => (uint)((key * 0x9E3779B97F4A7C15UL) >> 32) & _mask;

    private void Grow()
    {
        Slot* old = _slots;
        uint oldSize = old == null ? 0 : _mask + 1;
        uint size = oldSize == 0 ? 64 : oldSize * 2;
        _slots = (Slot*)NativeMemory.AllocZeroed(size, (nuint)sizeof(Slot));
        _mask = size - 1;
        _count = 0;
        for (uint i = 0; i < oldSize; i++)
        {
            if (old[i].Key != 0)
            {
                Set(old[i].Key, old[i].Value);
            }
        }

        NativeMemory.Free(old);
    }
}
