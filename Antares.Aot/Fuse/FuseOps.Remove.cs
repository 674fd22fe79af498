using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

internal static unsafe partial class FuseOps
{
    private static void Unlink(in FuseRequest request)
    {
        Errno error = request.Fs.Removal.Unlink(request.Node, request.Context->Name);
        request.Answer(error);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Rmdir(fuse_req* req, ulong parent, byte* name)
    {
        try
        {
            var request = new FuseRequest(req);
            Errno error = request.Fs.Removal.Rmdir(parent, request.Context->Name);
            request.Answer(error);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }
}
