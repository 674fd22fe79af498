using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>What the process of a mount can be woken by.</summary>
public enum MountEventKind
{
    /// <summary>A signal was sent.</summary>
    Signal,

    /// <summary>The mount is gone.</summary>
    Ended,

    /// <summary>The mount is not to be seen here any more, but has not ended: somebody still uses it. Told once.</summary>
    Detached,

    /// <summary>Nothing happened in the time given.</summary>
    Timeout,
}

/// <summary>One event.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="Signal">Its number, for a signal.</param>
/// <param name="FromTerminal">The signal came from the terminal (Ctrl-C), so the whole foreground group has it already.</param>
public readonly record struct MountEvent(MountEventKind Kind, int Signal = 0, bool FromTerminal = false);

/// <summary>
/// The one place where the process of a mount waits: for signals, questions to its control socket, the end of the mount and its
/// disappearance from the mount table. The signals are blocked in all threads since before the runtime started (interop/native/main.c), so none is lost and none runs code
/// in the middle of something.
/// </summary>
internal sealed unsafe class MountEvents : IDisposable
{
    private const int FromKernel = 0x80; // SI_KERNEL

    /// <summary>The end of a mount that is unmounted shows long before; and a host that mounts all the time is not looked at all the time.</summary>
    private const int LookPauseMs = 1_000;

    private readonly OwnedFd _signals;
    private readonly ServedMount _mount;
    private readonly OwnedFd? _mountTable;
    private long _lookAt = long.MaxValue;
    private bool _isDetached;

    /// <param name="mount">The mount; not disposed here.</param>
    /// <param name="signals">Numbers to take, but for those ignored from the start. They are blocked for this thread too, for a start without that C main.</param>
    /// <exception cref="MountProblem">Host: no descriptor to be had.</exception>
    public MountEvents(ServedMount mount, params ReadOnlySpan<int> signals)
    {
        var set = GivenSignals.Without(Signals.SetOf(signals));
        var error = Signals.Block(set);
        var fd = -1;
        if (error == Errno.None)
        {
            error = Signals.SignalFd(set, Signals.SFD_CLOEXEC, out fd);
        }

        _signals = error == Errno.None ? new OwnedFd(fd) : throw MountProblem.Host("cannot wait for signals", error);
        _mount = mount;
        // Polled for changes, never read. Without /proc nobody is told that the mount was detached.
        _mountTable = HostPath.Open("/proc/self/mountinfo", Fcntl.O_RDONLY, 0, out var table) == Errno.None ? new OwnedFd(table) : null;
    }

    /// <summary>Waits for the next event and answers questions meanwhile. The end of the mount is told once.</summary>
    /// <param name="timeoutMs">Negative: without end.</param>
    public MountEvent Wait(int timeoutMs = -1)
    {
        const int SignalPlace = 0;
        const int EndPlace = 1;
        const int TablePlace = 2;
        const int ControlPlace = 3;
        const int Places = ControlPlace + ControlServer.Places;
        var deadline = timeoutMs < 0 ? long.MaxValue : Environment.TickCount64 + timeoutMs;
        var waits = stackalloc pollfd[Places];
        while (true)
        {
            waits[SignalPlace] = new pollfd { fd = _signals.Value, events = Signals.POLLIN };
            waits[EndPlace] = new pollfd { fd = _mount.HasEnded ? -1 : _mount.EndedDescriptor, events = Signals.POLLIN };
            var watches = _mountTable is not null && _lookAt == long.MaxValue && !_isDetached && !_mount.HasEnded;
            waits[TablePlace] = new pollfd { fd = watches ? _mountTable!.Value : -1, events = Signals.POLLPRI };
            _mount.Control.Prepare(waits + ControlPlace);
            var error = Signals.Poll(waits, Places, Until(Math.Min(_lookAt, Math.Min(deadline, _mount.Control.Deadline))), out _);
            if (error != Errno.None)
            {
                throw MountProblem.Host("cannot wait for events", error);
            }

            if (waits[SignalPlace].revents != 0)
            {
                return TakeSignal();
            }

            if (waits[EndPlace].revents != 0)
            {
                _mount.NoteEnd();
                return new MountEvent(MountEventKind.Ended);
            }

            _mount.Control.Serve(waits + ControlPlace);
            if (waits[TablePlace].revents != 0)
            {
                _lookAt = Environment.TickCount64 + LookPauseMs;
            }
            else if (Environment.TickCount64 >= _lookAt)
            {
                _lookAt = long.MaxValue;
                if (!_mount.HasEnded && !_mount.IsInPlace())
                {
                    _isDetached = true;
                    return new MountEvent(MountEventKind.Detached);
                }
            }

            if (Environment.TickCount64 >= deadline)
            {
                return new MountEvent(MountEventKind.Timeout);
            }
        }
    }

    public void Dispose()
    {
        _signals.Dispose();
        _mountTable?.Dispose();
    }

    private static int Until(long deadline) =>
        deadline == long.MaxValue ? -1 : (int)Math.Clamp(deadline - Environment.TickCount64, 0, int.MaxValue);

    private MountEvent TakeSignal()
    {
        signalfd_siginfo info;
        var error = FileIo.Read(_signals.Value, &info, (nuint)sizeof(signalfd_siginfo), out _);
        return error == Errno.None
            ? new MountEvent(MountEventKind.Signal, (int)info.ssi_signo, info.ssi_code == FromKernel)
            : throw MountProblem.Host("cannot read a signal", error);
    }
}
