using System.Globalization;

namespace Antares.Aot.Base;

/// <summary>Memory that the process may use: the machine's, or less where a control group of its own or one above limits it.</summary>
/// <remarks>
/// cgroup v2 (Documentation/admin-guide/cgroup-v2.rst, memory.max) and v1 (cgroup-v1/memory.rst, memory.limit_in_bytes), where they are mounted as usual. A
/// container that sees its own group as the root finds the limit there.
/// </remarks>
internal static class MemoryLimit
{
    private const string Mounted = "/sys/fs/cgroup";

    /// <summary>Bytes; 0: not to be found out.</summary>
    public static long Bytes() => Least(Total(TextOf("/proc/meminfo")), TextOf("/proc/self/cgroup"), Mounted);

    /// <param name="total">Of the machine, or 0.</param>
    /// <param name="groups">As /proc/self/cgroup has them: "ID:CONTROLLERS:PATH", one each line.</param>
    /// <param name="mounted">Where the groups are mounted.</param>
    internal static long Least(long total, string groups, string mounted)
    {
        long least = total;
        foreach (string line in groups.Split('\n'))
        {
            string[] fields = line.Split(':', 3);
            if (fields.Length < 3 || !fields[2].StartsWith('/'))
            {
                continue;
            }

            if (fields[1].Length == 0)
            {
                Lower(ref least, mounted, fields[2], "memory.max");
            }
            else if (fields[1].Split(',').Contains("memory"))
            {
                Lower(ref least, $"{mounted}/memory", fields[2], "memory.limit_in_bytes");
            }
        }

        return least;
    }

    /// <summary>MemTotal of /proc/meminfo, in bytes; 0: not there.</summary>
    internal static long Total(string text)
    {
        const string Name = "MemTotal:";
        string? line = text.Split('\n').FirstOrDefault(l => l.StartsWith(Name, StringComparison.Ordinal));
        string number = line == null ? "" : line[Name.Length..].Replace("kB", "", StringComparison.Ordinal).Trim();
        return long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out long kib) && kib < long.MaxValue >> 10 ? kib << 10 : 0;
    }

    // Of the group and all above it. "max", and what cannot be read, limit nothing.
    private static void Lower(ref long least, string mounted, string path, string file)
    {
        for (string at = path; ; at = at[..Math.Max(at.LastIndexOf('/'), 0)])
        {
            if (long.TryParse(TextOf($"{mounted}{at.TrimEnd('/')}/{file}").Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long limit)
                && limit > 0 && (least == 0 || limit < least))
            {
                least = limit;
            }

            if (at.Length <= 1)
            {
                return;
            }
        }
    }

    private static string TextOf(string path)
    {
        try
        {
            return File.Exists(path) ? File.ReadAllText(path) : "";
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return ""; // not to be had: it limits nothing that is known
        }
    }
}
