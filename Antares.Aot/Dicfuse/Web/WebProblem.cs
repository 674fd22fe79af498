using Antares.Interop;

namespace Antares.Aot.Dicfuse.Web;

/// <summary>A request to a server came to nothing.</summary>
/// <param name="error">What the kernel is told: EIO, ETIMEDOUT or EACCES.</param>
/// <param name="message">What was asked and what came of it, for `errors` and for the end of a mount that fails.</param>
/// <param name="isTransient">Another try may do better.</param>
internal class WebProblem(Errno error, string message, bool isTransient = false) : Exception(message)
{
    public Errno Error { get; } = error;

    public bool IsTransient { get; } = isTransient;

    /// <summary>The server cannot be reached at all.</summary>
    public bool IsUnreachable { get; init; }

    /// <summary>The server says that there is no such thing (404, or 400 for a name that it can't have).</summary>
    public bool IsMissing { get; init; }

    /// <summary>What came is not what the question was about: asking again gives the same.</summary>
    public static WebProblem Damaged(string message) => new(Errno.EIO, message);
}

/// <summary>An answer of which the server tells no length is longer than it may be.</summary>
internal sealed class WebTooLong(string message) : WebProblem(Errno.EIO, message);

/// <summary>The server asks for patience (429, 503).</summary>
internal sealed class WebRetryLater(string message, int pauseMs) : WebProblem(Errno.EIO, message, isTransient: true)
{
    /// <summary>What it asks for, cut to what is reasonable.</summary>
    public int PauseMs { get; } = pauseMs;
}
