using System.Globalization;
using System.Text;
using System.Text.Json;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// The mount's socket, by which another process asks what the mount counted. One question per connection: a line with a
/// <see cref="ControlQuestion"/>; the answer is "ok LENGTH\n" and so many bytes, or "error TEXT\n".
/// </summary>
/// <remarks>Served by the thread that waits for signals too: nothing here is on the way of a request, and nothing costs before the first question.</remarks>
public sealed unsafe class ControlServer : IDisposable
{
    private const int LongestQuestion = 64;
    private const int PatienceMs = 1000;

    private readonly OwnedFd _listener;
    private readonly MountDiagnostics _diagnostics;
    private readonly uint _owner;

    private ControlServer(OwnedFd listener, MountDiagnostics diagnostics)
    {
        _listener = listener;
        _diagnostics = diagnostics;
        _owner = Process.Geteuid();
    }

    /// <summary>Readable when somebody asks.</summary>
    public int Descriptor => _listener.Value;

    /// <summary>Makes the socket, mode 0600.</summary>
    /// <exception cref="MountProblem">Host: it cannot be made.</exception>
    public static ControlServer Listen(string path, MountDiagnostics diagnostics)
    {
        using var name = ControlAddress.Of(path);
        var error = Sockets.Listen(name.Pointer, Modes.PrivateFile, out var fd);
        return error == Errno.None
            ? new ControlServer(new OwnedFd(fd), diagnostics)
            : throw MountProblem.Host($"cannot make the control socket {path}", error);
    }

    /// <summary>Takes one connection, answers its question and closes it. A client that is slow or gone is given up.</summary>
    public void AnswerOne()
    {
        if (Sockets.Accept(_listener.Value, out var connection) != Errno.None)
        {
            return;
        }

        using var owned = new OwnedFd(connection);
        if (Sockets.PeerCredentials(connection, out var peer) != Errno.None || (peer.uid != 0 && peer.uid != _owner))
        {
            Send(connection, "error only the mount's owner and root may ask\n"u8);
            return;
        }

        if (ReadQuestion(connection) is { } question)
        {
            Answer(connection, question);
        }
    }

    public void Dispose() => _listener.Dispose();

    private void Answer(int connection, string question)
    {
        using var body = new MemoryStream();
        switch (question)
        {
            case ControlQuestion.Ping:
                break;
            case ControlQuestion.StatsJson:
                WriteJson(body, _diagnostics.WriteStatsJson);
                break;
            case ControlQuestion.StatsText:
                WriteText(body, _diagnostics.WriteStatsText);
                break;
            case ControlQuestion.ErrorsJson:
                WriteJson(body, _diagnostics.WriteErrorsJson);
                break;
            case ControlQuestion.ErrorsText:
                WriteText(body, _diagnostics.WriteErrorsText);
                break;
            default:
                Send(connection, "error the mount does not know this question: it was made by another version\n"u8);
                return;
        }

        Send(connection, Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"ok {body.Length}\n")));
        Send(connection, body.GetBuffer().AsSpan(0, (int)body.Length));
    }

    private static void WriteJson(MemoryStream body, Action<Utf8JsonWriter> write)
    {
        using (var writer = new Utf8JsonWriter(body))
        {
            write(writer);
        }

        body.WriteByte((byte)'\n');
    }

    private static void WriteText(MemoryStream body, Action<TextWriter> write)
    {
        using var writer = new StreamWriter(body, new UTF8Encoding(false), leaveOpen: true);
        write(writer);
    }

    private static string? ReadQuestion(int connection)
    {
        var buffer = stackalloc byte[LongestQuestion];
        for (var length = 0; length < LongestQuestion;)
        {
            var wait = new pollfd { fd = connection, events = Signals.POLLIN };
            if (Signals.Poll(&wait, 1, PatienceMs, out var ready) != Errno.None || ready == 0
                || FileIo.Read(connection, buffer + length, (nuint)(LongestQuestion - length), out var got) != Errno.None || got == 0)
            {
                return null;
            }

            length += (int)got;
            if (buffer[length - 1] == (byte)'\n')
            {
                return Encoding.ASCII.GetString(buffer, length - 1);
            }
        }

        return null;
    }

    private static void Send(int connection, ReadOnlySpan<byte> bytes) =>
        _ = HostPath.Write(connection, bytes); // a client that went away misses its answer; the mount goes on
}
