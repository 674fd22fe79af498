using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Sources;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// Extended attributes of a tree's nodes: those of the source, without the private marks of an overlay. That a node has none is
/// remembered, since builds ask for the same missing attribute over and over; all of a node's are kept once somebody wants them
/// <see cref="Load">loaded</see>.
/// </summary>
internal sealed unsafe class TreeXattrs(NodeStore store, ITreeSource source, RequestPlaces? places) : IDisposable
{
    private readonly NodeStore _store = store;
    private readonly ITreeSource _source = source;
    private readonly NativeMap _kept = new();
    private readonly Lock _lock = new();
    private long _keptCount;

    /// <summary>True when <see cref="Get"/> and <see cref="List"/> answer without asking the source.</summary>
    public bool AreLoaded(uint node) => _store[node]->Has(NodeFlags.NoXattrs) || Kept(node) != null;

    /// <summary>Asks the source for all attributes of a node and keeps them.</summary>
    /// <returns>None; ENOMEM; as the source answers.</returns>
    public Errno Load(uint node)
    {
        if (AreLoaded(node))
        {
            return Errno.None;
        }

        byte* kept = null;
        Errno error = RequestWait.Enter(places);
        error = error == Errno.None ? KeptXattrs.Read(_source, node, &IsPrivate, out kept) : error;
        if (error != Errno.None)
        {
            return error;
        }

        if (kept == null)
        {
            _store[node]->Publish(NodeFlags.NoXattrs);
            return Errno.None;
        }

        try
        {
            lock (_lock)
            {
                if (!_kept.TryGet(node, out _))
                {
                    _kept.Set(node, (ulong)kept);
                    Volatile.Write(ref _keptCount, _kept.Count);
                    kept = null;
                }
            }

            return Errno.None;
        }
        catch (OutOfMemoryException)
        {
            return Errno.ENOMEM;
        }
        finally
        {
            // Somebody else was faster, or there is no room for it.
            NativeMemory.Free(kept);
        }
    }

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

        byte* kept = Kept(node);
        if (kept != null)
        {
            return KeptXattrs.Get(kept, MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name), value, size, out length);
        }

        Errno error = RequestWait.Enter(places);
        error = error == Errno.None ? _source.Getxattr(node, name, value, size, out length) : error;
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

        byte* kept = Kept(node);
        if (kept != null)
        {
            return CopyVisible(KeptXattrs.Names(kept), list, size, out length);
        }

        Errno error = RequestWait.Enter(places);
        if (error != Errno.None)
        {
            return error;
        }

        if (!NativeBlock.TryAlloc(Xattr.XATTR_LIST_MAX, out byte* all))
        {
            return Errno.ENOMEM;
        }

        error = _source.Listxattr(node, all, Xattr.XATTR_LIST_MAX, out int listed);
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

    public void Dispose()
    {
        foreach (ulong kept in _kept.Values)
        {
            NativeMemory.Free((void*)kept);
        }

        _kept.Dispose();
    }

    // What is kept stays where it is, so it is read without the lock.
    private byte* Kept(uint node)
    {
        if (Volatile.Read(ref _keptCount) == 0)
        {
            return null;
        }

        lock (_lock)
        {
            return _kept.TryGet(node, out ulong kept) ? (byte*)kept : null;
        }
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

    /// <summary>True for the marks of an overlay, which no layer shows.</summary>
    public static bool IsPrivate(ReadOnlySpan<byte> name) =>
        name.StartsWith("trusted.overlay."u8) || name.StartsWith("user.overlay."u8);
}
