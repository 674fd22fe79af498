using System.CommandLine;
using Antares.Aot.Diagnostics;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary><c>mount SOURCE [MNT]</c> and <c>mount -o lowerdir=… MNT</c>.</summary>
internal static class MountVerb
{
    public const string Name = "mount";

    public static Command Create(CommandContext context)
    {
        var source = new Argument<string?>("SOURCE")
        {
            Description = "A folder or an image, used as it is; https://HOST/IMAGE, fetched as it is read; dir:FOLDER, loaded lazily into memory; git:REPO[@REV] or tar:FILE, packed into the store once; or mega:URL/PATH[@REV], a directory of a monorepo server",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var mountPoint = new Argument<string?>("MNT")
        {
            Description = "An empty folder (default: one in a new workspace, which is printed)",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var overlayOptions = new Option<string[]>("-o")
        {
            Description = "lowerdir=A:B,upperdir=U,workdir=W[,…] as for mount -t overlay; then MNT is the only argument needed",
            HelpName = "OPTIONS",
        };
        var foreground = new Option<bool>("--foreground", "-f") { Description = "Serve in this process instead of in the background" };
        var json = new Option<bool>("--json") { Description = "Print the mount as JSON" };
        var shared = new MountOptionSet();
        var command = new Command(Name, "Mount a writable workspace over a tree; returns when its root answers") { source, mountPoint };
        shared.AddTo(command);
        command.Options.Add(overlayOptions);
        command.Options.Add(foreground);
        command.Options.Add(json);
        command.SetAction(result =>
        {
            using var log = shared.OpenLog(result);
            var options = MountOptionSet.List(result, overlayOptions, log);
            var request = Request(result, shared, (result.GetValue(source), result.GetValue(mountPoint)), context.SourceIsName, options);
            return Mount(context, request, result.GetValue(json), result.GetValue(foreground), log);
        });
        return command;
    }

    private static MountRequest Request(
        ParseResult result, MountOptionSet shared, (string? Source, string? MountPoint) given, bool sourceIsName, OverlayOptionList options)
    {
        var (source, mountPoint) = given;
        if (options.Lowers.Count == 0)
        {
            if (source is null)
            {
                throw MountProblem.Usage("mount: SOURCE is missing");
            }

            if (mountPoint is null && options.IsGiven)
            {
                throw MountProblem.Usage("mount: -o with MNT alone needs lowerdir=FOLDER[:FOLDER…] in it; otherwise give SOURCE and MNT");
            }

            return shared.ToRequest(result, source, mountPoint, Durability.Fsync, options);
        }

        // mount(8) gives a device name before the mount point; with lowerdir it names nothing.
        if (mountPoint is not null && source is not null && !sourceIsName)
        {
            throw MountProblem.Usage($"mount: SOURCE '{source}' and -o lowerdir=… both say what to mount: give one; further folders go on top of SOURCE with --layer");
        }

        var target = mountPoint ?? source ?? throw MountProblem.Usage("mount: MNT is missing after -o lowerdir=…");
        var request = shared.Complete(result, options.ToRequest(target), Durability.Fsync, options);

        // An upper may come by either way of saying it.
        return options.Upper is null && request.Upper is not null ? request with { ReadOnly = options.ReadOnly || shared.AsksForReadOnly(result) } : request;
    }

    private static int Mount(CommandContext context, MountRequest request, bool json, bool foreground, Log log)
    {
        var mount = TerminalProgress.During(progress => ServedMount.Start(request with { Progress = progress }, context.State(), log, context.Report));
        var text = json ? RecordJson.Line(mount.Record)
            : request.MountPoint is null ? mount.MountPoint + "\n"
            : "";
        if (!json && mount.Record is { Keep: true, Workspace: { } workspace })
        {
            log.Tell($"{workspace} stays after the unmount{(mount.Record.Upper is { } upper ? $"; what is written goes to {upper}" : "")}");
        }

        return BackgroundServer.Serve(mount, context.Report, text, foreground, log) ? ExitCode.Ok : ExitCode.Mount;
    }
}
