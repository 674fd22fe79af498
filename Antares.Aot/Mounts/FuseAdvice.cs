using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Why the host does not let us mount, asked after it refused.</summary>
internal static class FuseAdvice
{
    private const string Device = "/dev/fuse";

    /// <summary>The sentence for the user.</summary>
    /// <param name="plan">What was to be mounted.</param>
    /// <param name="error">What the attempt gave.</param>
    /// <param name="problem">What libfuse said, or null.</param>
    public static MountProblem Explain(MountPlan plan, Errno error, string? problem)
    {
        var open = HostPath.Open(Device, Fcntl.O_RDWR, 0, out var fd);
        if (open == Errno.None)
        {
            _ = Fd.Close(fd); // only tried
        }

        var reason = open switch
        {
            Errno.ENOENT => $"there is no {Device}; load the module (modprobe fuse), or give the container the device (--device {Device})",
            Errno.EACCES or Errno.EPERM => $"no permission to open {Device} ({open}); give this user access, or allow the container the device (--device {Device})",
            Errno.ENODEV or Errno.ENXIO => $"the kernel behind {Device} has no FUSE ({open}); load the module (modprobe fuse)",
            _ when error is Errno.EPERM or Errno.EACCES && plan.IsRoot =>
                "root may not mount here (no CAP_SYS_ADMIN); give the container --cap-add SYS_ADMIN, or use a user namespace (unshare -Urm)",
            _ when !plan.IsRoot && plan.AllowOther && !MayAllowOther() =>
                "--allow-other as a plain user needs the line user_allow_other in /etc/fuse.conf",
            _ when !plan.IsRoot && !HasFusermount() =>
                "a plain user mounts through fusermount3, which is not installed (package fuse3); install it, or use a user namespace (unshare -Urm)",
            _ => problem ?? ErrnoText.Of(error),
        };
        // Several folders are merged here, by FUSE, unless the kernel is asked for by name.
        var other = open != Errno.None && plan.Request.Engine == EngineWish.Auto && plan.IsRoot && plan.Lowers.Count > 1 && plan.Lowers.All(lower => lower.Spec.Kind == SourceKind.Folder)
            ? "; or --engine kernel, which needs none for plain folders"
            : "";
        return MountProblem.Host($"cannot mount at {plan.MountPoint}: {reason}{other}");
    }

    /// <summary>What becomes of options that a plain user's mount cannot have; null: nothing.</summary>
    /// <param name="isRoot">Mounted without fusermount3, which takes them away without a word.</param>
    /// <param name="options">As mount(8) spells them; the last of a pair counts.</param>
    public static string? TakenFromUser(bool isRoot, IReadOnlyList<string> options)
    {
        var taken = ((ReadOnlySpan<string>)["suid", "dev"]).ToArray()
            .Where(option => options.LastOrDefault(other => other == option || other == "no" + option) == option).ToList();
        return isRoot || taken.Count == 0
            ? null
            : $"-o {string.Join(',', taken)}: without effect, since a plain user's mount is always nosuid and nodev (fusermount3); mount as root where that is needed";
    }

    private static bool MayAllowOther() =>
        HostPath.ReadAll("/etc/fuse.conf", out var content) == Errno.None
        && System.Text.Encoding.UTF8.GetString(content).Split('\n').Any(line => line.Trim() == "user_allow_other");

    private static bool HasFusermount() => Fusermount.FindProgram() is not null;
}
