namespace Antares.Aot.Base;

/// <summary>
/// The 64-bit id by which the kernel names an object of a mount (FUSE nodeid). Private to one mount; never used twice.
/// </summary>
/// <remarks>
/// <code>
/// bits   lower object                     upper-only object
/// 63     0                                0
/// 62     0                                1
/// 61..32 tree slot (1, 2, …)              generation of the slot in the upper's node table
/// 31..0  node index in that layer         node index in the upper
/// </code>
/// 1 is the root (FUSE_ROOT_ID), 0 means "no such entry" in a lookup reply. A lower object keeps its id when it is copied up,
/// renamed or unlinked: the kernel's page cache hangs on it.
/// </remarks>
public static class NodeId
{
    public const ulong None = 0;
    public const ulong Root = 1;

    private const ulong UpperBit = 1UL << 62;
    private const uint GenerationMask = (1u << 30) - 1;

    public static ulong Lower(uint slot, uint node) => ((ulong)slot << 32) | node;

    public static ulong Upper(uint generation, uint node) => UpperBit | ((ulong)(generation & GenerationMask) << 32) | node;

    public static bool IsUpper(ulong id) => (id & UpperBit) != 0;

    /// <summary>Tree slot of a lower id (0 for the root and for none).</summary>
    public static uint SlotOf(ulong id) => (uint)(id >> 32) & GenerationMask;

    /// <summary>Node index within the layer.</summary>
    public static uint NodeOf(ulong id) => (uint)id;

    /// <summary>Generation of an upper id.</summary>
    public static uint GenerationOf(ulong id) => (uint)(id >> 32) & GenerationMask;
}
