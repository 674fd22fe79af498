using System.Runtime.InteropServices;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// The one buffer of a loop thread, page-aligned: requests are read to its start, replies made behind where the requests that need room
/// for a reply end (READ, READDIR, READLINK, GETXATTR and LISTXATTR are short; WRITE is long and its reply is not), with room for the reply's head before
/// them. So a thread touches about as much memory as its largest request, not twice that.
/// </summary>
internal sealed unsafe class LoopBuffer : IDisposable
{
    /// <summary>What read(2) is given. The kernel refuses to fill less than the largest WRITE with its header.</summary>
    public const uint RequestCapacity = InitNegotiation.MaxTransfer + InitNegotiation.HeaderRoom;

    public const uint ReplyCapacity = InitNegotiation.MaxTransfer;

    private const uint PageSize = 4096;
    private const uint ReplyOffset = PageSize;

    private byte* _memory = (byte*)NativeMemory.AlignedAlloc(ReplyOffset + Math.Max(ReplyCapacity, RequestCapacity) + PageSize, PageSize);

    public fuse_in_header* Request => (fuse_in_header*)_memory;

    public byte* Reply => _memory + ReplyOffset;

    public void Dispose()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }
}
