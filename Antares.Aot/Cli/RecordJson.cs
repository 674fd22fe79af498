using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>An entry of <c>list --json</c>: the record and whether its process lives.</summary>
internal sealed record ListedMount : MountRecord
{
    [SetsRequiredMembers]
    public ListedMount(MountRecord record, bool isStale)
        : base(record) => State = isStale ? "stale" : "mounted";

    /// <summary>"mounted" or "stale".</summary>
    public string State { get; }
}

/// <summary>An entry of <c>umount --json</c>.</summary>
internal sealed record UnmountResult
{
    public required string Id { get; init; }

    public required string MountPoint { get; init; }

    /// <summary>"unmounted", "detached", "cleaned" or "failed".</summary>
    public required string Outcome { get; init; }

    public string? Problem { get; init; }
}

/// <summary>The JSON that the verbs print: one line each.</summary>
internal static class RecordJson
{
    public static string Line(MountRecord record) => JsonSerializer.Serialize(record, OutputJson.Default.MountRecord) + "\n";

    public static string Line(List<ListedMount> mounts) => JsonSerializer.Serialize(mounts, OutputJson.Default.ListListedMount) + "\n";

    public static string Line(List<UnmountResult> results) => JsonSerializer.Serialize(results, OutputJson.Default.ListUnmountResult) + "\n";
}

/// <summary>Serializers made at build time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(MountRecord))]
[JsonSerializable(typeof(List<ListedMount>))]
[JsonSerializable(typeof(List<UnmountResult>))]
internal sealed partial class OutputJson : JsonSerializerContext;
