using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>The grammar: picks the verb, reports what does not parse, and turns problems into exit codes.</summary>
public static class CommandLine
{
    public const string ProgramName = "antares-aot";

    private const string VersionWord = "--version";

    private const int HelpWidth = 110;

    private static readonly ParserConfiguration s_parser = new()
    {
        // A word is what the user wrote: no options glued together, no @file replaced by its content.
        EnablePosixBundling = false,
        ResponseFileTokenReplacer = null,
    };

    /// <summary>The verbs in the order of the help.</summary>
    private static readonly (string Name, Func<CommandContext, Command> Create)[] s_verbs =
    [
        (MountVerb.Name, MountVerb.Create),
        (RunVerb.Name, RunVerb.Create),
        (UmountVerb.Name, UmountVerb.Create),
        (ListVerb.Name, ListVerb.Create),
        (StatsVerb.Name, StatsVerb.Create),
        (ErrorsVerb.Name, ErrorsVerb.Create),
        (ClVerb.Name, ClVerb.Create),
        (RefreshVerb.Name, RefreshVerb.Create),
        (PackVerb.Name, PackVerb.Create),
        (InspectVerb.Name, InspectVerb.Create),
        (VerifyVerb.Name, VerifyVerb.Create),
        (UnpackVerb.Name, UnpackVerb.Create),
        (DiffVerb.Name, DiffVerb.Create),
        (StoreVerb.Name, StoreVerb.Create),
        (OriginVerb.Name, OriginVerb.Create),
    ];

    /// <summary>Runs one command.</summary>
    /// <param name="args">The words after the program's name.</param>
    /// <param name="context">Where its output goes.</param>
    /// <returns>The exit code.</returns>
    public static int Run(IReadOnlyList<string> args, CommandContext context)
    {
        var form = new CallForm(context.CalledAs, args);
        try
        {
            var words = form.ToWords();
            return form.ExitCode(words is null ? ExitCode.Ok : Invoke(words, context with { SourceIsName = form.IsForeign }));
        }
        catch (MountProblem problem) when (problem.Kind == ProblemKind.ClosedPipe)
        {
            return ExitCode.ClosedPipe;
        }
        catch (MountProblem problem)
        {
            context.Error.WriteLine($"{ProgramName}: {problem.Message}");
            return form.ExitCode(problem.Kind switch
            {
                ProblemKind.Usage => ExitCode.Usage,
                ProblemKind.Listen => ExitCode.Listen,
                _ => ExitCode.Mount,
            });
        }
    }

    /// <summary>Whether a word is one of our verbs.</summary>
    internal static bool IsVerb(string word) => Array.Exists(s_verbs, verb => verb.Name == word);

    /// <summary>The verbs; the C main knows them too.</summary>
    internal static IEnumerable<string> Verbs => s_verbs.Select(verb => verb.Name);

    private static int Invoke(IReadOnlyList<string> args, CommandContext context)
    {
        var root = Grammar(args, context);
        if (args.Count > 0 && IsVerb(args[0]))
        {
            var line = GivenLine.Read(args, root.Subcommands[0]);
            context.Words.Check(line.CommandWords);
            return Invoke(root, line.Words, line.AsksForHelp, context);
        }

        context.Words.Check(commandWords: 0);
        if (args.Count > 0 && args[0] != VersionWord && !GivenLine.IsHelp(args[0]))
        {
            throw args[0].StartsWith('-')
                ? GivenLine.UnknownOption("", args[0], [VersionWord, "--help"])
                : GivenLine.UnknownCommand("", args[0], Verbs);
        }

        return Invoke(root, args, args.Any(GivenLine.IsHelp), context);
    }

    private static int Invoke(Command root, IReadOnlyList<string> words, bool asksForHelp, CommandContext context)
    {
        if (asksForHelp)
        {
            // Made when asked for: its description comes from resources, and loading those is a third of the time that parsing takes.
            root.Options.Add(new HelpOption("--help", "-h", "-?") { Recursive = true, Action = new HelpAction { MaxWidth = HelpWidth } });
        }

        var result = root.Parse(words, s_parser);
        if (result.Action is ParseErrorAction || (result.Action is null && result.Errors.Count > 0))
        {
            foreach (var error in result.Errors)
            {
                context.Error.WriteLine($"{ProgramName}: {error.Message}");
            }

            var verb = words.Count > 0 && IsVerb(words[0]) ? $" {words[0]}" : "";
            context.Error.WriteLine($"{ProgramName}{verb} --help shows what can be given");
            return ExitCode.Usage;
        }

        using var help = new StringWriter { NewLine = "\n" };
        var code = result.Invoke(new InvocationConfiguration
        {
            Output = asksForHelp ? help : context.Out,
            Error = context.Error,
            EnableDefaultExceptionHandler = false,
            ProcessTerminationTimeout = null,
        });

        // The library writes options last, where those of run would be the command's.
        context.Out.Write(help.ToString().Replace(RunVerb.UsageOfLibrary, RunVerb.Usage, StringComparison.Ordinal));
        return code;
    }

    /// <summary>Only the verb that is asked for is built: the others would cost each start of a mount.</summary>
    private static Command Grammar(IReadOnlyList<string> args, CommandContext context)
    {
        // No RootCommand: that takes its name from the running file, and the help shall not depend on it.
        var root = new Command(ProgramName, "Mounts a writable workspace over a read-only tree: what is written goes to a folder of its own.");
        root.Options.Add(new Option<bool>(VersionWord) { Description = "Show the version", Action = new VersionAction(context) });
        foreach (var (name, create) in s_verbs)
        {
            if (args.Count == 0 || !IsVerb(args[0]) || args[0] == name)
            {
                root.Subcommands.Add(create(context));
            }
        }

        return root;
    }

    private sealed class VersionAction(CommandContext context) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            context.Out.WriteLine(ProgramVersion.Line);
            return ExitCode.Ok;
        }
    }
}
