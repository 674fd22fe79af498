using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>One object has one id, whatever tells late that two names are one.</summary>
public sealed class OverlayLinksTests
{
    /// <summary>
    /// A name of which the listing tells another number than the file has (a file mounted over it) is known to be a further name of an
    /// object only by its attributes. No id may be given out that was taken before these came.
    /// </summary>
    [Theory]
    [InlineData("late", "lookup")]
    [InlineData("late", "list")]
    [InlineData("d/late", "lookup")]
    [InlineData("d/late", "list")]
    [InlineData("copied/late", "lookup")]
    [InlineData("copied/late", "list")]
    public void ANameKnownLateHasTheObjectsId(string late, string way)
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("d"));
        Directory.CreateDirectory(folder.At("copied"));
        folder.Write("first", 3);
        Support.Shell.Bash($"ln first {late}", 20, folder.Path).Must();
        using OverlayInProcess overlay = new(folder, edit: name => name.Inode = name.Name == "late" ? 987_654_321 : name.Inode);
        OverlayInProcess.Check(overlay.Chmod(overlay.Lookup("copied"), 0x1C0, out _));
        ulong first = overlay.Lookup("first");
        string directory = Path.GetDirectoryName(late)!;
        ulong parent = directory.Length == 0 ? NodeId.Root : overlay.Lookup(directory);
        ulong id = way == "list" ? Listed(overlay, parent) : overlay.Lookup(late);
        Assert.Equal(first, id);
        OverlayInProcess.Check(overlay.Write(id, "new"));
        Assert.Equal("new", overlay.Read(first));
        Assert.Equal("new", overlay.Read(overlay.Lookup(late)));
        Assert.Equal("new", overlay.Read(overlay.Lookup("first")));
        OverlayInProcess.Check(overlay.Getattr(first, out stat attributes));
        Assert.Equal(2UL, attributes.st_nlink);
    }

    /// <summary>As above, where the object was copied up before its other name was looked at.</summary>
    [Theory]
    [InlineData("late", "lookup")]
    [InlineData("d/late", "lookup")]
    [InlineData("d/late", "list")]
    public void ANameKnownAfterCopyUpShowsTheCopy(string late, string way)
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("d"));
        folder.Write("first", 3);
        Support.Shell.Bash($"ln first {late}", 20, folder.Path).Must();
        using OverlayInProcess overlay = new(folder, edit: name => name.Inode = name.Name == "late" ? 987_654_321 : name.Inode);
        ulong first = overlay.Lookup("first");
        OverlayInProcess.Check(overlay.Write(first, "new"));
        if (way == "list")
        {
            // Whether the entry brings an id or must be looked up: never another one.
            Assert.Contains(Listed(overlay, overlay.Lookup("d")), new[] { NodeId.None, first });
        }

        Assert.Equal(first, overlay.Lookup(late));
        OverlayInProcess.Check(overlay.Write(overlay.Lookup(late), "two"));
        Assert.Equal("two", overlay.Read(first));
    }

    /// <summary>
    /// A later name that cannot be looked at hinders no copy-up, but counts: the copy lacks it, and the object has as many names as before.
    /// </summary>
    [Fact]
    public void ALaterNameThatCannotBeLookedAtIsCountedAsMissing()
    {
        using DicfuseFolder folder = new();
        using DicfuseFolder between = new();
        Directory.CreateDirectory(folder.At("d"));
        Directory.CreateDirectory(between.At("d"));
        folder.Write("a", 3);
        Support.Shell.Bash("ln a d/b", 20, folder.Path).Must();
        using OverlayInProcess overlay = new(folder, between);
        ulong a = overlay.Lookup("a");
        _ = overlay.Lookup("d");
        // The tree knows both names; the layer above it has not read its part of the second one's directory, and cannot any more.
        _ = overlay.Tree.Getattr(overlay.Tree.Find("d/b"));
        Assert.Equal(2, overlay.Tree.Names(overlay.Tree.Find("a")).Count);
        Directory.Delete(between.At("d"));
        File.WriteAllText(between.At("d"), "");
        OverlayInProcess.Check(overlay.Write(a, "new"));
        OverlayInProcess.Check(overlay.Getattr(a, out stat attributes));
        Assert.Equal(2UL, attributes.st_nlink);
    }

    private static ulong Listed(OverlayInProcess overlay, ulong directory)
    {
        OverlayInProcess.Check(overlay.List(directory, plus: true, out var entries));
        return Assert.Single(entries, entry => entry.Name == "late").Id;
    }
}
