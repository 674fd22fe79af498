using System.Globalization;
using System.Text;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>The files of <c>--prefetch</c>, <c>--record</c> and <c>--replay</c>.</summary>
internal static class LookAhead
{
    private const int LargestList = 256 << 20;

    /// <summary>Reads what <c>--prefetch</c> was given: a pattern, or the path of a file of patterns, which begins with / or a dot and a slash.</summary>
    /// <exception cref="MountProblem">Usage or Host.</exception>
    public static IEnumerable<PathPattern> Patterns(string given)
    {
        if (!given.StartsWith('/') && !given.StartsWith("./", StringComparison.Ordinal) && !given.StartsWith("../", StringComparison.Ordinal))
        {
            return [Pattern(given, $"--prefetch '{given}'")];
        }

        SourceSpec.CheckPath("--prefetch", given);
        var error = HostPath.ReadAll(given, out var content);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"--prefetch {given} cannot be read (a name in the tree is written without a slash before it)", error);
        }

        return Encoding.UTF8.GetString(content).Split('\n').Select(line => line.TrimEnd('\r')).Where(line => line.Length > 0 && line[0] != '#')
            .Select(line => Pattern(line, $"--prefetch {given}: '{line}'")).ToList();
    }

    /// <summary>Makes sure early that the list can be written when the mount ends.</summary>
    /// <returns>The absolute path.</returns>
    /// <exception cref="MountProblem">Usage or Host.</exception>
    public static string RecordPath(string given)
    {
        SourceSpec.CheckPath("--record", given);
        var path = HostPath.Absolute(given);
        var folder = Path.GetDirectoryName(path) ?? "/";
        var error = HostPath.Stat(folder, out _);
        error = error == Errno.None ? HostPath.MayWrite(folder) : error;
        return error == Errno.None ? path : throw MountProblem.Host($"--record {given}: nothing can be written into {folder}", error);
    }

    /// <summary>What a server's layer fetches ahead; null: nothing.</summary>
    public static PrefetchPlan? Plan(MegaRequest request, Log log)
    {
        if (request.Offline || (request.Prefetch.Count == 0 && request.Replay is null))
        {
            return null;
        }

        return new PrefetchPlan(request.Prefetch, request.Replay is { } file ? () => Read(file, log) : null, request.StoreLimit / 2);
    }

    /// <summary>Replaces the list, or leaves the old one.</summary>
    public static void Write(string path, NativeBody text, Log log)
    {
        var temporary = string.Create(CultureInfo.InvariantCulture, $"{path}.{Process.Getpid()}.{Random.Shared.NextInt64():x}");
        var error = HostPath.WriteAll(temporary, text.Span, Modes.PrivateFile);
        error = error == Errno.None ? HostPath.Rename(temporary, path) : error;
        if (error != Errno.None)
        {
            _ = HostPath.RemoveFile(temporary); // may not be there
            log.Warn($"--record {path}: what was touched could not be written: {ErrnoText.Of(error)}");
        }
    }

    private static byte[]? Read(string path, Log log)
    {
        if (HostPath.Stat(path, out var attributes) == Errno.ENOENT)
        {
            log.Info($"--replay {path}: there is no list yet");
            return null;
        }

        byte[] content = [];
        var error = attributes.st_size > LargestList ? Errno.EFBIG : HostPath.ReadAll(path, out content);
        if (error == Errno.None)
        {
            return content;
        }

        log.Warn($"--replay {path} cannot be read: {ErrnoText.Of(error)}");
        return null;
    }

    private static PathPattern Pattern(string text, string what) =>
        PathPattern.Parse(text) ?? throw MountProblem.Usage($"{what}: give a name or pattern below the mounted directory, without '.' and '..'");
}
