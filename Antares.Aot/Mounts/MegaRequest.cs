using Antares.Aot.Dicfuse.Mega;

namespace Antares.Aot.Mounts;

/// <summary>What a user asks of a source on a server (<c>mega:</c>, <c>https:</c>) beside its address: nothing checked yet.</summary>
public sealed record MegaRequest
{
    /// <summary>Server for an address without one.</summary>
    public string? BaseUrl { get; init; }

    /// <summary>Directory of the tree, instead of one in the address.</summary>
    public string? Path { get; init; }

    /// <summary>Commit or tag, instead of one in the address.</summary>
    public string? Revision { get; init; }

    /// <summary>Changelist over the source; null: none.</summary>
    public string? Changelist { get; init; }

    /// <summary>Directory of the monorepo at which the changelist's paths begin; null: the server is asked.</summary>
    public string? ChangelistPath { get; init; }

    public bool Offline { get; init; }

    public OnDrift OnDrift { get; init; }

    /// <summary>Of an image: all of it is fetched before it is mounted.</summary>
    public bool Download { get; init; }

    /// <summary>File whose first line is the bearer token.</summary>
    public string? TokenFile { get; init; }

    /// <summary>File of further headers, a line each.</summary>
    public string? HeaderFile { get; init; }

    /// <summary>PEM file of the certificates to trust.</summary>
    public string? CaFile { get; init; }

    /// <summary>Folder of the store; null: the user's own.</summary>
    public string? Store { get; init; }

    /// <summary>What to fetch before somebody asks.</summary>
    public IReadOnlyList<PathPattern> Prefetch { get; init; } = [];

    /// <summary>File that receives the list of what was touched, when the mount ends; absolute.</summary>
    public string? Record { get; init; }

    /// <summary>Such a list of an earlier mount, to be fetched before somebody asks; absolute.</summary>
    public string? Replay { get; init; }

    /// <summary>Any of the three.</summary>
    public bool LooksAhead => Prefetch.Count > 0 || Record is not null || Replay is not null;

    /// <summary>Most bytes that the store keeps.</summary>
    public long StoreLimit { get; init; } = StoreFolder.DefaultLimit;
}
