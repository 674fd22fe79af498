using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

internal static unsafe partial class FuseOps
{
    // Serves RENAME (flags 0) and RENAME2.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Rename(fuse_req* req, ulong parent, byte* name, ulong newParent, byte* newName, uint flags)
    {
        try
        {
            var request = new FuseRequest(req);
            Errno error = request.Fs.Renames.Rename(
                request.Caller, parent, request.Context->Name, newParent, request.Context->SecondName, flags);
            request.Answer(error);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }
}
