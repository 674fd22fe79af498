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

/// <summary>The wish that a mount shows another revision, as one line: "refresh FORM [REVISION]".</summary>
/// <param name="IsJson">For programs.</param>
/// <param name="Revision">A commit or a tag; null: the server's head.</param>
public sealed record RefreshQuestion(bool IsJson, string? Revision)
{
    public override string ToString() => $"{ControlQuestion.Refresh}{(IsJson ? "json" : "text")}{(Revision is null ? "" : " " + Uri.EscapeDataString(Revision))}";

    /// <summary>Reads what <see cref="ToString"/> wrote; null: no such question.</summary>
    public static RefreshQuestion? Parse(string text) => text.Split(' ') switch
    {
        ["refresh", ("text" or "json") and var form] => new RefreshQuestion(form == "json", null),
        ["refresh", ("text" or "json") and var form, var revision] => new RefreshQuestion(form == "json", Uri.UnescapeDataString(revision)),
        _ => null,
    };
}

/// <summary>Answers questions about what a mount shows of a server, and exchanges it.</summary>
internal static class ViewAnswer
{
    /// <summary>The whole answer, with its head. Throws nothing.</summary>
    /// <param name="view">Of the mount; null: none of its layers is a server's.</param>
    /// <param name="question">The line that came.</param>
    public static byte[] To(MountedView? view, string question)
    {
        using var body = new MemoryStream();
        try
        {
            if (ChangelistQuestion.Parse(question) is { } changelist)
            {
                Answer(view ?? throw MountProblem.Host("its source is no server (mega:), which alone has changelists"), changelist, body);
            }
            else if (RefreshQuestion.Parse(question) is { } refresh)
            {
                Answer(view ?? throw MountProblem.Usage(MountedView.NotOfServer), refresh, body);
            }
            else
            {
                return "error the mount does not know this question: it was made by another version\n"u8.ToArray();
            }

            return ControlServer.Framed("ok", body);
        }
        catch (MountProblem problem)
        {
            return Refused(problem.Kind == ProblemKind.Usage ? "usage" : "refused", problem.Message);
        }
        catch (Exception error)
        {
            // On a thread of its own nobody else would catch it, and the mount would end with it.
            return Refused("refused", $"an error in the program: {error.GetType().Name}: {error.Message}");
        }
    }

    private static void Answer(MountedView view, ChangelistQuestion asked, MemoryStream body)
    {
        var (applied, conflicts) = asked.Verb == "show" ? view.Show() : view.Set(asked.Link, asked.Origin);
        if (asked.IsJson)
        {
            ControlServer.WriteJson(body, json => ChangelistReport.WriteJson(json, view.Mounted, applied, conflicts));
        }
        else
        {
            ControlServer.WriteText(body, text => ChangelistReport.WriteText(text, view.Mounted, applied, conflicts));
        }
    }

    private static void Answer(MountedView view, RefreshQuestion asked, MemoryStream body)
    {
        var moved = view.Move(asked.Revision);
        if (asked.IsJson)
        {
            ControlServer.WriteJson(body, json => RefreshReport.WriteJson(json, view.Mounted, moved));
        }
        else
        {
            ControlServer.WriteText(body, text => RefreshReport.WriteText(text, view.Mounted, moved));
        }
    }

    /// <summary>An answer that says why there is none.</summary>
    public static byte[] Refused(string word, string message)
    {
        using var body = new MemoryStream();
        body.Write(Encoding.UTF8.GetBytes(message));
        return ControlServer.Framed(word, body);
    }
}
