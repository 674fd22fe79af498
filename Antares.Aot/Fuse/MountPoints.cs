using System.Globalization;
using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Fuse;

/// <summary>The place of a mount in the tree: found before, tuned and taken away after.</summary>
internal static unsafe class MountPoints
{
    /// <summary>What the kernel tells and lets be set of the devices that mounts are on (Documentation/ABI/testing/sysfs-class-bdi).</summary>
    public const string BackingDevices = "/sys/class/bdi";

    private const int ReadAheadKb = 512;

    // With the writeback cache each write collects pages, otherwise only mappings do, and one written from end to end gets slower beyond 64 MiB.
    private const long DirtyBytes = 64 << 20;
    private const long DirtyBytesCollected = 128 << 20;

    // Of the memory that the process may use.
    private const int DirtyPart = 8;

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

    /// <summary>
    /// Takes a mount away: by the system call, or through fusermount3 where that needs privilege. Another mount at its path, made after it
    /// was detached or moved away, is left alone.
    /// </summary>
    /// <param name="path">The mount point.</param>
    /// <param name="device">Which mount.</param>
    /// <param name="lazy">Out of sight, although it is in use.</param>
    /// <param name="served">The device of the mount as this process has it open, or -1: a program that is started does not get it.</param>
    /// <returns>
    /// None; EBUSY: in use (not when <paramref name="lazy"/>); EINVAL, ENOENT: it is not mounted there; EPERM: no fusermount3 either.
    /// </returns>
    public static Errno Unmount(string path, DeviceNumber device, bool lazy, int served)
    {
        Errno error = DeviceNumber.At(path, out DeviceNumber there);
        if (error != Errno.None || there != device)
        {
            return error == Errno.None ? Errno.EINVAL : error;
        }

        using CString name = Utf8.Native(path);
        error = Mounting.Umount2(name, MountFlags.UMOUNT_NOFOLLOW | (lazy ? MountFlags.MNT_DETACH : 0));
        return error == Errno.EPERM ? Fusermount(path, lazy, served) : error;
    }

    /// <summary>
    /// Raises the read-ahead of a mount from the kernel's 128 KiB, since a request costs more than its data; beyond this value nothing was
    /// gained, and what is read ahead in vain costs too. Root only; best effort.
    /// </summary>
    public static void RaiseReadAhead(DeviceNumber device, Log log) => _ = Tune(BdiOf(device), "read_ahead_kb", ReadAheadKb, log); // best effort

    /// <summary>
    /// Raises what a mount may have of dirty pages from the kernel's 1 % for FUSE (of what the machine allows: some dozen MiB, on large ones more than is wanted
    /// here): who writes to a mapping, or with the writeback cache, is held up beyond it, and random writes are handed over page by page. Root only, since
    /// Linux 6.2; best effort.
    /// </summary>
    /// <remarks>
    /// Never more than about an eighth of the memory that the process may use, even if it is lowered by that: where a container's memory is full of the mount's
    /// own dirty pages, the server finds none to write them out with, and both wait for ever (seen with half of what the machine allows, in a container of
    /// 300 MiB). About, since the kernel keeps the number as a part of what the machine allows at the moment.
    /// </remarks>
    public static void RaiseDirtyShare(DeviceNumber device, bool collectsWrites, Log log)
    {
        const string Knob = "max_bytes";
        long most = MemoryLimit.Bytes() / DirtyPart;
        if (most <= 0 || !long.TryParse(SmallFile.Read($"{BdiOf(device)}/{Knob}"), NumberStyles.None, CultureInfo.InvariantCulture, out long current))
        {
            log.Debug($"{Knob} of the mount stays as it is: not to be had");
            return;
        }

        // Refused (EINVAL) where it is more than the machine allows in all.
        long wanted = Math.Min(Math.Max(current, collectsWrites ? DirtyBytesCollected : DirtyBytes), most);
        while (wanted != current && Tune(BdiOf(device), Knob, wanted, log) == Errno.EINVAL && wanted / 2 > current)
        {
            wanted /= 2;
        }
    }

    /// <summary>Sets a value of a mount's backing device.</summary>
    /// <param name="bdi">Its folder in <see cref="BackingDevices"/>.</param>
    /// <returns>EACCES, EROFS: not for us to set; ENOENT: there is no such device or knob; EINVAL: not that value.</returns>
    public static Errno Tune(string bdi, string knob, long value, Log log)
    {
        using CString file = Utf8.Native($"{bdi}/{knob}");
        Errno error = Fd.Open(file, Fcntl.O_WRONLY | Fcntl.O_CLOEXEC, 0, out int fd);
        if (error == Errno.None)
        {
            using var opened = new OwnedFd(fd);
            using CString text = Utf8.Native($"{value}\n");
            error = FileIo.Write(fd, text, (nuint)text.Length, out _);
        }

        log.Debug(error == Errno.None ? $"{bdi}/{knob}: {value}" : $"{bdi}/{knob} is not {value}: {error}");
        return error;
    }

    private static string BdiOf(DeviceNumber device) => $"{BackingDevices}/{device}";

    private static Errno Fusermount(string path, bool lazy, int served)
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
        SpawnOptions options = SpawnOptions.Inherit;
        options.CloseFirst = served;
        Errno error = Spawn.PosixSpawn(file, arguments.Pointer, environment.Pointer, options, out int pid);
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
