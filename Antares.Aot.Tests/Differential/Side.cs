using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Differential;

/// <summary>One of the file systems that the same calls are made on.</summary>
internal sealed class Side(IMountUnderTest mount) : IDisposable
{
    private Executor? _executor;

    public IMountUnderTest Mount => mount;

    public Task<List<string>> Run(IReadOnlyList<string> calls) => Task.Run(() => Running().Run(calls));

    /// <summary>Ends all processes that hold something open.</summary>
    public void EndProcesses()
    {
        _executor?.Dispose();
        _executor = null;
    }

    /// <summary>Every object of the tree: path, then all that is compared, then "#ino.generation".</summary>
    public async Task<Dictionary<string, string>> Tree()
    {
        var tree = new Dictionary<string, string>();
        foreach (string line in await Task.Run(() => Running().Tree("wID")))
        {
            int at = line.IndexOf(' ');
            string path = line[..at];
            // A directory that cannot be listed has a line more.
            tree[path] = tree.TryGetValue(path, out string? before) ? before + line[at..] : line[(at + 1)..];
        }
        return tree;
    }

    private Executor Running() => _executor ??= new Executor(mount.Root);

    public void Dispose()
    {
        EndProcesses();
        mount.Dispose();
    }
}

/// <summary>Kernel overlayfs with all that brings it near to a local disk: redirects, an index of hard links, one number space.</summary>
internal sealed class KernelSide(ScratchFolder scratch, IReadOnlyList<string> lowers, string options) : IMountUnderTest
{
    public MountKind Kind => MountKind.Kernel;
    public string Root { get; } = scratch.Make("kernel-mnt");
    public string Lower => lowers[^1];
    public string? Upper { get; init; } = scratch.Join("kernel-upper");
    public string? Work { get; init; } = scratch.Join("kernel-work");

    public void Mount()
    {
        Directory.CreateDirectory(Upper!);
        Directory.CreateDirectory(Work!);
        _ = Shell.Run("mount",
            ["-t", "overlay", "overlay", "-o", $"noatime,volatile,{options},lowerdir={string.Join(':', lowers)},upperdir={Upper},workdir={Work}", Root]).Must();
    }

    public void Unmount()
    {
        if (MountTable.Find(Root) is not null)
            _ = Shell.Run("umount", [Root]).Must();
    }

    public void Dispose()
    {
        if (MountTable.Find(Root) is { } entry)
            MountTable.Tear(entry);
    }
}
