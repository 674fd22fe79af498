using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Tests.Unit;

/// <summary>Requests as the kernel would send them.</summary>
internal static unsafe class FuseRequests
{
    public static byte[] Make(fuse_opcode opcode, ReadOnlySpan<byte> body, ulong unique = 2, ulong nodeId = 1, uint pid = 0)
    {
        var request = new byte[sizeof(fuse_in_header) + body.Length];
        fixed (byte* bytes = request)
        {
            *(fuse_in_header*)bytes = new fuse_in_header
            {
                len = (uint)request.Length,
                opcode = (uint)opcode,
                unique = unique,
                nodeid = nodeId,
                pid = pid,
            };
        }

        body.CopyTo(request.AsSpan(sizeof(fuse_in_header)));
        return request;
    }
}

/// <summary>A page of memory with an unmapped one behind it.</summary>
internal sealed unsafe class GuardedPage : IDisposable
{
    private const int PageSize = 4096;
    private readonly byte* _memory;

    public GuardedPage()
    {
        Assert.Equal(Errno.None, Memory.Mmap(null, 2 * PageSize, Memory.PROT_READ | Memory.PROT_WRITE, Memory.MAP_PRIVATE | Memory.MAP_ANONYMOUS, -1, 0, out void* memory));
        _memory = (byte*)memory;
        Assert.Equal(Errno.None, Memory.Mprotect(_memory + PageSize, PageSize, Memory.PROT_NONE));
    }

    /// <summary>First byte that must not be touched.</summary>
    public byte* End => _memory + PageSize;

    public void Dispose() => Assert.Equal(Errno.None, Memory.Munmap(_memory, 2 * PageSize));
}
