using System.Globalization;
using Antares.Aot.Diagnostics;
using Antares.Interop;
using fuse_opcode = Antares.Interop.Fuse3.fuse_opcode;

namespace Antares.Aot.Mounts;

/// <summary>A mount that this process serves: made whole or not at all, and cleaned up whole.</summary>
public sealed class ServedMount : IDisposable
{
    private readonly StateFile _state;
    private readonly Log _log;
    private readonly MountPlan _plan;
    private readonly IMountEngine _engine;
    private readonly MountDiagnostics _diagnostics;

    private ServedMount(
        StateFile state, Log log, StartClock clock, MountPlan plan, MountRecord record, IMountEngine engine, MountDiagnostics diagnostics, ControlServer control, rlimit callersLimit)
    {
        Clock = clock;
        _state = state;
        _log = log;
        _plan = plan;
        Record = record;
        _engine = engine;
        _diagnostics = diagnostics;
        Control = control;
        CallersFileLimit = callersLimit;
        control.Unmount = UnmountAsAsked;
    }

    public MountRecord Record { get; private set; }

    public string MountPoint => Record.MountPoint;

    /// <summary>Runs since the start.</summary>
    public StartClock Clock { get; }

    /// <summary>Answers questions about the mount.</summary>
    public ControlServer Control { get; }

    /// <summary>Readable once the mount is gone, after <see cref="Complete"/>.</summary>
    public int EndedDescriptor => _engine.EndedDescriptor;

    /// <summary>The device by which this process serves, or -1: what it starts must not have it open.</summary>
    public int ServedDescriptor => _engine.ServedDescriptor;

    /// <summary>Users of a mount that is out of sight go on after the end of this process: all of it is the kernel's.</summary>
    public bool GoesOnAlone => Record.Engine == "kernel" && ServedDescriptor < 0;

    /// <summary>They keep the upper at least, beyond the end of this process.</summary>
    public bool KeepsUpper => Record.Engine == "kernel";

    /// <summary>Requests to write that were answered so far.</summary>
    public long Writes => _diagnostics.Counters.Count(OpNames.SlotOf((uint)fuse_opcode.FUSE_WRITE));

    /// <summary>The upper goes with the mount.</summary>
    public bool DiscardsUpper => _plan.DiscardsUpper;

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
        var known = new MountDirectory(state);
        using var place = request.MountPoint is { } mountPoint ? state.LockMountPoint(mountPoint) : null;
        if (request.MountPoint is { } dead)
        {
            known.FreeMountPoint(dead, log.Tell);
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
                if (chosen.Upper is not null)
                {
                    known.WaitForEnding(chosen.UpperPath, chosen.WorkPath ?? RealPathOf(chosen.Request.Work));
                }

                if (chosen.Workspace is not null || EngineChoice.AsAsked(chosen) is null)
                {
                    // Should this process be killed, the record tells of the workspace, and of a mount of the kernel's overlay, which
                    // lives on; otherwise all that is left is in the mount table, and dead. It listens before: a process that can't be
                    // seen and does not listen counts as gone (MountDirectory).
                    clock.Step("folders opened");
                    record = Describe(chosen, state);
                    control = ControlServer.Listen(record.Socket, diagnostics);
                    state.Add(record);
                    clock.Step("recorded");
                }
            }, report);
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
    public void Complete() => _engine.Complete();

    /// <summary>Takes the mount away.</summary>
    /// <param name="lazy">Out of sight, although it is in use.</param>
    /// <returns>None; EBUSY: in use; EPERM …: what the host answered.</returns>
    public Errno Unmount(bool lazy) => _engine.Unmount(lazy);

    /// <summary>What a failed command could not help: failed requests of the mount, and with the kernel's overlay, whose requests nobody sees, a full upper. Null: nothing.</summary>
    public string? Shortage() =>
        Record.Engine == "kernel" && _plan is { Upper: { } upper, UpperPath: { } path } && UpperSpace.Shortage(upper, path) is { } shortage
            ? shortage
            : _diagnostics.Trouble();

    /// <summary>True while the mount is to be seen in this mount namespace, at its mount point or moved elsewhere.</summary>
    public bool IsInPlace() => Record.Device is { } device && MountTable.Holds(device);

    /// <summary>Takes away a mount that ended without being unmounted, its connection cut off: it would answer nobody.</summary>
    /// <returns>False: it was unmounted, as mounts end.</returns>
    public bool TakeAwayDead()
    {
        // The number alone does not tell: once this mount was unmounted, the next one at the same place may have got it.
        if (!HasEnded || Record.Device is null || !MountDirectory.LeftItsMount(Record))
        {
            return false;
        }

        var error = Unmounter.Detach(MountPoint);
        if (error == Errno.None)
        {
            _log.Warn($"{MountPoint} was cut off (its connection aborted from outside): its users get \"Transport endpoint is not connected\"{(KeepsUpper ? ", but for files of the upper that they have open" : "")}; the dead mount was taken away");
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
        var isUpperFree = false;
        if (HasEnded)
        {
            _engine.View?.Stop();
            isUpperFree = _engine.Close();
        }
        else
        {
            // Never leave a mount point that answers nobody.
            _ = _engine.Unmount(lazy: true);
        }

        Control.Dispose();
        _plan.Dispose();
        if (isUpperFree)
        {
            // What a mount leaves that did not end cleanly, its mark above all, is for the next one to see.
            _plan.RemoveOwnWork();
        }

        if (_plan is { Workspace: { } own, Request.Keep: false } && HasEnded && !isUpperFree)
        {
            _log.Warn($"the workspace {own.FolderPath} stays while it is in use; antares-aot umount --stale removes it");
            return;
        }

        if (_plan.Workspace is { } workspace && !_plan.Request.Keep && workspace.Remove() is var error and not Errno.None)
        {
            _log.Warn($"the workspace {workspace.FolderPath} could not be removed: {ErrnoText.Of(error)}");
        }

        Forget(Record, _state, _log);
    }

    /// <summary>Unmounts for somebody who cannot do it himself: the mount is out of his sight, in another mount namespace or detached.</summary>
    /// <returns>Null, or why not.</returns>
    private string? UnmountAsAsked(bool lazy)
    {
        var error = HasEnded ? Errno.None : Unmount(lazy);
        return error switch
        {
            Errno.None => null,
            Errno.EBUSY => $"{BusyProcesses.Describe(MountPoint, Record.Device)}; end or unmount them, or take it out of sight with --lazy",
            Errno.EINVAL or Errno.ENOENT when lazy => null,
            Errno.EINVAL or Errno.ENOENT => MountEnd.StillUsedText(Record, Process.Getpid()),
            _ => $"cannot be unmounted: {ErrnoText.Of(error)}",
        };
    }

    private static string? RealPathOf(string? path)
    {
        if (path is null)
        {
            return null;
        }

        _ = HostPath.RealPath(path, out var real); // what is wrong with it is told when it is opened
        return real;
    }

    // On the thread that exchanges it, which the end of the mount waits for.
    private void NoteView(MountedView view)
    {
        List<string> lowers = [.. Record.Lowers];
        lowers[(int)view.Slot - 1] = new SourceSpec(SourceKind.Mega, view.Address).ToString();
        Record = Record with { Changelist = view.Link, Lowers = lowers };
        try
        {
            _state.Replace(Record);
        }
        catch (MountProblem problem)
        {
            _log.Warn($"the list of mounts shows the revision and the changelist from before: {problem.Message}");
        }
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
        IMountEngine? engine = null;
        ServedMount? mount = null;
        try
        {
            var descriptors = FileLimit.Raise(out var callersLimit);
            engine = MountAssembly.Mount(plan, descriptors, diagnostics, clock);
            record = record with { Engine = engine.Name, Device = engine.Device, Workspace = plan.Workspace?.FolderPath, Lowers = LowersOf(plan) };
            _ = report?.Ask(plan.MountPoint); // whether it is still there shows when its answer is read
            control ??= ControlServer.Listen(record.Socket, diagnostics); // this and the record while the root is looked at
            clock.Step("control socket made");
            state.Replace(record);
            clock.Step("recorded as mounted");
            plan.Keep();
            mount = new ServedMount(state, log, clock, plan, record, engine, diagnostics, control, callersLimit);
            if (engine.View is { } view)
            {
                view.Changed = () => mount.NoteView(view);
                control.View = view;
            }

            return mount;
        }
        finally
        {
            if (mount is null)
            {
                TakeBack(record, engine, control, log);
            }
        }
    }

    private static void TakeBack(MountRecord record, IMountEngine? engine, ControlServer? control, Log log)
    {
        if (engine is not null && engine.Abandon() is var error and not Errno.None)
        {
            log.Error($"{record.MountPoint} stays mounted: {ErrnoText.Of(error)}; umount -l {record.MountPoint}");
        }

        control?.Dispose();
        _ = HostPath.RemoveFile(record.Socket); // may never have been made
    }

    // With the revisions of servers, once they were asked.
    private static List<string> LowersOf(MountPlan plan) => [.. plan.Lowers.Select(lower => (lower.Spec with { Path = lower.RealPath }).ToString())];

    private static MountRecord Describe(MountPlan plan, StateFile state)
    {
        return new MountRecord
        {
            Id = plan.Id,
            Job = plan.Request.Job,
            Process = ProcessIdentity.Self(),
            MountPoint = plan.MountPoint,
            Lowers = LowersOf(plan),
            Changelist = plan.Request.Mega.Changelist,
            Upper = plan.UpperPath,
            Work = plan.WorkPath,
            Workspace = plan.Workspace?.FolderPath,
            Keep = plan.Request.Keep,
            Socket = state.SocketPath(plan.Id),
            Created = DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture),
        };
    }
}
