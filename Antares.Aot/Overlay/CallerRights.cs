using System.Buffers.Text;
using System.Globalization;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>What a request does not tell of its caller, asked of /proc: for rare cases only, since it costs three system calls.</summary>
internal static unsafe class CallerRights
{
    private const int StatusRoom = 4096;
    private const ulong CapFowner = 1UL << 3;
    private const ulong CapFsetid = 1UL << 4;
    private const ulong CapSysAdmin = 1UL << 21;

    /// <summary>
    /// True for root with CAP_FSETID, whose writes leave set-id bits alone. Of a mount whose ids may be mapped the kernel names the caller by
    /// its thread only; one that is gone, or is in another pid namespace, has no rights.
    /// </summary>
    public static bool MayKeepSetId(in Caller caller) => (caller.Uid == IdMap.None || caller.Uid == 0) && AsksProc(caller.Pid, CapFsetid);

    /// <summary>True for root with CAP_SYS_ADMIN, who alone is told of trusted attributes; as with <see cref="MayKeepSetId"/>.</summary>
    public static bool MaySeeTrusted(in Caller caller) => (caller.Uid == IdMap.None || caller.Uid == 0) && AsksProc(caller.Pid, CapSysAdmin);

    /// <summary>
    /// True for who may take set-id bits from an object: its owner, and root with CAP_FOWNER (inode_owner_or_capable). A caller who is named by its
    /// thread only is who /proc says, which is another id than the object's where the mount is seen through an idmapped one.
    /// </summary>
    public static bool OwnsOrMay(in Caller caller, uint owner)
    {
        uint uid = caller.Uid;
        byte* status = stackalloc byte[StatusRoom];
        if (uid == IdMap.None && (!TryReadStatus(caller.Pid, status, out int length) || !TryReadFileId(new ReadOnlySpan<byte>(status, length), "\nUid:\t"u8, out uid)))
        {
            return false;
        }

        return uid == owner || (uid == 0 && AsksProc(caller.Pid, CapFowner));
    }

    /// <summary>Reads the last of the four ids of "Uid:" or "Gid:", which is the one for files.</summary>
    internal static bool TryReadFileId(ReadOnlySpan<byte> status, ReadOnlySpan<byte> heading, out uint id)
    {
        int line = status.IndexOf(heading);
        ReadOnlySpan<byte> ids = line < 0 ? default : status[(line + heading.Length)..];
        ids = ids[..Math.Max(0, ids.IndexOf((byte)'\n'))];
        ids = ids[(ids.LastIndexOf((byte)'\t') + 1)..];
        return Utf8Parser.TryParse(ids, out id, out int digits) && digits == ids.Length;
    }

    /// <summary>True when a thread is about to end by a signal that nothing holds up any more. False also when it cannot be seen.</summary>
    public static bool IsKilled(uint thread)
    {
        byte* status = stackalloc byte[StatusRoom];
        return TryReadStatus(thread, status, out int length) && HasPendingKill(new ReadOnlySpan<byte>(status, length));
    }

    /// <summary>Reads "SigPnd:": SIGKILL is pending in each thread of a process that ends by a signal.</summary>
    internal static bool HasPendingKill(ReadOnlySpan<byte> status)
    {
        const ulong Kill = 1UL << 8;
        int pending = status.IndexOf("\nSigPnd:\t"u8);
        ReadOnlySpan<byte> digits = pending < 0 ? default : status[(pending + 9)..];
        return digits.Length >= 16 && ulong.TryParse(digits[..16], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong signals)
            && (signals & Kill) != 0;
    }

    private static bool AsksProc(uint thread, ulong capability)
    {
        byte* status = stackalloc byte[StatusRoom];
        return TryReadStatus(thread, status, out int length) && IsRootWithRight(new ReadOnlySpan<byte>(status, length), capability);
    }

    private static bool TryReadStatus(uint thread, byte* status, out int count)
    {
        count = 0;
        byte* path = stackalloc byte[32];
        var room = new Span<byte>(path, 32);
        "/proc/"u8.CopyTo(room);
        _ = Utf8Formatter.TryFormat(thread, room[6..], out int digits);
        "/status\0"u8.CopyTo(room[(6 + digits)..]);
        if (thread == 0 || Fd.Open(path, Fcntl.O_RDONLY | Fcntl.O_CLOEXEC, 0, out int fd) != Errno.None)
        {
            return false;
        }

        Errno error = FileIo.Read(fd, status, StatusRoom, out nuint length);
        _ = Fd.Close(fd); // only read
        count = (int)length;
        return error == Errno.None;
    }

    /// <summary>Reads "Uid:" (the last of its four is the one for files) and "CapEff:".</summary>
    internal static bool IsRootWithRight(ReadOnlySpan<byte> status, ulong capability = CapFsetid)
    {
        int uids = status.IndexOf("\nUid:"u8);
        int capabilities = status.IndexOf("\nCapEff:\t"u8);
        if (uids < 0 || capabilities < 0)
        {
            return false;
        }

        ReadOnlySpan<byte> line = status[(uids + 1)..];
        line = line[..Math.Max(0, line.IndexOf((byte)'\n'))];
        ReadOnlySpan<byte> digits = status[(capabilities + 9)..];
        return line.EndsWith("\t0"u8)
            && digits.Length >= 16 && ulong.TryParse(digits[..16], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong effective)
            && (effective & capability) != 0;
    }
}
