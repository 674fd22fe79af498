using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Aot.Overlay;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

internal static unsafe partial class FuseOps
{
    private static void Mknod(in FuseRequest request)
    {
        var body = (fuse_mknod_in*)request.Context->Body;
        EntryReply reply = default;
        Errno error = request.Fs.Creation.Mknod(request.Context->Caller(body->umask), request.Node, request.Context->Name, body->mode, body->rdev, ref reply);
        request.AnswerEntry(error, ref reply);
    }

    private static void Mkdir(in FuseRequest request)
    {
        var body = (fuse_mkdir_in*)request.Context->Body;
        EntryReply reply = default;
        Errno error = request.Fs.Creation.Mkdir(request.Context->Caller(body->umask), request.Node, request.Context->Name, body->mode, ref reply);
        request.AnswerEntry(error, ref reply);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Symlink(fuse_req* req, byte* target, ulong parent, byte* name)
    {
        try
        {
            var request = new FuseRequest(req);
            EntryReply reply = default;
            Errno error = request.Fs.Creation.Symlink(request.Caller, parent, request.Context->Name, target, ref reply);
            request.AnswerEntry(error, ref reply);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Link(fuse_req* req, ulong ino, ulong newParent, byte* newName)
    {
        try
        {
            var request = new FuseRequest(req);
            EntryReply reply = default;
            Errno error = request.Fs.Creation.Link(request.Caller, ino, newParent, request.Context->Name, ref reply);
            request.AnswerEntry(error, ref reply);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    // ENOSYS, once: from then on the kernel makes files with MKNOD and opens them without asking. CREATE opens what it makes, and each such descriptor
    // is followed by a RELEASE when it is closed.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Create(fuse_req* req, ulong parent, byte* name, uint mode, fuse_file_info* info)
    {
        try
        {
            var request = new FuseRequest(req);
            request.Answer(Errno.ENOSYS);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }
}
