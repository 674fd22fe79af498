using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Git;

/// <summary>
/// Contents of a repository in an order that is known: one <c>git cat-file</c> is asked for all of them by a thread of its own, so that git unpacks
/// the next ones while what came is worked on.
/// </summary>
internal sealed class GitContents : IDisposable
{
    private const string Layer = "git";

    private readonly string _repository;
    private readonly GitIds _ids;
    private readonly NativeList<uint> _order;
    private GitProcess? _process;
    private Thread? _asker;
    private long _next;
    private uint _current;
    private ulong _position;

    /// <param name="repository">Its folder.</param>
    /// <param name="ids">The ids by their numbers; nothing may be added any more.</param>
    /// <param name="order">Numbers in the order in which they will be read; taken over.</param>
    public GitContents(string repository, GitIds ids, NativeList<uint> order)
    {
        _repository = repository;
        _ids = ids;
        _order = order;
    }

    /// <summary>Reads the next part of the content at hand, or the first of the next one.</summary>
    /// <param name="id">Number of its id.</param>
    /// <param name="size">Its length.</param>
    /// <param name="offset">Where the last part ended.</param>
    /// <param name="room">Receives the part.</param>
    /// <returns>None; EIO: git does not have it, or has another length, or is gone; EINVAL: out of order.</returns>
    public Errno Read(uint id, ulong size, ulong offset, Span<byte> room)
    {
        try
        {
            Errno error = offset == 0 ? Begin(id, size) : Errno.None;
            if (error == Errno.None && (_current != id || _position != offset))
            {
                error = Failure.Note(Layer, "contents out of order", Errno.EINVAL);
            }

            if (error != Errno.None)
            {
                return error;
            }

            _process!.ReadContent(room);
            _position += (ulong)room.Length;
            if (_position == size)
            {
                _process.EndContent();
                _current = 0;
            }

            return Errno.None;
        }
        catch (IOException)
        {
            return Failure.Note(Layer, "cat-file ended", Errno.EIO);
        }
    }

    public void Dispose()
    {
        // The asker may be stuck as long as git is: nobody reading ends that.
        _process?.EndOutput();
        _asker?.Join();
        _process?.Dispose();
        _order.Dispose();
    }

    private Errno Begin(uint id, ulong size)
    {
        if (_process is null)
        {
            Errno error = GitProcess.Start(_repository, ["cat-file", "--batch", "--buffer"], out _process);
            if (error != Errno.None)
            {
                return Failure.Note(Layer, "posix_spawn git", Errno.EIO);
            }

            _asker = new Thread(Ask) { IsBackground = true, Name = "git asker" };
            _asker.Start();
        }

        if (_current != 0 || _next == _order.Count || _order[_next] != id)
        {
            return Failure.Note(Layer, "contents out of order", Errno.EINVAL);
        }

        _next++;
        if (!_process!.ReadHead(out string found, out string type, out long length)
            || found != Convert.ToHexStringLower(_ids[id]) || type != "blob" || (ulong)length != size)
        {
            return Failure.Note(Layer, "no such object: git fsck tells more", Errno.EIO);
        }

        _current = id;
        _position = 0;
        return Errno.None;
    }

    private void Ask()
    {
        const int Batch = 64;
        StringBuilder lines = new();
        for (long i = 0; i < _order.Count; i++)
        {
            _ = lines.Append(Convert.ToHexStringLower(_ids[_order[i]])).Append('\n');
            if ((i % Batch == Batch - 1 || i == _order.Count - 1) && _process!.Write(Encoding.ASCII.GetBytes(lines.ToString())) != Errno.None)
            {
                return; // who reads sees that git is gone
            }

            if (i % Batch == Batch - 1)
            {
                _ = lines.Clear();
            }
        }

        _process!.EndInput();
    }
}
