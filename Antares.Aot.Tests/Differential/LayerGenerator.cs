namespace Antares.Aot.Tests.Differential;

/// <summary>
/// Makes layers, from the bottom up: each is a script that fills its folder, in kernel overlayfs' format (whiteouts, opaque directories,
/// redirects), while the model follows what the merged tree becomes.
/// </summary>
internal sealed class LayerGenerator(SeededRandom random, TreeModel model)
{
    private readonly HashSet<string> _redirected = [];
    private SortedDictionary<string, List<string>> _made = [];
    private List<string> _marks = [];
    private List<string> _links = [];
    private HashSet<string> _mayLink = [];
    private int _content;

    /// <summary>Script of the next layer.</summary>
    /// <param name="bottom">Nothing lies below it.</param>
    public IReadOnlyList<string> Next(bool bottom)
    {
        _made = new SortedDictionary<string, List<string>>(StringComparer.Ordinal);
        _marks = [];
        _links = [];
        _mayLink = [];
        int changes = bottom ? random.Between(12, 45) : random.Between(4, 16);
        for (int i = 0; i < changes; i++)
        {
            int kind = bottom ? 0 : random.Weighted([10, 5, 3, 4, 2, 4]);
            if (kind == 0)
                AddNew();
            else if (kind == 1)
                Whiteout();
            else if (kind == 2)
                Opaque();
            else if (kind == 3)
                Replace();
            else if (kind == 4)
                Redirect();
            else
                Cover();
        }
        return Script();
    }

    private List<string> Script()
    {
        // Directories before what is in them; times last, from the leaves up, since each new name moves its directory's.
        var script = new List<string> { "umask 0" };
        foreach (List<string> lines in _made.Values)
            script.AddRange(lines);
        script.AddRange(_links);
        script.AddRange(_marks);
        foreach (string path in _made.Keys.Reverse())
            script.Add($"utimens {path} {Texts.OldTime(random)} {Texts.OldTime(random)}");
        script.Add($"utimens . {Texts.OldTime(random)} {Texts.OldTime(random)}");
        return script;
    }

    private string? PickDirectory()
    {
        var directories = model.All().Where(p => p.Node.Type == 'd' && p.Path.Count(c => c == '/') < 4).Select(p => p.Path).ToList();
        directories.Add(".");
        directories.Add(".");
        return random.Pick(directories);
    }

    // The directory itself in this layer, and all above it.
    private void EnsureDirectory(string path)
    {
        if (path == "." || _made.ContainsKey(path))
            return;
        EnsureDirectory(new ModelPath(path, model.Root).Parent);
        _made[path] = [$"mkdir {path} {random.Pick(Texts.DirectoryModes)}"];
    }

    private void AddNew()
    {
        string directory = PickDirectory()!;
        string name = Texts.Name(random);
        string path = TreeModel.Join(directory, name);
        if (model.Find(path) != null || _made.ContainsKey(path))
            return;
        MakeObject(path);
    }

    private void MakeObject(string path)
    {
        EnsureDirectory(new ModelPath(path, model.Root).Parent);
        int kind = random.Weighted([34, 40, 8, 8, 3, 3]);
        if (kind == 3 && _mayLink.Count > 0)
        {
            string first = random.Pick(_mayLink.Order(StringComparer.Ordinal).ToList());
            if (model.Find(first) is { Type: 'f' } target && model.Add(path, target) != null)
            {
                _links.Add($"link {first} {path}");
                target.LinkedBelow = true;
            }
            return;
        }
        var lines = new List<string>();
        ModelNode node;
        if (kind == 0)
        {
            lines.Add($"mkdir {path} {random.Pick(Texts.DirectoryModes)}");
            node = new ModelNode('d');
        }
        else if (kind is 1 or 3)
        {
            node = new ModelNode('f') { Size = random.Pick(Texts.Sizes) };
            lines.Add($"gen {path} {node.Size} {++_content}");
            if (random.Chance(15))
                lines.Add($"truncate {path} {node.Size += random.Pick(Texts.Sizes)}");
            lines.Add($"chmod {path} {random.Pick(Texts.FileModes)}");
            _mayLink.Add(path);
        }
        else if (kind == 2)
        {
            node = new ModelNode('l');
            lines.Add($"symlink {Texts.Target(random, model)} {path}");
        }
        else if (kind == 4)
        {
            node = new ModelNode('p');
            lines.Add($"mkfifo {path} {random.Pick(Texts.FileModes)}");
        }
        else
        {
            node = new ModelNode('c');
            lines.Add($"mknod {path} c 666 1 3");
        }
        if (random.Chance(12))
            lines.Add($"lchown {path} {random.Pick(Texts.Owners)} {random.Pick(Texts.Owners)}");
        if (node.Type is 'f' or 'd' && random.Chance(20))
            lines.Add($"setxattr {path} {random.Pick(Texts.Attributes)} {Texts.Word(random)}");
        if (node.Type is 'f' or 'd' && random.Chance(6))
            lines.Add($"setacl {path} a {Texts.Acl(random)}");
        if (node.Type is 'd' && random.Chance(4))
            lines.Add($"setacl {path} d {Texts.Acl(random)}");
        if (model.Add(path, node) != null)
            _made[path] = lines;
    }

    private ModelPath? PickForeign(Func<ModelPath, bool> suits)
    {
        // Not made by this layer, nor holding anything made by it.
        List<ModelPath> fit = [.. model.All().Where(p => suits(p) && !_made.ContainsKey(p.Path) && !_links.Any(l => l.EndsWith(" " + p.Path, StringComparison.Ordinal)))];
        return fit.Count == 0 ? null : random.Pick(fit);
    }

    // A layer does not hide one name of a file that has another below: such a file's count stays the layer's (docs/SEMANTICS.md), so that it
    // never becomes nameless, and from then on the sides are not alike.
    private bool HidesNoLink(ModelPath path)
    {
        var names = model.All().GroupBy(p => p.Node).Where(names => names.Count() > 1).Select(names => names.Key).ToHashSet();
        return !Contains(path.Node);

        bool Contains(ModelNode node) => names.Contains(node) || node.Children.Values.Any(Contains);
    }

    private void Whiteout()
    {
        if (PickForeign(HidesNoLink) is not { } path)
            return;
        EnsureDirectory(path.Parent);
        model.Remove(path.Path);
        _made[path.Path] = [$"mknod {path.Path} c 0 0 0"];
    }

    private void Opaque()
    {
        if (PickForeign(p => p.Node.Type == 'd' && HidesNoLink(p)) is not { } path)
            return;
        EnsureDirectory(path.Path);
        _marks.Add($"setxattr {path.Path} trusted.overlay.opaque y");
        path.Node.Children.Clear();
        for (int i = random.Below(3); i > 0; i--)
            MakeObject(TreeModel.Join(path.Path, Texts.Name(random)));
    }

    private void Replace()
    {
        if (PickForeign(HidesNoLink) is not { } path)
            return;
        // A directory over a directory would be merged: that is what Cover does.
        model.Remove(path.Path);
        MakeObject(path.Path);
        if (path.Node.Type == 'd' && model.Find(path.Path) is { Type: 'd' })
            _marks.Add($"setxattr {path.Path} trusted.overlay.opaque y");
        else if (model.Find(path.Path) == null)
            model.Add(path.Path, path.Node);
    }

    // A directory of a lower layer, moved by an earlier mount: whiteout at the old name, redirect at the new one.
    private void Redirect()
    {
        if (PickForeign(p => p.Node.Type == 'd' && !_redirected.Any(r => Touches(r, p.Path))) is not { } path)
            return;
        string? directory = PickDirectory();
        string target = TreeModel.Join(directory!, Texts.Name(random));
        if (Touches(path.Path, target) || model.Find(target) != null || _made.ContainsKey(target) || _redirected.Any(r => Touches(r, target)))
            return;
        EnsureDirectory(path.Parent);
        EnsureDirectory(directory!);
        if (!model.Rename(path.Path, target, exchange: false, noReplace: true))
            return;
        _made[path.Path] = [$"mknod {path.Path} c 0 0 0"];
        _made[target] = [$"mkdir {target} {random.Pick(Texts.DirectoryModes)}"];
        _marks.Add($"setxattr {target} trusted.overlay.redirect /{path.Path}");
        _redirected.Add(path.Path);
        _redirected.Add(target);
    }

    // A directory that is merged with the one below, or a file that covers one.
    private void Cover()
    {
        if (PickForeign(p => p.Node.Type == 'd' || (p.Node.Type == 'f' && HidesNoLink(p))) is not { } path)
            return;
        if (path.Node.Type == 'd')
        {
            EnsureDirectory(path.Path);
            return;
        }
        EnsureDirectory(path.Parent);
        long size = random.Pick(Texts.Sizes);
        ModelNode node = new('f') { Size = size };
        model.Remove(path.Path);
        model.Add(path.Path, node);
        _made[path.Path] = [$"gen {path.Path} {size} {++_content}", $"chmod {path.Path} {random.Pick(Texts.FileModes)}"];
    }

    private static bool Touches(string a, string b) =>
        (a + "/").StartsWith(b + "/", StringComparison.Ordinal) || (b + "/").StartsWith(a + "/", StringComparison.Ordinal);
}
