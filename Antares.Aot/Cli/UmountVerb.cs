using System.CommandLine;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary><c>umount TARGET…</c>, <c>umount --all</c>, <c>umount --stale</c>.</summary>
internal static class UmountVerb
{
    public const string Name = "umount";

    public static Command Create(CommandContext context)
    {
        var targets = new Argument<string[]>("TARGET")
        {
            Description = "A mount point, a workspace, or a job with all its mounts",
            Arity = ArgumentArity.ZeroOrMore,
        };
        var all = new Option<bool>("--all") { Description = "All mounts of this state folder" };
        var stale = new Option<bool>("--stale") { Description = "Clean up after mounts whose process is gone" };
        var lazy = new Option<bool>("--lazy") { Description = "Take a mount out of sight although it is in use" };
        var json = new Option<bool>("--json") { Description = "Print what was done as JSON" };
        var command = new Command(Name, "Unmount, wait for the mount's process to end and remove its workspace") { targets, all, stale, lazy, json };
        command.SetAction(result =>
        {
            var names = result.GetValue(targets) ?? [];
            if (new[] { names.Length > 0, result.GetValue(all), result.GetValue(stale) }.Count(given => given) != 1)
            {
                throw MountProblem.Usage("umount: give mount points, jobs or workspaces, or --all, or --stale");
            }

            var mounts = new MountDirectory(context.State());
            var code = ExitCode.Ok;
            var chosen = result.GetValue(all) ? [.. mounts.All().OrderBy(mount => mount.IsStale)] // who lives may have the upper of one that was killed
                : result.GetValue(stale) ? mounts.All().FindAll(mount => mount.IsStale)
                : Named(context, mounts, names, result.GetValue(lazy), ref code);
            UnmountEach(context, mounts, chosen, result.GetValue(lazy), result.GetValue(json), ref code);
            if (result.GetValue(stale))
            {
                mounts.CleanUnrecorded().ForEach(path => context.Error.WriteLine($"{CommandLine.ProgramName}: {path} was a dead mount without a record; unmounted"));
            }

            return code;
        });
        return command;
    }

    /// <summary>The mounts that names lead to. One that is recorded elsewhere is unmounted here; a name that leads nowhere is told.</summary>
    private static List<KnownMount> Named(CommandContext context, MountDirectory mounts, string[] names, bool lazy, ref int code)
    {
        var chosen = new List<KnownMount>();
        foreach (var name in names)
        {
            var found = mounts.Find(name);
            if (found.Count > 0)
            {
                chosen.AddRange(found.Where(mount => !chosen.Contains(mount)));
            }
            else
            {
                try
                {
                    UnmountUnrecorded(name, lazy);
                }
                catch (MountProblem problem)
                {
                    context.Error.WriteLine($"{CommandLine.ProgramName}: {problem.Message}");
                    code = ExitCode.Mount;
                }
            }
        }

        return chosen;
    }

    /// <summary>A mount of this program that is recorded in another state folder.</summary>
    /// <exception cref="MountProblem">Host: not even that.</exception>
    private static void UnmountUnrecorded(string name, bool lazy)
    {
        _ = HostPath.RealPath(name, out var real); // absolute at least; what is not there is no mount either
        if (MountTable.Find(real) is not { IsOurs: true })
        {
            throw MountProblem.Host($"'{name}' is no mount point, workspace or job of antares-aot; antares-aot list shows them");
        }

        Unmounter.UnmountUnknown(real, lazy);
    }

    /// <summary>Goes on after a failure, so that what can be done is done; any failure makes the exit code.</summary>
    private static void UnmountEach(CommandContext context, MountDirectory mounts, List<KnownMount> chosen, bool lazy, bool json, ref int code)
    {
        var done = new List<UnmountResult>();
        foreach (var mount in chosen)
        {
            try
            {
                var thrownAway = mount.IsStale ? Workspace.ThrownAwayWrites(mount.Record) : null;
                var outcome = Unmounter.Unmount(mounts, mount, lazy, text => context.Error.WriteLine($"{CommandLine.ProgramName}: {text}"));
                var removed = thrownAway is not null && outcome == UnmountOutcome.Cleaned ? mount.Record.Workspace : null;
                done.Add(new UnmountResult(mount.Record, Word(outcome), Removed: removed));
                if (!json && removed is not null)
                {
                    context.Error.WriteLine($"{CommandLine.ProgramName}: {mount.Record.MountPoint} had lost its process; removed {removed} with what was written in it");
                }

                if (!json && mount is { IsStale: true, Record.Workspace: { } workspace } && outcome == UnmountOutcome.Detached)
                {
                    context.Error.WriteLine($"{CommandLine.ProgramName}: the workspace {workspace} stays while it is in use; antares-aot umount --stale removes it");
                }

                if (!json && Workspace.KeptText(mount.Record) is { } kept)
                {
                    context.Error.WriteLine($"{CommandLine.ProgramName}: {kept}");
                }
            }
            catch (MountProblem problem)
            {
                context.Error.WriteLine($"{CommandLine.ProgramName}: {problem.Message}");
                done.Add(new UnmountResult(mount.Record, "failed", problem.Message));
                code = ExitCode.Mount;
            }
        }

        if (json)
        {
            context.Out.Write(RecordJson.Line(done));
        }
    }

    private static string Word(UnmountOutcome outcome) => outcome switch
    {
        UnmountOutcome.Done => "unmounted",
        UnmountOutcome.Detached => "detached",
        UnmountOutcome.Cleaned => "cleaned",
        _ => throw new InvalidOperationException($"outcome {outcome}"),
    };
}
