using System.Text;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Fuse;

/// <summary>The place of a mount in the tree: found before, tuned and taken away after.</summary>
internal static unsafe class MountPoints
{
    private const int ReadAheadKb = 512;

    // statx(2): answer from what the kernel knows, without a request to the server (that is us).
    private const int DontSync = 0x4000;

    /// <summary>The mount point's path without symlinks, as the kernel will name it.</summary>
    /// <returns>None; ENOENT, ENOTDIR, EACCES, ELOOP: it is not a directory that can be reached; ENOTCONN: the dead mount of a former server is on it.</returns>
    public static Errno Resolve(string path, out string resolved)
    {
        resolved = Path.GetFullPath(path);
        using CString name = Utf8.Native(resolved);
        Errno error = Fd.Open(name, Fcntl.O_PATH | Fcntl.O_DIRECTORY | Fcntl.O_CLOEXEC, 0, out int fd);
        if (error != Errno.None)
        {
            return error;
        }

        using var opened = new OwnedFd(fd);

        // The mount of a server that died still opens (its root is cached) but answers nothing; a mount on top would hide it.
        statfs any;
        error = Attributes.Fstatfs(fd, &any);
        if (error == Errno.ENOTCONN)
        {
            return error;
        }

        byte* link = stackalloc byte[ProcFd.Capacity];
        ProcFd.Write(link, fd);
        const int Room = 4096;
        byte* target = stackalloc byte[Room];
        if (PathOps.Readlinkat(Fcntl.AT_FDCWD, link, target, Room, out int length) == Errno.None)
        {
            // Without /proc the path stays as it was given, which is good enough.
            resolved = Encoding.UTF8.GetString(target, length);
        }

        return Errno.None;
    }

    /// <summary>Takes a mount away: by the system call, or through fusermount3 where that needs privilege.</summary>
    /// <returns>None; EBUSY: in use (not when <paramref name="lazy"/>); EINVAL: nothing is mounted there; EPERM: no fusermount3 either.</returns>
    public static Errno Unmount(string path, bool lazy)
    {
        using CString name = Utf8.Native(path);
        Errno error = Mounting.Umount2(name, lazy ? MountFlags.MNT_DETACH : 0);
        return error == Errno.EPERM ? Fusermount(path, lazy) : error;
    }

    /// <summary>
    /// Raises the read-ahead of a mount from the kernel's 128 KiB, since a request costs more than its data; beyond this value nothing was
    /// gained, and what is read ahead in vain costs too. Root only; best effort.
    /// </summary>
    public static void RaiseReadAhead(string path, Log log)
    {
        using CString name = Utf8.Native(path);
        statx place;
        Errno error = Attributes.Statx(Fcntl.AT_FDCWD, name, DontSync, 0, &place);
        if (error == Errno.None)
        {
            using CString file = Utf8.Native($"/sys/class/bdi/{place.stx_dev_major}:{place.stx_dev_minor}/read_ahead_kb");
            error = Fd.Open(file, Fcntl.O_WRONLY | Fcntl.O_CLOEXEC, 0, out int fd);
            if (error == Errno.None)
            {
                using var opened = new OwnedFd(fd);
                using CString value = Utf8.Native($"{ReadAheadKb}\n");
                error = FileIo.Write(fd, value, (nuint)value.Length, out _);
            }
        }

        log.Debug(error == Errno.None ? $"read-ahead of {path}: {ReadAheadKb} KiB" : $"read-ahead of {path} stays as it is: {error}");
    }

    private static Errno Fusermount(string path, bool lazy)
    {
        using CString file = Utf8.Native("fusermount3");
        using var arguments = new CStringArray(lazy ? ["fusermount3", "-u", "-z", "--", path] : ["fusermount3", "-u", "--", path]);
        var variables = System.Environment.GetEnvironmentVariables();
        var list = new List<string>(variables.Count);
        foreach (System.Collections.DictionaryEntry variable in variables)
        {
            list.Add($"{variable.Key}={variable.Value}");
        }

        using var environment = new CStringArray(list);
        Errno error = Spawn.PosixSpawn(file, arguments.Pointer, environment.Pointer, SpawnOptions.Inherit, out int pid);
        if (error != Errno.None)
        {
            return Errno.EPERM;
        }

        error = Process.Waitpid(pid, out int status, 0);
        if (error != Errno.None)
        {
            return error;
        }

        // It says why on standard error and nothing by its exit code; in use is what it mostly means.
        return Process.ExitCode(status) == 0 ? Errno.None : Errno.EBUSY;
    }
}
