using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Content;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Store;

/// <summary>
/// Blobs and trees by their git id, and what servers said, in a folder that any number of processes share: what one has fetched no other
/// fetches again.
/// </summary>
/// <remarks>
/// <code>
/// format         "antares-store 1"
/// objects2/ab/…  blobs and trees (ObjectFormat)
/// views2/ab/…    what a server said about a revision and a path
/// images/ab/…    images of archives and commits, and those of servers that were fetched whole (StoredImages)
/// remote/ab/…    images of servers, as much of them as was read (RemoteFrames)
/// sizes          sizes by id (SizeTable)
/// locks          who fetches what (StoreLocks)
/// tmp/           objects in the making, PID.COUNTER.RANDOM
/// </code>
/// The number in a folder's name is that of the format of what is in it (<see cref="ObjectHeader.MagicValue"/>): programs of several versions
/// share a store without taking each other's objects for damaged ones. Those of a former format count towards the limit and age like others;
/// those of a later one are left alone.
/// An object appears whole, by a rename, or not at all. Readers keep no descriptor between requests: an object that a collection removes
/// meanwhile is fetched again. Where the disk has no room even after a collection, or cannot be written at all, short objects are
/// held in memory (<see cref="MemoryObjects"/>). All members may be called from several threads.
/// </remarks>
internal sealed unsafe class ObjectStore : IDisposable
{
    public const string FormatText = "antares-store 1\n";
    public const string ObjectsName = "objects2";
    public const string ViewsName = "views2";
    public const string FormerObjectsName = "objects";
    public const string FormerViewsName = "views";
    public const string ImagesName = "images";
    public const string RemoteName = "remote";
    public const string TemporaryName = "tmp";

    internal const int PathBytes = 64;

    private const string Layer = "store";
    private const long TouchSeconds = 3600;

    private static int s_counter;

    private readonly OwnedFd _root;
    private readonly FrameUnpackers _unpackers = new();
    private readonly Lock _backgroundLock = new();
    private Task _background = Task.CompletedTask;
    private bool _closing;
    private long _written;
    private long _damaged;
    private long _hits;

    private ObjectStore(string path, OwnedFd root, OwnedFd locks, OwnedFd sizes)
    {
        Folder = path;
        _root = root;
        Locks = new StoreLocks(locks);
        Sizes = new SizeTable(sizes);
    }

    /// <summary>The folder as given.</summary>
    public string Folder { get; }

    public SizeTable Sizes { get; }

    public StoreLocks Locks { get; }

    /// <summary>Called with the bytes of each object that was added.</summary>
    public Action<long>? Added { get; set; }

    /// <summary>What is done when the disk is full.</summary>
    public StoreRoom Room { get; } = new();

    /// <summary>The store is being closed: long work ends early.</summary>
    public bool IsClosing => Volatile.Read(ref _closing);

    /// <summary>Bytes of objects added by this process.</summary>
    public long WrittenBytes => Volatile.Read(ref _written);

    /// <summary>Objects that were found damaged and removed.</summary>
    public long Damaged => Volatile.Read(ref _damaged);

    /// <summary>Reads served.</summary>
    public long Hits => Volatile.Read(ref _hits);

    internal PressPool Presses { get; } = new();

    internal int Root => _root.Value;

    /// <summary>Opens a store, and makes it when the folder is empty.</summary>
    /// <param name="path">An existing folder.</param>
    /// <param name="store">The store.</param>
    /// <param name="problem">What failed, with the name of the file; empty on success.</param>
    /// <returns>
    /// None; EPROTO: the folder holds something else, or another version; EPERM: it is another user's, or others may write into it; otherwise
    /// as the system call that failed.
    /// </returns>
    public static Errno Open(string path, out ObjectStore? store, out string problem)
    {
        store = null;
        problem = path;
        using CString folder = new(path);
        Errno error = Fd.Open(folder, Fcntl.O_RDONLY | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out int rootFd);
        if (error != Errno.None)
        {
            return error;
        }

        var root = new OwnedFd(rootFd);
        OwnedFd? locks = null;
        OwnedFd? sizes = null;
        try
        {
            error = StoreOpening.CheckOwner(rootFd, ref problem);
            error = error == Errno.None ? StoreOpening.CheckFormat(rootFd, ref problem) : error;
            foreach (string name in (ReadOnlySpan<string>)[ObjectsName, ViewsName, ImagesName, RemoteName, TemporaryName])
            {
                error = error == Errno.None ? StoreOpening.MakeFolder(rootFd, name, ref problem) : error;
            }

            error = error == Errno.None ? StoreOpening.OpenFile(rootFd, "locks", ref problem, out locks) : error;
            error = error == Errno.None ? StoreOpening.OpenFile(rootFd, "sizes", ref problem, out sizes) : error;
            if (error == Errno.None)
            {
                problem = "";
                store = new ObjectStore(path, root, locks!, sizes!);
            }

            return error;
        }
        finally
        {
            if (store is null)
            {
                root.Dispose();
                locks?.Dispose();
                sizes?.Dispose();
            }
        }
    }

    /// <summary>Tells whether an object is here, and its length.</summary>
    [SkipLocalsInit]
    public bool TryStat(in ObjectId id, ObjectKind kind, out long rawBytes)
    {
        rawBytes = 0;
        ObjectHeader header;
        if (OpenSound(id, kind, &header, out int fd) != Errno.None)
        {
            return Room.Memory.TryStat(id, kind, out rawBytes);
        }

        // Open for reading only: closing can lose nothing.
        _ = Fd.Close(fd);
        rawBytes = (long)header.RawBytes;
        return true;
    }

    /// <summary>Reads a part of an object. Allocates nothing.</summary>
    /// <param name="id">The object.</param>
    /// <param name="kind">What it must be.</param>
    /// <param name="offset">Byte offset.</param>
    /// <param name="buffer">Receives the bytes.</param>
    /// <param name="size">Bytes wanted.</param>
    /// <param name="got">Bytes read: fewer only at the end.</param>
    /// <param name="rawBytes">Length of the whole object.</param>
    /// <returns>None; ENOENT: not here (or it was damaged, and is not here any more); ENOMEM, EMFILE, EIO …: as the system call.</returns>
    [SkipLocalsInit]
    public Errno Read(in ObjectId id, ObjectKind kind, ulong offset, byte* buffer, uint size, out uint got, out long rawBytes)
    {
        got = 0;
        rawBytes = 0;
        ObjectHeader header;
        Errno error = OpenSound(id, kind, &header, out int fd);
        if (error != Errno.None)
        {
            return Room.Memory.TryRead(id, kind, offset, buffer, size, out got, out rawBytes) ? Errno.None : error;
        }

        rawBytes = (long)header.RawBytes;
        FrameUnpacker? unpacker = _unpackers.Rent();
        if (unpacker == null)
        {
            error = Errno.ENOMEM;
        }
        else
        {
            ulong end = offset >= header.RawBytes ? offset : offset + Math.Min(size, header.RawBytes - offset);
            while (error == Errno.None && offset + got < end)
            {
                error = ReadFrame(fd, unpacker, in header, offset + got, end, buffer + got, out uint read);
                got += read;
            }

            _unpackers.Return(unpacker);
        }

        // As above.
        _ = Fd.Close(fd);
        if (error == Errno.EBADMSG)
        {
            GiveUp(id, kind);
            return Errno.ENOENT;
        }

        // Only a counter for people.
        _ = Interlocked.Increment(ref _hits);
        return Failure.Note(Layer, "read object", error);
    }

    /// <summary>The whole of an object.</summary>
    /// <param name="id">The object.</param>
    /// <param name="kind">What it must be.</param>
    /// <param name="most">A longer one is EFBIG.</param>
    /// <param name="content">The bytes; the caller disposes them.</param>
    /// <returns>As <see cref="Read"/>; EFBIG; ENOMEM.</returns>
    public Errno ReadAll(in ObjectId id, ObjectKind kind, long most, out NativeBody? content)
    {
        content = null;
        if (!TryStat(id, kind, out long bytes))
        {
            return Errno.ENOENT;
        }

        if (bytes > Math.Min(most, int.MaxValue))
        {
            return Failure.Note(Layer, "object too large", Errno.EFBIG);
        }

        NativeBody? body = NativeBody.OfLength((int)bytes);
        if (body == null)
        {
            return Failure.Note(Layer, "memory", Errno.ENOMEM);
        }

        Errno error = Read(id, kind, 0, body.Pointer, (uint)bytes, out uint got, out long now);
        if (error == Errno.None && got == bytes && now == bytes)
        {
            content = body;
            return Errno.None;
        }

        body.Dispose();
        return error == Errno.None ? Errno.ENOENT : error;
    }

    /// <inheritdoc cref="ObjectWriter.Begin"/>
    public Errno Begin(ObjectKind kind, out ObjectWriter? writer) => ObjectWriter.Begin(this, kind, out writer);

    /// <summary>Adds an object that is all here; in memory if need be.</summary>
    /// <returns>As <see cref="ObjectWriter.Publish"/>.</returns>
    public Errno Add(in ObjectId id, ObjectKind kind, ReadOnlySpan<byte> content)
    {
        Errno error = AddToDisk(id, kind, content);
        if (StoreRoom.IsFull(error) && Room.Make())
        {
            error = AddToDisk(id, kind, content);
        }

        if (!StoreRoom.IsRefusal(error))
        {
            return error;
        }

        Room.TellRefused(Folder, error);
        return Room.Memory.TryAdd(id, kind, content) ? Errno.None : error;
    }

    /// <summary>Does something beside the requests; the store stays open until it is done.</summary>
    /// <returns>False: the store is being closed.</returns>
    public bool TryRun(Action work)
    {
        lock (_backgroundLock)
        {
            if (_closing)
            {
                return false;
            }

            _background = _background.ContinueWith(_ => work(), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            return true;
        }
    }

    private Errno AddToDisk(in ObjectId id, ObjectKind kind, ReadOnlySpan<byte> content)
    {
        Errno error = Begin(kind, out ObjectWriter? writer);
        if (error != Errno.None)
        {
            return error;
        }

        using (writer)
        {
            error = writer!.Append(content);
            return error == Errno.None ? writer.Publish(id) : error;
        }
    }

    /// <summary>Tells whether there is an object of this name in the format of another version of this program.</summary>
    [SkipLocalsInit]
    public bool IsForeign(in ObjectId id, ObjectKind kind)
    {
        byte* path = stackalloc byte[PathBytes];
        WritePath(path, id, kind);
        if (Fd.Openat(Root, path, Fcntl.O_RDONLY | Fcntl.O_NOFOLLOW | Fcntl.O_CLOEXEC, 0, out int fd) != Errno.None)
        {
            return false;
        }

        ulong magic;
        using var file = new OwnedFd(fd);
        return FileIo.ReadFull(fd, (byte*)&magic, sizeof(ulong), 0, out nuint got) == Errno.None && got == sizeof(ulong) && ObjectHeader.IsForeign(magic);
    }

    /// <summary>Removes an object.</summary>
    [SkipLocalsInit]
    public void Remove(in ObjectId id, ObjectKind kind)
    {
        byte* path = stackalloc byte[PathBytes];
        WritePath(path, id, kind);
        _ = PathOps.Unlinkat(Root, path, 0); // somebody else may have been faster
        Room.Memory.Remove(id, kind);
    }

    public void Dispose()
    {
        Task background;
        lock (_backgroundLock)
        {
            _closing = true;
            background = _background;
        }

        background.ContinueWith(_ => { }, TaskScheduler.Default).Wait(); // however it ended
        Room.Memory.Dispose();
        Locks.Dispose();
        Sizes.Dispose();
        Presses.Dispose();
        _unpackers.Dispose();
        _root.Dispose();
    }

    // Processes of several containers may share a store and have the same ids.
    internal static byte[] NewTemporaryName()
    {
        int count = Interlocked.Increment(ref s_counter);
        return Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{TemporaryName}/{Process.Getpid()}.{count}.{StoreOpening.RandomPart()}\0"));
    }

    internal void CountWritten(long bytes)
    {
        // Only a counter for people.
        _ = Interlocked.Add(ref _written, bytes);
        Added?.Invoke(bytes);
    }

    /// <summary>Gives a finished file its name.</summary>
    [SkipLocalsInit]
    internal Errno Rename(byte* temporary, in ObjectId id, ObjectKind kind)
    {
        byte* path = stackalloc byte[PathBytes];
        WritePath(path, id, kind);
        Errno error = PathOps.Renameat2(Root, temporary, Root, path, 0);
        if (error == Errno.ENOENT)
        {
            int slash = PathLength(path) - (ObjectId.HexLength - 2) - 1;
            path[slash] = 0;
            error = PathOps.Mkdirat(Root, path, StoreOpening.FolderMode);
            path[slash] = (byte)'/';
            if (error is Errno.None or Errno.EEXIST)
            {
                error = PathOps.Renameat2(Root, temporary, Root, path, 0);
            }
        }

        return error;
    }

    private static int PathLength(byte* path) => new ReadOnlySpan<byte>(path, PathBytes).IndexOf((byte)0);

    internal static void WritePath(byte* path, in ObjectId id, ObjectKind kind)
    {
        var room = new Span<byte>(path, PathBytes);
        ReadOnlySpan<byte> folder = kind switch
        {
            ObjectKind.View => "views2/"u8,
            ObjectKind.Image => "images/"u8,
            ObjectKind.Remote => "remote/"u8,
            _ => "objects2/"u8,
        };
        folder.CopyTo(room);
        Span<byte> hex = stackalloc byte[ObjectId.HexLength];
        id.CopyHexTo(hex);
        hex[..2].CopyTo(room[folder.Length..]);
        room[folder.Length + 2] = (byte)'/';
        hex[2..].CopyTo(room[(folder.Length + 3)..]);
        room[folder.Length + 3 + ObjectId.HexLength - 2] = 0;
    }

    /// <summary>Opens an object whose header is sound, of this id and of the right kind; a damaged one is removed and ENOENT.</summary>
    private Errno OpenSound(in ObjectId id, ObjectKind kind, ObjectHeader* header, out int fd)
    {
        byte* path = stackalloc byte[PathBytes];
        WritePath(path, id, kind);
        Errno error = Fd.Openat(Root, path, Fcntl.O_RDONLY | Fcntl.O_NOFOLLOW | Fcntl.O_CLOEXEC, 0, out fd);
        if (error != Errno.None)
        {
            return error == Errno.ENOENT ? error : Failure.Note(Layer, "openat", error);
        }

        stat attributes;
        error = Attributes.Fstat(fd, &attributes);
        nuint got = 0;
        if (error == Errno.None)
        {
            error = FileIo.ReadFull(fd, header, ObjectHeader.Bytes, 0, out got);
        }

        bool sound = error == Errno.None && got == ObjectHeader.Bytes && ObjectHeader.IsSound(header, (ulong)attributes.st_size) && header->Id == id;
        bool foreign = error == Errno.None && got >= sizeof(ulong) && ObjectHeader.IsForeign(header->Magic);
        if (sound && header->Kind == (uint)kind)
        {
            Touch(fd, in attributes);
            return Errno.None;
        }

        // Open for reading only: closing can lose nothing.
        _ = Fd.Close(fd);
        fd = -1;
        if (error != Errno.None)
        {
            return Failure.Note(Layer, "read object", error);
        }

        // One of another format is as good as none, and not ours to remove: the program that made it may be running.
        if (!sound && !foreign)
        {
            GiveUp(id, kind);
        }

        return Errno.ENOENT;
    }

    private static Errno ReadFrame(int fd, FrameUnpacker unpacker, in ObjectHeader header, ulong from, ulong end, byte* buffer, out uint read)
    {
        read = 0;
        ulong index = from / ObjectWriter.FrameBytes;
        uint within = (uint)(from % ObjectWriter.FrameBytes);
        uint length = (uint)Math.Min(ObjectWriter.FrameBytes, header.RawBytes - (index * ObjectWriter.FrameBytes));
        uint take = (uint)Math.Min(length - within, end - from);
        ObjectFrame frame;
        Errno error = FileIo.ReadFull(fd, &frame, ObjectFrame.Bytes, (long)(header.TableOffset + (index * ObjectFrame.Bytes)), out nuint got);
        if (error != Errno.None)
        {
            return error;
        }

        if (got != ObjectFrame.Bytes || !frame.IsSound(header.TableOffset))
        {
            return Errno.EBADMSG;
        }

        error = FileIo.ReadFull(fd, unpacker.Scratch, frame.Packed, (long)frame.Offset, out got);
        if (error != Errno.None || got != frame.Packed)
        {
            return error == Errno.None ? Errno.EBADMSG : error;
        }

        byte* target = take == length ? buffer : unpacker.Raw;
        if (target == null)
        {
            return Errno.ENOMEM;
        }

        if (!unpacker.TryUnpack(unpacker.Scratch, (int)frame.Packed, frame.Stored != 0, target, (int)length, frame.Checksum))
        {
            return Errno.EBADMSG;
        }

        if (target != buffer)
        {
            Buffer.MemoryCopy(target + within, buffer, take, take);
        }

        read = take;
        return Errno.None;
    }

    // The least recently used go first when the store is full; once an hour is exact enough and spares a write for each read.
    private static void Touch(int fd, in stat attributes)
    {
        if (DateTimeOffset.UtcNow.ToUnixTimeSeconds() - attributes.st_mtim.tv_sec > TouchSeconds)
        {
            _ = Attributes.Futimens(fd, null); // somebody else's object stays as old as it looks
        }
    }

    private void GiveUp(in ObjectId id, ObjectKind kind)
    {
        // Only a counter for people.
        _ = Interlocked.Increment(ref _damaged);
        Remove(id, kind);
    }
}
