using System.Buffers;
using System.Text;
using System.Text.Json;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>What became of one mount in an <c>umount</c>.</summary>
/// <param name="Record">The mount.</param>
/// <param name="Outcome">"unmounted", "detached", "cleaned" or "failed".</param>
/// <param name="Problem">Why it failed.</param>
/// <param name="Removed">The workspace of a killed mount that was removed with what was written in it; null: none was.</param>
internal sealed record UnmountResult(MountRecord Record, string Outcome, string? Problem = null, string? Removed = null);

/// <summary>The JSON that the verbs print: one line each.</summary>
internal static class RecordJson
{
    /// <summary>An object with "state" ("mounted") and the record's fields: what <c>list</c> shows of a mount just made.</summary>
    public static string Line(MountRecord record) => Line(writer =>
    {
        writer.WriteStartObject();
        writer.WriteString("state"u8, new KnownMount(record, IsStale: false).State);
        StateCodec.WriteFields(writer, record);
        writer.WriteEndObject();
    });

    /// <summary>An array of objects: "state" ("mounted", "starting", "detached" or "stale") and the record's fields.</summary>
    public static string Line(List<KnownMount> mounts) => Line(writer =>
    {
        writer.WriteStartArray();
        foreach (var mount in mounts)
        {
            writer.WriteStartObject();
            writer.WriteString("state"u8, mount.State);
            StateCodec.WriteFields(writer, mount.Record);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    });

    /// <summary>
    /// An array of objects with id, mount_point, outcome, the kept workspace if it stays, the removed one of a killed mount if something was written in it and,
    /// after a failure, problem.
    /// </summary>
    public static string Line(List<UnmountResult> results) => Line(writer =>
    {
        writer.WriteStartArray();
        foreach (var result in results)
        {
            writer.WriteStartObject();
            writer.WriteString("id"u8, result.Record.Id);
            writer.WriteString("mount_point"u8, result.Record.MountPoint);
            writer.WriteString("outcome"u8, result.Outcome);
            if (result is { Problem: null, Record: { Keep: true, Workspace: { } workspace } })
            {
                writer.WriteString("kept"u8, workspace);
            }

            if (result.Removed is not null)
            {
                writer.WriteString("removed"u8, result.Removed);
            }

            if (result.Problem is not null)
            {
                writer.WriteString("problem"u8, result.Problem);
            }

            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    });

    private static string Line(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            write(writer);
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan) + "\n";
    }
}
