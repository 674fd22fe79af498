using System.CommandLine;
using Antares.Aot.Cli;
using Antares.Aot.Mounts;

namespace Antares.Aot.Tests.Unit;

/// <summary>Which word is an option, which a value, which a folder, and which belongs to the command of run.</summary>
public sealed class CliGivenLineTests
{
    [Theory]
    [InlineData("mount /a /b --upper u", "mount --upper u -- /a /b")]
    [InlineData("mount --keep true /b", "mount --keep -- true /b")]
    [InlineData("mount /a --upper=u --threads:3", "mount --upper=u --threads:3 -- /a")]
    [InlineData("mount -olowerdir=a,ro /b", "mount -o lowerdir=a,ro -- /b")]
    [InlineData("mount -oro -f -- -a /b", "mount -o ro -f -- -a /b")]
    [InlineData("mount /a /b --job -x", "mount --job -x -- /a /b")]
    [InlineData("mount /a --upper --work w", "mount --upper --work w -- /a")]
    [InlineData("mount /a --upper -- u", "mount --upper -- /a u")]
    [InlineData("pack /a -ofile", "pack -o file -- /a")]
    [InlineData("pack /a -o -", "pack -o - -- /a")]
    [InlineData("pack /a -o f --exclude -x --exclude --level", "pack -o f --exclude -x --exclude --level -- /a")]
    [InlineData("unpack a --tar -", "unpack --tar - -- a")]
    [InlineData("store stat --store s", "store stat --store s")]
    [InlineData("list", "list")]
    public void OptionsComeFirst(string line, string sorted) => Assert.Equal(sorted, string.Join(' ', Read(line).Words));

    [Theory]
    [InlineData("run /a ls --keep", "run -- /a ls --keep", 2)]
    [InlineData("run /a --keep -- ls --keep", "run --keep -- /a ls --keep", 2)]
    [InlineData("run --cd d /a ls --help -o x", "run --cd d -- /a ls --help -o x", 4)]
    [InlineData("run /a -o ro ls", "run -o ro -- /a ls", 1)]
    [InlineData("run /a echo -- --x", "run -- /a echo -- --x", 3)]
    [InlineData("run /a -- echo -- --x", "run -- /a echo -- --x", 3)]
    [InlineData("run /a -- --x", "run -- /a --x", 1)]
    [InlineData("run /a --keep true", "run --keep -- /a true", 1)]
    [InlineData("run /a", "run -- /a", 0)]
    [InlineData("run", "run", 0)]
    public void FromItsFirstWordOnTheCommandIsLeftAlone(string line, string sorted, int commandWords)
    {
        var given = Read(line);
        Assert.Equal((sorted, commandWords, false), (string.Join(' ', given.Words), given.CommandWords, given.AsksForHelp));
    }

    [Theory]
    [InlineData("run --help")]
    [InlineData("run /a -h")]
    [InlineData("mount -?")]
    [InlineData("store gc --help")]
    public void HelpIsAskedForBeforeTheCommand(string line) => Assert.True(Read(line).AsksForHelp);

    [Theory]
    [InlineData("mount --uper u", "--uper", "--upper")]
    [InlineData("mount /a /b --uper=u", "--uper=u", "--upper")]
    [InlineData("run /a --cdd x -- ls", "--cdd", "--cd")]
    [InlineData("run /a --kepe ls", "--kepe", "--keep")]
    [InlineData("mount -upper u", "-upper", "--upper")]
    [InlineData("mount /a -x", "-x", "mount --help")]
    [InlineData("mount /a --fd-cach 3", "--fd-cach", "mount --help")]
    [InlineData("umount --stal", "--stal", "--stale")]
    [InlineData("list -l", "-l", "list --help")]
    [InlineData("list --version", "--version", "list --help")]
    [InlineData("store stta", "store stta", "stat")]
    [InlineData("store stat --stoer s", "--stoer", "--store")]
    public void AWordThatLooksLikeAnOptionIsOne(string line, string unknown, string advice)
    {
        var problem = Assert.Throws<MountProblem>(() => Read(line));
        Assert.Equal(ProblemKind.Usage, problem.Kind);
        Assert.Contains($"'{unknown}'", problem.Message);
        Assert.Contains(advice, problem.Message);
    }

    [Theory]
    [InlineData("inspec", "inspect")]
    [InlineData("umont", "umount")]
    [InlineData("rnu", "run")]
    [InlineData("lst", "list")]
    [InlineData("make", null)]
    [InlineData("x", null)]
    public void WhatIsNearIsOffered(string word, string? meant) => Assert.Equal(meant, GivenLine.Nearest(word, CommandLine.Verbs));

    private static GivenLine Read(string line)
    {
        var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return GivenLine.Read(words, Verb(words[0]));
    }

    private static Command Verb(string name)
    {
        var context = new CommandContext(WordsAsBytes.Given([]), TextWriter.Null, TextWriter.Null, Report: null, () => throw new InvalidOperationException());
        return name switch
        {
            "mount" => MountVerb.Create(context),
            "run" => RunVerb.Create(context),
            "umount" => UmountVerb.Create(context),
            "list" => ListVerb.Create(context),
            "pack" => PackVerb.Create(context),
            "unpack" => UnpackVerb.Create(context),
            "store" => StoreVerb.Create(context),
            _ => throw new ArgumentOutOfRangeException(nameof(name), name, null),
        };
    }
}
