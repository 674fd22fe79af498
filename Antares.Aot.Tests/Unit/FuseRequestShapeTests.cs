using System.Text;
using Antares.Aot.Diagnostics;
using Antares.Aot.Fuse;
using Antares.Interop.Fuse3;

namespace Antares.Aot.Tests.Unit;

public unsafe class FuseRequestShapeTests
{
    [Fact]
    public void LookupGivesItsName()
    {
        byte[] request = FuseRequests.Make(fuse_opcode.FUSE_LOOKUP, "name\0"u8);
        Assert.True(Parse(request, out string first, out _));
        Assert.Equal("name", first);
    }

    [Fact]
    public void RenameGivesBothNames()
    {
        byte[] body = [.. new byte[sizeof(fuse_rename2_in)], .. "old\0new\0"u8];
        Assert.True(Parse(FuseRequests.Make(fuse_opcode.FUSE_RENAME2, body), out string first, out string second));
        Assert.Equal("old", first);
        Assert.Equal("new", second);
    }

    [Fact]
    public void NamesBeginBehindTheirStruct()
    {
        byte[] create = [.. new byte[sizeof(fuse_create_in)], .. "c\0"u8];
        Assert.True(Parse(FuseRequests.Make(fuse_opcode.FUSE_CREATE, create), out string first, out _));
        Assert.Equal("c", first);
        byte[] set = [4, 0, 0, 0, 0, 0, 0, 0, .. "user.x\0abcd"u8];
        Assert.True(Parse(FuseRequests.Make(fuse_opcode.FUSE_SETXATTR, set), out first, out _));
        Assert.Equal("user.x", first);
    }

    [Theory]
    [InlineData(fuse_opcode.FUSE_LOOKUP)]
    [InlineData(fuse_opcode.FUSE_UNLINK)]
    [InlineData(fuse_opcode.FUSE_SYMLINK)]
    public void ANameWithoutEndIsRefused(fuse_opcode opcode)
    {
        Assert.False(Parse(FuseRequests.Make(opcode, "name"u8), out _, out _));
        Assert.False(Parse(FuseRequests.Make(opcode, ""u8), out _, out _));
        Assert.False(Parse(FuseRequests.Make(opcode, "\0"u8), out _, out _));
    }

    [Fact]
    public void ASymlinkNeedsItsTarget()
    {
        Assert.False(Parse(FuseRequests.Make(fuse_opcode.FUSE_SYMLINK, "name\0"u8), out _, out _));
        Assert.False(Parse(FuseRequests.Make(fuse_opcode.FUSE_SYMLINK, "name\0target"u8), out _, out _));
        Assert.True(Parse(FuseRequests.Make(fuse_opcode.FUSE_SYMLINK, "name\0target\0"u8), out _, out string target));
        Assert.Equal("target", target);
    }

    [Fact]
    public void DataMustBeAsLongAsItSays()
    {
        var write = new fuse_write_in { size = 5 };
        byte[] body = [.. new ReadOnlySpan<byte>(&write, sizeof(fuse_write_in)), 1, 2, 3, 4];
        Assert.False(Parse(FuseRequests.Make(fuse_opcode.FUSE_WRITE, body), out _, out _));
        Assert.True(Parse(FuseRequests.Make(fuse_opcode.FUSE_WRITE, [.. body, 5]), out _, out _));

        byte[] set = [5, 0, 0, 0, 0, 0, 0, 0, .. "user.x\0abcd"u8];
        Assert.False(Parse(FuseRequests.Make(fuse_opcode.FUSE_SETXATTR, set), out _, out _));

        var forget = new fuse_batch_forget_in { count = 2 };
        byte[] forgets = [.. new ReadOnlySpan<byte>(&forget, sizeof(fuse_batch_forget_in)), .. new byte[31]];
        Assert.False(Parse(FuseRequests.Make(fuse_opcode.FUSE_BATCH_FORGET, forgets), out _, out _));
        Assert.True(Parse(FuseRequests.Make(fuse_opcode.FUSE_BATCH_FORGET, [.. forgets, 0]), out _, out _));

        var huge = new fuse_batch_forget_in { count = uint.MaxValue };
        Assert.False(Parse(FuseRequests.Make(fuse_opcode.FUSE_BATCH_FORGET, new ReadOnlySpan<byte>(&huge, sizeof(fuse_batch_forget_in))), out _, out _));

        var ioctl = new fuse_ioctl_in { in_size = 9 };
        byte[] input = [.. new ReadOnlySpan<byte>(&ioctl, sizeof(fuse_ioctl_in)), .. new byte[8]];
        Assert.False(Parse(FuseRequests.Make(fuse_opcode.FUSE_IOCTL, input), out _, out _));
    }

    [Fact]
    public void TheHeadersLengthMustBeTheReads()
    {
        byte[] request = FuseRequests.Make(fuse_opcode.FUSE_LOOKUP, "name\0"u8);
        fixed (byte* bytes = request)
        {
            ((fuse_in_header*)bytes)->len++;
        }

        Assert.False(Parse(request, out _, out _));
    }

    [Fact]
    public void ExtensionsAreNotTakenForTheBody()
    {
        byte[] request = FuseRequests.Make(fuse_opcode.FUSE_GETATTR, new byte[sizeof(fuse_getattr_in)]);
        fixed (byte* bytes = request)
        {
            ((fuse_in_header*)bytes)->total_extlen = 1;
        }

        Assert.False(Parse(request, out _, out _));
    }

    [Fact]
    public void NoCutOfAnyRequestIsReadBeyondItsEnd()
    {
        // Each opcode, each length of body up to more than its struct: answers yes or no and stays inside. The last byte of the request
        // is the last one of a page with nothing mapped behind it, so that one byte too far ends the test run.
        using var page = new GuardedPage();
        for (uint opcode = 0; opcode < OpNames.Slots + 3; opcode++)
        {
            for (int length = 0; length <= 160; length++)
            {
                int size = sizeof(fuse_in_header) + length;
                byte* at = page.End - size;
                new Span<byte>(at, size).Fill(0xFF);
                *(fuse_in_header*)at = new fuse_in_header { len = (uint)size, opcode = opcode };
                var context = new RequestContext { Header = (fuse_in_header*)at };
                bool accepted = RequestShape.Parse(&context, (nuint)size);
                Assert.False(accepted && (context.Name.Length > length || context.SecondName.Length > length));
            }

            for (int got = 0; got < sizeof(fuse_in_header); got++)
            {
                var context = new RequestContext { Header = (fuse_in_header*)(page.End - got) };
                Assert.False(RequestShape.Parse(&context, (nuint)got));
            }
        }
    }

    private static bool Parse(byte[] request, out string first, out string second)
    {
        fixed (byte* bytes = request)
        {
            var context = new RequestContext { Header = (fuse_in_header*)bytes };
            bool accepted = RequestShape.Parse(&context, (nuint)request.Length);
            first = Encoding.UTF8.GetString(context.Name.Span);
            second = Encoding.UTF8.GetString(context.SecondName.Span);
            return accepted;
        }
    }
}
