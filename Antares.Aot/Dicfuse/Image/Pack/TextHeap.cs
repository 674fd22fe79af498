using Antares.Aot.Base;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>The names and link targets of an image: each text once, with a NUL behind it. Place 0 is none.</summary>
internal sealed unsafe class TextHeap : IDisposable
{
    private readonly NativeList<byte> _bytes = new();
    private NativeList<uint> _slots = new();
    private long _used;

    public TextHeap()
    {
        _bytes.Add(0);
        _ = _slots.AddZeroed(1024); // places are read by index
    }

    public NativeList<byte> Bytes => _bytes;

    /// <summary>The place of a text, entered when it is new.</summary>
    /// <param name="text">Bytes without a NUL, at least one.</param>
    /// <exception cref="ImageException">More than 4 GiB of names.</exception>
    public uint Intern(ByteName text)
    {
        if ((_used + 1) * 4 > _slots.Count * 3)
        {
            Grow();
        }

        long at = Home(text.Hash(0));
        while (_slots[at] != 0)
        {
            if (Same(_slots[at], text))
            {
                return _slots[at];
            }

            at = (at + 1) & (_slots.Count - 1);
        }

        if (_bytes.Count + text.Length + 1 > uint.MaxValue)
        {
            throw new ImageException("the names take more than 4 GiB, which is more than an image can hold");
        }

        uint place = (uint)_bytes.Count;
        _bytes.AddRange(text.Span);
        _bytes.Add(0);
        _slots[at] = place;
        _used++;
        return place;
    }

    public void Dispose()
    {
        _bytes.Dispose();
        _slots.Dispose();
    }

    private long Home(ulong hash) => (long)(hash & (ulong)(_slots.Count - 1));

    private bool Same(uint place, ByteName text) =>
        place + text.Length < _bytes.Count
        && _bytes[place + text.Length] == 0
        && text.SameBytes(new ByteName(_bytes.Pointer + place, text.Length));

    private void Grow()
    {
        NativeList<uint> old = _slots;
        _slots = new NativeList<uint>();
        _ = _slots.AddZeroed(old.Count * 2); // as above
        for (long i = 0; i < old.Count; i++)
        {
            uint place = old[i];
            if (place != 0)
            {
                long at = Home(ByteName.FromNulTerminated(_bytes.Pointer + place).Hash(0));
                while (_slots[at] != 0)
                {
                    at = (at + 1) & (_slots.Count - 1);
                }

                _slots[at] = place;
            }
        }

        old.Dispose();
    }
}
