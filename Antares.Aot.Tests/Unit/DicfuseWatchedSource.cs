using Antares.Aot.Dicfuse.Sources;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Passes everything on to a real source; counts, waits, fails or lies where a test says so.</summary>
internal sealed unsafe class DicfuseWatchedSource(ITreeSource source) : ITreeSource
{
    public int Lists;
    public int Stats;
    public int Reads;
    public int XattrCalls;

    public int ListDelayMs { get; init; }

    /// <summary>How many listings are to fail before one succeeds.</summary>
    public int FailingLists { get; set; }

    /// <summary>How many stats are to fail before one succeeds.</summary>
    public int FailingStats { get; set; }

    /// <summary>Changes what a listing says.</summary>
    public Action<ListedNameEdit>? Edit { get; init; }

    /// <summary>Called with the node before a listing, and before a stat: may wait.</summary>
    public Action<uint>? OnList { get; set; }

    public Action<uint>? OnStat { get; set; }

    /// <summary>Called before anything is asked of the source: may wait.</summary>
    public Action? OnAsk { get; set; }

    public Errno List(uint directory, ref DirectoryListing listing)
    {
        OnAsk?.Invoke();
        OnList?.Invoke(directory);
        Interlocked.Increment(ref Lists);
        Thread.Sleep(ListDelayMs);
        if (FailingLists > 0)
        {
            FailingLists--;
            return Errno.EIO;
        }

        Errno error = source.List(directory, ref listing);
        for (int i = 0; Edit != null && i < listing.Count; i++)
        {
            ListedNameEdit edit = new(System.Text.Encoding.UTF8.GetString(listing.NameOf(i).Span)) { Inode = listing.Items[i].Inode };
            Edit(edit);
            listing.Items[i].Inode = edit.Inode;
        }

        return error;
    }

    public Errno Attributes(uint node, stat* attributes)
    {
        OnAsk?.Invoke();
        OnStat?.Invoke(node);
        Interlocked.Increment(ref Stats);
        if (FailingStats > 0)
        {
            FailingStats--;
            return Errno.EIO;
        }

        return source.Attributes(node, attributes);
    }

    public bool AttributesAreAtHand(uint node) => source.AttributesAreAtHand(node);

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length)
    {
        OnAsk?.Invoke();
        return source.Readlink(node, buffer, capacity, out length);
    }

    public Errno ReadContent(uint node, ulong offset, byte* buffer, uint size, out uint got, stat* after)
    {
        OnAsk?.Invoke();
        Interlocked.Increment(ref Reads);
        return source.ReadContent(node, offset, buffer, size, out got, after);
    }

    public Errno OpenContent(uint node, out int fd, stat* attributes)
    {
        OnAsk?.Invoke();
        return source.OpenContent(node, out fd, attributes);
    }

    public Errno Getxattr(uint node, byte* name, byte* value, nuint size, out int length)
    {
        OnAsk?.Invoke();
        Interlocked.Increment(ref XattrCalls);
        return source.Getxattr(node, name, value, size, out length);
    }

    public Errno Listxattr(uint node, byte* list, nuint size, out int length)
    {
        OnAsk?.Invoke();
        Interlocked.Increment(ref XattrCalls);
        return source.Listxattr(node, list, size, out length);
    }

    public void Dispose() => source.Dispose();

    internal sealed class ListedNameEdit(string name)
    {
        public string Name { get; } = name;

        public ulong Inode { get; set; }
    }
}
