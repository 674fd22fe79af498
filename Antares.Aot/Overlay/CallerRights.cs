using System.Buffers.Text;
using System.Globalization;
using Antares.Aot.Base;
using Antares.Interop;

namespace Antares.Aot.Overlay;

/// <summary>What a request does not tell of its caller, asked of /proc: for rare cases only, since it costs three system calls.</summary>
internal static unsafe class CallerRights
{
    private const int StatusRoom = 4096;
    private const ulong CapFsetid = 1UL << 4;
    private const ulong CapSysAdmin = 1UL << 21;

    /// <summary>
    /// True for root with CAP_FSETID, whose writes leave set-id bits alone. Of a mount whose ids may be mapped the kernel names the caller by
    /// its thread only; one that is gone, or is in another pid namespace, has no rights.
    /// </summary>
    public static bool MayKeepSetId(in Caller caller) => (caller.Uid == IdMap.None || caller.Uid == 0) && AsksProc(caller.Pid, CapFsetid);

    /// <summary>True for root with CAP_SYS_ADMIN, who alone is told of trusted attributes; as with <see cref="MayKeepSetId"/>.</summary>
    public static bool MaySeeTrusted(in Caller caller) => (caller.Uid == IdMap.None || caller.Uid == 0) && AsksProc(caller.Pid, CapSysAdmin);

    private static bool AsksProc(uint thread, ulong capability)
    {
        byte* path = stackalloc byte[32];
        byte* status = stackalloc byte[StatusRoom];
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
        return error == Errno.None && IsRootWithRight(new ReadOnlySpan<byte>(status, (int)length), capability);
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
