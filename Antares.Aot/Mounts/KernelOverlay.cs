using System.Text;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>What the kernel's overlay is made of.</summary>
internal sealed record KernelOverlayOptions
{
    /// <summary>Shown as what is mounted.</summary>
    public required string Source { get; init; }

    /// <summary>Open folders, the topmost first.</summary>
    public required IReadOnlyList<OwnedFd> Lowers { get; init; }

    public required OwnedFd Upper { get; init; }

    public required OwnedFd Work { get; init; }

    public bool Volatile { get; init; }

    /// <summary>user.overlay.* instead of trusted.overlay.*; the kernel then follows and makes no redirects.</summary>
    public bool UserXattrs { get; init; }

    /// <summary>As mount(8) spells them; see <see cref="KernelOverlay.Takes"/>.</summary>
    public IReadOnlyList<string> MountOptions { get; init; } = [];
}

/// <summary>Makes a mount of the kernel's overlay that is nowhere in the tree yet.</summary>
internal static unsafe class KernelOverlay
{
    private const string Type = "overlay";

    /// <summary>Longest text that the kernel takes for an option.</summary>
    private const int LongestText = 255;

    /// <summary>True for mount options that this way of mounting knows.</summary>
    public static bool Takes(string option) => AttributeOf(option) is not null || FlagOf(option);

    /// <summary>Makes the mount.</summary>
    /// <param name="options">What it is made of.</param>
    /// <returns>Its root; the mount goes with this descriptor until it is moved to its place.</returns>
    /// <exception cref="MountProblem">Host: with what is wrong.</exception>
    public static OwnedFd Make(KernelOverlayOptions options)
    {
        // Linux 6.13 and later take folders by descriptor, and show their paths. Earlier ones want names: those of our descriptors
        // have no characters that mean something there, and are never too long.
        var context = Open();
        try
        {
            var error = AddLower(context, options.Lowers[0]);
            if (error == Errno.None)
            {
                AddByDescriptor(context, options);
            }
            else
            {
                context.Dispose();
                context = Open();
                AddByName(context, options);
            }

            AddRest(context, options);
            error = MountContexts.Create(context.Value);
            if (error != Errno.None)
            {
                throw Refused(context, "cannot be made", error);
            }

            error = MountContexts.Mount(context.Value, Attributes(options.MountOptions), out var mount);
            return error == Errno.None ? new OwnedFd(mount) : throw Refused(context, "cannot be mounted", error);
        }
        finally
        {
            context.Dispose();
        }
    }

    /// <summary>Puts the mount at its place.</summary>
    /// <exception cref="MountProblem">Host: the kernel refuses.</exception>
    public static void Place(OwnedFd mount, string mountPoint)
    {
        fixed (byte* path = HostPath.Bytes(mountPoint))
        {
            var error = MountContexts.Move(mount.Value, path);
            if (error != Errno.None)
            {
                throw MountProblem.Host($"cannot put the kernel's overlay at {mountPoint}", error);
            }
        }
    }

    private static OwnedFd Open()
    {
        using var type = new CString(Type);
        var error = MountContexts.Open(type, out var context);
        return error switch
        {
            Errno.None => new OwnedFd(context),
            Errno.ENODEV => throw MountProblem.Host("this kernel has no overlay file system (modprobe overlay)"),
            Errno.EPERM => throw MountProblem.Host("no permission to mount (no CAP_SYS_ADMIN); run as root, or in a user namespace (unshare -Urm)"),
            Errno.ENOSYS => throw MountProblem.Host("the kernel, or the container's filter of system calls, has no fsopen"),
            _ => throw MountProblem.Host("the kernel's overlay cannot be opened", error),
        };
    }

    private static void AddByDescriptor(OwnedFd context, KernelOverlayOptions options)
    {
        foreach (var lower in options.Lowers.Skip(1))
        {
            Check(context, "lowerdir+", AddLower(context, lower));
        }

        using var upper = new CString("upperdir");
        using var work = new CString("workdir");
        Check(context, "upperdir", MountContexts.SetFd(context.Value, upper, options.Upper.Value));
        Check(context, "workdir", MountContexts.SetFd(context.Value, work, options.Work.Value));
    }

    private static void AddByName(OwnedFd context, KernelOverlayOptions options)
    {
        SetText(context, "lowerdir", string.Join(':', options.Lowers.Select(NameOf)));
        SetText(context, "upperdir", NameOf(options.Upper));
        SetText(context, "workdir", NameOf(options.Work));
    }

    private static void AddRest(OwnedFd context, KernelOverlayOptions options)
    {
        SetText(context, "source", Shorten(options.Source));
        SetText(context, "xino", "on");
        SetText(context, "index", "off");
        SetText(context, "metacopy", "off");
        if (options.UserXattrs)
        {
            SetFlag(context, "userxattr");
        }
        else
        {
            SetText(context, "redirect_dir", "on");
        }

        if (options.Volatile)
        {
            SetFlag(context, "volatile");
        }

        foreach (var option in options.MountOptions.Where(FlagOf))
        {
            SetFlag(context, option);
        }
    }

    private static Errno AddLower(OwnedFd context, OwnedFd lower)
    {
        using var key = new CString("lowerdir+");
        return MountContexts.SetFd(context.Value, key, lower.Value);
    }

    private static void SetText(OwnedFd context, string key, string value)
    {
        using var name = new CString(key);
        using var text = new CString(value);
        Check(context, $"{key}={value}", MountContexts.SetString(context.Value, name, text));
    }

    private static void SetFlag(OwnedFd context, string key)
    {
        using var name = new CString(key);
        Check(context, key, MountContexts.SetFlag(context.Value, name));
    }

    private static void Check(OwnedFd context, string option, Errno error)
    {
        if (error != Errno.None)
        {
            throw Refused(context, $"does not take {option}", error);
        }
    }

    private static string NameOf(OwnedFd folder) => $"/proc/self/fd/{folder.Value}";

    /// <summary>MOUNT_ATTR_* of an option; 0 for what holds without it; null: it is none.</summary>
    private static uint? AttributeOf(string option) => option switch
    {
        "nosuid" => MountContexts.MOUNT_ATTR_NOSUID,
        "nodev" => MountContexts.MOUNT_ATTR_NODEV,
        "noexec" => MountContexts.MOUNT_ATTR_NOEXEC,
        "noatime" => MountContexts.MOUNT_ATTR_NOATIME,
        "suid" or "dev" or "exec" or "atime" or "async" => 0,
        _ => null,
    };

    private static bool FlagOf(string option) => option is "sync" or "dirsync";

    /// <summary>The last word on a matter counts.</summary>
    private static uint Attributes(IReadOnlyList<string> options)
    {
        var attributes = 0u;
        foreach (var option in options)
        {
            attributes = AttributeOf(option) is { } set and not 0 ? attributes | set : attributes & ~(AttributeOf("no" + option) ?? 0);
        }

        return attributes;
    }

    private static string Shorten(string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        var length = Math.Min(bytes.Length, LongestText);
        while (length < bytes.Length && (bytes[length] & 0xC0) == 0x80)
        {
            length--; // not within a character
        }

        return Encoding.UTF8.GetString(bytes, 0, length);
    }

    /// <summary>The refusal with what the file system itself says of it.</summary>
    private static MountProblem Refused(OwnedFd context, string what, Errno error)
    {
        var said = Messages(context);
        var advice = said.Length > 0 ? $": {said}" : error == Errno.EINVAL ? "; the kernel log says why (dmesg)" : "";
        return MountProblem.Host($"the kernel's overlay {what}: {ErrnoText.Of(error)}{advice}");
    }

    private static string Messages(OwnedFd context)
    {
        const int Room = 1024;
        var buffer = stackalloc byte[Room];
        var lines = new List<string>();
        while (FileIo.Read(context.Value, buffer, Room, out var got) == Errno.None && got > 0)
        {
            // "e overlay: …": the first letter says how bad it is.
            var line = Encoding.UTF8.GetString(buffer, (int)got).Trim();
            lines.Add(line.Length > 2 && line[1] == ' ' ? line[2..] : line);
        }

        return string.Join("; ", lines);
    }
}
