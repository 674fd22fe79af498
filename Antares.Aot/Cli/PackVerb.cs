using System.CommandLine;
using System.Globalization;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Images;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Cli;

/// <summary><c>pack SOURCE -o FILE</c>.</summary>
internal static class PackVerb
{
    public const string Name = "pack";

    private const int MostThreads = 64;
    private const int LeastFrame = 16 << 10;
    private const int LargestFrame = 1 << 20;
    private const int PageBytes = 4096;

    public static Command Create(CommandContext context)
    {
        var source = new Argument<string>("SOURCE") { Description = "A folder, another image, git:REPO[@REV], tar:FILE (plain, gzip or zstd) or mega:URL/PATH[@REV]" };
        var output = new Option<string?>("-o", "--output") { Description = "The image to be made; one of this name is replaced when the new one is complete", HelpName = "FILE" };
        var patched = new Option<string?>("--base")
        {
            Description = "Pack only what differs from this image: a patch, to be mounted over it (mount BASE --image PATCH)",
            HelpName = "IMAGE",
        };
        var level = new Option<int>("--level")
        {
            Description = "zstd level, 1 to 19: higher is smaller and slower",
            HelpName = "N",
            DefaultValueFactory = _ => new PackOptions().Level,
        };
        var frame = new Option<string?>("--frame")
        {
            Description = "Most bytes of a frame, the unit of reading, 16K to 1M: smaller ones are larger together, and less is fetched of an image on a server (default: 512K)",
            HelpName = "SIZE",
        };
        var excludes = new Option<string[]>("--exclude")
        {
            Description = "Leave out what matches: a name, or with '/' in it a path; *, ? and ** as usual; repeatable",
            HelpName = "PATTERN",
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = false,
        };
        var mtime = new Option<string?>("--mtime") { Description = "One modification time for everything, in seconds since 1970", HelpName = "SECONDS" };
        var owner = new Option<string?>("--owner") { Description = "One owner for everything, as numbers", HelpName = "UID:GID" };
        var threads = new Option<int?>("--threads") { Description = "Threads that compress (default: one per processor); the image is the same", HelpName = "N" };
        var command = new Command(Name, "Make an image of a tree: one file that is mounted in milliseconds") { source, output, patched, level, frame, excludes, mtime, owner, threads };
        var mega = new MegaOptionSet();
        mega.AddTo(command, looksAhead: false);
        command.SetAction(result =>
        {
            var target = result.GetValue(output) ?? throw MountProblem.Usage("pack: say with -o FILE which image to make");
            SourceSpec.CheckPath("-o", target);
            if (target == "-")
            {
                throw MountProblem.Usage("pack: an image cannot be written to standard output, since its beginning is written last; give a file (./- for one of that name)");
            }

            var options = new PackOptions
            {
                Level = InRange("--level", result.GetValue(level), 19),
                FrameBytes = FrameOf(result.GetValue(frame)),
                Excludes = result.GetValue(excludes) ?? [],
                Mtime = MtimeOf(result.GetValue(mtime)),
                Owner = OwnerOf(result.GetValue(owner)),
                Threads = InRange("--threads", result.GetValue(threads) ?? Math.Min(Environment.ProcessorCount, MostThreads), MostThreads),
            };
            var spec = SourceSpec.Parse(result.GetRequiredValue(source));
            mega.Check(result, [spec], keepsImages: false);
            using var progress = new TerminalProgress();
            foreach (var note in PackJob.Run(spec, target, result.GetValue(patched), mega.Request(result), options, progress.Show))
            {
                context.Error.WriteLine($"{CommandLine.ProgramName}: {note}");
            }

            return ExitCode.Ok;
        });
        return command;
    }

    private static int FrameOf(string? text)
    {
        if (text is null)
        {
            return new PackOptions().FrameBytes;
        }

        var unit = text.Length > 0 ? "KM".IndexOf(char.ToUpperInvariant(text[^1])) : -1;
        var isNumber = int.TryParse(unit >= 0 ? text[..^1] : text, NumberStyles.None, CultureInfo.InvariantCulture, out var number);
        var bytes = isNumber && number <= LargestFrame ? (long)number << (10 * (unit + 1)) : 0;
        return bytes is >= LeastFrame and <= LargestFrame && bytes % PageBytes == 0
            ? (int)bytes
            : throw MountProblem.Usage($"--frame '{text}': give 16K to 1M, in steps of 4K");
    }

    private static timespec? MtimeOf(string? text) => text switch
    {
        null => null,
        _ when long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var seconds) => new timespec { tv_sec = seconds },
        _ => throw MountProblem.Usage($"--mtime '{text}': give seconds since 1970, such as the output of git log -1 --format=%ct"),
    };

    private static (uint Uid, uint Gid)? OwnerOf(string? text)
    {
        if (text is null)
        {
            return null;
        }

        var parts = text.Split(':');
        return parts.Length == 2 && IsId(parts[0], out var uid) && IsId(parts[1], out var gid)
            ? (uid, gid)
            : throw MountProblem.Usage($"--owner '{text}': give two numbers, such as 1000:1000");
    }

    private static bool IsId(string text, out uint id) => uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out id) && id != uint.MaxValue;

    private static int InRange(string option, int value, int most) =>
        value >= 1 && value <= most
            ? value
            : throw MountProblem.Usage(string.Create(CultureInfo.InvariantCulture, $"{option} {value}: give 1 to {most}"));
}
