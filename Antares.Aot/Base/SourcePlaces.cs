using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Antares.Aot.Base;

/// <summary>
/// How many requests may ask one source at a time, and those that wait for their turn without a thread: a source that stands still takes
/// no more threads than it has places, however many requests need it, so that everything else goes on.
/// </summary>
/// <remarks>
/// A request takes its place when it first asks the source (<see cref="RequestWait.Enter"/>) and keeps it to its end. One that finds none is
/// put aside as it was read, before it changed anything; whoever gives a place back serves the next of them with it. The lock is held for
/// a few instructions, once for each request that asks the source.
/// </remarks>
public sealed unsafe class SourcePlaces
{
    /// <summary>Places of a folder: more threads do not make a disk faster.</summary>
    public const int OfFolder = 24;

    /// <summary>Places of a server: most of a request is waiting.</summary>
    public const int OfServer = 112;

    private const long MostBytesAside = 64 << 20;

    private readonly Lock _lock = new();
    private readonly int _limit;
    private Aside* _first;
    private Aside* _last;
    private long _bytes;
    private int _taken;
    private int _waiting;

    /// <param name="limit">Places, at least 1.</param>
    public SourcePlaces(int limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        _limit = limit;
    }

    // With the mount gone there is nobody to answer.
    ~SourcePlaces()
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

        /// <summary>Too many wait already.</summary>
        Refused,
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
                return Putting.Refused;
            }

            Aside* copy;
            try
            {
                copy = (Aside*)NativeMemory.Alloc((nuint)sizeof(Aside) + bytes);
            }
            catch (OutOfMemoryException)
            {
                return Putting.Refused;
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
            _bytes -= (long)next->Bytes;
            _waiting--;
        }

        bytes = next->Bytes;
        started = TimeRunsOn ? next->Started : Stopwatch.GetTimestamp();
        Buffer.MemoryCopy(next + 1, buffer, capacity, bytes);
        NativeMemory.Free(next);
        return true;
    }

    /// <summary>Before the bytes of a request that waits.</summary>
    private struct Aside
    {
        public Aside* Next;
        public nuint Bytes;
        public long Started;
    }
}
