using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Aot.Overlay.Ops;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>
/// The merged tree as a set of operations, one family each. It knows no FUSE type: ids, names and attributes go in and out, an
/// <see cref="Errno"/> says how it went. No operation throws for an ordinary failure, none allocates managed memory.
/// </summary>
public sealed unsafe class OverlayFs : IDisposable
{
    private readonly MergedTree _tree;
    private readonly OverlayOptions _options;

    private OverlayFs(MergedTree tree, OverlayOptions options)
    {
        _tree = tree;
        _options = options;
        StaticLinks = options.StaticLinks;
        var attributes = new MergedAttributes(tree, options.StaticLinks);
        var listing = new MergedListing(tree);
        CopyUp = new CopyUp(tree, attributes);
        Lookups = new LookupOps(tree, attributes, CopyUp);
        Attributes = new AttributeOps(tree, attributes, CopyUp, options);
        Creation = new CreateOps(tree, CopyUp, Lookups, options);
        Removal = new RemoveOps(tree, attributes, listing, CopyUp);
        Renames = new RenameOps(tree, CopyUp, Removal, options);
        Data = new DataOps(tree, CopyUp);
        Directories = new DirectoryOps(tree, attributes, listing, CopyUp);
        Xattrs = new XattrOps(tree, CopyUp, options);
        Ioctls = new IoctlOps(tree, CopyUp);
        Exchange = new LowerExchange(tree);
        Merged = new MergedDirectories(tree);
    }

    public LookupOps Lookups { get; }

    public AttributeOps Attributes { get; }

    public CreateOps Creation { get; }

    public RemoveOps Removal { get; }

    public RenameOps Renames { get; }

    public DataOps Data { get; }

    public DirectoryOps Directories { get; }

    public XattrOps Xattrs { get; }

    public IoctlOps Ioctls { get; }

    public CopyUp CopyUp { get; }

    public LowerExchange Exchange { get; }

    /// <summary>To have the upper looked through.</summary>
    public MergedDirectories Merged { get; }

    /// <summary>The kernel may hold writes that it has not told.</summary>
    public bool HasCollectedWrites => Data.Collected != null;

    /// <summary>Told when the kernel collects writes, before the first request.</summary>
    public void ExpectCollectedWrites()
    {
        var order = new CollectedWrites();
        Data.Collected = order;
        Attributes.Collected = order;
    }

    /// <summary>The mount is up, and the upper is about to be written to.</summary>
    public void SignUpper()
    {
        if (_tree.HasUpper)
        {
            lock (_tree.Gate)
            {
                _tree.Upper.Writer.SignUserMarks();
            }
        }
    }

    /// <summary>Has the kernel make room for the descriptors that will be kept open. May take some milliseconds, in which requests go on.</summary>
    public void ReserveDescriptors()
    {
        if (_tree.HasUpper)
        {
            _tree.Upper.Access.ReserveDescriptors();
        }
    }

    /// <summary>Starts what goes on beside the requests, when the mount is up. Once.</summary>
    public void StartOthers()
    {
        foreach (DicfuseLayer layer in _options.Lowers.OfType<DicfuseLayer>())
        {
            layer.StartOthers();
        }

        foreach (ImageLayer image in _options.Lowers.Select(ImageLayer.Of).OfType<ImageLayer>())
        {
            image.StartOthers();
        }
    }

    /// <summary>To be told the object of which other attributes were shown than it has. Called by threads that serve requests.</summary>
    public Action<ulong>? AttributesCorrected
    {
        set
        {
            foreach (DicfuseLayer layer in _options.Lowers.OfType<DicfuseLayer>())
            {
                layer.AttributesCorrected = value is null ? null : node => value(new LowerRef(layer.Slot, node).NodeId);
            }
        }
    }

    /// <summary>Each directory shows one link.</summary>
    public bool StaticLinks { get; }

    public bool IsReadOnly => !_tree.HasUpper;

    /// <summary>Objects that the kernel refers to, the root not counted.</summary>
    public long InodesLookedUp => _tree.Counts.Held;

    /// <summary>Objects of lower layers that were copied up, merged or unlinked.</summary>
    public long Records => _tree.Records.Count;

    /// <summary>Nodes of the upper held in memory.</summary>
    public long UpperNodes => _tree.HasUpper ? _tree.Upper.Table.NodeCount : 0;

    /// <summary>Objects without a name that are kept by a descriptor.</summary>
    public long OrphansHeld => _tree.HasUpper ? _tree.Upper.Writer.Orphans.HeldByFd : 0;

    /// <summary>Objects without a name that are kept in the work directory.</summary>
    public long OrphansInWork => _tree.HasUpper ? _tree.Upper.Writer.Orphans.InWork : 0;

    /// <summary>The objects that are kept without a name; null: nothing can be written here.</summary>
    public Orphans? Orphans => _tree.HasUpper ? _tree.Upper.Writer.Orphans : null;

    /// <summary>Puts the layers together.</summary>
    /// <param name="options">The layers; owned by the overlay from now on, also on failure.</param>
    /// <param name="fs">The overlay.</param>
    /// <returns>None; EINVAL: no or too many lower layers; ENOMEM; EOVERFLOW: an image has more nodes than can be addressed; EIO: a layer's root could not be read.</returns>
    public static Errno Open(OverlayOptions options, out OverlayFs? fs)
    {
        fs = null;
        if (options.Lowers.Count is 0 or > OverlayOptions.MaxLowers)
        {
            return Errno.EINVAL;
        }

        var tree = new MergedTree([.. options.Lowers], options.Upper);
        Errno error = tree.Open();
        fs = new OverlayFs(tree, options);
        if (error != Errno.None)
        {
            fs.Dispose();
            fs = null;
        }

        return error;
    }

    /// <summary>Path of an object (and a name in it) in the mount, for messages.</summary>
    /// <param name="nodeId">An object.</param>
    /// <param name="child">A name in it, or default.</param>
    /// <param name="buffer">Receives the path, cut off at the front when it does not fit.</param>
    /// <param name="capacity">Room.</param>
    /// <returns>Its length in bytes; 0 when the object has no path.</returns>
    public int DescribePath(ulong nodeId, ByteName child, byte* buffer, int capacity)
    {
        lock (_tree.Gate)
        {
            int at = capacity;
            if (child.Length > 0)
            {
                PathBuffer.Prepend(child, buffer, ref at);
            }

            ulong current = nodeId;
            for (int depth = 0; current != NodeId.Root && at > 0 && depth < 4096; depth++)
            {
                if (_tree.Resolve(current, out Target target) != Errno.None || !Climb(ref target, out ulong parent, out ByteName name))
                {
                    break;
                }

                PathBuffer.Prepend(name, buffer, ref at);
                current = parent;
            }

            if (at == capacity && nodeId == NodeId.Root && capacity > 0)
            {
                buffer[--at] = (byte)'/';
            }

            return PathBuffer.Finish(buffer, capacity, at);
        }
    }

    public void Dispose()
    {
        _tree.Dispose();
        foreach (ILayer layer in _options.Lowers)
        {
            layer.Dispose();
        }

        _options.Upper?.Dispose();
    }

    private bool Climb(ref Target target, out ulong parent, out ByteName name)
    {
        if (target.HasUpper)
        {
            uint first = _tree.Upper.Table.Node(target.Upper)->FirstName;
            if (first == 0)
            {
                parent = 0;
                name = default;
                return false;
            }

            Dentry* dentry = _tree.Upper.Table.Name(first);
            name = dentry->ByteName;
            parent = dentry->Parent == ILayer.RootNode ? NodeId.Root : _tree.IdOfUpper(dentry->Parent);
            return true;
        }

        uint cursor = 0;
        if (!_tree.Lowers[target.Lower.Slot].NextName(target.Lower.Node, ref cursor, out uint directory, out name))
        {
            parent = 0;
            return false;
        }

        parent = _tree.Records.OwnerOf(new LowerRef(target.Lower.Slot, directory));
        return true;
    }
}
