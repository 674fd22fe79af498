namespace Antares.Aot.Overlay;

/// <summary>An object of the merged tree, resolved: where its parts lie at this moment.</summary>
public struct Target
{
    /// <summary>Id by which the kernel knows it.</summary>
    public ulong NodeId;

    /// <summary>The overlay's record of it, 0 when there is none (a pure lower object, or one that only the upper has).</summary>
    public uint Record;

    /// <summary>Node in the upper, 0 when it has none.</summary>
    public uint Upper;

    /// <summary>The topmost lower object under it; none for an upper-only object.</summary>
    public LowerRef Lower;

    public readonly bool HasUpper => Upper != 0;

    public readonly bool HasLower => !Lower.IsNone;
}
