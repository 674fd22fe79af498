using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>One entry of a directory listing on its way to the kernel.</summary>
public struct DirectoryItem
{
    public ByteName Name;

    /// <summary>Cookie from which a later readdir goes on after this entry.</summary>
    public ulong NextCookie;
    public ulong StIno;

    /// <summary>Id for a readdirplus entry; <see cref="Base.NodeId.None"/> for "." and ".." and where only names were asked for.</summary>
    public ulong NodeId;
    public FileType Type;

    /// <summary>Whole attributes when <see cref="NodeId"/> is set; otherwise only st_ino and the type bits of st_mode.</summary>
    public stat Attributes;
}
