using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>What a verb works with besides its arguments.</summary>
/// <param name="Words">The command line.</param>
/// <param name="Out">For results. Printed at the end, or by the reporter of a mount in the background.</param>
/// <param name="Error">For messages about the command line.</param>
/// <param name="Report">Whom a mount tells that it is ready; null: nobody waits.</param>
/// <param name="State">Finds the state of this user's mounts; throws <see cref="MountProblem"/> when there is no folder for it.</param>
public sealed record CommandContext(WordsAsBytes Words, TextWriter Out, TextWriter Error, ReadyReport? Report, Func<StateFile> State)
{
    /// <summary>Path by which the program was started: as a helper of mount(8) it has another name, and another grammar.</summary>
    public string CalledAs { get; init; } = CommandLine.ProgramName;

    /// <summary>Beside <c>-o lowerdir=…</c> SOURCE is a mere name, as mount(8) gives one for every mount; in our own grammar it would be a second layer.</summary>
    public bool SourceIsName { get; init; }
}
