using System.Globalization;
using System.Text;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>How much the log tells; each level includes those before it.</summary>
public enum LogLevel
{
    Error,
    Warn,
    Info,
    Debug,
}

/// <summary>Lines about the life of a mount, to stderr or a file. Not for requests: those are counted (<c>stats</c>, <c>errors</c>).</summary>
public sealed class MountLog : IDisposable
{
    private readonly LogLevel _level;
    private readonly OwnedFd? _file;

    private MountLog(LogLevel level, OwnedFd? file)
    {
        _level = level;
        _file = file;
    }

    /// <summary>A log on stderr, which a mount in the background no longer has once it is ready.</summary>
    public static MountLog OnStderr(LogLevel level) => new(level, null);

    /// <summary>A log that appends to a file.</summary>
    /// <exception cref="MountProblem">Host: the file cannot be opened.</exception>
    public static MountLog OnFile(LogLevel level, string path)
    {
        var error = HostPath.Open(path, Fcntl.O_WRONLY | Fcntl.O_CREAT | Fcntl.O_APPEND, 0x1A4 /* 0644 */, out var fd);
        return error == Errno.None
            ? new MountLog(level, new OwnedFd(fd))
            : throw MountProblem.Host($"cannot open the log file {path}", error);
    }

    public bool IsOn(LogLevel level) => level <= _level;

    public void Error(string message) => Write(LogLevel.Error, message);

    public void Warn(string message) => Write(LogLevel.Warn, message);

    public void Info(string message) => Write(LogLevel.Info, message);

    public void Debug(string message) => Write(LogLevel.Debug, message);

    public void Dispose() => _file?.Dispose();

    private void Write(LogLevel level, string message)
    {
        if (!IsOn(level))
        {
            return;
        }

        var word = level switch
        {
            LogLevel.Error => "error",
            LogLevel.Warn => "warn",
            LogLevel.Info => "info",
            _ => "debug",
        };
        var time = DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture);
        var line = _file is null ? $"antares-aot: {word}: {message}\n" : $"{time} {word} {message}\n";
        const int StandardError = 2;
        _ = HostPath.Write(_file?.Value ?? StandardError, Encoding.UTF8.GetBytes(line)); // a log that cannot be written has nowhere to say so
    }
}
