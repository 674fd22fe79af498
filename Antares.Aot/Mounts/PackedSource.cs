using System.Globalization;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Git;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// A source that a mount cannot use as it is, a <c>git:</c> commit or a <c>tar:</c> archive: packed into an image in the store once, whoever
/// comes first, and mounted from there.
/// </summary>
internal sealed unsafe class PackedSource : IDisposable
{
    /// <summary>Part of the images' names: raised when the same source would become another image.</summary>
    private const int Form = 1;

    /// <summary>A job waits for it, so less is gained by a smaller image than by a faster one.</summary>
    private const int Level = 1;

    /// <summary>Time stamps of a file change no sooner than this after the last change, so that a younger one may yet be changed under it.</summary>
    private const int StampMs = 20;

    private const int LockPauseMs = 50;

    private readonly SourceSpec _spec;
    private readonly GitRevision? _revision;
    private readonly (uint Uid, uint Gid)? _owner;
    private readonly ObjectId _id;
    private OwnedFd? _archive;

    private PackedSource(SourceSpec spec, GitRevision? revision, OwnedFd? archive, string key, string shown)
    {
        _spec = spec;
        _revision = revision;
        _archive = archive;
        ShownPath = shown;

        // Whoever is not root can only have files of his own, as if he had unpacked it.
        _owner = Process.Geteuid() == 0 ? null : (Process.Geteuid(), Process.Getegid());
        _id = GitHash.OfKey(string.Create(CultureInfo.InvariantCulture, $"image {Form} level {Level} owner {_owner} {key}"));
    }

    /// <summary>The source's path for people and records: of a repository with the commit's id.</summary>
    public string ShownPath { get; }

    /// <summary>Finds out what is to be mounted; nothing is packed yet.</summary>
    /// <exception cref="MountProblem">Host: no such archive, repository or revision.</exception>
    public static PackedSource Find(SourceSpec spec)
    {
        if (spec.Kind == SourceKind.Git)
        {
            var revision = PackSources.FindRevision(spec);
            return new PackedSource(spec, revision, null, $"git {revision.Commit}", $"{HostPath.Absolute(revision.Repository)}@{revision.Commit}");
        }

        var archive = PackSources.OpenArchive(spec, out var attributes);
        if (AgeMs(attributes) < StampMs)
        {
            archive.Dispose();
            Thread.Sleep(StampMs);
            archive = PackSources.OpenArchive(spec, out attributes);
        }

        var key = string.Create(
            CultureInfo.InvariantCulture,
            $"tar {attributes.st_dev}:{attributes.st_ino} {attributes.st_size} {Stamp(attributes.st_mtim)} {Stamp(attributes.st_ctim)}");
        return new PackedSource(spec, null, archive, key, HostPath.RealPathOf(archive.Value, spec.Path));
    }

    /// <summary>The image: from the store, or packed now. Another process that packs the same is waited for.</summary>
    /// <param name="store">Folder of the store, or null for the usual one.</param>
    /// <param name="workspaceStore">A folder that goes with the mount, where there is no other.</param>
    /// <param name="limit">Most bytes that the store keeps.</param>
    /// <param name="log">Hears what is done.</param>
    /// <param name="progress">Told now and then; what it throws ends the packing.</param>
    /// <exception cref="MountProblem">Host: the source cannot be read, or the store not be written.</exception>
    public OwnedFd OpenImage(string? store, string? workspaceStore, long limit, Log log, Action<PackProgress> progress)
    {
        using var objects = StoreFolder.Open(store, workspaceStore, log);
        var images = new StoredImages(objects);
        if (TryOpen(images) is { } known)
        {
            return known;
        }

        var isLocked = Lock(objects, log, progress);
        try
        {
            if (TryOpen(images) is { } packedMeanwhile)
            {
                return packedMeanwhile;
            }

            Pack(images, log, progress);
        }
        finally
        {
            if (isLocked)
            {
                objects.Locks.Unlock(_id);
            }
        }

        var image = TryOpen(images) ?? throw MountProblem.Host($"the image of {_spec} is gone from the store {objects.Folder}");
        var error = new StoreCollector(objects, limit, log).Collect(limit, out _);
        if (error is not (Errno.None or Errno.EAGAIN))
        {
            log.Warn($"the store {objects.Folder} could not be kept within its limit: {ErrnoText.Of(error)}");
        }

        return image;
    }

    public void Dispose()
    {
        _archive?.Dispose();
        _archive = null;
    }

    private static long AgeMs(in stat attributes) =>
        DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() - (attributes.st_ctim.tv_sec * 1000) - (attributes.st_ctim.tv_nsec / 1_000_000);

    private static string Stamp(timespec time) => string.Create(CultureInfo.InvariantCulture, $"{time.tv_sec}.{time.tv_nsec:D9}");

    /// <summary>The image in the store; one that is damaged is as good as none.</summary>
    private OwnedFd? TryOpen(StoredImages images)
    {
        var error = images.Open(_id, out var fd);
        if (error == Errno.ENOENT)
        {
            return null;
        }

        if (error != Errno.None)
        {
            throw MountProblem.Host($"the image of {_spec} in the store cannot be opened", error);
        }

        var file = new OwnedFd(fd);
        try
        {
            error = Fd.DupCloexec(fd, out var trial);
            if (error != Errno.None)
            {
                throw MountProblem.Host($"the image of {_spec} in the store cannot be opened", error);
            }

            using var owned = new OwnedFd(trial);
            using var image = ImageFile.Open(trial);
            _ = owned.Detach(); // the image's now
            return file;
        }
        catch (ImageException)
        {
            file.Dispose();
            return null;
        }
    }

    /// <returns>False: the file system of the store has no such locks.</returns>
    private bool Lock(ObjectStore objects, Log log, Action<PackProgress> progress)
    {
        var error = objects.Locks.TryLock(_id);
        if (error == Errno.EAGAIN)
        {
            log.Info($"{_spec} is being packed by another process: waiting for it");
        }

        while (error == Errno.EAGAIN)
        {
            progress(default);
            Thread.Sleep(LockPauseMs);
            error = objects.Locks.TryLock(_id);
        }

        return error == Errno.None;
    }

    private void Pack(StoredImages images, Log log, Action<PackProgress> progress)
    {
        try
        {
            log.Info($"{_spec} is not in the store yet: packing it");
            using var unpacked = _archive is null ? null : NewFile.Make(images.NewPath());
            using var source = Open(unpacked, progress);
            using var contents = NewFile.Make(images.NewPath());
            var options = new PackOptions { Level = Level, Owner = _owner };
            using var tree = ImagePacker.PackContents(source, options, contents.Fd, progress);

            // Not made before, since it needs its name in the end: where it cannot be without one, a collection takes it away when nothing is written to it
            // for an hour, which the contents may take. Of the others only the descriptors are needed.
            var path = images.NewPath();
            using var image = NewFile.Make(path);
            ImagePacker.Write(tree, source, options, image.Fd, contents.Fd);
            image.Publish();
            stat attributes;
            var error = Attributes.Fstat(image.Fd, &attributes);
            if (error == Errno.None)
            {
                error = images.Publish(path, _id, attributes.st_size);
            }

            if (error != Errno.None)
            {
                _ = HostPath.RemoveFile(path); // of no use without its name
                throw MountProblem.Host($"the image of {_spec} cannot be put into the store", error);
            }

            foreach (var note in source.Notes)
            {
                log.Warn($"{_spec}: {note}");
            }
        }
        catch (ImageException problem)
        {
            throw MountProblem.Host($"source {_spec}: {problem.Message}");
        }
    }

    private IPackSource Open(NewFile? unpacked, Action<PackProgress> progress)
    {
        if (_revision is { } revision)
        {
            return PackSources.OpenGit(_spec, revision, progress);
        }

        if (_archive is not { } archive || unpacked is null)
        {
            throw new InvalidOperationException("an archive is packed once");
        }

        _archive = null; // the source's now
        return PackSources.OpenTar(_spec, archive, unpacked.Fd, progress);
    }
}
