using System.Numerics;
using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>Where the object behind a <see cref="FolderNode"/> is to be found.</summary>
public enum NodePlace : byte
{
    /// <summary>The slot is unused.</summary>
    Free = 0,

    /// <summary>Under at least one name of the tree (or the root itself).</summary>
    Linked,

    /// <summary>No name any more; <see cref="FolderNode.OrphanFd"/> keeps it alive.</summary>
    HeldByFd,

    /// <summary>No name in the tree; lies in the work directory under <see cref="FolderNode.WorkName"/>.</summary>
    InWork,
}

/// <summary>Facts about a node that are found out once.</summary>
[Flags]
public enum FolderNodeFlags : ushort
{
    None = 0,

    /// <summary>Type, link count and st_ino were checked against the file itself.</summary>
    Identified = 1 << 0,

    /// <summary>Directory: opaque and redirect marks were read. File: its content is known to be in it (no metacopy mark).</summary>
    MarksKnown = 1 << 1,
    Opaque = 1 << 2,
    HasRedirect = 1 << 3,

    /// <summary>The overlay found out whether the directory has lower parts.</summary>
    MergeChecked = 1 << 5,

    /// <summary>A lower hard link that the upper has not yet under all its names: without a name it must stay one that can be linked.</summary>
    NamesMissing = 1 << 7,

    /// <summary>Made by this mount and never given an extended attribute: it has no capabilities and no ACL.</summary>
    Unadorned = 1 << 6,

    /// <summary>Entered in the hard-link map.</summary>
    InLinkMap = 1 << 4,

    /// <summary>Upper: the owner has all rights, or is somebody else, so that there is nothing to lend (<see cref="ModeLoans"/>).</summary>
    OwnerUnbound = 1 << 8,

    /// <summary>A file <c>.wh.NAME</c> lies beside it, so that nothing below its name is merged in.</summary>
    HiddenBelow = 1 << 9,
}

/// <summary>An object of a folder layer. Lives in native memory and never moves.</summary>
public struct FolderNode
{
    /// <summary>Owner field of the descriptor cache.</summary>
    public int FdSlot;

    /// <summary>First name (dentry index); 0 for the root and for objects without a name.</summary>
    public uint FirstName;

    /// <summary>Another one for each node that the table makes, so that an id is never given twice.</summary>
    public uint Generation;

    /// <summary>Listing of a directory (index in the table of directories); 0: not loaded, or no directory.</summary>
    public uint Directory;

    /// <summary>For the layer's user (the overlay's record of this object); 0 none.</summary>
    public uint Tag;

    /// <summary>References that the kernel holds (nlookup), for objects that only this layer has.</summary>
    public uint Lookups;

    /// <summary>Descriptor of an object without a name, see <see cref="NodePlace.HeldByFd"/>.</summary>
    public int OrphanFd;

    /// <summary>Number of its name in the work directory, see <see cref="NodePlace.InWork"/>.</summary>
    public uint WorkName;

    /// <summary>st_ino shown; 0 until identified.</summary>
    public ulong StIno;

    /// <summary>Inode number in the folder's own file system.</summary>
    public ulong BackingIno;

    /// <summary>Names known (hard links within the loaded directories).</summary>
    public uint Names;
    public FileType Type;
    public NodePlace Place;
    public FolderNodeFlags Flags;
}

/// <summary>A name in a folder layer.</summary>
public unsafe struct Dentry
{
    public byte* Name;
    public ulong Cookie;
    public uint Parent;
    public uint Node;
    public uint NextName;
    public uint NextInBucket;
    public uint Hash;
    public byte NameLength;

    public readonly ByteName ByteName => new(Name, NameLength);
}

/// <summary>The listing of one directory.</summary>
public struct FolderListing
{
    /// <summary>The names in the order of their cookies.</summary>
    public ListingOrder Order;
    public uint Subdirectories;

    /// <summary>What the kernel may have kept of it.</summary>
    public KeptListing Kept;

    /// <summary>0 unknown, 1 no, 2 yes: the directory has a default ACL that its children inherit.</summary>
    public byte DefaultAcl;

    /// <summary>The directory may be searched but not read: names are looked up one by one, and those found so far stand here.</summary>
    public bool Unlistable;

    /// <summary>The directory holds marks of the other form (<see cref="AufsMarks"/>), which the listing stands for.</summary>
    public bool HasAufsMarks;
}

/// <summary>
/// What a folder layer knows of its folder: nodes, names and the listings of the directories loaded so far. A loaded directory is
/// authoritative, so that a lookup in it needs no system call. The listing's order is <see cref="ListingOrder"/>'s.
/// </summary>
/// <remarks>Not synchronised: the layer's lock protects it. Allocates native memory only.</remarks>
public sealed unsafe class DirectoryTable : IDisposable
{
    /// <summary>Node shared by all whiteouts: they have no attributes of their own.</summary>
    public const uint WhiteoutNode = 2;

    private const int FewestNamesForTrim = 128;
    private const uint FewestBuckets = 256;

    private readonly NativeTable<FolderNode> _nodes = new();
    private readonly NativeTable<Dentry> _dentries = new();
    private readonly NativeTable<FolderListing> _listings = new();
    private uint* _buckets;
    private uint _bucketMask;
    private uint _generation;
    private int _namesFreed;
    private uint _rounds;

    // Names may be a hostile tree's or user's, who sees the cookies: with two secrets they do not tell which names would fall together. Where
    // some do all the same, it costs time in proportion to their number (ListingOrder).
    private readonly ulong _seed = (ulong)Random.Shared.NextInt64();
    private readonly ulong _otherSeed = (ulong)Random.Shared.NextInt64();

    public DirectoryTable()
    {
        _bucketMask = FewestBuckets - 1;
        _buckets = (uint*)NativeMemory.AllocZeroed(FewestBuckets, sizeof(uint));
        uint root = NewNode(FileType.Directory);
        uint whiteout = NewNode(FileType.Whiteout);
        System.Diagnostics.Debug.Assert(root == ILayer.RootNode && whiteout == WhiteoutNode, "fixed indices");
    }

    public long NodeCount => _nodes.Count;

    public long NameCount => _dentries.Count;

    /// <summary>The node record; valid while the node is in use.</summary>
    public FolderNode* Node(uint node) => _nodes[node];

    public Dentry* Name(uint dentry) => _dentries[dentry];

    /// <summary>True when the index may be looked at (an id from outside).</summary>
    public bool IsNode(uint node) => _nodes.Contains(node) && _nodes[node]->Place != NodePlace.Free;

    public uint NewNode(FileType type)
    {
        uint index = _nodes.Allocate();
        FolderNode* node = _nodes[index];
        *node = default;
        node->Generation = _generation++;
        node->Type = type;
        node->Place = NodePlace.Linked;
        node->OrphanFd = -1;
        return index;
    }

    /// <summary>Gives a node's slot back. Its names, listing and descriptors must be gone.</summary>
    public void FreeNode(uint index)
    {
        FolderNode* node = _nodes[index];
        FreeListing(node);
        node->Place = NodePlace.Free;
        _nodes.Free(index);
    }

    public bool IsLoaded(uint directory) => _nodes[directory]->Directory != 0;

    /// <summary>Makes an empty listing, which the caller fills with <see cref="Add"/>.</summary>
    public void BeginListing(uint directory)
    {
        uint index = _listings.Allocate();
        *_listings[index] = default;
        _nodes[directory]->Directory = index;
    }

    /// <summary>Takes a listing and all its names back, for a load that failed half way. The nodes must be fresh.</summary>
    public void AbandonListing(uint directory)
    {
        while (Next(directory, 0, out uint dentry))
        {
            uint node = _dentries[dentry]->Node;
            Remove(dentry);
            if (node != WhiteoutNode && _nodes[node]->FirstName == 0)
            {
                FreeNode(node);
            }
        }

        FreeListing(_nodes[directory]);
    }

    public FolderListing* Listing(uint directory) => _listings[_nodes[directory]->Directory];

    /// <summary>A reader of a loaded directory begins.</summary>
    /// <returns>Its round, 1 to <see cref="ListingRound.Last"/>.</returns>
    public uint BeginReader(uint directory)
    {
        KeptListing* kept = &Listing(directory)->Kept;
        kept->Begin(kept->WantsRound ? NextRound() : (ushort)0);
        return kept->Round;
    }

    /// <summary>Finds a name in a loaded directory; 0: none.</summary>
    public uint Find(uint directory, ByteName name)
    {
        uint hash = (uint)HashOf(directory, name);
        for (uint i = _buckets[hash & _bucketMask]; i != 0; i = _dentries[i]->NextInBucket)
        {
            Dentry* dentry = _dentries[i];
            if (dentry->Hash == hash && dentry->Parent == directory && dentry->ByteName.SameBytes(name))
            {
                return i;
            }
        }

        return 0;
    }

    /// <summary>Adds a name that is not there yet to a loaded directory.</summary>
    public uint Add(uint directory, ByteName name, uint node)
    {
        uint index = _dentries.Allocate();
        Dentry* dentry = _dentries[index];
        *dentry = default;
        dentry->Name = (byte*)NativeMemory.Alloc((nuint)name.Length + 1);
        name.Span.CopyTo(new Span<byte>(dentry->Name, name.Length));
        dentry->Name[name.Length] = 0;
        dentry->NameLength = (byte)name.Length;
        Attach(index, directory, node);
        return index;
    }

    /// <summary>Removes a name. The node stays, even when this was its last name.</summary>
    public void Remove(uint index)
    {
        Dentry* dentry = _dentries[index];
        Detach(index);
        NativeMemory.Free(dentry->Name);
        *dentry = default;
        _dentries.Free(index);
        if (_bucketMask >= FewestBuckets && _dentries.Count * 16 <= _bucketMask)
        {
            ResizeBuckets((_bucketMask + 1) / 4);
        }

        if (++_namesFreed >= Math.Max(FewestNamesForTrim, _dentries.Count))
        {
            // Names are small blocks of the C heap, which keeps what is freed unless it is asked to look. Each name that is left holds a page, since
            // they go in another order than they came; so the heap is asked again each time that half of them are gone.
            _namesFreed = 0;
            Memory.TrimHeap();
        }
    }

    /// <summary>Makes a name lead to another node; its place in the listing stays.</summary>
    public void Repoint(uint index, uint node)
    {
        Listing(_dentries[index]->Parent)->Kept.Changed = true;
        RepointToSame(index, node);
    }

    /// <summary>As <see cref="Repoint"/>, to another node of the same object: readers see no difference.</summary>
    public void RepointToSame(uint index, uint node)
    {
        Dentry* dentry = _dentries[index];
        uint old = dentry->Node;
        if (old == node)
        {
            return;
        }

        DropName(index);
        CountSubdirectory(dentry->Parent, old, -1);
        dentry->Node = node;
        PushName(index);
        CountSubdirectory(dentry->Parent, node, 1);
    }

    /// <summary>The entry after a cookie, or false at the end. A removed entry is skipped.</summary>
    public bool Next(uint directory, ulong cookie, out uint dentry)
    {
        dentry = Listing(directory)->Order.After(_dentries, cookie);
        return dentry != 0;
    }

    public void Dispose()
    {
        for (uint i = 1; i <= _dentries.HighWater; i++)
        {
            NativeMemory.Free(_dentries[i]->Name);
        }

        for (uint i = 1; i <= _listings.HighWater; i++)
        {
            _listings[i]->Order.Free();
        }

        NativeMemory.Free(_buckets);
        _buckets = null;
        _nodes.Dispose();
        _dentries.Dispose();
        _listings.Dispose();
    }

    private ushort NextRound() => (ushort)((_rounds++ % ListingRound.Last) + 1);

    private ulong HashOf(uint directory, ByteName name) => name.Hash(_seed + directory);

    private void Attach(uint index, uint directory, uint node)
    {
        Dentry* dentry = _dentries[index];
        dentry->Parent = directory;
        dentry->Node = node;
        ulong hash = HashOf(directory, dentry->ByteName);
        dentry->Hash = (uint)hash;
        dentry->Cookie = ListingOrder.CookieOf(hash ^ BitOperations.RotateLeft(dentry->ByteName.Hash(_otherSeed - directory) * 0x9E3779B97F4A7C15UL, 29));

        // Both may find no memory: before the name can be found.
        Listing(directory)->Order.Add(_dentries, index);
        Listing(directory)->Kept.Changed = true;
        if (_dentries.Count > _bucketMask)
        {
            ResizeBuckets((_bucketMask + 1) * 4);
        }

        uint* bucket = &_buckets[dentry->Hash & _bucketMask];
        dentry->NextInBucket = *bucket;
        *bucket = index;
        PushName(index);
        CountSubdirectory(directory, node, 1);
    }

    private void Detach(uint index)
    {
        Dentry* dentry = _dentries[index];
        uint* link = &_buckets[dentry->Hash & _bucketMask];
        while (*link != index)
        {
            link = &_dentries[*link]->NextInBucket;
        }

        *link = dentry->NextInBucket;

        DropName(index);
        CountSubdirectory(dentry->Parent, dentry->Node, -1);
        Listing(dentry->Parent)->Order.Remove(_dentries, index);
        Listing(dentry->Parent)->Kept.Changed = true;
    }

    private void PushName(uint index)
    {
        Dentry* dentry = _dentries[index];
        if (dentry->Node == WhiteoutNode)
        {
            return;
        }

        FolderNode* node = _nodes[dentry->Node];
        dentry->NextName = node->FirstName;
        node->FirstName = index;
        node->Names++;
    }

    private void DropName(uint index)
    {
        Dentry* dentry = _dentries[index];
        if (dentry->Node == WhiteoutNode)
        {
            return;
        }

        FolderNode* node = _nodes[dentry->Node];
        uint* link = &node->FirstName;
        while (*link != index)
        {
            link = &_dentries[*link]->NextName;
        }

        *link = dentry->NextName;
        node->Names--;
    }

    private void CountSubdirectory(uint directory, uint node, int change)
    {
        if (_nodes[node]->Type == FileType.Directory)
        {
            FolderListing* listing = Listing(directory);
            listing->Subdirectories = (uint)((int)listing->Subdirectories + change);
        }
    }

    private void FreeListing(FolderNode* node)
    {
        if (node->Directory != 0)
        {
            FolderListing* listing = _listings[node->Directory];
            listing->Order.Free();
            *listing = default;
            _listings.Free(node->Directory);
            node->Directory = 0;
        }
    }

    private void ResizeBuckets(uint size)
    {
        uint* buckets = (uint*)NativeMemory.AllocZeroed(size, sizeof(uint));
        for (uint i = 0; i <= _bucketMask; i++)
        {
            uint index = _buckets[i];
            while (index != 0)
            {
                Dentry* dentry = _dentries[index];
                uint next = dentry->NextInBucket;
                dentry->NextInBucket = buckets[dentry->Hash & (size - 1)];
                buckets[dentry->Hash & (size - 1)] = index;
                index = next;
            }
        }

        NativeMemory.Free(_buckets);
        _buckets = buckets;
        _bucketMask = size - 1;
    }
}
