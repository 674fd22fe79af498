namespace Antares.Aot.Base;

/// <summary>Maps owner ids between a layer and the mount (<c>--uid-map</c>, <c>--gid-map</c>). Identity unless set.</summary>
/// <remarks>Immutable once the mount is up; asked on each getattr, so it is a scan over a few ranges without allocation.</remarks>
public sealed class IdMap
{
    private readonly (uint Inside, uint Outside, uint Count)[] _ranges;

    public IdMap(params (uint Inside, uint Outside, uint Count)[] ranges) => _ranges = ranges;

    public static IdMap Identity { get; } = new();

    /// <summary>Layer (outside) id to the id shown in the mount (inside); unmapped ids pass unchanged.</summary>
    public uint ToMount(uint id)
    {
        foreach (var (inside, outside, count) in _ranges)
        {
            if (id - outside < count)
            {
                return inside + (id - outside);
            }
        }

        return id;
    }

    /// <summary>Id given by a caller in the mount (inside) to the id stored in the layer (outside).</summary>
    public uint ToLayer(uint id)
    {
        foreach (var (inside, outside, count) in _ranges)
        {
            if (id - inside < count)
            {
                return outside + (id - inside);
            }
        }

        return id;
    }
}
