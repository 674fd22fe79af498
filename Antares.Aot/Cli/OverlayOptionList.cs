using System.Text;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary>
/// The list after <c>-o</c>, as mount(8) and the kernel's overlay read it: options separated by ',', folders of lowerdir by ':', and a
/// backslash before either (or before a backslash) takes its meaning away.
/// </summary>
public sealed class OverlayOptionList
{
    /// <summary>Options that change what the mount itself does; they are handed to the kernel.</summary>
    private static readonly HashSet<string> s_mountOptions = new(StringComparer.Ordinal)
    {
        "suid", "nosuid", "dev", "nodev", "exec", "noexec", "atime", "noatime", "sync", "async", "dirsync",
    };

    /// <summary>Options that say what is so anyway, or that are meant for mount(8).</summary>
    private static readonly HashSet<string> s_ignored = new(StringComparer.Ordinal)
    {
        "defaults", "rw", "relatime", "diratime", "nodiratime", "default_permissions", "auto", "noauto", "user", "nouser", "users", "owner", "group",
        "_netdev", "nofail", "index=off", "nfs_export=off", "metacopy=off", "redirect_dir=on", "redirect_dir=follow", "xino=on", "xino=auto",
    };

    private readonly List<string> _lowers = [];
    private readonly List<string> _mountOptions = [];

    private OverlayOptionList()
    {
    }

    /// <summary>Folders of lowerdir, top first.</summary>
    public IReadOnlyList<string> Lowers => _lowers;

    public string? Upper { get; private set; }

    public string? Work { get; private set; }

    public bool ReadOnly { get; private set; }

    public bool Volatile { get; private set; }

    public bool? AllowOther { get; private set; }

    public bool? UserXattrs { get; private set; }

    /// <summary>Names for the kernel, in the order given.</summary>
    public IReadOnlyList<string> MountOptions => _mountOptions;

    /// <summary>Reads one or several lists.</summary>
    /// <exception cref="MountProblem">Usage: an unknown option, by name; an option twice; an empty folder.</exception>
    public static OverlayOptionList Parse(IEnumerable<string> lists)
    {
        var options = new OverlayOptionList();
        foreach (var option in lists.SelectMany(list => Split(list, ',')))
        {
            options.Take(option);
        }

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

        return new MountRequest
        {
            Lowers = [.. Lowers.Select(path => new SourceSpec(SourceKind.Folder, path))],
            MountPoint = mountPoint,
            Upper = Upper,
            Work = Work,
            ReadOnly = ReadOnly || Upper is null, // as the kernel's overlay: without an upper nothing can be written
            AllowOther = AllowOther,
            UserXattrs = UserXattrs,
            MountOptions = MountOptions,
        };
    }

    private void Take(string option)
    {
        var equals = option.IndexOf('=');
        var name = equals < 0 ? option : option[..equals];
        var value = equals < 0 ? null : option[(equals + 1)..];
        switch (name)
        {
            case "lowerdir" when value is not null:
                OnlyOnce(name, _lowers.Count > 0);
                _lowers.AddRange(Split(value, ':').Select(part => Folder(name, part)));
                break;
            case "upperdir" when value is not null:
                OnlyOnce(name, Upper is not null);
                Upper = Folder(name, value);
                break;
            case "workdir" when value is not null:
                OnlyOnce(name, Work is not null);
                Work = Folder(name, value);
                break;
            case "ro" when value is null:
                ReadOnly = true;
                break;
            case "volatile" when value is null:
                Volatile = true;
                break;
            case "allow_other" when value is null:
                AllowOther = true;
                break;
            case "userxattr" when value is null:
                UserXattrs = true;
                break;
            default:
                TakeGeneric(option);
                break;
        }
    }

    private void TakeGeneric(string option)
    {
        if (s_mountOptions.Contains(option))
        {
            _mountOptions.Add(option);
        }
        else if (!s_ignored.Contains(option) && !option.StartsWith("x-", StringComparison.Ordinal) && option.Length > 0)
        {
            throw MountProblem.Usage($"-o: unknown option '{option}'");
        }
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

    /// <summary>Parts between separators that no backslash stands before; backslashes stay in.</summary>
    private static List<string> Split(string text, char separator)
    {
        var parts = new List<string>();
        var start = 0;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\')
            {
                i++; // the next character has no meaning
            }
            else if (text[i] == separator)
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
