using Antares.Aot.Base;

namespace Antares.Aot.Layers;

/// <summary>
/// The other form of whiteouts, which the layers of container images have and which needs neither device nodes nor extended attributes:
/// <c>.wh.NAME</c> hides NAME in the layers below, <c>.wh..wh..opq</c> all that they have in the directory.
/// </summary>
/// <remarks>Source: the image specification of the Open Container Initiative (layer.md); fuse-overlayfs reads and writes it too.</remarks>
public static class AufsMarks
{
    public static ReadOnlySpan<byte> Prefix => ".wh."u8;

    /// <summary>NUL-terminated.</summary>
    public static unsafe byte* OpaqueMark => Literal.Pointer(".wh..wh..opq"u8);

    /// <summary>True for names that stand for marks, known ones (<c>.wh..wh.plnk</c> and the like are of aufs itself) or not.</summary>
    public static bool IsReserved(ByteName name) => name.Span.StartsWith(Prefix);

    /// <summary>The name that a whiteout hides.</summary>
    /// <param name="mark">A name in a directory.</param>
    /// <param name="hidden">The part after the prefix, which shares its memory; NUL-terminated as the mark is.</param>
    /// <returns>False: it is no whiteout of a name.</returns>
    public static unsafe bool TryHiddenName(ByteName mark, out ByteName hidden)
    {
        int prefix = Prefix.Length;
        if (mark.Length <= prefix || !IsReserved(mark) || mark.Span[prefix..].StartsWith(Prefix))
        {
            hidden = default;
            return false;
        }

        hidden = new ByteName(mark.Pointer + prefix, mark.Length - prefix);
        return !hidden.IsDotOrDotDot;
    }

    /// <summary>The name of a whiteout.</summary>
    /// <param name="name">What it hides.</param>
    /// <param name="mark">Receives the name, NUL-terminated; at least 256 bytes.</param>
    /// <returns>False: the name is too long to have one.</returns>
    public static unsafe bool TryMarkOf(ByteName name, byte* mark)
    {
        int prefix = Prefix.Length;
        if (name.Length + prefix > ByteName.MaxLength)
        {
            return false;
        }

        Prefix.CopyTo(new Span<byte>(mark, prefix));
        name.Span.CopyTo(new Span<byte>(mark + prefix, name.Length));
        mark[prefix + name.Length] = 0;
        return true;
    }
}
