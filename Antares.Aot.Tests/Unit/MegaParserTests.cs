using System.Text;
using Antares.Aot.Cli;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Mounts;
using Antares.Aot.Origin;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Unit;

/// <summary>What comes from a command line or a server is checked before it is used.</summary>
public sealed class MegaParserTests
{
    private static readonly ObjectId s_id = GitHash.Of(ObjectKind.Blob, "hello\n"u8);

    [Theory]
    [InlineData("http://h:8000/", "http://h:8000", "/", null)]
    [InlineData("http://h:8000", "http://h:8000", "/", null)]
    [InlineData("https://h/a/b", "https://h", "/a/b", null)]
    [InlineData("http://h//a//b/", "http://h", "/a/b", null)]
    [InlineData("http://h/a@v1.2", "http://h", "/a", "v1.2")]
    [InlineData("http://h/@0123456789012345678901234567890123456789", "http://h", "/", "0123456789012345678901234567890123456789")]
    [InlineData("http://h/@scope/pkg", "http://h", "/@scope/pkg", null)]
    [InlineData("http://h/a%40b", "http://h", "/a@b", null)]
    [InlineData("http://h/a%20b%2Bc", "http://h", "/a b+c", null)]
    [InlineData("http://[::1]:80/x", "http://[::1]:80", "/x", null)]
    [InlineData("/a@v1", "http://base:1", "/a", "v1")]
    [InlineData("", "http://base:1", "/", null)]
    public void AnAddressIsReadAsMeant(string text, string server, string path, string? revision)
    {
        Assert.True(MegaAddress.TryParse(text, "http://base:1/", out MegaAddress? address, out string problem), problem);
        Assert.Equal(new MegaAddress(server, path, revision), address);
    }

    [Theory]
    [InlineData("ftp://h/x")]
    [InlineData("http:///x")]
    [InlineData("h/x")]
    [InlineData("http://user@h/x")]
    [InlineData("http://user:hunter2@h/x")]
    [InlineData("http://h/x?y")]
    [InlineData("http://h/x#y")]
    [InlineData("http://h/../x")]
    [InlineData("http://h/a/./x")]
    [InlineData("http://h/%2e%2e/x")]
    [InlineData("http://h/a%00b")]
    [InlineData("http://h/x@")]
    [InlineData("http://h/x@-v")]
    [InlineData("http://h/x@a b")]
    [InlineData("http://h/x@a%20b")]
    public void WhatIsNoAddressIsRefused(string text)
    {
        Assert.False(MegaAddress.TryParse(text, "http://base:1", out MegaAddress? address, out string problem));
        Assert.Null(address);
        Assert.NotEqual("", problem);
        Assert.DoesNotContain("hunter2", problem);
    }

    [Fact]
    public void AnAddressWithoutServerNeedsOne() => Assert.False(MegaAddress.TryParse("/a", null, out _, out _));

    [Fact]
    public void TreesAreWrittenAsGitWritesThem()
    {
        // The directory sorts behind the file whose name goes on after it: as if its name ended in '/'.
        TreeEntry[] entries =
        [
            new() { Name = "a"u8.ToArray(), Id = s_id, Mode = GitMode.Directory },
            new() { Name = "a.c"u8.ToArray(), Id = s_id, Mode = GitMode.File },
            new() { Name = "a0"u8.ToArray(), Id = s_id, Mode = GitMode.Executable },
            new() { Name = "B"u8.ToArray(), Id = s_id, Mode = GitMode.Symlink },
        ];
        GitTreeWriter.Sort(entries);
        Assert.Equal(["B", "a.c", "a", "a0"], entries.Select(entry => Encoding.ASCII.GetString(entry.Name)));
        var reader = new GitTreeReader(GitTreeWriter.Write(entries));
        foreach (TreeEntry entry in entries)
        {
            Assert.True(reader.MoveNext());
            Assert.Equal((entry.Mode, s_id), (reader.Mode, reader.Id));
            Assert.True(reader.Name.SequenceEqual(entry.Name));
        }
        Assert.False(reader.MoveNext());
        Assert.Null(reader.Damage);
    }

    [Theory]
    [InlineData("100644 a")]
    [InlineData("100644 a\0short")]
    [InlineData("777 a\012345678901234567890")]
    [InlineData("100644 \012345678901234567890")]
    [InlineData("100644 ..\012345678901234567890")]
    [InlineData("100644 .\012345678901234567890")]
    [InlineData("100644 a/b\012345678901234567890")]
    [InlineData("40000a\012345678901234567890")]
    [InlineData("<html><body>")]
    public void ADamagedTreeIsToldSo(string raw)
    {
        var reader = new GitTreeReader(Encoding.Latin1.GetBytes(raw));
        Assert.False(reader.MoveNext());
        Assert.NotNull(reader.Damage);
    }

    [Fact]
    public void RandomBytesAreReadOrRefused()
    {
        var random = new Random(11);
        byte[] good = GitTreeWriter.Write([.. Enumerable.Range(0, 20).Select(i => new TreeEntry { Name = Encoding.ASCII.GetBytes($"n{i}"), Id = s_id, Mode = GitMode.File })]);
        byte[] json = Encoding.UTF8.GetBytes(
            $$"""{"req_result":true,"data":[{"name":"a","content_type":"file","oid":"{{s_id}}"},{"name":"d","content_type":"directory","oid":"{{s_id}}"}],"err_message":""}""");
        int refused = 0;
        for (int round = 0; round < 20_000; round++)
        {
            byte[] raw = Damage(random, round % 2 == 0 ? good : json);
            var reader = new GitTreeReader(raw);
            while (reader.MoveNext())
                Assert.Null(GitTreeReader.DamageOf(reader.Name));
            try
            {
                foreach (TreeEntry entry in MegaJson.ListingOf("GET /x", AnswerOf(raw), 100))
                    Assert.Null(GitTreeReader.DamageOf(entry.Name));
            }
            catch (MegaProblem)
            {
                refused++;
            }
            try
            {
                _ = MegaJson.CommitOf("GET /x", AnswerOf(raw));
            }
            catch (MegaProblem)
            {
                refused++;
            }
            Assert.DoesNotContain('\n', MegaJson.ErrorOf(raw));
        }
        Assert.True(refused > 20_000);
    }

    [Theory]
    [InlineData("""[]""")]
    [InlineData("""{"req_result":true}""")]
    [InlineData("""{"req_result":true,"data":null}""")]
    [InlineData("""{"req_result":false,"data":[]}""")]
    [InlineData("""{"req_result":true,"data":[{"name":"a","content_type":"file"}]}""")]
    [InlineData("""{"req_result":true,"data":[{"name":"a","content_type":"file","oid":"12"}]}""")]
    [InlineData("""{"req_result":true,"data":[{"name":"","content_type":"file","oid":"ce013625030ba8dba906f756967f9e9ca394464a"}]}""")]
    [InlineData("""{"req_result":true,"data":[{"name":7,"content_type":"file","oid":"ce013625030ba8dba906f756967f9e9ca394464a"}]}""")]
    [InlineData("")]
    public void AnAnswerThatIsNoListingIsRefused(string json) =>
        Assert.Throws<MegaProblem>(() => MegaJson.ListingOf("GET /x", AnswerOf(Encoding.UTF8.GetBytes(json)), 10));

    [Theory]
    [InlineData("16M", 16L << 20)]
    [InlineData("20g", 20L << 30)]
    [InlineData("2T", 2L << 40)]
    [InlineData("33554432", 33554432L)]
    public void ALimitIsReadWithItsUnit(string text, long bytes) => Assert.Equal(bytes, MegaOptionSet.Limit(text));

    [Theory]
    [InlineData("")]
    [InlineData("G")]
    [InlineData("-1G")]
    [InlineData("1.5G")]
    [InlineData("15M")]
    [InlineData("99999999999G")]
    [InlineData("1P")]
    public void AnotherLimitIsRefused(string text) => Assert.Throws<MountProblem>(() => MegaOptionSet.Limit(text));

    [Theory]
    [InlineData("slow=5", "slow", "5", "")]
    [InlineData("fail", "fail", "1", "")]
    [InlineData("wrong=3@/blob/", "wrong", "3", "/blob/")]
    [InlineData("import=/third-party/foo", "import", "/third-party/foo", "")]
    public void AQuirkIsReadWithWhatItConcerns(string text, string name, string argument, string match)
    {
        OriginQuirk? quirk = OriginQuirks.Parse(text);
        Assert.NotNull(quirk);
        Assert.Equal((name, argument, match), (quirk.Name, quirk.Argument, quirk.Match));
    }

    [Theory]
    [InlineData("Content-Type: text/plain", "Content-Type")]
    [InlineData("Transfer-Encoding: chunked", "Transfer-Encoding")]
    [InlineData("X-Team: bl\u00fce", "X-Team")]
    [InlineData("no header at all", "is no header")]
    [InlineData(": x", "is no header")]
    public void AHeaderThatCannotBeSentIsRefused(string line, string named)
    {
        using var scratch = new ScratchFolder();
        string file = scratch.Join("headers");
        File.WriteAllText(file, $"X-Good: yes\n{line}\n");
        Assert.True(MegaAddress.TryParse("http://127.0.0.1:1/", null, out MegaAddress? address, out _));
        MountProblem problem = Assert.Throws<MountProblem>(() => MegaSetup.Pin(address!, new MegaRequest { HeaderFile = file, Store = scratch.Join("store") }, null, Log.Off));
        Assert.Equal(ProblemKind.Usage, problem.Kind);
        Assert.Contains(named, problem.Message);
    }

    [Fact]
    public void TheUsualStoreIsTheUsersOwn()
    {
        var variables = new Dictionary<string, string?>();
        Assert.Equal("/var/cache/antares-aot/store", StoreFolder.Usual(0, variables.GetValueOrDefault));
        Assert.Null(StoreFolder.Usual(7, variables.GetValueOrDefault));
        variables["HOME"] = "/home/u";
        Assert.Equal("/home/u/.cache/antares-aot/store", StoreFolder.Usual(7, variables.GetValueOrDefault));
        variables["XDG_CACHE_HOME"] = "/c/";
        Assert.Equal("/c/antares-aot/store", StoreFolder.Usual(7, variables.GetValueOrDefault));
        variables[StoreFolder.Variable] = "/s";
        Assert.Equal("/s", StoreFolder.Usual(7, variables.GetValueOrDefault));
    }

    private static MegaAnswer AnswerOf(byte[] bytes)
    {
        var body = new NativeBody();
        Assert.True(body.TryAppend(bytes));
        return new MegaAnswer(body, "application/json");
    }

    private static byte[] Damage(Random random, byte[] good)
    {
        byte[] raw = [.. good[..random.Next(1, good.Length + 1)]];
        for (int i = random.Next(4); i > 0; i--)
            raw[random.Next(raw.Length)] = (byte)random.Next(256);
        return raw;
    }
}
