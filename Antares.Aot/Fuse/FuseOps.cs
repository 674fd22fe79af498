using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// The operations, in the files of their families, all of one form: take what the request says, ask the overlay, answer once. Those that a build sends by the
/// thousand are answered from the raw request (<see cref="Direct"/>), the others are called by libfuse: one trampoline each, where whatever escapes is caught,
/// logged and answered EIO.
/// </summary>
/// <remarks>
/// Left null on purpose: those that are answered directly (for each request libfuse takes a block of memory and two locks), release and releasedir
/// (libfuse answers success; there are no handles), flush (ENOSYS, once: nothing is held back until close), access (never sent with default_permissions),
/// getlk, setlk, flock (the kernel's), poll, bmap (ENOSYS), init (the reply is patched, <see cref="InitNegotiation"/>), destroy, write_buf, retrieve_reply.
/// open and opendir must not be null: libfuse would answer success, and only ENOSYS makes the kernel do without them. create answers ENOSYS too, so that
/// new files are MKNOD's.
/// </remarks>
internal static unsafe partial class FuseOps
{
    /// <summary>Is this one answered by <see cref="Direct"/>?</summary>
    public static bool IsDirect(fuse_opcode opcode) => opcode
        is fuse_opcode.FUSE_LOOKUP or fuse_opcode.FUSE_GETATTR or fuse_opcode.FUSE_SETATTR or fuse_opcode.FUSE_READ or fuse_opcode.FUSE_WRITE
        or fuse_opcode.FUSE_GETXATTR or fuse_opcode.FUSE_MKNOD or fuse_opcode.FUSE_MKDIR or fuse_opcode.FUSE_UNLINK
        or fuse_opcode.FUSE_RENAME or fuse_opcode.FUSE_RENAME2;

    /// <summary>Answers a request for which <see cref="IsDirect"/> is true; its shape has been checked. Exceptions are the caller's.</summary>
    public static void Direct(in FuseRequest request)
    {
        switch (request.Context->Opcode)
        {
            case fuse_opcode.FUSE_LOOKUP:
                Lookup(in request);
                break;
            case fuse_opcode.FUSE_GETATTR:
                Getattr(in request);
                break;
            case fuse_opcode.FUSE_SETATTR:
                Setattr(in request);
                break;
            case fuse_opcode.FUSE_READ:
                Read(in request);
                break;
            case fuse_opcode.FUSE_WRITE:
                Write(in request);
                break;
            case fuse_opcode.FUSE_GETXATTR:
                Getxattr(in request);
                break;
            case fuse_opcode.FUSE_MKNOD:
                Mknod(in request);
                break;
            case fuse_opcode.FUSE_MKDIR:
                Mkdir(in request);
                break;
            case fuse_opcode.FUSE_UNLINK:
                Unlink(in request);
                break;
            default:
                Rename(in request);
                break;
        }
    }

    public static fuse_lowlevel_ops MakeTable() => new()
    {
        forget = &Forget,
        forget_multi = &ForgetMulti,
        readlink = &Readlink,
        statfs = &Statfs,
        symlink = &Symlink,
        link = &Link,
        create = &Create,
        rmdir = &Rmdir,
        open = &Open,
        fsync = &Fsync,
        fallocate = &Fallocate,
        lseek = &Lseek,
        copy_file_range = &CopyFileRange,
        opendir = &Opendir,
        readdir = &Readdir,
        readdirplus = &Readdirplus,
        fsyncdir = &Fsyncdir,
        setxattr = &Setxattr,
        listxattr = &Listxattr,
        removexattr = &Removexattr,
        ioctl = &Ioctl,
    };
}
