namespace Antares.Aot.Tests.Support;

/// <summary>A folder of a test's own. Whatever is still mounted below it is unmounted before it is removed.</summary>
internal sealed class ScratchFolder : IDisposable
{
    private static int _count;

    public ScratchFolder(string? parent = null)
    {
        Path = System.IO.Path.Combine(parent ?? TestEnvironment.Scratch, $"antares-test-{Environment.ProcessId}-{Interlocked.Increment(ref _count)}");
        _ = Directory.CreateDirectory(Path);
    }

    public string Path { get; }

    public string Make(string name)
    {
        string path = System.IO.Path.Combine(Path, name);
        _ = Directory.CreateDirectory(path);
        return path;
    }

    public string Join(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose()
    {
        foreach (MountTable.Entry entry in MountTable.Below(Path).AsEnumerable().Reverse())
            MountTable.Tear(entry);
        // chattr: a failed test may have left an immutable file behind.
        _ = Shell.Bash("rm -rf --one-file-system \"$P\" 2>/dev/null || { chattr -R -i -a \"$P\"; rm -rf --one-file-system \"$P\"; }", 300, environment: ("P", Path));
    }
}

/// <summary>The kernel's table of mounts.</summary>
internal static class MountTable
{
    internal sealed record Entry(string Point, string Type, string Source, string Options, int Minor);

    public static List<Entry> All()
    {
        var entries = new List<Entry>();
        foreach (string line in File.ReadLines("/proc/self/mountinfo"))
        {
            string[] words = line.Split(' ');
            int dash = Array.IndexOf(words, "-");
            entries.Add(new Entry(Unescape(words[4]), words[dash + 1], Unescape(words[dash + 2]), words[5] + "," + words[dash + 3], int.Parse(words[2].Split(':')[1])));
        }
        return entries;
    }

    public static Entry? Find(string point) => All().LastOrDefault(e => e.Point == point);

    public static List<Entry> Below(string folder) => [.. All().Where(e => e.Point == folder || e.Point.StartsWith(folder + "/", StringComparison.Ordinal))];

    /// <summary>Takes a mount down whatever state its server is in: abort the FUSE connection, then detach.</summary>
    public static void Tear(Entry entry)
    {
        string abort = $"/sys/fs/fuse/connections/{entry.Minor}/abort";
        if (entry.Type.StartsWith("fuse", StringComparison.Ordinal))
            _ = Shell.Bash($"umount '{entry.Point}' 2>/dev/null || {{ [ -e {abort} ] && echo 1 > {abort}; umount -l '{entry.Point}'; }}", 30);
        else
            _ = Shell.Bash($"umount '{entry.Point}' 2>/dev/null || umount -l '{entry.Point}'", 30);
    }

    private static string Unescape(string text) => text.Replace("\\040", " ").Replace("\\011", "\t").Replace("\\012", "\n").Replace("\\134", "\\");
}
