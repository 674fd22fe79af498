using System.Text;

namespace Antares.Aot.Tests.Unit;

/// <summary>A tar archive put together block by block, so that it can say what no program would write.</summary>
internal sealed class TarBuilder
{
    private readonly MemoryStream _bytes = new();

    /// <summary>Adds a member.</summary>
    /// <param name="path">At most 100 bytes, one for each character.</param>
    /// <param name="type">The type byte.</param>
    /// <param name="content">What follows the header, filled up to a block.</param>
    /// <param name="target">Of a link.</param>
    /// <param name="edit">Changes the header before its checksum is made.</param>
    public TarBuilder Add(string path, char type = '0', string content = "", string target = "", Action<byte[]>? edit = null)
    {
        byte[] block = new byte[512];
        Put(block, 0, path);
        Put(block, 100, type == '5' ? "0000755" : "0000644");
        Put(block, 108, "0000012");
        Put(block, 116, "0000013");
        Put(block, 124, Convert.ToString(content.Length, 8).PadLeft(11, '0'));
        Put(block, 136, "07346545000");
        block[156] = (byte)type;
        Put(block, 157, target);
        Put(block, 257, "ustar\0" + "00");
        edit?.Invoke(block);
        Seal(block);
        _bytes.Write(block);
        return Raw(Encoding.Latin1.GetBytes(content)).Fill();
    }

    /// <summary>Adds an extended header for the next member.</summary>
    public TarBuilder Pax(params (string Key, string Value)[] records) => Add("pax", 'x', string.Concat(records.Select(record => Record(record.Key, record.Value))));

    public TarBuilder Raw(ReadOnlySpan<byte> bytes)
    {
        _bytes.Write(bytes);
        return this;
    }

    public byte[] End() => [.. _bytes.ToArray(), .. new byte[1024]];

    public static string Record(string key, string value)
    {
        int length = key.Length + value.Length + 3;
        while ($"{length} {key}={value}\n".Length != length)
        {
            length++;
        }

        return $"{length} {key}={value}\n";
    }

    public static void Put(byte[] block, int at, string text) => Encoding.Latin1.GetBytes(text).CopyTo(block, at);

    public static void Seal(Span<byte> block)
    {
        block.Slice(148, 8).Fill((byte)' ');
        int sum = 0;
        foreach (byte value in block)
        {
            sum += value;
        }

        Encoding.ASCII.GetBytes(Convert.ToString(sum, 8).PadLeft(6, '0') + "\0 ").CopyTo(block[148..]);
    }

    private TarBuilder Fill()
    {
        _bytes.Write(new byte[(int)(-_bytes.Length & 511)]);
        return this;
    }
}
