using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Sources;

/// <summary>Lists a folder with getdents64: names, types and inode numbers, without a stat per name.</summary>
internal sealed unsafe class FolderListing : IDisposable
{
    private const int BufferBytes = 64 << 10;

    /// <summary>What libfuse file systems list when they do not tell inode numbers.</summary>
    private const ulong FuseUnknownInode = 0xFFFF_FFFF;

    private readonly SourceErrors _fstat;
    private readonly SourceErrors _fstatat;
    private readonly SourceErrors _getdents;
    private nint _spareBuffer;

    public FolderListing(string layer)
    {
        _fstat = new SourceErrors(layer, "fstat");
        _fstatat = new SourceErrors(layer, "fstatat");
        _getdents = new SourceErrors(layer, "getdents64");
    }

    /// <summary>Lists from the start, wherever an earlier listing of the same descriptor stopped.</summary>
    /// <param name="fd">A directory, used by nobody else meanwhile; O_PATH is EACCES.</param>
    /// <param name="listing">Receives the names.</param>
    public Errno List(int fd, ref DirectoryListing listing)
    {
        stat own;
        Errno error = Interop.Attributes.Fstat(fd, &own);
        if (error != Errno.None)
        {
            return _fstat.Map(error);
        }

        listing.Directory = own;
        listing.HasDirectory = true;
        listing.InodesReliable = true;
        byte* buffer = (byte*)Interlocked.Exchange(ref _spareBuffer, 0);
        if (buffer == null && !NativeBlock.TryAlloc(BufferBytes, out buffer))
        {
            return Errno.ENOMEM;
        }

        error = FileIo.Lseek(fd, 0, Fcntl.SEEK_SET, out _);
        while (error == Errno.None)
        {
            error = Directories.Getdents64(fd, buffer, BufferBytes, out int length);
            if (length == 0)
            {
                break;
            }

            if (error == Errno.None)
            {
                error = Take(fd, buffer, length, ref listing);
            }
        }

        // One buffer is kept for the next listing.
        NativeMemory.Free((void*)Interlocked.Exchange(ref _spareBuffer, (nint)buffer));
        // EBADF: an O_PATH descriptor, which is what a directory that may not be listed is opened as.
        return _getdents.Map(error == Errno.EBADF ? Errno.EACCES : error);
    }

    public void Dispose() => NativeMemory.Free((void*)Interlocked.Exchange(ref _spareBuffer, 0));

    /// <summary>Takes the records of one buffer; asks for the types that they do not tell.</summary>
    internal Errno Take(int fd, byte* buffer, int length, ref DirectoryListing listing)
    {
        // SAFETY: the kernel fills whole records, each with d_reclen bytes and a NUL-terminated name.
        for (int at = 0; at < length;)
        {
            dirent64* entry = (dirent64*)(buffer + at);
            at += entry->d_reclen;
            ByteName name = ByteName.FromNulTerminated(entry->d_name);
            if (name.IsDotOrDotDot)
            {
                if (name.Length == 1 && entry->d_ino != listing.Directory.st_ino)
                {
                    listing.InodesReliable = false;
                }

                continue;
            }

            FileType type = (FileType)entry->d_type;
            if (type == FileType.Unknown)
            {
                Errno error = AskType(fd, name, out type);
                if (error == Errno.ENOENT)
                {
                    continue;
                }

                if (error != Errno.None)
                {
                    return _fstatat.Map(error);
                }
            }

            bool told = entry->d_ino is not (0 or FuseUnknownInode);
            listing.InodesReliable &= told;
            Errno added = listing.Add(name, type, told ? entry->d_ino : 0);
            if (added != Errno.None)
            {
                return added;
            }
        }

        return Errno.None;
    }

    private static Errno AskType(int fd, ByteName name, out FileType type)
    {
        stat attributes;
        Errno error = Interop.Attributes.Fstatat(
            fd, name.Pointer, &attributes, Fcntl.AT_SYMLINK_NOFOLLOW | Fcntl.AT_NO_AUTOMOUNT);
        type = error == Errno.None ? FileTypes.FromMode(attributes.st_mode) : FileType.Unknown;
        return error;
    }
}
