using System.CommandLine;
using Antares.Aot.Images;
using Antares.Aot.Mounts;

namespace Antares.Aot.Cli;

/// <summary><c>inspect IMAGE</c>.</summary>
internal static class InspectVerb
{
    public const string Name = "inspect";

    public static Command Create(CommandContext context)
    {
        var path = new Argument<string>("IMAGE") { Description = "An image file" };
        var tree = new Option<string?>("--tree") { Description = "List what is below PATH in the image ('.' for all) instead", HelpName = "PATH" };
        var json = new Option<bool>("--json") { Description = "Print as JSON" };
        var command = new Command(Name, "Show what is in an image: sizes, ratios, provenance, the largest files") { path, tree, json };
        command.SetAction(result =>
        {
            var start = result.GetValue(tree);
            if (start is not null && result.GetValue(json))
            {
                throw MountProblem.Usage("inspect: --tree and --json exclude each other: give one");
            }

            var file = result.GetRequiredValue(path);
            using var image = ImageFiles.Open(file);
            context.Out.Write(ImageFiles.Reading(file, () =>
            {
                if (start is null)
                {
                    var summary = new ImageSummary(image);
                    return result.GetValue(json) ? summary.Json() : summary.Text();
                }

                var parts = start.Split('/', StringSplitOptions.RemoveEmptyEntries).Where(part => part != ".");
                return TreeListing.Of(image, ImageFiles.Resolve(image, start), string.Join('/', parts));
            }));
            return ExitCode.Ok;
        });
        return command;
    }
}
