using System.Globalization;
using System.Net.Http.Headers;
using Antares.Aot.Dicfuse.Web;

namespace Antares.Aot.Dicfuse.Image.Remote;

/// <summary>Asks for a part of the file, and holds the answer against the question: it is that part, of the version that is mounted, or refused.</summary>
internal static class RangeAnswer
{
    private const int Ok = 200;
    private const int Partial = 206;
    private const int PreconditionFailed = 412;
    private const int RangeNotSatisfiable = 416;

    /// <summary>The question for a part.</summary>
    /// <param name="address">The file.</param>
    /// <param name="pinned">The version that it must be; null: whichever there is.</param>
    /// <param name="range">First and last byte, asked for anew at each try.</param>
    public static WebQuestion Question(ImageAddress address, RemoteVersion? pinned, Func<(long From, long To)> range) =>
        new(HttpMethod.Get, address.Path)
        {
            Shown = address.ShownPath,
            Takes = status => status is Partial or PreconditionFailed or RangeNotSatisfiable,
            Prepare = request =>
            {
                (long from, long to) = range();
                request.Headers.Range = new RangeHeaderValue(from, to);
                AsItIs(request);
                pinned?.Require(request.Headers);
            },
        };

    /// <summary>A file is wanted as it is: a packed form of it has other places.</summary>
    public static void AsItIs(HttpRequestMessage request) => request.Headers.AcceptEncoding.Add(new StringWithQualityHeaderValue("identity"));

    /// <summary>True for the answer of a server that sends whole files only.</summary>
    public static bool IsWholeFile(HttpResponseMessage response) => (int)response.StatusCode == Ok;

    /// <summary>True for the answer about a part that the file has not.</summary>
    public static bool IsBeyondEnd(HttpResponseMessage response) => (int)response.StatusCode == RangeNotSatisfiable;

    /// <summary>Refuses what is not the part that was asked for.</summary>
    /// <param name="question">What was asked, for messages.</param>
    /// <param name="response">The answer.</param>
    /// <param name="pinned">The version that it must be of.</param>
    /// <param name="from">First byte.</param>
    /// <param name="to">Last byte.</param>
    /// <exception cref="WebProblem">Another version, or other bytes than asked for.</exception>
    public static void Check(WebQuestion question, HttpResponseMessage response, RemoteVersion pinned, long from, long to)
    {
        int status = (int)response.StatusCode;
        var now = RemoteVersion.Of(response);
        string? difference = status switch
        {
            PreconditionFailed => pinned.DifferenceTo(now with { Length = -1 }) ?? "the server refuses to give more of the version that is mounted",
            RangeNotSatisfiable => "it is shorter than it was",
            _ => pinned.DifferenceTo(now),
        };
        if (difference is not null)
        {
            throw WebProblem.Damaged($"{question}: the file was replaced on the server ({difference}); parts of two versions are not mixed: unmount, and mount the new one");
        }

        if (status != Partial)
        {
            throw new WebProblem(Interop.Errno.EIO, $"{question}: the server sent the whole file where a part was asked for", isTransient: true);
        }

        CheckPlace(question, response, from, to);
    }

    /// <summary>Refuses other places than asked for.</summary>
    /// <exception cref="WebProblem">Other bytes than asked for.</exception>
    public static void CheckPlace(WebQuestion question, HttpResponseMessage response, long from, long to)
    {
        ContentRangeHeaderValue? place = response.Content.Headers.ContentRange;
        if (place is not { Unit: "bytes" } || place.From != from || place.To != to || response.Content.Headers.ContentEncoding.Count > 0)
        {
            string got = response.Content.Headers.ContentEncoding.Count > 0 ? $"a packed form ({response.Content.Headers.ContentEncoding})" : place?.ToString() ?? "no Content-Range";
            throw new WebProblem(
                Interop.Errno.EIO, string.Create(CultureInfo.InvariantCulture, $"{question}: asked for bytes {from} to {to}, and the answer is {got}"), isTransient: true);
        }
    }
}
