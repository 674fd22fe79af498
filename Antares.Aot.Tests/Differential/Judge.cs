namespace Antares.Aot.Tests.Differential;

/// <summary>Compares what three sides answered. The local disk says what is right; kernel overlayfs helps where layers show (<see cref="DifferenceRules"/>).</summary>
internal sealed class Judge(Scenario scenario)
{
    // st_ino of our mount for each object, known by its number and generation on the local disk.
    private readonly Dictionary<string, string> _numbers = [];
    private readonly DifferenceRules _rules = new(scenario);

    /// <summary>Answers in which kernel overlayfs and the local disk differ: what the rules and the choice of the oracle are about.</summary>
    public int KernelDiffers { get; private set; }

    /// <summary>What is wrong with our answer to a call; null when nothing is.</summary>
    public string? Answer(string call, string plain, string kernel, string ours)
    {
        (string plainText, string plainId) = Split(plain);
        (string kernelText, _) = Split(kernel);
        (string oursText, string oursId) = Split(ours);
        if (plainText != kernelText)
            KernelDiffers++;
        _rules.Answered(call, plainText, kernelText);
        if (!Same(plainId, plainText, kernelText, oursText))
            return $"local disk: {plainText}\nkernel overlayfs: {kernelText}\nours: {oursText}";
        return plainId.Length > 0 && oursId.Length > 0 ? Number(plainId, oursId) : null;
    }

    /// <summary>The trees before the first call.</summary>
    public string? FirstTrees(Dictionary<string, string> plain, Dictionary<string, string> kernel, Dictionary<string, string> ours)
    {
        foreach ((string path, string text) in plain)
            if (kernel.TryGetValue(path, out string? inKernel))
                _rules.AtFirst(Split(text).Identity, inKernel.Split(' '));
        return Trees("before the first call", plain, kernel, ours);
    }

    /// <summary>To be called after a new mount.</summary>
    public void Remounted() => _rules.Remounted();

    /// <summary>What is wrong with our tree; null when nothing is.</summary>
    public string? Trees(string when, Dictionary<string, string> plain, Dictionary<string, string> kernel, Dictionary<string, string> ours)
    {
        var wrong = new List<string>();
        var owners = new Dictionary<string, string>();
        foreach (string path in plain.Keys.Union(ours.Keys).Order(StringComparer.Ordinal))
        {
            (string plainText, string plainId) = Split(plain.GetValueOrDefault(path, "not there"));
            (string kernelText, _) = Split(kernel.GetValueOrDefault(path, "not there"));
            (string oursText, string oursId) = Split(ours.GetValueOrDefault(path, "not there"));
            if (plainText != kernelText)
                KernelDiffers++;
            if (!Same(plainId, plainText, kernelText, oursText))
                wrong.Add($"{path}\n  local disk: {plainText}\n  kernel overlayfs: {kernelText}\n  ours: {oursText}");
            else if (plainId.Length > 0 && oursId.Length > 0 && (Number(plainId, oursId) ?? Owner(plainId, oursId, owners)) is { } number)
                wrong.Add($"{path}: {number}");
        }
        return wrong.Count == 0 ? null : $"the trees differ {when}:\n{string.Join('\n', wrong.Take(8))}";
    }

    /// <summary>What kernel overlayfs sees otherwise in the upper that our mount left; null when nothing.</summary>
    public string? Read(Dictionary<string, string> ours, Dictionary<string, string> reader)
    {
        var wrong = new List<string>();
        foreach (string path in ours.Keys.Union(reader.Keys).Order(StringComparer.Ordinal))
        {
            string[] o = Split(ours.GetValueOrDefault(path, "not there")).Text.Split(' '), r = Split(reader.GetValueOrDefault(path, "not there")).Text.Split(' ');
            // Without the kernel's own mark of origin its listings and its stat give merged directories different numbers.
            r = [.. r.Where(word => word != "LISTED-AS-ANOTHER")];
            if (o.Length != r.Length || Enumerable.Range(0, o.Length).Any(i => o[i] != r[i] && !_rules.AllowReader(o, r, i)))
                wrong.Add($"{path}\n  ours: {string.Join(' ', o)}\n  kernel overlayfs on our upper: {string.Join(' ', r)}");
        }
        return wrong.Count == 0 ? null : $"kernel overlayfs reads our upper otherwise:\n{string.Join('\n', wrong.Take(8))}";
    }

    private bool Same(string plainId, string plain, string kernel, string ours)
    {
        if (plain == ours)
            return true;
        string[] p = plain.Split(' '), k = kernel.Split(' '), o = ours.Split(' ');
        if (p.Length != o.Length)
            return false;
        for (int i = 0; i < p.Length; i++)
            if (p[i] != o[i] && !_rules.Allow(plainId, p, k, o, i))
                return false;
        return true;
    }

    // An object keeps its number for good …
    private string? Number(string plainId, string oursId)
    {
        string number = oursId[..oursId.IndexOf('.')];
        if (_numbers.TryAdd(plainId, number) || _numbers[plainId] == number)
            return null;
        string before = _numbers[plainId];
        _numbers[plainId] = number;
        return _rules.AllowNewNumber(plainId) ? null : $"st_ino was {before} and is {number}";
    }

    // … and no two objects that are there at one time have the same.
    private static string? Owner(string plainId, string oursId, Dictionary<string, string> owners)
    {
        string number = oursId[..oursId.IndexOf('.')];
        return owners.TryAdd(number, plainId) || owners[number] == plainId ? null : $"st_ino {number} is another object's too";
    }

    /// <summary>Parts an answer from the identity at its end.</summary>
    private static (string Text, string Identity) Split(string answer)
    {
        int at = answer.LastIndexOf(" #", StringComparison.Ordinal);
        return at < 0 || answer.IndexOf(' ', at + 1) >= 0 ? (answer, "") : (answer[..at], answer[(at + 2)..]);
    }
}
