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

    private readonly OwnedFd _socket;

    public ReadyReport(int socket) => _socket = new OwnedFd(socket);

    /// <summary>True once a report was sent: there is one per command.</summary>
    public bool IsSent { get; private set; }

    /// <summary>The report that this process owes, or null when nobody waits for one. Takes the variable out of the environment.</summary>
    public static ReadyReport? FromEnvironment()
    {
        var value = Environment.GetEnvironmentVariable(Variable);
        if (value is null)
        {
            return null;
        }

        Environment.SetEnvironmentVariable(Variable, null);
        return int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var fd) ? new ReadyReport(fd) : null;
    }

    /// <summary>Says that the mount serves, and waits until the reporter got an answer from its root.</summary>
    /// <param name="mountPoint">Path for the reporter to ask.</param>
    /// <param name="text">What it prints then.</param>
    /// <returns>False: the root did not answer or the reporter was interrupted; the mount is not wanted any more.</returns>
    public bool Ready(string mountPoint, string text)
    {
        if (!Send(0, mountPoint, text))
        {
            return false;
        }

        byte answer;
        return FileIo.Read(_socket.Value, &answer, 1, out var got) == Errno.None && got == 1;
    }

    /// <summary>Ends the command without a mount: the reporter prints the text and ends with the code.</summary>
    /// <returns>False: the reporter is gone.</returns>
    public bool End(int exitCode, string text) => Send(exitCode, "", text);

    public void Dispose() => _socket.Dispose();

    private bool Send(int exitCode, string mountPoint, string text)
    {
        IsSent = true;
        var path = mountPoint.Length == 0 ? [] : HostPath.Bytes(mountPoint);
        var body = Encoding.UTF8.GetBytes(text);
        var message = new byte[HeaderSize + path.Length + body.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(4), exitCode);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(8), path.Length);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(12), body.Length);
        path.CopyTo(message, HeaderSize);
        body.CopyTo(message, HeaderSize + path.Length);
        return HostPath.Write(_socket.Value, message) == Errno.None;
    }
}
