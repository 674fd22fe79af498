using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Layers;

namespace Antares.Aot.Dicfuse;

/// <summary>What was touched, in the order of the first touch: directories of which a name was asked for, and files that were read.</summary>
/// <remarks>All members may be called from several threads. A touch beyond a node's first one takes no lock.</remarks>
internal sealed class AccessRecord
{
    private const int BitsPerWord = 64;

    private readonly Lock _lock = new();
    private readonly List<uint> _order = [];
    private ulong[] _touched = new ulong[1024];

    /// <summary>Notes a node.</summary>
    public void Touch(uint node)
    {
        int word = (int)(node / BitsPerWord);
        ulong bit = 1UL << (int)(node % BitsPerWord);
        ulong[] touched = Volatile.Read(ref _touched);
        if (word < touched.Length && (Volatile.Read(ref touched[word]) & bit) != 0)
        {
            return;
        }

        lock (_lock)
        {
            if (word >= _touched.Length)
            {
                var more = new ulong[Math.Max(word + 1, _touched.Length * 2)];
                _touched.CopyTo(more, 0);
                Volatile.Write(ref _touched, more);
            }

            if ((_touched[word] & bit) == 0)
            {
                Volatile.Write(ref _touched[word], _touched[word] | bit);
                _order.Add(node);
            }
        }
    }

    /// <summary>The list as <see cref="AccessList"/> reads it.</summary>
    /// <param name="tree">The tree.</param>
    /// <returns>Null: no memory.</returns>
    public NativeBody? ToText(INamedTree tree)
    {
        var text = new NativeBody();
        bool room = text.TryAppend(AccessList.Header);
        var parts = new List<byte[]>();
        lock (_lock)
        {
            foreach (uint node in _order)
            {
                parts.Clear();
                bool isTold = true;
                for (uint at = node; at != ILayer.RootNode && isTold;)
                {
                    isTold = tree.TryGetName(at, out uint directory, out Base.ByteName name);
                    if (isTold)
                    {
                        parts.Add(name.Span.ToArray());
                        at = directory;
                    }
                }

                if (!isTold)
                {
                    continue;
                }

                room = room && text.TryAppend(tree.IsDirectory(node) ? "D "u8 : "F "u8) && (parts.Count > 0 || text.TryAppend("/"u8));
                for (int i = parts.Count - 1; i >= 0 && room; i--)
                {
                    room = text.TryAppend("/"u8) && AccessList.TryAppendName(text, parts[i]);
                }

                room = room && text.TryAppend("\n"u8);
            }
        }

        if (room)
        {
            return text;
        }

        text.Dispose();
        return null;
    }
}

/// <summary>The text of a record: a line that names the format, then for each object "D" or "F", a blank and its path.</summary>
/// <remarks>Paths begin at the mounted directory; in names '%' is "%25" and a line break "%0A", all other bytes are as they are.</remarks>
internal static class AccessList
{
    public static ReadOnlySpan<byte> Header => "antares-access 1\n"u8;

    /// <summary>False: no memory.</summary>
    public static bool TryAppendName(NativeBody text, ReadOnlySpan<byte> name)
    {
        while (name.IndexOfAny((byte)'%', (byte)'\n') is var at and >= 0)
        {
            if (!text.TryAppend(name[..at]) || !text.TryAppend(name[at] == (byte)'%' ? "%25"u8 : "%0A"u8))
            {
                return false;
            }

            name = name[(at + 1)..];
        }

        return text.TryAppend(name);
    }

    /// <summary>Takes the next object from a text whose header was checked.</summary>
    /// <param name="text">The text.</param>
    /// <param name="at">Where to go on; afterwards behind the line.</param>
    /// <param name="path">Its path, to be read with <see cref="NameOf"/> part by part.</param>
    /// <param name="isDirectory">Its kind.</param>
    /// <returns>False: the end, or something else than this format.</returns>
    public static bool TryNext(ReadOnlySpan<byte> text, ref int at, out ReadOnlySpan<byte> path, out bool isDirectory)
    {
        ReadOnlySpan<byte> rest = text[at..];
        int end = rest.IndexOf((byte)'\n');
        path = default;
        isDirectory = rest.StartsWith("D /"u8);
        if (end < 0 || (!isDirectory && !rest.StartsWith("F /"u8)))
        {
            return false;
        }

        path = rest[2..end];
        at += end + 1;
        return true;
    }

    /// <summary>Writes a name as it is, with a NUL behind it.</summary>
    /// <param name="part">From a path.</param>
    /// <param name="name">Room for 256 bytes.</param>
    /// <returns>Its length; 0: not a name.</returns>
    public static int NameOf(ReadOnlySpan<byte> part, Span<byte> name)
    {
        int length = 0;
        for (int i = 0; i < part.Length; i++)
        {
            bool escaped = part[i] == (byte)'%';
            byte value = !escaped ? part[i] : part[i..].StartsWith("%25"u8) ? (byte)'%' : part[i..].StartsWith("%0A"u8) ? (byte)'\n' : (byte)0;
            if (value == 0 || length == Base.ByteName.MaxLength)
            {
                return 0;
            }

            i += escaped ? 2 : 0;
            name[length++] = value;
        }

        name[length] = 0;
        return length;
    }
}
