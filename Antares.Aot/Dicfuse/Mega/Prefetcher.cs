using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>What to fetch before somebody asks for it.</summary>
/// <param name="Patterns">Objects, each with everything below it.</param>
/// <param name="Replay">Reads the list of an earlier mount; null: there is none.</param>
/// <param name="MostBytes">Content fetched at most.</param>
internal sealed record PrefetchPlan(IReadOnlyList<PathPattern> Patterns, Func<byte[]?>? Replay, long MostBytes)
{
    /// <summary>
    /// All there is, by as many threads as the server has turns: nobody is waiting but one who goes through all of it.
    /// </summary>
    public bool IsEverything { get; init; }
}

/// <summary>
/// Brings directories into the tree and contents into the store beside the requests: by few threads of its own, so that most of the turns
/// at the server are left to whoever waits. What fails is logged, and fetched when somebody asks for it.
/// </summary>
/// <remarks>
/// The list of an earlier mount comes first and in its order, since the job is likely to go the same way. Everything goes through the tree and the fetcher
/// as requests do, so nothing is fetched twice.
/// </remarks>
internal sealed unsafe class Prefetcher
{
    /// <summary>Of the turns at the server one in so many is used at most.</summary>
    private const int ShareOfTurns = 4;
    private const int StackBytes = 512 << 10;
    private const int FailuresTold = 5;

    private readonly IAheadTree _tree;
    private readonly PrefetchPlan _plan;
    private readonly Log _log;
    private readonly object _lock = new();
    private readonly Queue<Step> _steps = new();
    private readonly Thread[] _threads;
    private byte[] _replay = [];
    private int _replayAt;
    private int _active;
    private bool _stopped;
    private long _directories;
    private long _files;
    private long _bytes;
    private long _failed;

    /// <param name="tree">The tree; outlives the threads.</param>
    /// <param name="plan">What to fetch.</param>
    /// <param name="turns">Turns that the server's client has.</param>
    /// <param name="log">Hears of failures, and of the end.</param>
    public Prefetcher(IAheadTree tree, PrefetchPlan plan, int turns, Log log)
    {
        _tree = tree;
        _plan = plan;
        _log = log;
        _threads = new Thread[Math.Max(1, plan.IsEverything ? turns : turns / ShareOfTurns)];
    }

    /// <summary>Directories looked into.</summary>
    public long Directories => Volatile.Read(ref _directories);

    /// <summary>Contents fetched; what was in the store already does not count.</summary>
    public long Files => Volatile.Read(ref _files);

    /// <summary>Their bytes.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    public long Failed => Volatile.Read(ref _failed);

    /// <summary>Steps that wait for a thread.</summary>
    public long Waiting
    {
        get
        {
            lock (_lock)
            {
                return _steps.Count + _active;
            }
        }
    }

    /// <summary>Begins. Once.</summary>
    public void Start()
    {
        if (_plan.IsEverything)
        {
            _steps.Enqueue(new Step(ILayer.RootNode, null, 0));
        }

        foreach (PathPattern pattern in _plan.Patterns)
        {
            _steps.Enqueue(new Step(ILayer.RootNode, pattern, 0));
        }

        // The first thread reads the list, and until then it is not the end.
        _active = 1;
        for (int i = 0; i < _threads.Length; i++)
        {
            bool isFirst = i == 0;
            _threads[i] = new Thread(() => Run(isFirst), StackBytes) { IsBackground = true, Name = "prefetch" };
            _threads[i].Start();
        }
    }

    /// <summary>No further step begins.</summary>
    public void Stop()
    {
        lock (_lock)
        {
            _stopped = true;
            _steps.Clear();
            Monitor.PulseAll(_lock);
        }
    }

    /// <summary>Waits for the threads, after <see cref="Stop"/> and after the fetcher was closed.</summary>
    public void Join()
    {
        foreach (Thread? thread in _threads)
        {
            thread?.Join();
        }
    }

    private void Run(bool isFirst)
    {
        try
        {
            if (isFirst)
            {
                ReadReplay();
                EndStep();
            }

            while (TryTake(out Step step, out byte[]? line, out bool isDirectory))
            {
                if (line is not null)
                {
                    Replay(line, isDirectory);
                }
                else
                {
                    Take(step);
                }

                EndStep();
            }
        }
        catch (Exception error)
        {
            _log.Error($"prefetch ended: {error.GetType().Name}: {error.Message}");
            Stop();
        }
    }

    private void ReadReplay()
    {
        byte[]? text = _plan.Replay?.Invoke();
        if (text is not null && !text.AsSpan().StartsWith(AccessList.Header))
        {
            _log.Warn("the list to replay is none that --record wrote; nothing of it is fetched");
            text = null;
        }

        lock (_lock)
        {
            _replay = text ?? [];
            _replayAt = text is null ? 0 : AccessList.Header.Length;
        }
    }

    private bool TryTake(out Step step, out byte[]? line, out bool isDirectory)
    {
        step = default;
        line = null;
        isDirectory = false;
        lock (_lock)
        {
            while (!_stopped)
            {
                if (AccessList.TryNext(_replay, ref _replayAt, out ReadOnlySpan<byte> path, out isDirectory))
                {
                    line = path.ToArray();
                    _active++;
                    return true;
                }

                if (_steps.TryDequeue(out step))
                {
                    _active++;
                    return true;
                }

                if (_active == 0)
                {
                    _stopped = true;
                    Monitor.PulseAll(_lock);
                    _log.Info($"prefetched {_files} files of {_bytes} bytes and {_directories} directories, {_failed} failures");
                    return false;
                }

                _ = Monitor.Wait(_lock); // without a timeout it comes back signalled
            }
        }

        return false;
    }

    private void EndStep()
    {
        lock (_lock)
        {
            _active--;
            Monitor.PulseAll(_lock);
        }
    }

    private void Add(uint node, PathPattern? pattern, int part)
    {
        lock (_lock)
        {
            if (!_stopped)
            {
                _steps.Enqueue(new Step(node, pattern, part));
                Monitor.Pulse(_lock);
            }
        }
    }

    /// <summary>An object of the list; one that is not in the tree any more is passed over.</summary>
    private void Replay(ReadOnlySpan<byte> path, bool isDirectory)
    {
        byte* buffer = stackalloc byte[ByteName.MaxLength + 1];
        uint node = ILayer.RootNode;
        Errno error = Errno.None;
        foreach (Range range in path.Split((byte)'/'))
        {
            ReadOnlySpan<byte> part = path[range];
            if (part.IsEmpty || error != Errno.None)
            {
                continue;
            }

            int length = AccessList.NameOf(part, new Span<byte>(buffer, ByteName.MaxLength + 1));
            uint directory = node;
            error = length == 0 ? Errno.ENOENT : _tree.Find(directory, new ByteName(buffer, length), out node);
            if (error is not (Errno.None or Errno.ENOENT or Errno.ENOTDIR))
            {
                NoteFailure(directory, error);
            }
        }

        // What has become of another kind since was not touched as that.
        if (error != Errno.None || isDirectory != (_tree.TypeOf(node) == FileType.Directory))
        {
            return;
        }

        if (isDirectory)
        {
            _ = TryLoad(node); // noted
        }
        else
        {
            Fetch(node);
        }
    }

    private void Take(in Step step)
    {
        if (_tree.TypeOf(step.Node) != FileType.Directory)
        {
            Fetch(step.Node);
        }
        else if (TryLoad(step.Node))
        {
            Expand(step.Node, step.Pattern, step.Part);
        }
    }

    private void Expand(uint directory, PathPattern? pattern, int part)
    {
        bool all = pattern is null || part == pattern.Length;
        if (!all && pattern![part].Name is { } plain)
        {
            fixed (byte* bytes = (byte[])[.. plain, 0])
            {
                if (plain.Length <= ByteName.MaxLength && _tree.Find(directory, new ByteName(bytes, plain.Length), out uint child) == Errno.None)
                {
                    Reach(child, pattern, part + 1);
                }
            }

            return;
        }

        bool anyDepth = !all && pattern![part].IsAnyDepth;
        if (anyDepth)
        {
            Expand(directory, pattern, part + 1);
        }

        for (ulong cookie = 0; _tree.Next(directory, cookie, out LayerEntry entry) == Errno.None; cookie = entry.Cookie)
        {
            if (all)
            {
                Add(entry.Node, null, 0);
            }
            else if (anyDepth)
            {
                if (entry.Type == FileType.Directory)
                {
                    Add(entry.Node, pattern, part);
                }
            }
            else if (pattern![part].Matches(entry.Name.Span))
            {
                Reach(entry.Node, pattern, part + 1);
            }
        }
    }

    // A file that parts are left for is not meant.
    private void Reach(uint node, PathPattern? pattern, int part)
    {
        if (part == pattern!.Length)
        {
            Add(node, null, 0);
        }
        else if (_tree.TypeOf(node) == FileType.Directory)
        {
            Add(node, pattern, part);
        }
    }

    private bool TryLoad(uint directory)
    {
        // Only a counter for people, as those below.
        _ = Interlocked.Increment(ref _directories);
        Errno error = _tree.LoadNames(directory);
        if (error != Errno.None)
        {
            NoteFailure(directory, error);
        }

        return error == Errno.None;
    }

    private void Fetch(uint node)
    {
        Errno error = _tree.Fetch(node, out long fetched);
        if (error != Errno.None)
        {
            NoteFailure(node, error);
            return;
        }

        if (fetched < 0)
        {
            return;
        }

        _ = Interlocked.Increment(ref _files);
        if (Interlocked.Add(ref _bytes, fetched) > _plan.MostBytes && !Volatile.Read(ref _stopped))
        {
            _log.Warn($"prefetch ended after {_bytes} bytes: more would push out of the store what was just fetched; raise --store-limit, or name less");
            Stop();
        }
    }

    private void NoteFailure(uint node, Errno error)
    {
        string reason = Failure.Call ?? error.ToString();
        Failure.Clear();
        if (Volatile.Read(ref _stopped))
        {
            return; // the mount ends
        }

        if (Interlocked.Increment(ref _failed) <= FailuresTold)
        {
            _log.Warn($"prefetch of {_tree.PathOf(node)}: {reason}");
        }
    }

    /// <summary>A node, with what is left of a pattern; without one, everything below.</summary>
    private readonly record struct Step(uint Node, PathPattern? Pattern, int Part);
}
