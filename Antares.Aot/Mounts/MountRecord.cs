using System.Text.Json.Serialization;

namespace Antares.Aot.Mounts;

/// <summary>What the state file knows of one mount. Also the form in which <c>list --json</c> and <c>mount --json</c> show it.</summary>
public record MountRecord
{
    /// <summary>Id of the mount and of its workspace.</summary>
    public required string Id { get; init; }

    /// <summary>Name given by <c>--job</c>.</summary>
    public string? Job { get; init; }

    /// <summary>Process that serves the mount.</summary>
    public required int Pid { get; init; }

    /// <summary>Its start time: see <see cref="ProcessIdentity"/>.</summary>
    public required long StartTicks { get; init; }

    /// <summary>Path without links.</summary>
    public required string MountPoint { get; init; }

    /// <summary>SOURCE and the layers above it, top first.</summary>
    public required IReadOnlyList<string> Lowers { get; init; }

    /// <summary>Folder of the writes; null: read-only.</summary>
    public string? Upper { get; init; }

    public string? Work { get; init; }

    /// <summary>Folder to remove at the end; null: none was made.</summary>
    public string? Workspace { get; init; }

    /// <summary>The workspace stays after the unmount.</summary>
    public bool Keep { get; init; }

    /// <summary>Control socket.</summary>
    public required string Socket { get; init; }

    /// <summary>UTC, ISO 8601.</summary>
    public required string Created { get; init; }

    [JsonIgnore]
    public ProcessIdentity Process => new(Pid, StartTicks);
}

/// <summary>The state file's content.</summary>
public sealed record StateDocument
{
    /// <summary>Raised when a field changes its meaning; another version is refused.</summary>
    public const int CurrentVersion = 1;

    public required int Version { get; init; }

    public required List<MountRecord> Mounts { get; init; }
}

/// <summary>Serializers made at build time: nothing is looked up by reflection.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(StateDocument))]
internal sealed partial class StateJson : JsonSerializerContext;
