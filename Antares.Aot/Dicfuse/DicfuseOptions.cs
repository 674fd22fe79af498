using Antares.Aot.Base;

namespace Antares.Aot.Dicfuse;

/// <summary>How a Dicfuse tree is kept and shown. Nothing here changes after the mount is up.</summary>
public sealed record DicfuseOptions
{
    /// <summary>Tree slot of the layer in the mount's node ids (<see cref="NodeId"/>), at least 1.</summary>
    public uint Slot { get; init; } = 1;

    /// <summary>
    /// Native memory that contents may hold, in bytes: packed frames, their table and the few unpacked ones. Below 512 KiB nothing
    /// is held, and each read goes to the source.
    /// </summary>
    public long MemoryLimitBytes { get; init; } = 64L << 20;

    /// <summary>Existing folder for frames beyond the memory limit (one file without a name); null: they are dropped.</summary>
    public string? StorePath { get; init; }

    /// <summary>Most bytes of that file; the frames written first make room for new ones.</summary>
    public long StoreLimitBytes { get; init; } = 4L << 30;

    /// <summary>How many requests may ask the source at a time; null: no bound.</summary>
    public RequestPlaces? Places { get; init; }

    /// <summary>Users of the source as the mount shows them.</summary>
    public IdMap Uids { get; init; } = IdMap.Identity;

    /// <summary>Groups of the source as the mount shows them.</summary>
    public IdMap Gids { get; init; } = IdMap.Identity;

    /// <summary>
    /// Most descriptors of the source kept open between requests, at least 1. A request in work holds at most two more, and the
    /// root's is always open.
    /// </summary>
    public int FdCapacity { get; init; } = 64;

    /// <summary>Takes the list of what was touched (<see cref="AccessRecord"/>) when the layer is closed; null: none is kept.</summary>
    internal Action<Store.NativeBody>? Recorded { get; init; }
}
