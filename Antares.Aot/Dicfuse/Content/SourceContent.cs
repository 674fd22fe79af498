using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Tree;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Content;

/// <summary>Content as the source has it, given out only while the source's file is the one that the node describes.</summary>
internal sealed unsafe class SourceContent(string layer, DicfuseTree tree)
{
    private readonly string _layer = layer;
    private readonly DicfuseTree _tree = tree;
    private long _changed;

    /// <summary>How often a file was found to be another than the node says.</summary>
    public long Changed => Volatile.Read(ref _changed);

    /// <summary>Reads a part that lies within the file.</summary>
    /// <param name="node">Regular file with its attributes loaded.</param>
    /// <param name="offset">Byte offset.</param>
    /// <param name="buffer">Receives exactly <paramref name="size"/> bytes.</param>
    /// <param name="size">At least 1; <paramref name="offset"/> + size is not past the end.</param>
    /// <returns>None; EIO: gone, or changed (checked when the bytes were already read, so that a change meanwhile is seen); ENOMEM; EACCES.</returns>
    public Errno Read(uint node, ulong offset, byte* buffer, uint size)
    {
        Errno error = RequestWait.Enter(_tree.Places);
        if (error != Errno.None)
        {
            return error;
        }

        stat after;
        error = _tree.Source.ReadContent(node, offset, buffer, size, out uint got, &after);
        if (error != Errno.None)
        {
            return error;
        }

        return got == size && SourceVersion.Same(*_tree.Store[node], after) ? Errno.None : NoteChanged();
    }

    /// <summary>Opens the source's file for the caller.</summary>
    /// <param name="node">Regular file with its attributes loaded.</param>
    /// <param name="fd">Read-only, close-on-exec; the caller closes it.</param>
    /// <returns>As <see cref="Read"/>; EOPNOTSUPP: contents of this source are in no plain files.</returns>
    public Errno Open(uint node, out int fd)
    {
        fd = -1;
        Errno error = RequestWait.Enter(_tree.Places);
        if (error != Errno.None)
        {
            return error;
        }

        stat now;
        error = _tree.Source.OpenContent(node, out fd, &now);
        if (error != Errno.None || SourceVersion.Same(*_tree.Store[node], now))
        {
            return error;
        }

        // Open for reading only: closing can lose nothing.
        _ = Fd.Close(fd);
        fd = -1;
        return NoteChanged();
    }

    /// <summary>To be called before a lock is taken under which <see cref="Read"/> will be called.</summary>
    public Errno Enter() => RequestWait.Enter(_tree.Places);

    private Errno NoteChanged()
    {
        // Only a counter for people.
        _ = Interlocked.Increment(ref _changed);
        return Failure.Note(_layer, "source changed", Errno.EIO);
    }
}
