namespace Antares.Aot.Tests.Support;

/// <summary>
/// Counts the pages that the kernel takes out of the page cache of one mount, by its own tracepoint
/// (filemap:mm_filemap_delete_from_page_cache, filtered by device). A machine may reclaim pages whenever it likes (memory pressure, a
/// DAMON pageout scheme); a request that asks anew for what was taken away is then the kernel's doing and not the server's.
/// </summary>
internal sealed class CacheEvictions : IDisposable
{
    private const string Tracing = "/sys/kernel/tracing";

    private readonly string? _instance;

    /// <param name="minor">Minor device number of the mount (its major is 0).</param>
    public CacheEvictions(int minor)
    {
        if (!Directory.Exists($"{Tracing}/instances") && Shell.Run("mount", ["-t", "tracefs", "tracefs", Tracing]).ExitCode != 0)
            return;
        _instance = $"{Tracing}/instances/antares-test-{Environment.ProcessId}-{minor}";
        _ = Directory.CreateDirectory(_instance);
        const string events = "events/filemap/mm_filemap_delete_from_page_cache";
        File.WriteAllText($"{_instance}/{events}/filter", $"s_dev == {minor}\n");
        File.WriteAllText($"{_instance}/{events}/enable", "1\n");
    }

    /// <summary>Pages taken since the start (at least; the trace is a ring); null where the kernel has no tracefs for us.</summary>
    public int? Count => _instance is null ? null : File.ReadLines($"{_instance}/trace").Count(line => line.Length > 0 && line[0] != '#');

    public void Dispose()
    {
        if (_instance is null)
            return;
        File.WriteAllText($"{_instance}/events/enable", "0\n");
        Directory.Delete(_instance);
    }
}
