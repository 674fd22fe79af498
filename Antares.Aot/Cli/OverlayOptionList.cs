using System.Text;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>
/// The list after <c>-o</c>, as fuse-overlayfs, mount(8) and the kernel's overlay read it: options separated by ',', folders of lowerdir by
/// ':', and a backslash before either (or before a backslash) takes its meaning away; what stands in double quotes is one value.
/// </summary>
public sealed class OverlayOptionList
{
    private readonly List<string> _lowers = [];
    private readonly List<string> _mountOptions = [];
    private readonly List<string> _idle = [];
    private readonly List<string> _keptByFuse = [];
    private bool _isSloppy;

    private OverlayOptionList()
    {
    }

    /// <summary>There was a list, though it may hold nothing.</summary>
    public bool IsGiven { get; private init; }

    /// <summary>Folders of lowerdir, top first.</summary>
    public IReadOnlyList<string> Lowers => _lowers;

    public string? Upper { get; private set; }

    public string? Work { get; private set; }

    public bool ReadOnly { get; private set; }

    /// <summary>Null: not said.</summary>
    public Durability? Durability { get; private set; }

    public bool? AllowOther { get; private set; }

    public bool? UserXattrs { get; private set; }

    /// <summary>As <c>--writeback</c>.</summary>
    public bool Writeback { get; private set; }

    public string? FsName { get; private set; }

    /// <summary>Threads that the list asks for; null: not said.</summary>
    public int? Threads { get; private set; }

    /// <summary>How objects are shown and kept.</summary>
    public MountBehaviour Behaviour { get; private set; } = new();

    /// <summary>Options for the kernel, in the order given.</summary>
    public IReadOnlyList<string> MountOptions => _mountOptions;

    /// <summary>Options that were accepted and change nothing, each with the reason.</summary>
    public IReadOnlyList<string> Idle => _idle;

    /// <summary>Reads one or several lists; of an option given several times the last one counts, but the folders may be given once.</summary>
    /// <exception cref="MountProblem">Usage: an unknown or refused option, by name; folders twice; an empty folder; no such value.</exception>
    public static OverlayOptionList Parse(IReadOnlyCollection<string> lists)
    {
        var options = new OverlayOptionList { IsGiven = lists.Count > 0 };
        var all = lists.SelectMany(list => Split(list, ',')).ToList();
        options._isSloppy = all.Contains(Sloppy);
        all.ForEach(options.Take);
        return options;
    }

    /// <summary>The request that the list makes.</summary>
    /// <param name="mountPoint">MNT.</param>
    /// <exception cref="MountProblem">Usage: no lowerdir, or a workdir without an upperdir.</exception>
    public MountRequest ToRequest(string? mountPoint)
    {
        if (Lowers.Count == 0)
        {
            throw MountProblem.Usage("-o: lowerdir=FOLDER[:FOLDER…] is missing");
        }

        if (Work is not null && Upper is null)
        {
            throw MountProblem.Usage("-o: workdir needs upperdir");
        }

        return AddTo(new MountRequest
        {
            Lowers = [.. Lowers.Select(path => new SourceSpec(SourceKind.Folder, path))],
            MountPoint = mountPoint,
            ReadOnly = Upper is null, // as the kernel's overlay: without an upper nothing can be written
        });
    }

    /// <summary>A request with everything of the list but the layers below; what the request has already wins.</summary>
    public MountRequest AddTo(MountRequest request) => request with
    {
        Upper = request.Upper ?? Upper,
        Work = request.Work ?? Work,
        ReadOnly = request.ReadOnly || ReadOnly,
        AllowOther = request.AllowOther ?? AllowOther,
        UserXattrs = UserXattrs,
        Writeback = Writeback,
        FsName = FsName,
        Behaviour = Behaviour,
        MountOptions = MountOptions,
        KeptByFuse = _keptByFuse,
    };

    private const string Sloppy = "sloppy";

    private void Take(string option)
    {
        var equals = option.IndexOf('=');
        var name = equals < 0 ? option : option[..equals];
        var value = equals < 0 ? null : option[(equals + 1)..];
        if (!TakeFolder(name, value) && !TakeFlag(name, value) && !TakeValue(name, value))
        {
            TakeForeign(option, name, value);
        }
    }

    private bool TakeFolder(string name, string? value)
    {
        switch (name)
        {
            case "lowerdir" when value is not null:
                OnlyOnce(name, _lowers.Count > 0);
                _lowers.AddRange(Split(value, ':').Select(part => Folder(name, part)));
                return true;
            case "lowerdir+" when value is not null:
                _lowers.Add(Folder(name, value)); // one folder each, in which ':' is a letter
                return true;
            case "upperdir" when value is not null:
                OnlyOnce(name, Upper is not null);
                Upper = Folder(name, value);
                return true;
            case "workdir" when value is not null:
                OnlyOnce(name, Work is not null);
                Work = Folder(name, value);
                return true;
            case "fsname" or "source" when value is not null:
                FsName = Unescape(value);
                return true;
            default:
                return false;
        }
    }

    private bool TakeFlag(string name, string? value)
    {
        if (value is not null)
        {
            return false;
        }

        switch (name)
        {
            case "ro":
            case "rw":
                ReadOnly = name == "ro";
                return true;
            case "volatile":
                Durability = Mounts.Durability.Volatile;
                return true;
            case "allow_other":
                AllowOther = true;
                return true;
            case "userxattr":
                UserXattrs = true;
                return true;
            case "static_nlink":
                Behaviour = Behaviour with { StaticLinks = true };
                return true;
            case "noacl":
                Behaviour = Behaviour with { Acls = false };
                return true;
            case "squash_to_root":
                Behaviour = Behaviour with { SquashToUid = Behaviour.SquashToUid ?? 0, SquashToGid = Behaviour.SquashToGid ?? 0 };
                return true;
            case "auto_unmount":
                _mountOptions.Add(name);
                return true;
            case Sloppy:
                return true;
            default:
                return false;
        }
    }

    private bool TakeValue(string name, string? value)
    {
        switch (name, value)
        {
            case ("fsync" or "sync", "0" or "1"):
                Durability = value == "0" ? Mounts.Durability.Volatile : Mounts.Durability.Fsync;
                return true;
            case ("writeback", "0" or "1"):
                Writeback = value == "1";
                return true;
            case ("threaded", "0" or "1"):
                Threads = value == "0" ? 1 : null;
                return true;
            case ("noxattrs", "1"):
                Behaviour = Behaviour with { Xattrs = false };
                return true;
            case ("redirect_dir", "on" or "off" or "follow" or "nofollow"):
                Behaviour = Behaviour with { RenamesLowerDirectories = value == "on", FollowsRedirects = value != "nofollow" };
                return true;
            case ("uidmapping", not null):
                Behaviour = Behaviour with { Uids = IdMapText.ParseTriples("-o uidmapping", value), TakesUnmappedCallers = true };
                return true;
            case ("gidmapping", not null):
                Behaviour = Behaviour with { Gids = IdMapText.ParseTriples("-o gidmapping", value), TakesUnmappedCallers = true };
                return true;
            case ("squash_to_uid", not null):
                Behaviour = Behaviour with { SquashToUid = IdMapText.ParseId("-o squash_to_uid", value) };
                return true;
            case ("squash_to_gid", not null):
                Behaviour = Behaviour with { SquashToGid = IdMapText.ParseId("-o squash_to_gid", value) };
                return true;
            case ("whiteouts", not null):
                Behaviour = Behaviour with { ReadsAufsWhiteouts = WhiteoutsText.Parse("-o whiteouts", value) };
                return true;
            default:
                return false;
        }
    }

    private void TakeForeign(string option, string name, string? value)
    {
        if (ForeignOptions.OfTheMount.Contains(option) || (value is not null && ForeignOptions.OfLabels.Contains(name)))
        {
            _mountOptions.Add(Unescape(option));
            return;
        }

        foreach (var idle in ForeignOptions.Idle)
        {
            if (idle.Name == name && ForeignOptions.Matches(idle.Values, value))
            {
                _idle.Add($"{option} ({idle.Why})");
                if (idle.KeptByFuse.Length > 0 && ForeignOptions.Matches(idle.KeptByFuse, value))
                {
                    _keptByFuse.Add(option);
                }

                return;
            }
        }

        foreach (var refused in ForeignOptions.Refused)
        {
            if (refused.Name == name && ForeignOptions.Matches(refused.Values, value))
            {
                throw MountProblem.Usage($"-o: '{option}' is not supported: {refused.Advice}");
            }
        }

        if (option.Length == 0 || option.StartsWith("x-", StringComparison.Ordinal) || option.StartsWith("X-", StringComparison.Ordinal))
        {
            return;
        }

        if (!_isSloppy)
        {
            throw MountProblem.Usage($"-o: unknown option '{option}'; docs/MOUNT-OPTIONS.md lists what is known");
        }

        _idle.Add($"{option} (not known, and 'sloppy' is given)");
    }

    private static void OnlyOnce(string name, bool isThere)
    {
        if (isThere)
        {
            throw MountProblem.Usage($"-o: {name} is given twice");
        }
    }

    private static string Folder(string name, string escaped)
    {
        var path = Unescape(escaped);
        SourceSpec.CheckPath($"-o {name}", path);
        return path;
    }

    /// <summary>Parts between separators that no backslash stands before and no quotes around; backslashes and quotes stay in.</summary>
    private static List<string> Split(string text, char separator)
    {
        var parts = new List<string>();
        var start = 0;
        var quoted = false;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\')
            {
                i++; // the next character has no meaning
            }
            else if (text[i] == '"' && separator == ',' && (quoted || (i > 0 && text[i - 1] == '=')))
            {
                quoted = !quoted; // a label of SELinux; elsewhere a quote is a letter of a name
            }
            else if (text[i] == separator && !quoted)
            {
                parts.Add(text[start..i]);
                start = i + 1;
            }
        }

        parts.Add(text[start..]);
        return parts;
    }

    private static string Unescape(string text)
    {
        if (!text.Contains('\\'))
        {
            return text;
        }

        var plain = new StringBuilder(text.Length);
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\' && i + 1 < text.Length)
            {
                i++;
            }

            _ = plain.Append(text[i]); // fluent
        }

        return plain.ToString();
    }
}
