using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Antares.Aot.Images;

/// <summary>POSIX ACLs as the kernel keeps them in an extended attribute (linux/posix_acl_xattr.h), as text for tar.</summary>
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
}
