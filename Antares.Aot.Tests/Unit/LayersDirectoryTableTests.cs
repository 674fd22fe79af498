using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Layers;

namespace Antares.Aot.Tests.Unit;

public sealed unsafe class LayersDirectoryTableTests
{
    private const int Many = 20_000;
    private const int Few = 40;

    /// <summary>Whatever was made and removed, in whatever order, the names that are left are found and no others: the hash table grew and shrank.</summary>
    [Fact]
    public void NamesAreFoundWhileManyComeAndGo()
    {
        using var table = new DirectoryTable();
        table.BeginListing(ILayer.RootNode);
        var random = new Random(11);
        for (int round = 0; round < 3; round++)
        {
            int[] order = [.. Enumerable.Range(0, Many)];
            random.Shuffle(order);
            foreach (int i in order)
                _ = With(i, name => table.Add(ILayer.RootNode, name, DirectoryTable.WhiteoutNode));
            Assert.Equal(Many, table.NameCount);
            random.Shuffle(order);
            foreach (int i in order.Skip(Few))
            {
                uint found = Find(table, i);
                Assert.NotEqual(0u, found);
                table.Remove(found);
            }

            Assert.Equal(Few, table.NameCount);
            HashSet<int> left = [.. order.Take(Few)];
            Assert.All(Enumerable.Range(0, Many), i => Assert.Equal(left.Contains(i), Find(table, i) != 0));
            int listed = 0;
            for (ulong cookie = 0; table.Next(ILayer.RootNode, cookie, out uint dentry); cookie = table.Name(dentry)->Cookie)
                listed++;
            Assert.Equal(Few, listed);
            foreach (int i in left)
                table.Remove(Find(table, i));
            Assert.Equal(0, table.NameCount);
        }
    }

    private static uint Find(DirectoryTable table, int number) => With(number, name => table.Find(ILayer.RootNode, name));

    private delegate uint Use(ByteName name);

    private static uint With(int number, Use use)
    {
        byte[] bytes = Encoding.ASCII.GetBytes($"name-{number}");
        fixed (byte* start = bytes)
            return use(new ByteName(start, bytes.Length));
    }
}
