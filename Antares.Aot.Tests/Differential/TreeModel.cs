namespace Antares.Aot.Tests.Differential;

/// <summary>An object as the generator thinks of it.</summary>
internal sealed class ModelNode(char type)
{
    /// <summary>f, d, l, p (FIFO), s (socket) or c (device).</summary>
    public char Type { get; } = type;

    public SortedDictionary<string, ModelNode> Children { get; } = new(StringComparer.Ordinal);

    public long Size { get; set; }

    /// <summary>It has several names in a lower layer.</summary>
    public bool LinkedBelow { get; set; }
}

/// <summary>A name in the tree.</summary>
internal sealed record ModelPath(string Path, ModelNode Node)
{
    public string Parent => Path.LastIndexOf('/') is >= 0 and int at ? Path[..at] : ".";

    public string Name => Path[(Path.LastIndexOf('/') + 1)..];
}

/// <summary>
/// What the generator believes to be there, so that most of its calls make sense. It judges nothing: where it is wrong, a call fails alike
/// on every side.
/// </summary>
internal sealed class TreeModel
{
    public ModelNode Root { get; } = new('d');

    public List<ModelPath> All()
    {
        var found = new List<ModelPath>();
        Collect("", Root, found);
        return found;
    }

    public ModelNode? Find(string path)
    {
        ModelNode node = Root;
        if (path == ".")
            return node;
        foreach (string name in path.Split('/'))
        {
            if (!node.Children.TryGetValue(name, out ModelNode? next))
                return null;
            node = next;
        }
        return node;
    }

    public ModelNode? ParentOf(string path) => Find(new ModelPath(path, Root).Parent) is { Type: 'd' } parent ? parent : null;

    /// <summary>Adds a name that is free.</summary>
    public ModelNode? Add(string path, ModelNode node)
    {
        ModelNode? parent = path == "." || path.EndsWith(Texts.TooLong, StringComparison.Ordinal) ? null : ParentOf(path);
        return parent != null && parent.Children.TryAdd(NameOf(path), node) ? node : null;
    }

    public void Remove(string path) => ParentOf(path)?.Children.Remove(NameOf(path));

    /// <summary>As rename(2) does it, if it does.</summary>
    public bool Rename(string from, string to, bool exchange, bool noReplace)
    {
        ModelNode? source = Find(from), target = Find(to);
        ModelNode? fromParent = ParentOf(from), toParent = ParentOf(to);
        // The root has no name that could be moved.
        if (from == "." || to == "." || source == null || to.EndsWith(Texts.TooLong, StringComparison.Ordinal) || fromParent == null || toParent == null || (to + "/").StartsWith(from + "/", StringComparison.Ordinal))
            return false;
        if (exchange)
        {
            if (target == null || (from + "/").StartsWith(to + "/", StringComparison.Ordinal))
                return false;
            fromParent.Children[NameOf(from)] = target;
            toParent.Children[NameOf(to)] = source;
            return true;
        }
        if (target != null && (noReplace || target == source || (target.Type == 'd') != (source.Type == 'd') || target.Children.Count > 0))
            return false;
        fromParent.Children.Remove(NameOf(from));
        toParent.Children[NameOf(to)] = source;
        return true;
    }

    public static string NameOf(string path) => path[(path.LastIndexOf('/') + 1)..];

    public static string Join(string directory, string name) => directory == "." ? name : $"{directory}/{name}";

    private static void Collect(string prefix, ModelNode node, List<ModelPath> found)
    {
        foreach ((string name, ModelNode child) in node.Children)
        {
            found.Add(new ModelPath(prefix + name, child));
            if (child.Type == 'd')
                Collect(prefix + name + "/", child, found);
        }
    }
}
