using Antares.Aot.Dicfuse.Mega.Changes;
using Antares.Aot.Fuse;
using Antares.Aot.Layers;
using Antares.Aot.Mounts;
using Antares.Aot.Overlay;
using Antares.Aot.Tests.Support;
using Antares.Interop;
using Log = Antares.Aot.Diagnostics.Log;

namespace Antares.Aot.Tests.Unit;

/// <summary>A view is exchanged while others are at work in the mount.</summary>
public sealed class MountsViewTests : IDisposable
{
    private const int PipeBytes = 1 << 20;

    private readonly ScratchFolder _scratch = new();

    public void Dispose() => _scratch.Dispose();

    /// <summary>
    /// The kernel forgets a name with its directory locked, and a rmdir in that directory keeps it locked while it waits for a listing. So what is listed after
    /// tries that were in vain, which hold listings up, must not wait for the kernel to be told.
    /// </summary>
    [Fact]
    public unsafe void ListingsGoOnWhileTheKernelIsTold()
    {
        const int Refusals = 3; // after which listings are held
        var repository = new GitRepository(_scratch.Join("repo"));
        string first = repository.Commit("for i in 1 2 3 4; do mkdir cold$i; echo $i > cold$i/file; done; mkdir gone; echo g > gone/file; echo 1 > README");
        string without = repository.CommitAside(first, "git rm -q -r gone");
        string last = repository.CommitAside(first, "for i in 1 2 3 4; do echo n > cold$i/new; done; echo 2 > README");
        using var origin = new OriginHost(repository.Path);
        var tree = new MegaTree(origin.Url + "/", _scratch.Join("store"));
        DicfuseFolder.Check(OverlayFs.Open(new OverlayOptions { Lowers = [tree.Layer] }, out OverlayFs? overlay));
        int* pipe = stackalloc int[2];
        DicfuseFolder.Check(Fd.Pipe2(pipe, Fcntl.O_CLOEXEC));
        using var read = new OwnedFd(pipe[0]);
        using var log = new Log(Diagnostics.LogLevel.Debug, toStandardError: false, new OwnedFd(pipe[1]));
        // Without a session each notification is an error, which is logged: in the kernel's place the pipe decides how long that takes.
        var notifier = new Notifier(null, log);
        using (overlay)
        {
            var changes = new ClTree(tree.Layer.Tree, tree.Source, Log.Off);
            var view = new MountedView(changes, 1, overlay!, notifier, null, null);
            Assert.NotEmpty(tree.Layer.List(ILayer.RootNode));
            _ = view.Move(without);
            int tries = 0;
            // Asked once in each preparation, for the directory that comes back, after the other ones were looked at.
            changes.IsClaimed = _ =>
            {
                if (++tries <= Refusals)
                    Assert.NotEmpty(tree.Layer.List(tree.Layer.Find($"cold{tries}")));
                return false;
            };
            Fill(pipe[1]);
            var moving = new Thread(() => view.Move(last));
            moving.Start();
            Assert.True(SpinWait.SpinUntil(() => view.Address.EndsWith(last, StringComparison.Ordinal), 30_000));
            var listing = new Thread(() => Assert.Equal(2, tree.Layer.List(tree.Layer.Find("cold4")).Count));
            listing.Start();
            bool isListed = listing.Join(5_000);
            bool isTold = moving.Join(0);
            Drain(read.Value);
            Assert.True(moving.Join(30_000));
            Assert.True(listing.Join(30_000));
            Assert.Equal((Refusals + 1, false, true), (tries, isTold, isListed));
            notifier.Stop();
        }
    }

    private static unsafe void Fill(int pipe)
    {
        byte[] zeros = new byte[4096];
        DicfuseFolder.Check(Fd.Open((byte*)DicfuseFolder.Text($"/proc/self/fd/{pipe}"), Fcntl.O_WRONLY | Fcntl.O_NONBLOCK | Fcntl.O_CLOEXEC, 0, out int fd));
        using var own = new OwnedFd(fd);
        fixed (byte* bytes = zeros)
        {
            foreach (int length in (ReadOnlySpan<int>)[zeros.Length, 1])
            {
                while (FileIo.Write(fd, bytes, (nuint)length, out _) == Errno.None)
                {
                }
            }
        }
    }

    private static unsafe void Drain(int pipe)
    {
        byte[] room = new byte[PipeBytes];
        fixed (byte* bytes = room)
            DicfuseFolder.Check(FileIo.Read(pipe, bytes, PipeBytes, out _));
    }
}
