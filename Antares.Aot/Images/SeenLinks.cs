using Antares.Aot.Dicfuse.Image;

namespace Antares.Aot.Images;

/// <summary>
/// The first path of each object with several names in the order of a walk, which goes into directories and so meets names in another order
/// than that of their indices.
/// </summary>
internal sealed class SeenLinks
{
    private readonly Dictionary<uint, byte[]> _paths = [];

    /// <summary>The path under which the walk met this object before; null: now is the first time.</summary>
    public byte[]? Find(ImageWalk walk)
    {
        var isFurther = (walk.Record.Flags & ImageNode.Alias) != 0;
        if (!isFurther && (walk.Record.Extra == 0 || ImageTree.IsDirectory(walk.Record)))
        {
            return null;
        }

        var standing = isFurther ? walk.Record.Body : walk.Node;
        if (_paths.TryGetValue(standing, out var path))
        {
            return path;
        }

        _paths.Add(standing, walk.Path.ToArray());
        return null;
    }
}
