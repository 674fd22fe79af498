using System.CommandLine;
using System.Globalization;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Cli;

/// <summary><c>store stat|gc|verify</c>.</summary>
internal static class StoreVerb
{
    public const string Name = "store";

    public static Command Create(CommandContext context)
    {
        var command = new Command(Name, "Look after the store of what servers sent and archives became")
        {
            CreateStat(context), CreateCollect(context), CreateVerify(context),
        };
        return command;
    }

    private static Command CreateStat(CommandContext context)
    {
        var folder = Folder();
        var command = new Command("stat", "Count what it holds") { folder };
        command.SetAction(result =>
        {
            using var store = Open(result.GetValue(folder));
            long objects = 0;
            long bytes = 0;
            long images = 0;
            long imageBytes = 0;
            Check(store, StoreWalk.Files(store.Root, file =>
            {
                objects += file.Kind == ObjectKind.None ? 0 : 1;
                bytes += file.Bytes;
                images += file.Kind == ObjectKind.Image ? 1 : 0;
                imageBytes += file.Kind == ObjectKind.Image ? file.Bytes : 0;
                return true;
            }, former: true));
            var ofThem = images == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"; of them images of archives and commits: {images}, {imageBytes} bytes");
            context.Out.Write(string.Create(CultureInfo.InvariantCulture, $"{store.Folder}: {objects} objects, {bytes} bytes{ofThem}\n"));
            return ExitCode.Ok;
        });
        return command;
    }

    private static Command CreateCollect(CommandContext context)
    {
        var folder = Folder();
        var limit = new Option<string?>("--store-limit") { Description = "Most bytes to leave, as 512M or 20G (default: 20G)", HelpName = "SIZE" };
        var command = new Command("gc", "Remove what was used longest ago, until it is within a limit") { folder, limit };
        command.SetAction(result =>
        {
            using var store = Open(result.GetValue(folder));
            using var log = new Log(LogLevel.Warn);
            var most = result.GetValue(limit) is { } text ? MegaOptionSet.Limit(text) : StoreFolder.DefaultLimit;
            var error = new StoreCollector(store, most, log).Collect(most, out var done);
            if (error == Errno.EAGAIN)
            {
                throw MountProblem.Host($"store {store.Folder}: another process cleans it just now; try again when it is done");
            }

            Check(store, error);
            context.Out.Write(string.Create(
                CultureInfo.InvariantCulture, $"{store.Folder}: {done.Removed} of {done.Objects} objects removed, {done.RemovedBytes} of {done.Bytes} bytes\n"));
            return ExitCode.Ok;
        });
        return command;
    }

    private static Command CreateVerify(CommandContext context)
    {
        var folder = Folder();
        var command = new Command("verify", $"Compare every object with its id; damaged ones are removed and told by exit code {ExitCode.Found}") { folder };
        command.SetAction(result =>
        {
            using var store = Open(result.GetValue(folder));
            Check(store, StoreVerifier.Verify(store, id => context.Out.Write($"damaged: {id}\n"), out var found));
            context.Out.Write(string.Create(
                CultureInfo.InvariantCulture, $"{store.Folder}: {found.Objects} objects, {found.Bytes} bytes of content, {found.Damaged} damaged\n"));
            return found.Damaged == 0 ? ExitCode.Ok : ExitCode.Found;
        });
        return command;
    }

    private static Option<string?> Folder() =>
        new("--store") { Description = "The store's folder (default: the one that mounts use)", HelpName = "DIR" };

    private static ObjectStore Open(string? given)
    {
        if (given is not null)
        {
            SourceSpec.CheckPath("--store", given);
        }

        var path = given ?? StoreFolder.Usual(Process.Geteuid(), Environment.GetEnvironmentVariable)
            ?? throw MountProblem.Host($"found no folder for the store; name one with --store or in {StoreFolder.Variable}");
        var folder = HostPath.Absolute(path);
        if (given is not null && !Directory.Exists(folder))
        {
            throw MountProblem.Usage($"--store {folder}: there is no such folder, so no store either; without --store it is the one that mounts use");
        }

        return StoreFolder.OpenAt(folder);
    }

    private static void Check(ObjectStore store, Errno error)
    {
        if (error != Errno.None)
        {
            throw MountProblem.Host($"store {store.Folder} cannot be read", error);
        }
    }
}
