using System.Diagnostics;
using System.Globalization;
using System.Text;
using Antares.Aot.Dicfuse.Image.Pack;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Cli;

/// <summary>One line on the terminal that tells how far a pack is; nothing where standard error is no terminal.</summary>
internal sealed class TerminalProgress : IDisposable
{
    private const int StandardError = 2;
    private const long IntervalMs = 100;
    private const string ClearLine = "\r\e[K";

    private readonly bool _isTerminal = IsTerminal();
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private long _last = -IntervalMs;
    private bool _shown;

    /// <summary>Shows the progress of something that may take long; the line is gone when it is done.</summary>
    public static T During<T>(Func<Action<PackProgress>, T> work)
    {
        using var progress = new TerminalProgress();
        return work(progress.Show);
    }

    public void Show(PackProgress progress)
    {
        var now = _clock.ElapsedMilliseconds;
        if (!_isTerminal || now - _last < IntervalMs)
        {
            return;
        }

        _last = now;
        var text = progress.OfBytes == 0
            ? string.Create(CultureInfo.InvariantCulture, $"{progress.Nodes} names found")
            : string.Create(CultureInfo.InvariantCulture, $"{progress.Bytes >> 20} of {progress.OfBytes >> 20} MiB, {progress.Bytes * 100 / progress.OfBytes} %");
        Write(ClearLine + text);
        _shown = true;
    }

    public void Dispose()
    {
        if (_shown)
        {
            Write(ClearLine);
        }
    }

    private static void Write(string text) => _ = HostPath.Write(StandardError, Encoding.UTF8.GetBytes(text)); // only for the eye

    private static unsafe bool IsTerminal()
    {
        const nuint Tcgets = 0x5401;
        var settings = stackalloc byte[64]; // struct termios of the kernel has 36 bytes
        return FileIo.Ioctl(StandardError, Tcgets, settings, out _) == Errno.None;
    }
}
