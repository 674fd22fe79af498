using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Layers;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Images;

/// <summary>Opens the image files that the user names.</summary>
internal static class ImageFiles
{
    /// <summary>Opens an image as a layer; its owners are shown as stored.</summary>
    /// <exception cref="MountProblem">Host: no such file, no permission, no image.</exception>
    public static ImageLayer Open(string path)
    {
        SourceSpec.CheckPath("image", path);
        var error = HostPath.Open(path, Fcntl.O_RDONLY | Fcntl.O_NONBLOCK, 0, out var fd);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"image {path}", error);
        }

        return Open(path, fd);
    }

    /// <summary>Makes a layer of an open file, which is taken over, or closed when it is no image.</summary>
    /// <exception cref="MountProblem">Host: what is wrong with it.</exception>
    public static ImageLayer Open(string path, int fd)
    {
        try
        {
            return ImageLayer.Open(fd, IdMap.Identity, IdMap.Identity);
        }
        catch (ImageException problem)
        {
            _ = Fd.Close(fd); // open for reading only: closing can lose nothing
            throw MountProblem.Host($"image {path}: {problem.Message}");
        }
    }
}
