using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Who has to act on a <see cref="MountProblem"/>; the command line makes its exit code of it.</summary>
public enum ProblemKind
{
    /// <summary>What was asked for makes no sense or is not supported: exit code 2.</summary>
    Usage,

    /// <summary>The host does not let it happen: exit code 3.</summary>
    Mount,

    /// <summary>An address cannot be listened on: exit code 4.</summary>
    Listen,

    /// <summary>Nobody: whoever read standard output has gone. Nothing is said; exit code 141.</summary>
    ClosedPipe,
}

/// <summary>
/// A mount, an unmount or a question about one could not be done. The message says what, where and what to do next; it is printed
/// as it is.
/// </summary>
public sealed class MountProblem(ProblemKind kind, string message) : Exception(message)
{
    public ProblemKind Kind { get; } = kind;

    public static MountProblem Usage(string message) => new(ProblemKind.Usage, message);

    /// <summary>Another engine would fail likewise.</summary>
    public bool IsFinal { get; private init; }

    /// <summary>Found by looking, before the kernel was asked for anything.</summary>
    public bool IsForeseen { get; private init; }

    public static MountProblem Host(string message) => new(ProblemKind.Mount, message);

    /// <summary>As above.</summary>
    /// <param name="message">What is wrong.</param>
    /// <param name="isFinal">See <see cref="IsFinal"/>.</param>
    /// <param name="isForeseen">See <see cref="IsForeseen"/>.</param>
    public static MountProblem Host(string message, bool isFinal, bool isForeseen) => new(ProblemKind.Mount, message) { IsFinal = isFinal, IsForeseen = isForeseen };

    /// <summary>A failed system call: "WHAT: no such file or directory (ENOENT)".</summary>
    public static MountProblem Host(string what, Errno error) => new(ProblemKind.Mount, $"{what}: {ErrnoText.Of(error)}");
}
