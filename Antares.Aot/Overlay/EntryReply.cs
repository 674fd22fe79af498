using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>What an operation that leads to an object answers: its id and its attributes.</summary>
public struct EntryReply
{
    /// <summary>Id for the kernel, its lookup count already raised by one; <see cref="Antares.Aot.Base.NodeId.None"/>: no such name (may be cached).</summary>
    public ulong NodeId;

    /// <summary>Attributes of the object, owner ids as the mount shows them.</summary>
    public stat Attributes;
}
