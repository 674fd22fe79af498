using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>A revision, or a changelist over one, that is wholly here and not yet shown.</summary>
/// <param name="Revision">What is under the changelist.</param>
/// <param name="Applied">What the changelist does.</param>
/// <param name="Folder">And where; null: there is none.</param>
/// <param name="Change">What that makes of what is shown.</param>
internal sealed record ClPrepared(MegaRevision Revision, ClApplied Applied, ClFolder? Folder, ViewChange Change);

/// <summary>
/// What is shown of a directory of a monorepo server: a revision, and perhaps a changelist over it. The next view is prepared beside what is
/// shown, then put in its place at once. A failure leaves what is shown as it is.
/// </summary>
/// <remarks>One preparation at a time, and what it gave is to be shown, or dropped, before the next.</remarks>
internal sealed class ClTree
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    private readonly DicfuseTree _tree;
    private readonly MegaSource _source;
    private readonly Log _log;
    private readonly ClReader _reader;
    private readonly ViewEditor _editor;
    private ClPrepared _shown;

    public ClTree(DicfuseTree tree, MegaSource source, Log log)
    {
        _tree = tree;
        _source = source;
        _log = log;
        _reader = new ClReader(source, log);
        _editor = new ViewEditor(tree, source);
        _shown = new ClPrepared(source.Revision, ClApplied.None, null, new ViewChange());
    }

    /// <summary>The mounted directory: "/" or "/a/b".</summary>
    public string Mounted => _source.Options.Address.Path;

    /// <summary>Server, directory and the commit that is shown.</summary>
    public MegaAddress Address => _source.Options.Address with { Revision = _source.Trees.Commit.Id.ToString() };

    /// <inheritdoc cref="ViewEditor.IsClaimed"/>
    public Func<uint, bool> IsClaimed
    {
        set => _editor.IsClaimed = value;
    }

    /// <summary>What is shown.</summary>
    public ClApplied Current => Shown.Applied;

    /// <summary>Names that the changelist makes lead elsewhere than the revision.</summary>
    public IReadOnlyList<NameChange> CurrentNames => Shown.Change.OfChangelist;

    public DicfuseTree Tree => _tree;

    private ClPrepared Shown => Volatile.Read(ref _shown);

    /// <summary>Gets a changelist from the server, with all its contents, and holds it against the mounted revision.</summary>
    /// <param name="link">Its name; null: the revision as it is.</param>
    /// <param name="origin">Where its paths begin; null: the server is asked.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="MegaProblem">It does not apply (<see cref="ClConflict"/>), or the server; nothing has changed.</exception>
    public Task<ClPrepared> Prepare(string? link, string? origin, CancellationToken stop) => Bounded(
        $"changelist {link}",
        async time =>
        {
            var over = new RevisionReader(_source, _source.Revision);
            (ClApplied applied, ClFolder? folder) = link is null ? (ClApplied.None, null) : await _reader.Read(link, origin, over, time).ConfigureAwait(false);
            return await Prepare(over, applied, folder, time).ConfigureAwait(false);
        },
        stop);

    /// <summary>Gets another revision from the server, as far as somebody has asked for what changes, and holds the changelist against it.</summary>
    /// <param name="revision">A commit or a tag; null: the server's head.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="MegaProblem">The changelist does not apply to it (<see cref="ClConflict"/>), or the server; nothing has changed.</exception>
    public Task<ClPrepared> PrepareMove(string? revision, CancellationToken stop) => Bounded(
        revision is null ? "the head" : $"revision {revision}",
        async time =>
        {
            MegaOptions options = _source.Options with { Address = _source.Options.Address with { Revision = revision } };
            var trees = new MegaTrees(options, _source.Client, _source.Store, _log);
            MegaView root = await trees.Pin(time).ConfigureAwait(false);
            var over = new RevisionReader(_source, new MegaRevision(trees, root));
            ClApplied applied = Current;
            ClFolder? folder = null;
            if (applied.Link is not null)
            {
                (applied, folder) = await _reader.Apply(applied, over, time).ConfigureAwait(false);
            }

            return await Prepare(over, applied, folder, time).ConfigureAwait(false);
        },
        stop);

    /// <summary>Prepares anew what <see cref="Show"/> refused.</summary>
    /// <param name="refused">From the last preparation.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="MegaProblem">The server; nothing has changed.</exception>
    public Task<ClPrepared> PrepareAgain(ClPrepared refused, CancellationToken stop) => Bounded(
        "what is to be shown",
        time => Prepare(new RevisionReader(_source, refused.Revision), refused.Applied, refused.Folder, time),
        stop);

    /// <summary>Shows what was prepared. What changes has the time of now, so that a build that used what was there before sees it.</summary>
    /// <returns>False: somebody has listed a directory meanwhile that had not been listed; nothing has changed, prepare it anew.</returns>
    public bool Show(ClPrepared prepared)
    {
        ViewChange change = prepared.Change;
        timespec now;
        lock (_source.Moves.Lock)
        {
            if (change.NotLoaded.Exists(directory => _tree.IsLoaded(directory, LayerPart.Names)))
            {
                return false;
            }

            now = Now();
            change.Grown.ForEach(node => _source.Date(node, now));
            _source.MoveTo(prepared.Revision, change.Listed);
            _tree.Edits = change.Edits;
            _source.Moves.NoteMove();
        }

        Volatile.Write(ref _shown, prepared with { Folder = prepared.Folder?.Bare(), Change = change.OfChangelistOnly() });
        uint last = 0;
        foreach (NameChange name in change.Names)
        {
            if (name.Directory != last)
            {
                last = name.Directory;
                _ = _tree.Touch(last, now); // a directory whose time stays is found by its names all the same
            }
        }

        return true;
    }

    /// <inheritdoc cref="RevisionGate.Hold"/>
    public void HoldListings() => _source.Moves.Hold();

    /// <inheritdoc cref="RevisionGate.Release"/>
    public void ReleaseListings() => _source.Moves.Release();

    /// <summary>Nobody needs the tree any more: what waits for the server gives up.</summary>
    public void StopWaiting() => _source.Fetcher.Dispose();

    private async Task<ClPrepared> Prepare(RevisionReader over, ClApplied applied, ClFolder? folder, CancellationToken stop) =>
        new(over.Revision, applied, folder, await _editor.Find(over, folder, Shown.Folder, stop).ConfigureAwait(false));

    private async Task<ClPrepared> Bounded(string what, Func<CancellationToken, Task<ClPrepared>> prepare, CancellationToken stop)
    {
        using var time = CancellationTokenSource.CreateLinkedTokenSource(stop);
        time.CancelAfter(s_patience);
        try
        {
            return await prepare(time.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw new MegaProblem(
                Errno.ETIMEDOUT,
                stop.IsCancellationRequested ? $"{what}: given up, the mount ends" : $"{what}: {_source.Options.Address.Base} has not sent all of it within {s_patience.TotalMinutes:0} minutes");
        }
    }

    private static timespec Now()
    {
        const long NanosecondsPerTick = 100;
        long ticks = DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks;
        return new timespec { tv_sec = ticks / TimeSpan.TicksPerSecond, tv_nsec = ticks % TimeSpan.TicksPerSecond * NanosecondsPerTick };
    }
}
