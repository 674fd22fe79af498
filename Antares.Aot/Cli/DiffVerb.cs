using System.CommandLine;
using Antares.Aot.Images;

namespace Antares.Aot.Cli;

/// <summary><c>diff IMAGE IMAGE</c>.</summary>
internal static class DiffVerb
{
    public const string Name = "diff";

    public static Command Create(CommandContext context)
    {
        var old = new Argument<string>("OLD") { Description = "An image file" };
        var now = new Argument<string>("NEW") { Description = "The image to compare it with" };
        var json = new Option<bool>("--json") { Description = "Print as JSON" };
        var command = new Command(Name, $"List the paths added (A), removed (D) and changed (M) between two images; exit code {ExitCode.Found} when there are any") { old, now, json };
        command.SetAction(result =>
        {
            using var first = ImageFiles.Open(result.GetRequiredValue(old));
            using var second = ImageFiles.Open(result.GetRequiredValue(now));
            var differences = ImageFiles.Reading("diff", () => new ImageComparison(first, second).Run().ToList());
            if (result.GetValue(json))
            {
                context.Out.Write(JsonLine.Of(writer =>
                {
                    writer.WriteStartArray();
                    foreach (var difference in differences)
                    {
                        writer.WriteStartObject();
                        writer.WriteString("kind"u8, difference.Kind.ToString());
                        writer.WriteString("path"u8, difference.Path);
                        writer.WriteString("what"u8, difference.What);
                        writer.WriteEndObject();
                    }

                    writer.WriteEndArray();
                }));
            }
            else
            {
                differences.ForEach(difference =>
                    context.Out.WriteLine(difference.What.Length == 0 ? $"{difference.Kind} {difference.Path}" : $"{difference.Kind} {difference.Path} ({difference.What})"));
            }

            return differences.Count == 0 ? ExitCode.Ok : ExitCode.Found;
        });
        return command;
    }
}
