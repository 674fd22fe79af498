using System.Globalization;
using System.Text;
using Antares.Aot.Dicfuse.Image;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Git;

/// <summary>A commit of a repository on this machine.</summary>
/// <param name="Repository">Its folder.</param>
/// <param name="Commit">The commit's id, 40 hexadecimal digits (or 64).</param>
internal sealed record GitRevision(string Repository, string Commit)
{
    /// <summary>Asks git what a revision is.</summary>
    /// <param name="repository">A folder that is a repository, or has one in it.</param>
    /// <param name="revision">As git understands it: a branch, a tag, an id.</param>
    /// <exception cref="ImageException">What is wrong with it, as the end of a sentence that begins with the source's name.</exception>
    public static GitRevision Resolve(string repository, string revision)
    {
        if (revision.Length == 0 || revision.StartsWith('-') || revision.Contains('\n'))
        {
            throw new ImageException($"names no revision ('{revision}')");
        }

        using GitProcess process = Start(repository, ["rev-parse", "--show-prefix", revision + "^{commit}"]);
        List<string> lines = [];
        try
        {
            while (lines.Count < 3 && process.ReadTo((byte)'\n') is { } line)
            {
                lines.Add(Encoding.UTF8.GetString(line));
            }
        }
        catch (IOException)
        {
            lines.Clear(); // its end tells why
        }

        int code = process.Wait(out string said);
        if (code != 0 && said.Contains("unknown revision", StringComparison.Ordinal))
        {
            throw new ImageException($"has no revision '{revision}' (git fetch, if it is a new one)");
        }

        if (code != 0)
        {
            throw new ImageException($"cannot be read by git: {(said.Length > 0 ? said : $"it ended with {code}")}");
        }

        if (lines is not [var prefix, var commit] || !IsId(commit))
        {
            throw new ImageException($"names no single commit ('{revision}')");
        }

        return prefix.Length == 0
            ? new GitRevision(repository, commit)
            : throw new ImageException($"lies within a repository, at {prefix}: name its top folder");
    }

    /// <summary>Starts a git command in a repository; what it says of errors is kept.</summary>
    /// <exception cref="ImageException">It cannot be started.</exception>
    public static GitProcess Start(string repository, IReadOnlyList<string> arguments)
    {
        Errno error = GitProcess.Start(repository, arguments, out GitProcess? process, keepsErrors: true);
        return error switch
        {
            Errno.None when process is not null => process,
            Errno.ENOENT => throw new ImageException("needs git, which was not found in PATH: install it"),
            _ => throw new ImageException($"needs git, which cannot be started: {error}"),
        };
    }

    /// <summary>True for the whole id of an object.</summary>
    public static bool IsId(string text) => text.Length is 40 or 64 && text.All(char.IsAsciiHexDigitLower);

    /// <summary>When a commit was made, in seconds since 1970.</summary>
    /// <param name="commit">The commit as git keeps it.</param>
    /// <exception cref="ImageException">It does not say.</exception>
    public static long TimeOf(ReadOnlySpan<byte> commit)
    {
        foreach (Range range in commit.Split((byte)'\n'))
        {
            ReadOnlySpan<byte> line = commit[range];
            if (line.IsEmpty)
            {
                break;
            }

            int end = line.IndexOf("> "u8);
            if (line.StartsWith("committer "u8) && end > 0)
            {
                ReadOnlySpan<byte> rest = line[(line.LastIndexOf("> "u8) + 2)..];
                int space = rest.IndexOf((byte)' ');
                if (long.TryParse(space < 0 ? rest : rest[..space], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long seconds))
                {
                    return seconds;
                }
            }
        }

        throw new ImageException("names a commit that does not say when it was made");
    }
}
