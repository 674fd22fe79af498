using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>
/// Tells whether a file of the source still is what its node says: type, size and modification time to the nanosecond. A change that
/// keeps all three (within one tick of the file system's clock) is not seen.
/// </summary>
internal static class SourceVersion
{
    /// <param name="record">A node whose attributes are loaded; no device.</param>
    /// <param name="now">Attributes of the source's file now.</param>
    public static bool Same(in NodeRecord record, in stat now) =>
        FileTypes.FromMode(now.st_mode) == record.Type
        && (ulong)now.st_size == record.Size
        && PackedTime.Pack(now.st_mtim) == record.Time;
}
