using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Aot.Overlay;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

internal static unsafe partial class FuseOps
{
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Getattr(fuse_req* req, ulong ino, fuse_file_info* info)
    {
        try
        {
            var request = new FuseRequest(req);
            stat attributes;
            Errno error = request.Fs.Attributes.Getattr(ino, &attributes);
            request.AnswerAttributes(error, &attributes);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    // The body as the kernel sent it has the fields; libfuse only clears bits of valid that it does not know, of which none is ours.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Setattr(fuse_req* req, ulong ino, stat* wanted, int fields, fuse_file_info* info)
    {
        try
        {
            var request = new FuseRequest(req);
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
            Errno error = request.Fs.Attributes.Setattr(request.Caller, ino, change, &attributes);
            request.AnswerAttributes(error, &attributes);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
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
