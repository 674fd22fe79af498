using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Layers;

/// <summary>
/// Brings a directory of the upper whose marks have the other form (<see cref="AufsMarks"/>) into the form that is written, when it is loaded:
/// what is made or removed there later then meets one kind of whiteout only. A crash in between leaves both marks, which say the same.
/// </summary>
/// <remarks>Called with the layer's gate held.</remarks>
public sealed unsafe class UpperConversion
{
    private readonly DirectoryLayer _layer;
    private readonly DirectoryTable _table;
    private readonly FolderAccess _access;
    private readonly UpperWriter _writer;

    internal UpperConversion(DirectoryLayer layer, UpperWriter writer)
    {
        _layer = layer;
        _table = layer.Table;
        _access = layer.Access;
        _writer = writer;
    }

    /// <summary>Converts a directory that was just loaded; its times stay. On failure it counts as not loaded.</summary>
    /// <returns>None; EROFS, ENOSPC, EPERM and others of the upper's file system.</returns>
    public Errno Convert(uint directory)
    {
        Errno error = _access.PinDirectory(directory, ModeLoans.Change, out DirectoryLease at);
        if (error == Errno.None)
        {
            stat before;
            error = Failure.Note("upper", "fstat", Antares.Interop.Attributes.Fstat(at.Fd, &before));
            if (error == Errno.None)
            {
                error = ConvertAll(directory, at.Fd);
                UpperWriter.RestoreTimes(at.Fd, in before);
            }

            _access.Release(at);
        }

        if (error == Errno.None)
        {
            _table.Listing(directory)->HasAufsMarks = false;
        }
        else
        {
            _table.AbandonListing(directory);
        }

        return error;
    }

    private Errno ConvertAll(uint directory, int fd)
    {
        bool opaque = Exists(fd, AufsMarks.OpaqueMark);
        Errno error = opaque ? Replace(_writer.WriteOpaque(directory), fd, AufsMarks.OpaqueMark) : Errno.None;
        byte* mark = stackalloc byte[ByteName.MaxLength + 1];
        ulong cookie = 0;
        while (error == Errno.None && _table.Next(directory, cookie, out uint dentry))
        {
            Dentry* entry = _table.Name(dentry);
            cookie = entry->Cookie;
            if (!AufsMarks.TryMarkOf(entry->ByteName, mark) || !Exists(fd, mark))
            {
                continue;
            }

            uint node = entry->Node;
            if (node == DirectoryTable.WhiteoutNode)
            {
                // In an opaque directory there is nothing to hide.
                error = Replace(opaque || Exists(fd, entry->Name) ? Errno.None : _writer.Work.PlaceWhiteout(fd, entry->ByteName, replace: false), fd, mark);
                if (error == Errno.None && opaque && !Exists(fd, entry->Name))
                {
                    _table.Remove(dentry);
                }
            }
            else
            {
                error = Replace(_table.Node(node)->Type == FileType.Directory ? _writer.WriteOpaque(node) : Errno.None, fd, mark);
            }
        }

        return error;
    }

    private static Errno Replace(Errno written, int fd, byte* mark) =>
        written == Errno.None ? Failure.Note("upper", "unlinkat (.wh.)", PathOps.Unlinkat(fd, mark, 0)) : written;

    private static bool Exists(int fd, byte* name)
    {
        stat attributes;
        return Antares.Interop.Attributes.Fstatat(fd, name, &attributes, Fcntl.AT_SYMLINK_NOFOLLOW) == Errno.None;
    }
}
