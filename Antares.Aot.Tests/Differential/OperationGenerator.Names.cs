namespace Antares.Aot.Tests.Differential;

/// <summary>Calls that change names.</summary>
internal sealed partial class OperationGenerator
{
    private void Create()
    {
        string path = _random.Chance(60) ? NewPath() : Existing("f");
        string flags = "CREAT" + (_random.Chance(25) ? "|EXCL" : "") + (_random.Chance(25) ? "|TRUNC" : "") + (_random.Chance(15) ? "|APPEND" : "");
        OpenWith(path, flags, _random.Pick(["RDWR", "RDWR", "WRONLY", "RDONLY"]));
    }

    private void OpenFile() =>
        OpenWith(Existing("f"), _random.Chance(20) ? "TRUNC" : _random.Chance(20) ? "APPEND" : "", _random.Pick(["RDWR", "RDWR", "WRONLY", "RDONLY", "RDONLY"]));

    private void OpenWith(string path, string flags, string mode)
    {
        if (_files.Count >= MostHeld)
            Close();
        string name = NextName('f');
        Emit($"open {name} {path} {mode}{(flags.Length > 0 ? "|" + flags : "")} {_random.Pick(Texts.FileModes)}");
        ModelNode? node = _model.Find(path);
        if (node == null && flags.Contains("CREAT"))
        {
            node = _model.Add(path, new ModelNode('f'));
            Touch(path);
        }
        else if (node is { Type: 'f' } && flags.Contains("EXCL"))
        {
            node = null;
        }
        if (node is { Type: 'f' })
        {
            if (flags.Contains("TRUNC"))
                node.Size = 0;
            _files.Add(new Held(name, _worker, node, mode != "WRONLY", mode != "RDONLY"));
        }
        LookAt(path);
    }

    private void Put()
    {
        bool existing = _random.Chance(40);
        string path = existing ? Existing("f") : NewPath();
        string text = Texts.Word(_random);
        int kind = _random.Below(4);
        if (kind == 3)
        {
            long size = _random.Pick(Texts.Sizes);
            Emit($"gen {path} {size} {_random.Below(1000)}");
            Grow(_model.Find(path) ?? _model.Add(path, new ModelNode('f')) ?? new ModelNode('f'), size);
        }
        else
        {
            Emit($"{(kind == 0 ? "putx" : kind == 1 ? "app" : "put")} {path} {text}");
            if (kind != 1 && _model.Find(path) == null)
                _model.Add(path, new ModelNode('f') { Size = text.Length });
        }
        Touch(path);
        LookAt(path);
    }

    private void MakeDirectory()
    {
        string path = NewPath();
        Emit($"mkdir {path} {_random.Pick(Texts.DirectoryModes)}");
        _model.Add(path, new ModelNode('d'));
        Touch(path);
        LookAt(path);
        if (_random.Chance(25))
            Emit($"ls {path}");
    }

    private void MakeNode()
    {
        string path = NewPath();
        int kind = _random.Below(4);
        Emit(kind switch
        {
            0 => $"mkfifo {path} {_random.Pick(Texts.FileModes)}",
            1 => $"mknod {path} s {_random.Pick(Texts.FileModes)} 0 0",
            2 => $"mknod {path} c {_random.Pick(Texts.FileModes)} 1 3",
            _ => $"mknod {path} r {_random.Pick(Texts.FileModes)} 0 0",
        });
        _model.Add(path, new ModelNode("pscf"[kind]));
        Touch(path);
        LookAt(path);
    }

    private void MakeSymlink()
    {
        string path = NewPath();
        Emit($"symlink {Texts.Target(_random, _model)} {path}");
        _model.Add(path, new ModelNode('l'));
        Touch(path);
        LookAt(path);
    }

    private void Tmpfile()
    {
        if (_files.Count >= MostHeld)
            Close();
        string name = NextName('t');
        Emit($"open {name} {Directory()} RDWR|TMPFILE{(_random.Chance(15) ? "|EXCL" : "")} {_random.Pick(Texts.FileModes)}");
        var node = new ModelNode('f');
        _files.Add(new Held(name, _worker, node, true, true));
        Emit($"fill {name} 0 {_random.Between(1, 9000)} {_random.Below(1000)}");
        if (_random.Chance(60))
            LinkFrom(_files[^1]);
    }

    private void Link()
    {
        string from = Existing("ffffflpc"), to = NewPath();
        Emit($"{(_random.Chance(10) ? "linkfollow" : "link")} {from} {to}");
        if (_model.Find(from) is { } node && node.Type != 'd')
            _model.Add(to, node);
        Touch(to);
        LookAt(from);
        LookAt(to);
    }

    private void LinkDescriptor()
    {
        // After a new mount the names of a lower file that were removed count again, so that it seems to have one to the last (docs/SEMANTICS.md).
        bool remounted = _steps.Contains(Scenario.Remount);
        if (PickFile(held => !remounted || !held.Node.LinkedBelow) is { } held)
            LinkFrom(held);
    }

    private void LinkFrom(Held held)
    {
        string to = NewPath();
        Emit($"{(_random.Chance(50) ? "linkfd" : "linkempty")} {held.Name} {to}");
        _model.Add(to, held.Node);
        Touch(to);
        LookAt(to);
    }

    private void Unlink()
    {
        string path = Existing("fffflpsc");
        Touch(path);
        Emit($"unlink {path}");
        if (_model.Find(path) is { Type: not 'd' } node)
        {
            _model.Remove(path);
            if (_files.FirstOrDefault(f => f.Node == node) is { } held && _random.Chance(60))
                _steps.Add($"{held.Worker}fst {held.Name}");
        }
        LookAt(path);
    }

    private void RemoveDirectory()
    {
        string path = Existing("d");
        Touch(path);
        Emit($"rmdir {path}");
        if (_model.Find(path) is { Type: 'd', Children.Count: 0 })
            _model.Remove(path);
        LookAt(path);
    }

    private void RemoveTree()
    {
        string path = Existing("d");
        RemoveAll(path);
        LookAt(path);
    }

    private void RemoveAll(string path)
    {
        Touch(path);
        if (_model.Find(path) is { } node)
            foreach (Held scan in _scans.Where(s => Holds(node, s.Node)))
                scan.Untouched.Clear();
        Emit($"rmtree {path}");
        _model.Remove(path);
    }

    private static bool Holds(ModelNode node, ModelNode sought) => node == sought || node.Children.Values.Any(c => Holds(c, sought));

    /// <summary>rm -rf a; mkdir a; what was below must not come back.</summary>
    private void MakeAgain()
    {
        string path = Existing("d");
        ModelNode? before = _model.Find(path);
        RemoveAll(path);
        Emit($"mkdir {path}");
        _model.Add(path, new ModelNode('d'));
        Emit($"ls {path}");
        foreach (string name in before?.Children.Keys.Take(3) ?? [])
            if (_random.Chance(60))
            {
                bool directory = before!.Children[name].Type == 'd' ^ _random.Chance(30);
                string child = TreeModel.Join(path, name);
                Emit(directory ? $"mkdir {child}" : $"put {child} again");
                _model.Add(child, new ModelNode(directory ? 'd' : 'f'));
                if (directory)
                    Emit($"ls {child}");
            }
    }

    private void Rename() => RenameTo(Existing(), NewPathOver(), "");

    private void Exchange() => RenameTo(Existing(), Existing(), "EXCHANGE");

    private void NoReplace() => RenameTo(Existing(), NewPath(), "NOREPLACE");

    private void RenameDirectory()
    {
        string from = Existing("d");
        string to = _random.Chance(75) ? NewPath() : Existing("d");
        RenameTo(from, to, "");
        if (_model.Find(to) is { Type: 'd' } moved)
        {
            Emit($"ls {to}");
            if (moved.Children.Count > 0 && _random.Chance(50))
            {
                string child = TreeModel.Join(to, _random.Pick(moved.Children.Keys.ToList()));
                Emit($"st {child}");
                if (_random.Chance(40))
                    Emit($"app {child} moved");
            }
        }
    }

    private string NewPathOver() => _random.Chance(60) ? NewPath() : Existing();

    private void RenameTo(string from, string to, string flags)
    {
        Touch(from);
        Touch(to);
        Emit($"rename {from} {to}{(flags.Length > 0 ? " " + flags : "")}");
        _model.Rename(from, to, flags == "EXCHANGE", flags == "NOREPLACE");
        LookAt(from);
        LookAt(to);
    }

    /// <summary>A directory is held open, wherever its name goes meanwhile.</summary>
    private void HoldDirectory()
    {
        if (_directories.Count >= 4)
        {
            Held old = _random.Pick(_directories);
            _steps.Add($"{old.Worker}close {old.Name}");
            _directories.Remove(old);
        }
        string path = Directory();
        if (_model.Find(path) is not { } node)
            return;
        string name = NextName('d');
        Emit($"open {name} {path} RDONLY|DIRECTORY");
        _directories.Add(new Held(name, _worker, node, true, false));
    }

    /// <summary>Names below a directory that is held.</summary>
    private void UseDirectory()
    {
        if (_directories.Count == 0)
            return;
        Held held = _random.Pick(_directories);
        _worker = held.Worker;
        bool existing = held.Node.Children.Count > 0 && _random.Chance(60);
        string child = existing ? _random.Pick(held.Node.Children.Keys.ToList()) : Texts.Name(_random);
        int kind = _random.Below(4);
        if (kind == 0)
        {
            Emit($"fst {held.Name}");
        }
        else if (kind == 1)
        {
            Emit($"statat {held.Name} {child}");
        }
        else if (kind == 2)
        {
            Emit($"{_random.Pick(["fchmod", "fchmod"])} {held.Name} {_random.Pick(Texts.DirectoryModes)}");
            Emit($"futimens {held.Name} {Time()} {Time()}");
        }
        else if (_files.Count < MostHeld)
        {
            string file = NextName('f');
            Emit($"openat {held.Name} {file} {child} RDWR|CREAT");
            if (PathOf(held.Node) is { } directory)
                Touch(TreeModel.Join(directory, child));
            if (child != Texts.TooLong && (held.Node.Children.TryAdd(child, new ModelNode('f')) || held.Node.Children[child].Type == 'f'))
                _files.Add(new Held(file, _worker, held.Node.Children[child], true, true));
        }
    }
}
