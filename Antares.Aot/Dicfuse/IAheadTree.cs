using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse;

/// <summary>A tree of which things can be fetched before somebody asks for them, by threads that serve no requests.</summary>
internal interface IAheadTree
{
    /// <inheritdoc cref="ILayer.Find"/>
    Errno Find(uint directory, ByteName name, out uint node);

    /// <inheritdoc cref="ILayer.Next"/>
    Errno Next(uint directory, ulong cookie, out LayerEntry entry);

    /// <inheritdoc cref="ILayer.TypeOf"/>
    FileType TypeOf(uint node);

    /// <summary>Makes sure that a directory's names are here.</summary>
    /// <returns>None; as the source failed, noted.</returns>
    Errno LoadNames(uint directory);

    /// <summary>Makes sure that a content is here, however long it takes.</summary>
    /// <param name="node">A file or a link.</param>
    /// <param name="fetched">Bytes that came for it; -1: it was here.</param>
    /// <returns>None; as the source failed, noted.</returns>
    Errno Fetch(uint node, out long fetched);

    /// <summary>A node as people know it, for messages.</summary>
    string PathOf(uint node);
}

/// <summary>A tree in which a node can be told by the names that lead to it.</summary>
internal interface INamedTree
{
    /// <summary>The name of a node other than the root, and the directory that it is in.</summary>
    /// <returns>False: it cannot be told.</returns>
    bool TryGetName(uint node, out uint directory, out ByteName name);

    bool IsDirectory(uint node);
}
