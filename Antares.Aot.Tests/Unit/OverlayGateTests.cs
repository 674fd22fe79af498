using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>No source is asked for anything while the merged tree's gate is held: one that is slow, or stands still, stops nobody else.</summary>
public sealed class OverlayGateTests
{
    /// <summary>Each operation first on a tree of which nothing is loaded but what leads to it.</summary>
    public static TheoryData<string, bool> Operations()
    {
        TheoryData<string, bool> all = [];
        foreach (string operation in (string[])[
            "lookup", "negative lookup", "getattr", "list", "list plus", "list of a directory that was copied up", "list with a device", "create",
            "mkdir", "mkdir over a removed directory", "tmpfile", "unlink", "unlink of a second link", "rmdir", "rmdir of a full one",
            "write", "write to a link", "chmod of a directory", "setxattr of a directory", "removexattr", "getxattr of a merged directory", "link",
            "rename", "rename over a file", "rename over a directory", "rename of a directory", "exchange", "readlink", "look up the other link"])
        {
            all.Add(operation, false);
            all.Add(operation, true);
        }

        return all;
    }

    [DicfuseRootTheory, MemberData(nameof(Operations))]
    public void NoSourceIsAskedWithTheGateHeld(string operation, bool merged)
    {
        using DicfuseFolder folder = MakeTree();
        using DicfuseFolder? between = merged ? MakeBetween() : null;
        using OverlayInProcess overlay = new(folder, between);
        List<string> held = [];
        overlay.Source.OnAsk = () =>
        {
            if (Monitor.IsEntered(overlay.Gate))
            {
                held.Add(Environment.StackTrace);
            }
        };

        Run(overlay, operation);
        Assert.True(held.Count == 0, $"asked with the gate held {held.Count} times, first:\n{held.FirstOrDefault()}");
        Assert.NotEqual(0, overlay.Source.Lists);
    }

    /// <summary>While the source keeps one request waiting, others that need nothing of it are done, in every directory of the mount.</summary>
    [Fact]
    public void AStandingSourceStopsNoOtherWrite()
    {
        using DicfuseFolder folder = MakeTree();
        using OverlayInProcess overlay = new(folder);
        ulong warm = overlay.Lookup("warm");
        ulong file = overlay.Lookup("warm/file");
        OverlayInProcess.Check(overlay.Write(file, "changed"));
        using ManualResetEventSlim reached = new(), goOn = new();
        overlay.Source.OnAsk = () =>
        {
            reached.Set();
            Assert.True(goOn.Wait(60_000));
        };

        // In a directory that the overlay has a record of: the root.
        Errno found = Errno.EIO;
        stat attributes = default;
        Thread waiting = new(() => found = overlay.TryLookup(NodeId.Root, "file", out _, out attributes));
        waiting.Start();
        Assert.True(reached.Wait(60_000));
        overlay.Source.OnAsk = null;
        Thread working = new(() =>
        {
            OverlayInProcess.Check(overlay.Write(file, "again"));
            OverlayInProcess.Check(overlay.Create(warm, "new"));
            OverlayInProcess.Check(overlay.Rename(warm, "new", NodeId.Root, "newer"));
            OverlayInProcess.Check(overlay.Unlink(NodeId.Root, "newer"));
        });
        working.Start();
        bool done = working.Join(20_000);
        goOn.Set();
        waiting.Join();
        working.Join();
        Assert.True(done, "writes waited for a source that they did not need");
        Assert.Equal((Errno.None, 4L), (found, attributes.st_size));
    }

    /// <summary>A failure to load is the answer of that one request; nothing is changed, and the next request tries again.</summary>
    [DicfuseRootTheory]
    [InlineData("create")]
    [InlineData("rename")]
    [InlineData("unlink")]
    [InlineData("rmdir")]
    public void AFailureToLoadIsTheRequestsAlone(string operation)
    {
        using DicfuseFolder folder = MakeTree();
        using OverlayInProcess overlay = new(folder);
        ulong cold = overlay.Lookup("cold");
        OverlayInProcess.Check(overlay.Chmod(cold, 0x1C0, out _));
        overlay.Source.FailingLists = 1;
        Assert.Equal(Errno.EIO, Once());
        OverlayInProcess.Check(Once());

        Errno Once() => operation switch
        {
            "create" => overlay.Create(cold, "new"),
            "rename" => overlay.Rename(cold, "one", NodeId.Root, "moved"),
            "unlink" => overlay.Unlink(cold, "one"),
            _ => overlay.Rmdir(cold, "sub"),
        };
    }

    private static void Run(OverlayInProcess overlay, string operation)
    {
        ulong cold = overlay.Lookup("cold");
        switch (operation)
        {
            case "lookup":
                OverlayInProcess.Check(overlay.TryLookup(cold, "one", out _, out _));
                OverlayInProcess.Check(overlay.TryLookup(NodeId.Root, "file", out _, out _));
                break;
            case "negative lookup":
                Assert.Equal(Errno.ENOENT, overlay.TryLookup(cold, "none", out _, out _));
                Assert.Equal(Errno.ENOENT, overlay.TryLookup(NodeId.Root, "hidden", out _, out _));
                break;
            case "getattr":
                OverlayInProcess.Check(overlay.Getattr(cold, out _));
                break;
            case "list":
            case "list plus":
                OverlayInProcess.Check(overlay.List(cold, operation == "list plus", out var listed));
                Assert.Equal([".", "..", "full", "link", "one", "other", "sub", "two"], Names(listed));
                OverlayInProcess.Check(overlay.List(NodeId.Root, operation == "list plus", out _));
                break;
            case "list of a directory that was copied up":
                OverlayInProcess.Check(overlay.Chmod(cold, 0x1C0, out _));
                OverlayInProcess.Check(overlay.List(cold, plus: true, out listed));
                Assert.Equal([".", "..", "full", "link", "one", "other", "sub", "two"], Names(listed));
                break;
            case "list with a device":
                OverlayInProcess.Check(overlay.List(NodeId.Root, plus: false, out listed));
                Assert.DoesNotContain("hidden", Names(listed));
                break;
            case "create":
                OverlayInProcess.Check(overlay.Create(cold, "new"));
                Assert.Equal(Errno.EEXIST, overlay.Create(cold, "one"));
                break;
            case "mkdir":
                OverlayInProcess.Check(overlay.Mkdir(cold, "new"));
                break;
            case "mkdir over a removed directory":
                OverlayInProcess.Check(overlay.Rmdir(cold, "sub"));
                OverlayInProcess.Check(overlay.Mkdir(cold, "sub"));
                break;
            case "tmpfile":
                OverlayInProcess.Check(overlay.Tmpfile(cold));
                break;
            case "unlink":
                OverlayInProcess.Check(overlay.Unlink(cold, "one"));
                break;
            case "unlink of a second link":
                OverlayInProcess.Check(overlay.Unlink(cold, "other"));
                break;
            case "rmdir":
                OverlayInProcess.Check(overlay.Rmdir(cold, "sub"));
                break;
            case "rmdir of a full one":
                Assert.Equal(Errno.ENOTEMPTY, overlay.Rmdir(cold, "full"));
                break;
            case "write":
                OverlayInProcess.Check(overlay.Write(overlay.Lookup("cold/one"), "x"));
                break;
            case "write to a link":
                OverlayInProcess.Check(overlay.Write(overlay.Lookup("cold/other"), "up"));
                Assert.StartsWith("up", overlay.Read(overlay.Lookup("warm/file")));
                break;
            case "look up the other link":
                OverlayInProcess.Check(overlay.Write(overlay.Lookup("warm/file"), "up"));
                Assert.StartsWith("up", overlay.Read(overlay.Lookup("cold/other")));
                break;
            case "chmod of a directory":
                OverlayInProcess.Check(overlay.Create(NodeId.Root, "up"));
                OverlayInProcess.Check(overlay.Chmod(cold, 0x1C0, out _));
                OverlayInProcess.Check(overlay.Create(cold, "full2"));
                OverlayInProcess.Check(overlay.Getattr(cold, out _));
                break;
            case "setxattr of a directory":
                OverlayInProcess.Check(overlay.Setxattr(cold, "user.new", "v"));
                Assert.Equal((Errno.None, "kept"), (overlay.Getxattr(cold, "user.old", out string old), old));
                break;
            case "removexattr":
                OverlayInProcess.Check(overlay.Removexattr(cold, "user.old"));
                Assert.Equal(Errno.ENODATA, overlay.Getxattr(cold, "user.old", out _));
                break;
            case "getxattr of a merged directory":
                Assert.Equal((Errno.None, "kept"), (overlay.Getxattr(cold, "user.old", out old), old));
                break;
            case "link":
                OverlayInProcess.Check(overlay.Link(overlay.Lookup("cold/one"), overlay.Lookup("other"), "linked"));
                break;
            case "rename":
                OverlayInProcess.Check(overlay.Rename(cold, "one", overlay.Lookup("other"), "moved"));
                break;
            case "rename over a file":
                OverlayInProcess.Check(overlay.Rename(cold, "one", overlay.Lookup("warm"), "file"));
                break;
            case "rename over a directory":
                OverlayInProcess.Check(overlay.Rename(cold, "full", cold, "sub"));
                break;
            case "rename of a directory":
                OverlayInProcess.Check(overlay.Rename(NodeId.Root, "cold", overlay.Lookup("other"), "moved"));
                OverlayInProcess.Check(overlay.TryLookup(overlay.Lookup("other/moved"), "one", out _, out _));
                break;
            case "exchange":
                OverlayInProcess.Check(overlay.Rename(NodeId.Root, "cold", NodeId.Root, "other", Fcntl.RENAME_EXCHANGE));
                break;
            case "readlink":
                ulong link = overlay.Lookup("cold/link");
                OverlayInProcess.Check(overlay.Unlink(cold, "link"));
                Assert.Equal((Errno.None, "target"), (overlay.Readlink(link, out string target), target));
                break;
            default:
                Assert.Fail(operation);
                break;
        }
    }

    private static IEnumerable<string> Names(List<(string Name, ulong Id, stat Attributes)> entries) =>
        entries.Select(entry => entry.Name).Order(StringComparer.Ordinal);

    private static DicfuseFolder MakeTree()
    {
        DicfuseFolder folder = new();
        foreach (string directory in (string[])["cold/sub", "cold/full", "warm", "other"])
        {
            Directory.CreateDirectory(folder.At(directory));
        }

        folder.Write("file", 4);
        folder.Write("warm/file", 5);
        folder.Write("cold/one", 6);
        folder.Write("cold/two", 7);
        folder.Write("cold/full/file", 8);
        File.CreateSymbolicLink(folder.At("cold/link"), "target");
        Support.Shell.Bash("ln warm/file cold/other; [ $(id -u) != 0 ] || mknod hidden c 0 0; setfattr -n user.old -v kept cold", 20, folder.Path).Must();
        return folder;
    }

    private static DicfuseFolder MakeBetween()
    {
        DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("cold/sub"));
        Directory.CreateDirectory(folder.At("other"));
        Support.Shell.Bash("setfattr -n user.old -v kept cold", 20, folder.Path).Must();
        return folder;
    }
}
