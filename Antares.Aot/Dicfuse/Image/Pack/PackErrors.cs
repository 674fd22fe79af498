using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Pack;

/// <summary>Messages of what can go wrong with one file of the source.</summary>
internal static class PackErrors
{
    public static ImageException Unreadable(PackedTree tree, uint node, Errno error)
    {
        string path = tree.PathOf(node);
        string detail = Failure.Call is { } call ? $"{call}, {error}" : $"{error}";
        return error switch
        {
            Errno.EACCES => new ImageException($"{path}: no permission to read it ({detail}); give this user access, or leave it out with --exclude"),
            _ when Failure.Call is { } why && why.StartsWith("source changed", StringComparison.Ordinal) =>
                new ImageException($"{path}: it changed while it was being packed; try again when nothing writes to it"),
            _ => new ImageException($"{path}: cannot be read ({detail})"),
        };
    }
}
