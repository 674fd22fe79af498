using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>
/// The layers below the upper as the merged tree asks them. Where a lower comes from may be slow or not answer at all, and that must hold up
/// nobody who needs nothing of it: with the gate held a layer is only asked for what it has loaded.
/// </summary>
/// <remarks>
/// A member that needs more answers ERESTART while the gate is held, and what is lacking is noted. Whoever took the gate then calls
/// <see cref="LoadLacking"/>, which loads it with the gate released, and does all again from the start, since everything may have changed:
/// <code>
/// lock (gate)
/// {
///     do
///     {
///         error = Once(...);
///     }
///     while (lowers.LoadLacking(ref error));
/// }
/// </code>
/// What is loaded stays loaded, so this ends. Nothing may therefore ask a lower for something new after a change that must not be made twice.
/// Without the gate the same members load what they need. None allocates.
/// </remarks>
public sealed unsafe class LowerLayers
{
    private readonly ILayer[] _layers;
    private readonly object _gate;
    private LowerRef _lacking;
    private LayerPart _lackingPart;

    /// <param name="layers">Topmost first.</param>
    /// <param name="gate">The lock of the merged tree.</param>
    public LowerLayers(ILayer[] layers, object gate)
    {
        _layers = layers;
        _gate = gate;
    }

    public int Count => _layers.Length;

    /// <summary>The layer of a tree slot (1 = topmost), to be asked without the gate or for what is never loaded.</summary>
    public ILayer this[uint slot] => _layers[slot - 1];

    /// <summary>Finds a name in one directory.</summary>
    /// <param name="directory">A directory.</param>
    /// <param name="name">The name.</param>
    /// <param name="node">What it leads to, an object only after <see cref="Settle"/>.</param>
    /// <param name="type">Its type, which may be a whiteout.</param>
    /// <returns>As <see cref="ILayer.Find"/>; ERESTART.</returns>
    public Errno Find(LowerRef directory, ByteName name, out LowerRef node, out FileType type)
    {
        node = default;
        type = FileType.Unknown;
        Errno error = Require(directory, LayerPart.Names);
        if (error == Errno.None)
        {
            ILayer layer = this[directory.Slot];
            error = layer.Find(directory.Node, name, out uint found);
            if (error == Errno.None)
            {
                node = new LowerRef(directory.Slot, found);
                error = TypeOf(node, out type);
            }
        }

        return error;
    }

    /// <summary>The next name of one directory.</summary>
    /// <returns>As <see cref="ILayer.Next"/>; ERESTART.</returns>
    public Errno Next(LowerRef directory, ulong cookie, out LayerEntry entry)
    {
        entry = default;
        Errno error = Require(directory, LayerPart.Names);
        if (error == Errno.None)
        {
            error = this[directory.Slot].Next(directory.Node, cookie, out entry);
            if (error == Errno.None && entry.Type == FileType.CharDevice)
            {
                error = TypeOf(new LowerRef(directory.Slot, entry.Node), out entry.Type);
            }
        }

        return error;
    }

    /// <summary>Attributes of a node.</summary>
    /// <returns>As <see cref="ILayer.GetattrWithMapping"/>; ERESTART.</returns>
    public Errno Getattr(LowerRef node, bool mapping, stat* attributes)
    {
        Errno error = Require(node, LayerPart.Attributes);
        return error == Errno.None ? this[node.Slot].GetattrWithMapping(node.Node, mapping, attributes) : error;
    }

    /// <summary>Makes a node the one that stands for its object, whose id may be handed out.</summary>
    /// <param name="node">A node other than a directory.</param>
    /// <returns>None; ERESTART.</returns>
    public Errno Settle(ref LowerRef node)
    {
        Errno error = Require(node, LayerPart.Attributes);
        if (error == Errno.None)
        {
            node = new LowerRef(node.Slot, this[node.Slot].ObjectOf(node.Node));
        }

        return error;
    }

    /// <summary>True for two nodes of one object.</summary>
    public bool IsSame(LowerRef one, LowerRef other) =>
        one.Slot == other.Slot && this[one.Slot].ObjectOf(one.Node) == this[one.Slot].ObjectOf(other.Node);

    /// <summary>Checks that a layer can answer at once.</summary>
    /// <returns>None, without the gate always; ERESTART: the part must be loaded first.</returns>
    public Errno Require(LowerRef node, LayerPart part)
    {
        if (this[node.Slot].IsLoaded(node.Node, part) || !Monitor.IsEntered(_gate))
        {
            return Errno.None;
        }

        _lacking = node;
        _lackingPart = part;
        return Errno.ERESTART;
    }

    /// <summary>Loads what the last try lacked. Called with the gate held exactly once; releases it meanwhile.</summary>
    /// <param name="error">Result of the try; when loading fails, the reason, for this request alone.</param>
    /// <returns>True: try again, everything resolved before is out of date.</returns>
    public bool LoadLacking(ref Errno error)
    {
        if (error != Errno.ERESTART)
        {
            return false;
        }

        LowerRef node = _lacking;
        LayerPart part = _lackingPart;
        Monitor.Exit(_gate);
        try
        {
            error = this[node.Slot].Load(node.Node, part);
        }
        finally
        {
            Monitor.Enter(_gate);
        }

        return error == Errno.None;
    }

    /// <summary>To be called before a wait for somebody who works on a node, which may need the node's source.</summary>
    /// <returns>None; <see cref="RequestWait.NoPlace"/>.</returns>
    public Errno EnterSource(LowerRef node) => this[node.Slot] switch
    {
        DicfuseLayer tree => tree.EnterSource(),
        ImageLayer image => image.EnterSource(),
        ErofsFileLayer file => file.Image.EnterSource(),
        _ => Errno.None,
    };

    private Errno TypeOf(LowerRef node, out FileType type)
    {
        Errno error = Require(node, LayerPart.Type);
        if (error == Errno.None && !this[node.Slot].IsLoaded(node.Node, LayerPart.Type))
        {
            error = this[node.Slot].Load(node.Node, LayerPart.Type);
            error = error == RequestWait.NoPlace ? error : Errno.None; // any other shows when the attributes are asked for
        }

        type = error == Errno.None ? this[node.Slot].TypeOf(node.Node) : FileType.Unknown;
        return error;
    }
}
