using System.Globalization;
using System.Text;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Git;

/// <summary>
/// A git command that is talked to: asked by its standard input, answering on its standard output. For one thread at a time, but that
/// another may write what it is asked (<see cref="Write"/>) while this one reads.
/// </summary>
internal sealed unsafe class GitProcess : IDisposable
{
    private const int BufferBytes = 64 << 10;

    /// <summary>What would lead git to another repository than the one that is named.</summary>
    private static readonly string[] s_repositoryVariables =
    [
        "GIT_DIR=", "GIT_WORK_TREE=", "GIT_COMMON_DIR=", "GIT_INDEX_FILE=", "GIT_OBJECT_DIRECTORY=", "GIT_ALTERNATE_OBJECT_DIRECTORIES=", "GIT_NAMESPACE=", "GIT_PREFIX=",
    ];

    private readonly OwnedFd _input;
    private readonly OwnedFd _output;
    private readonly OwnedFd? _errors;
    private readonly byte[] _buffer = new byte[BufferBytes];
    private int _pid;
    private int _start;
    private int _end;

    private GitProcess(int pid, OwnedFd input, OwnedFd output, OwnedFd? errors)
    {
        _pid = pid;
        _input = input;
        _output = output;
        _errors = errors;
    }

    /// <summary>Starts one.</summary>
    /// <param name="repository">A repository, bare or not.</param>
    /// <param name="arguments">The command with its arguments.</param>
    /// <param name="process">The process.</param>
    /// <param name="keepsErrors">True: what it says of errors is for <see cref="Wait"/>; false: it goes to our own standard error.</param>
    /// <returns>None; ENOENT: no git; EMFILE, EAGAIN, ENOMEM.</returns>
    public static Errno Start(string repository, IReadOnlyList<string> arguments, out GitProcess? process, bool keepsErrors = false)
    {
        process = null;
        OwnedFd? errors = null;
        if (keepsErrors)
        {
            Errno memory = Fd.Memfd(Literal.Pointer("git"u8), 1, out int fd); // MFD_CLOEXEC
            if (memory != Errno.None)
            {
                return memory;
            }

            errors = new OwnedFd(fd);
        }

        int* pipes = stackalloc int[4];
        Errno error = Fd.Pipe2(pipes, Fcntl.O_CLOEXEC);
        if (error != Errno.None)
        {
            errors?.Dispose();
            return error;
        }

        error = Fd.Pipe2(pipes + 2, Fcntl.O_CLOEXEC);
        int pid = -1;
        if (error == Errno.None)
        {
            error = Run(repository, arguments, pipes[0], pipes[3], errors?.Value ?? -1, out pid);
        }

        // The child has its own; nothing was written to ours.
        _ = Fd.Close(pipes[0]);
        if (pipes[3] >= 0)
        {
            _ = Fd.Close(pipes[3]);
        }

        if (error == Errno.None)
        {
            process = new GitProcess(pid, new OwnedFd(pipes[1]), new OwnedFd(pipes[2]), errors);
            return error;
        }

        errors?.Dispose();
        _ = Fd.Close(pipes[1]);
        if (pipes[2] >= 0)
        {
            _ = Fd.Close(pipes[2]);
        }

        return error;
    }

    /// <summary>Asks <c>cat-file</c> for one object.</summary>
    /// <param name="name">As git understands names of objects; no line break in it.</param>
    /// <param name="id">Its id.</param>
    /// <param name="type">"blob", "tree", "commit" or "tag".</param>
    /// <param name="size">Its length; in batch mode that many bytes and a line break follow (<see cref="Content"/>).</param>
    /// <returns>False: no such object.</returns>
    /// <exception cref="IOException">The process is gone.</exception>
    public bool Ask(string name, out string id, out string type, out long size)
    {
        Must(Write(Encoding.UTF8.GetBytes(name + "\n")));
        return ReadHead(out id, out type, out size);
    }

    /// <summary>Writes to the standard input.</summary>
    /// <returns>None; EPIPE: the process is gone.</returns>
    public Errno Write(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* start = bytes)
        {
            for (int done = 0; done < bytes.Length;)
            {
                Errno error = FileIo.Write(_input.Value, start + done, (nuint)(bytes.Length - done), out nuint put);
                if (error != Errno.None)
                {
                    return error;
                }

                done += (int)put;
            }
        }

        return Errno.None;
    }

    /// <summary>Ends the standard input.</summary>
    public void EndInput() => _input.Dispose();

    /// <summary>Reads no more: git ends when it wants to write.</summary>
    public void EndOutput() => _output.Dispose();

    /// <summary>The first line of an answer of <c>cat-file</c>; parameters as for <see cref="Ask"/>.</summary>
    /// <exception cref="IOException">The process is gone.</exception>
    public bool ReadHead(out string id, out string type, out long size)
    {
        string[] words = Encoding.UTF8.GetString(ReadTo((byte)'\n') ?? throw Gone()).Split(' ');
        id = "";
        type = "";
        size = 0;
        if (words.Length != 3 || words[0].Length < 40 || !long.TryParse(words[2], NumberStyles.None, CultureInfo.InvariantCulture, out size))
        {
            return false;
        }

        id = words[0];
        type = words[1];
        return true;
    }

    /// <summary>Hands out the content announced by <see cref="Ask"/>, piece by piece.</summary>
    /// <exception cref="IOException">The process is gone.</exception>
    public void Content(long size, ContentPiece take)
    {
        while (size > 0)
        {
            if (_start == _end && !Fill())
            {
                throw Gone();
            }

            int piece = (int)Math.Min(size, _end - _start);
            take(_buffer.AsSpan(_start, piece));
            _start += piece;
            size -= piece;
        }

        EndContent();
    }

    /// <summary>Reads a part of a content; <see cref="EndContent"/> follows the last.</summary>
    /// <exception cref="IOException">The process is gone.</exception>
    public void ReadContent(Span<byte> room)
    {
        while (!room.IsEmpty)
        {
            if (_start == _end && !Fill())
            {
                throw Gone();
            }

            int piece = Math.Min(room.Length, _end - _start);
            _buffer.AsSpan(_start, piece).CopyTo(room);
            _start += piece;
            room = room[piece..];
        }
    }

    /// <summary>Passes over what stands behind a content.</summary>
    /// <exception cref="IOException">The process is gone, or something else stands there.</exception>
    public void EndContent()
    {
        if (_start == _end && !Fill())
        {
            throw Gone();
        }

        if (_buffer[_start++] != '\n')
        {
            throw new IOException("git cat-file answers out of turn");
        }
    }

    /// <summary>Reads to a byte, which is passed over.</summary>
    /// <returns>Null: the output has ended.</returns>
    /// <exception cref="IOException">It ends in the middle, or is endless.</exception>
    public byte[]? ReadTo(byte end)
    {
        const int Longest = 1 << 20;
        var line = new List<byte>();
        while (true)
        {
            if (_start == _end && !Fill())
            {
                return line.Count == 0 ? null : throw Gone();
            }

            ReadOnlySpan<byte> rest = _buffer.AsSpan(_start, _end - _start);
            int at = rest.IndexOf(end);
            line.AddRange(at < 0 ? rest : rest[..at]);
            _start += at < 0 ? rest.Length : at + 1;
            if (at >= 0)
            {
                return [.. line];
            }

            if (line.Count > Longest)
            {
                throw new IOException("git answers with an endless line");
            }
        }
    }

    /// <summary>Waits for the end of the process.</summary>
    /// <param name="said">The last line of what it said of errors, where that was kept.</param>
    /// <returns>Its exit code, 128 and more for a signal.</returns>
    public int Wait(out string said)
    {
        EndInput();
        _output.Dispose();
        int code = 0;
        if (_pid > 0)
        {
            Errno error = Process.Waitpid(_pid, out int status, 0);
            code = error == Errno.None ? Process.ExitCode(status) : 128;
            _pid = 0;
        }

        said = _errors is { } kept ? LastLine(kept.Value) : "";
        return code;
    }

    public void Dispose()
    {
        _input.Dispose();
        _output.Dispose();
        _errors?.Dispose();
        if (_pid > 0)
        {
            _ = Process.Waitpid(_pid, out _, 0); // it ends when its input does, or when nobody reads its output
            _pid = 0;
        }
    }

    /// <summary>One piece of content, valid during the call.</summary>
    public delegate void ContentPiece(ReadOnlySpan<byte> bytes);

    private static Errno Run(string repository, IReadOnlyList<string> arguments, int input, int output, int errors, out int pid)
    {
        using CString file = new("git");
        using var words = new CStringArray(["git", "-C", repository, .. arguments]);
        using var environment = CStringArray.OfBytes(
            [.. (GivenWords.Environment() ?? []).Where(word => !s_repositoryVariables.Any(name => word.AsSpan().StartsWith(Encoding.ASCII.GetBytes(name)))),
                "GIT_NO_REPLACE_OBJECTS=1"u8.ToArray(), "GIT_TERMINAL_PROMPT=0"u8.ToArray()]);
        var options = SpawnOptions.Inherit;
        options.Stdin = input;
        options.Stdout = output;
        options.Stderr = errors;
        options.NewProcessGroup = true;
        return Spawn.PosixSpawn(file.Pointer, words.Pointer, environment.Pointer, options, out pid);
    }

    private static string LastLine(int file)
    {
        const int Room = 4096;
        byte* text = stackalloc byte[Room];
        _ = FileIo.ReadFull(file, text, Room, 0, out nuint got); // without it the message is shorter
        string[] lines = Encoding.UTF8.GetString(text, (int)got).Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        string line = lines.FirstOrDefault(line => line.StartsWith("fatal:", StringComparison.Ordinal)) ?? lines.LastOrDefault() ?? "";
        return Utf8.Print(Encoding.UTF8.GetBytes(line));
    }

    private static void Must(Errno error)
    {
        if (error != Errno.None)
        {
            throw new IOException($"git: {error}");
        }
    }

    private static IOException Gone() => new("git has ended");

    /// <returns>False: the end.</returns>
    private bool Fill()
    {
        fixed (byte* bytes = _buffer)
        {
            Must(FileIo.Read(_output.Value, bytes, BufferBytes, out nuint got));
            _start = 0;
            _end = (int)got;
            return got > 0;
        }
    }
}
