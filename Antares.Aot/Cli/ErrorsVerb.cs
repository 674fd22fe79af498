using System.CommandLine;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary><c>errors TARGET</c>.</summary>
internal static class ErrorsVerb
{
    public const string Name = "errors";

    public static Command Create(CommandContext context) =>
        Question.Create(context, Name, "Show the last failures of a mount: operation, path, layer, errno, system call", ControlQuestion.ErrorsText, ControlQuestion.ErrorsJson);
}
