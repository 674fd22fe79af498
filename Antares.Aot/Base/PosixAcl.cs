using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Antares.Aot.Base;

/// <summary>POSIX ACLs as the kernel keeps them in an extended attribute (linux/posix_acl_xattr.h), as text and back, for tar.</summary>
internal static class PosixAcl
{
    private const int HeadBytes = 4;
    private const int EntryBytes = 8;
    private const uint Version = 2;

    /// <summary>"user::rw-,user:5:r--,group::r--,mask::rw-,other::r--"; null for what is no ACL.</summary>
    public static string? Text(ReadOnlySpan<byte> value)
    {
        if (value.Length < HeadBytes || (value.Length - HeadBytes) % EntryBytes != 0 || BinaryPrimitives.ReadUInt32LittleEndian(value) != Version)
        {
            return null;
        }

        var text = new StringBuilder();
        for (value = value[HeadBytes..]; !value.IsEmpty; value = value[EntryBytes..])
        {
            var tag = BinaryPrimitives.ReadUInt16LittleEndian(value);
            var permissions = BinaryPrimitives.ReadUInt16LittleEndian(value[2..]);
            var id = BinaryPrimitives.ReadUInt32LittleEndian(value[4..]);
            var (kind, named) = tag switch
            {
                0x01 => ("user", false),
                0x02 => ("user", true),
                0x04 => ("group", false),
                0x08 => ("group", true),
                0x10 => ("mask", false),
                0x20 => ("other", false),
                _ => ("", false),
            };
            if (kind.Length == 0)
            {
                return null;
            }

            _ = text.Append(text.Length == 0 ? "" : ",")
                .Append(CultureInfo.InvariantCulture, $"{kind}:{(named ? id.ToString(CultureInfo.InvariantCulture) : "")}:")
                .Append((permissions & 4) != 0 ? 'r' : '-')
                .Append((permissions & 2) != 0 ? 'w' : '-')
                .Append((permissions & 1) != 0 ? 'x' : '-');
        }

        return text.ToString();
    }

    /// <summary>The value of an extended attribute for a text as <see cref="Text"/> makes it, or star: with the id behind the permissions.</summary>
    /// <returns>Null: malformed, or somebody is named by a name and not by a number.</returns>
    public static byte[]? Parse(string text)
    {
        var entries = new List<(ushort Tag, ushort Permissions, uint Id)>();
        foreach (var line in text.Split([',', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            var parts = line.Split('#')[0].Trim().Split(':');
            if (parts.Length is < 3 or > 4 || TagOf(parts[0], isNamed: parts[1].Length > 0) is not { } tag || PermissionsOf(parts[2]) is not { } permissions)
            {
                return null;
            }

            var id = uint.MaxValue;
            if (parts[1].Length > 0 && !uint.TryParse(parts[^1].Length > 0 && parts.Length == 4 ? parts[3] : parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out id))
            {
                return null;
            }

            entries.Add((tag, permissions, id));
        }

        entries.Sort(); // as the kernel wants them
        var value = new byte[HeadBytes + (EntryBytes * entries.Count)];
        BinaryPrimitives.WriteUInt32LittleEndian(value, Version);
        var at = value.AsSpan(HeadBytes);
        foreach (var (tag, permissions, id) in entries)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(at, tag);
            BinaryPrimitives.WriteUInt16LittleEndian(at[2..], permissions);
            BinaryPrimitives.WriteUInt32LittleEndian(at[4..], id);
            at = at[EntryBytes..];
        }

        return entries.Count == 0 ? null : value;
    }

    private static ushort? TagOf(string kind, bool isNamed) => (kind, isNamed) switch
    {
        ("user" or "u", false) => 0x01,
        ("user" or "u", true) => 0x02,
        ("group" or "g", false) => 0x04,
        ("group" or "g", true) => 0x08,
        ("mask" or "m", false) => 0x10,
        ("other" or "o", false) => 0x20,
        _ => null,
    };

    private static ushort? PermissionsOf(string text) =>
        text is ['r' or '-', 'w' or '-', 'x' or '-']
            ? (ushort)((text[0] == 'r' ? 4 : 0) | (text[1] == 'w' ? 2 : 0) | (text[2] == 'x' ? 1 : 0))
            : null;
}
