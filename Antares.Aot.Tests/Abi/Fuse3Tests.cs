using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Antares.Interop;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Tests.Abi;

/// <summary>libfuse3 answers to the bindings, without a mount.</summary>
public sealed unsafe class Fuse3Tests
{
    private static string s_said = "";

    [Fact]
    public void TheLibraryIsTheOneTheBindingsAreFor()
    {
        Assert.InRange(Session.fuse_version(), 314, 399);
        Assert.StartsWith("3.", Utf8.Print(Session.fuse_pkgversion()), StringComparison.Ordinal);
    }

    [Fact]
    public void ASessionIsMadeAndDestroyed()
    {
        fuse_lowlevel_ops operations = default;
        fuse_session* session = New(["antares", "-o", "default_permissions,fsname=antares"], &operations, (void*)42);
        Assert.True(session != null);
        Assert.Equal(0, Session.fuse_session_exited(session));
        Session.fuse_session_exit(session);
        Assert.NotEqual(0, Session.fuse_session_exited(session));
        Session.fuse_session_destroy(session);
    }

    [Fact]
    public void AnUnknownOptionIsRefusedAndSaidToUs()
    {
        fuse_lowlevel_ops operations = default;
        Log.fuse_set_log_func(&Said);
        try
        {
            Assert.True(New(["antares", "-o", "no_such_option"], &operations, null) == null);
            Assert.Contains("no_such_option", s_said, StringComparison.Ordinal);
        }
        finally
        {
            Log.fuse_set_log_func(null);
        }
    }

    [Fact]
    public void DirectoryRecordsHaveTheKernelsForm()
    {
        byte* buffer = stackalloc byte[512];
        using CString name = new("name");
        stat attributes = new() { st_ino = 77, st_mode = StatMode.S_IFREG | 0x1A4 };
        Assert.Equal((nuint)32, Direntry.fuse_add_direntry(null, buffer, 512, name, &attributes, 5));
        fuse_dirent* record = (fuse_dirent*)buffer;
        Assert.Equal((77UL, 5UL, 4u, (uint)DirentType.DT_REG), (record->ino, record->off, record->namelen, record->type));
        Assert.Equal((byte)'n', buffer[sizeof(fuse_dirent)]);

        fuse_entry_param entry = new() { ino = 9, attr = attributes, attr_timeout = 1.5, entry_timeout = 2 };
        entry.attr.st_size = 1234;
        Assert.Equal((nuint)160, Direntry.fuse_add_direntry_plus(null, buffer, 512, name, &entry, 6));
        fuse_direntplus* plus = (fuse_direntplus*)buffer;
        Assert.Equal((9UL, 77UL, 1234UL), (plus->entry_out.nodeid, plus->entry_out.attr.ino, plus->entry_out.attr.size));
        Assert.Equal((1UL, 500_000_000u, 2UL), (plus->entry_out.attr_valid, plus->entry_out.attr_valid_nsec, plus->entry_out.entry_valid));

        // Nothing is written when it does not fit.
        buffer[0] = 0xEE;
        Assert.Equal((nuint)32, Direntry.fuse_add_direntry(null, buffer, 31, name, &attributes, 5));
        Assert.Equal(0xEE, buffer[0]);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Said(int level, byte* format, void* arguments)
    {
        byte* text = stackalloc byte[512];
        s_said += Log.vsnprintf(text, 512, format, arguments) < 0 ? "?" : Utf8.Print(text);
    }

    private static fuse_session* New(string[] arguments, fuse_lowlevel_ops* operations, void* userdata)
    {
        using CStringArray argv = new(arguments);
        fuse_args args = new() { argc = argv.Count, argv = argv.Pointer };
        return Session.fuse_session_new(&args, operations, (nuint)sizeof(fuse_lowlevel_ops), userdata);
    }
}
