using Antares.Aot.Base;

namespace Antares.Aot.Layers;

/// <summary>
/// The extended attributes by which an overlay keeps its own state in a folder, in kernel overlayfs' format: written with the
/// <c>trusted.</c> prefix by root and with <c>user.</c> otherwise, read with either.
/// </summary>
/// <remarks>Source: Documentation/filesystems/overlayfs.rst of Linux.</remarks>
public sealed unsafe class OverlayMarks
{
    private readonly bool _user;

    /// <param name="user">True: <c>user.overlay.*</c> (the <c>userxattr</c> format), for who may not write <c>trusted.*</c>.</param>
    public OverlayMarks(bool user) => _user = user;

    public bool IsUser => _user;

    /// <summary>"y" on a directory: nothing below is merged in. "x": the directory holds whiteouts in xattr form.</summary>
    public byte* Opaque => Literal.Pointer(_user ? "user.overlay.opaque"u8 : "trusted.overlay.opaque"u8);

    /// <summary>Where a directory's lower part lies.</summary>
    public byte* Redirect => Literal.Pointer(_user ? "user.overlay.redirect"u8 : "trusted.overlay.redirect"u8);

    /// <summary>On an empty regular file: it is a whiteout (where no device node may be made).</summary>
    public byte* Whiteout => Literal.Pointer(_user ? "user.overlay.whiteout"u8 : "trusted.overlay.whiteout"u8);

    /// <summary>Ours: the st_ino that a copied-up file had in the lower layer, 8 bytes little-endian. Private to any overlay.</summary>
    public byte* StIno => Literal.Pointer(_user ? "user.overlay.antares.ino"u8 : "trusted.overlay.antares.ino"u8);

    /// <summary>
    /// Ours, on a directory that is opaque ("y") and may still hold whiteouts in xattr form, which "x" told before: without it they would be empty files.
    /// </summary>
    /// <param name="user">As of the mark that tells opaque.</param>
    public static byte* WhiteoutsLeft(bool user) => Literal.Pointer(user ? "user.overlay.antares.whiteouts"u8 : "trusted.overlay.antares.whiteouts"u8);

    /// <summary>Ours, on the root of an upper and of its work folder: the kernel's overlay has them (<see cref="Layers.KernelUse"/>).</summary>
    public byte* KernelUse => Literal.Pointer(_user ? "user.overlay.antares.kernel"u8 : "trusted.overlay.antares.kernel"u8);

    /// <summary>Ours, on the root of an upper whose marks are under <c>user.</c>: it tells those who keep theirs under <c>trusted.</c> that there may be such.</summary>
    public static byte* UserMarksUsed => Literal.Pointer("user.overlay.antares.used"u8);

    public static byte* OtherOpaque(int i) => i switch
    {
        0 => Literal.Pointer("trusted.overlay.opaque"u8),
        1 => Literal.Pointer("user.overlay.opaque"u8),
        _ => Literal.Pointer("user.fuseoverlayfs.opaque"u8),
    };

    /// <summary>Ways in which a folder may call a directory opaque; see <see cref="OtherOpaque"/>.</summary>
    public const int OpaqueForms = 3;

    /// <summary>True for an attribute that belongs to an overlay and is never shown: it hides, or is kept under an escaped name.</summary>
    public static bool IsPrivate(byte* name) =>
        Literal.StartsWith(name, "trusted.overlay."u8)
        || Literal.StartsWith(name, "user.overlay."u8)
        || Literal.StartsWith(name, "user.fuseoverlayfs."u8);

    /// <summary>True for the name of a private attribute that stands for one of a nested overlay (kernel 6.7: <c>overlay.overlay.</c>).</summary>
    public static bool IsEscaped(byte* name) =>
        Literal.StartsWith(name, "trusted.overlay.overlay."u8) || Literal.StartsWith(name, "user.overlay.overlay."u8);

    /// <summary>
    /// The name under which an attribute asked for through the mount is kept: <c>trusted.overlay.x</c> of an overlay nested in the
    /// mount becomes <c>trusted.overlay.overlay.x</c>; others stay as they are.
    /// </summary>
    /// <param name="name">Name from the caller, at most 255 bytes.</param>
    /// <param name="buffer">At least 272 bytes.</param>
    public static byte* Escape(byte* name, byte* buffer)
    {
        if (Literal.StartsWith(name, "user.fuseoverlayfs."u8))
        {
            ReadOnlySpan<byte> own = System.Runtime.InteropServices.MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name + 5);
            var room = new Span<byte>(buffer, 272);
            if (own.Length + 22 > 272)
            {
                return name;
            }

            "user.overlay.overlay."u8.CopyTo(room);
            own.CopyTo(room[21..]);
            room[21 + own.Length] = 0;
            return buffer;
        }

        ReadOnlySpan<byte> prefix =
            Literal.StartsWith(name, "trusted.overlay."u8) ? "trusted.overlay."u8
            : Literal.StartsWith(name, "user.overlay."u8) ? "user.overlay."u8
            : default;
        if (prefix.IsEmpty)
        {
            return name;
        }

        ReadOnlySpan<byte> rest = System.Runtime.InteropServices.MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name + prefix.Length);
        var target = new Span<byte>(buffer, 272);
        if (prefix.Length + 8 + rest.Length + 1 > 272)
        {
            return name;
        }

        prefix.CopyTo(target);
        "overlay."u8.CopyTo(target[prefix.Length..]);
        rest.CopyTo(target[(prefix.Length + 8)..]);
        target[prefix.Length + 8 + rest.Length] = 0;
        return buffer;
    }

    /// <summary>
    /// Turns a list of names as the folder has them into what the mount shows, in place: private ones go, escaped ones lose the escape.
    /// </summary>
    /// <returns>The new length in bytes.</returns>
    public static int FilterList(byte* list, int length)
    {
        int read = 0;
        int write = 0;
        while (read < length)
        {
            int size = 0;
            while (read + size < length && list[read + size] != 0)
            {
                size++;
            }

            byte* name = list + read;
            if (read + size < length)
            {
                if (Literal.StartsWith(name, "user.overlay.overlay.fuseoverlayfs."u8))
                {
                    // "user.overlay.overlay.fuseoverlayfs.x" stands for "user.fuseoverlayfs.x".
                    int rest = size - 21;
                    "user."u8.CopyTo(new Span<byte>(list + write, 5));
                    Buffer.MemoryCopy(name + 21, list + write + 5, rest + 1, rest + 1);
                    write += 5 + rest + 1;
                }
                else if (IsEscaped(name))
                {
                    int prefix = Literal.StartsWith(name, "trusted."u8) ? 16 : 13;
                    Buffer.MemoryCopy(name, list + write, prefix, prefix);
                    Buffer.MemoryCopy(name + prefix + 8, list + write + prefix, size - prefix - 8 + 1, size - prefix - 8 + 1);
                    write += size - 8 + 1;
                }
                else if (!IsPrivate(name))
                {
                    Buffer.MemoryCopy(name, list + write, size + 1, size + 1);
                    write += size + 1;
                }
            }

            read += size + 1;
        }

        return write;
    }
}
