using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Aot.Dicfuse.Sources;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>All extended attributes of one node in one block of native memory.</summary>
/// <remarks>
/// <code>
/// offset  size
/// 0       4     length of the names
/// 4       n     the names, each with its NUL
/// 4+n           for each name in this order: 4 bytes length of the value, -1 for an attribute that vanished; the value
/// </code>
/// </remarks>
internal static unsafe class KeptXattrs
{
    private const int Header = sizeof(int);
    private const int Vanished = -1;

    /// <summary>Reads the attributes of a node from its source.</summary>
    /// <param name="source">Where they are.</param>
    /// <param name="node">The node that stands for the object.</param>
    /// <param name="isPrivate">Names that are not kept.</param>
    /// <param name="kept">The block, freed by the caller; null when the node has no attribute at all.</param>
    /// <returns>None; ENOMEM; as the source answers.</returns>
    public static Errno Read(ITreeSource source, uint node, delegate*<ReadOnlySpan<byte>, bool> isPrivate, out byte* kept)
    {
        kept = null;
        const int Room = Xattr.XATTR_LIST_MAX + Xattr.XATTR_SIZE_MAX;
        if (!NativeBlock.TryAlloc(Room, out byte* names))
        {
            return Errno.ENOMEM;
        }

        Errno error = source.Listxattr(node, names, Xattr.XATTR_LIST_MAX, out int length);
        if (error == Errno.None && length > 0)
        {
            length = Filter(names, length, isPrivate);
            error = ReadValues(source, node, names, length, names + Xattr.XATTR_LIST_MAX, ref kept);
        }

        NativeMemory.Free(names);
        if (error is not (Errno.None or Errno.EOPNOTSUPP))
        {
            NativeMemory.Free(kept);
            kept = null;
            return error;
        }

        return Errno.None;
    }

    /// <summary>The names, each with its NUL.</summary>
    public static ReadOnlySpan<byte> Names(byte* kept) => new(kept + Header, Unsafe.ReadUnaligned<int>(kept));

    /// <summary>Copies the value of one attribute; with size 0 tells its length.</summary>
    /// <returns>None; ENODATA; ERANGE: too small.</returns>
    public static Errno Get(byte* kept, ReadOnlySpan<byte> name, byte* value, nuint size, out int length)
    {
        length = 0;
        ReadOnlySpan<byte> names = Names(kept);
        byte* at = kept + Header + names.Length;
        while (!names.IsEmpty)
        {
            int end = names.IndexOf((byte)0);
            int has = Unsafe.ReadUnaligned<int>(at);
            at += Header;
            if (names[..end].SequenceEqual(name))
            {
                if (has == Vanished)
                {
                    return Errno.ENODATA;
                }

                if (size != 0 && (nuint)has > size)
                {
                    return Errno.ERANGE;
                }

                length = has;
                if (size != 0)
                {
                    new ReadOnlySpan<byte>(at, has).CopyTo(new Span<byte>(value, has));
                }

                return Errno.None;
            }

            at += Math.Max(has, 0);
            names = names[(end + 1)..];
        }

        return Errno.ENODATA;
    }

    // A list of names without the private ones, made in place. What does not end with a NUL is no name.
    private static int Filter(byte* names, int length, delegate*<ReadOnlySpan<byte>, bool> isPrivate)
    {
        int used = 0;
        ReadOnlySpan<byte> left = new(names, length);
        while (left.IndexOf((byte)0) is >= 0 and var end)
        {
            ReadOnlySpan<byte> name = left[..(end + 1)];
            left = left[(end + 1)..];
            if (!isPrivate(name))
            {
                name.CopyTo(new Span<byte>(names + used, name.Length));
                used += name.Length;
            }
        }

        return used;
    }

    private static Errno ReadValues(ITreeSource source, uint node, byte* names, int length, byte* value, ref byte* kept)
    {
        int used = Header + length;
        if (!NativeBlock.TryGrow(ref kept, (nuint)used))
        {
            return Errno.ENOMEM;
        }

        Unsafe.WriteUnaligned(kept, length);
        new ReadOnlySpan<byte>(names, length).CopyTo(new Span<byte>(kept + Header, length));
        for (int at = 0; at < length; at += new ReadOnlySpan<byte>(names + at, length - at).IndexOf((byte)0) + 1)
        {
            Errno error = source.Getxattr(node, names + at, value, Xattr.XATTR_SIZE_MAX, out int size);
            if (error is not (Errno.None or Errno.ENODATA))
            {
                return error;
            }

            int has = error == Errno.None ? size : Vanished;
            int copied = Math.Max(has, 0);
            if (!NativeBlock.TryGrow(ref kept, (nuint)(used + Header + copied)))
            {
                return Errno.ENOMEM;
            }

            Unsafe.WriteUnaligned(kept + used, has);
            new ReadOnlySpan<byte>(value, copied).CopyTo(new Span<byte>(kept + used + Header, copied));
            used += Header + copied;
        }

        return Errno.None;
    }
}
