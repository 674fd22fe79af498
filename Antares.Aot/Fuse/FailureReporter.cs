using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>Writes the merged path of a node, or of a name in it, into a buffer and tells its length (as OverlayFs.DescribePath).</summary>
internal unsafe delegate int PathDescriber(ulong nodeId, ByteName child, byte* buffer, int capacity);

/// <summary>Puts the failure of a request into the ring, with the path it was about and the place that <see cref="Failure"/> knows.</summary>
internal sealed unsafe class FailureReporter(PathDescriber describePath, MountDiagnostics diagnostics)
{
    private const int PathRoom = 4096;

    /// <summary>That of the calling thread, which serves requests.</summary>
    [field: ThreadStatic]
    public static FailureReporter? OfThread { get; set; }

    /// <summary>Called before an error is answered. Everyday answers are left to the counters.</summary>
    /// <returns>True: <see cref="Note"/> follows the answer, and whoever looks into the ring meanwhile waits for it.</returns>
    public bool Announce(RequestContext* context, Errno error)
    {
        bool tells = !OrdinaryAnswers.Contains(context->Opcode, error);
        if (tells)
        {
            diagnostics.Failures.Announce();
        }

        return tells;
    }

    /// <summary>Notes an error that has been announced and answered: its path may have to wait for the gate. Allocates nothing.</summary>
    public void Note(RequestContext* context, Errno error)
    {
        ByteName child = NamesAnEntry(context->Opcode) ? context->Name : default;
        byte* path = stackalloc byte[PathRoom];
        int length = describePath(context->Header->nodeid, child, path, PathRoom);
        diagnostics.Failures.Add(
            OpNames.SlotOf(context->Header->opcode),
            error,
            context->Header->nodeid,
            new ReadOnlySpan<byte>(path, Math.Clamp(length, 0, PathRoom)),
            Failure.Layer,
            Failure.Call);
    }

    /// <summary>A bug of ours: an exception where none may be. Logged, noted; the caller answers EIO.</summary>
    public void NoteException(RequestContext* context, Exception exception)
    {
        diagnostics.Log.Error($"{OpNames.NameOf(OpNames.SlotOf(context->Header->opcode))} on node {context->Header->nodeid}: {exception.GetType().Name}: {exception.Message}");
        _ = Failure.Note("server", exception.GetType().Name, Errno.EIO); // hands back what it was given
    }

    // In the other operations the name is that of an attribute, or there is none.
    private static bool NamesAnEntry(fuse_opcode opcode) => opcode
        is fuse_opcode.FUSE_LOOKUP or fuse_opcode.FUSE_MKNOD or fuse_opcode.FUSE_MKDIR or fuse_opcode.FUSE_SYMLINK
        or fuse_opcode.FUSE_UNLINK or fuse_opcode.FUSE_RMDIR or fuse_opcode.FUSE_RENAME or fuse_opcode.FUSE_RENAME2
        or fuse_opcode.FUSE_LINK or fuse_opcode.FUSE_CREATE;
}
