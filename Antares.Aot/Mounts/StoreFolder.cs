using Antares.Aot.Diagnostics;
using Antares.Aot.Dicfuse.Store;
using Antares.Interop;

namespace Antares.Aot.Mounts;

/// <summary>Finds the folder of the store, which outlives mounts and is shared by those of one user.</summary>
public static class StoreFolder
{
    public const string Variable = "ANTARES_STORE";
    public const long DefaultLimit = 20L << 30;
    public const long LeastLimit = 16L << 20;

    /// <summary>$ANTARES_STORE; else /var/cache/antares-aot/store as root; else $XDG_CACHE_HOME or $HOME/.cache, with antares-aot/store.</summary>
    /// <returns>Null: the environment names no place.</returns>
    internal static string? Usual(uint uid, Func<string, string?> variable)
    {
        if (variable(Variable) is { Length: > 0 } chosen)
        {
            return HostPath.Absolute(chosen);
        }

        if (uid == 0)
        {
            return "/var/cache/antares-aot/store";
        }

        if (variable("XDG_CACHE_HOME") is { } cache && cache.StartsWith('/'))
        {
            return cache.TrimEnd('/') + "/antares-aot/store";
        }

        return variable("HOME") is { } home && home.StartsWith('/') ? home.TrimEnd('/') + "/.cache/antares-aot/store" : null;
    }

    /// <summary>Opens the store that was named, or the usual one; where that cannot be, the workspace's.</summary>
    /// <param name="given">From the command line, or null.</param>
    /// <param name="workspace">Folder that goes with the mount, or null.</param>
    /// <param name="log">Hears of a store that is done without.</param>
    /// <exception cref="MountProblem">Host: none can be opened.</exception>
    internal static ObjectStore Open(string? given, string? workspace, Log log)
    {
        var path = given ?? Usual(Process.Geteuid(), Environment.GetEnvironmentVariable);
        if (path is not null)
        {
            try
            {
                return OpenAt(HostPath.Absolute(path));
            }
            catch (MountProblem problem) when (given is null && workspace is not null)
            {
                log.Warn($"nothing is kept for the next mount: {problem.Message}");
            }
        }

        return OpenAt(workspace ?? throw MountProblem.Host($"found no folder for the store; name one with --store or in {Variable}"));
    }

    /// <summary>Opens a store, and makes it where there is none.</summary>
    /// <exception cref="MountProblem">Host: it cannot be made or is no store.</exception>
    internal static ObjectStore OpenAt(string path)
    {
        if (!HostPath.IsFaithful(path))
        {
            throw MountProblem.Usage($"store {path}: its path is not UTF-8; choose another with --store");
        }

        var error = HostPath.MakeFolders(path, Modes.Private);
        if (error != Errno.None)
        {
            throw MountProblem.Host($"store {path} cannot be made: {ErrnoText.Of(error)}; name another folder with --store");
        }

        error = ObjectStore.Open(path, out var store, out var problem);
        return error switch
        {
            Errno.None when store is not null => store,
            Errno.EPROTO => throw MountProblem.Host($"store {problem}; name another, empty folder with --store"),
            Errno.EPERM => throw MountProblem.Host($"store {problem}; name a folder of this user's own with --store"),
            _ => throw MountProblem.Host($"store {problem}: {ErrnoText.Of(error)}; name another folder with --store"),
        };
    }
}
