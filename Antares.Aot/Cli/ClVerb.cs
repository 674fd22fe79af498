using System.CommandLine;
using System.Text;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary><c>cl set|clear|show</c>.</summary>
internal static class ClVerb
{
    public const string Name = "cl";

    /// <summary>The mount gives up earlier, and says why.</summary>
    public const int PatienceMs = 360_000;

    public static Command Create(CommandContext context) =>
        new(Name, "Show, set or clear the changelist over a mounted directory of a monorepo server")
        {
            CreateSet(context),
            CreateOther(context, "clear", "Show the mounted revision as it is again"),
            CreateOther(context, "show", "List what the changelist changes, and where the workspace hides it"),
        };

    private static Command CreateSet(CommandContext context)
    {
        var target = Target();
        var json = Json();
        var link = new Argument<string>("LINK") { Description = "The changelist, as the server names it" };
        var path = MegaOptionSet.ClPathOption();
        var command = new Command("set", "Show another changelist, without unmounting; what the workspace wrote stays") { target, link, path, json };
        command.SetAction(result =>
        {
            var name = MegaOptionSet.CheckedLink(result.GetRequiredValue(link));
            return Ask(context, result.GetRequiredValue(target), new ChangelistQuestion("set", result.GetValue(json), name, MegaOptionSet.ClPath(result, path)));
        });
        return command;
    }

    private static Command CreateOther(CommandContext context, string verb, string description)
    {
        var target = Target();
        var json = Json();
        var command = new Command(verb, description) { target, json };
        command.SetAction(result => Ask(context, result.GetRequiredValue(target), new ChangelistQuestion(verb, result.GetValue(json))));
        return command;
    }

    private static int Ask(CommandContext context, string target, ChangelistQuestion question)
    {
        var mount = Question.Living(context, target);
        var fixedBy = !RefreshVerb.IsOfServer(mount) ? null // its process says what it has instead
            : mount.Lowers.Count > 1 ? MountedView.NotUnderLayers
            : mount.Engine == "kernel" ? MountedView.NotOnKernelEngine
            : null;
        if (question.Verb != "show" && fixedBy is not null)
        {
            throw MountProblem.Usage($"{mount.MountPoint}: {fixedBy}");
        }

        context.Out.Write(Encoding.UTF8.GetString(ControlClient.Ask(mount, question.ToString(), PatienceMs)));
        return ExitCode.Ok;
    }

    private static Argument<string> Target() => new("TARGET") { Description = "A mount point, a job or a workspace" };

    private static Option<bool> Json() => new("--json") { Description = "Print as JSON" };
}
