using System.CommandLine;
using System.Text;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>The form of the verbs that ask a running mount one question and print its answer.</summary>
internal static class Question
{
    /// <param name="context">Where the answer goes.</param>
    /// <param name="name">The verb.</param>
    /// <param name="description">For the help.</param>
    /// <param name="text">Question for people.</param>
    /// <param name="forJson">Question for programs.</param>
    public static Command Create(CommandContext context, string name, string description, string text, string forJson)
    {
        var target = new Argument<string>("TARGET") { Description = "A mount point, a job or a workspace" };
        var json = new Option<bool>("--json") { Description = "Print as JSON" };
        var command = new Command(name, description) { target, json };
        command.SetAction(result =>
        {
            var mount = Living(context, result.GetRequiredValue(target));
            context.Out.Write(Encoding.UTF8.GetString(ControlClient.Ask(mount, result.GetValue(json) ? forJson : text)));
            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>The one mount that an argument names, whose process lives.</summary>
    /// <exception cref="MountProblem">Host: none, or its process is gone; Usage: several.</exception>
    public static MountRecord Living(CommandContext context, string target)
    {
        var mount = new MountDirectory(context.State()).Single(target);
        return mount.IsStale
            ? throw MountProblem.Host($"the process of {mount.Record.MountPoint} is gone; antares-aot umount --stale cleans up after it{(Workspace.ThrownAwayWrites(mount.Record) is { } upper ? $", what was written in {upper} included" : "")}")
            : mount.Record;
    }
}
