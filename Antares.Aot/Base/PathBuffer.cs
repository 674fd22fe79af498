namespace Antares.Aot.Base;

/// <summary>A path written from its end to its front, as one climbs from an object to the root.</summary>
internal static unsafe class PathBuffer
{
    /// <summary>Puts a name and the slash before it in front of what is there; what does not fit is cut off at the front.</summary>
    /// <param name="name">The name.</param>
    /// <param name="buffer">Begin of the room.</param>
    /// <param name="at">Where the path begins, in bytes; moves to the front.</param>
    public static void Prepend(ByteName name, byte* buffer, ref int at)
    {
        int length = Math.Min(name.Length, at);
        at -= length;
        name.Span[(name.Length - length)..].CopyTo(new Span<byte>(buffer + at, length));
        if (at > 0)
        {
            buffer[--at] = (byte)'/';
        }
    }

    /// <summary>Moves a path that is ready to the begin of the room.</summary>
    /// <returns>Its length in bytes.</returns>
    public static int Finish(byte* buffer, int capacity, int at)
    {
        Buffer.MemoryCopy(buffer + at, buffer, capacity, capacity - at);
        return capacity - at;
    }
}
