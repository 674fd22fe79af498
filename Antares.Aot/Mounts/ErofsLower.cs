using Antares.Aot.Diagnostics;
using Antares.Aot.Fuse;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// The kernel's EROFS on the file of a FUSE mount (Linux 6.12), an image as a lower layer whose names and attributes are the kernel's own. What it is
/// to be mounted with is made before anything is served; the overlay takes such a lower layer, which is nowhere in the tree, from Linux 6.15 on.
/// </summary>
internal sealed unsafe class ErofsLower : IDisposable
{
    /// <summary>
    /// What EROFS reads ahead: twice the kernel's usual, which takes a quarter off the time of a large file that is read for the first time; from more nothing
    /// was gained. Who promises to read in order gets twice this, which is one request of ours still (<see cref="InitNegotiation.MaxPages"/>). What is longer
    /// (a huge page of a mapping) comes as several, of which the error of any is that of all, by ASYNC_DIO: a short answer is filled up with zeros (fs/erofs/fileio.c).
    /// </summary>
    public const int ReadAheadKb = 256;

    private static readonly Version s_first = new(6, 15);

    private readonly OwnedFd _context;
    private readonly MountPlan _plan;

    private ErofsLower(OwnedFd context, MountPlan plan)
    {
        _context = context;
        _plan = plan;
    }

    /// <summary>What is to be done where it is not to be had, as the end of a message: something if it was insisted on.</summary>
    public static string WayOut(MountPlan plan) => plan.Request.Erofs == true ? "; without --erofs the image is read by FUSE" : "";

    /// <summary>Why it is not tried for a plan that does not ask for it; empty: there is nothing to tell; null: it is tried.</summary>
    public static string? WhyNot(MountPlan plan) => plan.Request switch
    {
        { Erofs: true } => null,
        { Erofs: false } => "as asked",
        _ when plan.Lowers is not [{ IsImage: true }] => "",
        _ when IsAway(plan) => "on a server: the end of a mount would wait for it",
        { InitMask: not null } => "--init-mask is about FUSE",
        _ when plan.UserXattrs => "EROFS is mounted by root of the host alone",
        _ => Environment.OSVersion.Version < s_first ? "EROFS below an overlay needs Linux 6.15" : null,
    };

    /// <summary>The image, or a part of it, is on a server. At the unmount EROFS waits, not to be killed, for all that was asked.</summary>
    public static bool IsAway(MountPlan plan) => plan.Lowers.Any(lower => lower.Remote is not null || lower.IsPart || lower.Spec.Kind == SourceKind.Remote);

    /// <summary>Asks the kernel for its EROFS.</summary>
    /// <exception cref="MountProblem">Host: it has none, or not for us.</exception>
    public static ErofsLower Open(MountPlan plan)
    {
        using var type = new CString("erofs");
        Check(plan, MountContexts.Open(type, out int opened), "is not there", isForeseen: true);
        return new ErofsLower(new OwnedFd(opened), plan);
    }

    /// <summary>Makes the mount, which is nowhere in the tree.</summary>
    /// <param name="root">Root of the mount that has the file (<see cref="Layers.ErofsFileLayer"/>).</param>
    /// <param name="log">Told what is read ahead.</param>
    /// <returns>Its root; the mount goes with the last who holds it.</returns>
    /// <exception cref="MountProblem">Host: the kernel refuses.</exception>
    public OwnedFd Make(OwnedFd root, Log log)
    {
        using var key = new CString("source");
        using var source = new CString($"/proc/self/fd/{root.Value}/{Layers.ErofsFileLayer.FileName}");
        using var readOnly = new CString("ro");
        using var direct = new CString("directio");
        Check(_plan, MountContexts.SetString(_context.Value, key, source), "takes no file");
        Check(_plan, MountContexts.SetFlag(_context.Value, readOnly), "is not read-only");
        _ = MountContexts.SetFlag(_context.Value, direct); // before Linux 6.15 content is cached twice
        var before = Known();
        Check(_plan, MountContexts.Create(_context.Value), "does not take the image");
        RaiseReadAhead(Known().Except(before).ToArray(), log);
        Check(_plan, MountContexts.Mount(_context.Value, 0, out int mount), "cannot be mounted");
        return new OwnedFd(mount);
    }

    public void Dispose() => _context.Dispose();

    // The kernel numbers what EROFS mounts of files by itself and tells nobody which number is whose. Best effort: what cannot be listed is not new.
    private static string[] Known()
    {
        try
        {
            return Directory.Exists(MountPoints.BackingDevices) ? Directory.GetFileSystemEntries(MountPoints.BackingDevices, "erofs-*") : [];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private static void RaiseReadAhead(string[] made, Log log)
    {
        // Another process has mounted one too, or sysfs is not there.
        if (made is not [var device])
        {
            log.Debug($"what EROFS reads ahead stays as it is: {made.Length} in {MountPoints.BackingDevices} are new");
            return;
        }

        _ = MountPoints.Tune(device, "read_ahead_kb", ReadAheadKb, log); // best effort
    }

    private static void Check(MountPlan plan, Errno error, string what, bool isForeseen = false)
    {
        if (error != Errno.None)
        {
            throw MountProblem.Host($"the kernel's EROFS {what}: {ErrnoText.Of(error)}; it needs Linux 6.15 and CAP_SYS_ADMIN on the host{WayOut(plan)}", isFinal: false, isForeseen);
        }
    }
}
