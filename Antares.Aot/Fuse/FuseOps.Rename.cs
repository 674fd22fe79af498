using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

internal static unsafe partial class FuseOps
{
    // Serves RENAME (flags 0) and RENAME2.
    private static void Rename(in FuseRequest request)
    {
        // Both begin with the directory; RENAME has no flags.
        var body = (fuse_rename2_in*)request.Context->Body;
        uint flags = request.Context->Opcode == fuse_opcode.FUSE_RENAME2 ? body->flags : 0;
        Errno error = request.Fs.Renames.Rename(
            request.Caller, request.Node, request.Context->Name, body->newdir, request.Context->SecondName, flags);
        request.Answer(error);
    }
}
