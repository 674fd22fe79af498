using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// The server's end of the talk with the reporter, the half of the command that <c>interop/native/main.c</c> split off before the
/// runtime started: it prints the result and ends with the exit code, so that the shell goes on while the mount lives.
/// </summary>
public sealed unsafe class ReadyReport : IDisposable
{
    private const string Variable = "ANTARES_READY_FD";
    private const uint Magic = 0x31524141; // "AAR1"
    private const int HeaderSize = 16;

    private enum Frame
    {
        Ask = 1,
        End = 2,
    }

    private readonly OwnedFd _socket;

    public ReadyReport(int socket) => _socket = new OwnedFd(socket);

    /// <summary>True once the end was sent: there is one per command.</summary>
    public bool IsSent { get; private set; }

    /// <summary>The report that this process owes, or null when nobody waits for one.</summary>
    /// <remarks>
    /// The variable stays: no command gets the environment of a process that reports, and taking one variable out would copy all of it.
    /// </remarks>
    public static ReadyReport? FromEnvironment()
    {
        var value = Environment.GetEnvironmentVariable(Variable);
        return int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var fd) ? new ReadyReport(fd) : null;
    }

    /// <summary>True when the reporter has ended: it was interrupted.</summary>
    public bool IsGone
    {
        get
        {
            var wait = new pollfd { fd = _socket.Value };
            return Signals.Poll(&wait, 1, 0, out _) == Errno.None && (wait.revents & Signals.POLLHUP) != 0;
        }
    }

    /// <summary>Asks the reporter to look at the mounted root, and does not wait for it.</summary>
    /// <returns>False: the reporter is gone.</returns>
    public bool Ask(string mountPoint) => Send(Frame.Ask, 0, mountPoint);

    /// <summary>Ends the command: after what it was asked before, the reporter prints the text, answers and ends with the code.</summary>
    /// <returns>False: the reporter is gone.</returns>
    public bool End(int exitCode, string text)
    {
        IsSent = true;
        return Send(Frame.End, exitCode, text);
    }

    /// <summary>Waits for the answer to <see cref="Ask"/> and <see cref="End"/>.</summary>
    /// <returns>
    /// False: the root did not answer, the text could not be printed or the reporter was interrupted; the mount is not wanted any more.
    /// </returns>
    public bool IsAnswered()
    {
        byte answer;
        return FileIo.Read(_socket.Value, &answer, 1, out var got) == Errno.None && got == 1;
    }

    public void Dispose() => _socket.Dispose();

    private bool Send(Frame kind, int code, string text)
    {
        var length = Encoding.UTF8.GetByteCount(text);
        var message = new byte[HeaderSize + length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), (uint)kind);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(8), code);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(12), length);
        _ = Encoding.UTF8.GetBytes(text, message.AsSpan(HeaderSize)); // the length is known
        return HostPath.Write(_socket.Value, message) == Errno.None;
    }
}
