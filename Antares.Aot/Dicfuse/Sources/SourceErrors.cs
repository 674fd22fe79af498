using Antares.Aot.Diagnostics;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Sources;

/// <summary>
/// Turns what a system call on the source answered into what a layer may answer, and notes the call together with its own errno:
/// the kernel sees EIO, `errors` says "openat2: ENOENT".
/// </summary>
/// <remarks>One note per call and errno is made when it first happens, and kept: repeated failures allocate nothing.</remarks>
internal sealed class SourceErrors(string layer, string call)
{
    private readonly string _layer = layer;
    private readonly string _call = call;
    private readonly Dictionary<Errno, string> _notes = [];

    /// <returns>
    /// None, ENOMEM and EACCES as they are. EIO for the rest: ENOENT, ENOTDIR, ELOOP, ESTALE (the source is gone or was replaced),
    /// EMFILE and ENFILE (no descriptor left even after giving back all idle ones), EIO (the medium).
    /// </returns>
    public Errno Map(Errno error)
    {
        if (error == Errno.None)
        {
            return Errno.None;
        }

        string? note;
        lock (_notes)
        {
            if (!_notes.TryGetValue(error, out note))
            {
                note = $"{_call}: {error}";
                _notes.Add(error, note);
            }
        }

        return Failure.Note(_layer, note, error is Errno.ENOMEM or Errno.EACCES ? error : Errno.EIO);
    }
}
