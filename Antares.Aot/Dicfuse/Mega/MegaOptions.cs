namespace Antares.Aot.Dicfuse.Mega;

/// <summary>What to do when a server shows another tree than the pinned one.</summary>
public enum OnDrift
{
    /// <summary>The directory is EIO: two revisions are never mixed.</summary>
    Fail,

    /// <summary>The directory is shown as the server has it now, and a warning is logged.</summary>
    Warn,
}

/// <summary>How a monorepo server is asked. Times are bounds, not promises.</summary>
public sealed record MegaOptions
{
    public required MegaAddress Address { get; init; }

    /// <summary>Nothing is asked of the server: what the store holds is there, the rest is EIO.</summary>
    public bool Offline { get; init; }

    public OnDrift OnDrift { get; init; }

    /// <summary>Directory below which each entry may be an import repository, with revisions of its own.</summary>
    public string ImportRoot { get; init; } = "/third-party";

    /// <summary>Sent as "Authorization: Bearer …"; never shown.</summary>
    public string? Token { get; init; }

    /// <summary>Further headers, never shown.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];

    /// <summary>PEM file of the certificates that alone are trusted; null: the system's.</summary>
    public string? CaFile { get; init; }

    /// <summary>Requests under way at a time.</summary>
    public int Concurrency { get; init; } = 16;

    /// <summary>Tries of one request, the first included.</summary>
    public int Attempts { get; init; } = 4;

    /// <summary>Longest wait for the head of an answer, in one try.</summary>
    public int AnswerMs { get; init; } = 120_000;

    /// <summary>Longest pause within an answer.</summary>
    public int StallMs { get; init; } = 20_000;

    /// <summary>How long one request of the kernel is kept waiting; what is fetched goes on behind it.</summary>
    public int RequestMs { get; init; } = 20_000;

    /// <summary>Whoever asks for a size will read all of the file: it comes with its content, however long.</summary>
    public bool TakesAll { get; init; }

    /// <summary>Largest file that is fetched.</summary>
    public long LargestBlob { get; init; } = 16L << 30;

    /// <summary>User and group that the files belong to.</summary>
    public uint Uid { get; init; }

    public uint Gid { get; init; }
}
