using System.Diagnostics;
using System.Runtime.Versioning;
using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>A folder below looks at a file once for each turn of a request that meets its name for the first time, and at every other time.</summary>
[SupportedOSPlatform("linux")]
public sealed unsafe class LayersFolderTurnTests
{
    private const uint Format = 0xFFF;

    [Fact]
    public void OneLookIsEnoughForATurnAndNoLongerThanIt() => InFolder(serves: true, (folder, layer) =>
    {
        RequestWait.Start(Stopwatch.GetTimestamp());
        uint node = layer.Find("f");
        File.SetUnixFileMode(folder.At("f"), UnixFileMode.UserRead);
        Assert.Equal(0x1A4U, ModeOf(layer, node)); // what was seen when the name was found
        RequestWait.Start(Stopwatch.GetTimestamp());
        Assert.Equal(0x100U, ModeOf(layer, node));

        // Known by now, so that nothing looked at it in this turn but who asked.
        Assert.Equal(node, layer.Find("f"));
        File.SetUnixFileMode(folder.At("f"), UnixFileMode.UserWrite);
        Assert.Equal(0x80U, ModeOf(layer, node));
    });

    [Fact]
    public void WhatWasSeenIsOfTheLastNameAlone() => InFolder(serves: true, (folder, layer) =>
    {
        RequestWait.Start(Stopwatch.GetTimestamp());
        uint first = layer.Find("f");
        uint second = layer.Find("g");
        Assert.Equal(0x1A4U, ModeOf(layer, first));
        Assert.Equal(0x1C0U, ModeOf(layer, second));
    });

    [Fact]
    public void AnotherThreadsTurnHasNotSeenIt() => InFolder(serves: true, (folder, layer) =>
    {
        RequestWait.Start(Stopwatch.GetTimestamp());
        uint node = layer.Find("f");
        File.SetUnixFileMode(folder.At("f"), UnixFileMode.UserRead);
        OwnThread.Run(() =>
        {
            RequestWait.Attach(() => true);
            RequestWait.Start(Stopwatch.GetTimestamp());
            Assert.Equal(0x100U, ModeOf(layer, node));
        });
    });

    [Fact]
    public void OutsideOfRequestsEachLookIsANewOne() => InFolder(serves: false, (folder, layer) =>
    {
        uint node = layer.Find("f");
        File.SetUnixFileMode(folder.At("f"), UnixFileMode.UserRead);
        Assert.Equal(0x100U, ModeOf(layer, node));
    });

    [Fact]
    public void FurtherNamesOfAFileLeadToOneNodeWithItsAttributes() => InFolder(serves: true, (folder, layer) =>
    {
        RequestWait.Start(Stopwatch.GetTimestamp());
        uint node = layer.Find("linked");
        Assert.Equal(node, layer.Find("again"));
        Assert.Equal(0x180U, ModeOf(layer, node));
        RequestWait.Start(Stopwatch.GetTimestamp());
        File.SetUnixFileMode(folder.At("linked"), UnixFileMode.UserRead);
        Assert.Equal(0x100U, ModeOf(layer, node));
    });

    private static uint ModeOf(DirectoryLayer layer, uint node) => layer.Getattr(node).st_mode & Format;

    private static void InFolder(bool serves, Action<DicfuseFolder, DirectoryLayer> test) => OwnThread.Run(() =>
    {
        using var folder = new DicfuseFolder();
        foreach ((string name, int mode) in new[] { ("f", 0x1A4), ("g", 0x1C0), ("linked", 0x180) })
        {
            File.WriteAllText(folder.At(name), name);
            File.SetUnixFileMode(folder.At(name), (UnixFileMode)mode);
        }

        DicfuseFolder.Check(PathOps.Linkat(
            Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(folder.At("linked")), Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(folder.At("again")), 0));
        var fds = new FdCache(16);
        DicfuseFolder.Check(Fd.Open((byte*)DicfuseFolder.Text(folder.Path), Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out int fd));
        DicfuseFolder.Check(DirectoryLayer.OpenLower("lower0", fd, 1, fds, new FolderOptions(), out DirectoryLayer? layer));
        if (serves)
        {
            RequestWait.Attach(() => true);
        }

        try
        {
            test(folder, layer!);
        }
        finally
        {
            // The cache writes into the layer's nodes when it ends.
            fds.Dispose();
            layer!.Dispose();
        }
    });
}
