using System.Net;
using System.Text;
using System.Text.Json;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Layers;
using Antares.Aot.Server;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>
/// A server whose trees have the ids that it names, and hold what no directory can: names that lead elsewhere or come twice, too many of them, itself.
/// </summary>
public sealed class MegaLyingTreeTests : IDisposable
{
    private static readonly ObjectId s_blob = GitHash.Of(ObjectKind.Blob, "x"u8);

    private readonly ScratchFolder _scratch = new();

    public void Dispose() => _scratch.Dispose();

    [Theory]
    [InlineData("..")]
    [InlineData(".")]
    [InlineData("a/b")]
    [InlineData("")]
    [InlineData("../../etc/passwd")]
    public void ATreeWithANameThatIsNoneIsEio(string name) => Refused([("fine", GitMode.File), (name, GitMode.File)], "name");

    [Theory]
    [InlineData("File", "File")]
    [InlineData("File", "Directory")]
    [InlineData("Symlink", "Directory")]
    [InlineData("Directory", "Directory")]
    public void ATreeWithOneNameTwiceIsEio(string first, string second) =>
        Refused([("fine", GitMode.File), ("twice", Enum.Parse<GitMode>(first)), ("twice", Enum.Parse<GitMode>(second))], "");

    [Fact]
    public void ANameOf256BytesIsEio() => Refused([(new string('n', 256), GitMode.File)], "255 bytes");

    [Fact]
    public void TwoMillionEntriesAreEioAndTakeNoMemoryThatStays()
    {
        const int Entries = 2_000_000;
        byte[] raw = new byte[Entries * 33];
        for (int i = 0; i < Entries; i++)
        {
            Span<byte> entry = raw.AsSpan(i * 33, 33);
            "100644 "u8.CopyTo(entry);
            for (int digit = 0, rest = i; digit < 5; digit++, rest /= 26)
                entry[11 - digit] = (byte)('a' + (rest % 26));
            s_blob.CopyTo(entry[13..]);
        }
        using HttpServer server = Serving(raw);
        using MegaTree tree = Open(server);
        uint directory = tree.Layer.Find("d");
        long before = ResidentBytes();
        Assert.Equal(Errno.EIO, tree.Layer.TryFind(directory, "aaaaa"u8, out _));
        Assert.Contains("more than 500000 entries", Failure.Call);
        Assert.Equal(Errno.EIO, tree.Layer.TryFind(directory, "aaaaa"u8, out _));
        Assert.InRange(ResidentBytes() - before, long.MinValue, 400L << 20);
        Assert.Equal(Errno.None, tree.Layer.TryFind(ILayer.RootNode, "d"u8, out _));
    }

    /// <summary>No hash can show a tree within itself; a server of which the modes cannot be made out is believed without one.</summary>
    [Fact]
    public void ADirectoryWithinItselfIsEio()
    {
        ObjectId self = GitHash.OfKey("itself");
        using HttpServer server = Answering(_ => Listing(("d", true, self), ("f", false, s_blob)), _ => Listing(("d", true, self)));
        using MegaTree tree = Open(server);
        uint first = tree.Layer.Find("d");
        uint second = tree.Layer.Find("d/d");
        Assert.NotEqual(first, second);
        Assert.Equal(Errno.EIO, tree.Layer.TryFind(second, "d"u8, out _));
        Assert.Contains("within itself", Failure.Call);
        Assert.Equal(2, tree.Layer.List(first).Count);
    }

    [Fact]
    public void DirectoriesWithinEachOtherWithoutAnEndAreEio()
    {
        static ObjectId Of(string path) => GitHash.OfKey(path);
        using HttpServer server = Answering(
            path => Listing(("d", true, Of($"{path.TrimEnd('/')}/d")), ("f", false, s_blob)),
            path => Listing(("d", true, Of(path))));
        using MegaTree tree = Open(server);
        uint at = ILayer.RootNode;
        int depth = 0;
        Errno error;
        while ((error = tree.Layer.TryFind(at, "d"u8, out uint next)) == Errno.None && depth < 3000)
        {
            at = next;
            depth++;
        }
        Assert.Equal(Errno.EIO, error);
        Assert.Contains("within each other", Failure.Call);
        Assert.InRange(depth, 2000, 2050);
    }

    private static long ResidentBytes()
    {
        GC.Collect();
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith("RssAnon:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) << 10;
    }

    private void Refused((string Name, GitMode Mode)[] entries, string reason)
    {
        byte[] raw = GitTreeWriter.Write([.. entries.Select(entry => new TreeEntry { Name = Encoding.UTF8.GetBytes(entry.Name), Id = s_blob, Mode = entry.Mode })]);
        using HttpServer server = Serving(raw);
        using MegaTree tree = Open(server);
        uint directory = tree.Layer.Find("d");
        Assert.Equal(Errno.EIO, tree.Layer.TryFind(directory, "fine"u8, out _));
        Assert.Contains(reason, Failure.Call ?? "");
        Assert.Equal(Errno.EIO, tree.Layer.TryFind(directory, "twice"u8, out _));
        Assert.Equal(Errno.ENOENT, tree.Layer.TryFind(ILayer.RootNode, "absent"u8, out _));
    }

    /// <summary>"/" holds "d", which has this raw tree.</summary>
    private static HttpServer Serving(byte[] raw)
    {
        ObjectId id = GitHash.Of(ObjectKind.Tree, raw);
        byte[] root = GitTreeWriter.Write([new TreeEntry { Name = "d"u8.ToArray(), Id = id, Mode = GitMode.Directory }]);
        return Answering(_ => Listing(("d", true, id)), _ => Listing(("d", true, id)), path => path == "/" ? root : raw);
    }

    private static HttpServer Answering(Func<string, byte[]> listing, Func<string, byte[]> own, Func<string, byte[]>? raw = null)
    {
        var server = new HttpServer(new IPEndPoint(IPAddress.Loopback, 0), exchange =>
        {
            string path = exchange.Query.GetValueOrDefault("path", "/");
            switch (exchange.Path)
            {
                case "/api/v1/latest-commit":
                    exchange.Send(200, "application/json", """{"oid":"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391","date":"1700000000"}"""u8);
                    break;
                case "/api/v1/tree/content-hash":
                    exchange.Send(200, "application/json", listing(path));
                    break;
                case "/api/v1/tree/dir-hash":
                    exchange.Send(200, "application/json", own(path));
                    break;
                case "/api/v1/file/tree":
                    exchange.Send(200, "application/octet-stream", raw is null ? [] : raw(path));
                    break;
                default:
                    exchange.Send(404, "text/plain", "nothing\n"u8);
                    break;
            }
        }, Log.Off);
        server.Start();
        return server;
    }

    private static byte[] Listing(params (string Name, bool IsDirectory, ObjectId Id)[] entries)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteBoolean("req_result", true);
            json.WriteStartArray("data");
            foreach ((string name, bool isDirectory, ObjectId id) in entries)
            {
                json.WriteStartObject();
                json.WriteString("name", name);
                json.WriteString("content_type", isDirectory ? "directory" : "file");
                json.WriteString("oid", id.ToString());
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteString("err_message", "");
            json.WriteEndObject();
        }
        return buffer.ToArray();
    }

    private MegaTree Open(HttpServer server) => new($"http://{server.Address}/", _scratch.Join("store"), options => options with { Attempts = 1 });
}
