namespace Antares.Interop.Fuse3;

/// <summary>
/// The table of operations of libfuse 3.14 (struct fuse_lowlevel_ops), in its order. A null entry is answered by libfuse
/// itself: ENOSYS, except open, opendir, release, releasedir and forget, which it answers as done, and statfs, for which
/// it makes up numbers. forget_multi and write_buf, when null, fall back to forget and write.
/// Each op except init and destroy answers its request exactly once, forget and forget_multi with fuse_reply_none.
/// </summary>
public unsafe struct fuse_lowlevel_ops
{
    // init(userdata, conn)
    public delegate* unmanaged[Cdecl]<void*, fuse_conn_info*, void> init;

    // destroy(userdata)
    public delegate* unmanaged[Cdecl]<void*, void> destroy;

    // lookup(req, parent, name)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, byte*, void> lookup;

    // forget(req, ino, nlookup)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, ulong, void> forget;

    // getattr(req, ino, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, fuse_file_info*, void> getattr;

    // setattr(req, ino, attr, to_set, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, stat*, int, fuse_file_info*, void> setattr;

    // readlink(req, ino)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, void> readlink;

    // mknod(req, parent, name, mode, rdev)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, byte*, uint, ulong, void> mknod;

    // mkdir(req, parent, name, mode)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, byte*, uint, void> mkdir;

    // unlink(req, parent, name)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, byte*, void> unlink;

    // rmdir(req, parent, name)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, byte*, void> rmdir;

    // symlink(req, link, parent, name)
    public delegate* unmanaged[Cdecl]<fuse_req*, byte*, ulong, byte*, void> symlink;

    // rename(req, parent, name, newparent, newname, flags)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, byte*, ulong, byte*, uint, void> rename;

    // link(req, ino, newparent, newname)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, ulong, byte*, void> link;

    // open(req, ino, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, fuse_file_info*, void> open;

    // read(req, ino, size, off, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, nuint, long, fuse_file_info*, void> read;

    // write(req, ino, buf, size, off, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, byte*, nuint, long, fuse_file_info*, void> write;

    // flush(req, ino, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, fuse_file_info*, void> flush;

    // release(req, ino, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, fuse_file_info*, void> release;

    // fsync(req, ino, datasync, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, int, fuse_file_info*, void> fsync;

    // opendir(req, ino, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, fuse_file_info*, void> opendir;

    // readdir(req, ino, size, off, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, nuint, long, fuse_file_info*, void> readdir;

    // releasedir(req, ino, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, fuse_file_info*, void> releasedir;

    // fsyncdir(req, ino, datasync, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, int, fuse_file_info*, void> fsyncdir;

    // statfs(req, ino)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, void> statfs;

    // setxattr(req, ino, name, value, size, flags)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, byte*, byte*, nuint, int, void> setxattr;

    // getxattr(req, ino, name, size)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, byte*, nuint, void> getxattr;

    // listxattr(req, ino, size)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, nuint, void> listxattr;

    // removexattr(req, ino, name)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, byte*, void> removexattr;

    // access(req, ino, mask)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, int, void> access;

    // create(req, parent, name, mode, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, byte*, uint, fuse_file_info*, void> create;

    // getlk(req, ino, fi, lock)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, fuse_file_info*, flock*, void> getlk;

    // setlk(req, ino, fi, lock, sleep)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, fuse_file_info*, flock*, int, void> setlk;

    // bmap(req, ino, blocksize, idx)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, nuint, ulong, void> bmap;

    // ioctl(req, ino, cmd, arg, fi, flags, in_buf, in_bufsz, out_bufsz)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, uint, void*, fuse_file_info*, uint, void*, nuint, nuint, void> ioctl;

    // poll(req, ino, fi, ph)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, fuse_file_info*, fuse_pollhandle*, void> poll;

    // write_buf(req, ino, bufv, off, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, fuse_bufvec*, long, fuse_file_info*, void> write_buf;

    // retrieve_reply(req, cookie, ino, offset, bufv)
    public delegate* unmanaged[Cdecl]<fuse_req*, void*, ulong, long, fuse_bufvec*, void> retrieve_reply;

    // forget_multi(req, count, forgets)
    public delegate* unmanaged[Cdecl]<fuse_req*, nuint, fuse_forget_data*, void> forget_multi;

    // flock(req, ino, fi, op)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, fuse_file_info*, int, void> flock;

    // fallocate(req, ino, mode, offset, length, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, int, long, long, fuse_file_info*, void> fallocate;

    // readdirplus(req, ino, size, off, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, nuint, long, fuse_file_info*, void> readdirplus;

    // copy_file_range(req, ino_in, off_in, fi_in, ino_out, off_out, fi_out, len, flags)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, long, fuse_file_info*, ulong, long, fuse_file_info*, nuint, int, void> copy_file_range;

    // lseek(req, ino, off, whence, fi)
    public delegate* unmanaged[Cdecl]<fuse_req*, ulong, long, int, fuse_file_info*, void> lseek;
}
