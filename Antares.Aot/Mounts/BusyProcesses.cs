using System.Globalization;
using System.Text;
using Antares.Aot.Fuse;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Tells who keeps a mount busy: processes with a working folder, a root, an open file, a program or a mapping in it.</summary>
internal static class BusyProcesses
{
    private const int MostShown = 5;

    /// <summary>A sentence such as "in use by 4711 (bash: working folder), 4712 (make: out.log)", or a hint when none can be seen.</summary>
    /// <param name="mountPoint">Path without links.</param>
    /// <param name="device">Of the mount: it shows users of one that is not at its mount point any more, whose paths tell nothing.</param>
    public static string Describe(string mountPoint, DeviceNumber? device)
    {
        if (device is not { } there || there.IsAt(mountPoint))
        {
            var inside = MountTable.Read().FindAll(entry => entry.MountPoint != mountPoint && HostPath.IsSameOrInside(entry.MountPoint, mountPoint));
            if (inside.Count > 0)
            {
                var others = inside.Count > 1 ? $" and {inside.Count - 1} more" : "";
                return $"in use by the mount inside of it at {inside[^1].MountPoint} ({inside[^1].Type}){others}";
            }
        }

        var found = new List<string>();
        foreach (var pid in Pids())
        {
            // A shell that has a file open hands it down, to this very process too, which ends by itself.
            if (pid != Environment.ProcessId && Use(pid, mountPoint, device) is { } use)
            {
                found.Add($"{pid} ({Name(pid)}: {use})");
            }
        }

        if (found.Count == 0)
        {
            if (Use(Environment.ProcessId, mountPoint, device) is { } own)
            {
                return $"in use by this command itself ({own})";
            }

            return "in use by a process that cannot be seen from here (another user's or another container's)";
        }

        var more = found.Count > MostShown ? $" and {found.Count - MostShown} more" : "";
        return $"in use by {string.Join(", ", found.Take(MostShown))}{more}";
    }

    /// <summary>Another mount namespace that has a mount, by the processes in it: "the mount namespace of 4711 (bash)". A container's, mostly.</summary>
    /// <returns>Null: none that can be seen from here.</returns>
    public static string? InOtherNamespaces(DeviceNumber device)
    {
        if (HostPath.ReadLink("/proc/self/ns/mnt", out var ours) != Errno.None)
        {
            return null;
        }

        var looked = new HashSet<string> { ours };
        foreach (var pid in Pids())
        {
            if (HostPath.ReadLink($"/proc/{pid}/ns/mnt", out var theirs) == Errno.None
                && looked.Add(theirs)
                && MountTable.ReadOf(pid).Exists(entry => entry.Device == device))
            {
                return $"the mount namespace of {pid} ({Name(pid)})";
            }
        }

        return null;
    }

    private static IEnumerable<int> Pids()
    {
        if (HostPath.OpenFolder("/proc", out var fd) != Errno.None)
        {
            yield break;
        }

        using var owned = new OwnedFd(fd);
        if (HostPath.List(fd, int.MaxValue, out var names) != Errno.None)
        {
            yield break;
        }

        foreach (var name in names)
        {
            if (int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var pid))
            {
                yield return pid;
            }
        }
    }

    private static string? Use(int pid, string mountPoint, DeviceNumber? device)
    {
        if (LinkIsInside($"/proc/{pid}/cwd", mountPoint, device, out _))
        {
            return "working folder";
        }

        if (LinkIsInside($"/proc/{pid}/root", mountPoint, device, out _))
        {
            return "root folder";
        }

        if (LinkIsInside($"/proc/{pid}/exe", mountPoint, device, out var program))
        {
            return $"runs {program}";
        }

        return OpenFile(pid, mountPoint, device) ?? Mapping(pid, mountPoint);
    }

    private static string? OpenFile(int pid, string mountPoint, DeviceNumber? device)
    {
        if (HostPath.OpenFolder($"/proc/{pid}/fd", out var fd) != Errno.None)
        {
            return null;
        }

        using var owned = new OwnedFd(fd);
        if (HostPath.List(fd, int.MaxValue, out var names) != Errno.None)
        {
            return null;
        }

        foreach (var name in names)
        {
            if (LinkIsInside($"/proc/{pid}/fd/{name}", mountPoint, device, out var file))
            {
                return file;
            }
        }

        return null;
    }

    private static string? Mapping(int pid, string mountPoint)
    {
        if (HostPath.ReadAll($"/proc/{pid}/maps", out var content) != Errno.None)
        {
            return null;
        }

        var at = Encoding.UTF8.GetString(content).Split('\n')
            .Select(line => line.IndexOf('/') is var slash and >= 0 ? line[slash..] : "")
            .FirstOrDefault(path => path.Length > 0 && HostPath.IsSameOrInside(path, mountPoint));
        return at is null ? null : $"maps {at[(mountPoint.Length + 1)..]}";
    }

    private static bool LinkIsInside(string link, string mountPoint, DeviceNumber? device, out string inside)
    {
        inside = "";
        if (HostPath.ReadLink(link, out var target) != Errno.None)
        {
            return false;
        }

        if (HostPath.IsSameOrInside(target, mountPoint))
        {
            inside = target.Length > mountPoint.Length ? target[(mountPoint.Length + 1)..] : "its root";
            return true;
        }

        // Of a detached mount the path begins at its root.
        inside = target.Length > 1 ? target[1..] : "its root";
        return device is not null && target.StartsWith('/') && DeviceNumber.Behind(link, out var there) == Errno.None && there == device;
    }

    private static string Name(int pid) =>
        HostPath.ReadAll($"/proc/{pid}/comm", out var content) == Errno.None ? Utf8.Print(content.AsSpan().TrimEnd((byte)'\n')) : "?";
}
