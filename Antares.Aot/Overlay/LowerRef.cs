namespace Antares.Aot.Overlay;

/// <summary>A node of a lower layer: tree slot (1 = topmost lower) and node index.</summary>
public readonly record struct LowerRef(uint Slot, uint Node)
{
    /// <summary>True for "no lower object".</summary>
    public bool IsNone => Slot == 0;

    /// <summary>The id by which the kernel knows it.</summary>
    public ulong NodeId => Base.NodeId.Lower(Slot, Node);
}
