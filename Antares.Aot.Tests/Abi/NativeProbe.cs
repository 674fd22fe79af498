using System.Diagnostics;
using System.Text;

namespace Antares.Aot.Tests.Abi;

/// <summary>
/// What the C compiler says: compiles interop/native/abi-probe*.c with the headers of this machine and keeps its lines.
/// Without a compiler or the libfuse headers this throws, and so do the tests: an unchecked layout is not a passed test.
/// </summary>
public sealed class NativeProbe
{
    public NativeProbe()
    {
        string native = Path.Combine(RepositoryRoot(), "interop", "native");
        string folder = Directory.CreateTempSubdirectory("antares-abi-").FullName;
        try
        {
            string program = Path.Combine(folder, "abi-probe");
            List<string> arguments =
            [
                "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_FILE_OFFSET_BITS=64", "-DFUSE_USE_VERSION=314",
                "-I/usr/include/fuse3", "-I/usr/local/include/fuse3", "-o", program,
                .. Directory.GetFiles(native, "abi-probe*.c"),
            ];
            _ = Run("cc", arguments);
            foreach (string line in Run(program, []).Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                int space = line.LastIndexOf(' ');
                if (!Values.TryAdd(line[..space], line[(space + 1)..]))
                {
                    throw new InvalidOperationException($"The ABI probe says '{line[..space]}' twice.");
                }
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Name (kind:name) to value, as the compiler prints them.</summary>
    public Dictionary<string, string> Values { get; } = new(StringComparer.Ordinal);

    private static string RepositoryRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder != null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "interop", "native", "abi-probe.c")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException(
            $"interop/native/abi-probe.c is in no folder above {AppContext.BaseDirectory}: run the tests from the repository.");
    }

    private static string Run(string program, List<string> arguments)
    {
        ProcessStartInfo start = new(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Start(start);
        StringBuilder errors = new();
        process.ErrorDataReceived += (_, line) => errors.AppendLine(line.Data);
        process.BeginErrorReadLine();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0
            ? output
            : throw new InvalidOperationException(
                $"{program} failed with exit code {process.ExitCode} (the ABI tests need gcc, libc6-dev, linux-libc-dev and libfuse3-dev):\n{errors}");
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception exception)
        {
            throw new InvalidOperationException(
                $"'{start.FileName}' cannot be run ({exception.Message}): the ABI tests need a C compiler (package gcc) and do not pass without one.",
                exception);
        }
    }
}
