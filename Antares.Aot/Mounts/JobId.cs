namespace Antares.Aot.Mounts;

/// <summary>Names that a CI system gives its jobs. They come from outside, so they are data of a narrow form.</summary>
public static class JobId
{
    public const int MaxLength = 64;

    /// <summary>Lets through null and names of 1 to 64 letters, digits, '.', '_' and '-', not beginning with '.' or '-'.</summary>
    /// <exception cref="MountProblem">Usage: another form.</exception>
    public static string? Check(string? job)
    {
        if (job is null)
        {
            return null;
        }

        var isGood = job.Length is > 0 and <= MaxLength
            && job[0] is not ('.' or '-')
            && job.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');
        return isGood
            ? job
            : throw MountProblem.Usage($"--job '{job}': give 1 to {MaxLength} letters, digits, '.', '_' or '-', beginning with a letter, digit or '_'");
    }
}
