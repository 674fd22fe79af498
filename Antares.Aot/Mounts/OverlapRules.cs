using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// Which folders of a mount must not lie in one another. A layer that saw the mount would ask its own server and never get an answer;
/// an upper inside a layer would show its own writes as the source.
/// </summary>
internal static class OverlapRules
{
    /// <summary>Names that the overlay itself keeps in a work folder.</summary>
    private static readonly string[] s_workNames = ["work", "index"];

    /// <exception cref="MountProblem">Host: the first rule broken, by name of both folders.</exception>
    public static void Check(MountPlan plan)
    {
        foreach (var lower in plan.Lowers)
        {
            if (lower.RealPath == "/")
            {
                throw MountProblem.Host(
                    "source / holds every folder, so the mount point and the upper too: give a folder in it, or an image of it (antares-aot pack / -o FILE)");
            }

            Apart("mount point", plan.MountPoint, "source", lower.RealPath, Way(plan, plan.MountPoint));
            Apart("source", lower.RealPath, "mount point", plan.MountPoint, "choose another mount point");
        }

        if (plan is { Upper: { } upper, UpperPath: { } upperPath, Work: { } work, WorkPath: { } workPath })
        {
            CheckUpper(plan, upperPath, workPath);
            CheckWork(upper, upperPath, work, workPath);
        }
    }

    private static void CheckUpper(MountPlan plan, string upper, string work)
    {
        foreach (var lower in plan.Lowers)
        {
            if (upper == lower.RealPath)
            {
                throw MountProblem.Host($"upper {upper} is the source itself; writes need a folder of their own");
            }

            Apart("upper", upper, "source", lower.RealPath, Way(plan, upper));
            Apart("source", lower.RealPath, "upper", upper, "choose another --upper");
            Apart("work", work, "source", lower.RealPath, Way(plan, work));
            Apart("source", lower.RealPath, "work", work, "choose another --work");
        }

        Apart("mount point", plan.MountPoint, "upper", upper, "choose another --upper or mount point");
        Apart("upper", upper, "mount point", plan.MountPoint, "choose another --upper or mount point");
        Apart("mount point", plan.MountPoint, "work", work, "choose another --work or mount point");
        Apart("work", work, "mount point", plan.MountPoint, "choose another --work or mount point");
        Apart("work", work, "upper", upper, "choose a --work beside the upper");
        Apart("upper", upper, "work", work, "choose a --work beside the upper");
    }

    private static unsafe void CheckWork(OwnedFd upper, string upperPath, OwnedFd work, string workPath)
    {
        stat first = default;
        stat second = default;
        var error = Attributes.Fstat(upper.Value, &first);
        if (error == Errno.None)
        {
            error = Attributes.Fstat(work.Value, &second);
        }

        if (error != Errno.None)
        {
            throw MountProblem.Host($"cannot look at {upperPath} and {workPath}", error);
        }

        if (first.st_dev != second.st_dev)
        {
            throw MountProblem.Host(
                $"work {workPath} is not on the file system of upper {upperPath}: files are renamed from one to the other; give --work a folder there (an upper that is the root of a file system has none beside it: give a folder in it)");
        }

        error = HostPath.List(work.Value, s_workNames.Length + 1, out var names);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"work {workPath} cannot be listed", error);
        }

        if (names.Find(name => !s_workNames.Contains(name)) is { } foreign)
        {
            throw MountProblem.Host($"work {workPath} holds '{foreign}', which no overlay made: it is emptied at each mount, so choose an empty folder");
        }
    }

    private static string Way(MountPlan plan, string path) =>
        plan.Workspace is { } workspace && HostPath.IsSameOrInside(path, workspace.FolderPath)
            ? "choose another --workspace-root"
            : "choose a folder outside of it";

    private static void Apart(string what, string path, string other, string folder, string advice)
    {
        if (HostPath.IsSameOrInside(path, folder))
        {
            throw MountProblem.Host($"{what} {path} lies inside {other} {folder}; {advice}");
        }
    }
}
