using Antares.Aot.Base;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Remote;
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
        try
        {
            return OpenStrict(path);
        }
        catch (ImageException problem)
        {
            throw MountProblem.Host($"image {path} {problem.Message}");
        }
    }

    /// <summary>As <see cref="Open(string)"/>, with an exception of its own for what is no image or a damaged one.</summary>
    /// <exception cref="MountProblem">Host: no such file, no permission.</exception>
    /// <exception cref="ImageException">What is wrong with it.</exception>
    public static ImageLayer OpenStrict(string path)
    {
        if (ImageAddress.IsMeant(path))
        {
            throw RefuseServer(ImageAddress.WithoutSecrets(path), "this command");
        }

        SourceSpec.CheckPath("image", path);
        var error = HostPath.Open(path, Fcntl.O_RDONLY | Fcntl.O_NONBLOCK, 0, out var fd);
        return error == Errno.None ? Open(fd) : throw MountProblem.Host($"image {path}", error);
    }

    /// <summary>What reads an image whole, or writes one, works on files.</summary>
    public static MountProblem RefuseServer(string address, string who) =>
        MountProblem.Usage($"{address}: {who} takes an image from a file, not from a server: fetch it first (curl -O), or mount it (antares-aot mount {address} MNT)");

    /// <summary>Makes a layer of an open file, which is taken over, or closed when it is no image.</summary>
    /// <exception cref="ImageException">What is wrong with it.</exception>
    public static ImageLayer Open(int fd)
    {
        try
        {
            return ImageLayer.Open(fd, IdMap.Identity, IdMap.Identity);
        }
        catch (ImageException)
        {
            _ = Fd.Close(fd); // open for reading only: closing can lose nothing
            throw;
        }
    }

    /// <summary>Does something that reads an image, so that damage is told with the image's name.</summary>
    /// <exception cref="MountProblem">Host: the image is damaged, and where.</exception>
    public static T Reading<T>(string path, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (ImageException problem)
        {
            throw MountProblem.Host($"image {path}: {problem.Message}; antares-aot verify tells all that is wrong");
        }
    }

    /// <summary>The node of a path below the root, given with or without slashes at its ends; "" and "." are the root.</summary>
    /// <exception cref="MountProblem">Host: there is none.</exception>
    /// <exception cref="ImageException">The image is damaged on the way.</exception>
    public static unsafe uint Resolve(ImageLayer image, string path)
    {
        var node = ILayer.RootNode;
        foreach (var part in path.Split('/', StringSplitOptions.RemoveEmptyEntries).Where(part => part != "."))
        {
            Errno error;
            fixed (byte* name = HostPath.Bytes(part))
            {
                error = image.Find(node, ByteName.FromNulTerminated(name), out node);
            }

            if (error is Errno.ENOENT or Errno.ENOTDIR)
            {
                throw MountProblem.Host($"{path}: no such path in the image");
            }

            ImageReads.Must(error, path);
        }

        return node;
    }
}
