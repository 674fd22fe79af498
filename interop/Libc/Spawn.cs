using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>What a child gets besides its arguments. The default value: everything inherited.</summary>
public unsafe struct SpawnOptions
{
    /// <summary>Working directory (NUL-terminated), or null for ours.</summary>
    public byte* WorkingDirectory;

    /// <summary>Descriptors to become 0, 1 and 2; -1 or 0/1/2 themselves: inherited. Use <see cref="Inherit"/> to begin with.</summary>
    public int Stdin;
    public int Stdout;
    public int Stderr;

    /// <summary>
    /// A descriptor that the child closes before anything else; up to 2: none. Close-on-exec is too late for the device of a FUSE mount: a child that
    /// waits for the mount with it open keeps the connection alive after the server was killed, and waits forever.
    /// </summary>
    public int CloseFirst;

    /// <summary>The child leads a session of its own and loses the terminal.</summary>
    public bool NewSession;

    /// <summary>The child leads a process group of its own.</summary>
    public bool NewProcessGroup;

    /// <summary>Everything inherited.</summary>
    public static SpawnOptions Inherit => new() { Stdin = -1, Stdout = -1, Stderr = -1, CloseFirst = -1 };
}

/// <summary>
/// Starts programs by posix_spawn, the only way to do so once managed code runs: a fork would copy one thread of a runtime
/// that needs several.
/// </summary>
public static unsafe partial class Spawn
{
    public const short POSIX_SPAWN_SETPGROUP = 0x02;
    public const short POSIX_SPAWN_SETSIGDEF = 0x04;
    public const short POSIX_SPAWN_SETSIGMASK = 0x08;
    public const short POSIX_SPAWN_SETSID = 0x80;

    /// <summary>
    /// Runs <paramref name="file"/> (searched in our PATH when it has no slash). <paramref name="argv"/> and
    /// <paramref name="envp"/> end with a null pointer. The child has an empty signal mask and default handlers, whatever we
    /// block or ignore; descriptors that are not close-on-exec are inherited.
    /// </summary>
    /// <returns>ENOENT: no such program or working directory; EACCES: not executable; ENOEXEC; E2BIG; EAGAIN, ENOMEM.</returns>
    public static Errno PosixSpawn(byte* file, byte** argv, byte** envp, in SpawnOptions options, out int pid)
    {
        pid = -1;
        posix_spawn_file_actions_t actions = default;
        posix_spawnattr_t attributes = default;
        Errno error = (Errno)posix_spawn_file_actions_init(&actions);
        if (error != Errno.None)
        {
            return error;
        }

        error = (Errno)posix_spawnattr_init(&attributes);
        if (error == Errno.None)
        {
            error = Prepare(&actions, &attributes, options);
            if (error == Errno.None)
            {
                int child = -1;
                error = (Errno)posix_spawnp(&child, file, &actions, &attributes, argv, envp);
                pid = error == Errno.None ? child : -1;
            }

            // Frees what init made; glibc's cannot fail.
            _ = posix_spawnattr_destroy(&attributes);
        }

        _ = posix_spawn_file_actions_destroy(&actions);
        return error;
    }

    private static Errno Prepare(posix_spawn_file_actions_t* actions, posix_spawnattr_t* attributes, in SpawnOptions options)
    {
        sigset_t none = default;
        sigset_t all = GivenSignals.Without(Signals.All());
        short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
        if (options.NewSession)
        {
            flags |= POSIX_SPAWN_SETSID;
        }

        if (options.NewProcessGroup)
        {
            flags |= POSIX_SPAWN_SETPGROUP;
        }

        Errno error = (Errno)posix_spawnattr_setsigmask(attributes, &none);
        if (error == Errno.None)
        {
            error = (Errno)posix_spawnattr_setsigdefault(attributes, &all);
        }

        if (error == Errno.None)
        {
            error = (Errno)posix_spawnattr_setflags(attributes, flags);
        }

        if (error == Errno.None && options.CloseFirst > 2)
        {
            error = (Errno)posix_spawn_file_actions_addclose(actions, options.CloseFirst);
        }

        if (error == Errno.None && options.WorkingDirectory != null)
        {
            error = (Errno)posix_spawn_file_actions_addchdir_np(actions, options.WorkingDirectory);
        }

        if (error == Errno.None)
        {
            error = Redirect(actions, options.Stdin, 0);
        }

        if (error == Errno.None)
        {
            error = Redirect(actions, options.Stdout, 1);
        }

        return error == Errno.None ? Redirect(actions, options.Stderr, 2) : error;
    }

    private static Errno Redirect(posix_spawn_file_actions_t* actions, int fd, int target) =>
        fd < 0 || fd == target ? Errno.None : (Errno)posix_spawn_file_actions_adddup2(actions, fd, target);

    // All of these answer the error itself and leave errno alone.
    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_init(posix_spawn_file_actions_t* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_addclose(posix_spawn_file_actions_t* actions, int fd);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t* actions, byte* path);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t* actions, int fd, int newFd);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_init(posix_spawnattr_t* attributes);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_destroy(posix_spawnattr_t* attributes);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_setflags(posix_spawnattr_t* attributes, short flags);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_setsigmask(posix_spawnattr_t* attributes, sigset_t* mask);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_setsigdefault(posix_spawnattr_t* attributes, sigset_t* defaults);

    [LibraryImport("libc")]
    private static partial int posix_spawnp(
        int* pid, byte* file, posix_spawn_file_actions_t* actions, posix_spawnattr_t* attributes, byte** argv, byte** envp);
}
