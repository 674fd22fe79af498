namespace Antares.Aot.Tests.Differential;

/// <summary>A descriptor, mapping or open directory that a worker holds.</summary>
internal sealed record Held(string Name, string Worker, ModelNode Node, bool Reads, bool Writes)
{
    /// <summary>Names that no call touched since a scan of this directory began: they must be listed exactly once.</summary>
    public List<string> Untouched { get; init; } = [];
}

/// <summary>Makes sequences of calls on a tree: every kind of call, by several processes that hold descriptors and mappings meanwhile.</summary>
/// <remarks>Each seed favours some kinds of calls and leaves out others: rare combinations come up that an even mixture would drown.</remarks>
internal sealed partial class OperationGenerator
{
    private const int MostHeld = 12;

    private static readonly string[] s_workers = ["", "", "", "@A ", "@B ", "@C "];

    private readonly SeededRandom _random;
    private readonly TreeModel _model;
    private readonly List<string> _steps = [];
    private readonly List<Held> _files = [];
    private readonly List<Held> _maps = [];
    private readonly List<Held> _scans = [];
    private readonly List<Held> _directories = [];
    private readonly List<string> _recent = [];
    private readonly List<(int Weight, Action Make)> _kinds;
    private readonly bool _otherUser;
    private int _count;
    private string _worker = "";

    public OperationGenerator(SeededRandom random, TreeModel model)
    {
        _random = random;
        _model = model;
        _otherUser = random.Chance(25);
        (int Weight, Action Make)[][] families =
        [
            [(30, Create), (30, Put), (22, MakeDirectory), (6, MakeNode), (8, MakeSymlink), (4, Tmpfile)],
            [(14, Link), (6, LinkDescriptor)],
            [(24, Unlink), (14, RemoveDirectory), (4, RemoveTree)],
            [(40, Rename), (10, Exchange), (6, NoReplace)],
            [(16, RenameDirectory), (8, MakeAgain)],
            [(14, Chmod), (8, Chown), (18, Utimens)],
            [(12, SetXattr), (8, GetXattr), (5, RemoveXattr), (4, SetAcl), (3, GetAcl)],
            [(18, OpenFile), (24, WriteAt), (16, ReadAt), (10, Append), (6, Reopen), (14, Close)],
            [(12, Truncate), (10, TruncateDescriptor), (10, Allocate), (8, CopyRange), (6, Holes), (4, Sync)],
            [(12, Map), (16, StoreMapped), (12, ReadMapped), (5, Unmap)],
            [(10, Scan), (18, ReadScan), (8, SeekScan), (8, EndScan)],
            [(18, List), (40, Stat), (12, StatDescriptor), (12, Content), (6, Readlink), (3, CheckListing)],
            [(6, DescriptorAttributes), (4, HoldDirectory), (9, UseDirectory), (2, Race)],
        ];
        int[] factors = [0, 1, 3, 3, 3, 9];
        _kinds = [];
        for (int i = 0; i < families.Length; i++)
        {
            // What looks at the outcome is never left out.
            int factor = i == 11 ? 3 : _random.Pick(factors);
            _kinds.AddRange(families[i].Select(k => (k.Weight * factor, k.Make)));
        }
    }

    /// <summary>The calls, with snapshots and remounts in between.</summary>
    public List<string> Steps()
    {
        int[] weights = [.. _kinds.Select(k => k.Weight)];
        int rounds = _random.Between(3, 7);
        for (int round = 0; round < rounds; round++)
        {
            foreach (string worker in s_workers.Distinct())
                _steps.Add(worker + "nonblock");
            if (_otherUser)
                _steps.AddRange(["@U nonblock", "@U ids 1000 1000 1000"]);
            if (_random.Chance(30))
                _steps.Add("umask " + _random.Pick(["0", "27", "77", "2"]));
            for (int calls = _random.Between(30, 110); calls > 0; calls--)
            {
                _worker = _otherUser && _random.Chance(15) ? "@U " : _random.Pick(s_workers);
                _kinds[_random.Weighted(weights)].Make();
                if (_random.Chance(2))
                    _steps.Add(Scenario.Snapshot);
            }
            _steps.Add(Scenario.Snapshot);
            if (round + 1 == rounds || _random.Chance(60))
            {
                _steps.Add(Scenario.Remount);
                _files.Clear();
                _maps.Clear();
                _scans.Clear();
                _directories.Clear();
            }
        }
        return _steps;
    }

    private void Emit(string call) => _steps.Add(_worker + call);

    // A call that changes what a directory shows.
    private void Touch(string path)
    {
        _recent.Add(path);
        if (_recent.Count > 10)
            _recent.RemoveAt(0);
        ModelNode? parent = _model.ParentOf(path);
        foreach (Held scan in _scans.Where(s => s.Node == parent))
            scan.Untouched.Remove(TreeModel.NameOf(path));
    }

    private void LookAt(string path)
    {
        if (_random.Chance(40))
            Emit($"st {path}");
        if (_random.Chance(12))
            Emit($"st {new ModelPath(path, _model.Root).Parent}");
    }

    private string Directory() =>
        _model.All().Where(p => p.Node.Type == 'd').Select(p => p.Path).Append(".").ToList() is { } all ? _random.Pick(all) : ".";

    /// <summary>A path: mostly of something that is there and of that type, now and then of anything, or of nothing.</summary>
    private string Existing(string types = "fdlpsc")
    {
        if (_recent.Count > 0 && _random.Chance(30) && _model.Find(_random.Pick(_recent)) is { } node && types.Contains(node.Type))
            return _recent.First(r => _model.Find(r) == node);
        List<ModelPath> all = _model.All();
        if (_random.Chance(94))
            all = [.. all.Where(p => types.Contains(p.Node.Type))];
        return all.Count > 0 ? _random.Pick(all).Path : NewPath();
    }

    /// <summary>A path that may be free.</summary>
    private string NewPath()
    {
        if (_recent.Count > 0 && _random.Chance(20))
            return _random.Pick(_recent);
        string directory = Directory();
        string name = Texts.Name(_random);
        for (int i = 0; i < 3 && _random.Chance(70) && _model.Find(TreeModel.Join(directory, name)) != null; i++)
            name = Texts.Name(_random);
        // Deep trees cost time and show little.
        return directory.Count(c => c == '/') > 5 ? name : TreeModel.Join(directory, name);
    }

    private string NextName(char letter) => $"{letter}{++_count}";

    private Held? PickFile(Func<Held, bool> suits)
    {
        List<Held> fit = [.. _files.Where(suits)];
        if (fit.Count == 0)
            return null;
        Held held = _random.Pick(fit);
        _worker = held.Worker;
        return held;
    }

    private int Offset(ModelNode node) => _random.Weighted([4, 3, 2, 1]) switch
    {
        0 => _random.Below((int)Math.Max(1, Math.Min(node.Size + 1, 1_000_000))),
        1 => _random.Below(20000),
        2 => (int)Math.Min(node.Size, 1_000_000),
        _ => 4096 * _random.Below(40),
    };

    private static void Grow(ModelNode node, long to) => node.Size = Math.Max(node.Size, to);
}
