using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Layers;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Images;

/// <summary>
/// Writes an image's tree into an empty folder. Every name is made in the directory that was just made, by descriptor, so that nothing
/// leads out of it. Owners are kept as root only, and extended attributes as far as the process and the file system allow.
/// </summary>
internal sealed unsafe class FolderUnpacker : IDisposable
{
    private const uint PrivateFolder = 0x1C0; // rwx------
    private const uint PrivateFile = 0x180; // rw-------
    private const uint ModeBits = 0xFFF;
    private const int PieceBytes = ImageFormat.FrameBytes;

    private readonly ImageLayer _image;
    private readonly bool _isRoot = Process.Geteuid() == 0;
    private readonly List<(int Fd, uint Node)> _open = [];
    private readonly SeenLinks _links = new();
    private readonly byte* _buffer = (byte*)NativeMemory.Alloc(PieceBytes);

    /// <param name="image">What to write.</param>
    /// <param name="folder">An empty folder, open; taken over.</param>
    public FolderUnpacker(ImageLayer image, int folder)
    {
        _image = image;
        _open.Add((folder, ILayer.RootNode));
    }

    /// <summary>Extended attributes that could not be set.</summary>
    public long SkippedXattrs { get; private set; }

    /// <exception cref="ImageException">The image is damaged.</exception>
    /// <exception cref="MountProblem">Host: what cannot be written.</exception>
    public void Run()
    {
        var walk = new ImageWalk(_image.Tree, ILayer.RootNode);
        while (walk.MoveNext())
        {
            while (_open.Count > walk.Depth + 1)
            {
                Close();
            }

            Make(walk);
        }

        while (_open.Count > 0)
        {
            Close();
        }
    }

    public void Dispose()
    {
        foreach (var (fd, _) in _open)
        {
            _ = Fd.Close(fd); // a folder
        }

        NativeMemory.Free(_buffer);
    }

    /// <summary>Ends the innermost directory: nothing in it changes any more, so it gets its attributes.</summary>
    private void Close()
    {
        var (fd, node) = _open[^1];
        var path = Utf8.Print(ImageReads.PathOf(_image, node));
        Describe(fd, node, ImageReads.Attributes(_image, node, path), path);
        _open.RemoveAt(_open.Count - 1);
        _ = Fd.Close(fd); // as above
    }

    private void Make(ImageWalk walk)
    {
        var path = walk.PrintedPath;
        var folder = _open[^1].Fd;
        var name = walk.Name.Pointer;
        if (_links.Find(walk) is { } first)
        {
            fixed (byte* old = (byte[])[.. first, 0])
            {
                Must(PathOps.Linkat(_open[0].Fd, old, folder, name, 0), path);
            }

            return;
        }

        var attributes = ImageReads.Attributes(_image, walk.Node, path);
        int fd;
        switch (FileTypes.FromMode(attributes.st_mode))
        {
            case FileType.Directory:
                Must(PathOps.Mkdirat(folder, name, PrivateFolder), path);
                Must(Fd.Openat(folder, name, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_NOFOLLOW | Fcntl.O_CLOEXEC, 0, out fd), path);
                _open.Add((fd, walk.Node));
                break;
            case FileType.Regular:
                Must(Fd.Openat(folder, name, Fcntl.O_WRONLY | Fcntl.O_CREAT | Fcntl.O_EXCL | Fcntl.O_NOFOLLOW | Fcntl.O_CLOEXEC, PrivateFile, out fd), path);
                using (new OwnedFd(fd))
                {
                    WriteContent(fd, walk.Node, (ulong)attributes.st_size, path);
                    Describe(fd, walk.Node, attributes, path);
                }

                break;
            case FileType.Symlink:
                fixed (byte* target = (byte[])[.. ImageReads.Target(_image, walk.Node, path), 0])
                {
                    Must(PathOps.Symlinkat(target, folder, name), path);
                }

                DescribeByName(folder, walk, attributes, path);
                break;
            default:
                Must(PathOps.Mknodat(folder, name, (attributes.st_mode & FileTypes.FormatMask) | PrivateFile, attributes.st_rdev), path);
                DescribeByName(folder, walk, attributes, path);
                break;
        }
    }

    /// <summary>Pieces of zeros become holes.</summary>
    private void WriteContent(int fd, uint node, ulong size, string path)
    {
        for (ulong at = 0; at < size;)
        {
            var got = ImageReads.Content(_image, node, at, _buffer, PieceBytes, path);
            ImageReads.Must(got == 0 ? Errno.EIO : Errno.None, path); // shorter than its attributes said: written over meanwhile
            if (got < PieceBytes || new ReadOnlySpan<byte>(_buffer, got).ContainsAnyExcept((byte)0))
            {
                Must(FileIo.WriteFull(fd, _buffer, (nuint)got, (long)at), path);
            }

            at += (ulong)got;
        }

        Must(FileIo.Ftruncate(fd, (long)size), path);
    }

    /// <summary>
    /// Owner first, since a change of it takes set-id bits and capabilities away; the mode after the attributes, which an owner without the right to
    /// write may not set, and which an ACL changes; times last.
    /// </summary>
    private void Describe(int fd, uint node, in stat attributes, string path)
    {
        if (_isRoot)
        {
            Must(Attributes.Fchown(fd, attributes.st_uid, attributes.st_gid), path);
        }

        foreach (var (name, value) in ImageReads.Xattrs(_image, node, path))
        {
            fixed (byte* key = name, bytes = value)
            {
                Count(Xattrs.Fsetxattr(fd, key, bytes, (nuint)value.Length, 0), path);
            }
        }

        Must(Attributes.Fchmod(fd, attributes.st_mode & ModeBits), path);

        var times = stackalloc timespec[2] { attributes.st_mtim, attributes.st_mtim };
        Must(Attributes.Futimens(fd, times), path);
    }

    private void DescribeByName(int folder, ImageWalk walk, in stat attributes, string path)
    {
        if (_isRoot)
        {
            Must(Attributes.Fchownat(folder, walk.Name.Pointer, attributes.st_uid, attributes.st_gid, Fcntl.AT_SYMLINK_NOFOLLOW), path);
        }

        foreach (var (name, value) in ImageReads.Xattrs(_image, walk.Node, path))
        {
            fixed (byte* key = name, bytes = value, place = (byte[])[.. HostPath.Bytes($"/proc/self/fd/{folder}/")[..^1], .. walk.Name.Span, 0])
            {
                Count(Xattrs.Lsetxattr(place, key, bytes, (nuint)value.Length, 0), path);
            }
        }

        if (FileTypes.FromMode(attributes.st_mode) != FileType.Symlink)
        {
            // What somebody else put in its place is not to be followed.
            Must(Attributes.Fchmodat(folder, walk.Name.Pointer, attributes.st_mode & ModeBits, Fcntl.AT_SYMLINK_NOFOLLOW), path);
        }

        var times = stackalloc timespec[2] { attributes.st_mtim, attributes.st_mtim };
        Must(Attributes.Utimensat(folder, walk.Name.Pointer, times, Fcntl.AT_SYMLINK_NOFOLLOW), path);
    }

    private void Count(Errno error, string path)
    {
        if (error is Errno.EPERM or Errno.EOPNOTSUPP or Errno.EACCES)
        {
            SkippedXattrs++;
            return;
        }

        Must(error, path);
    }

    private static void Must(Errno error, string path)
    {
        if (error != Errno.None)
        {
            throw MountProblem.Host($"{path} cannot be written", error);
        }
    }
}
