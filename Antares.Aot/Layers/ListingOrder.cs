using System.Runtime.InteropServices;
using Antares.Aot.Base;

namespace Antares.Aot.Layers;

/// <summary>
/// The names of one directory in the order of their cookies. A cookie is drawn from the name alone (<see cref="CookieOf"/>), so that a
/// name that is removed and made again stands where it stood, and a reader that renames or makes again what it lists comes to an end:
/// a new name falls behind it as often as before it, as in the hashed directories of ext4.
/// </summary>
/// <remarks>
/// <code>
/// slots: a hash table with linear probing whose entries keep the order of their hashes, so that a walk over it is the listing
///   home of an entry = the upper bits of its cookie; it lies at its home or behind, and no free slot lies between
///   [0 .. capacity)  homes        [capacity .. length)  room for what is pushed past the last home; the last slot is always free
/// </code>
/// Adding, removing and finding the place after a cookie cost the same whatever the number of names; names whose cookies lie close together
/// cost more, and the table never grows for them by more than their number. Not synchronised; native memory only.
/// </remarks>
public unsafe struct ListingOrder
{
    /// <summary>Bits of a cookie; the bits above are the merged listing's.</summary>
    public const int CookieBits = 36;

    private const uint Smallest = 8;
    private const uint KeptWhenEmpty = 64;
    private const uint LeastSpill = 8;

    private uint* _slots;
    private uint _capacity;
    private uint _length;

    // No entry lies before this slot.
    private uint _first;

    /// <summary>Number of names.</summary>
    public uint Count { get; private set; }

    /// <summary>The cookie that a name's hash gives, 1 to 2^36 - 1. Two names of one directory may share it: <see cref="Add"/> then takes the next.</summary>
    public static ulong CookieOf(ulong hash)
    {
        ulong cookie = hash >> (64 - CookieBits);
        return cookie == 0 ? 1 : cookie;
    }

    /// <summary>Adds a name whose record bears the cookie that it would like to have, and may be given another one.</summary>
    public void Add(NativeTable<Dentry> names, uint dentry)
    {
        if ((Count + 1) * 3UL > _capacity * 2UL)
        {
            Resize(names, _capacity == 0 ? Smallest : _capacity * 2);
        }

        Place(names, dentry);
        Count++;
    }

    /// <summary>Removes a name that was added.</summary>
    public void Remove(NativeTable<Dentry> names, uint dentry)
    {
        uint slot = Home(names[dentry]->Cookie);
        while (_slots[slot] != dentry)
        {
            slot++;
        }

        // Those behind it move up, as far as their homes allow.
        for (uint next = slot + 1; _slots[next] != 0 && Home(names[_slots[next]]->Cookie) < next; next++)
        {
            _slots[slot++] = _slots[next];
        }

        _slots[slot] = 0;
        Count--;
        if (Count == 0 && _capacity > KeptWhenEmpty)
        {
            Free();
        }
        else if (_capacity > KeptWhenEmpty && Count * 8UL < _capacity)
        {
            Resize(names, _capacity / 4);
        }
    }

    /// <summary>The name after a cookie, 0 at the end. Cookie 0 asks for the first.</summary>
    public uint After(NativeTable<Dentry> names, ulong cookie)
    {
        if (Count == 0)
        {
            return 0;
        }

        uint slot = cookie >> CookieBits != 0 ? _length : Home(cookie);
        if (slot <= _first)
        {
            while (_slots[_first] == 0)
            {
                _first++;
            }

            slot = _first;
        }

        for (; slot < _length; slot++)
        {
            if (_slots[slot] != 0 && names[_slots[slot]]->Cookie > cookie)
            {
                return _slots[slot];
            }
        }

        return 0;
    }

    /// <summary>Gives the memory back. The names are no longer in it.</summary>
    public void Free()
    {
        NativeMemory.Free(_slots);
        this = default;
    }

    private readonly uint Home(ulong cookie) => (uint)(cookie >> (CookieBits - (int)uint.Log2(_capacity)));

    private void Place(NativeTable<Dentry> names, uint dentry)
    {
        ulong cookie = names[dentry]->Cookie;
        uint slot = Home(cookie);
        while (_slots[slot] != 0 && names[_slots[slot]]->Cookie <= cookie)
        {
            if (names[_slots[slot]]->Cookie == cookie)
            {
                cookie = cookie + 1 == 1UL << CookieBits ? 1 : cookie + 1;
                slot = Home(cookie);
                continue;
            }

            slot++;
        }

        uint end = slot;
        while (_slots[end] != 0)
        {
            end++;
        }

        if (end == _length - 1)
        {
            Lengthen();
        }

        for (; end > slot; end--)
        {
            _slots[end] = _slots[end - 1];
        }

        _slots[slot] = dentry;
        names[dentry]->Cookie = cookie;
        _first = Math.Min(_first, slot);
    }

    // More room behind the last home.
    private void Lengthen()
    {
        uint length = _length + (_length - _capacity);
        _slots = (uint*)NativeMemory.Realloc(_slots, length * (nuint)sizeof(uint));
        NativeMemory.Clear(_slots + _length, (length - _length) * (nuint)sizeof(uint));
        _length = length;
    }

    private void Resize(NativeTable<Dentry> names, uint capacity)
    {
        ListingOrder other = default;
        other.Fill(names, in this, capacity);
        NativeMemory.Free(_slots);
        this = other;
    }

    private void Fill(NativeTable<Dentry> names, ref readonly ListingOrder old, uint capacity)
    {
        uint length = capacity + LeastSpill + 1;
        _slots = (uint*)NativeMemory.AllocZeroed(length, sizeof(uint));
        _capacity = capacity;
        _length = length;
        _first = length;
        Count = old.Count;
        uint free = 0;
        for (uint from = 0; from < old._length; from++)
        {
            uint dentry = old._slots[from];
            if (dentry != 0)
            {
                uint slot = Math.Max(free, Home(names[dentry]->Cookie));
                if (slot == _length - 1)
                {
                    Lengthen();
                }

                _slots[slot] = dentry;
                _first = Math.Min(_first, slot);
                free = slot + 1;
            }
        }
    }
}
