using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Store;
using Antares.Aot.Dicfuse.Web;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Image.Remote;

/// <summary>
/// Images of servers in the store. A part is a sparse file with the places of the image: the metadata whole and checked, of the frames those
/// that were read. A frame that is not there, torn or punched out again has not its checksum, and that alone decides.
/// </summary>
/// <remarks>
/// Metadata are checked before a part gets its name, and nothing is synced: a crash of the machine may leave less of it. So they are checked again by
/// whoever opens the part first after a start of the machine, which an extended attribute tells; where there are none, by everybody.
/// </remarks>
internal sealed unsafe class RemoteFiles(ObjectStore store)
{
    private readonly StoredImages _whole = new(store);
    private readonly StoredImages _parts = new(store, ObjectKind.Remote);

    /// <summary>Holds the id of the start of the machine in which the metadata were checked.</summary>
    private static ReadOnlySpan<byte> BootXattr => "user.antares.boot"u8;

    /// <summary>Copies a header out of what came, and holds it against the file's length.</summary>
    /// <param name="bytes">The beginning of the file.</param>
    /// <param name="version">Gets the length from the header where the server does not tell it.</param>
    /// <exception cref="ImageException">The first thing that is wrong.</exception>
    public static ImageHeader CheckedHeader(ReadOnlySpan<byte> bytes, ref RemoteVersion version)
    {
        ImageHeader header = default;
        bytes[..Math.Min(bytes.Length, ImageHeader.Bytes)].CopyTo(new Span<byte>(&header, ImageHeader.Bytes));
        version = version.Length >= 0 ? version : version with { Length = (long)Math.Min(header.FileBytes, long.MaxValue) };
        ImageHeaderCheck.Check(header, bytes.Length, version.Length);
        return header;
    }

    /// <summary>The whole image; null: not here.</summary>
    public OwnedFd? TryOpenWhole(in ObjectId id) => TryOpen(_whole, id);

    /// <summary>A part whose metadata are sound, open for writing too; null: not here.</summary>
    public OwnedFd? TryOpenPart(in ObjectId id)
    {
        OwnedFd? part = TryOpen(_parts, id);
        if (part is null || IsChecked(part.Value))
        {
            return part;
        }

        if (MetadataAreSound(part.Value))
        {
            NoteChecked(part.Value);
            return part;
        }

        store.Remove(id, ObjectKind.Remote);
        part.Dispose();
        return null;
    }

    /// <summary>Gives a part its name.</summary>
    /// <returns>The file.</returns>
    /// <exception cref="WebProblem">It cannot be kept.</exception>
    public OwnedFd PublishPart(StoreFile file, in ObjectId id, long bytes)
    {
        NoteChecked(file.Fd);
        return Publish(file, id, ObjectKind.Remote, bytes);
    }

    /// <inheritdoc cref="PublishPart"/>
    public OwnedFd PublishWhole(StoreFile file, in ObjectId id, long bytes)
    {
        Check(FileIo.Fdatasync(file.Fd), store);
        return Publish(file, id, ObjectKind.Image, bytes);
    }

    /// <summary>Compares every block of the metadata with its checksum.</summary>
    /// <param name="fd">An image of the right length.</param>
    public static bool MetadataAreSound(int fd)
    {
        try
        {
            using ImageFile image = Trial(fd);
            return MetadataAreSound(image);
        }
        catch (ImageException)
        {
            return false;
        }
    }

    /// <summary>Compares everything with its checksum.</summary>
    /// <param name="fd">A whole image.</param>
    /// <param name="damage">What is wrong.</param>
    public static bool IsSound(int fd, out string damage) => IsSound(fd, isWhole: true, out damage, out _);

    /// <summary>Compares the metadata of a part with their checksums, and counts the frames that are here.</summary>
    /// <param name="fd">Of a part.</param>
    /// <param name="read">Packed bytes of those frames.</param>
    /// <returns>False: the metadata are damaged.</returns>
    /// <remarks>
    /// A frame that has not its checksum is not here, which is no damage: nothing else tells. Short ones share blocks with their neighbours, so that no hole
    /// is where one lacks, some file systems have no holes, and what is being written or was left torn is fetched when it is read.
    /// </remarks>
    public static bool PartIsSound(int fd, out long read) => IsSound(fd, isWhole: false, out _, out read);

    private static bool IsSound(int fd, bool isWhole, out string damage, out long read)
    {
        damage = "";
        read = 0;
        try
        {
            using ImageFile image = Trial(fd);
            if (!MetadataAreSound(image))
            {
                damage = "the metadata do not match their checksums";
                return false;
            }

            byte* packed = (byte*)NativeMemory.Alloc((nuint)image.Header.FrameBytes);
            try
            {
                var frames = new FrameReader(image);
                for (uint frame = 0; frame < frames.Count && damage.Length == 0; frame++)
                {
                    Errno error = frames.Get(frame, out FramePlace place);
                    bool isRead = error == Errno.None && !place.IsZeros && (isWhole || FrameKeeper.HasData(image, place));
                    bool isHere = isRead && frames.ReadPacked(place, packed) == Errno.None;
                    read += isHere ? place.PackedBytes : 0;
                    damage = error == Errno.None && (isHere || !isRead || !isWhole) ? "" : $"frame {frame} does not match its checksum";
                }
            }
            finally
            {
                NativeMemory.Free(packed);
            }
        }
        catch (ImageException problem)
        {
            damage = "it " + problem.Message;
        }

        Failure.Clear(); // told by the text
        return damage.Length == 0;
    }

    /// <exception cref="WebProblem">The store's file system does not take it.</exception>
    public static void Check(Errno error, ObjectStore store)
    {
        if (StoreRoom.IsFull(error))
        {
            bool madeRoom = store.Room.Make();
            throw new WebProblem(Errno.EIO, $"the disk of the store {store.Folder} has no room for it; free some space, or name another folder with --store", isTransient: madeRoom);
        }

        if (error != Errno.None)
        {
            throw new WebProblem(Errno.EIO, $"it cannot be kept in the store {store.Folder} ({error})");
        }
    }

    private static bool MetadataAreSound(ImageFile image)
    {
        Errno error = image.Need(ImageHeader.Bytes, image.Header[ImageSection.Checksums].Offset - ImageHeader.Bytes);
        error = image.Sound(error);
        Failure.Clear(); // whoever asks tells it in other words
        return error == Errno.None;
    }

    private static ImageFile Trial(int fd)
    {
        Errno error = Interop.Fd.DupCloexec(fd, out int own);
        if (error != Errno.None)
        {
            throw new ImageException($"cannot be opened once more: {error}");
        }

        try
        {
            return ImageFile.Open(own);
        }
        catch (ImageException)
        {
            _ = Interop.Fd.Close(own); // only looked at
            throw;
        }
    }

    private OwnedFd? TryOpen(StoredImages images, in ObjectId id)
    {
        Errno error = images.Open(id, out int fd);
        if (error != Errno.None)
        {
            if (error != Errno.ENOENT)
            {
                Check(error, store);
            }

            return null;
        }

        var file = new OwnedFd(fd);
        try
        {
            Trial(fd).Dispose();
            return file;
        }
        catch (ImageException)
        {
            // As good as none: what is fetched takes its place.
            file.Dispose();
            return null;
        }
    }

    private OwnedFd Publish(StoreFile file, in ObjectId id, ObjectKind kind, long bytes)
    {
        Errno error = Interop.Fd.DupCloexec(file.Fd, out int own);
        Check(error, store);
        var image = new OwnedFd(own);
        error = file.Publish(id, kind, bytes);
        if (error != Errno.None)
        {
            image.Dispose();
            Check(error, store);
        }

        return image;
    }

    /// <summary>Notes that what is in the page cache now is the right content.</summary>
    private static void NoteChecked(int fd)
    {
        byte[] boot = BootId();
        fixed (byte* value = boot)
        {
            _ = boot.Length == 0 ? Errno.ENOENT : Xattrs.Fsetxattr(fd, (byte*)Literal.Pointer(BootXattr), value, (nuint)boot.Length, 0); // otherwise it is checked each time
        }
    }

    /// <summary>True when nothing can have been lost since the content was checked: the machine has not been started anew.</summary>
    private static bool IsChecked(int fd)
    {
        const int Room = 64;
        byte* value = stackalloc byte[Room];
        return Xattrs.Fgetxattr(fd, (byte*)Literal.Pointer(BootXattr), value, Room, out int length) == Errno.None
            && length > 0 && new ReadOnlySpan<byte>(value, length).SequenceEqual(BootId());
    }

    /// <summary>Empty: it cannot be told.</summary>
    private static byte[] BootId() => System.Text.Encoding.ASCII.GetBytes(SmallFile.BootId());
}
