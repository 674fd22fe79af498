using System.Globalization;
using System.Text;
using System.Text.Json;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Store;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>What a changelist does with a path.</summary>
internal enum ClAction : byte
{
    None = 0,
    New = 1,
    Modified = 2,
    Deleted = 3,
    Renamed = 4,
}

/// <summary>One line of a changelist, its paths relative to the changelist's own directory of the monorepo.</summary>
/// <param name="Action">What is done.</param>
/// <param name="Path">"a/b": no empty, "." or ".." part.</param>
/// <param name="Id">The content; of <see cref="ClAction.Deleted"/> the one that goes.</param>
/// <param name="OldPath">Of <see cref="ClAction.Renamed"/>: where it came from, if the server tells.</param>
internal readonly record struct ClEntry(ClAction Action, string Path, ObjectId Id, string? OldPath = null);

/// <summary>Reads what a server says about a changelist. What is not as expected is a <see cref="MegaProblem"/> that names the request.</summary>
internal static class Changelist
{
    /// <summary>Lines of a changelist; more is refused.</summary>
    public const int MostEntries = 200_000;

    private const int LongestPath = 4096;
    private const int LongestLink = 200;

    /// <summary>True for what may stand for a changelist in a path of the server.</summary>
    public static bool IsLink(string text) =>
        text.Length is > 0 and <= LongestLink && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-') && text.Trim('.').Length > 0;

    public static string FilesPath(string link) => $"/api/v1/cl/{Uri.EscapeDataString(link)}/files-list";

    public static string DetailPath(string link) => $"/api/v1/cl/{Uri.EscapeDataString(link)}/detail";

    /// <summary>A path as messages show it: on one line.</summary>
    public static string Shown(string path) => path.Any(char.IsControl) ? string.Concat(path.Select(c => char.IsControl(c) ? '?' : c)) : path;

    /// <summary>Why a text cannot be a path within a directory; null: it can.</summary>
    public static string? DamageOf(string path)
    {
        if (path.Length == 0)
        {
            return "an empty path";
        }

        if (path[0] == '/')
        {
            return "an absolute path";
        }

        if (Encoding.UTF8.GetByteCount(path) > LongestPath)
        {
            return $"a path longer than {LongestPath} bytes";
        }

        foreach (Range part in path.AsSpan().Split('/'))
        {
            ReadOnlySpan<char> name = path.AsSpan(part);
            switch (name)
            {
                case "":
                    return "a path with an empty part";
                case "." or "..":
                    return "a path with '.' or '..' in it";
                case var _ when name.Contains('\0'):
                    return "a path with NUL in it";
                case var _ when Encoding.UTF8.GetByteCount(name) > ByteName.MaxLength:
                    return "a name longer than 255 bytes";
                default:
                    break;
            }
        }

        return null;
    }

    /// <summary>The lines of a files-list answer, each checked for itself.</summary>
    /// <param name="request">For messages.</param>
    /// <param name="answer">The answer.</param>
    public static List<ClEntry> EntriesOf(string request, MegaAnswer answer)
    {
        var entries = new List<ClEntry>();
        bool complete = false;
        MegaJson.Read(request, answer, (ref Utf8JsonReader reader) =>
        {
            MegaJson.Expect(ref reader, JsonTokenType.StartObject);
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals("req_result"u8))
                {
                    CheckResult(request, answer, ref reader);
                }
                else if (reader.ValueTextEquals("data"u8))
                {
                    _ = reader.Read(); // the end of the text throws
                    MegaJson.Expect(ref reader, JsonTokenType.StartArray);
                    while (reader.Read() && reader.TokenType == JsonTokenType.StartObject)
                    {
                        if (entries.Count == MostEntries)
                        {
                            throw MegaProblem.Damaged(string.Create(CultureInfo.InvariantCulture, $"{request}: a changelist of more than {MostEntries} entries"));
                        }

                        entries.Add(EntryOf(request, ref reader));
                    }

                    complete = reader.TokenType == JsonTokenType.EndArray;
                }
                else
                {
                    reader.Skip();
                }
            }
        });
        return complete ? entries : throw MegaProblem.Damaged($"{request}: the answer has no list");
    }

    /// <summary>The directory that a changelist's paths begin at, of a detail answer.</summary>
    /// <returns>"/" or "/a/b"; null: the server does not tell.</returns>
    public static string? BaseOf(string request, MegaAnswer answer)
    {
        string? path = null;
        MegaJson.Read(request, answer, (ref Utf8JsonReader reader) =>
        {
            MegaJson.Expect(ref reader, JsonTokenType.StartObject);
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals("data"u8) && reader.Read() && reader.TokenType == JsonTokenType.StartObject)
                {
                    while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
                    {
                        if (reader.ValueTextEquals("path"u8) && reader.Read() && reader.TokenType == JsonTokenType.String)
                        {
                            path = reader.GetString();
                        }
                        else
                        {
                            reader.Skip();
                        }
                    }
                }
                else
                {
                    reader.Skip();
                }
            }
        });
        if (path is null)
        {
            return null;
        }

        string clean = path.Trim('/');
        return clean.Length == 0 ? "/" : DamageOf(clean) is { } damage ? throw MegaProblem.Damaged($"{request}: {damage}") : "/" + clean;
    }

    private static void CheckResult(string request, MegaAnswer answer, ref Utf8JsonReader reader)
    {
        _ = reader.Read(); // the end of the text throws
        if (reader.TokenType != JsonTokenType.True)
        {
            throw MegaProblem.Damaged($"{request}: the server reports a failure {MegaJson.ErrorOf(answer.Body.Span)}");
        }
    }

    private static ClEntry EntryOf(string request, ref Utf8JsonReader reader)
    {
        string? path = null;
        string? oldPath = null;
        var action = ClAction.None;
        ObjectId id = default;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            bool isPath = reader.ValueTextEquals("path"u8);
            bool isOldPath = reader.ValueTextEquals("old_path"u8);
            bool isId = reader.ValueTextEquals("sha"u8);
            bool isAction = reader.ValueTextEquals("action"u8);
            _ = reader.Read(); // the end of the text throws
            if (reader.TokenType != JsonTokenType.String)
            {
                reader.Skip(); // null, or what another version has there
            }
            else if (isPath)
            {
                path = reader.GetString();
            }
            else if (isOldPath)
            {
                oldPath = reader.GetString();
            }
            else if (isId)
            {
                _ = ObjectId.TryParse(reader.GetString() ?? "", out id); // none: refused below
            }
            else if (isAction)
            {
                action = ActionOf(ref reader);
            }
        }

        oldPath = action == ClAction.Renamed ? oldPath : null;
        string? damage = path is null ? "an entry without a path"
            : DamageOf(path) ?? (oldPath is null ? null : DamageOf(oldPath))
            ?? (action == ClAction.None ? "an entry whose action is none of new, modified, deleted and renamed"
                : id.IsNone ? "an entry without an id" : null);
        return damage is null ? new ClEntry(action, path!, id, oldPath) : throw MegaProblem.Damaged($"{request}: {damage}");
    }

    private static ClAction ActionOf(ref Utf8JsonReader reader) =>
        reader.ValueTextEquals("new"u8) ? ClAction.New
        : reader.ValueTextEquals("modified"u8) ? ClAction.Modified
        : reader.ValueTextEquals("deleted"u8) ? ClAction.Deleted
        : reader.ValueTextEquals("renamed"u8) ? ClAction.Renamed
        : ClAction.None;
}
