using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// A time in 64 bits, as a node record holds it; the order of the packed values is the order in time.
/// </summary>
/// <remarks>
/// <code>
/// bits 63..30  seconds + 2^31 (34 bits: 1901-12-13T20:45:52Z to 2446-05-10T22:38:55Z, exactly ext4's range)
/// bits 29..0   nanoseconds
/// </code>
/// A time outside is clamped to the nearest end.
/// </remarks>
internal static class PackedTime
{
    public const long MinSeconds = -(1L << 31);
    public const long MaxSeconds = MinSeconds + (1L << 34) - 1;

    private const int NanosecondBits = 30;

    public static ulong Pack(timespec time)
    {
        if (time.tv_sec < MinSeconds)
        {
            return 0;
        }

        if (time.tv_sec > MaxSeconds)
        {
            return ((ulong)(MaxSeconds - MinSeconds) << NanosecondBits) | 999_999_999;
        }

        return ((ulong)(time.tv_sec - MinSeconds) << NanosecondBits) | (ulong)time.tv_nsec;
    }

    public static timespec Unpack(ulong packed) => new()
    {
        tv_sec = (long)(packed >> NanosecondBits) + MinSeconds,
        tv_nsec = (long)(packed & ((1UL << NanosecondBits) - 1)),
    };
}
