using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Fuse;

/// <summary>
/// What libfuse says while a session is made and mounted, in place of its lines on standard error: its own messages through its log
/// function, those of fusermount3 (a child that inherits descriptor 2) and of perror through a file in memory that stands in for 2.
/// </summary>
/// <remarks>
/// libfuse has one log function per process and no argument for it, so that a message finds its place by its thread: the capture that is
/// open there, or the log of the server whose loop it is. One capture at a time in a process; lines that other threads write to
/// standard error meanwhile end up in the capture.
/// </remarks>
internal sealed unsafe class LibfuseMessages : IDisposable
{
    private static readonly Lock s_one = new();

    [ThreadStatic]
    private static LibfuseMessages? t_open;

    [ThreadStatic]
    private static Log? t_log;

    private readonly StringBuilder _text = new();
    private readonly OwnedFd? _file;
    private readonly OwnedFd? _standardError;

    /// <summary>Begins to capture on this thread.</summary>
    public LibfuseMessages()
    {
        s_one.Enter();
        Install();
        t_open = this;

        // Without the file (no memory, no descriptor) the child's words go to standard error as ever.
        using CString name = Utf8.Native("messages");
        if (Fd.Memfd(name, 1 /* MFD_CLOEXEC */, out int file) == Errno.None)
        {
            _file = new OwnedFd(file);
            if (Fd.DupCloexec(2, out int kept) == Errno.None)
            {
                _standardError = new OwnedFd(kept);
                if (Fd.Dup3(file, 2, 0) != Errno.None)
                {
                    _standardError.Dispose();
                    _standardError = null;
                }
            }
        }
    }

    /// <summary>Sends messages of the calling thread to <paramref name="log"/> from now on.</summary>
    public static void Route(Log? log) => t_log = log;

    /// <summary>Ends the capture and tells what came, on one line; empty when nothing did.</summary>
    public string Finish()
    {
        Dispose();
        return string.Join("; ", _text.ToString().Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));
    }

    public void Dispose()
    {
        if (t_open != this)
        {
            return;
        }

        t_open = null;
        if (_standardError != null)
        {
            _ = Fd.Dup3(_standardError.Value, 2, 0); // fails for no reason that could be mended here
            _standardError.Dispose();
        }

        if (_file != null)
        {
            byte* buffer = stackalloc byte[2048];
            if (FileIo.Pread(_file.Value, buffer, 2048, 0, out nuint got) == Errno.None)
            {
                _ = _text.Append(Utf8Lines(buffer, (int)got)); // the builder itself
            }

            _file.Dispose();
        }

        s_one.Exit();
    }

    private static string Utf8Lines(byte* text, int length) => Encoding.UTF8.GetString(text, length);

    private static void Install() => Antares.Interop.Fuse3.Log.fuse_set_log_func(&OnMessage);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnMessage(int level, byte* format, void* arguments)
    {
        const int Room = 1024;
        byte* buffer = stackalloc byte[Room];
        int length = Antares.Interop.Fuse3.Log.vsnprintf(buffer, Room, format, arguments);
        length = Math.Clamp(length, 0, Room - 1);
        try
        {
            if (t_open != null)
            {
                _ = t_open._text.Append(Utf8Lines(buffer, length)); // the builder itself
            }
            else if (t_log != null)
            {
                t_log.Warn($"libfuse: {Utf8Lines(buffer, length).TrimEnd()}");
            }
            else
            {
                _ = FileIo.Write(2, buffer, (nuint)length, out _); // as libfuse would have done
            }
        }
        catch (Exception exception) when (exception is OutOfMemoryException or ArgumentException)
        {
            // Nothing may leave this method, and the message is not worth more than that.
            _ = FileIo.Write(2, buffer, (nuint)length, out _);
        }
    }
}
