using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Archives;

/// <summary>One header block of a tar archive: ustar, GNU's own form, star's, or the one from before them.</summary>
internal readonly ref struct TarHeader(ReadOnlySpan<byte> block)
{
    public const int BlockBytes = 512;

    private const int ChecksumAt = 148;
    private const int ChecksumBytes = 8;
    private const uint Permissions = 0xFFF;

    private readonly ReadOnlySpan<byte> _block = block;

    /// <summary>The byte that tells what the member is.</summary>
    public char Type => (char)_block[156];

    /// <summary>Bytes that follow.</summary>
    public ulong Size => Unsigned(124, 12, "size");

    public uint Mode => (uint)(Number(100, 8, "mode") & Permissions);

    public uint Uid => Id(108, "owner");

    public uint Gid => Id(116, "group");

    public timespec Time => new()
    {
        // What no file system holds is cut where an image cuts it.
        tv_sec = (long)Int128.Clamp(Number(136, 12, "time"), long.MinValue, long.MaxValue),
    };

    public ulong Device => DeviceNumbers.Make((uint)Unsigned(329, 8, "device"), (uint)Unsigned(337, 8, "device"));

    public ReadOnlySpan<byte> Target => Text(157, 100);

    /// <summary>The path, put together where it is cut in two.</summary>
    public byte[] Path
    {
        get
        {
            ReadOnlySpan<byte> name = Text(0, 100);
            bool isUstar = _block.Slice(257, 6).SequenceEqual("ustar\0"u8);
            bool isStar = _block.Slice(508, 4).SequenceEqual("tar\0"u8);
            ReadOnlySpan<byte> prefix = isUstar ? Text(345, isStar ? 131 : 155) : default;
            return prefix.IsEmpty ? name.ToArray() : [.. prefix, (byte)'/', .. name];
        }
    }

    /// <summary>True when the sum of the block's bytes is what it says; some old programs added them up as signed numbers.</summary>
    public static bool IsSound(ReadOnlySpan<byte> block)
    {
        long unsigned = 0;
        long signed = 0;
        for (int i = 0; i < BlockBytes; i++)
        {
            byte value = i is >= ChecksumAt and < ChecksumAt + ChecksumBytes ? (byte)' ' : block[i];
            unsigned += value;
            signed += (sbyte)value;
        }

        return TryNumber(block.Slice(ChecksumAt, ChecksumBytes), out Int128 told) && (told == unsigned || told == signed);
    }

    /// <summary>The pieces of a sparse file in GNU's old form; more may follow in blocks of their own.</summary>
    /// <param name="realSize">Size of the file with its holes.</param>
    /// <param name="more">True: a block of further pieces follows.</param>
    public List<ulong> SparseNumbers(out ulong realSize, out bool more)
    {
        realSize = Unsigned(483, 12, "size");
        return Numbers(_block, 386, 4, 482, out more);
    }

    /// <summary>The pieces in a block of further ones.</summary>
    public static List<ulong> FurtherSparseNumbers(ReadOnlySpan<byte> block, out bool more) => Numbers(block, 0, 21, 504, out more);

    private static List<ulong> Numbers(ReadOnlySpan<byte> block, int at, int pieces, int moreAt, out bool more)
    {
        const int NumberBytes = 12;
        List<ulong> numbers = [];
        for (int i = 0; i < 2 * pieces && block[at + (i / 2 * 2 * NumberBytes)] != 0; i++)
        {
            numbers.Add(new TarHeader(block).Unsigned(at + (i * NumberBytes), NumberBytes, "sparse map"));
        }

        more = block[moreAt] != 0;
        return numbers;
    }

    private uint Id(int at, string what)
    {
        ulong id = Unsigned(at, 8, what);
        return id < uint.MaxValue ? (uint)id : throw Malformed(what);
    }

    private ulong Unsigned(int at, int bytes, string what)
    {
        Int128 number = Number(at, bytes, what);
        return number >= 0 && number <= long.MaxValue ? (ulong)number : throw Malformed(what);
    }

    private Int128 Number(int at, int bytes, string what) => TryNumber(_block.Slice(at, bytes), out Int128 number) ? number : throw Malformed(what);

    private ImageException Malformed(string what) => new($"is damaged: {Utf8.Print(Text(0, 100))} has a malformed {what}");

    private ReadOnlySpan<byte> Text(int at, int room)
    {
        ReadOnlySpan<byte> field = _block.Slice(at, room);
        int end = field.IndexOf((byte)0);
        return end < 0 ? field : field[..end];
    }

    /// <summary>Octal digits between blanks; or, where the first bit is set, the number itself, most significant byte first (GNU, star).</summary>
    private static bool TryNumber(ReadOnlySpan<byte> field, out Int128 number)
    {
        number = 0;
        if ((field[0] & 0x80) != 0)
        {
            // At most 12 bytes. The second bit is the sign.
            number = (field[0] & 0x40) != 0 ? (sbyte)field[0] : field[0] & 0x7F;
            foreach (byte value in field[1..])
            {
                number = (number << 8) | value;
            }

            return true;
        }

        field = field.TrimStart((byte)' ');
        int end = field.IndexOfAny((byte)' ', (byte)0);
        foreach (byte digit in end < 0 ? field : field[..end])
        {
            if (digit is < (byte)'0' or > (byte)'7')
            {
                return false;
            }

            number = (number << 3) | (uint)(digit - '0');
        }

        return true;
    }
}
