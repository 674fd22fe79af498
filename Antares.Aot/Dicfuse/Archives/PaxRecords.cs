using System.Globalization;
using System.Text;
using Antares.Aot.Dicfuse.Image;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Archives;

/// <summary>
/// The "LENGTH KEY=VALUE" records of extended headers (POSIX.1-2001 "pax"). Keys are kept one character for each byte, values as bytes:
/// names and attributes in an archive need not be text.
/// </summary>
internal sealed class PaxRecords
{
    private const string XattrPrefix = "SCHILY.xattr.";

    private readonly Dictionary<string, byte[]> _values = [];

    /// <summary>Extended attributes, by their names as the archive has them.</summary>
    private readonly Dictionary<string, byte[]> _xattrs = [];

    /// <summary>Says what is not said here: the archive's global header. Asked, not copied, since each member has it.</summary>
    public PaxRecords? Default { get; set; }

    /// <summary>Pieces of a sparse file as its oldest form tells them, a record each: offset, length, offset …</summary>
    public List<ulong> SparseNumbers { get; } = [];

    /// <summary>Adds the records of one extended header; later ones win. An empty value takes one away, but for attributes.</summary>
    /// <exception cref="ImageException">Malformed.</exception>
    public void Add(ReadOnlySpan<byte> records)
    {
        while (!records.IsEmpty)
        {
            int space = records.IndexOf((byte)' ');
            bool good = TryNumber(space > 0 ? records[..space] : default, out ulong length)
                && length <= (ulong)records.Length && (int)length > space + 1 && records[(int)length - 1] == (byte)'\n';
            ReadOnlySpan<byte> record = good ? records[(space + 1)..((int)length - 1)] : default;
            int equals = record.IndexOf((byte)'=');
            if (equals <= 0)
            {
                // Some archives end the records with zeros.
                if (!records.ContainsAnyExcept((byte)0))
                {
                    return;
                }

                throw new ImageException("has an extended header that is none: it is damaged");
            }

            Add(Encoding.Latin1.GetString(record[..equals]), record[(equals + 1)..]);
            records = records[(int)length..];
        }
    }

    public byte[]? Bytes(string key) => _values.TryGetValue(key, out byte[]? value) ? (value.Length > 0 ? value : null) : Default?.Bytes(key);

    /// <exception cref="ImageException">It is there, but no number.</exception>
    public ulong? Number(string key) =>
        Bytes(key) is not { } text ? null
        : TryNumber(text, out ulong number) ? number
        : throw Malformed(key);

    /// <summary>A time: seconds, maybe before 1970, and parts of one to the nanosecond.</summary>
    /// <exception cref="ImageException">It is there, but no time.</exception>
    public timespec? Time(string key)
    {
        if (Bytes(key) is not { } text)
        {
            return null;
        }

        bool isNegative = text[0] == (byte)'-';
        ReadOnlySpan<byte> rest = text.AsSpan(isNegative ? 1 : 0);
        int point = rest.IndexOf((byte)'.');
        ReadOnlySpan<byte> whole = point < 0 ? rest : rest[..point];
        ReadOnlySpan<byte> part = point < 0 ? default : rest[(point + 1)..];
        if (!TryNumber(whole, out ulong seconds) || seconds > long.MaxValue || part.ContainsAnyExceptInRange((byte)'0', (byte)'9'))
        {
            throw Malformed(key);
        }

        long nanoseconds = 0;
        for (int i = 0; i < 9; i++)
        {
            nanoseconds = (nanoseconds * 10) + (i < part.Length ? part[i] - '0' : 0);
        }

        // Parts of a second count upwards, also before 1970.
        return isNegative && nanoseconds > 0
            ? new timespec { tv_sec = -(long)seconds - 1, tv_nsec = 1_000_000_000 - nanoseconds }
            : new timespec { tv_sec = isNegative ? -(long)seconds : (long)seconds, tv_nsec = nanoseconds };
    }

    /// <summary>The extended attributes, with access control lists as the kernel keeps them.</summary>
    /// <param name="unknownAcls">Raised for each list that names users by name.</param>
    /// <exception cref="ImageException">A name or value that no file system takes.</exception>
    public List<(byte[] Name, byte[] Value)> Xattrs(ref int unknownAcls)
    {
        const int LongestName = 255;
        const int LongestValue = 65536;
        List<(byte[] Name, byte[] Value)> all = [];
        HashSet<string> names = [];
        int listed = 0;
        foreach ((string key, byte[] value) in _xattrs.Concat(Default?._xattrs ?? []))
        {
            // The two characters that GNU tar escapes in names.
            string name = key.Replace("%3D", "=", StringComparison.Ordinal).Replace("%25", "%", StringComparison.Ordinal);
            AddOnce(all, names, name, value);
            listed += name.Length + 1;
            if (listed > Xattr.XATTR_LIST_MAX)
            {
                throw new ImageException($"has extended attributes of one file whose names take more than {Xattr.XATTR_LIST_MAX} bytes, and no system lists more");
            }
        }

        if (Bytes("RHT.security.selinux") is { } label)
        {
            AddOnce(all, names, "security.selinux", label);
        }

        unknownAcls += AddAcl(all, names, "SCHILY.acl.access", "system.posix_acl_access") ? 0 : 1;
        unknownAcls += AddAcl(all, names, "SCHILY.acl.default", "system.posix_acl_default") ? 0 : 1;
        return all.Find(pair => pair.Name.Length is 0 or > LongestName || pair.Name.Contains((byte)0) || pair.Value.Length > LongestValue).Name is { } bad
            ? throw new ImageException($"has an extended attribute that no file system takes ({Interop.Utf8.Print(bad)})")
            : all;
    }

    /// <summary>Adds an attribute, unless it is there already.</summary>
    private static void AddOnce(List<(byte[] Name, byte[] Value)> all, HashSet<string> names, string name, byte[] value)
    {
        if (names.Add(name))
        {
            all.Add((Encoding.Latin1.GetBytes(name), value));
        }
    }

    /// <summary>Adds an access control list that comes as text, unless it came as an attribute as well, or says no more than the mode does.</summary>
    /// <returns>False: it names somebody by name.</returns>
    private bool AddAcl(List<(byte[] Name, byte[] Value)> all, HashSet<string> names, string key, string name)
    {
        const int Trivial = 4 + (3 * 8);
        if (Bytes(key) is not { } text)
        {
            return true;
        }

        byte[]? acl = Base.PosixAcl.Parse(Encoding.UTF8.GetString(text));
        bool isAccess = name.EndsWith("access", StringComparison.Ordinal);
        if (acl is not null && !(isAccess && acl.Length == Trivial))
        {
            AddOnce(all, names, name, acl);
        }

        return acl is not null || names.Contains(name);
    }

    /// <summary>Decimal digits and nothing else.</summary>
    internal static bool TryNumber(ReadOnlySpan<byte> text, out ulong number) =>
        ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    private static ImageException Malformed(string key) => new($"has an extended header whose {key} is malformed: it is damaged");

    private void Add(string key, ReadOnlySpan<byte> value)
    {
        if (key is "GNU.sparse.offset" or "GNU.sparse.numbytes")
        {
            SparseNumbers.Add(TryNumber(value, out ulong number) ? number : throw Malformed(key));
        }

        if (key.StartsWith(XattrPrefix, StringComparison.Ordinal))
        {
            _xattrs[key[XattrPrefix.Length..]] = value.ToArray();
        }
        else
        {
            _values[key] = value.ToArray();
        }
    }
}
