using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image;

/// <summary>
/// Extended attributes of an image's nodes. A set is a sequence of attributes sorted by name, each: four bytes length of the value, one byte
/// length of the name (1 to 255), the name, a NUL, the value; four bytes of ones end it.
/// </summary>
internal sealed unsafe class ImageXattrs(ImageFile image)
{
    /// <summary>Bytes of an attribute before its name.</summary>
    public const int HeadBytes = 5;

    public const uint EndOfSet = uint.MaxValue;
    public const uint LargestValue = Xattr.XATTR_SIZE_MAX;

    private readonly SectionPlace _nodes = image.Header[ImageSection.XattrNodes];
    private readonly SectionPlace _sets = image.Header[ImageSection.XattrSets];

    /// <summary>Reads one attribute; with size 0 its length.</summary>
    /// <param name="node">Index of the node that stands for the object.</param>
    /// <param name="record">Its record.</param>
    /// <param name="name">NUL-terminated.</param>
    /// <param name="value">Receives the value.</param>
    /// <param name="size">Room.</param>
    /// <param name="length">Length of the value.</param>
    /// <returns>None; ENODATA; ERANGE; EIO.</returns>
    public Errno Get(uint node, in ImageNode record, byte* name, byte* value, nuint size, out int length)
    {
        length = 0;
        if ((record.Flags & ImageNode.HasXattrs) == 0)
        {
            return Errno.ENODATA;
        }

        ReadOnlySpan<byte> wanted = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name);
        if (TreeXattrs.IsPrivate(wanted))
        {
            return Errno.ENODATA;
        }

        Errno error = Open(node, out Cursor cursor);
        while (error == Errno.None && (error = Next(ref cursor)) == Errno.None)
        {
            if (cursor.Name.SequenceEqual(wanted))
            {
                length = cursor.Value.Length;
                if (size == 0)
                {
                    return Errno.None;
                }

                return cursor.Value.TryCopyTo(new Span<byte>(value, (int)Math.Min(size, int.MaxValue))) ? Errno.None : Errno.ERANGE;
            }
        }

        return error;
    }

    /// <summary>Lists the names, each with its NUL; with size 0 the length.</summary>
    /// <returns>None; ERANGE; EIO.</returns>
    public Errno List(uint node, in ImageNode record, byte* list, nuint size, out int length)
    {
        length = 0;
        if ((record.Flags & ImageNode.HasXattrs) == 0)
        {
            return Errno.None;
        }

        Errno error = Open(node, out Cursor cursor);
        while (error == Errno.None && (error = Next(ref cursor)) == Errno.None)
        {
            if (TreeXattrs.IsPrivate(cursor.Name))
            {
                continue;
            }

            int bytes = cursor.Name.Length + 1;
            if (length + bytes > Xattr.XATTR_LIST_MAX)
            {
                return ImageFile.Note("xattr sets: too many");
            }

            if (size != 0)
            {
                if ((nuint)(length + bytes) > size)
                {
                    return Errno.ERANGE;
                }

                cursor.Name.CopyTo(new Span<byte>(list + length, bytes));
                list[length + bytes - 1] = 0;
            }

            length += bytes;
        }

        return error == Errno.ENODATA ? Errno.None : error;
    }

    /// <summary>Goes to the set of a node that has one.</summary>
    /// <returns>None; EIO.</returns>
    public Errno Open(uint node, out Cursor cursor)
    {
        cursor = default;
        ulong low = 0;
        ulong high = _nodes.Length / ImageXattrNode.Bytes;
        while (low < high)
        {
            ulong middle = low + ((high - low) / 2);
            ulong at = _nodes.Offset + (middle * ImageXattrNode.Bytes);
            Errno error = image.Need(at, ImageXattrNode.Bytes);
            if (error != Errno.None)
            {
                return error;
            }

            ImageXattrNode entry = *(ImageXattrNode*)(image.Base + at);
            if (entry.Node == node)
            {
                cursor = new Cursor { At = entry.Set };
                return Errno.None;
            }

            if (entry.Node < node)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return ImageFile.Note("xattr nodes: missing");
    }

    /// <summary>The next attribute of a set.</summary>
    /// <returns>None; ENODATA: none is left; EIO.</returns>
    public Errno Next(ref Cursor cursor)
    {
        Errno error = Take(ref cursor, sizeof(uint), out byte* head);
        if (error != Errno.None)
        {
            return error;
        }

        uint valueBytes = Unsafe.ReadUnaligned<uint>(head);
        if (valueBytes == EndOfSet)
        {
            return Errno.ENODATA;
        }

        byte* name = null;
        byte* value = null;
        uint nameBytes = 0;
        error = Take(ref cursor, 1, out byte* length);
        if (error == Errno.None)
        {
            nameBytes = *length;
            error = Take(ref cursor, nameBytes + 1, out name);
        }

        if (error == Errno.None)
        {
            error = valueBytes <= LargestValue ? Take(ref cursor, valueBytes, out value) : ImageFile.Note("xattr sets: value");
        }

        if (error != Errno.None)
        {
            return error;
        }

        if (nameBytes == 0 || name[nameBytes] != 0)
        {
            return ImageFile.Note("xattr sets: name");
        }

        cursor.NameAt = name;
        cursor.NameBytes = (int)nameBytes;
        cursor.ValueAt = value;
        cursor.ValueBytes = (int)valueBytes;
        return Errno.None;
    }

    private Errno Take(ref Cursor cursor, uint bytes, out byte* start)
    {
        start = null;
        if (cursor.At + bytes > _sets.Length)
        {
            return ImageFile.Note("xattr sets: cut short");
        }

        ulong at = _sets.Offset + cursor.At;
        Errno error = bytes == 0 ? Errno.None : image.Need(at, bytes);
        start = image.Base + at;
        cursor.At += bytes;
        return error;
    }

    /// <summary>A place in a set, and the attribute before it.</summary>
    public struct Cursor
    {
        public ulong At;
        public byte* NameAt;
        public int NameBytes;
        public byte* ValueAt;
        public int ValueBytes;

        public readonly ReadOnlySpan<byte> Name => new(NameAt, NameBytes);

        public readonly ReadOnlySpan<byte> Value => new(ValueAt, ValueBytes);
    }
}
