using System.Text;
using Antares.Aot.Mounts;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>A file that is made anew takes the place of a file, and of nothing else.</summary>
public sealed class ImagesNewFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("antares-new-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void AFileIsReplacedWhenTheNewOneIsComplete()
    {
        var path = Join("f");
        File.WriteAllText(path, "old");
        using (var file = NewFile.Make(path))
        {
            Write(file, "new");
            Assert.Equal("old", File.ReadAllText(path));
            file.Publish();
        }

        Assert.Equal("new", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(_folder));
    }

    [Theory]
    [InlineData("mkfifo \"$1\"", "a pipe")]
    [InlineData("mkdir \"$1\"", "a folder")]
    [InlineData("mkfifo \"$1-\"; ln -s \"$1-\" \"$1\"", "a pipe")]
    [InlineData("ln -s /dev/null \"$1\"", "a device")]
    public void WhatIsNoFileStays(string make, string named)
    {
        var path = Join("f");
        _ = Shell.Run("sh", ["-c", make, "-", path]).Must();
        var before = Shell.Run("stat", ["-c", "%F %i", path]).Must();
        var problem = Assert.Throws<MountProblem>(() => NewFile.Make(path));
        Assert.Equal(ProblemKind.Usage, problem.Kind);
        Assert.Contains(named, problem.Message);
        Assert.Equal(before, Shell.Run("stat", ["-c", "%F %i", path]).Must());
    }

    [Theory]
    [InlineData("sub/target", "sub/target", true)]
    [InlineData("sub/target", "sub/target", false)]
    [InlineData("other/../there", "sub/there", false)]
    [InlineData("second", "sub/deep/end", false)]
    public void ALinkStaysAndWhatItLeadsToIsWritten(string target, string place, bool isThere)
    {
        _ = Directory.CreateDirectory(Join("sub/deep"));
        _ = File.CreateSymbolicLink(Join("other"), "sub/deep"); // other/.. is sub
        _ = File.CreateSymbolicLink(Join("second"), Join("sub/third"));
        _ = File.CreateSymbolicLink(Join("sub/third"), "deep/end");
        _ = File.CreateSymbolicLink(Join("link"), target);
        if (isThere)
        {
            File.WriteAllText(Join(place), "old");
        }

        using (var file = NewFile.Make(Join("link")))
        {
            Write(file, "new");
            file.Publish();
        }

        Assert.Equal("new", File.ReadAllText(Join(place)));
        Assert.Equal(target, new FileInfo(Join("link")).LinkTarget);
    }

    [Fact]
    public void LinksInACircleAreRefused()
    {
        _ = File.CreateSymbolicLink(Join("a"), "b");
        _ = File.CreateSymbolicLink(Join("b"), "a");
        Assert.Equal(ProblemKind.Mount, Assert.Throws<MountProblem>(() => NewFile.Make(Join("a"))).Kind);
    }

    private static void Write(NewFile file, string text) => Assert.Equal(Errno.None, HostPath.Write(file.Fd, Encoding.UTF8.GetBytes(text)));

    private string Join(string name) => Path.Combine(_folder, name);
}
