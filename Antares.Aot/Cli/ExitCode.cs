namespace Antares.Aot.Cli;

/// <summary>Exit codes of every verb. <c>run</c> ends with its command's code once that was started.</summary>
public static class ExitCode
{
    public const int Ok = 0;

    /// <summary>An error in this program.</summary>
    public const int Internal = 1;

    /// <summary>A command line that makes no sense, or asks for what this build does not have.</summary>
    public const int Usage = 2;

    /// <summary>Whoever read the output went away, as <c>head</c> does: 128 + SIGPIPE, as a shell shows it for a program that this signal ends.</summary>
    public const int ClosedPipe = 141;

    /// <summary>The host did not let it happen: mounting, unmounting, reaching a mount.</summary>
    public const int Mount = 3;

    /// <summary>An address cannot be listened on.</summary>
    public const int Listen = 4;

    /// <summary><c>verify</c> and <c>store verify</c> found damage, <c>diff</c> found differences.</summary>
    public const int Found = 5;
}
