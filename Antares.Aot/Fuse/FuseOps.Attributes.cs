using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Aot.Overlay;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

internal static unsafe partial class FuseOps
{
    private static void Getattr(in FuseRequest request)
    {
        stat attributes;
        Errno error = request.Fs.Attributes.Getattr(request.Node, &attributes);
        request.AnswerAttributes(error, &attributes);
    }

    private static void Setattr(in FuseRequest request)
    {
        var body = (fuse_setattr_in*)request.Context->Body;
        var change = new SetattrRequest
        {
            Fields = (SetattrFields)body->valid & KnownFields,
            Mode = body->mode,
            Uid = body->uid,
            Gid = body->gid,
            Size = body->size,
            AccessTime = new timespec { tv_sec = (long)body->atime, tv_nsec = body->atimensec },
            ModifyTime = new timespec { tv_sec = (long)body->mtime, tv_nsec = body->mtimensec },
        };
        stat attributes;
        Errno error = request.Fs.Attributes.Setattr(request.Caller, request.Node, change, &attributes);
        request.AnswerAttributes(error, &attributes);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Readlink(fuse_req* req, ulong ino)
    {
        try
        {
            var request = new FuseRequest(req);
            Errno error = request.Fs.Attributes.Readlink(ino, request.Context->ReplyBuffer, MaxTarget, out int length);
            request.AnswerBytes(error, (nuint)length);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Statfs(fuse_req* req, ulong ino)
    {
        try
        {
            var request = new FuseRequest(req);
            statvfs result = default;
            Errno error = request.Fs.Attributes.Statfs(ino, &result);
            request.AnswerStatfs(error, &result);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    private const int MaxTarget = 4096;

    private const SetattrFields KnownFields = SetattrFields.Mode | SetattrFields.Uid | SetattrFields.Gid | SetattrFields.Size
        | SetattrFields.AccessTime | SetattrFields.ModifyTime | SetattrFields.AccessTimeNow | SetattrFields.ModifyTimeNow
        | SetattrFields.ChangeTime | SetattrFields.KillSuidGid;
}
