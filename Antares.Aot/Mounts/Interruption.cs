using System.Diagnostics;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// Notices that nobody wants a mount any more before it is one: the signals that would end it are blocked meanwhile, and the command that waits
/// for it may be gone. Signals are looked at, not taken.
/// </summary>
internal sealed unsafe class Interruption : IDisposable
{
    private const long PauseMs = 100;

    private readonly OwnedFd? _signals;
    private readonly ReadyReport? _report;
    private readonly Action<PackProgress>? _progress;
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private long _next = PauseMs;

    /// <param name="report">Who waits for the mount, or null.</param>
    /// <param name="progress">Told what <see cref="Tell"/> is told.</param>
    public Interruption(ReadyReport? report, Action<PackProgress>? progress)
    {
        _report = report;
        _progress = progress;
        var set = GivenSignals.Without(Signals.SetOf(Signals.SIGTERM, Signals.SIGINT, Signals.SIGQUIT, Signals.SIGHUP));

        // Without it a signal only counts once the mount is up.
        _signals = Signals.SignalFd(set, Signals.SFD_CLOEXEC, out var fd) == Errno.None ? new OwnedFd(fd) : null;
    }

    /// <summary>Passes a report of progress on.</summary>
    /// <exception cref="MountProblem">Host: interrupted.</exception>
    public void Tell(PackProgress progress)
    {
        if (progress.Nodes > 0)
        {
            _progress?.Invoke(progress);
        }

        if (_clock.ElapsedMilliseconds < _next)
        {
            return;
        }

        _next = _clock.ElapsedMilliseconds + PauseMs;
        if (_report is { IsGone: true } || HasSignal())
        {
            throw MountProblem.Host("interrupted while the source was being packed or fetched; nothing was mounted");
        }
    }

    public void Dispose() => _signals?.Dispose();

    private bool HasSignal()
    {
        var wait = new pollfd { fd = _signals?.Value ?? -1, events = Signals.POLLIN };
        return Signals.Poll(&wait, 1, 0, out var ready) == Errno.None && ready > 0;
    }
}
