using System.Globalization;
using System.Text;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Images;

/// <summary>One member of a tar archive. Paths and targets are bytes without a NUL.</summary>
internal sealed record TarMember
{
    public required byte[] Path { get; init; }

    /// <summary>The type in the header: 0 file, 1 hard link, 2 symlink, 3 and 4 devices, 5 directory, 6 FIFO.</summary>
    public required char Type { get; init; }

    public required stat Attributes { get; init; }

    /// <summary>Target of a link of either kind.</summary>
    public byte[] Target { get; init; } = [];

    /// <summary>Names end with a NUL.</summary>
    public IReadOnlyList<(byte[] Name, byte[] Value)> Xattrs { get; init; } = [];
}

/// <summary>
/// Writes a tar archive (POSIX.1-2001, "pax"): what a plain header cannot hold (long paths, large numbers, parts of seconds, extended
/// attributes) comes in an extended header before it.
/// </summary>
internal sealed unsafe class TarWriter(int fd)
{
    private const int BlockBytes = 512;
    private const int NameBytes = 100;
    private const ulong LargestSize = 0x1_FFFF_FFFF;
    private const uint LargestId = 0x1F_FFFF;

    private readonly byte[] _block = new byte[BlockBytes];

    /// <summary>The header; the content of a file follows by <see cref="Write"/> and <see cref="EndContent"/>.</summary>
    public Errno Begin(TarMember member)
    {
        var attributes = member.Attributes;
        var size = member.Type == '0' ? (ulong)attributes.st_size : 0;
        using var extended = new MemoryStream();
        if (member.Path.Length > NameBytes)
        {
            Record(extended, "path"u8, member.Path);
        }

        if (member.Target.Length > NameBytes)
        {
            Record(extended, "linkpath"u8, member.Target);
        }

        if (size > LargestSize)
        {
            Record(extended, "size"u8, Number(size));
        }

        if (attributes.st_uid > LargestId)
        {
            Record(extended, "uid"u8, Number(attributes.st_uid));
        }

        if (attributes.st_gid > LargestId)
        {
            Record(extended, "gid"u8, Number(attributes.st_gid));
        }

        if (attributes.st_mtim.tv_nsec != 0 || attributes.st_mtim.tv_sec is < 0 or > (long)LargestSize)
        {
            Record(extended, "mtime"u8, Encoding.ASCII.GetBytes(TimeText(attributes.st_mtim)));
        }

        foreach (var (name, value) in member.Xattrs)
        {
            var key = name.AsSpan(0, name.Length - 1);
            if (key.StartsWith("system.posix_acl_"u8) && PosixAcl.Text(value) is { } acl)
            {
                Record(extended, [.. "SCHILY.acl."u8, .. key["system.posix_acl_".Length..]], Encoding.ASCII.GetBytes(acl));
            }
            else
            {
                Record(extended, [.. "SCHILY.xattr."u8, .. key], value);
            }
        }

        var error = Errno.None;
        if (extended.Length > 0)
        {
            Fill(new TarMember { Path = [.. "PaxHeaders/"u8, .. Tail(member.Path)], Type = 'x', Attributes = default }, (ulong)extended.Length);
            error = Write(_block);
            if (error == Errno.None)
            {
                error = Write(extended.ToArray());
            }

            if (error == Errno.None)
            {
                error = EndContent((ulong)extended.Length);
            }
        }

        if (error == Errno.None)
        {
            Fill(member, size > LargestSize ? 0 : size);
            error = Write(_block);
        }

        return error;
    }

    public Errno Write(ReadOnlySpan<byte> bytes) => Mounts.HostPath.Write(fd, bytes);

    /// <summary>Fills the last block of a content.</summary>
    /// <param name="size">Bytes written.</param>
    public Errno EndContent(ulong size)
    {
        Array.Clear(_block);
        var rest = (int)(size % BlockBytes);
        return rest == 0 ? Errno.None : Write(_block.AsSpan(rest));
    }

    /// <summary>Ends the archive.</summary>
    public Errno End() => Write(new byte[2 * BlockBytes]);

    private static ReadOnlySpan<byte> Tail(byte[] path) => path.AsSpan(Math.Max(0, path.Length - (NameBytes - "PaxHeaders/".Length)));

    private void Fill(TarMember member, ulong size)
    {
        const int ChecksumOffset = 148;
        const int ChecksumBytes = 8;
        var attributes = member.Attributes;
        Array.Clear(_block);
        Text(0, NameBytes, member.Path);
        Octal(100, 8, attributes.st_mode & 0xFFF);
        Octal(108, 8, Math.Min(attributes.st_uid, LargestId));
        Octal(116, 8, Math.Min(attributes.st_gid, LargestId));
        Octal(124, 12, size);
        Octal(136, 12, (ulong)Math.Clamp(attributes.st_mtim.tv_sec, 0, (long)LargestSize));
        _block[156] = (byte)member.Type;
        Text(157, NameBytes, member.Target);
        "ustar\000"u8.CopyTo(_block.AsSpan(257));
        if (member.Type is '3' or '4')
        {
            Octal(329, 8, DeviceNumbers.Major(attributes.st_rdev));
            Octal(337, 8, DeviceNumbers.Minor(attributes.st_rdev));
        }

        _block.AsSpan(ChecksumOffset, ChecksumBytes).Fill((byte)' ');
        ulong sum = 0;
        foreach (var value in _block)
        {
            sum += value;
        }

        Octal(ChecksumOffset, ChecksumBytes - 1, sum);
    }

    private void Text(int offset, int room, byte[] text) => text.AsSpan(0, Math.Min(room, text.Length)).CopyTo(_block.AsSpan(offset));

    private void Octal(int offset, int room, ulong value)
    {
        for (var at = offset + room - 2; at >= offset; at--)
        {
            _block[at] = (byte)('0' + (int)(value & 7));
            value >>= 3;
        }

        _block[offset + room - 1] = 0;
    }

    private static byte[] Number(ulong value) => Encoding.ASCII.GetBytes(value.ToString(CultureInfo.InvariantCulture));

    private static string TimeText(timespec time)
    {
        // Parts of a second count upwards, also before 1970.
        var (sign, seconds, nanoseconds) = time.tv_sec < 0 && time.tv_nsec != 0
            ? ("-", -(time.tv_sec + 1), 1_000_000_000 - time.tv_nsec)
            : (time.tv_sec < 0 ? "-" : "", Math.Abs(time.tv_sec), time.tv_nsec);
        return string.Create(CultureInfo.InvariantCulture, $"{sign}{seconds}.{nanoseconds:D9}");
    }

    /// <summary>"LENGTH KEY=VALUE\n", where the length counts its own digits.</summary>
    private static void Record(MemoryStream target, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        var rest = 1 + key.Length + 1 + value.Length + 1;
        var length = rest + 1;
        while (length != rest + length.ToString(CultureInfo.InvariantCulture).Length)
        {
            length = rest + length.ToString(CultureInfo.InvariantCulture).Length;
        }

        target.Write(Number((ulong)length));
        target.WriteByte((byte)' ');
        target.Write(key);
        target.WriteByte((byte)'=');
        target.Write(value);
        target.WriteByte((byte)'\n');
    }
}
