/* The libfuse part of the probe; see abi-probe.h. */
#define _GNU_SOURCE
#include "abi-probe.h"

#include <fcntl.h>
#include <fuse_log.h>
#include <fuse_lowlevel.h>

static void libfuse_structs(void)
{
    SIZE(fuse_entry_param);
    FIELD(fuse_entry_param, ino); FIELD(fuse_entry_param, generation); FIELD(fuse_entry_param, attr);
    FIELD(fuse_entry_param, attr_timeout); FIELD(fuse_entry_param, entry_timeout);
    SIZE(fuse_ctx);
    FIELD(fuse_ctx, uid); FIELD(fuse_ctx, gid); FIELD(fuse_ctx, pid); FIELD(fuse_ctx, umask);
    SIZE(fuse_file_info);
    FIELD(fuse_file_info, flags); FIELD(fuse_file_info, fh); FIELD(fuse_file_info, lock_owner);
    FIELD(fuse_file_info, poll_events);
    SIZE(fuse_buf);
    FIELD(fuse_buf, size); FIELD(fuse_buf, flags); FIELD(fuse_buf, mem); FIELD(fuse_buf, fd); FIELD(fuse_buf, pos);
    SIZE(fuse_bufvec);
    FIELD(fuse_bufvec, count); FIELD(fuse_bufvec, idx); FIELD(fuse_bufvec, off); FIELD(fuse_bufvec, buf);
    SIZE(fuse_args);
    FIELD(fuse_args, argc); FIELD(fuse_args, argv); FIELD(fuse_args, allocated);
    SIZE(fuse_conn_info);
    FIELD(fuse_conn_info, proto_major); FIELD(fuse_conn_info, proto_minor); FIELD(fuse_conn_info, max_write);
    FIELD(fuse_conn_info, max_read); FIELD(fuse_conn_info, max_readahead); FIELD(fuse_conn_info, capable);
    FIELD(fuse_conn_info, want); FIELD(fuse_conn_info, max_background); FIELD(fuse_conn_info, congestion_threshold);
    FIELD(fuse_conn_info, time_gran); FIELD(fuse_conn_info, reserved);
    SIZE(fuse_forget_data);
    FIELD(fuse_forget_data, ino); FIELD(fuse_forget_data, nlookup);
    SIZE(flock);
    FIELD(flock, l_type); FIELD(flock, l_whence); FIELD(flock, l_start); FIELD(flock, l_len); FIELD(flock, l_pid);
    SIZE(fuse_custom_io);
    FIELD(fuse_custom_io, writev); FIELD(fuse_custom_io, read); FIELD(fuse_custom_io, splice_receive);
    FIELD(fuse_custom_io, splice_send);
}

/* A bit field has no offset: it is set alone and looked for. */
#define BIT(name, field)                                                        \
    do {                                                                        \
        struct name value = { .field = 1 };                                     \
        print_bit("bit:" #name "." #field, (const unsigned char *)&value, sizeof value); \
    } while (0)

static void print_bit(const char *name, const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size * 8; i++)
        if (bytes[i / 8] & (1u << (i % 8)))
            printf("%s %zu\n", name, i);
}

static void bit_fields(void)
{
    BIT(fuse_file_info, writepage); BIT(fuse_file_info, direct_io); BIT(fuse_file_info, keep_cache);
    BIT(fuse_file_info, flush); BIT(fuse_file_info, nonseekable); BIT(fuse_file_info, flock_release);
    BIT(fuse_file_info, cache_readdir); BIT(fuse_file_info, noflush); BIT(fuse_file_info, padding2);
}

#define OP(field, ...)                                                          \
    do {                                                                        \
        SAME(((struct fuse_lowlevel_ops *)0)->field, void (*)(__VA_ARGS__));    \
        FIELD(fuse_lowlevel_ops, field);                                        \
        print_kinds("op:" #field, KINDS(__VA_ARGS__), NULL);                    \
    } while (0)

static void operations(void)
{
    SIZE(fuse_lowlevel_ops);
    OP(init, void *, struct fuse_conn_info *);
    OP(destroy, void *);
    OP(lookup, fuse_req_t, fuse_ino_t, const char *);
    OP(forget, fuse_req_t, fuse_ino_t, uint64_t);
    OP(getattr, fuse_req_t, fuse_ino_t, struct fuse_file_info *);
    OP(setattr, fuse_req_t, fuse_ino_t, struct stat *, int, struct fuse_file_info *);
    OP(readlink, fuse_req_t, fuse_ino_t);
    OP(mknod, fuse_req_t, fuse_ino_t, const char *, mode_t, dev_t);
    OP(mkdir, fuse_req_t, fuse_ino_t, const char *, mode_t);
    OP(unlink, fuse_req_t, fuse_ino_t, const char *);
    OP(rmdir, fuse_req_t, fuse_ino_t, const char *);
    OP(symlink, fuse_req_t, const char *, fuse_ino_t, const char *);
    OP(rename, fuse_req_t, fuse_ino_t, const char *, fuse_ino_t, const char *, unsigned int);
    OP(link, fuse_req_t, fuse_ino_t, fuse_ino_t, const char *);
    OP(open, fuse_req_t, fuse_ino_t, struct fuse_file_info *);
    OP(read, fuse_req_t, fuse_ino_t, size_t, off_t, struct fuse_file_info *);
    OP(write, fuse_req_t, fuse_ino_t, const char *, size_t, off_t, struct fuse_file_info *);
    OP(flush, fuse_req_t, fuse_ino_t, struct fuse_file_info *);
    OP(release, fuse_req_t, fuse_ino_t, struct fuse_file_info *);
    OP(fsync, fuse_req_t, fuse_ino_t, int, struct fuse_file_info *);
    OP(opendir, fuse_req_t, fuse_ino_t, struct fuse_file_info *);
    OP(readdir, fuse_req_t, fuse_ino_t, size_t, off_t, struct fuse_file_info *);
    OP(releasedir, fuse_req_t, fuse_ino_t, struct fuse_file_info *);
    OP(fsyncdir, fuse_req_t, fuse_ino_t, int, struct fuse_file_info *);
    OP(statfs, fuse_req_t, fuse_ino_t);
    OP(setxattr, fuse_req_t, fuse_ino_t, const char *, const char *, size_t, int);
    OP(getxattr, fuse_req_t, fuse_ino_t, const char *, size_t);
    OP(listxattr, fuse_req_t, fuse_ino_t, size_t);
    OP(removexattr, fuse_req_t, fuse_ino_t, const char *);
    OP(access, fuse_req_t, fuse_ino_t, int);
    OP(create, fuse_req_t, fuse_ino_t, const char *, mode_t, struct fuse_file_info *);
    OP(getlk, fuse_req_t, fuse_ino_t, struct fuse_file_info *, struct flock *);
    OP(setlk, fuse_req_t, fuse_ino_t, struct fuse_file_info *, struct flock *, int);
    OP(bmap, fuse_req_t, fuse_ino_t, size_t, uint64_t);
    OP(ioctl, fuse_req_t, fuse_ino_t, unsigned int, void *, struct fuse_file_info *, unsigned, const void *, size_t, size_t);
    OP(poll, fuse_req_t, fuse_ino_t, struct fuse_file_info *, struct fuse_pollhandle *);
    OP(write_buf, fuse_req_t, fuse_ino_t, struct fuse_bufvec *, off_t, struct fuse_file_info *);
    OP(retrieve_reply, fuse_req_t, void *, fuse_ino_t, off_t, struct fuse_bufvec *);
    OP(forget_multi, fuse_req_t, size_t, struct fuse_forget_data *);
    OP(flock, fuse_req_t, fuse_ino_t, struct fuse_file_info *, int);
    OP(fallocate, fuse_req_t, fuse_ino_t, int, off_t, off_t, struct fuse_file_info *);
    OP(readdirplus, fuse_req_t, fuse_ino_t, size_t, off_t, struct fuse_file_info *);
    OP(copy_file_range, fuse_req_t, fuse_ino_t, off_t, struct fuse_file_info *, fuse_ino_t, off_t, struct fuse_file_info *, size_t, int);
    OP(lseek, fuse_req_t, fuse_ino_t, off_t, int, struct fuse_file_info *);
}

static void calls(void)
{
    CALL_NO_RESULT(fuse_opt_free_args, struct fuse_args *);
    CALL(fuse_session_new, struct fuse_session *, struct fuse_args *, const struct fuse_lowlevel_ops *, size_t, void *);
    CALL(fuse_session_mount, int, struct fuse_session *, const char *);
    CALL(fuse_session_custom_io, int, struct fuse_session *, const struct fuse_custom_io *, int);
    CALL(fuse_session_fd, int, struct fuse_session *);
    CALL_NO_RESULT(fuse_session_process_buf, struct fuse_session *, const struct fuse_buf *);
    CALL(fuse_session_receive_buf, int, struct fuse_session *, struct fuse_buf *);
    CALL_NO_RESULT(fuse_session_unmount, struct fuse_session *);
    CALL_NO_RESULT(fuse_session_destroy, struct fuse_session *);
    CALL_NO_RESULT(fuse_session_exit, struct fuse_session *);
    CALL_NO_RESULT(fuse_session_reset, struct fuse_session *);
    CALL(fuse_session_exited, int, struct fuse_session *);
    CALL(fuse_req_userdata, void *, fuse_req_t);
    CALL(fuse_req_ctx, const struct fuse_ctx *, fuse_req_t);
    CALL(fuse_req_getgroups, int, fuse_req_t, int, gid_t *);
    CALL(fuse_req_interrupted, int, fuse_req_t);
    CALL_NO_ARGUMENTS(fuse_version, int);
    CALL_NO_ARGUMENTS(fuse_pkgversion, const char *);
    CALL(fuse_reply_err, int, fuse_req_t, int);
    CALL_NO_RESULT(fuse_reply_none, fuse_req_t);
    CALL(fuse_reply_entry, int, fuse_req_t, const struct fuse_entry_param *);
    CALL(fuse_reply_create, int, fuse_req_t, const struct fuse_entry_param *, const struct fuse_file_info *);
    CALL(fuse_reply_attr, int, fuse_req_t, const struct stat *, double);
    CALL(fuse_reply_readlink, int, fuse_req_t, const char *);
    CALL(fuse_reply_open, int, fuse_req_t, const struct fuse_file_info *);
    CALL(fuse_reply_write, int, fuse_req_t, size_t);
    CALL(fuse_reply_buf, int, fuse_req_t, const char *, size_t);
    CALL(fuse_reply_data, int, fuse_req_t, struct fuse_bufvec *, enum fuse_buf_copy_flags);
    CALL(fuse_reply_iov, int, fuse_req_t, const struct iovec *, int);
    CALL(fuse_reply_statfs, int, fuse_req_t, const struct statvfs *);
    CALL(fuse_reply_xattr, int, fuse_req_t, size_t);
    CALL(fuse_reply_lock, int, fuse_req_t, const struct flock *);
    CALL(fuse_reply_bmap, int, fuse_req_t, uint64_t);
    CALL(fuse_reply_lseek, int, fuse_req_t, off_t);
    CALL(fuse_reply_ioctl, int, fuse_req_t, int, const void *, size_t);
    CALL(fuse_reply_poll, int, fuse_req_t, unsigned);
    CALL(fuse_add_direntry, size_t, fuse_req_t, char *, size_t, const char *, const struct stat *, off_t);
    CALL(fuse_add_direntry_plus, size_t, fuse_req_t, char *, size_t, const char *, const struct fuse_entry_param *, off_t);
    CALL(fuse_lowlevel_notify_inval_inode, int, struct fuse_session *, fuse_ino_t, off_t, off_t);
    CALL(fuse_lowlevel_notify_inval_entry, int, struct fuse_session *, fuse_ino_t, const char *, size_t);
    CALL(fuse_lowlevel_notify_expire_entry, int, struct fuse_session *, fuse_ino_t, const char *, size_t, enum fuse_expire_flags);
    CALL(fuse_lowlevel_notify_delete, int, struct fuse_session *, fuse_ino_t, fuse_ino_t, const char *, size_t);
    CALL(fuse_lowlevel_notify_store, int, struct fuse_session *, fuse_ino_t, off_t, struct fuse_bufvec *, enum fuse_buf_copy_flags);
    CALL_NO_RESULT(fuse_set_log_func, fuse_log_func_t);
}

void probe_libfuse(void)
{
    libfuse_structs();
    bit_fields();
    operations();
    calls();
}
