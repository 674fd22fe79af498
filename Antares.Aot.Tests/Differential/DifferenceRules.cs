using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Differential;

/// <summary>The differences from a local disk that are meant (docs/SEMANTICS.md), each as narrow as it can be told.</summary>
internal sealed class DifferenceRules
{
    private readonly Scenario _scenario;
    private readonly HashSet<string> _accessTimesOfSource = [];
    private readonly HashSet<string> _linkedBelow = [];
    private readonly bool _linksBelow;
    private readonly bool _otherUser;
    private bool _remounted;
    private bool _kernelRefusedARename;

    public DifferenceRules(Scenario scenario)
    {
        _scenario = scenario;
        _linksBelow = scenario.Lowers.Any(layer => layer.Any(line => line.StartsWith("link ", StringComparison.Ordinal)));
        _otherUser = scenario.Steps.Any(step => step.StartsWith("@U ids", StringComparison.Ordinal));
        if (scenario.Source == MountKind.AntaresDir)
            foreach (string[] words in scenario.Lowers[^1].Select(line => line.Split(' ')).Where(words => words[0] == "utimens"))
                _accessTimesOfSource.Add("a" + words[2]);
    }

    /// <summary>To be called for each object that is there before the first call: its identity on the local disk, and kernel overlayfs' words.</summary>
    public void AtFirst(string plainId, string[] kernel)
    {
        if (kernel[0] != "d" && kernel.FirstOrDefault(IsLinkCount) is { } links && links != "n1")
            _linkedBelow.Add(plainId);
    }

    /// <summary>To be called after a new mount.</summary>
    public void Remounted() => _remounted = true;

    /// <summary>To be called with each call and its answers on the local disk and on kernel overlayfs.</summary>
    public void Answered(string call, string plain, string kernel) =>
        _kernelRefusedARename |= call[(call[0] == '@' ? 3 : 0)..].StartsWith("rename ", StringComparison.Ordinal) && plain == "ok" && kernel != "ok";

    /// <param name="plainId">The object on the local disk, if the answer is about one.</param>
    /// <param name="plain">Words of the local disk's answer.</param>
    /// <param name="kernel">Words of kernel overlayfs' answer.</param>
    /// <param name="ours">Words of our answer, as many as of the local disk's.</param>
    /// <param name="i">The word that differs.</param>
    public bool Allow(string plainId, string[] plain, string[] kernel, string[] ours, int i) =>
        UnknownDirectoryLinks(plain, kernel, ours, i) || LinksOfLayer(plainId, plain, kernel, ours, i) || AccessTimeOfSource(plain, ours, i)
        || SetGroupIdOfStrangers(plain, ours, i) || PipeTimes(plain, kernel, ours, i) || RemovedDirectoryTime(plain, kernel, ours, i);

    /// <summary>
    /// An object may get another st_ino at a new mount: a copy of a lower hard link of which a name was hidden or removed. Whether all its
    /// names are the copy's cannot be known then, and two objects must not have one number.
    /// </summary>
    public bool AllowNewNumber(string plainId) => _remounted && _linkedBelow.Contains(plainId);

    /// <summary>What kernel overlayfs may show otherwise when it reads the upper that our mount left.</summary>
    public bool AllowReader(string[] ours, string[] reader, int i)
    {
        // It counts no links of merged directories, and without its index those of lower files as either layer has them.
        if (IsLinkCount(ours[i]))
            return ours[0] == "d" ? reader[i] == "n1" : _linksBelow;
        // It reads a source's access times from the folder itself.
        return _scenario.Source == MountKind.AntaresDir && _accessTimesOfSource.Contains(reader[i]);
    }

    // The link count of a directory that is merged from several lower layers is 1, "unknown", as in kernel overlayfs: the layers' own
    // counts cannot be added up without reading them all. Once kernel overlayfs has refused a rename, since its mark would be longer than 256
    // bytes, its directories are others, and their counts tell nothing.
    private bool UnknownDirectoryLinks(string[] plain, string[] kernel, string[] ours, int i) =>
        _scenario.Lowers.Count > 1 && plain[0] == "d" && IsLinkCount(plain[i]) && ours[i] == "n1"
        && (_kernelRefusedARename || kernel[0] != "d" || i >= kernel.Length || kernel[i] == "n1" || kernel[i] != plain[i] || kernel[1] != ours[1]);

    // The count of a lower file's hard links is that of its layer: names that a layer above hides count, as in kernel overlayfs, and those
    // removed through the mount count again after the next mount.
    private bool LinksOfLayer(string plainId, string[] plain, string[] kernel, string[] ours, int i) =>
        _linkedBelow.Contains(plainId) && IsLinkCount(plain[i]) && ((i < kernel.Length && ours[i] == kernel[i]) || (_remounted && Number(ours[i]) > Number(plain[i])));

    // Dicfuse keeps no access times: an object of it that nobody changed shows its time of modification.
    private bool AccessTimeOfSource(string[] plain, string[] ours, int i) => ours[i][0] == 'a' && _accessTimesOfSource.Contains(plain[i]);

    // A write by somebody outside the group of a set-group-id file without group execute clears the bit on a local disk; a request does
    // not tell who is a member, so it stays.
    private bool SetGroupIdOfStrangers(string[] plain, string[] ours, int i)
    {
        if (!_otherUser || plain[0] != "f" || i != 1)
            return false;
        int right = Convert.ToInt32(plain[1], 8), shown = Convert.ToInt32(ours[1], 8);
        return (right & 0x408) == 0 && shown == (right | 0x400);
    }

    // What goes through a FIFO moves no times of its name, as on kernel overlayfs: neither is asked, the pipe is the kernel's own.
    private static bool PipeTimes(string[] plain, string[] kernel, string[] ours, int i) =>
        plain[0] == "p" && IsTime(plain[i]) && i < kernel.Length && kernel[0] == "p" && kernel[i] == ours[i];

    // A directory that is removed loses its whiteouts first, which moves its time for who holds it open, as on kernel overlayfs.
    private static bool RemovedDirectoryTime(string[] plain, string[] kernel, string[] ours, int i) =>
        plain[0] == "d" && ours.Contains("n0") && plain[i][0] == 'm' && i < kernel.Length && kernel[i] == ours[i];

    private static bool IsTime(string word) => word[0] is 'm' or 'a';

    private static int Number(string word) => int.TryParse(word.AsSpan(1), out int number) ? number : -1;

    private static bool IsLinkCount(string word) => word.Length > 1 && word[0] == 'n' && char.IsAsciiDigit(word[1]);
}
