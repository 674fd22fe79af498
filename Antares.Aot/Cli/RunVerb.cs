using System.CommandLine;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary><c>run [options] SOURCE [--] CMD …</c>: from CMD on the words are the command's.</summary>
internal static class RunVerb
{
    public const string Name = "run";

    /// <summary>How the library writes the usage.</summary>
    public const string UsageOfLibrary = "<SOURCE> <CMD>... [options]";

    /// <summary>How it is.</summary>
    public const string Usage = "[options] <SOURCE> [--] <CMD>...";

    public static Command Create(CommandContext context)
    {
        var source = new Argument<string>("SOURCE") { Description = "As for mount" };
        var words = new Argument<string[]>("CMD")
        {
            Description = "The command; what follows is its own. With -- before it, it may begin with '-'",
            Arity = ArgumentArity.OneOrMore,
        };
        var folder = new Option<string>("--cd")
        {
            Description = "Working folder of the command, in the mount",
            HelpName = "DIR",
            DefaultValueFactory = _ => "",
        };
        var overlayOptions = new Option<string[]>("-o")
        {
            Description = "ro,noatime,upperdir=U,squash_to_uid=N[,…] as for mount; SOURCE and --layer name the layers",
            HelpName = "OPTIONS",
        };
        var mountPoint = new Option<string?>("--mount-point") { Description = "An empty folder (default: one in a new workspace)", HelpName = "MNT" };
        var shared = new MountOptionSet();
        var command = new Command(Name, "Run a command in a workspace of its own, which is removed when the command ends") { source, words };
        command.Options.Add(folder);
        command.Options.Add(mountPoint);
        shared.AddTo(command);
        command.Options.Add(overlayOptions);
        command.SetAction(result =>
        {
            using var log = shared.OpenLog(result);
            var options = MountOptionSet.List(result, overlayOptions, log);
            if (options.Lowers.Count > 0)
            {
                throw MountProblem.Usage("run: lowerdir is for mount; here SOURCE names the layer, and --layer those on top of it");
            }

            var request = shared.ToRequest(result, result.GetRequiredValue(source), result.GetValue(mountPoint), Durability.Volatile, options);
            var inside = FolderInMount(result.GetValue(folder) ?? "");
            var mount = TerminalProgress.During(progress => ServedMount.Start(request with { Progress = progress }, context.State(), log, report: null));
            var code = JobCommand.Run(mount, inside, context.Words.Restore(result.GetRequiredValue(words)), log);
            if (Workspace.KeptText(mount.Record) is { } kept)
            {
                log.Tell(kept);
            }

            return code;
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
