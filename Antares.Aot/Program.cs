using System.Globalization;
using System.Text;
using Antares.Aot.Cli;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot;

/// <summary>
/// The managed entry point; <c>interop/native/main.c</c> runs before it. Standard output and error are written by system calls: the
/// Console would start a thread and take signals that are ours.
/// </summary>
internal static class Program
{
    private const int StandardOutput = 1;
    private const int StandardError = 2;

    private static int Main(string[] args)
    {
        using var report = ReadyReport.FromEnvironment();
        using var output = new StringWriter(CultureInfo.InvariantCulture) { NewLine = "\n" };
        using var errors = new StringWriter(CultureInfo.InvariantCulture) { NewLine = "\n" };
        var context = new CommandContext(WordsAsBytes.Given(args), output, errors, report, () => new StateFile(StateDirectory.Find()))
        {
            CalledAs = GivenWords.Program() is { } name ? Utf8.Print(name) : CommandLine.ProgramName,
        };
        var code = Run(args, context);
        _ = Write(StandardError, errors.ToString()); // nowhere else to say it
        if (report is { IsSent: false })
        {
            _ = report.End(code, output.ToString()); // a reporter that was interrupted prints nothing, as asked
            return code;
        }

        var error = Write(StandardOutput, output.ToString());
        if (error == Errno.EPIPE)
        {
            return code == ExitCode.Ok ? ExitCode.ClosedPipe : code; // whoever read has what it wanted: head, grep -q
        }

        if (error != Errno.None)
        {
            _ = Write(StandardError, $"{CommandLine.ProgramName}: cannot print the result: {ErrnoText.Of(error)}\n"); // as above
        }

        return error == Errno.None || code != ExitCode.Ok ? code : ExitCode.Internal;
    }

    private static int Run(string[] args, CommandContext context)
    {
        try
        {
            return CommandLine.Run(args, context);
        }
        catch (Exception error)
        {
            context.Error.WriteLine($"{CommandLine.ProgramName}: an error in this program ({error.GetType().Name}): {error.Message}");
            return ExitCode.Internal;
        }
    }

    private static Errno Write(int descriptor, string text) =>
        text.Length == 0 ? Errno.None : HostPath.Write(descriptor, Encoding.UTF8.GetBytes(text));
}
