using Antares.Aot.Diagnostics;

namespace Antares.Aot.Layers;

/// <summary>How an upper is used.</summary>
public sealed record UpperOptions
{
    /// <summary>Skip syncing; the work directory is marked so that an upper left by a crash is not used again unawares.</summary>
    public bool Volatile { get; init; }

    /// <summary>Accept an upper that a volatile mount left behind in a crash.</summary>
    public bool Recover { get; init; }

    /// <summary>Keep the overlay's marks under <c>user.overlay.</c> instead of <c>trusted.overlay.</c>.</summary>
    public bool UserXattrs { get; init; }

    /// <summary>Every object is shown with one owner (a squash option), so that an owner which cannot be stored is not missed.</summary>
    public bool OneUid { get; init; }

    /// <summary>As <see cref="OneUid"/>, for the group.</summary>
    public bool OneGid { get; init; }

    /// <summary>What is to be done about an overlay of the kernel's that still uses the upper, by what <see cref="KernelUse.Mark"/> was given; null: nothing can be told.</summary>
    public Func<string, string>? UsersOf { get; init; }

    /// <summary>Told of what was found in the work directory.</summary>
    public Log Log { get; init; } = Log.Off;
}
