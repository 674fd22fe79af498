using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image.Remote;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image;

/// <summary>
/// File contents of an image. The frames read last are kept unpacked, so that neighbouring files and the following parts of a file cost a
/// copy; the kernel's page cache keeps what was read, and nothing is kept twice for long.
/// </summary>
/// <remarks>
/// One lock, held for a few memory accesses; a frame is read and unpacked by one thread outside of it, while others that want the same
/// frame wait. Nothing is allocated once every place is in use.
/// </remarks>
internal sealed unsafe class ImageContent : IDisposable
{
    // Of frames of the usual size eight are kept; smaller ones in the same room.
    private const int LeastPlaces = 8;
    private const int MostPlaces = 64;
    private const uint Free = uint.MaxValue;

    // In files of more frames it is remembered what they came to, by the number of the blob.
    private const ulong SlowFrames = 64;

    private readonly ImageFile _image;
    private readonly FrameReader _frames;
    private readonly SectionPlace _blobs;
    private readonly RemoteFrames? _remote;
    private readonly object _gate = new();
    private readonly Place[] _places;
    private readonly Lock _zerosGate = new();
    private readonly NativeMap _zeros = new();
    private readonly FrameDecoder?[] _decoders;
    private int _idleDecoders;
    private int _waiting;
    private ulong _clock;
    private long _hits;
    private long _loads;
    private long _failures;

    /// <param name="image">The image.</param>
    /// <param name="remote">Brings frames that the file lacks; null: all are there.</param>
    public ImageContent(ImageFile image, RemoteFrames? remote = null)
    {
        _image = image;
        _remote = remote;
        _frames = new FrameReader(image);
        _blobs = image.Header[ImageSection.Blobs];
        int places = (int)Math.Clamp(LeastPlaces * (ulong)ImageFormat.FrameBytes / image.Header.FrameBytes, LeastPlaces, MostPlaces);
        _places = new Place[places];
        _decoders = new FrameDecoder?[places];
        for (int i = 0; i < places; i++)
        {
            _places[i].Frame = Free;
        }
    }

    /// <summary>Parts of frames served from what is kept.</summary>
    public long Hits => Volatile.Read(ref _hits);

    /// <summary>Frames read and unpacked.</summary>
    public long Loads => Volatile.Read(ref _loads);

    /// <summary>Frames that could not be read, or were damaged.</summary>
    public long Failures => Volatile.Read(ref _failures);

    /// <summary>Native bytes of the frames kept.</summary>
    public long HeldBytes
    {
        get
        {
            lock (_gate)
            {
                long held = 0;
                foreach (ref Place place in _places.AsSpan())
                {
                    held += place.Raw == null ? 0 : (long)_image.Header.FrameBytes;
                }

                return held;
            }
        }
    }

    public FrameReader Frames => _frames;

    /// <summary>The blob of a number.</summary>
    /// <returns>None; EIO: none of this number.</returns>
    public Errno Blob(uint index, out ImageBlob blob)
    {
        blob = default;
        ulong at = (ulong)index * ImageBlob.Bytes;
        if (index == 0 || at >= _blobs.Length)
        {
            return ImageFile.Note("nodes: blob");
        }

        Errno error = _image.Need(_blobs.Offset + at, ImageBlob.Bytes);
        if (error == Errno.None)
        {
            blob = *(ImageBlob*)(_image.Base + _blobs.Offset + at);
        }

        return error;
    }

    /// <summary>Reads a part that lies within the file.</summary>
    /// <param name="record">Record of a regular file.</param>
    /// <param name="offset">Byte offset.</param>
    /// <param name="buffer">Receives exactly <paramref name="size"/> bytes.</param>
    /// <param name="size">offset + size is not past the end.</param>
    /// <returns>None; EIO: damaged; ENOMEM; of an image on a server as <see cref="RemoteFrames.Need(ulong, uint, ulong, bool)"/>.</returns>
    public Errno Read(in ImageNode record, ulong offset, byte* buffer, uint size)
    {
        if (size == 0)
        {
            return Errno.None;
        }

        Errno error = Blob(record.Body, out ImageBlob blob);
        if (error != Errno.None)
        {
            return error;
        }

        error = IsInside(record, blob);
        if (error == Errno.None && _remote != null)
        {
            error = _remote.Need(blob.Start + offset, size, blob.Start + record.Size, isStart: offset == 0);
        }

        return error == Errno.None ? ReadStream(blob.Start + offset, buffer, size) : error;
    }

    /// <summary>Where the content of a file that is not empty lies in the stream of contents.</summary>
    /// <returns>None; EIO: damaged.</returns>
    public Errno StartOf(in ImageNode record, out ulong start)
    {
        Errno error = Blob(record.Body, out ImageBlob blob);
        start = blob.Start;
        return error == Errno.None ? IsInside(record, blob) : error;
    }

    /// <summary>Bytes of a file that lie in frames of zeros.</summary>
    /// <returns>None; EIO: damaged.</returns>
    public Errno Zeros(in ImageNode record, out ulong zeros)
    {
        zeros = 0;
        Errno error = Blob(record.Body, out ImageBlob blob);
        if (error == Errno.None)
        {
            error = IsInside(record, blob);
        }

        if (error != Errno.None || record.Size == 0)
        {
            return error;
        }

        bool slow = record.Size > SlowFrames * _image.Header.FrameBytes;
        if (slow)
        {
            lock (_zerosGate)
            {
                if (_zeros.TryGet(record.Body, out zeros))
                {
                    // A blob has one length, unless the image lies.
                    zeros = Math.Min(zeros, record.Size);
                    return Errno.None;
                }
            }
        }

        ulong stop = blob.Start + record.Size;
        error = _frames.Find(blob.Start, out FramePlace place);
        for (ulong at = blob.Start; error == Errno.None;)
        {
            ulong end = Math.Min(place.End, stop);
            zeros += place.IsZeros ? end - at : 0;
            at = end;
            if (at == stop)
            {
                break;
            }

            error = place.Index + 1 < _frames.Count ? _frames.Get(place.Index + 1, out place) : ImageFile.Note("frames: missing");
            if (error == Errno.None && place.Start != at)
            {
                error = ImageFile.Note("frames: an entry"); // written over since the one before it was read
            }
        }

        if (error == Errno.None && slow)
        {
            lock (_zerosGate)
            {
                _zeros.Set(record.Body, zeros);
            }
        }

        return error;
    }

    /// <summary>Reads a part of the stream of contents.</summary>
    /// <returns>As <see cref="Read"/>.</returns>
    public Errno ReadStream(ulong position, byte* buffer, uint size)
    {
        while (size != 0)
        {
            Errno error = _frames.Find(position, out FramePlace place);
            if (error != Errno.None)
            {
                return error;
            }

            uint take = (uint)Math.Min(size, place.End - position);
            if (place.IsZeros)
            {
                NativeMemory.Clear(buffer, take);
            }
            else
            {
                error = ReadFrame(place, (uint)(position - place.Start), buffer, take);
                if (error != Errno.None)
                {
                    return error;
                }
            }

            position += take;
            buffer += take;
            size -= take;
        }

        return Errno.None;
    }

    private Errno IsInside(in ImageNode record, in ImageBlob blob) =>
        record.Size <= _image.Header.StreamBytes && blob.Start <= _image.Header.StreamBytes - record.Size
            ? Errno.None
            : ImageFile.Note("blobs: place");

    public void Dispose()
    {
        foreach (ref Place place in _places.AsSpan())
        {
            NativeMemory.Free(place.Raw);
            place.Raw = null;
        }

        _zeros.Dispose();
        while (_idleDecoders > 0)
        {
            _decoders[--_idleDecoders]?.Dispose();
        }
    }

    private Errno ReadFrame(in FramePlace frame, uint within, byte* buffer, uint size)
    {
        // A frame that was brought may be given up again before it is read.
        const int Tries = 3;
        for (int attempt = 1; ; attempt++)
        {
            // Before a place is taken: who waits for a server holds up nobody who does not.
            Errno error = _remote == null ? Errno.None : _remote.Need(frame, isKnownBad: attempt > 1);
            error = error == Errno.None ? ReadLocal(frame, within, buffer, size) : error;
            if (error != Errno.EBADMSG)
            {
                return error;
            }

            if (_remote == null || attempt == Tries)
            {
                return ImageFile.Note(_remote == null ? "contents: checksum" : "the store gives frames up as fast as they come; raise --store-limit");
            }
        }
    }

    /// <returns>As <see cref="Read"/>; EBADMSG, not noted: the file has other bytes than the frame.</returns>
    private Errno ReadLocal(in FramePlace frame, uint within, byte* buffer, uint size)
    {
        Errno error = Pin(frame, out int index, out FrameDecoder? decoder, out bool load);
        if (error != Errno.None)
        {
            return error;
        }

        byte* raw = _places[index].Raw;
        if (load)
        {
            error = Errno.EIO;
            try
            {
                decoder ??= FrameDecoder.TryMake(_image.Header.FrameBytes);
                error = decoder == null ? Errno.ENOMEM : _frames.Read(frame, raw, decoder, _remote);
            }
            finally
            {
                // Whatever a frame of somebody else's makes the unpacker do: the others that wait for it must hear.
                Loaded(index, decoder, error);
            }

            if (error == Errno.None)
            {
                _remote?.Keeper.NoteHere(frame.Index);
            }
        }

        if (error == Errno.None)
        {
            Buffer.MemoryCopy(raw + within, buffer, size, size);
            lock (_gate)
            {
                Unpin(index);
            }
        }

        return error;
    }

    /// <summary>Pins the place of a frame: one that holds it, or one that the caller must load and then report by <see cref="Loaded"/>.</summary>
    /// <returns>None; ENOMEM.</returns>
    private Errno Pin(in FramePlace frame, out int index, out FrameDecoder? decoder, out bool load)
    {
        decoder = null;
        load = false;
        lock (_gate)
        {
            while (true)
            {
                index = IndexOf(frame.Index);
                if (index >= 0 && !_places[index].Loading)
                {
                    _places[index].Users++;
                    _places[index].Used = ++_clock;
                    _hits++;
                    return Errno.None;
                }

                if (index < 0)
                {
                    index = LeastRecentlyUsed();
                    if (index >= 0)
                    {
                        break;
                    }
                }

                _waiting++;
                _ = Monitor.Wait(_gate); // without a limit of time it only returns true
                _waiting--;
            }

            ref Place place = ref _places[index];
            if (place.Raw == null && !NativeBlock.TryAlloc((nuint)_image.Header.FrameBytes, out place.Raw))
            {
                return Errno.ENOMEM;
            }

            place.Frame = frame.Index;
            place.Loading = true;
            place.Users = 1;
            place.Used = ++_clock;
            _loads++;
            load = true;
            decoder = _idleDecoders > 0 ? _decoders[--_idleDecoders] : null;
            return Errno.None;
        }
    }

    private void Loaded(int index, FrameDecoder? decoder, Errno error)
    {
        lock (_gate)
        {
            ref Place place = ref _places[index];
            place.Loading = false;
            if (decoder != null)
            {
                // No more decoders than places that load at once.
                _decoders[_idleDecoders++] = decoder;
            }

            if (error != Errno.None)
            {
                place.Frame = Free;
                _failures++;
                Unpin(index);
            }

            Wake();
        }
    }

    private void Unpin(int index)
    {
        if (--_places[index].Users == 0)
        {
            Wake();
        }
    }

    private void Wake()
    {
        if (_waiting != 0)
        {
            Monitor.PulseAll(_gate);
        }
    }

    private int IndexOf(uint frame)
    {
        for (int i = 0; i < _places.Length; i++)
        {
            if (_places[i].Frame == frame)
            {
                return i;
            }
        }

        return -1;
    }

    private int LeastRecentlyUsed()
    {
        int found = -1;
        for (int i = 0; i < _places.Length; i++)
        {
            if (_places[i].Users == 0 && (found < 0 || _places[i].Used < _places[found].Used))
            {
                found = i;
            }
        }

        return found;
    }

    private struct Place
    {
        public byte* Raw;
        public ulong Used;
        public uint Frame;
        public int Users;
        public bool Loading;
    }
}
