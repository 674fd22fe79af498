using Antares.Aot.Diagnostics;
using Antares.Aot.Fuse;
using Antares.Aot.Overlay;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Tests.Unit;

/// <summary>What a request passes on its way allocates no managed memory, failures included.</summary>
public unsafe class FuseAllocationTests
{
    private const int Times = 10_000;

    [Fact]
    public void NothingIsAllocatedPerRequest()
    {
        byte[] request = FuseRequests.Make(fuse_opcode.FUSE_LOOKUP, "name\0"u8);
        var diagnostics = new MountDiagnostics();
        var threads = new OwnThreads();
        threads.Add(3);
        var failures = new FailureReporter(static (_, _, buffer, _) => { *buffer = (byte)'/'; return 1; }, diagnostics);
        byte* room = stackalloc byte[4096];
        fixed (byte* bytes = request)
        {
            var context = new RequestContext { Header = (fuse_in_header*)bytes };
            var item = default(DirectoryItem);
            Assert.Equal(0, Measure(&context, request.Length, diagnostics, threads, failures, room, ref item));
        }

        Assert.Equal(2 * Times, diagnostics.Counters.Count((int)fuse_opcode.FUSE_LOOKUP));
        Assert.Equal(2 * Times, diagnostics.Failures.Total);
    }

    private static long Measure(
        RequestContext* context, int length, MountDiagnostics diagnostics, OwnThreads threads, FailureReporter failures, byte* room, ref DirectoryItem item)
    {
        Pass(context, length, diagnostics, threads, failures, room, ref item); // code is made on the first pass
        long before = GC.GetAllocatedBytesForCurrentThread();
        Pass(context, length, diagnostics, threads, failures, room, ref item);
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static void Pass(
        RequestContext* context, int length, MountDiagnostics diagnostics, OwnThreads threads, FailureReporter failures, byte* room, ref DirectoryItem item)
    {
        for (int i = 0; i < Times; i++)
        {
            Failure.Clear();
            Assert.True(RequestShape.Parse(context, (nuint)length));
            Assert.False(threads.Contains(context->Header->pid));
            item.Name = context->Name;
            var listing = new Listing { Buffer = room, Capacity = 4096 };
            fixed (DirectoryItem* entry = &item)
            {
                Assert.True(Listing.Add(&listing, entry));
                Assert.True(Listing.AddPlus(&listing, entry));
            }

            failures.Note(context, Failure.Note("upper", "openat", Errno.ENOSPC));
            diagnostics.Counters.Record(context->Header->opcode, Errno.ENOSPC, 1000);
        }
    }
}
