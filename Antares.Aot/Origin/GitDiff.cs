using System.Text;
using Antares.Interop;

namespace Antares.Aot.Origin;

/// <summary>One line of the difference of two revisions.</summary>
/// <param name="Action">new, modified, deleted or renamed.</param>
/// <param name="Path">Relative to the directory compared.</param>
/// <param name="Id">The content; of deleted the one that went.</param>
/// <param name="OldPath">Of renamed.</param>
/// <param name="Similarity">Of renamed, in percent.</param>
internal sealed record GitDifference(string Action, string Path, string Id, string? OldPath = null, int Similarity = 0);

/// <summary>The difference of two revisions of a git repository, as <c>git diff-tree</c> tells it.</summary>
internal static unsafe class GitDiff
{
    private const int BufferBytes = 64 << 10;
    private const int MostBytes = 256 << 20;

    /// <summary>Compares.</summary>
    /// <param name="repository">A repository, bare or not.</param>
    /// <param name="from">A revision.</param>
    /// <param name="to">A revision.</param>
    /// <param name="directory">"/" or "/a/b": what lies elsewhere is left out.</param>
    /// <exception cref="IOException">git cannot be asked, or knows no such revisions.</exception>
    public static List<GitDifference> Of(string repository, string from, string to, string directory)
    {
        List<string> words = ["git", "-C", repository, "diff-tree", "-r", "-M", "--raw", "-z", "--no-abbrev"];
        if (directory != "/")
        {
            words.Add($"--relative={directory.Trim('/')}/");
        }

        byte[] output = Run([.. words, from, to]);
        string[] parts = Encoding.UTF8.GetString(output).Split('\0', StringSplitOptions.RemoveEmptyEntries);
        var result = new List<GitDifference>();
        for (int i = 0; i + 1 < parts.Length;)
        {
            // :OLDMODE NEWMODE OLDID NEWID STATUS, then one path or two
            string[] facts = parts[i].Split(' ');
            string status = facts.Length == 5 ? facts[4] : throw new IOException("git diff-tree answers as no version known");
            bool isRenamed = status[0] == 'R';
            string path = parts[i + (isRenamed ? 2 : 1)];
            result.Add(status[0] switch
            {
                'A' => new GitDifference("new", path, facts[3]),
                'D' => new GitDifference("deleted", path, facts[2]),
                'R' => new GitDifference("renamed", path, facts[3], parts[i + 1], int.TryParse(status.AsSpan(1), out int percent) ? percent : 0),
                _ => new GitDifference("modified", path, facts[3]),
            });
            i += isRenamed ? 3 : 2;
        }

        return result;
    }

    private static byte[] Run(string[] words)
    {
        int* pipe = stackalloc int[2];
        Must(Fd.Pipe2(pipe, Fcntl.O_CLOEXEC));
        using var output = new OwnedFd(pipe[0]);
        int pid;
        using (var input = new OwnedFd(pipe[1]))
        {
            using CString file = new("git");
            using var arguments = new CStringArray(words);
            using var environment = CStringArray.OfBytes(GivenWords.Environment() ?? []);
            var options = SpawnOptions.Inherit;
            options.Stdout = input.Value;
            options.NewProcessGroup = true;
            Must(Spawn.PosixSpawn(file.Pointer, arguments.Pointer, environment.Pointer, options, out pid));
        }

        using var content = new MemoryStream();
        byte[] buffer = new byte[BufferBytes];
        Errno error = Errno.None;
        nuint got = 0;
        do
        {
            fixed (byte* bytes = buffer)
            {
                error = FileIo.Read(output.Value, bytes, BufferBytes, out got);
            }

            content.Write(buffer, 0, (int)got);
        }
        while (error == Errno.None && got > 0 && content.Length < MostBytes);

        output.Dispose(); // so that it ends, should it have more to say
        Must(error);
        Must(Process.Waitpid(pid, out int status, 0));
        return status == 0 && content.Length < MostBytes ? content.ToArray() : throw new IOException("git diff-tree failed: are both revisions there?");
    }

    private static void Must(Errno error)
    {
        if (error != Errno.None)
        {
            throw new IOException($"git diff-tree: {error}");
        }
    }
}
