using System.Text.Json;
using Antares.Interop;
using K4os.Hash.xxHash;

namespace Antares.Aot.Mounts;

/// <summary>
/// The one file that says which mounts there are. Writers exclude each other by a lock file and replace the state by a rename, so a
/// reader needs no lock and a killed writer leaves the old state.
/// </summary>
/// <remarks>Not synced to disk: it tells of processes, and those do not outlive the machine either.</remarks>
public sealed unsafe class StateFile(string directory)
{
    private const string FileName = "mounts.json";
    private const string LockName = "mounts.lock";
    private const string PlacesName = "places.lock";

    /// <summary>Folder of the state and the sockets.</summary>
    public string Folder { get; } = directory;

    /// <summary>Where the control socket of a mount lies.</summary>
    public string SocketPath(string id) => $"{Folder}/{id}.sock";

    /// <summary>
    /// Keeps other mounts of this state folder from a mount point, from looking what is there until the mount is recorded: two at once would
    /// both find it free, and one would hide the other.
    /// </summary>
    /// <param name="mountPoint">Any path to it.</param>
    /// <returns>Holds the place; null where the file system of the state folder knows no locks of ranges.</returns>
    /// <exception cref="MountProblem">Host: another mount holds the place for too long; the folder cannot be written.</exception>
    public OwnedFd? LockMountPoint(string mountPoint)
    {
        const int PatienceMs = 60_000;
        const int PauseMs = 5;
        _ = HostPath.RealPath(mountPoint, out var real); // what is wrong with it is told when it is opened
        var path = $"{Folder}/{PlacesName}";
        var error = HostPath.Open(path, Fcntl.O_RDWR | Fcntl.O_CREAT, Modes.PrivateFile, out var fd);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"cannot open {path}", error);
        }

        // One byte for each path: two paths that share one wait for each other, no more.
        var place = (long)(XXH64.DigestOf(HostPath.Bytes(real).AsSpan()) >> 1);
        var deadline = Environment.TickCount64 + PatienceMs;
        while ((error = Fd.TryLockRange(fd, place, 1)) == Errno.EAGAIN && Environment.TickCount64 < deadline)
        {
            Thread.Sleep(PauseMs);
        }

        if (error == Errno.None)
        {
            return new OwnedFd(fd);
        }

        _ = Fd.Close(fd); // nothing was written
        return error == Errno.EAGAIN
            ? throw MountProblem.Host($"mount point {mountPoint}: another mount there has been starting for {PatienceMs / 1000} s; end that one first")
            : null;
    }

    /// <summary>All records, also of mounts whose process is gone.</summary>
    /// <exception cref="MountProblem">Host: the file cannot be read, is damaged or of another version.</exception>
    public List<MountRecord> Read()
    {
        var path = $"{Folder}/{FileName}";
        var error = HostPath.ReadAll(path, out var content);
        if (error == Errno.ENOENT)
        {
            return [];
        }

        if (error != Errno.None)
        {
            throw MountProblem.Host($"cannot read the state file {path}", error);
        }

        int version;
        List<MountRecord> records;
        try
        {
            records = StateCodec.Decode(content, out version);
        }
        catch (JsonException)
        {
            throw MountProblem.Host($"the state file {path} is damaged; move it away and mount again (running mounts go on, but are not listed)");
        }

        return version == StateCodec.Version
            ? records
            : throw MountProblem.Host(
                $"the state file {path} has version {version}, this program knows {StateCodec.Version};"
                + $" unmount with the program that mounted, or choose another folder in {StateDirectory.Variable}");
    }

    /// <summary>Adds a record.</summary>
    public void Add(MountRecord record) => Update(records => records.Add(record));

    /// <summary>Puts a record in the place of the one with its id, or adds it.</summary>
    public void Replace(MountRecord record) => Update(records =>
    {
        var at = records.FindIndex(other => other.Id == record.Id);
        if (at < 0)
        {
            records.Add(record);
        }
        else
        {
            records[at] = record;
        }
    });

    /// <summary>Removes the record of an id and its socket, if there.</summary>
    public void Remove(string id)
    {
        Update(records => records.RemoveAll(record => record.Id == id));
        _ = HostPath.RemoveFile(SocketPath(id)); // may never have been made
    }

    /// <summary>Changes the records while no other process does.</summary>
    /// <exception cref="MountProblem">Host: see <see cref="Read"/>; the folder cannot be written.</exception>
    public void Update(Action<List<MountRecord>> change)
    {
        var lockPath = $"{Folder}/{LockName}";
        var error = HostPath.Open(lockPath, Fcntl.O_RDWR | Fcntl.O_CREAT, Modes.PrivateFile, out var lockFd);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"cannot open {lockPath}", error);
        }

        using var owned = new OwnedFd(lockFd);
        error = Fd.Flock(lockFd, Fcntl.LOCK_EX);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"cannot lock {lockPath}", error);
        }

        var records = Read();
        change(records);
        Write(records);
    }

    private void Write(List<MountRecord> records)
    {
        var path = $"{Folder}/{FileName}";
        var next = path + ".next"; // one name is enough: the lock is held
        var error = HostPath.WriteAll(next, StateCodec.Encode(records), Modes.PrivateFile);
        if (error == Errno.None)
        {
            error = HostPath.Rename(next, path);
        }

        if (error != Errno.None)
        {
            throw MountProblem.Host($"cannot write the state file {path}", error);
        }
    }
}
