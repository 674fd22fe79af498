using Antares.Aot.Fuse;
using Antares.Interop;
using Antares.Interop.Fuse3;
using static Antares.Interop.Fuse3.Flags;

namespace Antares.Aot.Tests.Unit;

public unsafe class FuseInitNegotiationTests
{
    /// <summary>The reply of libfuse 3.14.0 to Linux 6.18, as written to the device: AUTO_INVAL_DATA, ATOMIC_O_TRUNC and more are on.</summary>
    private const string RecordedReply =
        "50000000000000000200000000000000070000001f0000000000020029f0404000000000000010000100000000010000"
        + "0000000000000000000000000000000000000000000000000000000000000000";

    [Fact]
    public void TheRecordedReplyIsOfLibfusesOwnChoice()
    {
        byte[] reply = Convert.FromHexString(RecordedReply);
        fixed (byte* bytes = reply)
        {
            ulong flags = ((fuse_init_out*)(bytes + sizeof(fuse_out_header)))->flags;
            Assert.NotEqual(0UL, flags & FUSE_ATOMIC_O_TRUNC);
            Assert.NotEqual(0UL, flags & FUSE_AUTO_INVAL_DATA);
            Assert.Equal(0UL, flags & FUSE_PARALLEL_DIROPS);
        }
    }

    [Fact]
    public void PatchPutsOurFlagsAndLimitsIn()
    {
        byte[] reply = Convert.FromHexString(RecordedReply);
        fixed (byte* bytes = reply)
        {
            Assert.Equal(Errno.None, InitNegotiation.Patch(bytes, (nuint)reply.Length, FuseInitFlagsTests.Linux618, 0, out ulong accepted));
            var header = (fuse_out_header*)bytes;
            var body = (fuse_init_out*)(bytes + sizeof(fuse_out_header));
            Assert.Equal(80u, header->len);
            Assert.Equal(2UL, header->unique);
            Assert.Equal(InitFlags.Accept(FuseInitFlagsTests.Linux618), accepted);
            Assert.Equal((uint)accepted, body->flags);
            Assert.Equal((uint)(accepted >> 32), body->flags2);
            Assert.Equal(InitNegotiation.MaxWrite, body->max_write);
            Assert.Equal(InitNegotiation.MaxPages, body->max_pages);
            Assert.Equal(InitNegotiation.MaxBackground, body->max_background);
            Assert.Equal(InitNegotiation.CongestionThreshold, body->congestion_threshold);
            Assert.Equal(1u, body->time_gran);
            Assert.Equal(7u, body->major);
        }
    }

    [Fact]
    public void WithoutMaxPagesTransfersAreSmall()
    {
        byte[] reply = Convert.FromHexString(RecordedReply);
        fixed (byte* bytes = reply)
        {
            Assert.Equal(Errno.None, InitNegotiation.Patch(bytes, (nuint)reply.Length, FUSE_ASYNC_READ, 0, out _));
            var body = (fuse_init_out*)(bytes + sizeof(fuse_out_header));
            Assert.Equal(128u * 1024, body->max_write);
            Assert.Equal(0, body->max_pages);
            Assert.Equal(0u, body->flags2);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(15)]
    [InlineData(16)]
    [InlineData(40)]
    [InlineData(79)]
    public void AShortReplyIsLeftAlone(int length)
    {
        byte[] reply = Convert.FromHexString(RecordedReply);
        byte[] before = [.. reply];
        fixed (byte* bytes = reply)
        {
            Assert.Equal(Errno.EPROTO, InitNegotiation.Patch(bytes, (nuint)length, ulong.MaxValue, 0, out ulong accepted));
            Assert.Equal(0UL, accepted);
        }

        Assert.Equal(before, reply);
    }

    [Fact]
    public void AnErrorOfLibfuseIsLeftAlone()
    {
        byte[] reply = Convert.FromHexString(RecordedReply);
        fixed (byte* bytes = reply)
        {
            ((fuse_out_header*)bytes)->error = -71;
            Assert.Equal(Errno.EPROTO, InitNegotiation.Patch(bytes, (nuint)reply.Length, ulong.MaxValue, 0, out _));
        }
    }

    [Fact]
    public void TheMaskChangesWhatLibfuseSees()
    {
        var body = new fuse_init_in { major = 7, minor = 45, flags = unchecked((uint)FuseInitFlagsTests.Linux618), flags2 = (uint)(FuseInitFlagsTests.Linux618 >> 32) };
        ulong offered = InitNegotiation.Mask(&body, (nuint)sizeof(fuse_init_in), InitFlags.Linux515);
        Assert.Equal(FuseInitFlagsTests.Linux618 & InitFlags.Linux515, offered);
        Assert.Equal(34u, body.minor);
        Assert.Equal((uint)offered, body.flags);
    }

    [Fact]
    public void AKernelBefore517SendsAShorterBody()
    {
        var body = new fuse_init_in { major = 7, minor = 34, flags = (uint)(InitFlags.Linux515 | FUSE_INIT_EXT), flags2 = uint.MaxValue };
        ulong offered = InitNegotiation.Mask(&body, 16, ulong.MaxValue);
        Assert.Equal(0UL, offered >> 32);
        Assert.Equal(34u, body.minor);
    }

    [Theory]
    [InlineData(ulong.MaxValue, 45u)]
    [InlineData(InitFlags.Linux515, 34u)]
    public void RunAnswersThroughThePipeAndRestoresTheDevice(ulong visible, uint minor)
    {
        int* two = stackalloc int[2];
        Assert.Equal(Errno.None, Sockets.Socketpair(two));
        using var kernel = new OwnedFd(two[1]);
        fuse_session* session = FuseTestSession.New(two[0]);
        try
        {
            SendInit(kernel.Value);
            Assert.Equal(Errno.None, InitNegotiation.Run(session, visible, 0, out InitResult result));
            Assert.Equal(minor, result.Minor);
            Assert.Equal(FuseInitFlagsTests.Linux618 & visible, result.Offered);
            Assert.Equal(InitFlags.Accept(result.Offered), result.Accepted);

            byte* reply = stackalloc byte[256];
            Assert.Equal(Errno.None, FileIo.Read(kernel.Value, reply, 256, out nuint got));
            Assert.Equal(80u, (uint)got);
            Assert.Equal((uint)result.Accepted, ((fuse_init_out*)(reply + sizeof(fuse_out_header)))->flags);

            // The session's descriptor is the device again.
            byte one = 7;
            Assert.Equal(Errno.None, FileIo.Write(Session.fuse_session_fd(session), &one, 1, out _));
            Assert.Equal(Errno.None, FileIo.Read(kernel.Value, reply, 256, out got));
            Assert.Equal(1u, (uint)got);
            Assert.Equal(7, reply[0]);
        }
        finally
        {
            Session.fuse_session_destroy(session);
        }
    }

    [Fact]
    public void RunRefusesWhatIsNotInit()
    {
        int* two = stackalloc int[2];
        Assert.Equal(Errno.None, Sockets.Socketpair(two));
        using var kernel = new OwnedFd(two[1]);
        fuse_session* session = FuseTestSession.New(two[0]);
        try
        {
            var header = new fuse_in_header { len = (uint)sizeof(fuse_in_header), opcode = (uint)fuse_opcode.FUSE_STATFS };
            Assert.Equal(Errno.None, FileIo.Write(kernel.Value, &header, (nuint)sizeof(fuse_in_header), out _));
            Assert.Equal(Errno.EPROTO, InitNegotiation.Run(session, ulong.MaxValue, 0, out _));
        }
        finally
        {
            Session.fuse_session_destroy(session);
        }
    }

    private static void SendInit(int fd)
    {
        byte* request = stackalloc byte[sizeof(fuse_in_header) + sizeof(fuse_init_in)];
        *(fuse_in_header*)request = new fuse_in_header
        {
            len = (uint)(sizeof(fuse_in_header) + sizeof(fuse_init_in)),
            opcode = (uint)fuse_opcode.FUSE_INIT,
            unique = 2,
        };
        *(fuse_init_in*)(request + sizeof(fuse_in_header)) = new fuse_init_in
        {
            major = 7,
            minor = 45,
            max_readahead = 131072,
            flags = unchecked((uint)FuseInitFlagsTests.Linux618),
            flags2 = (uint)(FuseInitFlagsTests.Linux618 >> 32),
        };
        Assert.Equal(Errno.None, FileIo.Write(fd, request, (nuint)(sizeof(fuse_in_header) + sizeof(fuse_init_in)), out _));
    }
}

/// <summary>A session of libfuse whose device is any descriptor.</summary>
internal static unsafe class FuseTestSession
{
    /// <summary>Takes over <paramref name="device"/>; to be destroyed by the caller.</summary>
    public static fuse_session* New(int device)
    {
        using var argv = new CStringArray(["test"]);
        var args = new fuse_args { argc = 1, argv = argv.Pointer };
        fuse_lowlevel_ops operations = FuseOps.MakeTable();
        fuse_session* session = Session.fuse_session_new(&args, &operations, (nuint)sizeof(fuse_lowlevel_ops), null);
        Assert.True(session != null);
        Arguments.fuse_opt_free_args(&args);
        using CString path = Utf8.Native($"/dev/fd/{device}");
        Assert.Equal(0, Session.fuse_session_mount(session, path));
        Session.fuse_session_exit(session);
        return session;
    }
}
