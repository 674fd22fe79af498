using System.IO.Compression;
using Antares.Aot.Dicfuse.Image;
using Antares.Interop;
using ZstdSharp;

namespace Antares.Aot.Dicfuse.Archives;

/// <summary>The bytes of an archive from its start to its end, whether the file is plain or packed by gzip or zstd.</summary>
internal sealed unsafe class ArchiveStream : IDisposable
{
    private const int PieceBytes = 128 << 10;

    private readonly FileBytes _file;
    private readonly Stream _stream;
    private readonly byte[] _piece = new byte[PieceBytes];
    private readonly long _fileBytes;

    /// <param name="fd">The archive, a regular file open for reading; stays the caller's.</param>
    /// <exception cref="ImageException">It is packed in a way that is not known here.</exception>
    public ArchiveStream(int fd)
    {
        stat attributes;
        Must(Attributes.Fstat(fd, &attributes));
        _fileBytes = attributes.st_size;
        _file = new FileBytes(fd);
        Span<byte> start = stackalloc byte[6];
        int got = _file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        _file.Position = 0;
        _stream = Unpacking(start[..got]);
    }

    /// <summary>True: the archive's bytes are those of the file, at the same places.</summary>
    public bool IsPlain => _stream == _file;

    /// <summary>Bytes of the archive that were read or passed over.</summary>
    public ulong Position { get; private set; }

    /// <summary>Reads until the room is full; fewer bytes only at the end.</summary>
    /// <exception cref="ImageException">The file cannot be read, or what it was packed by says that it is damaged.</exception>
    public int Read(Span<byte> room)
    {
        try
        {
            int got = _stream.ReadAtLeast(room, room.Length, throwOnEndOfStream: false);
            Position += (ulong)got;
            return got;
        }
        catch (Exception problem) when (problem is InvalidDataException or EndOfStreamException or ZstdException)
        {
            throw new ImageException(
                $"is damaged or cut short: after {Position} bytes it cannot be unpacked any further ({(_stream is GZipStream ? "gzip" : "zstd")} says no); fetch it anew");
        }
    }

    /// <summary>Passes over bytes that must be there.</summary>
    /// <exception cref="ImageException">They are not, or as <see cref="Read"/>.</exception>
    public void Skip(ulong count)
    {
        if (IsPlain)
        {
            if (count > (ulong)(_fileBytes - _file.Position))
            {
                throw CutShort();
            }

            _file.Position += (long)count;
            Position += count;
            return;
        }

        for (ulong rest = count; rest > 0;)
        {
            rest -= (ulong)Piece(rest).Length;
        }
    }

    /// <summary>Copies bytes that must be there to a place in another file.</summary>
    /// <exception cref="ImageException">They are not there, or cannot be written, or as <see cref="Read"/>.</exception>
    public void Copy(ulong count, int target, ulong place)
    {
        for (ulong done = 0; done < count;)
        {
            ReadOnlySpan<byte> piece = Piece(count - done);
            fixed (byte* bytes = piece)
            {
                Errno error = FileIo.WriteFull(target, bytes, (nuint)piece.Length, (long)(place + done));
                if (error != Errno.None)
                {
                    throw new ImageException($"is packed, and cannot be unpacked beside the new image: {error}");
                }
            }

            done += (ulong)piece.Length;
        }
    }

    public ImageException CutShort() => new($"is cut short: it ends after {Position} bytes in the middle of something; fetch it anew");

    public void Dispose() => _stream.Dispose();

    private ReadOnlySpan<byte> Piece(ulong most)
    {
        int wanted = (int)Math.Min(most, PieceBytes);
        return Read(_piece.AsSpan(0, wanted)) == wanted ? _piece.AsSpan(0, wanted) : throw CutShort();
    }

    private Stream Unpacking(ReadOnlySpan<byte> start)
    {
        bool isSkippable = start.Length >= 4 && (start[0] & 0xF0) == 0x50 && start[1..4].SequenceEqual((ReadOnlySpan<byte>)[0x2A, 0x4D, 0x18]);
        if (start.StartsWith((ReadOnlySpan<byte>)[0x28, 0xB5, 0x2F, 0xFD]) || isSkippable)
        {
            return new DecompressionStream(_file);
        }

        if (start.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B]))
        {
            return new GZipStream(_file, CompressionMode.Decompress);
        }

        string? other = start.StartsWith("BZh"u8) ? "bzip2"
            : start.StartsWith((ReadOnlySpan<byte>)[0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z']) ? "xz"
            : start.StartsWith("PK"u8) ? "zip"
            : null;
        return other is null
            ? _file
            : throw new ImageException($"is packed by {other}, which is not read here: unpack it first ({(other == "zip" ? "unzip, and pack the folder" : other + " -dk")})");
    }

    private static void Must(Errno error)
    {
        if (error != Errno.None)
        {
            throw new ImageException($"cannot be read: {error}");
        }
    }

    /// <summary>A file read by place, so that nobody else's reading of the descriptor matters.</summary>
    private sealed class FileBytes(int fd) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get; set; }

        public override int Read(Span<byte> buffer)
        {
            fixed (byte* room = buffer)
            {
                Must(FileIo.ReadFull(fd, room, (nuint)buffer.Length, Position, out nuint got));
                Position += (long)got;
                return (int)got;
            }
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override void Flush()
        {
            // Nothing is written.
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
