using System.Text;

namespace Antares.Aot.Mounts;

/// <summary>A question about the changelist of a mount, as one line: "cl VERB FORM [LINK [PATH]]", PATH %-escaped.</summary>
/// <param name="Verb">show, set or clear.</param>
/// <param name="IsJson">For programs.</param>
/// <param name="Link">Of set.</param>
/// <param name="Origin">Of set: where the paths begin; null: the server is asked.</param>
public sealed record ChangelistQuestion(string Verb, bool IsJson, string? Link = null, string? Origin = null)
{
    public override string ToString() =>
        $"{ControlQuestion.Changelist}{Verb} {(IsJson ? "json" : "text")}{(Link is null ? "" : " " + Link)}{(Origin is null ? "" : " " + Uri.EscapeDataString(Origin))}";

    /// <summary>Reads what <see cref="ToString"/> wrote; null: no such question.</summary>
    public static ChangelistQuestion? Parse(string text)
    {
        var words = text.Split(' ');
        return words is ["cl", "show" or "clear", "text" or "json"] or ["cl", "set", "text" or "json", _] or ["cl", "set", "text" or "json", _, _]
            ? new ChangelistQuestion(words[1], words[2] == "json", words.ElementAtOrDefault(3), words.ElementAtOrDefault(4) is { } path ? Uri.UnescapeDataString(path) : null)
            : null;
    }
}

/// <summary>Answers questions about the changelist of a mount.</summary>
internal static class ChangelistAnswer
{
    /// <summary>The whole answer, with its head. Throws nothing.</summary>
    /// <param name="changelist">Of the mount; null: it has no place for one.</param>
    /// <param name="question">The line that came.</param>
    public static byte[] To(MountedChangelist? changelist, string question)
    {
        using var body = new MemoryStream();
        try
        {
            if (ChangelistQuestion.Parse(question) is not { } asked)
            {
                return "error the mount does not know this question: it was made by another version\n"u8.ToArray();
            }

            if (changelist is null)
            {
                throw MountProblem.Host("its source is no server (mega:), which alone has changelists");
            }

            var (applied, conflicts) = asked.Verb == "show" ? changelist.Show() : changelist.Set(asked.Link, asked.Origin);
            if (asked.IsJson)
            {
                ControlServer.WriteJson(body, json => ChangelistReport.WriteJson(json, changelist.Mounted, applied, conflicts));
            }
            else
            {
                ControlServer.WriteText(body, text => ChangelistReport.WriteText(text, changelist.Mounted, applied, conflicts));
            }

            return ControlServer.Framed("ok", body);
        }
        catch (MountProblem problem)
        {
            return Refused(problem.Message);
        }
        catch (Exception error)
        {
            // On a thread of its own nobody else would catch it, and the mount would end with it.
            return Refused($"an error in the program: {error.GetType().Name}: {error.Message}");
        }
    }

    private static byte[] Refused(string message)
    {
        using var body = new MemoryStream();
        body.Write(Encoding.UTF8.GetBytes(message));
        return ControlServer.Framed("refused", body);
    }
}
