using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Diagnostics;

/// <summary>
/// Which errno are answers rather than failures: programs ask such things all day (is there a file of this name, has it this
/// attribute) and a ring full of them would hide the one line that matters. They are counted all the same.
/// </summary>
public static class OrdinaryAnswers
{
    /// <summary>True when <paramref name="error"/> is an everyday answer of <paramref name="opcode"/>.</summary>
    public static bool Contains(fuse_opcode opcode, Errno error) => (opcode, error) switch
    {
        (_, Errno.None) => true,

        // Only to a process that was killed: nobody hears it.
        (_, Errno.EINTR) => true,

        // Nobody is there: what a compiler's include path asks for most.
        (fuse_opcode.FUSE_LOOKUP, Errno.ENOENT or Errno.ENAMETOOLONG) => true,

        // ls, cp and the kernel itself ask for security.*, ACLs and sizes of buffers without expecting any.
        (fuse_opcode.FUSE_GETXATTR or fuse_opcode.FUSE_REMOVEXATTR, Errno.ENODATA or Errno.EOPNOTSUPP) => true,
        (fuse_opcode.FUSE_GETXATTR or fuse_opcode.FUSE_LISTXATTR, Errno.ERANGE) => true,

        // "Is it empty?" by trying (git does with each directory that it comes out of), "make it unless it is there".
        (fuse_opcode.FUSE_RMDIR or fuse_opcode.FUSE_RENAME or fuse_opcode.FUSE_RENAME2, Errno.ENOTEMPTY or Errno.EEXIST) => true,
        (fuse_opcode.FUSE_MKDIR or fuse_opcode.FUSE_MKNOD or fuse_opcode.FUSE_SYMLINK or fuse_opcode.FUSE_LINK or fuse_opcode.FUSE_CREATE, Errno.EEXIST) => true,
        (fuse_opcode.FUSE_SETXATTR, Errno.EEXIST or Errno.ENODATA) => true,

        // "No hole from here on", "this is no file with such flags", "do it by writing", "copy it yourself".
        (fuse_opcode.FUSE_LSEEK, Errno.ENXIO) => true,
        (fuse_opcode.FUSE_IOCTL, Errno.ENOTTY) => true,
        (fuse_opcode.FUSE_FALLOCATE, Errno.EOPNOTSUPP) => true,
        (fuse_opcode.FUSE_COPY_FILE_RANGE or fuse_opcode.FUSE_COPY_FILE_RANGE_64, Errno.EXDEV or Errno.EOPNOTSUPP) => true,

        // Turned down once by design (see FuseOps): the kernel then stops asking.
        (fuse_opcode.FUSE_CREATE or fuse_opcode.FUSE_OPEN or fuse_opcode.FUSE_OPENDIR or fuse_opcode.FUSE_FLUSH or fuse_opcode.FUSE_ACCESS or fuse_opcode.FUSE_STATX
            or fuse_opcode.FUSE_SYNCFS or fuse_opcode.FUSE_INTERRUPT or fuse_opcode.FUSE_POLL or fuse_opcode.FUSE_LSEEK, Errno.ENOSYS) => true,

        // Turned down when a newer kernel is shown as an old one.
        (fuse_opcode.FUSE_TMPFILE or fuse_opcode.FUSE_COPY_FILE_RANGE_64, Errno.ENOSYS) => true,

        _ => false,
    };
}
