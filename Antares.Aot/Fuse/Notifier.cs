using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Interop;
using Antares.Interop.Fuse3;
using Log = Antares.Aot.Diagnostics.Log;

namespace Antares.Aot.Fuse;

/// <summary>
/// Tells the kernel what changed without it (a new CL, a refreshed revision), since it keeps names, attributes and pages for good. The
/// data must have been switched before: the kernel may ask again at once.
/// </summary>
/// <remarks>
/// The kernel takes a notification under locks that a request of the same directory may hold while it waits for us. Therefore they go out
/// on a thread of their own, and no member may be called on a thread that serves requests: a full queue makes the caller wait, because an
/// invalidation that is dropped would show stale data for good. For a change of a listing send the directory's
/// <see cref="InvalInode"/> too: <see cref="InvalEntry"/> of a name that is not cached does nothing, not even to the cached listing.
/// </remarks>
public sealed unsafe class Notifier
{
    private const int Capacity = 1024;

    private readonly fuse_session* _session;
    private readonly Log _log;
    private readonly object _lock = new();
    private readonly Note* _notes;
    private int _first;
    private int _count;
    private bool _busy;
    private bool _stopped;
    private Thread? _thread;

    internal Notifier(fuse_session* session, Log log)
    {
        _session = session;
        _log = log;

        // Committed by the kernel page by page as it is used: an empty queue costs nothing.
        _notes = (Note*)NativeMemory.AllocZeroed(Capacity, (nuint)sizeof(Note));
    }

    ~Notifier() => NativeMemory.Free(_notes);

    private enum Kind : byte
    {
        Inode,
        Entry,
        Delete,
    }

    /// <summary>Drops cached attributes, a directory's listing, a link's target, and the pages of a range.</summary>
    /// <param name="nodeId">Node.</param>
    /// <param name="offset">First byte; negative: attributes only.</param>
    /// <param name="length">Bytes; 0: to the end.</param>
    public void InvalInode(ulong nodeId, long offset = 0, long length = 0) => Add(Kind.Inode, nodeId, 0, default, offset, length);

    /// <summary>Drops a cached name, or the knowledge that there is none.</summary>
    /// <param name="parent">Directory.</param>
    /// <param name="name">1 to 255 bytes, copied.</param>
    public void InvalEntry(ulong parent, ByteName name) => Add(Kind.Entry, parent, 0, name, 0, 0);

    /// <summary>As <see cref="InvalEntry"/>; watchers (inotify) of the name are told that it is gone.</summary>
    public void Delete(ulong parent, ulong child, ByteName name) => Add(Kind.Delete, parent, child, name, 0, 0);

    /// <summary>Starts the thread, unless it runs; to be called before what it tells of is done.</summary>
    /// <returns>False: none is to be had (a limit of processes or of memory); what is to be told would throw then.</returns>
    public bool TryStart()
    {
        lock (_lock)
        {
            try
            {
                EnsureThread();
                return true;
            }
            catch (Exception exception) when (exception is OutOfMemoryException or ThreadStartException)
            {
                _log.Warn("no thread to tell the kernel of changes (a limit of processes or of memory)");
                return false;
            }
        }
    }

    /// <summary>Waits until the kernel has taken all that was added before.</summary>
    public void Flush()
    {
        lock (_lock)
        {
            while ((_count > 0 || _busy) && !_stopped)
            {
                _ = Monitor.Wait(_lock); // without a timeout it comes back signalled
            }
        }
    }

    /// <summary>Drops what waits and ends the thread. Later members do nothing.</summary>
    internal void Stop()
    {
        Thread? thread;
        lock (_lock)
        {
            _stopped = true;
            thread = _thread;
            Monitor.PulseAll(_lock);
        }

        thread?.Join();
    }

    private void Add(Kind kind, ulong node, ulong child, ByteName name, long offset, long length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(name.Length, ByteName.MaxLength);
        lock (_lock)
        {
            while (_count == Capacity && !_stopped)
            {
                _ = Monitor.Wait(_lock); // without a timeout it comes back signalled
            }

            if (_stopped)
            {
                return;
            }

            EnsureThread();
            Note* note = _notes + ((_first + _count) % Capacity);
            note->Kind = kind;
            note->Node = node;
            note->Child = child;
            note->Offset = offset;
            note->Length = length;
            note->NameLength = (byte)name.Length;
            name.Span.CopyTo(new Span<byte>(note->Name, ByteName.MaxLength));
            note->Name[name.Length] = 0;
            _count++;
            Monitor.PulseAll(_lock);
        }
    }

    private void EnsureThread()
    {
        if (_thread == null)
        {
            var thread = new Thread(Run) { IsBackground = true, Name = "fuse-notify" };
            thread.Start();
            _thread = thread;
        }
    }

    private void Run()
    {
        Note note;
        while (Take(&note))
        {
            int result = note.Kind switch
            {
                Kind.Inode => Notify.fuse_lowlevel_notify_inval_inode(_session, note.Node, note.Offset, note.Length),
                Kind.Entry => Notify.fuse_lowlevel_notify_inval_entry(_session, note.Node, note.Name, note.NameLength),
                _ => Notify.fuse_lowlevel_notify_delete(_session, note.Node, note.Child, note.Name, note.NameLength),
            };

            // ENOENT: not cached, thus nothing to drop. ENOTDIR, ENOTEMPTY: a delete of what has changed its nature meanwhile.
            var error = (Errno)(-result);
            if (error is not (Errno.None or Errno.ENOENT))
            {
                _log.Debug($"notification {note.Kind} for node {note.Node}: {error}");
            }
        }
    }

    private bool Take(Note* note)
    {
        lock (_lock)
        {
            _busy = false;
            Monitor.PulseAll(_lock);
            while (_count == 0 && !_stopped)
            {
                _ = Monitor.Wait(_lock); // without a timeout it comes back signalled
            }

            if (_stopped)
            {
                return false;
            }

            *note = _notes[_first];
            _first = (_first + 1) % Capacity;
            _count--;
            _busy = true;
            return true;
        }
    }

    private struct Note
    {
        public Kind Kind;
        public byte NameLength;
        public ulong Node;
        public ulong Child;
        public long Offset;
        public long Length;
        public fixed byte Name[ByteName.MaxLength + 1];
    }
}
