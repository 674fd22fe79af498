using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// <c>antares_build_&lt;id&gt;</c>: the folder of one mount's own things under the workspace root.
/// </summary>
/// <remarks>
/// <code>
/// mnt    the mount point, when none was given
/// upper  what the job writes, when no upper was given
/// cl     files of a changelist
/// store  blobs that do not fit in memory
/// .work  the overlay's working folder, on the upper's file system
/// </code>
/// Made with a random id, so an existing folder is never taken over; removed at the end unless it is to be kept.
/// </remarks>
public sealed class Workspace
{
    public const string NamePrefix = "antares_build_";

    /// <summary>From the folder to the mount point that it has for mounts that were given none.</summary>
    public const string MountPointName = "/mnt";

    private const string UpperName = "/upper";

    private Workspace(string id, string path)
    {
        Id = id;
        FolderPath = path;
    }

    /// <summary>The id of the mount: lower-case hex.</summary>
    public string Id { get; }

    /// <summary>Path without links.</summary>
    public string FolderPath { get; }

    /// <summary>The folder is ours to remove.</summary>
    public bool IsMade { get; private set; }

    public string MountPoint => FolderPath + MountPointName;

    public string Upper => FolderPath + UpperName;

    public string ChangelistFolder => FolderPath + "/cl";

    public string Store => FolderPath + "/store";

    public string Work => FolderPath + "/.work";

    /// <summary>A new id; it names the mount in the state and in the workspace's folder.</summary>
    /// <remarks>Needs no /dev/urandom, which a bare container lacks: clock, process and what randomness there is, spread by a multiplier.</remarks>
    public static string NewId()
    {
        ulong mixed = (ulong)DateTime.UtcNow.Ticks ^ ((ulong)(uint)Environment.ProcessId << 40) ^ (ulong)Random.Shared.NextInt64();
        return (mixed * 0x9E3779B97F4A7C15UL).ToString("x16", System.Globalization.CultureInfo.InvariantCulture)[..12];
    }

    /// <summary>The id in a workspace's name or path, or null when it is none.</summary>
    public static string? IdOf(string nameOrPath)
    {
        var name = nameOrPath[(nameOrPath.LastIndexOf('/') + 1)..];
        return name.StartsWith(NamePrefix, StringComparison.Ordinal) && name.Length > NamePrefix.Length ? name[NamePrefix.Length..] : null;
    }

    /// <summary>Says where a workspace will be; makes nothing yet.</summary>
    /// <param name="root">Folder to make it in.</param>
    /// <param name="id">From <see cref="NewId"/>.</param>
    /// <exception cref="MountProblem">Host: the root is missing.</exception>
    public static Workspace In(string root, string id)
    {
        var error = HostPath.RealPath(root, out var realRoot);
        if (error != Errno.None)
        {
            throw MountProblem.Host(
                $"workspace root {root}: {ErrnoText.Of(error)}; choose an existing folder with --workspace-root");
        }

        if (!HostPath.IsFaithful(realRoot))
        {
            throw MountProblem.Usage($"workspace root {root}: its path without links ({realRoot}) is not UTF-8; choose another folder with --workspace-root");
        }

        return new Workspace(id, (realRoot == "/" ? "" : realRoot) + "/" + NamePrefix + id);
    }

    /// <summary>Makes the folders. One of its name that is there already is not taken over.</summary>
    /// <param name="forOthers">True: other users may pass through to the mount point and the upper.</param>
    /// <exception cref="MountProblem">Host: the root is not writable or full; nothing is left behind.</exception>
    public void Make(bool forOthers)
    {
        var error = HostPath.MakeFolder(FolderPath, Modes.Private);
        if (error != Errno.None)
        {
            throw MountProblem.Host(
                $"cannot make the workspace {FolderPath}: {ErrnoText.Of(error)}; choose a writable folder with --workspace-root");
        }

        IsMade = true;
        try
        {
            MakeParts(forOthers);
        }
        catch (MountProblem)
        {
            _ = Remove(); // the reason to tell is why it could not be made
            throw;
        }
    }

    /// <summary>Removes the workspace with all in it.</summary>
    /// <returns>None; EXDEV: something is still mounted in it; another errno: what stopped the removal.</returns>
    public Errno Remove() => IsMade ? Remove(FolderPath) : Errno.None;

    /// <summary>The upper that the end of the mount takes away and in which something was written; null: there is none such.</summary>
    public static string? ThrownAwayWrites(MountRecord record)
    {
        if (record is not { Keep: false, Workspace: { } workspace, Upper: { } upper } || upper != workspace + UpperName)
        {
            return null;
        }

        try
        {
            return Directory.EnumerateFileSystemEntries(upper).Any() ? upper : null;
        }
        catch (DirectoryNotFoundException)
        {
            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return upper; // not to be seen: then nobody can say that it is empty
        }
    }

    /// <summary>Where a workspace stays after its mount; null: none does.</summary>
    public static string? KeptText(MountRecord record) =>
        record is not { Keep: true, Workspace: { } workspace } ? null
        : record.Upper is { } upper ? $"kept {workspace}; what was written is in {upper}"
        : $"kept {workspace}";

    /// <summary>Removes a workspace of a mount whose process is gone.</summary>
    public static Errno Remove(string path) => TreeRemover.Remove(path);

    private void MakeParts(bool forOthers)
    {
        Make(MountPoint, Modes.Folder);
        Make(Upper, Modes.Folder);
        Make(Work, Modes.Private);
        Make(ChangelistFolder, Modes.Private);
        Make(Store, Modes.Private);
        if (forOthers)
        {
            Check(FolderPath, HostPath.SetMode(FolderPath, Modes.Folder));
        }
    }

    private static void Make(string path, uint mode) => Check(path, HostPath.MakeFolder(path, mode));

    private static void Check(string path, Errno error)
    {
        if (error != Errno.None)
        {
            throw MountProblem.Host($"cannot make {path}", error);
        }
    }
}
