using System.Runtime.CompilerServices;

namespace Antares.Aot.Dicfuse.Tree;

/// <summary>How the hash index of a directory's names is laid out (<see cref="NameIndex"/>): follows from their number alone.</summary>
internal readonly unsafe struct NameIndexShape
{
    public NameIndexShape(uint count)
    {
        Room = count + (count / 4) + 1;
        (SlotBytes, PositionBits) = count switch
        {
            <= 254 => (2u, 8),
            <= 4094 => (2u, 12),
            <= 131_070 => (3u, 17),
            _ => (4u, 24),
        };
    }

    /// <summary>Slots.</summary>
    public uint Room { get; }

    public uint SlotBytes { get; }

    public int PositionBits { get; }

    public ulong Bytes => (ulong)Room * SlotBytes;

    public uint Tag(ulong hash) => (uint)(hash >> 52) & ((1u << ((8 * (int)SlotBytes) - PositionBits)) - 1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Home(ulong hash) => (uint)(((hash & uint.MaxValue) * Room) >> 32);

    public uint After(uint at) => at + 1 == Room ? 0 : at + 1;

    /// <summary>Place among the names that a slot in use leads to; a damaged slot may give any number.</summary>
    public uint Position(uint slot) => (slot & ((1u << PositionBits) - 1)) - 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Get(byte* index, uint at)
    {
        byte* slot = index + ((ulong)at * SlotBytes);
        return SlotBytes switch
        {
            2 => *(ushort*)slot,
            3 => *(ushort*)slot | ((uint)slot[2] << 16),
            _ => *(uint*)slot,
        };
    }

    /// <summary>Enters one name into an index that has room for it.</summary>
    public void Enter(byte* index, uint position, ulong hash)
    {
        uint at = Home(hash);
        while (Get(index, at) != 0)
        {
            at = After(at);
        }

        uint value = (Tag(hash) << PositionBits) | (position + 1);
        byte* slot = index + ((ulong)at * SlotBytes);
        for (uint i = 0; i < SlotBytes; i++)
        {
            slot[i] = (byte)(value >> (8 * (int)i));
        }
    }
}
