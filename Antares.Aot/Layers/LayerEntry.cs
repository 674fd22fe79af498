using Antares.Aot.Base;

namespace Antares.Aot.Layers;

/// <summary>One name in a layer's directory, as <see cref="ILayer.Next"/> tells it.</summary>
public struct LayerEntry
{
    /// <summary>Place of the entry in its directory: grows along the listing, at least 1, below 2^36 (<see cref="ListingOrder.CookieBits"/>), never reused for another name.</summary>
    public ulong Cookie;

    /// <summary>st_ino that a getattr of the node shows, or 0 when it is not known without a system call.</summary>
    public ulong StIno;

    /// <summary>Node index in the layer.</summary>
    public uint Node;

    /// <summary>
    /// Type, never <see cref="FileType.Unknown"/>. A <see cref="FileType.CharDevice"/> may be a whiteout as long as
    /// <see cref="LayerPart.Type"/> is not loaded.
    /// </summary>
    public FileType Type;

    /// <summary>Name; the memory belongs to the layer and stays valid until the name is removed from the layer.</summary>
    public ByteName Name;
}
