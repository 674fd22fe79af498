using System.Security.Cryptography;
using System.Text;
using Antares.Aot.Tests.Support;

namespace Antares.Aot.Tests.Differential;

/// <summary>The executable with all mutants in it, none switched on; built from a copy of the sources, once for each state of them.</summary>
internal static class MutatedBinary
{
    private static readonly string[] s_sources = ["Antares.Aot", "interop"];
    private static readonly string[] s_files = ["Directory.Build.props", "Directory.Packages.props", "global.json", "rd.xml", ".editorconfig"];

    /// <summary>Path of the executable.</summary>
    public static string Build()
    {
        Dictionary<string, string> sources = Mutate(Read());
        string folder = Path.Combine(TestEnvironment.Scratch, $"antares-mutants-{HashOf(sources)}");
        string binary = Path.Combine(folder, "antares-aot");
        if (File.Exists(binary))
            return binary;
        using var scratch = new ScratchFolder();
        foreach ((string name, string text) in sources)
        {
            string path = scratch.Join(name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, text);
        }
        // The variables of the test run's own build would lead that of the copy astray.
        _ = Shell.Bash(
            "unset ${!MSBUILD@} ${!VSTEST@} DOTNET_CLI_UI_LANGUAGE; export MSBUILDDISABLENODEREUSE=1; "
            + "dotnet publish Antares.Aot/Antares.Aot.csproj -c Release -r linux-x64 -p:TreatWarningsAsErrors=false -p:EnforceCodeStyleInBuild=false -o built -v q -nologo > log 2>&1 || { grep ': error ' log | sort -u; exit 1; }",
            400, scratch.Path).Must();
        Directory.CreateDirectory(folder);
        // Copied under another name first: whoever finds it finds it whole.
        string temp = $"{binary}.{Environment.ProcessId}";
        File.Copy(scratch.Join("built/antares-aot"), temp, overwrite: true);
        File.Move(temp, binary, overwrite: true);
        return binary;
    }

    /// <summary>Applies the edits; one whose text is not there exactly once fails.</summary>
    public static Dictionary<string, string> Mutate(Dictionary<string, string> sources)
    {
        var mutated = new Dictionary<string, string>(sources) { ["Antares.Aot/Base/MutantSwitch.cs"] = Mutants.Switch };
        foreach (Mutant mutant in Mutants.All.Concat(Mutants.FoundByKills))
            foreach (Edit edit in mutant.Edits)
            {
                Assert.True(mutated.TryGetValue(edit.File, out string? text), $"mutant {mutant.Name}: there is no {edit.File} any more");
                int places = text.Split(edit.Text).Length - 1;
                Assert.True(places == 1, $"mutant {mutant.Name}: this is {places} times in {edit.File}, and must be there once:\n{edit.Text}");
                mutated[edit.File] = text.Replace(edit.Text, edit.Mutated.Replace("MUTANT", $"Antares.Aot.Base.MutantSwitch.On(\"{mutant.Name}\")"));
            }
        return mutated;
    }

    /// <summary>The product's sources, by path from the root of the repository.</summary>
    public static Dictionary<string, string> Read()
    {
        string root = TestEnvironment.Repository;
        IEnumerable<string> paths = s_sources
            .SelectMany(folder => Directory.GetFiles(Path.Combine(root, folder), "*", SearchOption.AllDirectories))
            .Select(path => Path.GetRelativePath(root, path))
            .Where(path => !path.Contains("/obj/") && !path.Contains("/bin/"))
            .Concat(s_files);
        return paths.ToDictionary(path => path, path => File.ReadAllText(Path.Combine(root, path)));
    }

    private static string HashOf(Dictionary<string, string> sources)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach ((string name, string text) in sources.OrderBy(s => s.Key, StringComparer.Ordinal))
            hash.AppendData(Encoding.UTF8.GetBytes($"{name}\0{text}\0"));
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
    }
}
