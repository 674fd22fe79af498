using System.Text.Json;
using Antares.Aot.Dicfuse.Mega.Changes;

namespace Antares.Aot.Mounts;

/// <summary>What is told of a move to another revision: for people a line for each conflict, for programs one JSON object.</summary>
internal static class RefreshReport
{
    private const string Indent = "  ";

    public static void WriteText(TextWriter text, string mounted, ViewMoved moved)
    {
        var under = moved.Changelist.Link is { } link ? $", under changelist {link}" : "";
        text.Write(moved.From == moved.To && moved.Changed == 0
            ? $"{mounted} is at {moved.To} already{under}\n"
            : $"{mounted}: from {moved.From} to {moved.To}{under}: {moved.Changed} name{(moved.Changed == 1 ? "" : "s")} changed of those that were in use\n");
        WriteConflicts(text, moved.Conflicts);
        foreach (var path in moved.Unread)
        {
            text.Write($"{Indent}unread    {Changelist.Shown(path)}  (the revision from before cannot be listed there: whether the workspace hides a change is not known)\n");
        }
    }

    public static void WriteJson(Utf8JsonWriter json, string mounted, ViewMoved moved)
    {
        json.WriteStartObject();
        json.WriteString("mounted"u8, mounted);
        json.WriteString("from"u8, moved.From);
        json.WriteString("to"u8, moved.To);
        json.WriteString("cl"u8, moved.Changelist.Link);
        json.WriteNumber("changed"u8, moved.Changed);
        WriteConflicts(json, moved.Conflicts);
        json.WriteStartArray("unread"u8);
        foreach (var path in moved.Unread)
        {
            json.WriteStringValue(path);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>A line for each.</summary>
    public static void WriteConflicts(TextWriter text, IReadOnlyList<ViewConflict> conflicts)
    {
        foreach (var conflict in conflicts)
        {
            text.Write($"{Indent}conflict  {Changelist.Shown(conflict.Path)}  ({(conflict.IsRemoved ? "removed" : "changed")} in the workspace, which is what is shown)\n");
        }
    }

    /// <summary>The field "conflicts" of an object that the caller has started.</summary>
    public static void WriteConflicts(Utf8JsonWriter json, IReadOnlyList<ViewConflict> conflicts)
    {
        json.WriteStartArray("conflicts"u8);
        foreach (var conflict in conflicts)
        {
            json.WriteStartObject();
            json.WriteString("path"u8, conflict.Path);
            json.WriteString("workspace"u8, conflict.IsRemoved ? "removed"u8 : "changed"u8);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
