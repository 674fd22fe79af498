namespace Antares.Interop;

/// <summary>
/// Owner of a descriptor: closes it once, at Dispose. There is no finalizer on purpose: a descriptor whose owner was forgotten
/// is a bug to be seen (as a leak), not to be closed at a random time under someone who still uses the number.
/// </summary>
public sealed class OwnedFd : IDisposable
{
    private int _fd;

    /// <param name="fd">An open descriptor, which this takes over.</param>
    public OwnedFd(int fd)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(fd);
        _fd = fd;
    }

    /// <summary>The descriptor; -1 once disposed or detached, so that its use answers EBADF.</summary>
    public int Value => Volatile.Read(ref _fd);

    /// <summary>Hands the descriptor to the caller, who closes it from now on; -1 if it is gone already.</summary>
    public int Detach() => Interlocked.Exchange(ref _fd, -1);

    public void Dispose()
    {
        int fd = Detach();
        if (fd >= 0)
        {
            // Whoever must know of a late write error calls fsync before; nobody can act on it here.
            _ = Fd.Close(fd);
        }
    }
}
