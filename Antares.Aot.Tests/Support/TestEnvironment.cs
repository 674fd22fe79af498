using System.Reflection;

namespace Antares.Aot.Tests.Support;

/// <summary>What the black-box tests take from outside, all by environment variables.</summary>
/// <remarks>
/// ANTARES_BIN: the binary under test. ANTARES_TEST_MOUNTS: which kinds of mount the parity suite runs on, comma separated; by default
/// those of <see cref="Kinds"/>, and a cross-section on the kernel engine. ANTARES_TEST_MOUNT_OPTIONS: further options for each mount of
/// ours, such as "--init-mask 5.15". ANTARES_TEST_SCRATCH: where folders are made (default /tmp). ANTARES_TEST_LONG=1: the sizes of the
/// acceptance instead of the shorter ones. ANTARES_TEST_SHORT=1: a sample of the cases of which the others are more of the same.
/// </remarks>
internal static class TestEnvironment
{
    public static bool HasFuse => File.Exists("/dev/fuse");

    public static bool Long => Environment.GetEnvironmentVariable("ANTARES_TEST_LONG") == "1";

    public static bool Short => Environment.GetEnvironmentVariable("ANTARES_TEST_SHORT") == "1";

    public static string Scratch => Environment.GetEnvironmentVariable("ANTARES_TEST_SCRATCH") is { Length: > 0 } path ? path : "/tmp";

    public static string[] MountOptions =>
        (Environment.GetEnvironmentVariable("ANTARES_TEST_MOUNT_OPTIONS") ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>The binary under test. A missing one is a failure: a run that tested nothing must not look green.</summary>
    public static string Binary
    {
        get
        {
            string? path = Environment.GetEnvironmentVariable("ANTARES_BIN");
            if (string.IsNullOrEmpty(path))
                throw new InvalidOperationException("ANTARES_BIN is not set: publish the binary (./build.sh publish) and set ANTARES_BIN to its path; ./build.sh test does both");
            if (!File.Exists(path))
                throw new InvalidOperationException($"ANTARES_BIN names {path}, which does not exist");
            return Path.GetFullPath(path);
        }
    }

    public static bool HasDefaultKinds => string.IsNullOrEmpty(Environment.GetEnvironmentVariable("ANTARES_TEST_MOUNTS"));

    public static MountKind[] Kinds
    {
        get
        {
            string? text = Environment.GetEnvironmentVariable("ANTARES_TEST_MOUNTS");
            return string.IsNullOrEmpty(text)
                ? [MountKind.Plain, MountKind.Kernel, MountKind.AntaresFolder, MountKind.AntaresDir, MountKind.AntaresImage]
                : [.. text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(Enum.Parse<MountKind>)];
        }
    }

    /// <summary>The folder with the C sources of the probe, beside the test assembly's sources.</summary>
    public static string NativeSources =>
        typeof(TestEnvironment).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(a => a.Key == "NativeSources").Value!;

    /// <summary>Root of the checkout, for the examples.</summary>
    public static string Repository => Path.GetFullPath(Path.Combine(NativeSources, "../../.."));
}
