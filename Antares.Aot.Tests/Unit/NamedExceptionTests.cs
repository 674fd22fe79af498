using System.Reflection;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Unit;

/// <summary>What does not hold on the kernel engine stands in docs/SEMANTICS.md by name, and nothing else does.</summary>
public sealed class NamedExceptionTests
{
    [Fact]
    public void TestsThatLeaveOutTheKernelEngineAreListed()
    {
        string[] left = [.. typeof(NamedExceptionTests).Assembly.GetTypes().SelectMany(type => type.GetMethods())
            .Where(method => method.GetCustomAttribute<MountsAttribute>() is { } mounts && (mounts.NotKernel ?? mounts.NotOnServedLower ?? mounts.NotOnErofs) != null)
            .Select(method => $"{method.DeclaringType!.Name}.{method.Name}").Order(StringComparer.Ordinal)];
        string[] listed = [.. File.ReadLines(Path.Combine(TestEnvironment.Repository, "docs", "SEMANTICS.md"))
            .SkipWhile(line => line != "## Kernel engine").SkipWhile(line => !line.StartsWith("| test | why", StringComparison.Ordinal)).Skip(2)
            .TakeWhile(line => line.StartsWith('|')).Select(line => line.Split('|')[1].Trim().Split(' ')[0]).Order(StringComparer.Ordinal)];
        Assert.NotEmpty(left);
        Assert.Equal(left, listed);
    }
}
