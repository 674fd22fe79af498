using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Erofs;

/// <content>
/// Directories: entries in the order of their bytes, "." and ".." among them, and the names behind them; as many in each block as would fit if all names were as long as
/// the longest, so that the way from an entry to its block is a division.
/// </content>
internal sealed unsafe partial class ErofsView
{
    private const int DirentBytes = 12;

    // Of more children the longest name is not looked for.
    private const uint MostMeasured = 1 << 16;

    private Errno Shape(uint directory, in ImageNode record, out uint inBlock, out uint dot, out uint dots)
    {
        inBlock = dot = dots = 0;
        byte longest = Volatile.Read(ref _longest[directory]);
        if (longest == 0)
        {
            longest = record.Extra > MostMeasured ? (byte)ByteName.MaxLength : (byte)2;
            for (uint i = 0; i < record.Extra && record.Extra <= MostMeasured; i++)
            {
                Errno error = _tree.GetChild(directory, record.Body + i, out ImageNode child);
                if (error != Errno.None)
                {
                    return error;
                }

                longest = Math.Max(longest, child.NameLength);
            }

            Volatile.Write(ref _longest[directory], longest);
        }

        inBlock = (uint)(BlockBytes / (DirentBytes + longest));
        Errno failed = Before(directory, record, 1, out dot);
        return failed == Errno.None ? Before(directory, record, 2, out dots) : failed;
    }

    // Children before "." or "..".
    private Errno Before(uint directory, in ImageNode record, int dots, out uint before)
    {
        ReadOnlySpan<byte> wanted = ".."u8[..dots];
        uint low = 0, high = record.Extra;
        before = 0;
        while (low < high)
        {
            uint middle = low + ((high - low) / 2);
            Errno error = _tree.GetChild(directory, record.Body + middle, out ImageNode child);
            if (error == Errno.None)
            {
                error = _tree.NameOf(child, out ByteName name);
                if (error == Errno.None && name.Span.SequenceCompareTo(wanted) < 0) { low = middle + 1; } else { high = middle; }
            }

            if (error != Errno.None)
            {
                return error;
            }
        }

        before = low;
        return Errno.None;
    }

    private Errno SizeOf(uint directory, in ImageNode record, out ulong size)
    {
        size = 0;
        Errno error = Shape(directory, record, out uint inBlock, out uint dot, out uint dots);
        if (error != Errno.None)
        {
            return error;
        }

        ulong entries = record.Extra + 2UL;
        ulong full = (entries - 1) / inBlock;
        size = full * BlockBytes;
        for (ulong i = full * inBlock; i < entries; i++)
        {
            error = Entry(directory, record, (uint)i, dot, dots, out _, out _, out ReadOnlySpan<byte> name);
            if (error != Errno.None)
            {
                return error;
            }

            size += (uint)(DirentBytes + name.Length);
        }

        return Errno.None;
    }

    private Errno Entry(uint directory, in ImageNode record, uint index, uint dot, uint dots, out ulong nid, out byte type, out ReadOnlySpan<byte> name)
    {
        nid = NidOf(directory, record);
        type = (byte)2;
        name = default;
        if (index == dot)
        {
            name = "."u8;
            return Errno.None;
        }

        if (index == dots + 1)
        {
            name = ".."u8;
            uint up = directory == ImageFormat.RootNode ? directory : record.Parent;
            ImageNode parent = record;
            Errno failed = up == directory ? Errno.None
                : up < directory && _tree.Contains(up) ? _tree.Directory(up, out parent)
                : ImageFile.Note("nodes: directory");
            nid = NidOf(up, parent);
            return failed;
        }

        uint child = record.Body + index - (index > dot ? 1u : 0) - (index > dots + 1 ? 1u : 0);
        Errno error = _tree.GetChild(directory, child, out ImageNode named);
        ByteName found = default;
        if (error == Errno.None)
        {
            error = _tree.NameOf(named, out found);
        }

        if (error == Errno.None)
        {
            error = _tree.GetObject(child, out uint node, out ImageNode standing);
            nid = NidOf(node, standing);
        }

        name = found.Span;
        type = ImageTree.TypeOf(named) switch
        {
            FileType.Regular => 1,
            FileType.Directory => 2,
            FileType.CharDevice or FileType.Whiteout => 3,
            FileType.BlockDevice => 4,
            FileType.Fifo => 5,
            FileType.Socket => 6,
            FileType.Symlink => 7,
            _ => 0,
        };
        return error;
    }

    private Errno Entries(uint directory, uint child, byte* block)
    {
        Errno error = _tree.Directory(directory, out ImageNode record);
        if (error != Errno.None)
        {
            return error == Errno.ENOTDIR || error == Errno.ESTALE ? Errno.None : error;
        }

        _layer.Touch(directory);
        error = Shape(directory, record, out uint inBlock, out uint dot, out uint dots);
        if (error != Errno.None)
        {
            return error;
        }

        ulong first = (ulong)(child == 0 ? 0 : child - record.Body) * inBlock;
        ulong entries = record.Extra + 2UL;
        if (first >= entries)
        {
            return Errno.None;
        }

        uint here = (uint)Math.Min(inBlock, entries - first);
        uint names = here * DirentBytes;
        for (uint i = 0; i < here; i++)
        {
            error = Entry(directory, record, (uint)(first + i), dot, dots, out ulong nid, out byte type, out ReadOnlySpan<byte> name);
            if (error != Errno.None)
            {
                return error;
            }

            byte* entry = block + (i * DirentBytes);
            *(ulong*)entry = nid;
            *(ushort*)(entry + 8) = (ushort)names;
            entry[10] = type;
            if (!name.TryCopyTo(new Span<byte>(block + names, (int)(BlockBytes - names))))
            {
                return ImageFile.Note("names: longer than they were"); // written over since they were measured
            }

            ByteName copy = new(block + names, name.Length);
            if (!copy.IsEntry && !copy.IsDotOrDotDot)
            {
                return ImageFile.Note("names: not a name"); // written over since it was looked at
            }

            names += (uint)name.Length;
        }

        return Errno.None;
    }
}
