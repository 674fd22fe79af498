using System.Globalization;

namespace Antares.Aot.Base;

/// <summary>Processor time that a container may use (cgroup v2, Linux Documentation/admin-guide/cgroup-v2.rst, cpu.max).</summary>
/// <remarks>Seen where the container has a cgroup namespace, so that its own group is the root; the quota of a group without one, or of v1, is not.</remarks>
internal static class ProcessorQuota
{
    /// <summary>False: the process's container has less than two whole processors, though the runtime, which rounds up, may count two.</summary>
    public static bool AllowsTwo() => Allows(SmallFile.Read("/sys/fs/cgroup/cpu.max"u8), 2);

    /// <param name="text">"QUOTA PERIOD", both in microseconds, or "max PERIOD"; whatever else: there is no quota.</param>
    /// <param name="processors">How many are to be had.</param>
    internal static bool Allows(string text, int processors)
    {
        string[] fields = text.Split(' ');
        return fields.Length != 2
            || !long.TryParse(fields[0], NumberStyles.None, CultureInfo.InvariantCulture, out long quota)
            || !long.TryParse(fields[1], NumberStyles.None, CultureInfo.InvariantCulture, out long period)
            || period <= 0
            || quota / period >= processors;
    }
}
