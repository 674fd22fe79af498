using System.CommandLine;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary><c>stats TARGET</c>.</summary>
internal static class StatsVerb
{
    public const string Name = "stats";

    public static Command Create(CommandContext context) =>
        Question.Create(context, Name, "Show what a mount counted: requests, errors, latencies, caches", ControlQuestion.StatsText, ControlQuestion.StatsJson);
}
