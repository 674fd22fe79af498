using System.Text;
using Antares.Aot.Base;
using Antares.Aot.Layers;
using Antares.Interop;

namespace Antares.Aot.Dicfuse.Mega.Changes;

/// <summary>A directory that a changelist touches, or whose directories it touches: what the revision has there, and what is to be done.</summary>
/// <param name="name">Its name; "" for the mounted directory.</param>
/// <param name="path">Its path, relative to the mounted directory.</param>
internal sealed class ClFolder(string name, string path)
{
    public string Name { get; } = name;

    public string Path { get; } = path;

    /// <summary>The revision's node; 0: it has no such directory.</summary>
    public uint Node { get; set; }

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
        var root = new ClFolder("", "") { Node = ILayer.RootNode };
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

    /// <summary>What the revision has at a path below this directory; the directories on the way were found before.</summary>
    public uint Find(DicfuseTree tree, string path)
    {
        ClFolder? folder = this;
        int start = 0;
        for (int slash = path.IndexOf('/'); slash >= 0; slash = path.IndexOf('/', start))
        {
            if (!folder.Folders.TryGetValue(path[start..slash], out folder))
            {
                return 0;
            }

            start = slash + 1;
        }

        return folder.FindHere(tree, path[start..]);
    }

    /// <summary>What the revision has under a name; 0: nothing.</summary>
    public unsafe uint FindHere(DicfuseTree tree, string child)
    {
        if (Node == 0)
        {
            return 0;
        }

        byte[] bytes = [.. Encoding.UTF8.GetBytes(child), 0];
        fixed (byte* pointer = bytes)
        {
            Errno error = tree.FindInSource(Node, new ByteName(pointer, bytes.Length - 1), out uint node);
            return error is Errno.None or Errno.ENOENT ? node : throw new MegaProblem(error, $"{PathOf(child)}: the directory cannot be listed ({error})");
        }
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
