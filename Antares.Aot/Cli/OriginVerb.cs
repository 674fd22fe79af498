using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Antares.Aot.Diagnostics;
using Antares.Aot.Mounts;
using Antares.Aot.Origin;
using Antares.Aot.Server;
using Antares.Interop;

namespace Antares.Aot.Cli;

/// <summary><c>origin --git REPO --listen ADDRESS:PORT</c>.</summary>
internal static class OriginVerb
{
    public const string Name = "origin";

    private const int StandardOutput = 1;

    public static Command Create(CommandContext context)
    {
        var repository = new Option<string>("--git") { Description = "A git repository, bare or not", HelpName = "REPO", Required = true };
        var listen = new Option<string>("--listen")
        {
            Description = "Address and port; port 0 takes a free one, which is printed",
            HelpName = "ADDRESS:PORT",
            DefaultValueFactory = _ => "127.0.0.1:8000",
        };
        var accessLog = new Option<string?>("--access-log") { Description = "Append a line for each request: method, path, status, bytes", HelpName = "FILE" };
        var changelists = new Option<string[]>("--cl")
        {
            Description = "Show the difference of two revisions as changelist LINK, its paths beginning at /PATH (default: /); repeatable",
            HelpName = "LINK=FROM..TO[:/PATH]",
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = false,
        };
        var quirks = new Option<string[]>("--quirk")
        {
            Description = "Be difficult, for tests; NAME[=ARGUMENT][@TEXT], TEXT limits it to requests with it in their path: "
                + string.Join("; ", OriginQuirks.Known.Select(quirk => quirk.Help)),
            HelpName = "QUIRK",
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = false,
        };
        var command = new Command(Name, "Serve a git repository as a monorepo server does, for mega: sources on this machine") { repository, listen, changelists, accessLog, quirks };
        command.SetAction(result =>
        {
            var all = new List<OriginQuirk>();
            foreach (var text in result.GetValue(quirks) ?? [])
            {
                all.Add(OriginQuirks.Parse(text) ?? throw MountProblem.Usage($"--quirk '{text}': no such quirk, or not such an argument; see origin --help"));
            }

            var shown = (result.GetValue(changelists) ?? []).Select(text =>
                OriginChangelist.Parse(text) ?? throw MountProblem.Usage($"--cl '{text}': give LINK=FROM..TO[:/PATH], as C1=main..topic:/lib")).ToList();
            return Serve(result.GetRequiredValue(repository), result.GetValue(listen) ?? "", result.GetValue(accessLog), all, shown);
        });
        return command;
    }

    private static int Serve(string repository, string listen, string? accessLog, List<OriginQuirk> quirks, List<OriginChangelist> changelists)
    {
        if (!IPEndPoint.TryParse(listen, out var address) || !listen.Contains(':'))
        {
            throw MountProblem.Usage($"--listen '{listen}': give ADDRESS:PORT, as 127.0.0.1:8000");
        }

        SourceSpec.CheckPath("--git", repository);
        using var log = new Log(LogLevel.Warn);
        using var api = new OriginApi(new GitObjects(repository), new OriginQuirks(quirks), OpenAccessLog(accessLog), changelists);
        CheckRepository(repository);
        var stop = Signals.SetOf(Signals.SIGINT, Signals.SIGTERM);
        var error = Signals.Block(stop);
        if (error != Errno.None)
        {
            throw MountProblem.Host("cannot wait for signals", error);
        }

        HttpServer server;
        try
        {
            server = new HttpServer(address, api.Answer, log);
        }
        catch (SocketException refused)
        {
            var why = refused.SocketErrorCode switch
            {
                SocketError.AddressAlreadyInUse => "another program listens there",
                SocketError.AddressNotAvailable => "no interface of this machine has that address",
                SocketError.AccessDenied when address.Port is > 0 and < 1024 => "ports below 1024 are for root",
                var other => other.ToString(),
            };
            throw new MountProblem(ProblemKind.Listen, $"cannot listen on {listen}: {why}; choose another address with --listen");
        }

        using (server)
        {
            server.Start();
            if (!IPAddress.IsLoopback(address.Address))
            {
                log.Warn($"whoever reaches {server.Address} can read all of {repository}: there is no login; --listen 127.0.0.1:PORT serves this machine alone");
            }

            _ = HostPath.Write(StandardOutput, Encoding.UTF8.GetBytes($"http://{server.Address}\n")); // who cannot hear it knows the port
            error = Signals.WaitSignal(stop, out _);
        }

        return error == Errno.None ? ExitCode.Ok : throw MountProblem.Host("cannot wait for signals", error);
    }

    private static void CheckRepository(string repository)
    {
        using var git = new GitObjects(repository);
        try
        {
            if (!git.TryStat("HEAD^{commit}", out _, out _, out _))
            {
                throw MountProblem.Host($"--git {repository}: the repository has no commit at its HEAD");
            }
        }
        catch (IOException error)
        {
            throw MountProblem.Host($"--git {repository}: {error.Message}; is it a git repository, and git installed?");
        }
    }

    /// <summary>One write for each line, so that lines of several threads do not mix.</summary>
    private static Action<HttpExchange>? OpenAccessLog(string? path)
    {
        if (path is null)
        {
            return null;
        }

        SourceSpec.CheckPath("--access-log", path);
        var error = HostPath.Open(path, Fcntl.O_WRONLY | Fcntl.O_CREAT | Fcntl.O_APPEND, Modes.PrivateFile, out var fd);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"--access-log {path} cannot be opened", error);
        }

        return exchange =>
        {
            var line = string.Create(CultureInfo.InvariantCulture, $"{exchange.Method} {exchange.Target} {exchange.Status} {exchange.Sent}\n");
            _ = HostPath.Write(fd, Encoding.UTF8.GetBytes(line)); // a full disk does not keep anybody from being served
        };
    }
}
