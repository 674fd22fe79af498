using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

/// <summary>An errno as the header of a reply tells it.</summary>
internal static class ReplyError
{
    // Numbers from here on are the kernel's own; it refuses a reply with one before it looks which request it is for, which would then never be answered (fuse_dev_do_write).
    private const int FirstOfKernel = 512;

    // ENOTSUPP, by which NFS and others say EOPNOTSUPP.
    private const int NotSupportedOfKernel = 524;

    /// <summary>0 or less. What a file system below lets out of the kernel's own numbers is told as EOPNOTSUPP or EIO.</summary>
    public static int Of(Errno error) => (int)error switch
    {
        >= 0 and < FirstOfKernel => -(int)error,
        NotSupportedOfKernel => -(int)Errno.EOPNOTSUPP,
        _ => -(int)Errno.EIO,
    };
}

/// <summary>Reply of LOOKUP and of what makes a name, as the kernel reads it.</summary>
internal struct EntryOut
{
    public fuse_out_header Header;
    public fuse_entry_out Body;
}

/// <summary>Reply of GETATTR and SETATTR.</summary>
internal struct AttributesOut
{
    public fuse_out_header Header;
    public fuse_attr_out Body;
}

/// <summary>Reply of WRITE and COPY_FILE_RANGE.</summary>
internal struct WrittenOut
{
    public fuse_out_header Header;
    public fuse_write_out Body;
}

/// <summary>Reply of GETXATTR and LISTXATTR to who asks for the length only.</summary>
internal struct XattrLengthOut
{
    public fuse_out_header Header;
    public fuse_getxattr_out Body;
}
