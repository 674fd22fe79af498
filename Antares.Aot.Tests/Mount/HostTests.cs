using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Mount;

/// <summary>A host on which the mount tests cannot run does not give a green run.</summary>
public sealed class HostTests
{
    [Fact]
    public void HostHasFuse() => Assert.True(TestEnvironment.HasFuse, "no /dev/fuse: the mount tests were skipped, so this run proves nothing");

    [Fact]
    public void BinaryIsGivenAndStarts()
    {
        ShellResult result = Shell.Run(TestEnvironment.Binary, ["--version"]);
        Assert.Matches(@"\d+\.\d+\.\d+", result.Must());
    }
}
