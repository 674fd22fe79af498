using Antares.Aot.Diagnostics;

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
                var engine = KernelEngine.Mount(plan, upper, work, layers, diagnostics, clock);
                var why = plan.Request.Engine == EngineWish.Kernel ? AsAsked : "the host allows it and nothing asked for needs fuse";
                diagnostics.SetEngine(engine.Name, why, KernelEngine.NotSeen);
                EngineChoice.Say(plan, diagnostics.Log, engine.Name, why);
                return engine;
            }
            catch (MountProblem problem) when (plan.Request is { Engine: EngineWish.Auto, Erofs: false } && !problem.IsFinal)
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
}
