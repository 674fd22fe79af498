using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

internal static unsafe partial class FuseOps
{
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Ioctl(fuse_req* req, ulong ino, uint command, void* argument, fuse_file_info* info, uint flags, void* input, nuint inputSize, nuint outputSize)
    {
        try
        {
            var request = new FuseRequest(req);
            byte* output = request.Context->ReplyBuffer + OutputOffset;
            nuint capacity = Math.Min(outputSize, request.Context->ReplyCapacity - OutputOffset);
            Errno error = request.Fs.Ioctls.Ioctl(
                request.Caller, ino, command, (byte*)input, inputSize, output, capacity, out nuint length);
            request.AnswerIoctl(error, output, length);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    // The input may reach into the reply buffer, being up to 16 KiB (14 bits of an ioctl number) long.
    private const uint OutputOffset = 64 * 1024;
}
