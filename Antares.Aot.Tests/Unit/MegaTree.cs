using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>A tree over a server, without a mount.</summary>
internal sealed class MegaTree : IDisposable
{
    public MegaTree(string address, string store, Func<MegaOptions, MegaOptions>? change = null, PrefetchPlan? ahead = null, Action<NativeBody>? recorded = null)
    {
        Assert.True(MegaAddress.TryParse(address, null, out MegaAddress? parsed, out string problem), problem);
        MegaOptions options = new() { Address = parsed!, RequestMs = 10_000 };
        Directory.CreateDirectory(store);
        Assert.Equal((Errno.None, ""), (ObjectStore.Open(store, out ObjectStore? opened, out string trouble), trouble));
        PinnedMega pinned = PinnedMega.Make(change?.Invoke(options) ?? options, opened!, Log.Off);
        DicfuseFolder.Check(DicfuseLayer.OpenServer("mega", pinned, new DicfuseOptions { MemoryLimitBytes = 0, Recorded = recorded }, ahead, Log.Off, out DicfuseLayer? layer));
        Layer = layer!;
    }

    public DicfuseLayer Layer { get; }

    public MegaSource Source => (MegaSource)Layer.Tree.Source;

    /// <summary>Path, mode and content of everything below a directory.</summary>
    public SortedDictionary<string, string> Walk(uint directory = ILayer.RootNode, string path = "")
    {
        var all = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach ((byte[] name, LayerEntry entry) in Layer.List(directory))
        {
            string place = $"{path}/{System.Text.Encoding.UTF8.GetString(name)}";
            stat attributes = Layer.Getattr(entry.Node);
            string mode = Convert.ToString(attributes.st_mode, 8);
            switch (attributes.st_mode & StatMode.S_IFMT)
            {
                case StatMode.S_IFDIR:
                    all[place] = mode;
                    foreach ((string below, string what) in Walk(entry.Node, place))
                        all[below] = what;
                    break;
                case StatMode.S_IFLNK:
                    all[place] = $"{mode} -> {Layer.Readlink(entry.Node)}";
                    break;
                default:
                    all[place] = $"{mode} {Convert.ToHexString(Layer.Read(entry.Node, 0, (int)attributes.st_size))}";
                    break;
            }
        }
        return all;
    }

    /// <summary>What <see cref="Walk"/> must show for a checkout.</summary>
    public static SortedDictionary<string, string> Checkout(string folder, string path = "")
    {
        var all = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (FileSystemInfo entry in new DirectoryInfo(folder).EnumerateFileSystemInfos().Where(entry => entry.Name != ".git"))
        {
            string place = $"{path}/{entry.Name}";
            stat attributes = DicfuseAsk.Lstat(entry.FullName);
            string mode = Convert.ToString(attributes.st_mode, 8);
            if (entry.LinkTarget is { } target)
            {
                all[place] = $"{mode} -> {target}";
            }
            else if (entry is DirectoryInfo)
            {
                SortedDictionary<string, string> below = Checkout(entry.FullName, place);
                if (below.Count > 0)
                    all[place] = mode;
                foreach ((string name, string what) in below)
                    all[name] = what;
            }
            else
            {
                all[place] = $"{mode} {Convert.ToHexString(File.ReadAllBytes(entry.FullName))}";
            }
        }
        return all;
    }

    public void Dispose() => Layer.Dispose();
}
