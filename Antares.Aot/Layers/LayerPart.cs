namespace Antares.Aot.Layers;

/// <summary>What a layer may have to ask the place it comes from for, and keeps once it has it.</summary>
public enum LayerPart : byte
{
    /// <summary>Names of a directory: what <see cref="ILayer.Find"/> and <see cref="ILayer.Next"/> need.</summary>
    Names,

    /// <summary>Whether a node is a whiteout: what <see cref="ILayer.TypeOf"/> needs.</summary>
    Type,

    /// <summary>Attributes, and with them which object the node stands for: what getattr and <see cref="ILayer.ObjectOf"/> need.</summary>
    Attributes,

    /// <summary>All extended attributes, with their values.</summary>
    Xattrs,
}
