using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>A changelist that is wholly here and not yet shown.</summary>
/// <param name="Applied">What it does.</param>
/// <param name="Edits">What the tree is to show; null: the revision as it is.</param>
/// <param name="Changes">Names that lead elsewhere then.</param>
/// <param name="Time">Time of modification of what changes.</param>
internal sealed record ClPrepared(ClApplied Applied, TreeEdits? Edits, IReadOnlyList<ClNameChange> Changes, timespec Time);

/// <summary>
/// The changelist over a directory of a monorepo server: prepared beside what is shown, then put in its place by one store. A failure
/// leaves what is shown as it is.
/// </summary>
/// <remarks>One preparation at a time, and what it gave is to be shown, or dropped, before the next.</remarks>
internal sealed class ClTree
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    private readonly DicfuseTree _tree;
    private readonly ClReader _reader;
    private readonly ClEditor _editor;
    private readonly MegaFetcher _fetcher;
    private readonly string _server;
    private ClApplied _current = ClApplied.None;

    public ClTree(DicfuseTree tree, MegaSource source, Log log)
    {
        _tree = tree;
        _reader = new ClReader(tree, source, log);
        _editor = new ClEditor(tree, source);
        _fetcher = source.Fetcher;
        _server = source.Options.Address.Base;
        Mounted = source.Options.Address.Path;
    }

    /// <summary>The mounted directory: "/" or "/a/b".</summary>
    public string Mounted { get; }

    /// <summary>What is shown.</summary>
    public ClApplied Current => Volatile.Read(ref _current);

    public DicfuseTree Tree => _tree;

    /// <summary>Gets a changelist from the server, with all its contents, and holds it against the mounted revision.</summary>
    /// <param name="link">Its name; null: the revision as it is.</param>
    /// <param name="origin">Where its paths begin; null: the server is asked.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="MegaProblem">It does not apply (<see cref="ClConflict"/>), or the server; nothing has changed.</exception>
    public async Task<ClPrepared> Prepare(string? link, string? origin, CancellationToken stop)
    {
        using var time = CancellationTokenSource.CreateLinkedTokenSource(stop);
        time.CancelAfter(s_patience);
        try
        {
            (ClApplied applied, ClFolder? root) = link is null ? (ClApplied.None, null) : await _reader.Read(link, origin, time.Token).ConfigureAwait(false);
            timespec now = Now();
            TreeEdits? edits = _editor.Make(root, now, out List<ClNameChange> changes);
            return new ClPrepared(applied, edits, changes, now);
        }
        catch (OperationCanceledException)
        {
            throw new MegaProblem(
                Errno.ETIMEDOUT,
                stop.IsCancellationRequested ? $"changelist {link}: given up, the mount ends" : $"changelist {link}: {_server} has not sent all of it within {s_patience.TotalMinutes:0} minutes");
        }
    }

    /// <summary>Shows what was prepared.</summary>
    public void Show(ClPrepared prepared)
    {
        _tree.Edits = prepared.Edits;
        Volatile.Write(ref _current, prepared.Applied);
        uint last = 0;
        foreach (ClNameChange change in prepared.Changes)
        {
            if (change.Directory != last)
            {
                last = change.Directory;
                _ = _tree.Touch(last, prepared.Time); // a directory whose time stays is found by its names all the same
            }
        }
    }

    /// <summary>Nobody needs the tree any more: what waits for the server gives up.</summary>
    public void StopWaiting() => _fetcher.Dispose();

    private static timespec Now()
    {
        const long NanosecondsPerTick = 100;
        long ticks = DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks;
        return new timespec { tv_sec = ticks / TimeSpan.TicksPerSecond, tv_nsec = ticks % TimeSpan.TicksPerSecond * NanosecondsPerTick };
    }
}
