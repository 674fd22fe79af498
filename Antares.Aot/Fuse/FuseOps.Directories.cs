using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Aot.Layers;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

internal static unsafe partial class FuseOps
{
    // ENOSYS, once: from then on the kernel opens directories without asking and caches listings (NO_OPENDIR).
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Opendir(fuse_req* req, ulong ino, fuse_file_info* info)
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
    private static void Readdir(fuse_req* req, ulong ino, nuint size, long cookie, fuse_file_info* info)
    {
        try
        {
            var request = new FuseRequest(req);
            Listing listing = request.StartListing(size);
            Errno error = request.Fs.Directories.Readdir(ino, (ulong)cookie, plus: false, &Listing.Add, &listing, out ListingEnd end);
            request.AnswerListing(error, ino, ref listing, end, plus: false);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Readdirplus(fuse_req* req, ulong ino, nuint size, long cookie, fuse_file_info* info)
    {
        try
        {
            var request = new FuseRequest(req);
            Listing listing = request.StartListing(size);
            Errno error = request.Fs.Directories.Readdir(ino, (ulong)cookie, plus: true, &Listing.AddPlus, &listing, out ListingEnd end);
            request.AnswerListing(error, ino, ref listing, end, plus: true);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Fsyncdir(fuse_req* req, ulong ino, int dataOnly, fuse_file_info* info)
    {
        try
        {
            var request = new FuseRequest(req);
            Errno error = request.Fs.Directories.Fsyncdir(ino, dataOnly != 0);
            request.Answer(error);
        }
        catch (Exception exception)
        {
            FuseRequest.Crashed(req, exception);
        }
    }
}
