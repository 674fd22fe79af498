using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// Lets one thread at a time load a part of a node (its children, or its attributes), while those that need this part wait and all
/// others go on: what is being loaded is a bit of the node itself, and no lock is held while the source is asked.
/// </summary>
/// <remarks>
/// Those who wait sleep on one of a few monitors, found by the node's number and held for a few instructions only. Whoever ends clears
/// the bit before it takes the monitor to wake them, and a waiter looks at the bit with the monitor held, so no end is missed.
/// </remarks>
internal sealed unsafe class LoadGate(NodeStore store, NodeFlags loading, NodeFlags loaded)
{
    private const uint MonitorCount = 16;

    private readonly object?[] _monitors = new object?[MonitorCount];

    /// <summary>Waits until nobody loads the part.</summary>
    /// <param name="node">The node.</param>
    /// <param name="isMine">True: the caller loads it, and must call <see cref="Leave"/>. False: it is loaded, or an error is answered.</param>
    /// <returns>None; EINTR: the process that asked was killed meanwhile.</returns>
    public Errno Enter(uint node, out bool isMine)
    {
        isMine = false;
        NodeRecord* record = store[node];
        while (true)
        {
            NodeFlags seen = record->TryBegin(loading, loaded);
            if ((seen & (loading | loaded)) == 0)
            {
                isMine = true;
                return Errno.None;
            }

            if ((seen & loaded) != 0)
            {
                return Errno.None;
            }

            _ = RequestWait.Announce(); // waits in any case
            object monitor = MonitorOf(node);
            using CallerWait? wait = CallerWait.Begin();
            lock (monitor)
            {
                while (record->Has(loading))
                {
                    if (wait is { IsKilled: true })
                    {
                        return Errno.EINTR;
                    }

                    CallerWait.ForPulse(monitor, wait);
                }
            }
        }
    }

    /// <summary>The caller is done, with or without success.</summary>
    public void Leave(uint node)
    {
        store[node]->End(loading);
        object monitor = MonitorOf(node);
        lock (monitor)
        {
            Monitor.PulseAll(monitor);
        }
    }

    // Made when first needed, so that a mount does not wait for what nobody needs yet.
    private object MonitorOf(uint node)
    {
        ref object? place = ref _monitors[node % MonitorCount];
        object? known = Volatile.Read(ref place);
        if (known != null)
        {
            return known;
        }

        object made = new();
        return Interlocked.CompareExchange(ref place, made, null) ?? made;
    }
}
