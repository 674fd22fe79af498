using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Sources;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>Targets of symlinks: read from the source once, then kept in the name heap.</summary>
internal sealed unsafe class LinkTargets
{
    private const int LengthBytes = 2;
    private const int LargestTarget = 4095;

    private readonly string _layer;
    private readonly NodeStore _store;
    private readonly ITreeSource _source;
    private readonly RequestPlaces? _places;
    private readonly StripedLocks _locks = new(8);

    public LinkTargets(string layer, NodeStore store, ITreeSource source, RequestPlaces? places)
    {
        _layer = layer;
        _store = store;
        _source = source;
        _places = places;
    }

    /// <summary>Copies a target without a NUL.</summary>
    /// <param name="node">A symlink whose attributes are loaded, no alias.</param>
    /// <param name="buffer">Receives the target.</param>
    /// <param name="capacity">Room; 4,095 is always enough.</param>
    /// <param name="length">Bytes of the target.</param>
    /// <returns>None; ERANGE: too small; ENOMEM; EACCES; EIO: the source is gone or has changed.</returns>
    public Errno Read(uint node, byte* buffer, int capacity, out int length)
    {
        length = 0;
        NodeRecord* record = _store[node];
        uint place = Volatile.Read(ref record->Body);
        if (place == 0)
        {
            Errno error = RequestWait.Enter(_places);
            error = error == Errno.None ? Load(node, record, out place) : error;
            if (error != Errno.None)
            {
                return error;
            }
        }

        byte* kept = _store.Names.At(place);
        int wanted = kept[0] | (kept[1] << 8);
        if (wanted > capacity)
        {
            return Errno.ERANGE;
        }

        length = wanted;
        new ReadOnlySpan<byte>(kept + LengthBytes, wanted).CopyTo(new Span<byte>(buffer, wanted));
        return Errno.None;
    }

    private Errno Load(uint node, NodeRecord* record, out uint place)
    {
        lock (_locks[node])
        {
            place = record->Body;
            if (place != 0)
            {
                return Errno.None;
            }

            byte* target = stackalloc byte[LargestTarget + 1];
            Errno error = _source.Readlink(node, target, LargestTarget + 1, out int length);
            if (error != Errno.None)
            {
                return error;
            }

            stat after;
            error = _source.Attributes(node, &after);
            if (error != Errno.None)
            {
                return error;
            }

            // Some file systems (proc) show links of size 0.
            bool lengthFits = length is > 0 and <= LargestTarget && (record->Size == 0 || record->Size == (ulong)length);
            if (!lengthFits || !SourceVersion.Same(*record, after))
            {
                return Failure.Note(_layer, "source changed: link", Errno.EIO);
            }

            error = _store.Names.Allocate((ulong)length + LengthBytes, out place);
            if (error != Errno.None)
            {
                return Failure.Note(_layer, "tree is full", error);
            }

            byte* kept = _store.Names.At(place);
            kept[0] = (byte)length;
            kept[1] = (byte)(length >> 8);
            new ReadOnlySpan<byte>(target, length).CopyTo(new Span<byte>(kept + LengthBytes, length));
            Volatile.Write(ref record->Body, place);
            return Errno.None;
        }
    }
}
