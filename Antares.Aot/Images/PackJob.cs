using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Layers;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Images;

/// <summary>The verb <c>pack</c>: a source that the user names becomes an image file.</summary>
internal static class PackJob
{
    private const int SourceFds = 256;

    /// <summary>Packs a source. The file appears complete or not at all.</summary>
    /// <returns>What the user should hear of, a sentence each.</returns>
    /// <param name="source">What is packed.</param>
    /// <param name="target">The image file.</param>
    /// <param name="patched">An image: only what differs from it is packed; null: everything.</param>
    /// <param name="mega">For a server's directory.</param>
    /// <param name="options">How.</param>
    /// <param name="progress">Told now and then.</param>
    /// <exception cref="MountProblem">Usage: the base is a patch itself; Host: what cannot be read or written.</exception>
    public static IReadOnlyList<string> Run(
        SourceSpec source, string target, string? patched, MegaRequest mega, PackOptions options, Action<PackProgress> progress)
    {
        try
        {
            using var unpacked = source.Kind == SourceKind.Tar ? NewFile.Make(target) : null;
            using var old = patched is null ? null : OpenBase(patched);
            options = options with { Base = old?.PatchName };
            if (source.Kind == SourceKind.Mega)
            {
                // A server knows no owners; those of this process would make another image of the same revision for another user.
                options = options with { Owner = options.Owner ?? (0, 0) };
            }

            using var log = new Log(LogLevel.Warn);
            using var tree = old is null
                ? Open(source, target, unpacked, mega, log, progress)
                : PatchSource.Make(Open(source, target, unpacked, mega, log, progress), new LayerSource(old, "image"), options);
            using var image = NewFile.Make(target);
            using var contents = NewFile.Make(target);
            ImagePacker.Pack(tree, options, image.Fd, contents.Fd, progress);
            image.Publish();
            return tree.Notes;
        }
        catch (ImageException problem)
        {
            throw MountProblem.Host($"pack {source}: {problem.Message}");
        }
    }

    private static IPackSource Open(SourceSpec source, string target, NewFile? unpacked, MegaRequest mega, Log log, Action<PackProgress> progress) => source.Kind switch
    {
        SourceKind.Git => PackSources.OpenGit(source, PackSources.FindRevision(source), progress),
        SourceKind.Tar when unpacked is not null => PackSources.OpenTar(source, PackSources.OpenArchive(source, out _), unpacked.Fd, progress),
        SourceKind.Mega => OpenServer(source, mega, log),
        SourceKind.Remote => throw ImageFiles.RefuseServer(source.ToString(), "pack"),
        _ => OpenFolder(source, target),
    };

    private static LayerSource OpenServer(SourceSpec source, MegaRequest mega, Log log)
    {
        var pinned = MegaSetup.Pin(MegaSetup.Address(source, mega), mega, workspaceStore: null, log, takesAll: true);
        var revision = pinned.Trees.Commit.Id.ToString();

        // Contents come side by side, ahead of who packs, who would ask for one after the other; what fails is told when it is packed. Of more than half
        // a store they would push each other out: the rest is fetched one by one.
        var everything = new PrefetchPlan([], Replay: null, mega.StoreLimit / 2) { IsEverything = true };

        // Contents are in the store.
        var options = new DicfuseOptions { MemoryLimitBytes = 0 };
        var error = DicfuseLayer.OpenServer("mega", pinned, options, mega.Offline ? null : everything, Log.Off, out var layer);
        if (error == Errno.None && layer is not null)
        {
            layer.StartOthers();
            return new LayerSource(layer, "mega", revision);
        }

        pinned.Dispose();
        throw MountProblem.Host($"source {source} cannot be opened", error);
    }

    private static ImageLayer OpenBase(string path)
    {
        var image = ImageFiles.Open(path);
        if (!image.IsPatch)
        {
            return image;
        }

        image.Dispose();
        throw MountProblem.Usage($"--base {path} is a patch itself: give the image that it was made for");
    }

    private static LayerSource OpenFolder(SourceSpec source, string target)
    {
        var error = HostPath.Open(source.Path, Fcntl.O_RDONLY | Fcntl.O_NONBLOCK, 0, out var fd);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"source {source.Path}", error);
        }

        if (IsFile(fd) && source.Kind == SourceKind.Folder)
        {
            return new LayerSource(ImageFiles.Open(fd), "image");
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
                return new LayerSource(layer, "folder");
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
