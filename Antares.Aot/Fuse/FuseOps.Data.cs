using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Aot.Base;
using Antares.Interop;
using Antares.Interop.Fuse3;
using static Antares.Interop.Fuse3.Flags;

namespace Antares.Aot.Fuse;

internal static unsafe partial class FuseOps
{
    // ENOSYS, once: from then on the kernel opens without asking (NO_OPEN).
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Open(fuse_req* req, ulong ino, fuse_file_info* info)
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

    private static void Read(in FuseRequest request)
    {
        var body = (fuse_read_in*)request.Context->Body;
        uint wanted = Math.Min(body->size, request.Context->ReplyCapacity);
        Errno error = request.Fs.Data.Read(request.Node, body->offset, request.Context->ReplyBuffer, wanted, out uint got);
        request.AnswerBytes(error, got);
    }

    private static void Write(in FuseRequest request)
    {
        var body = (fuse_write_in*)request.Context->Body;
        bool kill = (body->write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
        bool collected = (body->write_flags & FUSE_WRITE_CACHE) != 0;
        PipedData? piped = request.Context->IsPiped ? PipedRequests.DataOfThread : null;
        Errno error = request.Fs.Data.Write(
            request.Caller, request.Node, body->offset, (byte*)(body + 1), body->size, piped, kill, collected, out uint written);
        request.AnswerWritten(error, written);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Fsync(fuse_req* req, ulong ino, int dataOnly, fuse_file_info* info)
    {
        try
        {
            var request = new FuseRequest(req);
            Errno error = request.Fs.Data.Fsync(ino, dataOnly != 0);
            request.Answer(error);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Fallocate(fuse_req* req, ulong ino, int mode, long offset, long length, fuse_file_info* info)
    {
        try
        {
            var request = new FuseRequest(req);
            Errno error = request.Fs.Data.Fallocate(request.Caller, ino, mode, (ulong)offset, (ulong)length);
            request.Answer(error);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    // ENOSYS where the kernel collects writes: only it knows what was written and how long the file is, and it then answers by itself.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Lseek(fuse_req* req, ulong ino, long offset, int whence, fuse_file_info* info)
    {
        try
        {
            var request = new FuseRequest(req);
            long result = 0;
            Errno error = request.CollectsWrites ? Errno.ENOSYS : request.Fs.Data.Lseek(ino, offset, whence, out result);
            request.AnswerOffset(error, result);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    // The reply has 32 bits for the count; the kernel asks for less than 4 GiB at a time.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void CopyFileRange(fuse_req* req, ulong inoIn, long offsetIn, fuse_file_info* infoIn, ulong inoOut, long offsetOut, fuse_file_info* infoOut, nuint length, int flags)
    {
        try
        {
            var request = new FuseRequest(req);
            Errno error = request.Fs.Data.CopyFileRange(request.Caller, inoIn, (ulong)offsetIn, inoOut, (ulong)offsetOut, length, (uint)flags, out ulong copied);
            request.AnswerWritten(error, copied);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }
}
