using System.Runtime.InteropServices;
using Antares.Aot.Diagnostics;
using Antares.Aot.Overlay;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// A FUSE mount of an overlay: made by <see cref="Mount"/>, served from <see cref="Start"/> on, gone when <see cref="WaitEnd()"/> returns.
/// </summary>
/// <remarks>
/// The transport is in here and nowhere else: who uses a server neither sees libfuse nor the device. The overlay is not disposed with it.
/// </remarks>
public sealed unsafe class FuseServer
{
    // Fewer than may serve requests (FuseOptions.MaxThreads).
    private const int MostDropping = 4;

    private readonly fuse_session* _session;
    private int _dropping;
    private readonly string _mountPoint;
    private readonly MountDiagnostics _diagnostics;
    private readonly Lock _releaseLock = new();
    private GCHandle<FuseServer> _self;
    private DeviceLoop? _loop;
    private bool _released;

    private FuseServer(OverlayFs fs, FuseOptions options, MountDiagnostics diagnostics, string mountPoint, string[] arguments)
    {
        FileSystem = fs;
        Options = options;
        CacheSeconds = options.CacheSeconds;
        _diagnostics = diagnostics;
        _mountPoint = mountPoint;
        Failures = new FailureReporter(options.DescribePath ?? fs.DescribePath, diagnostics);
        Room = new RoomRelief(fs.Orphans, Math.Max(options.Threads, options.MaxThreads));
        _self = new GCHandle<FuseServer>(this);
        _session = NewSession(arguments, GCHandle<FuseServer>.ToIntPtr(_self));
        Notifier = new Notifier(_session, diagnostics.Log);
    }

    /// <summary>Where to tell the kernel of changes that did not come through it.</summary>
    public Notifier Notifier { get; }

    /// <summary>Threads that requests wait for: pools behind the overlay enter theirs.</summary>
    public OwnThreads OwnThreads { get; } = new();

    /// <summary>Tells this mount from others at the same path.</summary>
    public DeviceNumber Device { get; private set; }

    /// <summary>The open device, until the mount has ended; -1 after that.</summary>
    public int Descriptor { get; private set; } = -1;

    /// <summary>What was agreed with the kernel.</summary>
    public InitResult Init { get; private set; }

    internal OverlayFs FileSystem { get; }

    internal FailureReporter Failures { get; }

    /// <summary>For requests that find no room.</summary>
    internal RoomRelief Room { get; }

    internal double CacheSeconds { get; }

    /// <summary>
    /// Goes with each id. File handles hold both, and kernel overlayfs keeps handles of its lower layer in its upper, beyond the mount: there
    /// the ids are used again for other objects, and the wrong one would be found by an old handle. So it is another one in each mount, within
    /// the 32 bits that the kernel keeps, and never 0, which is the root's.
    /// </summary>
    internal ulong Generation { get; } = NewGeneration();

    /// <summary>Where replies go that libfuse does not write.</summary>
    internal int ReplyDescriptor { get; private set; } = -1;

    private FuseOptions Options { get; }

    /// <summary>Mounts and answers INIT. Requests wait until <see cref="Start"/>.</summary>
    /// <param name="fs">What is shown.</param>
    /// <param name="options">How.</param>
    /// <param name="diagnostics">Where requests are counted and failures kept.</param>
    /// <param name="server">The mount, or null.</param>
    /// <param name="problem">Why not, in words for the user; null on success.</param>
    /// <returns>
    /// None; ENOENT, ENOTDIR, EACCES, ENOTCONN: the mount point; EINVAL: a mount option; EPROTO: the kernel's protocol; otherwise what
    /// mount(2) or fusermount3 failed with (EIO when it did not say).
    /// </returns>
    public static Errno Mount(OverlayFs fs, FuseOptions options, MountDiagnostics diagnostics, out FuseServer? server, out string? problem)
    {
        server = null;
        Errno error = MountPoints.Resolve(options.MountPoint, out string mountPoint);
        if (error != Errno.None)
        {
            problem = $"the mount point: {error}";
            return error;
        }

        bool root = Process.Geteuid() == 0;
        string[] arguments = MountArguments.Make(options, options.ReadOnly || fs.IsReadOnly, root);
        using var messages = new LibfuseMessages();
        var made = new FuseServer(fs, options, diagnostics, mountPoint, arguments);
        error = made.MountSession();
        string said = messages.Finish();
        problem = error == Errno.None ? null : said.Length > 0 ? said : error.ToString();
        if (error == Errno.None)
        {
            error = made.Negotiate();
            problem = error == Errno.None ? null : $"INIT failed with {error}";
            if (error != Errno.None)
            {
                // The mount is of no use to anybody; if this fails too, the reason that counts is the one above.
                _ = MountPoints.Unmount(mountPoint, made.Device, lazy: true, made.Descriptor);
            }
        }

        if (error != Errno.None)
        {
            made.Release();
            return error;
        }

        if (said.Length > 0)
        {
            diagnostics.Log.Warn($"libfuse: {said}");
        }

        server = made;
        return Errno.None;
    }

    /// <summary>Starts to answer requests, with one thread. Once; <see cref="StartOthers"/> follows when there is time.</summary>
    public void Start()
    {
        int device = Session.fuse_session_fd(_session);
        ReplyDescriptor = device;

        // libfuse's own loop is not used; told that it has ended, libfuse does not complain on standard error about replies that an
        // unmount has overtaken.
        Session.fuse_session_exit(_session);
        FileSystem.Data.ModeChanged = DropAttributes;
        if ((Init.Accepted & Flags.FUSE_WRITEBACK_CACHE) != 0)
        {
            FileSystem.ExpectCollectedWrites();
        }

        FileSystem.Data.WriteOut = WriteOut;
        FileSystem.AttributesCorrected = DropAttributes;
        bool old = (Init.Offered & Flags.FUSE_INIT_EXT) == 0;
        var raw = new RawRequests(FileSystem, Room, Failures, device, old, Generation, CacheSeconds);
        var dispatcher = new Dispatcher(this, _session, raw, Room, OwnThreads, Failures, _diagnostics);
        _loop = new DeviceLoop(device, Options.Threads, Options.MaxThreads, dispatcher, OwnThreads, Options.QuickWakeUps, _diagnostics.Log);
        _diagnostics.AddGauge("fuse_threads", () => _loop.Threads);
        _diagnostics.AddGauge("fuse_threads_parked", () => _loop.Parked);
        _diagnostics.AddGauge("fuse_threads_started", () => _loop.Started);
        _diagnostics.AddGauge("fuse_readers", () => _loop.Mode.Readers);
        _diagnostics.AddGauge("fuse_looks_for_requests", () => _loop.Mode.IsLooking ? 1 : 0);
        _diagnostics.AddGauge("fuse_looked_for_requests", () => _loop.Mode.Times);
        _diagnostics.AddGauge("fuse_writes_piped", () => _loop.Piped);
        _diagnostics.AddGauge("fuse_requests_without_room", () => Room.Waiting);
        if (_loop.WakeUps is { } wakeUps)
        {
            _diagnostics.AddGauge("quick_wakeups_held", () => wakeUps.IsHeld ? 1 : 0);
            _diagnostics.AddGauge("quick_wakeups_asked", () => wakeUps.Times);
        }

        _loop.Start();
    }

    /// <summary>What need not be there before the first request: another thread, a longer read-ahead, more dirty pages. Once, after <see cref="Start"/>.</summary>
    public void StartOthers()
    {
        _loop?.StartOther();
        FileSystem.StartOthers();
        if (Process.Geteuid() == 0)
        {
            MountPoints.RaiseReadAhead(Device, _diagnostics.Log);
            if (!Options.ReadOnly && !FileSystem.IsReadOnly)
            {
                MountPoints.RaiseDirtyShare(Device, Options.Writeback, _diagnostics.Log);
            }
        }
    }

    /// <summary>Waits until requests are answered (INIT has been, by <see cref="Mount"/>).</summary>
    /// <returns>False: not within <paramref name="timeoutMs"/>, or not started.</returns>
    public bool WaitReady(int timeoutMs) => _loop?.WaitRunning(timeoutMs) ?? false;

    /// <summary>Waits until the mount is gone, then frees what it held. After a lazy unmount that is when its last user is gone.</summary>
    public void WaitEnd()
    {
        _loop?.WaitEnd();
        Release();
    }

    /// <summary>As <see cref="WaitEnd()"/>; false: not within <paramref name="timeoutMs"/>, or not started.</summary>
    public bool WaitEnd(int timeoutMs)
    {
        bool ended = _loop?.WaitEnd(timeoutMs) ?? false;
        if (ended)
        {
            Release();
        }

        return ended;
    }

    /// <summary>Takes the mount away; <see cref="WaitEnd()"/> returns some time after.</summary>
    /// <param name="lazy">Take it out of the tree at once, though it may be in use.</param>
    /// <returns>
    /// None (also when it was gone already); EBUSY: in use; EINVAL, ENOENT: it lives, but not at its mount point (detached, moved); EPERM:
    /// neither may we, nor is there a fusermount3.
    /// </returns>
    public Errno Unmount(bool lazy)
    {
        if (_loop is { HasEnded: true })
        {
            return Errno.None;
        }

        Errno error = MountPoints.Unmount(_mountPoint, Device, lazy, Descriptor);
        if (error is Errno.EINVAL or Errno.ENOENT && _loop is { } loop)
        {
            // Not mounted there: either somebody else was faster, and the threads are about to notice, or it was moved.
            const int SoonMs = 500;
            error = loop.WaitEnd(SoonMs) ? Errno.None : error;
        }

        return error;
    }

    /// <summary>The server whose request this is.</summary>
    internal static FuseServer Of(fuse_req* request) =>
        GCHandle<FuseServer>.FromIntPtr((nint)Session.fuse_req_userdata(request)).Target;

    /// <summary>A reply did not reach the kernel: interrupted and taken back (ENOENT), or the mount is gone (ENODEV).</summary>
    internal void ReplyLost(Errno error) => _diagnostics.Log.Debug($"a reply was not taken: {error}");

    private static uint NewGeneration()
    {
        // No /dev/urandom in a bare container: time and process, spread by a multiplier.
        ulong mixed = ((ulong)DateTime.UtcNow.Ticks ^ ((ulong)(uint)Environment.ProcessId << 40)) * 0x9E3779B97F4A7C15UL;
        return (uint)(mixed >> 32) | 1;
    }

    private static fuse_session* NewSession(string[] arguments, nint userdata)
    {
        using var argv = new CStringArray(arguments);
        var args = new fuse_args { argc = argv.Count, argv = argv.Pointer };
        fuse_lowlevel_ops operations = FuseOps.MakeTable();
        fuse_session* session = Session.fuse_session_new(&args, &operations, (nuint)sizeof(fuse_lowlevel_ops), (void*)userdata);
        Arguments.fuse_opt_free_args(&args);
        return session;
    }

    private Errno MountSession()
    {
        if (_session == null)
        {
            return Errno.EINVAL;
        }

        using CString path = Utf8.Native(_mountPoint);
        if (Session.fuse_session_mount(_session, path) == 0)
        {
            Descriptor = Session.fuse_session_fd(_session);
            Errno error = DeviceNumber.At(_mountPoint, out DeviceNumber device);
            Device = device;
            if (error != Errno.None)
            {
                _ = Mounting.Umount2(path, MountFlags.UMOUNT_NOFOLLOW | MountFlags.MNT_DETACH); // just made; why it is of no use is told
            }

            return error;
        }

        // Of use only when libfuse made the system call itself, with nothing but free and close after it.
        var failure = (Errno)Marshal.GetLastSystemError();
        return failure == Errno.None ? Errno.EIO : failure;
    }

    private Errno Negotiate()
    {
        ulong visible = (Options.InitMask ?? ulong.MaxValue) & (Options.Acls ? ulong.MaxValue : ~Flags.FUSE_POSIX_ACL);
        Errno error = InitNegotiation.Run(_session, visible, Options.Writeback ? Flags.FUSE_WRITEBACK_CACHE : 0, out InitResult result);
        Init = result;
        _diagnostics.Log.Debug($"INIT: kernel 7.{result.Minor}, offered {result.Offered:x}, accepted {result.Accepted:x}: {InitFlags.Describe(result.Accepted)}");
        return error;
    }

    // The kernel does not look at the mode again after a write, though it asked for the set-id bits to go. This notification may
    // be sent by the thread that serves the write: it takes no lock of the inode (fuse_reverse_inval_inode of attributes only).
    private void DropAttributes(ulong nodeId) => _ = Notify.fuse_lowlevel_notify_inval_inode(_session, nodeId, -1, 0); // ENOENT: not cached

    /// <summary>
    /// Drops what the kernel kept of a directory's listing, its attributes and ACLs too, before the reply to one who lists it: he holds no page of it
    /// meanwhile, and the directory's lock is not taken (fuse_reverse_inval_inode). It waits for who reads what was kept, while he is given
    /// a page of it; the memory that he reads into may be a mapping of a file that a server which stands still has, so that only some threads may wait.
    /// </summary>
    /// <returns>False: it was not done, since too many threads are at it, or could not be.</returns>
    internal bool TryDropPages(ulong directory)
    {
        bool isDone = false;
        if (Interlocked.Increment(ref _dropping) <= MostDropping)
        {
            int answer = Notify.fuse_lowlevel_notify_inval_inode(_session, directory, 0, 0);
            isDone = answer == 0 || answer == -(int)Errno.ENOENT; // ENOENT: nothing was kept
        }

        _ = Interlocked.Decrement(ref _dropping); // the count is of no interest
        return isDone;
    }

    // SEEK_DATA and SEEK_HOLE hold the inode's lock, which neither this nor the writing out of pages takes (fuse_reverse_inval_inode,
    // fuse_launder_folio); the pages of a hole are dropped with it. Other threads serve the writes meanwhile.
    private void WriteOut(ulong nodeId, long start, long length) =>
        _ = Notify.fuse_lowlevel_notify_inval_inode(_session, nodeId, start, length); // ENOENT: not cached, so nothing was changed

    private void Release()
    {
        lock (_releaseLock)
        {
            if (_released)
            {
                return;
            }

            _released = true;
            Descriptor = -1;
            Notifier.Stop();
            if (_session != null)
            {
                Session.fuse_session_destroy(_session);
            }

            _self.Dispose();
        }
    }
}
