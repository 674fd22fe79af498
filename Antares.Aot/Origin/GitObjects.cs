using Antares.Aot.Dicfuse.Git;
using Antares.Interop;

namespace Antares.Aot.Origin;

/// <summary>Objects of a git repository, read through a few <c>git cat-file</c> that are kept running.</summary>
internal sealed class GitObjects(string repository) : IDisposable
{
    private const int Kept = 4;

    private readonly string _repository = repository;
    private readonly Lock _lock = new();
    private readonly Stack<GitProcess> _contents = new();
    private readonly Stack<GitProcess> _checks = new();
    private bool _disposed;

    /// <summary>Where it is.</summary>
    public string Repository => _repository;

    /// <summary>Looks an object up.</summary>
    /// <param name="name">As git understands names of objects.</param>
    /// <param name="id">Its id.</param>
    /// <param name="type">Its type.</param>
    /// <param name="size">Its length.</param>
    /// <returns>False: no such object.</returns>
    /// <exception cref="IOException">git cannot be asked.</exception>
    public bool TryStat(string name, out string id, out string type, out long size)
    {
        id = "";
        type = "";
        size = 0;
        if (name.Contains('\n'))
        {
            return false;
        }

        GitProcess process = Rent(_checks, "--batch-check");
        bool found;
        try
        {
            found = process.Ask(name, out id, out type, out size);
        }
        catch (IOException)
        {
            process.Dispose();
            throw;
        }

        Return(_checks, process);
        return found;
    }

    /// <summary>Reads an object of the given type.</summary>
    /// <param name="name">As git understands names of objects.</param>
    /// <param name="type">The type that it must have.</param>
    /// <param name="begin">Told the length before the content; false: nobody wants it.</param>
    /// <param name="take">Takes the content.</param>
    /// <returns>False: no such object, or of another type.</returns>
    /// <exception cref="IOException">git cannot be asked.</exception>
    public bool TryRead(string name, string type, Func<long, bool> begin, GitProcess.ContentPiece take)
    {
        // Asked first, so that no content is fetched only to be thrown away.
        if (!TryStat(name, out string id, out string found, out long size) || found != type)
        {
            return false;
        }

        if (!begin(size))
        {
            return true;
        }

        GitProcess process = Rent(_contents, "--batch");
        bool whole = false;
        try
        {
            if (!process.Ask(id, out _, out _, out long now) || now != size)
            {
                throw new IOException($"{id} has changed");
            }

            process.Content(size, take);
            whole = true;
        }
        finally
        {
            if (whole)
            {
                Return(_contents, process);
            }
            else
            {
                process.Dispose();
            }
        }

        return true;
    }

    /// <summary>The whole of an object.</summary>
    /// <returns>Null: no such object, or of another type.</returns>
    /// <exception cref="IOException">git cannot be asked, or the object is larger than 256 MiB.</exception>
    public byte[]? Read(string name, string type)
    {
        const long MostBytes = 256 << 20;
        byte[] content = [];
        int used = 0;
        bool found = TryRead(name, type, size =>
        {
            content = size <= MostBytes ? new byte[size] : throw new IOException($"{name} has {size} bytes");
            return true;
        }, piece =>
        {
            piece.CopyTo(content.AsSpan(used));
            used += piece.Length;
        });
        return found ? content : null;
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            foreach (GitProcess process in _contents.Concat(_checks))
            {
                process.Dispose();
            }

            _contents.Clear();
            _checks.Clear();
        }
    }

    private GitProcess Rent(Stack<GitProcess> idle, string mode)
    {
        lock (_lock)
        {
            if (idle.TryPop(out GitProcess? known))
            {
                return known;
            }
        }

        Errno error = GitProcess.Start(_repository, ["cat-file", mode], out GitProcess? process);
        return error == Errno.None && process is not null ? process : throw new IOException($"git cannot be started: {error}");
    }

    private void Return(Stack<GitProcess> idle, GitProcess process)
    {
        lock (_lock)
        {
            if (idle.Count < Kept && !_disposed)
            {
                idle.Push(process);
                return;
            }
        }

        process.Dispose();
    }
}
