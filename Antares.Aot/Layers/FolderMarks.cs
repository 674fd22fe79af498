using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>Reads the overlay's marks of a folder layer: opaque and redirected directories, and files whose content lies elsewhere.</summary>
/// <remarks>Called with the layer's gate held; each mark is read once and remembered in the node.</remarks>
internal sealed unsafe class FolderMarks(string layer, DirectoryTable table, FolderAccess access, FolderXattrs xattrs, FolderOptions options)
{
    private readonly string _layer = layer;
    private readonly DirectoryTable _table = table;
    private readonly FolderAccess _access = access;
    private readonly FolderXattrs _xattrs = xattrs;
    private readonly FolderOptions _options = options;

    /// <inheritdoc cref="ILayer.Merging"/>
    public Errno Merging(uint directory, out bool opaque, byte* redirect, int capacity, out int length)
    {
        FolderNode* record = _table.Node(directory);
        length = 0;
        opaque = false;
        if ((record->Flags & FolderNodeFlags.MarksKnown) == 0)
        {
            Errno known = ReadMarks(directory, record);
            if (known != Errno.None)
            {
                return known;
            }
        }

        opaque = (record->Flags & FolderNodeFlags.Opaque) != 0;
        if ((record->Flags & FolderNodeFlags.HasRedirect) == 0)
        {
            return Errno.None;
        }

        if (!_options.FollowsRedirects)
        {
            return Failure.Note(_layer, "redirect not followed", Errno.EPERM);
        }

        // The attribute asks for the right to read the directory.
        Errno error = _access.PinDirectory(directory, ModeLoans.Read | ModeLoans.Search, out DirectoryLease readable);
        if (error != Errno.None)
        {
            return error;
        }

        error = _xattrs.Get(directory, Literal.Pointer("trusted.overlay.redirect"u8), redirect, (nuint)capacity, out length);
        if (error is Errno.ENODATA or Errno.EOPNOTSUPP or Errno.EPERM)
        {
            error = _xattrs.Get(directory, Literal.Pointer("user.overlay.redirect"u8), redirect, (nuint)capacity, out length);
        }

        _access.Release(readable);
        return Failure.Note(_layer, "fgetxattr (redirect)", error);
    }

    /// <summary>
    /// Refuses a file that has attributes only, while its content is still in a layer below (kernel overlayfs' metacopy): it cannot be read
    /// here, and must stay under its name, by which that content is found.
    /// </summary>
    /// <returns>
    /// None, also for one that this process may not open, which tells nobody what it has; EIO: the content is elsewhere; EMFILE and others:
    /// the file could not be looked at.
    /// </returns>
    public Errno RequireContent(uint node)
    {
        FolderNode* record = _table.Node(node);
        if (record->Type != FileType.Regular || (record->Flags & FolderNodeFlags.MarksKnown) != 0)
        {
            return Errno.None;
        }

        Errno error = _access.PinFile(node, false, out FdLease lease);
        if (error != Errno.None)
        {
            return error is Errno.EACCES or Errno.EPERM ? Errno.None : error;
        }

        error = CheckContent(node, lease.Fd);
        _access.Cache.Release(lease);
        return error;
    }

    /// <summary>Refuses (EIO) a file with a metacopy mark, which reads as zeros that nobody must take for its content.</summary>
    public Errno CheckContent(uint node, int fd)
    {
        FolderNode* record = _table.Node(node);
        if ((record->Flags & FolderNodeFlags.MarksKnown) != 0)
        {
            return Errno.None;
        }

        for (int form = 0; form < 2; form++)
        {
            byte* mark = Literal.Pointer(form == 0 ? "trusted.overlay.metacopy"u8 : "user.overlay.metacopy"u8);
            if (Antares.Interop.Xattrs.Fgetxattr(fd, mark, null, 0, out _) == Errno.None)
            {
                return Failure.Note(_layer, "read (metacopy)", Errno.EIO);
            }
        }

        record->Flags |= FolderNodeFlags.MarksKnown;
        return Errno.None;
    }

    // A directory that may not be read tells no marks (EACCES); kernel overlayfs takes it for one without, too. One of the upper's own is
    // lent the right to be read.
    private Errno ReadMarks(uint directory, FolderNode* record)
    {
        Errno error = _access.PinDirectory(directory, ModeLoans.Read | ModeLoans.Search, out DirectoryLease readable);
        if (error == Errno.None)
        {
            error = ReadReadableMarks(directory, readable.Fd, record);
            _access.Release(readable);
        }

        return error;
    }

    private Errno ReadReadableMarks(uint directory, int directoryFd, FolderNode* record)
    {
        byte* value = stackalloc byte[8];
        FolderNodeFlags found = FolderNodeFlags.MarksKnown;
        stat attributes;
        if ((record->Flags & FolderNodeFlags.HiddenBelow) != 0
            || (_options.ReadsAufsWhiteouts
                && Antares.Interop.Attributes.Fstatat(directoryFd, AufsMarks.OpaqueMark, &attributes, Fcntl.AT_SYMLINK_NOFOLLOW) == Errno.None))
        {
            found |= FolderNodeFlags.Opaque;
        }

        for (int form = 0; form < OverlayMarks.OpaqueForms; form++)
        {
            Errno error = _xattrs.Get(directory, OverlayMarks.OtherOpaque(form), value, 8, out int length);
            if (error == Errno.None && length == 1 && value[0] == (byte)'y')
            {
                found |= FolderNodeFlags.Opaque;
            }
            else if (error is not (Errno.None or Errno.ENODATA or Errno.EOPNOTSUPP or Errno.EPERM or Errno.EACCES or Errno.ERANGE))
            {
                return Failure.Note(_layer, "fgetxattr (opaque)", error);
            }
        }

        for (int form = 0; form < 2; form++)
        {
            byte* mark = Literal.Pointer(form == 0 ? "trusted.overlay.redirect"u8 : "user.overlay.redirect"u8);
            Errno error = _xattrs.Get(directory, mark, null, 0, out int length);
            if (error == Errno.None && length > 0)
            {
                found |= FolderNodeFlags.HasRedirect;
            }
            else if (error is not (Errno.None or Errno.ENODATA or Errno.EOPNOTSUPP or Errno.EPERM or Errno.EACCES))
            {
                return Failure.Note(_layer, "fgetxattr (redirect)", error);
            }
        }

        record->Flags |= found;
        return Errno.None;
    }
}
