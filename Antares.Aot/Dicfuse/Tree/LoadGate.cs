using Antares.Aot.Base;

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
    /// <returns>True: the caller loads it, and must call <see cref="Leave"/>. False: it is loaded.</returns>
    public bool Enter(uint node)
    {
        NodeRecord* record = store[node];
        while (true)
        {
            NodeFlags seen = record->TryBegin(loading, loaded);
            if ((seen & (loading | loaded)) == 0)
            {
                return true;
            }

            if ((seen & loaded) != 0)
            {
                return false;
            }

            RequestWait.Announce();
            object monitor = MonitorOf(node);
            lock (monitor)
            {
                while (record->Has(loading))
                {
                    _ = Monitor.Wait(monitor);
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
