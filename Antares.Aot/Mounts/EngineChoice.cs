using Antares.Aot.Diagnostics;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>What can be said of the engines before anything is tried.</summary>
internal static class EngineChoice
{
    /// <summary>Why a plan is for the FUSE engine; null: the kernel's overlay is to be tried.</summary>
    /// <exception cref="MountProblem">Usage: the kernel engine is asked for together with what it does not have; Host: this user may not mount, or not this upper.</exception>
    public static string? WhyFuse(MountPlan plan)
    {
        if (plan.Request.Erofs == true && plan.Lowers is not [{ IsImage: true }])
        {
            throw MountProblem.Usage("--erofs wants one image as the only source; leave it out");
        }

        if (plan.Request.Erofs == true && ErofsLower.IsAway(plan))
        {
            throw MountProblem.Usage("--erofs wants an image on this machine: leave it out, or fetch the image first");
        }

        // Without ASYNC_DIO a read of several requests (a huge page of a mapping) that fails in a later one may be a short one, which fs/erofs/fileio.c fills with zeros.
        if (plan.Request is { Erofs: true, InitMask: not null })
        {
            throw MountProblem.Usage("--erofs needs all that --init-mask may hide; leave one of them out");
        }

        return (AsAsked(plan) ?? ByFolders(plan)) is not { } why ? null
            : plan.Request.Erofs == true ? throw MountProblem.Usage($"--erofs is about the kernel engine, and this mount is for FUSE ({why}): leave it out")
            : why;
    }

    /// <summary>What of it can be said when no folder has been looked at.</summary>
    /// <exception cref="MountProblem">As <see cref="WhyFuse"/>.</exception>
    public static string? AsAsked(MountPlan plan)
    {
        if (plan.Request.Engine == EngineWish.Fuse)
        {
            return "as asked";
        }

        if (plan.Request.ReadOnly)
        {
            return "a read-only mount has nothing for the kernel's overlay to do";
        }

        if (plan.Request.AllowOther == false)
        {
            return Only(plan, "--allow-other=false: the kernel's overlay is open to all users", MountProblem.Usage);
        }

        if (plan.Request.MountOptions.FirstOrDefault(option => !KernelOverlay.Takes(option)) is { } unknown)
        {
            return Only(plan, $"mount option {unknown}", MountProblem.Usage);
        }

        if (OnlyOurs(plan.Request) is { } ours)
        {
            return Only(plan, ours, MountProblem.Usage);
        }

        if (!Process.HasCapability(Process.CAP_SYS_ADMIN))
        {
            return Only(plan, "the kernel's overlay needs CAP_SYS_ADMIN: root, or a user namespace (unshare -Urm)", MountProblem.Host);
        }

        return plan.Request.Engine == EngineWish.Auto ? BetterWithFuse(plan) : null;
    }

    private static string? ByFolders(MountPlan plan)
    {
        if (ForeignMarks.OfUpper(plan) is { } mark)
        {
            return Only(plan, $"upper {plan.UpperPath} has {mark}, which the kernel's overlay would not read here", MountProblem.Host);
        }

        if (plan.Upper is { } upper && KernelUpper.Refusal(upper.Value) is { } kind)
        {
            return Only(plan, $"upper {plan.UpperPath} lies on {kind}, where the kernel's overlay takes none", MountProblem.Host);
        }

        return plan.Request.Engine != EngineWish.Auto ? null
            : plan.Lowers.Count == 1 && ForeignMarks.OfLowers(plan) is { } foreign ? $"{foreign}, which the kernel's overlay would not read here"
            : null;
    }

    /// <summary>Why the kernel's overlay, though it may be had, is not taken unasked; null: it is.</summary>
    private static string? BetterWithFuse(MountPlan plan) => plan.Request switch
    {
        { Mega.Changelist: not null } => "a changelist can be changed in a mount by FUSE only",
        { Lowers: [{ Kind: SourceKind.Mega }] } => "what is shown of a server can be changed in a mount (cl set, refresh) by FUSE only",
        { Writeback: true } => "--writeback is about FUSE",
        { InitMask: not null } => "--init-mask is about FUSE",
        _ => plan.UserXattrs ? "marks under user.* (a user namespace): the kernel's overlay renames no lower directories there" : null,
    };

    /// <summary>What of a request the kernel's overlay does not have; null: nothing.</summary>
    private static string? OnlyOurs(MountRequest request) => request.Behaviour switch
    {
        { Uids: not null } or { Gids: not null } => "owner maps (--uid-map, --gid-map, -o uidmapping, gidmapping): the kernel's overlay shows owners as they are",
        { SquashToUid: not null } or { SquashToGid: not null } => "-o squash_to_root, squash_to_uid, squash_to_gid: the kernel's overlay shows owners as they are",
        { StaticLinks: true } => "-o static_nlink: the kernel's overlay counts links its own way",
        { Acls: false } => "-o noacl: the kernel's overlay has the ACLs of its layers",
        { Xattrs: false } => "-o noxattrs=1: the kernel's overlay has the attributes of its layers",
        { ReadsAufsWhiteouts: true } => "aufs whiteouts (--whiteouts, -o whiteouts): the kernel's overlay knows its own only",
        { RenamesLowerDirectories: false } or { FollowsRedirects: false } =>
            "-o redirect_dir=off, follow, nofollow: the kernel engine always mounts with redirect_dir=on",
        _ when request.FsName is { } name => $"-o fsname={name}: a mount of the kernel engine is known by the name that it has itself",
        _ when request.KeptByFuse is [var option, ..] => $"-o {option}: the kernel engine does not keep it",
        _ => null,
    };

    /// <summary>Says which engine serves, and why, where the user left the choice or gets another one than asked for.</summary>
    /// <param name="plan">What was asked for.</param>
    /// <param name="log">Where it is said.</param>
    /// <param name="engine">The engine.</param>
    /// <param name="reason">Why.</param>
    /// <param name="isRefusal">The kernel refused what was tried: the user cannot know that his mount is a slower one.</param>
    public static void Say(MountPlan plan, Log log, string engine, string reason, bool isRefusal = false)
    {
        if (isRefusal)
        {
            log.Warn($"engine {engine}: {reason}");
        }
        else if (plan.Request.Engine == EngineWish.Auto || (plan.Request.Engine == EngineWish.Kernel && engine != "kernel"))
        {
            log.Info($"engine {engine}: {reason}");
        }
    }

    /// <summary>A reason, which is a failure for whoever insists on the kernel engine.</summary>
    private static string Only(MountPlan plan, string reason, Func<string, MountProblem> problem) =>
        plan.Request.Engine == EngineWish.Auto ? reason : throw problem($"--engine kernel: {reason}; leave --engine out, or give fuse");
}
