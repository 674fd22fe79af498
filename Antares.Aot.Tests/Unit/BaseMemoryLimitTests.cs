using Antares.Aot.Base;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Unit;

public sealed class BaseMemoryLimitTests
{
    [Theory]
    [InlineData("0::/job/step\n", "job/step/memory.max", "1000", 1000)]
    [InlineData("0::/job/step\n", "job/memory.max", "2000", 2000)]
    [InlineData("0::/job\n", "memory.max", "3000", 3000)]
    [InlineData("0::/\n", "memory.max", "3000", 3000)]
    [InlineData("0::/../elsewhere\n", "memory.max", "3000", 3000)]
    [InlineData("9:cpu:/job\n7:hugetlb,memory:/job\n", "memory/job/memory.limit_in_bytes", "4000", 4000)]
    [InlineData("7:memory:/host/path\n0::/\n", "memory/memory.limit_in_bytes", "5000", 5000)]
    [InlineData("7:memory:/\n", "memory/memory.limit_in_bytes", "9223372036854771712", 10_000)]
    [InlineData("0::/job\n", "job/memory.max", "max", 10_000)]
    [InlineData("0::/job\n", "job/memory.max", "0", 10_000)]
    [InlineData("", "memory.max", "1000", 10_000)]
    [InlineData("nonsense\n0::\n", "memory.max", "1000", 10_000)]
    public void TheLeastOfAllGroups(string groups, string file, string limit, long expected)
    {
        using var scratch = new ScratchFolder();
        string path = Path.Combine(scratch.Path, file);
        _ = Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, $"{limit}\n");
        Assert.Equal(expected, MemoryLimit.Least(10_000, groups, scratch.Path));
    }

    [Theory]
    [InlineData("MemTotal:       24683520 kB\nMemFree:  1 kB\n", 24683520L << 10)]
    [InlineData("MemFree:  1 kB\n", 0)]
    [InlineData("MemTotal: much\n", 0)]
    [InlineData("", 0)]
    public void TheMachines(string text, long expected) => Assert.Equal(expected, MemoryLimit.Total(text));

    [Fact]
    public void ThisMachineHasSome() => Assert.InRange(MemoryLimit.Bytes(), 1 << 20, long.MaxValue);
}
