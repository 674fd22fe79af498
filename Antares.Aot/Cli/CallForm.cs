using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>
/// Ways of being called that are not ours: as fuse-overlayfs (<c>[-f] [-d] -o … MNT</c>, no verb), and as a helper of mount(8)
/// (<c>mount.fuse.antares-aot SOURCE MNT [-sfnv] [-o …]</c>). Both become a mount. The C main decides by the same rule who serves in the
/// background.
/// </summary>
internal sealed class CallForm
{
    private const string HelperPrefix = "mount.";

    private readonly IReadOnlyList<string> _args;
    private readonly bool _isHelper;

    /// <param name="calledAs">Path or name of the program as it was started.</param>
    /// <param name="args">The words after it.</param>
    public CallForm(string calledAs, IReadOnlyList<string> args)
    {
        _args = args;
        _isHelper = calledAs[(calledAs.LastIndexOf('/') + 1)..].StartsWith(HelperPrefix, StringComparison.Ordinal);
    }

    /// <summary>Called in a form that is not ours, in which SOURCE may be a mere name.</summary>
    public bool IsForeign => _isHelper || IsFuseOverlayfs;

    private bool IsFuseOverlayfs => _args.Count > 0 && !CommandLine.IsVerb(_args[0]) && _args.TakeWhile(word => word != "--").Any(IsList);

    /// <summary>The words in our grammar; null: there is nothing to be done.</summary>
    /// <exception cref="MountProblem">Usage: a helper's command line that mount(8) does not make.</exception>
    public IReadOnlyList<string>? ToWords()
    {
        if (_isHelper)
        {
            return _args.Any(word => word is "--help" or "-h") ? [MountVerb.Name, "--help"] : OfHelper();
        }

        return IsFuseOverlayfs ? OfFuseOverlayfs() : _args;
    }

    /// <summary>An exit code of ours in the words of who called: mount(8) has its own.</summary>
    public int ExitCode(int code)
    {
        const int Incorrect = 1;
        const int InternalBug = 4;
        const int MountFailed = 32;
        return !_isHelper ? code : code switch
        {
            Cli.ExitCode.Ok => Cli.ExitCode.Ok,
            Cli.ExitCode.Usage => Incorrect,
            Cli.ExitCode.Mount => MountFailed,
            _ => InternalBug,
        };
    }

    private static bool IsList(string word) => word.StartsWith("-o", StringComparison.Ordinal);

    private List<string>? OfHelper()
    {
        if (_args.Count < 2 || _args[0].StartsWith('-') || _args[1].StartsWith('-'))
        {
            throw MountProblem.Usage($"called as a helper of mount(8), which needs SOURCE and MNT: mount -t {MountEntry.OurType} SOURCE MNT [-o OPTIONS]");
        }

        List<string> words = [MountVerb.Name, _args[0], _args[1]];
        for (var i = 2; i < _args.Count; i++)
        {
            var word = _args[i];
            if (word is "-o" or "-t" or "-N" && i + 1 < _args.Count)
            {
                var value = _args[++i];
                if (word == "-N")
                {
                    throw MountProblem.Usage($"mount -N {value}: mounting into another namespace is not supported; run mount in it: nsenter --mount={value} mount …");
                }

                if (word == "-o")
                {
                    words.AddRange(["-o", value]);
                }
            }
            else if (word.Length > 1 && word[0] == '-' && word.AsSpan(1).IndexOfAnyExcept("sfnv") < 0)
            {
                if (word.Contains('f'))
                {
                    return null; // "fake": all but the mount itself, and there is nothing else
                }

                if (word.Contains('s'))
                {
                    words.AddRange(["-o", "sloppy"]);
                }
            }
            else
            {
                throw MountProblem.Usage($"'{word}' is nothing that mount(8) gives its helpers");
            }
        }

        return words;
    }

    // With one folder after the options this is fuse-overlayfs' own form, and means what it means there: layers of container images are
    // read in their own form too. With two it is a helper's form (mount.fuse3 makes it).
    private List<string> OfFuseOverlayfs()
    {
        List<string> words = [MountVerb.Name];
        var folders = 0;
        for (var i = 0; i < _args.Count; i++)
        {
            var word = _args[i];
            if (IsList(word))
            {
                words.Add("-o");
                if (word.Length > 2)
                {
                    words.Add(word[2..]);
                }
                else if (i + 1 < _args.Count)
                {
                    words.Add(_args[++i]);
                }
            }
            else if (word is "-d" or "--debug")
            {
                words.AddRange(["--log-level", "debug", "--foreground"]);
            }
            else if (word == "-s")
            {
                words.AddRange(["-o", "threaded=0"]);
            }
            else
            {
                folders += word.StartsWith('-') ? 0 : 1;
                words.Add(word);
            }
        }

        if (folders == 1)
        {
            words.InsertRange(1, ["-o", "whiteouts=aufs"]); // first: one that is given wins
        }

        return words;
    }
}
