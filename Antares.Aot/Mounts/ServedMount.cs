using System.Globalization;
using Antares.Aot.Diagnostics;
using Antares.Aot.Fuse;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>A mount that this process serves: made whole or not at all, and cleaned up whole.</summary>
public sealed class ServedMount : IDisposable
{
    private const int StartPatienceMs = 10_000;

    private readonly StateFile _state;
    private readonly Log _log;
    private readonly MountPlan _plan;
    private readonly FuseServer _server;
    private readonly OwnedFd _ended;

    private ServedMount(
        StateFile state, Log log, StartClock clock, MountPlan plan, MountRecord record, FuseServer server, ControlServer control, OwnedFd ended, rlimit callersLimit)
    {
        Clock = clock;
        _state = state;
        _log = log;
        _plan = plan;
        Record = record;
        _server = server;
        Control = control;
        _ended = ended;
        CallersFileLimit = callersLimit;
    }

    public MountRecord Record { get; }

    public string MountPoint => Record.MountPoint;

    /// <summary>Runs since the start.</summary>
    public StartClock Clock { get; }

    /// <summary>Answers questions about the mount.</summary>
    public ControlServer Control { get; }

    /// <summary>Readable once the mount is gone, after <see cref="Complete"/>.</summary>
    public int EndedDescriptor => _ended.Value;

    /// <summary>The mount is gone: see <see cref="NoteEnd"/>.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>The limit of open files as the caller had it.</summary>
    public rlimit CallersFileLimit { get; }

    /// <summary>Makes the mount and serves it; returns when the kernel has shaken hands and the state knows of the mount.</summary>
    /// <param name="request">What is asked for.</param>
    /// <param name="state">Where it is recorded.</param>
    /// <param name="log">The log.</param>
    /// <param name="report">Looks at the root meanwhile; null: nobody does.</param>
    /// <exception cref="MountProblem">Usage or Host: nothing is left behind.</exception>
    public static ServedMount Start(MountRequest request, StateFile state, Log log, ReadyReport? report)
    {
        var clock = new StartClock(log);
        if (request.MountPoint is { } mountPoint)
        {
            new MountDirectory(state).FreeMountPoint(mountPoint);
        }

        clock.Step("mount point looked at");
        var diagnostics = new MountDiagnostics(log);
        MountRecord? record = null;
        ControlServer? control = null;
        MountPlan? plan = null;
        try
        {
            plan = MountPlan.Make(request, log, chosen =>
            {
                if (chosen.Workspace is not null)
                {
                    // Should this process be killed, the record tells of the workspace; without one, all that is left is in the mount
                    // table. It listens before: a process that can't be seen and does not listen counts as gone (MountDirectory).
                    clock.Step("folders opened");
                    record = Describe(chosen, state);
                    control = ControlServer.Listen(record.Socket, diagnostics);
                    state.Add(record);
                    clock.Step("recorded");
                }
            });
            clock.Step("folders opened, made and checked");
            return Start(plan, record ?? Describe(plan, state), control, diagnostics, state, log, report, clock);
        }
        catch
        {
            plan?.Dispose();
            control?.Dispose();
            if (record is not null)
            {
                Forget(record, state, log);
            }

            throw;
        }
    }

    /// <summary>Starts what need not be there for the root to answer: further threads. Once.</summary>
    public void Complete()
    {
        _server.StartOthers();
        Watch(_server, _ended);
    }

    /// <summary>Takes the mount away.</summary>
    /// <param name="lazy">Out of sight, although it is in use.</param>
    /// <returns>None; EBUSY: in use; EPERM …: what the host answered.</returns>
    public Errno Unmount(bool lazy) => _server.Unmount(lazy);

    /// <summary>True while the mount is to be seen in this mount namespace, at its mount point or moved elsewhere.</summary>
    public bool IsInPlace() => MountTable.Read().Exists(entry => entry.Device == Record.Device);

    /// <summary>Takes away a mount that ended without being unmounted, its connection cut off: it would answer nobody.</summary>
    /// <returns>False: it was unmounted, as mounts end.</returns>
    public bool TakeAwayDead()
    {
        // The number alone does not tell: once this mount was unmounted, the next one at the same place may have got it.
        if (!HasEnded || Record.Device is not { } device || !device.IsAt(MountPoint) || !MountDirectory.IsDead(MountPoint))
        {
            return false;
        }

        var error = Unmounter.Detach(MountPoint);
        if (error == Errno.None)
        {
            _log.Warn($"{MountPoint} was cut off (its connection aborted from outside): its users get \"Transport endpoint is not connected\"; the dead mount was taken away");
        }
        else
        {
            _log.Error($"{MountPoint} was cut off (its connection aborted from outside) and cannot be unmounted: {ErrnoText.Of(error)}; umount -l {MountPoint}");
        }

        return true;
    }

    /// <summary>Notes that <see cref="EndedDescriptor"/> was readable.</summary>
    public void NoteEnd() => HasEnded = true;

    /// <summary>Closes the layers and removes workspace, socket and record. A mount that has not ended is detached and cut off.</summary>
    public void Dispose()
    {
        if (HasEnded)
        {
            _server.FileSystem.Dispose();
        }
        else
        {
            // Never leave a mount point that answers nobody.
            _ = _server.Unmount(lazy: true);
        }

        Control.Dispose();
        _plan.Dispose();
        if (HasEnded)
        {
            // What a mount leaves that did not end cleanly, its mark above all, is for the next one to see.
            _plan.RemoveOwnWork();
        }

        if (_plan.Workspace is { } workspace && !_plan.Request.Keep && workspace.Remove() is var error and not Errno.None)
        {
            _log.Warn($"the workspace {workspace.FolderPath} could not be removed: {ErrnoText.Of(error)}");
        }

        Forget(Record, _state, _log);
        _ended.Dispose();
    }

    private static void Forget(MountRecord record, StateFile state, Log log)
    {
        try
        {
            state.Remove(record.Id);
        }
        catch (MountProblem problem)
        {
            log.Warn($"the record of the mount stays and will show as stale: {problem.Message}");
        }
    }

    private static ServedMount Start(
        MountPlan plan, MountRecord record, ControlServer? control, MountDiagnostics diagnostics, StateFile state, Log log, ReadyReport? report, StartClock clock)
    {
        FuseServer? server = null;
        OwnedFd? ended = null;
        ServedMount? mount = null;
        try
        {
            var descriptors = FileLimit.Raise(out var callersLimit);
            server = MountAssembly.Mount(plan, descriptors, diagnostics);
            record = record with { Device = server.Device, Workspace = plan.Workspace?.FolderPath };
            clock.Step("mounted");
            server.Start();
            clock.Step("threads started");
            if (!server.WaitReady(StartPatienceMs))
            {
                throw MountProblem.Host($"the kernel did not begin to talk to the mount at {plan.MountPoint} within {StartPatienceMs / 1000} s; see the kernel log (dmesg)");
            }

            clock.Step("kernel has shaken hands");
            _ = report?.Ask(plan.MountPoint); // whether it is still there shows when its answer is read
            control ??= ControlServer.Listen(record.Socket, diagnostics); // this and the record while the root is looked at
            ended = NewEvent();
            clock.Step("control socket made");
            state.Replace(record);
            clock.Step("recorded as mounted");
            plan.Keep();
            mount = new ServedMount(state, log, clock, plan, record, server, control, ended, callersLimit);
            return mount;
        }
        finally
        {
            if (mount is null)
            {
                TakeBack(record, server, control, log);
                ended?.Dispose();
            }
        }
    }

    private static void TakeBack(MountRecord record, FuseServer? server, ControlServer? control, Log log)
    {
        if (server is not null && server.Unmount(lazy: true) is var error and not Errno.None)
        {
            log.Error($"{record.MountPoint} stays mounted: {ErrnoText.Of(error)}; umount -l {record.MountPoint}");
        }

        control?.Dispose();
        _ = HostPath.RemoveFile(record.Socket); // may never have been made
    }

    private static MountRecord Describe(MountPlan plan, StateFile state)
    {
        return new MountRecord
        {
            Id = plan.Id,
            Job = plan.Request.Job,
            Process = ProcessIdentity.Self(),
            MountPoint = plan.MountPoint,
            Lowers = [.. plan.Lowers.Select(lower => (lower.Spec with { Path = lower.RealPath }).ToString())],
            Upper = plan.UpperPath,
            Work = plan.WorkPath,
            Workspace = plan.Workspace?.FolderPath,
            Keep = plan.Request.Keep,
            Socket = state.SocketPath(plan.Id),
            Created = DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture),
        };
    }

    private static OwnedFd NewEvent()
    {
        var error = Fd.Eventfd(0, Fcntl.EFD_CLOEXEC, out var fd);
        return error == Errno.None ? new OwnedFd(fd) : throw MountProblem.Host("cannot make an eventfd", error);
    }

    /// <summary>Turns the end of the mount into something that can be polled beside signals and questions.</summary>
    private static unsafe void Watch(FuseServer server, OwnedFd ended)
    {
        new Thread(() =>
        {
            server.WaitEnd();
            ulong one = 1;
            _ = FileIo.Write(ended.Value, &one, sizeof(ulong), out _); // fails only when nobody waits any more
        })
        {
            IsBackground = true,
            Name = "end of mount",
        }.Start();
    }
}
