using System.Text;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>An answer that takes its time, on another thread.</summary>
/// <param name="make">Makes it; throws nothing.</param>
/// <param name="done">Called on that thread when it is there.</param>
internal sealed class SlowAnswer(Func<byte[]> make, Action done)
{
    private byte[]? _answer;

    /// <summary>The answer; null: not yet.</summary>
    public byte[]? Answer => Volatile.Read(ref _answer);

    /// <summary>Starts it; without a thread to be had (a limit of processes or of memory) that is the answer.</summary>
    public void Start()
    {
        try
        {
            new Thread(() => Tell(make())) { IsBackground = true, Name = "slow answer" }.Start();
        }
        catch (Exception error) when (error is OutOfMemoryException or ThreadStartException)
        {
            Tell(ViewAnswer.Refused("refused", "no thread is to be had for it (a limit of processes or of memory); nothing was changed"));
        }
    }

    private void Tell(byte[] answer)
    {
        Volatile.Write(ref _answer, answer);
        done();
    }
}

/// <summary>One client of the control socket, from its question to the last byte of the answer. Never waits.</summary>
internal sealed unsafe class ControlConnection : IDisposable
{
    /// <summary>A verb, and a path each of whose bytes may be escaped.</summary>
    private const int LongestQuestion = 16 << 10;

    /// <summary>For all of it: a client that is slow or silent is given up.</summary>
    private const int PatienceMs = 2000;

    private readonly OwnedFd _socket;
    private readonly byte[] _question = new byte[LongestQuestion];
    private int _asked;
    private ReadOnlyMemory<byte>? _left;
    private SlowAnswer? _slow;

    /// <param name="socket">Accepted; taken over.</param>
    public ControlConnection(OwnedFd socket)
    {
        _socket = socket;
        Deadline = Environment.TickCount64 + PatienceMs;
        IsOver = Fd.Setfl(socket.Value, Fcntl.O_NONBLOCK) != Errno.None;
    }

    /// <summary>When it is given up, as <see cref="Environment.TickCount64"/>.</summary>
    public long Deadline { get; private set; }

    /// <summary>Nothing more to do, or the client is gone.</summary>
    public bool IsOver { get; private set; }

    /// <summary>What to wait for.</summary>
    public pollfd Wait => new() { fd = _slow is null ? _socket.Value : -1, events = _left is null ? Signals.POLLIN : Signals.POLLOUT };

    /// <summary>Goes on as far as it can without waiting.</summary>
    /// <param name="answer">Gives the answer to a question, or starts what will.</param>
    public void Go(Func<string, (ReadOnlyMemory<byte> Now, SlowAnswer? Later)> answer)
    {
        if (_left is null && ReadQuestion() is { } question)
        {
            var (now, later) = answer(question);
            if (later is null)
            {
                Reply(now);
                return;
            }

            _slow = later;
            Deadline = long.MaxValue;
            later.Start();
        }
        else if (_left is not null)
        {
            Send();
        }
    }

    /// <summary>Sends a slow answer that is there by now.</summary>
    public void GoOn()
    {
        if (_slow?.Answer is { } answer)
        {
            _slow = null;
            Deadline = Environment.TickCount64 + PatienceMs;
            Reply(answer);
        }
    }

    /// <summary>Answers without a question.</summary>
    public void Reply(ReadOnlyMemory<byte> answer)
    {
        _left = answer;
        Send();
    }

    public void Dispose() => _socket.Dispose();

    /// <summary>The question when it is there whole.</summary>
    private string? ReadQuestion()
    {
        fixed (byte* buffer = _question)
        {
            var error = FileIo.Read(_socket.Value, buffer + _asked, (nuint)(LongestQuestion - _asked), out var got);
            if (error == Errno.EAGAIN)
            {
                return null;
            }

            _asked += (int)got;
            var isWhole = _asked > 0 && _question[_asked - 1] == (byte)'\n';
            IsOver = error != Errno.None || got == 0 || (!isWhole && _asked == LongestQuestion);
            return isWhole && !IsOver ? Encoding.UTF8.GetString(_question, 0, _asked - 1) : null;
        }
    }

    private void Send()
    {
        while (_left is { Length: > 0 } left)
        {
            fixed (byte* start = left.Span)
            {
                var error = FileIo.Write(_socket.Value, start, (nuint)left.Length, out var put);
                if (error != Errno.None)
                {
                    IsOver = error != Errno.EAGAIN; // a client that went away misses its answer
                    return;
                }

                _left = left[(int)put..];
            }
        }

        IsOver = true;
    }
}
