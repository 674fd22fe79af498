using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay.Ops;

/// <summary>
/// SETXATTR, GETXATTR, LISTXATTR and REMOVEXATTR. The overlay's own marks are neither seen nor set; the ids in ACLs are mapped as owners are.
/// </summary>
public sealed unsafe class XattrOps
{
    private const int ListRoom = 64 * 1024;

    private readonly MergedTree _tree;
    private readonly CopyUp _copyUp;
    private readonly OverlayOptions _options;
    private readonly bool _mapsAcls;

    public XattrOps(MergedTree tree, CopyUp copyUp, OverlayOptions options)
    {
        _options = options;
        _mapsAcls = !options.Uids.IsIdentity || !options.Gids.IsIdentity;
        _tree = tree;
        _copyUp = copyUp;
    }

    /// <summary>Sets an attribute; a lower object is copied up first.</summary>
    /// <returns>
    /// None; EEXIST, ENODATA (flags); EROFS; EOPNOTSUPP; EPERM; EINVAL: an ACL with an id that is not mapped; ENOSPC, E2BIG, ERANGE and others.
    /// </returns>
    public Errno Setxattr(in Caller caller, ulong nodeId, byte* name, byte* value, nuint size, int flags)
    {
        _ = caller;
        Errno error = Allow(name, out bool isAcl);
        if (error != Errno.None || !isAcl || !_mapsAcls)
        {
            return error != Errno.None ? error : SetAllowed(nodeId, name, value, size, flags);
        }

        // Mapped in a copy: a request that waits, for a source or for room, is read once more.
        byte* mapped = (byte*)NativeMemory.Alloc(size);
        Buffer.MemoryCopy(value, mapped, size, size);
        error = AclIds.ToLayer(mapped, (int)size, _options.Uids, _options.Gids);
        error = error == Errno.None ? SetAllowed(nodeId, name, mapped, size, flags) : error;
        NativeMemory.Free(mapped);
        return error;
    }

    /// <summary>Reads an attribute.</summary>
    /// <returns>None; ENODATA; ERANGE; EOPNOTSUPP.</returns>
    public Errno Getxattr(ulong nodeId, byte* name, byte* value, nuint size, out int length)
    {
        length = 0;
        Errno error = Allow(name, out bool isAcl);
        if (error != Errno.None)
        {
            return error;
        }

        error = _tree.TryPure(nodeId, out ILayer layer, out uint node, out _)
            ? layer.Getxattr(node, name, value, size, out length)
            : GetMerged(nodeId, name, value, size, out length);
        if (error == Errno.None && isAcl && _mapsAcls && size > 0)
        {
            AclIds.ToMount(value, length, _options.Uids, _options.Gids);
        }

        return error;
    }

    /// <summary>Lists the attributes. Only root is told of <c>trusted.</c> ones: for a local disk the kernel sees to that, here it is ours.</summary>
    /// <param name="caller">Who asks; a request that names root does not tell its capabilities, so root it is.</param>
    /// <param name="nodeId">The object.</param>
    /// <param name="list">Room for the names.</param>
    /// <param name="size">Its bytes; 0 asks for the length alone.</param>
    /// <param name="length">Bytes of the names.</param>
    /// <returns>None; ERANGE: too little room; ESTALE, EIO.</returns>
    public Errno Listxattr(in Caller caller, ulong nodeId, byte* list, nuint size, out int length)
    {
        length = 0;
        if (!_options.Xattrs)
        {
            return Errno.ENOSYS;
        }

        Errno error = ListAll(nodeId, list, size, out length);
        if ((caller.Uid == 0 && _options.Acls) || error is not (Errno.None or Errno.ERANGE) || (error == Errno.None && length == 0))
        {
            return error;
        }

        if (error == Errno.None && size != 0)
        {
            length = Shown(in caller, list, length);
            return Errno.None;
        }

        // The room for all, or none was given: it may do for what is left.
        byte* all = (byte*)NativeMemory.Alloc(ListRoom);
        error = ListAll(nodeId, all, ListRoom, out length);
        if (error == Errno.None)
        {
            length = Shown(in caller, all, length);
            if (size != 0 && (nuint)length > size)
            {
                error = Errno.ERANGE;
            }
            else if (size != 0)
            {
                Buffer.MemoryCopy(all, list, length, length);
            }
        }

        NativeMemory.Free(all);
        return error;
    }

    /// <summary>Removes an attribute; a lower object that has it is copied up first.</summary>
    /// <returns>None; ENODATA: no such attribute; EROFS and others.</returns>
    public Errno Removexattr(ulong nodeId, byte* name)
    {
        Errno error = Allow(name, out _);
        if (error != Errno.None)
        {
            return error;
        }

        Target target;
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

    private Errno SetAllowed(ulong nodeId, byte* name, byte* value, nuint size, int flags)
    {
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

    // ENOSYS makes the kernel answer EOPNOTSUPP by itself from then on.
    private Errno Allow(byte* name, out bool isAcl)
    {
        isAcl = Literal.StartsWith(name, "system.posix_acl_"u8);
        return !_options.Xattrs ? Errno.ENOSYS : isAcl && !_options.Acls ? Errno.EOPNOTSUPP : Errno.None;
    }

    private Errno GetMerged(ulong nodeId, byte* name, byte* value, nuint size, out int length)
    {
        length = 0;
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

    private int Shown(in Caller caller, byte* list, int length)
    {
        length = _options.Acls ? length : AclIds.HideNames(list, length);
        return new ReadOnlySpan<byte>(list, length).IndexOf("trusted."u8) < 0 || MaySeeTrusted(in caller) ? length : WithoutTrusted(list, length);
    }

    /// <summary>Of a mount whose ids may be mapped the kernel does not say who asks, but by its thread.</summary>
    private static bool MaySeeTrusted(in Caller caller) => caller.Uid == 0 || (caller.Uid == IdMap.None && CallerRights.MaySeeTrusted(in caller));

    private static int WithoutTrusted(byte* list, int length)
    {
        int kept = 0;
        for (int at = 0; at < length;)
        {
            int bytes = ByteName.FromNulTerminated(list + at).Length + 1;
            if (!Literal.StartsWith(list + at, "trusted."u8))
            {
                Buffer.MemoryCopy(list + at, list + kept, bytes, bytes);
                kept += bytes;
            }

            at += bytes;
        }

        return kept;
    }

    private Errno ListAll(ulong nodeId, byte* list, nuint size, out int length)
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
}
