using System.Globalization;
using System.Net.Http.Headers;

namespace Antares.Aot.Dicfuse.Image.Remote;

/// <summary>Which version of a file a server has, as far as it tells: parts of two of them never meet in one mount.</summary>
/// <param name="ETag">As the server writes it; null: none.</param>
/// <param name="Modified">Last-Modified; null: none.</param>
/// <param name="Length">Length of the whole file; -1: not told.</param>
internal sealed record RemoteVersion(string? ETag, DateTimeOffset? Modified, long Length)
{
    private const int LongestETag = 1024;
    private const string WeakMark = "W/";

    /// <summary>The ETag stands for every byte.</summary>
    public bool IsStrong => ETag is not null && !ETag.StartsWith(WeakMark, StringComparison.Ordinal);

    /// <summary>Nothing but the length tells versions apart.</summary>
    public bool IsUntold => ETag is null && Modified is null;

    /// <summary>What an answer says of the file.</summary>
    public static RemoteVersion Of(HttpResponseMessage response)
    {
        // As it came: some servers forget the quotes, and want it back in the same way.
        string? tag = response.Headers.NonValidated.TryGetValues("ETag", out HeaderStringValues values) ? values.ToString() : null;
        bool usable = tag is { Length: > 0 and <= LongestETag } && tag.All(c => c is >= ' ' and <= '~');
        long length = (int)response.StatusCode == 206 ? response.Content.Headers.ContentRange?.Length ?? -1 : response.Content.Headers.ContentLength ?? -1;
        return new RemoteVersion(usable ? tag : null, response.Content.Headers.LastModified, length);
    }

    /// <summary>Lets a server answer only while it has this very version.</summary>
    public void Require(HttpRequestHeaders headers)
    {
        if (IsStrong)
        {
            _ = headers.TryAddWithoutValidation("If-Match", ETag); // what the server wrote
            _ = headers.TryAddWithoutValidation("If-Range", ETag); // as above, for a server that knows no If-Match
        }
        else if (Modified is { } time)
        {
            headers.IfUnmodifiedSince = time;
            headers.IfRange = new RangeConditionHeaderValue(time);
        }
    }

    /// <summary>Lets a server answer 304 while it has this very version.</summary>
    /// <returns>False: there is nothing to ask by.</returns>
    public bool AskIfChanged(HttpRequestHeaders headers)
    {
        if (ETag is not null)
        {
            return headers.TryAddWithoutValidation("If-None-Match", ETag);
        }

        headers.IfModifiedSince = Modified;
        return Modified is not null;
    }

    /// <summary>What shows that an answer is of another version; null: nothing does.</summary>
    /// <param name="now">From that answer; what it leaves out says nothing.</param>
    public string? DifferenceTo(RemoteVersion now)
    {
        bool bothTagged = ETag is not null && now.ETag is not null;
        if (bothTagged && ETag != now.ETag)
        {
            return $"its ETag was {ETag} and is {now.ETag}";
        }

        if (now.Length >= 0 && Length >= 0 && now.Length != Length)
        {
            return string.Create(CultureInfo.InvariantCulture, $"it had {Length} bytes and has {now.Length}");
        }

        if (bothTagged && IsStrong)
        {
            return null;
        }

        return Modified is not null && now.Modified is not null && Modified != now.Modified
            ? string.Create(CultureInfo.InvariantCulture, $"it was of {Modified:u} and is of {now.Modified:u}")
            : null;
    }

    /// <summary>One line, for <see cref="TryParse"/>.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Length} {Modified?.ToUnixTimeSeconds() ?? -1} {ETag}");

    /// <summary>Reads what <see cref="ToString"/> wrote.</summary>
    public static bool TryParse(string text, out RemoteVersion? version)
    {
        string[] parts = text.Split(' ', 3);
        version = parts.Length == 3
            && long.TryParse(parts[0], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long length)
            && long.TryParse(parts[1], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long seconds)
            && seconds is >= -1 and <= 253_402_300_799 // the end of the year 9999
            ? new RemoteVersion(parts[2].Length > 0 ? parts[2] : null, seconds >= 0 ? DateTimeOffset.FromUnixTimeSeconds(seconds) : null, length)
            : null;
        return version is not null;
    }
}
