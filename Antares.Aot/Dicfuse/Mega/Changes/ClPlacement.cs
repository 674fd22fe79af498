using Antares.Aot.Dicfuse.Store;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>A file that a changelist puts into the mounted directory.</summary>
/// <param name="Path">Relative to the mounted directory.</param>
/// <param name="Id">Its content.</param>
/// <param name="Action">New, modified or renamed.</param>
/// <param name="From">Of a renamed one: where it was in the mounted directory; null: elsewhere, or not told.</param>
internal sealed record ClPut(string Path, ObjectId Id, ClAction Action, string? From);

/// <summary>A path that a changelist takes away.</summary>
/// <param name="Id">What was there; none: it is only known as the origin of a renamed file.</param>
/// <param name="IsDeletion">Named as deleted, not only as the origin of another.</param>
internal readonly record struct ClRemoval(ObjectId Id, bool IsDeletion);

/// <summary>
/// A changelist as the mounted directory sees it: its paths, which begin at a directory of its own above, at or below the mounted one,
/// made relative to that.
/// </summary>
internal sealed class ClPlacement
{
    public Dictionary<string, ClPut> Puts { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, ClRemoval> Removals { get; } = new(StringComparer.Ordinal);

    /// <summary>What the changelist does elsewhere, by absolute paths of the monorepo, in its order.</summary>
    public List<(ClAction Action, string Path)> Outside { get; } = [];

    /// <summary>Places the lines of a changelist.</summary>
    /// <param name="entries">Checked one by one.</param>
    /// <param name="origin">Where its paths begin: "/" or "/a/b".</param>
    /// <param name="mounted">The mounted directory, likewise.</param>
    /// <exception cref="MegaProblem">The lines contradict each other, or leave no place for the mounted directory.</exception>
    public static ClPlacement Of(IReadOnlyList<ClEntry> entries, string origin, string mounted)
    {
        var placed = new ClPlacement();
        foreach (ClEntry entry in entries)
        {
            string whole = Join(origin, entry.Path);
            string? path = Within(mounted, whole);
            string? from = entry.OldPath is { } old ? Within(mounted, Join(origin, old)) : null;
            if (from is not null)
            {
                placed.Remove(from, new ClRemoval(default, false));
            }

            if (path is null)
            {
                RefuseAbove(entry, whole, mounted);
                placed.Outside.Add((entry.Action, whole));
            }
            else if (entry.Action == ClAction.Deleted)
            {
                placed.Remove(path, new ClRemoval(entry.Id, true));
            }
            else if (!placed.Puts.TryAdd(path, new ClPut(path, entry.Id, entry.Action, from)))
            {
                throw MegaProblem.Damaged($"the changelist has {Changelist.Shown(path)} twice");
            }
        }

        placed.CheckConsistency();
        return placed;
    }

    /// <summary>A path below a directory.</summary>
    public static string Join(string directory, string path) => directory == "/" ? "/" + path : $"{directory}/{path}";

    private static string? Within(string directory, string path) =>
        directory == "/" ? path[1..]
        : path.Length > directory.Length + 1 && path[directory.Length] == '/' && path.StartsWith(directory, StringComparison.Ordinal) ? path[(directory.Length + 1)..]
        : null;

    // A file at the mounted directory's own path, or at that of a directory above it, would take its place.
    private static void RefuseAbove(in ClEntry entry, string path, string mounted)
    {
        if (entry.Action != ClAction.Deleted && (mounted == path || mounted.StartsWith(path + "/", StringComparison.Ordinal)))
        {
            throw MegaProblem.Damaged($"the changelist puts a file at {path}, where the mounted directory {mounted} lies");
        }
    }

    private void Remove(string path, ClRemoval removal)
    {
        if (!Removals.TryGetValue(path, out ClRemoval known))
        {
            Removals.Add(path, removal);
            return;
        }

        if (known.IsDeletion && removal.IsDeletion)
        {
            throw MegaProblem.Damaged($"the changelist deletes {Changelist.Shown(path)} twice");
        }

        // Several files may come from one; a deletion tells more than an origin.
        Removals[path] = removal.IsDeletion ? removal : known;
    }

    private void CheckConsistency()
    {
        foreach (ClPut put in Puts.Values)
        {
            if (put.Action == ClAction.Modified && Removals.TryGetValue(put.Path, out ClRemoval removal) && removal.IsDeletion)
            {
                throw MegaProblem.Damaged($"the changelist both modifies and deletes {Changelist.Shown(put.Path)}");
            }

            for (int slash = put.Path.IndexOf('/'); slash >= 0; slash = put.Path.IndexOf('/', slash + 1))
            {
                if (Puts.ContainsKey(put.Path[..slash]))
                {
                    throw MegaProblem.Damaged($"the changelist has {Changelist.Shown(put.Path[..slash])} as a file and as a directory");
                }
            }
        }
    }
}
