using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Aot.Overlay;
using Antares.Aot.Overlay.Ops;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

internal static unsafe partial class FuseOps
{
    private static void Lookup(in FuseRequest request)
    {
        EntryReply reply = default;
        Errno error = request.Fs.Lookups.Lookup(request.Caller, request.Node, request.Context->Name, ref reply);
        request.AnswerEntry(error, ref reply);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Forget(fuse_req* req, ulong ino, ulong count)
    {
        try
        {
            var request = new FuseRequest(req);
            request.Fs.Lookups.Forget(ino, count);
            request.AnswerNothing();
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void ForgetMulti(fuse_req* req, nuint count, fuse_forget_data* forgets)
    {
        try
        {
            var request = new FuseRequest(req);
            LookupOps lookups = request.Fs.Lookups;
            for (nuint i = 0; i < count; i++)
            {
                lookups.Forget(forgets[i].ino, forgets[i].nlookup);
            }

            request.AnswerNothing();
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }
}
