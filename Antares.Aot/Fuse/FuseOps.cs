using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>
/// The operations as libfuse calls them: one trampoline each, in the files of their families, all of one form. Take what the call and the
/// raw request say, ask the overlay, answer once. Whatever escapes is caught, logged and answered EIO.
/// </summary>
/// <remarks>
/// Left null on purpose: release and releasedir (libfuse answers success; there are no handles), flush (ENOSYS, once: nothing is held
/// back until close), access (never sent with default_permissions), getlk, setlk, flock (the kernel's), poll, bmap (ENOSYS), init
/// (the reply is patched, <see cref="InitNegotiation"/>), destroy, write_buf, retrieve_reply. open and opendir must not be null: libfuse
/// would answer success, and only ENOSYS makes the kernel do without them. create answers ENOSYS too, so that new files are MKNOD's.
/// </remarks>
internal static unsafe partial class FuseOps
{
    public static fuse_lowlevel_ops MakeTable() => new()
    {
        lookup = &Lookup,
        forget = &Forget,
        forget_multi = &ForgetMulti,
        getattr = &Getattr,
        setattr = &Setattr,
        readlink = &Readlink,
        statfs = &Statfs,
        mknod = &Mknod,
        mkdir = &Mkdir,
        symlink = &Symlink,
        link = &Link,
        create = &Create,
        unlink = &Unlink,
        rmdir = &Rmdir,
        rename = &Rename,
        open = &Open,
        read = &Read,
        write = &Write,
        fsync = &Fsync,
        fallocate = &Fallocate,
        lseek = &Lseek,
        copy_file_range = &CopyFileRange,
        opendir = &Opendir,
        readdir = &Readdir,
        readdirplus = &Readdirplus,
        fsyncdir = &Fsyncdir,
        setxattr = &Setxattr,
        getxattr = &Getxattr,
        listxattr = &Listxattr,
        removexattr = &Removexattr,
        ioctl = &Ioctl,
    };
}
