using Antares.Aot.Dicfuse.Store;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>What became of one line of a changelist in the mounted directory.</summary>
/// <param name="Action">What it does.</param>
/// <param name="Path">Relative to the mounted directory.</param>
internal sealed record ClOutcome(ClAction Action, string Path)
{
    /// <summary>Of a renamed file: where it was, relative to the mounted directory if it was there.</summary>
    public string? From { get; init; }

    /// <summary>Mode of what is shown; none for a deletion.</summary>
    public GitMode Mode { get; set; }

    /// <summary>Nobody tells the mode: it is that of a plain file.</summary>
    public bool IsModeUnsure { get; set; }

    /// <summary>The mounted revision is so already.</summary>
    public bool IsAlready { get; init; }
}

/// <summary>A changelist that was held against a revision: everything is here, nothing is shown yet.</summary>
/// <param name="Link">Its name; null: the revision as it is.</param>
/// <param name="Origin">Where its paths begin.</param>
internal sealed record ClApplied(string? Link, string Origin)
{
    public static ClApplied None { get; } = new(null, "/");

    /// <summary>Its lines, as the mounted directory sees them.</summary>
    public ClPlacement Placed { get; init; } = new();

    /// <summary>Nobody told where its paths begin.</summary>
    public bool IsOriginUnsure { get; init; }

    /// <summary>By path.</summary>
    public IReadOnlyList<ClOutcome> Outcomes { get; init; } = [];

    /// <summary>What it does outside of the mounted directory.</summary>
    public IReadOnlyList<(ClAction Action, string Path)> Outside { get; init; } = [];
}

/// <summary>What a name of the mounted directory is to lead to.</summary>
/// <param name="Kind">What.</param>
/// <param name="Mode">Of a file.</param>
/// <param name="Id">Of a file.</param>
internal readonly record struct ClTarget(ClTargetKind Kind, GitMode Mode, ObjectId Id);

/// <summary>Kinds of <see cref="ClTarget"/>.</summary>
internal enum ClTargetKind : byte
{
    /// <summary>Nothing.</summary>
    Hidden = 0,
    File = 1,

    /// <summary>A directory that the revision does not have.</summary>
    Directory = 2,
}
