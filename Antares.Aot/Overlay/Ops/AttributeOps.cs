using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay.Ops;

/// <summary>GETATTR, SETATTR, READLINK and STATFS.</summary>
public sealed unsafe class AttributeOps
{
    private readonly MergedTree _tree;
    private readonly MergedAttributes _attributes;
    private readonly CopyUp _copyUp;
    private readonly IdMap _uids;
    private readonly IdMap _gids;

    public AttributeOps(MergedTree tree, MergedAttributes attributes, CopyUp copyUp, OverlayOptions options)
    {
        _tree = tree;
        _attributes = attributes;
        _copyUp = copyUp;
        _uids = options.Uids;
        _gids = options.Gids;
    }

    // A request with no more than these is a chown to nobody.
    private const SetattrFields Silent = SetattrFields.KillSuidGid | SetattrFields.ChangeTime;

    /// <summary>Set where the kernel collects writes.</summary>
    internal CollectedWrites? Collected { get; set; }

    /// <summary>Attributes of an object.</summary>
    /// <returns>None; ESTALE; EIO: the layer that has it could not be read.</returns>
    public Errno Getattr(ulong nodeId, stat* attributes)
    {
        if (_tree.TryPure(nodeId, out ILayer layer, out uint node, out _))
        {
            return layer.GetattrWithMapping(node, true, attributes);
        }

        lock (_tree.Gate)
        {
            Errno error;
            do
            {
                error = _tree.Resolve(nodeId, out Target target);
                error = error == Errno.None ? _attributes.Get(in target, attributes) : error;
            }
            while (_tree.Lowers.LoadLacking(ref error));

            return error;
        }
    }

    /// <summary>Changes attributes; a lower object is copied up first, without its data when it is truncated to nothing.</summary>
    /// <returns>None; EROFS; EPERM (owner not allowed by the upper's file system); EOVERFLOW: an owner that is not mapped; ENOSPC, EDQUOT, EFBIG, EIO and others.</returns>
    public Errno Setattr(in Caller caller, ulong nodeId, in SetattrRequest request, stat* attributes)
    {
        if (!_tree.HasUpper)
        {
            return Errno.EROFS;
        }

        Errno error = Errno.None;
        if ((request.Fields & ~Silent) == SetattrFields.None)
        {
            error = Getattr(nodeId, attributes);
            if (error != Errno.None || IsOfAStranger(in caller, in *attributes))
            {
                return error;
            }
        }

        // Before anything is copied up: an owner that cannot be stored changes nothing. EOVERFLOW as on a mount whose ids the kernel maps.
        uint uid = uint.MaxValue;
        uint gid = uint.MaxValue;
        if (((request.Fields & SetattrFields.Uid) != 0 && !_uids.TryToLayer(request.Uid, out uid))
            || ((request.Fields & SetattrFields.Gid) != 0 && !_gids.TryToLayer(request.Gid, out gid)))
        {
            return Failure.Note("overlay", "id not mapped", Errno.EOVERFLOW);
        }

        if (Collected is not { } order || (request.Fields & (SetattrFields.ModifyTime | SetattrFields.Size)) == 0)
        {
            return SetattrUnderGate(nodeId, in request, uid, gid, attributes);
        }

        error = BeforeTheOrder(nodeId, in request, attributes, out bool done, out bool isFile);
        if (error != Errno.None || done || !isFile)
        {
            return error != Errno.None || done ? error : SetattrUnderGate(nodeId, in request, uid, gid, attributes);
        }

        lock (order.Of(nodeId))
        {
            return SetattrUnderGate(nodeId, in request, uid, gid, attributes);
        }
    }

    // The kernel sends a request without any field for a chown to nobody, and before a file is written that has set-id bits or capabilities (file_remove_privs,
    // fuse_setattr). Who does not own the file may write it perhaps, and the bits go with what follows (WRITE says so, FALLOCATE and COPY_FILE_RANGE are asked
    // for the caller's rights); by the first he must not take them.
    private static bool IsOfAStranger(in Caller caller, ref readonly stat attributes) =>
        FileTypes.FromMode(attributes.st_mode) != FileType.Directory
        && UpperAttributes.WithoutSetId(attributes.st_mode) != attributes.st_mode
        && !CallerRights.OwnsOrMay(in caller, attributes.st_uid);

    // What may take long is done before the lock of collected writes is taken. And the kernel hands over the times of a lower file also when
    // only its ctime moved, by an unlink or a link, where nothing is to be copied: the time of change is the one that it has.
    private Errno BeforeTheOrder(ulong nodeId, in SetattrRequest request, stat* attributes, out bool done, out bool isFile)
    {
        const SetattrFields TimeOfChange = SetattrFields.ModifyTime | SetattrFields.ChangeTime;
        lock (_tree.Gate)
        {
            Errno error;
            do
            {
                done = false;
                error = _tree.Resolve(nodeId, out Target target);
                isFile = error == Errno.None && _tree.TypeOf(in target) == FileType.Regular;
                if (error == Errno.None && isFile && !target.HasUpper && (request.Fields & ~TimeOfChange) == 0)
                {
                    error = _attributes.Get(in target, attributes);
                    done = error == Errno.None && attributes->st_mtim.tv_sec == request.ModifyTime.tv_sec
                        && attributes->st_mtim.tv_nsec == request.ModifyTime.tv_nsec;
                }

                if (error == Errno.None && isFile && !done)
                {
                    error = _copyUp.Ensure(ref target, (request.Fields & SetattrFields.Size) != 0 ? request.Size : CopyUp.Whole, out _);
                }
            }
            while (_tree.Lowers.LoadLacking(ref error));

            return error;
        }
    }

    private Errno SetattrUnderGate(ulong nodeId, in SetattrRequest request, uint uid, uint gid, stat* attributes)
    {
        lock (_tree.Gate)
        {
            Errno error;
            do
            {
                error = SetattrMerged(nodeId, in request, uid, gid, attributes);
            }
            while (_tree.Lowers.LoadLacking(ref error));

            return error;
        }
    }

    /// <summary>Target of a symbolic link.</summary>
    public Errno Readlink(ulong nodeId, byte* buffer, int capacity, out int length)
    {
        if (_tree.TryPure(nodeId, out ILayer layer, out uint node, out _))
        {
            return layer.Readlink(node, buffer, capacity, out length);
        }

        Target target;
        lock (_tree.Gate)
        {
            length = 0;
            Errno error = _tree.Resolve(nodeId, out target);
            if (error != Errno.None)
            {
                return error;
            }

            if (target.HasUpper)
            {
                return _tree.Upper.Readlink(target.Upper, buffer, capacity, out length);
            }
        }

        return _tree.Lowers[target.Lower.Slot].Readlink(target.Lower.Node, buffer, capacity, out length);
    }

    /// <summary>What is free: the upper's file system; a mount without an upper has nothing free.</summary>
    public Errno Statfs(ulong nodeId, statvfs* result)
    {
        _ = nodeId;
        *result = default;
        if (_tree.HasUpper)
        {
            Errno error = Failure.Note("upper", "fstatvfs", Attributes.Fstatvfs(_tree.Upper.Access.RootFd, result));
            result->f_namemax = ByteName.MaxLength;
            return error;
        }

        result->f_bsize = 4096;
        result->f_frsize = 4096;
        result->f_namemax = ByteName.MaxLength;
        return Errno.None;
    }

    private Errno SetattrMerged(ulong nodeId, in SetattrRequest request, uint uid, uint gid, stat* attributes)
    {
        Errno error = _tree.Resolve(nodeId, out Target target);
        if (error == Errno.None)
        {
            bool truncates = (request.Fields & SetattrFields.Size) != 0;
            error = _copyUp.Ensure(ref target, truncates ? request.Size : CopyUp.Whole, out _);
            if (error == Errno.None && _tree.TypeOf(in target) == FileType.Directory)
            {
                // Its link count may need lower directories that are not loaded: found out before anything changes.
                error = _attributes.Get(in target, attributes);
            }

            error = error == Errno.None ? Apply(target.Upper, in request, uid, gid) : error;
        }

        return error == Errno.None ? _attributes.Get(in target, attributes) : error;
    }

    private Errno Apply(uint node, in SetattrRequest request, uint uid, uint gid)
    {
        DirectoryLayer change = _tree.Upper;
        Errno error = Errno.None;
        SetattrFields fields = request.Fields;
        if ((fields & SetattrFields.Size) != 0)
        {
            error = request.Size > long.MaxValue ? Errno.EFBIG : Truncate(node, (long)request.Size, fields);
        }

        // A chown clears them itself, whoever asks (chown_common of Linux), as it does for the caller.
        const SetattrFields Owner = SetattrFields.Uid | SetattrFields.Gid;
        if (error == Errno.None && (fields & SetattrFields.KillSuidGid) != 0 && (fields & (SetattrFields.Mode | Owner)) == 0)
        {
            error = KillSetId(node);
        }

        // A chown to nobody (-1, -1) names no field at all; what it does on a local disk is to move ctime.
        if (error == Errno.None && ((fields & Owner) != 0 || (fields & ~Silent) == SetattrFields.None))
        {
            error = change.Chown(node, uid, gid);
        }

        if (error == Errno.None && (fields & SetattrFields.Mode) != 0)
        {
            error = change.Chmod(node, request.Mode);
        }

        const SetattrFields Times = SetattrFields.AccessTime | SetattrFields.ModifyTime;
        if (error == Errno.None && (fields & Times) != 0)
        {
            timespec* times = stackalloc timespec[2];
            times[0] = TimeOf(fields, SetattrFields.AccessTime, SetattrFields.AccessTimeNow, request.AccessTime);
            times[1] = TimeOf(fields, SetattrFields.ModifyTime, SetattrFields.ModifyTimeNow, request.ModifyTime);
            error = change.Utimens(node, times);
            if (error == Errno.EPERM && Collected is not null && MayBeNow(in request))
            {
                // Handed over by the kernel for a file that somebody else owns: who may write it may only say "now", of both times.
                times[0].tv_nsec = StatMode.UTIME_NOW;
                times[1].tv_nsec = StatMode.UTIME_NOW;
                error = change.Utimens(node, times);
            }
        }

        return error;
    }

    // Where the kernel collects writes it also keeps the time of change, and hands it over itself if the size changed it.
    private Errno Truncate(uint node, long size, SetattrFields fields)
    {
        bool keepsTime = Collected is not null && (fields & (SetattrFields.ModifyTime | SetattrFields.ModifyTimeNow)) == 0;
        stat before = default;
        Errno error = keepsTime ? _tree.Upper.Access.Stat(node, &before) : Errno.None;
        error = error == Errno.None ? _tree.Upper.Truncate(node, size) : error;
        if (error != Errno.None || !keepsTime)
        {
            return error;
        }

        timespec* times = stackalloc timespec[2];
        times[0] = new timespec { tv_nsec = StatMode.UTIME_OMIT };
        times[1] = before.st_mtim;
        error = _tree.Upper.Utimens(node, times);
        return error == Errno.EPERM ? Errno.None : error;
    }

    private static bool MayBeNow(in SetattrRequest request)
    {
        const long Near = 60;
        const SetattrFields OfTheKernel = SetattrFields.ModifyTime | SetattrFields.ChangeTime | SetattrFields.Size | SetattrFields.KillSuidGid;
        return (request.Fields & ~OfTheKernel) == 0
            && Math.Abs(request.ModifyTime.tv_sec - DateTimeOffset.UtcNow.ToUnixTimeSeconds()) < Near;
    }

    private Errno KillSetId(uint node)
    {
        stat attributes;
        Errno error = _tree.Upper.Access.Stat(node, &attributes);
        if (error != Errno.None || FileTypes.FromMode(attributes.st_mode) == FileType.Directory)
        {
            return error;
        }

        uint kept = UpperAttributes.WithoutSetId(attributes.st_mode);
        return kept == attributes.st_mode ? Errno.None : _tree.Upper.Chmod(node, kept);
    }

    private static timespec TimeOf(SetattrFields fields, SetattrFields set, SetattrFields now, timespec value)
    {
        if ((fields & set) == 0)
        {
            return new timespec { tv_nsec = StatMode.UTIME_OMIT };
        }

        return (fields & now) != 0 ? new timespec { tv_nsec = StatMode.UTIME_NOW } : value;
    }
}
