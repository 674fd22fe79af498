using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Finds the folder that holds the state file and the control sockets of a user's mounts.</summary>
public static class StateDirectory
{
    public const string Variable = "ANTARES_STATE_DIR";

    /// <summary>
    /// $ANTARES_STATE_DIR; else /run/antares-aot as root, $XDG_RUNTIME_DIR/antares-aot as a user; else /tmp/antares-aot-UID: the first
    /// that is there or can be made.
    /// </summary>
    /// <exception cref="MountProblem">Host: none can be made, or the one in the variable can't; Usage: that is not UTF-8.</exception>
    public static string Find() => Find(Process.Geteuid(), Environment.GetEnvironmentVariable);

    internal static string Find(uint uid, Func<string, string?> variable)
    {
        if (variable(Variable) is { Length: > 0 } chosen)
        {
            chosen = HostPath.Absolute(chosen);
            if (!HostPath.IsFaithful(chosen))
            {
                throw MountProblem.Usage($"the state folder {chosen} (from {Variable}) is not UTF-8; choose another");
            }

            var error = HostPath.MakeFolders(chosen, Modes.Private);
            return error == Errno.None
                ? chosen
                : throw MountProblem.Host($"cannot make the state folder {chosen} (from {Variable}): {ErrnoText.Of(error)}");
        }

        foreach (var path in Candidates(uid, variable))
        {
            if (HostPath.MakeFolder(path, Modes.Private) is Errno.None or Errno.EEXIST && IsSafe(path, uid))
            {
                return path;
            }
        }

        throw MountProblem.Host($"found no folder for the state of mounts; name a writable one in {Variable}");
    }

    private static IEnumerable<string> Candidates(uint uid, Func<string, string?> variable)
    {
        if (uid == 0)
        {
            yield return "/run/antares-aot";
        }
        else if (variable("XDG_RUNTIME_DIR") is { Length: > 0 } runtime && HostPath.IsFaithful(runtime))
        {
            yield return runtime.TrimEnd('/') + "/antares-aot";
        }

        yield return $"/tmp/antares-aot-{uid}";
    }

    /// <summary>Ours alone: in /tmp anybody may have made a folder of that name before us.</summary>
    private static bool IsSafe(string path, uint uid)
    {
        const uint OthersMayWrite = 0x12; // 022
        return HostPath.Stat(path, out var attributes, follow: false) == Errno.None
            && (attributes.st_mode & StatMode.S_IFMT) == StatMode.S_IFDIR
            && attributes.st_uid == uid
            && (attributes.st_mode & OthersMayWrite) == 0;
    }
}
