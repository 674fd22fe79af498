using System.Globalization;
using System.Text;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Mega;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Makes of a <c>mega:</c> source what a mount needs: address, secrets, store, and the revision as the server has it.</summary>
internal static class MegaSetup
{
    public const string BaseUrlVariable = "SCORPIO_BASE_URL";
    public const string TokenVariable = "ANTARES_TOKEN";
    public const string HeadersVariable = "ANTARES_HEADERS";

    private const int DefaultRequestMs = 20_000;
    private const int LargestSecret = 64 << 10;

    /// <summary>Reads the address; asks nobody.</summary>
    /// <exception cref="MountProblem">Usage.</exception>
    public static MegaAddress Address(SourceSpec spec, MegaRequest request)
    {
        var server = request.BaseUrl ?? Environment.GetEnvironmentVariable(BaseUrlVariable);
        if (!MegaAddress.TryParse(spec.Path, server, out var address, out var problem) || address is null)
        {
            throw MountProblem.Usage($"source '{WithoutSecrets(spec.ToString())}' {problem}");
        }

        if (request.Path is { } path)
        {
            // As it is, not %-encoded: an option is no address.
            var encoded = string.Join('/', path.Split('/').Select(Uri.EscapeDataString));
            if (address.Path != "/" || !MegaAddress.TryParse($"{address.Base}/{encoded}", null, out var placed, out problem) || placed is null)
            {
                throw MountProblem.Usage($"--path '{path}': {(address.Path != "/" ? $"source '{spec}' names a directory already: give one" : problem)}");
            }

            address = address with { Path = placed.Path };
        }

        if (request.Revision is not { } revision)
        {
            return address;
        }

        if (address.Revision is not null && address.Revision != revision)
        {
            throw MountProblem.Usage($"source '{spec}' and --revision {revision} name two revisions: give one");
        }

        return MegaAddress.TryParse($"{address.Base}/@{revision}", null, out var checkedRevision, out problem) && checkedRevision is not null
            ? address with { Revision = revision }
            : throw MountProblem.Usage($"--revision '{revision}': give a commit (40 hexadecimal digits) or a tag");
    }

    /// <summary>Opens the store and asks the server for the revision and the directory.</summary>
    /// <param name="address">From <see cref="Address"/>.</param>
    /// <param name="request">What else was asked for.</param>
    /// <param name="workspaceStore">Store that goes with the mount, for want of a lasting one.</param>
    /// <param name="log">The log.</param>
    /// <param name="takesAll">As <see cref="MegaOptions.TakesAll"/>.</param>
    /// <exception cref="MountProblem">Usage or Host.</exception>
    public static PinnedMega Pin(MegaAddress address, MegaRequest request, string? workspaceStore, Log log, bool takesAll = false)
    {
        var options = new MegaOptions
        {
            Address = address,
            Offline = request.Offline,
            OnDrift = request.OnDrift,
            Token = Token(request.TokenFile),
            Headers = Headers(request.HeaderFile),
            CaFile = request.CaFile is { } file ? CheckedCaFile(file) : null,
            RequestMs = PatienceMs(),
            TakesAll = takesAll,
            LargestBlob = Math.Max(request.StoreLimit / 2, StoreFolder.LeastLimit),
            Uid = Process.Geteuid(),
            Gid = Process.Getegid(),
        };
        if (!options.Offline)
        {
            WarnOfOpenSecrets(address.Base, options.Token is not null || options.Headers.Count > 0, log);
        }

        try
        {
            var store = StoreFolder.Open(request.Store, workspaceStore, log);
            store.Room.Full = log.Warn;
            _ = new StoreCollector(store, request.StoreLimit, log); // lives as long as the store that tells it what was added
            return PinnedMega.Make(options, store, log);
        }
        catch (MegaProblem problem)
        {
            throw MountProblem.Host($"source mega:{address}: {problem.Message}");
        }
    }

    /// <summary>As <see cref="Pin"/>, for what was pinned before.</summary>
    /// <param name="pinned">Its address, with the revision.</param>
    /// <param name="request">What else was asked for.</param>
    /// <param name="workspaceStore">As for <see cref="Pin"/>.</param>
    /// <param name="log">The log.</param>
    /// <exception cref="MountProblem">Usage or Host.</exception>
    public static PinnedMega PinAgain(string pinned, MegaRequest request, string? workspaceStore, Log log)
    {
        // What the options add to an address is in this one by now.
        var address = Address(new SourceSpec(SourceKind.Mega, pinned), request with { Path = null, Revision = null });
        return Pin(address, request, workspaceStore, log);
    }

    /// <summary>Warns of secrets that go over the net as they are.</summary>
    internal static void WarnOfOpenSecrets(string server, bool hasSecrets, Log log)
    {
        if (hasSecrets && Uri.TryCreate(server, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttp && !uri.IsLoopback)
        {
            log.Warn($"the token or headers for {server} are sent unencrypted, for everybody on the way to read; use https: if the server has it");
        }
    }

    /// <summary>An address as it may be shown: without the user name and password that somebody wrote into it.</summary>
    private static string WithoutSecrets(string text)
    {
        var authority = text.IndexOf("//", StringComparison.Ordinal) + 2;
        var end = authority < 2 ? -1 : text.IndexOf('/', authority);
        var at = authority < 2 ? -1 : text.LastIndexOf('@', (end < 0 ? text.Length : end) - 1);
        return at >= authority ? $"{text[..authority]}…{text[at..]}" : text;
    }

    /// <summary>How long a request may take: below the time after which this kernel gives the whole mount up.</summary>
    internal static int PatienceMs()
    {
        var limit = KernelLimitSeconds();
        return limit == 0 ? DefaultRequestMs : Math.Min(DefaultRequestMs, limit * 2000 / 3);
    }

    /// <summary>After how many seconds without an answer this kernel gives a mount up; 0: never.</summary>
    internal static int KernelLimitSeconds()
    {
        var least = 0;
        foreach (var name in (ReadOnlySpan<string>)["default_request_timeout", "max_request_timeout"])
        {
            if (HostPath.ReadAll($"/proc/sys/fs/fuse/{name}", out var text) == Errno.None
                && int.TryParse(Encoding.ASCII.GetString(text).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) && seconds > 0)
            {
                least = least == 0 ? seconds : Math.Min(least, seconds);
            }
        }

        return Math.Min(least, ushort.MaxValue);
    }

    /// <summary>The bearer token; null: none.</summary>
    /// <exception cref="MountProblem">Usage or Host.</exception>
    internal static string? Token(string? file)
    {
        var token = file is null ? Environment.GetEnvironmentVariable(TokenVariable) : Lines("--token-file", file).FirstOrDefault();
        if (string.IsNullOrWhiteSpace(token))
        {
            return file is null ? null : throw MountProblem.Usage($"--token-file {file} is empty");
        }

        token = token.Trim();
        return token.All(c => c is > ' ' and < (char)127)
            ? token
            : throw MountProblem.Usage("the token has characters in it that no token has; it must be one line of printable ASCII");
    }

    /// <summary>Further headers.</summary>
    /// <exception cref="MountProblem">Usage or Host.</exception>
    internal static List<KeyValuePair<string, string>> Headers(string? file)
    {
        var lines = file is not null ? Lines("--header-file", file) : (Environment.GetEnvironmentVariable(HeadersVariable) ?? "").Split('\n');
        var result = new List<KeyValuePair<string, string>>();
        foreach (var line in lines.Select(line => line.Trim('\r', ' ')).Where(line => line.Length > 0))
        {
            var colon = line.IndexOf(':');
            var name = colon > 0 ? line[..colon] : "";
            var value = line[(colon + 1)..].Trim();
            var from = file is null ? HeadersVariable : "--header-file " + file;
            if (name.Length == 0 || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_') || line.Any(char.IsControl))
            {
                // The line itself may be a secret.
                throw MountProblem.Usage($"a line of {from} is no header: write NAME: VALUE");
            }

            if (!WebClient.CanSend(name, value))
            {
                throw MountProblem.Usage($"the header {name} of {from} cannot go with a question: it describes content or the connection, or its value is not printable ASCII");
            }

            result.Add(new(name, value));
        }

        return result;
    }

    private static string[] Lines(string option, string file)
    {
        SourceSpec.CheckPath(option, file);
        var error = HostPath.ReadAll(file, out var content);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"{option} {file} cannot be read", error);
        }

        return content.Length > LargestSecret
            ? throw MountProblem.Usage($"{option} {file} is larger than {LargestSecret} bytes; is it the right file?")
            : Encoding.UTF8.GetString(content).Split('\n');
    }

    /// <summary>A file of certificates.</summary>
    /// <exception cref="MountProblem">Usage or Host.</exception>
    internal static string CheckedCaFile(string file)
    {
        SourceSpec.CheckPath("--ca-file", file);
        var error = HostPath.ReadAll(file, out var content);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"--ca-file {file} cannot be read", error);
        }

        return content.AsSpan().IndexOf("-----BEGIN CERTIFICATE-----"u8) >= 0
            ? file
            : throw MountProblem.Usage($"--ca-file {file} holds no certificate in PEM form");
    }
}
