using System.Text;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Mega.Changes;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Mounts;
using Antares.Aot.Origin;

namespace Antares.Aot.Tests.Unit;

/// <summary>What a server says about a changelist is checked before it is used, and placed where the mounted directory has it.</summary>
public sealed class ChangelistParserTests
{
    private static readonly ObjectId s_id = GitHash.Of(ObjectKind.Blob, "hello\n"u8);

    [Fact]
    public void AListIsReadAsMeant()
    {
        string text = """
            {"req_result":true,"data":[
              {"path":"src/a.rs","sha":"ID","action":"new"},
              {"path":"b ü","sha":"ID","action":"modified","extra":{"x":[1]}},
              {"path":"c","sha":"ID","action":"deleted","old_path":"../x"},
              {"action":"renamed","old_path":"d/e","path":"d/f","similarity":87,"sha":"ID"},
              {"action":"renamed","path":"g","sha":"ID","old_path":null,"similarity":null}],"err_message":""}
            """.Replace("ID", s_id.ToString());
        Assert.Equal(
            [
                new ClEntry(ClAction.New, "src/a.rs", s_id), new ClEntry(ClAction.Modified, "b ü", s_id), new ClEntry(ClAction.Deleted, "c", s_id),
                new ClEntry(ClAction.Renamed, "d/f", s_id, "d/e"), new ClEntry(ClAction.Renamed, "g", s_id),
            ],
            Entries(text));
        Assert.Empty(Entries("""{"req_result":true,"data":[]}"""));
    }

    [Theory]
    [InlineData("\"..\"", "'..'")]
    [InlineData("\"a/../b\"", "'..'")]
    [InlineData("\"a/./b\"", "'..'")]
    [InlineData("\"/etc/passwd\"", "absolute")]
    [InlineData("\"\"", "empty path")]
    [InlineData("\"a//b\"", "empty part")]
    [InlineData("\"a/\"", "empty part")]
    [InlineData("\"a\\u0000b\"", "NUL")]
    [InlineData("null", "without a path")]
    [InlineData("7", "without a path")]
    [InlineData("\"\\ud800\"", "not what a Mega server says")]
    public void WhatIsNoPathIsRefused(string path, string reason)
    {
        foreach (string action in (string[])["new", "modified", "deleted", "renamed"])
            Assert.Contains(reason, Refused("{\"req_result\":true,\"data\":[{\"path\":" + path + $",\"sha\":\"{s_id}\",\"action\":\"{action}\"}}]}}"));
        if (path is not ("null" or "7"))
            Assert.Contains(reason, Refused("{\"req_result\":true,\"data\":[{\"path\":\"ok\",\"old_path\":" + path + $",\"sha\":\"{s_id}\",\"action\":\"renamed\"}}]}}"));
    }

    [Fact]
    public void NamesAndPathsHaveTheirLimits()
    {
        Assert.Null(Changelist.DamageOf(new string('x', 255)));
        Assert.Contains("255", Changelist.DamageOf(new string('x', 256)));
        Assert.Contains("255", Changelist.DamageOf("a/" + new string('ü', 128)));
        Assert.Contains("4096", Changelist.DamageOf(string.Join('/', Enumerable.Repeat("abc", 1100))));
    }

    [Theory]
    [InlineData("""{"req_result":true,"data":[{"path":"a","sha":"12","action":"new"}]}""", "without an id")]
    [InlineData("""{"req_result":true,"data":[{"path":"a","sha":"0000000000000000000000000000000000000000","action":"new"}]}""", "without an id")]
    [InlineData("""{"req_result":true,"data":[{"path":"a","action":"new"}]}""", "without an id")]
    [InlineData("""{"req_result":true,"data":[{"path":"a","sha":"ce013625030ba8dba906f756967f9e9ca394464a"}]}""", "none of new")]
    [InlineData("""{"req_result":true,"data":[{"path":"a","sha":"ce013625030ba8dba906f756967f9e9ca394464a","action":"copied"}]}""", "none of new")]
    [InlineData("""{"req_result":false,"data":null,"err_message":"no such CL"}""", "no such CL")]
    [InlineData("""{"req_result":true}""", "no list")]
    [InlineData("""{"req_result":true,"data":{}}""", "not what a Mega server says")]
    [InlineData("""{"req_result":true,"data":[7]}""", "no list")]
    [InlineData("<html>", "not what a Mega server says")]
    [InlineData("", "not what a Mega server says")]
    public void WhatIsNoListIsRefused(string text, string reason) => Assert.Contains(reason, Refused(text));

    [Fact]
    public void TwoMillionEntriesAreRefusedWithoutBeingHeld()
    {
        using var body = new NativeBody();
        Assert.True(body.TryAppend("""{"req_result":true,"data":["""u8));
        for (int i = 0; i < 2_000_000; i++)
        {
            if (!body.TryAppend(Encoding.ASCII.GetBytes($"{(i == 0 ? "" : ",")}{{\"path\":\"{i}\",\"sha\":\"{s_id}\",\"action\":\"new\"}}")))
                Assert.Fail("no memory for the test");
        }
        Assert.True(body.TryAppend("]}"u8));
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Contains($"more than {Changelist.MostEntries}", Assert.Throws<MegaProblem>(() => Changelist.EntriesOf("GET /x", new MegaAnswer(body, ""))).Message);
        long made = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(made < 100_000_000, $"{made} bytes");
    }

    [Theory]
    [InlineData("C1", true)]
    [InlineData("XKBG7X2A", true)]
    [InlineData("a.b-c_d", true)]
    [InlineData("", false)]
    [InlineData("..", false)]
    [InlineData("a/b", false)]
    [InlineData("a b", false)]
    [InlineData("a?b", false)]
    public void ALinkIsAWord(string text, bool isLink) => Assert.Equal(isLink, Changelist.IsLink(text));

    [Theory]
    [InlineData("""{"data":{"link":"C1","path":"/third-party/foo/"}}""", "/third-party/foo")]
    [InlineData("""{"data":{"path":"/"},"req_result":true}""", "/")]
    [InlineData("""{"data":{"link":"C1"}}""", null)]
    [InlineData("""{"data":null}""", null)]
    public void TheOriginOfPathsIsRead(string text, string? origin)
    {
        using NativeBody body = Body(Encoding.UTF8.GetBytes(text));
        Assert.Equal(origin, Changelist.BaseOf("GET /x", new MegaAnswer(body, "")));
    }

    [Theory]
    // origin, mounted, where "a/b" lies in the mounted directory
    [InlineData("/", "/", "a/b")]
    [InlineData("/x", "/", "x/a/b")]
    [InlineData("/", "/a", "b")]
    [InlineData("/x", "/x/a", "b")]
    [InlineData("/x/y", "/x", "y/a/b")]
    [InlineData("/x", "/x", "a/b")]
    [InlineData("/", "/aa", null)]
    [InlineData("/x", "/y", null)]
    [InlineData("/xx", "/x", null)]
    [InlineData("/x", "/xx", null)]
    [InlineData("/x", "/x/a/b/c", null)]
    public void PathsArePlacedBothWays(string origin, string mounted, string? place)
    {
        var placed = ClPlacement.Of([new ClEntry(ClAction.Deleted, "a/b", s_id)], origin, mounted);
        Assert.Equal(place is null ? [] : [place], placed.Removals.Keys);
        Assert.Equal(place is null ? [(ClAction.Deleted, ClPlacement.Join(origin, "a/b"))] : [], placed.Outside);
    }

    [Fact]
    public void ARenameMayCrossTheEdgeOfTheMountedDirectory()
    {
        var placed = ClPlacement.Of(
            [
                new ClEntry(ClAction.Renamed, "in/new", s_id, "out/old"), new ClEntry(ClAction.Renamed, "out/new", s_id, "in/old"), new ClEntry(ClAction.Renamed, "out/b", s_id, "out/a"),
                new ClEntry(ClAction.Renamed, "in/b", s_id, "in/a"),
            ],
            "/", "/in");
        Assert.Equal([new ClPut("new", s_id, ClAction.Renamed, null), new ClPut("b", s_id, ClAction.Renamed, "a")], placed.Puts.Values);
        Assert.Equal(["old", "a"], placed.Removals.Keys);
        Assert.Equal([(ClAction.Renamed, "/out/new"), (ClAction.Renamed, "/out/b")], placed.Outside);
    }

    [Fact]
    public void ContradictionsAreRefused()
    {
        Assert.Contains("has a twice", Misplaced(new ClEntry(ClAction.New, "a", s_id), new ClEntry(ClAction.Modified, "a", s_id)));
        Assert.Contains("deletes a twice", Misplaced(new ClEntry(ClAction.Deleted, "a", s_id), new ClEntry(ClAction.Deleted, "a", s_id)));
        Assert.Contains("both modifies and deletes a", Misplaced(new ClEntry(ClAction.Modified, "a", s_id), new ClEntry(ClAction.Deleted, "a", s_id)));
        Assert.Contains("has a as a file and as a directory", Misplaced(new ClEntry(ClAction.New, "a/b/c", s_id), new ClEntry(ClAction.New, "a", s_id)));
        Assert.Contains("has a/b as a file and as a directory", Misplaced(new ClEntry(ClAction.New, "a/b", s_id), new ClEntry(ClAction.Renamed, "a/b/c", s_id, "x")));
        Assert.Contains("where the mounted directory /m/n lies", Assert.Throws<MegaProblem>(() => ClPlacement.Of([new ClEntry(ClAction.New, "m", s_id)], "/", "/m/n")).Message);
        Assert.Contains("where the mounted directory /m/n lies", Assert.Throws<MegaProblem>(() => ClPlacement.Of([new ClEntry(ClAction.New, "n", s_id)], "/m", "/m/n")).Message);
        // A file whose name is taken by a directory of what it replaces is none.
        Assert.Equal(2, ClPlacement.Of([new ClEntry(ClAction.Deleted, "a", s_id), new ClEntry(ClAction.New, "a/b", s_id)], "/", "/").Puts.Count + 1);
    }

    [Theory]
    [InlineData("C1=a..b", "C1", "a", "b", "/")]
    [InlineData("C1=HEAD~1..topic/x:/lib/", "C1", "HEAD~1", "topic/x", "/lib")]
    public void TheOriginTakesRanges(string text, string link, string from, string to, string path) =>
        Assert.Equal(new OriginChangelist(link, from, to, path), OriginChangelist.Parse(text));

    [Theory]
    [InlineData("C1")]
    [InlineData("=a..b")]
    [InlineData("C1=a..")]
    [InlineData("C1=..b")]
    [InlineData("C1=-x..b")]
    [InlineData("C/1=a..b")]
    [InlineData("C1=a..b:lib")]
    [InlineData("C1=a..b:/../x")]
    public void TheOriginRefusesOthers(string text) => Assert.Null(OriginChangelist.Parse(text));

    [Fact]
    public void AQuestionIsReadAsItWasWritten()
    {
        foreach (ChangelistQuestion question in (ChangelistQuestion[])
            [
                new("show", false), new("clear", true), new("set", true, "C1"), new("set", false, "C1", "/odd + names/ü%20&#\n"), new("set", false, "C1", "/"),
            ])
        {
            Assert.Equal(question, ChangelistQuestion.Parse(question.ToString()));
            Assert.DoesNotContain('\n', question.ToString());
        }
        foreach (string text in (string[])["cl", "cl set", "cl set text", "cl show", "cl show xml", "cl show text C1", "cl set json a b c", "cl other json"])
            Assert.Null(ChangelistQuestion.Parse(text));
        foreach (RefreshQuestion question in (RefreshQuestion[])[new(false, null), new(true, "v1.2"), new(false, "a b\nc")])
        {
            Assert.Equal(question, RefreshQuestion.Parse(question.ToString()));
            Assert.DoesNotContain('\n', question.ToString());
        }
        foreach (string text in (string[])["refresh", "refresh xml", "refresh text a b", "cl refresh text"])
            Assert.Null(RefreshQuestion.Parse(text));
    }

    private static string Misplaced(params ClEntry[] entries) => Assert.Throws<MegaProblem>(() => ClPlacement.Of(entries, "/", "/")).Message;

    private static List<ClEntry> Entries(string text)
    {
        using NativeBody body = Body(Encoding.UTF8.GetBytes(text));
        return Changelist.EntriesOf("GET /x", new MegaAnswer(body, "text/plain"));
    }

    private static string Refused(string text) => Assert.Throws<MegaProblem>(() => Entries(text)).Message;

    private static NativeBody Body(ReadOnlySpan<byte> bytes)
    {
        var body = new NativeBody();
        Assert.True(body.TryAppend(bytes));
        return body;
    }
}
