using Antares.Aot.Cli;
using Antares.Aot.Fuse;
using Antares.Aot.Mounts;

namespace Antares.Aot.Tests.Unit;

/// <summary>Help texts are golden files (ANTARES_UPDATE_GOLDEN=1 writes them anew); exit codes are part of what is promised.</summary>
public sealed class CliGrammarTests : IDisposable
{
    private readonly string _state = Directory.CreateTempSubdirectory("antares-cli-").FullName;

    public void Dispose() => Directory.Delete(_state, recursive: true);

    [Theory]
    [InlineData("")]
    [InlineData("mount")]
    [InlineData("run")]
    [InlineData("umount")]
    [InlineData("list")]
    [InlineData("stats")]
    [InlineData("errors")]
    [InlineData("cl")]
    [InlineData("cl set")]
    [InlineData("refresh")]
    [InlineData("pack")]
    [InlineData("inspect")]
    [InlineData("verify")]
    [InlineData("unpack")]
    [InlineData("diff")]
    [InlineData("store")]
    [InlineData("origin")]
    public void HelpIsGolden(string verb)
    {
        var (code, output, error) = Run([.. verb.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"]);
        Assert.Equal((ExitCode.Ok, ""), (code, error));
        var name = verb.Length == 0 ? "help.txt" : $"help-{verb.Replace(' ', '-')}.txt";
        var actual = string.Join('\n', output.Split('\n').Select(line => line.TrimEnd())).TrimEnd() + "\n";
        if (Environment.GetEnvironmentVariable("ANTARES_UPDATE_GOLDEN") == "1")
        {
            File.WriteAllText(Path.Combine(GoldenFolder(), name), actual);
        }

        Assert.Equal(File.ReadAllText(Path.Combine(GoldenFolder(), name)), actual);
    }

    [Fact]
    public void VersionIsOneLine()
    {
        var (code, output, _) = Run("--version");
        Assert.Equal(ExitCode.Ok, code);
        Assert.Matches(@"^antares-aot \d+\.\d+\.\d+\n$", output);
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("no-such-verb", "no-such-verb")]
    [InlineData("--no-such-option", "--no-such-option")]
    [InlineData("inspec x", "did you mean inspect?")]
    [InlineData("mount --uper x", "did you mean --upper?")]
    [InlineData("run /a --uper x -- ls", "did you mean --upper?")]
    [InlineData("run /a -o lowerdir=/l -- ls", "lowerdir")]
    [InlineData("run /a -o foo -- ls", "'foo'")]
    [InlineData("mount -oupperdir=x /m", "lowerdir")]
    [InlineData("mount /a /m -o lowerdir=/l", "SOURCE '/a'")]
    [InlineData("mount /m -o lowerdir=/l --layer /x", "--layer")]
    [InlineData("mount", "SOURCE")]
    [InlineData("mount /a /b /c", "/c")]
    [InlineData("mount /a /b --no-such-option", "--no-such-option")]
    [InlineData("mount /a /b --upper", "--upper")]
    [InlineData("mount /a /b --threads x", "x")]
    [InlineData("mount /a /b --threads 0", "--threads")]
    [InlineData("mount /a /b --engine other", "other")]
    [InlineData("mount /a /b --volatile --fsync", "--fsync")]
    [InlineData("mount /a /b --work /w", "--upper")]
    [InlineData("mount /a /b --job ../x", "--job")]
    [InlineData("mount /a /b --log-level loud", "--log-level")]
    [InlineData("mount /a /b --init-mask 4.19", "--init-mask")]
    [InlineData("mount git: /b", "git:")]
    [InlineData("mount mega:/p /b", "--base-url")]
    [InlineData("mount mega:ftp://h/p /b", "mega:")]
    [InlineData("mount mega:http://u:secret@h/p /b", "file or the environment")]
    [InlineData("mount mega:http://h/a/../b /b", "..")]
    [InlineData("mount mega:http://h/p@ /b", "%40")]
    [InlineData("mount mega:http://h/p@v1 /b --revision v2", "--revision")]
    [InlineData("mount mega:http://h/p /b --path q", "--path")]
    [InlineData("mount mega:http://h /b --path a/../q", "--path")]
    [InlineData("mount mega:http://h/a /b --on-drift ignore", "--on-drift")]
    [InlineData("mount mega:http://h/a /b --store-limit 5", "--store-limit")]
    [InlineData("mount mega:http://h/a /b --store-limit 9999999T", "--store-limit")]
    [InlineData("mount /a /b --token-file t --offline --base-url u", "--base-url, --offline, --token-file")]
    [InlineData("mount git:/a /b --store s --token-file t", "--token-file: only")]
    [InlineData("pack git:/a -o b --store s", "--store: only")]
    [InlineData("pack mega:http://h/ -o b --prefetch x", "--prefetch")]
    [InlineData("run /a --path x -- true", "--path")]
    [InlineData("run dir:/a --store x -- true", "--store")]
    [InlineData("mount -o lowerdir=/l /m --offline", "--offline")]
    [InlineData("origin", "--git")]
    [InlineData("origin --git /r --listen nowhere", "--listen")]
    [InlineData("origin --git /r --quirk kind", "--quirk")]
    [InlineData("origin --git /r --quirk slow=x", "--quirk")]
    [InlineData("mount -o upperdir=x /m", "lowerdir")]
    [InlineData("mount -o lowerdir=/l", "MNT")]
    [InlineData("mount -o lowerdir=/l,foo /m", "foo")]
    [InlineData("-o lowerdir=/l,foo /m", "foo")]
    [InlineData("none /m -o lowerdir=/l,foo", "foo")]
    [InlineData("run /a", "run")]
    [InlineData("run /a --cd .. -- true", "--cd")]
    [InlineData("run /a --cd /x -- true", "--cd")]
    [InlineData("umount", "umount")]
    [InlineData("umount --all --stale", "umount")]
    [InlineData("umount /x --all", "umount")]
    [InlineData("stats", "stats")]
    [InlineData("errors a b", "b")]
    [InlineData("pack /a", "-o")]
    [InlineData("pack /a -o -", "standard output")]
    [InlineData("pack /usr/include -o /dev/full", "a device")]
    [InlineData("pack /a -o b --level 20", "--level")]
    [InlineData("pack /a -o b --mtime x", "--mtime")]
    [InlineData("pack /a -o b --owner root", "--owner")]
    [InlineData("pack tar: -o b", "tar:")]
    [InlineData("mount /a /b --image dir:/c", "--image dir:/c")]
    [InlineData("inspect x --tree . --json", "--tree")]
    [InlineData("unpack x", "FOLDER")]
    [InlineData("unpack x y --tar z", "FOLDER")]
    [InlineData("diff x", "diff")]
    public void ALineThatMakesNoSenseIsExitCode2(string line, string named)
    {
        var (code, output, error) = Run(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.True(code == ExitCode.Usage, $"exit {code}: {output}{error}");
        Assert.Equal("", output);
        Assert.Contains(named, error);
        Assert.DoesNotContain("secret", error);
        Assert.All(error.TrimEnd('\n').Split('\n'), text => Assert.StartsWith("antares-aot", text));
    }

    [Theory]
    [InlineData("umount /no/such/mount")]
    [InlineData("stats no-such-job")]
    [InlineData("errors /")]
    [InlineData("mount /no/such/source /no/such/mnt")]
    public void WhatTheHostRefusesIsExitCode3(string line)
    {
        var (code, output, error) = Run(line.Split(' '));
        Assert.True(code == ExitCode.Mount, $"exit {code}: {output}{error}");
        Assert.NotEqual("", error);
    }

    /// <summary>As mount(8) and programs that start its helpers do: the device's name means nothing beside lowerdir.</summary>
    [Fact]
    public void OnlyForMount8IsSourceAMereName()
    {
        var (code, _, error) = Run("none", "/no/such/mnt", "-o", "lowerdir=/no/such/lower");
        Assert.Equal(ExitCode.Mount, code);
        Assert.Contains("/no/such/lower", error);
    }

    [Fact]
    public void ALineBreakInAPathIsNoLineOfTheList()
    {
        var output = new StringWriter { NewLine = "\n" };
        ListVerb.WriteTable(output, [new KnownMount(Record("/m\nx\tf"), IsStale: false), new KnownMount(Record("/n"), IsStale: true)]);
        Assert.Equal(3, output.ToString().TrimEnd('\n').Split('\n').Length);
        Assert.Contains("/m\uFFFDx\uFFFDf", output.ToString());
    }

    /// <summary>What mount --json prints is an entry of list --json.</summary>
    [Fact]
    public void TheJsonOfOneMountIsThatOfTheList()
    {
        var record = Record("/m") with { Device = new DeviceNumber(0, 7) };
        Assert.StartsWith("{\"state\":\"mounted\",", RecordJson.Line(record));
        Assert.Equal($"[{RecordJson.Line(record).TrimEnd('\n')}]\n", RecordJson.Line([new KnownMount(record, IsStale: false)]));
    }

    [Fact]
    public void WhereAWorkspaceStaysIsSaid()
    {
        var kept = Record("/m") with { Keep = true, Workspace = "/w", Upper = "/w/upper" };
        Assert.Equal("kept /w; what was written is in /w/upper", Workspace.KeptText(kept));
        Assert.Null(Workspace.KeptText(kept with { Keep = false }));
        Assert.Null(Workspace.KeptText(kept with { Workspace = null }));
        Assert.Contains("\"kept\":\"/w\"", RecordJson.Line([new UnmountResult(kept, "unmounted")]));
        Assert.DoesNotContain("\"kept\"", RecordJson.Line([new UnmountResult(kept, "failed", "x")]));
        Assert.Contains("\"removed\":\"/w\"", RecordJson.Line([new UnmountResult(kept, "cleaned", Removed: "/w")]));
        Assert.DoesNotContain("\"removed\"", RecordJson.Line([new UnmountResult(kept, "cleaned")]));
    }

    [Theory]
    [InlineData("dev suid", "suid,dev")]
    [InlineData("nosuid suid nodev noatime", "suid")]
    [InlineData("suid nosuid noexec", null)]
    public void WhatAPlainUserCannotHaveIsSaid(string options, string? taken)
    {
        Assert.Null(FuseAdvice.TakenFromUser(isRoot: true, options.Split(' ')));
        var said = FuseAdvice.TakenFromUser(isRoot: false, options.Split(' '));
        Assert.Equal(taken is null, said is null);
        Assert.Contains($"{taken}", $"{said}");
    }

    private static MountRecord Record(string mountPoint) => new()
    {
        Id = "1",
        Process = ProcessIdentity.Self(),
        MountPoint = mountPoint,
        Lowers = ["/l"],
        Socket = "/s",
        Created = "2026-01-01T00:00:00Z",
    };

    [Fact]
    public void NoMountsIsAnEmptyList()
    {
        Assert.Equal((ExitCode.Ok, "", ""), Run("list"));
        Assert.Equal((ExitCode.Ok, "[]\n", ""), Run("list", "--json"));
        Assert.Equal((ExitCode.Ok, "[]\n", ""), Run("umount", "--all", "--json"));
    }

    [Theory]
    [InlineData("stat"), InlineData("gc"), InlineData("verify")]
    public void AStoreThatIsNotThereIsNotAnEmptyOne(string verb)
    {
        var (code, output, error) = Run("store", verb, "--store", "/nowhere/store");
        Assert.Equal((ExitCode.Usage, ""), (code, output));
        Assert.Contains("--store /nowhere/store: there is no such folder", error);
        Assert.False(Directory.Exists("/nowhere"));
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("a", "a")]
    [InlineData("./a//b/.", "a/b")]
    [InlineData("a..b", "a..b")]
    public void TheFolderOfRunStaysInTheMount(string given, string used) => Assert.Equal(used, RunVerb.FolderInMount(given));

    private (int Code, string Output, string Error) Run(params string[] args)
    {
        var output = new StringWriter { NewLine = "\n" };
        var error = new StringWriter { NewLine = "\n" };
        var code = CommandLine.Run(args, new CommandContext(WordsAsBytes.Given(args), output, error, Report: null, () => new StateFile(_state)));
        return (code, output.ToString(), error.ToString());
    }

    private static string GoldenFolder()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Antares.sln")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("the tests run outside of the checkout");
        }

        return Path.Combine(folder, "Antares.Aot.Tests", "Golden");
    }
}
