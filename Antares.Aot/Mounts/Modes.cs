namespace Antares.Aot.Mounts;

/// <summary>Permission bits of the files and folders that a mount makes for itself.</summary>
internal static class Modes
{
    /// <summary>rwx------</summary>
    public const uint Private = 0x1C0;

    /// <summary>rwxr-xr-x</summary>
    public const uint Folder = 0x1ED;

    /// <summary>rw-------</summary>
    public const uint PrivateFile = 0x180;
}
