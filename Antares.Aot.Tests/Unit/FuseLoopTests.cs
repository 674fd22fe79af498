using Antares.Aot.Base;
using Antares.Aot.Diagnostics;
using Antares.Aot.Fuse;
using Antares.Interop;
using Antares.Interop.Fuse3;
using Log = Antares.Aot.Diagnostics.Log;

namespace Antares.Aot.Tests.Unit;

/// <summary>The loop with one reader, asleep while it waits.</summary>
public sealed class FuseLoopTests() : FuseLoopCases(1, looks: false);

/// <summary>The loop as a mount has it.</summary>
[Collection("Alone")]
public sealed class LookingFuseLoopTests() : FuseLoopCases(2, looks: true)
{
    /// <summary>Nothing is lost where it begins to look for requests, ends that, and begins again.</summary>
    [Fact]
    public void RequestsComeInBursts()
    {
        for (int burst = 0; burst < 20; burst++)
        {
            for (int i = 0; i < 200; i++)
            {
                AskSomething();
            }

            for (int i = 0; i < 10; i++)
            {
                Thread.Sleep(1);
                AskSomething();
            }
        }

        if (Environment.ProcessorCount > 1 && ProcessorQuota.AllowsTwo())
        {
            Assert.True(Mode.Times > 1, $"it began {Mode.Times} times to look for requests in 20 bursts");
        }
    }
}

/// <summary>The loop with a socket for a device and requests that need no overlay.</summary>
public abstract unsafe class FuseLoopCases : IDisposable
{
    private const ulong StuckNode = 99;

    private readonly MountDiagnostics _diagnostics = new();
    private readonly OwnThreads _ownThreads = new();
    private readonly ManualResetEventSlim _gate = new();
    private readonly OwnedFd _kernel;
    private readonly fuse_session* _session;
    private readonly DeviceLoop _loop;

    protected FuseLoopCases(int wanted, bool looks)
    {
        int* two = stackalloc int[2];
        Assert.Equal(Errno.None, Sockets.Socketpair(two));
        _kernel = new OwnedFd(two[1]);
        _session = FuseTestSession.New(two[0]);
        SendInit();
        var failures = new FailureReporter(Describe, _diagnostics);
        var raw = new RawRequests(null!, new RoomRelief(null, 1), failures, two[0], old: false, 1, 1e9);
        var dispatcher = new Dispatcher(null!, _session, raw, new RoomRelief(null, 1), _ownThreads, failures, _diagnostics);
        _loop = new DeviceLoop(two[0], wanted, 3, dispatcher, _ownThreads, quickWakeUps: looks ? null : false, Log.Off);
        _loop.Start();
        Assert.True(_loop.WaitRunning(5000));
    }

    public void Dispose()
    {
        GC.SuppressFinalize(this);
        _gate.Set();
        _kernel.Dispose();
        _loop.WaitEnd();
        Assert.Equal(0, _loop.Threads);
        Session.fuse_session_destroy(_session);
    }

    [Theory]
    [InlineData(fuse_opcode.FUSE_STATX, 24)]
    [InlineData(fuse_opcode.FUSE_SYNCFS, 8)]
    [InlineData(fuse_opcode.FUSE_FLUSH, 24)]
    [InlineData(fuse_opcode.FUSE_ACCESS, 8)]
    [InlineData(fuse_opcode.FUSE_POLL, 24)]
    public void TurnedDownByDesign(fuse_opcode opcode, int body)
    {
        fuse_out_header reply = Ask(FuseRequests.Make(opcode, new byte[body], unique: 77));
        Assert.Equal(-(int)Errno.ENOSYS, reply.error);
        Assert.Equal(77UL, reply.unique);
        WaitCounted(opcode);
        SettleCounts();
        Assert.Equal(1, _diagnostics.Counters.ErrorCount((int)opcode, (int)Errno.ENOSYS));
        Assert.Equal(0, _diagnostics.Failures.Total);
    }

    [Theory]
    [InlineData(fuse_opcode.FUSE_RELEASE)]
    [InlineData(fuse_opcode.FUSE_RELEASEDIR)]
    public void EndsOfHandlesSucceed(fuse_opcode opcode)
    {
        Assert.Equal(0, Ask(FuseRequests.Make(opcode, new byte[24])).error);
        WaitCounted(opcode);
        SettleCounts();
        Assert.Equal(0, _diagnostics.Counters.ErrorCount((int)opcode, (int)Errno.ENOSYS));
    }

    [Fact]
    public void AMissingOperationIsSaidByName()
    {
        Assert.Equal(-(int)Errno.ENOSYS, Ask(FuseRequests.Make(fuse_opcode.FUSE_GETLK, new byte[48])).error);
        Assert.Equal(-(int)Errno.ENOSYS, Ask(FuseRequests.Make((fuse_opcode)1000, [])).error);
        WaitCounted((fuse_opcode)OpNames.Other);
        using var text = new StringWriter();
        _diagnostics.WriteErrorsText(text);
        Assert.Contains("not implemented: getlk, asked for 1 times", text.ToString(), StringComparison.Ordinal);
        Assert.Contains("not implemented: other, asked for 1 times", text.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void AMalformedRequestGetsEioAndTheLoopGoesOn()
    {
        Assert.Equal(-(int)Errno.EIO, Ask(FuseRequests.Make(fuse_opcode.FUSE_LOOKUP, "no end"u8)).error);
        Assert.Equal(-(int)Errno.EIO, Ask(FuseRequests.Make(fuse_opcode.FUSE_WRITE, new byte[39])).error);

        // Shorter than a header: nobody to reply to.
        Send(new byte[12]);
        WaitCounted((fuse_opcode)OpNames.Other);
        Assert.Equal(-(int)Errno.ENOSYS, Ask(FuseRequests.Make(fuse_opcode.FUSE_STATX, new byte[24])).error);
        Assert.True(SpinWait.SpinUntil(() => _diagnostics.Failures.Total >= 2, 5000)); // noted after the answer
        Assert.Equal(2, _diagnostics.Failures.Total);
        FailureRecord failure = _diagnostics.Failures.Snapshot()[0];
        Assert.Equal(Errno.EIO, failure.Error);
        Assert.Equal("server", failure.Layer);
        Assert.Equal("request shape", failure.Call);
    }

    [Fact]
    public void AMalformedForgetGetsNoReply()
    {
        Send(FuseRequests.Make(fuse_opcode.FUSE_FORGET, new byte[4]));
        WaitCounted(fuse_opcode.FUSE_FORGET);
        fuse_out_header reply = Ask(FuseRequests.Make(fuse_opcode.FUSE_STATX, new byte[24], unique: 9));
        Assert.Equal(9UL, reply.unique);
    }

    [Fact]
    public void OurOwnThreadsAreRefused()
    {
        _ownThreads.Enter();
        uint tid = (uint)Process.Gettid();
        fuse_out_header reply = Ask(FuseRequests.Make(fuse_opcode.FUSE_LOOKUP, "name\0"u8, unique: 5, nodeId: 3, pid: tid));
        _ownThreads.Leave();
        Assert.Equal(-(int)Errno.EIO, reply.error);
        WaitCounted(fuse_opcode.FUSE_LOOKUP);
        FailureRecord failure = Assert.Single(_diagnostics.Failures.Snapshot());
        Assert.Equal("own thread", failure.Call);
        Assert.Equal("node 3/name", System.Text.Encoding.UTF8.GetString(failure.Path));

        // Once it has left, its requests are anybody's.
        Assert.Equal(-(int)Errno.ENOSYS, Ask(FuseRequests.Make(fuse_opcode.FUSE_GETLK, new byte[48], pid: tid)).error);
    }

    [Theory]
    [InlineData(fuse_opcode.FUSE_TMPFILE)]
    [InlineData(fuse_opcode.FUSE_LOOKUP)]
    [InlineData(fuse_opcode.FUSE_GETATTR)]
    [InlineData(fuse_opcode.FUSE_WRITE)]
    public void AnExceptionBecomesEio(fuse_opcode opcode)
    {
        // The overlay of this test is null, and so is the server that answers directly.
        byte[] body = opcode switch
        {
            fuse_opcode.FUSE_TMPFILE => [.. new byte[sizeof(fuse_create_in)], .. "/\0"u8],
            fuse_opcode.FUSE_LOOKUP => [.. "name\0"u8],
            fuse_opcode.FUSE_GETATTR => new byte[sizeof(fuse_getattr_in)],
            _ => new byte[sizeof(fuse_write_in)],
        };
        fuse_out_header reply = Ask(FuseRequests.Make(opcode, body));
        Assert.Equal(-(int)Errno.EIO, reply.error);
        WaitCounted(opcode);
        FailureRecord failure = Assert.Single(_diagnostics.Failures.Snapshot());
        Assert.Equal(nameof(NullReferenceException), failure.Call);
    }

    [Fact]
    public void OneStuckRequestDoesNotHoldUpTheOthers()
    {
        // Stuck behind its reply, while it asks for the path.
        Assert.Equal(-(int)Errno.EIO, Ask(FuseRequests.Make(fuse_opcode.FUSE_LOOKUP, "no end"u8, nodeId: StuckNode)).error);
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(-(int)Errno.ENOSYS, Ask(FuseRequests.Make(fuse_opcode.FUSE_STATX, new byte[24])).error);
        }

        Assert.Equal(2, _loop.Threads);
        Assert.Equal(0, _diagnostics.Counters.Count((int)fuse_opcode.FUSE_LOOKUP));
        _gate.Set();
        WaitCounted(fuse_opcode.FUSE_LOOKUP);

        // The place at the device is taken: the thread that comes back waits aside until it is needed again, or ends.
        Assert.True(SpinWait.SpinUntil(() => _loop.Parked == 1, 5000));
        Assert.Equal(-(int)Errno.ENOSYS, Ask(FuseRequests.Make(fuse_opcode.FUSE_STATX, new byte[24])).error);
    }

    private protected ReaderMode Mode => _loop.Mode;

    protected void AskSomething() => Assert.Equal(-(int)Errno.ENOSYS, Ask(FuseRequests.Make(fuse_opcode.FUSE_STATX, new byte[24])).error);

    private int Describe(ulong nodeId, ByteName child, byte* buffer, int capacity)
    {
        if (nodeId == StuckNode)
        {
            Assert.True(_gate.Wait(10_000));
        }

        string text = child.Length == 0 ? $"node {nodeId}" : $"node {nodeId}/{System.Text.Encoding.UTF8.GetString(child.Span)}";
        return System.Text.Encoding.UTF8.GetBytes(text, new Span<byte>(buffer, capacity));
    }

    private void SendInit()
    {
        var body = new fuse_init_in { major = 7, minor = 45, flags = unchecked((uint)FuseInitFlagsTests.Linux618) };
        Send(FuseRequests.Make(fuse_opcode.FUSE_INIT, new ReadOnlySpan<byte>(&body, sizeof(fuse_init_in))));
        Assert.Equal(Errno.None, InitNegotiation.Run(_session, ulong.MaxValue, 0, out _));
        _ = Receive();
    }

    private fuse_out_header Ask(byte[] request)
    {
        Send(request);
        return Receive();
    }

    private void Send(byte[] request)
    {
        fixed (byte* bytes = request)
        {
            Assert.Equal(Errno.None, FileIo.Write(_kernel.Value, bytes, (nuint)request.Length, out nuint put));
            Assert.Equal(request.Length, (int)put);
        }
    }

    private fuse_out_header Receive()
    {
        byte* reply = stackalloc byte[512];
        var poll = new pollfd { fd = _kernel.Value, events = 1 };
        Assert.Equal(Errno.None, Signals.Poll(&poll, 1, 5000, out int ready));
        Assert.Equal(1, ready);
        Assert.Equal(Errno.None, FileIo.Read(_kernel.Value, reply, 512, out nuint got));
        Assert.Equal(((fuse_out_header*)reply)->len, (uint)got);
        return *(fuse_out_header*)reply;
    }

    // A request is counted after it was answered.
    private void WaitCounted(fuse_opcode opcode) =>
        Assert.True(SpinWait.SpinUntil(() => _diagnostics.Counters.Count((int)opcode) > 0, 5000));

    // A request is counted before its errno is; the end of the loop is behind both.
    private void SettleCounts()
    {
        _kernel.Dispose();
        Assert.True(_loop.WaitEnd(5000));
    }
}
