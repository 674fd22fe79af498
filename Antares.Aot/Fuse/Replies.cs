using Antares.Interop.Fuse3;

namespace Antares.Aot.Fuse;

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
