using System.Globalization;
using System.Text;
using System.Text.Json;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Server;

namespace Antares.Aot.Origin;

/// <summary>The read part of the monorepo server's REST API over a git repository, with quirks for those who want to see what a client does.</summary>
internal sealed class OriginApi : IDisposable
{
    private const string Json = "application/json";
    private const string Bytes = "application/octet-stream";
    private const string Prefix = "/api/v1/";

    private readonly GitObjects _git;
    private readonly OriginQuirks _quirks;
    private readonly OriginTrees _trees;
    private readonly Action<HttpExchange>? _seen;
    private readonly OriginChangelist[] _changelists;

    /// <param name="git">The repository; disposed with this.</param>
    /// <param name="quirks">How to be difficult.</param>
    /// <param name="seen">Told of each request when it is answered.</param>
    /// <param name="changelists">Changelists to show.</param>
    public OriginApi(GitObjects git, OriginQuirks quirks, Action<HttpExchange>? seen = null, params IEnumerable<OriginChangelist> changelists)
    {
        _changelists = [.. changelists];
        _git = git;
        _quirks = quirks;
        _seen = seen;
        _trees = new OriginTrees(git, quirks);
    }

    /// <summary>Answers one request.</summary>
    public void Answer(HttpExchange exchange)
    {
        try
        {
            if (!IsDifficult(exchange))
            {
                Route(exchange);
            }
        }
        catch (IOException error) when (exchange.Status == 0)
        {
            Fail(exchange, 500, error.Message);
        }
        catch (IOException)
        {
            exchange.Abort();
        }
        finally
        {
            _seen?.Invoke(exchange);
        }
    }

    public void Dispose() => _git.Dispose();

    private bool IsDifficult(HttpExchange exchange)
    {
        string target = exchange.Target;
        if (_quirks.Find("slow", target) is { } slow)
        {
            Thread.Sleep((int)Math.Min(slow.Number, int.MaxValue));
        }

        if (_quirks.Strikes("drop", target))
        {
            exchange.Abort();
            return true;
        }

        if (_quirks.Strikes("fail", target))
        {
            Fail(exchange, 500, "Internal server error");
            return true;
        }

        if (_quirks.Strikes("html", target))
        {
            exchange.Send(200, "text/html", "<html><body>Welcome</body></html>\n"u8);
            return true;
        }

        if (_quirks.Strikes("redirect", target))
        {
            exchange.Send(302, "text/plain", "there\n"u8, ("Location", target));
            return true;
        }

        if (_quirks.Strikes("truncate", target))
        {
            const int Announced = 1 << 16;
            exchange.Begin(200, Bytes, Announced);
            if (!exchange.IsHead)
            {
                exchange.Write("[{\"name\":"u8);
                exchange.Abort();
            }

            return true;
        }

        return false;
    }

    private void Route(HttpExchange exchange)
    {
        if (exchange.Method is not ("GET" or "HEAD"))
        {
            Fail(exchange, 405, "only GET and HEAD are answered");
            return;
        }

        string path = exchange.Query.GetValueOrDefault("path", "/");
        string revision = _quirks.Find("ignore-refs", exchange.Target) is null ? exchange.Query.GetValueOrDefault("refs", "") : "";
        if (!path.StartsWith('/'))
        {
            path = "/" + path;
        }

        path = path.Length > 1 ? path.TrimEnd('/') : path;
        string call = exchange.Path.StartsWith(Prefix, StringComparison.Ordinal) ? exchange.Path[Prefix.Length..] : "";
        switch (call)
        {
            case "status":
                exchange.Send(200, "text/plain", "http ready"u8);
                break;
            case "latest-commit":
                LatestCommit(exchange, revision);
                break;
            case "tree/content-hash":
                Listing(exchange, path, revision);
                break;
            case "tree/dir-hash":
                OwnEntry(exchange, path, revision);
                break;
            case "tree/path-can-clone":
                Envelope(exchange, json => json.WriteBooleanValue(_trees.Commit("") is { } head && _trees.Tree(head, path) is not null));
                break;
            case "tree/commit-info":
                CommitInfo(exchange, path, revision);
                break;
            case "file/tree":
                RawTree(exchange, path);
                break;
            default:
                if (call.StartsWith("file/blob/", StringComparison.Ordinal) && ObjectId.TryParse(call["file/blob/".Length..], out ObjectId id))
                {
                    Blob(exchange, id);
                }
                else if (!call.StartsWith("cl/", StringComparison.Ordinal) || !TryChangelist(exchange, call["cl/".Length..]))
                {
                    Fail(exchange, 404, "not found");
                }

                break;
        }
    }

    private void LatestCommit(HttpExchange exchange, string revision)
    {
        if (_trees.Commit(revision) is not { } commit || _git.Read(commit, "commit") is not { } content)
        {
            Fail(exchange, 404, "no such revision");
            return;
        }

        var facts = CommitFacts.Of(content);
        Send(exchange, json =>
        {
            json.WriteStartObject();
            json.WriteString("oid", commit);
            json.WriteString("date", facts.Seconds);
            json.WriteString("short_message", facts.Subject);
            json.WriteString("author", facts.Author);
            json.WriteString("committer", facts.Committer);
            json.WriteString("status", "success");
            json.WriteEndObject();
        });
    }

    private void Listing(HttpExchange exchange, string path, string revision)
    {
        byte[] raw = _trees.CommitFor(path, revision) is { } commit ? _trees.Tree(commit, path) ?? [] : [];
        string? more = _quirks.Find("name", exchange.Target)?.Argument;
        Envelope(exchange, json =>
        {
            json.WriteStartArray();
            foreach (bool directories in (ReadOnlySpan<bool>)[true, false])
            {
                var entries = new GitTreeReader(raw);
                while (entries.MoveNext())
                {
                    if ((entries.Mode == GitMode.Directory) == directories)
                    {
                        WriteEntry(json, entries.Name, entries.Mode, entries.Id);
                    }
                }
            }

            if (more is not null)
            {
                WriteEntry(json, Encoding.UTF8.GetBytes(Uri.UnescapeDataString(more)), GitMode.File, OriginTrees.Placeholder);
            }

            json.WriteEndArray();
        });
    }

    private void OwnEntry(HttpExchange exchange, string path, string revision)
    {
        int slash = path.LastIndexOf('/');
        string parent = slash <= 0 ? "/" : path[..slash];
        byte[] raw = path != "/" && _trees.CommitFor(parent, revision) is { } commit ? _trees.Tree(commit, parent) ?? [] : [];
        Envelope(exchange, json =>
        {
            json.WriteStartArray();
            var entries = new GitTreeReader(raw);
            while (entries.MoveNext())
            {
                if (entries.Name.SequenceEqual(Encoding.UTF8.GetBytes(path[(slash + 1)..])))
                {
                    WriteEntry(json, entries.Name, entries.Mode, entries.Id);
                }
            }

            json.WriteEndArray();
        });
    }

    // The head's, whatever revision was asked for; and only the tree that is meant, where one is named.
    private void RawTree(HttpExchange exchange, string path)
    {
        byte[] raw = _trees.Commit("") is { } head ? _trees.Tree(head, path) ?? [] : [];
        bool byPath = _quirks.Find("head-modes", exchange.Target) is not null || !exchange.Query.TryGetValue("oid", out string? wanted)
            || GitHash.Of(ObjectKind.Tree, raw).ToString() == wanted;
        exchange.Send(200, Bytes, byPath ? raw : []);
    }

    private void Blob(HttpExchange exchange, ObjectId id)
    {
        bool wrong = _quirks.Strikes("wrong", exchange.Target);
        long? announced = ((exchange.IsHead ? _quirks.Find("head-length", exchange.Target) : null) ?? _quirks.Find("length", exchange.Target))?.Number;
        long left = long.MaxValue;
        bool found = _git.TryRead(id.ToString(), "blob", size =>
        {
            left = Math.Min(size, announced ?? size);
            exchange.Begin(200, Bytes, announced ?? size);
            return !exchange.IsHead;
        }, piece =>
        {
            ReadOnlySpan<byte> part = piece[..(int)Math.Min(piece.Length, left)];
            left -= part.Length;
            if (wrong && !part.IsEmpty)
            {
                byte[] changed = part.ToArray();
                changed[0] ^= 1;
                part = changed;
                wrong = false;
            }

            exchange.Write(part);
        });
        if (!found)
        {
            Fail(exchange, 404, "no such blob");
        }
    }

    private bool TryChangelist(HttpExchange exchange, string call)
    {
        string[] parts = call.Split('/');
        if (parts.Length != 2 || Array.Find(_changelists, change => change.Link == parts[0]) is not { } changelist)
        {
            return false;
        }

        if (parts[1] == "files-list")
        {
            Files(exchange, changelist);
            return true;
        }

        if (parts[1] == "detail")
        {
            Detail(exchange, changelist);
            return true;
        }

        return false;
    }

    private void Files(HttpExchange exchange, OriginChangelist changelist)
    {
        List<GitDifference> differences = GitDiff.Of(_git.Repository, changelist.From, changelist.To, changelist.Path);
        string? more = _quirks.Find("change", exchange.Target)?.Argument;
        if (more is not null)
        {
            differences.Add(new GitDifference("new", Uri.UnescapeDataString(more), OriginTrees.Placeholder.ToString()));
        }

        Envelope(exchange, json =>
        {
            json.WriteStartArray();
            foreach (GitDifference difference in differences)
            {
                json.WriteStartObject();
                json.WriteString("path", difference.Path);
                json.WriteString("sha", difference.Id);
                json.WriteString("action", difference.Action);
                if (difference.OldPath is { } old)
                {
                    json.WriteString("old_path", old);
                    json.WriteNumber("similarity", difference.Similarity);
                }

                json.WriteEndObject();
            }

            json.WriteEndArray();
        });
    }

    // Not for the anonymous, as with the server that this one stands for.
    private static void Detail(HttpExchange exchange, OriginChangelist changelist)
    {
        if (!exchange.Headers.ContainsKey("authorization"))
        {
            Fail(exchange, 401, "login required");
            return;
        }

        Envelope(exchange, json =>
        {
            json.WriteStartObject();
            json.WriteString("link", changelist.Link);
            json.WriteString("path", changelist.Path);
            json.WriteString("status", "Open");
            json.WriteEndObject();
        });
    }

    // Slow by its nature: the last commit of each entry.
    private void CommitInfo(HttpExchange exchange, string path, string revision)
    {
        string? commit = _trees.CommitFor(path, revision);
        byte[] raw = commit is null ? [] : _trees.Tree(commit, path) ?? [];
        Envelope(exchange, json =>
        {
            json.WriteStartArray();
            var entries = new GitTreeReader(raw);
            while (entries.MoveNext())
            {
                string place = $"{path.Trim('/')}/{Encoding.UTF8.GetString(entries.Name)}".TrimStart('/');
                string last = LastCommitOf(commit!, place);
                CommitFacts facts = CommitFacts.Of(_git.Read(last, "commit") ?? []);
                json.WriteStartObject();
                json.WriteString("commit_id", last);
                json.WriteString("name", Encoding.UTF8.GetString(entries.Name));
                json.WriteString("content_type", entries.Mode == GitMode.Directory ? "directory" : "file");
                json.WriteString("commit_message", facts.Subject);
                json.WriteString("date", facts.Seconds);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        });
    }

    // Walks first parents until the entry was another one.
    private string LastCommitOf(string commit, string place)
    {
        _ = _git.TryStat($"{commit}:{place}", out string now, out _, out _); // listed a moment ago
        while (CommitFacts.Of(_git.Read(commit, "commit") ?? []).Parent is { } parent
            && _git.TryStat($"{parent}:{place}", out string before, out _, out _) && before == now)
        {
            commit = parent;
        }

        return commit;
    }

    private static void WriteEntry(Utf8JsonWriter json, ReadOnlySpan<byte> name, GitMode mode, ObjectId id)
    {
        json.WriteStartObject();
        json.WriteString("name"u8, Encoding.UTF8.GetString(name));
        json.WriteString("content_type"u8, mode == GitMode.Directory ? "directory"u8 : "file"u8);
        json.WriteString("oid"u8, id.ToString());
        json.WriteEndObject();
    }

    private static void Envelope(HttpExchange exchange, Action<Utf8JsonWriter> data) => Send(exchange, json =>
    {
        json.WriteStartObject();
        json.WriteBoolean("req_result", true);
        json.WritePropertyName("data");
        data(json);
        json.WriteString("err_message", "");
        json.WriteEndObject();
    });

    private static void Fail(HttpExchange exchange, int status, string message) => Send(exchange, json =>
    {
        json.WriteStartObject();
        json.WriteBoolean("req_result", false);
        json.WriteNull("data");
        json.WriteString("err_message", message);
        json.WriteEndObject();
    }, status);

    private static void Send(HttpExchange exchange, Action<Utf8JsonWriter> write, int status = 200)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            write(json);
        }

        exchange.Send(status, Json, buffer.GetBuffer().AsSpan(0, (int)buffer.Length));
    }

    /// <summary>What a commit object tells.</summary>
    private sealed record CommitFacts(string? Parent, string Author, string Committer, string Seconds, string Subject)
    {
        public static CommitFacts Of(byte[] content)
        {
            string text = Encoding.UTF8.GetString(content);
            int blank = text.IndexOf("\n\n", StringComparison.Ordinal);
            string[] head = (blank < 0 ? text : text[..blank]).Split('\n');
            string subject = blank < 0 ? "" : text[(blank + 2)..].Split('\n')[0];
            string committer = Line(head, "committer ");
            string[] words = committer.Split(' ');
            string seconds = words.Length >= 2 && long.TryParse(words[^2], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _) ? words[^2] : "0";
            string parent = Line(head, "parent ");
            return new CommitFacts(parent.Length > 0 ? parent : null, NameOf(Line(head, "author ")), NameOf(committer), seconds, subject);
        }

        private static string Line(string[] head, string start) =>
            head.FirstOrDefault(line => line.StartsWith(start, StringComparison.Ordinal))?[start.Length..] ?? "";

        private static string NameOf(string person) => person.Split(" <")[0];
    }
}
