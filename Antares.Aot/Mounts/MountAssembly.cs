using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Chooses the engine of a plan and mounts it; goes over to the other one where that is left to us.</summary>
internal static class MountAssembly
{
    private const string AsAsked = "as asked";

    /// <summary>Mounts a plan and says, where it was ours to choose, which engine serves and why.</summary>
    /// <param name="plan">Checked folders.</param>
    /// <param name="descriptors">Open files that the process may have.</param>
    /// <param name="diagnostics">Counts the requests.</param>
    /// <param name="clock">Told of the steps.</param>
    /// <exception cref="MountProblem">Usage or Host: with what is wrong; nothing stays mounted or open.</exception>
    public static IMountEngine Mount(MountPlan plan, int descriptors, MountDiagnostics diagnostics, StartClock clock)
    {
        var layers = new LayerFactory(plan, descriptors, diagnostics);
        var reason = EngineChoice.WhyFuse(plan);
        var isRefusal = false;
        if (reason is null && plan is { Upper: { } upper, Work: { } work })
        {
            try
            {
                var engine = MountKernel(plan, upper, work, layers, diagnostics, clock, out var below);
                var why = (plan.Request.Engine == EngineWish.Kernel ? AsAsked : "the host allows it and nothing asked for needs fuse") + below;
                diagnostics.SetEngine(engine.Name, why, KernelEngine.NotSeen);
                EngineChoice.Say(plan, diagnostics.Log, engine.Name, why);
                return engine;
            }
            catch (MountProblem problem) when (plan.Request is { Engine: EngineWish.Auto, Erofs: not true } && !problem.IsFinal)
            {
                reason = problem.Message;
                isRefusal = !problem.IsForeseen;
            }
        }

        var fuse = FuseEngine.Mount(plan, layers, diagnostics, clock);
        diagnostics.SetEngine(fuse.Name, reason ?? AsAsked, notSeen: null);
        EngineChoice.Say(plan, diagnostics.Log, fuse.Name, reason ?? AsAsked, isRefusal);
        return fuse;
    }

    /// <summary>With EROFS below where it is to be had, and as FUSE serves it otherwise.</summary>
    private static KernelEngine MountKernel(MountPlan plan, OwnedFd upper, OwnedFd work, LayerFactory layers, MountDiagnostics diagnostics, StartClock clock, out string below)
    {
        var whyNot = ErofsLower.WhyNot(plan);
        if (whyNot is null)
        {
            try
            {
                below = "; the kernel's EROFS reads the image (files not yet written take no ACLs, no chattr and no O_DIRECT; --erofs=false has them)";
                return KernelEngine.Mount(plan, asErofs: true, upper, work, layers, diagnostics, clock);
            }
            catch (MountProblem problem) when (plan.Request.Erofs is null && !problem.IsFinal)
            {
                whyNot = problem.Message;
            }
        }

        below = whyNot.Length == 0 ? "" : $"; the image is read by FUSE ({whyNot})";
        return KernelEngine.Mount(plan, asErofs: false, upper, work, layers, diagnostics, clock);
    }
}
