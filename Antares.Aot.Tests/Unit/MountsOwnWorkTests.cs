using Antares.Aot.Mounts;
using Antares.Aot.Tests.Support;
using Antares.Interop;

namespace Antares.Aot.Tests.Unit;

/// <summary>The work folder beside an upper, when one mount ends while the next begins.</summary>
public sealed unsafe class MountsOwnWorkTests : IDisposable
{
    private readonly ScratchFolder _scratch = new();

    public void Dispose() => _scratch.Dispose();

    [Fact]
    public void WhatAnotherMountHoldsStays()
    {
        string path = _scratch.Join(".u.antares-work");
        using (var held = new OwnedFd(OwnWork.Open(path, out bool isMade)))
        {
            Assert.True(isMade);
            Assert.False(OwnWork.Remove(path, whatItHolds: true));
            Assert.True(Directory.Exists(path));
        }

        _ = Directory.CreateDirectory(Path.Combine(path, "work", "mark"));
        Assert.False(OwnWork.Remove(path, whatItHolds: false));
        Assert.True(OwnWork.Remove(path, whatItHolds: true));
        Assert.False(Directory.Exists(path));
    }

    private static int Reopened(string path)
    {
        Assert.Equal(Errno.None, HostPath.OpenFolder(path, out int fd));
        return fd;
    }

    [Fact]
    public void WhoHasTheLockHasAFolderWithAName()
    {
        string path = _scratch.Join(".u.antares-work");
        int held = 0, removed = 0;
        var clock = System.Diagnostics.Stopwatch.StartNew();
        _ = Parallel.For(0, 4, _ =>
        {
            for (int i = 0; i < 2_000 && clock.ElapsedMilliseconds < 10_000; i++)
            {
                try
                {
                    using var work = new OwnedFd(OwnWork.Open(path, out bool _));
                    held++;
                    stat attributes;
                    Assert.Equal(Errno.None, Attributes.Fstat(work.Value, &attributes));
                    Assert.NotEqual(0u, (uint)attributes.st_nlink);
                    using var other = new OwnedFd(Reopened(path));
                    Assert.Equal(Errno.EAGAIN, Fd.Flock(other.Value, Fcntl.LOCK_EX | Fcntl.LOCK_NB));
                }
                catch (MountProblem problem)
                {
                    Assert.Contains("in use by another live mount", problem.Message);
                }

                removed += OwnWork.Remove(path, whatItHolds: false) ? 1 : 0;
            }
        });
        Assert.True(held > 100 && removed > 100, $"{held} held, {removed} removed");
    }
}
