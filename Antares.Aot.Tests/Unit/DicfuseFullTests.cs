using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Directories that cannot be loaded since the tree is full: nothing of them stays, and a later attempt is as good as the first.</summary>
public sealed unsafe class DicfuseFullTests
{
    private const int Files = 4000;

    [Fact]
    public void A_load_that_fails_on_the_way_leaves_nothing_behind()
    {
        using DicfuseFolder folder = new();
        Directory.CreateDirectory(folder.At("full"));
        Directory.CreateDirectory(folder.At("other"));
        for (int i = 0; i < Files; i++)
        {
            File.WriteAllBytes(folder.At($"full/f{i}"), []);
            if (i % 100 == 0)
            {
                Directory.CreateDirectory(folder.At($"full/d{i}"));
                Link(folder.At($"full/f{i}"), folder.At($"other/l{i}"));
            }
        }

        List<(string, ulong)> expected = [];
        using (DicfuseLayer fresh = folder.Open())
        {
            expected = Numbers(fresh, "full");
        }

        using DicfuseLayer layer = folder.Open();
        uint full = layer.Find("full");
        _ = layer.Find("other");
        layer.Tree.Links.MostSlots = 128;
        (ulong arena, ulong names, long nodes) = (layer.ArenaBytes, layer.NameBytes, layer.NodeCount);
        for (int attempt = 0; attempt < (Support.TestEnvironment.Short ? 5 : 20); attempt++)
        {
            Assert.Equal(Errno.ENOMEM, layer.TryFind(full, "f1"u8, out _));
            Assert.Equal((arena, names, nodes), (layer.ArenaBytes, layer.NameBytes, layer.NodeCount));
        }

        // Other names of objects in the directory: they are all that is known of these.
        uint other = layer.Find("other");
        Assert.Equal(Files / 100, layer.List(other).Count);
        uint link = layer.Find("other/l100");
        Assert.Equal(2, (int)layer.Getattr(link).st_nlink);
        Assert.Equal([$"{other}/l100"], layer.Names(link));

        // Told of one of its nodes, so that these cannot be taken back; they are not reached any more either.
        Assert.Equal(Errno.ENOMEM, layer.TryFind(full, "f1"u8, out _));
        Assert.Equal([$"{other}/l100"], layer.Names(link));

        layer.Tree.Links.MostSlots = uint.MaxValue;
        Assert.Equal(expected, Numbers(layer, "full"));
        Assert.Equal(link, layer.Find("full/f100"));
        Assert.Equal([$"{full}/f100", $"{other}/l100"], layer.Names(link).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData(1UL << 20, 16UL << 20)]
    [InlineData(16UL << 20, 1UL << 20)]
    public void A_full_arena_or_heap_takes_nothing_at_each_attempt(ulong nodeBytes, ulong nameBytes)
    {
        const int Directories = 200;
        DicfuseFolder.Check(NodeStore.Create(nodeBytes, nameBytes, out NodeStore? store));
        DicfuseInventedSource source = new(store!, Directories, 1000);
        using DicfuseLayer layer = new("dicfuse", new DicfuseTree("dicfuse", store!, source), new DicfuseOptions());
        int refused = 0;
        (ulong, ulong) before = default;
        for (int round = 0; round < 3; round++)
        {
            refused = 0;
            foreach (var (_, entry) in layer.List(ILayer.RootNode))
            {
                Errno error = layer.TryFind(entry.Node, "name-0"u8, out _);
                Assert.True(error is Errno.None or Errno.ENOMEM, error.ToString());
                refused += error == Errno.ENOMEM ? 1 : 0;
            }

            Assert.InRange(refused, 1, Directories - 1);
            if (round > 0)
            {
                Assert.Equal(before, (layer.ArenaBytes, layer.NameBytes));
            }

            before = (layer.ArenaBytes, layer.NameBytes);
        }
    }

    private static List<(string Name, ulong StIno)> Numbers(DicfuseLayer layer, string path) =>
        [.. layer.List(layer.Find(path)).Select(entry => (System.Text.Encoding.UTF8.GetString(entry.Name), entry.Entry.StIno))];

    private static void Link(string from, string to) => DicfuseFolder.Check(
        PathOps.Linkat(Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(from), Fcntl.AT_FDCWD, (byte*)DicfuseFolder.Text(to), 0));
}
