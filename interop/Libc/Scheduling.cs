using System.Runtime.InteropServices;

namespace Antares.Interop;

/// <summary>How much of the processor a thread gets.</summary>
public static partial class Scheduling
{
    private const uint PRIO_PROCESS = 0;

    /// <summary>Sets the nice value (-20 to 19) of one thread, by its kernel id; Linux keeps it per thread.</summary>
    /// <returns>EACCES: lowered without CAP_SYS_NICE; EPERM: another user's thread; ESRCH: no such thread.</returns>
    public static Errno SetNice(int threadId, int nice) => Returned.Of(setpriority_native(PRIO_PROCESS, (uint)threadId, nice));

    [LibraryImport("libc", EntryPoint = "setpriority", SetLastError = true)]
    private static partial int setpriority_native(uint which, uint who, int nice);
}
