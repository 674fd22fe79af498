using System.Runtime.CompilerServices;
using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// What each request must at least consist of: a body of a certain size, names that end with a NUL, data as long as it says. libfuse and
/// <see cref="FuseOps"/> rely on it without looking again, so nothing passes that is shorter than it claims.
/// </summary>
internal static unsafe class RequestShape
{
    // Low 7 bits: size of the body's struct in bytes; above them: how many NUL-terminated names follow. Sizes are those that every
    // kernel since 5.15 sends with the flags we take (SETXATTR without its extension).
    private const int NameShift = 7;
    private const int SizeMask = (1 << NameShift) - 1;

    private static readonly short[] s_shapes = MakeShapes();

    /// <summary>Checks the request in <paramref name="context"/> and finds its names.</summary>
    /// <param name="context">Its Header is set; Name and SecondName are filled in.</param>
    /// <param name="got">Bytes that the read gave.</param>
    /// <returns>False: not to be handed on.</returns>
    public static bool Parse(RequestContext* context, nuint got)
    {
        context->Name = default;
        context->SecondName = default;
        fuse_in_header* header = context->Header;
        if (got < (nuint)sizeof(fuse_in_header) || header->len != got)
        {
            return false;
        }

        long left = (long)got - sizeof(fuse_in_header) - (header->total_extlen * 8L);
        int op = OpNames.SlotOf(header->opcode);
        int shape = s_shapes[op];
        int size = shape & SizeMask;
        left -= size;
        if (left < 0)
        {
            return false;
        }

        byte* rest = (byte*)(header + 1) + size;
        int names = shape >> NameShift;
        return (names < 1 || TakeName(ref rest, ref left, out context->Name))
            && (names < 2 || TakeName(ref rest, ref left, out context->SecondName))
            && DataFits((fuse_opcode)op, header + 1, left);
    }

    /// <summary>Requests that the kernel waits for no reply to.</summary>
    public static bool HasReply(fuse_opcode opcode) =>
        opcode is not (fuse_opcode.FUSE_FORGET or fuse_opcode.FUSE_BATCH_FORGET or fuse_opcode.FUSE_NOTIFY_REPLY);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TakeName(ref byte* rest, ref long left, out ByteName name)
    {
        // A request is no longer than our buffer, so that the length fits.
        int length = new ReadOnlySpan<byte>(rest, (int)left).IndexOf((byte)0);
        name = length < 0 ? default : new ByteName(rest, length);
        rest += length + 1;
        left -= length + 1;
        return length > 0;
    }

    private static bool DataFits(fuse_opcode opcode, void* body, long left) => opcode switch
    {
        fuse_opcode.FUSE_WRITE => ((fuse_write_in*)body)->size <= left,
        fuse_opcode.FUSE_SETXATTR => ((fuse_setxattr_in*)body)->size <= left,
        fuse_opcode.FUSE_BATCH_FORGET => ((fuse_batch_forget_in*)body)->count <= left / sizeof(fuse_forget_one),
        fuse_opcode.FUSE_IOCTL => ((fuse_ioctl_in*)body)->in_size <= left,
        _ => true,
    };

    private static short[] MakeShapes()
    {
        const int SetxattrIn = 8;
        const int BmapIn = 16;
        const int PollIn = 24;
        const int InitIn = 16;
        const int RetrieveIn = 40;
        var shapes = new short[OpNames.Slots];
        Set(fuse_opcode.FUSE_LOOKUP, 0, 1);
        Set(fuse_opcode.FUSE_FORGET, sizeof(fuse_forget_in), 0);
        Set(fuse_opcode.FUSE_GETATTR, sizeof(fuse_getattr_in), 0);
        Set(fuse_opcode.FUSE_SETATTR, sizeof(fuse_setattr_in), 0);
        Set(fuse_opcode.FUSE_SYMLINK, 0, 2);
        Set(fuse_opcode.FUSE_MKNOD, sizeof(fuse_mknod_in), 1);
        Set(fuse_opcode.FUSE_MKDIR, sizeof(fuse_mkdir_in), 1);
        Set(fuse_opcode.FUSE_UNLINK, 0, 1);
        Set(fuse_opcode.FUSE_RMDIR, 0, 1);
        Set(fuse_opcode.FUSE_RENAME, sizeof(fuse_rename_in), 2);
        Set(fuse_opcode.FUSE_LINK, sizeof(fuse_link_in), 1);
        Set(fuse_opcode.FUSE_OPEN, sizeof(fuse_open_in), 0);
        Set(fuse_opcode.FUSE_READ, sizeof(fuse_read_in), 0);
        Set(fuse_opcode.FUSE_WRITE, sizeof(fuse_write_in), 0);
        Set(fuse_opcode.FUSE_RELEASE, sizeof(fuse_release_in), 0);
        Set(fuse_opcode.FUSE_FSYNC, sizeof(fuse_fsync_in), 0);
        Set(fuse_opcode.FUSE_SETXATTR, SetxattrIn, 1);
        Set(fuse_opcode.FUSE_GETXATTR, sizeof(fuse_getxattr_in), 1);
        Set(fuse_opcode.FUSE_LISTXATTR, sizeof(fuse_getxattr_in), 0);
        Set(fuse_opcode.FUSE_REMOVEXATTR, 0, 1);
        Set(fuse_opcode.FUSE_FLUSH, sizeof(fuse_flush_in), 0);
        Set(fuse_opcode.FUSE_INIT, InitIn, 0);
        Set(fuse_opcode.FUSE_OPENDIR, sizeof(fuse_open_in), 0);
        Set(fuse_opcode.FUSE_READDIR, sizeof(fuse_read_in), 0);
        Set(fuse_opcode.FUSE_RELEASEDIR, sizeof(fuse_release_in), 0);
        Set(fuse_opcode.FUSE_FSYNCDIR, sizeof(fuse_fsync_in), 0);
        Set(fuse_opcode.FUSE_GETLK, sizeof(fuse_lk_in), 0);
        Set(fuse_opcode.FUSE_SETLK, sizeof(fuse_lk_in), 0);
        Set(fuse_opcode.FUSE_SETLKW, sizeof(fuse_lk_in), 0);
        Set(fuse_opcode.FUSE_ACCESS, sizeof(fuse_access_in), 0);
        Set(fuse_opcode.FUSE_CREATE, sizeof(fuse_create_in), 1);
        Set(fuse_opcode.FUSE_INTERRUPT, sizeof(fuse_interrupt_in), 0);
        Set(fuse_opcode.FUSE_BMAP, BmapIn, 0);
        Set(fuse_opcode.FUSE_IOCTL, sizeof(fuse_ioctl_in), 0);
        Set(fuse_opcode.FUSE_POLL, PollIn, 0);
        Set(fuse_opcode.FUSE_NOTIFY_REPLY, RetrieveIn, 0);
        Set(fuse_opcode.FUSE_BATCH_FORGET, sizeof(fuse_batch_forget_in), 0);
        Set(fuse_opcode.FUSE_FALLOCATE, sizeof(fuse_fallocate_in), 0);
        Set(fuse_opcode.FUSE_READDIRPLUS, sizeof(fuse_read_in), 0);
        Set(fuse_opcode.FUSE_RENAME2, sizeof(fuse_rename2_in), 2);
        Set(fuse_opcode.FUSE_LSEEK, sizeof(fuse_lseek_in), 0);
        Set(fuse_opcode.FUSE_COPY_FILE_RANGE, sizeof(fuse_copy_file_range_in), 0);
        Set(fuse_opcode.FUSE_COPY_FILE_RANGE_64, sizeof(fuse_copy_file_range_in), 0);
        Set(fuse_opcode.FUSE_SYNCFS, sizeof(fuse_syncfs_in), 0);
        Set(fuse_opcode.FUSE_TMPFILE, sizeof(fuse_create_in), 1);
        Set(fuse_opcode.FUSE_STATX, sizeof(fuse_statx_in), 0);
        return shapes;

        void Set(fuse_opcode opcode, int size, int names) => shapes[(int)opcode] = (short)(size | (names << NameShift));
    }
}
