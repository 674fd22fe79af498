using Antares.Aot.Dicfuse.Image;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Archives;

/// <summary>
/// Reads the members of a tar archive in their order, with the long names, large numbers, attributes and sparse files of GNU tar and of
/// POSIX "pax". What is damaged, cut short or not understood is an error: no member is passed over in silence.
/// </summary>
/// <remarks>
/// Not System.Formats.Tar: its names and attributes are strings, so that bytes that are no UTF-8 are lost, and it takes a sparse file for
/// a whole one (docs/decisions/0032-archives.md).
/// </remarks>
internal sealed class TarReader(ArchiveStream stream)
{
    private const int BlockBytes = TarHeader.BlockBytes;

    /// <summary>Most bytes of an extended header: a name has 4,096, an attribute 65,536, and a file may have some of them.</summary>
    private const ulong MostExtended = 16 << 20;

    /// <summary>Largest file that a common file system holds (ext4: 16 TiB): a sparse one of more would take forever.</summary>
    private const ulong LargestFile = 16UL << 40;

    /// <summary>Most bytes of holes in one archive: they take no room, but each is hashed, a terabyte in some minutes.</summary>
    private const ulong MostHoles = 64UL << 40;

    /// <summary>Most numbers in the map of a sparse file, two for each piece: no file has so many pieces, and they are held in memory.</summary>
    private const int MostNumbers = 1 << 21;

    private readonly byte[] _block = new byte[BlockBytes];
    private readonly PaxRecords _global = new();
    private ulong _padding;
    private ulong _globalBytes;
    private ulong _extendedBytes;
    private ulong _holes;
    private int _unknownAcls;

    /// <summary>Access control lists that name users by name, and were left out.</summary>
    public int UnknownAcls => _unknownAcls;

    /// <summary>Bytes behind the end that are no archive.</summary>
    public ulong TrailingBytes { get; private set; }

    /// <summary>Reads the next member; its <see cref="TarEntry.Stored"/> bytes are next in the stream, and must be taken or skipped.</summary>
    /// <returns>Null: that was all.</returns>
    /// <exception cref="ImageException">Damaged, cut short or not understood.</exception>
    public TarEntry? Next()
    {
        stream.Skip(_padding);
        _padding = 0;
        _extendedBytes = 0;
        PaxRecords? extended = null;
        byte[]? longName = null;
        byte[]? longTarget = null;
        while (ReadHeader())
        {
            TarHeader header = new(_block);
            switch (header.Type)
            {
                case 'x' or 'X':
                    (extended ??= new PaxRecords()).Add(Extended(header.Size));
                    break;
                case 'g':
                    _global.Add(Extended(header.Size));
                    _globalBytes += header.Size;
                    Bound(_globalBytes);
                    break;
                case 'L':
                    longName = UpToNul(Extended(header.Size));
                    break;
                case 'K':
                    longTarget = UpToNul(Extended(header.Size));
                    break;
                case 'V':
                    SkipContent(header.Size); // the archive's own name
                    break;
                case 'M' or 'N':
                    throw new ImageException($"is one part of several (a member of type '{header.Type}'): join them with GNU tar first");
                default:
                    extended ??= new PaxRecords();
                    extended.Default = _global;
                    return Entry(header, extended, longName, longTarget);
            }
        }

        return extended is null && longName is null && longTarget is null ? null : throw new ImageException("is damaged: it ends after an extended header");
    }

    private static byte[] UpToNul(byte[] text) => text.AsSpan().IndexOf((byte)0) is var end and >= 0 ? text[..end] : text;

    /// <summary>Reads a block.</summary>
    /// <returns>False: the archive's end.</returns>
    private bool ReadHeader()
    {
        int got = stream.Read(_block);
        if (got < BlockBytes)
        {
            throw got == 0 && stream.Position > 0 ? new ImageException($"has no end mark: it was cut short after {stream.Position} bytes; fetch it anew")
                : got == 0 ? new ImageException("is empty")
                : stream.CutShort();
        }

        if (!_block.AsSpan().ContainsAnyExcept((byte)0))
        {
            CheckRest();
            return false;
        }

        return TarHeader.IsSound(_block)
            ? true
            : throw new ImageException(stream.Position == BlockBytes ? "is no tar archive" : $"is damaged: there is no header at byte {stream.Position - BlockBytes}");
    }

    /// <summary>What follows the first block of zeros: more zeros, or what is of no use; but not more of an archive.</summary>
    private void CheckRest()
    {
        ulong end = stream.Position;
        bool isGarbage = false;
        for (int got; (got = stream.Read(_block)) > 0;)
        {
            bool isZero = !_block.AsSpan(0, got).ContainsAnyExcept((byte)0);
            if (!isZero && !isGarbage && got == BlockBytes && TarHeader.IsSound(_block))
            {
                throw new ImageException($"goes on behind an end mark, at byte {end}, as archives do that were put one after another: take them apart, or join them with tar -A");
            }

            isGarbage |= !isZero;
        }

        TrailingBytes = isGarbage ? stream.Position - end : 0;
    }

    /// <summary>The content of an extended header, and what fills its last block.</summary>
    private byte[] Extended(ulong size)
    {
        Bound(size);
        _extendedBytes += size;
        Bound(_extendedBytes);
        byte[] content = new byte[size];
        if (stream.Read(content) < content.Length)
        {
            throw stream.CutShort();
        }

        stream.Skip(Padding(size));
        return content;
    }

    private static void Bound(ulong bytes)
    {
        if (bytes > MostExtended)
        {
            throw new ImageException($"has extended headers of {bytes} bytes, which is more than names and attributes can need");
        }
    }

    private void SkipContent(ulong size)
    {
        stream.Skip(size);
        stream.Skip(Padding(size));
    }

    private static ulong Padding(ulong size) => (ulong)(-(long)size & (BlockBytes - 1));

    private TarEntry Entry(TarHeader header, PaxRecords extended, byte[]? longName, byte[]? longTarget)
    {
        byte[] path = extended.Bytes("GNU.sparse.name") ?? extended.Bytes("path") ?? longName ?? header.Path;
        char type = header.Type switch
        {
            '\0' or '7' => '0',
            var other => other,
        };
        bool isDirectory = type == 'D' || (type == '0' && path.AsSpan().EndsWith("/"u8)); // so it was said before there was a type for it
        bool hasContent = type is '0' or 'S' or 'D';
        ulong stored = hasContent ? extended.Number("size") ?? header.Size : 0; // links and directories may tell a size that nothing follows
        if (stored > long.MaxValue)
        {
            throw new ImageException($"is damaged: {Utf8.Print(path)} has {stored} bytes");
        }

        _padding = Padding(stored);
        TarEntry entry = new()
        {
            Path = path,
            Type = isDirectory ? '5' : type == 'S' ? '0' : type,
            Target = extended.Bytes("linkpath") ?? longTarget ?? header.Target.ToArray(),
            Mode = header.Mode,
            Uid = Id(extended.Number("uid")) ?? header.Uid,
            Gid = Id(extended.Number("gid")) ?? header.Gid,
            Device = type is '3' or '4' ? header.Device : 0,
            Time = extended.Time("mtime") ?? header.Time,
            Xattrs = extended.Xattrs(ref _unknownAcls),
            Size = stored,
            Stored = stored,
        };
        if (extended.Bytes("SCHILY.realsize") is not null || type is not ('0' or '1' or '2' or '3' or '4' or '5' or '6' or 'S' or 'D'))
        {
            throw new ImageException($"holds what is not understood: {entry.Printed} is of type '{type}'{(type == '0' ? ", sparse as star writes it" : "")}");
        }

        if (isDirectory)
        {
            SkipContent(stored);
            _padding = 0;
            return entry;
        }

        return type is '0' or 'S' ? Sparse(header, extended, entry) : entry;
    }

    private static uint? Id(ulong? id) => id is null or < uint.MaxValue ? (uint?)id : throw new ImageException($"is damaged: it names the owner {id}");

    /// <summary>The member with the map of its pieces, where it is sparse.</summary>
    private TarEntry Sparse(TarHeader header, PaxRecords extended, TarEntry entry)
    {
        List<ulong> numbers;
        ulong realSize;
        ulong stored = entry.Stored;
        if (header.Type == 'S')
        {
            numbers = header.SparseNumbers(out realSize, out bool more);
            while (more)
            {
                if (numbers.Count > MostNumbers)
                {
                    throw Malformed(entry);
                }

                if (stream.Read(_block) < BlockBytes)
                {
                    throw stream.CutShort();
                }

                numbers.AddRange(TarHeader.FurtherSparseNumbers(_block, out more));
            }
        }
        else if (extended.Number("GNU.sparse.major") is { } major)
        {
            if (major != 1 || extended.Number("GNU.sparse.minor") is not (null or 0))
            {
                throw new ImageException($"holds what is not understood: {entry.Printed} is sparse in a form of its own");
            }

            realSize = extended.Number("GNU.sparse.realsize") ?? throw Malformed(entry);
            numbers = MapInContent(entry, ref stored);
        }
        else if (extended.Number("GNU.sparse.size") is { } size)
        {
            realSize = size;
            numbers = extended.Bytes("GNU.sparse.map") is { } map ? Numbers(entry, map) : extended.SparseNumbers;
        }
        else
        {
            return entry;
        }

        List<SparsePiece> pieces = Checked(entry, numbers, realSize, stored);
        _holes += realSize - stored;
        if (_holes > MostHoles)
        {
            throw new ImageException($"has more than {MostHoles >> 40} TiB of holes, up to {entry.Printed}: they would take hours");
        }

        return new TarEntry
        {
            Path = entry.Path,
            Type = '0',
            Target = [],
            Mode = entry.Mode,
            Uid = entry.Uid,
            Gid = entry.Gid,
            Time = entry.Time,
            Xattrs = entry.Xattrs,
            Size = realSize,
            Stored = stored,
            Pieces = pieces,
        };
    }

    private static List<SparsePiece> Checked(TarEntry entry, List<ulong> numbers, ulong realSize, ulong stored)
    {
        List<SparsePiece> pieces = [];
        ulong end = 0;
        ulong sum = 0;
        for (int i = 0; i + 1 < numbers.Count; i += 2)
        {
            SparsePiece piece = new(numbers[i], numbers[i + 1]);
            if (piece.At < end || piece.At > realSize || piece.Length > realSize - piece.At)
            {
                throw Malformed(entry);
            }

            end = piece.At + piece.Length;
            sum += piece.Length;
            if (piece.Length > 0)
            {
                pieces.Add(piece);
            }
        }

        return numbers.Count % 2 == 0 && sum == stored && realSize <= LargestFile ? pieces : throw Malformed(entry);
    }

    private static ImageException Malformed(TarEntry entry) => new($"is damaged: {entry.Printed} has a malformed map of its holes");

    private static List<ulong> Numbers(TarEntry entry, ReadOnlySpan<byte> text)
    {
        List<ulong> numbers = [];
        foreach (Range range in text.Split((byte)','))
        {
            numbers.Add(PaxRecords.TryNumber(text[range], out ulong number) ? number : throw Malformed(entry));
        }

        return numbers;
    }

    /// <summary>The map at the head of the content: how many pieces, then their numbers, a line each, filled up to a block.</summary>
    private List<ulong> MapInContent(TarEntry entry, ref ulong stored)
    {
        const int LongestNumber = 20;
        List<ulong> numbers = [];
        List<byte> line = [];
        ulong? wanted = null;
        while (wanted is null || (ulong)numbers.Count < wanted)
        {
            if (stored < BlockBytes)
            {
                throw Malformed(entry);
            }

            if (stream.Read(_block) < BlockBytes)
            {
                throw stream.CutShort();
            }

            stored -= BlockBytes;
            foreach (byte value in _block)
            {
                if (value != '\n')
                {
                    line.Add(value);
                    if (line.Count > LongestNumber)
                    {
                        throw Malformed(entry);
                    }

                    continue;
                }

                ulong number = PaxRecords.TryNumber(line.ToArray(), out ulong told) ? told : throw Malformed(entry);
                line.Clear();
                if (wanted is null)
                {
                    // Two bytes at least for each of its numbers.
                    wanted = number <= Math.Min((stored + BlockBytes) / 4, MostNumbers / 2) ? number * 2 : throw Malformed(entry);
                }
                else
                {
                    numbers.Add(number);
                }

                if ((ulong)numbers.Count == wanted)
                {
                    break;
                }
            }
        }

        return numbers;
    }
}
