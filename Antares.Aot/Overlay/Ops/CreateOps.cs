using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay.Ops;

/// <summary>MKNOD, MKDIR, SYMLINK, TMPFILE and LINK: new names.</summary>
public sealed unsafe class CreateOps
{
    private const uint TypeDirectory = 0x4000;
    private const uint TypeRegular = 0x8000;
    private const uint TypeSymlink = 0xA000;
    private const uint TypeMask = 0xF000;
    private const uint TypeChar = 0x2000;

    private readonly MergedTree _tree;
    private readonly CopyUp _copyUp;
    private readonly LookupOps _lookups;
    private readonly OverlayOptions _options;

    public CreateOps(MergedTree tree, CopyUp copyUp, LookupOps lookups, OverlayOptions options)
    {
        _options = options;
        _tree = tree;
        _copyUp = copyUp;
        _lookups = lookups;
    }

    /// <summary>Makes a file, FIFO, socket or device node; nothing is held for whoever opens it (handles are stateless).</summary>
    /// <returns>None; EPERM: a character device 0:0 or a reserved name, which is what a whiteout is; EOVERFLOW: the caller's ids are not mapped; EEXIST, EROFS, ENOSPC and others.</returns>
    public Errno Mknod(in Caller caller, ulong parent, ByteName name, uint mode, ulong rdev, ref EntryReply reply)
    {
        if ((mode & TypeMask) == TypeChar && rdev == 0)
        {
            return Errno.EPERM;
        }

        return Make(in caller, parent, name, (mode & TypeMask) == 0 ? mode | TypeRegular : mode, rdev, null, ref reply);
    }

    /// <summary>Makes a directory.</summary>
    public Errno Mkdir(in Caller caller, ulong parent, ByteName name, uint mode, ref EntryReply reply) =>
        Make(in caller, parent, name, (mode & 0xFFF) | TypeDirectory, 0, null, ref reply);

    /// <summary>Makes a symbolic link.</summary>
    public Errno Symlink(in Caller caller, ulong parent, ByteName name, byte* target, ref EntryReply reply) =>
        Make(in caller, parent, name, TypeSymlink | 0x1FF, 0, target, ref reply);

    /// <summary>Makes a regular file without a name (O_TMPFILE), which LINK may give one.</summary>
    public Errno Tmpfile(in Caller caller, ulong parent, uint mode, int flags, ref EntryReply reply)
    {
        _ = flags;
        if (!_tree.HasUpper)
        {
            return Errno.EROFS;
        }

        lock (_tree.Gate)
        {
            Target directory;
            Errno error;
            do
            {
                error = _tree.Resolve(parent, out directory);
                error = error == Errno.None ? _copyUp.EnsureDirectory(ref directory) : error;
            }
            while (_tree.Lowers.LoadLacking(ref error));

            if (error != Errno.None)
            {
                return error;
            }

            error = Describe(in caller, (mode & 0xFFF) | TypeRegular, 0, null, out NewNode what);
            if (error != Errno.None)
            {
                return error;
            }

            fixed (stat* attributes = &reply.Attributes)
            {
                error = _tree.Upper.Writer.Creation.CreateUnnamed(directory.Upper, in what, out uint node, attributes);
                return error == Errno.None ? Answer(node, attributes, ref reply) : error;
            }
        }
    }

    /// <summary>Gives an object a further name.</summary>
    /// <returns>None; EEXIST; EMLINK; EPERM: a directory; ENOENT: it has no name any more; EROFS, ENOSPC and others.</returns>
    public Errno Link(in Caller caller, ulong nodeId, ulong newParent, ByteName newName, ref EntryReply reply)
    {
        _ = caller;
        if (newName.Length > ByteName.MaxLength)
        {
            return Errno.ENAMETOOLONG;
        }

        if (IsReserved(newName))
        {
            return Failure.Note("overlay", "reserved name (.wh.)", Errno.EPERM);
        }

        lock (_tree.Gate)
        {
            Errno error;
            do
            {
                error = LinkMerged(nodeId, newParent, newName, ref reply);
            }
            while (_tree.Lowers.LoadLacking(ref error));

            return error;
        }
    }

    private Errno LinkMerged(ulong nodeId, ulong newParent, ByteName newName, ref EntryReply reply)
    {
        Errno error = _tree.Resolve(nodeId, out Target target);
        if (error == Errno.None)
        {
            error = _copyUp.Ensure(ref target, CopyUp.Whole, out _);
        }

        if (error == Errno.None && HasLostItsNames(in target))
        {
            error = Errno.ENOENT;
        }

        if (error == Errno.None)
        {
            error = PrepareParent(newParent, newName, out Target directory);
            if (error == Errno.None)
            {
                error = _tree.Upper.Link(target.Upper, directory.Upper, newName, keepTimes: false);
            }
        }

        // No directory, and its attributes were loaded before the kernel came to know it: no lower is asked for something new.
        return error == Errno.None ? _lookups.Reply(in target, ref reply) : error;
    }

    // The kernel refuses to link what has no link any more by its count. That of a lower hard link counts names which an earlier mount removed; they are told
    // from those that nobody has looked at yet when every name of the lower file is known.
    private bool HasLostItsNames(ref readonly Target target)
    {
        if (!target.HasLower || target.Record == 0 || _tree.Upper.Table.Node(target.Upper)->Names != 0)
        {
            return false;
        }

        stat attributes;
        if (_tree.Lowers.Getattr(target.Lower, false, &attributes) != Errno.None)
        {
            return false;
        }

        ulong known = 0;
        for (uint cursor = 0; _tree.Lowers[target.Lower.Slot].NextName(target.Lower.Node, ref cursor, out _, out _);)
        {
            known++;
        }

        return known >= attributes.st_nlink;
    }

    private Errno Make(in Caller caller, ulong parent, ByteName name, uint mode, ulong rdev, byte* target, ref EntryReply reply)
    {
        if (!_tree.HasUpper)
        {
            return Errno.EROFS;
        }

        if (name.Length > ByteName.MaxLength)
        {
            return Errno.ENAMETOOLONG;
        }

        if (IsReserved(name))
        {
            return Failure.Note("overlay", "reserved name (.wh.)", Errno.EPERM);
        }

        Errno error = Describe(in caller, mode, rdev, target, out NewNode what);
        if (error != Errno.None)
        {
            return error;
        }

        lock (_tree.Gate)
        {
            do
            {
                error = MakeMerged(parent, name, ref what, (mode & TypeMask) == TypeDirectory, ref reply);
            }
            while (_tree.Lowers.LoadLacking(ref error));

            return error;
        }
    }

    private Errno MakeMerged(ulong parent, ByteName name, ref NewNode what, bool isDirectory, ref EntryReply reply)
    {
        Errno error = PrepareParent(parent, name, out Target directory);
        if (error == Errno.None && isDirectory)
        {
            // A directory made where a lower one was removed must not let that one's contents through; nor, where something else or nothing is
            // below any more, those of what another mount of this upper may have below.
            error = _tree.ShownBelow(in directory, name, out FileType below, out bool shown);
            what.Opaque = (shown && below == FileType.Directory) || _tree.IsHidden(in directory, name);
        }

        if (error != Errno.None)
        {
            return error;
        }

        fixed (stat* attributes = &reply.Attributes)
        {
            error = _tree.Upper.Create(directory.Upper, name, in what, out uint node, attributes);
            return error == Errno.None ? Answer(node, attributes, ref reply) : error;
        }
    }

    // The directory of a new name, in the upper; the name is free.
    private Errno PrepareParent(ulong parent, ByteName name, out Target directory)
    {
        Errno error = _tree.Resolve(parent, out directory);
        if (error == Errno.None)
        {
            error = _tree.FindChild(in directory, name, out _);
            error = error == Errno.None ? Errno.EEXIST : error == Errno.ENOENT ? Errno.None : error;
        }

        return error == Errno.None ? _copyUp.EnsureDirectory(ref directory) : error;
    }

    private Errno Answer(uint node, stat* attributes, ref EntryReply reply)
    {
        Target made = _tree.OfUpper(node);
        attributes->st_dev = 0;
        attributes->st_uid = _options.Uids.ToMount(attributes->st_uid);
        attributes->st_gid = _options.Gids.ToMount(attributes->st_gid);
        if (FileTypes.FromMode(attributes->st_mode) == FileType.Directory)
        {
            attributes->st_nlink = 2;
        }

        reply.NodeId = made.NodeId;
        _tree.RaiseLookups(in made);
        return Errno.None;
    }

    private bool IsReserved(ByteName name) => _options.ReservesAufsNames && AufsMarks.IsReserved(name);

    // EOVERFLOW for a caller whose ids are not mapped, as on a mount whose ids the kernel maps.
    private Errno Describe(in Caller caller, uint mode, ulong rdev, byte* target, out NewNode what)
    {
        bool mapped = _options.Uids.TryCallerToLayer(caller.Uid, out uint uid) & _options.Gids.TryCallerToLayer(caller.Gid, out uint gid);
        what = new NewNode { Mode = mode, Umask = caller.Umask, Uid = uid, Gid = gid, Rdev = rdev, Target = target };
        return mapped ? Errno.None : Failure.Note("overlay", "id not mapped", Errno.EOVERFLOW);
    }
}
