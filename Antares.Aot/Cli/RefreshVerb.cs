using System.CommandLine;
using System.Text;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary><c>refresh TARGET</c>.</summary>
internal static class RefreshVerb
{
    public const string Name = "refresh";

    private const string ServerPrefix = "mega:";

    public static Command Create(CommandContext context)
    {
        var target = new Argument<string>("TARGET") { Description = "A mount point, a job or a workspace" };
        var revision = new Option<string?>("--revision")
        {
            Description = "Commit or tag to show (default: the server's head, for a mount that was not asked for a revision)",
            HelpName = "REV",
        };
        var json = new Option<bool>("--json") { Description = "Print as JSON" };
        var command = new Command(Name, "Show another revision of a monorepo server's directory, without unmounting; what the workspace wrote stays, and where it hides a change is listed")
        {
            target, revision, json,
        };
        command.SetAction(result =>
        {
            var mount = Question.Living(context, result.GetRequiredValue(target));
            if (Refusal(mount) is { } refusal)
            {
                throw MountProblem.Usage($"{mount.MountPoint}: {refusal}");
            }

            var question = new RefreshQuestion(result.GetValue(json), result.GetValue(revision));
            context.Out.Write(Encoding.UTF8.GetString(ControlClient.Ask(mount, question.ToString(), ClVerb.PatienceMs)));
            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>True when a server's directory (mega:) is among the layers.</summary>
    internal static bool IsOfServer(MountRecord mount) => mount.Lowers.Any(lower => lower.StartsWith(ServerPrefix, StringComparison.Ordinal));

    private static string? Refusal(MountRecord mount) =>
        !IsOfServer(mount) ? MountedView.NotOfServer
        : mount.Lowers.Count > 1 ? MountedView.NotUnderLayers
        : mount.Engine == "kernel" ? MountedView.NotOnKernelEngine
        : null;
}
