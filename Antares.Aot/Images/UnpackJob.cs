using Antares.Aot.Layers;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Images;

/// <summary>The verb <c>unpack</c>. Each member tells what was left out, or null.</summary>
internal static class UnpackJob
{
    private const int StandardOutput = 1;
    private const uint NewFolder = 0x1FF; // rwxrwxrwx, less the umask; the root's own mode follows at the end

    /// <exception cref="Dicfuse.Image.ImageException">The image is damaged.</exception>
    /// <exception cref="MountProblem">Host: what cannot be written; what was written stays.</exception>
    public static string? ToFolder(ImageLayer image, string folder)
    {
        SourceSpec.CheckPath("FOLDER", folder);
        var error = HostPath.MakeFolder(folder, NewFolder);
        if (error is not (Errno.None or Errno.EEXIST))
        {
            throw MountProblem.Host($"folder {folder} cannot be made", error);
        }

        error = HostPath.OpenFolder(folder, out var fd);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"folder {folder}", error);
        }

        error = HostPath.List(fd, 1, out var names);
        if (error != Errno.None || names.Count > 0)
        {
            _ = Fd.Close(fd); // a folder
            throw error != Errno.None
                ? MountProblem.Host($"folder {folder} cannot be listed", error)
                : MountProblem.Host($"folder {folder} is not empty (it holds '{names[0]}'): choose an empty or a new one");
        }

        using var unpacker = new FolderUnpacker(image, fd);
        unpacker.Run();
        return unpacker.SkippedXattrs == 0 ? null : $"{unpacker.SkippedXattrs} extended attributes could not be set: not permitted, or not known to the file system";
    }

    /// <inheritdoc cref="ToFolder"/>
    public static string? ToTar(ImageLayer image, string file)
    {
        SourceSpec.CheckPath("--tar", file);
        using var target = file == "-" ? null : NewFile.Make(file);
        var unpacker = new TarUnpacker(image, target?.Fd ?? StandardOutput);
        unpacker.Run();
        target?.Publish();
        return unpacker.SkippedSockets == 0 ? null : $"{unpacker.SkippedSockets} sockets were left out: a tar archive holds none";
    }
}
