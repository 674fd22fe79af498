namespace Antares.Aot.Dicfuse.Web;

/// <summary>How one server is asked. Times are bounds, not promises.</summary>
internal sealed record WebOptions
{
    /// <summary>Scheme and authority, without a slash at the end.</summary>
    public required string Base { get; init; }

    /// <summary>Sent as "Authorization: Bearer …"; never shown, and never sent to another server.</summary>
    public string? Token { get; init; }

    /// <summary>Further headers, likewise.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];

    /// <summary>PEM file of the certificates that alone are trusted; null: the system's.</summary>
    public string? CaFile { get; init; }

    /// <summary>Requests under way at a time.</summary>
    public int Concurrency { get; init; } = 16;

    /// <summary>Tries of one request, the first included.</summary>
    public int Attempts { get; init; } = 4;

    /// <summary>Longest wait for the head of an answer, in one try.</summary>
    public int AnswerMs { get; init; } = 120_000;

    /// <summary>Longest pause within an answer.</summary>
    public int StallMs { get; init; } = 20_000;

    /// <summary>Redirects to other servers are followed, without token and headers; otherwise they are refused.</summary>
    public bool LeavesServer { get; init; }

    /// <summary>What an answer that is refused says, for people; null: nothing is made of it.</summary>
    public RefusalText? Refusal { get; init; }

    /// <summary>Makes a text of an answer that is refused.</summary>
    /// <param name="path">What was asked for.</param>
    /// <param name="status">Its status.</param>
    /// <param name="content">Its first bytes; empty when they did not come.</param>
    /// <returns>To be put behind the status; "" for nothing.</returns>
    public delegate string RefusalText(string path, int status, ReadOnlySpan<byte> content);
}

/// <summary>One question to a server.</summary>
/// <param name="Method">GET or HEAD.</param>
/// <param name="Path">Path and query, encoded.</param>
internal sealed record WebQuestion(HttpMethod Method, string Path)
{
    /// <summary>The path as messages show it: without a query, which may hold a secret.</summary>
    public string Shown { get; init; } = Path;

    /// <summary>The content is known to be long.</summary>
    public bool IsLong { get; init; }

    /// <summary>Tries, the first included; 0: as many as the options say.</summary>
    public int Attempts { get; init; }

    /// <summary>Statuses that the asker can do with; null: 200 alone.</summary>
    public Func<int, bool>? Takes { get; init; }

    /// <summary>Adds headers to each try; null: none.</summary>
    public Action<HttpRequestMessage>? Prepare { get; init; }

    public override string ToString() => $"{Method} {Shown}";
}
