using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>A git object's id: the 20 bytes of its SHA-1. All zero is "none".</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal readonly struct ObjectId : IEquatable<ObjectId>
{
    public const int Bytes = 20;
    public const int HexLength = 2 * Bytes;

    private readonly uint _a;
    private readonly uint _b;
    private readonly uint _c;
    private readonly uint _d;
    private readonly uint _e;

    /// <param name="bytes">Exactly 20 bytes.</param>
    public ObjectId(ReadOnlySpan<byte> bytes)
    {
        _a = BinaryPrimitives.ReadUInt32BigEndian(bytes);
        _b = BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]);
        _c = BinaryPrimitives.ReadUInt32BigEndian(bytes[8..]);
        _d = BinaryPrimitives.ReadUInt32BigEndian(bytes[12..]);
        _e = BinaryPrimitives.ReadUInt32BigEndian(bytes[16..]);
    }

    public bool IsNone => (_a | _b | _c | _d | _e) == 0;

    /// <summary>The first 62 bits: a place for it in tables and in the file of locks.</summary>
    public long Place => (long)((((ulong)_a << 32) | _b) >> 2);

    public static bool operator ==(ObjectId left, ObjectId right) => left.Equals(right);

    public static bool operator !=(ObjectId left, ObjectId right) => !left.Equals(right);

    /// <summary>Reads 40 hexadecimal digits, nothing before or after.</summary>
    public static bool TryParse(ReadOnlySpan<byte> hex, out ObjectId id)
    {
        Span<byte> bytes = stackalloc byte[Bytes];
        id = default;
        if (hex.Length != HexLength || Convert.FromHexString(hex, bytes, out _, out int written) != System.Buffers.OperationStatus.Done || written != Bytes)
        {
            return false;
        }

        id = new ObjectId(bytes);
        return true;
    }

    /// <inheritdoc cref="TryParse(ReadOnlySpan{byte}, out ObjectId)"/>
    public static bool TryParse(string hex, out ObjectId id)
    {
        id = default;
        return hex.Length == HexLength && System.Text.Ascii.IsValid(hex) && TryParse(System.Text.Encoding.ASCII.GetBytes(hex), out id);
    }

    /// <param name="bytes">Receives 20 bytes.</param>
    public void CopyTo(Span<byte> bytes)
    {
        BinaryPrimitives.WriteUInt32BigEndian(bytes, _a);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[4..], _b);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[8..], _c);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[12..], _d);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[16..], _e);
    }

    /// <param name="hex">Receives 40 lower-case digits.</param>
    public void CopyHexTo(Span<byte> hex)
    {
        Span<byte> bytes = stackalloc byte[Bytes];
        CopyTo(bytes);
        _ = Convert.TryToHexStringLower(bytes, hex, out _); // the room is given
    }

    public bool Equals(ObjectId other) =>
        _a == other._a && _b == other._b && _c == other._c && _d == other._d && _e == other._e;

    public override bool Equals(object? obj) => obj is ObjectId other && Equals(other);

    public override int GetHashCode() => (int)_b;

    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[Bytes];
        CopyTo(bytes);
        return Convert.ToHexStringLower(bytes);
    }
}
