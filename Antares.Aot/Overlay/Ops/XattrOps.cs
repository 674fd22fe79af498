using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay.Ops;

/// <summary>SETXATTR, GETXATTR, LISTXATTR and REMOVEXATTR. The overlay's own marks are neither seen nor set.</summary>
public sealed unsafe class XattrOps
{
    private readonly MergedTree _tree;
    private readonly CopyUp _copyUp;

    public XattrOps(MergedTree tree, CopyUp copyUp)
    {
        _tree = tree;
        _copyUp = copyUp;
    }

    /// <summary>Sets an attribute; a lower object is copied up first.</summary>
    /// <returns>None; EEXIST, ENODATA (flags); EROFS; EOPNOTSUPP; EPERM; ENOSPC, E2BIG, ERANGE and others.</returns>
    public Errno Setxattr(in Caller caller, ulong nodeId, byte* name, byte* value, nuint size, int flags)
    {
        _ = caller;
        lock (_tree.Gate)
        {
            Errno error = _tree.Resolve(nodeId, out Target target);
            if (error == Errno.None)
            {
                error = _copyUp.Ensure(ref target, CopyUp.Whole, out _);
            }

            if (error == Errno.None)
            {
                error = _tree.Upper.Setxattr(target.Upper, name, value, size, flags);
            }

            return error;
        }
    }

    /// <summary>Reads an attribute.</summary>
    /// <returns>None; ENODATA; ERANGE; EOPNOTSUPP.</returns>
    public Errno Getxattr(ulong nodeId, byte* name, byte* value, nuint size, out int length)
    {
        length = 0;
        if (_tree.TryPure(nodeId, out ILayer layer, out uint node, out _))
        {
            return layer.Getxattr(node, name, value, size, out length);
        }

        Target target;
        lock (_tree.Gate)
        {
            Errno error = _tree.Resolve(nodeId, out target);
            if (error != Errno.None)
            {
                return error;
            }

            if (target.HasUpper)
            {
                return _tree.Upper.Getxattr(target.Upper, name, value, size, out length);
            }
        }

        return _tree.Lowers[target.Lower.Slot].Getxattr(target.Lower.Node, name, value, size, out length);
    }

    /// <summary>Lists the attributes.</summary>
    public Errno Listxattr(ulong nodeId, byte* list, nuint size, out int length)
    {
        length = 0;
        if (_tree.TryPure(nodeId, out ILayer layer, out uint node, out _))
        {
            return layer.Listxattr(node, list, size, out length);
        }

        Target target;
        lock (_tree.Gate)
        {
            Errno error = _tree.Resolve(nodeId, out target);
            if (error != Errno.None)
            {
                return error;
            }

            if (target.HasUpper)
            {
                return _tree.Upper.Listxattr(target.Upper, list, size, out length);
            }
        }

        return _tree.Lowers[target.Lower.Slot].Listxattr(target.Lower.Node, list, size, out length);
    }

    /// <summary>Removes an attribute; a lower object that has it is copied up first.</summary>
    /// <returns>None; ENODATA: no such attribute; EROFS and others.</returns>
    public Errno Removexattr(ulong nodeId, byte* name)
    {
        Target target;
        Errno error;
        lock (_tree.Gate)
        {
            error = _tree.Resolve(nodeId, out target);
        }

        if (error == Errno.None && !target.HasUpper)
        {
            error = _tree.Lowers[target.Lower.Slot].Getxattr(target.Lower.Node, name, null, 0, out _);
        }

        if (error != Errno.None)
        {
            return error;
        }

        lock (_tree.Gate)
        {
            error = _tree.Resolve(nodeId, out target);
            if (error == Errno.None)
            {
                error = _copyUp.Ensure(ref target, CopyUp.Whole, out _);
            }

            if (error == Errno.None)
            {
                error = _tree.Upper.Removexattr(target.Upper, name);
            }

            return error;
        }
    }
}
