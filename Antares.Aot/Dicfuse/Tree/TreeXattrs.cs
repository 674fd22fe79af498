using System.Runtime.InteropServices;
using Antares.Aot.Dicfuse.Sources;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// Extended attributes of a tree's nodes: those of the source, without the private marks of an overlay. That a node has none is
/// remembered, since builds ask for the same missing attribute over and over.
/// </summary>
internal sealed unsafe class TreeXattrs(NodeStore store, ITreeSource source)
{
    private readonly NodeStore _store = store;
    private readonly ITreeSource _source = source;

    /// <summary>Reads one attribute; with size 0 its length.</summary>
    /// <returns>None; ENODATA: none of this name, or a private mark; ERANGE; EOPNOTSUPP is ENODATA from the second time on.</returns>
    public Errno Get(uint node, byte* name, byte* value, nuint size, out int length)
    {
        length = 0;
        NodeRecord* record = _store[node];
        if (record->Has(NodeFlags.NoXattrs) || IsPrivate(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name)))
        {
            return Errno.ENODATA;
        }

        Errno error = _source.Getxattr(node, name, value, size, out length);
        if (error is Errno.ENODATA or Errno.EOPNOTSUPP)
        {
            NoteWhetherNone(node, record);
        }

        return error;
    }

    /// <summary>Lists the names, each with its NUL; with size 0 the length.</summary>
    /// <returns>None; ERANGE; ENOMEM; as the source answers.</returns>
    public Errno List(uint node, byte* list, nuint size, out int length)
    {
        length = 0;
        NodeRecord* record = _store[node];
        if (record->Has(NodeFlags.NoXattrs))
        {
            return Errno.None;
        }

        if (!NativeBlock.TryAlloc(Xattr.XATTR_LIST_MAX, out byte* all))
        {
            return Errno.ENOMEM;
        }

        Errno error = _source.Listxattr(node, all, Xattr.XATTR_LIST_MAX, out int listed);
        if (error == Errno.EOPNOTSUPP)
        {
            error = Errno.None;
            listed = 0;
        }

        if (error == Errno.None && listed == 0)
        {
            record->Publish(NodeFlags.NoXattrs);
        }

        if (error == Errno.None)
        {
            error = CopyVisible(new ReadOnlySpan<byte>(all, listed), list, size, out length);
        }

        NativeMemory.Free(all);
        return error;
    }

    private void NoteWhetherNone(uint node, NodeRecord* record)
    {
        Errno error = _source.Listxattr(node, null, 0, out int length);
        if (error == Errno.EOPNOTSUPP || (error == Errno.None && length == 0))
        {
            record->Publish(NodeFlags.NoXattrs);
        }
    }

    private static Errno CopyVisible(ReadOnlySpan<byte> names, byte* list, nuint size, out int length)
    {
        length = 0;
        while (!names.IsEmpty)
        {
            int end = names.IndexOf((byte)0);
            int take = end < 0 ? names.Length : end + 1;
            if (!IsPrivate(names[..take]))
            {
                if (size != 0)
                {
                    if ((nuint)(length + take) > size)
                    {
                        length = 0;
                        return Errno.ERANGE;
                    }

                    names[..take].CopyTo(new Span<byte>(list + length, take));
                }

                length += take;
            }

            names = names[take..];
        }

        return Errno.None;
    }

    private static bool IsPrivate(ReadOnlySpan<byte> name) =>
        name.StartsWith("trusted.overlay."u8) || name.StartsWith("user.overlay."u8);
}
