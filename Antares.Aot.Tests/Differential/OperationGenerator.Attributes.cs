namespace Antares.Aot.Tests.Differential;

/// <summary>Calls on attributes, and those that only look.</summary>
internal sealed partial class OperationGenerator
{
    private void Chmod()
    {
        string path = Existing("fffdddlpsc");
        bool directory = _model.Find(path)?.Type == 'd';
        Emit($"chmod {path} {_random.Pick(directory ? Texts.DirectoryModes : Texts.FileModes)}");
        LookAt(path);
    }

    private void Chown()
    {
        string path = Existing();
        string owner = _random.Pick(["-1", "0", "1000", "1001"]);
        string group = _random.Pick(["-1", "0", "1000", "1001"]);
        if (_worker == "@U " && owner == group && owner == "-1")
            group = "1000"; // of another's set-id file: docs/SEMANTICS.md
        Emit($"lchown {path} {owner} {group}");
        LookAt(path);
    }

    /// <summary>Old times also make later changes of time visible.</summary>
    private void Utimens()
    {
        string path = _random.Chance(15) ? "." : Existing();
        Emit($"utimens {path} {Time()} {Time()}");
        LookAt(path);
    }

    private string Time() => _random.Weighted([7, 1, 2]) switch { 0 => Texts.OldTime(_random), 1 => "now", _ => "omit" };

    private void DescriptorAttributes()
    {
        if (PickFile(_ => true) is not { } held)
            return;
        Emit(_random.Below(5) switch
        {
            0 => $"fchmod {held.Name} {_random.Pick(Texts.FileModes)}",
            1 => $"fchown {held.Name} {_random.Pick(Texts.Owners)} {_random.Pick(Texts.Owners)}",
            2 => $"futimens {held.Name} {Time()} {Time()}",
            3 => $"fsetxattr {held.Name} {_random.Pick(Texts.Attributes)} {Texts.Word(_random)}",
            _ => $"fgetxattr {held.Name} {_random.Pick(Texts.Attributes)}",
        });
        Emit($"fst {held.Name}");
    }

    private void SetXattr()
    {
        string path = Existing("fffdddlpsc");
        Emit($"setxattr {path} {_random.Pick(Texts.Attributes)} {Texts.Word(_random)}{_random.Pick(["", "", " CREATE", " REPLACE"])}");
        if (_random.Chance(40))
            Emit($"listxattr {path}");
    }

    private void GetXattr()
    {
        string path = Existing();
        Emit(_random.Chance(50) ? $"listxattr {path}" : $"getxattr {path} {_random.Pick(Texts.Attributes)}");
    }

    private void RemoveXattr() => Emit($"removexattr {Existing("fffdddl")} {_random.Pick(Texts.Attributes)}");

    private void SetAcl()
    {
        bool standard = _random.Chance(30);
        string path = Existing(standard ? "d" : "fd");
        Emit($"setacl {path} {(standard ? "d" : "a")} {Texts.Acl(_random)}");
        LookAt(path);
    }

    private void GetAcl()
    {
        bool standard = _random.Chance(30);
        Emit($"getacl {Existing(standard ? "d" : "fd")} {(standard ? "d" : "a")}");
    }

    private void List() => Emit($"ls {Directory()}");

    private void CheckListing() => Emit($"{_random.Pick(["dino", "telldir"])} {Directory()}");

    private void Stat() => Emit($"st {(_random.Chance(8) ? "." : _random.Chance(92) ? Existing() : NewPath())}");

    private void StatDescriptor()
    {
        if (PickFile(_ => true) is { } held)
            Emit($"fst {held.Name}");
    }

    private void Readlink() => Emit($"readlink {Existing("l")}");

    private void Scan()
    {
        if (_scans.Count >= 4)
            EndScan();
        string directory = Directory();
        if (_model.Find(directory) is not { } node)
            return;
        // Something to list, and something that goes away again.
        if (node.Children.Count < 6 || _random.Chance(30))
        {
            string prefix = NextName('n');
            int many = _random.Between(4, 60);
            Emit($"many {directory} {prefix} {many}");
            for (int i = 0; i < many; i++)
            {
                Touch(TreeModel.Join(directory, $"{prefix}{i}"));
                node.Children.TryAdd($"{prefix}{i}", new ModelNode('f'));
            }
        }
        string name = NextName('s');
        Emit($"scan {name} {directory}");
        _scans.Add(new Held(name, _worker, node, true, false) { Untouched = [.. node.Children.Keys] });
        Emit($"scanread {name} 1");
    }

    private Held? PickScan()
    {
        if (_scans.Count == 0)
            return null;
        Held scan = _random.Pick(_scans);
        _worker = scan.Worker;
        return scan;
    }

    /// <summary>Goes on listing after names came and went.</summary>
    private void ReadScan()
    {
        if (PickScan() is not { } scan)
            return;
        if (PathOf(scan.Node) is { } directory)
            for (int i = _random.Below(6); i > 0; i--)
                Disturb(scan.Node, directory);
        Emit($"scanread {scan.Name} {_random.Between(1, 3)}");
    }

    private void Disturb(ModelNode node, string directory)
    {
        if (_random.Chance(50) && node.Children.Where(c => c.Value.Type == 'f').Select(c => c.Key).ToList() is { Count: > 0 } files)
        {
            string path = TreeModel.Join(directory, _random.Pick(files));
            Touch(path);
            Emit($"unlink {path}");
            _model.Remove(path);
            return;
        }
        string added = TreeModel.Join(directory, $"{NextName('x')}");
        Touch(added);
        Emit($"putx {added} x");
        _model.Add(added, new ModelNode('f'));
    }

    private void SeekScan()
    {
        if (PickScan() is { } scan)
            Emit($"{(_random.Chance(50) ? "scanmark" : "scanback")} {scan.Name}");
    }

    private void EndScan()
    {
        if (PickScan() is not { } scan)
            return;
        Emit($"scanend {scan.Name} {string.Join(' ', scan.Untouched.Take(28))}".TrimEnd());
        _scans.Remove(scan);
    }

    private string? PathOf(ModelNode node) => node == _model.Root ? "." : _model.All().FirstOrDefault(p => p.Node == node)?.Path;
}
