using System.Diagnostics;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>
/// A kernel that gives up a whole mount when one of its requests takes too long (fs.fuse.default_request_timeout, Linux 6.15), and a server that is slower.
/// </summary>
public sealed class RequestTimeoutMountTests : IDisposable
{
    private const string Setting = "/proc/sys/fs/fuse/default_request_timeout";

    private readonly ScratchFolder _scratch = new();

    public void Dispose() => _scratch.Dispose();

    /// <summary>The setting counts for mounts made while it has its value: it is put back as soon as the mount is made.</summary>
    [RequestTimeoutFact]
    public void ABlobThatTakesThreeTimesAsLongIsReadInTheEnd()
    {
        var repository = new GitRepository(_scratch.Join("repo"));
        _ = repository.CommitSample();
        string id = repository.Git("rev-parse HEAD:src/main.c");
        string mnt = _scratch.Make("mnt");
        using var origin = new OriginProcess(_scratch, repository.Path, $"slow=60000@{id}");
        string before = File.ReadAllText(Setting).Trim();
        File.WriteAllText(Setting, "20");
        try
        {
            _ = Try("mount", $"mega:{origin.Url}/", mnt, "--store", _scratch.Join("store"), "--workspace-root", _scratch.Path).Must();
        }
        finally
        {
            File.WriteAllText(Setting, before);
        }

        // Each read ends before the kernel would give up, and others go on meanwhile; in the end it is there.
        var watch = Stopwatch.StartNew();
        int late = 0;
        ShellResult read;
        while ((read = Shell.Bash($"cat {mnt}/src/main.c")).ExitCode != 0)
        {
            Assert.Contains("timed out", read.Error);
            late++;
            Assert.Equal("hello\n", Shell.Bash($"cat {mnt}/README && touch {mnt}/made-{late}").Must());
            Assert.True(watch.Elapsed.TotalSeconds < 120, "it never comes");
        }
        Assert.Equal("int main;\n", read.Output);
        Assert.InRange(watch.Elapsed.TotalSeconds, 45, 110);
        Assert.InRange(late, 3, 8);
        Assert.Equal(1, origin.Count(id));
        Assert.Contains("still being fetched", Try("errors", mnt).Must());
        _ = Try("umount", mnt).Must();
    }

    private ShellResult Try(params string[] words) => Shell.Run(TestEnvironment.Binary, words, 60, environment: ("ANTARES_STATE_DIR", _scratch.Make("state")));

    private static bool MayBeSet()
    {
        try
        {
            using FileStream setting = File.OpenWrite(Setting);
            return true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>For root, where the kernel has such a limit.</summary>
    private sealed class RequestTimeoutFactAttribute : FactAttribute
    {
        public RequestTimeoutFactAttribute()
        {
            if (!TestEnvironment.HasFuse || !File.Exists(Setting) || !MayBeSet())
                Skip = "the kernel has no limit for requests, or only root may set it";
        }
    }
}
