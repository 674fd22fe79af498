using System.Text.Json;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Mega.Changes;

namespace Antares.Aot.Mounts;

/// <summary>What is told of a changelist: for people a line for each path, for programs one JSON object.</summary>
internal static class ChangelistReport
{
    private const string Indent = "  ";

    public static void WriteText(TextWriter text, string mounted, ClApplied applied, IReadOnlyList<ViewConflict> conflicts)
    {
        if (applied.Link is null)
        {
            text.Write("no changelist\n");
        }
        else
        {
            var guessed = applied.IsOriginUnsure ? " (the server does not tell; --cl-path names another)" : "";
            text.Write($"changelist {applied.Link}, paths from {applied.Origin}{guessed}, over {mounted}: {applied.Outcomes.Count} change{(applied.Outcomes.Count == 1 ? "" : "s")}\n");
        }

        foreach (var outcome in applied.Outcomes)
        {
            var from = outcome is { Action: ClAction.Renamed, From: { } old } ? $"{Changelist.Shown(old)} -> " : "";
            var note = outcome.IsAlready ? "  (so already)" : outcome.IsModeUnsure ? "  (mode not told, taken as 0644)" : "";
            text.Write($"{Indent}{Word(outcome.Action),-9} {from}{Changelist.Shown(outcome.Path)}{note}\n");
        }

        foreach (var (action, path) in applied.Outside)
        {
            text.Write($"{Indent}outside   {Changelist.Shown(path)}  ({Word(action)}, not in the mounted directory)\n");
        }

        RefreshReport.WriteConflicts(text, conflicts);
    }

    public static void WriteJson(Utf8JsonWriter json, string mounted, ClApplied applied, IReadOnlyList<ViewConflict> conflicts)
    {
        json.WriteStartObject();
        json.WriteString("cl"u8, applied.Link);
        json.WriteString("cl_path"u8, applied.Link is null ? null : applied.Origin);
        json.WriteBoolean("cl_path_unsure"u8, applied.IsOriginUnsure);
        json.WriteString("mounted"u8, mounted);
        json.WriteStartArray("entries"u8);
        foreach (var outcome in applied.Outcomes)
        {
            json.WriteStartObject();
            json.WriteString("action"u8, Word(outcome.Action));
            json.WriteString("path"u8, outcome.Path);
            if (outcome.From is { } from)
            {
                json.WriteString("old_path"u8, from);
            }

            if (outcome.Mode != GitMode.None)
            {
                json.WriteString("mode"u8, GitTreeReader.TextOf(outcome.Mode));
                json.WriteBoolean("mode_unsure"u8, outcome.IsModeUnsure);
            }

            json.WriteBoolean("already"u8, outcome.IsAlready);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("outside"u8);
        foreach (var (action, path) in applied.Outside)
        {
            json.WriteStartObject();
            json.WriteString("action"u8, Word(action));
            json.WriteString("path"u8, path);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        RefreshReport.WriteConflicts(json, conflicts);
        json.WriteEndObject();
    }

    private static string Word(ClAction action) => action switch
    {
        ClAction.New => "new",
        ClAction.Modified => "modified",
        ClAction.Deleted => "deleted",
        _ => "renamed",
    };
}
