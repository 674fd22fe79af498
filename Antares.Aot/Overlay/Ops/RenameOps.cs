using System.Runtime.CompilerServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Overlay.Ops;

/// <summary>
/// RENAME with its flags. A directory, merged or purely lower, is renamed in constant time: its upper part moves, a redirect mark
/// tells where its lower part lies, and a whiteout hides the old name.
/// </summary>
public sealed unsafe class RenameOps
{
    private const int RedirectRoom = 4096;

    private readonly MergedTree _tree;
    private readonly CopyUp _copyUp;
    private readonly RemoveOps _removal;
    private readonly UpperRename? _rename;
    private readonly OverlayOptions _options;

    public RenameOps(MergedTree tree, CopyUp copyUp, RemoveOps removal, OverlayOptions options)
    {
        _options = options;
        _tree = tree;
        _copyUp = copyUp;
        _removal = removal;
        _rename = tree.HasUpper ? new UpperRename(tree.Upper) : null;
    }

    /// <summary>Renames.</summary>
    /// <param name="caller">Who asks.</param>
    /// <param name="parent">Directory of the old name.</param>
    /// <param name="name">Old name.</param>
    /// <param name="newParent">Directory of the new name.</param>
    /// <param name="newName">New name.</param>
    /// <param name="flags">0, RENAME_NOREPLACE or RENAME_EXCHANGE.</param>
    /// <returns>
    /// None; ENOENT; EEXIST (NOREPLACE); ENOTEMPTY; EISDIR, ENOTDIR; EINVAL: other flags (RENAME_WHITEOUT as on kernel overlayfs: a
    /// whiteout is not a thing one can see); EPERM: a name that is reserved for whiteouts; EXDEV: the way to the lower directory is too long
    /// for a mark, or directories with a lower part are not to be renamed; EROFS, ENOSPC and others.
    /// </returns>
    public Errno Rename(in Caller caller, ulong parent, ByteName name, ulong newParent, ByteName newName, uint flags)
    {
        _ = caller;
        if (_rename == null)
        {
            return Errno.EROFS;
        }

        if ((flags & ~(Fcntl.RENAME_NOREPLACE | Fcntl.RENAME_EXCHANGE)) != 0
            || flags == (Fcntl.RENAME_NOREPLACE | Fcntl.RENAME_EXCHANGE))
        {
            return Errno.EINVAL;
        }

        if (name.Length > ByteName.MaxLength || newName.Length > ByteName.MaxLength)
        {
            return Errno.ENAMETOOLONG;
        }

        if (_options.ReservesAufsNames && AufsMarks.IsReserved(newName))
        {
            return Failure.Note("overlay", "reserved name (.wh.)", Errno.EPERM);
        }

        lock (_tree.Gate)
        {
            // Copying up, and loading from a lower, releases the gate; then all is looked at anew, until nothing needs copying any more.
            while (true)
            {
                Errno error = Attempt(parent, name, newParent, newName, flags, out bool again);
                if (!again && !_tree.Lowers.LoadLacking(ref error))
                {
                    return error;
                }
            }
        }
    }

    private Errno Attempt(ulong parent, ByteName name, ulong newParent, ByteName newName, uint flags, out bool again)
    {
        again = false;
        bool exchange = (flags & Fcntl.RENAME_EXCHANGE) != 0;
        Errno error = FindBoth(parent, name, newParent, newName, out Target from, out Target source, out Target to, out Target target, out bool occupied);
        if (error != Errno.None)
        {
            return error;
        }

        if (occupied && (flags & Fcntl.RENAME_NOREPLACE) != 0)
        {
            return Errno.EEXIST;
        }

        if (!occupied && exchange)
        {
            return Errno.ENOENT;
        }

        if (occupied && source.NodeId == target.NodeId)
        {
            return Errno.None;
        }

        if (IsFixed(in source) || (exchange && IsFixed(in target)))
        {
            return Errno.EXDEV;
        }

        error = occupied && !exchange ? CheckReplaceable(in source, in target) : Errno.None;
        if (error == Errno.None)
        {
            error = _copyUp.Ensure(ref source, CopyUp.Whole, out again);
        }

        if (error == Errno.None && exchange && !again)
        {
            error = _copyUp.Ensure(ref target, CopyUp.Whole, out again);
        }

        if (error != Errno.None || again)
        {
            again &= error == Errno.None;
            return error;
        }

        error = _copyUp.EnsureDirectory(ref from);
        if (error == Errno.None)
        {
            error = _copyUp.EnsureDirectory(ref to);
        }

        // A name of a lower hard link whose copy the upper has under another name becomes a name of the upper first.
        if (error == Errno.None)
        {
            error = _copyUp.KeepHardLink(in from, name, in source);
            if (error == Errno.None && exchange)
            {
                error = _copyUp.KeepHardLink(in to, newName, in target);
            }
        }

        // Making a parent's copy can have given the other parent, or a child, its record: take the current state.
        if (error == Errno.None)
        {
            error = FindBoth(parent, name, newParent, newName, out from, out source, out to, out target, out occupied);
        }

        if (error != Errno.None)
        {
            return error;
        }

        return exchange
            ? Exchange(ref from, name, ref source, ref to, newName, ref target)
            : Move(ref from, name, ref source, ref to, newName, ref target, occupied);
    }

    private bool IsFixed(ref readonly Target target) =>
        !_options.RenamesLowerDirectories && _tree.TypeOf(in target) == FileType.Directory && !_tree.LowersOf(in target).IsEmpty;

    private Errno FindBoth(
        ulong parent,
        ByteName name,
        ulong newParent,
        ByteName newName,
        out Target from,
        out Target source,
        out Target to,
        out Target target,
        out bool occupied)
    {
        source = default;
        to = default;
        target = default;
        occupied = false;
        Errno error = _tree.Resolve(parent, out from);
        if (error == Errno.None)
        {
            error = _tree.Resolve(newParent, out to);
        }

        if (error == Errno.None)
        {
            error = _tree.FindChild(in from, name, out source);
        }

        if (error != Errno.None)
        {
            return error;
        }

        error = _tree.FindChild(in to, newName, out target);
        occupied = error == Errno.None;
        return error == Errno.ENOENT ? Errno.None : error;
    }

    private Errno CheckReplaceable(ref readonly Target source, ref readonly Target target)
    {
        bool directory = _tree.TypeOf(in source) == FileType.Directory;
        bool overDirectory = _tree.TypeOf(in target) == FileType.Directory;
        if (directory != overDirectory)
        {
            return overDirectory ? Errno.EISDIR : Errno.ENOTDIR;
        }

        return overDirectory ? _removal.CheckEmpty(in target) : Errno.None;
    }

    private Errno Exchange(ref Target from, ByteName name, ref Target source, ref Target to, ByteName newName, ref Target target)
    {
        Errno error = PrepareMark(ref source, ref to, newName);
        if (error == Errno.None)
        {
            error = PrepareMark(ref target, ref from, name);
        }

        return error == Errno.None ? _rename!.Exchange(from.Upper, name, to.Upper, newName) : error;
    }

    private Errno Move(ref Target from, ByteName name, ref Target source, ref Target to, ByteName newName, ref Target target, bool occupied)
    {
        Errno error = _tree.ShownBelow(in from, name, out _, out bool whiteout);
        if (error != Errno.None)
        {
            return error;
        }

        bool targetInUpper = occupied && _tree.Upper.Find(to.Upper, newName, out _) == Errno.None;
        if (occupied && _tree.TypeOf(in target) == FileType.Directory)
        {
            // An empty directory may still hold whiteouts, and a lower directory is put away by having an (empty) upper one replaced.
            error = _copyUp.EnsureDirectory(ref target);
            if (error == Errno.None)
            {
                error = _tree.Upper.Writer.Removal.ClearWhiteouts(target.Upper, out bool isOpaque);
                if (error == Errno.None || isOpaque)
                {
                    _tree.DetachLowers(in target);
                }
            }

            targetInUpper = true;
        }

        if (error == Errno.None)
        {
            error = PrepareMark(ref source, ref to, newName);
        }

        if (error != Errno.None)
        {
            return error;
        }

        bool keep = occupied && _tree.LookupsOf(in target) > 0;
        bool last = targetInUpper && _tree.Upper.Table.Node(target.Upper)->Names == 1;
        error = _rename!.Move(from.Upper, name, to.Upper, newName, whiteout, keep);
        if (error == Errno.None && occupied)
        {
            bool freed = targetInUpper && last && !_tree.Upper.Table.IsNode(target.Upper);
            _removal.NameGone(ref target, targetInUpper, freed);
        }

        return error;
    }

    // Before a directory gets a new name: a merged one records where its lower part lies; one without a lower part is made opaque where
    // a lower directory of the new name would otherwise be merged into it.
    [SkipLocalsInit]
    private Errno PrepareMark(ref Target moved, ref Target newParent, ByteName newName)
    {
        if (_tree.TypeOf(in moved) != FileType.Directory)
        {
            return Errno.None;
        }

        if (_tree.LowersOf(in moved).IsEmpty)
        {
            Errno error = _tree.ShownBelow(in newParent, newName, out FileType type, out bool shown);
            bool opaque = (shown && type == FileType.Directory) || _tree.IsHidden(in newParent, newName);
            return error == Errno.None && opaque ? _tree.Upper.Writer.SetOpaque(moved.Upper) : error;
        }

        byte* path = stackalloc byte[RedirectRoom];
        Errno found = PathBelow(moved.Upper, path, out int length, out bool marked);
        if (found != Errno.None || marked)
        {
            return found;
        }

        found = IsLost(in moved, new ReadOnlySpan<byte>(path, length), out bool lost);
        if (found != Errno.None || lost)
        {
            return found == Errno.None ? MakeAlone(in moved) : found;
        }

        return _tree.Upper.Writer.SetRedirect(moved.Upper, path, length);
    }

    // The layer below shows another revision by now, which has nothing at the place of a directory's lower part, so that the part is empty.
    private Errno IsLost(ref readonly Target directory, ReadOnlySpan<byte> path, out bool lost)
    {
        lost = false;
        LowerRef part = _tree.LowersOf(in directory)[0];
        Errno error = _tree.IsShownAt(path, part, out bool shown);
        if (error != Errno.None || shown)
        {
            return error;
        }

        error = _tree.Lowers.Next(part, 0, out _);
        lost = error == Errno.ENOENT;
        return lost ? Errno.None : error;
    }

    // What the layer below may show one day where the lower part was is not this directory's.
    private Errno MakeAlone(ref readonly Target directory)
    {
        Errno error = _tree.Upper.Writer.SetOpaque(directory.Upper);
        if (error == Errno.None)
        {
            _tree.DetachLowers(in directory);
        }

        return error;
    }

    // Absolute path at which the layers below the upper, all of them together, show the lower part of a directory of the upper: the
    // nearest redirect on the way up, and the names from there on. The path within the one layer that has the directory would not do:
    // a redirect of a layer above it may show it elsewhere, and a whiteout may hide it where it lies.
    // Written from the end of the room backwards, then moved to its beginning. "marked": the directory itself has such a redirect.
    [SkipLocalsInit]
    private Errno PathBelow(uint node, byte* path, out int length, out bool marked)
    {
        byte* redirect = stackalloc byte[RedirectRoom];
        DirectoryLayer upper = _tree.Upper;
        uint directory = node;
        int at = RedirectRoom;
        length = 0;
        marked = false;
        while (directory != ILayer.RootNode)
        {
            Errno error = upper.Merging(directory, out _, redirect, RedirectRoom, out int size);
            uint first = upper.Table.Node(directory)->FirstName;
            if (error != Errno.None || first == 0)
            {
                return error != Errno.None ? error : Failure.Note("overlay", "directory without a name", Errno.ENOENT);
            }

            Dentry* dentry = upper.Table.Name(first);
            bool absolute = size > 0 && redirect[0] == (byte)'/';
            marked |= absolute && directory == node;
            ReadOnlySpan<byte> part = size > 0 ? new ReadOnlySpan<byte>(redirect, size) : dentry->ByteName.Span;
            if (at < part.Length + (absolute ? 0 : 1))
            {
                return Failure.Note("overlay", "redirect longer than 4,096 bytes", Errno.EXDEV);
            }

            at -= part.Length;
            part.CopyTo(new Span<byte>(path + at, part.Length));
            if (absolute)
            {
                break;
            }

            path[--at] = (byte)'/';
            directory = dentry->Parent;
        }

        length = RedirectRoom - at;
        Buffer.MemoryCopy(path + at, path, RedirectRoom, length);
        return Errno.None;
    }
}
