using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Layers;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Images;

/// <summary>The verb <c>pack</c>: a source that the user names becomes an image file.</summary>
internal static class PackJob
{
    private const int SourceFds = 256;

    /// <summary>Packs a source. The file appears complete or not at all.</summary>
    /// <exception cref="MountProblem">Host: what cannot be read or written.</exception>
    public static void Run(SourceSpec source, string target, PackOptions options, Action<PackProgress> progress)
    {
        try
        {
            using var layer = Open(source, target);
            using var image = NewFile.Make(target);
            using var contents = NewFile.Make(target);
            ImagePacker.Pack(layer, layer is ImageLayer ? options with { SourceKind = "image" } : options, image.Fd, contents.Fd, progress);
            image.Publish();
        }
        catch (ImageException problem)
        {
            throw MountProblem.Host($"pack {source}: {problem.Message}");
        }
    }

    private static ILayer Open(SourceSpec source, string target)
    {
        var error = HostPath.Open(source.Path, Fcntl.O_RDONLY | Fcntl.O_NONBLOCK, 0, out var fd);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"source {source.Path}", error);
        }

        if (IsFile(fd) && source.Kind == SourceKind.Folder)
        {
            return ImageFiles.Open(fd);
        }

        try
        {
            var folder = HostPath.RealPathOf(fd, source.Path);
            if (HostPath.RealPath(Path.GetDirectoryName(HostPath.Absolute(target)) ?? "/", out var place) == Errno.None
                && HostPath.IsSameOrInside(place, folder))
            {
                throw MountProblem.Usage($"pack: {target} lies in the source {source.Path}, so the next image would hold this one; choose a place outside of it");
            }

            // Each file is read once: nothing of its content is held.
            var options = new DicfuseOptions { MemoryLimitBytes = 0, FdCapacity = SourceFds };
            error = DicfuseLayer.OpenFolder("source", fd, options, out var layer);
            if (error == Errno.None && layer is not null)
            {
                fd = -1;
                return layer;
            }

            throw MountProblem.Host(error == Errno.ENOTDIR ? $"source {source.Path} is neither a folder nor an image" : $"source {source.Path}", error);
        }
        finally
        {
            if (fd >= 0)
            {
                _ = Fd.Close(fd); // open for reading only: closing can lose nothing
            }
        }
    }

    private static unsafe bool IsFile(int fd)
    {
        stat attributes;
        return Attributes.Fstat(fd, &attributes) == Errno.None && StatMode.IsRegular(attributes.st_mode);
    }
}
