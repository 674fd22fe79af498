using System.Runtime.CompilerServices;
using System.Text;
using Antares.Interop;

namespace Antares.Aot.Diagnostics;

/// <summary>How much a log line matters; a log shows its own level and those before it.</summary>
public enum LogLevel
{
    Error,
    Warn,
    Info,
    Debug,
}

/// <summary>
/// Lines of text to standard error, to a file, or to both: <c>2026-01-31T12:00:00.123Z warn  message</c>. Handed to constructors, never
/// reached through a static. Not for the hot path: what happens per request is counted, not logged.
/// </summary>
/// <remarks>Thread-safe; one write(2) per line, so that lines of several processes do not mix. A line that cannot be written is lost.</remarks>
public sealed unsafe class Log : IDisposable
{
    private readonly Lock _lock = new();
    private readonly int _errorFd;
    private readonly OwnedFd? _file;
    private byte[] _line = new byte[512];

    /// <param name="level">Least important level that is written.</param>
    /// <param name="toStandardError">Write to standard error.</param>
    /// <param name="file">An open descriptor to write to as well (opened with O_APPEND), which this takes over; or null.</param>
    public Log(LogLevel level, bool toStandardError = true, OwnedFd? file = null)
    {
        Level = level;
        _errorFd = toStandardError ? 2 : -1;
        _file = file;
    }

    /// <summary>A log that writes nothing.</summary>
    public static Log Off { get; } = new(LogLevel.Error, toStandardError: false);

    public LogLevel Level { get; }

    /// <summary>Opens (or makes) the file of a log, for appending.</summary>
    /// <returns>None, or the errno of open(2).</returns>
    public static Errno Open(LogLevel level, bool toStandardError, string path, out Log? log)
    {
        using CString name = Utf8.Native(path);
        Errno error = Fd.Open(name, Fcntl.O_WRONLY | Fcntl.O_APPEND | Fcntl.O_CREAT | Fcntl.O_CLOEXEC, 0x1A4 /* 0644 */, out int fd);
        log = error == Errno.None ? new Log(level, toStandardError, new OwnedFd(fd)) : null;
        return error;
    }

    /// <summary>Reads the name of a level ("error", "warn", "info", "debug").</summary>
    public static bool TryParse(string text, out LogLevel level)
    {
        (bool known, level) = text switch
        {
            "error" => (true, LogLevel.Error),
            "warn" => (true, LogLevel.Warn),
            "info" => (true, LogLevel.Info),
            "debug" => (true, LogLevel.Debug),
            _ => (false, default),
        };
        return known;
    }

    public bool IsEnabled(LogLevel level) => level <= Level && (_errorFd >= 0 || _file != null);

    public void Error(string message) => Write(LogLevel.Error, message);

    public void Warn(string message) => Write(LogLevel.Warn, message);

    public void Info(string message) => Write(LogLevel.Info, message);

    /// <summary>What the user is told whatever the level: where something is kept. Into the file when there is one, else to standard error.</summary>
    public void Tell(string message)
    {
        if (_file != null)
        {
            Put(LogLevel.Info, message);
        }
        else if (_errorFd >= 0)
        {
            Say(message);
        }
    }

    /// <summary>Why the command fails: on standard error, even if the log goes to a file, and there too.</summary>
    public void Fail(string message)
    {
        if (_file != null)
        {
            Put(LogLevel.Error, message);
        }

        Say(message);
    }

    /// <summary>The text is put together only when debug lines are written.</summary>
    public void Debug([InterpolatedStringHandlerArgument("")] ref DebugText message)
    {
        if (message.Enabled)
        {
            Write(LogLevel.Debug, message.ToStringAndClear());
        }
    }

    public void Debug(string message) => Write(LogLevel.Debug, message);

    public void Dispose() => _file?.Dispose();

    private static ReadOnlySpan<byte> NameOf(LogLevel level) => level switch
    {
        LogLevel.Error => " error "u8,
        LogLevel.Warn => " warn  "u8,
        LogLevel.Info => " info  "u8,
        _ => " debug "u8,
    };

    private void Write(LogLevel level, string message)
    {
        if (IsEnabled(level))
        {
            Put(level, message);
        }
    }

    private static void Say(string message)
    {
        byte[] line = Encoding.UTF8.GetBytes($"antares-aot: {message}\n");
        fixed (byte* text = line)
        {
            _ = FileIo.Write(2, text, (nuint)line.Length, out _); // nowhere else to say it
        }
    }

    private void Put(LogLevel level, string message)
    {
        lock (_lock)
        {
            int most = 64 + Encoding.UTF8.GetMaxByteCount(message.Length);
            if (_line.Length < most)
            {
                _line = new byte[most];
            }

            _ = DateTime.UtcNow.TryFormat(_line, out int length, "yyyy-MM-ddTHH:mm:ss.fffZ", null); // always fits
            ReadOnlySpan<byte> name = NameOf(level);
            name.CopyTo(_line.AsSpan(length));
            length += name.Length;
            length += Encoding.UTF8.GetBytes(message, _line.AsSpan(length));
            _line[length++] = (byte)'\n';

            fixed (byte* line = _line)
            {
                // A full disk or a closed terminal must not become a failure of the mount: the line is lost.
                if (_errorFd >= 0)
                {
                    _ = FileIo.Write(_errorFd, line, (nuint)length, out _);
                }

                if (_file != null)
                {
                    _ = FileIo.Write(_file.Value, line, (nuint)length, out _);
                }
            }
        }
    }

    /// <summary>An interpolated string that is not formatted when nobody would read it.</summary>
    [InterpolatedStringHandler]
    public ref struct DebugText
    {
        private DefaultInterpolatedStringHandler _text;

        public DebugText(int literalLength, int formattedCount, Log log, out bool enabled)
        {
            enabled = Enabled = log.IsEnabled(LogLevel.Debug);
            _text = enabled ? new DefaultInterpolatedStringHandler(literalLength, formattedCount) : default;
        }

        internal bool Enabled { get; }

        public void AppendLiteral(string value) => _text.AppendLiteral(value);

        public void AppendFormatted<T>(T value) => _text.AppendFormatted(value);

        public void AppendFormatted<T>(T value, string? format) => _text.AppendFormatted(value, format);

        internal string ToStringAndClear() => _text.ToStringAndClear();
    }
}
