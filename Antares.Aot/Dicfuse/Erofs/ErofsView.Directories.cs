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

    // Of more children the longest name is not looked for, nor whiteouts.
    private const uint MostMeasured = 1 << 16;

    // Of directories with whiteouts: which of the children are shown, counted from the first.
    private readonly Dictionary<uint, ushort[]> _shown = [];
    private volatile bool _hidesSome;

    private struct Listing
    {
        public uint Directory;
        public ImageNode Record;
        public uint InBlock;
        public uint Dot;
        public uint Dots;
        public uint Names;
        public ushort[]? Shown;

        public readonly ulong Entries => Names + 2UL;

        public readonly uint Child(uint index) => Record.Body + (Shown is null ? index : Shown[index]);
    }

    private Errno Open(uint directory, in ImageNode record, out Listing listing)
    {
        listing = new Listing { Directory = directory, Record = record };
        byte longest = Volatile.Read(ref _longest[directory]);
        if (longest == 0)
        {
            Errno error = Measure(directory, record, out longest);
            if (error != Errno.None)
            {
                return error;
            }

            Volatile.Write(ref _longest[directory], longest);
        }

        if (_hidesSome)
        {
            lock (_gate)
            {
                listing.Shown = _shown.GetValueOrDefault(directory);
            }
        }

        listing.Names = (uint?)listing.Shown?.Length ?? record.Extra;
        listing.InBlock = (uint)(BlockBytes / (DirentBytes + longest));
        Errno failed = Before(listing, 1, out listing.Dot);
        return failed == Errno.None ? Before(listing, 2, out listing.Dots) : failed;
    }

    // The overlay would list whiteouts of its lowest layer, where they are of no use.
    private Errno Measure(uint directory, in ImageNode record, out byte longest)
    {
        longest = record.Extra > MostMeasured ? (byte)ByteName.MaxLength : (byte)2;
        uint hidden = 0;
        for (uint i = 0; i < record.Extra && record.Extra <= MostMeasured; i++)
        {
            Errno error = _tree.GetChild(directory, record.Body + i, out ImageNode child);
            if (error != Errno.None)
            {
                return error;
            }

            longest = Math.Max(longest, child.NameLength);
            hidden += ImageTree.TypeOf(child) == FileType.Whiteout ? 1u : 0;
        }

        return hidden == 0 ? Errno.None : Hide(directory, record, record.Extra - hidden);
    }

    private Errno Hide(uint directory, in ImageNode record, uint names)
    {
        ushort[] shown = new ushort[names];
        uint next = 0;
        for (uint i = 0; i < record.Extra; i++)
        {
            Errno error = _tree.GetChild(directory, record.Body + i, out ImageNode child);
            bool isShown = ImageTree.TypeOf(child) != FileType.Whiteout;
            if (error != Errno.None || (isShown && next == names))
            {
                return error != Errno.None ? error : ImageFile.Note("nodes: more than there were"); // written over since they were counted
            }

            if (isShown)
            {
                shown[next++] = (ushort)i;
            }
        }

        lock (_gate)
        {
            _shown[directory] = shown[..(int)next];
            _hidesSome = true;
        }

        return Errno.None;
    }

    // Names before "." or "..".
    private Errno Before(in Listing listing, int dots, out uint before)
    {
        ReadOnlySpan<byte> wanted = ".."u8[..dots];
        uint low = 0, high = listing.Names;
        before = 0;
        while (low < high)
        {
            uint middle = low + ((high - low) / 2);
            Errno error = _tree.GetChild(listing.Directory, listing.Child(middle), out ImageNode child);
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
        Errno error = Open(directory, record, out Listing listing);
        if (error != Errno.None)
        {
            return error;
        }

        ulong full = (listing.Entries - 1) / listing.InBlock;
        size = full * BlockBytes;
        for (ulong i = full * listing.InBlock; i < listing.Entries; i++)
        {
            error = Entry(listing, (uint)i, out _, out _, out ReadOnlySpan<byte> name);
            if (error != Errno.None)
            {
                return error;
            }

            size += (uint)(DirentBytes + name.Length);
        }

        return Errno.None;
    }

    private Errno Entry(in Listing listing, uint index, out ulong nid, out byte type, out ReadOnlySpan<byte> name)
    {
        uint directory = listing.Directory;
        nid = NidOf(directory, listing.Record);
        type = (byte)2;
        name = default;
        if (index == listing.Dot)
        {
            name = "."u8;
            return Errno.None;
        }

        if (index == listing.Dots + 1)
        {
            name = ".."u8;
            uint up = directory == ImageFormat.RootNode ? directory : listing.Record.Parent;
            ImageNode parent = listing.Record;
            Errno failed = up == directory ? Errno.None
                : up < directory && _tree.Contains(up) ? _tree.Directory(up, out parent)
                : ImageFile.Note("nodes: directory");
            nid = NidOf(up, parent);
            return failed;
        }

        uint child = listing.Child(index - (index > listing.Dot ? 1u : 0) - (index > listing.Dots + 1 ? 1u : 0));
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
        s_asked = directory;
        Errno error = _tree.Directory(directory, out ImageNode record);
        if (error != Errno.None)
        {
            return error == Errno.ENOTDIR || error == Errno.ESTALE ? Errno.None : error;
        }

        _layer.Touch(directory);
        error = Open(directory, record, out Listing listing);
        if (error != Errno.None)
        {
            return error;
        }

        ulong first = (ulong)(child == 0 ? 0 : child - record.Body) * listing.InBlock;
        if (first >= listing.Entries)
        {
            return Errno.None;
        }

        uint here = (uint)Math.Min(listing.InBlock, listing.Entries - first);
        uint names = here * DirentBytes;
        for (uint i = 0; i < here; i++)
        {
            error = Entry(listing, (uint)(first + i), out ulong nid, out byte type, out ReadOnlySpan<byte> name);
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
