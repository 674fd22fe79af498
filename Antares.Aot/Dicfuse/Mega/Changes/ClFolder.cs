namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>A directory that a changelist touches, or whose directories it touches: what the revision has there, and what is to be done.</summary>
/// <param name="name">Its name; "" for the mounted directory.</param>
/// <param name="path">Its path, relative to the mounted directory.</param>
internal sealed class ClFolder(string name, string path)
{
    public string Name { get; } = name;

    public string Path { get; } = path;

    /// <summary>What the revision has in it, by <see cref="NameKey"/>; null: it has no such directory.</summary>
    public Dictionary<string, GitContent>? Entries { get; set; }

    public SortedDictionary<string, ClFolder> Folders { get; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, ClPut> Puts { get; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, ClRemoval> Removals { get; } = new(StringComparer.Ordinal);

    /// <summary>Targets by name, as far as they differ from the revision.</summary>
    public SortedDictionary<string, ClTarget> Targets { get; } = new(StringComparer.Ordinal);

    /// <summary>The changelist puts something here, or further below.</summary>
    public bool HasPuts => Puts.Count > 0 || Folders.Values.Any(below => below.HasPuts);

    /// <summary>Path of a name in it.</summary>
    public string PathOf(string child) => Path.Length == 0 ? child : $"{Path}/{child}";

    /// <summary>The tree of all directories on the way to a path that a changelist names.</summary>
    public static ClFolder TreeOf(ClPlacement placed)
    {
        var root = new ClFolder("", "");
        foreach (ClPut put in placed.Puts.Values)
        {
            ClFolder folder = root.Reach(put.Path, out string name);
            folder.Puts.Add(name, put);
        }

        foreach ((string path, ClRemoval removal) in placed.Removals)
        {
            ClFolder folder = root.Reach(path, out string name);
            folder.Removals.Add(name, removal);
        }

        return root;
    }

    /// <summary>What the revision has at a path below this directory; the directories on the way were read before.</summary>
    public GitContent Find(string path)
    {
        ClFolder? folder = this;
        int start = 0;
        for (int slash = path.IndexOf('/'); slash >= 0; slash = path.IndexOf('/', start))
        {
            if (!folder.Folders.TryGetValue(path[start..slash], out folder))
            {
                return default;
            }

            start = slash + 1;
        }

        return folder.FindHere(path[start..]);
    }

    /// <summary>What the revision has under a name; mode none: nothing.</summary>
    public GitContent FindHere(string child) =>
        Entries is not null && Entries.TryGetValue(NameKey.Of(child), out GitContent there) ? there : default;

    /// <summary>The directories alone, without what is in them.</summary>
    public ClFolder Bare()
    {
        var bare = new ClFolder(Name, Path);
        foreach ((string below, ClFolder folder) in Folders)
        {
            bare.Folders.Add(below, folder.Bare());
        }

        return bare;
    }

    private ClFolder Reach(string path, out string name)
    {
        ClFolder at = this;
        int start = 0;
        for (int slash = path.IndexOf('/'); slash >= 0; slash = path.IndexOf('/', start))
        {
            string part = path[start..slash];
            if (!at.Folders.TryGetValue(part, out ClFolder? next))
            {
                next = new ClFolder(part, path[..slash]);
                at.Folders.Add(part, next);
            }

            at = next;
            start = slash + 1;
        }

        name = path[start..];
        return at;
    }
}
