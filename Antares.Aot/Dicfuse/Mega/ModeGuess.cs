using Antares.Aot.Dicfuse.Store;

namespace Antares.Aot.Dicfuse.Mega;

/// <summary>
/// Gives the entries of a listing, which has no modes, those that they have: from a raw tree of another revision where name and id
/// are the same; for the others by trying until the tree has the hash that its parent names.
/// </summary>
internal static class ModeGuess
{
    /// <summary>Unsure entries of which every combination is tried.</summary>
    private const int MostCombined = 5;

    /// <summary>Unsure entries of which every combination of plain and executable is tried: nearly all are one of the two.</summary>
    private const int MostPlain = 13;

    /// <summary>Entries that are tried with another mode at a time, whether unsure or not.</summary>
    private const int MostChanged = 3;

    /// <summary>Bounds for the work: trees hashed, and bytes of them.</summary>
    private const int MostHashes = 20_000;
    private const int MostHashedBytes = 64 << 20;

    private static readonly GitMode[] s_fileModes = [GitMode.File, GitMode.Executable, GitMode.Symlink, GitMode.Submodule];
    private static readonly GitMode[] s_plainModes = [GitMode.File, GitMode.Executable];

    /// <summary>Fills in modes; sorts the entries as git does.</summary>
    /// <param name="entries">From a listing: directories have their mode.</param>
    /// <param name="head">The raw tree of the same path that the server shows now; may be empty.</param>
    /// <returns>How many modes are guesses.</returns>
    public static int FromHead(TreeEntry[] entries, ReadOnlySpan<byte> head)
    {
        var known = new Dictionary<string, (ObjectId Id, GitMode Mode)>(StringComparer.Ordinal);
        var reader = new GitTreeReader(head);
        while (reader.MoveNext())
        {
            known[System.Text.Encoding.Latin1.GetString(reader.Name)] = (reader.Id, reader.Mode);
        }

        int unsure = 0;
        foreach (ref TreeEntry entry in entries.AsSpan())
        {
            if (entry.Mode == GitMode.Directory)
            {
                continue;
            }

            bool found = known.TryGetValue(System.Text.Encoding.Latin1.GetString(entry.Name), out (ObjectId Id, GitMode Mode) there);
            entry.Mode = found && there.Mode != GitMode.Directory ? there.Mode : GitMode.File;
            entry.IsUnsure = !found || there.Mode == GitMode.Directory || there.Id != entry.Id;
            unsure += entry.IsUnsure ? 1 : 0;
        }

        GitTreeWriter.Sort(entries);
        return unsure;
    }

    /// <summary>
    /// Tries modes until the tree is the one that its parent names: those of unsure entries in every combination, then those of any few
    /// entries (a mode may have changed and the content not).
    /// </summary>
    /// <returns>True: found, and the entries have the right modes. False: they are as they were.</returns>
    public static bool TryMatch(TreeEntry[] entries, in ObjectId expected)
    {
        int[] files = [.. Enumerable.Range(0, entries.Length).Where(i => entries[i].Mode != GitMode.Directory).OrderByDescending(i => entries[i].IsUnsure)];
        int[] unsure = [.. files.Where(i => entries[i].IsUnsure)];
        int left = Math.Clamp(MostHashedBytes / Math.Max(1, GitTreeWriter.Write(entries).Length), 1, MostHashes);
        if (Matches(entries, expected, ref left)
            || (unsure.Length <= MostCombined && TryAll(entries, unsure, s_fileModes, 0, expected, ref left))
            || (unsure.Length is > MostCombined and <= MostPlain && TryAll(entries, unsure, s_plainModes, 0, expected, ref left)))
        {
            return true;
        }

        for (int changes = 1; changes <= MostChanged; changes++)
        {
            if (TryChanges(entries, files, 0, changes, expected, ref left))
            {
                return true;
            }
        }

        return false;
    }

    private static bool TryAll(TreeEntry[] entries, int[] unsure, GitMode[] modes, int next, in ObjectId expected, ref int left)
    {
        if (next == unsure.Length)
        {
            return Matches(entries, expected, ref left);
        }

        ref TreeEntry entry = ref entries[unsure[next]];
        GitMode before = entry.Mode;
        foreach (GitMode mode in modes)
        {
            entry.Mode = mode;
            if (left > 0 && TryAll(entries, unsure, modes, next + 1, expected, ref left))
            {
                return true;
            }
        }

        entry.Mode = before;
        return false;
    }

    private static bool TryChanges(TreeEntry[] entries, int[] files, int from, int changes, in ObjectId expected, ref int left)
    {
        if (changes == 0)
        {
            return Matches(entries, expected, ref left);
        }

        for (int i = from; i < files.Length && left > 0; i++)
        {
            ref TreeEntry entry = ref entries[files[i]];
            GitMode before = entry.Mode;
            foreach (GitMode mode in s_fileModes)
            {
                entry.Mode = mode;
                if (mode != before && TryChanges(entries, files, i + 1, changes - 1, expected, ref left))
                {
                    return true;
                }
            }

            entry.Mode = before;
        }

        return false;
    }

    // Files, links and submodules sort alike, so that a changed mode leaves the order as it is.
    private static bool Matches(TreeEntry[] entries, in ObjectId expected, ref int left) =>
        left-- > 0 && GitHash.Of(ObjectKind.Tree, GitTreeWriter.Write(entries)) == expected;
}
