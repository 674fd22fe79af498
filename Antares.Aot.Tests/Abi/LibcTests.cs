using System.Runtime.InteropServices;
using System.Text;
using Antares.Interop;
using static Antares.Interop.Fcntl;

namespace Antares.Aot.Tests.Abi;

/// <summary>The calls answer the kernel's errno, and their results, under the JIT.</summary>
public sealed unsafe class LibcTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("antares-libc-").FullName;
    private readonly OwnedFd _root;

    public LibcTests()
    {
        using CString path = new(_folder);
        Assert.Equal(Errno.None, Fd.Open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, out int fd));
        _root = new OwnedFd(fd);
    }

    public void Dispose()
    {
        _root.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData("missing", O_RDONLY, Errno.ENOENT)]
    [InlineData("missing/below", O_RDONLY, Errno.ENOENT)]
    [InlineData("file/below", O_RDONLY, Errno.ENOTDIR)]
    [InlineData("file", O_CREAT | O_EXCL, Errno.EEXIST)]
    [InlineData(".", O_WRONLY, Errno.EISDIR)]
    [InlineData("loop", O_RDONLY, Errno.ELOOP)]
    public void OpenatTellsWhy(string name, int flags, Errno expected)
    {
        Make("file", "x");
        File.CreateSymbolicLink(Path.Combine(_folder, "loop"), "loop");
        using CString path = new(name);
        Assert.Equal(expected, Fd.Openat(_root.Value, path, flags, 0x1A4, out int fd));
        Assert.Equal(-1, fd);
        using CString absolute = new(Path.Combine(_folder, name));
        Assert.Equal(expected, Fd.Open(absolute, flags, 0x1A4, out _));
    }

    [Theory]
    [InlineData(255, Errno.ENOENT)]
    [InlineData(256, Errno.ENAMETOOLONG)]
    public void TheLongestNameIs255Bytes(int length, Errno expected)
    {
        using CString name = new(new string('n', length));
        Assert.Equal(expected, Fd.Openat(_root.Value, name, O_RDONLY, 0, out _));
    }

    [Fact]
    public void AClosedDescriptorIsEbadf()
    {
        OwnedFd memory = OpenMemory();
        int number = memory.Value;
        memory.Dispose();
        memory.Dispose();
        Assert.Equal(-1, memory.Value);
        Assert.Equal(Errno.EBADF, Fd.Close(number));
        Assert.Equal(Errno.EBADF, Fd.Getfl(-1, out _));
    }

    [Fact]
    public void AnErrnoIsNotKeptFromTheCallBefore()
    {
        using CString missing = new("missing");
        stat attributes;
        Assert.Equal(Errno.ENOENT, Fd.Openat(_root.Value, missing, O_RDONLY, 0, out _));
        Assert.Equal(Errno.None, Attributes.Fstat(_root.Value, &attributes));
        Assert.Equal(Errno.None, Attributes.Fstat(_root.Value, &attributes));
    }

    [Theory]
    [InlineData("..", Errno.EXDEV)]
    [InlineData("inner/../..", Errno.EXDEV)]
    [InlineData("/etc", Errno.EXDEV)]
    [InlineData("out", Errno.EXDEV)]
    [InlineData("inner", Errno.None)]
    [InlineData("inner/..", Errno.None)]
    [InlineData("missing", Errno.ENOENT)]
    public void Openat2KeepsPathsBeneath(string path, Errno expected)
    {
        Directory.CreateDirectory(Path.Combine(_folder, "inner"));
        File.CreateSymbolicLink(Path.Combine(_folder, "out"), "/etc");
        using CString name = new(path);
        open_how how = new() { flags = O_PATH | O_CLOEXEC, resolve = RESOLVE_BENEATH };
        Assert.Equal(expected, Fd.Openat2(_root.Value, name, how, out int fd));
        if (fd >= 0)
        {
            Assert.Equal(Errno.None, Fd.Close(fd));
        }
    }

    [Fact]
    public void Openat2RefusesSymlinksAndUnknownBits()
    {
        Directory.CreateDirectory(Path.Combine(_folder, "inner"));
        File.CreateSymbolicLink(Path.Combine(_folder, "link"), "inner");
        using CString name = new("link");
        open_how how = new() { flags = O_RDONLY, resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
        Assert.Equal(Errno.ELOOP, Fd.Openat2(_root.Value, name, how, out _));
        how.resolve = 1UL << 40;
        Assert.Equal(Errno.EINVAL, Fd.Openat2(_root.Value, name, how, out _));
    }

    [Fact]
    public void ReadsAndWritesAtOffsetsInFull()
    {
        using OwnedFd file = OpenMemory();
        byte* data = stackalloc byte[8] { 1, 2, 3, 4, 5, 6, 7, 8 };
        byte* back = stackalloc byte[16];
        Assert.Equal(Errno.None, FileIo.WriteFull(file.Value, data, 8, 4096));
        Assert.Equal(Errno.None, FileIo.Pread(file.Value, back, 4, 4096, out nuint got));
        Assert.Equal((nuint)4, got);
        Assert.Equal(Errno.None, FileIo.ReadFull(file.Value, back, 16, 4096, out got));
        Assert.Equal((nuint)8, got);
        Assert.True(new ReadOnlySpan<byte>(data, 8).SequenceEqual(new ReadOnlySpan<byte>(back, 8)));
        Assert.Equal(Errno.None, FileIo.Lseek(file.Value, 0, SEEK_DATA, out long position));
        Assert.Equal(4096, position);
        Assert.Equal(Errno.ENXIO, FileIo.Lseek(file.Value, 1 << 20, SEEK_DATA, out _));
        Assert.Equal(Errno.None, FileIo.Ftruncate(file.Value, 5_000_000_000));
        stat attributes;
        Assert.Equal(Errno.None, Attributes.Fstat(file.Value, &attributes));
        Assert.Equal(5_000_000_000, attributes.st_size);
        Assert.Equal(Errno.EISDIR, FileIo.Pread(_root.Value, back, 1, 0, out _));
        iovec* pieces = stackalloc iovec[2] { new() { iov_base = data, iov_len = 3 }, new() { iov_base = data, iov_len = 5 } };
        Assert.Equal(Errno.None, FileIo.Lseek(file.Value, 0, SEEK_SET, out _));
        Assert.Equal(Errno.None, FileIo.Writev(file.Value, pieces, 2, out nuint put));
        Assert.Equal((nuint)8, put);
    }

    [Fact]
    public void CopyFileRangeMovesTheOffsets()
    {
        Make("from", "0123456789");
        Make("to", "");
        using OwnedFd from = OpenFile("from", O_RDONLY);
        using OwnedFd to = OpenFile("to", O_RDWR);
        long offsetIn = 2, offsetOut = 1;
        Assert.Equal(Errno.None, FileIo.CopyFileRange(from.Value, &offsetIn, to.Value, &offsetOut, 5, 0, out nuint copied));
        Assert.Equal((nuint)5, copied);
        Assert.Equal((7L, 6L), (offsetIn, offsetOut));
        Assert.Equal("\023456", File.ReadAllText(Path.Combine(_folder, "to")));
        Assert.Equal(Errno.ENOTTY, FileIo.Ioctl(from.Value, 0x12345678, null, out _));
        Assert.Equal(Errno.None, FileIo.PosixFadvise(from.Value, 0, 0, POSIX_FADV_SEQUENTIAL));
        Assert.Equal(Errno.EINVAL, FileIo.PosixFadvise(from.Value, 0, 0, 1000));
    }

    [Fact]
    public void NamesAreMadeMovedReadAndRemoved()
    {
        using CString a = new("a"), b = new("b"), link = new("link"), target = new("some/target"), fifo = new("fifo");
        Assert.Equal(Errno.None, PathOps.Mkdirat(_root.Value, a, 0x1ED));
        Assert.Equal(Errno.EEXIST, PathOps.Mkdirat(_root.Value, a, 0x1ED));
        Assert.Equal(Errno.None, PathOps.Symlinkat(target, _root.Value, link));
        byte* text = stackalloc byte[64];
        Assert.Equal(Errno.None, PathOps.Readlinkat(_root.Value, link, text, 64, out int length));
        Assert.Equal("some/target", Encoding.UTF8.GetString(text, length));
        Assert.Equal(Errno.EINVAL, PathOps.Readlinkat(_root.Value, a, text, 64, out _));
        Assert.Equal(Errno.EEXIST, PathOps.Renameat2(_root.Value, a, _root.Value, link, RENAME_NOREPLACE));
        Assert.Equal(Errno.None, PathOps.Renameat2(_root.Value, a, _root.Value, link, RENAME_EXCHANGE));
        Assert.Equal(Errno.None, PathOps.Renameat2(_root.Value, link, _root.Value, b, 0));
        Assert.Equal(Errno.EISDIR, PathOps.Unlinkat(_root.Value, b, 0));
        Assert.Equal(Errno.None, PathOps.Unlinkat(_root.Value, b, AT_REMOVEDIR));
        Assert.Equal(Errno.None, PathOps.Mknodat(_root.Value, fifo, StatMode.S_IFIFO | 0x180, 0));
        Assert.Equal(Errno.None, PathOps.Linkat(_root.Value, fifo, _root.Value, b, 0));
        stat attributes;
        Assert.Equal(Errno.None, Attributes.Fstatat(_root.Value, b, &attributes, AT_SYMLINK_NOFOLLOW));
        Assert.Equal((2UL, StatMode.S_IFIFO), (attributes.st_nlink, attributes.st_mode & StatMode.S_IFMT));
    }

    [Fact]
    public void AttributesAreSetToTheNanosecond()
    {
        Make("file", "12345");
        using OwnedFd file = OpenFile("file", O_RDWR);
        using CString name = new("file"), link = new("link"), empty = new("");
        timespec* times = stackalloc timespec[2] { new() { tv_sec = 1, tv_nsec = 2 }, new() { tv_sec = -3, tv_nsec = 999_999_999 } };
        Assert.Equal(Errno.None, Attributes.Futimens(file.Value, times));
        times[0].tv_nsec = StatMode.UTIME_OMIT;
        times[1] = new() { tv_sec = 4_000_000_000, tv_nsec = 5 };
        Assert.Equal(Errno.None, Attributes.Utimensat(_root.Value, name, times, AT_SYMLINK_NOFOLLOW));
        Assert.Equal(Errno.None, Attributes.Fchmod(file.Value, 0xC00 | 0x1FF));
        stat attributes;
        Assert.Equal(Errno.None, Attributes.Fstat(file.Value, &attributes));
        Assert.Equal(StatMode.S_IFREG | 0xC00 | 0x1FF, attributes.st_mode);
        Assert.Equal((1L, 2L), (attributes.st_atim.tv_sec, attributes.st_atim.tv_nsec));
        Assert.Equal((4_000_000_000L, 5L), (attributes.st_mtim.tv_sec, attributes.st_mtim.tv_nsec));
        Assert.Equal((5L, 1UL, Process.Geteuid()), (attributes.st_size, attributes.st_nlink, attributes.st_uid));
        statx wide;
        Assert.Equal(Errno.None, Attributes.Statx(_root.Value, name, AT_SYMLINK_NOFOLLOW, StatMode.STATX_BASIC_STATS, &wide));
        Assert.Equal((attributes.st_ino, 5UL, 5u), (wide.stx_ino, wide.stx_size, wide.stx_mtime.tv_nsec));

        Assert.Equal(Errno.None, PathOps.Symlinkat(name, _root.Value, link));
        Assert.Equal(Errno.EOPNOTSUPP, Attributes.Fchmodat(_root.Value, link, 0x180, AT_SYMLINK_NOFOLLOW));
        Assert.Equal(Errno.None, Attributes.Fchmodat(_root.Value, name, 0x180, AT_SYMLINK_NOFOLLOW));
        using OwnedFd path = OpenFile("file", O_PATH);
        Assert.Equal(Errno.EBADF, Attributes.Fchmod(path.Value, 0x1A4));
        Assert.Equal(Errno.None, Attributes.Fchmodat(path.Value, empty, 0x1A4, AT_EMPTY_PATH));
        Assert.Equal(Errno.None, Attributes.Fstat(path.Value, &attributes));
        Assert.Equal(0x1A4u, attributes.st_mode & 0xFFF);
        Assert.Equal(Errno.None, Attributes.Fchown(file.Value, uint.MaxValue, uint.MaxValue));
        Assert.Equal(Errno.None, Attributes.Fchownat(_root.Value, link, Process.Geteuid(), Process.Getegid(), AT_SYMLINK_NOFOLLOW));
        Assert.Equal(Errno.None, Attributes.Faccessat(_root.Value, name, R_OK, 0));
    }

    [Fact]
    public void FileSystemsTellTheirSizes()
    {
        statvfs sizes;
        statfs kind;
        Assert.Equal(Errno.None, Attributes.Fstatvfs(_root.Value, &sizes));
        Assert.Equal(Errno.None, Attributes.Fstatfs(_root.Value, &kind));
        Assert.Equal((kind.f_blocks, kind.f_files, 255UL), (sizes.f_blocks, sizes.f_files, sizes.f_namemax));
        using CString proc = new("/proc");
        Assert.Equal(Errno.None, Fd.Open(proc, O_PATH | O_CLOEXEC, 0, out int fd));
        using OwnedFd owner = new(fd);
        Assert.Equal(Errno.None, Attributes.Fstatfs(fd, &kind));
        Assert.Equal(FileSystemMagic.PROC_SUPER_MAGIC, kind.f_type);
    }

    [Fact]
    public void Getdents64ListsEveryNameOnce()
    {
        HashSet<string> expected = [".", ".."];
        for (int i = 0; i < 300; i++)
        {
            string name = new string((char)('a' + (i % 26)), 1 + (i % 60)) + i;
            Make(name, "");
            expected.Add(name);
        }

        byte* buffer = stackalloc byte[1024];
        List<string> seen = [];
        while (true)
        {
            Assert.Equal(Errno.None, Directories.Getdents64(_root.Value, buffer, 1024, out int length));
            if (length == 0)
            {
                break;
            }

            for (int at = 0; at < length;)
            {
                dirent64* entry = (dirent64*)(buffer + at);
                string name = Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(entry->d_name));
                Assert.Equal(name.StartsWith('.') ? DirentType.DT_DIR : DirentType.DT_REG, entry->d_type);
                seen.Add(name);
                at += entry->d_reclen;
            }
        }

        Assert.Equal(expected.Order(), seen.Order());
        Assert.Equal(Errno.EBADF, Directories.Getdents64(-1, buffer, 1024, out _));
        using OwnedFd file = OpenMemory();
        Assert.Equal(Errno.ENOTDIR, Directories.Getdents64(file.Value, buffer, 1024, out _));
    }

    [Fact]
    public void XattrsByDescriptorAndByPath()
    {
        Make("file", "");
        File.CreateSymbolicLink(Path.Combine(_folder, "link"), "file");
        using OwnedFd file = OpenFile("file", O_RDWR);
        using OwnedFd path = OpenFile("file", O_PATH);
        using CString name = new("user.antares"), value = new("value"), link = new(Path.Combine(_folder, "link"));
        byte* buffer = stackalloc byte[64];
        Assert.Equal(Errno.ENODATA, Xattrs.Fgetxattr(file.Value, name, buffer, 64, out _));
        Assert.Equal(Errno.None, Xattrs.Fsetxattr(file.Value, name, value, 5, Xattr.XATTR_CREATE));
        Assert.Equal(Errno.EEXIST, Xattrs.Fsetxattr(file.Value, name, value, 5, Xattr.XATTR_CREATE));
        Assert.Equal(Errno.None, Xattrs.Fgetxattr(file.Value, name, null, 0, out int length));
        Assert.Equal(5, length);
        Assert.Equal(Errno.ERANGE, Xattrs.Fgetxattr(file.Value, name, buffer, 4, out _));
        Assert.Equal(Errno.None, Xattrs.Fgetxattr(file.Value, name, buffer, 64, out length));
        Assert.Equal("value", Encoding.UTF8.GetString(buffer, length));
        Assert.Equal(Errno.None, Xattrs.Flistxattr(file.Value, buffer, 64, out length));
        Assert.Contains("user.antares", Encoding.UTF8.GetString(buffer, length).Split('\0'));

        // An O_PATH descriptor needs its path under /proc.
        byte* proc = stackalloc byte[ProcFd.Capacity];
        ProcFd.Write(proc, path.Value);
        Assert.Equal(Errno.EBADF, Xattrs.Fgetxattr(path.Value, name, buffer, 64, out _));
        Assert.Equal(Errno.None, Xattrs.Getxattr(proc, name, buffer, 64, out length));
        Assert.Equal(5, length);
        Assert.Equal(Errno.None, Xattrs.Listxattr(proc, null, 0, out length));
        Assert.Equal(Errno.None, Xattrs.Setxattr(proc, name, value, 1, Xattr.XATTR_REPLACE));

        // L forms stop at the symlink, which has no user.* attributes.
        Assert.Equal(Errno.EPERM, Xattrs.Lsetxattr(link, name, value, 5, 0));
        Assert.NotEqual(Errno.None, Xattrs.Lgetxattr(link, name, buffer, 64, out _));
        Assert.Equal(Errno.None, Xattrs.Llistxattr(link, buffer, 64, out _));
        Assert.NotEqual(Errno.None, Xattrs.Lremovexattr(link, name));
        Assert.Equal(Errno.None, Xattrs.Removexattr(proc, name));
        Assert.Equal(Errno.ENODATA, Xattrs.Fremovexattr(file.Value, name));
    }

    [Fact]
    public void MemoryIsMappedAndGivenBack()
    {
        Assert.Equal(
            Errno.None,
            Memory.Mmap(null, 1 << 20, Memory.PROT_READ | Memory.PROT_WRITE, Memory.MAP_PRIVATE | Memory.MAP_ANONYMOUS | Memory.MAP_NORESERVE, -1, 0, out void* memory));
        ((byte*)memory)[4096] = 1;
        Assert.Equal(Errno.None, Memory.Madvise(memory, 1 << 20, Memory.MADV_DONTNEED));
        Assert.Equal(0, ((byte*)memory)[4096]);
        Assert.Equal(Errno.None, Memory.Mprotect(memory, 4096, Memory.PROT_READ));
        Assert.Equal(Errno.None, Memory.Munmap(memory, 1 << 20));
        Assert.Equal(Errno.EBADF, Memory.Mmap(null, 4096, Memory.PROT_READ, Memory.MAP_PRIVATE, -1, 0, out memory));
        Assert.True(memory == null);
    }

    [Fact]
    public void AFlockKeepsAnotherOpenFileOut()
    {
        Make("file", "");
        using OwnedFd first = OpenFile("file", O_RDWR), second = OpenFile("file", O_RDWR);
        Assert.Equal(Errno.None, Fd.Flock(first.Value, LOCK_EX | LOCK_NB));
        Assert.Equal(Errno.EAGAIN, Fd.Flock(second.Value, LOCK_EX | LOCK_NB));
        Assert.Equal(Errno.None, Fd.Flock(first.Value, LOCK_UN));
        Assert.Equal(Errno.None, Fd.Flock(second.Value, LOCK_SH | LOCK_NB));
    }

    [Fact]
    public void DuplicatesAreCloseOnExec()
    {
        Assert.Equal(Errno.None, Fd.DupCloexec(_root.Value, out int copy));
        using OwnedFd owner = new(copy);
        Assert.Equal(Errno.None, Fd.Getfd(copy, out int flags));
        Assert.Equal(FD_CLOEXEC, flags);
        using OwnedFd other = OpenMemory();
        Assert.Equal(Errno.None, Fd.Dup3(_root.Value, other.Value, O_CLOEXEC));
        stat a, b;
        Assert.Equal(Errno.None, Attributes.Fstat(_root.Value, &a));
        Assert.Equal(Errno.None, Attributes.Fstat(other.Value, &b));
        Assert.Equal(a.st_ino, b.st_ino);
    }

    private static OwnedFd OpenMemory()
    {
        using CString name = new("antares-test");
        Assert.Equal(Errno.None, Fd.Memfd(name, MFD_CLOEXEC, out int fd));
        return new OwnedFd(fd);
    }

    private OwnedFd OpenFile(string name, int flags)
    {
        using CString path = new(name);
        Assert.Equal(Errno.None, Fd.Openat(_root.Value, path, flags | O_CLOEXEC, 0, out int fd));
        return new OwnedFd(fd);
    }

    private void Make(string name, string content) => File.WriteAllText(Path.Combine(_folder, name), content);
}
