using Antares.Aot.Dicfuse.Archives;
using Antares.Aot.Dicfuse.Git;
using Antares.Aot.Dicfuse.Image;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Finds what <c>git:</c> and <c>tar:</c> name on this machine, and opens it to be packed.</summary>
internal static class PackSources
{
    private const char RevisionMark = '@';

    /// <summary>
    /// The commit that <c>REPO[@REV]</c> names. Either may hold an @: the repository is the shortest folder that there is, and HEAD what is
    /// meant without a revision.
    /// </summary>
    /// <exception cref="MountProblem">Host: no such repository or revision, no git.</exception>
    public static GitRevision FindRevision(SourceSpec spec)
    {
        var (repository, revision) = Split(spec);
        return Reading(spec, () => GitRevision.Resolve(repository, revision));
    }

    /// <exception cref="MountProblem">Host: the commit cannot be read.</exception>
    public static IPackSource OpenGit(SourceSpec spec, GitRevision revision, Action<PackProgress> progress) => Reading(spec, () => GitSource.Open(revision, progress));

    /// <summary>Opens the archive that <c>tar:FILE</c> names.</summary>
    /// <exception cref="MountProblem">Host: no such file, or no regular one.</exception>
    public static unsafe OwnedFd OpenArchive(SourceSpec spec, out stat attributes)
    {
        var error = HostPath.Open(spec.Path, Fcntl.O_RDONLY | Fcntl.O_NONBLOCK, 0, out var fd);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"source {spec}", error);
        }

        var file = new OwnedFd(fd);
        fixed (stat* found = &attributes)
        {
            error = Attributes.Fstat(fd, found);
        }

        if (error == Errno.None && StatMode.IsRegular(attributes.st_mode))
        {
            return file;
        }

        file.Dispose();
        throw error != Errno.None ? MountProblem.Host($"source {spec}", error) : MountProblem.Host($"source {spec} is no regular file; give an archive");
    }

    /// <param name="spec">For messages.</param>
    /// <param name="archive">Taken over.</param>
    /// <param name="scratch">An empty file for what is unpacked.</param>
    /// <param name="progress">Told now and then.</param>
    /// <exception cref="MountProblem">Host: what is wrong with the archive.</exception>
    public static IPackSource OpenTar(SourceSpec spec, OwnedFd archive, int scratch, Action<PackProgress> progress) =>
        Reading(spec, () => TarSource.Open(archive, scratch, progress));

    private static (string Repository, string Revision) Split(SourceSpec spec)
    {
        var text = spec.Path;
        for (var end = text.IndexOf(RevisionMark); end >= 0; end = text.IndexOf(RevisionMark, end + 1))
        {
            if (end > 0 && IsFolder(text[..end]))
            {
                return (text[..end], text[(end + 1)..]);
            }
        }

        return IsFolder(text) ? (text, "HEAD") : throw MountProblem.Host($"source {spec}: no such folder; give a repository of this machine, as git:REPO or git:REPO@REVISION");
    }

    private static bool IsFolder(string path) => HostPath.Stat(path, out var attributes) == Errno.None && StatMode.IsDirectory(attributes.st_mode);

    private static T Reading<T>(SourceSpec spec, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (ImageException problem)
        {
            throw MountProblem.Host($"source {spec} {problem.Message}");
        }
    }
}
