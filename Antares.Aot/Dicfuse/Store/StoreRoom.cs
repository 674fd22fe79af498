using Antares.Interop;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>
/// A store that cannot be written. One whose disk is full gives up what was used longest ago; where that does not help, or something else is wrong with
/// the disk, short objects are held in memory: what is in hand is shown, whether or not it can be kept.
/// </summary>
internal sealed class StoreRoom
{
    private readonly Lock _lock = new();
    private bool _told;

    /// <summary>Gives up objects; false when there is nothing to give up.</summary>
    public Func<bool>? Maker { get; set; }

    /// <summary>Told once when nothing more can be written.</summary>
    public Action<string>? Full { get; set; }

    /// <summary>What the disk did not take.</summary>
    public MemoryObjects Memory { get; } = new();

    /// <summary>The disk does not take any more.</summary>
    public static bool IsFull(Errno error) => error is Errno.ENOSPC or Errno.EDQUOT;

    /// <summary>The store does not take what it was given, and for no lack of memory.</summary>
    public static bool IsRefusal(Errno error) => error is not (Errno.None or Errno.ENOMEM);

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
    public void TellFull(string folder) => TellRefused(folder, Errno.ENOSPC);

    /// <summary>Tells that the store cannot be written, the first time.</summary>
    /// <param name="folder">The store.</param>
    /// <param name="error">Why.</param>
    public void TellRefused(string folder, Errno error)
    {
        lock (_lock)
        {
            if (!_told)
            {
                _told = true;
                string what = IsFull(error) ? $"the disk of the store {folder} is full" : $"the store {folder} cannot be written ({error})";
                string advice = IsFull(error) ? "free some space" : "mend it";
                Full?.Invoke($"{what}: files up to {MemoryObjects.LargestBytes >> 20} MiB are held in memory, longer ones are EIO; {advice}, or name another folder with --store");
            }
        }
    }
}
