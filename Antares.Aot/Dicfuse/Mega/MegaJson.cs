using System.Globalization;
using System.Text;
using System.Text.Json;
using Antares.Aot.Dicfuse.Store;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>An answer with the media type that the server gave it.</summary>
internal sealed record MegaAnswer(NativeBody Body, string MediaType) : IDisposable
{
    public void Dispose() => Body.Dispose();
}

/// <summary>The commit that a view is pinned to.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Seconds">When it was made, in seconds since 1970.</param>
internal readonly record struct MegaCommit(ObjectId Id, long Seconds);

/// <summary>Reads the server's JSON. What is not as expected is a <see cref="MegaProblem"/> that names the request.</summary>
internal static class MegaJson
{
    private const int LongestText = 200;
    private const int DeepestAnswer = 16;

    private static readonly JsonReaderOptions s_options = new() { MaxDepth = DeepestAnswer };

    /// <summary>What a refusal says, in one short line: the envelope's message, or the start of a plain text; "" for a page.</summary>
    public static string ErrorOf(ReadOnlySpan<byte> body)
    {
        string text = "";
        try
        {
            var reader = new Utf8JsonReader(body, s_options);
            while (reader.Read())
            {
                if (reader.TokenType == JsonTokenType.PropertyName && reader.CurrentDepth == 1 && reader.ValueTextEquals("err_message"u8) && reader.Read()
                    && reader.TokenType == JsonTokenType.String)
                {
                    text = reader.GetString() ?? "";
                }
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            text = body.IsEmpty || body[0] == (byte)'<' ? "" : Encoding.UTF8.GetString(body[..Math.Min(body.Length, LongestText)]);
        }

        return OneLine(text);
    }

    /// <summary>The commit of a latest-commit answer.</summary>
    public static MegaCommit CommitOf(string request, MegaAnswer answer)
    {
        ObjectId id = default;
        long seconds = 0;
        bool found = false;
        Read(request, answer, (ref Utf8JsonReader reader) =>
        {
            Expect(ref reader, JsonTokenType.StartObject);
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals("oid"u8))
                {
                    found = reader.Read() && reader.TokenType == JsonTokenType.String && ObjectId.TryParse(reader.GetString() ?? "", out id);
                }
                else if (reader.ValueTextEquals("date"u8))
                {
                    _ = reader.Read(); // the end of the text throws
                    string date = reader.TokenType == JsonTokenType.String ? reader.GetString() ?? "" : Encoding.ASCII.GetString(reader.ValueSpan);
                    _ = long.TryParse(date, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out seconds); // an unknown date is 0
                }
                else
                {
                    reader.Skip();
                }
            }
        });
        return found && !id.IsNone ? new MegaCommit(id, seconds) : throw MegaProblem.Damaged($"{request}: the answer names no commit");
    }

    /// <summary>The entries of a listing.</summary>
    /// <param name="request">For messages.</param>
    /// <param name="answer">The answer.</param>
    /// <param name="most">More entries than that are refused.</param>
    /// <returns>Name, id and <see cref="GitMode.Directory"/> or <see cref="GitMode.None"/> for anything else.</returns>
    public static TreeEntry[] ListingOf(string request, MegaAnswer answer, int most)
    {
        var entries = new List<TreeEntry>();
        bool complete = false;
        Read(request, answer, (ref Utf8JsonReader reader) =>
        {
            Expect(ref reader, JsonTokenType.StartObject);
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals("req_result"u8))
                {
                    _ = reader.Read(); // the end of the text throws
                    if (reader.TokenType != JsonTokenType.True)
                    {
                        throw MegaProblem.Damaged($"{request}: the server reports a failure {ErrorOf(answer.Body.Span)}");
                    }
                }
                else if (reader.ValueTextEquals("data"u8))
                {
                    _ = reader.Read(); // as above
                    Expect(ref reader, JsonTokenType.StartArray);
                    while (reader.Read() && reader.TokenType == JsonTokenType.StartObject)
                    {
                        if (entries.Count == most)
                        {
                            throw MegaProblem.Damaged($"{request}: a directory of more than {most} entries");
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
        return complete ? [.. entries] : throw MegaProblem.Damaged($"{request}: the answer has no list");
    }

    internal delegate void Reading(ref Utf8JsonReader reader);

    /// <summary>Reads an answer; what is no JSON, or not the expected one, is a problem of its own.</summary>
    internal static void Read(string request, MegaAnswer answer, Reading read)
    {
        try
        {
            var reader = new Utf8JsonReader(answer.Body.Span, s_options);
            if (!reader.Read())
            {
                throw MegaProblem.Damaged($"{request}: an empty answer");
            }

            read(ref reader);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            string type = answer.MediaType.Length > 0 ? $" ({OneLine(answer.MediaType)})" : "";
            throw MegaProblem.Damaged($"{request}: the answer is not what a Mega server says{type}; is the address right?");
        }
    }

    private static TreeEntry EntryOf(string request, ref Utf8JsonReader reader)
    {
        var entry = new TreeEntry { Name = [] };
        bool hasId = false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("name"u8) && reader.Read() && reader.TokenType == JsonTokenType.String)
            {
                entry.Name = Encoding.UTF8.GetBytes(reader.GetString() ?? "");
            }
            else if (reader.ValueTextEquals("oid"u8) && reader.Read() && reader.TokenType == JsonTokenType.String)
            {
                hasId = ObjectId.TryParse(reader.GetString() ?? "", out ObjectId id);
                entry.Id = id;
            }
            else if (reader.ValueTextEquals("content_type"u8) && reader.Read() && reader.TokenType == JsonTokenType.String)
            {
                entry.Mode = reader.ValueTextEquals("directory"u8) ? GitMode.Directory : GitMode.None;
            }
            else
            {
                reader.Skip();
            }
        }

        if (!hasId || entry.Id.IsNone)
        {
            throw MegaProblem.Damaged($"{request}: an entry without an id");
        }

        return GitTreeReader.DamageOf(entry.Name) is { } damage ? throw MegaProblem.Damaged($"{request}: {damage}") : entry;
    }

    /// <summary>Throws for a token of another type.</summary>
    internal static void Expect(ref Utf8JsonReader reader, JsonTokenType type)
    {
        if (reader.TokenType != type)
        {
            throw new JsonException();
        }
    }

    /// <summary>Text of a server in a message of ours: no control characters, not long.</summary>
    internal static string OneLine(string text)
    {
        string cut = text.Length > LongestText ? text[..LongestText] : text;
        return string.Concat(cut.Select(c => char.IsControl(c) ? ' ' : c)).Trim();
    }
}
