namespace Antares.Aot.Tests.Differential;

/// <summary>Calls on descriptors and mappings, and on contents by name.</summary>
internal sealed partial class OperationGenerator
{
    private void WriteAt()
    {
        if (PickFile(f => f.Writes) is not { } held)
            return;
        int offset = Offset(held.Node);
        int length = _random.Chance(80) ? _random.Between(1, 9000) : _random.Between(9000, 150000);
        Emit($"fill {held.Name} {offset} {length} {_random.Below(1000)}");
        Grow(held.Node, offset + length);
        if (_random.Chance(30))
            Emit($"fst {held.Name}");
        if (_files.FirstOrDefault(f => f.Node == held.Node && f.Reads && f != held) is { } other && _random.Chance(50))
            _steps.Add($"{other.Worker}pread {other.Name} {length} {offset}");
    }

    private void ReadAt()
    {
        if (PickFile(f => f.Reads) is { } held)
            Emit($"pread {held.Name} {_random.Between(1, 20000)} {Offset(held.Node)}");
    }

    private void Append()
    {
        if (PickFile(f => f.Writes) is not { } held)
            return;
        Emit($"write {held.Name} {Texts.Word(_random)}");
        if (_random.Chance(30))
            Emit($"fst {held.Name}");
    }

    private void Reopen()
    {
        if (PickFile(_ => true) is not { } held || _files.Count >= MostHeld)
            return;
        string name = NextName('r');
        bool writes = _random.Chance(50);
        Emit($"reopen {held.Name} {name} {(writes ? "RDWR" : "RDONLY")}{(writes && _random.Chance(30) ? "|TRUNC" : "")}");
        _files.Add(new Held(name, _worker, held.Node, true, writes));
    }

    private void Close()
    {
        if (PickFile(_ => true) is not { } held)
            return;
        Emit($"close {held.Name}");
        _files.Remove(held);
    }

    private void Truncate()
    {
        string path = Existing("f");
        long size = _random.Pick(Texts.Sizes) + (_random.Chance(50) ? 0 : _random.Below(5000));
        Emit($"truncate {path} {size}");
        if (_model.Find(path) is { } node)
            node.Size = size;
        LookAt(path);
        if (_random.Chance(40))
            Emit($"hash {path}");
    }

    private void TruncateDescriptor()
    {
        if (PickFile(f => f.Writes) is not { } held)
            return;
        long size = _random.Pick(Texts.Sizes) + (_random.Chance(50) ? 0 : _random.Below(5000));
        Emit($"ftruncate {held.Name} {size}");
        held.Node.Size = size;
        if (_random.Chance(50))
            Emit($"fst {held.Name}");
    }

    private void Allocate()
    {
        if (PickFile(f => f.Writes) is not { } held)
            return;
        string mode = _random.Pick(["0", "KEEP", "PUNCH|KEEP", "PUNCH|KEEP", "ZERO", "ZERO|KEEP"]);
        int offset = 4096 * _random.Below(12), length = 4096 * _random.Between(1, 8);
        if (_random.Chance(40))
        {
            offset += _random.Below(4096);
            length += _random.Below(4096);
        }
        Emit($"fallocate {held.Name} {mode} {offset} {length}");
        if (_random.Chance(50))
            Emit($"fst {held.Name}");
        if (held.Reads)
            Emit($"pread {held.Name} 100000 0");
    }

    private void CopyRange()
    {
        if (PickFile(f => f.Writes) is not { } to || _files.Where(f => f.Reads && f.Worker == to.Worker).ToList() is not { Count: > 0 } sources)
            return;
        Held from = _random.Pick(sources);
        int offset = Offset(to.Node), length = _random.Between(1, 60000);
        Emit($"copyrange {from.Name} {Offset(from.Node)} {to.Name} {offset} {length}");
        if (_random.Chance(60) && to.Reads)
            Emit($"pread {to.Name} {length} {offset}");
        if (_random.Chance(30))
            Emit($"fst {to.Name}");
    }

    private void Holes()
    {
        if (PickFile(f => f.Reads) is { } held)
            Emit($"holes {held.Name}");
    }

    private void Sync()
    {
        if (PickFile(_ => true) is { } held)
            Emit($"{(_random.Chance(50) ? "fsync" : "fdatasync")} {held.Name}");
    }

    private void Map()
    {
        if (_maps.Count >= MostHeld)
            Unmap();
        if (PickFile(f => f.Reads) is not { } held || held.Node.Size == 0)
            return;
        bool writes = held.Writes && _random.Chance(70);
        bool shared = _random.Chance(75);
        string name = NextName('m');
        Emit($"dmap {name} {held.Name} {Math.Min(held.Node.Size, 300000)} {(writes || !shared ? "rw" : "r")} {(shared ? "shared" : "private")}");
        _maps.Add(new Held(name, _worker, held.Node, true, writes || !shared));
        if (_random.Chance(30))
        {
            Emit($"close {held.Name}");
            _files.Remove(held);
        }
    }

    private Held? PickMap(Func<Held, bool> suits)
    {
        List<Held> fit = [.. _maps.Where(suits)];
        if (fit.Count == 0)
            return null;
        Held held = _random.Pick(fit);
        _worker = held.Worker;
        return held;
    }

    private void StoreMapped()
    {
        if (PickMap(m => m.Writes) is not { } held)
            return;
        int offset = _random.Below((int)Math.Clamp(held.Node.Size, 1, 300000));
        Emit($"dput {held.Name} {offset} {Texts.Word(_random)}");
        if (_files.FirstOrDefault(f => f.Node == held.Node && f.Reads) is { } reader)
            _steps.Add($"{reader.Worker}pread {reader.Name} 400 {offset}");
    }

    private void ReadMapped()
    {
        if (PickMap(_ => true) is { } held)
            Emit($"dget {held.Name} {_random.Below((int)Math.Clamp(held.Node.Size, 1, 300000))} {_random.Between(1, 500)}");
    }

    private void Unmap()
    {
        if (PickMap(_ => true) is not { } held)
            return;
        Emit($"dunmap {held.Name}");
        _maps.Remove(held);
    }

    private void Content() => Emit($"{(_random.Chance(80) ? "hash" : "cat")} {Existing("f")}");

    /// <summary>Several processes write to one file, or append to it, at once; what must come of it does not depend on their order.</summary>
    private void Race()
    {
        string path = Existing("f");
        Emit(_random.Chance(50) ? $"copyuprace {path} {_random.Between(2, 6)}" : $"appendrace {path} {_random.Between(3, 20)} 64 clear");
        LookAt(path);
    }
}
