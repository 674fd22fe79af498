using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
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

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Read(fuse_req* req, ulong ino, nuint size, long offset, fuse_file_info* info)
    {
        try
        {
            var request = new FuseRequest(req);
            uint wanted = (uint)Math.Min(size, request.Context->ReplyCapacity);
            Errno error = request.Fs.Data.Read(ino, (ulong)offset, request.Context->ReplyBuffer, wanted, out uint got);
            request.AnswerBytes(error, got);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Write(fuse_req* req, ulong ino, byte* data, nuint size, long offset, fuse_file_info* info)
    {
        try
        {
            var request = new FuseRequest(req);
            uint flags = ((fuse_write_in*)request.Context->Body)->write_flags;
            bool kill = (flags & FUSE_WRITE_KILL_SUIDGID) != 0;
            Errno error = request.Fs.Data.Write(request.Caller, ino, (ulong)offset, data, (uint)size, kill, (flags & FUSE_WRITE_CACHE) != 0, out uint written);
            request.AnswerWritten(error, written);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
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
