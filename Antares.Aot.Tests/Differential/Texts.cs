namespace Antares.Aot.Tests.Differential;

/// <summary>Names, modes, sizes and values that the generators choose from, in the probe's notation.</summary>
internal static class Texts
{
    public static readonly string[] DirectoryModes = ["755", "755", "755", "777", "1777", "2775", "700", "555"];
    public static readonly string[] FileModes = ["644", "644", "755", "600", "444", "4755", "2755", "6711", "666", "0"];
    public static readonly string[] Owners = ["0", "0", "1000", "1001", "65534"];
    public static readonly string[] Attributes = ["user.one", "user.two", "user.\\xc3\\xa9", "trusted.three", "security.four"];
    public static readonly long[] Sizes = [0, 1, 100, 4095, 4096, 4097, 10000, 20000, 70000, 200000];

    private static readonly string[] s_common = ["a", "b", "c", "d", "e", "f", "g", "h"];
    private static readonly string[] s_odd = ["\\xff\\xfe", "sp\\sace", ".wh.a", "\\x23x", "{L*255}", "\\xe2\\x82\\xac", "..c", "new\\x0aline"];

    /// <summary>A name of one byte more than any can have.</summary>
    public const string TooLong = "{L*256}";

    /// <summary>Few names, so that calls meet.</summary>
    public static string Name(SeededRandom random) => random.Chance(88) ? random.Pick(s_common) : random.Chance(97) ? random.Pick(s_odd) : TooLong;

    public static string Word(SeededRandom random) => random.Chance(85) ? $"w{random.Below(10000)}" : $"{{x{random.Below(10)}*{random.Between(20, 300)}}}";

    /// <summary>A time that is not of the years that count as "now".</summary>
    public static string OldTime(SeededRandom random)
    {
        long seconds = random.Weighted([8, 1, 1]) switch
        {
            0 => random.Between(1, 1_600_000_000),
            1 => -(long)random.Between(1, 2_000_000_000),
            _ => 2_300_000_000L + random.Below(2_000_000_000),
        };
        return $"{seconds}.{random.Below(1_000_000_000):D9}";
    }

    /// <summary>Target of a symbolic link: often something that is there.</summary>
    public static string Target(SeededRandom random, TreeModel model)
    {
        List<ModelPath> all = model.All();
        int kind = random.Below(10);
        if (all.Count > 0 && kind < 5)
            return random.Pick(all).Path;
        return kind switch
        {
            // Never ".." at the beginning: it could lead out of the tree, where the sides are not alike.
            5 => $"./{Name(random)}",
            6 => ".",
            7 => "/nowhere/at/all",
            8 => $"{{t/*{random.Between(50, 600)}}}",
            _ => Name(random),
        };
    }

    public static string Acl(SeededRandom random)
    {
        string[] rights = ["rwx", "r-x", "rw-", "r--", "---"];
        return random.Chance(30)
            ? $"u::{random.Pick(rights)},g::{random.Pick(rights)},o::{random.Pick(rights)}"
            : $"u::{random.Pick(rights)},u:1000:{random.Pick(rights)},g::{random.Pick(rights)},m::{random.Pick(rights)},o::{random.Pick(rights)}";
    }
}
