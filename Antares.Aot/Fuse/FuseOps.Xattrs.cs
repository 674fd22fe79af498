using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

internal static unsafe partial class FuseOps
{
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Setxattr(fuse_req* req, ulong ino, byte* name, byte* value, nuint size, int flags)
    {
        try
        {
            var request = new FuseRequest(req);
            Errno error = request.Fs.Xattrs.Setxattr(request.Caller, ino, name, value, size, flags);
            request.Answer(error);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    private static void Getxattr(in FuseRequest request)
    {
        var body = (fuse_getxattr_in*)request.Context->Body;
        uint wanted = Math.Min(body->size, request.Context->ReplyCapacity);
        Errno error = request.Fs.Xattrs.Getxattr(request.Node, request.Context->Name.Pointer, request.Context->ReplyBuffer, wanted, out int length);
        request.AnswerXattr(error, wanted, length);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Listxattr(fuse_req* req, ulong ino, nuint size)
    {
        try
        {
            var request = new FuseRequest(req);
            uint wanted = (uint)Math.Min(size, request.Context->ReplyCapacity);
            Errno error = request.Fs.Xattrs.Listxattr(request.Caller, ino, request.Context->ReplyBuffer, wanted, out int length);
            request.AnswerXattr(error, wanted, length);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Removexattr(fuse_req* req, ulong ino, byte* name)
    {
        try
        {
            var request = new FuseRequest(req);
            Errno error = request.Fs.Xattrs.Removexattr(ino, name);
            request.Answer(error);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }
}
