using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Sources;
using Antares.Aot.Dicfuse.Tree;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>Directories full of empty files that exist nowhere: trees of a size that would take a disk minutes to make.</summary>
internal sealed unsafe class DicfuseInventedSource(NodeStore store, int directories, int filesEach) : ITreeSource
{
    private ulong _inode = 1000;

    public Errno List(uint directory, ref DirectoryListing listing)
    {
        bool root = directory == ILayer.RootNode;
        listing.InodesReliable = true;
        Errno error = Errno.None;
        for (int i = 0; i < (root ? directories : filesEach) && error == Errno.None; i++)
        {
            fixed (byte* name = Encoding.UTF8.GetBytes($"name-{i * 7919 % 1_000_003}\0"))
            {
                error = listing.Add(ByteName.FromNulTerminated(name), root ? FileType.Directory : FileType.Regular, _inode++);
            }
        }

        return error;
    }

    public Errno Attributes(uint node, stat* attributes)
    {
        *attributes = new stat { st_mode = store[node]->Mode, st_nlink = 1, st_ino = store[node]->Size };
        return Errno.None;
    }

    public bool AttributesAreAtHand(uint node) => true;

    public Errno Readlink(uint node, byte* buffer, int capacity, out int length)
    {
        length = 0;
        return Errno.EIO;
    }

    public Errno ReadContent(uint node, ulong offset, byte* buffer, uint size, out uint got, stat* after)
    {
        got = 0;
        return Errno.EIO;
    }

    public Errno OpenContent(uint node, out int fd, stat* attributes)
    {
        fd = -1;
        return Errno.EOPNOTSUPP;
    }

    public Errno Getxattr(uint node, byte* name, byte* value, nuint size, out int length)
    {
        length = 0;
        return Errno.EOPNOTSUPP;
    }

    public Errno Listxattr(uint node, byte* list, nuint size, out int length)
    {
        length = 0;
        return Errno.EOPNOTSUPP;
    }

    public void Dispose()
    {
    }
}
