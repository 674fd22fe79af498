using Antares.Aot.Mounts;

namespace Antares.Aot.Tests.Unit;

public sealed class MountsSourceTests
{
    [Theory]
    [InlineData("/a/b", SourceKind.Folder, "/a/b")]
    [InlineData("rel", SourceKind.Folder, "rel")]
    [InlineData("./git:x", SourceKind.Folder, "./git:x")]
    [InlineData("a:b:c", SourceKind.Folder, "a:b:c")]
    [InlineData("/x/dir:y", SourceKind.Folder, "/x/dir:y")]
    [InlineData("DIR:/x", SourceKind.Folder, "DIR:/x")]
    [InlineData("dir:/a", SourceKind.Dicfuse, "/a")]
    [InlineData("dir:a:b", SourceKind.Dicfuse, "a:b")]
    [InlineData("dir:dir:a", SourceKind.Dicfuse, "dir:a")]
    [InlineData("mega:http://host:1/p@v1", SourceKind.Mega, "http://host:1/p@v1")]
    [InlineData("mega:", SourceKind.Mega, "")]
    [InlineData("git:repo@v1", SourceKind.Git, "repo@v1")]
    [InlineData("tar:a:b.tar", SourceKind.Tar, "a:b.tar")]
    [InlineData("https://host/image", SourceKind.Remote, "https://host/image")]
    [InlineData("http://host:1/image", SourceKind.Remote, "http://host:1/image")]
    [InlineData("./http:image", SourceKind.Folder, "./http:image")]
    [InlineData("-x", SourceKind.Folder, "-x")]
    [InlineData("a b\nc", SourceKind.Folder, "a b\nc")]
    public void AFolderIsReadAsMeant(string text, SourceKind kind, string path)
    {
        var spec = SourceSpec.Parse(text);
        Assert.Equal(new SourceSpec(kind, path), spec);
        Assert.Equal(text, spec.ToString());
    }

    [Theory]
    [InlineData("git:", "nothing")]
    [InlineData("tar:", "nothing")]
    [InlineData("", "nothing")]
    [InlineData("dir:", "nothing")]
    [InlineData("/a/\uFFFD", "UTF-8")]
    public void WhatThisBuildHasNotIsAUsageError(string text, string named)
    {
        var problem = Assert.Throws<MountProblem>(() => SourceSpec.Parse(text));
        Assert.Equal(ProblemKind.Usage, problem.Kind);
        Assert.Contains(named, problem.Message);
    }

    [Theory]
    [InlineData("job-7")]
    [InlineData("A.b_c")]
    [InlineData("0")]
    public void AJobIdOfTheNarrowFormPasses(string job) => Assert.Equal(job, JobId.Check(job));

    [Theory]
    [InlineData("")]
    [InlineData("..")]
    [InlineData("-x")]
    [InlineData("a/b")]
    [InlineData("a b")]
    [InlineData("a\0b")]
    [InlineData("ü")]
    public void AnotherJobIdIsRefused(string job) => Assert.Equal(ProblemKind.Usage, Assert.Throws<MountProblem>(() => JobId.Check(job)).Kind);

    [Fact]
    public void AJobIdIsBounded()
    {
        var longest = new string('x', JobId.MaxLength);
        Assert.Equal(longest, JobId.Check(longest));
        _ = Assert.Throws<MountProblem>(() => JobId.Check(longest + "x"));
    }
}
