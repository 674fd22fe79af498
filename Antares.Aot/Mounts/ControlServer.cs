using System.Globalization;
using System.Text;
using System.Text.Json;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>
/// The mount's socket, by which another process asks what the mount counted. One question per connection: a line with a
/// <see cref="ControlQuestion"/>; the answer is "ok LENGTH\n", "refused LENGTH\n" or "usage LENGTH\n" and so many bytes, or "error TEXT\n".
/// </summary>
/// <remarks>
/// Served by the thread that waits for signals too, a piece at a time and never waiting for a client: nothing here is on the way of a
/// request, nothing costs before the first question, and no client keeps the mount from being taken down. One descriptor is kept back for
/// the next client: a mount that uses up all others answers all the same, and can be unmounted.
/// </remarks>
public sealed unsafe class ControlServer : IDisposable
{
    /// <summary>Further clients wait in the socket's queue.</summary>
    private const int MostConnections = 8;

    /// <summary>A client that cannot be taken (no descriptor, not even the spare one) stays in the queue that long.</summary>
    private const int PauseMs = 100;

    /// <summary>Entries that <see cref="Prepare"/> fills.</summary>
    public const int Places = 2 + MostConnections;

    private readonly List<ControlConnection> _connections = [];
    private readonly OwnedFd _listener;
    private readonly MountDiagnostics _diagnostics;
    private readonly uint _owner;
    private readonly OwnedFd _wake;
    private OwnedFd? _spare;
    private long _listensAgain;

    private ControlServer(OwnedFd listener, OwnedFd wake, MountDiagnostics diagnostics)
    {
        _wake = wake;
        _listener = listener;
        _diagnostics = diagnostics;
        _owner = Process.Geteuid();
        KeepSpare();
    }

    /// <summary>Unmounts (true: lazily); gives null, or why it was not done, in one line. Null: this cannot be asked yet.</summary>
    public Func<bool, string?>? Unmount { get; set; }

    /// <summary>What answers questions about changelist and revision; null: the mount has no place for them.</summary>
    internal MountedView? View { get; set; }

    /// <summary>When a client is given up or the next one looked for, as <see cref="Environment.TickCount64"/>: wait no longer than that.</summary>
    public long Deadline
    {
        get
        {
            var first = _listensAgain == 0 ? long.MaxValue : _listensAgain;
            foreach (var connection in _connections)
            {
                first = Math.Min(first, connection.Deadline);
            }

            return first;
        }
    }

    /// <summary>Makes the socket, mode 0600.</summary>
    /// <exception cref="MountProblem">Host: it cannot be made.</exception>
    public static ControlServer Listen(string path, MountDiagnostics diagnostics)
    {
        using var name = ControlAddress.Of(path);
        var wake = EndOfMount.NewEvent();
        var error = Sockets.Listen(name.Pointer, Modes.PrivateFile, out var fd);
        if (error == Errno.None)
        {
            return new ControlServer(new OwnedFd(fd), wake, diagnostics);
        }

        wake.Dispose();
        throw MountProblem.Host($"cannot make the control socket {path}", error);
    }

    /// <summary>Says what to wait for.</summary>
    /// <param name="waits">Room for <see cref="Places"/> entries.</param>
    public void Prepare(pollfd* waits)
    {
        if (_listensAgain <= Environment.TickCount64)
        {
            _listensAgain = 0;
        }

        var listens = _connections.Count < MostConnections && _listensAgain == 0;
        waits[0] = new pollfd { fd = listens ? _listener.Value : -1, events = Signals.POLLIN };
        for (var i = 0; i < MostConnections; i++)
        {
            waits[i + 1] = i < _connections.Count ? _connections[i].Wait : new pollfd { fd = -1 };
        }

        waits[Places - 1] = new pollfd { fd = _wake.Value, events = Signals.POLLIN };
    }

    /// <summary>Does what can be done now; gives up clients whose time is over.</summary>
    /// <param name="waits">From <see cref="Prepare"/>, after the wait.</param>
    public void Serve(pollfd* waits)
    {
        for (var i = 0; i < _connections.Count; i++)
        {
            if (waits[i + 1].revents != 0)
            {
                _connections[i].Go(Answer);
            }
        }

        if (waits[Places - 1].revents != 0)
        {
            ulong count;
            _ = FileIo.Read(_wake.Value, &count, sizeof(ulong), out _); // it was readable
            _connections.ForEach(connection => connection.GoOn());
        }

        if (waits[0].revents != 0)
        {
            TakeConnection();
        }

        var now = Environment.TickCount64;
        for (var i = _connections.Count - 1; i >= 0; i--)
        {
            if (_connections[i].IsOver || _connections[i].Deadline <= now)
            {
                _connections[i].Dispose();
                _connections.RemoveAt(i);
                KeepSpare();
            }
        }
    }

    public void Dispose()
    {
        _connections.ForEach(connection => connection.Dispose());
        _connections.Clear();
        _listener.Dispose();
        _wake.Dispose();
        _spare?.Dispose();
    }

    // Only its number counts.
    private void KeepSpare()
    {
        if (_spare is null && Fd.DupCloexec(_wake.Value, out var spare) == Errno.None)
        {
            _spare = new OwnedFd(spare);
        }
    }

    private void TakeConnection()
    {
        var error = Sockets.Accept(_listener.Value, out var socket);
        if (error is Errno.EMFILE or Errno.ENFILE && _spare is not null)
        {
            _spare.Dispose();
            _spare = null;
            error = Sockets.Accept(_listener.Value, out socket);
        }

        if (error != Errno.None)
        {
            // The client may still be there: asked again at once, it would be found again at once.
            _listensAgain = Environment.TickCount64 + PauseMs;
            KeepSpare();
            return;
        }

        var connection = new ControlConnection(new OwnedFd(socket));
        _connections.Add(connection);
        if (Sockets.PeerCredentials(socket, out var peer) != Errno.None || (peer.uid != 0 && peer.uid != _owner))
        {
            connection.Reply("error only the mount's owner and root may ask\n"u8.ToArray());
        }
    }

    private (ReadOnlyMemory<byte> Now, SlowAnswer? Later) Answer(string question) =>
        question.StartsWith(ControlQuestion.Changelist, StringComparison.Ordinal) || question.StartsWith(ControlQuestion.Refresh, StringComparison.Ordinal)
            ? (default, new SlowAnswer(() => ViewAnswer.To(View, question), Wake))
            : (AnswerNow(question), null);

    private void Wake()
    {
        ulong one = 1;
        _ = FileIo.Write(_wake.Value, &one, sizeof(ulong), out _); // fails only when nobody waits any more
    }

    private ReadOnlyMemory<byte> AnswerNow(string question)
    {
        using var body = new MemoryStream();
        switch (question)
        {
            case ControlQuestion.Ping:
                break;
            case ControlQuestion.Unmount or ControlQuestion.Detach:
                var unmount = Unmount ?? (_ => "it is still starting; try again");
                if (unmount(question == ControlQuestion.Detach) is { } problem)
                {
                    return Encoding.UTF8.GetBytes($"error {problem}\n");
                }

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
                return "error the mount does not know this question: it was made by another version\n"u8.ToArray();
        }

        return Framed("ok", body);
    }

    /// <summary>An answer with its head.</summary>
    internal static byte[] Framed(string word, MemoryStream body)
    {
        var head = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{word} {body.Length}\n"));
        return [.. head, .. body.GetBuffer().AsSpan(0, (int)body.Length)];
    }

    internal static void WriteJson(MemoryStream body, Action<Utf8JsonWriter> write)
    {
        using (var writer = new Utf8JsonWriter(body))
        {
            write(writer);
        }

        body.WriteByte((byte)'\n');
    }

    internal static void WriteText(MemoryStream body, Action<TextWriter> write)
    {
        using var writer = new StreamWriter(body, new UTF8Encoding(false), leaveOpen: true);
        write(writer);
    }
}
