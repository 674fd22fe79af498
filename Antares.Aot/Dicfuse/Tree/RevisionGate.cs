using Antares.Aot.Base;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// Keeps apart what a source lists before and after it moves to another revision: a listing that was asked for before the move is not
/// published after it, but asked for anew.
/// </summary>
internal sealed class RevisionGate
{
    private long _moves;
    private int _holder;

    /// <summary>Held while names are published, and while the source moves. Innermost but for the locks of the tree's tables.</summary>
    public object Lock { get; } = new();

    /// <summary>How often the source has moved.</summary>
    public long Moves => Volatile.Read(ref _moves);

    /// <summary>To be called with <see cref="Lock"/> held, when everything is as the other revision has it.</summary>
    public void NoteMove() => Volatile.Write(ref _moves, _moves + 1);

    /// <summary>Lets nobody publish names but this thread, until <see cref="Release"/>. For one at a time, and not for long: requests wait.</summary>
    public void Hold()
    {
        lock (Lock)
        {
            _holder = Environment.CurrentManagedThreadId;
        }
    }

    public void Release()
    {
        lock (Lock)
        {
            _holder = 0;
            Monitor.PulseAll(Lock);
        }
    }

    /// <summary>To be called with <see cref="Lock"/> held, before names are published.</summary>
    public void WaitReleased()
    {
        if (_holder == 0 || _holder == Environment.CurrentManagedThreadId)
        {
            return;
        }

        _ = RequestWait.Announce(); // waits in any case
        while (_holder != 0)
        {
            _ = Monitor.Wait(Lock); // without a timeout it comes back signalled
        }
    }
}
