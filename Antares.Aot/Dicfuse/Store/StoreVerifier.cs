using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Remote;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>What a verification found.</summary>
/// <param name="Objects">Objects and views looked at.</param>
/// <param name="Bytes">Content that was read.</param>
/// <param name="Damaged">Those whose content was not what their name says; they were removed.</param>
internal readonly record struct VerificationResult(long Objects, long Bytes, long Damaged);

/// <summary>Reads every object of a store and compares it with its id. What is damaged is removed, and will be fetched again.</summary>
/// <remarks>Of a part of an image its metadata count; a frame that is not right is one that is not here.</remarks>
internal static unsafe class StoreVerifier
{
    private const int PieceBytes = ObjectWriter.FrameBytes;

    /// <param name="store">The store.</param>
    /// <param name="damaged">Told the id of each damaged object.</param>
    /// <param name="result">The counts.</param>
    /// <returns>None; otherwise as the system call that failed.</returns>
    public static Errno Verify(ObjectStore store, Action<string> damaged, out VerificationResult result)
    {
        long objects = 0;
        long bytes = 0;
        long bad = 0;
        Errno failed = Errno.None;
        var buffer = new byte[PieceBytes];
        Errno error = StoreWalk.Files(store.Root, file =>
        {
            if (file.Kind == ObjectKind.None)
            {
                return true;
            }

            // What another version made is for that one to judge.
            if (file.Kind != ObjectKind.Image && store.IsForeign(file.Id, file.Kind))
            {
                return true;
            }

            objects++;
            Errno one = Check(store, file, buffer, out bool sound, out long read);
            bytes += read;
            if (one != Errno.None)
            {
                failed = one;
                return false;
            }

            if (!sound)
            {
                bad++;
                damaged(file.Id.ToString());
                store.Remove(file.Id, file.Kind);
            }

            return true;
        });
        result = new VerificationResult(objects, bytes, bad);
        return error == Errno.None ? failed : error;
    }

    private static Errno Check(ObjectStore store, in StoredFile file, byte[] buffer, out bool sound, out long read)
    {
        read = 0;
        sound = false;
        if (file.Kind == ObjectKind.Image)
        {
            return CheckImage(store, file, out sound, out read);
        }

        if (file.Kind == ObjectKind.Remote)
        {
            return CheckPart(store, file, out sound, out read);
        }

        foreach (ObjectKind kind in file.Kind == ObjectKind.View ? (ReadOnlySpan<ObjectKind>)[ObjectKind.View] : [ObjectKind.Blob, ObjectKind.Tree])
        {
            if (!store.TryStat(file.Id, kind, out long length))
            {
                continue;
            }

            // Views are named by their question; that they can be read is all that can be said.
            using GitHash hash = new(kind, length);
            while (read < length)
            {
                fixed (byte* bytes = buffer)
                {
                    Errno error = store.Read(file.Id, kind, (ulong)read, bytes, PieceBytes, out uint got, out _);
                    if (error == Errno.ENOENT || (error == Errno.None && got == 0))
                    {
                        return Errno.None;
                    }

                    if (error != Errno.None)
                    {
                        return error;
                    }

                    hash.Append(buffer.AsSpan(0, (int)got));
                    read += got;
                }
            }

            sound = kind == ObjectKind.View || hash.Finish() == file.Id;
            return Errno.None;
        }

        return Errno.None;
    }

    private static Errno CheckPart(ObjectStore store, in StoredFile file, out bool sound, out long read)
    {
        sound = false;
        read = 0;
        Errno error = new StoredImages(store, ObjectKind.Remote).Open(file.Id, out int fd);
        if (error == Errno.None)
        {
            using var part = new OwnedFd(fd);
            sound = RemoteFiles.PartIsSound(fd, out read);
        }

        return error;
    }

    private static Errno CheckImage(ObjectStore store, in StoredFile file, out bool sound, out long read)
    {
        sound = false;
        read = 0;
        Errno error = new StoredImages(store).Open(file.Id, out int fd);
        if (error != Errno.None)
        {
            return error;
        }

        try
        {
            using ImageFile image = ImageFile.Open(fd);
            fd = -1;
            using ImageContent content = new(image);
            using ImageVerifier verifier = new(image, new ImageTree(image), content, new ImageXattrs(image));
            sound = verifier.Run().Count == 0;
            read = (long)image.Header.StreamBytes;
        }
        catch (ImageException)
        {
            sound = false;
        }
        finally
        {
            if (fd >= 0)
            {
                _ = Fd.Close(fd); // open for reading only: closing can lose nothing
            }
        }

        return Errno.None;
    }
}
