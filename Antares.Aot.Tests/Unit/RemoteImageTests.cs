using System.Diagnostics;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Remote;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;
using Antares.Aot.Layers;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Images on servers: the bytes of the image or an error with its reason, and each part asked for once.</summary>
public sealed class RemoteImageTests : IDisposable
{
    private readonly ScratchFolder _scratch = new();
    private readonly DicfuseFolder _folder = new();
    private readonly byte[] _image;
    private readonly string _store;
    private readonly long _contents;

    public RemoteImageTests()
    {
        Directory.CreateDirectory(_folder.At("sub"));
        _folder.Write("a", 3_000_000, seed: 2);
        _folder.Write("b", 20_000, seed: 3);
        _folder.Write("sub/c", 700_000, seed: 4);
        _folder.Write("sub/d", 0);
        File.CreateSymbolicLink(_folder.At("link"), "sub/c");
        _image = PackedImage.Pack(_folder);
        _store = _scratch.Join("store");
        using ImageLayer whole = PackedImage.Open(_image);
        _contents = (long)whole.Image.Header.MetadataBytes;
    }

    public void Dispose()
    {
        _folder.Dispose();
        _scratch.Dispose();
    }

    [Fact]
    public void WhatIsReadIsTheImageAndComesOnce()
    {
        using var host = new RangeHost(_image);
        using (RemoteImage image = Open(host))
        {
            Assert.Equal([(0L, 4095L, 206), (4096L, _contents - 1, 206)], host.Seen);
            Assert.Equal("sub/c", image.Layer.Readlink(image.Layer.Find("link")));
            Assert.Equal(2, host.Seen.Count);
            Same(image);
            long contents = host.Seen.Skip(2).Sum(answer => answer.To - answer.From + 1);
            Assert.Equal(_image.Length - _contents, contents);
            int asked = host.Seen.Count;
            Same(image);
            Assert.Equal(asked, host.Seen.Count);
        }
        host.Forget();
        using (RemoteImage again = Open(host))
            Same(again);
        Assert.Equal([(0L, 4095L, 206)], host.Seen);
    }

    [Fact]
    public void OneFileBringsItsFramesAlone()
    {
        using var host = new RangeHost(_image);
        using RemoteImage image = Open(host);
        Assert.Equal(File.ReadAllBytes(_folder.At("sub/c")), image.Read("sub/c"));
        long moved = host.Seen.Skip(2).Sum(answer => answer.To - answer.From + 1);
        Assert.InRange(moved, 1, 1_200_000);
        Assert.Equal(host.Seen.Count, image.Frames.Client.Requests);
    }

    [Fact]
    public void NeighboursComeInOneRequest()
    {
        using var host = new RangeHost(_image);
        using RemoteImage image = Open(host);
        byte[] content = image.Read("a");
        Assert.Equal(File.ReadAllBytes(_folder.At("a")), content);
        // Six frames, read in one piece.
        Assert.InRange(host.Seen.Count - 2, 1, 2);
    }

    [Fact]
    public void ALargeFileReadInPiecesIsFetchedAhead()
    {
        using var host = new RangeHost(_image);
        using RemoteImage image = Open(host);
        uint file = image.Layer.Find("a");
        byte[] expected = File.ReadAllBytes(_folder.At("a"));
        for (int at = 0; at < expected.Length; at += 65_536)
            Assert.Equal(expected[at..Math.Min(at + 65_536, expected.Length)], image.Layer.Read(file, (ulong)at, 65_536));
        // Seven frames with those of the other files in the last of them.
        Assert.InRange(host.Seen.Count - 2, 1, 5);
    }

    [Fact]
    public void WhatTheStoreHoldsNeedsNoServer()
    {
        string url;
        using (var host = new RangeHost(_image))
        {
            url = host.Url;
            using RemoteImage image = Open(host);
            image.Read("sub/c");
        }
        using (RemoteImage image = Open(url, options => options with { Offline = true }))
        {
            Assert.Equal(File.ReadAllBytes(_folder.At("sub/c")), image.Read("sub/c"));
            (Errno error, string reason) = image.TryRead("a");
            Assert.Equal(Errno.EIO, error);
            Assert.Contains("--offline", reason);
        }
        WebProblem problem = Assert.Throws<WebProblem>(() => Open(url + "2", options => options with { Offline = true }));
        Assert.Contains("--offline", problem.Message);
        problem = Assert.Throws<WebProblem>(() => Open(url));
        Assert.Contains("cannot connect", problem.Message);
    }

    [Theory]
    [InlineData("\"v2\"", null, false, "its ETag was \"v1\" and is \"v2\"")]
    [InlineData("\"v2\"", null, true, "its ETag was \"v1\" and is \"v2\"")]
    [InlineData(null, "2026-01-02", false, "")]
    [InlineData(null, "2026-01-02", true, "")]
    public void AFileThatWasReplacedIsRefusedAndNeverMixed(string? tag, string? modified, bool heedsNothing, string reason)
    {
        using var host = new RangeHost(_image) { HeedsNoCondition = heedsNothing };
        if (modified is not null)
        {
            host.ETag = "W/\"weak\"";
            host.Modified = DateTimeOffset.Parse("2026-01-01T00:00:00Z");
        }
        using RemoteImage image = Open(host);
        byte[] kept = image.Read("sub/c");
        // Of the same length: only what the server says of it, and the checksums, tell.
        _folder.Write("a", 3_000_000, seed: 9);
        host.Content = PackedImage.Pack(_folder);
        host.ETag = tag;
        host.Modified = modified is null ? null : DateTimeOffset.Parse(modified + "T00:00:00Z");
        (Errno error, string said) = image.TryRead("a");
        Assert.Equal(Errno.EIO, error);
        Assert.Contains("was replaced", said);
        Assert.Contains(reason, said);
        Assert.Equal(kept, image.Read("sub/c"));
        // Mounted anew it is the new one.
        using RemoteImage now = Open(host);
        Assert.Equal(File.ReadAllBytes(_folder.At("a")), now.Read("a"));
    }

    [Fact]
    public void WithoutAnyVersionLengthAndChecksumsTell()
    {
        using var host = new RangeHost(_image) { ETag = null };
        using RemoteImage image = Open(host);
        _folder.Write("a", 3_000_000, seed: 9);
        host.Content = PackedImage.Pack(_folder);
        if (host.Content.Length == _image.Length)
            host.Content = [.. host.Content, 0];
        Assert.Contains("was replaced", image.TryRead("a").Reason);
        byte[] same = [.. _image];
        same.AsSpan((int)_contents).Reverse();
        host.Content = same;
        (Errno error, string said) = image.TryRead("a");
        Assert.Equal(Errno.EIO, error);
        Assert.Contains("does not match its checksum", said);
    }

    [Theory]
    [InlineData(RangeQuirk.Fails)]
    [InlineData(RangeQuirk.CutsOff)]
    [InlineData(RangeQuirk.OtherPlace)]
    [InlineData(RangeQuirk.OtherBytes)]
    [InlineData(RangeQuirk.Flips)]
    [InlineData(RangeQuirk.Short)]
    [InlineData(RangeQuirk.Whole)]
    [InlineData(RangeQuirk.NoPlace)]
    [InlineData(RangeQuirk.Drops)]
    public void WhatPassesIsTriedAgain(RangeQuirk quirk)
    {
        using var host = new RangeHost(_image);
        using RemoteImage image = Open(host);
        host.Quirk = quirk;
        host.QuirkLeft = 2;
        Same(image);
        Assert.Equal(0, host.QuirkLeft);
    }

    [Theory]
    [InlineData(RangeQuirk.Fails, Errno.EIO, "500 (3 tries)")]
    [InlineData(RangeQuirk.Drops, Errno.EIO, "broke off")]
    [InlineData(RangeQuirk.CutsOff, Errno.EIO, "cut off")]
    [InlineData(RangeQuirk.OtherPlace, Errno.EIO, "and the answer is bytes")]
    [InlineData(RangeQuirk.NoPlace, Errno.EIO, "and the answer is no Content-Range")]
    [InlineData(RangeQuirk.OtherBytes, Errno.EIO, "does not match its checksum")]
    [InlineData(RangeQuirk.Flips, Errno.EIO, "does not match its checksum")]
    [InlineData(RangeQuirk.Short, Errno.EIO, "cut off")]
    [InlineData(RangeQuirk.Whole, Errno.EIO, "the whole file where a part")]
    [InlineData(RangeQuirk.Refuses, Errno.EACCES, "401")]
    public void WhatIsNotTheImageIsNeverShown(RangeQuirk quirk, Errno expected, string reason)
    {
        using var host = new RangeHost(_image);
        using RemoteImage image = Open(host);
        host.Quirk = quirk;
        (Errno error, string said) = image.TryRead("sub/c");
        Assert.Equal(expected, error);
        Assert.Contains(reason, said);
        host.Quirk = RangeQuirk.None;
        Same(image);
    }

    [Theory]
    [InlineData(RangeQuirk.Fails, "500")]
    [InlineData(RangeQuirk.Drops, "broke off")]
    [InlineData(RangeQuirk.CutsOff, "cut off")]
    [InlineData(RangeQuirk.OtherPlace, "and the answer is")]
    [InlineData(RangeQuirk.Flips, "do not match their checksums")]
    [InlineData(RangeQuirk.OtherBytes, "do not match their checksums")]
    [InlineData(RangeQuirk.Short, "cut off")]
    [InlineData(RangeQuirk.Refuses, "401")]
    public void MetadataThatAreNoneEndTheMount(RangeQuirk quirk, string reason)
    {
        using var host = new RangeHost(_image) { Quirk = quirk, QuirkFrom = 4096 };
        WebProblem problem = Assert.Throws<WebProblem>(() => Open(host));
        Assert.Contains(reason, problem.Message);
        // Nothing of it is left to be believed later.
        host.Quirk = RangeQuirk.None;
        using RemoteImage image = Open(host);
        Same(image);
    }

    [Fact]
    public void WhatIsNoImageIsToldSo()
    {
        using var host = new RangeHost("<html>there is a page here, and longer than a header</html>"u8.ToArray());
        Assert.Contains("no image", Assert.Throws<ImageException>(() => Open(host)).Message);
        host.Quirk = RangeQuirk.Whole;
        Assert.Contains("no image", Assert.Throws<ImageException>(() => Open(host)).Message);
        host.Quirk = RangeQuirk.None;
        host.Content = [];
        Assert.Contains("empty", Assert.Throws<ImageException>(() => Open(host)).Message);
        host.Content = _image[..2000];
        Assert.Contains("cut short", Assert.Throws<ImageException>(() => Open(host)).Message);
        host.Content = _image[..^1];
        Assert.Contains("cut short", Assert.Throws<ImageException>(() => Open(host)).Message);
        host.Content = [.. _image];
        host.Content[100] ^= 1;
        Assert.Contains("damaged", Assert.Throws<ImageException>(() => Open(host)).Message);
    }

    [Fact]
    public void AServerWithoutRangesIsDownloadedFrom()
    {
        using var host = new RangeHost(_image) { Quirk = RangeQuirk.Whole };
        WebProblem problem = Assert.Throws<WebProblem>(() => Open(host));
        Assert.Contains("--download", problem.Message);
        for (int i = 0; i < 2; i++)
        {
            host.Forget();
            using RemoteImage image = Open(host, options => options with { Download = true });
            Assert.True(image.IsWhole);
            Same(image);
            Assert.Equal([(-1L, -1L, i == 0 ? 200 : 304)], host.Seen);
        }
        // Another one takes its place.
        _folder.Write("b", 20_000, seed: 8);
        host.Content = PackedImage.Pack(_folder);
        host.ETag = "\"v2\"";
        using (RemoteImage image = Open(host, options => options with { Download = true }))
            Same(image);
        // What is here whole serves the other way too.
        host.Quirk = RangeQuirk.None;
        host.Forget();
        using (RemoteImage image = Open(host))
            Same(image);
        Assert.Equal([(0L, 4095L, 206)], host.Seen);
    }

    [Theory]
    [InlineData(RangeQuirk.Flips, "does not match")]
    [InlineData(RangeQuirk.CutsOff, "cut off")]
    [InlineData(RangeQuirk.Short, "cut short")]
    public void ADownloadThatIsDamagedIsRefused(RangeQuirk quirk, string reason)
    {
        using var host = new RangeHost(_image) { Quirk = quirk };
        Exception problem = Assert.ThrowsAny<Exception>(() => Open(host, options => options with { Download = true }));
        Assert.Contains(reason, problem.Message);
        host.QuirkLeft = 0;
        using RemoteImage image = Open(host, options => options with { Download = true });
        Same(image);
    }

    [Fact]
    public void ATornFrameIsNoFrame()
    {
        using var host = new RangeHost(_image);
        using (RemoteImage image = Open(host))
            Same(image);
        string file = Assert.Single(Directory.GetFiles(Path.Combine(_store, "remote"), "*", SearchOption.AllDirectories));
        using (FileStream part = File.OpenWrite(file))
        {
            // As a process leaves it that is killed while it writes, and as a crash of the machine does.
            part.Position = _contents + 1000;
            part.Write(new byte[100_000]);
        }
        host.Forget();
        using (RemoteImage image = Open(host))
            Same(image);
        Assert.Equal(2, host.Seen.Count);
        Assert.InRange(host.Seen[1].To - host.Seen[1].From, 1, 524_288);
    }

    /// <summary>Short frames share blocks with their neighbours, so that no hole tells which of them were fetched, or given up again.</summary>
    [Fact]
    public void WhatAPartLacksIsNoDamage()
    {
        const int Block = 4096;
        File.WriteAllText(_folder.At("text"), string.Concat(Enumerable.Repeat("much the same\n", 300_000)));
        using var host = new RangeHost(PackedImage.Pack(_folder));
        using RemoteImage image = Open(host);
        Same(image);
        string file = Assert.Single(Directory.GetFiles(Path.Combine(_store, "remote"), "*", SearchOption.AllDirectories));
        int lacking = 0;
        long here = 0;
        using (FileStream part = File.OpenWrite(file))
        {
            var frames = new FrameReader(image.Layer.Image);
            for (uint frame = 0; frame < frames.Count; frame++)
            {
                DicfuseFolder.Check(frames.Get(frame, out FramePlace place));
                if (place.PackedBytes >= Block)
                {
                    here += place.PackedBytes;
                }
                else if (!place.IsZeros)
                {
                    // What is left of one that was punched out, or was never there, in blocks that others have too.
                    part.Position = (long)place.Offset;
                    part.Write(new byte[place.PackedBytes]);
                    lacking++;
                }
            }
        }
        Assert.True(lacking > 2, $"{lacking} short frames");
        Assert.Equal((Errno.None, ""), (ObjectStore.Open(_store, out ObjectStore? store, out string problem), problem));
        using (store)
        {
            var damaged = new List<string>();
            Assert.Equal(Errno.None, StoreVerifier.Verify(store!, damaged.Add, out VerificationResult result));
            Assert.Empty(damaged);
            Assert.InRange(result.Bytes, here, here + Block); // what is known of the address is an object too
            Assert.True(File.Exists(file));
            Same(image);
            using (FileStream part = File.OpenWrite(file))
            {
                part.Position = Block + 44;
                part.Write(Enumerable.Repeat((byte)0xFF, 30).ToArray());
            }
            Assert.Equal(Errno.None, StoreVerifier.Verify(store!, damaged.Add, out result));
            Assert.Equal(Path.GetFileName(file), Assert.Single(damaged)[2..]);
            Assert.False(File.Exists(file));
        }
    }

    [Fact]
    public void TornMetadataAreFetchedAgain()
    {
        using var host = new RangeHost(_image);
        using (Open(host))
        {
        }
        string file = Assert.Single(Directory.GetFiles(Path.Combine(_store, "remote"), "*", SearchOption.AllDirectories));
        // As after another start of the machine.
        _ = Shell.Bash($"! getfattr -n user.antares.boot {file} || setfattr -n user.antares.boot -v another {file}").Must();
        using (FileStream part = File.OpenWrite(file))
        {
            part.Position = 4096 + 44;
            part.Write(Enumerable.Repeat((byte)0xFF, 30).ToArray());
        }
        host.Forget();
        using (RemoteImage image = Open(host))
            Same(image);
        Assert.Contains((4096L, _contents - 1, 206), host.Seen);
    }

    [Fact]
    public async Task ManyReadersAskOnce()
    {
        using var host = new RangeHost(_image);
        using RemoteImage one = Open(host);
        using RemoteImage other = Open(host);
        host.Forget();
        host.DelayMs = 200;
        byte[] expected = File.ReadAllBytes(_folder.At("sub/c"));
        Task[] readers = [.. Enumerable.Range(0, 16).Select(i => Task.Factory.StartNew(() => Assert.Equal(expected, (i % 2 == 0 ? one : other).Read("sub/c")), TaskCreationOptions.LongRunning))];
        await Task.WhenAll(readers);
        long moved = host.Seen.Sum(answer => answer.To - answer.From + 1);
        Assert.InRange(moved, 1, 1_200_000);
        Assert.InRange(host.Seen.Count, 1, 2);
    }

    [Fact]
    public void ASlowServerHoldsUpNothingElse()
    {
        using var host = new RangeHost(_image);
        using RemoteImage image = Open(host, options => options with { RequestMs = 1000 });
        image.Read("sub/c");
        host.DelayMs = 5000;
        var clock = Stopwatch.StartNew();
        (Errno error, string said) = image.TryRead("a");
        Assert.Equal(Errno.ETIMEDOUT, error);
        Assert.Contains("still being fetched", said);
        image.Read("sub/c");
        Assert.True(clock.ElapsedMilliseconds < 4500, $"{clock.ElapsedMilliseconds} ms");
        // What is under way goes on.
        while (image.TryRead("a").Error == Errno.ETIMEDOUT)
            Assert.True(clock.ElapsedMilliseconds < 30_000);
        Same(image);
    }

    [Fact]
    public void AMountThatEndsBreaksOffWhatIsUnderWay()
    {
        using var host = new RangeHost(_image);
        RemoteImage image = Open(host, options => options with { RequestMs = 1000 });
        host.DelayMs = 8000;
        Assert.Equal(Errno.ETIMEDOUT, image.TryRead("a").Error);
        var clock = Stopwatch.StartNew();
        image.Dispose();
        Assert.True(clock.ElapsedMilliseconds < 5000, $"{clock.ElapsedMilliseconds} ms");
    }

    [Fact]
    public void TheFileStaysWithinTheLimit()
    {
        byte[] noise = new byte[24_000_000];
        new Random(7).NextBytes(noise);
        File.WriteAllBytes(_folder.At("noise"), noise);
        byte[] large = PackedImage.Pack(_folder);
        using var host = new RangeHost(large);
        const long Limit = 8 << 20;
        using RemoteImage image = Open(host, options => options with { StoreLimit = Limit });
        for (int round = 0; round < 2; round++)
        {
            Same(image);
            string file = Assert.Single(Directory.GetFiles(Path.Combine(_store, "remote"), "*", SearchOption.AllDirectories));
            Assert.InRange(DicfuseAsk.Lstat(file).st_blocks * 512, 1, Limit + (4 << 20));
        }
    }

    [Fact]
    public void WhatDoesNotFitIsRefusedBeforeItComes()
    {
        using var host = new RangeHost(_image);
        Assert.Contains("--store-limit", Assert.Throws<WebProblem>(() => Open(host, options => options with { StoreLimit = _contents - 1 })).Message);
        Assert.Contains("--store-limit", Assert.Throws<WebProblem>(() => Open(host, options => options with { StoreLimit = _image.Length - 1, Download = true })).Message);
        Assert.Equal(2, host.Seen.Count);
    }

    [Fact]
    public void SecretsStayWithTheServer()
    {
        using var store = new RangeHost(_image);
        using var front = new RangeHost(_image) { Elsewhere = store.Url };
        using RemoteImage image = Open(front.Url, options => options with { Web = options.Web with { Token = "secret" } });
        Assert.Equal("Bearer secret", front.Authorization);
        Assert.Null(store.Authorization);
        Same(image);
        Assert.Null(store.Authorization);
    }

    [Theory]
    [InlineData("https://host/a.dic", "https://host", "/a.dic", "https://host/a.dic")]
    [InlineData("http://host:8080/x/y.dic?sig=abc%2Fd", "http://host:8080", "/x/y.dic?sig=abc%2Fd", "http://host:8080/x/y.dic?…")]
    [InlineData("https://host", "https://host", "/", "https://host/")]
    public void AnAddressIsReadAsMeant(string text, string server, string path, string shown)
    {
        Assert.True(ImageAddress.TryParse(text, out ImageAddress? address, out _));
        Assert.Equal(new ImageAddress(server, path, shown), address);
    }

    [Theory]
    [InlineData("https://", "is no address")]
    [InlineData("https:host/x", "is no address")]
    [InlineData("https://user:secret@host/x", "password")]
    [InlineData("https://host/x#y", "%23")]
    [InlineData("http://ho st/x", "is no address")]
    public void AnotherAddressIsRefused(string text, string reason)
    {
        Assert.False(ImageAddress.TryParse(text, out _, out string problem));
        Assert.Contains(reason, problem);
        Assert.DoesNotContain("secret", ImageAddress.WithoutSecrets(text));
    }

    [Fact]
    public void AVersionIsKeptAsItIs()
    {
        foreach (RemoteVersion version in new[] { new RemoteVersion("\"a b\"", DateTimeOffset.FromUnixTimeSeconds(1_700_000_000), 5), new(null, null, -1), new("W/\"x\"", null, 7) })
        {
            Assert.True(RemoteVersion.TryParse(version.ToString(), out RemoteVersion? read));
            Assert.Equal(version, read);
        }
        Assert.False(RemoteVersion.TryParse("", out _));
        Assert.False(RemoteVersion.TryParse("1 999999999999999 x", out _));
    }

    [Fact]
    public void WhatIsGuessedIsNeverMoreThanWhatWasWanted()
    {
        var random = new Random(5);
        for (int round = 0; round < 200; round++)
        {
            var ahead = new ReadAhead();
            var wanted = new HashSet<uint>();
            var fetched = new HashSet<uint>();
            for (int i = 0; i < 400; i++)
            {
                uint first = random.Next(3) == 0 || wanted.Count == 0 ? (uint)random.Next(5000) : wanted.Last() + (uint)random.Next(2);
                uint last = first + (uint)random.Next(2);
                uint until = ahead.Note(first, last, last, random.Next(2) == 0, 16);
                Assert.InRange(until, last, last + 16);
                for (uint frame = first; frame <= until; frame++)
                {
                    if (frame <= last)
                        wanted.Add(frame);
                    fetched.Add(frame);
                }
            }
            Assert.InRange(fetched.Count, 1, 2 * wanted.Count);
        }
    }

    private RemoteImage Open(RangeHost host, Func<RemoteOptions, RemoteOptions>? change = null) => Open(host.Url, change);

    private RemoteImage Open(string url, Func<RemoteOptions, RemoteOptions>? change = null) => new(url, _store, change);

    private void Same(RemoteImage image)
    {
        foreach (string file in Directory.GetFiles(_folder.Path, "*", SearchOption.AllDirectories).Where(file => new FileInfo(file).LinkTarget is null))
            Assert.Equal(File.ReadAllBytes(file), image.Read(Path.GetRelativePath(_folder.Path, file)));
    }
}
