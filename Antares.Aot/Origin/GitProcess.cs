using System.Text;
using Antares.Interop;

namespace Antares.Aot.Origin;

/// <summary>One <c>git cat-file</c> in batch mode: asked by its standard input, answering on its standard output. For one thread at a time.</summary>
internal sealed unsafe class GitProcess : IDisposable
{
    private const int BufferBytes = 64 << 10;

    private readonly OwnedFd _input;
    private readonly OwnedFd _output;
    private readonly byte[] _buffer = new byte[BufferBytes];
    private readonly int _pid;
    private int _start;
    private int _end;

    private GitProcess(int pid, OwnedFd input, OwnedFd output)
    {
        _pid = pid;
        _input = input;
        _output = output;
    }

    /// <summary>Starts one.</summary>
    /// <param name="repository">A repository, bare or not.</param>
    /// <param name="mode">"--batch" or "--batch-check".</param>
    /// <param name="process">The process.</param>
    /// <returns>None; ENOENT: no git; EMFILE, EAGAIN, ENOMEM.</returns>
    public static Errno Start(string repository, string mode, out GitProcess? process)
    {
        process = null;
        int* pipes = stackalloc int[4];
        Errno error = Fd.Pipe2(pipes, Fcntl.O_CLOEXEC);
        if (error != Errno.None)
        {
            return error;
        }

        error = Fd.Pipe2(pipes + 2, Fcntl.O_CLOEXEC);
        int pid = -1;
        if (error == Errno.None)
        {
            error = Run(repository, mode, pipes[0], pipes[3], out pid);
        }

        // The child has its own; nothing was written to ours.
        _ = Fd.Close(pipes[0]);
        if (pipes[3] >= 0)
        {
            _ = Fd.Close(pipes[3]);
        }

        if (error == Errno.None)
        {
            process = new GitProcess(pid, new OwnedFd(pipes[1]), new OwnedFd(pipes[2]));
            return error;
        }

        _ = Fd.Close(pipes[1]);
        if (pipes[2] >= 0)
        {
            _ = Fd.Close(pipes[2]);
        }

        return error;
    }

    /// <summary>Asks for one object.</summary>
    /// <param name="name">As git understands names of objects; no line break in it.</param>
    /// <param name="id">Its id.</param>
    /// <param name="type">"blob", "tree", "commit" or "tag".</param>
    /// <param name="size">Its length; in batch mode that many bytes and a line break follow (<see cref="Content"/>).</param>
    /// <returns>False: no such object.</returns>
    /// <exception cref="IOException">The process is gone.</exception>
    public bool Ask(string name, out string id, out string type, out long size)
    {
        byte[] line = Encoding.UTF8.GetBytes(name + "\n");
        fixed (byte* bytes = line)
        {
            for (int done = 0; done < line.Length;)
            {
                Must(FileIo.Write(_input.Value, bytes + done, (nuint)(line.Length - done), out nuint put));
                done += (int)put;
            }
        }

        string answer = ReadLine();
        string[] words = answer.Split(' ');
        id = "";
        type = "";
        size = 0;
        if (words.Length != 3 || words[0].Length < 40 || !long.TryParse(words[2], out size))
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
            if (_start == _end)
            {
                Fill();
            }

            int piece = (int)Math.Min(size, _end - _start);
            take(_buffer.AsSpan(_start, piece));
            _start += piece;
            size -= piece;
        }

        if (ReadByte() != '\n')
        {
            throw new IOException("git cat-file answers out of turn");
        }
    }

    public void Dispose()
    {
        _input.Dispose();
        _output.Dispose();
        _ = Process.Waitpid(_pid, out _, 0); // it ends when its input does
    }

    /// <summary>One piece of content, valid during the call.</summary>
    public delegate void ContentPiece(ReadOnlySpan<byte> bytes);

    private static Errno Run(string repository, string mode, int input, int output, out int pid)
    {
        using CString file = new("git");
        using var arguments = new CStringArray(["git", "-C", repository, "cat-file", mode]);
        using var environment = CStringArray.OfBytes(GivenWords.Environment() ?? []);
        var options = SpawnOptions.Inherit;
        options.Stdin = input;
        options.Stdout = output;
        options.NewProcessGroup = true;
        return Spawn.PosixSpawn(file.Pointer, arguments.Pointer, environment.Pointer, options, out pid);
    }

    private static void Must(Errno error)
    {
        if (error != Errno.None)
        {
            throw new IOException($"git cat-file: {error}");
        }
    }

    private void Fill()
    {
        fixed (byte* bytes = _buffer)
        {
            Must(FileIo.Read(_output.Value, bytes, BufferBytes, out nuint got));
            if (got == 0)
            {
                throw new IOException("git cat-file has ended");
            }

            _start = 0;
            _end = (int)got;
        }
    }

    private byte ReadByte()
    {
        if (_start == _end)
        {
            Fill();
        }

        return _buffer[_start++];
    }

    private string ReadLine()
    {
        const int LongestLine = 8192;
        var line = new List<byte>();
        for (byte next = ReadByte(); next != '\n'; next = ReadByte())
        {
            if (line.Count == LongestLine)
            {
                throw new IOException("git cat-file answers with an endless line");
            }

            line.Add(next);
        }

        return Encoding.UTF8.GetString([.. line]);
    }
}
