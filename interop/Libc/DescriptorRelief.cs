using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>
/// What to do when the process (EMFILE) or the machine (ENFILE) has no free descriptor: caches of descriptors give up idle ones, and
/// the call that found none is made once more.
/// </summary>
/// <remarks>
/// A cache that gives up descriptors may hold no lock of its own while it opens one. Nothing here costs anything as long as
/// descriptors are free.
/// </remarks>
public static class DescriptorRelief
{
    private static readonly Lock Gate = new();
    private static readonly List<Func<bool>> Caches = [];

    /// <summary>Makes a cache known.</summary>
    /// <param name="giveUp">
    /// Closes some of its descriptors that nobody uses; true when at least one was closed. Called on any thread that opens something;
    /// must throw nothing and open nothing.
    /// </param>
    public static void Add(Func<bool> giveUp)
    {
        lock (Gate)
        {
            Caches.Add(giveUp);
        }
    }

    /// <summary>Forgets a cache. After the return it is not called any more.</summary>
    public static void Remove(Func<bool> giveUp)
    {
        lock (Gate)
        {
            _ = Caches.Remove(giveUp); // not there: forgotten before
        }
    }

    /// <summary>
    /// For the loop around a call that makes a descriptor: true when it failed for want of one and some were given up since, so that it
    /// is worth another try.
    /// </summary>
    /// <param name="result">What the call answered; when this returns false the stored errno is still the call's.</param>
    /// <param name="tried">Whether this call was relieved before: once is enough.</param>
    internal static bool Helps(long result, ref bool tried)
    {
        if (result != -1 || tried)
        {
            return false;
        }

        int error = Marshal.GetLastPInvokeError();
        if ((Errno)error is not (Errno.EMFILE or Errno.ENFILE))
        {
            return false;
        }

        tried = true;
        bool helps = GiveUp();
        Marshal.SetLastPInvokeError(error);
        return helps;
    }

    private static bool GiveUp()
    {
        bool any = false;
        lock (Gate)
        {
            foreach (Func<bool> giveUp in CollectionsMarshal.AsSpan(Caches))
            {
                any |= giveUp();
            }
        }

        return any;
    }
}
