namespace Antares.Aot.Layers;

/// <summary>How an upper is used.</summary>
/// <param name="Volatile">Skip syncing; the work directory is marked so that an upper left by a crash is not used again unawares.</param>
/// <param name="Recover">Accept an upper that a volatile mount left behind in a crash.</param>
/// <param name="UserXattrs">Keep the overlay's marks under <c>user.overlay.</c> instead of <c>trusted.overlay.</c>.</param>
public sealed record UpperOptions(bool Volatile, bool Recover, bool UserXattrs);
