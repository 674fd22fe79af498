namespace Antares.Aot.Overlay;

/// <summary>
/// Order between the two things that the kernel tells of a file whose writes it collects: the data (WRITE) and the time of the last change
/// (SETATTR). They may come in either order, and a WRITE must not leave the time at which it happened to be handed over. So a WRITE puts
/// back the time that it found, and no SETATTR of that file comes in between.
/// </summary>
/// <remarks>
/// Taken before the gate, never after it, and only for a file that the upper has: nothing of a source is waited for with it held. Not held
/// over a reply. Files share a lock by chance.
/// </remarks>
public sealed class CollectedWrites
{
    private const int Count = 256;

    private readonly Lock[] _locks = [.. Enumerable.Range(0, Count).Select(_ => new Lock())];

    /// <summary>The lock of a file.</summary>
    public Lock Of(ulong nodeId) => _locks[(nodeId ^ (nodeId >> 32)) % Count];
}
