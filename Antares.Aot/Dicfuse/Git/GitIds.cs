using System.Buffers.Binary;
using Antares.Aot.Base;

namespace Antares.Aot.Dicfuse.Git;

/// <summary>Ids of objects, each by a number from 1 on; equal ones have the same number. Native memory.</summary>
internal sealed unsafe class GitIds : IDisposable
{
    private const int LongestBytes = 32;

    private readonly NativeList<byte> _bytes = new();
    private readonly NativeMap _numbers = new();
    private int _idBytes;

    /// <summary>The number of an id.</summary>
    /// <param name="hex">40 or 64 hexadecimal digits; all of one length.</param>
    /// <returns>0: it is none.</returns>
    public uint NumberOf(ReadOnlySpan<byte> hex)
    {
        Span<byte> id = stackalloc byte[LongestBytes];
        _idBytes = _idBytes == 0 ? hex.Length / 2 : _idBytes;
        bool good = hex.Length is 40 or 64 && hex.Length == 2 * _idBytes
            && Convert.FromHexString(hex, id, out _, out int written) == System.Buffers.OperationStatus.Done && written == _idBytes;
        if (!good)
        {
            return 0;
        }

        id = id[.._idBytes];
        ulong key = BinaryPrimitives.ReadUInt64BigEndian(id) | 1; // 0 is no key
        if (_numbers.TryGet(key, out ulong number) && this[(uint)number].SequenceEqual(id))
        {
            return (uint)number;
        }

        // Another id with the same beginning, should there ever be one, gets a number each time: its content is then packed each time.
        _bytes.AddRange(id);
        number = (ulong)(_bytes.Count / _idBytes);
        _numbers.Set(key, number);
        return (uint)number;
    }

    /// <summary>The id of a number.</summary>
    public ReadOnlySpan<byte> this[uint number] => new(_bytes.Pointer + ((number - 1L) * _idBytes), _idBytes);

    public void Dispose()
    {
        _bytes.Dispose();
        _numbers.Dispose();
    }
}
