using System.Diagnostics;
using System.Runtime.InteropServices;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Base;

/// <summary>
/// How many requests may wait for one thing at a time (a source, or room in the upper), and those that wait for their turn without a thread: a
/// source that stands still takes no more threads than it has places, however many requests need it, so that everything else goes on.
/// </summary>
/// <remarks>
/// A request takes its place when it first asks the source (<see cref="RequestWait.Enter"/>) and keeps it to its end. One that finds none is
/// put aside as it was read, before it changed anything; whoever gives a place back serves the next of them with it. A write that found no
/// room (RoomRelief) is put aside with what it has yet to do. The lock is held for a few instructions, once for each request that asks.
/// </remarks>
public sealed unsafe class RequestPlaces
{
    /// <summary>Places of a folder: more threads do not make a disk faster.</summary>
    public const int OfFolder = 24;

    /// <summary>Places of a server: most of a request is waiting.</summary>
    public const int OfServer = 112;

    private const long MostBytesAside = 64 << 20;

    // A process serves one mount, of which these are the sources, and its upper.
    private static readonly List<WeakReference<RequestPlaces>> s_all = [];

    private readonly Lock _lock = new();
    private readonly int _limit;
    private Aside* _first;
    private Aside* _last;
    private long _bytes;
    private int _taken;
    private int _waiting;

    /// <param name="limit">Places, at least 1.</param>
    public RequestPlaces(int limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        _limit = limit;
        lock (s_all)
        {
            s_all.Add(new WeakReference<RequestPlaces>(this));
        }
    }

    // With the mount gone there is nobody to answer.
    ~RequestPlaces()
    {
        while (_first != null)
        {
            Aside* next = _first->Next;
            NativeMemory.Free(_first);
            _first = next;
        }
    }

    /// <summary>What became of a request that found no place.</summary>
    public enum Putting
    {
        /// <summary>It waits; nothing of the original is needed any more.</summary>
        Aside,

        /// <summary>A place came free meanwhile: it is to be tried again.</summary>
        Free,

        /// <summary>So many wait that there is no room for more: it is to be offered again in a while.</summary>
        Full,
    }

    /// <summary>
    /// True: a request that waited has no more time than any other, since the kernel gives a mount up whose requests take too long. Otherwise
    /// its time begins with its turn, so that a source which is slow, and much asked, makes nobody fail.
    /// </summary>
    public bool TimeRunsOn { get; init; }

    /// <summary>Requests that wait without a thread.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    internal bool TryTake()
    {
        lock (_lock)
        {
            if (_taken == _limit)
            {
                return false;
            }

            _taken++;
            return true;
        }
    }

    /// <summary>Keeps a copy of a request until a place is free.</summary>
    /// <param name="request">The request as it was read.</param>
    /// <param name="bytes">Its length.</param>
    /// <param name="started">When it was read, in ticks of Stopwatch.</param>
    internal Putting PutAside(void* request, nuint bytes, long started)
    {
        lock (_lock)
        {
            if (_taken < _limit)
            {
                return Putting.Free;
            }

            if (_bytes + (long)bytes > MostBytesAside)
            {
                return Putting.Full;
            }

            Aside* copy;
            try
            {
                copy = (Aside*)NativeMemory.Alloc((nuint)sizeof(Aside) + bytes);
            }
            catch (OutOfMemoryException)
            {
                return Putting.Full;
            }

            *copy = new Aside { Bytes = bytes, Started = started };
            Buffer.MemoryCopy(request, copy + 1, bytes, bytes);
            if (_last == null)
            {
                _first = copy;
            }
            else
            {
                _last->Next = copy;
            }

            _last = copy;
            _bytes += (long)bytes;
            _waiting++;
            return Putting.Aside;
        }
    }

    /// <summary>Looks for a request that waits without a thread, at any source.</summary>
    /// <param name="unique">Its number.</param>
    /// <param name="thread">The thread that sent it; 0: of another pid namespace.</param>
    internal static bool TryFind(ulong unique, out uint thread)
    {
        bool found = false;
        uint sender = 0;
        Each(places => found = found || places.Look(unique, remove: false, out sender));
        thread = sender;
        return found;
    }

    /// <summary>Takes a request out that waits, since its process was killed: it has changed nothing, or is done in part like any write that a signal ends.</summary>
    /// <param name="unique">Its number.</param>
    /// <returns>False: it has got its turn meanwhile.</returns>
    internal static bool TryTakeOut(ulong unique)
    {
        bool found = false;
        Each(places => found = found || places.Look(unique, remove: true, out _));
        return found;
    }

    /// <summary>The mount is gone: nobody waits for an answer any more.</summary>
    internal void DropAll()
    {
        lock (_lock)
        {
            while (_first != null)
            {
                Aside* next = _first->Next;
                Forget(_first);
                NativeMemory.Free(_first);
                _first = next;
            }

            _last = null;
        }
    }

    /// <summary>Gives a place back, unless a request waits for it: that one then has it.</summary>
    /// <param name="buffer">Receives the request.</param>
    /// <param name="capacity">Room for any request.</param>
    /// <param name="bytes">Its length.</param>
    /// <param name="started">When its time began, in ticks of Stopwatch.</param>
    /// <returns>True: a request is to be served, and the place is still taken.</returns>
    internal bool GiveBack(void* buffer, nuint capacity, out nuint bytes, out long started)
    {
        Aside* next;
        lock (_lock)
        {
            next = _first;
            if (next == null)
            {
                _taken--;
                bytes = 0;
                started = 0;
                return false;
            }

            _first = next->Next;
            _last = _first == null ? null : _last;
            Forget(next);
        }

        bytes = next->Bytes;
        started = TimeRunsOn ? next->Started : Stopwatch.GetTimestamp();
        Buffer.MemoryCopy(next + 1, buffer, capacity, bytes);
        NativeMemory.Free(next);
        return true;
    }

    private static void Each(Action<RequestPlaces> action)
    {
        lock (s_all)
        {
            _ = s_all.RemoveAll(entry => !entry.TryGetTarget(out _)); // of mounts that are gone
            foreach (WeakReference<RequestPlaces> entry in s_all)
            {
                if (entry.TryGetTarget(out RequestPlaces? places))
                {
                    action(places);
                }
            }
        }
    }

    private bool Look(ulong unique, bool remove, out uint thread)
    {
        lock (_lock)
        {
            Aside* before = null;
            for (Aside* at = _first; at != null; before = at, at = at->Next)
            {
                var header = (fuse_in_header*)(at + 1);
                thread = header->pid;
                if (header->unique != unique)
                {
                    continue;
                }

                if (remove)
                {
                    Unlink(before, at);
                }

                return true;
            }
        }

        thread = 0;
        return false;
    }

    private void Unlink(Aside* before, Aside* request)
    {
        if (before == null)
        {
            _first = request->Next;
        }
        else
        {
            before->Next = request->Next;
        }

        _last = _last == request ? before : _last;
        Forget(request);
        NativeMemory.Free(request);
    }

    private void Forget(Aside* request)
    {
        _bytes -= (long)request->Bytes;
        _waiting--;
    }

    /// <summary>Before the bytes of a request that waits.</summary>
    private struct Aside
    {
        public Aside* Next;
        public nuint Bytes;
        public long Started;
    }
}
