using System.CommandLine;
using System.Text;
using Antares.Aot.Mounts;
using Antares.Interop;

namespace Antares.Aot.Cli;

/// <summary><c>list</c>.</summary>
internal static class ListVerb
{
    public const string Name = "list";

    public static Command Create(CommandContext context)
    {
        var json = new Option<bool>("--json") { Description = "Print as JSON" };
        var command = new Command(Name, "List the mounts; a mount whose process is gone shows as stale") { json };
        command.SetAction(result =>
        {
            var mounts = new MountDirectory(context.State()).All();
            if (result.GetValue(json))
            {
                context.Out.Write(RecordJson.Line(mounts));
            }
            else
            {
                WriteTable(context.Out, mounts);
            }

            return ExitCode.Ok;
        });
        return command;
    }

    internal static void WriteTable(TextWriter output, List<KnownMount> mounts)
    {
        if (mounts.Count == 0)
        {
            return;
        }

        var rows = new List<string[]> { new[] { "ID", "JOB", "STATE", "ENGINE", "PID", "MOUNT POINT", "SOURCE" } };
        rows.AddRange(mounts.Select(mount => new[]
        {
            mount.Record.Id, mount.Record.Job ?? "-", mount.State, mount.Record.Engine, $"{mount.Record.Process.Pid}", mount.Record.MountPoint,
            string.Join(':', mount.Record.Lowers) + (mount.Record.Changelist is { } link ? $" with changelist {link}" : ""),
        }));
        rows.ForEach(row =>
        {
            for (var column = 0; column < row.Length; column++)
            {
                row[column] = Utf8.Print(Encoding.UTF8.GetBytes(row[column])); // a line break in a path would look like another mount
            }
        });
        var widths = Enumerable.Range(0, rows[0].Length).Select(column => rows.Max(row => row[column].Length)).ToArray();
        foreach (var row in rows)
        {
            output.WriteLine(string.Join("  ", row.Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd());
        }
    }
}
