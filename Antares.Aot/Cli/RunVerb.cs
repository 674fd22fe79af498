using System.CommandLine;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary><c>run SOURCE [options] [--cd DIR] -- CMD …</c>.</summary>
internal static class RunVerb
{
    public const string Name = "run";

    public static Command Create(CommandContext context)
    {
        var source = new Argument<string>("SOURCE") { Description = "As for mount" };
        var words = new Argument<string[]>("CMD")
        {
            Description = "The command and its arguments, after --",
            Arity = ArgumentArity.OneOrMore,
        };
        var folder = new Option<string>("--cd")
        {
            Description = "Working folder of the command, in the mount",
            HelpName = "DIR",
            DefaultValueFactory = _ => "",
        };
        var mountPoint = new Option<string?>("--mount-point") { Description = "An empty folder (default: one in a new workspace)", HelpName = "MNT" };
        var shared = new MountOptionSet();
        var command = new Command(Name, "Run a command in a workspace of its own, which is removed when the command ends") { source, words };
        command.Options.Add(folder);
        command.Options.Add(mountPoint);
        shared.AddTo(command);
        command.SetAction(result =>
        {
            using var log = shared.OpenLog(result);
            var request = shared.ToRequest(result, result.GetRequiredValue(source), result.GetValue(mountPoint), Durability.Volatile);
            var inside = FolderInMount(result.GetValue(folder) ?? "");
            var mount = TerminalProgress.During(progress => ServedMount.Start(request with { Progress = progress }, context.State(), log, report: null));
            return JobCommand.Run(mount, inside, context.Words.Restore(result.GetRequiredValue(words)), log);
        });
        return command;
    }

    /// <summary>A relative path that stays in the mount; "" for its root.</summary>
    /// <exception cref="MountProblem">Usage: absolute, or with "..".</exception>
    internal static string FolderInMount(string folder)
    {
        var parts = folder.Split('/', StringSplitOptions.RemoveEmptyEntries).Where(part => part != ".").ToList();
        return folder.StartsWith('/') || parts.Contains("..")
            ? throw MountProblem.Usage($"--cd '{folder}': give a folder inside the mount, without '/' at the start and without '..'")
            : string.Join('/', parts);
    }
}
