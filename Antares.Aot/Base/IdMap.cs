using System.Runtime.CompilerServices;

namespace Antares.Aot.Base;

/// <summary>A run of ids: <see cref="Inside"/> the mount they begin at one number, <see cref="Outside"/>, in the layers, at another.</summary>
public readonly record struct IdRange(uint Inside, uint Outside, uint Count);

/// <summary>Maps owner ids between a layer and the mount (<c>--uid-map</c>, <c>--gid-map</c>, squash options). Identity unless set.</summary>
/// <remarks>
/// Immutable once the mount is up; asked on each getattr, so it is a scan over a few ranges without allocation. Where there are ranges, an id
/// in none of them is shown as the overflow id and cannot be stored, as with a mount whose ids the kernel maps.
/// </remarks>
public sealed class IdMap
{
    /// <summary>What (uid_t)-1 is to every call: no id.</summary>
    public const uint None = uint.MaxValue;

    private readonly IdRange[] _ranges;
    private readonly uint _squash;
    private readonly uint _overflow;
    private readonly bool _takesUnmapped;

    /// <param name="ranges">Ranges that do not overlap; none: each id stays as it is.</param>
    /// <param name="squash">The id shown for every object, whoever owns it; <see cref="None"/>: as mapped.</param>
    /// <param name="overflow">Shown for ids in no range.</param>
    /// <param name="takesUnmapped">True: what a caller makes whose id is in no range is stored with <paramref name="overflow"/>.</param>
    public IdMap(IEnumerable<IdRange> ranges, uint squash = None, uint overflow = 65534, bool takesUnmapped = false)
    {
        _takesUnmapped = takesUnmapped;
        _ranges = [.. ranges];
        _squash = squash;
        _overflow = overflow;
    }

    public static IdMap Identity { get; } = new([]);

    /// <summary>True when ids stay as they are, in both directions.</summary>
    public bool IsIdentity => _ranges.Length == 0 && _squash == None;

    /// <summary>Layer (outside) id to the id shown in the mount (inside).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint ToMount(uint id) => _ranges.Length == 0 && _squash == None ? id : MapToMount(id);

    /// <summary>As <see cref="ToMount"/> for an id within an ACL: a squash option changes owners only.</summary>
    public uint AclToMount(uint id) => _ranges.Length == 0 ? id : MapRange(id);

    /// <summary>
    /// Id given by a caller in the mount (inside) to the id stored in the layer (outside). Under a squash option an object is stored with the
    /// id of whoever made it: only what is shown is squashed.
    /// </summary>
    /// <returns>False: the id is in no range, and can be stored nowhere.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryToLayer(uint id, out uint stored)
    {
        stored = id;
        return _ranges.Length == 0 || MapToLayer(id, out stored);
    }

    /// <summary>As <see cref="TryToLayer"/> for the id of a caller who makes something.</summary>
    public bool TryCallerToLayer(uint id, out uint stored)
    {
        if (TryToLayer(id, out stored))
        {
            return true;
        }

        stored = _overflow;
        return _takesUnmapped;
    }

    private uint MapToMount(uint id)
    {
        return _squash != None ? _squash : _ranges.Length == 0 ? id : MapRange(id);
    }

    private uint MapRange(uint id)
    {
        foreach (var (inside, outside, count) in _ranges)
        {
            if (id - outside < count)
            {
                return inside + (id - outside);
            }
        }

        return _overflow;
    }

    private bool MapToLayer(uint id, out uint stored)
    {
        foreach (var (inside, outside, count) in _ranges)
        {
            if (id - inside < count)
            {
                stored = outside + (id - inside);
                return true;
            }
        }

        stored = None;
        return false;
    }
}
