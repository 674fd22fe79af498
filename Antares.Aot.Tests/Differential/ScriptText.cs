using System.Text;

namespace Antares.Aot.Tests.Differential;

/// <summary>A scenario as a shell script that anybody can read and run: plain commands where the shell has them, otherwise calls of the probe.</summary>
internal static class ScriptText
{
    public static string Of(Scenario scenario, string probe)
    {
        var text = new StringBuilder();
        text.AppendLine($"# {scenario}");
        text.AppendLine("# As root, on ext4, with ANTARES_BIN set. The same calls in a plain folder holding the merged tree tell what is right.");
        text.AppendLine("set -u; B=$(mktemp -d); cd \"$B\"; mkdir upper work mnt");
        text.AppendLine($"P={probe}");
        for (int i = scenario.Lowers.Count; i >= 1; i--)
            Layer(text, $"lower{i}", scenario.Lowers[i - 1]);
        Layer(text, "upper", scenario.Upper);
        string source = (scenario.Source == Support.MountKind.AntaresDir ? "dir:" : "") + $"\"$B/lower{scenario.Lowers.Count}\"";
        string layers = string.Concat(Enumerable.Range(1, scenario.Lowers.Count - 1).Select(i => $" --layer \"$B/lower{i}\""));
        text.AppendLine($"domount() {{ \"$ANTARES_BIN\" mount {source} \"$B/mnt\"{layers} --upper \"$B/upper\" --work \"$B/work\"; }}");
        text.AppendLine("domount; cd mnt");
        bool inShell = scenario.Steps.All(s => Shell(s) != null);
        var calls = new List<string>();
        void Flush()
        {
            if (calls.Count > 0)
                text.AppendLine("\"$P\" run . <<'END'").AppendJoin('\n', calls).AppendLine().AppendLine("END");
            calls.Clear();
        }
        foreach (string step in scenario.Steps)
        {
            if (step[0] == '!' || inShell)
            {
                Flush();
                text.AppendLine(Shell(step));
            }
            else
            {
                calls.Add(step);
            }
        }
        Flush();
        return text.ToString();
    }

    private static void Layer(StringBuilder text, string name, IReadOnlyList<string> lines)
    {
        if (lines.Count == 0)
        {
            text.AppendLine($"mkdir -p {name}");
            return;
        }
        text.AppendLine($"mkdir -p {name}; cd {name}");
        if (lines.All(l => Shell(l) != null))
            text.AppendJoin('\n', lines.Select(Shell)).AppendLine();
        else
            text.AppendLine("\"$P\" run . <<'END'").AppendJoin('\n', lines).AppendLine().AppendLine("END");
        text.AppendLine("cd ..");
    }

    /// <summary>A call as a command of the shell; null where it has none.</summary>
    private static string? Shell(string call)
    {
        if (call == Scenario.Snapshot)
            return "find . -ls";
        if (call == Scenario.Remount)
            return "cd ..; \"$ANTARES_BIN\" umount \"$B/mnt\"; domount; cd mnt; find . -ls";
        string[] w = call.Split(' ');
        if (w[0].StartsWith('@'))
            return null;
        string A(int i) => Quote(w[i]);
        return (w[0], w.Length) switch
        {
            ("nonblock", 1) => ":",
            ("umask", 2) => $"umask {w[1]}",
            ("mkdir", 2) => $"mkdir {A(1)}",
            ("mkdir", 3) => $"mkdir {A(1)} && chmod u={Octal(w[2], 6)},g={Octal(w[2], 3)},o={Octal(w[2], 0)} {A(1)}",
            ("rmdir", 2) => $"rmdir {A(1)}",
            ("unlink", 2) => $"unlink {A(1)}",
            ("rmtree", 2) => $"rm -rf {A(1)}",
            ("rename", 3) => $"mv -T {A(1)} {A(2)}",
            ("rename", 4) when w[3] == "NOREPLACE" => $"mv -nT {A(1)} {A(2)}",
            ("rename", 4) when w[3] == "EXCHANGE" => $"mv --exchange -T {A(1)} {A(2)}",
            ("link", 3) => $"ln -PT {A(1)} {A(2)}",
            ("linkfollow", 3) => $"ln -LT {A(1)} {A(2)}",
            ("symlink", 3) => $"ln -sT {A(1)} {A(2)}",
            ("mkfifo", _) => $"mkfifo {A(1)}",
            ("mknod", 6) when w[2] == "c" => $"mknod {A(1)} c {w[4]} {w[5]}",
            ("put", 3) => $"printf %s {A(2)} > {A(1)}",
            ("putx", 3) => $"(set -C; printf %s {A(2)} > {A(1)})",
            ("app", 3) => $"dd of={A(1)} conv=notrunc oflag=append status=none <<< {A(2)}",
            ("chmod", 3) => $"chmod {w[2]} {A(1)}",
            ("lchown", 4) => $"chown -h {(w[2] == "-1" ? "" : w[2])}:{(w[3] == "-1" ? "" : w[3])} {A(1)}",
            ("utimens", 4) when w[2] != "omit" && w[3] != "omit" => $"touch -hc -a -d {Date(w[2])} {A(1)}; touch -hc -m -d {Date(w[3])} {A(1)}",
            ("truncate", 3) => $"truncate -c -s {w[2]} {A(1)}",
            ("setxattr", 4) => $"setfattr -h -n {A(2)} -v {A(3)} {A(1)}",
            ("removexattr", 3) => $"setfattr -h -x {A(2)} {A(1)}",
            ("getxattr", 3) => $"getfattr -h -n {A(2)} {A(1)}",
            ("listxattr", 2) => $"getfattr -h -d -m - {A(1)}",
            ("st", 2) => $"stat {A(1)}",
            ("ls", 2) => $"ls -lai {A(1)}",
            ("hash" or "cat", 2) => $"md5sum {A(1)}",
            ("readlink", 2) => $"readlink {A(1)}",
            _ => null,
        };
    }

    private static string Date(string time) => time == "now" ? "now" : $"@{time}";

    private static string Octal(string mode, int shift)
    {
        int bits = Convert.ToInt32(mode, 8), three = bits >> shift;
        string special = shift == 6 && (bits & 0x800) != 0 ? "s" : shift == 3 && (bits & 0x400) != 0 ? "s" : shift == 0 && (bits & 0x200) != 0 ? "t" : "";
        return ((three & 4) != 0 ? "r" : "") + ((three & 2) != 0 ? "w" : "") + ((three & 1) != 0 ? "x" : "") + special;
    }

    /// <summary>A word of the probe's notation for the shell.</summary>
    private static string Quote(string word)
    {
        var text = new StringBuilder();
        for (int i = 0; i < word.Length; i++)
        {
            int end;
            if (word[i] == '{' && (end = word.IndexOf('}', i)) > 0 && word.LastIndexOf('*', end) is var star && star > i)
            {
                for (int n = int.Parse(word[(star + 1)..end]); n > 0; n--)
                    text.Append(word[(i + 1)..star]);
                i = end;
            }
            else if (word[i] == '\\' && i + 1 < word.Length && word[i + 1] == 's')
            {
                text.Append(' ');
                i++;
            }
            else
            {
                text.Append(word[i]);
            }
        }
        string plain = text.ToString();
        return plain.All(c => char.IsAsciiLetterOrDigit(c) || "._/-".Contains(c)) ? plain : $"$'{plain.Replace("'", "\\'")}'";
    }
}
