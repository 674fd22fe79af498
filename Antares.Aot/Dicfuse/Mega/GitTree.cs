using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Store;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>What an entry of a git tree is.</summary>
internal enum GitMode : byte
{
    None = 0,
    File = 1,
    Executable = 2,
    Symlink = 3,
    Directory = 4,
    Submodule = 5,
}

/// <summary>Reads a raw git tree: entries "MODE NAME", a NUL, 20 bytes. Checks each before it shows it.</summary>
internal ref struct GitTreeReader(ReadOnlySpan<byte> raw)
{
    private const int LongestMode = 6;

    private ReadOnlySpan<byte> _rest = raw;

    public GitMode Mode { get; private set; }

    /// <summary>1 to 255 bytes, without '/' and NUL, not "." or "..".</summary>
    public ReadOnlySpan<byte> Name { get; private set; }

    public ObjectId Id { get; private set; }

    /// <summary>Why <see cref="MoveNext"/> ended early; null: it came to the end.</summary>
    public string? Damage { get; private set; }

    public bool MoveNext()
    {
        if (_rest.IsEmpty || Damage is not null)
        {
            return false;
        }

        int space = _rest[..Math.Min(_rest.Length, LongestMode + 1)].IndexOf((byte)' ');
        int nul = _rest.IndexOf((byte)0);
        if (space < 0 || nul < space || _rest.Length - nul - 1 < ObjectId.Bytes)
        {
            Damage = "a raw tree is cut off or damaged";
            return false;
        }

        Mode = ModeOf(_rest[..space]);
        Name = _rest[(space + 1)..nul];
        Id = new ObjectId(_rest.Slice(nul + 1, ObjectId.Bytes));
        _rest = _rest[(nul + 1 + ObjectId.Bytes)..];
        Damage = Mode == GitMode.None ? "a raw tree has an entry of an unknown mode" : DamageOf(Name);
        return Damage is null;
    }

    /// <summary>Why bytes cannot be a name in a directory; null: they can.</summary>
    public static string? DamageOf(ReadOnlySpan<byte> name) => name switch
    {
        [] => "an empty name",
        [(byte)'.'] or [(byte)'.', (byte)'.'] => "the name '.' or '..'",
        _ when name.Length > ByteName.MaxLength => "a name longer than 255 bytes",
        _ when name.ContainsAny((byte)'/', (byte)0) => "a name with '/' or NUL in it",
        _ => null,
    };

    /// <summary>The mode as git writes it.</summary>
    public static ReadOnlySpan<byte> TextOf(GitMode mode) => mode switch
    {
        GitMode.File => "100644"u8,
        GitMode.Executable => "100755"u8,
        GitMode.Symlink => "120000"u8,
        GitMode.Directory => "40000"u8,
        _ => "160000"u8,
    };

    // 100664 is what very old versions of git wrote.
    private static GitMode ModeOf(ReadOnlySpan<byte> text) =>
        text.SequenceEqual("100644"u8) || text.SequenceEqual("100664"u8) ? GitMode.File
        : text.SequenceEqual("100755"u8) ? GitMode.Executable
        : text.SequenceEqual("120000"u8) ? GitMode.Symlink
        : text.SequenceEqual("40000"u8) || text.SequenceEqual("040000"u8) ? GitMode.Directory
        : text.SequenceEqual("160000"u8) ? GitMode.Submodule
        : GitMode.None;
}

/// <summary>One entry while a tree is put together from a listing without modes.</summary>
internal struct TreeEntry
{
    public byte[] Name;
    public ObjectId Id;
    public GitMode Mode;

    /// <summary>The mode is a guess.</summary>
    public bool IsUnsure;
}

/// <summary>Puts raw trees together as git does, so that their hash can be compared.</summary>
internal static class GitTreeWriter
{
    /// <summary>Sorts as git sorts: by bytes, a directory as if its name ended in '/'.</summary>
    public static void Sort(TreeEntry[] entries) => Array.Sort(entries, Compare);

    /// <summary>The raw tree of sorted entries.</summary>
    public static byte[] Write(TreeEntry[] entries)
    {
        int length = 0;
        foreach (ref TreeEntry entry in entries.AsSpan())
        {
            length += GitTreeReader.TextOf(entry.Mode).Length + 1 + entry.Name.Length + 1 + ObjectId.Bytes;
        }

        var raw = new byte[length];
        Span<byte> rest = raw;
        foreach (ref TreeEntry entry in entries.AsSpan())
        {
            ReadOnlySpan<byte> mode = GitTreeReader.TextOf(entry.Mode);
            mode.CopyTo(rest);
            rest[mode.Length] = (byte)' ';
            rest = rest[(mode.Length + 1)..];
            entry.Name.CopyTo(rest);
            rest[entry.Name.Length] = 0;
            entry.Id.CopyTo(rest[(entry.Name.Length + 1)..]);
            rest = rest[(entry.Name.Length + 1 + ObjectId.Bytes)..];
        }

        return raw;
    }

    private static int Compare(TreeEntry left, TreeEntry right)
    {
        int common = Math.Min(left.Name.Length, right.Name.Length);
        int order = left.Name.AsSpan(0, common).SequenceCompareTo(right.Name.AsSpan(0, common));
        return order != 0 ? order : ByteAt(left, common) - ByteAt(right, common);
    }

    private static int ByteAt(in TreeEntry entry, int at) =>
        at < entry.Name.Length ? entry.Name[at] : entry.Mode == GitMode.Directory ? '/' : 0;
}
