using Antares.Interop;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>A store whose disk is full: it gives up what was used longest ago, and holds short objects in memory.</summary>
internal sealed class StoreRoom
{
    private readonly Lock _lock = new();
    private bool _told;

    /// <summary>Gives up objects; false when there is nothing to give up.</summary>
    public Func<bool>? Maker { get; set; }

    /// <summary>Told once when the disk stays full.</summary>
    public Action<string>? Full { get; set; }

    /// <summary>What the disk did not take.</summary>
    public MemoryObjects Memory { get; } = new();

    /// <summary>The disk does not take any more.</summary>
    public static bool IsFull(Errno error) => error is Errno.ENOSPC or Errno.EDQUOT;

    /// <summary>Makes room after the disk was full.</summary>
    /// <returns>False: nothing could be given up.</returns>
    public bool Make()
    {
        lock (_lock)
        {
            return Maker?.Invoke() ?? false;
        }
    }

    /// <summary>Tells that the disk is full, the first time.</summary>
    public void TellFull(string folder)
    {
        lock (_lock)
        {
            if (!_told)
            {
                _told = true;
                Full?.Invoke($"the disk of the store {folder} is full: files up to {MemoryObjects.LargestBytes >> 20} MiB are held in memory, longer ones are EIO; free some space, or name another folder with --store");
            }
        }
    }
}
