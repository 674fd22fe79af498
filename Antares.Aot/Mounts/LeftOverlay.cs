using Antares.Aot.Fuse;

namespace Antares.Aot.Mounts;

/// <summary>An overlay of the kernel's that goes on without the process that made it: what its mark on an upper says, and what is to be done about it.</summary>
internal static class LeftOverlay
{
    /// <summary>What the mark of a mount says of it: "0:57 /mount/point".</summary>
    public static string MarkOf(DeviceNumber device, string mountPoint) => $"{device} {mountPoint}";

    /// <summary>How an overlay that is still in use can be ended, for the user, by its mark.</summary>
    public static string Describe(string mark)
    {
        var space = mark.IndexOf(' ', StringComparison.Ordinal);
        if (space < 0 || !DeviceNumber.TryParse(mark[..space], out var device))
        {
            return "unmount it, and end who uses it";
        }

        if (MountTable.Read().Find(entry => entry.IsKernelEngine && entry.Device == device) is { } entry)
        {
            return $"it is still mounted at {entry.MountPoint}; antares-aot umount {entry.MountPoint} first, or choose another upper";
        }

        if (BusyProcesses.InOtherNamespaces(device) is { } keeper)
        {
            return $"{keeper} still has it mounted; unmount it there, or choose another upper";
        }

        return $"it is out of sight (its mount point was {mark[(space + 1)..]}), but {BusyProcesses.Describe(mark[(space + 1)..], device)}; end them first, or choose another upper";
    }
}
