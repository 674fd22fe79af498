using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Finds the folder that holds the state file and the control sockets of a user's mounts.</summary>
public static class StateDirectory
{
    public const string Variable = "ANTARES_STATE_DIR";

    /// <summary>
    /// $ANTARES_STATE_DIR; else /run/antares-aot as root, $XDG_RUNTIME_DIR/antares-aot as a user; else /tmp/antares-aot-UID, and where
    /// that is another user's (root of a user namespace is any of them outside) the same with the number of the user namespace: the first that is
    /// there or can be made.
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

        var refused = new List<string>();
        foreach (var path in Candidates(uid, variable))
        {
            if (WhyNot(path, uid) is not { } reason)
            {
                return path;
            }

            refused.Add($"{path}: {reason}");
        }

        throw MountProblem.Host($"found no folder for the state of mounts ({string.Join("; ", refused)}); name a writable one in {Variable}");
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
        if (HostPath.ReadLink("/proc/self/ns/user", out var space) == Errno.None && space.IndexOf('[') is var start and >= 0)
        {
            yield return $"/tmp/antares-aot-{uid}-{space[(start + 1)..].TrimEnd(']')}";
        }
    }

    /// <summary>Makes a folder that is ours alone: in /tmp anybody may have made one of that name before us.</summary>
    /// <returns>Null, or why it is of no use.</returns>
    private static string? WhyNot(string path, uint uid)
    {
        const uint OthersMayWrite = 0x12; // 022
        var error = HostPath.MakeFolder(path, Modes.Private);
        if (error is not (Errno.None or Errno.EEXIST))
        {
            return ErrnoText.Of(error);
        }

        error = HostPath.Stat(path, out var attributes, follow: false);
        return error != Errno.None ? ErrnoText.Of(error)
            : (attributes.st_mode & StatMode.S_IFMT) != StatMode.S_IFDIR ? "no folder"
            : attributes.st_uid != uid ? "another user's"
            : (attributes.st_mode & OthersMayWrite) != 0 ? "open to writing by others"
            : HostPath.MayWrite(path) is var refusal and not Errno.None ? ErrnoText.Of(refusal)
            : null;
    }
}
