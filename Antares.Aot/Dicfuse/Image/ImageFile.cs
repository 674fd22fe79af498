using System.Runtime.CompilerServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;
using K4os.Hash.xxHash;

namespace Antares.Aot.Dicfuse.Image;

/// <summary>
/// An image that is open: the header checked, the metadata mapped, the contents behind a descriptor. Opening reads one page and
/// looks at nothing else, however large the image is.
/// </summary>
/// <remarks>
/// Metadata are checked in blocks of 16 KiB when they are touched first: a bit for each block tells that its XXH64 was right. The
/// checksums lie in a section of their own, whose blocks are checked against the header in the same way. A checksum only finds damage;
/// what an image says is checked by whoever uses it.
/// Contents are read by pread, never mapped: a file that was cut short gives EIO there. In the mapping it reads as zeros with a mark
/// (<see cref="MappingGuard"/>), which turns the answer at hand into EIO too (<see cref="Sound"/>).
/// A file that is written over while it is open would be two images in one: blocks that were checked are not checked again. So whenever a block
/// is checked for the first time, and when a frame was read, the file must still be the one that was opened (<see cref="CheckUnchanged"/>); from
/// then on every answer is EIO. What is served from what is kept costs no system call.
/// </remarks>
internal sealed unsafe class ImageFile : IDisposable
{
    /// <summary>Name of the layer in failure notes.</summary>
    public const string LayerName = "image";

    private const string CutShort = "the file was cut short";
    private const string WrittenOver = "the file was written over; mount it anew";

    private const int HashesPerBlock = ImageFormat.BlockBytes / sizeof(ulong);

    private static readonly string[] s_sectionNotes =
    [
        "nodes: checksum", "names: checksum", "name index: checksum", "owners: checksum",
        "xattr nodes: checksum", "xattr sets: checksum", "blobs: checksum", "frames: checksum",
        "provenance: checksum", "checksums: checksum", "contents: checksum",
    ];

    private readonly int _fd;
    private readonly byte* _base;
    private readonly ImageHeader _header;
    private readonly SectionPlace _checksums;
    private readonly nuint _bitmapBytes;
    private readonly uint* _checked;
    private readonly uint* _checkedRoots;
    private readonly MappingGuard? _guard;
    private readonly stat _opened;
    private readonly bool _grows;
    private bool _isOther;
    private bool _disposed;

    private ImageFile(int fd, byte* start, in ImageHeader header, MappingGuard? guard, in stat opened, bool grows)
    {
        _opened = opened;
        _grows = grows;
        _fd = fd;
        _base = start;
        _header = header;
        _guard = guard;
        _checksums = _header[ImageSection.Checksums];
        // One bit for each block, one for each block of checksums, zero until the first touch; untouched pages of it cost nothing.
        ulong blocks = _checksums.Length / sizeof(ulong);
        nuint words = (nuint)((blocks / 32) + 1);
        _bitmapBytes = (words * sizeof(uint)) + (ImageHeader.MostRoots / 8);
        _checked = (uint*)ZeroPages.Allocate(_bitmapBytes);
        _checkedRoots = _checked + words;
    }

    public ref readonly ImageHeader Header => ref _header;

    /// <summary>The open file.</summary>
    public int Fd => _fd;

    /// <summary>First byte of the metadata: the header.</summary>
    public byte* Base => _base;

    /// <summary>True when a file has an image's first eight bytes.</summary>
    /// <param name="fd">A regular file, open for reading.</param>
    public static bool HasMagic(int fd)
    {
        ulong magic;
        return FileIo.ReadFull(fd, &magic, sizeof(ulong), 0, out nuint got) == Errno.None
            && got == sizeof(ulong) && magic == ImageFormat.Magic;
    }

    /// <summary>Opens an image.</summary>
    /// <param name="fd">A regular file, open for reading. Taken over on success; on failure it stays the caller's.</param>
    /// <param name="grows">A part of an image on a server, into which frames are written as they come.</param>
    /// <exception cref="ImageException">What is wrong with it; nothing stays open or mapped.</exception>
    public static ImageFile Open(int fd, bool grows = false)
    {
        stat attributes;
        Errno error = Attributes.Fstat(fd, &attributes);
        ImageHeader header = default;
        nuint got = 0;
        if (error == Errno.None)
        {
            error = FileIo.ReadFull(fd, &header, ImageHeader.Bytes, 0, out got);
        }

        if (error != Errno.None)
        {
            throw new ImageException($"cannot be read: {error}");
        }

        ImageHeaderCheck.Check(header, (long)got, attributes.st_size);
        error = Memory.Mmap(null, (nuint)header.MetadataBytes, Memory.PROT_READ, Memory.MAP_SHARED, fd, 0, out void* start);
        if (error != Errno.None)
        {
            throw new ImageException($"cannot be mapped: {error}");
        }

        if (MappingGuard.TryAdd(start, (nuint)header.MetadataBytes, out MappingGuard? guard))
        {
            return new ImageFile(fd, (byte*)start, header, guard, attributes, grows);
        }

        _ = Memory.Munmap(start, (nuint)header.MetadataBytes); // cannot fail for what was mapped
        throw new ImageException("cannot be guarded against being cut short while it is mapped: too many images are open");
    }

    /// <summary>First byte of a section.</summary>
    public byte* At(ImageSection section) => _base + _header[section].Offset;

    /// <summary>Makes sure that bytes of the metadata are what was written: at most one hash for each block, once.</summary>
    /// <param name="offset">Place in the file, in a section of the metadata behind the header.</param>
    /// <param name="length">Bytes, at least 1, in the same section.</param>
    /// <returns>None; EIO: damaged, or the file was cut short (the section is noted).</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Errno Need(ulong offset, ulong length)
    {
        ulong first = (offset - ImageHeader.Bytes) / ImageFormat.BlockBytes;
        ulong last = (offset - ImageHeader.Bytes + length - 1) / ImageFormat.BlockBytes;
        for (ulong block = first; block <= last; block++)
        {
            if ((Volatile.Read(ref _checked[block / 32]) & (1u << (int)(block % 32))) == 0)
            {
                Errno error = CheckBlock(block);
                if (error != Errno.None)
                {
                    return error;
                }
            }
        }

        return Errno.None;
    }

    /// <summary>The last step of each answer: what was read from a mapping of a file that was cut short or written over is not to be believed.</summary>
    /// <param name="answer">None, or an errno that the image led to.</param>
    /// <returns>The same; EIO when the file was cut short or written over.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Errno Sound(Errno answer) =>
        _guard is { Faulted: true } ? Note(CutShort) : Volatile.Read(ref _isOther) ? Note(WrittenOver) : answer;

    /// <summary>Asks whether the file is still the one that was opened. To be called after something was read from it that is then kept as checked.</summary>
    /// <returns>None; EIO: it is not (noted, and sticks), or cannot be looked at.</returns>
    /// <remarks>
    /// Size and both time stamps are compared. They also change when nobody wrote: a new name, another mode or owner and the removal of the name
    /// change ctime, touch(1) both. So where they differ the header is read again, which stands for every byte of the image by its checksums: the same
    /// header is the same image. Whoever writes another image over it begins with the header, or cuts the file short first.
    /// </remarks>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public Errno CheckUnchanged()
    {
        if (_grows)
        {
            return Errno.None;
        }

        if (Volatile.Read(ref _isOther))
        {
            return Note(WrittenOver);
        }

        stat now;
        Errno error = Attributes.Fstat(_fd, &now);
        if (error == Errno.None && now.st_size == _opened.st_size && Same(now.st_mtim, _opened.st_mtim) && Same(now.st_ctim, _opened.st_ctim))
        {
            return Errno.None;
        }

        ImageHeader header;
        nuint got = 0;
        if (error == Errno.None)
        {
            error = FileIo.ReadFull(_fd, &header, ImageHeader.Bytes, 0, out got);
        }

        if (error != Errno.None)
        {
            return Failure.Note(LayerName, "pread", Errno.EIO);
        }

        fixed (ImageHeader* known = &_header)
        {
            if (now.st_size == _opened.st_size && got == ImageHeader.Bytes
                && new ReadOnlySpan<byte>(&header, ImageHeader.Bytes).SequenceEqual(new ReadOnlySpan<byte>(known, ImageHeader.Bytes)))
            {
                return Errno.None;
            }
        }

        Volatile.Write(ref _isOther, true);
        return Note(now.st_size < _opened.st_size ? CutShort : WrittenOver);
    }

    /// <summary>Notes what is wrong in the image and gives EIO.</summary>
    /// <param name="what">A constant that names the section: nothing is allocated.</param>
    public static Errno Note(string what) => Failure.Note(LayerName, what, Errno.EIO);

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _guard?.Dispose();
            // Neither can fail for what was mapped; the file is open for reading only.
            _ = Memory.Munmap(_base, (nuint)_header.MetadataBytes);
            ZeroPages.Free(_checked, _bitmapBytes);
            _ = Interop.Fd.Close(_fd);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private Errno CheckBlock(ulong block)
    {
        Errno error = CheckRoot(block / HashesPerBlock);
        if (error != Errno.None)
        {
            return error;
        }

        ulong start = ImageHeader.Bytes + (block * ImageFormat.BlockBytes);
        int length = (int)Math.Min(ImageFormat.BlockBytes, _checksums.Offset - start);
        ulong expected = ((ulong*)(_base + _checksums.Offset))[block];
        bool isRight = XXH64.DigestOf(_base + start, length) == expected;
        error = CheckUnchanged();
        if (error != Errno.None)
        {
            return error;
        }

        if (!isRight)
        {
            return Note(s_sectionNotes[SectionAt(start)]);
        }

        _ = Interlocked.Or(ref _checked[block / 32], 1u << (int)(block % 32));
        return Errno.None;
    }

    private static bool Same(timespec a, timespec b) => a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;

    private Errno CheckRoot(ulong root)
    {
        if ((Volatile.Read(ref _checkedRoots[root / 32]) & (1u << (int)(root % 32))) != 0)
        {
            return Errno.None;
        }

        ulong start = root * ImageFormat.BlockBytes;
        int length = (int)Math.Min(ImageFormat.BlockBytes, _checksums.Length - start);
        if (XXH64.DigestOf(_base + _checksums.Offset + start, length) != Unsafe.AsRef(in _header).GetRoot((int)root))
        {
            Errno error = CheckUnchanged();
            return error != Errno.None ? error : Note(s_sectionNotes[(int)ImageSection.Checksums]);
        }

        _ = Interlocked.Or(ref _checkedRoots[root / 32], 1u << (int)(root % 32));
        return Errno.None;
    }

    /// <summary>The last section that begins at or before a place in the metadata.</summary>
    private int SectionAt(ulong offset)
    {
        int found = 0;
        for (ImageSection section = ImageSection.Nodes; section < ImageSection.Checksums; section++)
        {
            if (_header[section].Offset <= offset && _header[section].Length != 0)
            {
                found = (int)section;
            }
        }

        return found;
    }
}
